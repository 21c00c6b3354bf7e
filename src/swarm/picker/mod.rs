//! Which chunk to request from which connection. Pure: time is handed in.
//!
//! A piece that is wanted is *missing*, *begun* or *had*. A new piece is the rarest that
//! the peer has, of those with the highest priority. Begun pieces are finished before new ones are begun, but a metered
//! connection first begins pieces of its own (it *leads* them), because its seller is paid
//! when whole pieces are verified, and helps with others afterwards.
//!
//! A connection for which nothing is missing may *race*: it requests a chunk that another
//! connection was asked for, if that one is expected to answer much later. The first
//! answer is used and the other requests are cancelled. So no slow peer holds up a piece or
//! the end of a download. A duplicate of a priced chunk costs money: what may become a
//! priced duplicate is bounded, see [`Picker::duplicate_limit`].
//!
//! A connection that had no part in a good piece yet races only for one piece, or those that
//! it takes part in: a fast liar must not spoil all of them.
//!
//! A *suspect* (it had a part in a wrong piece) is asked for whole pieces *alone*: nobody
//! else is asked for a chunk of them until it lets go ([`Picker::release`]), or is late by 5 s.
//!
//! Padding is not requested, unless a piece is nothing but padding.
//!
//! What is wanted may change at any time, see [`Picker::choose`].

mod arrivals;
mod choosing;
mod chunks;
mod races;
mod rarity;

use std::collections::BTreeMap;

use super::{
    bitfield::Bitfield, file_priority::FilePriority, hooks::ConnId, metainfo::Layout,
    selection::Wanted, wire::Block,
};
pub use arrivals::Received;
pub use choosing::GivenUp;
use chunks::{Begun, Chunk};
pub use chunks::{Contributions, Ended};
use rarity::Rarity;

/// Bytes of begun pieces at most, though two pieces always fit. Enough for a request
/// pipeline of 1 Gbit/s × 100 ms with each of several peers; little beside what a
/// browser's tab takes.
pub const MAX_BEGUN_BYTES: u64 = 48 << 20;

/// Connections that are asked for one chunk at the same time: a third one, so that two
/// dead ones cannot hold up the last chunk.
const MAX_ASKED: usize = 3;

/// The same, where all of them are late by [`TOO_LATE_MS`]: what they promised is worth
/// nothing, and who is idle and fast must not be kept out.
const MAX_ASKED_LATE: usize = 6;

/// A race must promise to win by this much, in milliseconds, and by half of the time that
/// the racer itself needs: estimates are rough.
const RACE_MARGIN_MS: u64 = 250;

/// A request that is overdue by so many milliseconds may be raced though the duplicate would
/// pass the limit: its seller is late, and is not owed if it comes after all.
const TOO_LATE_MS: u64 = 2000;

/// A priced request is taken over if that promises to win by this much, and by half of the
/// time that the other itself needs: the cancel is answered first.
const TAKE_OVER_MARGIN_MS: u64 = 500;

/// A chunk that was taken over is not asked of the slow one again for so long.
const TAKEN_MS: u64 = 5000;

/// A suspect is asked for a piece alone as long as each chunk is expected within so many
/// milliseconds.
const MAX_ALONE_MS: u64 = 5000;

/// A connection that something is to be requested from.
#[derive(Debug, Clone, Copy)]
pub struct Asker {
    /// Which.
    pub conn: ConnId,
    /// Its chunks may cost money.
    pub metered: bool,
    /// It is asked for whole pieces alone.
    pub suspect: bool,
    /// It had a part in a piece whose hash matched.
    pub proven: bool,
    /// It may race: looking for a chunk that is late takes a while.
    pub races: bool,
    /// The time, in milliseconds since any fixed moment.
    pub now_ms: u64,
    /// When a chunk that is requested now is expected to be here.
    pub answer_ms: u64,
}

/// Pieces had, begun and missing, and how rare each is.
#[derive(Debug)]
pub struct Picker {
    layout: Layout,
    have: Bitfield,
    wanted: Wanted,
    /// Wanted pieces that are not had.
    left: u32,
    rarity: Rarity,
    begun: BTreeMap<u32, Begun>,
    max_begun: usize,
    /// Pieces may be begun that are not wanted any more.
    narrowed: bool,
    /// Cancelled requests of metered connections that were not answered yet: each may
    /// still become a priced duplicate. Bounded by the connections' own bounds on requests.
    /// When each answer was expected.
    late: BTreeMap<(ConnId, Block), u64>,
    /// Bytes that may still become priced duplicates.
    exposed: u64,
    /// Bytes of priced duplicates.
    duplicates: u64,
}

impl Picker {
    /// A picker for what `have` lacks of `wanted`; `seed` makes its choices
    /// repeatable.
    pub fn new(layout: Layout, have: Bitfield, wanted: Wanted, seed: u32) -> Self {
        let max = (MAX_BEGUN_BYTES / u64::from(layout.piece_length())).clamp(2, 4096);
        let mut rarity = Rarity::new(layout.pieces(), seed);
        for piece in wanted.pieces().iter().filter(|piece| !have.has(*piece)) {
            rarity.list(piece);
        }
        Self {
            layout,
            rarity,
            left: missing(&wanted, &have),
            have,
            wanted,
            begun: BTreeMap::new(),
            max_begun: usize::try_from(max).expect("at most 4096"),
            narrowed: false,
            late: BTreeMap::new(),
            exposed: 0,
            duplicates: 0,
        }
    }

    /// What is wanted.
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Changes which pieces are begun first, by piece; none: no piece goes before another. What
    /// is begun is finished first all the same.
    pub fn prioritize(&mut self, priorities: Vec<FilePriority>) {
        self.rarity.prioritize(priorities);
    }

    /// The pieces that are verified.
    pub fn have(&self) -> &Bitfield {
        &self.have
    }

    /// True if everything that is wanted is there.
    pub fn is_done(&self) -> bool {
        self.left == 0
    }

    /// Bytes that arrived twice and were owed twice.
    pub fn duplicate_bytes(&self) -> u64 {
        self.duplicates
    }

    /// The most bytes of priced duplicates: 1 % of the wanted bytes, and a piece.
    pub fn duplicate_limit(&self) -> u64 {
        self.wanted.bytes() / 100 + u64::from(self.layout.piece_length())
    }

    /// Whether a peer with these pieces has one that is asked for and missing here.
    pub fn interesting(&self, theirs: &Bitfield) -> bool {
        if theirs.is_full() {
            return !self.is_done();
        }
        let wanted = self.wanted.pieces().as_bytes();
        let missing = wanted.iter().zip(self.have.as_bytes());
        let mut pairs = theirs.as_bytes().iter().zip(missing);
        pairs.any(|(theirs, (wanted, ours))| theirs & wanted & !ours != 0)
            || self.owed_pieces().any(|piece| theirs.has(piece))
    }

    /// Whether this piece is wanted and missing.
    pub fn lacks(&self, piece: u32) -> bool {
        self.wanted.pieces().has(piece) && !self.have.has(piece)
    }

    /// A peer came with these pieces.
    pub fn peer_came(&mut self, theirs: &Bitfield) {
        for piece in theirs.iter() {
            self.peer_has(piece);
        }
    }

    /// A peer has one more.
    pub fn peer_has(&mut self, piece: u32) {
        self.rarity.more(piece);
    }

    /// A peer with these pieces went.
    pub fn peer_went(&mut self, theirs: &Bitfield) {
        for piece in theirs.iter() {
            self.rarity.fewer(piece);
        }
    }

    /// Chooses the next chunk to request from a connection, which has the pieces `theirs`,
    /// and notes that it is requested.
    pub fn pick(&mut self, asker: Asker, theirs: &Bitfield) -> Option<Block> {
        let own = |begun: &Begun| begun.lead == Some(asker.conn);
        let unled = |begun: &Begun| begun.lead.is_none();
        let open = |begun: &Begun| begun.is_open(asker.now_ms);
        let found = self.pick_begun(asker, theirs, own).or_else(|| {
            if asker.suspect || asker.metered {
                self.begin(asker, theirs)
            } else {
                self.pick_begun(asker, theirs, unled)
                    .or_else(|| self.begin(asker, theirs))
            }
            .or_else(|| self.pick_begun(asker, theirs, open))
        });
        self.note(asker, found).or_else(|| self.race(asker, theirs))
    }

    /// The same, but only from pieces that the connection takes part in already.
    pub fn pick_more(&mut self, asker: Asker, theirs: &Bitfield) -> Option<Block> {
        let mine = |begun: &Begun| !begun.alone && begun.open.contains_key(&asker.conn);
        let found = self.pick_begun(asker, theirs, mine);
        self.note(asker, found)
            .or_else(|| self.race_among(asker, theirs, mine))
    }

    fn note(&mut self, asker: Asker, found: Option<(u32, u32)>) -> Option<Block> {
        let (piece, chunk) = found?;
        self.request(piece, chunk, asker, false);
        Some(self.layout.chunk(piece, chunk))
    }

    fn pick_begun(
        &self,
        asker: Asker,
        theirs: &Bitfield,
        of: impl Fn(&Begun) -> bool,
    ) -> Option<(u32, u32)> {
        let begun = self.begun.iter().filter(|(piece, begun)| {
            begun.missing > 0
                && theirs.has(**piece)
                && of(begun)
                && self.is_asked_for(**piece, begun)
        });
        let mut missing = begun.filter_map(|(piece, begun)| {
            Some((*piece, begun.first_missing(asker.conn, asker.now_ms)?))
        });
        missing.next()
    }

    fn begin(&mut self, asker: Asker, theirs: &Bitfield) -> Option<(u32, u32)> {
        if self.begun_and_wanted() >= self.max_begun {
            return None;
        }
        let piece = self.rarity.rarest(theirs)?;
        let chunks = self.layout.chunks(piece);
        let zeros = self.padding(piece);
        let mut all = vec![Chunk::Missing; size(chunks)];
        for chunk in &zeros {
            if let Some(chunk) = all.get_mut(size(*chunk)) {
                *chunk = Chunk::Zeros;
            }
        }
        let first = all.iter().position(|chunk| *chunk == Chunk::Missing)?;
        let here = u32::try_from(zeros.len()).expect("no more than there are chunks");
        self.rarity.unlist(piece);
        self.begun.insert(
            piece,
            Begun {
                lead: (asker.metered || asker.suspect).then_some(asker.conn),
                alone: asker.suspect,
                chunks: all,
                missing: chunks - here,
                here,
                duplicates: Contributions::new(),
                open: BTreeMap::new(),
                taken: BTreeMap::new(),
            },
        );
        Some((piece, u32::try_from(first).ok()?))
    }

    /// The chunks of a piece that are padding, and so not requested. A piece of nothing
    /// else is requested whole: somebody must have it.
    pub fn padding(&self, piece: u32) -> Vec<u32> {
        let chunks = self.layout.chunks(piece);
        let is_padding = |chunk: &u32| {
            let block = self.layout.chunk(piece, *chunk);
            let offset = self.layout.offset(piece) + u64::from(block.begin);
            self.wanted.is_padding(offset, block.length)
        };
        let zeros: Vec<u32> = (0..chunks).filter(is_padding).collect();
        if zeros.len() == size(chunks) {
            return Vec::new();
        }
        zeros
    }

    /// Bytes of a piece.
    pub fn piece_length(&self, piece: u32) -> u32 {
        self.layout.piece_len(piece)
    }

    /// Bytes of the wanted files that are still missing.
    pub fn bytes_left(&self) -> u64 {
        self.wanted.bytes_left(self.layout, &self.have)
    }

    /// Bytes that are missing, wanted or not.
    pub fn bytes_missing(&self) -> u64 {
        let missing = (0..self.layout.pieces()).filter(|piece| !self.have.has(*piece));
        missing
            .map(|piece| u64::from(self.layout.piece_len(piece)))
            .sum()
    }
}

fn missing(wanted: &Wanted, have: &Bitfield) -> u32 {
    let pairs = wanted.pieces().as_bytes().iter().zip(have.as_bytes());
    pairs
        .map(|(wanted, have)| (wanted & !have).count_ones())
        .sum()
}

fn size(index: u32) -> usize {
    usize::try_from(index).expect("usize has at least 32 bits")
}
