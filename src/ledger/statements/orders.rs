//! What an order is compared with before it is signed: every payment that the
//! account is known to have made or ordered.

use std::collections::BTreeSet;

use super::{
    attempts::find_attempt,
    leases::fenced,
    payouts::{fail, find_payout},
    rows::{self, get, token_number},
};
use crate::{
    ledger::{
        AccountLease, LedgerError, OrderKey, PastOrigin, PastPayment, PayoutId, TransferRow,
        Wanted,
        sql::{Kind, Param, Row, Transaction, params},
    },
    types::{Address, TxId, UnixMs},
};

const WANTED: [(&str, Kind); 4] = [
    ("payer", Kind::Bytes),
    ("payee", Kind::Bytes),
    ("token", Kind::Int),
    ("amount", Kind::Int),
];

/// Payouts planned at or after `since` that were not given up, and transfers made
/// outside of this ledger, of any age.
pub(in crate::ledger) fn past_payments(
    tx: &Transaction<'_>,
    payer: Address,
    wanted: &BTreeSet<Wanted>,
    since: UnixMs,
) -> Result<Vec<PastPayment>, LedgerError> {
    let rows: Vec<_> = wanted
        .iter()
        .map(|wanted| {
            Ok(vec![
                Param::Bytes(Some(payer.body())),
                Param::Bytes(Some(wanted.payee.body())),
                Param::Int(Some(token_number(wanted.token)?)),
                Param::Int(Some(wanted.amount.get())),
            ])
        })
        .collect::<Result<_, LedgerError>>()?;
    let mut past = Vec::new();
    // An attempt that is not dead: at most one a payout.
    for row in &tx.query_each(
        &format!(
            "SELECT payout.*, batch.created_at, attempt.txid, attempt.block
             FROM {{rows}} CROSS JOIN payout
             JOIN batch ON batch.id = payout.batch
             LEFT JOIN attempt ON attempt.payout = payout.id AND attempt.state <> 4
             WHERE payout.payer = r.payer AND payout.payee = r.payee AND payout.token = r.token
               AND payout.range_to - payout.range_from = r.amount AND payout.kind <> 2
               AND payout.ended <> 2 AND batch.created_at >= {}",
            since.0
        ),
        &WANTED,
        &rows,
    )? {
        past.push(of_payout(row)?);
    }
    for row in &tx.query_each(
        "SELECT transfer.*, adopted.txid IS NOT NULL AS adopted, adopted.order_key
         FROM {rows} CROSS JOIN transfer
         LEFT JOIN adopted ON adopted.txid = transfer.txid
         WHERE transfer.payer = r.payer AND transfer.payee = r.payee
           AND transfer.token = r.token AND transfer.amount = r.amount
           AND NOT EXISTS (SELECT 1 FROM attempt WHERE attempt.txid = transfer.txid)",
        &WANTED,
        &rows,
    )? {
        past.push(elsewhere(row)?);
    }
    past.sort_by_key(|payment| (std::cmp::Reverse(payment.at), payment.txid));
    Ok(past)
}

fn of_payout(row: &Row) -> Result<PastPayment, LedgerError> {
    let payout = rows::payout(row)?;
    Ok(PastPayment {
        wanted: Wanted {
            payee: payout.payee,
            token: payout.token,
            amount: payout.amount,
        },
        at: UnixMs(get(row, "created_at")?),
        block: get::<Option<i64>>(row, "block")?.and_then(|block| u64::try_from(block).ok()),
        txid: get::<Option<Vec<u8>>>(row, "txid")?
            .map(|_| rows::txid(row, "txid"))
            .transpose()?,
        origin: PastOrigin::Payout {
            id: payout.id,
            batch: payout.batch,
            state: payout.state,
            kind: payout.kind,
            memo: payout.memo,
            label: payout.label,
        },
    })
}

fn elsewhere(row: &Row) -> Result<PastPayment, LedgerError> {
    let transfer = rows::transfer(row)?;
    Ok(PastPayment {
        wanted: Wanted {
            payee: transfer.payee,
            token: transfer.token,
            amount: transfer.amount,
        },
        at: transfer.block_time,
        block: Some(transfer.block),
        txid: Some(transfer.txid),
        origin: PastOrigin::Elsewhere {
            adopted: get(row, "adopted")?,
            order: get::<Option<[u8; 32]>>(row, "order_key")?.map(OrderKey::from_bytes),
        },
    })
}

/// The transfers made outside of this ledger that are known to be these orders.
pub(in crate::ledger) fn adopted_as(
    tx: &Transaction<'_>,
    payer: Address,
    keys: &BTreeSet<OrderKey>,
) -> Result<Vec<(OrderKey, TransferRow)>, LedgerError> {
    let rows: Vec<_> = keys
        .iter()
        .map(|key| {
            vec![
                Param::Bytes(Some(payer.body())),
                Param::Bytes(Some(key.as_bytes())),
            ]
        })
        .collect();
    tx.query_each(
        "SELECT transfer.*, adopted.order_key FROM {rows} CROSS JOIN adopted
         JOIN transfer ON transfer.txid = adopted.txid
         WHERE adopted.order_key = r.order_key AND transfer.payer = r.payer",
        &[("payer", Kind::Bytes), ("order_key", Kind::Bytes)],
        &rows,
    )?
    .iter()
    .map(|row| Ok((rows::order_key(row, "order_key")?, rows::transfer(row)?)))
    .collect()
}

/// Notes that a transfer made outside of this ledger is this order; `false` if that
/// was noted before.
pub(in crate::ledger) fn adopt_as(
    tx: &Transaction<'_>,
    txid: TxId,
    key: &OrderKey,
    note: &str,
) -> Result<bool, LedgerError> {
    let seen = tx.exists(
        "SELECT 1 FROM transfer WHERE txid = ?1",
        params![txid.as_bytes()],
    )?;
    if !seen {
        return Err(LedgerError::Missing(format!("transfer {txid}")));
    }
    if find_attempt(tx, txid)?.is_some() {
        return Err(LedgerError::Contradiction(format!("transaction {txid}")));
    }
    let before = tx.query(
        "SELECT txid, order_key FROM adopted WHERE txid = ?1 OR order_key = ?2",
        params![txid.as_bytes(), key.as_bytes()],
    )?;
    for row in &before {
        let same = rows::txid(row, "txid")? == txid;
        let bound = get::<Option<Vec<u8>>>(row, "order_key")?;
        match (same, bound.as_deref()) {
            (true, Some(known)) if known == key.as_bytes() => return Ok(false),
            (true, None) => {}
            _ => return Err(LedgerError::Contradiction(format!("transaction {txid}"))),
        }
    }
    tx.execute(
        "INSERT INTO adopted (txid, note, order_key) VALUES (?1, ?2, ?3)
         ON CONFLICT (txid) DO UPDATE SET order_key = excluded.order_key",
        params![txid.as_bytes(), note, key.as_bytes()],
    )?;
    Ok(true)
}

/// Gives payouts up, all of them or none.
pub(in crate::ledger) fn fail_all(
    tx: &Transaction<'_>,
    lease: &AccountLease,
    payouts: &[(PayoutId, String)],
) -> Result<(), LedgerError> {
    fenced(tx, lease)?;
    // The highest ranges first: nothing above them moves.
    let mut found = Vec::with_capacity(payouts.len());
    for (id, reason) in payouts {
        let payout =
            find_payout(tx, *id)?.ok_or_else(|| LedgerError::Missing(format!("payout {id}")))?;
        found.push((payout.from, *id, reason));
    }
    found.sort_by_key(|(from, ..)| std::cmp::Reverse(*from));
    for (_, id, reason) in found {
        fail(tx, lease, id, reason)?;
    }
    Ok(())
}

/// Transactions of the account in solid blocks of which it is not known what they
/// burnt, with their block's number, oldest first, at most `limit`.
pub(in crate::ledger) fn unpriced(
    tx: &Transaction<'_>,
    payer: Address,
    limit: u32,
) -> Result<Vec<(u64, TxId)>, LedgerError> {
    tx.query(
        "SELECT attempt.block, attempt.txid FROM attempt
         JOIN payout ON payout.id = attempt.payout
         WHERE payout.payer = ?1 AND attempt.fee IS NULL AND attempt.state >= 3
           AND attempt.block IS NOT NULL
         ORDER BY attempt.block, attempt.txid LIMIT ?2",
        params![payer.body(), limit],
    )?
    .iter()
    .map(|row| Ok((rows::unsigned(row, "block")?, rows::txid(row, "txid")?)))
    .collect()
}

/// These transfers, those that are recorded, in no order.
pub(in crate::ledger) fn transfers_of(
    tx: &Transaction<'_>,
    txids: &BTreeSet<TxId>,
) -> Result<Vec<TransferRow>, LedgerError> {
    let rows: Vec<_> = txids
        .iter()
        .map(|txid| vec![Param::Bytes(Some(txid.as_bytes()))])
        .collect();
    tx.query_each(
        "SELECT transfer.* FROM {rows} CROSS JOIN transfer WHERE transfer.txid = r.txid",
        &[("txid", Kind::Bytes)],
        &rows,
    )?
    .iter()
    .map(rows::transfer)
    .collect()
}
