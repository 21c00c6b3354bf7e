//! What solid blocks do to attempts. Pure.
//!
//! ```text
//! payout:   planned ──sign──> in flight ──solid──> confirmed
//!              └───────────────┴── every attempt dead ──> failed(reason)
//! attempt:  [offered ──>] signed ──> sent ──> included ──> solid
//!               └────────────┴─────────┴────────┴──> dead
//! ```
//!
//! An attempt ends only here, by blocks: solid when a solid block holds it and
//! it succeeded; dead when it failed there, or when the first solid block at
//! or after its expiration was read and neither it nor any since the reference
//! held it. That block is included: a block's transactions are checked against
//! its parent's time.

use std::collections::BTreeMap;

use crate::{
    ledger::{AttemptEnd, AttemptRow, BlockRow, TransferRow},
    tron::{block::Block, transaction::Transaction, verified::Verified},
    types::{Address, TxId, UnixMs},
};

/// A living attempt, as far as blocks need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Living {
    /// The block it refers to.
    pub reference: u64,
    /// From when on it is refused.
    pub expiration: UnixMs,
}

/// The account's living attempts by transaction id.
pub type LivingAttempts = BTreeMap<TxId, Living>;

/// Picks out what blocks need of attempts.
pub fn living<'a>(attempts: impl IntoIterator<Item = &'a AttemptRow>) -> LivingAttempts {
    attempts
        .into_iter()
        .filter(|attempt| attempt.state.is_live())
        .map(|attempt| {
            let living = Living {
                reference: attempt.reference.number(),
                expiration: attempt.expiration,
            };
            (attempt.txid, living)
        })
        .collect()
}

/// A transfer that worked, out of a block's transaction; `None` for anything
/// else.
pub fn transfer_of(block: &Block, transaction: &Transaction) -> Option<TransferRow> {
    if !worked(transaction) {
        return None;
    }
    let draft = transaction.raw_data().ok()?.into_draft().ok()?;
    let transfer = draft.contract.as_transfer()?;
    (transfer.amount.get() > 0).then_some(TransferRow {
        txid: transaction.txid(),
        block: block.header.number,
        block_time: block.header.timestamp,
        payer: transfer.from,
        payee: transfer.to,
        token: transfer.token,
        amount: transfer.amount,
    })
}

/// A block holds only what the chain executed; a system contract that failed
/// says so in its result.
fn worked(transaction: &Transaction) -> bool {
    transaction
        .results()
        .first()
        .is_none_or(|result| result.ret == 0 && matches!(result.contract_ret, 0 | 1))
}

/// Reads one solid block for an account, and takes the attempts that it ends
/// out of `living`.
pub fn read_block(
    block: &Verified<Block>,
    account: Address,
    living: &mut LivingAttempts,
) -> BlockRow {
    let made_by = block.made_by();
    let mut row = BlockRow {
        id: block.id(),
        parent: block.header.parent_hash,
        time: block.header.timestamp,
        // All but genesis have one; that is one stranger.
        witness: made_by.map_or(Address::ZERO, |made| made.witness),
        signer: made_by.map_or(Address::ZERO, |made| made.signer),
        transfers: Vec::new(),
        ends: Vec::new(),
    };
    for transaction in &block.transactions {
        let txid = transaction.txid();
        let transfer = transfer_of(block, transaction);
        if living.remove(&txid).is_some() {
            row.ends.push(match transfer {
                Some(_) => AttemptEnd::Solid(txid),
                None => AttemptEnd::IncludedFailed(txid),
            });
        }
        if let Some(transfer) = transfer
            && (transfer.payer == account || transfer.payee == account)
        {
            row.transfers.push(transfer);
        }
    }
    let number = block.header.number;
    let time = block.header.timestamp;
    living.retain(|txid, attempt| {
        let dead = time >= attempt.expiration && number > attempt.reference;
        if dead {
            row.ends.push(AttemptEnd::Expired(*txid));
        }
        !dead
    });
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        tron::{
            block::BlockHeader,
            contract::Contract,
            transaction::{Draft, RefBlock, TransactionResult},
            verified::signed,
        },
        types::{BlockId, RawAmount, Token, TokenId},
    };

    fn transaction(salt: i64, contract_ret: i32) -> Transaction {
        let draft = Draft::new(
            Contract::transfer(
                Address::from_body([1; 20]),
                Address::from_body([2; 20]),
                Token::Trc10(TokenId::BTT),
                RawAmount::new(5).unwrap(),
            ),
            RefBlock {
                bytes: [0, 1],
                hash: [1; 8],
            },
            UnixMs(60_000),
            UnixMs(salt),
        );
        let mut transaction = Transaction::from(draft.build());
        transaction.set_results(vec![TransactionResult {
            contract_ret,
            ..TransactionResult::default()
        }]);
        transaction
    }

    fn block(number: u64, time: i64, transactions: Vec<Transaction>) -> Verified<Block> {
        signed(Block {
            header: BlockHeader {
                number,
                timestamp: UnixMs(time),
                tx_trie_root: [0; 32],
                parent_hash: BlockId::from_bytes([0; 32]),
                witness_address: Vec::new(),
                version: 0,
                account_state_root: Vec::new(),
            },
            witness_signature: Vec::new(),
            transactions,
        })
    }

    fn one_living(txid: TxId) -> LivingAttempts {
        let living = Living {
            reference: 10,
            expiration: UnixMs(60_000),
        };
        BTreeMap::from([(txid, living)])
    }

    fn read(block: &Verified<Block>, living: &mut LivingAttempts) -> BlockRow {
        read_block(block, Address::from_body([1; 20]), living)
    }

    #[test]
    fn held_and_worked_is_solid_held_and_failed_is_dead() {
        let paid = transaction(1, 1);
        let mut living = one_living(paid.txid());
        let row = read(&block(11, 33_000, vec![paid.clone()]), &mut living);
        assert_eq!(row.ends, [AttemptEnd::Solid(paid.txid())]);
        assert_eq!(row.transfers.len(), 1);
        assert!(living.is_empty());

        let failed = transaction(2, 14);
        let mut living = one_living(failed.txid());
        let row = read(&block(11, 33_000, vec![failed.clone()]), &mut living);
        assert_eq!(row.ends, [AttemptEnd::IncludedFailed(failed.txid())]);
        assert!(row.transfers.is_empty());
    }

    #[test]
    fn the_first_block_at_the_expiration_still_counts() {
        let late = transaction(1, 1);
        // Stamped after missed slots: its parent was before the expiration.
        let mut living = one_living(late.txid());
        let row = read(&block(20, 90_000, vec![late.clone()]), &mut living);
        assert_eq!(row.ends, [AttemptEnd::Solid(late.txid())]);

        let mut living = one_living(late.txid());
        assert!(
            read(&block(19, 59_999, vec![]), &mut living)
                .ends
                .is_empty()
        );
        let row = read(&block(20, 60_000, vec![]), &mut living);
        assert_eq!(row.ends, [AttemptEnd::Expired(late.txid())]);
        assert!(living.is_empty());
    }

    #[test]
    fn strangers_transfers_are_passed_over() {
        let mut living = BTreeMap::new();
        let theirs = block(11, 33_000, vec![transaction(1, 1)]);
        let row = read_block(&theirs, Address::from_body([9; 20]), &mut living);
        assert!(row.transfers.is_empty());
        let incoming = read_block(&theirs, Address::from_body([2; 20]), &mut living);
        assert_eq!(incoming.transfers.len(), 1);
    }
}
