//! What an HTTP tracker answers: hostile bytes, read within bounds.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::TrackerError;
use crate::{
    swarm::{
        bencode::{self, BencodeError, Limits, Value},
        extended::{compact_v4, compact_v6},
    },
    types::InfoHash,
};

/// The most peers believed of one reply.
pub(super) const MAX_PEERS: usize = 500;
/// How often a tracker may be asked at most, whatever it says.
const MIN_INTERVAL: Duration = Duration::from_secs(5);
/// How seldom at least.
const MAX_INTERVAL: Duration = Duration::from_secs(3600);

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

/// A torrent's peers as a tracker counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scraped {
    /// Peers that have everything.
    pub seeders: u32,
    /// Peers that have not.
    pub leechers: u32,
    /// Downloads that were completed, ever.
    pub completed: u32,
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
        let words = |key: &str| value.get(key).and_then(Value::as_bytes).map(printable);
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
        Ok(Reply {
            interval: bounded(interval.unwrap_or(1800)),
            peers,
            warning: words("warning message"),
        })
    }
}

impl ReplyError {
    pub(super) fn of(self, url: &str) -> TrackerError {
        let url = url.to_owned();
        match self {
            Self::Nonsense(source) => TrackerError::Nonsense { url, source },
            Self::Refused(reason) => TrackerError::Refused { url, reason },
        }
    }
}

impl Scraped {
    /// Reads the body of an answer to a scrape of `hashes` (BEP 48).
    ///
    /// # Errors
    /// See [`ReplyError`].
    pub fn decode(body: &[u8], hashes: &[InfoHash]) -> Result<Vec<Option<Self>>, ReplyError> {
        let value = bencode::decode(body, Limits::TRACKER)?;
        let refused = value.get("failure reason").and_then(Value::as_bytes);
        if let Some(reason) = refused {
            return Err(ReplyError::Refused(printable(reason)));
        }
        let files = value.get("files").and_then(Value::as_dict);
        let one = |hash: &InfoHash| {
            let file = files?.get(hash.as_bytes().as_slice())?;
            let count = |key| {
                let count = file.get(key).and_then(Value::as_u64).unwrap_or(0);
                u32::try_from(count).unwrap_or(u32::MAX)
            };
            Some(Self {
                seeders: count("complete"),
                leechers: count("incomplete"),
                completed: count("downloaded"),
            })
        };
        Ok(hashes.iter().map(one).collect())
    }
}

/// When to ask again, within bounds.
pub(super) fn bounded(seconds: u64) -> Duration {
    Duration::from_secs(seconds).clamp(MIN_INTERVAL, MAX_INTERVAL)
}

/// A tracker's words on one short line.
pub(super) fn printable(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.chars().filter(|c| !c.is_control()).take(200).collect()
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

    #[test]
    fn a_scrape_answers_in_the_order_it_was_asked() {
        let known = InfoHash::from_bytes([b'a'; 20]);
        let other = InfoHash::from_bytes([b'b'; 20]);
        let body =
            b"d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei2e10:downloadedi9e10:incompletei-1eeee";
        let counted = Scraped {
            seeders: 2,
            leechers: 0,
            completed: 9,
        };
        assert_eq!(
            Scraped::decode(body, &[other, known]),
            Ok(vec![None, Some(counted)])
        );
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Reply::decode(&bytes);
            let _ = Scraped::decode(&bytes, &[InfoHash::from_bytes([0; 20])]);
        }
    }
}
