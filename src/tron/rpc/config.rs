//! Which nodes are asked, and how patiently.

use std::time::Duration;

/// Where the nodes are and how patient to be.
#[derive(Clone)]
pub struct NodeConfig {
    /// Full nodes, in order of preference; `/wallet/…` is asked there.
    pub urls: Vec<String>,
    /// Where `/walletsolidity/…` is asked; the full nodes themselves if empty.
    pub solidity_urls: Vec<String>,
    /// Sent as `TRON-PRO-API-KEY`.
    pub api_key: Option<String>,
    /// To establish one connection.
    pub connect_timeout: Duration,
    /// For a whole answer, however many nodes it takes to get one.
    pub timeout: Duration,
    /// The most requests that each endpoint is sent; no limit if none is given.
    pub quota: Option<Quota>,
}

/// How many requests an endpoint is sent in a time: so many at once, then one
/// whenever its share of the time has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    requests: u32,
    per: Duration,
}

impl Quota {
    /// So many requests in so long; `None` when either is zero.
    pub const fn new(requests: u32, per: Duration) -> Option<Self> {
        if requests == 0 || per.is_zero() {
            None
        } else {
            Some(Self { requests, per })
        }
    }

    /// What one request takes of the time.
    pub(super) fn share(&self) -> Duration {
        self.per / self.requests
    }

    /// How far ahead of its shares a client may be.
    pub(super) fn burst(&self) -> Duration {
        self.per - self.share()
    }
}

impl NodeConfig {
    /// One node for everything, with the patience the command line promises:
    /// 4 s to connect, 15 s to answer.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            urls: vec![url.into()],
            solidity_urls: Vec::new(),
            api_key: None,
            connect_timeout: Duration::from_secs(4),
            timeout: Duration::from_secs(15),
            quota: None,
        }
    }
}

/// The key stays out of logs.
impl std::fmt::Debug for NodeConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeConfig")
            .field("urls", &self.urls)
            .field("solidity_urls", &self.solidity_urls)
            .field("api_key", &self.api_key.as_ref().map(|_| "…"))
            .finish_non_exhaustive()
    }
}

/// A configuration that makes no client.
#[derive(Debug, thiserror::Error)]
pub enum NodeConfigError {
    /// No node at all.
    #[error("no node URL was given")]
    NoUrl,
    /// Not an http or https URL.
    #[error("`{0}` is not an http:// or https:// URL")]
    Url(String),
    /// A secret in the URL.
    #[error("a URL with a user name or password is refused: give API keys by --api-key-file")]
    Secret,
    /// The HTTP library refused its settings.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
}
