//! Chunks that came on a connection and that its torrent has not looked at yet. So the
//! torrent's lock is taken once for many chunks, and no byte is moved under it.
//!
//! The torrent looks at them when there are sixteen, when nothing more of a piece is requested
//! here, and after a second or two; at once, if another connection was asked for one of them too; and
//! before it lets anybody race, so that nobody requests what is here.

use crate::swarm::{
    buffers::{Buffers, SPAN},
    hooks::PriceTag,
    wire::{Block, CHUNK},
};

/// Chunks that wait at most: a span's.
pub(in crate::swarm) const MOST: usize = SPAN / CHUNK as usize;

/// A chunk that came whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::swarm) struct Came {
    pub(in crate::swarm) block: Block,
    /// The price it was requested at, where an extension sets prices.
    pub(in crate::swarm) tag: Option<PriceTag>,
}

/// What one connection brought.
#[derive(Debug, Default)]
pub(in crate::swarm) struct Brought {
    chunks: Vec<Came>,
    /// Their bytes, one behind the other.
    data: Vec<u8>,
    due: bool,
    /// They waited at the last tick already.
    waited: bool,
}

impl Brought {
    /// One more came. `due`: it must not wait for others.
    pub(in crate::swarm) fn put(&mut self, came: Came, data: &[u8], due: bool, buffers: &Buffers) {
        if self.chunks.is_empty() {
            self.data = buffers.take_empty();
        }
        self.data.extend_from_slice(data);
        self.note(came, due);
    }

    /// The same, without its bytes.
    pub(in crate::swarm) fn note(&mut self, came: Came, due: bool) {
        self.chunks.push(came);
        self.due |= due;
    }

    /// They must not wait for others.
    pub(in crate::swarm) fn hurry(&mut self) {
        self.due = true;
    }

    pub(in crate::swarm) fn is_full(&self) -> bool {
        self.chunks.len() >= MOST
    }

    pub(in crate::swarm) fn is_due(&self) -> bool {
        self.due && !self.chunks.is_empty()
    }

    pub(in crate::swarm) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Once a second: whether they have waited for long enough.
    pub(in crate::swarm) fn tick(&mut self) -> bool {
        let waits = !self.is_empty();
        std::mem::replace(&mut self.waited, waits)
    }

    /// Whether this one is among them.
    #[cfg(test)]
    pub(in crate::swarm) fn has(&self, block: Block) -> bool {
        self.chunks.iter().any(|one| one.block == block)
    }

    /// Takes all of them, and their bytes.
    pub(in crate::swarm) fn take(&mut self) -> (Vec<Came>, Vec<u8>) {
        self.due = false;
        self.waited = false;
        (
            std::mem::take(&mut self.chunks),
            std::mem::take(&mut self.data),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn came(chunk: u32) -> Came {
        Came {
            block: Block {
                piece: 3,
                begin: chunk * CHUNK,
                length: CHUNK,
            },
            tag: Some(PriceTag(9)),
        }
    }

    #[test]
    fn a_spans_worth_is_taken_at_once_with_its_bytes_in_order() {
        let (mut brought, buffers) = (Brought::default(), Buffers::default());
        let chunks: Vec<u32> = (0..).take(MOST).collect();
        for chunk in &chunks {
            assert!(brought.is_empty() == (*chunk == 0) && !brought.is_full());
            let byte = u8::try_from(*chunk).unwrap();
            brought.put(came(*chunk), &[byte; CHUNK as usize], false, &buffers);
        }
        assert!(brought.is_full() && !brought.is_due());
        let (all, data) = brought.take();
        assert_eq!(all, chunks.iter().map(|n| came(*n)).collect::<Vec<_>>());
        assert_eq!((data.len(), data.capacity()), (SPAN, SPAN));
        assert!(
            chunks
                .iter()
                .zip(data.chunks(CHUNK as usize))
                .all(|(n, part)| { part.iter().all(|byte| u32::from(*byte) == *n) })
        );
        assert!(brought.is_empty() && brought.take().0.is_empty());
    }

    #[test]
    fn nothing_waits_for_more_than_two_ticks() {
        let mut brought = Brought::default();
        assert!(!brought.tick() && !brought.tick());
        brought.note(came(0), false);
        assert!(!brought.tick());
        brought.note(came(1), false);
        assert!(brought.tick());
        brought.take();
        brought.note(came(2), false);
        assert!(!brought.tick());
    }

    #[test]
    fn what_others_wait_for_is_due_until_it_is_taken() {
        let mut brought = Brought::default();
        brought.hurry();
        assert!(!brought.is_due(), "there is nothing");
        brought.note(came(0), false);
        assert!(brought.is_due());
        brought.take();
        brought.note(came(1), false);
        assert!(!brought.is_due());
        brought.note(came(2), true);
        brought.note(came(3), false);
        assert!(brought.is_due());
    }
}
