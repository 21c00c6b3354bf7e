//! Contradictions, and receipts of ours from elsewhere.

use super::{
    epochs::{OwnEpoch, close, insert_epoch, open_epochs},
    grants,
    receipts::{add_to_pair, compare, newest, put},
    rows::get,
    rows::{pack, sum, unpack},
};
use crate::ledger::{
    Adopted, EpochId, Equivocation, LedgerError, MAX_EQUIVOCATIONS, Origin, Pair, ReceiptKind,
    ReceiptRow, Stored,
    sql::{Row, Transaction, params},
};

pub(super) fn keep_both(
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
