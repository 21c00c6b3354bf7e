//! The pieces that may be begun, the rarest first. Each change costs a few steps, and so
//! does finding the rarest piece that a seed has, however many pieces there are.

use crate::swarm::{bitfield::Bitfield, file_priority::FilePriority};

/// Not in the order.
const NOWHERE: u32 = u32::MAX;

/// How many peers have each piece, and the listed pieces: those of a higher priority first,
/// and among them in the order of rarity.
#[derive(Debug)]
pub(super) struct Rarity {
    pieces: usize,
    /// By piece: how many peers have it. Empty until one has some: most torrents of thousands
    /// have no peer.
    counts: Vec<u32>,
    /// By piece: its place on its shelf. Empty until one is listed: of what is complete none is.
    places: Vec<u32>,
    /// By piece; empty: all are normal.
    priorities: Vec<FilePriority>,
    /// The listed pieces of each priority, the lowest first.
    shelves: [Shelf; 3],
    random: u32,
}

/// Pieces in the order of their counts.
#[derive(Debug)]
struct Shelf {
    /// Those that as many peers have lie together.
    order: Vec<u32>,
    /// By count: where its pieces begin in `order`. Those of the highest count end with it.
    begins: Vec<u32>,
}

impl Shelf {
    fn new() -> Self {
        Self {
            order: Vec::new(),
            begins: vec![0],
        }
    }

    /// Where the pieces of a count begin, and where they end.
    fn bucket(&self, count: u32) -> (u32, u32) {
        let all = wide(self.order.len());
        let begin = |count: u32| self.begins.get(size(count)).copied().unwrap_or(all);
        (begin(count), begin(count.saturating_add(1)))
    }

    fn swap(&mut self, places: &mut [u32], one: u32, other: u32) {
        self.order.swap(size(one), size(other));
        for place in [one, other] {
            if let Some(piece) = self.order.get(size(place))
                && let Some(known) = places.get_mut(size(*piece))
            {
                *known = place;
            }
        }
    }

    /// Room for pieces that so many peers have.
    fn reach(&mut self, count: u32) {
        let all = wide(self.order.len());
        while self.begins.len() <= size(count) {
            self.begins.push(all);
        }
    }

    fn begin_mut(&mut self, count: u32) -> &mut u32 {
        self.reach(count);
        let begin = self.begins.get_mut(size(count));
        begin.expect("`reach` has made it")
    }

    /// A piece of it has one peer more than `count`.
    fn more(&mut self, places: &mut [u32], place: u32, count: u32) {
        // The last of its count becomes the first of the next one.
        self.reach(count + 1);
        let (_, end) = self.bucket(count);
        self.swap(places, place, end - 1);
        *self.begin_mut(count + 1) -= 1;
    }

    /// A piece of it has one peer fewer than `count`.
    fn fewer(&mut self, places: &mut [u32], place: u32, count: u32) {
        let (begin, _) = self.bucket(count);
        self.swap(places, place, begin);
        *self.begin_mut(count) += 1;
    }

    fn add(&mut self, places: &mut [u32], piece: u32, count: u32) {
        self.reach(count);
        self.order.push(piece);
        let mut place = wide(self.order.len()) - 1;
        if let Some(known) = places.get_mut(size(piece)) {
            *known = place;
        }
        // It moves down past the pieces of each higher count.
        for higher in (count + 1..wide(self.begins.len())).rev() {
            let begin = *self.begin_mut(higher);
            self.swap(places, place, begin);
            place = begin;
            *self.begin_mut(higher) += 1;
        }
    }

    fn remove(&mut self, places: &mut [u32], place: u32, count: u32) {
        let (_, end) = self.bucket(count);
        self.swap(places, place, end - 1);
        let mut place = end - 1;
        for higher in count + 1..wide(self.begins.len()) {
            let (_, end) = self.bucket(higher);
            *self.begin_mut(higher) -= 1;
            self.swap(places, place, end - 1);
            place = end - 1;
        }
        self.order.pop();
    }

    /// The first piece of `theirs`; among equally rare ones by `random`.
    fn rarest(&self, theirs: &Bitfield, random: u32) -> Option<u32> {
        for count in 0..wide(self.begins.len()) {
            let (begin, end) = self.bucket(count);
            let bucket = self.order.get(size(begin)..size(end)).unwrap_or_default();
            if bucket.is_empty() {
                continue;
            }
            let (before, after) = bucket.split_at(size(random) % bucket.len());
            let mut all = after.iter().chain(before);
            if let Some(piece) = all.find(|piece| theirs.has(**piece)) {
                return Some(*piece);
            }
        }
        None
    }
}

impl Rarity {
    /// Nobody has any of so many pieces, none is listed, and all are of normal priority.
    /// `seed` makes the choices between equally rare ones repeatable.
    pub(super) fn new(pieces: u32, seed: u32) -> Self {
        Self {
            pieces: size(pieces),
            counts: Vec::new(),
            places: Vec::new(),
            priorities: Vec::new(),
            shelves: [Shelf::new(), Shelf::new(), Shelf::new()],
            random: seed | 1,
        }
    }

    fn count(&self, piece: u32) -> u32 {
        self.counts.get(size(piece)).copied().unwrap_or(0)
    }

    fn place(&self, piece: u32) -> Option<u32> {
        let place = self.places.get(size(piece)).copied();
        place.filter(|place| *place != NOWHERE)
    }

    /// The shelf that a piece belongs on, and where all pieces are.
    fn shelf(&mut self, piece: u32) -> (&mut Shelf, &mut [u32]) {
        let [low, normal, high] = &mut self.shelves;
        let priority = self.priorities.get(size(piece)).copied();
        let shelf = match priority.unwrap_or_default() {
            FilePriority::Low => low,
            FilePriority::Normal => normal,
            FilePriority::High => high,
        };
        (shelf, &mut self.places)
    }

    /// Changes the priorities, by piece; none: all are normal.
    pub(super) fn prioritize(&mut self, priorities: Vec<FilePriority>) {
        if priorities == self.priorities {
            return;
        }
        let mut listed = Vec::new();
        for shelf in &mut self.shelves {
            listed.append(&mut shelf.order);
            *shelf = Shelf::new();
        }
        self.places.fill(NOWHERE);
        self.priorities = priorities;
        for piece in listed {
            self.list(piece);
        }
    }

    /// One more peer has it.
    pub(super) fn more(&mut self, piece: u32) {
        let count = self.count(piece);
        self.counts.resize(self.pieces, 0);
        if let Some(known) = self.counts.get_mut(size(piece)) {
            *known = count.saturating_add(1);
        }
        if let Some(place) = self.place(piece) {
            let (shelf, places) = self.shelf(piece);
            shelf.more(places, place, count);
        }
    }

    /// One peer fewer has it.
    pub(super) fn fewer(&mut self, piece: u32) {
        let count = self.count(piece);
        if count == 0 {
            return;
        }
        if let Some(known) = self.counts.get_mut(size(piece)) {
            *known = count - 1;
        }
        if let Some(place) = self.place(piece) {
            let (shelf, places) = self.shelf(piece);
            shelf.fewer(places, place, count);
        }
    }

    /// The piece may be begun.
    pub(super) fn list(&mut self, piece: u32) {
        if self.place(piece).is_some() || size(piece) >= self.pieces {
            return;
        }
        self.places.resize(self.pieces, NOWHERE);
        let count = self.count(piece);
        let (shelf, places) = self.shelf(piece);
        shelf.add(places, piece, count);
    }

    /// The piece may not be begun: it is, or it is here.
    pub(super) fn unlist(&mut self, piece: u32) {
        let Some(place) = self.place(piece) else {
            return;
        };
        let count = self.count(piece);
        let (shelf, places) = self.shelf(piece);
        shelf.remove(places, place, count);
        if let Some(known) = self.places.get_mut(size(piece)) {
            *known = NOWHERE;
        }
    }

    /// The listed piece of `theirs` with the highest priority; of several the one that the
    /// fewest peers have, and of those one by chance.
    pub(super) fn rarest(&mut self, theirs: &Bitfield) -> Option<u32> {
        // xorshift32: this decides between equally rare ones, nothing secret.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        let random = self.random;
        let mut shelves = self.shelves.iter().rev();
        shelves.find_map(|shelf| shelf.rarest(theirs, random))
    }
}

fn size(index: u32) -> usize {
    usize::try_from(index).expect("usize has at least 32 bits")
}

fn wide(length: usize) -> u32 {
    u32::try_from(length).expect("there are fewer than 2³² pieces")
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    use proptest::prelude::*;

    use super::*;

    const PIECES: u32 = 12;

    #[derive(Debug, Clone, Copy)]
    enum Step {
        More(u32),
        Fewer(u32),
        List(u32),
        Unlist(u32),
        /// All pieces have a priority; bits of the number say which.
        Prioritize(u32),
    }

    fn priorities(bits: u32) -> Vec<FilePriority> {
        let all = [FilePriority::Low, FilePriority::Normal, FilePriority::High];
        let of = |piece: u32| all[size((bits >> piece) % 3)];
        (0..PIECES).map(of).collect()
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = (0..13u8, 0..PIECES, any::<u32>());
        let step = step.prop_map(|(what, piece, bits)| match what {
            0..3 => Step::More(piece),
            3..6 => Step::Fewer(piece),
            6..9 => Step::List(piece),
            9..12 => Step::Unlist(piece),
            _ => Step::Prioritize(bits),
        });
        proptest::collection::vec(step, 0..80)
    }

    proptest! {
        #[test]
        fn the_rarest_is_what_a_look_at_every_piece_finds(
            steps in steps(),
            theirs in proptest::collection::vec(any::<bool>(), size(PIECES)),
        ) {
            let mut rarity = Rarity::new(PIECES, 7);
            let mut counts = vec![0u32; size(PIECES)];
            let mut listed = vec![false; size(PIECES)];
            let mut wanted = vec![FilePriority::Normal; size(PIECES)];
            let mut bits = Bitfield::empty(PIECES);
            for (piece, _) in (0..).zip(&theirs).filter(|(_, has)| **has) {
                bits.insert(piece);
            }
            for step in steps {
                match step {
                    Step::More(n) => {
                        rarity.more(n);
                        counts[size(n)] += 1;
                    }
                    Step::Fewer(n) => {
                        rarity.fewer(n);
                        counts[size(n)] = counts[size(n)].saturating_sub(1);
                    }
                    Step::List(n) => {
                        rarity.list(n);
                        listed[size(n)] = true;
                    }
                    Step::Unlist(n) => {
                        rarity.unlist(n);
                        listed[size(n)] = false;
                    }
                    Step::Prioritize(bits) => {
                        wanted = priorities(bits);
                        rarity.prioritize(wanted.clone());
                    }
                }
                let may = |n: &u32| listed[size(*n)] && theirs[size(*n)];
                let rank = |n: u32| (Reverse(wanted[size(n)]), counts[size(n)]);
                let first = (0..PIECES).filter(may).map(rank).min();
                let found = rarity.rarest(&bits);
                prop_assert_eq!(found.map(rank), first);
                prop_assert!(found.is_none_or(|n| may(&n)));
            }
        }
    }
}
