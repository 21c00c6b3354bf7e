//! One way for all requests: who is it, may it, what does it want.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::Response,
};

use super::{
    answer::{self, Answered, Refusal},
    caller::{By, Caller},
    gate::{self, Door, Peer},
    health, metrics, page,
    request::{self, Call, MAX_BODY, MAX_HEAD, STRANGERS_BODY},
    scope::Scope,
    site::Site,
    transmission, v1, v2,
};

/// What a request wants.
#[derive(Debug, Clone)]
enum Target {
    Page(&'static page::File),
    Health,
    Ready,
    Metrics,
    V1(v1::Found),
    V2(v2::Found),
    Transmission,
}

impl Target {
    fn find(method: &Method, path: &str) -> Result<Self, Refusal> {
        if let Some(rest) = path.strip_prefix("/api/v2/") {
            return Ok(Self::V2(v2::find(method, rest)?));
        }
        if path.starts_with("/api/v1/") {
            return Ok(Self::V1(v1::find(method, path)?));
        }
        let reads = *method == Method::GET || *method == Method::HEAD;
        let found = match path {
            "/transmission/rpc" | "/transmission/rpc/" => return Ok(Self::Transmission),
            "/healthz" => Self::Health,
            "/readyz" => Self::Ready,
            "/metrics" => Self::Metrics,
            _ => match page::find(path) {
                Some(file) => Self::Page(file),
                None => return Err(Refusal::not_found("there is nothing at this path")),
            },
        };
        match reads {
            true => Ok(found),
            false => Err(Refusal::method("this path is only read")),
        }
    }

    fn door(&self) -> Door {
        match self {
            Self::V2(_) => Door::Qbittorrent,
            Self::Transmission => Door::Transmission,
            _ => Door::Own,
        }
    }

    /// What it needs; nothing for what everybody may have.
    fn needs(&self) -> Option<Scope> {
        match self {
            Self::Page(_) | Self::Health | Self::Ready => None,
            Self::Metrics => Some(Scope::Read),
            Self::V1(found) => found.needs(),
            Self::V2(found) => found.needs(),
            Self::Transmission => Some(Scope::Read),
        }
    }
}

/// Answers a request.
pub(super) async fn answer(site: &Arc<Site>, peer: Peer, request: Request) -> Response {
    let is_head = request.method() == Method::HEAD;
    let path = request.uri().path().to_owned();
    let door = match path.strip_prefix(site.prefix.as_str()) {
        Some(rest) if rest.starts_with("/api/v2/") => Door::Qbittorrent,
        Some(rest) if rest.starts_with("/transmission/") => Door::Transmission,
        _ => Door::Own,
    };
    let answered = route(site, peer, request).await;
    let mut response = match answered {
        Ok(response) => response,
        Err(refusal) => {
            tracing::debug!(
                path,
                status = refusal.status.as_u16(),
                why = refusal.message,
                "refused"
            );
            match door {
                Door::Own => refusal.to_json(),
                Door::Qbittorrent => v2::refused(&refusal),
                Door::Transmission => transmission::refused(&refusal),
            }
        }
    };
    answer::guard(response.headers_mut());
    if is_head {
        *response.body_mut() = Body::empty();
    }
    response
}

/// The bytes of a request's head, about.
fn head_size(uri: &Uri, headers: &HeaderMap) -> usize {
    let lines = headers.iter();
    let lines = lines.map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    uri.path_and_query().map_or(0, |path| path.as_str().len()) + lines.sum::<usize>()
}

async fn route(site: &Arc<Site>, peer: Peer, request: Request) -> Answered {
    let (parts, body) = request.into_parts();
    if head_size(&parts.uri, &parts.headers) > MAX_HEAD {
        return Err(Refusal::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "too_large",
            format!("path and headers have more than {MAX_HEAD} bytes"),
        ));
    }
    let path = match parts.uri.path().strip_prefix(site.prefix.as_str()) {
        Some("") => return Ok(moved(&format!("{}/", site.prefix))),
        Some(rest) if rest.starts_with('/') => rest.to_owned(),
        _ => return Err(Refusal::not_found("there is nothing at this path")),
    };
    if peer != Peer::Socket {
        let is_page = page::find(&path).is_some();
        site.names
            .check(&parts.method, &parts.headers, is_page)
            .map_err(|foreign| {
                Refusal::new(StatusCode::FORBIDDEN, "foreign", foreign.to_string())
            })?;
    }
    let target = Target::find(&parts.method, &path)?;
    let (address, is_https) = gate::from(peer, &parts.headers, &site.proxies);
    let caller = match target.needs() {
        // Whoever shows something wrong may still see the page, and log in again.
        None if !matches!(target, Target::V1(_) | Target::V2(_)) => Caller::NOBODY,
        _ => gate::identify(site, target.door(), peer, address, &parts.headers).await?,
    };
    if let Some(scope) = target.needs() {
        gate::allow(site, &caller, scope, &parts.headers)?;
    }
    let limit = match caller.by {
        By::Nothing => STRANGERS_BODY,
        _ => MAX_BODY,
    };
    let (bytes, place) = request::read_body(
        &parts.headers,
        body,
        limit,
        &site.large_bodies,
        site.times.body,
    )
    .await?;
    let content = match target {
        // Its clients call their JSON a form.
        Target::Transmission => request::Content {
            rest: bytes,
            ..request::Content::default()
        },
        _ => request::content(&parts.headers, bytes).await?,
    };
    let mut parameters = request::pairs(parts.uri.query().unwrap_or_default().as_bytes())?;
    // A form counts before the query.
    parameters.splice(0..0, content.parameters);
    let call = Call {
        method: parts.method,
        path,
        headers: parts.headers,
        parameters,
        uploads: content.uploads,
        body: content.rest,
        caller,
        address,
        is_https,
        _place: place,
    };
    match target {
        Target::Page(file) => Ok(page::answer(file, &call)),
        Target::Health => Ok(health::live()),
        Target::Ready => health::ready(site),
        Target::Metrics => Ok(metrics::answer(site)),
        Target::V1(found) => v1::answer(site, &found, &call).await,
        Target::V2(found) => v2::answer(site, &found, &call).await,
        Target::Transmission => transmission::answer(site, &call).await,
    }
}

fn moved(to: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(header::LOCATION, to);
    }
    response
}
