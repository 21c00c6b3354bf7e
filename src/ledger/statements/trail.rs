//! Some of the blocks that were read, so that the last one that a node has, too, can
//! be found; and the way back to it.

use super::{
    attempts::find_attempts,
    leases::fenced,
    payouts, recovery,
    rows::{self, OBSERVED, get, int, token_number},
    witnesses::{self, Known},
};
use crate::{
    ledger::{
        AccountLease, AttemptState, BlockRow, CursorRow, LedgerError, TrailRow, TransferRow,
        sql::{Transaction, params},
    },
    types::{Address, BlockId, UnixMs},
};

/// At most so many blocks of a reader are kept: beyond, every other one of the older
/// half goes, so that the distances grow with age.
const MAX_TRAIL: i64 = 128;

/// Remembers a block that was read. `reader` is the token of an income, or 0 for what
/// the account pays.
pub(super) fn note(
    tx: &Transaction<'_>,
    account: Address,
    reader: i64,
    block: BlockId,
    time: UnixMs,
) -> Result<(), LedgerError> {
    tx.execute(
        "INSERT INTO trail (account, token, number, block, block_time)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (account, token, number) DO UPDATE SET
             block = excluded.block, block_time = excluded.block_time",
        params![
            account.body(),
            reader,
            int("block", block.number())?,
            block.as_bytes(),
            time.0
        ],
    )?;
    let kept = tx.query(
        "SELECT number FROM trail WHERE account = ?1 AND token = ?2 ORDER BY number",
        params![account.body(), reader],
    )?;
    if i64::try_from(kept.len()).unwrap_or(i64::MAX) <= MAX_TRAIL {
        return Ok(());
    }
    // The very first stays.
    for row in kept.iter().take(kept.len() / 2).skip(1).step_by(2) {
        tx.execute(
            "DELETE FROM trail WHERE account = ?1 AND token = ?2 AND number = ?3",
            params![account.body(), reader, get::<i64>(row, "number")?],
        )?;
    }
    Ok(())
}

/// What the readers of an account remember, newest first.
pub(in crate::ledger) fn all(
    tx: &Transaction<'_>,
    account: Address,
) -> Result<Vec<TrailRow>, LedgerError> {
    let found = tx.query(
        "SELECT block, block_time FROM trail WHERE account = ?1
         ORDER BY number DESC, token",
        params![account.body()],
    )?;
    let mut trail = Vec::new();
    for row in &found {
        trail.push(TrailRow {
            block: rows::block_id(row, "block")?,
            time: UnixMs(get(row, "block_time")?),
        });
    }
    trail.dedup();
    Ok(trail)
}

/// See [`ChainLog::step_back`](crate::ledger::ChainLog::step_back).
pub(in crate::ledger) fn step_back(
    tx: &Transaction<'_>,
    lease: &AccountLease,
    to: TrailRow,
    following: &[BlockRow],
) -> Result<Option<CursorRow>, LedgerError> {
    fenced(tx, lease)?;
    let account = lease.account;
    let number = to.block.number();
    let at = int("block", number)?;
    witnesses::forget_after(tx, number)?;
    let lessons = witnesses::lessons(tx)?;
    let linked = following
        .first()
        .map_or(lessons > 0, |first| first.parent == to.block);
    if !linked {
        return Err(LedgerError::NotLinked {
            found: following.first().map_or(to.block, |first| first.id),
            last: to.block,
        });
    }
    // Who is still known must have built on the block: a node alone takes nothing back.
    Known::load(tx, lessons.into())?.vouched(following)?;
    for transfer in after(tx, account, at)? {
        withdraw(tx, lease, &transfer)?;
    }
    tx.execute(
        "DELETE FROM trail WHERE account = ?1 AND number > ?2",
        params![account.body(), at],
    )?;
    for watch in &tx.query(
        "SELECT token, last FROM watch WHERE account = ?1",
        params![account.body()],
    )? {
        if rows::block_id(watch, "last")?.number() > number {
            // It is read again, from its first receipt on.
            tx.execute(
                "DELETE FROM watch WHERE account = ?1 AND token = ?2",
                params![account.body(), get::<i64>(watch, "token")?],
            )?;
        }
    }
    let Some(cursor) = super::chain::cursor(tx, account)? else {
        return Ok(None);
    };
    if cursor.last.number() >= number {
        let below = cursor.bound.number() > number;
        tx.execute(
            "UPDATE account SET last = ?2, last_time = ?3, to_learn = ?4,
                 bound = CASE WHEN ?5 = 1 THEN ?2 ELSE bound END,
                 scanned_from = CASE WHEN scanned_from > ?6 THEN ?6 ELSE scanned_from END
             WHERE account = ?1",
            params![
                account.body(),
                to.block.as_bytes(),
                to.time.0,
                i64::from(lessons),
                i64::from(below),
                at
            ],
        )?;
        note(tx, account, 0, to.block, to.time)?;
        // What was signed since may still happen: nothing is signed before it cannot.
        recovery::mark(tx)?;
    }
    super::chain::cursor(tx, account)
}

/// The recorded transfers of the account after a block.
fn after(
    tx: &Transaction<'_>,
    account: Address,
    block: i64,
) -> Result<Vec<TransferRow>, LedgerError> {
    let found = tx.query(
        "SELECT * FROM transfer WHERE (payer = ?1 OR payee = ?1) AND block > ?2
         ORDER BY block, txid",
        params![account.body(), block],
    )?;
    found.iter().map(rows::transfer).collect()
}

/// Takes a transfer back that no believed block holds: an attempt of ours may still
/// pay, what was made elsewhere gives its range back.
fn withdraw(
    tx: &Transaction<'_>,
    lease: &AccountLease,
    transfer: &TransferRow,
) -> Result<(), LedgerError> {
    let txids = std::iter::once(transfer.txid).collect();
    if let Some(attempt) = find_attempts(tx, &txids)?.remove(&transfer.txid) {
        if attempt.state == AttemptState::Solid {
            tx.execute(
                "UPDATE attempt SET state = 1, block = NULL, fee = NULL WHERE txid = ?1",
                params![transfer.txid.as_bytes()],
            )?;
            tx.execute(
                "UPDATE payout SET state = 1, ended = 0 WHERE id = ?1",
                params![attempt.payout.get()],
            )?;
        }
    } else if transfer.payer == lease.account {
        let observed = tx.number(
            "SELECT id FROM payout WHERE kind = ?1 AND payer = ?2 AND payee = ?3 AND token = ?4
                 AND ended <> 2 AND range_to - range_from = ?5
             ORDER BY range_from DESC LIMIT 1",
            params![
                OBSERVED,
                transfer.payer.body(),
                transfer.payee.body(),
                token_number(transfer.token)?,
                transfer.amount.get()
            ],
        )?;
        if let Some(id) = observed {
            payouts::give_back(tx, id, "its block is not the chain's")?;
        }
    }
    tx.execute(
        "DELETE FROM adopted WHERE txid = ?1",
        params![transfer.txid.as_bytes()],
    )?;
    tx.execute(
        "DELETE FROM transfer WHERE txid = ?1",
        params![transfer.txid.as_bytes()],
    )?;
    Ok(())
}
