//! Answers that only the caller knows how to read.

use serde_json::Value;

use super::{Node, NodeError, http::MAX_ANSWER_BYTES};

impl Node {
    /// What the full node answers to `body` at `path`, such as `wallet/getcontractinfo`:
    /// what `read` makes of it, or why `read` does not believe it.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub(crate) async fn answer<T>(
        &self,
        path: &str,
        body: &Value,
        read: impl Fn(&Value) -> Result<T, String>,
    ) -> Result<T, NodeError> {
        let read =
            |url: &str, answer: &Value| read(answer).map_err(|why| NodeError::unknown(url, why));
        self.full.ask(path, body, MAX_ANSWER_BYTES, read).await
    }
}
