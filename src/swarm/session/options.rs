//! What to download or share, and how.

use std::{net::SocketAddr, path::PathBuf};

use crate::{
    swarm::{
        file_priority::FilePriorities,
        goals::SeedGoals,
        metainfo::{Magnet, Metainfo},
        selection::Selection,
    },
    types::InfoHash,
};

/// What to download.
#[derive(Debug, Clone)]
pub enum Source {
    /// A torrent file.
    Torrent(Box<Metainfo>),
    /// A magnet link: the info dictionary comes from peers.
    Magnet(Magnet),
}

impl Source {
    /// The torrent's identity.
    pub fn info_hash(&self) -> InfoHash {
        match self {
            Self::Torrent(metainfo) => metainfo.info.hash(),
            Self::Magnet(magnet) => magnet.info_hash,
        }
    }
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
    /// Web seeds (BEP 19) that the user names, besides those of the torrent. One inside our
    /// own network is asked only if it is one of them.
    pub web_seeds: Vec<String>,
    /// Peers to dial.
    pub peers: Vec<SocketAddr>,
    /// Go on when the download is complete. If not, the torrent finishes itself.
    pub seed: bool,
    /// The files to download. By default those that the magnet link names; else those
    /// chosen when this download was begun; else all.
    pub files: Option<Selection>,
    /// Which of them are downloaded first.
    pub priorities: FilePriorities,
    /// Hash all that is there, whatever the record says of it.
    pub recheck: bool,
    /// Write over files in the way that are not this torrent's. Without it such a file
    /// makes the torrent fail, and is not touched.
    pub overwrite: bool,
    /// Take room for the wanted files before anything comes, where the file system can.
    pub preallocate: bool,
    /// The folder that the caller moves it to when it is complete. If it was moved there
    /// before, it goes on from there.
    pub moves_to: Option<PathBuf>,
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
            web_seeds: Vec::new(),
            peers: Vec::new(),
            seed: true,
            files: None,
            priorities: FilePriorities::new(),
            recheck: false,
            overwrite: false,
            preallocate: false,
            moves_to: None,
            goals: SeedGoals::default(),
            up_limit: None,
            down_limit: None,
        }
    }
}
