//! The settings of a session, and its start.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, Semaphore},
    task::JoinSet,
};

use super::{
    Guard, Session, SessionError,
    shared::{MAX_CONNS, Shared, accept_loop, accept_utp_loop, tick_loop},
    unchoking::choke_loop,
};
use crate::swarm::{
    buffers::Buffers,
    choker::Choker,
    dht::{Dht, DhtOptions},
    fetch::Http,
    half_open::HalfOpen,
    hooks::Extension,
    limiter::Limiter,
    listen::Listeners,
    lock::{Lock, Rank},
    lsd,
    mse::Encryption,
    ports::{self, PortMapOptions, Ports},
    proxy::Proxy,
    tracker,
    wire::PeerId,
};

/// Reading records and looking at files: more at once would only wait for the same disk.
const LOOKING: usize = 8;
/// One that takes hours leaves a place for the others.
const HASHING: usize = 2;

/// Settings of a [`Session`].
#[derive(Clone)]
pub struct SessionBuilder {
    listen: SocketAddr,
    up_limit: Option<u64>,
    down_limit: Option<u64>,
    paid_share: u8,
    upload_slots: usize,
    max_peers: usize,
    peer_id_prefix: [u8; 8],
    encryption: Encryption,
    tcp: bool,
    utp: bool,
    dht: Option<DhtOptions>,
    lsd: bool,
    port_map: Option<PortMapOptions>,
    proxy: Option<Proxy>,
    extensions: Vec<Arc<dyn Extension>>,
    state_dir: Option<PathBuf>,
    grace: Duration,
    /// The number of the next connection: sessions of one builder go on counting.
    next_conn: Arc<AtomicU64>,
}

impl SessionBuilder {
    pub(super) fn new() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            up_limit: None,
            down_limit: None,
            paid_share: 80,
            upload_slots: 8,
            max_peers: 60,
            peer_id_prefix: *b"-SR0100-",
            encryption: Encryption::default(),
            tcp: true,
            utp: true,
            dht: None,
            lsd: false,
            port_map: None,
            proxy: None,
            extensions: Vec::new(),
            state_dir: None,
            grace: Duration::from_secs(10),
            next_conn: Arc::new(AtomicU64::new(1)),
        }
    }

    /// Where to listen; port 0 takes a free one. Default: `127.0.0.1:0`.
    #[must_use]
    pub fn listen(mut self, addr: SocketAddr) -> Self {
        self.listen = addr;
        self
    }

    /// Bytes a second to all peers together; `None` (default): no limit.
    #[must_use]
    pub fn up_limit(mut self, rate: Option<u64>) -> Self {
        self.up_limit = rate;
        self
    }

    /// Bytes a second from all peers together; `None` (default): no limit.
    #[must_use]
    pub fn down_limit(mut self, rate: Option<u64>) -> Self {
        self.down_limit = rate;
        self
    }

    /// The limits of all peers together, as they were given: up and down, in bytes a
    /// second.
    pub fn limits(&self) -> [Option<u64>; 2] {
        [self.up_limit, self.down_limit]
    }

    /// Percent (1 to 99) of a limited upload for paid connections while free
    /// ones want data too. Default: 80.
    #[must_use]
    pub fn paid_share(mut self, percent: u8) -> Self {
        self.paid_share = percent;
        self
    }

    /// Free peers served at once, the optimistic one included; at least 2.
    /// Default: 8.
    #[must_use]
    pub fn upload_slots(mut self, slots: usize) -> Self {
        self.upload_slots = slots;
        self
    }

    /// Connections of one torrent. Default: 60.
    #[must_use]
    pub fn max_peers(mut self, peers: usize) -> Self {
        self.max_peers = peers;
        self
    }

    /// The beginning of the peer id (BEP 20). Default: `-SR0100-`.
    #[must_use]
    pub fn peer_id_prefix(mut self, prefix: [u8; 8]) -> Self {
        self.peer_id_prefix = prefix;
        self
    }

    /// Whether connections are encrypted. Default: [`Encryption::Accept`].
    #[must_use]
    pub fn encryption(mut self, encryption: Encryption) -> Self {
        self.encryption = encryption;
        self
    }

    /// What connections run on: TCP, and uTP (BEP 29) at the UDP port of the same
    /// number. Default: both.
    #[must_use]
    pub fn transports(mut self, tcp: bool, utp: bool) -> Self {
        self.tcp = tcp;
        self.utp = utp;
        self
    }

    /// Takes part in the distributed hash table (BEP 5), to find peers of torrents
    /// that are not private. Default: no.
    #[must_use]
    pub fn dht(mut self, options: Option<DhtOptions>) -> Self {
        self.dht = options;
        self
    }

    /// Tells the local network of torrents that are not private, and listens to
    /// others there (BEP 14; IPv4). Default: no.
    #[must_use]
    pub fn lsd(mut self, lsd: bool) -> Self {
        self.lsd = lsd;
        self
    }

    /// Asks the gateway to let peers in, by PCP, NAT-PMP or UPnP; never from a
    /// session that listens at loopback, unless the gateway is named and there too.
    /// Default: no.
    #[must_use]
    pub fn port_map(mut self, options: Option<PortMapOptions>) -> Self {
        self.port_map = options;
        self
    }

    /// Has everything go through a proxy: connections to peers, HTTP trackers and web seeds.
    /// What cannot is off, whatever else is set: others cannot connect to us, there is no uTP,
    /// no hash table, no local discovery and no port on the gateway, and UDP trackers are not
    /// asked. Names are resolved by the proxy. Default: none.
    #[must_use]
    pub fn proxy(mut self, proxy: Option<Proxy>) -> Self {
        self.proxy = proxy;
        self
    }

    /// Registers an extension. The first one that a peer shares sets prices and
    /// allowances; all of them get their messages.
    #[must_use]
    pub fn extension(mut self, extension: Arc<dyn Extension>) -> Self {
        self.extensions.push(extension);
        self
    }

    /// Where what is verified is recorded, for fast resume. Default: nowhere;
    /// then data on disk is hashed at each start.
    #[must_use]
    pub fn state_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(dir.into());
        self
    }

    /// How long a torrent that finishes by itself waits for extensions to settle
    /// what is due. Default: 10 s.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Starts the session. Must be called in a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// See [`SessionError`].
    pub async fn start(mut self) -> Result<Session, SessionError> {
        let bound = match self.proxy {
            Some(_) => {
                (self.dht, self.lsd, self.port_map) = (None, false, None);
                Ok(Listeners::none(self.listen))
            }
            None => Listeners::bind(self.listen, self.tcp, self.utp).await,
        };
        let Listeners { addr, tcp, utp } = bound.map_err(|source| SessionError::Bind {
            addr: self.listen,
            source,
        })?;

        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| SessionError::Random(error.to_string()))?;
        let (noise, key) = random.split_last_chunk::<4>().expect("16 bytes");
        let mut peer_id: PeerId = [b'-'; 20];
        let (prefix, rest) = peer_id.split_at_mut(8);
        prefix.copy_from_slice(&self.peer_id_prefix);
        rest.copy_from_slice(noise);

        let bind = |source| SessionError::Bind { addr, source };
        let (dht, node) = match self.dht {
            Some(options) => {
                let (dht, node) = Dht::start(addr, options).await.map_err(bind)?;
                (Some(dht), Some(node))
            }
            None => (None, None),
        };
        let ports = self.port_map.and_then(|options| {
            let dht = dht.as_ref().map(Dht::port);
            let wanted = ports::wanted(addr, self.tcp, self.utp, dht);
            Ports::start(addr.ip(), wanted, options)
        });
        let (ports, keep_ports) = ports.unzip();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let shared = Arc::new(Shared {
            peer_id,
            listen: addr,
            dials_tcp: self.tcp || self.proxy.is_some(),
            encryption: self.encryption,
            utp,
            dht,
            ports,
            key: u32::from_be_bytes(*key),
            extensions: self.extensions,
            state_dir: self.state_dir,
            max_peers: self.max_peers.clamp(1, MAX_CONNS),
            grace: self.grace,
            paid_share: self.paid_share,
            up: Arc::new(Limiter::new(self.up_limit, self.paid_share)),
            down: Arc::new(Limiter::new(self.down_limit, self.paid_share)),
            tracker: tracker::Client::through(addr.ip(), self.proxy.as_ref())
                .map_err(SessionError::Tracker)?,
            web: Http::keeping(addr.ip(), self.proxy.as_ref()).map_err(SessionError::Tracker)?,
            proxy: self.proxy,
            torrents: Lock::new(Rank::Session, HashMap::new()),
            conns: Lock::new(Rank::Session, BTreeMap::new()),
            news: Lock::new(Rank::Leaf, HashSet::new()),
            ended: Notify::new(),
            half_open: Lock::new(Rank::Leaf, HalfOpen::default()),
            next_conn: self.next_conn,
            dialling: AtomicUsize::new(0),
            rechoke: Notify::new(),
            disk: Semaphore::new(threads + 1),
            buffers: Buffers::default(),
            looking: Semaphore::new(LOOKING),
            hashing: Semaphore::new(HASHING),
            tasks: Lock::new(Rank::Leaf, Some(JoinSet::new())),
        });
        let choker = Choker::new(self.upload_slots, u64::from(shared.key) << 17 | 1);
        if let Some(listener) = tcp {
            shared.spawn(accept_loop(shared.clone(), listener));
        }
        if shared.utp.is_some() {
            shared.spawn(accept_utp_loop(shared.clone()));
        }
        shared.spawn(choke_loop(shared.clone(), choker));
        shared.spawn(tick_loop(shared.clone()));
        if let Some(node) = node {
            shared.spawn(node);
        }
        if let Some(keep) = keep_ports {
            shared.spawn(keep);
        }
        let interface = lsd::interface(addr.ip()).filter(|_| self.lsd);
        if let Some(interface) = interface {
            match lsd::bind(interface) {
                Ok(socket) => {
                    shared.spawn(lsd::run(shared.clone(), socket));
                }
                // A network without multicast: there are other sources.
                Err(error) => tracing::warn!(%error, "no local service discovery"),
            }
        }
        for limiter in [shared.up.clone(), shared.down.clone()] {
            shared.spawn(async move { limiter.run().await });
        }
        Ok(Session {
            guard: Arc::new(Guard { shared }),
        })
    }
}
