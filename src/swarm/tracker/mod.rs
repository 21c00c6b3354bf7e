//! HTTP trackers: asking one (BEP 3, 7, 12, 23) and being one.

mod server;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

pub use server::{Server, ServerError, ServerOptions, ServerStats};

use super::{
    bencode::{self, BencodeError, Limits, Value},
    extended::{compact_v4, compact_v6},
    wire::PeerId,
};
use crate::types::InfoHash;

/// The most peers believed of one reply.
const MAX_PEERS: usize = 500;
/// How long a tracker may take to answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How often a tracker may be asked at most, whatever it says.
const MIN_INTERVAL: Duration = Duration::from_secs(5);
/// How seldom at least.
const MAX_INTERVAL: Duration = Duration::from_secs(3600);

/// Why a tracker did not help.
#[derive(Debug, thiserror::Error)]
pub enum TrackerError {
    /// Not a URL, or of a kind that is not supported.
    #[error("`{0}` is not an http or https tracker URL")]
    BadUrl(String),
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

/// What a tracker answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// When to ask again.
    pub interval: Duration,
    /// Peers, unchecked but for having a port.
    pub peers: Vec<SocketAddr>,
    /// Its warning, made printable.
    pub warning: Option<String>,
}

/// Asks trackers.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
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
            .redirect(reqwest::redirect::Policy::limited(5))
            .build()?;
        Ok(Self { http })
    }

    /// Announces to one tracker.
    ///
    /// # Errors
    /// See [`TrackerError`]; all of them are worth another try later but
    /// [`TrackerError::BadUrl`].
    pub async fn announce(&self, url: &str, announce: &Announce) -> Result<Reply, TrackerError> {
        let parsed = announce_url(url, announce)?;
        let unreachable = |source: reqwest::Error| TrackerError::Unreachable {
            url: url.to_owned(),
            source: source.without_url(),
        };
        let mut response = self.http.get(parsed).send().await.map_err(unreachable)?;
        if !response.status().is_success() {
            return Err(TrackerError::Status {
                url: url.to_owned(),
                status: response.status().as_u16(),
            });
        }
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(unreachable)? {
            if body.len() + part.len() > Limits::TRACKER.bytes {
                return Err(TrackerError::TooLong {
                    url: url.to_owned(),
                    limit: Limits::TRACKER.bytes,
                });
            }
            body.extend_from_slice(&part);
        }
        Reply::decode(&body).map_err(|fault| match fault {
            ReplyError::Nonsense(source) => TrackerError::Nonsense {
                url: url.to_owned(),
                source,
            },
            ReplyError::Refused(reason) => TrackerError::Refused {
                url: url.to_owned(),
                reason,
            },
        })
    }
}

fn announce_url(url: &str, announce: &Announce) -> Result<url::Url, TrackerError> {
    let bad = || TrackerError::BadUrl(url.chars().take(200).collect());
    let mut parsed = url::Url::parse(url).map_err(|_| bad())?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(bad());
    }
    parsed.set_fragment(None);
    let mut query = parsed.query().map(|q| format!("{q}&")).unwrap_or_default();
    query.push_str(&format!(
        "info_hash={}&peer_id={}&port={}&uploaded={}&downloaded={}&left={}&compact=1&numwant={}&key={:08x}",
        escape(announce.info_hash.as_bytes()),
        escape(&announce.peer_id),
        announce.port,
        announce.uploaded,
        announce.downloaded,
        announce.left,
        announce.wanted,
        announce.key,
    ));
    match announce.event {
        AnnounceEvent::None => {}
        AnnounceEvent::Started => query.push_str("&event=started"),
        AnnounceEvent::Completed => query.push_str("&event=completed"),
        AnnounceEvent::Stopped => query.push_str("&event=stopped"),
    }
    parsed.set_query(Some(&query));
    Ok(parsed)
}

fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 3);
    for byte in bytes {
        match char::from(*byte) {
            plain if plain.is_ascii_alphanumeric() => out.push(plain),
            plain @ ('-' | '_' | '.' | '~') => out.push(plain),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Why a tracker's answer is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// Not bencoded within the bounds of a tracker's reply.
    #[error(transparent)]
    Nonsense(#[from] BencodeError),
    /// Its refusal, made printable.
    #[error("{0}")]
    Refused(String),
}

impl Reply {
    /// Reads the body of an answer to an announce (BEP 3, 7, 23).
    ///
    /// # Errors
    /// See [`ReplyError`].
    pub fn decode(body: &[u8]) -> Result<Self, ReplyError> {
        let value = bencode::decode(body, Limits::TRACKER)?;
        let words = |key: &str| {
            let text = value.get(key).and_then(Value::as_bytes)?;
            let text = String::from_utf8_lossy(text);
            Some(text.chars().filter(|c| !c.is_control()).take(200).collect())
        };
        if let Some(reason) = words("failure reason") {
            return Err(ReplyError::Refused(reason));
        }
        let mut peers = match value.get("peers") {
            Some(Value::Bytes(bytes)) => compact_v4(bytes),
            Some(Value::List(list)) => list.iter().filter_map(dict_peer).collect(),
            _ => Vec::new(),
        };
        if let Some(bytes) = value.get("peers6").and_then(Value::as_bytes) {
            peers.extend(compact_v6(bytes));
        }
        peers.truncate(MAX_PEERS);
        let interval = value.get("interval").and_then(Value::as_u64);
        let interval = Duration::from_secs(interval.unwrap_or(1800));
        Ok(Reply {
            interval: interval.clamp(MIN_INTERVAL, MAX_INTERVAL),
            peers,
            warning: words("warning message"),
        })
    }
}

fn dict_peer(value: &Value) -> Option<SocketAddr> {
    let ip: IpAddr = value.get("ip")?.as_str()?.parse().ok()?;
    let port = u16::try_from(value.get("port")?.as_int()?).ok()?;
    (port != 0).then_some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn announce() -> Announce {
        Announce {
            info_hash: InfoHash::from_bytes([0xab; 20]),
            peer_id: *b"-SR0100-abcdefghijkl",
            port: 6881,
            uploaded: 1,
            downloaded: 2,
            left: 3,
            event: AnnounceEvent::Started,
            wanted: 50,
            key: 7,
        }
    }

    #[test]
    fn the_query_keeps_what_the_url_had() {
        let url = announce_url("http://t.example/a?pass=x#y", &announce()).unwrap();
        let text = url.as_str();
        assert!(text.starts_with("http://t.example/a?pass=x&info_hash=%AB%AB"));
        assert!(text.contains("&peer_id=-SR0100-abcdefghijkl&port=6881&"));
        assert!(text.ends_with("&event=started"));
        assert!(announce_url("udp://t.example:80", &announce()).is_err());
        assert!(announce_url("nonsense", &announce()).is_err());
    }

    #[test]
    fn both_forms_of_peers_are_read() {
        let compact = b"d8:intervali60e5:peers12:\x7f\0\0\x01\x1a\xe1\x01\x02\x03\x04\0\0e";
        let reply = Reply::decode(compact).ok().unwrap();
        assert_eq!(reply.interval, Duration::from_secs(60));
        assert_eq!(reply.peers, ["127.0.0.1:6881".parse().unwrap()]);
        let dict = b"d8:intervali0e5:peersld2:ip3:::14:porti80eed2:ip1:x4:porti80eeee";
        let reply = Reply::decode(dict).ok().unwrap();
        assert_eq!(reply.interval, MIN_INTERVAL);
        assert_eq!(reply.peers, ["[::1]:80".parse().unwrap()]);
    }

    #[test]
    fn a_refusal_is_told_in_the_trackers_words() {
        let body = b"d14:failure reason9:not here\ne";
        assert!(matches!(Reply::decode(body), Err(ReplyError::Refused(why)) if why == "not here"));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Reply::decode(&bytes);
        }
    }
}
