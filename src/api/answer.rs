//! Answers, all with the same headers, and refusals.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use serde::Serialize;
use serde_json::json;

use crate::client::{ClientError, ErrorKind};

/// What a browser may do with an answer: nothing from elsewhere, no script inside HTML, no
/// frame around it.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; \
    form-action 'self'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// Puts the headers on that every answer has.
pub(super) fn guard(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}

/// Why a request is not answered as it wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// One word that does not change.
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) retry: Option<Duration>,
}

pub(super) type Answered = Result<Response, Refusal>;

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            retry: None,
        }
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    pub(super) fn method(message: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method", message)
    }

    pub(super) fn later(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
        retry: Duration,
    ) -> Self {
        Self {
            retry: Some(retry),
            ..Self::new(status, code, message)
        }
    }

    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", message)
    }

    /// As our own API says it.
    pub(super) fn to_json(&self) -> Response {
        let body = json!({ "error": { "code": self.code, "message": self.message } });
        self.finish(with_type(self.status, "application/json", body.to_string()))
    }

    /// As programs that know no JSON errors want it.
    pub(super) fn to_text(&self) -> Response {
        self.finish(text(self.status, self.message.clone()))
    }

    fn finish(&self, mut response: Response) -> Response {
        if let Some(retry) = self.retry {
            // A part of a second is a second: who comes earlier is refused again.
            let seconds = retry.as_secs() + u64::from(retry.subsec_nanos() > 0);
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// An error of the client's with all its causes.
fn whole(error: &ClientError) -> String {
    let mut message = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        let cause = error.to_string();
        if !message.contains(&cause) {
            message.push_str(": ");
            message.push_str(&cause);
        }
        source = error.source();
    }
    message
}

impl From<ClientError> for Refusal {
    fn from(error: ClientError) -> Self {
        let message = whole(&error);
        match error.kind() {
            ErrorKind::Invalid => Self::bad(message),
            ErrorKind::NotFound => Self::not_found(message),
            ErrorKind::Conflict => Self::conflict(message),
            ErrorKind::Ended => Self::later(
                StatusCode::SERVICE_UNAVAILABLE,
                "ending",
                message,
                Duration::from_secs(5),
            ),
            ErrorKind::Failed => Self::failed(message),
        }
    }
}

pub(super) fn with_type(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

pub(super) fn text(status: StatusCode, text: impl Into<String>) -> Response {
    with_type(status, "text/plain; charset=utf-8", text.into())
}

pub(super) fn ok_text(line: impl Into<String>) -> Response {
    text(StatusCode::OK, line)
}

/// 200 with JSON.
pub(super) fn json<T: Serialize>(value: &T) -> Answered {
    json_with(StatusCode::OK, value)
}

pub(super) fn json_with<T: Serialize>(status: StatusCode, value: &T) -> Answered {
    match serde_json::to_vec(value) {
        Ok(bytes) => Ok(with_type(status, "application/json", bytes)),
        Err(error) => Err(Refusal::failed(format!("the answer is no JSON: {error}"))),
    }
}

/// 204: done, and nothing to say.
pub(super) fn done() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// A part of a whole, from 0 to 1.
#[expect(
    clippy::cast_precision_loss,
    reason = "qBittorrent's and Transmission's APIs have a fraction here"
)]
pub(super) fn part(part: u64, whole: u64) -> f64 {
    match whole {
        0 => 0.0,
        whole => part.min(whole) as f64 / whole as f64,
    }
}

/// A number of thousandths.
#[expect(
    clippy::cast_precision_loss,
    reason = "qBittorrent's and Transmission's APIs have a fraction here"
)]
pub(super) fn permille(thousandths: u64) -> f64 {
    thousandths as f64 / 1000.0
}
