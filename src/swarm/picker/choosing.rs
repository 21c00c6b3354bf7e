//! What is wanted changes while pieces are in the making.

use super::{
    Picker,
    chunks::{Begun, Chunk, Ended},
    missing,
};
use crate::swarm::selection::Wanted;

/// A piece in the making that is not wanted any more.
#[derive(Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// Which.
    pub piece: u32,
    /// Bytes of it that had come.
    pub bytes: u64,
    /// What its connections are told.
    pub ended: Ended,
}

impl Picker {
    /// Other files are wanted. A begun piece that is not wanted any more is not asked for, but
    /// one of which a seller's chunk is here: that is owed once the piece is verified, so the
    /// piece is finished while the download goes on. What is on its way is taken in all the
    /// same. [`give_up`](Self::give_up) ends the others.
    pub fn choose(&mut self, wanted: Wanted) {
        self.wanted = wanted;
        self.left = missing(&self.wanted, &self.have);
        for piece in 0..self.layout.pieces() {
            match self.lacks(piece) && !self.begun.contains_key(&piece) {
                true => self.rarity.list(piece),
                false => self.rarity.unlist(piece),
            }
        }
        self.narrowed = self.begun.keys().any(|piece| !self.lacks(*piece));
    }

    /// Gives up the begun pieces that are not wanted any more: those of which nothing is on
    /// its way and which will not be finished.
    pub fn give_up(&mut self) -> Vec<GivenUp> {
        if !self.narrowed {
            return Vec::new();
        }
        let done = self.is_done();
        let over = |(piece, begun): &(&u32, &Begun)| {
            let finished = begun.is_whole() || begun.is_owed() && !done;
            !self.lacks(**piece) && !begun.is_on_its_way() && !finished
        };
        let over = self.begun.iter().filter(over);
        let over = over.map(|(piece, begun)| (*piece, self.bytes_here(*piece, begun)));
        let over: Vec<(u32, u64)> = over.collect();
        let given_up = over.into_iter().map(|(piece, bytes)| GivenUp {
            piece,
            bytes,
            ended: self.end(piece),
        });
        let given_up = given_up.collect();
        self.narrowed = self.begun.keys().any(|piece| !self.lacks(*piece));
        given_up
    }

    /// How many pieces are begun.
    #[cfg(test)]
    pub(in crate::swarm) fn in_the_making(&self) -> usize {
        self.begun.len()
    }

    fn bytes_here(&self, piece: u32, begun: &Begun) -> u64 {
        let here = (0..).zip(&begun.chunks);
        let here = here.filter(|(_, chunk)| matches!(chunk, Chunk::Here { .. }));
        let bytes = here.map(|(at, _)| u64::from(self.layout.chunk(piece, at).length));
        bytes.sum()
    }

    /// Whether chunks of a begun piece are asked for.
    pub(super) fn is_asked_for(&self, piece: u32, begun: &Begun) -> bool {
        !self.narrowed || self.lacks(piece) || begun.is_owed()
    }

    /// How many pieces are begun of those that are wanted. The others keep none of them out.
    pub(super) fn begun_and_wanted(&self) -> usize {
        match self.narrowed {
            true => self
                .begun
                .keys()
                .filter(|piece| self.lacks(**piece))
                .count(),
            false => self.begun.len(),
        }
    }

    /// Pieces that are not wanted, and finished for what is owed for them.
    pub(super) fn owed_pieces(&self) -> impl Iterator<Item = u32> {
        let begun = self.begun.iter().filter(|_| self.narrowed);
        let owed = begun.filter(|(piece, begun)| !self.lacks(**piece) && begun.is_owed());
        owed.map(|(piece, _)| *piece)
    }
}
