//! What becomes of requests and pieces: chunks that arrive, or do not, and hashes.

use super::{
    Picker, TOO_LATE_MS,
    chunks::{Chunk, Ended, exposed},
    size,
};
use crate::swarm::{
    hooks::{ConnId, PriceTag},
    wire::{Block, CHUNK},
};

/// What [`Picker::received`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// The chunk is not needed. Its tag goes back to the extension as dropped.
    Unwanted,
    /// The chunk is not needed, but it was requested at a price and counts as delivered:
    /// it is owed when the piece's hash matches.
    Duplicate,
    /// The same, and the piece's hash has matched already: it is owed now.
    Owed,
    /// It is used.
    Used {
        /// The connections that were asked for it too, and are to be sent a cancel.
        cancel: Vec<ConnId>,
        /// It was the piece's last chunk.
        complete: bool,
    },
}

impl Picker {
    /// A chunk came that `conn` was asked for with this tag.
    pub fn received(&mut self, conn: ConnId, block: Block, tag: Option<PriceTag>) -> Received {
        let reserved = self.late.remove(&(conn, block)).is_some();
        if reserved {
            self.exposed = self.exposed.saturating_sub(block.length.into());
        }
        let chunks = self.layout.chunks(block.piece);
        let at = size(block.begin / CHUNK);
        let begun = self.begun.get_mut(&block.piece);
        let state = begun.and_then(|begun| Some((begun.chunks.get_mut(at)?, &mut begun.open)));
        let Some((state, open)) = state else {
            return self.late_duplicate(block, tag, reserved);
        };
        let losers = match state {
            Chunk::Asked(requests) => std::mem::take(requests),
            // It was given up, and comes all the same.
            Chunk::Missing => Vec::new(),
            Chunk::Here { .. } | Chunk::Zeros => {
                return self.duplicate(conn, block, tag, reserved);
            }
        };
        let was_missing = *state == Chunk::Missing;
        let counted = losers.iter().any(|one| one.of == conn);
        if !counted {
            *open.entry(conn).or_default() += 1;
        }
        *state = Chunk::Here { from: conn, tag };
        let length = u64::from(block.length);
        self.exposed = self.exposed.saturating_sub(exposed(&losers) * length);
        let mut cancel = Vec::new();
        for one in losers.iter().filter(|one| one.of != conn) {
            cancel.push(one.of);
            if one.metered {
                self.exposed += length;
                self.late.insert((one.of, block), one.answer_ms);
            }
        }
        let Some(begun) = self.begun.get_mut(&block.piece) else {
            return Received::Unwanted;
        };
        begun.missing -= u32::from(was_missing);
        begun.here += 1;
        Received::Used {
            cancel,
            complete: begun.here == chunks,
        }
    }

    /// Requests whose answers are too late by now have no room kept for them any longer.
    pub(super) fn forget_late(&mut self, now_ms: u64) {
        let mut freed = 0;
        self.late.retain(|(_, block), answer_ms| {
            let keep = answer_ms.saturating_add(TOO_LATE_MS) >= now_ms;
            if !keep {
                freed += u64::from(block.length);
            }
            keep
        });
        self.exposed = self.exposed.saturating_sub(freed);
    }

    /// Whether another priced duplicate is within the limit; if so, it is counted. What is
    /// `reserved` for others is theirs.
    fn count_duplicate(&mut self, block: Block, tag: Option<PriceTag>, reserved: bool) -> bool {
        let length = u64::from(block.length);
        let others = if reserved { 0 } else { self.exposed };
        // The default tag is no price.
        if tag.unwrap_or_default() == PriceTag::default()
            || self.duplicates + others + length > self.duplicate_limit()
        {
            return false;
        }
        self.duplicates += length;
        true
    }

    /// A chunk of a begun piece that is here already.
    fn duplicate(
        &mut self,
        conn: ConnId,
        block: Block,
        tag: Option<PriceTag>,
        reserved: bool,
    ) -> Received {
        if !self.count_duplicate(block, tag, reserved) {
            if let Some(begun) = self.begun.get_mut(&block.piece) {
                begun.close_one(conn);
            }
            return Received::Unwanted;
        }
        if let (Some(begun), Some(tag)) = (self.begun.get_mut(&block.piece), tag) {
            let all = begun.duplicates.entry(conn).or_default();
            match all.iter_mut().find(|(same, _)| *same == tag) {
                Some((_, bytes)) => *bytes += block.length,
                None => all.push((tag, block.length)),
            }
        }
        Received::Duplicate
    }

    /// A chunk of a piece that is not in the making.
    fn late_duplicate(&mut self, block: Block, tag: Option<PriceTag>, reserved: bool) -> Received {
        if self.have.has(block.piece) && self.count_duplicate(block, tag, reserved) {
            Received::Owed
        } else {
            Received::Unwanted
        }
    }

    /// A chunk that `conn` was asked for will not come from it, or is not waited for any
    /// longer. True if nothing of the piece is requested from it any more and nothing that
    /// it sent waits for the hash.
    pub fn dropped(&mut self, conn: ConnId, block: Block) -> bool {
        let length = u64::from(block.length);
        if self.late.remove(&(conn, block)).is_some() {
            self.exposed = self.exposed.saturating_sub(length);
        }
        let Some(begun) = self.begun.get_mut(&block.piece) else {
            return true;
        };
        let Some(state) = begun.chunks.get_mut(size(block.begin / CHUNK)) else {
            return true;
        };
        if let Chunk::Asked(requests) = state
            && let Some(at) = requests.iter().position(|one| one.of == conn)
        {
            let before = exposed(requests);
            requests.remove(at);
            let fewer = before.saturating_sub(exposed(requests));
            self.exposed = self.exposed.saturating_sub(fewer * length);
            if requests.is_empty() {
                *state = Chunk::Missing;
                begun.missing += 1;
            }
        }
        let over = begun.close_one(conn);
        let idle = |chunk: &Chunk| matches!(chunk, Chunk::Missing | Chunk::Zeros);
        if begun.duplicates.is_empty() && begun.chunks.iter().all(idle) {
            self.begun.remove(&block.piece);
            if self.lacks(block.piece) {
                self.rarity.list(block.piece);
            }
        }
        over
    }

    /// The lead of pieces does not answer: others finish them.
    pub fn release(&mut self, conn: ConnId) -> bool {
        let mut released = false;
        for begun in self.begun.values_mut() {
            if begun.lead == Some(conn) {
                begun.lead = None;
                begun.alone = false;
                released = true;
            }
        }
        released
    }

    /// The connection is gone: what came from it stays, but is owed to nobody.
    /// The tagged bytes that are written off so.
    pub fn disown(&mut self, conn: ConnId) -> Vec<(PriceTag, u32)> {
        self.release(conn);
        let mut lost = Vec::new();
        for (piece, begun) in &mut self.begun {
            begun.open.remove(&conn);
            lost.extend(begun.duplicates.remove(&conn).unwrap_or_default());
            for (at, chunk) in (0..).zip(&mut begun.chunks) {
                if let Chunk::Here { from, tag } = chunk
                    && *from == conn
                    && let Some(tag) = tag.take()
                {
                    lost.push((tag, self.layout.chunk(*piece, at).length));
                }
            }
        }
        lost
    }

    /// The piece's hash matched. The priced chunks by sender.
    pub fn verified(&mut self, piece: u32) -> Ended {
        if self.have.insert(piece) && self.wanted.pieces().has(piece) {
            self.left -= 1;
        }
        self.end(piece)
    }

    /// The piece's hash did not match, or it could not be stored: it is missing
    /// again. The priced chunks by sender.
    pub fn failed(&mut self, piece: u32) -> Ended {
        self.end(piece)
    }

    /// Everybody that sent a chunk of a begun piece that was used.
    pub fn senders(&self, piece: u32) -> Vec<ConnId> {
        let chunks = self.begun.get(&piece).map(|begun| begun.chunks.iter());
        let mut all: Vec<_> = chunks
            .into_iter()
            .flatten()
            .filter_map(|chunk| match chunk {
                Chunk::Here { from, .. } => Some(*from),
                _ => None,
            })
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    pub(super) fn end(&mut self, piece: u32) -> Ended {
        match self.lacks(piece) {
            true => self.rarity.list(piece),
            false => self.rarity.unlist(piece),
        }
        let Some(begun) = self.begun.remove(&piece) else {
            return Ended::default();
        };
        let mut contributions = begun.duplicates;
        for (at, chunk) in (0..).zip(begun.chunks) {
            let length = self.layout.chunk(piece, at).length;
            match chunk {
                Chunk::Here {
                    from,
                    tag: Some(tag),
                } => contributions.entry(from).or_default().push((tag, length)),
                // The disk refused a piece in the making.
                Chunk::Asked(requests) => {
                    let less = exposed(&requests) * u64::from(length);
                    self.exposed = self.exposed.saturating_sub(less);
                }
                _ => {}
            }
        }
        Ended {
            contributions,
            open: begun.open.into_keys().collect(),
        }
    }
}
