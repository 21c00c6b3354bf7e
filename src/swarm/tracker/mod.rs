//! Trackers: asking one, by HTTP (BEP 3, 7, 12, 23, 48) or UDP (BEP 15, 41), and
//! being one.

mod http;
mod reply;
mod server;
pub mod udp;

use std::{
    io,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

pub use reply::{Reply, ReplyError, Retry, Scraped};
pub use server::{Server, ServerError, ServerOptions, ServerStats};

pub use super::fetch::FetchError;
use super::{
    bencode::{BencodeError, Limits},
    fetch::{self, Http, Reach},
    proxy::Proxy,
    wire::PeerId,
};
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
    /// It is asked over UDP, which does not go through the proxy.
    #[error("tracker {url} is not asked: UDP does not go through the proxy")]
    NotThroughProxy {
        /// Which.
        url: String,
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
        source: FetchError,
    },
    /// It does not answer within 15 s.
    #[error("tracker {url} does not answer within {} s", TIMEOUT.as_secs())]
    Slow {
        /// Which.
        url: String,
    },
    /// An HTTP answer that cannot be used.
    #[error("tracker {url} cannot be used: {source}")]
    Fetch {
        /// Which.
        url: String,
        /// Why.
        source: FetchError,
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
        /// When it may be asked again, if it says so (BEP 31).
        retry: Option<Retry>,
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

/// A tracker as a torrent knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tracker {
    pub(super) url: String,
    /// What it wants to be told with the next announce (BEP 3's `tracker id`).
    pub(super) id: Option<Vec<u8>>,
    /// The user named it: it may be any host and path.
    pub(super) named: bool,
}

/// Asks trackers.
#[derive(Debug, Clone)]
pub struct Client {
    http: Http,
    /// The address that everything is sent from.
    source: IpAddr,
}

impl Client {
    /// A client that sends from any address of this machine.
    ///
    /// # Errors
    /// The HTTP library cannot be set up.
    pub fn new() -> Result<Self, reqwest::Error> {
        // For UDP, this one reaches IPv4 trackers, too.
        Self::bound_to(Ipv6Addr::UNSPECIFIED.into())
    }

    /// A client that sends from this address: the one that peers are to be told of.
    /// From an IPv4 address IPv6 trackers are not asked, nor the other way round; an
    /// unspecified one reaches both kinds.
    ///
    /// # Errors
    /// The HTTP library cannot be set up.
    pub fn bound_to(source: IpAddr) -> Result<Self, reqwest::Error> {
        Self::through(source, None)
    }

    /// The same through a proxy, if there is one: UDP trackers are not asked then, and names
    /// are not looked up here.
    pub(super) fn through(source: IpAddr, proxy: Option<&Proxy>) -> Result<Self, reqwest::Error> {
        let http = Http::new(source, proxy)?;
        Ok(Self { http, source })
    }

    fn may_send_udp(&self, url: &str) -> Result<(), TrackerError> {
        match self.http.is_proxied() {
            true => Err(TrackerError::NotThroughProxy {
                url: url.to_owned(),
            }),
            false => Ok(()),
        }
    }

    /// Announces to one tracker that the user named.
    ///
    /// # Errors
    /// See [`TrackerError`]; all of them are worth another try later but
    /// [`TrackerError::BadUrl`].
    pub async fn announce(&self, url: &str, announce: &Announce) -> Result<Reply, TrackerError> {
        let tracker = Tracker {
            url: url.to_owned(),
            id: None,
            named: true,
        };
        self.ask(&tracker, announce).await
    }

    /// Announces to one tracker.
    pub(super) async fn ask(
        &self,
        tracker: &Tracker,
        announce: &Announce,
    ) -> Result<Reply, TrackerError> {
        let url = tracker.url.as_str();
        let parsed = parse(url)?;
        if parsed.scheme() == "udp" {
            self.may_send_udp(url)?;
            return udp::announce(&parsed, self.source, announce).await;
        }
        let asked = http::announce_url(parsed, announce, tracker.id.as_deref());
        let may = |url: &url::Url| match tracker.named {
            true => Reach::Anywhere,
            false => http::reach(url),
        };
        let answer = self.fetch(url, asked, may).await?;
        let reply = Reply::decode(&answer.body);
        match (reply, answer.status) {
            (Ok(mut reply), 200..=299) => {
                match self.http.is_proxied() {
                    true => reply.keep_namable_through_proxy(answer.from),
                    false => reply.keep_namable(answer.from),
                }
                Ok(reply)
            }
            (Err(fault @ ReplyError::Refused { .. }), _) | (Err(fault), 200..=299) => {
                Err(fault.of(url))
            }
            (_, status) => Err(TrackerError::Fetch {
                url: url.to_owned(),
                source: FetchError::Status(status),
            }),
        }
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
            self.may_send_udp(url)?;
            return udp::scrape(&parsed, self.source, hashes).await;
        }
        let asked = http::scrape_url(parsed, hashes).ok_or_else(|| bad_url(url))?;
        let answer = self.fetch(url, asked, http::reach).await?;
        match (Scraped::decode(&answer.body, hashes), answer.status) {
            (Ok(found), 200..=299) => Ok(found),
            (Err(fault @ ReplyError::Refused { .. }), _) | (Err(fault), 200..=299) => {
                Err(fault.of(url))
            }
            (_, status) => Err(TrackerError::Fetch {
                url: url.to_owned(),
                source: FetchError::Status(status),
            }),
        }
    }
}

/// The body of an HTTP answer, whatever its status.
struct Answer {
    status: u16,
    body: Vec<u8>,
    /// Who sent it.
    from: Option<IpAddr>,
}

impl Client {
    async fn fetch(
        &self,
        url: &str,
        asked: url::Url,
        may: impl Fn(&url::Url) -> Reach,
    ) -> Result<Answer, TrackerError> {
        let fetching = async {
            let headers = reqwest::header::HeaderMap::new();
            let response = self.http.get(asked, &headers, may).await?;
            let status = response.status().as_u16();
            let from = self.http.sender(&response);
            let body = fetch::body(response, Limits::TRACKER.bytes).await?;
            Ok(Answer { status, body, from })
        };
        let url = url.to_owned();
        match tokio::time::timeout(TIMEOUT, fetching).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(source @ FetchError::Http(_))) => Err(TrackerError::Unreachable { url, source }),
            Ok(Err(source)) => Err(TrackerError::Fetch { url, source }),
            Err(_) => Err(TrackerError::Slow { url }),
        }
    }
}

fn bad_url(url: &str) -> TrackerError {
    TrackerError::BadUrl(url.chars().take(200).collect())
}

fn parse(url: &str) -> Result<url::Url, TrackerError> {
    let parsed = url::Url::parse(url.trim()).map_err(|_| bad_url(url))?;
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
