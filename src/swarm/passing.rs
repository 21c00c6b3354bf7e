//! Who passes on what a seed gives it. Pure.
//!
//! The line of a seed serves a swarm best, if each piece goes out once, to a peer that
//! gives it to the others. A peer that says to have a piece that this seed did not give it
//! has it from those that were given it. They are credited with it, and are served first:
//! see [`Passing::factor`].

use std::collections::{BTreeMap, VecDeque};

use super::{choker::Group, hooks::ConnId, wire::Block};

/// Pieces of which it is known who was given them; the oldest are forgotten.
const MAX_PIECES: usize = 1024;
/// Peers of which it is known that they were given the same piece.
const MAX_RECEIVERS: usize = 64;
/// Requests of a peer that are put into another order.
const MAX_ORDERED: usize = 64;
/// After so many bytes to all, the past counts half.
const MEMORY: u64 = 32 << 20;
/// So many times the share of others has, at most, who passes on more than they.
const MAX_FACTOR: u64 = 128;
/// A peer's share falls with this power of how often what it was given went on.
const POWER: u32 = 4;
/// Bits behind the point while powers are taken.
const FRACTION: u32 = 20;
/// Who has from others this part of what the best served is given by us can do without us.
const SUPPLIED: u64 = 4;

/// What a peer was given of one piece.
#[derive(Debug)]
struct Given {
    conn: ConnId,
    group: Group,
    bytes: u64,
    /// It says to have the whole piece.
    has: bool,
}

/// A peer, as far as it passes on.
#[derive(Debug, Default)]
struct Record {
    /// Bytes that it was given.
    given: u64,
    /// Bytes of that which others have from it, once for each.
    passed_on: u64,
    /// Bytes of the pieces that it came to have.
    has: u64,
    /// Of them, what it was given by us.
    has_of_us: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Passing {
    pieces: BTreeMap<u32, Vec<Given>>,
    /// The pieces, those that were given out first come first.
    order: VecDeque<u32>,
    peers: BTreeMap<ConnId, Record>,
    /// Bytes that all of them were given.
    given: u64,
}

impl Passing {
    /// Bytes of a piece went to a peer.
    pub(super) fn gave(&mut self, conn: ConnId, group: Group, piece: u32, bytes: u32) {
        let bytes = u64::from(bytes);
        let record = self.peers.entry(conn).or_default();
        record.given += bytes;
        self.given += bytes;
        if self.given > MEMORY {
            self.given /= 2;
            self.peers.values_mut().for_each(Record::halve);
        }
        let all = self.pieces.entry(piece).or_insert_with(|| {
            self.order.push_back(piece);
            Vec::new()
        });
        if let Some(one) = all.iter_mut().find(|one| one.conn == conn) {
            one.bytes += bytes;
        } else if all.len() < MAX_RECEIVERS {
            all.push(Given {
                conn,
                group,
                bytes,
                has: false,
            });
        }
        if self.order.len() > MAX_PIECES
            && let Some(oldest) = self.order.pop_front()
        {
            self.pieces.remove(&oldest);
        }
    }

    /// A peer says to have a piece of so many bytes.
    pub(super) fn announced(&mut self, conn: ConnId, group: Group, piece: u32, length: u32) {
        let Some(all) = self.pieces.get_mut(&piece) else {
            if let Some(record) = self.peers.get_mut(&conn) {
                record.has += u64::from(length);
            }
            return;
        };
        let mut from_us = 0;
        if let Some(own) = all.iter_mut().find(|one| one.conn == conn) {
            if std::mem::replace(&mut own.has, true) {
                return;
            }
            from_us = own.bytes;
        }
        let length = u64::from(length);
        let from_others = length.saturating_sub(from_us);
        if let Some(record) = self.peers.get_mut(&conn) {
            record.has += length;
            record.has_of_us += length - from_others;
        }
        // Two of one network are one: it must not praise itself.
        let may = |one: &&Given| one.has && one.conn != conn && one.group != group;
        let sum: u64 = all.iter().filter(may).map(|one| one.bytes).sum();
        for one in all.iter().filter(may) {
            if let Some(record) = self.peers.get_mut(&one.conn) {
                record.passed_on += from_others * one.bytes / sum.max(1);
            }
        }
    }

    /// Puts the first of a peer's requests into the order in which they are served: a piece
    /// that nobody else was given more of comes first, so that each goes out once.
    pub(super) fn order(&self, conn: ConnId, requests: &mut VecDeque<Block>) {
        let all = requests.make_contiguous();
        let first = all.len().min(MAX_ORDERED);
        if let Some(first) = all.get_mut(..first) {
            first.sort_by_cached_key(|block| self.is_out(conn, block.piece));
        }
    }

    /// Whether a piece need not go to this peer first: another was given more of it.
    fn is_out(&self, conn: ConnId, piece: u32) -> bool {
        let all = self.pieces.get(&piece).map_or(&[][..], Vec::as_slice);
        let own = all.iter().find(|one| one.conn == conn);
        let own = own.map_or(0, |one| one.bytes);
        all.iter().any(|one| one.bytes > own)
    }

    /// The connection is over.
    pub(super) fn left(&mut self, conn: ConnId) {
        self.peers.remove(&conn);
        self.pieces.retain(|_, all| {
            all.retain(|one| one.conn != conn);
            !all.is_empty()
        });
        match self.pieces.is_empty() {
            // The memory is given back, too: most torrents of thousands have no peer.
            true => self.order = VecDeque::new(),
            false => self.order.retain(|piece| self.pieces.contains_key(piece)),
        }
    }

    /// The share of a peer beside that of one that passes nothing on: 1 to [`MAX_FACTOR`].
    /// It falls with the fourth power of how often what it was given went on, beside the
    /// best, so that the line goes to who can give each piece to all others, as long as it
    /// can. Nobody is put behind those who pass on, if nothing of it comes to it: who is new,
    /// or has from others less than a quarter of what the best served is given, has the
    /// share of the best.
    pub(super) fn factor(&self, conn: ConnId) -> u64 {
        let Some(record) = self.peers.get(&conn) else {
            return MAX_FACTOR;
        };
        let records = || self.peers.values();
        let most = records().map(|one| one.given).max().unwrap_or(0);
        if SUPPLIED * record.of_others() < most {
            return MAX_FACTOR;
        }
        let best = records().map(Record::often).max().unwrap_or(0).max(1);
        // At most 2²⁷, by 2²⁰ before it is divided.
        let scaled = (0..POWER).fold(MAX_FACTOR << FRACTION, |factor, _| {
            factor * record.often() / best
        });
        (scaled >> FRACTION).max(1)
    }
}

impl Record {
    /// Bytes that it has from others.
    fn of_others(&self) -> u64 {
        self.has.saturating_sub(self.has_of_us)
    }

    /// How often what it was given went on, in 64ths; at most 2²⁰.
    fn often(&self) -> u64 {
        let often = self.passed_on.saturating_mul(64) / self.given.max(1);
        often.min(1 << 20)
    }

    /// The past counts half.
    fn halve(&mut self) {
        for count in [
            &mut self.given,
            &mut self.passed_on,
            &mut self.has,
            &mut self.has_of_us,
        ] {
            *count /= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: u32 = 1 << 18;

    fn group(n: u8) -> Group {
        Group::V4([10, 0, n])
    }

    fn gave(passing: &mut Passing, n: u8, piece: u32, bytes: u32) {
        passing.gave(ConnId(n.into()), group(n), piece, bytes);
    }

    fn announced(passing: &mut Passing, n: u8, piece: u32) {
        passing.announced(ConnId(n.into()), group(n), piece, PIECE);
    }

    fn factors<const N: usize>(passing: &Passing, of: [u64; N]) -> [u64; N] {
        of.map(|n| passing.factor(ConnId(n)))
    }

    /// 1 and 2 were given two pieces each, and have them and those of each other.
    fn both() -> Passing {
        let mut passing = Passing::default();
        for (n, piece) in [(1, 0), (1, 1), (2, 2), (2, 3)] {
            gave(&mut passing, n, piece, PIECE);
            announced(&mut passing, n, piece);
        }
        assert_eq!(factors(&passing, [1, 2, 3]), [MAX_FACTOR; 3]);
        for (n, piece) in [(2, 0), (2, 1), (1, 2), (1, 3)] {
            announced(&mut passing, n, piece);
        }
        passing
    }

    #[test]
    fn it_falls_with_the_fourth_power_of_how_much_less_often_pieces_go_on() {
        let mut passing = both();
        assert_eq!(factors(&passing, [1, 2]), [MAX_FACTOR; 2]);
        // Others get the pieces of 1, but none of 2.
        announced(&mut passing, 3, 0);
        announced(&mut passing, 3, 1);
        assert_eq!(factors(&passing, [1, 2]), [MAX_FACTOR, 8]);
        for n in 4..20 {
            announced(&mut passing, n, 0);
            // Once counts.
            announced(&mut passing, 2, 0);
        }
        assert_eq!(factors(&passing, [1, 2]), [MAX_FACTOR, 1]);
        passing.left(ConnId(1));
        assert_eq!(passing.factor(ConnId(2)), MAX_FACTOR);
    }

    /// A seed of thousands of torrents has had peers in each of them.
    #[test]
    fn nothing_is_kept_of_those_who_left() {
        let mut passing = both();
        passing.left(ConnId(1));
        let kept: Vec<u32> = passing.pieces.keys().copied().collect();
        assert_eq!((kept, passing.order.len()), (vec![2, 3], 2));
        passing.left(ConnId(2));
        assert!(passing.pieces.is_empty() && passing.peers.is_empty());
        assert_eq!(passing.order.capacity(), 0);
        // Those who come later are counted as the first ones were.
        gave(&mut passing, 3, 0, PIECE);
        announced(&mut passing, 3, 0);
        assert_eq!(factors(&passing, [3, 4]), [MAX_FACTOR; 2]);
    }

    #[test]
    fn who_gets_little_from_others_is_not_put_behind_them() {
        let mut passing = both();
        for piece in 4..12 {
            gave(&mut passing, 1, piece, PIECE);
            announced(&mut passing, 1, piece);
        }
        for piece in [12, 13, 14] {
            gave(&mut passing, 3, piece, PIECE);
            announced(&mut passing, 3, piece);
        }
        // The best served was given ten pieces.
        for from_others in [4, 5] {
            assert_eq!(passing.factor(ConnId(3)), MAX_FACTOR);
            announced(&mut passing, 3, from_others);
        }
        assert_eq!(passing.factor(ConnId(3)), MAX_FACTOR);
        announced(&mut passing, 3, 1000);
        assert_eq!(passing.factor(ConnId(3)), 1);
    }

    #[test]
    fn what_the_seed_gave_itself_is_nobodys_merit() {
        let mut passing = Passing::default();
        for n in [1, 2] {
            gave(&mut passing, n, 0, PIECE);
        }
        for n in [1, 2] {
            announced(&mut passing, n, 0);
        }
        let merits = |passing: &Passing| [1, 2].map(|n| passing.peers[&ConnId(n)].passed_on);
        assert_eq!(merits(&passing), [0, 0]);
        // Half of it.
        gave(&mut passing, 1, 1, PIECE);
        announced(&mut passing, 1, 1);
        gave(&mut passing, 2, 1, PIECE / 2);
        announced(&mut passing, 2, 1);
        assert_eq!(merits(&passing), [u64::from(PIECE) / 2, 0]);
    }

    #[test]
    fn who_has_not_the_whole_piece_and_whoever_praises_itself_gets_nothing() {
        let mut passing = Passing::default();
        gave(&mut passing, 1, 0, PIECE);
        announced(&mut passing, 2, 0);
        announced(&mut passing, 1, 0);
        passing.announced(ConnId(3), group(1), 0, PIECE);
        announced(&mut passing, 1, 0);
        assert_eq!(passing.peers[&ConnId(1)].passed_on, 0);
        announced(&mut passing, 4, 77);
        assert_eq!(passing.pieces.len(), 1);
    }

    #[test]
    fn a_piece_that_went_to_another_is_out() {
        let mut passing = Passing::default();
        gave(&mut passing, 1, 0, PIECE);
        gave(&mut passing, 2, 0, PIECE / 2);
        let out = |n, piece| passing.is_out(ConnId(n), piece);
        assert!(!out(1, 0) && out(2, 0) && out(3, 0) && !out(3, 1));
        let block = |piece| Block {
            piece,
            begin: 0,
            length: 1,
        };
        let mut requests: VecDeque<_> = [0, 2, 0, 1].map(block).into();
        passing.order(ConnId(3), &mut requests);
        assert_eq!(requests, [2, 1, 0, 0].map(block));
    }

    #[test]
    fn the_past_counts_less_and_less_and_the_memory_is_bounded() {
        let mut passing = both();
        for piece in 10..3000 {
            gave(&mut passing, 1, piece, PIECE);
            for n in 0..100 {
                gave(&mut passing, n, piece, 1);
            }
        }
        assert_eq!(passing.peers[&ConnId(1)].often(), 0);
        assert!(passing.given <= MEMORY);
        assert_eq!(passing.pieces.len(), MAX_PIECES);
        assert_eq!(passing.order.len(), MAX_PIECES);
        let bounded = |all: &Vec<Given>| all.len() <= MAX_RECEIVERS;
        assert!(passing.pieces.values().all(bounded));
    }
}
