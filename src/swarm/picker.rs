//! Which chunk to request from which connection. Pure: time is handed in.
//!
//! A piece that is wanted is *missing*, *begun* or *had*. A new piece is the rarest that
//! the peer has. Begun pieces are finished before new ones are begun, but a metered
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

use std::collections::{BTreeMap, BTreeSet};

use super::{
    bitfield::Bitfield,
    hooks::{ConnId, PriceTag},
    metainfo::Layout,
    selection::Wanted,
    wire::{Block, CHUNK},
};

/// Bytes of begun pieces at most, though two pieces always fit. Enough for a request
/// pipeline of 1 Gbit/s × 100 ms with each of several peers; little beside what a
/// browser's tab takes.
pub const MAX_BEGUN_BYTES: u64 = 48 << 20;

/// Connections that are asked for one chunk at the same time: a third one, so that two
/// dead ones cannot hold up the last chunk.
const MAX_ASKED: usize = 3;

/// A race must promise to win by this much, in milliseconds, and by half of the time that
/// the racer itself needs: estimates are rough.
const RACE_MARGIN_MS: u64 = 250;

/// A request that is overdue by so many milliseconds may be raced though the duplicate would
/// pass the limit: its seller is late, and is not owed if it comes after all.
const TOO_LATE_MS: u64 = 2000;

/// A suspect is asked for a piece alone as long as each chunk is expected within so many
/// milliseconds.
const MAX_ALONE_MS: u64 = 5000;

/// Chunks of a verified piece by the connection that sent them.
pub type Contributions = BTreeMap<ConnId, Vec<(PriceTag, u32)>>;

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Request {
    of: ConnId,
    metered: bool,
    answer_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Chunk {
    Missing,
    /// Padding: here without being requested.
    Zeros,
    Asked(Vec<Request>),
    Here {
        from: ConnId,
        tag: Option<PriceTag>,
    },
}

#[derive(Debug)]
struct Begun {
    lead: Option<ConnId>,
    /// Nobody but the lead is asked.
    alone: bool,
    chunks: Vec<Chunk>,
    missing: u32,
    here: u32,
    /// Arrived whole after another's was used: priced, and owed like the used ones.
    duplicates: Contributions,
    /// For each connection: its chunks of this piece that are requested, or wait for the
    /// hash.
    open: BTreeMap<ConnId, u32>,
}

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

/// A piece that is not in the making any more.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// The priced chunks by the connection that sent them, duplicates among them.
    pub contributions: Contributions,
    /// The connections that took part, or were asked to.
    pub open: BTreeSet<ConnId>,
}

/// Pieces had, begun and missing, and how rare each is.
#[derive(Debug)]
pub struct Picker {
    layout: Layout,
    have: Bitfield,
    wanted: Wanted,
    /// Wanted pieces that are not had.
    left: u32,
    availability: Vec<u32>,
    begun: BTreeMap<u32, Begun>,
    max_begun: usize,
    random: u32,
    /// Cancelled requests of metered connections that were not answered yet: each may
    /// still become a priced duplicate. Bounded by the connections' own bounds on requests.
    late: BTreeSet<(ConnId, Block)>,
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
        Self {
            layout,
            availability: vec![0; size(layout.pieces())],
            left: missing(&wanted, &have),
            have,
            wanted,
            begun: BTreeMap::new(),
            max_begun: usize::try_from(max).expect("at most 4096"),
            random: seed | 1,
            late: BTreeSet::new(),
            exposed: 0,
            duplicates: 0,
        }
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

    /// Whether a peer with these pieces has one that is wanted and missing here.
    pub fn interesting(&self, theirs: &Bitfield) -> bool {
        if theirs.is_full() {
            return !self.is_done();
        }
        let wanted = self.wanted.pieces().as_bytes();
        let missing = wanted.iter().zip(self.have.as_bytes());
        let mut pairs = theirs.as_bytes().iter().zip(missing);
        pairs.any(|(theirs, (wanted, ours))| theirs & wanted & !ours != 0)
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
        if let Some(count) = self.availability.get_mut(size(piece)) {
            *count = count.saturating_add(1);
        }
    }

    /// A peer with these pieces went.
    pub fn peer_went(&mut self, theirs: &Bitfield) {
        for piece in theirs.iter() {
            if let Some(count) = self.availability.get_mut(size(piece)) {
                *count = count.saturating_sub(1);
            }
        }
    }

    /// Chooses the next chunk to request from a connection, which has the pieces `theirs`,
    /// and notes that it is requested.
    pub fn pick(&mut self, asker: Asker, theirs: &Bitfield) -> Option<Block> {
        let own = |begun: &Begun| begun.lead == Some(asker.conn);
        let unled = |begun: &Begun| begun.lead.is_none();
        let open = |begun: &Begun| begun.is_open(asker.now_ms);
        let found = self.pick_begun(theirs, own).or_else(|| {
            if asker.suspect || asker.metered {
                self.begin(asker, theirs)
            } else {
                self.pick_begun(theirs, unled)
                    .or_else(|| self.begin(asker, theirs))
            }
            .or_else(|| self.pick_begun(theirs, open))
        });
        self.note(asker, found).or_else(|| self.race(asker, theirs))
    }

    /// The same, but only from pieces that the connection takes part in already.
    pub fn pick_more(&mut self, asker: Asker, theirs: &Bitfield) -> Option<Block> {
        let mine = |begun: &Begun| !begun.alone && begun.open.contains_key(&asker.conn);
        let found = self.pick_begun(theirs, mine);
        self.note(asker, found)
            .or_else(|| self.race_among(asker, theirs, mine))
    }

    fn note(&mut self, asker: Asker, found: Option<(u32, u32)>) -> Option<Block> {
        let (piece, chunk) = found?;
        self.request(piece, chunk, asker, false);
        Some(self.layout.chunk(piece, chunk))
    }

    fn pick_begun(&self, theirs: &Bitfield, of: impl Fn(&Begun) -> bool) -> Option<(u32, u32)> {
        let mut begun = self
            .begun
            .iter()
            .filter(|(piece, begun)| begun.missing > 0 && theirs.has(**piece) && of(begun));
        let (piece, begun) = begun.next()?;
        let at = begun.chunks.iter().position(|c| *c == Chunk::Missing)?;
        Some((*piece, u32::try_from(at).ok()?))
    }

    fn begin(&mut self, asker: Asker, theirs: &Bitfield) -> Option<(u32, u32)> {
        if self.begun.len() >= self.max_begun {
            return None;
        }
        let piece = self.rarest(theirs)?;
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

    fn rarest(&mut self, theirs: &Bitfield) -> Option<u32> {
        // xorshift32: where to start looking decides between equally rare ones.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        let pieces = self.layout.pieces();
        let start = self.random % pieces;
        let mut best = None;
        for piece in (start..pieces).chain(0..start) {
            if !self.lacks(piece) || !theirs.has(piece) || self.begun.contains_key(&piece) {
                continue;
            }
            let count = self.availability.get(size(piece)).copied().unwrap_or(0);
            if best.is_none_or(|(least, _)| count < least) {
                best = Some((count, piece));
                if count <= 1 {
                    break;
                }
            }
        }
        best.map(|(_, piece)| piece)
    }

    fn race(&mut self, asker: Asker, theirs: &Bitfield) -> Option<Block> {
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
    fn race_among(
        &mut self,
        asker: Asker,
        theirs: &Bitfield,
        among: impl Fn(&Begun) -> bool,
    ) -> Option<Block> {
        let room = self
            .duplicate_limit()
            .saturating_sub(self.duplicates + self.exposed);
        let own = asker.answer_ms.saturating_sub(asker.now_ms);
        let worth = own + own / 2 + RACE_MARGIN_MS;
        let mut latest: Option<(u64, u32, u32)> = None;
        for (piece, begun) in &self.begun {
            if !theirs.has(*piece) || !among(begun) {
                continue;
            }
            for (at, chunk) in (0..).zip(&begun.chunks) {
                let Chunk::Asked(requests) = chunk else {
                    continue;
                };
                if requests.len() >= MAX_ASKED || requests.iter().any(|one| one.of == asker.conn) {
                    continue;
                }
                let costs = asker.metered || exposed(requests) < metered(requests);
                let too_late = requests
                    .iter()
                    .all(|one| one.answer_ms.saturating_add(TOO_LATE_MS) < asker.now_ms);
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

    fn request(&mut self, piece: u32, chunk: u32, asker: Asker, race: bool) {
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
        };
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

    /// A chunk came that `conn` was asked for with this tag.
    pub fn received(&mut self, conn: ConnId, block: Block, tag: Option<PriceTag>) -> Received {
        if self.late.remove(&(conn, block)) {
            self.exposed = self.exposed.saturating_sub(block.length.into());
        }
        let chunks = self.layout.chunks(block.piece);
        let at = size(block.begin / CHUNK);
        let begun = self.begun.get_mut(&block.piece);
        let state = begun.and_then(|begun| Some((begun.chunks.get_mut(at)?, &mut begun.open)));
        let Some((state, open)) = state else {
            return self.late_duplicate(block, tag);
        };
        let losers = match state {
            Chunk::Asked(requests) => std::mem::take(requests),
            // It was given up, and comes all the same.
            Chunk::Missing => Vec::new(),
            Chunk::Here { .. } | Chunk::Zeros => return self.duplicate(conn, block, tag),
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
                self.late.insert((one.of, block));
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

    /// Whether another priced duplicate is within the limit; if so, it is counted.
    fn count_duplicate(&mut self, block: Block, tag: Option<PriceTag>) -> bool {
        let length = u64::from(block.length);
        // The default tag is no price.
        if tag.unwrap_or_default() == PriceTag::default()
            || self.duplicates + length > self.duplicate_limit()
        {
            return false;
        }
        self.duplicates += length;
        true
    }

    /// A chunk of a begun piece that is here already.
    fn duplicate(&mut self, conn: ConnId, block: Block, tag: Option<PriceTag>) -> Received {
        if !self.count_duplicate(block, tag) {
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
    fn late_duplicate(&mut self, block: Block, tag: Option<PriceTag>) -> Received {
        if self.have.has(block.piece) && self.count_duplicate(block, tag) {
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
        if self.late.remove(&(conn, block)) {
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

    fn end(&mut self, piece: u32) -> Ended {
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

impl Begun {
    /// Whether others may be asked for chunks of it. A suspect that is slow or late does not
    /// hold its piece up.
    fn is_open(&self, now_ms: u64) -> bool {
        let slow = |chunk: &Chunk| match chunk {
            Chunk::Asked(requests) => requests
                .iter()
                .any(|one| one.expected_in(now_ms) > MAX_ALONE_MS),
            _ => false,
        };
        !self.alone || self.chunks.iter().any(slow)
    }

    /// One request fewer of a connection's; true if it was the last.
    fn close_one(&mut self, conn: ConnId) -> bool {
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
    fn expected_in(&self, now_ms: u64) -> u64 {
        self.answer_ms.abs_diff(now_ms)
    }
}

fn metered(requests: &[Request]) -> u64 {
    let metered = requests.iter().filter(|one| one.metered).count();
    u64::try_from(metered).expect("requests of a chunk are few")
}

/// How many of these answers may become priced duplicates: one of them all is used.
fn exposed(requests: &[Request]) -> u64 {
    let others = requests.len().saturating_sub(1);
    metered(requests).min(u64::try_from(others).expect("requests of a chunk are few"))
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
