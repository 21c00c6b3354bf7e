//! A node in front of a real one, that says something else where the test says so.

use serde_json::Value;

use super::http_server::{Reply, Server};

/// What becomes of a question.
pub(crate) enum Lie {
    /// The real node's answer.
    None,
    /// This answer; the real node is not asked.
    Instead(Reply),
    /// What this makes of the real node's answer.
    Of(Box<dyn FnOnce(Value) -> Value + Send>),
}

impl Lie {
    pub(crate) fn of(change: impl FnOnce(Value) -> Value + Send + 'static) -> Self {
        Self::Of(Box::new(change))
    }

    pub(crate) fn json(answer: Value) -> Self {
        Self::Instead(Reply::Json(answer))
    }
}

/// Starts one; `lie` is given each question's path and body.
pub(crate) async fn start(
    real: std::net::SocketAddr,
    lie: impl Fn(&str, &Value) -> Lie + Send + Sync + 'static,
) -> Server {
    Server::start(move |path, body| {
        let change: Box<dyn FnOnce(Value) -> Value + Send> = match lie(path, body) {
            Lie::None => Box::new(|answer| answer),
            Lie::Instead(reply) => return reply,
            Lie::Of(change) => change,
        };
        Reply::Asked {
            node: real,
            path: path.to_owned(),
            body: body.clone(),
            change,
        }
    })
    .await
}
