//! The pieces that may be served, for whoever serves them: it is read without the torrent's
//! lock, so that uploads never wait for what a download decides.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

use crate::swarm::bitfield::Bitfield;

/// Nothing, until what is on disk is known.
#[derive(Debug, Default)]
pub(super) struct Verified(OnceLock<Box<[AtomicU64]>>);

impl Verified {
    /// These pieces are on disk.
    pub(super) fn begin(&self, have: &Bitfield) {
        let words = self.0.get_or_init(|| {
            let words = have.len().div_ceil(64);
            (0..words).map(|_| AtomicU64::new(0)).collect()
        });
        debug_assert_eq!(words.len(), index(have.len().div_ceil(64)));
        for piece in have.iter() {
            self.add(piece);
        }
    }

    /// One more is.
    pub(super) fn add(&self, piece: u32) {
        let words = self.0.get();
        if let Some(word) = words.and_then(|words| words.get(index(piece / 64))) {
            word.fetch_or(1 << (piece % 64), Ordering::Release);
        }
    }

    pub(super) fn has(&self, piece: u32) -> bool {
        let words = self.0.get();
        let word = words.and_then(|words| words.get(index(piece / 64)));
        word.is_some_and(|word| word.load(Ordering::Acquire) & (1 << (piece % 64)) != 0)
    }
}

fn index(n: u32) -> usize {
    usize::try_from(n).expect("usize has at least 32 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_what_was_verified_and_nothing_else() {
        let verified = Verified::default();
        assert!(!verified.has(0));
        let mut have = Bitfield::empty(130);
        have.insert(3);
        have.insert(129);
        verified.begin(&have);
        verified.add(64);
        verified.add(5000);
        let all: Vec<u32> = (0..5001).filter(|piece| verified.has(*piece)).collect();
        assert_eq!(all, [3, 64, 129]);
    }
}
