//! Reading believed blocks forward, one linked to the other.

use super::Verified;
use crate::{
    tron::{
        block::Block,
        rpc::{Finality, Node, NodeError},
    },
    types::BlockId,
};

/// How many blocks are asked for at once.
const AT_ONCE: u64 = 50;

/// Where a reader of blocks is: the next number, and the block before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trail {
    /// The number of the next block.
    pub next: u64,
    /// The last one read; `None` before the first.
    pub last: Option<BlockId>,
}

impl Trail {
    /// Before block `first`.
    pub fn starting_at(first: u64) -> Self {
        Self {
            next: first,
            last: None,
        }
    }

    /// Behind a block that was read.
    pub fn after(last: BlockId) -> Self {
        Self {
            next: last.number().saturating_add(1),
            last: Some(last),
        }
    }

    /// One block on; `false`, and where it was, when the block does not follow.
    #[must_use]
    pub fn step(&mut self, block: &Verified<Block>) -> bool {
        let linked = self
            .last
            .is_none_or(|last| block.header.parent_hash == last);
        if block.header.number != self.next || !linked {
            return false;
        }
        *self = Self::after(block.id());
        true
    }
}

/// Reads the solid chain forward, one linked block after the other.
#[derive(Debug, Clone)]
pub struct SolidReader {
    trail: Trail,
}

impl SolidReader {
    /// Starts at block `first`.
    pub fn starting_at(first: u64) -> Self {
        Self {
            trail: Trail::starting_at(first),
        }
    }

    /// The next block to read.
    pub fn next_number(&self) -> u64 {
        self.trail.next
    }

    /// The blocks that are solid by now and were not read before; empty when there
    /// are none. Nothing is skipped: a block that is not linked to the last one is
    /// an error, and reading goes on from the same place.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn read(&mut self, node: &Node) -> Result<Vec<Verified<Block>>, NodeError> {
        let blocks = node
            .blocks(Finality::Solid, self.trail.next, AT_ONCE)
            .await?;
        let mut trail = self.trail;
        for block in &blocks {
            if !trail.step(block) {
                return Err(NodeError::Unknown {
                    url: node.urls().join(", "),
                    reason: format!(
                        "solid block {} is not the child of the one read before: the solid chain changed",
                        block.header.number
                    ),
                });
            }
        }
        self.trail = trail;
        Ok(blocks)
    }
}
