//! The chain's end that may still be forked out, as far as it was read.
//!
//! It says which attempts are in a block, and each of its blocks need not be
//! fetched again when it has become solid. What is believed of it decides nothing
//! but what is shown, and what is sent again.

use std::collections::BTreeMap;

use crate::{
    tron::{block::Block, verified::Verified},
    types::{BlockId, TxId},
};

/// No more than these are kept: a healthy chain has at most about 27.
const MAX_BLOCKS: usize = 100;

#[derive(Debug)]
struct Read {
    id: BlockId,
    block: Verified<Block>,
    txids: Vec<TxId>,
}

/// Blocks after the newest one that was taken in as solid, linked to it and to
/// each other.
#[derive(Debug, Default)]
pub(super) struct Unsolid {
    blocks: Vec<Read>,
}

impl Unsolid {
    /// Forgets the blocks up to `solid`, and all of them if what is left is not on
    /// top of it.
    pub(super) fn begin_after(&mut self, solid: BlockId) {
        self.blocks.retain(|read| read.id.number() > solid.number());
        let first = self.blocks.first();
        if first.is_some_and(|first| first.block.header.parent_hash != solid) {
            self.blocks.clear();
        }
    }

    /// The newest block; `solid` when there is none after that.
    pub(super) fn end(&self, solid: BlockId) -> BlockId {
        self.blocks.last().map_or(solid, |read| read.id)
    }

    /// Adds blocks that follow the newest one; those that do not link are left out.
    /// Whether the first of them did link: if not, there is a fork.
    pub(super) fn extend(&mut self, solid: BlockId, blocks: Vec<Verified<Block>>) -> bool {
        let mut fits = true;
        for (place, block) in blocks.into_iter().enumerate() {
            if self.is_full() {
                break;
            }
            if block.header.parent_hash != self.end(solid) {
                fits = place > 0;
                break;
            }
            self.blocks.push(Read {
                id: block.id(),
                txids: block.transactions.iter().map(|held| held.txid()).collect(),
                block,
            });
        }
        fits
    }

    /// Whether it keeps no more blocks.
    pub(super) fn is_full(&self) -> bool {
        self.blocks.len() >= MAX_BLOCKS
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.blocks.clear();
    }

    /// Takes out the blocks up to the one with this id; none if it is not here.
    pub(super) fn take_through(&mut self, id: BlockId) -> Vec<Verified<Block>> {
        let count = self.blocks.iter().position(|read| read.id == id);
        let taken = self.blocks.drain(..count.map_or(0, |place| place + 1));
        taken.map(|read| read.block).collect()
    }

    /// The number of the block that each transaction is in.
    pub(super) fn places(&self) -> BTreeMap<TxId, u64> {
        let held = self.blocks.iter().flat_map(|read| {
            let number = read.id.number();
            read.txids.iter().map(move |txid| (*txid, number))
        });
        held.collect()
    }

    /// Whether a block of this number is here.
    pub(super) fn covers(&self, number: u64) -> bool {
        self.blocks.iter().any(|read| read.id.number() == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        tron::{block::BlockHeader, verified::signed},
        types::UnixMs,
    };

    fn block(number: u64, parent: BlockId, salt: i64) -> Verified<Block> {
        signed(Block {
            header: BlockHeader {
                number,
                timestamp: UnixMs(salt),
                tx_trie_root: [0; 32],
                parent_hash: parent,
                witness_address: Vec::new(),
                version: 0,
                account_state_root: Vec::new(),
            },
            witness_signature: Vec::new(),
            transactions: Vec::new(),
        })
    }

    fn chain(first: u64, mut parent: BlockId, count: u64, salt: i64) -> Vec<Verified<Block>> {
        let mut blocks = Vec::new();
        for number in first..first + count {
            let next = block(number, parent, salt);
            parent = next.id();
            blocks.push(next);
        }
        blocks
    }

    #[test]
    fn blocks_follow_each_other_and_a_fork_is_noticed() {
        let solid = block(10, BlockId::from_bytes([0; 32]), 0).id();
        let mut unsolid = Unsolid::default();
        assert_eq!(unsolid.end(solid), solid);
        let first = chain(11, solid, 3, 1);
        assert!(unsolid.extend(solid, first.clone()));
        assert_eq!(unsolid.end(solid), first[2].id());
        assert!(unsolid.covers(11) && unsolid.covers(13) && !unsolid.covers(14));
        // Blocks of another branch do not link.
        let other = chain(11, solid, 5, 2);
        assert!(!unsolid.extend(solid, other[3..].to_vec()));
        assert_eq!(unsolid.end(solid), first[2].id());
        // What follows the solid block is taken out up to the new solid block.
        assert!(unsolid.take_through(other[1].id()).is_empty());
        assert_eq!(unsolid.take_through(first[1].id()), first[..2]);
        assert_eq!(unsolid.end(solid), first[2].id());
        unsolid.begin_after(first[1].id());
        assert!(unsolid.covers(13));
        unsolid.begin_after(other[1].id());
        assert!(!unsolid.covers(13));
    }

    #[test]
    fn no_more_is_kept_than_a_chain_has() {
        let solid = BlockId::from_bytes([0; 32]);
        let mut unsolid = Unsolid::default();
        let blocks = chain(1, solid, 150, 1);
        assert!(unsolid.extend(solid, blocks.clone()));
        assert_eq!(unsolid.end(solid), blocks[MAX_BLOCKS - 1].id());
        assert!(unsolid.is_full());
    }
}
