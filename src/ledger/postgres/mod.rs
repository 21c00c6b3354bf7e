//! The store on PostgreSQL, for operators with workers on several machines:
//! one database (or schema) per chain.
//!
//! Transactions are serializable, so that those of several workers do as if
//! one came after the other; one that met another is run again, for up to ten
//! seconds. What is exclusive is held by a row with an end by the database's
//! clock, which its holder puts off; see [`pulse`].

mod address;
mod backend;
mod open;
mod pulse;

use std::{
    cell::{Cell, RefCell},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use postgres::IsolationLevel;

pub use self::address::PostgresUrl;
use self::{
    backend::{NOW, PostgresTransaction, failed, in_words, is_conflict, is_lost},
    open::{BUSY, Connection},
    pulse::{Alive, Pulse},
};
use super::{
    AccountLease, Durable, EachRow, LedgerError, SqliteLedger, Upkeep,
    sql::{Transaction, params},
    statements::{
        HeldEpochs, Transactions, audit,
        leases::{self, LEASE_MS},
        random_number, recovery, tables, write_out,
    },
};
use crate::types::{Address, BlockId};

/// How long a transaction that met another waits at first before it is run
/// again; each time twice as long, up to a quarter of a second.
const PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// How often a transaction is run again because a row was made by another.
const MOST_TWINS: u32 = 3;

/// How long a worker that is gone is remembered.
const FORGET_MS: i64 = 86_400_000;

/// A ledger in PostgreSQL, by one connection, and a second one while something
/// is held exclusively.
pub struct PostgresLedger {
    inner: Arc<Inner>,
    genesis: BlockId,
    /// This handle's name among the holders of epochs.
    worker: String,
    held: HeldEpochs,
}

/// What leases need to give themselves back.
struct Inner {
    url: PostgresUrl,
    place: String,
    connection: Mutex<Option<Connection>>,
    alive: Arc<Mutex<Alive>>,
    pulse: Mutex<Option<Pulse>>,
    /// Set for good by a commit whose outcome is unknown.
    doubt: Mutex<Option<String>>,
}

impl std::fmt::Debug for PostgresLedger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresLedger")
            .field("url", &self.inner.url)
            .field("genesis", &self.genesis)
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere rolled its transaction back and left no half state.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The driver waits by a runtime of its own, which must not be started on a
/// thread of another one.
fn aside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// How a transaction ended.
enum Attempt<T> {
    Done(T),
    /// It did not happen, and may be run once more.
    Again(LedgerError),
    /// It did not happen since another made the same row: if that is so once
    /// more, it is an error of ours.
    Twin(LedgerError),
    /// It did not happen.
    Failed(LedgerError),
    /// It may have happened.
    Unknown(String),
}

impl Inner {
    fn certain(&self) -> Result<(), LedgerError> {
        match &*locked(&self.doubt) {
            Some(reason) => Err(LedgerError::CommitUnknown(reason.clone())),
            None => Ok(()),
        }
    }

    fn run<T: Send>(
        &self,
        reading: bool,
        body: impl Fn(&Transaction<'_>) -> Result<T, LedgerError> + Send,
    ) -> Result<T, LedgerError> {
        aside(move || {
            let deadline = Instant::now() + BUSY;
            let mut pause = PAUSE;
            let mut twins = 0;
            let mut connection = locked(&self.connection);
            loop {
                self.certain()?;
                let open = match &mut *connection {
                    Some(open) => Ok(open),
                    None => Connection::open_again(&self.url, &self.place)
                        .map(|open| connection.insert(open)),
                };
                let attempt = match open {
                    Ok(open) => attempt(open, reading, &body),
                    Err(error) => Attempt::Again(error),
                };
                if connection
                    .as_ref()
                    .is_some_and(|open| open.client.is_closed())
                {
                    *connection = None;
                }
                match attempt {
                    Attempt::Done(value) => return Ok(value),
                    Attempt::Failed(error) => return Err(error),
                    Attempt::Unknown(reason) => {
                        *locked(&self.doubt) = Some(reason.clone());
                        return Err(LedgerError::CommitUnknown(reason));
                    }
                    Attempt::Twin(error) if twins >= MOST_TWINS => return Err(error),
                    Attempt::Twin(_) => twins += 1,
                    Attempt::Again(error) if Instant::now() >= deadline => return Err(error),
                    Attempt::Again(_) => {
                        std::thread::sleep(pause);
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                }
            }
        })
    }

    fn write<T: Send>(
        &self,
        body: impl Fn(&Transaction<'_>) -> Result<T, LedgerError> + Send,
    ) -> Result<Durable<T>, LedgerError> {
        self.run(false, body).map(Durable::committed)
    }

    /// Has what is in `alive` renewed from now on.
    fn keep(&self, note: impl FnOnce(&mut Alive)) -> Result<(), LedgerError> {
        note(&mut locked(&self.alive));
        let mut pulse = locked(&self.pulse);
        if pulse.is_none() {
            *pulse = Some(Pulse::start(self.url.clone(), Arc::clone(&self.alive))?);
        }
        Ok(())
    }
}

fn attempt<T>(
    connection: &mut Connection,
    reading: bool,
    body: &impl Fn(&Transaction<'_>) -> Result<T, LedgerError>,
) -> Attempt<T> {
    // One moment of the ledger is enough to read.
    let (level, read_only) = if reading {
        (IsolationLevel::RepeatableRead, true)
    } else {
        (IsolationLevel::Serializable, false)
    };
    let started = connection
        .client
        .build_transaction()
        .isolation_level(level)
        .read_only(read_only)
        .start();
    let tx = match started {
        Ok(tx) => tx,
        Err(error) if is_lost(&error) || is_conflict(&error) => {
            return Attempt::Again(failed(&error));
        }
        Err(error) => return Attempt::Failed(failed(&error)),
    };
    let tx = PostgresTransaction {
        tx: RefCell::new(tx),
        statements: &connection.statements,
        again: Cell::new(false),
        twin: Cell::new(false),
    };
    let value = match body(&Transaction(&tx)) {
        Ok(value) => value,
        // Rolled back: by the drop, or with the connection.
        Err(error) if tx.again.get() => return Attempt::Again(error),
        Err(error) if tx.twin.get() => return Attempt::Twin(error),
        Err(error) => return Attempt::Failed(error),
    };
    match tx.tx.into_inner().commit() {
        Ok(()) => Attempt::Done(value),
        Err(error) if is_conflict(&error) => Attempt::Again(failed(&error)),
        Err(error) if reading => Attempt::Failed(failed(&error)),
        // The server refused; a connection that it ends may end after the commit.
        Err(error)
            if error.as_db_error().is_some_and(|said| {
                said.parsed_severity() == Some(postgres::error::Severity::Error)
            }) =>
        {
            Attempt::Failed(failed(&error))
        }
        Err(error) => Attempt::Unknown(in_words(&error)),
    }
}

/// Gives an account's lease back when it is dropped.
struct HeldAccount {
    inner: Arc<Inner>,
    account: Address,
    fence: i64,
}

impl Drop for HeldAccount {
    fn drop(&mut self) {
        locked(&self.inner.alive).accounts.remove(&self.account);
        // Otherwise it runs out by itself. A server that is not there is not
        // waited for.
        if locked(&self.inner.connection).is_some() && self.inner.certain().is_ok() {
            let (account, fence) = (self.account, self.fence);
            if let Err(error) = self
                .inner
                .write(move |tx| leases::release(tx, account, fence))
            {
                tracing::warn!(%error, "a lease was not given back: it runs out in ten seconds");
            }
        }
    }
}

impl PostgresLedger {
    /// Opens the ledger of the chain with this genesis block, creating its
    /// tables when there are none.
    ///
    /// # Errors
    /// Everything that is not as it must be is refused with a sentence: a
    /// server that does not keep what it confirms, a database of another
    /// program, another chain, a newer version.
    pub fn open(url: &PostgresUrl, genesis: BlockId) -> Result<Self, LedgerError> {
        Self::connect(url, Some(genesis))
    }

    /// Opens a ledger that exists, whatever chain it belongs to.
    ///
    /// # Errors
    /// There is none, or as [`open`](Self::open).
    pub fn open_existing(url: &PostgresUrl) -> Result<Self, LedgerError> {
        Self::connect(url, None)
    }

    /// Whether there is a ledger in the database. Makes nothing.
    ///
    /// # Errors
    /// No server answers, or the database is another program's.
    pub fn is_there(url: &PostgresUrl) -> Result<bool, LedgerError> {
        aside(|| {
            let mut connection = Connection::open(url)?;
            open::is_ledger(&mut connection.client, url)
        })
    }

    fn connect(url: &PostgresUrl, genesis: Option<BlockId>) -> Result<Self, LedgerError> {
        let (connection, genesis, place) = aside(|| {
            let mut connection = Connection::open(url)?;
            let genesis = open::migrate(&mut connection.client, url, genesis)?;
            let place = connection.place(url)?;
            Ok::<_, LedgerError>((connection, genesis, place))
        })?;
        let ledger = Self {
            inner: Arc::new(Inner {
                url: url.clone(),
                place,
                connection: Mutex::new(Some(connection)),
                alive: Arc::default(),
                pulse: Mutex::default(),
                doubt: Mutex::default(),
            }),
            genesis,
            worker: format!("worker-{:016x}", random_number()?),
            held: HeldEpochs::default(),
        };
        if ledger
            .write(|tx| recovery::note_place(tx, &ledger.inner.place))?
            .into_inner()
        {
            tracing::warn!(
                "{url} was copied, restored or moved, or a standby took its server's place: its \
                 accounts sign nothing before `settle recover`"
            );
        }
        Ok(ledger)
    }
}

impl Upkeep for PostgresLedger {
    fn contradictions(&self) -> Result<Vec<String>, LedgerError> {
        self.read(audit::contradictions)
    }

    fn is_restored(&self) -> Result<bool, LedgerError> {
        self.read(recovery::is_marked)
    }

    fn backup(&self, to: &Path) -> Result<(), LedgerError> {
        self.read(|tx| {
            SqliteLedger::copy_into(to, self.genesis, |copy| {
                tables::walk(tx, |table, rows| {
                    let mut kept = Vec::with_capacity(rows.len());
                    for row in rows {
                        if !tables::is_own(table, row)? {
                            kept.push(row.clone());
                        }
                    }
                    tables::put(copy, table, &kept)
                })
            })
        })
    }

    fn rows(&self, each: &mut EachRow<'_>) -> Result<u64, LedgerError> {
        write_out(self, each)
    }
}

impl Transactions for PostgresLedger {
    fn chain(&self) -> BlockId {
        self.genesis
    }

    fn read<T: Send>(
        &self,
        body: impl Fn(&Transaction<'_>) -> Result<T, LedgerError> + Send,
    ) -> Result<T, LedgerError> {
        self.inner.run(true, body)
    }

    fn write<T: Send>(
        &self,
        body: impl Fn(&Transaction<'_>) -> Result<T, LedgerError> + Send,
    ) -> Result<Durable<T>, LedgerError> {
        self.inner.write(body)
    }

    fn worker(&self) -> &str {
        &self.worker
    }

    fn announce(&self) -> Result<(), LedgerError> {
        if locked(&self.inner.alive).worker.is_some() {
            return Ok(());
        }
        self.write(|tx| {
            tx.execute(
                &format!("DELETE FROM worker WHERE expires < {NOW} - ?1"),
                params![FORGET_MS],
            )?;
            tx.execute(
                &format!("INSERT INTO worker (name, expires) VALUES (?1, {NOW} + ?2)"),
                params![self.worker, LEASE_MS],
            )
        })?;
        self.inner
            .keep(|alive| alive.worker = Some(self.worker.clone()))
    }

    fn lives(&self, tx: &Transaction<'_>, worker: &str) -> Result<bool, LedgerError> {
        tx.exists(
            &format!("SELECT 1 FROM worker WHERE name = ?1 AND expires > {NOW}"),
            params![worker],
        )
    }

    fn held(&self) -> &HeldEpochs {
        &self.held
    }

    fn take_account(&self, account: Address, holder: &str) -> Result<AccountLease, LedgerError> {
        let fence = self
            .write(|tx| leases::lease(tx, account, holder))?
            .into_inner();
        let guard = HeldAccount {
            inner: Arc::clone(&self.inner),
            account,
            fence,
        };
        self.inner.keep(|alive| {
            alive.accounts.insert(account, fence);
        })?;
        Ok(AccountLease {
            account,
            fence,
            _guard: Box::new(guard),
        })
    }

    fn who_has(&self, account: Address) -> Result<Option<String>, LedgerError> {
        self.read(|tx| leases::holder(tx, account))
    }
}

impl Drop for PostgresLedger {
    fn drop(&mut self) {
        // Otherwise its epochs are free in ten seconds.
        let announced = locked(&self.inner.alive).worker.take().is_some();
        let connected = locked(&self.inner.connection).is_some();
        if announced && connected && self.inner.certain().is_ok() {
            let left = self
                .write(|tx| tx.execute("DELETE FROM worker WHERE name = ?1", params![self.worker]));
            if let Err(error) = left {
                tracing::warn!(%error, "epochs were not given back: they are free in ten seconds");
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let pulse = locked(&self.pulse).take();
        let connection = locked(&self.connection).take();
        // The driver says farewell to the server.
        aside(move || drop((pulse, connection)));
    }
}
