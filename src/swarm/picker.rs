//! What to ask of whom. Pure.
//!
//! A piece that is wanted is *missing*, *begun* or *had*. Begun pieces are finished before new
//! ones are begun; a new one is the rarest that the peer has. In the endgame,
//! when every chunk that is left has been asked of somebody, chunks are asked of
//! a second peer.
//!
//! Padding is not asked for, unless a piece is nothing but padding.
//!
//! A request may be *exclusive*: a piece begun so belongs to that connection,
//! nobody else is asked for any chunk of it until the owner lets go
//! ([`Picker::release`]), and its chunks are never asked twice.

use std::collections::BTreeMap;

use super::{
    bitfield::Bitfield,
    hooks::{ConnId, PriceTag},
    metainfo::Layout,
    selection::Wanted,
    wire::{Block, CHUNK},
};

/// Bytes of begun pieces held in memory at most, though two pieces always fit.
/// Enough for a request pipeline of 1 Gbit/s × 100 ms with each of several
/// peers; little beside what a browser's tab takes.
pub const MAX_BEGUN_BYTES: u64 = 48 << 20;

/// Chunks of a verified piece by the connection that sent them.
pub type Contributions = BTreeMap<ConnId, Vec<(PriceTag, u32)>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunk {
    Missing,
    /// Padding: here without being asked for.
    Zeros,
    Asked {
        of: ConnId,
        also: Option<ConnId>,
        exclusive: bool,
    },
    Here {
        from: ConnId,
        tag: Option<PriceTag>,
    },
}

#[derive(Debug)]
struct Begun {
    owner: Option<ConnId>,
    chunks: Vec<Chunk>,
    missing: u32,
    here: u32,
}

/// What [`Picker::received`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// The chunk is not needed (any more).
    Unwanted,
    /// It is used. Somebody else may have been asked for it too and should be
    /// told; the piece may have all its chunks now.
    Used {
        /// Whom to send a cancel.
        cancel: Option<ConnId>,
        /// It was the piece's last chunk.
        complete: bool,
    },
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

    /// Chooses the next chunk to ask of `conn`, which has the pieces `theirs`,
    /// and notes that it was asked.
    pub fn pick(&mut self, conn: ConnId, theirs: &Bitfield, exclusive: bool) -> Option<Block> {
        let found = self
            .pick_begun(conn, theirs, |begun| begun.owner == Some(conn))
            .or_else(|| {
                // A paid peer rather begins its own; a free one finishes first.
                if exclusive {
                    self.begin(conn, theirs, true)
                        .or_else(|| self.pick_begun(conn, theirs, |b| b.owner.is_none()))
                } else {
                    self.pick_begun(conn, theirs, |begun| begun.owner.is_none())
                        .or_else(|| self.begin(conn, theirs, false))
                }
            });
        if let Some((piece, chunk)) = found {
            self.mark(piece, chunk, conn, exclusive);
            return Some(self.layout.chunk(piece, chunk));
        }
        if exclusive || !self.is_endgame() {
            return None;
        }
        self.pick_twice(conn, theirs)
    }

    /// Every chunk that is left was asked of somebody.
    pub fn is_endgame(&self) -> bool {
        size(self.left) == self.begun.len() && self.begun.values().all(|begun| begun.missing == 0)
    }

    fn pick_begun(
        &self,
        _conn: ConnId,
        theirs: &Bitfield,
        of: impl Fn(&Begun) -> bool,
    ) -> Option<(u32, u32)> {
        let mut begun = self
            .begun
            .iter()
            .filter(|(piece, begun)| begun.missing > 0 && theirs.has(**piece) && of(begun));
        let (piece, begun) = begun.next()?;
        let at = begun.chunks.iter().position(|c| *c == Chunk::Missing)?;
        Some((*piece, u32::try_from(at).ok()?))
    }

    fn begin(&mut self, conn: ConnId, theirs: &Bitfield, exclusive: bool) -> Option<(u32, u32)> {
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
                owner: exclusive.then_some(conn),
                chunks: all,
                missing: chunks - here,
                here,
            },
        );
        Some((piece, u32::try_from(first).ok()?))
    }

    /// The chunks of a piece that are padding, and so not asked for. A piece of nothing
    /// else is asked for whole: somebody must have it.
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
            if !self.wanted.pieces().has(piece)
                || self.have.has(piece)
                || !theirs.has(piece)
                || self.begun.contains_key(&piece)
            {
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

    fn pick_twice(&mut self, conn: ConnId, theirs: &Bitfield) -> Option<Block> {
        for (piece, begun) in &mut self.begun {
            if !theirs.has(*piece) || begun.owner.is_some() {
                continue;
            }
            for (at, chunk) in (0..).zip(&mut begun.chunks) {
                if let Chunk::Asked {
                    of,
                    also: also @ None,
                    exclusive: false,
                } = chunk
                    && *of != conn
                {
                    *also = Some(conn);
                    return Some(self.layout.chunk(*piece, at));
                }
            }
        }
        None
    }

    fn mark(&mut self, piece: u32, chunk: u32, conn: ConnId, exclusive: bool) {
        let Some(begun) = self.begun.get_mut(&piece) else {
            return;
        };
        if let Some(state @ Chunk::Missing) = begun.chunks.get_mut(size(chunk)) {
            *state = Chunk::Asked {
                of: conn,
                also: None,
                exclusive,
            };
            begun.missing -= 1;
        }
    }

    /// A chunk came that `conn` was asked for with this tag.
    pub fn received(&mut self, conn: ConnId, block: Block, tag: Option<PriceTag>) -> Received {
        let Some(begun) = self.begun.get_mut(&block.piece) else {
            return Received::Unwanted;
        };
        let Some(state) = begun.chunks.get_mut(size(block.begin / CHUNK)) else {
            return Received::Unwanted;
        };
        let cancel = match *state {
            Chunk::Asked { of, also, .. } if of == conn => also,
            Chunk::Asked { of, also, .. } if also == Some(conn) => Some(of),
            _ => return Received::Unwanted,
        };
        *state = Chunk::Here { from: conn, tag };
        begun.here += 1;
        Received::Used {
            cancel,
            complete: begun.here == self.layout.chunks(block.piece),
        }
    }

    /// A chunk that `conn` was asked for will not come from it.
    pub fn dropped(&mut self, conn: ConnId, block: Block) {
        let Some(begun) = self.begun.get_mut(&block.piece) else {
            return;
        };
        let Some(state) = begun.chunks.get_mut(size(block.begin / CHUNK)) else {
            return;
        };
        match state {
            Chunk::Asked { of, also, .. } if *of == conn => match also.take() {
                Some(other) => *of = other,
                None => {
                    *state = Chunk::Missing;
                    begun.missing += 1;
                }
            },
            Chunk::Asked { also, .. } if *also == Some(conn) => *also = None,
            _ => {}
        }
        let idle = |chunk: &Chunk| matches!(chunk, Chunk::Missing | Chunk::Zeros);
        if begun.chunks.iter().all(idle) {
            self.begun.remove(&block.piece);
        }
    }

    /// The owner of exclusive pieces does not answer: others may finish them.
    pub fn release(&mut self, conn: ConnId) {
        for begun in self.begun.values_mut() {
            if begun.owner == Some(conn) {
                begun.owner = None;
            }
        }
    }

    /// The connection is gone: what came from it stays, but is owed to nobody.
    /// The tagged bytes that are written off so.
    pub fn disown(&mut self, conn: ConnId) -> Vec<(PriceTag, u32)> {
        self.release(conn);
        let mut lost = Vec::new();
        for (piece, begun) in &mut self.begun {
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

    /// The piece's hash matched. Who sent it, as tagged.
    pub fn verified(&mut self, piece: u32) -> Contributions {
        if self.have.insert(piece) && self.wanted.pieces().has(piece) {
            self.left -= 1;
        }
        self.take(piece)
    }

    /// The piece's hash did not match, or it could not be stored: it is missing
    /// again. Who sent it.
    pub fn failed(&mut self, piece: u32) -> Contributions {
        self.take(piece)
    }

    /// Everybody that sent a chunk of a begun piece.
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

    fn take(&mut self, piece: u32) -> Contributions {
        let mut all = Contributions::new();
        if let Some(begun) = self.begun.remove(&piece) {
            for (at, chunk) in (0..).zip(begun.chunks) {
                if let Chunk::Here {
                    from,
                    tag: Some(tag),
                } = chunk
                {
                    let length = self.layout.chunk(piece, at).length;
                    all.entry(from).or_default().push((tag, length));
                }
            }
        }
        all
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const A: ConnId = ConnId(1);
    const B: ConnId = ConnId(2);

    fn picker(pieces: u32) -> Picker {
        let layout = Layout::new(u64::from(pieces) * 65536, 65536).unwrap();
        let wanted = Wanted::everything(layout);
        Picker::new(layout, Bitfield::empty(pieces), wanted, 7)
    }

    #[test]
    fn the_rarest_piece_comes_first_and_begun_ones_are_finished() {
        let mut picker = picker(4);
        let all = Bitfield::full(4);
        picker.peer_came(&all);
        picker.peer_came(&all);
        for piece in [0, 1, 3] {
            picker.peer_has(piece);
        }
        let picks: Vec<_> = (0..4)
            .map(|_| picker.pick(A, &all, false).unwrap())
            .collect();
        assert!(picks.iter().all(|block| block.piece == 2), "{picks:?}");
        assert_eq!(
            picks.iter().map(|b| b.begin).collect::<BTreeSet<_>>().len(),
            4
        );
        assert_ne!(picker.pick(B, &all, false).unwrap().piece, 2);
    }

    #[test]
    fn the_endgame_asks_twice_and_cancels() {
        let mut picker = picker(1);
        let all = Bitfield::full(1);
        let first: Vec<_> = (0..4)
            .map(|_| picker.pick(A, &all, false).unwrap())
            .collect();
        assert!(picker.is_endgame());
        assert_eq!(picker.pick(A, &all, false), None);
        let again: Vec<_> = (0..4)
            .map(|_| picker.pick(B, &all, false).unwrap())
            .collect();
        assert_eq!(first, again);
        assert_eq!(picker.pick(B, &all, false), None);
        let used = picker.received(B, again[0], None);
        assert_eq!(
            used,
            Received::Used {
                cancel: Some(A),
                complete: false
            }
        );
        assert_eq!(picker.received(A, first[0], None), Received::Unwanted);
    }

    #[test]
    fn a_piece_begun_exclusively_is_asked_of_nobody_else() {
        let mut picker = picker(1);
        let all = Bitfield::full(1);
        let tag = PriceTag(5);
        let first = picker.pick(A, &all, true).unwrap();
        assert_eq!(picker.pick(B, &all, false), None);
        assert_eq!(picker.pick(B, &all, true), None);
        picker.received(A, first, Some(tag));
        let second = picker.pick(A, &all, true).unwrap();
        picker.dropped(A, second);
        picker.release(A);
        let rest: Vec<_> = (0..3)
            .map(|_| picker.pick(B, &all, false).unwrap())
            .collect();
        assert_eq!(rest[0], second);
        for block in &rest {
            picker.received(B, *block, None);
        }
        assert_eq!(picker.senders(0), [A, B]);
        let paid = picker.verified(0);
        assert_eq!(paid, Contributions::from([(A, vec![(tag, CHUNK)])]));
        assert!(picker.have().is_full());
    }

    #[test]
    fn what_a_lost_peer_sent_stays_and_is_written_off() {
        let mut picker = picker(2);
        let all = Bitfield::full(2);
        let block = picker.pick(A, &all, true).unwrap();
        picker.received(A, block, Some(PriceTag(9)));
        assert_eq!(picker.disown(A), [(PriceTag(9), CHUNK)]);
        assert_eq!(picker.disown(A), []);
        assert_eq!(picker.pick(B, &all, false).unwrap().piece, block.piece);
    }

    proptest! {
        /// Random peers come, answer, drop and vanish; in the end everything was
        /// had exactly once, and an exclusive chunk was never out twice.
        #[test]
        fn everything_is_had_once(
            pieces in 1u32..12,
            steps in proptest::collection::vec((0u64..4, 0u8..8), 0..400),
        ) {
            let mut picker = picker(pieces);
            let all = Bitfield::full(pieces);
            let mut out: Vec<(ConnId, Block)> = Vec::new();
            let finish = (0..4000u64).map(|n| (n % 2 * 3, u8::from(n % 3 == 0) * 7));
            for (peer, action) in steps.into_iter().chain(finish) {
                let conn = ConnId(peer);
                let exclusive = peer < 2;
                let mine = out.iter().position(|(of, _)| *of == conn);
                match (action, mine) {
                    (0..4, _) => if let Some(block) = picker.pick(conn, &all, exclusive) {
                        let others = out.iter().filter(|(_, b)| *b == block);
                        for (other, _) in others {
                            prop_assert!(!exclusive && other.0 >= 2 && *other != conn);
                        }
                        out.push((conn, block));
                    },
                    (4, Some(at)) => {
                        picker.dropped(conn, out.remove(at).1);
                    }
                    (5, _) => {
                        for (_, block) in out.extract_if(.., |(of, _)| *of == conn) {
                            picker.dropped(conn, block);
                        }
                        picker.disown(conn);
                    }
                    (_, Some(at)) => {
                        let block = out.remove(at).1;
                        let tag = exclusive.then_some(PriceTag(1));
                        if let Received::Used { cancel, complete } =
                            picker.received(conn, block, tag)
                        {
                            if let Some(other) = cancel {
                                out.retain(|entry| *entry != (other, block));
                            }
                            if complete {
                                prop_assert!(!picker.have().has(block.piece));
                                picker.verified(block.piece);
                            }
                        }
                    }
                    _ => {}
                }
            }
            for (conn, block) in out {
                picker.dropped(conn, block);
            }
            for peer in 0..4 {
                picker.disown(ConnId(peer));
            }
            while let Some(block) = picker.pick(B, &all, false) {
                if let Received::Used { complete: true, .. } = picker.received(B, block, None) {
                    picker.verified(block.piece);
                }
            }
            prop_assert!(picker.have().is_full(), "{} of {pieces}", picker.have().count());
        }
    }
}
