//! `/transmission/rpc`: Transmission's RPC as version 3.00 speaks it (`method`, `arguments`,
//! `tag`), for programs that know no other. It never moves money.

mod fields;
pub(super) mod ids;
mod session;
mod torrents;

use std::sync::Arc;

use axum::{
    http::{HeaderValue, Method, StatusCode, header},
    response::Response,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    answer::{self, Answered, Refusal},
    request::Call,
    scope::Scope,
    secret,
    site::Site,
};
use crate::client::{
    ClientError,
    command::{Command, QueueTo},
};

/// What a client repeats with each request. A page of another site cannot send it.
const ID_HEADER: &str = "x-transmission-session-id";

/// One call.
#[derive(Debug, Deserialize)]
struct Request {
    method: String,
    #[serde(default)]
    arguments: Map<String, Value>,
    tag: Option<i64>,
}

/// Why a call is not done: a sentence in `result`.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Client(#[from] ClientError),
    #[error("method name not recognized")]
    Unknown,
    #[error("`{0}` is missing or invalid")]
    Argument(&'static str),
    #[error("`{0}` cannot be changed here")]
    Fixed(String),
    #[error("invalid or corrupt torrent file")]
    NoTorrentFile,
    #[error("this needs the scope `torrents`")]
    Scope,
}

type Done = Result<Map<String, Value>, Failure>;

/// A refusal as Transmission says it.
pub(super) fn refused(refusal: &Refusal) -> Response {
    let mut response = refusal.to_text();
    if refusal.status == StatusCode::UNAUTHORIZED {
        let realm = HeaderValue::from_static("Basic realm=\"Transmission\"");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, realm);
    }
    response
}

/// The answer to a request without the right id: 409, with the id to repeat.
fn handshake(site: &Site) -> Answered {
    let mut response = answer::text(
        StatusCode::CONFLICT,
        "send this request again with the header X-Transmission-Session-Id of this answer",
    );
    let id = HeaderValue::from_str(&site.transmission_id)
        .map_err(|_| Refusal::failed("the id cannot be written"))?;
    response.headers_mut().insert(ID_HEADER, id);
    Ok(response)
}

pub(super) async fn answer(site: &Arc<Site>, call: &Call<'_>) -> Answered {
    let given = call.headers.get(ID_HEADER);
    let given = given.and_then(|id| id.to_str().ok()).unwrap_or_default();
    if !secret::same(
        &secret::digest(given),
        &secret::digest(&site.transmission_id),
    ) {
        return handshake(site);
    }
    if call.method != Method::POST {
        return Err(Refusal::method("calls are made by POST"));
    }
    let request: Request = call.json()?;
    let (result, arguments) = match done(site, call, &request).await {
        Ok(arguments) => ("success".to_owned(), arguments),
        Err(failure) => (failure.to_string(), Map::new()),
    };
    let mut body = Map::new();
    body.insert("arguments".to_owned(), Value::Object(arguments));
    body.insert("result".to_owned(), result.into());
    if let Some(tag) = request.tag {
        body.insert("tag".to_owned(), tag.into());
    }
    answer::json(&body)
}

/// Whether a method only looks.
fn reads(method: &str) -> bool {
    matches!(
        method,
        "session-get" | "session-stats" | "torrent-get" | "free-space" | "port-test"
    )
}

async fn done(site: &Site, call: &Call<'_>, request: &Request) -> Done {
    let arguments = &request.arguments;
    if !reads(&request.method) && !call.caller.scopes.has(Scope::Torrents) {
        return Err(Failure::Scope);
    }
    match request.method.as_str() {
        "session-get" => Ok(session::get(site, arguments)),
        "session-set" => session::set(site, arguments).await,
        "session-stats" => Ok(session::stats(site)),
        "free-space" => session::free_space(site, arguments),
        "port-test" => Ok(session::port_test(site)),
        "torrent-get" => torrents::get(site, arguments),
        "torrent-add" => torrents::add(site, arguments).await,
        "torrent-set" => torrents::set(site, arguments).await,
        "torrent-start" | "torrent-start-now" => {
            torrents::each(site, arguments, Command::Resume).await
        }
        "torrent-stop" => torrents::each(site, arguments, Command::Pause).await,
        "torrent-verify" => torrents::each(site, arguments, Command::Recheck).await,
        "torrent-reannounce" => torrents::reannounce(site, arguments).await,
        "torrent-remove" => torrents::remove(site, arguments).await,
        "torrent-set-location" => torrents::set_location(site, arguments).await,
        "queue-move-top" => torrents::move_in_queue(site, arguments, QueueTo::Top).await,
        "queue-move-up" => torrents::move_in_queue(site, arguments, QueueTo::Up).await,
        "queue-move-down" => torrents::move_in_queue(site, arguments, QueueTo::Down).await,
        "queue-move-bottom" => torrents::move_in_queue(site, arguments, QueueTo::Bottom).await,
        _ => Err(Failure::Unknown),
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        other => Map::from_iter([("value".to_owned(), json!(other))]),
    }
}
