//! The payee's side: what was earned, and what of it the solid chain shows.

use std::collections::BTreeSet;

use super::{Chain, SettleError};
use crate::{
    ledger::{Ledger, LedgerError, ReceiptFilter, ReceiptKind, TransferRow},
    tron::{block::Block, rpc::NodeError},
    types::{Address, BlockId, RawAmount, Token, TokenId},
};

/// Receipts read from the ledger at a time.
const PAGE: u32 = 1_000;

/// What one payer owes by its receipts, and what of it was seen on chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Who owes.
    pub payer: Address,
    /// Σ newest receipts held from it.
    pub earned: RawAmount,
    /// Of that, paid by solid transfers since the first receipt.
    pub settled: RawAmount,
}

impl Claim {
    /// What is still owed.
    pub fn pending(&self) -> RawAmount {
        self.earned.checked_sub(self.settled).unwrap_or_default()
    }
}

/// The claims of an account in one token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claims {
    /// By payer.
    pub by_payer: Vec<Claim>,
    /// How many receipts they signed: the sum of the newest sequences.
    pub receipts: u64,
}

/// Looks on the chain whether receipts were paid: reads the solid blocks since
/// the first of them, records each transfer from a payer to `account` once, and
/// compares. Believes no notice.
///
/// # Errors
/// See [`SettleError`].
pub async fn claims<C: Chain>(
    ledger: &dyn Ledger,
    chain: &C,
    account: Address,
    token: TokenId,
) -> Result<Claims, SettleError> {
    let filter = ReceiptFilter {
        kind: Some(ReceiptKind::Received),
        payee: Some(account),
        token: Some(token),
        ..ReceiptFilter::default()
    };
    let mut found = Claims::default();
    let mut payers = BTreeSet::new();
    let mut since: Option<u64> = None;
    let mut after = None;
    loop {
        let page = ledger.receipts(&filter, after.as_ref(), PAGE)?;
        for entry in &page {
            let row = &entry.receipt;
            payers.insert(row.pair.payer);
            found.receipts = found.receipts.saturating_add(row.sequence);
            since = Some(since.map_or(row.since_block, |first| first.min(row.since_block)));
        }
        match page.last() {
            Some(last) => after = Some(*last),
            None => break,
        }
    }
    if let Some(since) = since {
        read_transfers(ledger, chain, account, token, &payers, since).await?;
    }
    for position in ledger.positions(account, token)? {
        if payers.contains(&position.pair.payee) {
            found.by_payer.push(Claim {
                payer: position.pair.payee,
                earned: position.received,
                settled: position.paid_back.min(position.received),
            });
        }
    }
    Ok(found)
}

async fn read_transfers<C: Chain>(
    ledger: &dyn Ledger,
    chain: &C,
    account: Address,
    token: TokenId,
    payers: &BTreeSet<Address>,
    since: u64,
) -> Result<(), SettleError> {
    let mut next = since.saturating_add(1);
    let mut parent: Option<BlockId> = None;
    loop {
        let blocks = chain.solid_blocks(next).await?;
        let Some(last) = blocks.last() else {
            return Ok(());
        };
        for block in &blocks {
            if block.header.number != next
                || parent.is_some_and(|id| id != block.header.parent_hash)
            {
                return Err(SettleError::Node(NodeError::Unknown {
                    url: "the node".into(),
                    reason: format!("its solid blocks are not a chain at {next}"),
                }));
            }
            next += 1;
            parent = Some(block.id());
            record(ledger, block, account, token, payers)?;
        }
        tracing::debug!("read solid blocks up to {}", last.header.number);
    }
}

/// Records the block's transfers from `payers` to `account`.
fn record(
    ledger: &dyn Ledger,
    block: &Block,
    account: Address,
    token: TokenId,
    payers: &BTreeSet<Address>,
) -> Result<(), LedgerError> {
    for transaction in &block.transactions {
        if !transaction
            .results()
            .first()
            .is_some_and(|result| result.succeeded())
        {
            continue;
        }
        // What cannot be read is no transfer of a token to us.
        let Ok(draft) = transaction.raw_data().and_then(|raw| raw.into_draft()) else {
            continue;
        };
        let Some(transfer) = draft.contract.as_transfer() else {
            continue;
        };
        if transfer.to != account
            || transfer.token != Token::Trc10(token)
            || !payers.contains(&transfer.from)
        {
            continue;
        }
        ledger.record_transfer(&TransferRow {
            txid: transaction.txid(),
            block: block.header.number,
            block_time: block.header.timestamp,
            payer: transfer.from,
            payee: transfer.to,
            token: transfer.token,
            amount: transfer.amount,
        })?;
    }
    Ok(())
}
