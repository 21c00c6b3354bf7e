//! What is requested on one connection and not answered yet. Pure: time is handed in, in
//! milliseconds since any fixed moment.
//!
//! A request ends in one of four ways: its chunk arrives, the peer rejects it, it is given
//! up, or the connection ends. With the fast extension (BEP 6) a peer answers every request,
//! also a cancelled one: with the chunk, or with a reject. So a priced request that is
//! cancelled waits for that answer, and both sides know whether the chunk was delivered.

use std::collections::BTreeMap;

use super::speed::Speed;
use crate::swarm::{
    extended::{DEFAULT_REQQ, OUR_REQQ},
    hooks::{ConnId, PriceTag},
    peer::brought::MOST as LEASE,
    torrent::Wish,
    wire::{Block, CHUNK},
};

/// Requests outstanding to begin with. Of a peer that turns out to be slow, or never
/// answers, others have to be asked for all of them. Each chunk that comes allows two more …
const FIRST_PIPELINE: u64 = 24;
/// … up to this, so that a fast peer is not kept slow until its rate is known.
const GROWN_PIPELINE: u64 = 48;
/// Requests outstanding at least, once the rate is known; of a slow peer what it answers in
/// four seconds. A slow peer with a long queue would hold up the end of the download.
const MIN_PIPELINE: u64 = 8;
/// Requests outstanding of the slowest peer: one is on its way, and one is being sent.
const LEAST_PIPELINE: u64 = 2;
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
    raced: bool,
}

impl Asked {
    /// It was not wanted any more.
    pub(in crate::swarm) fn is_cancelled(&self) -> bool {
        self.cancelled_ms.is_some()
    }

    /// Others wait for what becomes of it.
    pub(in crate::swarm) fn is_urgent(&self) -> bool {
        self.raced || self.is_cancelled()
    }
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
    speed: Speed,
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
            speed: Speed::default(),
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
    pub(in crate::swarm) fn room(&self, now: u64) -> usize {
        if self.paused_until.is_some() {
            return 0;
        }
        let least = if self.speed.is_new(now) {
            (FIRST_PIPELINE + 2 * self.speed.chunks()).min(GROWN_PIPELINE)
        } else {
            let four_seconds = 4 * self.speed.measured() / u64::from(CHUNK);
            four_seconds.clamp(LEAST_PIPELINE, MIN_PIPELINE)
        };
        // One second's worth: several round trips anywhere.
        let depth = if self.snubbed || self.speed.is_doubted(now) {
            1
        } else {
            (self.speed.measured() / u64::from(CHUNK)).clamp(least, OUR_REQQ.into())
        };
        let wide = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let depth = wide(depth.min(self.reqq.into()));
        let room = depth.saturating_sub(self.live());
        // Ask in runs: a request a chunk costs a packet, and a look at the torrent, a chunk.
        let run = (depth / 4).max(LEASE.min(depth / 2));
        if room < run && self.live() > 0 && depth > 8 {
            return 0;
        }
        // Cancelled ones may still be in the peer's queue.
        let queue = wide(self.reqq.into()).saturating_sub(self.asked.len());
        room.min(queue)
    }

    /// What could be requested on this connection.
    pub(in crate::swarm) fn wish(&self, conn: ConnId, metered: bool, now: u64) -> Wish {
        let [first, second] = [0, 1].map(|more| self.answer_ms(more, now));
        Wish {
            conn,
            metered,
            races: [0, 1].map(|more| self.may_race(now, more)),
            answer_ms: first,
            chunk_ms: second - first,
        }
    }

    /// When a chunk that is requested now, after `more` others, will be here.
    fn answer_ms(&self, more: usize, now: u64) -> u64 {
        let rate = self.speed.expected(now);
        let chunks = u64::try_from(self.live() + more + 1).unwrap_or(u64::MAX);
        let bytes = chunks.saturating_mul(CHUNK.into());
        now.saturating_add(bytes.saturating_mul(1000) / rate)
    }

    /// Whether to look for a request of another peer to race, if `more` are requested
    /// first. A peer that never sent a chunk races for one: nothing says that it is faster.
    fn may_race(&self, now: u64, more: usize) -> bool {
        now >= self.race_at && (self.speed.is_shown() || self.live() + more == 0)
    }

    /// Nothing was found to request, not even to race.
    pub(in crate::swarm) fn found_nothing(&mut self, now: u64) {
        if now >= self.race_at {
            self.race_at = now + RACE_EVERY_MS;
        }
    }

    /// These were requested.
    pub(in crate::swarm) fn note(&mut self, asked: &[(Block, Option<PriceTag>)], now: u64) {
        if self.live() == 0 {
            self.asked_at = now;
        }
        self.speed.asked(now);
        for (block, tag) in asked {
            let fresh = Asked {
                tag: *tag,
                cancelled_ms: None,
                raced: false,
            };
            self.asked.insert(*block, fresh);
        }
    }

    /// Whether this is requested on the connection, cancelled or not.
    pub(in crate::swarm) fn has(&self, block: &Block) -> bool {
        self.asked.contains_key(block)
    }

    /// Whether any chunk of a piece is requested on the connection.
    pub(in crate::swarm) fn has_any_of(&self, piece: u32) -> bool {
        let from = |piece| Block {
            piece,
            begin: 0,
            length: 0,
        };
        let mut of = self.asked.range(from(piece)..);
        of.next().is_some_and(|(block, _)| block.piece == piece)
    }

    /// Another connection was asked for it too. False if it is not requested here any more.
    pub(in crate::swarm) fn note_race(&mut self, block: &Block) -> bool {
        let asked = self.asked.get_mut(block);
        asked.map(|asked| asked.raced = true).is_some()
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
        self.speed.came(block.length);
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

    /// Once a second: measures, and looks for what is late.
    pub(in crate::swarm) fn tick(&mut self, now: u64) -> Late {
        self.speed.measure(now, self.live() > 0);
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
        let patience = if self.speed.is_shown() {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn block(n: u32) -> Block {
        Block {
            piece: n / 16,
            begin: n % 16 * CHUNK,
            length: CHUNK,
        }
    }

    /// Requests as much as there is room for, from `next` on; how much.
    fn fill(asking: &mut Asking, next: &mut u32, now: u64) -> usize {
        let room = asking.room(now);
        let from = *next;
        *next += u32::try_from(room).unwrap();
        let blocks: Vec<_> = (from..*next).map(|n| (block(n), None)).collect();
        asking.note(&blocks, now);
        room
    }

    #[test]
    fn a_new_peer_is_asked_for_little_and_for_more_with_each_chunk() {
        let (mut asking, mut next) = (Asking::default(), 0);
        assert_eq!(fill(&mut asking, &mut next, 0), 24);
        for n in 0..24 {
            asking.arrived(&block(n), 100);
        }
        assert_eq!(fill(&mut asking, &mut next, 100), 48);
    }

    #[test]
    fn who_has_not_sent_anything_is_asked_for_one_chunk_and_races_for_one() {
        let (mut asking, mut next) = (Asking::default(), 0);
        assert!(asking.may_race(0, 0) && !asking.may_race(0, 1));
        fill(&mut asking, &mut next, 0);
        assert!(!asking.may_race(100, 0));
        // Others were faster with all of it.
        for n in 0..24 {
            asking.cancel(&block(n), false, 1500);
        }
        assert_eq!(fill(&mut asking, &mut next, 1500), 1);
        asking.arrived(&block(24), 1600);
        assert!(asking.may_race(1600, 7));
        assert!(fill(&mut asking, &mut next, 1600) > 1);
    }

    /// A lid was closed, or the peer's process stopped: what waited on the way comes at once.
    #[test]
    fn forty_seconds_without_time_cost_no_minute() {
        for answers in [true, false] {
            let (mut asking, mut next) = (Asking::default(), 0);
            fill(&mut asking, &mut next, 0);
            asking.arrived(&block(0), 500);
            let late = asking.tick(40_500);
            assert_eq!(late.given_up.len(), 23);
            assert_eq!(asking.room(40_500), 0, "it may be gone for good");
            // One that was given up comes all the same, or is refused.
            match answers {
                true => assert!(asking.arrived(&block(1), 40_600).is_none()),
                false => assert!(asking.rejected(&block(1), true).is_none()),
            }
            assert!(asking.room(40_600) > 0);
        }
    }

    #[test]
    fn a_slow_peer_has_no_more_to_do_than_it_can_in_four_seconds() {
        let (mut asking, mut next) = (Asking::default(), 0);
        let mut sent = 0;
        // A chunk a second.
        for second in 0..20 {
            asking.tick(second * 1000);
            fill(&mut asking, &mut next, second * 1000);
            asking.arrived(&block(sent), second * 1000 + 900);
            sent += 1;
        }
        assert!(asking.live() <= 24, "what it was asked for at first");
        while asking.live() > 0 {
            asking.arrived(&block(sent), 20_000);
            sent += 1;
        }
        assert_eq!(asking.room(20_000), 4);
    }
}
