//! The right to sign payouts of an account.

use super::rows::get;
use crate::{
    ledger::{
        AccountLease, LedgerError,
        sql::{Exclusion, Transaction, params},
    },
    types::Address,
};

/// How long a lease by the database's clock lasts unless it is renewed.
pub(in crate::ledger) const LEASE_MS: i64 = 10_000;

/// Makes `holder` the account's signer and returns its fencing number.
pub(in crate::ledger) fn lease(
    tx: &Transaction<'_>,
    account: Address,
    holder: &str,
) -> Result<i64, LedgerError> {
    match tx.exclusion() {
        Exclusion::Locks => {
            tx.execute(
                "INSERT INTO account (account, fence, holder) VALUES (?1, 1, ?2)
                 ON CONFLICT (account) DO UPDATE SET
                     fence = account.fence + 1, holder = excluded.holder",
                params![account.body(), holder],
            )?;
        }
        Exclusion::Clock(now) => {
            let taken = tx.execute(
                &format!(
                    "INSERT INTO account (account, fence, holder, expires)
                     VALUES (?1, 1, ?2, {now} + ?3)
                     ON CONFLICT (account) DO UPDATE SET
                         fence = account.fence + 1, holder = excluded.holder,
                         expires = excluded.expires
                     WHERE account.expires <= {now}"
                ),
                params![account.body(), holder, LEASE_MS],
            )?;
            if taken != 1 {
                return Err(LedgerError::AccountHeld {
                    account,
                    holder: self::holder(tx, account)?.unwrap_or_default(),
                });
            }
        }
    }
    tx.number(
        "SELECT fence FROM account WHERE account = ?1",
        params![account.body()],
    )?
    .ok_or_else(|| LedgerError::Missing(account.to_string()))
}

/// Who was the last to take the account; by the clock, who has it now.
pub(in crate::ledger) fn holder(
    tx: &Transaction<'_>,
    account: Address,
) -> Result<Option<String>, LedgerError> {
    let still = match tx.exclusion() {
        Exclusion::Locks => String::new(),
        Exclusion::Clock(now) => format!(" AND expires > {now}"),
    };
    tx.query(
        &format!("SELECT holder FROM account WHERE account = ?1{still}"),
        params![account.body()],
    )?
    .first()
    .map(|row| get(row, "holder"))
    .transpose()
}

/// The lease is still the newest, and by the clock it has not run out and is
/// renewed: every write of settlement starts so.
pub(in crate::ledger) fn fenced(
    tx: &Transaction<'_>,
    lease: &AccountLease,
) -> Result<(), LedgerError> {
    let held = match tx.exclusion() {
        Exclusion::Locks => tx.exists(
            "SELECT 1 FROM account WHERE account = ?1 AND fence = ?2",
            params![lease.account.body(), lease.fence],
        )?,
        Exclusion::Clock(now) => renew(tx, lease.account, lease.fence, now)?,
    };
    if held {
        Ok(())
    } else {
        Err(LedgerError::LeaseLost(lease.account))
    }
}

/// Puts the end of a lease off; `false` when it is another's or has run out.
pub(in crate::ledger) fn renew(
    tx: &Transaction<'_>,
    account: Address,
    fence: i64,
    now: &str,
) -> Result<bool, LedgerError> {
    let renewed = tx.execute(
        &format!(
            "UPDATE account SET expires = {now} + ?3
             WHERE account = ?1 AND fence = ?2 AND expires > {now}"
        ),
        params![account.body(), fence, LEASE_MS],
    )?;
    Ok(renewed == 1)
}

/// Ends a lease by the clock before its time.
#[cfg_attr(
    not(feature = "postgres"),
    allow(dead_code, reason = "PostgreSQL alone uses it")
)]
pub(in crate::ledger) fn release(
    tx: &Transaction<'_>,
    account: Address,
    fence: i64,
) -> Result<(), LedgerError> {
    tx.execute(
        "UPDATE account SET expires = 0 WHERE account = ?1 AND fence = ?2",
        params![account.body(), fence],
    )?;
    Ok(())
}
