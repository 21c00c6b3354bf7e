//! Batches, payouts, attempts, and the right to sign them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::rows::{self, attempt_state_number, get, payout_kind_number, token_number};
use crate::{
    ledger::{
        AccountLease, AttemptRow, AttemptState, BatchCounts, BatchId, BatchRow, LedgerError,
        PayoutId, PayoutRow, PayoutState,
        sql::{Exclusion, Kind, Param, Row, Transaction, params},
    },
    types::{Address, RawAmount, TxId},
};

/// How long a lease by the database's clock lasts unless it is renewed.
pub(in crate::ledger) const LEASE_MS: i64 = 10_000;

/// Makes `holder` the account's signer and returns its fencing number.
pub(in crate::ledger) fn lease(
    tx: &Transaction<'_>,
    account: Address,
    holder: &str,
) -> Result<i64, LedgerError> {
    match tx.exclusion() {
        Exclusion::Locks => {
            tx.execute(
                "INSERT INTO account (account, fence, holder) VALUES (?1, 1, ?2)
                 ON CONFLICT (account) DO UPDATE SET
                     fence = account.fence + 1, holder = excluded.holder",
                params![account.body(), holder],
            )?;
        }
        Exclusion::Clock(now) => {
            let taken = tx.execute(
                &format!(
                    "INSERT INTO account (account, fence, holder, expires)
                     VALUES (?1, 1, ?2, {now} + ?3)
                     ON CONFLICT (account) DO UPDATE SET
                         fence = account.fence + 1, holder = excluded.holder,
                         expires = excluded.expires
                     WHERE account.expires <= {now}"
                ),
                params![account.body(), holder, LEASE_MS],
            )?;
            if taken != 1 {
                return Err(LedgerError::AccountHeld {
                    account,
                    holder: self::holder(tx, account)?.unwrap_or_default(),
                });
            }
        }
    }
    tx.number(
        "SELECT fence FROM account WHERE account = ?1",
        params![account.body()],
    )?
    .ok_or_else(|| LedgerError::Missing(account.to_string()))
}

/// Who was the last to take the account; by the clock, who has it now.
pub(in crate::ledger) fn holder(
    tx: &Transaction<'_>,
    account: Address,
) -> Result<Option<String>, LedgerError> {
    let still = match tx.exclusion() {
        Exclusion::Locks => String::new(),
        Exclusion::Clock(now) => format!(" AND expires > {now}"),
    };
    tx.query(
        &format!("SELECT holder FROM account WHERE account = ?1{still}"),
        params![account.body()],
    )?
    .first()
    .map(|row| get(row, "holder"))
    .transpose()
}

/// The lease is still the newest, and by the clock it has not run out and is
/// renewed: every write of settlement starts so.
pub(in crate::ledger) fn fenced(
    tx: &Transaction<'_>,
    lease: &AccountLease,
) -> Result<(), LedgerError> {
    let held = match tx.exclusion() {
        Exclusion::Locks => tx.exists(
            "SELECT 1 FROM account WHERE account = ?1 AND fence = ?2",
            params![lease.account.body(), lease.fence],
        )?,
        Exclusion::Clock(now) => renew(tx, lease.account, lease.fence, now)?,
    };
    if held {
        Ok(())
    } else {
        Err(LedgerError::LeaseLost(lease.account))
    }
}

/// Puts the end of a lease off; `false` when it is another's or has run out.
pub(in crate::ledger) fn renew(
    tx: &Transaction<'_>,
    account: Address,
    fence: i64,
    now: &str,
) -> Result<bool, LedgerError> {
    let renewed = tx.execute(
        &format!(
            "UPDATE account SET expires = {now} + ?3
             WHERE account = ?1 AND fence = ?2 AND expires > {now}"
        ),
        params![account.body(), fence, LEASE_MS],
    )?;
    Ok(renewed == 1)
}

/// Ends a lease by the clock before its time.
pub(in crate::ledger) fn release(
    tx: &Transaction<'_>,
    account: Address,
    fence: i64,
) -> Result<(), LedgerError> {
    tx.execute(
        "UPDATE account SET expires = 0 WHERE account = ?1 AND fence = ?2",
        params![account.body(), fence],
    )?;
    Ok(())
}

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
            Param::Int(Some(token_number(payout.token))),
            Param::Int(Some(payout.from.get())),
            Param::Int(Some(to.get())),
            Param::Bytes(Some(&payout.memo)),
            Param::Int(Some(payout.owed.get())),
            Param::Int(Some(payout.owed_to_us.get())),
        ]);
    }
    tx.execute_each(
        "INSERT INTO payout (id, batch, ordinal, kind, payer, payee, token, range_from,
                             range_to, memo, state, reason, owed, owed_to_us)
         SELECT r.id, r.batch, r.ordinal, r.kind, r.payer, r.payee, r.token, r.range_from,
                r.range_to, r.memo, 0, '', r.owed, r.owed_to_us
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
            vec![
                Param::Bytes(Some(payout.payer.body())),
                Param::Bytes(Some(payout.payee.body())),
                Param::Int(Some(token_number(payout.token))),
            ]
        })
        .collect();
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
            .entry((payout.payee, token_number(payout.token)))
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

pub(in crate::ledger) fn find_attempt(
    tx: &Transaction<'_>,
    txid: TxId,
) -> Result<Option<AttemptRow>, LedgerError> {
    let found = tx.query(
        "SELECT * FROM attempt WHERE txid = ?1",
        params![txid.as_bytes()],
    )?;
    found.first().map(rows::attempt).transpose()
}

pub(in crate::ledger) fn payout_attempts(
    tx: &Transaction<'_>,
    payout: PayoutId,
) -> Result<Vec<AttemptRow>, LedgerError> {
    collect(
        &tx.query(
            "SELECT * FROM attempt WHERE payout = ?1 ORDER BY ordinal",
            params![payout.get()],
        )?,
        rows::attempt,
    )
}

fn collect<T>(
    found: &[Row],
    read: impl Fn(&Row) -> Result<T, LedgerError>,
) -> Result<Vec<T>, LedgerError> {
    found.iter().map(read).collect()
}

/// The attempts with these ids.
pub(in crate::ledger) fn find_attempts(
    tx: &Transaction<'_>,
    txids: &BTreeSet<TxId>,
) -> Result<HashMap<TxId, AttemptRow>, LedgerError> {
    let rows: Vec<_> = txids
        .iter()
        .map(|txid| vec![Param::Bytes(Some(txid.as_bytes()))])
        .collect();
    let mut found = HashMap::new();
    for row in &tx.query_each(
        "SELECT attempt.* FROM {rows} CROSS JOIN attempt WHERE attempt.txid = r.txid",
        &[("txid", Kind::Bytes)],
        &rows,
    )? {
        let attempt = rows::attempt(row)?;
        found.insert(attempt.txid, attempt);
    }
    Ok(found)
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

/// What the ledger has of attempts that are to be inserted.
struct Known {
    same: HashMap<TxId, AttemptRow>,
    payouts: HashMap<PayoutId, PayoutRow>,
    /// State and transaction of each earlier attempt, by ordinal.
    earlier: HashMap<PayoutId, Vec<(AttemptState, TxId)>>,
}

fn known(tx: &Transaction<'_>, attempts: &[AttemptRow]) -> Result<Known, LedgerError> {
    let txids = attempts.iter().map(|attempt| attempt.txid).collect();
    let payouts: BTreeSet<_> = attempts.iter().map(|attempt| attempt.payout).collect();
    let mut known = Known {
        same: find_attempts(tx, &txids)?,
        payouts: find_payouts(tx, &payouts)?,
        earlier: HashMap::new(),
    };
    let ids: Vec<_> = payouts
        .iter()
        .map(|id| vec![Param::Int(Some(id.get()))])
        .collect();
    let mut earlier = BTreeSet::new();
    for row in &tx.query_each(
        "SELECT attempt.payout, attempt.ordinal, attempt.state, attempt.offered, attempt.txid
         FROM {rows} CROSS JOIN attempt WHERE attempt.payout = r.id",
        &[("id", Kind::Int)],
        &ids,
    )? {
        earlier.insert((
            PayoutId(get(row, "payout")?),
            get::<i64>(row, "ordinal")?,
            rows::attempt_state(row)?,
            rows::txid(row, "txid")?,
        ));
    }
    for (payout, _, state, txid) in earlier {
        known.earlier.entry(payout).or_default().push((state, txid));
    }
    Ok(known)
}

pub(in crate::ledger) fn insert_attempts(
    tx: &Transaction<'_>,
    lease: &AccountLease,
    attempts: &[AttemptRow],
) -> Result<(), LedgerError> {
    fenced(tx, lease)?;
    let mut known = known(tx, attempts)?;
    let mut fresh = Vec::with_capacity(attempts.len());
    for attempt in attempts {
        if let Some(same) = known.same.get(&attempt.txid) {
            if same.bytes == attempt.bytes && same.payout == attempt.payout {
                continue;
            }
            return Err(LedgerError::Contradiction(format!(
                "transaction {}",
                attempt.txid
            )));
        }
        let payout = known
            .payouts
            .get(&attempt.payout)
            .ok_or_else(|| LedgerError::Missing(format!("payout {}", attempt.payout)))?;
        if payout.payer != lease.account {
            return Err(LedgerError::LeaseLost(payout.payer));
        }
        let earlier = known.earlier.entry(payout.id).or_default();
        if let Some((_, paying)) = earlier
            .iter()
            .find(|(state, _)| *state != AttemptState::Dead)
        {
            return Err(LedgerError::AttemptLive(*paying));
        }
        let follows = u32::try_from(earlier.len()).is_ok_and(|n| attempt.ordinal == n + 1);
        if !payout.state.is_open() || !follows {
            return Err(LedgerError::Contradiction(format!(
                "payout {} ({:?}, {} attempts)",
                payout.id,
                payout.state,
                earlier.len()
            )));
        }
        earlier.push((attempt.state, attempt.txid));
        let offered = attempt.state == AttemptState::Offered;
        fresh.push(vec![
            Param::Bytes(Some(attempt.txid.as_bytes())),
            Param::Int(Some(attempt.payout.get())),
            Param::Int(Some(i64::from(attempt.ordinal))),
            Param::Bytes(Some(&attempt.bytes)),
            Param::Bytes(Some(attempt.reference.as_bytes())),
            Param::Int(Some(attempt.expiration.0)),
            Param::Int(Some(attempt.signed_at.0)),
            Param::Int(Some(i64::from(offered))),
        ]);
    }
    tx.execute_each(
        "INSERT INTO attempt (txid, payout, ordinal, bytes, reference, expiration, signed_at,
                              offered, state, remark)
         SELECT r.txid, r.payout, r.ordinal, r.bytes, r.reference, r.expiration, r.signed_at,
                r.offered, 0, ''
         FROM {rows}",
        &[
            ("txid", Kind::Bytes),
            ("payout", Kind::Int),
            ("ordinal", Kind::Int),
            ("bytes", Kind::Bytes),
            ("reference", Kind::Bytes),
            ("expiration", Kind::Int),
            ("signed_at", Kind::Int),
            ("offered", Kind::Int),
        ],
        &fresh,
    )?;
    let begun: Vec<_> = attempts
        .iter()
        .map(|attempt| vec![Param::Int(Some(attempt.payout.get()))])
        .collect();
    tx.execute_each(
        "UPDATE payout SET state = 1 FROM {rows} WHERE payout.id = r.id AND payout.state = 0",
        &[("id", Kind::Int)],
        &begun,
    )?;
    Ok(())
}

/// Replaces the bytes of offered attempts; what was brought back before stays.
pub(in crate::ledger) fn bring_back(
    tx: &Transaction<'_>,
    lease: &AccountLease,
    signed: &[(TxId, Vec<u8>)],
) -> Result<Vec<AttemptRow>, LedgerError> {
    fenced(tx, lease)?;
    let txids = signed.iter().map(|(txid, _)| *txid).collect();
    let mut attempts = find_attempts(tx, &txids)?;
    let payouts = find_payouts(tx, &attempts.values().map(|row| row.payout).collect())?;
    let (mut changed, mut rows) = (Vec::new(), Vec::new());
    for (txid, bytes) in signed {
        let mut attempt = attempts
            .remove(txid)
            .ok_or_else(|| LedgerError::Missing(format!("transaction {txid}")))?;
        let payout = payouts
            .get(&attempt.payout)
            .ok_or_else(|| LedgerError::Missing(format!("payout {}", attempt.payout)))?;
        if payout.payer != lease.account {
            return Err(LedgerError::LeaseLost(payout.payer));
        }
        if attempt.state != AttemptState::Offered {
            continue;
        }
        rows.push(vec![
            Param::Bytes(Some(txid.as_bytes())),
            Param::Bytes(Some(bytes)),
        ]);
        attempt.state = AttemptState::Signed;
        attempt.bytes.clone_from(bytes);
        changed.push(attempt);
    }
    tx.execute_each(
        "UPDATE attempt SET bytes = r.bytes, offered = 0
         FROM {rows} WHERE attempt.txid = r.txid AND attempt.offered = 1 AND attempt.state = 0",
        &[("txid", Kind::Bytes), ("bytes", Kind::Bytes)],
        &rows,
    )?;
    Ok(changed)
}

pub(in crate::ledger) fn set_attempt_states(
    tx: &Transaction<'_>,
    states: &BTreeMap<TxId, (AttemptState, Option<u64>)>,
) -> Result<(), LedgerError> {
    let mut rows = Vec::with_capacity(states.len());
    for (txid, (state, block)) in states {
        rows.push(vec![
            Param::Bytes(Some(txid.as_bytes())),
            Param::Int(Some(attempt_state_number(*state))),
            Param::Int(block.map(|number| rows::int("block", number)).transpose()?),
        ]);
    }
    tx.execute_each(
        "UPDATE attempt SET state = r.state, block = r.block
         FROM {rows} WHERE attempt.txid = r.txid",
        &[
            ("txid", Kind::Bytes),
            ("state", Kind::Int),
            ("block", Kind::Int),
        ],
        &rows,
    )?;
    Ok(())
}

pub(in crate::ledger) fn set_confirmed(
    tx: &Transaction<'_>,
    payouts: &BTreeSet<PayoutId>,
) -> Result<(), LedgerError> {
    let rows: Vec<_> = payouts
        .iter()
        .map(|id| vec![Param::Int(Some(id.get()))])
        .collect();
    tx.execute_each(
        "UPDATE payout SET state = 2, ended = 1 FROM {rows} WHERE payout.id = r.id",
        &[("id", Kind::Int)],
        &rows,
    )?;
    Ok(())
}

/// Only signed attempts that may still pay, so that a late answer changes no end.
pub(in crate::ledger) fn mark_sent(
    tx: &Transaction<'_>,
    lease: &AccountLease,
    answers: &[(TxId, String)],
) -> Result<(), LedgerError> {
    fenced(tx, lease)?;
    // Of several answers the last one counts.
    let last: BTreeMap<_, _> = answers.iter().map(|(txid, said)| (txid, said)).collect();
    let rows: Vec<_> = last
        .iter()
        .map(|(txid, said)| {
            vec![
                Param::Bytes(Some(txid.as_bytes())),
                Param::Text(Some(said.as_str())),
            ]
        })
        .collect();
    tx.execute_each(
        "UPDATE attempt SET remark = r.remark,
             state = CASE WHEN attempt.state = 0 THEN 1 ELSE attempt.state END
         FROM {rows} WHERE attempt.txid = r.txid AND attempt.state IN (0, 1, 2)
           AND attempt.offered = 0",
        &[("txid", Kind::Bytes), ("remark", Kind::Text)],
        &rows,
    )?;
    Ok(())
}

pub(in crate::ledger) fn mark_included(
    tx: &Transaction<'_>,
    lease: &AccountLease,
    seen: &[(TxId, Option<u64>)],
) -> Result<(), LedgerError> {
    fenced(tx, lease)?;
    let last: BTreeMap<_, _> = seen.iter().map(|(txid, block)| (txid, *block)).collect();
    let mut rows = Vec::with_capacity(last.len());
    for (txid, block) in last {
        let state = match block {
            Some(_) => AttemptState::Included,
            None => AttemptState::Sent,
        };
        rows.push(vec![
            Param::Bytes(Some(txid.as_bytes())),
            Param::Int(Some(attempt_state_number(state))),
            Param::Int(block.map(|number| rows::int("block", number)).transpose()?),
        ]);
    }
    tx.execute_each(
        "UPDATE attempt SET state = r.state, block = r.block
         FROM {rows} WHERE attempt.txid = r.txid AND attempt.state IN (0, 1, 2)
           AND attempt.offered = 0",
        &[
            ("txid", Kind::Bytes),
            ("state", Kind::Int),
            ("block", Kind::Int),
        ],
        &rows,
    )?;
    Ok(())
}

pub(in crate::ledger) fn record_fees(
    tx: &Transaction<'_>,
    fees: &[(TxId, crate::types::Sun)],
) -> Result<(), LedgerError> {
    let last: BTreeMap<_, _> = fees.iter().map(|(txid, fee)| (txid, *fee)).collect();
    let mut rows = Vec::with_capacity(last.len());
    for (txid, fee) in last {
        rows.push(vec![
            Param::Bytes(Some(txid.as_bytes())),
            Param::Int(Some(rows::int("fee", fee.0)?)),
        ]);
    }
    tx.execute_each(
        "UPDATE attempt SET fee = r.fee FROM {rows} WHERE attempt.txid = r.txid",
        &[("txid", Kind::Bytes), ("fee", Kind::Int)],
        &rows,
    )?;
    Ok(())
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
    tx.execute(
        "UPDATE payout SET state = 3, ended = 2, reason = ?2 WHERE id = ?1",
        params![id.get(), reason],
    )?;
    // One by one and from below, so that the unique indexes hold at each step.
    let above = collect(
        &tx.query(
            "SELECT id FROM payout WHERE payer = ?1 AND payee = ?2 AND token = ?3 AND ended <> 2
         AND range_from >= ?4 ORDER BY range_from",
            params![
                payout.payer.body(),
                payout.payee.body(),
                token_number(payout.token),
                payout.to().get()
            ],
        )?,
        |row| get::<i64>(row, "id"),
    )?;
    for id in above {
        tx.execute(
            "UPDATE payout SET range_from = range_from - ?2, range_to = range_to - ?2
             WHERE id = ?1",
            params![id, payout.amount.get()],
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

pub(in crate::ledger) fn attempts(
    tx: &Transaction<'_>,
    batch: BatchId,
) -> Result<Vec<AttemptRow>, LedgerError> {
    collect(
        &tx.query(
            "SELECT attempt.* FROM payout JOIN attempt ON attempt.payout = payout.id
         WHERE payout.batch = ?1 ORDER BY payout.ordinal, attempt.ordinal",
            params![batch.get()],
        )?,
        rows::attempt,
    )
}

pub(in crate::ledger) fn live_attempts(
    tx: &Transaction<'_>,
    account: Address,
) -> Result<Vec<AttemptRow>, LedgerError> {
    collect(
        &tx.query(
            "SELECT attempt.* FROM payout JOIN attempt ON attempt.payout = payout.id
         WHERE payout.payer = ?1 AND payout.ended = 0 AND payout.state = 1 AND attempt.state IN (0, 1, 2)
         ORDER BY attempt.expiration, attempt.txid",
            params![account.body()],
        )?,
        rows::attempt,
    )
}
