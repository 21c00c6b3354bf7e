//! A ledger that was restored from a copy, transfers made outside of it, and
//! the witnesses it knows.

use super::{
    payouts::{fenced, find_attempt},
    rows::{self, int},
};
use crate::{
    ledger::{
        AccountLease, LedgerError, Recovery, WitnessRow,
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

pub(in crate::ledger) fn witnesses(tx: &Transaction<'_>) -> Result<Vec<WitnessRow>, LedgerError> {
    let found = tx.query(
        "SELECT address, last_block FROM witness ORDER BY address",
        params![],
    )?;
    let mut all = Vec::new();
    for row in &found {
        all.push(WitnessRow {
            address: rows::address(row, "address")?,
            last_block: rows::unsigned(row, "last_block")?,
        });
    }
    Ok(all)
}

pub(in crate::ledger) fn remember_witnesses(
    tx: &Transaction<'_>,
    lease: &AccountLease,
    seen: &[WitnessRow],
) -> Result<(), LedgerError> {
    fenced(tx, lease)?;
    for witness in seen {
        tx.execute(
            "INSERT INTO witness (address, last_block) VALUES (?1, ?2)
             ON CONFLICT (address) DO UPDATE SET last_block =
                 CASE WHEN excluded.last_block > witness.last_block
                 THEN excluded.last_block ELSE witness.last_block END",
            params![witness.address.body(), int("block", witness.last_block)?],
        )?;
    }
    Ok(())
}
