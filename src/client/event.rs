//! What happens to a client, as those hear it who watch.

use serde::Serialize;
use tokio::sync::broadcast::{
    self,
    error::{RecvError, TryRecvError},
};

use super::snapshot::{ProblemCode, ReachedGoal};
use crate::types::{Clock as _, InfoHash, RawAmount, SystemClock, UnixMs};

/// Events that are kept for a listener that is slow.
pub const EVENTS_KEPT: usize = 64;

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// When.
    pub at: UnixMs,
    /// What.
    #[serde(flatten)]
    pub what: Happened,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Happened {
    /// A torrent was added.
    Added {
        /// Which.
        #[serde(rename = "info_hash")]
        hash: InfoHash,
        /// What it is called.
        name: String,
    },
    /// A torrent was removed.
    Removed {
        /// Which.
        #[serde(rename = "info_hash")]
        hash: InfoHash,
        /// What it was called.
        name: String,
    },
    /// Everything that is wanted of a torrent is there, and was not before.
    Completed {
        /// Which.
        #[serde(rename = "info_hash")]
        hash: InfoHash,
        /// What it is called.
        name: String,
    },
    /// A torrent was shared enough, and is paused.
    GoalReached {
        /// Which.
        #[serde(rename = "info_hash")]
        hash: InfoHash,
        /// What it is called.
        name: String,
        /// The goal.
        goal: ReachedGoal,
    },
    /// A torrent cannot go on.
    Failed {
        /// Which.
        #[serde(rename = "info_hash")]
        hash: InfoHash,
        /// What it is called.
        name: String,
        /// Why.
        reason: String,
    },
    /// A peer broke the rules, and is not talked to again.
    PeerBanned {
        /// Of which torrent.
        #[serde(rename = "info_hash")]
        hash: InfoHash,
        /// Where it is.
        peer: std::net::SocketAddr,
        /// What it did.
        reason: String,
    },
    /// A tracker answered, and warns of something.
    TrackerWarned {
        /// Of which torrent.
        #[serde(rename = "info_hash")]
        hash: InfoHash,
        /// Its address.
        url: String,
        /// Its words.
        message: String,
    },
    /// A web seed is of no use, and is not asked any more.
    WebSeedFailed {
        /// Of which torrent.
        #[serde(rename = "info_hash")]
        hash: InfoHash,
        /// Its address.
        url: String,
        /// Why.
        message: String,
    },
    /// A file could not be read or written. It is tried again by itself.
    DiskRefused {
        /// Of which torrent.
        #[serde(rename = "info_hash")]
        hash: InfoHash,
        /// What was wrong, with the path.
        message: String,
        /// There is no room.
        full: bool,
    },
    /// A tracker did not help.
    TrackerFailed {
        /// Of which torrent.
        #[serde(rename = "info_hash")]
        hash: InfoHash,
        /// Its address.
        url: String,
        /// Why.
        message: String,
    },
    /// Debts were settled, and that is final.
    Settled {
        /// Payees.
        payouts: u64,
        /// What they got, in raw units.
        total_raw: RawAmount,
    },
    /// Something needs a person.
    Problem {
        /// What kind it is.
        code: ProblemCode,
        /// What it is about, if several may have it.
        subject: Option<String>,
        /// What is wrong.
        message: String,
        /// What to do.
        hint: String,
    },
    /// A problem is over.
    ProblemOver {
        /// What kind it was.
        code: ProblemCode,
        /// What it was about.
        subject: Option<String>,
    },
    /// The listener was too slow and missed events: it reads a snapshot again. Told once for
    /// each gap, by [`Events::next`] alone.
    Resync,
}

/// Listens to what happens.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<Event>);

impl Events {
    pub(super) fn new(receiver: broadcast::Receiver<Event>) -> Self {
        Self(receiver)
    }

    /// The next event; `None`: the client has ended. May be given up at any moment without
    /// losing one.
    pub async fn next(&mut self) -> Option<Event> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(_)) => Some(Event {
                at: SystemClock.now(),
                what: Happened::Resync,
            }),
            Err(RecvError::Closed) => None,
        }
    }

    /// The next event that waits already. Those that were missed are passed over.
    pub fn waiting(&mut self) -> Option<Event> {
        loop {
            match self.0.try_recv() {
                Ok(event) => return Some(event),
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
            }
        }
    }
}
