//! The seams through which payments plug into the client. The swarm knows
//! nothing of money: it counts bytes, asks whether to go on, and orders its
//! uploads by a weight that an [`Extension`] gives.
//!
//! Each connection on which both sides announce an extension's name in the
//! BEP 10 handshake gets one [`PeerExtension`]. Its methods are called from the
//! connection's task and must not block: what needs a disk or a signature is
//! handed to a task of the extension's own, which answers through [`PeerLink`].
//!
//! # What is owed
//!
//! A *request* is one chunk, asked of one peer at one price ([`PriceTag`]). Each tag that
//! [`PeerExtension::price_request`] gave comes back exactly once:
//!
//! | what happened to the request | the tag comes back by |
//! |---|---|
//! | the chunk arrived whole, and the piece's hash matched | [`piece_verified`](PeerExtension::piece_verified): it is owed, whether it was used or is a duplicate |
//! | the chunk arrived whole, and the hash did not match, or the disk refused the piece | [`request_dropped`](PeerExtension::request_dropped) |
//! | the peer rejected it, or choked us without the fast extension | `request_dropped` |
//! | it was cancelled, and the seller heard that before it sent the chunk: it answers with a reject | `request_dropped` |
//! | it was cancelled, and the chunk was on its way already | `piece_verified`, as a duplicate |
//! | it was cancelled, and no answer came for a minute | `request_dropped`; a chunk that still comes is not owed |
//! | it was given up after 30 s of silence | the same |
//! | the duplicate would pass the limit on priced duplicates: its seller was more than 2 s late | `request_dropped` |
//! | the connection ended before the hash was known | `request_dropped`, before [`closed`](PeerExtension::closed) |
//!
//! A piece may have several sellers: each is owed for the chunks that it delivered. Priced
//! duplicates are at most 1 % of the wanted bytes and one piece; they are counted
//! (`Stats::paid_duplicates`). On the seller's side a chunk counts as
//! [`served`](PeerExtension::served) when it is taken from the queue to be written; a
//! cancelled request that is still in the queue is rejected and never counted. So for each
//! connection, what the seller served less what the buyer owes is what is on its way, was
//! given up, or was cancelled.

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
    /// Always unchoked, served from the paid share by weighted fair queueing.
    Paid {
        /// Relative weight among paid connections; at least 1.
        weight: u64,
    },
    /// Not served at all until this changes.
    Refused,
}

/// A chunk's price, fixed when it was requested: opaque to the swarm, given
/// back once. The default (0) is no price: nothing is owed at it.
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
    /// asks again. After a refusal the swarm may ask once more, for a chunk of a
    /// piece that the peer takes part in already.
    fn price_request(&self, piece: u32, bytes: u32) -> Option<PriceTag>;

    /// Download: these chunks of a piece whose hash matched came whole from this peer,
    /// used or duplicate; `(tag, bytes)` each. It may be called again for the
    /// same piece, when a duplicate arrives later.
    fn piece_verified(&self, piece: u32, chunks: &[(PriceTag, u32)]);

    /// Download: requested bytes that will not come, or are not owed
    /// (rejected, cancelled, timed out, wrong hash, connection lost).
    fn request_dropped(&self, tag: PriceTag, bytes: u32);

    /// Download: nothing of the piece is requested from this peer any more, and nothing
    /// that it sent waits for the hash. What was set aside so that the peer could finish
    /// the piece alone is free. It may be called again for the same piece.
    fn piece_over(&self, _piece: u32) {}

    /// Upload: how many bytes may be sent to this peer now, on top of what
    /// [`served`](Self::served) has counted. 0 holds the peer until
    /// [`PeerLink::wake`].
    fn upload_allowance(&self) -> u64;

    /// Upload: `bytes` of `piece` are written to the socket now.
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
