//! The suite of statements: one for every store, in SQL that SQLite,
//! PostgreSQL and databases that speak like it run alike.

pub(super) mod attempts;
pub(super) mod audit;
pub(super) mod chain;
pub(super) mod epochs;
mod evidence;
mod flows;
mod grants;
pub(super) mod leases;
mod orders;
pub(super) mod payouts;
mod positions;
pub(super) mod receipts;
pub(super) mod recovery;
mod rows;
pub(super) mod schema;
mod standing;
mod store;
pub(super) mod tables;
mod trail;
mod transfers;
mod watch;
mod witnesses;

pub(in crate::ledger) use store::{HeldEpochs, Transactions, write_out};

use super::LedgerError;

/// A random number of 63 bits.
pub(in crate::ledger) fn random_number() -> Result<i64, LedgerError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| LedgerError::Store(format!("no random numbers: {error}")))?;
    Ok(i64::from_be_bytes(bytes) & i64::MAX)
}
