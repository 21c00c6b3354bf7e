//! Requesting what another connection was asked for, where that is slower.

use super::{
    Asker, MAX_ASKED, MAX_ASKED_LATE, Picker, RACE_MARGIN_MS, TAKE_OVER_MARGIN_MS, TAKEN_MS,
    TOO_LATE_MS,
    chunks::{Begun, Chunk, Request, exposed, metered},
    size,
};
use crate::swarm::{
    bitfield::Bitfield,
    hooks::ConnId,
    wire::{Block, CHUNK},
};

impl Picker {
    pub(super) fn race(&mut self, asker: Asker, theirs: &Bitfield) -> Option<Block> {
        if asker.suspect || !asker.races {
            return None;
        }
        let takes_part = |begun: &Begun| begun.open.contains_key(&asker.conn);
        // Who may be a liar spoils no more than it must, and is found sooner.
        let only_own = !asker.proven && self.begun.values().any(takes_part);
        self.race_among(asker, theirs, |begun| {
            begun.is_open(asker.now_ms) && (!only_own || takes_part(begun))
        })
    }

    /// Of the chunks that others were asked for, requests the one that would be here
    /// last, if this connection is likely to be faster.
    pub(super) fn race_among(
        &mut self,
        asker: Asker,
        theirs: &Bitfield,
        among: impl Fn(&Begun) -> bool,
    ) -> Option<Block> {
        let limit = self.duplicate_limit();
        if limit.saturating_sub(self.duplicates + self.exposed) < u64::from(CHUNK) {
            self.forget_late(asker.now_ms);
        }
        let room = limit.saturating_sub(self.duplicates + self.exposed);
        let own = asker.answer_ms.saturating_sub(asker.now_ms);
        let worth = own + own / 2 + RACE_MARGIN_MS;
        let mut latest: Option<(u64, u32, u32)> = None;
        for (piece, begun) in &self.begun {
            if !theirs.has(*piece) || !among(begun) || !self.is_asked_for(*piece, begun) {
                continue;
            }
            for (at, chunk) in (0..).zip(&begun.chunks) {
                let Chunk::Asked(requests) = chunk else {
                    continue;
                };
                let costs = asker.metered || exposed(requests) < metered(requests);
                let too_late = requests
                    .iter()
                    .all(|one| one.answer_ms.saturating_add(TOO_LATE_MS) < asker.now_ms);
                let most = if too_late { MAX_ASKED_LATE } else { MAX_ASKED };
                if requests.len() >= most || requests.iter().any(|one| one.of == asker.conn) {
                    continue;
                }
                let expected = requests.iter().map(|one| one.expected_in(asker.now_ms));
                let expected = expected.min().unwrap_or(0);
                if expected > worth
                    && latest.is_none_or(|(least, ..)| expected > least)
                    && (!costs || room >= u64::from(CHUNK) || too_late)
                {
                    latest = Some((expected, *piece, at));
                }
            }
        }
        let (_, piece, chunk) = latest?;
        self.request(piece, chunk, asker, true);
        Some(self.layout.chunk(piece, chunk))
    }

    /// A connection for which nothing was found, and that may not race because the duplicate
    /// might cost too much: a priced request of another that is much slower. It is to be
    /// cancelled; its chunk is missing when the cancel is answered, and not asked of that
    /// connection again at once.
    pub fn take_over(&mut self, asker: Asker, theirs: &Bitfield) -> Option<(ConnId, Block)> {
        if asker.suspect || !asker.races || !asker.proven {
            return None;
        }
        let own = asker.answer_ms.saturating_sub(asker.now_ms);
        let worth = own + own / 2 + TAKE_OVER_MARGIN_MS;
        let mut latest: Option<(u64, u32, u32)> = None;
        for (piece, begun) in &self.begun {
            let wanted = self.is_asked_for(*piece, begun);
            if !wanted || !theirs.has(*piece) || !begun.is_open(asker.now_ms) {
                continue;
            }
            for (at, chunk) in (0..).zip(&begun.chunks) {
                let Chunk::Asked(requests) = chunk else {
                    continue;
                };
                let [one] = &requests[..] else {
                    continue;
                };
                let expected = one.expected_in(asker.now_ms);
                if one.metered
                    && !one.given_up
                    && one.of != asker.conn
                    && expected > worth
                    && latest.is_none_or(|(least, ..)| expected > least)
                {
                    latest = Some((expected, *piece, at));
                }
            }
        }
        let (_, piece, at) = latest?;
        let begun = self.begun.get_mut(&piece)?;
        let Some(Chunk::Asked(requests)) = begun.chunks.get_mut(size(at)) else {
            return None;
        };
        let one = requests.first_mut()?;
        one.given_up = true;
        let until_ms = asker.now_ms.saturating_add(TAKEN_MS);
        begun.taken.insert(at, (one.of, until_ms));
        Some((one.of, self.layout.chunk(piece, at)))
    }

    /// Other connections that were asked for a chunk.
    pub fn rivals(&self, conn: ConnId, block: Block) -> Vec<ConnId> {
        let begun = self.begun.get(&block.piece);
        let chunk = begun.and_then(|begun| begun.chunks.get(size(block.begin / CHUNK)));
        match chunk {
            Some(Chunk::Asked(requests)) => {
                let all = requests.iter().map(|one| one.of);
                all.filter(|of| *of != conn).collect()
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn request(&mut self, piece: u32, chunk: u32, asker: Asker, race: bool) {
        let length = u64::from(self.layout.chunk(piece, chunk).length);
        let Some(begun) = self.begun.get_mut(&piece) else {
            return;
        };
        let Some(state) = begun.chunks.get_mut(size(chunk)) else {
            return;
        };
        let request = Request {
            of: asker.conn,
            metered: asker.metered,
            answer_ms: asker.answer_ms,
            given_up: false,
        };
        begun.taken.remove(&chunk);
        match state {
            Chunk::Missing => {
                *state = Chunk::Asked(vec![request]);
                begun.missing -= 1;
            }
            Chunk::Asked(requests) if race => {
                let before = exposed(requests);
                requests.push(request);
                self.exposed += (exposed(requests) - before) * length;
            }
            _ => return,
        }
        *begun.open.entry(asker.conn).or_default() += 1;
    }
}
