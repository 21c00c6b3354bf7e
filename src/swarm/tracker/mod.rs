//! Trackers: asking one, by HTTP (BEP 3, 7, 12, 23, 48) or UDP (BEP 15, 41), and
//! being one.

mod http;
mod reply;
mod server;
pub mod udp;

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

pub use reply::{Reply, ReplyError, Scraped};
pub use server::{Server, ServerError, ServerOptions, ServerStats};

use super::{bencode::BencodeError, wire::PeerId};
use crate::types::InfoHash;

/// How long a tracker may take to answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Torrents asked about in one scrape: what BEP 15 lets fit into a packet.
pub const MAX_SCRAPE: usize = 74;

/// Why a tracker did not help.
#[derive(Debug, thiserror::Error)]
pub enum TrackerError {
    /// Not a URL, or of a kind that is not supported.
    #[error("`{0}` is not an http, https or udp tracker URL")]
    BadUrl(String),
    /// The system would not send to it, or says that nobody is there.
    #[error("cannot reach tracker {url}: {source}")]
    Io {
        /// Which.
        url: String,
        /// Why.
        source: io::Error,
    },
    /// No answer over UDP, although it was asked several times.
    #[error("tracker {url} does not answer")]
    Silent {
        /// Which.
        url: String,
    },
    /// No connection, or it broke.
    #[error("cannot reach tracker {url}: {source}")]
    Unreachable {
        /// Which.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// An HTTP status that is no answer.
    #[error("tracker {url} answered with status {status}")]
    Status {
        /// Which.
        url: String,
        /// The status.
        status: u16,
    },
    /// The reply is longer than any sensible one.
    #[error("tracker {url} sent more than {limit} bytes")]
    TooLong {
        /// Which.
        url: String,
        /// What is accepted.
        limit: usize,
    },
    /// The reply is not bencoded.
    #[error("tracker {url} sent nonsense: {source}")]
    Nonsense {
        /// Which.
        url: String,
        /// Why.
        source: BencodeError,
    },
    /// It says why it will not.
    #[error("tracker {url} refused: {reason}")]
    Refused {
        /// Which.
        url: String,
        /// Its words, made printable.
        reason: String,
    },
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnnounceEvent {
    /// A regular announce.
    None,
    /// The first one.
    Started,
    /// The download is complete.
    Completed,
    /// The last one.
    Stopped,
}

/// What is told to a tracker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announce {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Who we are.
    pub peer_id: PeerId,
    /// Where we listen.
    pub port: u16,
    /// Bytes sent since `started`.
    pub uploaded: u64,
    /// Bytes received since `started`.
    pub downloaded: u64,
    /// Bytes still missing.
    pub left: u64,
    /// What happened.
    pub event: AnnounceEvent,
    /// How many peers are wanted.
    pub wanted: u32,
    /// Tells the tracker that two addresses are one peer.
    pub key: u32,
}

/// Asks trackers.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    /// Where UDP is sent from.
    source: IpAddr,
}

impl Client {
    /// A client that names this program.
    ///
    /// # Errors
    /// The HTTP library cannot be set up.
    pub fn new() -> Result<Self, reqwest::Error> {
        // Whoever installed one before is as good.
        let _already = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .user_agent(concat!("Seedrail/", env!("CARGO_PKG_VERSION")))
            .timeout(TIMEOUT)
            // Announces are far apart, and opentracker resets what it kept open.
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::limited(5))
            .build()?;
        Ok(Self {
            http,
            source: Ipv4Addr::UNSPECIFIED.into(),
        })
    }

    /// Sends UDP from this address: the one that peers are to be told of. IPv6
    /// trackers are asked only from an IPv6 address; an unspecified one reaches
    /// both kinds.
    #[must_use]
    pub fn from(mut self, source: IpAddr) -> Self {
        self.source = source;
        self
    }

    /// Announces to one tracker.
    ///
    /// # Errors
    /// See [`TrackerError`]; all of them are worth another try later but
    /// [`TrackerError::BadUrl`].
    pub async fn announce(&self, url: &str, announce: &Announce) -> Result<Reply, TrackerError> {
        let parsed = parse(url)?;
        if parsed.scheme() == "udp" {
            return udp::announce(&parsed, self.source, announce).await;
        }
        let asked = http::announce_url(parsed, announce);
        let body = self.fetch(url, asked).await?;
        Reply::decode(&body).map_err(|fault| fault.of(url))
    }

    /// Asks a tracker how many peers some torrents have: an answer for each of
    /// `hashes`, at most [`MAX_SCRAPE`]; `None` for those that it does not know.
    ///
    /// # Errors
    /// See [`TrackerError`]; [`TrackerError::BadUrl`] also for a tracker whose URL
    /// has no place for scrapes.
    pub async fn scrape(
        &self,
        url: &str,
        hashes: &[InfoHash],
    ) -> Result<Vec<Option<Scraped>>, TrackerError> {
        let hashes = hashes.get(..MAX_SCRAPE).unwrap_or(hashes);
        let parsed = parse(url)?;
        if parsed.scheme() == "udp" {
            return udp::scrape(&parsed, self.source, hashes).await;
        }
        let asked = http::scrape_url(parsed, hashes).ok_or_else(|| bad_url(url))?;
        let body = self.fetch(url, asked).await?;
        Scraped::decode(&body, hashes).map_err(|fault| fault.of(url))
    }
}

fn bad_url(url: &str) -> TrackerError {
    TrackerError::BadUrl(url.chars().take(200).collect())
}

fn parse(url: &str) -> Result<url::Url, TrackerError> {
    let parsed = url::Url::parse(url).map_err(|_| bad_url(url))?;
    let usable = match parsed.scheme() {
        "http" | "https" => true,
        "udp" => parsed.host().is_some() && parsed.port().is_some(),
        _ => false,
    };
    if usable {
        Ok(parsed)
    } else {
        Err(bad_url(url))
    }
}
