//! What the parts of a session share, and the tasks that take connections in.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore},
    task::JoinSet,
};

use crate::{
    swarm::{
        buffers::Buffers,
        dht::Dht,
        fetch::Http,
        half_open::HalfOpen,
        hooks::{ConnId, Extension},
        limiter::Limiter,
        lock::{Lock, lock},
        mse::Encryption,
        peer::{self, Conn, run::Incoming},
        ports::{PortMapping, Ports},
        priority::priority,
        proxy::Proxy,
        torrent::{Torrent, core::Places},
        tracker,
        utp::Utp,
        wire::{Handshake, PeerId},
    },
    types::InfoHash,
};

/// Connections of all torrents together.
pub(in crate::swarm) const MAX_CONNS: usize = 500;
/// Nobody is dialled while there are as many: the others are for those who come by themselves.
pub(in crate::swarm) const MAX_DIALLED: usize = MAX_CONNS / 5 * 4;

/// What the parts of a session share.
pub(in crate::swarm) struct Shared {
    pub(in crate::swarm) peer_id: PeerId,
    pub(in crate::swarm) listen: SocketAddr,
    pub(in crate::swarm) dials_tcp: bool,
    pub(in crate::swarm) encryption: Encryption,
    pub(in crate::swarm) utp: Option<Utp>,
    pub(in crate::swarm) dht: Option<Dht>,
    /// What everything goes through.
    pub(in crate::swarm) proxy: Option<Proxy>,
    pub(super) ports: Option<Ports>,
    pub(in crate::swarm) key: u32,
    pub(in crate::swarm) extensions: Vec<Arc<dyn Extension>>,
    pub(in crate::swarm) state_dir: Option<PathBuf>,
    pub(in crate::swarm) max_peers: usize,
    pub(in crate::swarm) grace: Duration,
    pub(in crate::swarm) paid_share: u8,
    pub(in crate::swarm) up: Arc<Limiter>,
    pub(in crate::swarm) down: Arc<Limiter>,
    pub(in crate::swarm) tracker: tracker::Client,
    /// For web seeds.
    pub(in crate::swarm) web: Http,
    pub(in crate::swarm) torrents: Lock<HashMap<InfoHash, Arc<Torrent>>>,
    pub(in crate::swarm) conns: Lock<BTreeMap<ConnId, Arc<Conn>>>,
    /// Torrents that something happened to since the owner of the session looked.
    pub(in crate::swarm) news: Lock<HashSet<InfoHash>>,
    /// One of them is complete, or cannot go on.
    pub(in crate::swarm) ended: Notify,
    /// Incoming connections without a handshake.
    pub(in crate::swarm) half_open: Lock<HalfOpen>,
    pub(super) next_conn: Arc<AtomicU64>,
    /// Connections that are being opened by us.
    pub(super) dialling: AtomicUsize,
    /// Somebody began or stopped to want data.
    pub(in crate::swarm) rechoke: Notify,
    /// Blocking disk work at once: one more than there are cores.
    pub(in crate::swarm) disk: Semaphore,
    pub(in crate::swarm) buffers: Buffers,
    /// Torrents that read their record and look at their files at once.
    pub(in crate::swarm) looking: Semaphore,
    /// Torrents whose content is hashed at once, each on all cores.
    pub(in crate::swarm) hashing: Semaphore,
    /// Every task; `None` when the session has ended.
    pub(super) tasks: Lock<Option<JoinSet<()>>>,
}

impl Shared {
    /// Runs a task that ends with the session; false if that has ended.
    pub(in crate::swarm) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> bool {
        let mut tasks = lock(&self.tasks);
        let Some(tasks) = tasks.as_mut() else {
            return false;
        };
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
        true
    }

    /// Where others reach us, as far as is known. Behind a proxy nowhere: trackers are told
    /// port 1 then, as by other clients, since many refuse 0.
    pub(in crate::swarm) fn public_port(&self) -> u16 {
        if self.proxy.is_some() {
            return 1;
        }
        let mapped = self.ports.as_ref().and_then(Ports::port);
        mapped.unwrap_or(self.listen.port())
    }

    /// How much a connection with this peer matters to the swarm, as far as our own
    /// address is known.
    pub(in crate::swarm) fn priority(&self, peer: SocketAddr) -> u32 {
        let v6 = peer.ip().to_canonical().is_ipv6();
        let mapped = match self.port_mapping() {
            PortMapping::Mapped { address, .. } if !v6 => address.map(IpAddr::V4),
            _ => None,
        };
        let bound = Some(self.listen.ip()).filter(|ip| !ip.is_unspecified());
        let seen = || self.dht.as_ref().and_then(|dht| dht.seen_at(v6));
        let ours = mapped.or_else(seen).or(bound);
        ours.map_or(0, |ours| {
            priority(SocketAddr::new(ours, self.public_port()), peer)
        })
    }

    pub(in crate::swarm) fn port_mapping(&self) -> PortMapping {
        let state = self.ports.as_ref().map(Ports::state);
        state.map_or(PortMapping::Off, |state| state.borrow().clone())
    }

    /// What we begin connections with.
    pub(in crate::swarm) fn handshake(&self, hash: InfoHash) -> Handshake {
        let ours = Handshake::new(hash, self.peer_id);
        if self.dht.is_some() {
            ours.with_dht()
        } else {
            ours
        }
    }

    pub(in crate::swarm) fn next_conn_id(&self) -> ConnId {
        ConnId(self.next_conn.fetch_add(1, Ordering::Relaxed))
    }

    /// Places for connections that are opened by us.
    pub(in crate::swarm) fn places_to_dial(&self) -> Places {
        let taken = lock(&self.conns).len() + self.dialling.load(Ordering::Relaxed);
        let torrents = lock(&self.torrents).len();
        Places {
            left: MAX_DIALLED.saturating_sub(taken),
            part: MAX_DIALLED / torrents.max(1),
        }
    }

    pub(in crate::swarm) fn torrent(&self, hash: InfoHash) -> Option<Arc<Torrent>> {
        lock(&self.torrents).get(&hash).cloned()
    }

    /// A torrent is not in the session any more.
    pub(in crate::swarm) fn forget(&self, hash: InfoHash) {
        if let Some(torrent) = lock(&self.torrents).remove(&hash) {
            // Nobody will ask for its news any more.
            torrent.is_news.store(true, Ordering::Release);
        }
        lock(&self.news).remove(&hash);
    }

    /// The torrents that something happened to since the last call.
    #[cfg(any(test, feature = "client"))]
    pub(super) fn take_news(&self) -> Vec<InfoHash> {
        let news = std::mem::take(&mut *lock(&self.news));
        let torrents = lock(&self.torrents);
        for hash in &news {
            if let Some(torrent) = torrents.get(hash) {
                // Before anybody looks: what happens from now on is news again.
                torrent.is_news.store(false, Ordering::Release);
            }
        }
        news.into_iter().collect()
    }

    /// Serves a connection that somebody opened, if there is room.
    fn take_in(self: &Arc<Self>, incoming: Incoming, addr: SocketAddr) {
        if lock(&self.conns).len() >= MAX_CONNS {
            tracing::debug!(%addr, "too many connections");
            return;
        }
        let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
        self.spawn(peer::run::accept(self.clone(), incoming, addr));
    }

    pub(super) fn all_conns(&self) -> Vec<Arc<Conn>> {
        lock(&self.conns).values().cloned().collect()
    }
}

/// A place of a connection that is being opened by us.
pub(in crate::swarm) struct DialPlace(Arc<Shared>);

impl DialPlace {
    pub(in crate::swarm) fn take(shared: &Arc<Shared>) -> Self {
        shared.dialling.fetch_add(1, Ordering::Relaxed);
        Self(shared.clone())
    }
}

impl Drop for DialPlace {
    fn drop(&mut self) {
        self.0.dialling.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(super) async fn accept_loop(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, addr)) => shared.take_in(Incoming::Tcp(stream), addr),
            // Out of file handles, mostly: others must close first.
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

pub(super) async fn accept_utp_loop(shared: Arc<Shared>) {
    while let Some(utp) = &shared.utp {
        match utp.socket.accept().await {
            Ok(stream) => {
                let addr = stream.remote_addr();
                shared.take_in(Incoming::Utp(stream), addr);
            }
            Err(error) => {
                tracing::warn!(%error, "uTP has ended");
                return;
            }
        }
    }
}

/// How often an idle connection looks whether a request of another one is late by now.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const LOOKS_A_SECOND: u64 = 4;

/// What is looked at every second on each connection, and more often on idle ones.
pub(super) async fn tick_loop(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    for tick in 0u64.. {
        ticks.tick().await;
        let is_second = tick.is_multiple_of(LOOKS_A_SECOND);
        if is_second {
            shared.buffers.tick();
        }
        for conn in shared.all_conns() {
            match is_second {
                true => conn.tick(),
                false => conn.look(),
            }
        }
    }
}
