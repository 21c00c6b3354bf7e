//! One endpoint: a POST with JSON, an answer bounded in size and time.

use std::{sync::Once, time::Duration};

use reqwest::{Client, StatusCode, header, redirect};
use serde_json::Value;
use url::Url;

use super::{NodeConfig, NodeConfigError, NodeError, clip};

/// The largest answer read: 50 full blocks (2 MB each at most, as JSON about
/// twice that) never come near it in practice.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

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
        .timeout(config.timeout)
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
}

impl Endpoint {
    pub(super) fn new(client: Client, url: &str) -> Result<Self, NodeConfigError> {
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
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.shown
    }

    /// Posts `body` and reads JSON back.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, NodeError> {
        let url = self
            .base
            .join(path)
            .map_err(|error| NodeError::unknown(&self.shown, error))?;
        let mut response = self
            .client
            .post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.to_string())
            .send()
            .await
            .map_err(|error| self.transport(&error))?;
        let status = response.status();
        let after = retry_after(&response);
        let mut bytes = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.transport(&error))?
        {
            if bytes.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(NodeError::unknown(
                    &self.shown,
                    format!("its answer is larger than {MAX_ANSWER_BYTES} bytes"),
                ));
            }
            bytes.extend_from_slice(&chunk);
        }
        match status {
            StatusCode::OK => {}
            // Refused before it was looked at.
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::FORBIDDEN
            | StatusCode::SERVICE_UNAVAILABLE => {
                return Err(NodeError::Retry {
                    url: self.shown.clone(),
                    reason: format!("it is busy or has limited us (HTTP {status})"),
                    after,
                });
            }
            _ => {
                return Err(NodeError::unknown(
                    &self.shown,
                    format!("it answered HTTP {status}"),
                ));
            }
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

/// The cause at the bottom: reqwest's own text only repeats the URL.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    clip(&cause.to_string())
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
