//! A request: its parameters, from path, query and body.

use std::{net::IpAddr, str::FromStr, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, Method, StatusCode, header},
};
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{answer::Refusal, caller::Caller};
use crate::types::InfoHash;

/// The largest head of a request, bytes.
pub(super) const MAX_HEAD: usize = 32 << 10;
/// The largest body, bytes: torrent files of a million pieces.
pub(super) const MAX_BODY: usize = 24 << 20;
/// Bodies up to here need no place.
pub(super) const SMALL_BODY: usize = 256 << 10;
/// Bodies above [`SMALL_BODY`] at once.
pub(super) const LARGE_BODIES: usize = 4;
/// The body of somebody who has not said who it is.
pub(super) const STRANGERS_BODY: usize = 8 << 10;
/// Parts of a form, and parameters of a query.
pub(super) const MAX_PARAMETERS: usize = 1000;

/// A file of a form.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) bytes: Bytes,
}

/// A request whose sender is known.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// Below the prefix.
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    /// Of the query, and of a form.
    pub(super) parameters: Vec<(String, String)>,
    pub(super) uploads: Vec<Upload>,
    /// A body that is no form.
    pub(super) body: Bytes,
    pub(super) caller: Caller,
    /// `None`: it came over the socket.
    pub(super) address: Option<IpAddr>,
    /// The browser speaks TLS, to us or to a trusted proxy.
    pub(super) is_https: bool,
    /// A large body's place, until the request is answered.
    pub(super) _place: Option<SemaphorePermit<'a>>,
}

/// A parameter that is wrong.
fn wrong(name: &str, text: &str) -> Refusal {
    let shown: String = text.chars().take(80).collect();
    Refusal::bad(format!("`{shown}` cannot be the parameter `{name}`"))
}

impl Call<'_> {
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn need(&self, name: &str) -> Result<&str, Refusal> {
        self.text(name)
            .ok_or_else(|| Refusal::bad(format!("the parameter `{name}` is missing")))
    }

    /// A parameter that is not empty.
    pub(super) fn parsed<T: FromStr>(&self, name: &str) -> Result<Option<T>, Refusal> {
        match self.text(name) {
            None | Some("") => Ok(None),
            Some(text) => text.trim().parse().map(Some).map_err(|_| wrong(name, text)),
        }
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.text(name) {
            None | Some("") => Ok(None),
            Some(text) if text.eq_ignore_ascii_case("true") || text == "1" => Ok(Some(true)),
            Some(text) if text.eq_ignore_ascii_case("false") || text == "0" => Ok(Some(false)),
            Some(text) => Err(wrong(name, text)),
        }
    }

    /// The body as JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Refusal::bad(format!("the body is not as it should be: {error}")))
    }

    /// What the content is said to be, without its parameters.
    pub(super) fn content_type(&self) -> String {
        content_type(&self.headers)
    }
}

pub(super) fn info_hash(text: &str) -> Result<InfoHash, Refusal> {
    let shown = || text.chars().take(80).collect::<String>();
    text.to_ascii_lowercase()
        .parse()
        .map_err(|_| Refusal::not_found(format!("`{}` is no info-hash of a torrent here", shown())))
}

fn content_type(headers: &HeaderMap) -> String {
    let text = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

/// The pairs of a query or a form.
pub(super) fn pairs(text: &[u8]) -> Result<Vec<(String, String)>, Refusal> {
    let pairs: Vec<_> = url::form_urlencoded::parse(text)
        .into_owned()
        .take(MAX_PARAMETERS + 1)
        .collect();
    match pairs.len() > MAX_PARAMETERS {
        true => Err(too_many()),
        false => Ok(pairs),
    }
}

fn too_many() -> Refusal {
    Refusal::bad(format!("more than {MAX_PARAMETERS} parameters"))
}

fn too_large(limit: usize) -> Refusal {
    Refusal::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too_large",
        format!("the body is larger than {limit} bytes"),
    )
}

/// Reads a body of at most `limit` bytes. A large one waits for a place first, so that many
/// at once do not fill the memory.
pub(super) async fn read_body<'a>(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    places: &'a Semaphore,
    time: Duration,
) -> Result<(Bytes, Option<SemaphorePermit<'a>>), Refusal> {
    let said = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let chunked = headers.contains_key(header::TRANSFER_ENCODING);
    if said.is_some_and(|said| said > limit) {
        return Err(too_large(limit));
    }
    let place = if said.is_some_and(|said| said > SMALL_BODY) || (chunked && limit > SMALL_BODY) {
        let place = places.try_acquire().map_err(|_| {
            Refusal::later(
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                "too many large uploads at once",
                Duration::from_secs(1),
            )
        })?;
        Some(place)
    } else {
        None
    };
    let read = axum::body::to_bytes(body, limit);
    match tokio::time::timeout(time, read).await {
        Err(_) => Err(Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            "timeout",
            "the body did not arrive in time",
        )),
        // No other error is told apart by its type; this one is `LengthLimitError`'s.
        Ok(Err(error)) if error.to_string() == "length limit exceeded" => Err(too_large(limit)),
        Ok(Err(_)) => Err(Refusal::bad("the body was cut off")),
        Ok(Ok(bytes)) => Ok((bytes, place)),
    }
}

/// What a body holds.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) parameters: Vec<(String, String)>,
    pub(super) uploads: Vec<Upload>,
    pub(super) rest: Bytes,
}

/// Takes a form apart; any other body is left whole.
pub(super) async fn content(headers: &HeaderMap, bytes: Bytes) -> Result<Content, Refusal> {
    match content_type(headers).as_str() {
        "application/x-www-form-urlencoded" => Ok(Content {
            parameters: pairs(&bytes)?,
            ..Content::default()
        }),
        "multipart/form-data" => multipart(headers, bytes).await,
        _ => Ok(Content {
            rest: bytes,
            ..Content::default()
        }),
    }
}

async fn multipart(headers: &HeaderMap, bytes: Bytes) -> Result<Content, Refusal> {
    let bad = |error: multer::Error| Refusal::bad(format!("the form cannot be read: {error}"));
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let boundary = multer::parse_boundary(kind).map_err(bad)?;
    let whole = futures_util::stream::once(async move { Ok::<_, std::convert::Infallible>(bytes) });
    let mut parts = multer::Multipart::new(whole, boundary);
    let mut content = Content::default();
    while let Some(field) = parts.next_field().await.map_err(bad)? {
        if content.parameters.len() + content.uploads.len() >= MAX_PARAMETERS {
            return Err(too_many());
        }
        let name = field.name().unwrap_or_default().to_owned();
        let is_file = field.file_name().is_some();
        let bytes = field.bytes().await.map_err(bad)?;
        if is_file {
            content.uploads.push(Upload { bytes });
        } else {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            content.parameters.push((name, text));
        }
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(40);

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| {
                (
                    header::HeaderName::from_static(name),
                    value.parse().unwrap(),
                )
            })
            .collect()
    }

    #[tokio::test]
    async fn a_body_has_at_most_the_bytes_of_its_limit() {
        let places = Semaphore::new(1);
        let none = HeaderMap::new();
        let read = async |size: usize, headers: &HeaderMap| {
            read_body(headers, Body::from(vec![0; size]), 10, &places, LONG).await
        };
        assert_eq!(read(10, &none).await.unwrap().0.len(), 10);
        let refused = read(11, &none).await.unwrap_err();
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
        let said = headers(&[("content-length", "11")]);
        let refused = read(0, &said).await.unwrap_err();
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn only_so_many_large_bodies_come_at_once() {
        let places = Semaphore::new(1);
        let said = |size: usize| headers(&[("content-length", &size.to_string())]);
        let read = async |size: usize| {
            let body = Body::from(vec![0; size]);
            read_body(&said(size), body, MAX_BODY, &places, LONG).await
        };
        let (_, first) = read(SMALL_BODY + 1).await.unwrap();
        assert!(first.is_some());
        let refused = read(SMALL_BODY + 1).await.unwrap_err();
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(read(SMALL_BODY).await.unwrap().1.is_none());
        drop(first);
        assert!(read(SMALL_BODY + 1).await.is_ok());
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let never = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        let places = Semaphore::new(1);
        let short = Duration::from_millis(20);
        let body = Body::from_stream(never);
        let refused = read_body(&HeaderMap::new(), body, 10, &places, short)
            .await
            .unwrap_err();
        assert_eq!(refused.status, StatusCode::REQUEST_TIMEOUT);
    }

    #[tokio::test]
    async fn forms_are_taken_apart_and_bounded() {
        let kind = headers(&[("content-type", "multipart/form-data; boundary=X")]);
        let form = "--X\r\nContent-Disposition: form-data; name=\"category\"\r\n\r\nfilms\r\n\
                    --X\r\nContent-Disposition: form-data; name=\"torrents\"; filename=\"a.torrent\"\r\n\
                    Content-Type: application/x-bittorrent\r\n\r\nd1:ae\r\n--X--\r\n";
        let content = content(&kind, Bytes::from_static(form.as_bytes()))
            .await
            .unwrap();
        assert_eq!(
            content.parameters,
            [("category".to_owned(), "films".to_owned())]
        );
        assert_eq!(content.uploads[0].bytes, "d1:ae");

        let part = "--X\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n";
        let many = |count: usize| Bytes::from(format!("{}--X--\r\n", part.repeat(count)));
        assert!(super::content(&kind, many(MAX_PARAMETERS)).await.is_ok());
        assert!(
            super::content(&kind, many(MAX_PARAMETERS + 1))
                .await
                .is_err()
        );
        assert!(
            super::content(&kind, Bytes::from_static(b"--X\r\n"))
                .await
                .is_err()
        );
        let none = headers(&[("content-type", "multipart/form-data")]);
        assert!(super::content(&none, Bytes::new()).await.is_err());

        let pairs_of = |count| pairs("a=b&".repeat(count).as_bytes());
        assert!(pairs_of(MAX_PARAMETERS).is_ok());
        assert!(pairs_of(MAX_PARAMETERS + 1).is_err());
    }
}
