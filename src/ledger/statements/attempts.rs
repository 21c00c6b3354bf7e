//! Attempts: the transactions of payouts.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    leases::fenced,
    payouts::find_payouts,
    rows::{self, attempt_state_number, collect, get},
};
use crate::{
    ledger::{
        AccountLease, AttemptRow, AttemptState, BatchId, LedgerError, PayoutId, PayoutRow,
        sql::{Kind, Param, Transaction, params},
    },
    types::{Address, TxId},
};

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
