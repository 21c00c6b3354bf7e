//! Epochs of our own log, and who holds them.

use super::rows::{epoch_id, get, int, unsigned};
use crate::ledger::{
    EpochId, LedgerError, MAX_OPEN_EPOCHS, Pair, Remainder,
    sql::{Transaction, params},
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
    let epoch = EpochId::new(tx.random_number()?).expect("63 bits are never negative");
    insert_epoch(tx, pair, epoch, since_block, Some(holder), false)?;
    Ok(epoch)
}

pub(super) fn insert_epoch(
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
