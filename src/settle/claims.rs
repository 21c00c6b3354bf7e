//! The payee's side: what was earned, and what of it the chain shows.

use std::collections::BTreeMap;

use super::{
    Chain, NodeChain, SettleError, learn_witnesses,
    state::{read_block, transfer_of},
};
use crate::{
    ledger::{
        BlockRow, ChainLog, LEARNING, LedgerError, Position, ReceiptFilter, ReceiptKind, Receipts,
        TransferRow, Transfers,
    },
    tron::{
        block::Block,
        permission::Permissions,
        rpc::{Finality, Node, NodeError},
        transaction::Transaction,
        verified::{MadeBy, Trail, Verified},
    },
    types::{Address, RawAmount, Token, TokenId, TxId},
};

/// After how many empty answers, though the chain is further, a node is taken to have no blocks.
const MOST_EMPTY: u32 = 4;

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
        let earned = position.earned();
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
    positions.retain(|position| position.earned() > RawAmount::ZERO);
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
) -> Result<Trail, SettleError> {
    let watched = ledger.watched(account, token)?;
    let mut trail = match watched.filter(|watch| watch.from <= since) {
        Some(watch) => Trail::after(watch.last),
        None => Trail::starting_at(since.saturating_add(1)),
    };
    let mut moved = false;
    // Read, and not taken in: nobody who is known has built on them yet.
    let (mut waiting, mut strangers) = (Vec::new(), None);
    let mut empty = 0;
    loop {
        let next = trail.next.saturating_add(waiting.len() as u64);
        let blocks = chain.solid_blocks(next).await?;
        if blocks.is_empty() {
            // No blocks are no proof that nothing was paid.
            if chain.solid_head().await?.id.number() >= next {
                // One may have become solid between the two questions.
                empty += 1;
                if empty >= MOST_EMPTY {
                    return Err(SettleError::NoBlocks(next));
                }
                continue;
            }
            return match strangers {
                Some(error) if !moved => Err(error),
                _ => Ok(trail),
            };
        }
        empty = 0;
        for block in &blocks {
            waiting.push(income(chain, block, account, token).await?);
        }
        let before = trail.last;
        match ledger.watch_blocks(account, token, since, &waiting) {
            Ok(watch) => match watch.into_inner() {
                Some(watch) => trail = Trail::after(watch.last),
                None => return Ok(trail),
            },
            // In as many blocks a known witness had its turn thrice.
            Err(error @ LedgerError::Strangers { .. }) if waiting.len() < LEARNING as usize => {
                strangers = Some(error.into());
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        if trail.last == before {
            return Ok(trail);
        }
        (moved, strangers) = (true, None);
        waiting.clear();
        tracing::debug!("read solid blocks up to {}", trail.next.saturating_sub(1));
    }
}

/// A block's transfers of the token to the account, each with its payer's signature.
async fn income<C: Chain>(
    chain: &C,
    block: &Verified<Block>,
    account: Address,
    token: TokenId,
) -> Result<BlockRow, SettleError> {
    let mut row = read_block(block, account, &mut BTreeMap::new());
    row.ends.clear();
    row.transfers
        .retain(|transfer| transfer.payee == account && transfer.token == Token::Trc10(token));
    let mut signed = Vec::with_capacity(row.transfers.len());
    for transfer in row.transfers {
        let transaction = block
            .transactions
            .iter()
            .find(|transaction| transaction.txid() == transfer.txid);
        if let Some(transaction) = transaction
            && is_signed_by(chain, transfer.payer, transaction).await?
        {
            signed.push(transfer);
        } else {
            tracing::warn!(
                "transfer {} is not signed by {}: it is not counted",
                transfer.txid,
                transfer.payer
            );
        }
    }
    row.transfers = signed;
    Ok(row)
}

/// Whether the payer signed a transfer: by its own key, or by those that its
/// permissions name.
///
/// # Errors
/// Nobody tells its permissions.
pub async fn is_signed_by<C: Chain>(
    chain: &C,
    payer: Address,
    transaction: &Transaction,
) -> Result<bool, NodeError> {
    let is_approved = |permissions: &Permissions| {
        permissions
            .approval(transaction)
            .is_ok_and(|approval| approval.is_enough())
    };
    if is_approved(&Permissions::default_of(payer)) {
        return Ok(true);
    }
    Ok(is_approved(&chain.permissions(payer).await?))
}

/// What the blocks after the solid ones hold, by payer.
async fn unsolid<C: Chain>(
    chain: &C,
    account: Address,
    token: TokenId,
    mut trail: Trail,
) -> Result<BTreeMap<Address, RawAmount>, SettleError> {
    let mut found: BTreeMap<Address, RawAmount> = BTreeMap::new();
    let end = trail.next.saturating_add(MOST_UNSOLID);
    while trail.next < end {
        let blocks = chain.head_blocks(trail.next).await?;
        if blocks.is_empty() {
            break;
        }
        for block in &blocks {
            // A fork since the last question: what is counted is only shown.
            if !trail.step(block) {
                return Ok(found);
            }
            for transfer in income(chain, block, account, token).await?.transfers {
                let sum = found.entry(transfer.payer).or_default();
                *sum = sum.checked_add(transfer.amount).unwrap_or(RawAmount::MAX);
            }
        }
    }
    Ok(found)
}

/// A transfer that the solid chain holds, by a witness that the ledger knows and
/// signed by its payer; `None` for anything else that is there, or nothing.
///
/// # Errors
/// The node cannot tell, or tells what cannot be believed. See [`SettleError`].
pub async fn settlement(
    chain: &NodeChain,
    ledger: &(impl ChainLog + ?Sized),
    txid: TxId,
) -> Result<Option<TransferRow>, SettleError> {
    // Whoever began together with the chain has met no witness yet.
    learn_witnesses(ledger, chain, None).await?;
    let node = &chain.node;
    // The info only says where to look; the block itself is the proof.
    let Some(info) = node.transaction_info(Finality::Solid, txid).await? else {
        return Ok(None);
    };
    let Some(block) = known_block(node, ledger, info.block).await? else {
        return Err(SettleError::NoBlocks(info.block));
    };
    let Some(transaction) = block
        .transactions
        .iter()
        .find(|transaction| transaction.txid() == txid)
    else {
        return Err(SettleError::NotTheChains(block.id()));
    };
    let Some(transfer) = transfer_of(&block, transaction) else {
        return Ok(None);
    };
    let signed = is_signed_by(chain, transfer.payer, transaction).await?;
    Ok(signed.then_some(transfer))
}

/// A solid block that the ledger's witnesses answer for: made by one of them under its
/// key, or followed, within as many blocks as a ledger learns from, by one that was. A
/// witness that is no longer elected, or signs with another key now, made it then.
/// `None` when the node does not have it.
///
/// # Errors
/// [`LedgerError::Strangers`] when no known witness built on it; see [`SettleError`].
pub async fn known_block(
    node: &Node,
    ledger: &(impl ChainLog + ?Sized),
    number: u64,
) -> Result<Option<Verified<Block>>, SettleError> {
    let known = ledger.witnesses()?;
    let is_known = |made_by: Option<MadeBy>| {
        made_by.is_some_and(|made| {
            known
                .iter()
                .any(|known| known.address == made.witness && known.signer == made.signer)
        })
    };
    match node.block(Finality::Solid, number).await {
        Ok(Some(block)) if !is_known(block.made_by()) => {}
        // The node client knows no more of who signs than the node tells it today.
        Err(NodeError::Unknown { .. }) => {}
        answer => return Ok(answer?),
    }
    let mut trail = Trail::starting_at(number);
    let mut asked = None;
    while trail.next < number.saturating_add(LEARNING.into()) {
        let blocks = node
            .blocks(Finality::Solid, trail.next, LEARNING.into())
            .await?;
        if blocks.is_empty() {
            break;
        }
        for block in blocks {
            if !trail.step(&block) {
                return Err(SettleError::NotTheChains(block.id()));
            }
            let answers_for_it = is_known(block.made_by());
            let asked = asked.get_or_insert(block);
            if answers_for_it {
                return Ok(Some(asked.clone()));
            }
        }
    }
    let Some(asked) = asked else {
        return Ok(None);
    };
    let witness = asked.made_by().map_or(Address::ZERO, |made| made.witness);
    let block = asked.id();
    Err(LedgerError::Strangers { block, witness }.into())
}
