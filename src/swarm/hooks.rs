//! The seams through which payments plug into the client. The swarm knows
//! nothing of money: it counts bytes, asks whether to go on, and orders its
//! uploads by a weight that an [`Extension`] gives.
//!
//! Each connection on which both sides announce an extension's name in the
//! BEP 10 handshake gets one [`PeerExtension`]. Its methods are called from the
//! connection's task and must not block: what needs a disk or a signature is
//! handed to a task of the extension's own, which answers through [`PeerLink`].

use std::{net::SocketAddr, sync::Arc};

use crate::types::InfoHash;

/// One connection, for as long as the session lives; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// What an extension may know of the connection it is attached to.
#[derive(Debug, Clone)]
pub struct PeerContext {
    /// The connection.
    pub conn: ConnId,
    /// The torrent it is about.
    pub info_hash: InfoHash,
    /// The torrent is private (BEP 27).
    pub private: bool,
    /// Where the peer is.
    pub remote: SocketAddr,
    /// Our own id on this connection (BEP 3, BEP 20).
    pub own_id: [u8; 20],
    /// What the peer said its id is.
    pub peer_id: [u8; 20],
    /// The torrent's piece length, in bytes.
    pub piece_length: u32,
}

/// How a connection's upload is scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadClass {
    /// Ordinary choker, from the free share.
    Free,
    /// Always unchoked, served from the paid share by deficit round robin.
    Paid {
        /// Relative weight among paid connections; at least 1.
        weight: u64,
    },
    /// Not served at all until this changes.
    Refused,
}

/// A chunk's price, fixed when it was requested: opaque to the swarm, given
/// back when the chunk's piece was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PriceTag(pub u64);

/// What the extension tells the connection.
pub trait PeerLink: Send + Sync {
    /// Queues one message of the extension. False when the connection is gone
    /// or its (bounded) queue is full, in which case it is being closed.
    fn send(&self, payload: Vec<u8>) -> bool;

    /// Changes how uploads to this peer are scheduled. A connection starts as
    /// [`UploadClass::Free`].
    fn set_class(&self, class: UploadClass);

    /// Something changed (an allowance, a budget): ask again now.
    fn wake(&self);

    /// Closes the connection; the reason is logged.
    fn close(&self, reason: &str);
}

/// A peer broke the extension's protocol: the connection is closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Violation(pub String);

/// A protocol extension (BEP 10), registered when the session starts.
pub trait Extension: Send + Sync {
    /// The name in the handshake's `m` dictionary.
    fn name(&self) -> &str;

    /// Whether to announce it for this torrent at all.
    fn enabled(&self, info_hash: InfoHash, private: bool) -> bool;

    /// What a torrent has earned in this session, in the extension's own unit: for
    /// [`SeedGoals`](super::SeedGoals). Must not block.
    fn earned(&self, _info_hash: InfoHash) -> u64 {
        0
    }

    /// Both sides have announced it.
    fn attach(&self, peer: PeerContext, link: Arc<dyn PeerLink>) -> Arc<dyn PeerExtension>;
}

/// One connection's side of an extension.
pub trait PeerExtension: Send + Sync {
    /// One message of the peer's, at most 64 KiB.
    ///
    /// # Errors
    /// The peer broke the protocol.
    fn message(&self, payload: &[u8]) -> Result<(), Violation>;

    /// Download: the tag to request `bytes` more at, or `None` to request
    /// nothing now (no budget, or too much unfinished). [`PeerLink::wake`]
    /// asks again. A piece begun with a tagged peer is asked of that peer alone
    /// as long as it answers, and is never asked twice in the endgame.
    fn price_request(&self, piece: u32, bytes: u32) -> Option<PriceTag>;

    /// Download: these chunks of a piece whose hash matched came from this peer
    /// and were used; `(tag, bytes)` each.
    fn piece_verified(&self, piece: u32, chunks: &[(PriceTag, u32)]);

    /// Download: requested bytes that will not come or were not used
    /// (rejected, cancelled, timed out, wrong hash, connection lost).
    fn request_dropped(&self, tag: PriceTag, bytes: u32);

    /// Upload: how many bytes may be sent to this peer now, on top of what
    /// [`served`](Self::served) has counted. 0 holds the peer until
    /// [`PeerLink::wake`].
    fn upload_allowance(&self) -> u64;

    /// Upload: `bytes` of `piece` were handed to the socket.
    fn served(&self, piece: u32, bytes: u32);

    /// The peer wants data of ours, or stopped wanting it.
    fn peer_interested(&self, interested: bool);

    /// The peer choked us: a good moment to settle what is due.
    fn choked(&self);

    /// Our download is complete, or the session is about to stop: send what is
    /// due. The connection stays up to `grace` for it.
    fn finished(&self);

    /// True when nothing is left to be sent on this connection (all that is due
    /// was acknowledged), so that a stopping session may close it.
    fn drained(&self) -> bool;

    /// The connection is closed; no other method is called afterwards.
    fn closed(&self);
}
