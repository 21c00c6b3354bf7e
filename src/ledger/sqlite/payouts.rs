//! Batches, payouts, attempts, and the right to sign them.

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::rows::{
    self, attempt_state_number, get, payout_kind_number, payout_state_number, token_number,
};
use crate::{
    ledger::{
        AccountLease, AttemptRow, AttemptState, BatchCounts, BatchId, BatchRow, LedgerError,
        PayoutId, PayoutRow, PayoutState,
    },
    types::{Address, TxId},
};

/// Makes `holder` the account's signer and returns its fencing number.
pub(super) fn lease(
    tx: &Transaction<'_>,
    account: Address,
    holder: &str,
) -> Result<i64, LedgerError> {
    tx.prepare_cached(
        "INSERT INTO account (account, fence, holder) VALUES (?1, 1, ?2)
         ON CONFLICT (account) DO UPDATE SET fence = fence + 1, holder = excluded.holder",
    )?
    .execute(params![account.body(), holder])?;
    Ok(tx
        .prepare_cached("SELECT fence FROM account WHERE account = ?1")?
        .query_row([account.body()], |row| row.get(0))?)
}

pub(super) fn holder(
    tx: &Transaction<'_>,
    account: Address,
) -> Result<Option<String>, LedgerError> {
    Ok(tx
        .prepare_cached("SELECT holder FROM account WHERE account = ?1")?
        .query_row([account.body()], |row| row.get(0))
        .optional()?)
}

/// The lease is still the newest: every write of settlement starts so.
pub(super) fn fenced(tx: &Transaction<'_>, lease: &AccountLease) -> Result<(), LedgerError> {
    let fence: Option<i64> = tx
        .prepare_cached("SELECT fence FROM account WHERE account = ?1")?
        .query_row([lease.account.body()], |row| row.get(0))
        .optional()?;
    if fence == Some(lease.fence) {
        Ok(())
    } else {
        Err(LedgerError::LeaseLost(lease.account))
    }
}

pub(super) fn insert_batch(
    tx: &Transaction<'_>,
    lease: &AccountLease,
    batch: &BatchRow,
    payouts: &[PayoutRow],
) -> Result<(), LedgerError> {
    fenced(tx, lease)?;
    if batch.payer != lease.account || payouts.iter().any(|p| p.payer != lease.account) {
        return Err(LedgerError::LeaseLost(batch.payer));
    }
    if let Some(known) = find_batch(tx, batch.id)? {
        let same = known == *batch
            && self::payouts(tx, batch.id)?
                .iter()
                .map(|payout| payout.id)
                .eq(payouts.iter().map(|payout| payout.id));
        return if same {
            Ok(())
        } else {
            Err(LedgerError::Contradiction(format!("batch {}", batch.id)))
        };
    }
    tx.prepare_cached("INSERT INTO batch (id, payer, kind, created_at) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            batch.id.get(),
            batch.payer.body(),
            payout_kind_number(batch.kind),
            batch.created_at.0
        ])?;
    for (ordinal, payout) in (0_i64..).zip(payouts) {
        let end = super::transfers::range_end(tx, payout.payer, payout.payee, payout.token)?;
        if payout.from != end {
            return Err(LedgerError::Range {
                payer: payout.payer,
                payee: payout.payee,
                from: payout.from,
                end,
            });
        }
        let to = rows::sum("the end of a paid range", payout.from, payout.amount)?;
        tx.prepare_cached(
            "INSERT INTO payout (id, batch, ordinal, kind, payer, payee, token, range_from,
                                 range_to, memo, state, reason, owed, owed_to_us)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, '', ?11, ?12)",
        )?
        .execute(params![
            payout.id.get(),
            batch.id.get(),
            ordinal,
            payout_kind_number(payout.kind),
            payout.payer.body(),
            payout.payee.body(),
            token_number(payout.token),
            payout.from.get(),
            to.get(),
            payout.memo,
            payout.owed.get(),
            payout.owed_to_us.get()
        ])?;
    }
    Ok(())
}

pub(super) fn find_batch(
    tx: &Transaction<'_>,
    id: BatchId,
) -> Result<Option<BatchRow>, LedgerError> {
    let mut statement = tx.prepare_cached("SELECT * FROM batch WHERE id = ?1")?;
    let mut found = statement.query([id.get()])?;
    found.next()?.map(rows::batch).transpose()
}

pub(super) fn find_payout(
    tx: &Transaction<'_>,
    id: PayoutId,
) -> Result<Option<PayoutRow>, LedgerError> {
    let mut statement = tx.prepare_cached("SELECT * FROM payout WHERE id = ?1 AND kind <> 2")?;
    let mut found = statement.query([id.get()])?;
    found.next()?.map(rows::payout).transpose()
}

pub(super) fn find_attempt(
    tx: &Transaction<'_>,
    txid: TxId,
) -> Result<Option<AttemptRow>, LedgerError> {
    let mut statement = tx.prepare_cached("SELECT * FROM attempt WHERE txid = ?1")?;
    let mut found = statement.query([txid.as_bytes()])?;
    found.next()?.map(rows::attempt).transpose()
}

pub(super) fn payout_attempts(
    tx: &Transaction<'_>,
    payout: PayoutId,
) -> Result<Vec<AttemptRow>, LedgerError> {
    let mut statement =
        tx.prepare_cached("SELECT * FROM attempt WHERE payout = ?1 ORDER BY ordinal")?;
    collect(statement.query([payout.get()])?, rows::attempt)
}

fn collect<T>(
    mut found: rusqlite::Rows<'_>,
    read: impl Fn(&Row<'_>) -> Result<T, LedgerError>,
) -> Result<Vec<T>, LedgerError> {
    let mut all = Vec::new();
    while let Some(row) = found.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}

pub(super) fn insert_attempts(
    tx: &Transaction<'_>,
    lease: &AccountLease,
    attempts: &[AttemptRow],
) -> Result<(), LedgerError> {
    fenced(tx, lease)?;
    for attempt in attempts {
        if let Some(known) = find_attempt(tx, attempt.txid)? {
            if known.bytes == attempt.bytes && known.payout == attempt.payout {
                continue;
            }
            return Err(LedgerError::Contradiction(format!(
                "transaction {}",
                attempt.txid
            )));
        }
        let payout = find_payout(tx, attempt.payout)?
            .ok_or_else(|| LedgerError::Missing(format!("payout {}", attempt.payout)))?;
        if payout.payer != lease.account {
            return Err(LedgerError::LeaseLost(payout.payer));
        }
        let earlier = payout_attempts(tx, payout.id)?;
        if let Some(paying) = earlier.iter().find(|row| row.state != AttemptState::Dead) {
            return Err(LedgerError::AttemptLive(paying.txid));
        }
        let follows = u32::try_from(earlier.len()).is_ok_and(|n| attempt.ordinal == n + 1);
        if !matches!(payout.state, PayoutState::Planned | PayoutState::InFlight) || !follows {
            return Err(LedgerError::Contradiction(format!(
                "payout {} ({:?}, {} attempts)",
                payout.id,
                payout.state,
                earlier.len()
            )));
        }
        tx.prepare_cached(
            "INSERT INTO attempt (txid, payout, ordinal, bytes, reference, expiration, signed_at,
                                  state, remark)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, '')",
        )?
        .execute(params![
            attempt.txid.as_bytes(),
            attempt.payout.get(),
            attempt.ordinal,
            attempt.bytes,
            attempt.reference.as_bytes(),
            attempt.expiration.0,
            attempt.signed_at.0
        ])?;
        set_payout_state(tx, payout.id, PayoutState::InFlight)?;
    }
    Ok(())
}

pub(super) fn set_payout_state(
    tx: &Transaction<'_>,
    payout: PayoutId,
    state: PayoutState,
) -> Result<(), LedgerError> {
    tx.prepare_cached("UPDATE payout SET state = ?2 WHERE id = ?1")?
        .execute(params![payout.get(), payout_state_number(state)])?;
    Ok(())
}

pub(super) fn set_attempt_state(
    tx: &Transaction<'_>,
    txid: TxId,
    state: AttemptState,
    block: Option<u64>,
) -> Result<(), LedgerError> {
    tx.prepare_cached("UPDATE attempt SET state = ?2, block = ?3 WHERE txid = ?1")?
        .execute(params![
            txid.as_bytes(),
            attempt_state_number(state),
            block.map(|number| rows::int("block", number)).transpose()?
        ])?;
    Ok(())
}

/// Only attempts that may still pay, so that a late answer changes no end.
pub(super) fn mark_sent(
    tx: &Transaction<'_>,
    lease: &AccountLease,
    answers: &[(TxId, String)],
) -> Result<(), LedgerError> {
    fenced(tx, lease)?;
    for (txid, remark) in answers {
        tx.prepare_cached(
            "UPDATE attempt SET remark = ?2, state = max(state, 1)
             WHERE txid = ?1 AND state IN (0, 1, 2)",
        )?
        .execute(params![txid.as_bytes(), remark])?;
    }
    Ok(())
}

pub(super) fn mark_included(
    tx: &Transaction<'_>,
    lease: &AccountLease,
    seen: &[(TxId, Option<u64>)],
) -> Result<(), LedgerError> {
    fenced(tx, lease)?;
    for (txid, block) in seen {
        let state = match block {
            Some(_) => AttemptState::Included,
            None => AttemptState::Sent,
        };
        tx.prepare_cached(
            "UPDATE attempt SET state = ?2, block = ?3 WHERE txid = ?1 AND state IN (0, 1, 2)",
        )?
        .execute(params![
            txid.as_bytes(),
            attempt_state_number(state),
            block.map(|number| rows::int("block", number)).transpose()?
        ])?;
    }
    Ok(())
}

pub(super) fn record_fees(
    tx: &Transaction<'_>,
    fees: &[(TxId, crate::types::Sun)],
) -> Result<(), LedgerError> {
    for (txid, fee) in fees {
        tx.prepare_cached("UPDATE attempt SET fee = ?2 WHERE txid = ?1")?
            .execute(params![txid.as_bytes(), rows::int("fee", fee.0)?])?;
    }
    Ok(())
}

pub(super) fn fail(
    tx: &Transaction<'_>,
    lease: &AccountLease,
    id: PayoutId,
    reason: &str,
) -> Result<(), LedgerError> {
    fenced(tx, lease)?;
    let payout =
        find_payout(tx, id)?.ok_or_else(|| LedgerError::Missing(format!("payout {id}")))?;
    if payout.payer != lease.account {
        return Err(LedgerError::LeaseLost(payout.payer));
    }
    if payout.state == PayoutState::Failed {
        return Ok(());
    }
    if let Some(paying) = payout_attempts(tx, id)?
        .iter()
        .find(|row| row.state != AttemptState::Dead)
    {
        return Err(LedgerError::AttemptLive(paying.txid));
    }
    tx.prepare_cached("UPDATE payout SET state = 3, reason = ?2 WHERE id = ?1")?
        .execute(params![id.get(), reason])?;
    // One by one and from below, so that the unique indexes hold at each step.
    let mut statement = tx.prepare_cached(
        "SELECT id FROM payout WHERE payer = ?1 AND payee = ?2 AND token = ?3 AND state <> 3
         AND range_from >= ?4 ORDER BY range_from",
    )?;
    let above = collect(
        statement.query(params![
            payout.payer.body(),
            payout.payee.body(),
            token_number(payout.token),
            payout.to().get()
        ])?,
        |row| get::<i64>(row, "id"),
    )?;
    for id in above {
        tx.prepare_cached(
            "UPDATE payout SET range_from = range_from - ?2, range_to = range_to - ?2
             WHERE id = ?1",
        )?
        .execute(params![id, payout.amount.get()])?;
    }
    Ok(())
}

pub(super) fn unfinished(
    tx: &Transaction<'_>,
    payer: Address,
) -> Result<Vec<BatchRow>, LedgerError> {
    let mut statement = tx.prepare_cached(
        "SELECT * FROM batch WHERE id IN (
             SELECT batch FROM payout WHERE payer = ?1 AND state IN (0, 1))
         ORDER BY created_at, id",
    )?;
    collect(statement.query([payer.body()])?, rows::batch)
}

pub(super) fn batches(
    tx: &Transaction<'_>,
    payer: Address,
    limit: u32,
) -> Result<Vec<BatchRow>, LedgerError> {
    let mut statement = tx.prepare_cached(
        "SELECT * FROM batch WHERE payer = ?1 ORDER BY created_at DESC, id LIMIT ?2",
    )?;
    collect(statement.query(params![payer.body(), limit])?, rows::batch)
}

pub(super) fn counts(tx: &Transaction<'_>, batch: BatchId) -> Result<BatchCounts, LedgerError> {
    let mut statement = tx.prepare_cached(
        "SELECT count(*) AS payouts, coalesce(sum(state = 2), 0) AS confirmed,
                coalesce(sum(state IN (0, 1)), 0) AS pending, coalesce(sum(state = 3), 0) AS failed
         FROM payout WHERE batch = ?1",
    )?;
    let mut found = statement.query([batch.get()])?;
    match found.next()? {
        Some(row) => Ok(BatchCounts {
            payouts: rows::unsigned(row, "payouts")?,
            confirmed: rows::unsigned(row, "confirmed")?,
            pending: rows::unsigned(row, "pending")?,
            failed: rows::unsigned(row, "failed")?,
        }),
        None => Ok(BatchCounts::default()),
    }
}

pub(super) fn payouts(tx: &Transaction<'_>, batch: BatchId) -> Result<Vec<PayoutRow>, LedgerError> {
    let mut statement =
        tx.prepare_cached("SELECT * FROM payout WHERE batch = ?1 ORDER BY ordinal")?;
    collect(statement.query([batch.get()])?, rows::payout)
}

pub(super) fn attempts(
    tx: &Transaction<'_>,
    batch: BatchId,
) -> Result<Vec<AttemptRow>, LedgerError> {
    let mut statement = tx.prepare_cached(
        "SELECT attempt.* FROM payout JOIN attempt ON attempt.payout = payout.id
         WHERE payout.batch = ?1 ORDER BY payout.ordinal, attempt.ordinal",
    )?;
    collect(statement.query([batch.get()])?, rows::attempt)
}

pub(super) fn live_attempts(
    tx: &Transaction<'_>,
    account: Address,
) -> Result<Vec<AttemptRow>, LedgerError> {
    let mut statement = tx.prepare_cached(
        "SELECT attempt.* FROM payout JOIN attempt ON attempt.payout = payout.id
         WHERE payout.payer = ?1 AND payout.state = 1 AND attempt.state IN (0, 1, 2)
         ORDER BY attempt.expiration, attempt.txid",
    )?;
    collect(statement.query([account.body()])?, rows::attempt)
}
