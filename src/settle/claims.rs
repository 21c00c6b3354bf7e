//! The payee's side: what was earned, and what of it the chain shows.

use std::collections::BTreeMap;

use super::{Chain, SettleError, state::transfer_of};
use crate::{
    ledger::{Position, ReceiptFilter, ReceiptKind, Receipts, TransferRow, Transfers, WatchRow},
    tron::{block::Block, rpc::NodeError},
    types::{Address, BlockId, RawAmount, Token, TokenId},
};

/// Receipts read from the ledger at a time.
const PAGE: u32 = 1_000;
/// Blocks after the solid head that are looked at for what is on its way: far
/// more than a chain of 27 witnesses leaves unsolid.
const MOST_UNSOLID: u64 = 1_000;

/// What one payer owes by its receipts, and what of it was seen on chain:
/// `earned = pending + in flight + settled`, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Who owes.
    pub payer: Address,
    /// Σ newest receipts held from it.
    pub earned: RawAmount,
    /// Of that, in blocks that may still be forked out.
    pub in_flight: RawAmount,
    /// Of that, final: paid by solid transfers since the first receipt, or paid
    /// for what we owe the payer in turn.
    pub settled: RawAmount,
    /// Of what is settled, what paid for what we owe in turn.
    pub offset: RawAmount,
}

impl Claim {
    /// Of a position of ours with the payer, with what is on its way from it.
    fn of(position: &Position, in_flight: RawAmount) -> Self {
        let earned = position.received;
        let paid = position.paid_back.min(earned);
        let left = |of: RawAmount, less: RawAmount| of.checked_sub(less).unwrap_or_default();
        let we_owe = left(position.issued, position.paid);
        let offset = we_owe.min(left(earned, paid));
        let settled = paid.checked_add(offset).unwrap_or(earned);
        Self {
            payer: position.pair.payee,
            earned,
            in_flight: in_flight.min(left(earned, settled)),
            settled,
            offset,
        }
    }

    /// What is still owed, and in no block.
    pub fn pending(&self) -> RawAmount {
        self.earned
            .checked_sub(self.settled)
            .and_then(|left| left.checked_sub(self.in_flight))
            .unwrap_or_default()
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
/// the first of them that were not read before, records each transfer of the
/// token to `account` once, and compares. Believes no notice. What is in newer
/// blocks is only counted, not recorded.
///
/// # Errors
/// See [`SettleError`].
pub async fn claims<C: Chain>(
    ledger: &(impl Receipts + Transfers + ?Sized),
    chain: &C,
    account: Address,
    token: TokenId,
) -> Result<Claims, SettleError> {
    let since = earning(ledger, account, token)?
        .iter()
        .map(|position| position.first_since)
        .min();
    let mut on_its_way = BTreeMap::new();
    if let Some(since) = since {
        let solid = read_solid(ledger, chain, account, token, since).await?;
        on_its_way = unsolid(chain, account, token, solid).await?;
    }
    counted(ledger, account, token, &on_its_way)
}

/// The claims as the ledger has them, without a look on the chain.
///
/// # Errors
/// The ledger's.
pub fn stored_claims(
    ledger: &(impl Receipts + ?Sized),
    account: Address,
    token: TokenId,
) -> Result<Claims, SettleError> {
    counted(ledger, account, token, &BTreeMap::new())
}

fn earning(
    ledger: &(impl Receipts + ?Sized),
    account: Address,
    token: TokenId,
) -> Result<Vec<Position>, SettleError> {
    let mut positions = ledger.positions(account, token)?;
    positions.retain(|position| position.received > RawAmount::ZERO);
    Ok(positions)
}

fn counted(
    ledger: &(impl Receipts + ?Sized),
    account: Address,
    token: TokenId,
    on_its_way: &BTreeMap<Address, RawAmount>,
) -> Result<Claims, SettleError> {
    let by_payer = earning(ledger, account, token)?
        .iter()
        .map(|position| {
            let in_flight = on_its_way.get(&position.pair.payee).copied();
            Claim::of(position, in_flight.unwrap_or_default())
        })
        .collect();
    Ok(Claims {
        by_payer,
        receipts: count(ledger, account, token)?,
    })
}

fn count(
    ledger: &(impl Receipts + ?Sized),
    account: Address,
    token: TokenId,
) -> Result<u64, SettleError> {
    let filter = ReceiptFilter {
        kind: Some(ReceiptKind::Received),
        payee: Some(account),
        token: Some(token),
        ..ReceiptFilter::default()
    };
    let (mut sum, mut after) = (0u64, None);
    loop {
        let page = ledger.receipts(&filter, after.as_ref(), PAGE)?;
        for entry in &page {
            sum = sum.saturating_add(entry.receipt.sequence);
        }
        match page.last() {
            Some(last) => after = Some(*last),
            None => return Ok(sum),
        }
    }
}

/// Reads solid blocks from where it ended last time, or from `since` (exclusive)
/// when that is earlier than all that was read. Returns where it ended.
async fn read_solid<C: Chain>(
    ledger: &(impl Transfers + ?Sized),
    chain: &C,
    account: Address,
    token: TokenId,
    since: u64,
) -> Result<Place, SettleError> {
    let watched = ledger.watched(account, token)?;
    let mut place = match watched.filter(|watch| watch.from <= since) {
        Some(watch) => Place {
            from: watch.from,
            next: watch.last.number().saturating_add(1),
            parent: Some(watch.last),
        },
        None => Place {
            from: since,
            next: since.saturating_add(1),
            parent: None,
        },
    };
    loop {
        let blocks = chain.solid_blocks(place.next).await?;
        if blocks.is_empty() {
            return Ok(place);
        }
        let mut transfers = Vec::new();
        for block in &blocks {
            transfers.extend(place.step(block, account, token)?);
        }
        if let Some(last) = place.parent {
            let watch = WatchRow {
                account,
                token,
                from: place.from,
                last,
            };
            ledger.note_watched(&watch, &transfers)?;
            tracing::debug!("read solid blocks up to {}", last.number());
        }
    }
}

/// What the blocks after the solid ones hold, by payer.
async fn unsolid<C: Chain>(
    chain: &C,
    account: Address,
    token: TokenId,
    mut place: Place,
) -> Result<BTreeMap<Address, RawAmount>, SettleError> {
    let mut found: BTreeMap<Address, RawAmount> = BTreeMap::new();
    let end = place.next.saturating_add(MOST_UNSOLID);
    while place.next < end {
        let blocks = chain.head_blocks(place.next).await?;
        if blocks.is_empty() {
            break;
        }
        for block in &blocks {
            // A fork since the last question: what is counted is only shown.
            let Ok(transfers) = place.step(block, account, token) else {
                return Ok(found);
            };
            for transfer in transfers {
                let sum = found.entry(transfer.payer).or_default();
                *sum = sum.checked_add(transfer.amount).unwrap_or(RawAmount::MAX);
            }
        }
    }
    Ok(found)
}

/// Where a reader of blocks is.
#[derive(Debug, Clone, Copy)]
struct Place {
    from: u64,
    next: u64,
    parent: Option<BlockId>,
}

impl Place {
    /// One block on: its transfers of the token to the account.
    fn step(
        &mut self,
        block: &Block,
        account: Address,
        token: TokenId,
    ) -> Result<Vec<TransferRow>, SettleError> {
        let linked = self
            .parent
            .is_none_or(|parent| parent == block.header.parent_hash);
        if block.header.number != self.next || !linked {
            return Err(SettleError::Node(NodeError::Unknown {
                url: "the node".into(),
                reason: format!("its blocks are not a chain at {}", self.next),
            }));
        }
        self.next += 1;
        self.parent = Some(block.id());
        Ok(block
            .transactions
            .iter()
            .filter_map(|transaction| transfer_of(block, transaction))
            .filter(|transfer| transfer.payee == account && transfer.token == Token::Trc10(token))
            .collect())
    }
}
