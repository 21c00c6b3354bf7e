//! What all requests share.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};

use tokio::sync::{Semaphore, watch};
use zeroize::Zeroizing;

use super::{
    ApiConfig, ApiError, bans::Bans, config::Network, line::Times, log::Log, origin::Names,
    password::Password, request::LARGE_BODIES, sessions::Sessions, tokens::Tokens,
    transmission::ids::Ids,
};
use crate::client::{Client, snapshot::Revision};

/// Streams of events at once.
pub(super) const MAX_STREAMS: usize = 32;

/// The largest number that counting for qBittorrent's clients begins with: it stays below
/// 2^31 for years.
const MAX_FIRST_RID: u32 = (1 << 29) - 1;

/// What all requests share.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) client: Client,
    pub(super) names: Names,
    pub(super) prefix: String,
    pub(super) proxies: Vec<Network>,
    pub(super) password: Password,
    pub(super) tokens: Tokens,
    pub(super) sessions: Sessions,
    pub(super) bans: Bans,
    /// The name of the page's cookie. Cookies know no ports: each server has its own.
    pub(super) cookie: String,
    pub(super) large_bodies: Semaphore,
    pub(super) streams: Arc<Semaphore>,
    /// Becomes true when the server ends: streams end with it.
    pub(super) ends: watch::Receiver<bool>,
    pub(super) started: Instant,
    pub(super) log: Log,
    /// The client's revision when the server was started, and the number that qBittorrent's
    /// clients are told for it.
    pub(super) first_revision: Revision,
    pub(super) first_rid: u32,
    /// What Transmission's clients repeat with each request, against cross-site requests.
    pub(super) transmission_id: Zeroizing<String>,
    pub(super) ids: Ids,
    /// Whether torrents that Transmission's clients add begin at once, if they do not say so:
    /// until the server ends.
    pub(super) starts_added: AtomicBool,
    pub(super) times: Times,
}

impl Site {
    /// Also the text of the first token, if it was made just now.
    pub(super) fn new(
        config: &ApiConfig,
        client: Client,
        listen: Option<SocketAddr>,
        ends: watch::Receiver<bool>,
        times: Times,
    ) -> Result<(Self, Option<Zeroizing<String>>), ApiError> {
        let (tokens, first) = Tokens::open(&config.tokens_file)?;
        let first_revision = client.snapshot().revision;
        let mut random = [0; 4];
        getrandom::fill(&mut random)
            .map_err(|error| ApiError::Random(std::io::Error::other(error.to_string())))?;
        let site = Self {
            client,
            names: Names(config.hosts.clone()),
            prefix: config.prefix.clone(),
            proxies: config.trusted_proxies.clone(),
            password: Password::read(config.password_file.as_deref())?,
            tokens,
            sessions: Sessions::default(),
            bans: Bans::default(),
            cookie: format!("seedrail_{}", listen.map_or(0, |listen| listen.port())),
            large_bodies: Semaphore::new(LARGE_BODIES),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            ends,
            started: Instant::now(),
            log: Log::default(),
            first_revision,
            first_rid: u32::from_be_bytes(random) & MAX_FIRST_RID,
            times,
            ids: Ids::default(),
            starts_added: AtomicBool::new(true),
            transmission_id: super::secret::random().map_err(ApiError::Random)?,
        };
        Ok((site, first))
    }
}
