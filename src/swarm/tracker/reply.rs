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
        locality::{Network, may_name, namable},
    },
    types::InfoHash,
};

/// The most peers believed of one reply.
pub(super) const MAX_PEERS: usize = 500;
/// The most peers with a host name that are looked up of one reply.
pub(super) const MAX_NAMES: usize = 20;
/// How often a tracker is asked at most, whatever it says.
const MIN_INTERVAL: Duration = Duration::from_secs(5);
/// How seldom it is asked at least: peers that it forgot would never be found.
const MAX_INTERVAL: Duration = Duration::from_secs(24 * 3600);
/// The interval of a tracker that names none.
const DEFAULT_INTERVAL: u64 = 1800;
/// The longest `tracker id` that is kept.
const MAX_ID: usize = 512;

/// What a tracker answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// When to ask again.
    pub interval: Duration,
    /// When it may be asked again at the earliest, if it says so. Never longer than
    /// `interval`.
    pub min_interval: Option<Duration>,
    /// Peers, unchecked but for having a port.
    pub peers: Vec<SocketAddr>,
    /// Peers by host name and port, not looked up yet; at most 20.
    pub names: Vec<(String, u16)>,
    /// Its warning, made printable.
    pub warning: Option<String>,
    /// To be sent with the next announce.
    pub tracker_id: Option<Vec<u8>>,
    /// Its own address, if that is known.
    pub from: Option<IpAddr>,
}

/// When a tracker that refused may be asked again (BEP 31).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// After this time.
    After(Duration),
    /// Not at all.
    Never,
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
    /// It refused.
    #[error("{reason}")]
    Refused {
        /// Its words, made printable.
        reason: String,
        /// When it may be asked again, if it says so.
        retry: Option<Retry>,
    },
}

impl Reply {
    /// Reads the body of an answer to an announce (BEP 3, 7, 23).
    ///
    /// # Errors
    /// See [`ReplyError`].
    pub fn decode(body: &[u8]) -> Result<Self, ReplyError> {
        let (value, _rest) = bencode::decode_prefix(body, Limits::TRACKER)?;
        refusal(&value)?;
        let mut names = Vec::new();
        let mut peers = match value.get("peers") {
            Some(Value::Bytes(bytes)) => compact_v4(bytes),
            Some(Value::List(list)) => {
                let mut peers = Vec::new();
                for (host, port) in list.iter().filter_map(dict_peer) {
                    match host.parse::<IpAddr>() {
                        Ok(ip) => peers.push(SocketAddr::new(ip, port)),
                        Err(_) => names.push((host, port)),
                    }
                }
                peers
            }
            _ => Vec::new(),
        };
        if let Some(bytes) = value.get("peers6").and_then(Value::as_bytes) {
            peers.extend(compact_v6(bytes));
        }
        peers.truncate(MAX_PEERS);
        names.truncate(MAX_NAMES);
        let seconds = |key| value.get(key).and_then(Value::as_u64);
        let min_interval = seconds("min interval").map(bounded);
        let interval = bounded(seconds("interval").unwrap_or(DEFAULT_INTERVAL));
        let id = value.get("tracker id").and_then(Value::as_bytes);
        Ok(Reply {
            interval: interval.max(min_interval.unwrap_or(interval)),
            min_interval,
            peers,
            names,
            warning: words(&value, "warning message"),
            tracker_id: id.filter(|id| id.len() <= MAX_ID).map(<[u8]>::to_vec),
            from: None,
        })
    }

    /// Drops peers that a tracker at this address may not name.
    pub(super) fn keep_namable(&mut self, from: Option<IpAddr>) {
        self.from = from;
        if let Some(from) = from {
            self.peers = namable(from, &self.peers);
        }
    }

    /// The same behind a proxy, where the address is not known if the tracker has a name: such
    /// a tracker names public addresses alone.
    pub(super) fn keep_namable_through_proxy(&mut self, from: Option<IpAddr>) {
        // Looking names up here would tell others of them.
        self.names.clear();
        match from {
            Some(_) => self.keep_namable(from),
            None => self
                .peers
                .retain(|peer| may_name(Network::Public, peer.ip())),
        }
    }
}

fn words(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_bytes).map(printable)
}

fn refusal(value: &Value) -> Result<(), ReplyError> {
    let Some(reason) = words(value, "failure reason") else {
        return Ok(());
    };
    let retry = match value.get("retry in") {
        Some(Value::Bytes(text)) if text.eq_ignore_ascii_case(b"never") => Some(Retry::Never),
        // Minutes; some trackers send them as text.
        Some(minutes) => number(minutes).map(|minutes| {
            let seconds = u64::from(minutes) * 60;
            Retry::After(bounded(seconds))
        }),
        None => {
            let seconds = |key| value.get(key).and_then(Value::as_u64);
            let soonest = seconds("min interval").or_else(|| seconds("interval"));
            soonest.map(|seconds| Retry::After(bounded(seconds)))
        }
    };
    Err(ReplyError::Refused { reason, retry })
}

/// A number, also where it is written as text.
fn number(value: &Value) -> Option<u32> {
    match value {
        Value::Int(number) => u32::try_from(*number).ok(),
        Value::Bytes(text) => std::str::from_utf8(text).ok()?.trim().parse().ok(),
        _ => None,
    }
}

impl ReplyError {
    pub(super) fn of(self, url: &str) -> TrackerError {
        let url = url.to_owned();
        match self {
            Self::Nonsense(source) => TrackerError::Nonsense { url, source },
            Self::Refused { reason, retry } => TrackerError::Refused { url, reason, retry },
        }
    }
}

impl Scraped {
    /// Reads the body of an answer to a scrape of `hashes` (BEP 48).
    ///
    /// # Errors
    /// See [`ReplyError`].
    pub fn decode(body: &[u8], hashes: &[InfoHash]) -> Result<Vec<Option<Self>>, ReplyError> {
        let (value, _rest) = bencode::decode_prefix(body, Limits::TRACKER)?;
        refusal(&value)?;
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

/// A peer's host, by name or number, and its port.
fn dict_peer(value: &Value) -> Option<(String, u16)> {
    let host = value.get("ip")?.as_str()?.trim();
    let port = u16::try_from(number(value.get("port")?)?).ok()?;
    let usable = port != 0 && !host.is_empty() && host.len() <= 255;
    usable.then(|| (host.to_owned(), port))
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
        // Trackers write ports as text, and end with a line feed.
        let dict = b"d8:intervali0e5:peersld2:ip3:::14:port2:80ed2:ip1:x4:porti80eeee\n";
        let reply = Reply::decode(dict).ok().unwrap();
        assert_eq!(reply.names, [("x".to_owned(), 80)]);
        assert_eq!(reply.interval, MIN_INTERVAL);
        assert_eq!(reply.peers, ["[::1]:80".parse().unwrap()]);
    }

    #[test]
    fn a_refusal_is_told_in_the_trackers_words() {
        let refused = |rest: &str| {
            let body = format!("d14:failure reason9:not here\n{rest}e");
            match Reply::decode(body.as_bytes()) {
                Err(ReplyError::Refused { reason, retry }) if reason == "not here" => retry,
                other => panic!("{other:?}"),
            }
        };
        let minutes = |minutes: u64| Some(Retry::After(Duration::from_secs(60 * minutes)));
        assert_eq!(refused(""), None);
        assert_eq!(refused("8:retry ini7e"), minutes(7));
        assert_eq!(refused("8:retry in2:20"), minutes(20));
        assert_eq!(refused("8:retry in5:never"), Some(Retry::Never));
        assert_eq!(refused("12:min intervali900e"), minutes(15));
    }

    #[test]
    fn intervals_are_as_the_tracker_says_up_to_a_day() {
        let of = |text: &str| {
            let reply = Reply::decode(text.as_bytes()).unwrap();
            let seconds = |time: Duration| time.as_secs();
            (seconds(reply.interval), reply.min_interval.map(seconds))
        };
        assert_eq!(of("d8:intervali7200ee"), (7200, None));
        assert_eq!(
            of("d8:intervali1800e12:min intervali900ee"),
            (1800, Some(900))
        );
        assert_eq!(of("d8:intervali60e12:min intervali900ee"), (900, Some(900)));
        assert_eq!(of("d8:intervali999999999ee"), (86_400, None));
        assert_eq!(of("d8:intervali1e8:intervali2ee"), (5, None));
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
