//! One endpoint: a POST with JSON, an answer bounded in size and time.

use std::{
    sync::{Arc, Mutex, MutexGuard, Once, PoisonError},
    time::Duration,
};

use reqwest::{Client, StatusCode, header, redirect};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::{NodeConfig, NodeConfigError, NodeError, Quota, clip};
use crate::types::{BlockId, root_cause};

/// The largest answer with blocks in it: 16 full ones (2 MB each at most, as JSON
/// about twice that). A longer list of full blocks is asked for in parts.
pub(super) const MAX_BLOCKS_BYTES: usize = 64 * 1024 * 1024;
/// The largest other answer: an account with ten thousand tokens takes one
/// megabyte, a transaction of 500 KiB three.
pub(super) const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;
/// An endpoint that failed is asked after the others for this long, doubled with
/// each failure on end up to [`MAX_REST`].
const FIRST_REST: Duration = Duration::from_secs(2);
/// See [`FIRST_REST`].
const MAX_REST: Duration = Duration::from_secs(60);
/// A node that limits us without saying for how long is left alone for this.
const LIMITED_REST: Duration = Duration::from_secs(2);

/// The client shared by every endpoint: no redirects, no proxies, TLS by rustls.
pub(super) fn client(config: &NodeConfig) -> Result<Client, NodeConfigError> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Fails only where the program has installed one of its own: use that.
        if rustls::crypto::ring::default_provider()
            .install_default()
            .is_err()
        {
            tracing::debug!("a TLS provider was installed before");
        }
    });
    let mut headers = header::HeaderMap::new();
    if let Some(key) = &config.api_key {
        let mut value = header::HeaderValue::from_str(key.trim())
            .map_err(|_| NodeConfigError::Client("the API key is not plain text".into()))?;
        value.set_sensitive(true);
        headers.insert("TRON-PRO-API-KEY", value);
    }
    Client::builder()
        .user_agent(concat!("seedrail/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .connect_timeout(config.connect_timeout)
        .build()
        .map_err(|error| NodeConfigError::Client(error.to_string()))
}

#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    client: Client,
    /// Ends with a slash.
    base: Url,
    /// As shown to people: without the trailing slash.
    shown: String,
    quota: Option<Quota>,
    /// Shared by the clones.
    health: Arc<Mutex<Health>>,
}

/// What an endpoint's answers so far say of it.
#[derive(Debug, Default)]
struct Health {
    /// It said to come back then: not asked before.
    limited_until: Option<Instant>,
    /// It failed: asked after the others until then.
    failing_until: Option<Instant>,
    /// Failures on end.
    failures: u32,
    /// Its block 0, once it named one.
    genesis: Option<BlockId>,
    /// When the shares of all requests so far will have passed.
    used_until: Option<Instant>,
}

impl Endpoint {
    pub(super) fn new(
        client: Client,
        url: &str,
        quota: Option<Quota>,
    ) -> Result<Self, NodeConfigError> {
        let bad = || NodeConfigError::Url(url.chars().take(120).collect());
        let mut base = Url::parse(url).map_err(|_| bad())?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(bad());
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(NodeConfigError::Secret);
        }
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        let shown = base.as_str().trim_end_matches('/').to_owned();
        Ok(Self {
            client,
            base,
            shown,
            quota,
            health: Arc::default(),
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.shown
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        // Plain data: whatever a panicking thread left there is still true.
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until when it must be left alone, if it said so.
    pub(super) fn limited_until(&self) -> Option<Instant> {
        let until = self.health().limited_until;
        until.filter(|until| *until > Instant::now())
    }

    /// Takes a turn of the quota: when the request may be sent, by `deadline` at
    /// the latest; `None`: now.
    ///
    /// # Errors
    /// `Retry`: only later than that; no turn was taken.
    pub(super) fn turn(&self, deadline: Instant) -> Result<Option<Instant>, NodeError> {
        let Some(quota) = self.quota else {
            return Ok(None);
        };
        let now = Instant::now();
        let mut health = self.health();
        let used = health.used_until.unwrap_or(now).max(now);
        let turn = now.max(used.checked_sub(quota.burst()).unwrap_or(now));
        if turn > deadline {
            return Err(NodeError::Retry {
                url: self.shown.clone(),
                reason: "its quota of requests is used up for now".to_owned(),
                after: Some(turn.saturating_duration_since(now)),
            });
        }
        health.used_until = Some(used + quota.share());
        Ok((turn > now).then_some(turn))
    }

    /// Whether it failed lately.
    pub(super) fn failing(&self) -> bool {
        let until = self.health().failing_until;
        until.is_some_and(|until| until > Instant::now())
    }

    /// The id of its block 0, once it was asked.
    pub(super) fn genesis(&self) -> Option<BlockId> {
        self.health().genesis
    }

    pub(super) fn set_genesis(&self, genesis: BlockId) {
        self.health().genesis = Some(genesis);
    }

    fn note<T>(&self, answer: &Result<T, NodeError>) {
        let now = Instant::now();
        let mut health = self.health();
        match answer {
            Ok(_) | Err(NodeError::Refused { .. }) => {
                health.failures = 0;
                health.failing_until = None;
            }
            Err(NodeError::Retry {
                after: Some(after), ..
            }) => health.limited_until = Some(now + *after),
            Err(_) => {
                let rest = FIRST_REST * 2u32.saturating_pow(health.failures.min(5));
                health.failures = health.failures.saturating_add(1);
                health.failing_until = Some(now + rest.min(MAX_REST));
            }
        }
    }

    /// An answer that could not be believed counts as a failure of its node.
    pub(super) fn distrust<T>(&self, read: Result<T, NodeError>) -> Result<T, NodeError> {
        if read.is_err() {
            self.note(&read);
        }
        read
    }

    /// Posts `body` and reads at most `limit` bytes of JSON back, all within
    /// `patience`.
    pub(super) async fn post(
        &self,
        path: &str,
        body: &Value,
        limit: usize,
        patience: Duration,
    ) -> Result<Value, NodeError> {
        let answer = self.exchange(path, body, limit, patience).await;
        self.note(&answer);
        answer
    }

    async fn exchange(
        &self,
        path: &str,
        body: &Value,
        limit: usize,
        patience: Duration,
    ) -> Result<Value, NodeError> {
        let url = self
            .base
            .join(path)
            .map_err(|error| NodeError::unknown(&self.shown, error))?;
        let mut response = self
            .client
            .post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.to_string())
            .timeout(patience)
            .send()
            .await
            .map_err(|error| self.transport(&error))?;
        match response.status() {
            StatusCode::OK => {}
            // Refused before it was looked at.
            status @ (StatusCode::TOO_MANY_REQUESTS
            | StatusCode::FORBIDDEN
            | StatusCode::SERVICE_UNAVAILABLE) => {
                return Err(NodeError::Retry {
                    url: self.shown.clone(),
                    reason: format!("it is busy or has limited us (HTTP {status})"),
                    after: Some(retry_after(&response).unwrap_or(LIMITED_REST)),
                });
            }
            status => {
                let elsewhere = response.headers().get(header::LOCATION);
                let elsewhere = elsewhere.and_then(|location| location.to_str().ok());
                let reason = match elsewhere.filter(|_| status.is_redirection()) {
                    Some(location) => format!(
                        "it answered HTTP {status} and sends us to {}, which is not followed",
                        clip(location)
                    ),
                    None => format!("it answered HTTP {status}"),
                };
                return Err(NodeError::unknown(&self.shown, reason));
            }
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.transport(&error))?
        {
            if bytes.len() + chunk.len() > limit {
                return Err(NodeError::TooLarge {
                    url: self.shown.clone(),
                    limit,
                });
            }
            bytes.extend_from_slice(&chunk);
        }
        let answer: Value = serde_json::from_slice(&bytes).map_err(|error| {
            NodeError::unknown(&self.shown, format!("its answer is not JSON: {error}"))
        })?;
        if let Some(error) = answer.get("Error") {
            let error = error
                .as_str()
                .map_or_else(|| error.to_string(), str::to_owned);
            return Err(NodeError::unknown(
                &self.shown,
                format!("it failed: {}", clip(&error)),
            ));
        }
        Ok(answer)
    }

    fn transport(&self, error: &reqwest::Error) -> NodeError {
        let reason = if error.is_connect() {
            format!("cannot connect: {}", innermost(error))
        } else if error.is_timeout() {
            "it did not answer in time".to_owned()
        } else {
            format!("the connection failed: {}", innermost(error))
        };
        if error.is_connect() {
            NodeError::Retry {
                url: self.shown.clone(),
                reason,
                after: None,
            }
        } else {
            NodeError::unknown(&self.shown, reason)
        }
    }
}

/// Reqwest's own text only repeats the URL.
fn innermost(error: &reqwest::Error) -> String {
    clip(&root_cause(error).to_string())
}

fn retry_after(response: &reqwest::Response) -> Option<Duration> {
    let seconds: u64 = response
        .headers()
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    // A node that asks for more than a minute is asked again after one.
    Some(Duration::from_secs(seconds.min(60)))
}
