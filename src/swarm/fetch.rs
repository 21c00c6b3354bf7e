//! HTTP for trackers, torrent files and web seeds: bound to our own address, each
//! answer bounded, and no way from a public server to a host inside our network.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use reqwest::{
    Response, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{HeaderMap, LOCATION},
};
use url::{Host, Url};

use super::locality::{Network, may_name, network};
use super::metainfo::MAX_INFO_BYTES;
use super::proxy::Proxy;
use crate::types::root_cause;

/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(10);
/// Redirects that are followed for one request.
const MAX_REDIRECTS: u32 = 5;

/// Why an HTTP request had no answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No connection, or it broke.
    #[error("{}", root_cause(.0))]
    Http(reqwest::Error),
    /// A public source named a host of an inside network.
    #[error("{0} is inside a private network, and a public source named it")]
    Inside(String),
    /// A redirect without an address that can be asked.
    #[error("it redirects to `{0}`, which is not an HTTP address")]
    BadRedirect(String),
    /// Redirects in a circle.
    #[error("it redirects more than {MAX_REDIRECTS} times")]
    TooManyRedirects,
    /// More bytes than any sensible answer has.
    #[error("it sent more than {0} bytes")]
    TooLong(usize),
    /// The body is compressed, and broken.
    #[error("it sent a compressed body that cannot be read")]
    BadCompression,
    /// Not a URL.
    #[error("it is not a URL")]
    BadUrl,
    /// It takes too long.
    #[error("it did not answer within {0} s")]
    Slow(u64),
    /// A status that says no.
    #[error("it answered with status {0}")]
    Status(u16),
}

/// Where a request may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// To any host.
    Anywhere,
    /// To public hosts only.
    Public,
}

/// An HTTP client bound to one address of ours.
#[derive(Debug, Clone)]
pub(super) struct Http {
    anywhere: reqwest::Client,
    public: reqwest::Client,
    /// All goes through a proxy, which resolves the names.
    proxied: bool,
}

/// Resolves names to public addresses alone, but the proxy's own.
struct PublicOnly {
    proxy: Option<Proxy>,
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let proxy = self.proxy.as_ref();
        let is_proxy = proxy.is_some_and(|proxy| proxy.is_named(name.as_str()));
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found
                .filter(|addr| is_proxy || may_name(Network::Public, addr.ip()))
                .collect();
            if public.is_empty() {
                return Err(FetchError::Inside(name.as_str().to_owned()).into());
            }
            let addrs: Addrs = Box::new(public.into_iter());
            Ok(addrs)
        })
    }
}

impl Http {
    /// A client that sends from `source`; an unspecified address lets the system
    /// choose.
    ///
    /// # Errors
    /// The HTTP library cannot be set up.
    pub(super) fn new(source: IpAddr, proxy: Option<&Proxy>) -> Result<Self, reqwest::Error> {
        // Announces are far apart, and opentracker resets what it kept open.
        Self::with_idle(source, proxy, 0)
    }

    /// The same, but a connection or two to each server are kept for the next request.
    ///
    /// # Errors
    /// The HTTP library cannot be set up.
    pub(super) fn keeping(source: IpAddr, proxy: Option<&Proxy>) -> Result<Self, reqwest::Error> {
        Self::with_idle(source, proxy, 2)
    }

    fn with_idle(
        source: IpAddr,
        proxy: Option<&Proxy>,
        idle: usize,
    ) -> Result<Self, reqwest::Error> {
        // Whoever installed one before is as good.
        let _already = rustls::crypto::ring::default_provider().install_default();
        let through = proxy.map(Proxy::for_http).transpose()?;
        let builder = || {
            let client = reqwest::Client::builder()
                .user_agent(concat!("Seedrail/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT)
                // One of the environment would send from an address of its own.
                .no_proxy()
                .referer(false)
                .redirect(reqwest::redirect::Policy::none())
                .pool_max_idle_per_host(idle)
                .local_address(Some(source).filter(|ip| !ip.is_unspecified()));
            match &through {
                Some(proxy) => client.proxy(proxy.clone()),
                None => client,
            }
        };
        let public_only = PublicOnly {
            proxy: proxy.cloned(),
        };
        Ok(Self {
            anywhere: builder().build()?,
            public: builder().dns_resolver(Arc::new(public_only)).build()?,
            proxied: proxy.is_some(),
        })
    }

    /// Whether all goes through a proxy.
    pub(super) fn is_proxied(&self) -> bool {
        self.proxied
    }

    /// Who sent an answer, as far as is known. Behind a proxy only the URL says.
    pub(super) fn sender(&self, response: &Response) -> Option<IpAddr> {
        match self.proxied {
            true => literal(response.url()),
            false => response.remote_addr().map(|addr| addr.ip()),
        }
    }

    /// Asks for `url` and follows redirects. `may` tells for each address whether a
    /// host inside our network may be asked for it; a redirect from a public host
    /// never leads inside.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub(super) async fn get(
        &self,
        mut url: Url,
        headers: &HeaderMap,
        may: impl Fn(&Url) -> Reach,
    ) -> Result<Response, FetchError> {
        let mut from_public = false;
        for _ in 0..=MAX_REDIRECTS {
            let reach = if from_public {
                Reach::Public
            } else {
                may(&url)
            };
            url.set_fragment(None);
            let client = match reach {
                Reach::Anywhere => &self.anywhere,
                Reach::Public if literal(&url).is_some_and(|ip| network(ip) > Network::Public) => {
                    return Err(FetchError::Inside(url.host_str().unwrap_or("").to_owned()));
                }
                Reach::Public => &self.public,
            };
            let asked = client.get(url.clone()).headers(headers.clone());
            let response = asked.send().await.map_err(http)?;
            from_public |= self
                .sender(&response)
                .is_none_or(|sender| network(sender) == Network::Public);
            if !is_redirect(response.status()) {
                return Ok(response);
            }
            let place = response.headers().get(LOCATION);
            let place = place.map_or_else(String::new, |place| {
                String::from_utf8_lossy(place.as_bytes()).into_owned()
            });
            let next = url.join(&place).ok();
            let next = next.filter(|next| matches!(next.scheme(), "http" | "https"));
            url = next.ok_or_else(|| {
                let shown = place.chars().filter(|c| !c.is_control());
                FetchError::BadRedirect(shown.take(200).collect())
            })?;
        }
        Err(FetchError::TooManyRedirects)
    }
}

/// How long the download of a torrent file may take.
const TORRENT: Duration = Duration::from_secs(120);

/// The torrent file at an HTTP URL, asked for from `source` or by a proxy, at most as long as
/// the longest that is read.
///
/// # Errors
/// See [`FetchError`].
pub async fn fetch_torrent(
    url: &str,
    source: IpAddr,
    proxy: Option<&Proxy>,
) -> Result<Vec<u8>, FetchError> {
    let parsed = Url::parse(url).map_err(|_| FetchError::BadUrl)?;
    let http = Http::new(source, proxy).map_err(FetchError::Http)?;
    let fetching = async {
        // The user named it.
        let may = |_: &Url| Reach::Anywhere;
        let response = http.get(parsed, &HeaderMap::new(), may).await?;
        match response.status().as_u16() {
            200..=299 => body(response, MAX_INFO_BYTES + (1 << 20)).await,
            status => Err(FetchError::Status(status)),
        }
    };
    let fetched = tokio::time::timeout(TORRENT, fetching).await;
    fetched.unwrap_or(Err(FetchError::Slow(TORRENT.as_secs())))
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The address, if the URL names one by number. The URL reader knows every spelling.
fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(ip) => Some(ip.into()),
        Host::Ipv6(ip) => Some(ip.into()),
        Host::Domain(_) => None,
    }
}

pub(super) fn http(error: reqwest::Error) -> FetchError {
    // The name's own reason says more than "error sending request".
    let mut source: Option<&dyn std::error::Error> = std::error::Error::source(&error);
    while let Some(inner) = source {
        if let Some(FetchError::Inside(host)) = inner.downcast_ref() {
            return FetchError::Inside(host.clone());
        }
        source = inner.source();
    }
    FetchError::Http(error.without_url())
}

/// All of a body, at most `limit` bytes, also after it is uncompressed.
///
/// # Errors
/// See [`FetchError`].
pub(super) async fn body(mut response: Response, limit: usize) -> Result<Vec<u8>, FetchError> {
    let encoding = response.headers().get(reqwest::header::CONTENT_ENCODING);
    let encoding = encoding.and_then(|text| text.to_str().ok());
    let encoding = encoding.unwrap_or_default().trim().to_ascii_lowercase();
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(http)? {
        if body.len() + part.len() > limit {
            return Err(FetchError::TooLong(limit));
        }
        body.extend_from_slice(&part);
    }
    uncompressed(body, &encoding, limit)
}

/// The bytes behind an HTTP content encoding. Some servers compress without being
/// asked, or without saying so: gzip is known by its first bytes.
fn uncompressed(body: Vec<u8>, encoding: &str, limit: usize) -> Result<Vec<u8>, FetchError> {
    use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

    if encoding == "gzip" || encoding == "x-gzip" || body.starts_with(&[0x1f, 0x8b]) {
        return read_all(MultiGzDecoder::new(&body[..]), limit);
    }
    if encoding == "deflate" {
        // RFC 9110 means zlib by it; some servers send the bare stream.
        let zlib = read_all(ZlibDecoder::new(&body[..]), limit);
        return match zlib {
            Err(FetchError::BadCompression) => read_all(DeflateDecoder::new(&body[..]), limit),
            other => other,
        };
    }
    Ok(body)
}

fn read_all(from: impl std::io::Read, limit: usize) -> Result<Vec<u8>, FetchError> {
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut out = Vec::new();
    std::io::Read::read_to_end(&mut from.take(most), &mut out)
        .map_err(|_| FetchError::BadCompression)?;
    if out.len() > limit {
        return Err(FetchError::TooLong(limit));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn compressed_bodies_are_read_within_the_bound() {
        let text = vec![b'a'; 1000];
        let packed = gzip(&text);
        for encoding in ["gzip", ""] {
            assert_eq!(uncompressed(packed.clone(), encoding, 1000).unwrap(), text);
        }
        let bomb = uncompressed(packed, "gzip", 999);
        assert!(matches!(bomb, Err(FetchError::TooLong(999))), "{bomb:?}");
        let broken = uncompressed(gzip(&text)[..20].to_vec(), "gzip", 1000);
        assert!(matches!(broken, Err(FetchError::BadCompression)));
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        zlib.write_all(&text).unwrap();
        let mut bare = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        bare.write_all(&text).unwrap();
        for packed in [zlib.finish().unwrap(), bare.finish().unwrap()] {
            assert_eq!(uncompressed(packed, "deflate", 1000).unwrap(), text);
        }
    }
}
