//! What a client looks like at one moment: plain values that never change, shared between
//! all readers. A reader that has seen one revision asks for the difference to the newest
//! ([`Snapshot::changes`]).

mod changes;
mod money;
pub mod raw;
mod torrent;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};

pub use changes::{Changes, Gone, MAX_GONE};
pub use money::{
    Balance, Batch, Grant, GrantState, Money, NodeState, Payout, PayoutState, PlannedPayout,
    Position, SettlePolicy, SettlementPlan, Waits,
};
pub use torrent::{
    Age, EncryptionOf, FilePriority, FileRow, Goals, Limits, Obstacle, PaidPeer, PeerRow, Prices,
    Queue, ReachedGoal, Torrent, TorrentRow, TorrentState, TrackerRow, TrackerState, TransportOf,
};

use crate::types::{InfoHash, UnixMs};

/// Counts the changes of a client. A later one is larger, also after a restart: the first
/// one of a process is the time of its start, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

/// A part of a snapshot, and when it changed last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Versioned<T> {
    /// The revision in which `value` became what it is.
    pub revision: Revision,
    /// The part.
    #[serde(flatten)]
    pub value: T,
}

/// A client at one moment. Cheap to clone: its parts are shared.
#[derive(Debug, Clone, Serialize)]
pub struct Snapshot {
    /// The newest of all revisions in it.
    pub revision: Revision,
    /// When it was made.
    pub at: UnixMs,
    /// Every torrent, running or not.
    pub torrents: BTreeMap<InfoHash, Arc<Torrent>>,
    /// Rates, limits and connections of all torrents together.
    pub transfer: Arc<Versioned<Transfer>>,
    /// Categories and tags.
    pub labels: Arc<Versioned<Labels>>,
    /// What is owed and paid; `None`: the client neither buys nor sells.
    pub money: Option<Arc<Versioned<Money>>>,
    /// The folders that torrents are in, and the room there.
    pub disks: Arc<Versioned<Disks>>,
    /// What needs a person.
    pub problems: Arc<Versioned<Problems>>,
    /// What moved on each day, the oldest first: at most 400 days. Differences do not have it.
    #[serde(skip)]
    pub days: Arc<[Day]>,
    /// Torrents that were removed lately.
    #[serde(skip)]
    pub gone: Arc<Gone>,
}

/// Rates, limits and connections of all torrents together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transfer {
    /// Where peers are listened for.
    pub listen: SocketAddr,
    /// Bytes a second received.
    pub down_rate: u64,
    /// Bytes a second sent.
    pub up_rate: u64,
    /// Limits of all torrents together.
    pub limits: Limits,
    /// What counts in their place now, by the time of day; `None`: they count.
    pub scheduled_limits: Option<Limits>,
    /// How many torrents run at once.
    pub queue: Queue,
    /// Bytes received, ever.
    pub downloaded: u64,
    /// Bytes sent, ever.
    pub uploaded: u64,
    /// Bytes received since the client was started.
    pub session_downloaded: u64,
    /// Bytes sent since the client was started.
    pub session_uploaded: u64,
    /// Connected peers.
    pub peers: u32,
    /// Nodes that our node of the distributed hash table knows; `None`: there is none.
    pub dht_nodes: Option<u32>,
    /// Whether the router lets peers in.
    pub port_mapping: PortMapping,
    /// Prices of torrents that have none of their own.
    pub prices: Prices,
}

impl Transfer {
    /// The limits that count now.
    pub fn limits_now(&self) -> Limits {
        self.scheduled_limits.unwrap_or(self.limits)
    }
}

/// Whether the router lets peers in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum PortMapping {
    /// It was not asked.
    Off,
    /// It is being asked.
    Trying,
    /// It does.
    Mapped {
        /// The protocol by which it was asked.
        by: String,
        /// The port that peers reach.
        port: u16,
        /// The address that peers reach, if it is known.
        address: Option<String>,
    },
    /// It does not.
    Failed {
        /// Why.
        reason: String,
    },
}

/// Categories and tags. A torrent has one category at most, and any number of tags.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Labels {
    /// Each category, and the folder that its torrents are put into; `None`: the client's.
    pub categories: BTreeMap<String, Option<PathBuf>>,
    /// The tags, in their order.
    pub tags: Vec<String>,
}

/// What all torrents together moved on a day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Day {
    /// Which: days since 1970-01-01 (UTC).
    pub day: i64,
    /// Bytes received.
    pub downloaded: u64,
    /// Bytes sent.
    pub uploaded: u64,
    /// Earned, in raw units.
    #[serde(with = "raw")]
    pub earned_raw: u64,
    /// Spent, in raw units.
    #[serde(with = "raw")]
    pub spent_raw: u64,
}

/// The folders that torrents are in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Disks {
    /// The folder that new torrents are put into.
    pub folder: PathBuf,
    /// Each folder, and the room there.
    pub disks: Vec<Disk>,
}

/// The room in a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// The folder.
    pub folder: PathBuf,
    /// Bytes that may still be written; `None`: the system did not say.
    pub free: Option<u64>,
}

/// What needs a person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Problems {
    /// Each, the oldest first.
    pub problems: Vec<Problem>,
}

/// Something that does not go on by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What kind it is: one word that does not change.
    pub code: ProblemCode,
    /// What it is about, if several may have it: an info-hash, an address, a folder.
    pub subject: Option<String>,
    /// One sentence: what is wrong.
    pub message: String,
    /// One sentence: what to do.
    pub hint: String,
    /// Since when.
    pub since: UnixMs,
}

/// The kinds of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// A torrent cannot go on.
    TorrentFailed,
    /// A torrent's disk has no room, or refuses to be written.
    Disk,
    /// Nobody could connect to us so far.
    NoIncoming,
    /// What the client is bound to has no address: nothing is sent.
    NoAddress,
    /// The node does not answer.
    NodeSilent,
    /// The node's chain is shorter than it was.
    NodeBehind,
    /// The session key ends soon, and cannot be renewed.
    KeyEnds,
    /// Nothing is bought or sold any more.
    PaymentsStopped,
    /// The account is not on the chain yet.
    NotActivated,
    /// A limit of spending is used up.
    SpendingLimit,
    /// A seller sells no more on credit.
    CreditLimit,
    /// A peer did not pay.
    Default,
    /// A peer contradicted itself.
    Contradiction,
    /// Somebody else uses this key.
    KeyElsewhere,
    /// Debts are due and are not paid by themselves.
    DebtsDue,
    /// Paying debts failed.
    SettleFailed,
    /// The list of torrents cannot be written.
    ListNotKept,
}

impl Snapshot {
    /// What is different from the one with the revision `since`.
    pub fn changes(&self, since: Revision) -> Changes {
        Changes::between(self, since)
    }
}
