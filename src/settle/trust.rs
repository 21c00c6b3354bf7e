//! Who the witnesses are, before a ledger has read its first block.
//!
//! A node can invent a chain, but not the signatures of the chain's witnesses. So a
//! ledger remembers who made the blocks it has read, and believes no others. The
//! first time it can only believe the node: that trust is made smaller by a second
//! node that must hold the same block, or by the id of a block that the user knows.

use std::collections::BTreeMap;

use super::{
    Chain, SettleError,
    patience::{Missing, patiently},
    report::Event,
    state::read_block,
};
use crate::{
    ledger::{BlockRow, ChainLog, LEARNING, WitnessRow},
    tron::verified::Trail,
    types::{Address, BlockId},
};

/// What the knowledge of the witnesses rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// They were known before.
    Known,
    /// They were known before, and this block, which the user knows, is theirs.
    Checked(BlockId),
    /// They made the blocks up to this checkpoint.
    Checkpoint(BlockId),
    /// So many nodes hold the same block, up to which they made the blocks.
    Nodes(usize),
    /// One node says so.
    OneNode,
    /// The chain has no block of a witness yet.
    Nobody,
}

/// Nobody is told what is waited for.
fn untold(_: Event) {}

/// Learns who the witnesses are when the ledger knows none: from the blocks that end
/// at `checkpoint`, or at the solid head, on which all nodes must agree. One that knows
/// them is held against the checkpoint.
///
/// # Errors
/// The chain does not hold the checkpoint; the witnesses that the ledger knows did not
/// make it; the nodes do not agree; see [`SettleError`].
pub async fn learn_witnesses<C: Chain>(
    ledger: &(impl ChainLog + ?Sized),
    chain: &C,
    checkpoint: Option<BlockId>,
) -> Result<Trust, SettleError> {
    let known = ledger.witnesses()?;
    for witness in &known {
        chain.know_signer(witness.address, witness.signer);
    }
    if let Some(block) = checkpoint
        && block.number() == 0
        && block != patiently(chain, untold, || chain.genesis()).await?
    {
        return Err(SettleError::NotTheChains(block));
    }
    if !known.is_empty() {
        return match checkpoint {
            Some(block) => check(&known, chain, block).await,
            None => Ok(Trust::Known),
        };
    }
    let end = match checkpoint {
        Some(block) => block,
        None => patiently(chain, untold, || chain.solid_head()).await?.id,
    };
    let first = first_before(end);
    if end.number() < first {
        // The first block, which no witness made.
        return Ok(Trust::Nobody);
    }
    let rows = linked_up_to(chain, untold, first, end).await?;
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

/// The first of the blocks up to `end` that tell who the witnesses are.
fn first_before(end: BlockId) -> u64 {
    end.number().saturating_sub(u64::from(LEARNING) - 1).max(1)
}

/// Holds a block that the user knows against a ledger that knows witnesses: one of them
/// made it, or most of those who made the blocks up to it are known. A ledger that learned
/// its witnesses from a chain that a node invented knows none of them.
async fn check<C: Chain>(
    known: &[WitnessRow],
    chain: &C,
    checkpoint: BlockId,
) -> Result<Trust, SettleError> {
    if checkpoint.number() == 0 {
        return Ok(Trust::Checked(checkpoint));
    }
    let known: BTreeMap<_, _> = known
        .iter()
        .map(|witness| (witness.address, witness.signer))
        .collect();
    let is_known = |row: &BlockRow| known.get(&row.witness) == Some(&row.signer);
    let row = solid_block(chain, checkpoint).await?;
    if is_known(&row) {
        return Ok(Trust::Checked(checkpoint));
    }
    // It may have been elected when the ledger looked elsewhere.
    let rows = linked_up_to(chain, untold, first_before(checkpoint), checkpoint).await?;
    let made: BTreeMap<_, _> = rows
        .iter()
        .map(|row| (row.witness, is_known(row)))
        .collect();
    let met = made.values().filter(|is_known| **is_known).count();
    if met * 2 > made.len() {
        return Ok(Trust::Checked(checkpoint));
    }
    Err(SettleError::StrangeCheckpoint {
        block: checkpoint,
        known: met,
        made: made.len(),
    })
}

/// The solid block with this id.
async fn solid_block<C: Chain>(chain: &C, id: BlockId) -> Result<BlockRow, SettleError> {
    let mut missing = Missing::default();
    loop {
        match patiently(chain, untold, || chain.solid_block(id.number())).await? {
            Some(block) if block.id() == id => {
                return Ok(read_block(&block, Address::ZERO, &mut Default::default()));
            }
            Some(_) => return Err(SettleError::NotTheChains(id)),
            None => missing.wait(chain, untold, id.number()).await?,
        }
    }
}

/// The solid blocks from `first` to `end`, linked.
pub(super) async fn linked_up_to<C: Chain>(
    chain: &C,
    tell: impl Fn(Event) + Copy,
    first: u64,
    end: BlockId,
) -> Result<Vec<BlockRow>, SettleError> {
    let mut trail = Trail::starting_at(first);
    let mut rows = Vec::new();
    let mut missing = Missing::default();
    while trail.next <= end.number() {
        let blocks = patiently(chain, tell, || chain.solid_blocks(trail.next)).await?;
        if blocks.is_empty() {
            missing.wait(chain, tell, trail.next).await?;
            continue;
        }
        missing.found();
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
