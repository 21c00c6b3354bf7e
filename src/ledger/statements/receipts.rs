//! Receipts: issued and received.

use std::collections::{BTreeSet, HashMap};

use super::{
    evidence::keep_both,
    flows, grants,
    positions::reserved,
    rows::{self, amount, int, kind_number, optional_amount, sum, unsigned},
};
use crate::{
    ledger::{
        EpochId, LedgerError, Origin, Pair, ReceiptKind, ReceiptRow, Remainder, Stored,
        sql::{Kind, Param, Transaction, params},
    },
    types::RawAmount,
};

/// The newest receipt of one epoch in one role.
pub(in crate::ledger) fn newest(
    tx: &Transaction<'_>,
    kind: ReceiptKind,
    pair: &Pair,
    epoch: EpochId,
) -> Result<Option<ReceiptRow>, LedgerError> {
    let found = tx.query(
        "SELECT * FROM receipt
         WHERE kind = ?1 AND payer = ?2 AND payee = ?3 AND token = ?4 AND epoch = ?5",
        params![
            kind_number(kind),
            pair.payer.body(),
            pair.payee.body(),
            pair.token.get(),
            epoch.get()
        ],
    )?;
    found.first().map(rows::receipt).transpose()
}

/// The newest receipt of every epoch of each pair in one role, a pair's by epoch.
pub(in crate::ledger) fn all_newest(
    tx: &Transaction<'_>,
    kind: ReceiptKind,
    pairs: &[Pair],
) -> Result<Vec<ReceiptRow>, LedgerError> {
    let wanted: Vec<_> = pairs
        .iter()
        .map(|pair| {
            vec![
                Param::Int(Some(kind_number(kind))),
                Param::Bytes(Some(pair.payer.body())),
                Param::Bytes(Some(pair.payee.body())),
                Param::Int(Some(pair.token.get())),
            ]
        })
        .collect();
    let found = tx.query_each(
        "SELECT receipt.* FROM {rows} CROSS JOIN receipt
         WHERE receipt.kind = r.kind AND receipt.payer = r.payer
           AND receipt.payee = r.payee AND receipt.token = r.token
         ORDER BY receipt.epoch",
        &[
            ("kind", Kind::Int),
            ("payer", Kind::Bytes),
            ("payee", Kind::Bytes),
            ("token", Kind::Int),
        ],
        &wanted,
    )?;
    let mut receipts = Vec::new();
    for row in &found {
        receipts.push(rows::receipt(row)?);
    }
    Ok(receipts)
}

/// The columns of a receipt, as many are stored at once.
const RECEIPT: &[(&str, Kind)] = &[
    ("kind", Kind::Int),
    ("payer", Kind::Bytes),
    ("payee", Kind::Bytes),
    ("token", Kind::Int),
    ("epoch", Kind::Int),
    ("signer", Kind::Bytes),
    ("since_block", Kind::Int),
    ("sequence", Kind::Int),
    ("amount", Kind::Int),
    ("delivered_bytes", Kind::Int),
    ("issued_at", Kind::Int),
    ("grant_hash", Kind::Bytes),
    ("signature", Kind::Bytes),
];

pub(super) fn put(
    tx: &Transaction<'_>,
    kind: ReceiptKind,
    receipt: &ReceiptRow,
) -> Result<(), LedgerError> {
    put_all(tx, kind, [receipt])
}

fn put_all<'a>(
    tx: &Transaction<'_>,
    kind: ReceiptKind,
    receipts: impl IntoIterator<Item = &'a ReceiptRow>,
) -> Result<(), LedgerError> {
    let mut rows = Vec::new();
    for receipt in receipts {
        rows.push(vec![
            Param::Int(Some(kind_number(kind))),
            Param::Bytes(Some(receipt.pair.payer.body())),
            Param::Bytes(Some(receipt.pair.payee.body())),
            Param::Int(Some(rows::pair_token(&receipt.pair)?)),
            Param::Int(Some(receipt.epoch.get())),
            Param::Bytes(Some(receipt.signer.body())),
            Param::Int(Some(int("since_block", receipt.since_block)?)),
            Param::Int(Some(int("sequence", receipt.sequence)?)),
            Param::Int(Some(receipt.amount.get())),
            Param::Int(Some(int("delivered_bytes", receipt.delivered_bytes)?)),
            Param::Int(Some(int("issued_at", receipt.issued_at)?)),
            Param::Bytes(Some(receipt.grant.as_bytes())),
            Param::Bytes(Some(&receipt.signature)),
        ]);
    }
    tx.execute_each(
        "INSERT INTO receipt (kind, payer, payee, token, epoch, signer, since_block, sequence,
                              amount, delivered_bytes, issued_at, grant_hash, signature)
         SELECT r.kind, r.payer, r.payee, r.token, r.epoch, r.signer, r.since_block, r.sequence,
                r.amount, r.delivered_bytes, r.issued_at, r.grant_hash, r.signature
         FROM {rows} WHERE true
         ON CONFLICT (kind, payer, payee, token, epoch) DO UPDATE SET
             signer = excluded.signer, since_block = excluded.since_block,
             sequence = excluded.sequence, amount = excluded.amount,
             delivered_bytes = excluded.delivered_bytes, issued_at = excluded.issued_at,
             grant_hash = excluded.grant_hash, signature = excluded.signature",
        RECEIPT,
        &rows,
    )?;
    Ok(())
}

/// The sums of one direction.
#[derive(Clone, Copy)]
pub(super) struct Sums {
    pub(super) issued: RawAmount,
    pub(super) received: RawAmount,
    pub(super) first_since: u64,
    pub(super) owed_since: u64,
    pub(super) cap: Option<RawAmount>,
    pub(super) unsold: RawAmount,
}

pub(super) fn sums(tx: &Transaction<'_>, pair: &Pair) -> Result<Option<Sums>, LedgerError> {
    let found = tx.query(
        "SELECT issued, received, first_since, owed_since, cap, unsold FROM pair
         WHERE payer = ?1 AND payee = ?2 AND token = ?3",
        params![pair.payer.body(), pair.payee.body(), pair.token.get()],
    )?;
    found
        .first()
        .map(|row| {
            Ok(Sums {
                issued: amount(row, "issued")?,
                received: amount(row, "received")?,
                first_since: unsigned(row, "first_since")?,
                owed_since: unsigned(row, "owed_since")?,
                cap: optional_amount(row, "cap")?,
                unsold: amount(row, "unsold")?,
            })
        })
        .transpose()
}

/// What `receipt` says beyond `before`: raw units and bytes.
fn beyond(
    receipt: &ReceiptRow,
    before: Option<&ReceiptRow>,
) -> Result<(RawAmount, u64), LedgerError> {
    let added = receipt
        .amount
        .checked_sub(before.map_or(RawAmount::ZERO, |before| before.amount))
        .ok_or(LedgerError::Sequence {
            epoch: receipt.epoch,
            sequence: receipt.sequence,
            reason: "its amount is lower",
        })?;
    let bytes = receipt
        .delivered_bytes
        .saturating_sub(before.map_or(0, |before| before.delivered_bytes));
    Ok((added, bytes))
}

/// Adds what `receipt` says beyond `before` to the pair's sum in its role, and
/// to what flowed: of a receipt held, as far as something was sold for it.
pub(super) fn add_to_pair(
    tx: &Transaction<'_>,
    kind: ReceiptKind,
    receipt: &ReceiptRow,
    before: Option<&ReceiptRow>,
    origin: &Origin,
) -> Result<RawAmount, LedgerError> {
    let (added, bytes) = beyond(receipt, before)?;
    let pair = &receipt.pair;
    let mut now = sums(tx, pair)?.unwrap_or(Sums {
        issued: RawAmount::ZERO,
        received: RawAmount::ZERO,
        first_since: receipt.since_block,
        owed_since: 0,
        cap: None,
        unsold: RawAmount::ZERO,
    });
    let mut flowed = added;
    now.first_since = now.first_since.min(receipt.since_block);
    now.cap = origin.cap.or(now.cap);
    match kind {
        ReceiptKind::Issued => {
            let paid = super::transfers::paid_after(tx, pair, now.first_since)?;
            if now.issued <= paid {
                now.owed_since = receipt.issued_at;
            }
            now.issued = sum("the sum of the receipts issued", now.issued, added)?;
        }
        ReceiptKind::Received => {
            now.received = sum("the sum of the receipts held", now.received, added)?;
            flowed = origin.sold.map_or(added, |sold| added.min(sold));
            let unsold = added.checked_sub(flowed).unwrap_or_default();
            now.unsold = sum("the sum of what was not sold", now.unsold, unsold)?;
        }
        ReceiptKind::Evidence => return Ok(RawAmount::ZERO),
    }
    tx.execute(
        "INSERT INTO pair (payer, payee, token, issued, received, first_since, owed_since, cap,
                           unsold)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (payer, payee, token) DO UPDATE SET
             issued = excluded.issued, received = excluded.received,
             first_since = excluded.first_since, owed_since = excluded.owed_since,
             cap = excluded.cap, unsold = excluded.unsold",
        params![
            pair.payer.body(),
            pair.payee.body(),
            pair.token.get(),
            now.issued.get(),
            now.received.get(),
            int("since_block", now.first_since)?,
            int("issued_at", now.owed_since)?,
            now.cap.map(RawAmount::get),
            now.unsold.get()
        ],
    )?;
    flows::add(tx, kind, receipt, origin, flowed, bytes)?;
    Ok(added)
}

/// What a receipt is beside the newest of its epoch. Pure.
pub(super) fn compare(newest: Option<&ReceiptRow>, receipt: &ReceiptRow) -> Stored {
    let Some(newest) = newest else {
        return Stored::New;
    };
    let regress = Stored::Regress {
        sequence: newest.sequence,
        amount: newest.amount,
    };
    let not_below = |a: &ReceiptRow, b: &ReceiptRow| {
        a.amount >= b.amount
            && a.delivered_bytes >= b.delivered_bytes
            && a.since_block == b.since_block
    };
    match receipt.sequence.cmp(&newest.sequence) {
        std::cmp::Ordering::Equal if receipt.same_statement(newest) => Stored::Unchanged,
        std::cmp::Ordering::Equal => Stored::Equivocation,
        std::cmp::Ordering::Greater if not_below(receipt, newest) => Stored::Superseded {
            before: newest.amount,
        },
        std::cmp::Ordering::Less if not_below(newest, receipt) => Stored::Unchanged,
        _ => regress,
    }
}

pub(in crate::ledger) fn issue(
    tx: &Transaction<'_>,
    receipt: &ReceiptRow,
    holder: &str,
    remainder: Remainder,
    ceiling: Option<RawAmount>,
    origin: &Origin,
) -> Result<(), LedgerError> {
    let pair = &receipt.pair;
    let before = newest(tx, ReceiptKind::Issued, pair, receipt.epoch)?;
    let wrong = |reason| LedgerError::Sequence {
        epoch: receipt.epoch,
        sequence: receipt.sequence,
        reason,
    };
    match compare(before.as_ref(), receipt) {
        Stored::New | Stored::Superseded { .. } => {}
        Stored::Unchanged if before.as_ref() == Some(receipt) => return Ok(()),
        Stored::Unchanged => return Err(wrong("a later one was issued")),
        Stored::Equivocation => return Err(wrong("another one has this sequence")),
        Stored::Regress { .. } => return Err(wrong("amount or bytes would go back")),
    }
    let kept = tx.execute(
        "UPDATE epoch SET remainder = ?6 WHERE payer = ?1 AND payee = ?2 AND token = ?3
             AND epoch = ?4 AND holder = ?5 AND closed = 0 AND since_block = ?7",
        params![
            pair.payer.body(),
            pair.payee.body(),
            pair.token.get(),
            receipt.epoch.get(),
            holder,
            remainder.get(),
            int("since_block", receipt.since_block)?
        ],
    )?;
    if kept != 1 {
        return Err(LedgerError::LeaseLost(pair.payer));
    }
    put(tx, ReceiptKind::Issued, receipt)?;
    add_to_pair(tx, ReceiptKind::Issued, receipt, before.as_ref(), origin)?;
    grants::within(tx, receipt)?;
    grants::not_revoked(tx, receipt)?;
    if let Some(ceiling) = ceiling {
        let reserved = reserved(tx, pair.payer, pair.token)?;
        if reserved > ceiling {
            return Err(LedgerError::OverCeiling {
                payer: pair.payer,
                reserved,
                ceiling,
            });
        }
    }
    Ok(())
}

pub(in crate::ledger) fn store_received(
    tx: &Transaction<'_>,
    receipt: &ReceiptRow,
    origin: &Origin,
) -> Result<Stored, LedgerError> {
    let before = newest(tx, ReceiptKind::Received, &receipt.pair, receipt.epoch)?;
    let stored = compare(before.as_ref(), receipt);
    match (stored, &before) {
        (Stored::New | Stored::Superseded { .. }, _) => {
            put(tx, ReceiptKind::Received, receipt)?;
            add_to_pair(tx, ReceiptKind::Received, receipt, before.as_ref(), origin)?;
        }
        (Stored::Equivocation, Some(before)) => keep_both(tx, before, receipt)?,
        _ => {}
    }
    Ok(stored)
}

/// The same as [`store_received`] of each, one after the other, by a handful
/// of statements for all.
pub(in crate::ledger) fn store_received_all(
    tx: &Transaction<'_>,
    receipts: &[ReceiptRow],
) -> Result<Vec<Stored>, LedgerError> {
    let mut newest = newest_of(tx, receipts)?;
    let mut sums = received_of(tx, receipts)?;
    let mut raised = flows::Raised::default();
    let mut changed = BTreeSet::new();
    let mut all = Vec::with_capacity(receipts.len());
    for receipt in receipts {
        let key = (receipt.pair, receipt.epoch);
        let before = newest.get(&key).copied();
        let stored = compare(before.as_ref(), receipt);
        match (stored, &before) {
            (Stored::New | Stored::Superseded { .. }, _) => {
                let (added, bytes) = beyond(receipt, before.as_ref())?;
                let (received, first_since) = sums
                    .entry(receipt.pair)
                    .or_insert((RawAmount::ZERO, receipt.since_block));
                *received = sum("the sum of the receipts held", *received, added)?;
                *first_since = (*first_since).min(receipt.since_block);
                raised.add(receipt, added, bytes)?;
                newest.insert(key, *receipt);
                changed.insert(key);
            }
            (Stored::Equivocation, Some(before)) => keep_both(tx, before, receipt)?,
            _ => {}
        }
        all.push(stored);
    }
    put_all(
        tx,
        ReceiptKind::Received,
        changed.iter().filter_map(|key| newest.get(key)),
    )?;
    let pairs: BTreeSet<_> = changed.iter().map(|(pair, _)| *pair).collect();
    let mut rows = Vec::with_capacity(pairs.len());
    for pair in &pairs {
        let Some((received, first_since)) = sums.get(pair) else {
            continue;
        };
        let mut row = pair_params(pair);
        row.push(Param::Int(Some(received.get())));
        row.push(Param::Int(Some(int("since_block", *first_since)?)));
        rows.push(row);
    }
    tx.execute_each(
        "INSERT INTO pair (payer, payee, token, issued, received, first_since, owed_since)
         SELECT r.payer, r.payee, r.token, 0, r.received, r.first_since, 0
         FROM {rows} WHERE true
         ON CONFLICT (payer, payee, token) DO UPDATE SET
             received = excluded.received, first_since = excluded.first_since",
        &[
            ("payer", Kind::Bytes),
            ("payee", Kind::Bytes),
            ("token", Kind::Int),
            ("received", Kind::Int),
            ("first_since", Kind::Int),
        ],
        &rows,
    )?;
    raised.store(tx, ReceiptKind::Received)?;
    Ok(all)
}

fn pair_params(pair: &Pair) -> Vec<Param<'_>> {
    vec![
        Param::Bytes(Some(pair.payer.body())),
        Param::Bytes(Some(pair.payee.body())),
        Param::Int(Some(pair.token.get())),
    ]
}

/// The newest received receipts of the epochs of these.
fn newest_of(
    tx: &Transaction<'_>,
    receipts: &[ReceiptRow],
) -> Result<HashMap<(Pair, EpochId), ReceiptRow>, LedgerError> {
    let keys: BTreeSet<_> = receipts
        .iter()
        .map(|receipt| (receipt.pair, receipt.epoch))
        .collect();
    let rows: Vec<_> = keys
        .iter()
        .map(|(pair, epoch)| {
            let mut row = pair_params(pair);
            row.push(Param::Int(Some(epoch.get())));
            row
        })
        .collect();
    let found = tx.query_each(
        "SELECT receipt.* FROM {rows} CROSS JOIN receipt
         WHERE receipt.kind = 1 AND receipt.payer = r.payer AND receipt.payee = r.payee
           AND receipt.token = r.token AND receipt.epoch = r.epoch",
        &[
            ("payer", Kind::Bytes),
            ("payee", Kind::Bytes),
            ("token", Kind::Int),
            ("epoch", Kind::Int),
        ],
        &rows,
    )?;
    let mut newest = HashMap::with_capacity(receipts.len());
    for row in &found {
        let receipt = rows::receipt(row)?;
        newest.insert((receipt.pair, receipt.epoch), receipt);
    }
    Ok(newest)
}

/// What the pairs of these hold already, and their first since blocks.
fn received_of(
    tx: &Transaction<'_>,
    receipts: &[ReceiptRow],
) -> Result<HashMap<Pair, (RawAmount, u64)>, LedgerError> {
    let pairs: BTreeSet<_> = receipts.iter().map(|receipt| receipt.pair).collect();
    let rows: Vec<_> = pairs.iter().map(pair_params).collect();
    let found = tx.query_each(
        "SELECT pair.payer, pair.payee, pair.token, pair.received, pair.first_since
         FROM {rows} CROSS JOIN pair
         WHERE pair.payer = r.payer AND pair.payee = r.payee AND pair.token = r.token",
        &[
            ("payer", Kind::Bytes),
            ("payee", Kind::Bytes),
            ("token", Kind::Int),
        ],
        &rows,
    )?;
    let mut sums = HashMap::with_capacity(pairs.len());
    for row in &found {
        sums.insert(
            rows::pair(row)?,
            (amount(row, "received")?, unsigned(row, "first_since")?),
        );
    }
    Ok(sums)
}
