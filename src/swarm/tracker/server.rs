//! Being a tracker: announce and scrape over HTTP, all in memory.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{ConnectInfo, RawQuery, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    swarm::{bencode::Value, extended::to_compact, lock::lock},
    types::InfoHash,
};

/// The tracker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The port is taken, or the address is not this machine's.
    #[error("cannot listen at {addr}: {source}")]
    Bind {
        /// Where.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// How a tracker behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerOptions {
    /// How often peers are told to announce. A peer that missed two is dropped.
    pub interval: Duration,
    /// Torrents at most; when full, others are refused.
    pub max_torrents: usize,
    /// Peers of one torrent at most; when full, the longest silent one goes.
    pub max_peers: usize,
}

impl Default for ServerOptions {
    /// Two minutes; 100,000 torrents; 2,000 peers each: with the overall bound
    /// of a million peers about 200 MB.
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(120),
            max_torrents: 100_000,
            max_peers: 2_000,
        }
    }
}

/// Peers of all torrents at most.
const MAX_PEERS_IN_ALL: usize = 1_000_000;
/// How soon a peer that needs others may ask again.
const HURRY: Duration = Duration::from_secs(30);
/// The most peers in one reply.
const MAX_WANTED: usize = 200;

/// What a tracker knows at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerStats {
    /// Torrents with peers.
    pub torrents: usize,
    /// Peers of all torrents.
    pub peers: usize,
    /// Announces answered since the start.
    pub announces: u64,
}

/// A running tracker; stops when dropped.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Starts a tracker at `addr` (port 0 takes a free one). It answers at
    /// `/announce` and `/scrape`. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// The address cannot be listened at.
    pub async fn start(addr: SocketAddr, options: ServerOptions) -> Result<Self, ServerError> {
        let bind = |source| ServerError::Bind { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(bind)?;
        let addr = listener.local_addr().map_err(bind)?;
        let shared = Arc::new(Shared {
            options,
            state: Mutex::default(),
        });
        let router = Router::new()
            .route("/announce", get(announce))
            .route("/scrape", get(scrape))
            .with_state(shared.clone())
            .into_make_service_with_connect_info::<SocketAddr>();
        let serve = axum::serve(listener, router);
        let task = tokio::spawn(async move {
            if let Err(error) = serve.await {
                tracing::error!(%error, "the tracker stopped");
            }
        });
        Ok(Self { addr, shared, task })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL to put into torrents.
    pub fn announce_url(&self) -> String {
        format!("http://{}/announce", self.addr)
    }

    /// What it knows at the moment.
    pub fn stats(&self) -> ServerStats {
        let state = lock(&self.shared.state);
        ServerStats {
            torrents: state.torrents.len(),
            peers: state.peers,
            announces: state.announces,
        }
    }
}

#[derive(Debug)]
struct Shared {
    options: ServerOptions,
    state: Mutex<Swarms>,
}

#[derive(Debug, Default)]
struct Swarms {
    torrents: HashMap<InfoHash, Swarm>,
    peers: usize,
    announces: u64,
    expired_at: Option<Instant>,
}

#[derive(Debug, Default)]
struct Swarm {
    /// By address: a peer that restarts has another id, but not a second entry.
    peers: BTreeMap<SocketAddr, Peer>,
    completed: u64,
    /// Where the next reply begins, so that everybody is told of sometimes.
    cursor: usize,
}

#[derive(Debug)]
struct Peer {
    seen: Instant,
    seed: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Asked {
    info_hash: InfoHash,
    port: u16,
    left: u64,
    wanted: usize,
    event: Option<String>,
    compact: bool,
}

async fn announce(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    RawQuery(query): RawQuery,
) -> Response {
    match read_announce(query.as_deref().unwrap_or_default()) {
        Ok(asked) => bencoded(&shared.announce(&asked, remote.ip(), Instant::now())),
        Err(why) => refuse(why),
    }
}

async fn scrape(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let hashes = pairs(&query).filter(|(key, _)| *key == "info_hash");
    let hashes: Vec<InfoHash> = hashes
        .take(MAX_WANTED)
        .filter_map(|(_, value)| InfoHash::try_from(&unescape(value)[..]).ok())
        .collect();
    if hashes.is_empty() {
        return refuse("a scrape of everything is not served; name an info_hash");
    }
    bencoded(&shared.scrape(&hashes))
}

fn bencoded(value: &Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain")];
    (StatusCode::OK, kind, value.encode()).into_response()
}

fn refuse(why: &str) -> Response {
    bencoded(&Value::dict([("failure reason", why.into())]))
}

impl Shared {
    fn announce(&self, asked: &Asked, ip: IpAddr, now: Instant) -> Value {
        let interval = self.options.interval;
        let addr = SocketAddr::new(ip.to_canonical(), asked.port);
        let mut state = lock(&self.state);
        state.announces += 1;
        state.expire(now, interval);
        if state.torrents.len() >= self.options.max_torrents
            && !state.torrents.contains_key(&asked.info_hash)
        {
            return Value::dict([("failure reason", "this tracker is full".into())]);
        }
        let room = state.peers < MAX_PEERS_IN_ALL;
        let swarm = state.torrents.entry(asked.info_hash).or_default();
        let before = swarm.peers.len();
        match asked.event.as_deref() {
            Some("stopped") => {
                swarm.peers.remove(&addr);
            }
            event => {
                if event == Some("completed") {
                    swarm.completed += 1;
                }
                let full = swarm.peers.len() >= self.options.max_peers || !room;
                if full && !swarm.peers.contains_key(&addr) {
                    swarm.drop_oldest();
                }
                let seed = asked.left == 0;
                swarm.peers.insert(addr, Peer { seen: now, seed });
            }
        }
        let after = swarm.peers.len();
        let peers = swarm.choose(addr, asked);
        let counts = (swarm.count(true), swarm.count(false));
        if after == 0 {
            state.torrents.remove(&asked.info_hash);
        }
        state.peers = (state.peers + after).saturating_sub(before);
        drop(state);

        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let mut reply = vec![
            ("interval", seconds(interval).into()),
            ("min interval", seconds(interval.min(HURRY)).into()),
            ("complete", counts.0),
            ("incomplete", counts.1),
        ];
        if asked.compact {
            let (v4, v6) = to_compact(&peers);
            reply.push(("peers", v4.into()));
            if !v6.is_empty() {
                reply.push(("peers6", v6.into()));
            }
        } else {
            let entry = |addr: &SocketAddr| {
                Value::dict([
                    ("ip", addr.ip().to_string().as_str().into()),
                    ("port", u32::from(addr.port()).into()),
                ])
            };
            reply.push(("peers", Value::List(peers.iter().map(entry).collect())));
        }
        Value::dict(reply)
    }

    fn scrape(&self, hashes: &[InfoHash]) -> Value {
        let state = lock(&self.state);
        let files = hashes.iter().filter_map(|hash| {
            let swarm = state.torrents.get(hash)?;
            let completed = i64::try_from(swarm.completed).unwrap_or(i64::MAX);
            let entry = Value::dict([
                ("complete", swarm.count(true)),
                ("downloaded", completed.into()),
                ("incomplete", swarm.count(false)),
            ]);
            Some((hash.as_bytes().to_vec(), entry))
        });
        Value::dict([("files", Value::Dict(files.collect()))])
    }
}

impl Swarms {
    /// Forgets peers that missed two announces; once an interval.
    fn expire(&mut self, now: Instant, interval: Duration) {
        let recently = |then: Instant| now.saturating_duration_since(then) < interval;
        if self.expired_at.is_some_and(recently) {
            return;
        }
        self.expired_at = Some(now);
        let keep = interval.saturating_mul(2).saturating_add(interval / 2);
        for swarm in self.torrents.values_mut() {
            swarm
                .peers
                .retain(|_, peer| now.saturating_duration_since(peer.seen) <= keep);
        }
        self.torrents.retain(|_, swarm| !swarm.peers.is_empty());
        self.peers = self.torrents.values().map(|swarm| swarm.peers.len()).sum();
    }
}

impl Swarm {
    fn drop_oldest(&mut self) {
        let oldest = self.peers.iter().min_by_key(|(_, peer)| peer.seen);
        if let Some(addr) = oldest.map(|(addr, _)| *addr) {
            self.peers.remove(&addr);
        }
    }

    /// Others than `me`. Who wants nothing hears of those who do first, and of
    /// seeds only to fill up: a magnet's leecher (aria2) says that nothing is
    /// left before it knows how much there is.
    fn choose(&mut self, me: SocketAddr, asked: &Asked) -> Vec<SocketAddr> {
        let all = self.peers.len().max(1);
        let start = self.cursor % all;
        self.cursor = start.wrapping_add(asked.wanted);
        let order = self.peers.iter().cycle().skip(start).take(self.peers.len());
        let others = order.filter(|(addr, _)| **addr != me);
        let later = |peer: &Peer| peer.seed && asked.left == 0;
        let (last, first): (Vec<_>, Vec<_>) = others.partition(|(_, peer)| later(peer));
        let all = first.into_iter().chain(last).map(|(addr, _)| *addr);
        all.take(asked.wanted).collect()
    }

    fn count(&self, seeds: bool) -> Value {
        let count = self.peers.values().filter(|peer| peer.seed == seeds);
        Value::Int(i64::try_from(count.count()).unwrap_or(i64::MAX))
    }
}

fn read_announce(query: &str) -> Result<Asked, &'static str> {
    let find = |wanted: &str| pairs(query).find(|(key, _)| *key == wanted).map(|(_, v)| v);
    let info_hash = find("info_hash").ok_or("info_hash is missing")?;
    let info_hash = InfoHash::try_from(&unescape(info_hash)[..])
        .map_err(|_| "info_hash is not 20 bytes, each escaped as %xx")?;
    let port = find("port").and_then(|port| port.parse().ok());
    let number = |key| find(key).and_then(|number| number.parse::<u64>().ok());
    let wanted = number("numwant").and_then(|wanted| usize::try_from(wanted).ok());
    Ok(Asked {
        info_hash,
        port: port.filter(|port| *port != 0).ok_or("port is missing")?,
        left: number("left").unwrap_or(1),
        wanted: wanted.unwrap_or(50).min(MAX_WANTED),
        event: find("event").map(str::to_owned),
        compact: find("compact") != Some("0"),
    })
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter_map(|pair| pair.split_once('='))
}

/// `%xx` to bytes; a `%` that begins no escape stays.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        let escaped = after.split_at_checked(2).filter(|_| *first == b'%');
        let mut byte = [0];
        match escaped {
            Some((digits, later)) if hex::decode_to_slice(digits, &mut byte).is_ok() => {
                out.extend(byte);
                rest = later;
            }
            _ => out.push(*first),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracker(options: ServerOptions) -> Shared {
        Shared {
            options,
            state: Mutex::default(),
        }
    }

    fn asked(port: u16, event: &str, left: u64) -> Asked {
        let hash = "%AB".repeat(20);
        read_announce(&format!(
            "info_hash={hash}&port={port}&left={left}&event={event}"
        ))
        .unwrap()
    }

    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn peers(reply: &Value) -> usize {
        reply.get("peers").unwrap().as_bytes().unwrap().len() / 6
    }

    #[test]
    fn peers_learn_of_each_other_and_leave() {
        let tracker = tracker(ServerOptions::default());
        let now = Instant::now();
        assert_eq!(
            peers(&tracker.announce(&asked(1, "started", 0), IP, now)),
            0
        );
        assert_eq!(
            peers(&tracker.announce(&asked(2, "started", 9), IP, now)),
            1
        );
        assert_eq!(peers(&tracker.announce(&asked(2, "", 9), IP, now)), 1);
        // Who has everything hears of leechers first.
        let reply = tracker.announce(&asked(3, "completed", 0), IP, now);
        assert_eq!(peers(&reply), 2);
        let first = reply.get("peers").unwrap().as_bytes().unwrap();
        assert_eq!(first.get(..6), Some(&[127, 0, 0, 1, 0, 2][..]));
        tracker.announce(&asked(1, "stopped", 0), IP, now);
        assert_eq!(peers(&tracker.announce(&asked(2, "", 9), IP, now)), 1);
        let hash = asked(1, "", 0).info_hash;
        let files = tracker.scrape(&[hash]);
        let file = files.get("files").unwrap().as_dict().unwrap();
        let file = file.get(&hash.as_bytes()[..]).unwrap();
        assert_eq!(file.get("complete"), Some(&Value::Int(1)));
        assert_eq!(file.get("downloaded"), Some(&Value::Int(1)));
    }

    #[test]
    fn silent_peers_and_empty_torrents_are_forgotten() {
        let tracker = tracker(ServerOptions::default());
        let now = Instant::now();
        tracker.announce(&asked(1, "started", 0), IP, now);
        let later = now + Duration::from_secs(1000);
        assert_eq!(peers(&tracker.announce(&asked(2, "", 1), IP, later)), 0);
        tracker.announce(&asked(2, "stopped", 1), IP, later);
        assert!(lock(&tracker.state).torrents.is_empty());
        assert_eq!(lock(&tracker.state).peers, 0);
    }

    #[test]
    fn memory_is_bounded() {
        let tracker = tracker(ServerOptions {
            max_peers: 3,
            max_torrents: 1,
            ..ServerOptions::default()
        });
        let now = Instant::now();
        for port in 1..50 {
            tracker.announce(&asked(port, "started", 1), IP, now);
        }
        assert_eq!(lock(&tracker.state).peers, 3);
        let mut other = asked(1, "", 1);
        other.info_hash = InfoHash::from_bytes([1; 20]);
        let reply = tracker.announce(&other, IP, now);
        assert!(reply.get("failure reason").is_some());
    }

    #[test]
    fn escapes_of_every_kind_are_read() {
        assert_eq!(unescape("%00a%fF%zz%"), b"\0a\xff%zz%");
        assert!(read_announce("info_hash=abc&port=1").is_err());
        assert!(read_announce("port=1").is_err());
    }
}
