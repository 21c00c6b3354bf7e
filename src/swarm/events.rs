//! What a torrent tells those who watch it.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::goals::Goal;

/// Something happened to a torrent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Data on disk is being hashed.
    Checking {
        /// Pieces hashed.
        done: u32,
        /// Pieces to hash.
        total: u32,
    },
    /// A magnet link's info dictionary arrived.
    MetadataReceived {
        /// The torrent's name.
        name: String,
        /// Bytes of the content.
        bytes: u64,
    },
    /// The check is done; transfers begin.
    Ready {
        /// Pieces that are there.
        have: u32,
        /// All pieces.
        total: u32,
    },
    /// A piece's hash matched and it is on disk.
    PieceVerified {
        /// Which.
        piece: u32,
        /// Pieces that are there.
        have: u32,
        /// All pieces.
        total: u32,
    },
    /// A piece's hash did not match.
    PieceFailed {
        /// Which.
        piece: u32,
    },
    /// The download is complete.
    Completed {
        /// The file, or the folder with the files.
        path: PathBuf,
        /// Bytes of the wanted files.
        bytes: u64,
        /// Since the torrent was added.
        elapsed: Duration,
    },
    /// It was shared enough, and finishes.
    GoalReached {
        /// What was reached.
        goal: Goal,
    },
    /// A peer is connected.
    PeerConnected {
        /// Where it is.
        addr: SocketAddr,
        /// We dialled it.
        outgoing: bool,
    },
    /// A peer is not connected any more.
    PeerDisconnected {
        /// Where it was.
        addr: SocketAddr,
        /// Why.
        reason: String,
    },
    /// A peer broke the rules and will not be talked to again.
    PeerBanned {
        /// Where it is.
        addr: SocketAddr,
        /// What it did.
        reason: String,
    },
    /// A tracker answered.
    TrackerReply {
        /// Which.
        url: String,
        /// How many peers it named.
        peers: usize,
    },
    /// A tracker answered, and warns of something.
    TrackerWarning {
        /// Which.
        url: String,
        /// Its words, made printable.
        message: String,
    },
    /// A search of the distributed hash table ended.
    DhtReply {
        /// How many peers it named.
        peers: usize,
    },
    /// A tracker did not help. It is asked again later.
    TrackerError {
        /// Which.
        url: String,
        /// Why.
        message: String,
    },
    /// A web seed is not asked any more: it is of no use, or sent a bad piece.
    WebSeedFailed {
        /// Which.
        url: String,
        /// Why.
        message: String,
    },
    /// A file could not be read or written. What is verified is kept; writing is
    /// tried again later.
    DiskError {
        /// What was wrong, with the path.
        message: String,
        /// There is no room. The download goes on when there is.
        full: bool,
    },
}
