//! The stores' trait, by the statements: what is left to a store is its
//! transactions, and what is exclusive.

mod chain_log;
mod orders;
mod parties;
mod payouts;
mod receipts;
mod transfers;

use super::{epochs::OwnEpoch, tables};
use crate::{
    ledger::{
        AccountLease, Cell, ChainBound, Durable, EachRow, EpochId, LedgerError, sql::Transaction,
        store::Guard,
    },
    types::{Address, BlockId},
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

/// The epochs that a handle has given out and not got back.
#[derive(Debug, Clone, Default)]
pub(in crate::ledger) struct HeldEpochs(Arc<Mutex<BTreeSet<i64>>>);

/// Gives an epoch back to its handle when the lease is dropped.
struct HeldEpoch {
    epoch: i64,
    held: HeldEpochs,
}

impl Drop for HeldEpoch {
    fn drop(&mut self) {
        self.held.with(|held| held.remove(&self.epoch));
    }
}

impl HeldEpochs {
    fn with<T>(&self, look: impl FnOnce(&mut BTreeSet<i64>) -> T) -> T {
        // A set of numbers is whole after any panic.
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn hold(&self, epoch: EpochId) -> Guard {
        self.with(|held| held.insert(epoch.get()));
        Box::new(HeldEpoch {
            epoch: epoch.get(),
            held: self.clone(),
        })
    }

    fn contains(&self, epoch: EpochId) -> bool {
        self.with(|held| held.contains(&epoch.get()))
    }
}

/// What a store brings: transactions on its database, one after the other or
/// as if they were, and what is exclusive between processes.
pub(in crate::ledger) trait Transactions: Send + Sync {
    /// The genesis block's id.
    fn chain(&self) -> BlockId;

    /// Committed rows only, of one moment. `body` may run more than once.
    fn read<T: Send>(
        &self,
        body: impl Fn(&Transaction<'_>) -> Result<T, LedgerError> + Send,
    ) -> Result<T, LedgerError>;

    /// All of it, on disk, or nothing. `body` may run more than once.
    fn write<T: Send>(
        &self,
        body: impl Fn(&Transaction<'_>) -> Result<T, LedgerError> + Send,
    ) -> Result<Durable<T>, LedgerError>;

    /// This handle's name among the holders of epochs.
    fn worker(&self) -> &str;

    /// Makes sure that others see this handle as alive.
    fn announce(&self) -> Result<(), LedgerError>;

    /// Whether the handle of this name, not ours, lives.
    fn lives(&self, tx: &Transaction<'_>, worker: &str) -> Result<bool, LedgerError>;

    /// The epochs that this handle has given out.
    fn held(&self) -> &HeldEpochs;

    /// See [`crate::ledger::Payouts::lease_account`].
    fn take_account(&self, account: Address, holder: &str) -> Result<AccountLease, LedgerError>;

    /// See [`crate::ledger::Payouts::account_holder`].
    fn who_has(&self, account: Address) -> Result<Option<String>, LedgerError>;
}

/// See [`Upkeep::rows`](crate::ledger::Upkeep::rows).
pub(in crate::ledger) fn write_out<S: Transactions>(
    store: &S,
    each: &mut EachRow<'_>,
) -> Result<u64, LedgerError> {
    // What was written out cannot be taken back and begun anew.
    let once = Mutex::new(Some(each));
    store.read(|tx| {
        let taken = once.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(each) = taken else {
            return Err(LedgerError::Store(
                "the connection was lost in the middle: begin again".to_owned(),
            ));
        };
        let mut count = 0;
        tables::walk(tx, |table, rows| {
            for row in rows {
                let columns: Vec<_> = row
                    .names
                    .iter()
                    .map(String::as_str)
                    .zip(row.values.iter().map(Cell::from))
                    .collect();
                each(table, &columns)?;
                count += 1;
            }
            Ok(())
        })?;
        Ok(count)
    })
}

/// Whether the epoch is held by this handle or by another living one.
fn is_held<S: Transactions>(
    store: &S,
    tx: &Transaction<'_>,
    own: &OwnEpoch,
) -> Result<bool, LedgerError> {
    match own.holder.as_deref() {
        None => Ok(false),
        Some(name) if name == store.worker() => Ok(store.held().contains(own.epoch)),
        Some(name) => store.lives(tx, name),
    }
}

impl<S: Transactions> ChainBound for S {
    fn genesis(&self) -> BlockId {
        self.chain()
    }
}

/// Rows that were read are committed rows: SQLite shows a transaction to other
/// connections only after its log was synced.
fn durable<T>(rows: Vec<T>) -> Vec<Durable<T>> {
    rows.into_iter().map(Durable::committed).collect()
}
