//! What was read of the solid chain, and what it ends.

use super::{
    payouts::{
        fenced, find_attempt, find_payout, live_attempts, set_attempt_state, set_payout_state,
    },
    random_number,
    rows::{self, OBSERVED, get, int, sum, token_number},
    transfers,
};
use crate::{
    ledger::{
        AccountLease, AttemptEnd, AttemptRow, AttemptState, BlockRow, CursorRow, LedgerError,
        PayoutState, TransferRow,
        sql::{Transaction, params},
    },
    types::{Address, BlockId, TxId, UnixMs},
};

pub(in crate::ledger) fn cursor(
    tx: &Transaction<'_>,
    account: Address,
) -> Result<Option<CursorRow>, LedgerError> {
    let found = tx.query(
        "SELECT bound, scanned_from, last, last_time FROM account
         WHERE account = ?1 AND bound IS NOT NULL",
        params![account.body()],
    )?;
    found
        .first()
        .map(|row| {
            Ok(CursorRow {
                account,
                bound: rows::block_id(row, "bound")?,
                from: rows::unsigned(row, "scanned_from")?,
                last: rows::block_id(row, "last")?,
                last_time: UnixMs(get(row, "last_time")?),
            })
        })
        .transpose()
}

pub(in crate::ledger) fn bind(
    tx: &Transaction<'_>,
    lease: &AccountLease,
    block: BlockId,
    time: UnixMs,
) -> Result<CursorRow, LedgerError> {
    fenced(tx, lease)?;
    tx.execute(
        "UPDATE account SET bound = ?2, scanned_from = ?3, last = ?2, last_time = ?4
         WHERE account = ?1 AND bound IS NULL",
        params![
            lease.account.body(),
            block.as_bytes(),
            int("block", block.number())?,
            time.0
        ],
    )?;
    bound_cursor(tx, lease.account)
}

fn bound_cursor(tx: &Transaction<'_>, account: Address) -> Result<CursorRow, LedgerError> {
    cursor(tx, account)?.ok_or(LedgerError::NotBound(account))
}

pub(in crate::ledger) fn skip_to(
    tx: &Transaction<'_>,
    lease: &AccountLease,
    block: BlockId,
    time: UnixMs,
) -> Result<CursorRow, LedgerError> {
    fenced(tx, lease)?;
    let now = bound_cursor(tx, lease.account)?;
    if let Some(live) = live_attempts(tx, lease.account)?.first() {
        return Err(LedgerError::AttemptLive(live.txid));
    }
    if block.number() < now.last.number() {
        return Err(LedgerError::NotLinked {
            found: block,
            last: now.last,
        });
    }
    if block == now.last {
        return Ok(now);
    }
    tx.execute(
        "UPDATE account SET scanned_from = ?2, last = ?3, last_time = ?4 WHERE account = ?1",
        params![
            lease.account.body(),
            int("block", block.number())?,
            block.as_bytes(),
            time.0
        ],
    )?;
    bound_cursor(tx, lease.account)
}

pub(in crate::ledger) fn apply(
    tx: &Transaction<'_>,
    lease: &AccountLease,
    blocks: &[BlockRow],
) -> Result<CursorRow, LedgerError> {
    fenced(tx, lease)?;
    let mut now = bound_cursor(tx, lease.account)?;
    for block in blocks {
        // Repeated after an unknown commit: it is all there.
        if block.id.number() < now.last.number() || block.id == now.last {
            continue;
        }
        if block.parent != now.last || Some(block.id.number()) != now.last.number().checked_add(1) {
            return Err(LedgerError::NotLinked {
                found: block.id,
                last: now.last,
            });
        }
        for transfer in &block.transfers {
            if transfer.block != block.id.number() || transfer.block_time != block.time {
                return Err(LedgerError::Contradiction(format!(
                    "transaction {}",
                    transfer.txid
                )));
            }
            let fresh = transfers::record(tx, transfer)?;
            if fresh && transfer.payer == lease.account {
                take_range(tx, transfer)?;
            }
        }
        for end in &block.ends {
            apply_end(tx, &now, block, end)?;
        }
        now.last = block.id;
        now.last_time = block.time;
    }
    tx.execute(
        "UPDATE account SET last = ?2, last_time = ?3 WHERE account = ?1",
        params![lease.account.body(), now.last.as_bytes(), now.last_time.0],
    )?;
    Ok(now)
}

/// A transfer of the account that is no attempt of ours was made by hand: it
/// takes a range, so that nothing else claims it.
fn take_range(tx: &Transaction<'_>, transfer: &TransferRow) -> Result<(), LedgerError> {
    if find_attempt(tx, transfer.txid)?.is_some() {
        return Ok(());
    }
    let from = transfers::range_end(tx, transfer.payer, transfer.payee, transfer.token)?;
    let to = sum("the end of a paid range", from, transfer.amount)?;
    tx.execute(
        "INSERT INTO payout (id, batch, ordinal, kind, payer, payee, token, range_from, range_to,
                             memo, state, reason, owed, owed_to_us)
         VALUES (?1, NULL, 0, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 2, '', 0, 0)",
        params![
            random_number()?,
            OBSERVED,
            transfer.payer.body(),
            transfer.payee.body(),
            token_number(transfer.token),
            from.get(),
            to.get(),
            [0_u8; 0]
        ],
    )?;
    Ok(())
}

fn apply_end(
    tx: &Transaction<'_>,
    before: &CursorRow,
    block: &BlockRow,
    end: &AttemptEnd,
) -> Result<(), LedgerError> {
    let (AttemptEnd::Solid(txid) | AttemptEnd::IncludedFailed(txid) | AttemptEnd::Expired(txid)) =
        *end;
    let attempt = find_attempt(tx, txid)?
        .ok_or_else(|| LedgerError::Missing(format!("transaction {txid}")))?;
    let unproven = |reason| LedgerError::NotProven { txid, reason };
    if !attempt.state.is_live() {
        return Err(unproven("it has ended before"));
    }
    match end {
        AttemptEnd::Solid(_) => {
            check_paid(tx, block, &attempt, txid)?;
            set_attempt_state(tx, txid, AttemptState::Solid, Some(block.id.number()))?;
            set_payout_state(tx, attempt.payout, PayoutState::Confirmed)
        }
        AttemptEnd::IncludedFailed(_) => {
            if block.transfers.iter().any(|seen| seen.txid == txid) {
                return Err(unproven("the block says that it paid"));
            }
            set_attempt_state(tx, txid, AttemptState::Dead, Some(block.id.number()))
        }
        AttemptEnd::Expired(_) => {
            if block.time < attempt.expiration {
                return Err(unproven("the block is from before its expiration"));
            }
            if before.from > attempt.reference.number() {
                return Err(unproven("not every block since its reference was read"));
            }
            if before.last.number() < attempt.reference.number() {
                return Err(unproven("its reference block was not reached"));
            }
            if block.transfers.iter().any(|seen| seen.txid == txid) {
                return Err(unproven("the block holds it"));
            }
            set_attempt_state(tx, txid, AttemptState::Dead, None)
        }
    }
}

fn check_paid(
    tx: &Transaction<'_>,
    block: &BlockRow,
    attempt: &AttemptRow,
    txid: TxId,
) -> Result<(), LedgerError> {
    let unproven = |reason| LedgerError::NotProven { txid, reason };
    let payout = find_payout(tx, attempt.payout)?
        .ok_or_else(|| LedgerError::Missing(format!("payout {}", attempt.payout)))?;
    let seen = block
        .transfers
        .iter()
        .find(|seen| seen.txid == txid)
        .ok_or_else(|| unproven("the block does not hold its transfer"))?;
    let same = seen.payer == payout.payer
        && seen.payee == payout.payee
        && seen.token == payout.token
        && seen.amount == payout.amount;
    if same {
        Ok(())
    } else {
        Err(unproven("the block's transfer is another one"))
    }
}
