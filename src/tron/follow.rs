//! Following a transaction: accepted → included → solid, or seen to be dead.
//!
//! The proof is the solid chain, read block by block: each verified, linked to
//! the one before, from the transaction's reference block on. A transaction is
//! dead when the first solid block whose time is at or after the expiration has
//! been read, that block included, and none held it: a block's transactions are
//! checked against its *parent's* time. "Not found" by id proves nothing.

use std::time::Duration;

use super::{
    block::Block,
    rpc::{Finality, Node, NodeError},
    transaction::{RefBlock, Transaction, TransactionResult},
    verified::SolidReader,
};
use crate::types::{TxId, UnixMs};

/// How far a follower waits between two looks at the head: a sixth of a slot.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long the node may fail before following gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is known of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// In no block yet, as far as the node says.
    Pending,
    /// In a block that could still be forked out.
    Included {
        /// Its number.
        block: u64,
    },
    /// In a solid block, whose bytes were checked.
    Solid {
        /// Its number.
        block: u64,
        /// What the block says became of it.
        result: TransactionResult,
    },
    /// In no solid block up to its expiration: it can never happen.
    Dead,
}

/// The number of the block a reference names: the latest up to `head` with its
/// low 16 bits.
pub fn ref_block_number(reference: RefBlock, head: u64) -> u64 {
    let low = u64::from(u16::from_be_bytes(reference.bytes));
    let candidate = (head & !0xffff) | low;
    if candidate <= head {
        candidate
    } else {
        candidate.saturating_sub(0x1_0000)
    }
}

/// Follows a signed transaction until it is solid or dead, reporting each stage
/// once through `report`; `until` ends it earlier. Dropping the future stops it.
///
/// # Errors
/// A node that fails for 20 s on end: nothing is known then, and following again
/// is safe.
pub async fn follow(
    node: &Node,
    transaction: &Transaction,
    until: impl Fn(&Stage) -> bool,
    mut report: impl FnMut(&Stage),
) -> Result<Stage, NodeError> {
    let txid = transaction.txid();
    let raw = transaction
        .raw_data()
        .and_then(super::transaction::RawData::into_draft)
        .map_err(|error| NodeError::Unknown {
            url: String::new(),
            reason: error.to_string(),
        })?;
    let head = node.head(Finality::Head).await?.number;
    let mut reader = SolidReader::starting_at(ref_block_number(raw.ref_block, head));
    let mut stage = Stage::Pending;
    let mut failing_since = None;
    loop {
        let seen = look(node, &mut reader, txid, raw.expiration, stage).await;
        match seen {
            Ok(seen) => {
                failing_since = None;
                if seen != stage {
                    stage = seen;
                    report(&stage);
                }
                if matches!(stage, Stage::Solid { .. } | Stage::Dead) || until(&stage) {
                    return Ok(stage);
                }
            }
            Err(error) => {
                let since = *failing_since.get_or_insert_with(tokio::time::Instant::now);
                if since.elapsed() > PATIENCE {
                    return Err(error);
                }
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn look(
    node: &Node,
    reader: &mut SolidReader,
    txid: TxId,
    expiration: UnixMs,
    before: Stage,
) -> Result<Stage, NodeError> {
    loop {
        let blocks = reader.read(node).await?;
        for block in &blocks {
            if let Some(found) = find(block, txid) {
                return Ok(found);
            }
            if block.header.timestamp >= expiration {
                return Ok(Stage::Dead);
            }
        }
        if blocks.is_empty() {
            break;
        }
    }
    Ok(match node.transaction_info(Finality::Head, txid).await? {
        Some(info) => Stage::Included { block: info.block },
        None if matches!(before, Stage::Included { .. }) => Stage::Pending,
        None => before,
    })
}

fn find(block: &Block, txid: TxId) -> Option<Stage> {
    let transaction = block
        .transactions
        .iter()
        .find(|transaction| transaction.txid() == txid)?;
    Some(Stage::Solid {
        block: block.header.number,
        result: transaction.results().first().copied().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_names_the_latest_block_with_its_low_bits() {
        let reference = |bytes| RefBlock {
            bytes,
            hash: [0; 8],
        };
        assert_eq!(ref_block_number(reference([0, 5]), 9), 5);
        assert_eq!(ref_block_number(reference([0, 9]), 9), 9);
        assert_eq!(ref_block_number(reference([0xff, 0xff]), 0x1_0003), 0xffff);
        assert_eq!(ref_block_number(reference([0, 3]), 0x2_0003), 0x2_0003);
        assert_eq!(ref_block_number(reference([0, 4]), 0x2_0003), 0x1_0004);
        assert_eq!(ref_block_number(reference([0, 10]), 9), 0);
    }
}
