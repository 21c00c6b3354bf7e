//! A ledger that was restored from a copy, and transfers made outside of it.

use super::{attempts::find_attempt, leases::fenced};
use crate::{
    ledger::{
        AccountLease, LedgerError, Recovery,
        sql::{Transaction, params},
    },
    types::{Address, TxId, UnixMs},
};

/// Marks the ledger as a copy; whatever was recovered before counts no more.
pub(in crate::ledger) fn mark(tx: &Transaction<'_>) -> Result<(), LedgerError> {
    tx.execute(
        "INSERT INTO meta (name, value) VALUES ('restored', ?1) ON CONFLICT (name) DO NOTHING",
        params![[1_u8]],
    )?;
    tx.execute("DELETE FROM recovery", params![])?;
    Ok(())
}

/// Notes where the ledger is. When it was elsewhere before and has signed
/// anything, it is a copy, or the original of one: marks it, and says so.
pub(in crate::ledger) fn note_place(
    tx: &Transaction<'_>,
    place: &str,
) -> Result<bool, LedgerError> {
    let found = tx.query("SELECT value FROM meta WHERE name = 'place'", params![])?;
    let before = match found.first() {
        Some(row) => Some(row.get::<Vec<u8>>("value")?),
        None => None,
    };
    if before.as_deref() == Some(place.as_bytes()) {
        return Ok(false);
    }
    tx.execute(
        "INSERT INTO meta (name, value) VALUES ('place', ?1)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        params![place.as_bytes()],
    )?;
    let signed = tx.exists("SELECT 1 FROM attempt LIMIT 1", params![])?
        || tx.exists("SELECT 1 FROM receipt WHERE kind = 0 LIMIT 1", params![])?;
    let moved = before.is_some() && signed;
    if moved {
        mark(tx)?;
    }
    Ok(moved)
}

pub(in crate::ledger) fn is_marked(tx: &Transaction<'_>) -> Result<bool, LedgerError> {
    tx.exists("SELECT 1 FROM meta WHERE name = 'restored'", params![])
}

pub(in crate::ledger) fn state(
    tx: &Transaction<'_>,
    account: Address,
) -> Result<Recovery, LedgerError> {
    if !is_marked(tx)? {
        return Ok(Recovery::Current);
    }
    let found = tx.query(
        "SELECT began, done FROM recovery WHERE account = ?1",
        params![account.body()],
    )?;
    Ok(match found.first() {
        None => Recovery::Restored,
        Some(row) if row.get("done")? => Recovery::Current,
        Some(row) => Recovery::Began(UnixMs(row.get("began")?)),
    })
}

pub(in crate::ledger) fn begin(
    tx: &Transaction<'_>,
    lease: &AccountLease,
    at: UnixMs,
) -> Result<UnixMs, LedgerError> {
    fenced(tx, lease)?;
    tx.execute(
        "INSERT INTO recovery (account, began, done) VALUES (?1, ?2, 0)
         ON CONFLICT (account) DO NOTHING",
        params![lease.account.body(), at.0],
    )?;
    match state(tx, lease.account)? {
        Recovery::Began(began) => Ok(began),
        Recovery::Current | Recovery::Restored => Ok(at),
    }
}

pub(in crate::ledger) fn end(
    tx: &Transaction<'_>,
    lease: &AccountLease,
) -> Result<(), LedgerError> {
    fenced(tx, lease)?;
    tx.execute(
        "UPDATE recovery SET done = 1 WHERE account = ?1",
        params![lease.account.body()],
    )?;
    tx.execute(
        "UPDATE epoch SET closed = 1, holder = NULL WHERE payer = ?1 AND closed = 0",
        params![lease.account.body()],
    )?;
    Ok(())
}

pub(in crate::ledger) fn adopt_transfer(
    tx: &Transaction<'_>,
    txid: TxId,
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
    let added = tx.execute(
        "INSERT INTO adopted (txid, note) VALUES (?1, ?2) ON CONFLICT (txid) DO NOTHING",
        params![txid.as_bytes(), note],
    )?;
    Ok(added > 0)
}
