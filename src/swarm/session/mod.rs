//! A session: one listener, one identity, one pair of limits, many torrents.

mod builder;
mod options;
mod removing;
mod shared;
mod unchoking;

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::task::JoinSet;

pub use builder::SessionBuilder;
pub use options::{AddOptions, SeedOptions, Source};
pub(super) use shared::{DialPlace, Shared};
#[cfg(test)]
pub(super) use shared::{MAX_CONNS, MAX_DIALLED};

use super::{
    file_priority::FilePriorities,
    handle::TorrentHandle,
    lock::lock,
    metainfo::{CreateError, CreateOptions, Metainfo, create},
    ports::PortMapping,
    selection::{Selection, SelectionError},
    storage::Room,
    torrent::{PeerSource, Place, Setup, Torrent, drive},
    wire::PeerId,
};
use crate::types::InfoHash;

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

impl Session {
    /// Settings to start from.
    pub fn builder() -> SessionBuilder {
        SessionBuilder::new()
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
            web_seeds: Vec::new(),
            named_web_seeds: Vec::new(),
            seed: true,
            goals: options.goals,
            limits: [options.up_limit, None],
            trusted: options.trusted,
            files: None,
            priorities: FilePriorities::new(),
            recheck: false,
            overwrite: false,
            room: Room::AsItComes,
            moves_to: None,
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
            priorities: options.priorities,
            recheck: options.recheck,
            overwrite: options.overwrite,
            room,
            moves_to: options.moves_to,
            hash,
            name: None,
            trackers: Vec::new(),
            named_trackers: options.trackers,
            web_seeds: Vec::new(),
            named_web_seeds: options.web_seeds,
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
                setup.web_seeds = metainfo.web_seeds;
                setup.info = Some(Arc::new(metainfo.info));
            }
            Source::Magnet(magnet) => {
                peers.extend(&magnet.peers);
                let linked = Some(magnet.files).filter(|files| !files.is_empty());
                setup.files = setup.files.or(linked.map(Selection::positions));
                setup.name = magnet.name;
                setup.web_seeds = magnet.web_seeds;
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

    /// The torrents that something happened to since the last call: those that are not among
    /// them, and have no peers, are as they were, but older.
    #[cfg(any(test, feature = "client"))]
    pub(crate) fn take_news(&self) -> Vec<InfoHash> {
        self.guard.shared.take_news()
    }

    /// Waits until a torrent is complete, or cannot go on. For one that waits at a time.
    #[cfg(any(test, feature = "client"))]
    pub(crate) async fn some_ended(&self) {
        self.guard.shared.ended.notified().await;
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
