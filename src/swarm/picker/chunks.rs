//! Chunks of pieces in the making, and who was asked for them.

use std::collections::{BTreeMap, BTreeSet};

use super::MAX_ALONE_MS;
use crate::swarm::hooks::{ConnId, PriceTag};

/// Chunks of a verified piece by the connection that sent them.
pub type Contributions = BTreeMap<ConnId, Vec<(PriceTag, u32)>>;

/// A chunk that a connection was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) of: ConnId,
    pub(super) metered: bool,
    pub(super) answer_ms: u64,
    /// Another waits for the answer to a cancel of it.
    pub(super) given_up: bool,
}

/// A chunk of a piece in the making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Chunk {
    Missing,
    /// Padding: here without being requested.
    Zeros,
    Asked(Vec<Request>),
    Here {
        from: ConnId,
        tag: Option<PriceTag>,
    },
}

/// A piece in the making.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) lead: Option<ConnId>,
    /// Nobody but the lead is asked.
    pub(super) alone: bool,
    pub(super) chunks: Vec<Chunk>,
    pub(super) missing: u32,
    pub(super) here: u32,
    /// Arrived whole after another's was used: priced, and owed like the used ones.
    pub(super) duplicates: Contributions,
    /// For each connection: its chunks of this piece that are requested, or wait for the
    /// hash.
    pub(super) open: BTreeMap<ConnId, u32>,
    /// Chunks that are not to be asked of a connection again until then: it was too slow.
    pub(super) taken: BTreeMap<u32, (ConnId, u64)>,
}

/// A piece that is not in the making any more.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// The priced chunks by the connection that sent them, duplicates among them.
    pub contributions: Contributions,
    /// The connections that took part, or were asked to.
    pub open: BTreeSet<ConnId>,
}

impl Begun {
    /// Whether others may be asked for chunks of it. A suspect that is slow or late does not
    /// hold its piece up.
    pub(super) fn is_open(&self, now_ms: u64) -> bool {
        let slow = |chunk: &Chunk| match chunk {
            Chunk::Asked(requests) => requests
                .iter()
                .any(|one| one.expected_in(now_ms) > MAX_ALONE_MS),
            _ => false,
        };
        !self.alone || self.chunks.iter().any(slow)
    }

    /// The first missing chunk that may be asked of a connection.
    pub(super) fn first_missing(&self, conn: ConnId, now_ms: u64) -> Option<u32> {
        let may = |at: &u32| match self.taken.get(at) {
            Some((from, until_ms)) => *from != conn || *until_ms <= now_ms,
            None => true,
        };
        let missing = (0..)
            .zip(&self.chunks)
            .filter(|(_, chunk)| **chunk == Chunk::Missing);
        missing.map(|(at, _)| at).find(may)
    }

    /// Whether a chunk of it is here that is owed to its sender when the hash matches.
    pub(super) fn is_owed(&self) -> bool {
        let priced = |tag: &PriceTag| *tag != PriceTag::default();
        let owed = |chunk: &Chunk| match chunk {
            Chunk::Here { tag, .. } => tag.as_ref().is_some_and(priced),
            _ => false,
        };
        !self.duplicates.is_empty() || self.chunks.iter().any(owed)
    }

    /// Whether a chunk of it is requested of anybody.
    pub(super) fn is_on_its_way(&self) -> bool {
        let asked = |chunk: &Chunk| matches!(chunk, Chunk::Asked(_));
        self.chunks.iter().any(asked)
    }

    /// Whether all of it is here, and its hash is not known yet.
    pub(super) fn is_whole(&self) -> bool {
        usize::try_from(self.here).is_ok_and(|here| here == self.chunks.len())
    }

    /// One request fewer of a connection's; true if it was the last.
    pub(super) fn close_one(&mut self, conn: ConnId) -> bool {
        let Some(open) = self.open.get_mut(&conn) else {
            return true;
        };
        *open = open.saturating_sub(1);
        let over = *open == 0;
        if over {
            self.open.remove(&conn);
        }
        over
    }
}

impl Request {
    /// In how many milliseconds its answer is expected. One that is overdue is expected as
    /// late again.
    pub(super) fn expected_in(&self, now_ms: u64) -> u64 {
        self.answer_ms.abs_diff(now_ms)
    }
}

pub(super) fn metered(requests: &[Request]) -> u64 {
    let metered = requests.iter().filter(|one| one.metered).count();
    u64::try_from(metered).expect("requests of a chunk are few")
}

/// How many of these answers may become priced duplicates: one of them all is used.
pub(super) fn exposed(requests: &[Request]) -> u64 {
    let others = requests.len().saturating_sub(1);
    metered(requests).min(u64::try_from(others).expect("requests of a chunk are few"))
}
