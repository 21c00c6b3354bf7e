//! Receipts, epochs and what follows from them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    flows, grants,
    rows::{
        self, amount, epoch_id, get, int, kind_number, optional_amount, pack, receipt_kind, sum,
        unpack, unsigned,
    },
};
use crate::{
    ledger::{
        Adopted, EpochId, Equivocation, LedgerError, MAX_EQUIVOCATIONS, MAX_OPEN_EPOCHS, Origin,
        Pair, Position, ReceiptEntry, ReceiptFilter, ReceiptKind, ReceiptRow, Remainder, Stored,
        sql::{Kind, Param, Row, ToParam, Transaction, params},
    },
    types::{Address, RawAmount, TokenId},
};

/// An epoch of our own log, as its row says.
pub(in crate::ledger) struct OwnEpoch {
    pub(in crate::ledger) epoch: EpochId,
    pub(in crate::ledger) since_block: u64,
    pub(in crate::ledger) remainder: Remainder,
    pub(in crate::ledger) holder: Option<String>,
}

/// The pair's open epochs, oldest number first.
pub(in crate::ledger) fn open_epochs(
    tx: &Transaction<'_>,
    pair: &Pair,
) -> Result<Vec<OwnEpoch>, LedgerError> {
    let found = tx.query(
        "SELECT epoch, since_block, remainder, holder FROM epoch
         WHERE payer = ?1 AND payee = ?2 AND token = ?3 AND closed = 0 ORDER BY epoch",
        params![pair.payer.body(), pair.payee.body(), pair.token.get()],
    )?;
    let mut epochs = Vec::new();
    for row in &found {
        let remainder = get::<u32>(row, "remainder")?;
        epochs.push(OwnEpoch {
            epoch: epoch_id(row)?,
            since_block: unsigned(row, "since_block")?,
            remainder: Remainder::new(remainder)
                .ok_or_else(|| LedgerError::Damaged(format!("remainder: {remainder}")))?,
            holder: get(row, "holder")?,
        });
    }
    Ok(epochs)
}

/// Makes `holder` the one that issues in the epoch.
pub(in crate::ledger) fn hold(
    tx: &Transaction<'_>,
    pair: &Pair,
    epoch: EpochId,
    holder: &str,
) -> Result<(), LedgerError> {
    tx.execute(
        "UPDATE epoch SET holder = ?5
         WHERE payer = ?1 AND payee = ?2 AND token = ?3 AND epoch = ?4",
        params![
            pair.payer.body(),
            pair.payee.body(),
            pair.token.get(),
            epoch.get(),
            holder
        ],
    )?;
    Ok(())
}

/// Nothing is issued in the epoch any more.
pub(in crate::ledger) fn close(
    tx: &Transaction<'_>,
    pair: &Pair,
    epoch: EpochId,
) -> Result<(), LedgerError> {
    tx.execute(
        "UPDATE epoch SET closed = 1, holder = NULL
         WHERE payer = ?1 AND payee = ?2 AND token = ?3 AND epoch = ?4",
        params![
            pair.payer.body(),
            pair.payee.body(),
            pair.token.get(),
            epoch.get()
        ],
    )?;
    Ok(())
}

/// Opens an epoch for `holder`.
pub(in crate::ledger) fn open_epoch(
    tx: &Transaction<'_>,
    pair: &Pair,
    since_block: u64,
    holder: &str,
    open: usize,
) -> Result<EpochId, LedgerError> {
    if open >= MAX_OPEN_EPOCHS {
        return Err(LedgerError::TooManyEpochs(*pair));
    }
    let epoch = EpochId::new(super::random_number()?).expect("63 bits are never negative");
    insert_epoch(tx, pair, epoch, since_block, Some(holder), false)?;
    Ok(epoch)
}

fn insert_epoch(
    tx: &Transaction<'_>,
    pair: &Pair,
    epoch: EpochId,
    since_block: u64,
    holder: Option<&str>,
    closed: bool,
) -> Result<(), LedgerError> {
    tx.execute(
        "INSERT INTO epoch (payer, payee, token, epoch, since_block, remainder, holder, closed)
         VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7)",
        params![
            pair.payer.body(),
            pair.payee.body(),
            pair.token.get(),
            epoch.get(),
            int("since_block", since_block)?,
            holder,
            closed
        ],
    )?;
    Ok(())
}

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

fn put(tx: &Transaction<'_>, kind: ReceiptKind, receipt: &ReceiptRow) -> Result<(), LedgerError> {
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
            Param::Int(Some(receipt.pair.token.get())),
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
struct Sums {
    issued: RawAmount,
    received: RawAmount,
    first_since: u64,
    owed_since: u64,
    cap: Option<RawAmount>,
}

fn sums(tx: &Transaction<'_>, pair: &Pair) -> Result<Option<Sums>, LedgerError> {
    let found = tx.query(
        "SELECT issued, received, first_since, owed_since, cap FROM pair
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
/// to what flowed.
fn add_to_pair(
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
    });
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
        }
        ReceiptKind::Evidence => return Ok(RawAmount::ZERO),
    }
    tx.execute(
        "INSERT INTO pair (payer, payee, token, issued, received, first_since, owed_since, cap)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (payer, payee, token) DO UPDATE SET
             issued = excluded.issued, received = excluded.received,
             first_since = excluded.first_since, owed_since = excluded.owed_since,
             cap = excluded.cap",
        params![
            pair.payer.body(),
            pair.payee.body(),
            pair.token.get(),
            now.issued.get(),
            now.received.get(),
            int("since_block", now.first_since)?,
            int("issued_at", now.owed_since)?,
            now.cap.map(RawAmount::get)
        ],
    )?;
    flows::add(tx, kind, receipt, origin, added, bytes)?;
    Ok(added)
}

/// What a receipt is beside the newest of its epoch. Pure.
fn compare(newest: Option<&ReceiptRow>, receipt: &ReceiptRow) -> Stored {
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

fn keep_both(
    tx: &Transaction<'_>,
    first: &ReceiptRow,
    second: &ReceiptRow,
) -> Result<(), LedgerError> {
    let known = equivocations(tx, &first.pair)?;
    let repeated = known.iter().any(|kept| {
        kept.first.epoch == second.epoch
            && kept.first.sequence == second.sequence
            && kept.second.same_statement(second)
    });
    if repeated || known.len() >= MAX_EQUIVOCATIONS {
        return Ok(());
    }
    let pair = &first.pair;
    tx.execute(
        "INSERT INTO equivocation (payer, payee, token, ordinal, first, second)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            pair.payer.body(),
            pair.payee.body(),
            pair.token.get(),
            i64::try_from(known.len()).expect("at most MAX_EQUIVOCATIONS"),
            pack(first)?,
            pack(second)?
        ],
    )?;
    Ok(())
}

pub(in crate::ledger) fn equivocations(
    tx: &Transaction<'_>,
    pair: &Pair,
) -> Result<Vec<Equivocation>, LedgerError> {
    let found = tx.query(
        "SELECT first, second FROM equivocation
         WHERE payer = ?1 AND payee = ?2 AND token = ?3 ORDER BY ordinal",
        params![pair.payer.body(), pair.payee.body(), pair.token.get()],
    )?;
    let mut kept = Vec::new();
    for row in &found {
        kept.push(equivocation(row)?);
    }
    Ok(kept)
}

pub(in crate::ledger) fn all_equivocations(
    tx: &Transaction<'_>,
) -> Result<Vec<Equivocation>, LedgerError> {
    let found = tx.query(
        "SELECT first, second FROM equivocation ORDER BY payer, payee, token, ordinal",
        params![],
    )?;
    let mut kept = Vec::new();
    for row in &found {
        kept.push(equivocation(row)?);
    }
    Ok(kept)
}

fn equivocation(row: &Row) -> Result<Equivocation, LedgerError> {
    Ok(Equivocation {
        first: unpack(&get::<Vec<u8>>(row, "first")?)?,
        second: unpack(&get::<Vec<u8>>(row, "second")?)?,
    })
}

pub(in crate::ledger) fn store_evidence(
    tx: &Transaction<'_>,
    receipt: &ReceiptRow,
) -> Result<Stored, LedgerError> {
    let issued = newest(tx, ReceiptKind::Issued, &receipt.pair, receipt.epoch)?;
    match (compare(issued.as_ref(), receipt), &issued) {
        (Stored::New | Stored::Superseded { .. }, _) => {}
        // Our own key signed both: another machine has it, or the ledger was
        // set back.
        (Stored::Equivocation, Some(issued)) => {
            keep_both(tx, issued, receipt)?;
            return Ok(Stored::Equivocation);
        }
        (other, _) => return Ok(other),
    }
    let before = newest(tx, ReceiptKind::Evidence, &receipt.pair, receipt.epoch)?;
    let stored = compare(before.as_ref(), receipt);
    match (stored, &before) {
        (Stored::New | Stored::Superseded { .. }, _) => {
            put(tx, ReceiptKind::Evidence, receipt)?;
        }
        (Stored::Equivocation, Some(before)) => keep_both(tx, before, receipt)?,
        _ => {}
    }
    Ok(stored)
}

/// `is_held` says whether the holder of an epoch lives.
pub(in crate::ledger) fn adopt(
    tx: &Transaction<'_>,
    epochs: &[(Pair, EpochId)],
    is_held: impl Fn(&OwnEpoch) -> Result<bool, LedgerError>,
) -> Result<Adopted, LedgerError> {
    let mut adopted = Adopted::default();
    for (pair, epoch) in epochs {
        let Some(evidence) = newest(tx, ReceiptKind::Evidence, pair, *epoch)? else {
            continue;
        };
        let open = open_epochs(tx, pair)?;
        match open.iter().find(|own| own.epoch == *epoch) {
            Some(own) if is_held(own)? => return Err(LedgerError::EpochInUse(*epoch)),
            Some(_) => {}
            None => {
                let known = tx.exists(
                    "SELECT 1 FROM epoch WHERE payer = ?1 AND payee = ?2 AND token = ?3
                         AND epoch = ?4",
                    params![
                        pair.payer.body(),
                        pair.payee.body(),
                        pair.token.get(),
                        epoch.get()
                    ],
                )?;
                if !known {
                    insert_epoch(tx, pair, *epoch, evidence.since_block, None, true)?;
                }
            }
        }
        let before = newest(tx, ReceiptKind::Issued, pair, *epoch)?;
        if matches!(
            compare(before.as_ref(), &evidence),
            Stored::New | Stored::Superseded { .. }
        ) {
            put(tx, ReceiptKind::Issued, &evidence)?;
            let added = add_to_pair(
                tx,
                ReceiptKind::Issued,
                &evidence,
                before.as_ref(),
                &Origin::default(),
            )?;
            grants::within(tx, &evidence)?;
            adopted.receipts += 1;
            adopted.added = sum("the sum adopted", adopted.added, added)?;
        }
        // Whoever else issues in this epoch may go on: we never do.
        close(tx, pair, *epoch)?;
        tx.execute(
            "DELETE FROM receipt
             WHERE kind = 2 AND payer = ?1 AND payee = ?2 AND token = ?3 AND epoch = ?4",
            params![
                pair.payer.body(),
                pair.payee.body(),
                pair.token.get(),
                epoch.get()
            ],
        )?;
    }
    Ok(adopted)
}

pub(in crate::ledger) fn list(
    tx: &Transaction<'_>,
    filter: &ReceiptFilter,
    after: Option<&ReceiptEntry>,
    limit: u32,
) -> Result<Vec<ReceiptEntry>, LedgerError> {
    // Only what is asked for is in the statement, so that an index serves it.
    let mut sql = "SELECT * FROM receipt WHERE true".to_owned();
    let kind = filter.kind.map(kind_number);
    let token = filter.token.map(TokenId::get);
    let epoch = filter.epoch.map(EpochId::get);
    let mut values = Vec::new();
    for (column, value) in [
        ("kind", kind.as_ref().map(ToParam::to_param)),
        (
            "payer",
            filter.payer.as_ref().map(|payer| payer.body().to_param()),
        ),
        (
            "payee",
            filter.payee.as_ref().map(|payee| payee.body().to_param()),
        ),
        ("token", token.as_ref().map(ToParam::to_param)),
        ("epoch", epoch.as_ref().map(ToParam::to_param)),
    ] {
        if let Some(value) = value {
            values.push(value);
            sql += &format!(" AND {column} = ?{}", values.len());
        }
    }
    let after = after.map(|entry| (kind_number(entry.kind), &entry.receipt));
    if let Some((kind, receipt)) = &after {
        let n = values.len();
        sql += &format!(
            " AND (kind, payer, payee, token, epoch) > (?{}, ?{}, ?{}, ?{}, ?{})",
            n + 1,
            n + 2,
            n + 3,
            n + 4,
            n + 5
        );
        let pair = &receipt.pair;
        values.extend([
            Param::Int(Some(*kind)),
            Param::Bytes(Some(pair.payer.body())),
            Param::Bytes(Some(pair.payee.body())),
            Param::Int(Some(pair.token.get())),
            Param::Int(Some(receipt.epoch.get())),
        ]);
    }
    values.push(Param::Int(Some(i64::from(limit))));
    sql += &format!(
        " ORDER BY kind, payer, payee, token, epoch LIMIT ?{}",
        values.len()
    );
    let found = tx.query(&sql, &values)?;
    let mut entries = Vec::new();
    for row in &found {
        entries.push(ReceiptEntry {
            kind: receipt_kind(row)?,
            receipt: rows::receipt(row)?,
        });
    }
    Ok(entries)
}

pub(in crate::ledger) fn reserved(
    tx: &Transaction<'_>,
    payer: Address,
    token: TokenId,
) -> Result<RawAmount, LedgerError> {
    // Per payee, what is settled beyond the debt is not credit elsewhere.
    let total = tx.number(
        "SELECT CAST(sum(CASE WHEN issued > settled THEN issued - settled ELSE 0 END) AS BIGINT)
         FROM (SELECT issued, (
                   SELECT coalesce(sum(t.amount), 0) FROM transfer t
                   WHERE t.payer = pair.payer AND t.payee = pair.payee
                     AND t.token = pair.token AND t.block > pair.first_since) AS settled
               FROM pair WHERE payer = ?1 AND token = ?2) AS debt",
        params![payer.body(), token.get()],
    )?;
    RawAmount::new(total.unwrap_or(0))
        .map_err(|error| LedgerError::Damaged(format!("reserved: {error}")))
}

pub(in crate::ledger) fn issued_since(
    tx: &Transaction<'_>,
    payer: Address,
) -> Result<Option<u64>, LedgerError> {
    let since = tx.number(
        "SELECT min(first_since) FROM pair WHERE payer = ?1 AND issued > 0",
        params![payer.body()],
    )?;
    since
        .map(|since| {
            u64::try_from(since)
                .map_err(|error| LedgerError::Damaged(format!("first_since: {error}")))
        })
        .transpose()
}

/// One position, also of a pair that nothing is known of.
pub(in crate::ledger) fn position(
    tx: &Transaction<'_>,
    pair: &Pair,
) -> Result<Position, LedgerError> {
    let ours = sums(tx, pair)?;
    let theirs = sums(tx, &pair.reversed())?;
    let first_since = match (&ours, &theirs) {
        (Some(a), Some(b)) => a.first_since.min(b.first_since),
        (Some(one), None) | (None, Some(one)) => one.first_since,
        (None, None) => 0,
    };
    let issued = ours.map_or(RawAmount::ZERO, |sums| sums.issued);
    let received = theirs.map_or(RawAmount::ZERO, |sums| sums.received);
    super::transfers::complete(
        tx,
        Position {
            issued,
            received,
            owed_since: ours.map_or(0, |sums| sums.owed_since),
            cap: ours.and_then(|sums| sums.cap),
            ..empty(*pair, first_since)
        },
    )
}

/// The positions of `payer` with everybody who has receipts with it in either
/// direction, ordered by payee: a handful of statements, however many they are.
pub(in crate::ledger) fn positions(
    tx: &Transaction<'_>,
    payer: Address,
    token: TokenId,
) -> Result<Vec<Position>, LedgerError> {
    let mut all = BTreeMap::new();
    for (sql, other) in [
        (
            "SELECT * FROM pair WHERE payer = ?1 AND token = ?2",
            "payee",
        ),
        (
            "SELECT * FROM pair WHERE payee = ?1 AND token = ?2",
            "payer",
        ),
    ] {
        for row in &tx.query(sql, params![payer.body(), token.get()])? {
            let payee = rows::address(row, other)?;
            let since = unsigned(row, "first_since")?;
            let position = all.entry(payee).or_insert_with(|| {
                let pair = Pair {
                    payer,
                    payee,
                    token,
                };
                empty(pair, since)
            });
            position.first_since = position.first_since.min(since);
            if other == "payee" {
                position.issued = amount(row, "issued")?;
                position.owed_since = unsigned(row, "owed_since")?;
                position.cap = optional_amount(row, "cap")?;
            } else {
                position.received = amount(row, "received")?;
            }
        }
    }
    super::transfers::complete_all(tx, payer, token, &mut all)?;
    Ok(all.into_values().collect())
}

fn empty(pair: Pair, first_since: u64) -> Position {
    Position {
        pair,
        issued: RawAmount::ZERO,
        received: RawAmount::ZERO,
        paid: RawAmount::ZERO,
        paid_back: RawAmount::ZERO,
        live: RawAmount::ZERO,
        range_end: RawAmount::ZERO,
        first_since,
        owed_since: 0,
        cap: None,
    }
}
