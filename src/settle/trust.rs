//! Who the witnesses are, before a ledger has read its first block.
//!
//! A node can invent a chain, but not the signatures of the chain's witnesses. So a
//! ledger remembers who made the blocks it has read, and believes no others. The
//! first time it can only believe the node: that trust is made smaller by a second
//! node that must hold the same block, or by the id of a block that the user knows.

use std::time::Duration;

use super::{Chain, SettleError, state::read_block};
use crate::{
    ledger::{BlockRow, ChainLog, LEARNING},
    tron::{rpc::NodeError, verified::Trail},
    types::{Address, BlockId},
};

/// What the knowledge of the witnesses rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// They were known before.
    Known,
    /// They made the blocks up to this checkpoint.
    Checkpoint(BlockId),
    /// So many nodes hold the same block, up to which they made the blocks.
    Nodes(usize),
    /// One node says so.
    OneNode,
    /// The chain has no block of a witness yet.
    Nobody,
}

/// How often a question is asked that no node answers.
const PATIENCE: u32 = 40;
/// How long between two of them.
const PAUSE: Duration = Duration::from_millis(500);

/// Repeats a question to the chain while no node answers.
async fn patiently<C: Chain, T, F>(chain: &C, mut ask: impl FnMut() -> F) -> Result<T, SettleError>
where
    F: Future<Output = Result<T, NodeError>>,
{
    let mut failures = 0;
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error @ NodeError::Refused { .. }) => return Err(error.into()),
            Err(error) => {
                failures += 1;
                if failures >= PATIENCE {
                    return Err(error.into());
                }
                chain.pause(PAUSE).await;
            }
        }
    }
}

/// Learns who the witnesses are when the ledger knows none: from the blocks that end
/// at `checkpoint`, or at the solid head, on which all nodes must agree.
///
/// # Errors
/// The chain does not hold the checkpoint; the nodes do not agree; see
/// [`SettleError`].
pub async fn learn_witnesses<C: Chain>(
    ledger: &(impl ChainLog + ?Sized),
    chain: &C,
    checkpoint: Option<BlockId>,
) -> Result<Trust, SettleError> {
    let known = ledger.witnesses()?;
    for witness in &known {
        chain.know_signer(witness.address, witness.signer);
    }
    if !known.is_empty() {
        return Ok(Trust::Known);
    }
    let end = match checkpoint {
        Some(block) => block,
        None => patiently(chain, || chain.solid_head()).await?.id,
    };
    let first = end.number().saturating_sub(u64::from(LEARNING) - 1).max(1);
    if end.number() < first {
        // The first block, which no witness made.
        return match checkpoint {
            Some(block) if block != patiently(chain, || chain.genesis()).await? => {
                Err(SettleError::NotTheChains(block))
            }
            _ => Ok(Trust::Nobody),
        };
    }
    let rows = linked_up_to(chain, first, end).await?;
    if checkpoint.is_none() {
        chain.agree_on(end).await?;
    }
    ledger.learn_witnesses(&rows)?;
    Ok(match (checkpoint, chain.nodes()) {
        (Some(block), _) => Trust::Checkpoint(block),
        (None, 1) => Trust::OneNode,
        (None, nodes) => Trust::Nodes(nodes),
    })
}

/// The solid blocks from `first` to `end`, linked.
pub(super) async fn linked_up_to<C: Chain>(
    chain: &C,
    first: u64,
    end: BlockId,
) -> Result<Vec<BlockRow>, SettleError> {
    let mut trail = Trail::starting_at(first);
    let mut rows = Vec::new();
    let mut empty = 0;
    while trail.next <= end.number() {
        let blocks = patiently(chain, || chain.solid_blocks(trail.next)).await?;
        if blocks.is_empty() {
            empty += 1;
            if empty >= PATIENCE {
                return Err(SettleError::NoBlocks(trail.next));
            }
            chain.pause(PAUSE).await;
            continue;
        }
        empty = 0;
        for block in &blocks {
            if trail.next > end.number() {
                break;
            }
            if !trail.step(block) {
                return Err(SettleError::NotTheChains(block.id()));
            }
            rows.push(read_block(block, Address::ZERO, &mut Default::default()));
        }
    }
    match trail.last {
        Some(last) if last == end => Ok(rows),
        _ => Err(SettleError::NotTheChains(end)),
    }
}
