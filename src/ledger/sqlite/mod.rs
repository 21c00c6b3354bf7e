//! The store on SQLite: one file per chain.

mod backend;
mod locks;
mod open;

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, TransactionBehavior};

use self::{backend::SqliteTransaction, locks::LockSpace};
use super::{
    AccountLease, Durable, EachRow, LedgerError, Upkeep,
    sql::Transaction,
    statements::{HeldEpochs, Transactions, audit, leases, random_number, recovery, write_out},
    store::Guard,
};
use crate::types::{Address, BlockId};

/// Numbers that stand for random ones, of 63 bits.
pub type NumberSource = Arc<dyn Fn() -> i64 + Send + Sync>;

/// A ledger in a SQLite file: WAL, `synchronous=FULL`, one connection.
///
/// Beside `NAME` live SQLite's own `NAME-wal` and `NAME-shm`, and the folder
/// `NAME-locks` with a file per running process that issues receipts and per
/// account that signs payouts.
pub struct SqliteLedger {
    genesis: BlockId,
    conn: Arc<Mutex<Connection>>,
    locks: LockSpace,
    /// This handle's name among the holders of epochs, with its lock once it
    /// was needed.
    worker: String,
    worker_lock: Mutex<Option<Guard>>,
    /// Epochs that this handle has given out and not got back.
    held: HeldEpochs,
    /// Set for good by a commit whose outcome is unknown.
    doubt: Mutex<Option<String>>,
    /// Where numbers of new rows come from, if not from the system.
    numbers: Option<NumberSource>,
}

impl std::fmt::Debug for SqliteLedger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteLedger")
            .field("genesis", &self.genesis)
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere rolled its transaction back and left no half state.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SqliteLedger {
    /// Opens the ledger of the chain with this genesis block, creating the
    /// file when there is none.
    ///
    /// # Errors
    /// Everything that is not as it must be is refused with a sentence: a
    /// file of another chain, of a newer version, of another program, damaged,
    /// read-only, on a network file system.
    pub fn open(path: &Path, genesis: BlockId) -> Result<Self, LedgerError> {
        let (conn, real) = open::open(path, genesis)?;
        let place = open::place(&real)?;
        let ledger = Self::with(genesis, Arc::new(Mutex::new(conn)), open::lock_space(&real))?;
        if ledger
            .write(|tx| recovery::note_place(tx, &place))?
            .into_inner()
        {
            tracing::warn!(
                "{} was copied or moved to another disk or machine: its accounts sign nothing \
                 before `settle recover`",
                path.display()
            );
        }
        Ok(ledger)
    }

    /// Opens a ledger that exists, whatever chain it belongs to.
    ///
    /// # Errors
    /// There is none, or as [`open`](Self::open).
    pub fn open_existing(path: &Path) -> Result<Self, LedgerError> {
        Self::open(path, open::genesis_of(path)?)
    }

    /// A ledger that lives in memory, for tests and simulations.
    ///
    /// # Errors
    /// Only if SQLite itself fails.
    pub fn in_memory(genesis: BlockId) -> Result<Self, LedgerError> {
        let conn = open::in_memory(genesis)?;
        Self::with(
            genesis,
            Arc::new(Mutex::new(conn)),
            LockSpace::Memory(Arc::default()),
        )
    }

    /// Another handle on a ledger in memory, as another process would have.
    ///
    /// # Errors
    /// For a ledger in a file: open the file again.
    pub fn another(&self) -> Result<Self, LedgerError> {
        match &self.locks {
            LockSpace::Memory(_) => {
                let other = Self::with(self.genesis, Arc::clone(&self.conn), self.locks.clone())?;
                Ok(other.numbered_as(self))
            }
            LockSpace::Folder(_) => Err(LedgerError::Store(
                "a file's other handles are made by opening it again".to_owned(),
            )),
        }
    }

    /// Copies a ledger in memory, as it is now, into another one that shares
    /// nothing with it: what a backup or a copied home would hold, unmarked.
    ///
    /// # Errors
    /// Only if SQLite itself fails.
    pub fn copy_in_memory(&self) -> Result<Self, LedgerError> {
        self.certain()?;
        let conn = open::copy_in_memory(&locked(&self.conn))?;
        let copy = Self::with(
            self.genesis,
            Arc::new(Mutex::new(conn)),
            LockSpace::Memory(Arc::default()),
        )?;
        Ok(copy.numbered_as(self))
    }

    /// Another handle on a ledger in memory, as another machine has one on a
    /// shared store: with locks of its own, so that only fencing numbers tell
    /// the two apart.
    ///
    /// # Errors
    /// As [`another`](Self::another).
    pub fn another_machine(&self) -> Result<Self, LedgerError> {
        let mut other = self.another()?;
        other.locks = LockSpace::Memory(Arc::default());
        Ok(other)
    }

    fn with(
        genesis: BlockId,
        conn: Arc<Mutex<Connection>>,
        locks: LockSpace,
    ) -> Result<Self, LedgerError> {
        Ok(Self {
            genesis,
            conn,
            locks,
            worker: format!("worker-{:016x}", random_number()?),
            worker_lock: Mutex::default(),
            held: HeldEpochs::default(),
            doubt: Mutex::default(),
            numbers: None,
        })
    }

    /// From now on this handle, those made from it and copies of it take the numbers of new
    /// rows (epochs) from `numbers` instead of the system: a simulation that begins with the same
    /// seed goes the same way. No two of the numbers may be the same.
    #[must_use]
    pub fn numbered_by(mut self, numbers: NumberSource) -> Self {
        self.numbers = Some(numbers);
        self
    }

    fn numbered_as(mut self, other: &Self) -> Self {
        self.numbers.clone_from(&other.numbers);
        self
    }

    fn certain(&self) -> Result<(), LedgerError> {
        match &*locked(&self.doubt) {
            Some(reason) => Err(LedgerError::CommitUnknown(reason.clone())),
            None => Ok(()),
        }
    }
}

impl Upkeep for SqliteLedger {
    fn contradictions(&self) -> Result<Vec<String>, LedgerError> {
        let mut found = self.read(audit::contradictions)?;
        let verdict: String =
            locked(&self.conn).query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            found.insert(0, format!("the file is damaged: {verdict}"));
        }
        Ok(found)
    }

    fn backup(&self, to: &Path) -> Result<(), LedgerError> {
        self.certain()?;
        let failed = |reason: String| LedgerError::Open {
            path: to.to_owned(),
            reason,
        };
        open::create_private(to, open::Existing::Refuse)?;
        let mut copy = Connection::open(to).map_err(|error| failed(error.to_string()))?;
        {
            let conn = locked(&self.conn);
            let backup = rusqlite::backup::Backup::new(&conn, &mut copy)?;
            // All pages in one step: one moment of the ledger.
            match backup.step(-1)? {
                rusqlite::backup::StepResult::Done => {}
                other => return Err(failed(format!("the copy stopped: {other:?}"))),
            }
        }
        copy.pragma_update(None, "synchronous", 2)?;
        let tx = copy.transaction()?;
        recovery::mark(&Transaction(&SqliteTransaction::new(&tx)))?;
        tx.commit()?;
        copy.close().map_err(|(_, error)| failed(error.to_string()))
    }

    fn is_restored(&self) -> Result<bool, LedgerError> {
        self.read(recovery::is_marked)
    }

    fn rows(&self, each: &mut EachRow<'_>) -> Result<u64, LedgerError> {
        write_out(self, each)
    }
}

impl SqliteLedger {
    /// A new file, marked as a copy, to be filled with the rows of another
    /// store by `fill`, all or nothing.
    #[cfg(feature = "postgres")]
    pub(in crate::ledger) fn copy_into<T>(
        to: &Path,
        genesis: BlockId,
        fill: impl FnOnce(&Transaction<'_>) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        open::create_private(to, open::Existing::Refuse)?;
        let copied = Self::fill_copy(to, genesis, fill);
        if copied.is_err() {
            // Ours, and nobody's ledger.
            for end in ["", "-wal", "-shm"] {
                let mut file = to.as_os_str().to_owned();
                file.push(end);
                // The error that is returned says why; this one adds nothing.
                let _ = std::fs::remove_file(file);
            }
        }
        copied
    }

    #[cfg(feature = "postgres")]
    fn fill_copy<T>(
        to: &Path,
        genesis: BlockId,
        fill: impl FnOnce(&Transaction<'_>) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let (mut conn, _) = open::open(to, genesis)?;
        let tx = conn.transaction()?;
        let filled = {
            let backend = SqliteTransaction::new(&tx);
            let tx = Transaction(&backend);
            let filled = fill(&tx)?;
            recovery::mark(&tx)?;
            filled
        };
        tx.commit()?;
        conn.close()
            .map_err(|(_, error)| LedgerError::from(error))?;
        Ok(filled)
    }
}

impl Transactions for SqliteLedger {
    fn chain(&self) -> BlockId {
        self.genesis
    }

    fn read<T: Send>(
        &self,
        body: impl Fn(&Transaction<'_>) -> Result<T, LedgerError> + Send,
    ) -> Result<T, LedgerError> {
        self.certain()?;
        let mut conn = locked(&self.conn);
        let tx = conn.transaction()?;
        body(&Transaction(&SqliteTransaction::new(&tx)))
    }

    fn write<T: Send>(
        &self,
        body: impl Fn(&Transaction<'_>) -> Result<T, LedgerError> + Send,
    ) -> Result<Durable<T>, LedgerError> {
        self.certain()?;
        let mut conn = locked(&self.conn);
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let backend = SqliteTransaction::new(&tx).numbered(self.numbers.as_ref());
        let value = body(&Transaction(&backend))?;
        match tx.commit() {
            Ok(()) => Ok(Durable::committed(value)),
            // SQLite wrote nothing that counts: the last frame is missing.
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) => {
                Err(LedgerError::DiskFull)
            }
            // A sync that failed may have lost pages that later look written,
            // so nothing this handle reads or writes can be trusted again.
            Err(error) => {
                let reason = error.to_string();
                *locked(&self.doubt) = Some(reason.clone());
                Err(LedgerError::CommitUnknown(reason))
            }
        }
    }

    fn worker(&self) -> &str {
        &self.worker
    }

    fn announce(&self) -> Result<(), LedgerError> {
        let mut lock = locked(&self.worker_lock);
        if lock.is_none() {
            *lock = Some(self.locks.try_lock(&self.worker)?.ok_or_else(|| {
                LedgerError::Store(format!("another process is named {}", self.worker))
            })?);
        }
        Ok(())
    }

    fn lives(&self, _: &Transaction<'_>, worker: &str) -> Result<bool, LedgerError> {
        Ok(match self.locks.try_lock(worker)? {
            None => true,
            Some(guard) => {
                // Its process is gone, and its name is never used again.
                self.locks.forget(worker);
                drop(guard);
                false
            }
        })
    }

    fn held(&self) -> &HeldEpochs {
        &self.held
    }

    fn take_account(&self, account: Address, holder: &str) -> Result<AccountLease, LedgerError> {
        let name = format!("account-{account}");
        let Some(guard) = self.locks.try_lock(&name)? else {
            return Err(LedgerError::AccountHeld {
                account,
                holder: self
                    .read(|tx| leases::holder(tx, account))?
                    .unwrap_or_else(|| "another process".to_owned()),
            });
        };
        let fence = self.write(|tx| leases::lease(tx, account, holder))?;
        Ok(AccountLease {
            account,
            fence: fence.into_inner(),
            _guard: guard,
        })
    }

    fn who_has(&self, account: Address) -> Result<Option<String>, LedgerError> {
        match self.locks.try_lock(&format!("account-{account}"))? {
            Some(_) => Ok(None),
            None => self.read(|tx| leases::holder(tx, account)),
        }
    }
}

impl Drop for SqliteLedger {
    fn drop(&mut self) {
        if locked(&self.worker_lock).take().is_some() {
            self.locks.forget(&self.worker);
        }
    }
}
