//! The pieces that may be begun, the rarest first. Each change costs a few steps, and so
//! does finding the rarest piece that a seed has, however many pieces there are.

use crate::swarm::bitfield::Bitfield;

/// Not in the order.
const NOWHERE: u32 = u32::MAX;

/// How many peers have each piece, and the listed pieces in the order of that.
#[derive(Debug)]
pub(super) struct Rarity {
    /// By piece: how many peers have it.
    counts: Vec<u32>,
    /// Listed pieces; those that as many peers have lie together.
    order: Vec<u32>,
    /// By piece: its place in `order`.
    places: Vec<u32>,
    /// By count: where its pieces begin in `order`. Those of the highest count end with it.
    begins: Vec<u32>,
    random: u32,
}

impl Rarity {
    /// Nobody has any of so many pieces, and none is listed. `seed` makes the choices
    /// between equally rare ones repeatable.
    pub(super) fn new(pieces: u32, seed: u32) -> Self {
        Self {
            counts: vec![0; size(pieces)],
            order: Vec::new(),
            places: vec![NOWHERE; size(pieces)],
            begins: vec![0],
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

    /// Where the pieces of a count begin, and where they end.
    fn bucket(&self, count: u32) -> (u32, u32) {
        let all = wide(self.order.len());
        let begin = |count: u32| self.begins.get(size(count)).copied().unwrap_or(all);
        (begin(count), begin(count.saturating_add(1)))
    }

    fn swap(&mut self, one: u32, other: u32) {
        self.order.swap(size(one), size(other));
        for place in [one, other] {
            if let Some(piece) = self.order.get(size(place))
                && let Some(known) = self.places.get_mut(size(*piece))
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

    /// One more peer has it.
    pub(super) fn more(&mut self, piece: u32) {
        let count = self.count(piece);
        if let Some(known) = self.counts.get_mut(size(piece)) {
            *known = count.saturating_add(1);
        }
        if let Some(place) = self.place(piece) {
            // The last of its count becomes the first of the next one.
            self.reach(count + 1);
            let (_, end) = self.bucket(count);
            self.swap(place, end - 1);
            *self.begin_mut(count + 1) -= 1;
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
            let (begin, _) = self.bucket(count);
            self.swap(place, begin);
            *self.begin_mut(count) += 1;
        }
    }

    /// The piece may be begun.
    pub(super) fn list(&mut self, piece: u32) {
        if self.place(piece).is_some() || size(piece) >= self.places.len() {
            return;
        }
        let count = self.count(piece);
        self.reach(count);
        self.order.push(piece);
        let mut place = wide(self.order.len()) - 1;
        if let Some(known) = self.places.get_mut(size(piece)) {
            *known = place;
        }
        // It moves down past the pieces of each higher count.
        for higher in (count + 1..wide(self.begins.len())).rev() {
            let begin = *self.begin_mut(higher);
            self.swap(place, begin);
            place = begin;
            *self.begin_mut(higher) += 1;
        }
    }

    /// The piece may not be begun: it is, or it is here.
    pub(super) fn unlist(&mut self, piece: u32) {
        let Some(mut place) = self.place(piece) else {
            return;
        };
        let (_, end) = self.bucket(self.count(piece));
        self.swap(place, end - 1);
        place = end - 1;
        for higher in self.count(piece) + 1..wide(self.begins.len()) {
            let (_, end) = self.bucket(higher);
            *self.begin_mut(higher) -= 1;
            self.swap(place, end - 1);
            place = end - 1;
        }
        self.order.pop();
        if let Some(known) = self.places.get_mut(size(piece)) {
            *known = NOWHERE;
        }
    }

    /// The listed piece of `theirs` that the fewest peers have; one of them by chance.
    pub(super) fn rarest(&mut self, theirs: &Bitfield) -> Option<u32> {
        // xorshift32: this decides between equally rare ones, nothing secret.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        for count in 0..wide(self.begins.len()) {
            let (begin, end) = self.bucket(count);
            let bucket = self.order.get(size(begin)..size(end)).unwrap_or_default();
            if bucket.is_empty() {
                continue;
            }
            let (before, after) = bucket.split_at(size(self.random) % bucket.len());
            let mut all = after.iter().chain(before);
            if let Some(piece) = all.find(|piece| theirs.has(**piece)) {
                return Some(*piece);
            }
        }
        None
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
    use proptest::prelude::*;

    use super::*;

    const PIECES: u32 = 12;

    #[derive(Debug, Clone, Copy)]
    enum Step {
        More(u32),
        Fewer(u32),
        List(u32),
        Unlist(u32),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = (0..4u8, 0..PIECES).prop_map(|(what, piece)| match what {
            0 => Step::More(piece),
            1 => Step::Fewer(piece),
            2 => Step::List(piece),
            _ => Step::Unlist(piece),
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
                }
                let may = |n: &u32| listed[size(*n)] && theirs[size(*n)];
                let least = (0..PIECES).filter(may).map(|n| counts[size(n)]).min();
                let found = rarity.rarest(&bits);
                prop_assert_eq!(found.map(|n| counts[size(n)]), least);
                prop_assert!(found.is_none_or(|n| may(&n)));
            }
        }
    }
}
