//! Batches and payouts.

use std::collections::{BTreeSet, HashMap};

use super::{
    attempts::payout_attempts,
    leases::fenced,
    rows::{self, collect, get, payout_kind_number, token_number},
};
use crate::{
    ledger::{
        AccountLease, AttemptState, BatchCounts, BatchId, BatchRow, LedgerError, PayoutId,
        PayoutRow, PayoutState,
        sql::{Kind, Param, Transaction, params},
    },
    types::{Address, RawAmount},
};

pub(in crate::ledger) fn insert_batch(
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
    tx.execute(
        "INSERT INTO batch (id, payer, kind, created_at) VALUES (?1, ?2, ?3, ?4)",
        params![
            batch.id.get(),
            batch.payer.body(),
            payout_kind_number(batch.kind),
            batch.created_at.0
        ],
    )?;
    check_ranges(tx, payouts)?;
    let mut rows = Vec::with_capacity(payouts.len());
    for (ordinal, payout) in (0_i64..).zip(payouts) {
        let to = rows::sum("the end of a paid range", payout.from, payout.amount)?;
        rows.push(vec![
            Param::Int(Some(payout.id.get())),
            Param::Int(Some(batch.id.get())),
            Param::Int(Some(ordinal)),
            Param::Int(Some(payout_kind_number(payout.kind))),
            Param::Bytes(Some(payout.payer.body())),
            Param::Bytes(Some(payout.payee.body())),
            Param::Int(Some(token_number(payout.token)?)),
            Param::Int(Some(payout.from.get())),
            Param::Int(Some(to.get())),
            Param::Bytes(Some(&payout.memo)),
            Param::Text(Some(payout.label.as_str())),
            Param::Int(Some(i64::from(payout.not_for_debts))),
            Param::Int(Some(payout.owed.get())),
            Param::Int(Some(payout.owed_to_us.get())),
        ]);
    }
    tx.execute_each(
        "INSERT INTO payout (id, batch, ordinal, kind, payer, payee, token, range_from,
                             range_to, memo, label, apart, state, reason, owed, owed_to_us)
         SELECT r.id, r.batch, r.ordinal, r.kind, r.payer, r.payee, r.token, r.range_from,
                r.range_to, r.memo, r.label, r.apart, 0, '', r.owed, r.owed_to_us
         FROM {rows}",
        &[
            ("id", Kind::Int),
            ("batch", Kind::Int),
            ("ordinal", Kind::Int),
            ("kind", Kind::Int),
            ("payer", Kind::Bytes),
            ("payee", Kind::Bytes),
            ("token", Kind::Int),
            ("range_from", Kind::Int),
            ("range_to", Kind::Int),
            ("memo", Kind::Bytes),
            ("label", Kind::Text),
            ("apart", Kind::Int),
            ("owed", Kind::Int),
            ("owed_to_us", Kind::Int),
        ],
        &rows,
    )?;
    Ok(())
}

/// Each payout's range begins where the one before it in its pair ends.
fn check_ranges(tx: &Transaction<'_>, payouts: &[PayoutRow]) -> Result<(), LedgerError> {
    let pairs: Vec<_> = payouts
        .iter()
        .map(|payout| {
            Ok(vec![
                Param::Bytes(Some(payout.payer.body())),
                Param::Bytes(Some(payout.payee.body())),
                Param::Int(Some(token_number(payout.token)?)),
            ])
        })
        .collect::<Result<_, LedgerError>>()?;
    let found = tx.query_each(
        "SELECT r.payee AS payee, r.token AS token, (
             SELECT coalesce(max(p.range_to), 0) FROM payout p
             WHERE p.payer = r.payer AND p.payee = r.payee AND p.token = r.token
               AND p.ended <> 2) AS raw
         FROM {rows}",
        &[
            ("payer", Kind::Bytes),
            ("payee", Kind::Bytes),
            ("token", Kind::Int),
        ],
        &pairs,
    )?;
    let mut ends = HashMap::with_capacity(found.len());
    for row in &found {
        let pair = (rows::address(row, "payee")?, get::<i64>(row, "token")?);
        ends.insert(pair, rows::amount(row, "raw")?);
    }
    for payout in payouts {
        let end = ends
            .entry((payout.payee, token_number(payout.token)?))
            .or_insert(RawAmount::ZERO);
        if payout.from != *end {
            return Err(LedgerError::Range {
                payer: payout.payer,
                payee: payout.payee,
                from: payout.from,
                end: *end,
            });
        }
        *end = rows::sum("the end of a paid range", payout.from, payout.amount)?;
    }
    Ok(())
}

pub(in crate::ledger) fn find_batch(
    tx: &Transaction<'_>,
    id: BatchId,
) -> Result<Option<BatchRow>, LedgerError> {
    let found = tx.query("SELECT * FROM batch WHERE id = ?1", params![id.get()])?;
    found.first().map(rows::batch).transpose()
}

pub(in crate::ledger) fn find_payout(
    tx: &Transaction<'_>,
    id: PayoutId,
) -> Result<Option<PayoutRow>, LedgerError> {
    let found = tx.query(
        "SELECT * FROM payout WHERE id = ?1 AND kind <> 2",
        params![id.get()],
    )?;
    found.first().map(rows::payout).transpose()
}

/// The payouts of ours with these numbers.
pub(in crate::ledger) fn find_payouts(
    tx: &Transaction<'_>,
    ids: &BTreeSet<PayoutId>,
) -> Result<HashMap<PayoutId, PayoutRow>, LedgerError> {
    let rows: Vec<_> = ids
        .iter()
        .map(|id| vec![Param::Int(Some(id.get()))])
        .collect();
    let mut found = HashMap::with_capacity(ids.len());
    for row in &tx.query_each(
        "SELECT payout.* FROM {rows} CROSS JOIN payout
         WHERE payout.id = r.id AND payout.kind <> 2",
        &[("id", Kind::Int)],
        &rows,
    )? {
        let payout = rows::payout(row)?;
        found.insert(payout.id, payout);
    }
    Ok(found)
}

pub(in crate::ledger) fn fail(
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
    give_back(tx, id.get(), reason)
}

/// Ends a payout as failed, and gives its range back.
pub(super) fn give_back(tx: &Transaction<'_>, id: i64, reason: &str) -> Result<(), LedgerError> {
    let found = tx.query(
        "SELECT payer, payee, token, range_from, range_to FROM payout WHERE id = ?1",
        params![id],
    )?;
    let row = found
        .first()
        .ok_or_else(|| LedgerError::Missing(format!("payout {id}")))?;
    let (payer, payee) = (rows::address(row, "payer")?, rows::address(row, "payee")?);
    let token = get::<i64>(row, "token")?;
    let (from, to) = (get::<i64>(row, "range_from")?, get::<i64>(row, "range_to")?);
    tx.execute(
        "UPDATE payout SET state = 3, ended = 2, reason = ?2 WHERE id = ?1",
        params![id, reason],
    )?;
    // One by one and from below, so that the unique indexes hold at each step.
    let above = collect(
        &tx.query(
            "SELECT id FROM payout WHERE payer = ?1 AND payee = ?2 AND token = ?3 AND ended <> 2
         AND range_from >= ?4 ORDER BY range_from",
            params![payer.body(), payee.body(), token, to],
        )?,
        |row| get::<i64>(row, "id"),
    )?;
    for id in above {
        tx.execute(
            "UPDATE payout SET range_from = range_from - ?2, range_to = range_to - ?2
             WHERE id = ?1",
            params![id, to - from],
        )?;
    }
    Ok(())
}

pub(in crate::ledger) fn unfinished(
    tx: &Transaction<'_>,
    payer: Address,
) -> Result<Vec<BatchRow>, LedgerError> {
    collect(
        &tx.query(
            "SELECT * FROM batch WHERE id IN (
             SELECT batch FROM payout WHERE payer = ?1 AND ended = 0)
         ORDER BY created_at, id",
            params![payer.body()],
        )?,
        rows::batch,
    )
}

pub(in crate::ledger) fn batches(
    tx: &Transaction<'_>,
    payer: Address,
    limit: u32,
) -> Result<Vec<BatchRow>, LedgerError> {
    collect(
        &tx.query(
            "SELECT * FROM batch WHERE payer = ?1 ORDER BY created_at DESC, id LIMIT ?2",
            params![payer.body(), limit],
        )?,
        rows::batch,
    )
}

pub(in crate::ledger) fn counts(
    tx: &Transaction<'_>,
    batch: BatchId,
) -> Result<BatchCounts, LedgerError> {
    let found = tx.query(
        "SELECT count(*) AS payouts, count(CASE WHEN state = 2 THEN 1 END) AS confirmed,
                count(CASE WHEN state IN (0, 1) THEN 1 END) AS pending,
                count(CASE WHEN state = 3 THEN 1 END) AS failed
         FROM payout WHERE batch = ?1",
        params![batch.get()],
    )?;
    match found.first() {
        Some(row) => Ok(BatchCounts {
            payouts: rows::unsigned(row, "payouts")?,
            confirmed: rows::unsigned(row, "confirmed")?,
            pending: rows::unsigned(row, "pending")?,
            failed: rows::unsigned(row, "failed")?,
        }),
        None => Ok(BatchCounts::default()),
    }
}

pub(in crate::ledger) fn payouts(
    tx: &Transaction<'_>,
    batch: BatchId,
) -> Result<Vec<PayoutRow>, LedgerError> {
    collect(
        &tx.query(
            "SELECT * FROM payout WHERE batch = ?1 ORDER BY ordinal",
            params![batch.get()],
        )?,
        rows::payout,
    )
}
