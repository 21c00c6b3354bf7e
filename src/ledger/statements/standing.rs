//! How other addresses behaved towards us.

use super::rows::{self, amount, get, unsigned};
use crate::{
    ledger::{
        LedgerError, Standing,
        sql::{Row, Transaction, params},
    },
    types::{Address, RawAmount, TokenId, UnixMs},
};

fn number(row: &Row, column: &str) -> Result<u32, LedgerError> {
    u32::try_from(unsigned(row, column)?)
        .map_err(|error| LedgerError::Damaged(format!("{column}: {error}")))
}

fn standing(row: &Row) -> Result<Standing, LedgerError> {
    Ok(Standing {
        address: rows::address(row, "address")?,
        token: rows::token_id(row, "token")?,
        defaults: number(row, "defaults")?,
        defaulted: amount(row, "defaulted")?,
        written_off: amount(row, "written_off")?,
        defaulted_at: UnixMs(get(row, "defaulted_at")?),
        forgiven: number(row, "forgiven")?,
        banned_at: get::<Option<i64>>(row, "banned_at")?.map(UnixMs),
        reason: get(row, "reason")?,
    })
}

pub(in crate::ledger) fn find(
    tx: &Transaction<'_>,
    address: Address,
    token: TokenId,
) -> Result<Standing, LedgerError> {
    let found = tx.query(
        "SELECT * FROM standing WHERE address = ?1 AND token = ?2",
        params![address.body(), token.get()],
    )?;
    match found.first() {
        Some(row) => standing(row),
        None => Ok(Standing::unknown(address, token)),
    }
}

pub(in crate::ledger) fn list(
    tx: &Transaction<'_>,
    token: TokenId,
) -> Result<Vec<Standing>, LedgerError> {
    let found = tx.query(
        "SELECT * FROM standing WHERE token = ?1 ORDER BY address",
        params![token.get()],
    )?;
    let mut all = Vec::new();
    for row in &found {
        all.push(standing(row)?);
    }
    Ok(all)
}

fn put(tx: &Transaction<'_>, now: &Standing) -> Result<(), LedgerError> {
    tx.execute(
        "INSERT INTO standing (address, token, defaults, defaulted, defaulted_at, forgiven,
                               banned_at, reason, written_off)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (address, token) DO UPDATE SET
             defaults = excluded.defaults, defaulted = excluded.defaulted,
             defaulted_at = excluded.defaulted_at, forgiven = excluded.forgiven,
             banned_at = excluded.banned_at, reason = excluded.reason,
             written_off = excluded.written_off",
        params![
            now.address.body(),
            now.token.get(),
            now.defaults,
            now.defaulted.get(),
            now.defaulted_at.0,
            now.forgiven,
            now.banned_at.map(|at| at.0),
            now.reason,
            now.written_off.get()
        ],
    )?;
    Ok(())
}

pub(in crate::ledger) fn note_default(
    tx: &Transaction<'_>,
    address: Address,
    token: TokenId,
    unpaid: RawAmount,
    at: UnixMs,
) -> Result<Standing, LedgerError> {
    let mut now = find(tx, address, token)?;
    now.defaults = now.defaults.saturating_add(1);
    now.defaulted = now.defaulted.checked_add(unpaid).unwrap_or(RawAmount::MAX);
    now.defaulted_at = at;
    put(tx, &now)?;
    Ok(now)
}

pub(in crate::ledger) fn note_written_off(
    tx: &Transaction<'_>,
    address: Address,
    token: TokenId,
    amount: RawAmount,
) -> Result<Standing, LedgerError> {
    let mut now = find(tx, address, token)?;
    now.written_off = now
        .written_off
        .checked_add(amount)
        .unwrap_or(RawAmount::MAX);
    put(tx, &now)?;
    Ok(now)
}

pub(in crate::ledger) fn ban(
    tx: &Transaction<'_>,
    address: Address,
    token: TokenId,
    reason: &str,
    at: UnixMs,
) -> Result<Standing, LedgerError> {
    let mut now = find(tx, address, token)?;
    now.banned_at = Some(at);
    reason.clone_into(&mut now.reason);
    put(tx, &now)?;
    Ok(now)
}

pub(in crate::ledger) fn forgive(
    tx: &Transaction<'_>,
    address: Address,
    token: TokenId,
) -> Result<Standing, LedgerError> {
    let kept = tx.number(
        "SELECT count(*) FROM equivocation WHERE payer = ?1 AND token = ?2",
        params![address.body(), token.get()],
    )?;
    let now = Standing {
        forgiven: u32::try_from(kept.unwrap_or(0)).unwrap_or(u32::MAX),
        ..Standing::unknown(address, token)
    };
    put(tx, &now)?;
    Ok(now)
}
