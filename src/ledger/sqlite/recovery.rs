//! A ledger that was restored from a copy, transfers made outside of it, and
//! the witnesses it knows.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{
    payouts::{fenced, find_attempt},
    rows::{self, int},
};
use crate::{
    ledger::{AccountLease, LedgerError, Recovery, WitnessRow},
    types::{Address, TxId, UnixMs},
};

/// Marks the ledger as a copy; whatever was recovered before counts no more.
pub(super) fn mark(conn: &Connection) -> Result<(), LedgerError> {
    conn.execute(
        "INSERT INTO meta (name, value) VALUES ('restored', x'01')
         ON CONFLICT (name) DO NOTHING",
        [],
    )?;
    conn.execute("DELETE FROM recovery", [])?;
    Ok(())
}

pub(super) fn is_marked(tx: &Transaction<'_>) -> Result<bool, LedgerError> {
    Ok(tx
        .prepare_cached("SELECT 1 FROM meta WHERE name = 'restored'")?
        .exists([])?)
}

pub(super) fn state(tx: &Transaction<'_>, account: Address) -> Result<Recovery, LedgerError> {
    if !is_marked(tx)? {
        return Ok(Recovery::Current);
    }
    let row: Option<(i64, bool)> = tx
        .prepare_cached("SELECT began, done FROM recovery WHERE account = ?1")?
        .query_row([account.body()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(match row {
        None => Recovery::Restored,
        Some((_, true)) => Recovery::Current,
        Some((began, false)) => Recovery::Began(UnixMs(began)),
    })
}

pub(super) fn begin(
    tx: &Transaction<'_>,
    lease: &AccountLease,
    at: UnixMs,
) -> Result<UnixMs, LedgerError> {
    fenced(tx, lease)?;
    tx.prepare_cached(
        "INSERT INTO recovery (account, began, done) VALUES (?1, ?2, 0)
         ON CONFLICT (account) DO NOTHING",
    )?
    .execute(params![lease.account.body(), at.0])?;
    match state(tx, lease.account)? {
        Recovery::Began(began) => Ok(began),
        Recovery::Current | Recovery::Restored => Ok(at),
    }
}

pub(super) fn end(tx: &Transaction<'_>, lease: &AccountLease) -> Result<(), LedgerError> {
    fenced(tx, lease)?;
    tx.prepare_cached("UPDATE recovery SET done = 1 WHERE account = ?1")?
        .execute([lease.account.body()])?;
    tx.prepare_cached(
        "UPDATE epoch SET closed = 1, holder = NULL WHERE payer = ?1 AND closed = 0",
    )?
    .execute([lease.account.body()])?;
    Ok(())
}

pub(super) fn adopt_transfer(
    tx: &Transaction<'_>,
    txid: TxId,
    note: &str,
) -> Result<bool, LedgerError> {
    let seen = tx
        .prepare_cached("SELECT 1 FROM transfer WHERE txid = ?1")?
        .exists([txid.as_bytes()])?;
    if !seen {
        return Err(LedgerError::Missing(format!("transfer {txid}")));
    }
    if find_attempt(tx, txid)?.is_some() {
        return Err(LedgerError::Contradiction(format!("transaction {txid}")));
    }
    let added = tx
        .prepare_cached(
            "INSERT INTO adopted (txid, note) VALUES (?1, ?2) ON CONFLICT (txid) DO NOTHING",
        )?
        .execute(params![txid.as_bytes(), note])?;
    Ok(added > 0)
}

pub(super) fn witnesses(tx: &Transaction<'_>) -> Result<Vec<WitnessRow>, LedgerError> {
    let mut statement =
        tx.prepare_cached("SELECT address, last_block FROM witness ORDER BY address")?;
    let mut found = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = found.next()? {
        all.push(WitnessRow {
            address: rows::address(row, "address")?,
            last_block: rows::unsigned(row, "last_block")?,
        });
    }
    Ok(all)
}

pub(super) fn remember_witnesses(
    tx: &Transaction<'_>,
    lease: &AccountLease,
    seen: &[WitnessRow],
) -> Result<(), LedgerError> {
    fenced(tx, lease)?;
    for witness in seen {
        tx.prepare_cached(
            "INSERT INTO witness (address, last_block) VALUES (?1, ?2)
             ON CONFLICT (address) DO UPDATE SET last_block = max(last_block, excluded.last_block)",
        )?
        .execute(params![
            witness.address.body(),
            int("block", witness.last_block)?
        ])?;
    }
    Ok(())
}
