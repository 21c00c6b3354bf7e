//! What is requested on one connection and not answered yet. Pure: time is handed in, in
//! milliseconds since any fixed moment.
//!
//! A request ends in one of four ways: its chunk arrives, the peer rejects it, it is given
//! up, or the connection ends. With the fast extension (BEP 6) a peer answers every request,
//! also a cancelled one: with the chunk, or with a reject. So a priced request that is
//! cancelled waits for that answer, and both sides know whether the chunk was delivered.

use std::collections::BTreeMap;

use crate::swarm::{
    extended::{DEFAULT_REQQ, OUR_REQQ},
    hooks::PriceTag,
    wire::{Block, CHUNK},
};

/// Requests outstanding to begin with: a slow start must not keep a fast peer
/// slow.
const FIRST_PIPELINE: u64 = 48;
/// Requests outstanding at least, once the rate is known. A slow peer with a long
/// queue would hold up the end of the download.
const MIN_PIPELINE: u64 = 8;
/// The rate that is assumed while none was measured, in bytes a second.
const ASSUMED_RATE: u64 = 1 << 20;
/// A peer that sends no chunk for so long, while asked, does not answer.
const SNUBBED_MS: u64 = 30_000;
/// The same for one that never sent any: nothing says that it ever will.
const SNUBBED_AT_ONCE_MS: u64 = 10_000;
/// A peer that does not answer is asked nothing for so long, and then one chunk.
const PAUSE_MS: u64 = 60_000;
/// A cancelled request that is not answered for so long, though the peer was silent or sent
/// other things, will not be answered.
const CANCELLED_MS: u64 = 60_000;
/// How long until a race is looked for again, when there was none: it takes a look at every
/// chunk of every begun piece.
const RACE_EVERY_MS: u64 = 100;
/// So many refusals in a row by a peer that serves us: it has not what it says.
const MAX_REFUSALS: u32 = 256;

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::swarm) struct Asked {
    /// The price it was made at, where an extension sets prices.
    pub(in crate::swarm) tag: Option<PriceTag>,
    cancelled_ms: Option<u64>,
}

impl Asked {
    /// It was not wanted any more.
    pub(in crate::swarm) fn is_cancelled(&self) -> bool {
        self.cancelled_ms.is_some()
    }
}

/// What is known of how fast the peer sends.
#[derive(Debug, Clone, Copy)]
pub(in crate::swarm) struct Pace {
    /// Bytes a second.
    pub(in crate::swarm) rate: u64,
    /// The connection is too young for its rate to be known.
    pub(in crate::swarm) unmeasured: bool,
}

/// What [`Asking::cancel`] did.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::swarm) enum Cancelled {
    /// Nothing was requested.
    Nothing,
    /// A cancel is to be sent; the answer will say whether the chunk was delivered.
    Waits,
    /// A cancel is to be sent; the request is forgotten.
    Forgotten(Asked),
}

/// What [`Asking::tick`] found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::swarm) struct Late {
    /// Requests that are given up: the peer does not answer.
    pub(in crate::swarm) given_up: Vec<(Block, Asked)>,
    /// Something may be requested again.
    pub(in crate::swarm) resumes: bool,
}

/// The requests of one connection.
#[derive(Debug)]
pub(in crate::swarm) struct Asking {
    asked: BTreeMap<Block, Asked>,
    /// Of them cancelled.
    cancelled: usize,
    asked_at: u64,
    answered_at: u64,
    snubbed: bool,
    /// Nothing is requested until then.
    paused_until: Option<u64>,
    /// Requests that the peer refused since it last sent a chunk.
    refusals: u32,
    /// No race is looked for before.
    race_at: u64,
    reqq: u32,
}

impl Default for Asking {
    fn default() -> Self {
        Self {
            asked: BTreeMap::new(),
            cancelled: 0,
            asked_at: 0,
            answered_at: 0,
            snubbed: false,
            paused_until: None,
            refusals: 0,
            race_at: 0,
            reqq: DEFAULT_REQQ,
        }
    }
}

impl Asking {
    /// The peer says how many requests it queues.
    pub(in crate::swarm) fn set_reqq(&mut self, reqq: u32) {
        self.reqq = reqq;
    }

    /// Whether anything is requested and wanted.
    pub(in crate::swarm) fn is_idle(&self) -> bool {
        self.live() == 0
    }

    fn live(&self) -> usize {
        self.asked.len().saturating_sub(self.cancelled)
    }

    /// How many more chunks to request now.
    pub(in crate::swarm) fn room(&self, pace: Pace) -> usize {
        if self.paused_until.is_some() {
            return 0;
        }
        let least = if pace.unmeasured {
            FIRST_PIPELINE
        } else {
            MIN_PIPELINE
        };
        // One second's worth: several round trips anywhere.
        let depth = if self.snubbed {
            1
        } else {
            (pace.rate / u64::from(CHUNK)).clamp(least, OUR_REQQ.into())
        };
        let wide = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let depth = wide(depth.min(self.reqq.into()));
        let room = depth.saturating_sub(self.live());
        // Ask in runs: a request a chunk costs a packet a chunk.
        if room * 4 < depth && self.live() > 0 && depth > 8 {
            return 0;
        }
        // Cancelled ones may still be in the peer's queue.
        let queue = wide(self.reqq.into()).saturating_sub(self.asked.len());
        room.min(queue)
    }

    /// When a chunk that is requested now, after `more` others, will be here.
    pub(in crate::swarm) fn answer_ms(&self, pace: Pace, more: usize, now: u64) -> u64 {
        let rate = if pace.unmeasured {
            pace.rate.max(ASSUMED_RATE)
        } else {
            pace.rate.max(1)
        };
        let chunks = u64::try_from(self.live() + more + 1).unwrap_or(u64::MAX);
        let bytes = chunks.saturating_mul(CHUNK.into());
        now.saturating_add(bytes.saturating_mul(1000) / rate)
    }

    /// Whether to look for a request of another peer to race.
    pub(in crate::swarm) fn may_race(&self, now: u64) -> bool {
        now >= self.race_at
    }

    /// Nothing was found to request, not even to race.
    pub(in crate::swarm) fn found_nothing(&mut self, now: u64) {
        if self.may_race(now) {
            self.race_at = now + RACE_EVERY_MS;
        }
    }

    /// These were requested.
    pub(in crate::swarm) fn note(&mut self, asked: &[(Block, Option<PriceTag>)], now: u64) {
        if self.live() == 0 {
            self.asked_at = now;
        }
        for (block, tag) in asked {
            let fresh = Asked {
                tag: *tag,
                cancelled_ms: None,
            };
            self.asked.insert(*block, fresh);
        }
    }

    /// Whether this is requested on the connection, cancelled or not.
    pub(in crate::swarm) fn has(&self, block: &Block) -> bool {
        self.asked.contains_key(block)
    }

    fn take(&mut self, block: &Block) -> Option<Asked> {
        let asked = self.asked.remove(block)?;
        self.cancelled -= usize::from(asked.cancelled_ms.is_some());
        Some(asked)
    }

    /// A chunk arrived whole, requested or not: the peer answers.
    pub(in crate::swarm) fn arrived(&mut self, block: &Block, now: u64) -> Option<Asked> {
        self.answered_at = now;
        self.snubbed = false;
        self.paused_until = None;
        self.refusals = 0;
        self.take(block)
    }

    /// The peer will not serve a request. Whether it refuses too much, if it `serves` us.
    pub(in crate::swarm) fn rejected(
        &mut self,
        block: &Block,
        serves: bool,
    ) -> Option<(Asked, bool)> {
        // It is alive, whatever it lets wait.
        self.paused_until = None;
        let asked = self.take(block)?;
        if serves && asked.cancelled_ms.is_none() {
            self.refusals = self.refusals.saturating_add(1);
        }
        Some((asked, self.refusals > MAX_REFUSALS))
    }

    /// A request is not wanted any more. `answers`: the peer answers cancelled requests too.
    pub(in crate::swarm) fn cancel(&mut self, block: &Block, answers: bool, now: u64) -> Cancelled {
        let Some(asked) = self.asked.get_mut(block) else {
            return Cancelled::Nothing;
        };
        if asked.cancelled_ms.is_some() {
            return Cancelled::Nothing;
        }
        if answers && asked.tag.is_some() {
            asked.cancelled_ms = Some(now);
            self.cancelled += 1;
            return Cancelled::Waits;
        }
        let asked = *asked;
        self.asked.remove(block);
        Cancelled::Forgotten(asked)
    }

    /// Nothing of what was requested will come.
    pub(in crate::swarm) fn take_all(&mut self) -> Vec<(Block, Asked)> {
        self.cancelled = 0;
        std::mem::take(&mut self.asked).into_iter().collect()
    }

    /// Looks for what is late. `served`: the peer sent a chunk before.
    pub(in crate::swarm) fn tick(&mut self, served: bool, now: u64) -> Late {
        let mut late = Late::default();
        if self.paused_until.is_some_and(|at| at <= now) {
            self.paused_until = None;
            late.resumes = true;
        }
        let old = |asked: &Asked| {
            let at = asked.cancelled_ms.map(|at| at.max(self.answered_at));
            at.is_some_and(|at| now.saturating_sub(at) > CANCELLED_MS)
        };
        let old: Vec<Block> = self
            .asked
            .iter()
            .filter(|(_, asked)| old(asked))
            .map(|(block, _)| *block)
            .collect();
        for block in old {
            late.given_up
                .extend(self.take(&block).map(|asked| (block, asked)));
        }
        let patience = if served {
            SNUBBED_MS
        } else {
            SNUBBED_AT_ONCE_MS
        };
        let last = self.answered_at.max(self.asked_at);
        if self.live() > 0 && now.saturating_sub(last) > patience {
            self.snubbed = true;
            self.paused_until = Some(now + PAUSE_MS);
            late.given_up.extend(self.take_all());
        }
        late
    }
}
