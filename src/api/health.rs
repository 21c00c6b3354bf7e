//! `/healthz` and `/readyz`.

use axum::{http::StatusCode, response::Response};
use serde_json::json;

use super::{
    answer::{self, Answered},
    site::Site,
};
use crate::client::snapshot::ProblemCode;

/// The process answers.
pub(super) fn live() -> Response {
    answer::ok_text("ok\n")
}

/// What a client that cannot do its work says. The reasons are codes alone: everybody may
/// ask.
fn stops_work(code: ProblemCode) -> bool {
    matches!(
        code,
        ProblemCode::Disk
            | ProblemCode::NodeSilent
            | ProblemCode::PaymentsStopped
            | ProblemCode::ListNotKept
    )
}

/// 200 if the client can work, else 503; both with the reasons.
pub(super) fn ready(site: &Site) -> Answered {
    let snapshot = site.client.snapshot();
    let mut reasons: Vec<ProblemCode> = snapshot
        .problems
        .value
        .problems
        .iter()
        .map(|problem| problem.code)
        .filter(|code| stops_work(*code))
        .collect();
    reasons.sort_unstable();
    reasons.dedup();
    let status = match reasons.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    answer::json_with(
        status,
        &json!({ "ready": reasons.is_empty(), "reasons": reasons }),
    )
}
