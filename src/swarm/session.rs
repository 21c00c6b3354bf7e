//! A session: one listener, one identity, one pair of limits, many torrents.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore},
    task::JoinSet,
};

use super::{
    buffers::Buffers,
    choker::{Candidate, Choker, Group, ROUND_SECONDS},
    dht::{Dht, DhtOptions},
    goals::SeedGoals,
    half_open::HalfOpen,
    handle::TorrentHandle,
    hooks::{ConnId, Extension, UploadClass},
    limiter::Limiter,
    listen::Listeners,
    lock::{Lock, Rank, lock},
    lsd,
    metainfo::{CreateError, CreateOptions, Magnet, Metainfo, create},
    mse::Encryption,
    peer::{self, Conn, run::Incoming},
    ports::{self, PortMapOptions, PortMapping, Ports},
    priority::priority,
    selection::{Selection, SelectionError},
    storage::Room,
    torrent::{PeerSource, Place, Setup, Torrent, drive},
    tracker,
    utp::Utp,
    wire::{Handshake, PeerId},
};
use crate::types::InfoHash;

/// Who wants data is looked at no more often, but in the rounds.
const RECHOKE: Duration = Duration::from_millis(100);
/// Connections of all torrents together.
const MAX_CONNS: usize = 500;

/// Why a session cannot do something.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The port is taken, or the address is not this machine's.
    #[error("cannot listen at {addr}: {source}")]
    Bind {
        /// Where.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The HTTP library for trackers cannot be set up.
    #[error("cannot set up the tracker client: {0}")]
    Tracker(#[source] reqwest::Error),
    /// The system gives no random bytes.
    #[error("cannot get random bytes: {0}")]
    Random(String),
    /// The same torrent twice.
    #[error("torrent {0} is already in this session")]
    AlreadyAdded(InfoHash),
    /// The content to seed is not there.
    #[error("cannot read {path}: {source}")]
    Content {
        /// What was to be seeded.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A torrent of it cannot be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The files to download are not in the torrent.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// The session was stopped.
    #[error("the session has ended")]
    Ended,
}

/// Settings of a [`Session`].
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
    extensions: Vec<Arc<dyn Extension>>,
    state_dir: Option<PathBuf>,
    grace: Duration,
}

impl SessionBuilder {
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
    pub async fn start(self) -> Result<Session, SessionError> {
        let bound = Listeners::bind(self.listen, self.tcp, self.utp).await;
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
            dials_tcp: self.tcp,
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
            tracker: tracker::Client::bound_to(addr.ip()).map_err(SessionError::Tracker)?,
            torrents: Lock::new(Rank::Session, HashMap::new()),
            conns: Lock::new(Rank::Session, BTreeMap::new()),
            half_open: Lock::new(Rank::Leaf, HalfOpen::default()),
            next_conn: AtomicU64::new(1),
            rechoke: Notify::new(),
            disk: Semaphore::new(threads + 1),
            buffers: Buffers::default(),
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
        if self.lsd {
            match lsd::bind(addr) {
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

/// A running client. Clones are the same session; when the last one is dropped,
/// everything stops at once: [`finish`](Self::finish) is the polite way.
#[derive(Clone)]
pub struct Session {
    guard: Arc<Guard>,
}

struct Guard {
    shared: Arc<Shared>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let tasks = lock(&self.shared.tasks).take();
        drop(tasks);
        if let Some(utp) = &self.shared.utp {
            utp.end();
        }
        lock(&self.shared.torrents).clear();
    }
}

/// What to download.
#[derive(Debug, Clone)]
pub enum Source {
    /// A torrent file.
    Torrent(Box<Metainfo>),
    /// A magnet link: the info dictionary comes from peers.
    Magnet(Magnet),
}

/// How to seed.
#[derive(Debug, Clone, Default)]
pub struct SeedOptions {
    /// Trackers that the user names, besides those of the torrent, one tier each. A
    /// tracker inside our own network may have any path only if it is one of them.
    pub trackers: Vec<String>,
    /// Peers to dial.
    pub peers: Vec<SocketAddr>,
    /// The content was hashed just now: do not hash it again.
    pub trusted: bool,
    /// What ends it. Default: nothing.
    pub goals: SeedGoals,
    /// Bytes a second to its peers together, within the session's limit.
    pub up_limit: Option<u64>,
}

/// How to download.
#[derive(Debug, Clone)]
pub struct AddOptions {
    /// Trackers besides those of the torrent, one tier each.
    pub trackers: Vec<String>,
    /// Peers to dial.
    pub peers: Vec<SocketAddr>,
    /// Go on when the download is complete. If not, the torrent finishes itself.
    pub seed: bool,
    /// The files to download. By default those that the magnet link names; else those
    /// chosen when this download was begun; else all.
    pub files: Option<Selection>,
    /// Hash all that is there, whatever the record says of it.
    pub recheck: bool,
    /// Write over files in the way that are not this torrent's. Without it such a file
    /// makes the torrent fail, and is not touched.
    pub overwrite: bool,
    /// Take room for the wanted files before anything comes, where the file system can.
    pub preallocate: bool,
    /// With `seed`: what ends it. Default: nothing.
    pub goals: SeedGoals,
    /// Bytes a second to its peers together, within the session's limit.
    pub up_limit: Option<u64>,
    /// Bytes a second from its peers together, within the session's limit.
    pub down_limit: Option<u64>,
}

impl Default for AddOptions {
    /// Nothing besides what the torrent says; seeds until told to stop.
    fn default() -> Self {
        Self {
            trackers: Vec::new(),
            peers: Vec::new(),
            seed: true,
            files: None,
            recheck: false,
            overwrite: false,
            preallocate: false,
            goals: SeedGoals::default(),
            up_limit: None,
            down_limit: None,
        }
    }
}

impl Session {
    /// Settings to start from.
    pub fn builder() -> SessionBuilder {
        SessionBuilder {
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
            extensions: Vec::new(),
            state_dir: None,
            grace: Duration::from_secs(10),
        }
    }

    /// Where it listens.
    pub fn listen_addr(&self) -> SocketAddr {
        self.guard.shared.listen
    }

    /// Who it says to be.
    pub fn peer_id(&self) -> PeerId {
        self.guard.shared.peer_id
    }

    /// The port of its DHT node, and how many others that knows.
    pub fn dht(&self) -> Option<(u16, usize)> {
        let dht = self.guard.shared.dht.as_ref()?;
        let nodes = *dht.nodes().borrow();
        Some((dht.port(), nodes))
    }

    /// Whether the gateway lets peers in.
    pub fn port_mapping(&self) -> PortMapping {
        self.guard.shared.port_mapping()
    }

    /// Changes the limit of all uploads, in bytes a second.
    pub fn set_up_limit(&self, rate: Option<u64>) {
        let shared = &self.guard.shared;
        shared.up.set_rate(rate);
        for conn in shared.all_conns() {
            conn.wake();
        }
    }

    /// Changes the limit of all downloads, in bytes a second.
    pub fn set_down_limit(&self, rate: Option<u64>) {
        let shared = &self.guard.shared;
        shared.down.set_rate(rate);
        for conn in shared.all_conns() {
            conn.wake();
        }
    }

    /// Seeds content where it lies; it is only read. `path` is the file, or the
    /// folder with the files, whatever its name. It is hashed first, unless
    /// [`SeedOptions::trusted`]; what is missing or wrong makes the torrent fail.
    ///
    /// # Errors
    /// See [`SessionError`].
    pub fn seed(
        &self,
        metainfo: &Metainfo,
        path: &Path,
        options: SeedOptions,
    ) -> Result<TorrentHandle, SessionError> {
        let path = std::fs::canonicalize(path).map_err(|source| SessionError::Content {
            path: path.to_owned(),
            source,
        })?;
        self.hint_nodes(metainfo);
        let setup = Setup {
            hash: metainfo.info.hash(),
            name: None,
            info: Some(Arc::new(metainfo.info.clone())),
            place: Place::Content(path),
            trackers: metainfo.trackers.clone(),
            named_trackers: options.trackers,
            seed: true,
            goals: options.goals,
            limits: [options.up_limit, None],
            trusted: options.trusted,
            files: None,
            recheck: false,
            overwrite: false,
            room: Room::AsItComes,
        };
        self.start_torrent(setup, &options.peers)
    }

    /// Makes a torrent of `path`, hashing on all cores, and seeds it. `progress`
    /// is called with pieces done and all.
    ///
    /// # Errors
    /// See [`SessionError`].
    pub async fn seed_path(
        &self,
        path: &Path,
        options: CreateOptions,
        peers: Vec<SocketAddr>,
        progress: impl Fn(u32, u32) + Send + Sync + 'static,
    ) -> Result<(Metainfo, TorrentHandle), SessionError> {
        let from = path.to_owned();
        let trackers = options.trackers.clone();
        let made = tokio::task::spawn_blocking(move || create(&from, &options, &progress));
        let metainfo = made.await.map_err(|_| SessionError::Ended)??;
        let options = SeedOptions {
            trackers,
            peers,
            trusted: true,
            ..SeedOptions::default()
        };
        let handle = self.seed(&metainfo, path, options)?;
        Ok((metainfo, handle))
    }

    /// Downloads into `folder`, under the torrent's name. What is there already
    /// is checked and kept.
    ///
    /// # Errors
    /// See [`SessionError`]. Trouble with the disk is told by the handle.
    pub fn add(
        &self,
        source: Source,
        folder: &Path,
        options: AddOptions,
    ) -> Result<TorrentHandle, SessionError> {
        if let (Source::Torrent(metainfo), Some(files)) = (&source, &options.files) {
            files.choose(&metainfo.info)?;
        }
        let room = match options.preallocate {
            true => Room::Taken,
            false => Room::AsItComes,
        };
        let mut peers = options.peers;
        let hash = match &source {
            Source::Torrent(metainfo) => metainfo.info.hash(),
            Source::Magnet(magnet) => magnet.info_hash,
        };
        let mut setup = Setup {
            files: options.files,
            recheck: options.recheck,
            overwrite: options.overwrite,
            room,
            hash,
            name: None,
            trackers: Vec::new(),
            named_trackers: options.trackers,
            info: None,
            place: Place::Folder(folder.to_owned()),
            seed: options.seed,
            goals: options.goals,
            limits: [options.up_limit, options.down_limit],
            trusted: false,
        };
        match source {
            Source::Torrent(metainfo) => {
                self.hint_nodes(&metainfo);
                setup.trackers = metainfo.trackers;
                setup.info = Some(Arc::new(metainfo.info));
            }
            Source::Magnet(magnet) => {
                peers.extend(&magnet.peers);
                let linked = Some(magnet.files).filter(|files| !files.is_empty());
                setup.files = setup.files.or(linked.map(Selection::positions));
                setup.name = magnet.name;
                setup.trackers = magnet.trackers.into_iter().map(|url| vec![url]).collect();
            }
        }
        self.start_torrent(setup, &peers)
    }

    /// Nodes that a torrent file names.
    fn hint_nodes(&self, metainfo: &Metainfo) {
        let Some(dht) = &self.guard.shared.dht else {
            return;
        };
        if !metainfo.info.is_private() {
            dht.hint_names(&metainfo.nodes);
        }
    }

    fn start_torrent(
        &self,
        mut setup: Setup,
        peers: &[SocketAddr],
    ) -> Result<TorrentHandle, SessionError> {
        let shared = &self.guard.shared;
        let hash = setup.hash;
        let named = setup.named_trackers.iter().map(|url| vec![url.clone()]);
        setup.trackers.extend(named);
        let mut seen = std::collections::BTreeSet::new();
        for tier in &mut setup.trackers {
            tier.retain(|url| seen.insert(url.clone()));
        }
        setup.trackers.retain(|tier| !tier.is_empty());
        let torrent = {
            let mut torrents = lock(&shared.torrents);
            if torrents.contains_key(&hash) {
                return Err(SessionError::AlreadyAdded(hash));
            }
            let torrent = Arc::new(Torrent::new(shared.clone(), setup));
            torrents.insert(hash, torrent.clone());
            torrent
        };
        torrent.add_peers(peers, PeerSource::User);
        let handle = TorrentHandle::new(torrent.clone());
        torrent.run_limits();
        if !shared.spawn(drive(torrent)) {
            return Err(SessionError::Ended);
        }
        Ok(handle)
    }

    /// The torrents that run.
    pub fn torrents(&self) -> Vec<TorrentHandle> {
        let torrents = lock(&self.guard.shared.torrents);
        torrents.values().cloned().map(TorrentHandle::new).collect()
    }

    /// Finishes every torrent, each with at most `grace` for settling what is
    /// due, and stops.
    pub async fn finish(self, grace: Duration) {
        let all: Vec<_> = lock(&self.guard.shared.torrents)
            .values()
            .cloned()
            .collect();
        let mut ends = JoinSet::new();
        for torrent in all {
            ends.spawn(torrent.finish(grace));
        }
        let close = async {
            if let Some(ports) = &self.guard.shared.ports {
                ports.end().await;
            }
        };
        tokio::join!(ends.join_all(), close);
    }
}

/// What the parts of a session share.
pub(super) struct Shared {
    pub(super) peer_id: PeerId,
    pub(super) listen: SocketAddr,
    pub(super) dials_tcp: bool,
    pub(super) encryption: Encryption,
    pub(super) utp: Option<Utp>,
    pub(super) dht: Option<Dht>,
    ports: Option<Ports>,
    pub(super) key: u32,
    pub(super) extensions: Vec<Arc<dyn Extension>>,
    pub(super) state_dir: Option<PathBuf>,
    pub(super) max_peers: usize,
    pub(super) grace: Duration,
    pub(super) paid_share: u8,
    pub(super) up: Arc<Limiter>,
    pub(super) down: Arc<Limiter>,
    pub(super) tracker: tracker::Client,
    pub(super) torrents: Lock<HashMap<InfoHash, Arc<Torrent>>>,
    pub(super) conns: Lock<BTreeMap<ConnId, Arc<Conn>>>,
    /// Incoming connections without a handshake.
    pub(super) half_open: Lock<HalfOpen>,
    next_conn: AtomicU64,
    /// Somebody began or stopped to want data.
    pub(super) rechoke: Notify,
    /// Blocking disk work at once: one more than there are cores.
    pub(super) disk: Semaphore,
    pub(super) buffers: Buffers,
    /// Every task; `None` when the session has ended.
    tasks: Lock<Option<JoinSet<()>>>,
}

impl Shared {
    /// Runs a task that ends with the session; false if that has ended.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> bool {
        let mut tasks = lock(&self.tasks);
        let Some(tasks) = tasks.as_mut() else {
            return false;
        };
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
        true
    }

    /// Where others reach us, as far as is known.
    pub(super) fn public_port(&self) -> u16 {
        let mapped = self.ports.as_ref().and_then(Ports::port);
        mapped.unwrap_or(self.listen.port())
    }

    /// How much a connection with this peer matters to the swarm, as far as our own
    /// address is known.
    pub(super) fn priority(&self, peer: SocketAddr) -> u32 {
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

    pub(super) fn port_mapping(&self) -> PortMapping {
        let state = self.ports.as_ref().map(Ports::state);
        state.map_or(PortMapping::Off, |state| state.borrow().clone())
    }

    /// What we begin connections with.
    pub(super) fn handshake(&self, hash: InfoHash) -> Handshake {
        let ours = Handshake::new(hash, self.peer_id);
        if self.dht.is_some() {
            ours.with_dht()
        } else {
            ours
        }
    }

    pub(super) fn next_conn_id(&self) -> ConnId {
        ConnId(self.next_conn.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn torrent(&self, hash: InfoHash) -> Option<Arc<Torrent>> {
        lock(&self.torrents).get(&hash).cloned()
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

    fn all_conns(&self) -> Vec<Arc<Conn>> {
        lock(&self.conns).values().cloned().collect()
    }
}

async fn accept_loop(shared: Arc<Shared>, listener: TcpListener) {
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

async fn accept_utp_loop(shared: Arc<Shared>) {
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

async fn choke_loop(shared: Arc<Shared>, mut choker: Choker) {
    let round = Duration::from_secs(ROUND_SECONDS);
    let mut next = Instant::now() + round;
    let mut looked = tokio::time::Instant::now();
    loop {
        let until = tokio::time::Instant::from_std(next);
        let is_round = tokio::select! {
            () = tokio::time::sleep_until(until) => true,
            () = shared.rechoke.notified() => {
                // Whoever changes its mind all the time must not keep us busy.
                tokio::time::sleep_until(looked.max(tokio::time::Instant::now())).await;
                false
            }
        };
        looked = tokio::time::Instant::now() + RECHOKE;
        let mut free = Vec::new();
        let mut candidates = Vec::new();
        for conn in shared.all_conns() {
            let (class, interested, unchoked) = conn.standing();
            if class != UploadClass::Free {
                continue;
            }
            let seeding = conn.torrent.is_complete();
            let rate = if seeding {
                &conn.traffic.up_rate
            } else {
                &conn.traffic.down_rate
            };
            if interested {
                candidates.push(Candidate {
                    conn: conn.id,
                    group: Group::of(conn.id, conn.remote.ip()),
                    rate: rate.load(Ordering::Relaxed),
                    unchoked,
                    new: conn.traffic.is_new(),
                });
            }
            free.push(conn);
        }
        let chosen = if is_round {
            next = Instant::now() + round;
            choker.round(&candidates)
        } else {
            choker.fill(&candidates)
        };
        for conn in free {
            conn.set_choking(!chosen.contains(&conn.id));
        }
    }
}

async fn tick_loop(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    loop {
        ticks.tick().await;
        for conn in shared.all_conns() {
            conn.tick();
        }
    }
}
