//! The store on SQLite: one file per chain.

mod audit;
mod chain;
mod flows;
mod grants;
mod locks;
mod open;
mod parties;
mod payouts;
mod receipts;
mod recovery;
mod rows;
mod schema;
mod standing;
mod transfers;

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use self::{locks::LockSpace, receipts::OwnEpoch};
use super::{
    AccountLease, Adopted, AttemptRow, BatchCounts, BatchId, BatchRow, BlockRow, CursorRow,
    Durable, EpochId, EpochLease, Equivocation, Ledger, LedgerError, Origin, OutgoingRow, Pair,
    PayoutId, PayoutRow, Position, ReceiptEntry, ReceiptFilter, ReceiptKind, ReceiptRow, Recovery,
    Remainder, Stored, TransferRow, WitnessRow, store::Guard,
};
use crate::types::{Address, BlockId, RawAmount, Salt, Sun, Token, TokenId, TxId, UnixMs};

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
    held: Arc<Mutex<BTreeSet<i64>>>,
    /// Set for good by a commit whose outcome is unknown.
    doubt: Mutex<Option<String>>,
}

impl std::fmt::Debug for SqliteLedger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteLedger")
            .field("genesis", &self.genesis)
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}

/// A random number of 63 bits.
fn random_number() -> Result<i64, LedgerError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| LedgerError::Store(format!("no random numbers: {error}")))?;
    Ok(i64::from_be_bytes(bytes) & i64::MAX)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere rolled its transaction back and left no half state.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives an epoch back to its handle when the lease is dropped.
struct HeldEpoch {
    epoch: i64,
    held: Arc<Mutex<BTreeSet<i64>>>,
}

impl Drop for HeldEpoch {
    fn drop(&mut self) {
        locked(&self.held).remove(&self.epoch);
    }
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
        let mut folder = real.into_os_string();
        folder.push("-locks");
        Self::with(
            genesis,
            Arc::new(Mutex::new(conn)),
            LockSpace::Folder(folder.into()),
        )
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
                Self::with(self.genesis, Arc::clone(&self.conn), self.locks.clone())
            }
            LockSpace::Folder(_) => Err(LedgerError::Store(
                "a file's other handles are made by opening it again".to_owned(),
            )),
        }
    }

    /// Asks every row whether it agrees with the others, and SQLite for its
    /// full integrity check. Empty: all is sound. Each kind of contradiction is
    /// told once.
    ///
    /// # Errors
    /// Only if the file cannot be read at all.
    pub fn contradictions(&self) -> Result<Vec<String>, LedgerError> {
        self.read(audit::contradictions)
    }

    /// Copies the ledger, as of one moment and while others work on it, to a
    /// new file, and marks the copy: whoever opens it can tell that it may be
    /// behind the chain and behind what its peers hold.
    ///
    /// # Errors
    /// The file exists already, or cannot be written.
    pub fn backup(&self, to: &Path) -> Result<(), LedgerError> {
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
        recovery::mark(&copy)?;
        copy.close().map_err(|(_, error)| failed(error.to_string()))
    }

    /// Whether this file is a copy made by [`backup`](Self::backup) that nobody
    /// has recovered yet.
    ///
    /// # Errors
    /// The store's.
    pub fn is_restored(&self) -> Result<bool, LedgerError> {
        self.read(recovery::is_marked)
    }

    /// Copies a ledger in memory, as it is now, into another one that shares
    /// nothing with it: what a backup or a copied home would hold, unmarked.
    ///
    /// # Errors
    /// Only if SQLite itself fails.
    pub fn copy_in_memory(&self) -> Result<Self, LedgerError> {
        self.certain()?;
        let conn = open::copy_in_memory(&locked(&self.conn))?;
        Self::with(
            self.genesis,
            Arc::new(Mutex::new(conn)),
            LockSpace::Memory(Arc::default()),
        )
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
            held: Arc::default(),
            doubt: Mutex::default(),
        })
    }

    fn certain(&self) -> Result<(), LedgerError> {
        match &*locked(&self.doubt) {
            Some(reason) => Err(LedgerError::CommitUnknown(reason.clone())),
            None => Ok(()),
        }
    }

    fn read<T>(
        &self,
        body: impl FnOnce(&Transaction<'_>) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        self.certain()?;
        let mut conn = locked(&self.conn);
        let tx = conn.transaction()?;
        body(&tx)
    }

    fn write<T>(
        &self,
        body: impl FnOnce(&Transaction<'_>) -> Result<T, LedgerError>,
    ) -> Result<Durable<T>, LedgerError> {
        self.certain()?;
        let mut conn = locked(&self.conn);
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = body(&tx)?;
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

    /// Makes sure that others see this handle as alive.
    fn announce(&self) -> Result<(), LedgerError> {
        let mut lock = locked(&self.worker_lock);
        if lock.is_none() {
            *lock = Some(self.locks.try_lock(&self.worker)?.ok_or_else(|| {
                LedgerError::Store(format!("another process is named {}", self.worker))
            })?);
        }
        Ok(())
    }

    /// Whether the epoch is held by this handle or by another living one.
    fn is_held(&self, own: &OwnEpoch) -> Result<bool, LedgerError> {
        match own.holder.as_deref() {
            None => Ok(false),
            Some(name) if name == self.worker => Ok(locked(&self.held).contains(&own.epoch.get())),
            Some(name) => match self.locks.try_lock(name)? {
                None => Ok(true),
                Some(guard) => {
                    // Its process is gone, and its name is never used again.
                    self.locks.forget(name);
                    drop(guard);
                    Ok(false)
                }
            },
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

impl Ledger for SqliteLedger {
    fn genesis(&self) -> BlockId {
        self.genesis
    }

    fn claim_epoch_under(
        &self,
        pair: &Pair,
        since_block: u64,
        grant: Salt,
    ) -> Result<EpochLease, LedgerError> {
        self.announce()?;
        let lease = self.write(|tx| {
            if recovery::state(tx, pair.payer)? != Recovery::Current {
                return Err(LedgerError::Restored(pair.payer));
            }
            let (mut free, mut open) = (None, 0);
            for own in receipts::open_epochs(tx, pair)? {
                if free.is_some() || self.is_held(&own)? {
                    open += 1;
                    continue;
                }
                let last = receipts::newest(tx, ReceiptKind::Issued, pair, own.epoch)?;
                if last.is_some_and(|last| last.grant != grant) {
                    receipts::close(tx, pair, own.epoch)?;
                } else {
                    open += 1;
                    free = Some((own, last));
                }
            }
            let (epoch, since_block, remainder, last) = match free {
                Some((own, last)) => {
                    receipts::hold(tx, pair, own.epoch, &self.worker)?;
                    (own.epoch, own.since_block, own.remainder, last)
                }
                None => (
                    receipts::open_epoch(tx, pair, since_block, &self.worker, open)?,
                    since_block,
                    Remainder::default(),
                    None,
                ),
            };
            // Before the commit, so that no other thread of ours takes it.
            locked(&self.held).insert(epoch.get());
            let guard = HeldEpoch {
                epoch: epoch.get(),
                held: Arc::clone(&self.held),
            };
            Ok(EpochLease {
                pair: *pair,
                epoch,
                since_block,
                last,
                remainder,
                _guard: Box::new(guard),
            })
        })?;
        Ok(lease.into_inner())
    }

    fn issue_for(
        &self,
        lease: &EpochLease,
        receipt: &ReceiptRow,
        remainder: Remainder,
        ceiling: Option<RawAmount>,
        origin: &Origin,
    ) -> Result<Durable<ReceiptRow>, LedgerError> {
        if receipt.pair != lease.pair || receipt.epoch != lease.epoch {
            return Err(LedgerError::Sequence {
                epoch: receipt.epoch,
                sequence: receipt.sequence,
                reason: "the lease is of another epoch",
            });
        }
        self.write(|tx| {
            receipts::issue(tx, receipt, &self.worker, remainder, ceiling, origin)?;
            Ok(*receipt)
        })
    }

    fn issued(&self, pair: &Pair) -> Result<Vec<Durable<ReceiptRow>>, LedgerError> {
        self.read(|tx| receipts::all_newest(tx, ReceiptKind::Issued, pair))
            .map(durable)
    }

    fn reserved(&self, payer: Address, token: TokenId) -> Result<RawAmount, LedgerError> {
        self.read(|tx| receipts::reserved(tx, payer, token))
    }

    fn store_received_for(
        &self,
        receipt: &ReceiptRow,
        origin: &Origin,
    ) -> Result<Durable<Stored>, LedgerError> {
        self.write(|tx| receipts::store_received(tx, receipt, origin))
    }

    fn received(&self, pair: &Pair) -> Result<Vec<Durable<ReceiptRow>>, LedgerError> {
        self.read(|tx| receipts::all_newest(tx, ReceiptKind::Received, pair))
            .map(durable)
    }

    fn equivocations(&self, pair: &Pair) -> Result<Vec<Equivocation>, LedgerError> {
        self.read(|tx| receipts::equivocations(tx, pair))
    }

    fn store_evidence(&self, receipt: &ReceiptRow) -> Result<Durable<Stored>, LedgerError> {
        self.write(|tx| receipts::store_evidence(tx, receipt))
    }

    fn adopt(&self, epochs: &[(Pair, EpochId)]) -> Result<Durable<Adopted>, LedgerError> {
        self.write(|tx| receipts::adopt(tx, epochs, |own| self.is_held(own)))
    }

    fn receipts(
        &self,
        filter: &ReceiptFilter,
        after: Option<&ReceiptEntry>,
        limit: u32,
    ) -> Result<Vec<ReceiptEntry>, LedgerError> {
        self.read(|tx| receipts::list(tx, filter, after, limit))
    }

    fn record_transfer(&self, transfer: &TransferRow) -> Result<Durable<bool>, LedgerError> {
        self.write(|tx| transfers::record(tx, transfer))
    }

    fn transferred_since(
        &self,
        payer: Address,
        payee: Address,
        token: Token,
        since: UnixMs,
    ) -> Result<RawAmount, LedgerError> {
        self.read(|tx| transfers::since(tx, payer, payee, token, since))
    }

    fn transfers(&self, account: Address, limit: u32) -> Result<Vec<TransferRow>, LedgerError> {
        self.read(|tx| transfers::newest(tx, account, limit))
    }

    fn outgoing(
        &self,
        account: Address,
        after: u64,
        limit: u32,
    ) -> Result<Vec<OutgoingRow>, LedgerError> {
        self.read(|tx| transfers::outgoing(tx, account, after, limit))
    }

    fn position(&self, pair: &Pair) -> Result<Position, LedgerError> {
        self.read(|tx| receipts::position(tx, pair))
    }

    fn positions(&self, payer: Address, token: TokenId) -> Result<Vec<Position>, LedgerError> {
        self.read(|tx| {
            receipts::counterparties(tx, payer, token)?
                .into_iter()
                .map(|payee| {
                    receipts::position(
                        tx,
                        &Pair {
                            payer,
                            payee,
                            token,
                        },
                    )
                })
                .collect()
        })
    }

    fn lease_account(&self, account: Address, holder: &str) -> Result<AccountLease, LedgerError> {
        let name = format!("account-{account}");
        let Some(guard) = self.locks.try_lock(&name)? else {
            return Err(LedgerError::AccountHeld {
                account,
                holder: self
                    .read(|tx| payouts::holder(tx, account))?
                    .unwrap_or_else(|| "another process".to_owned()),
            });
        };
        let fence = self.write(|tx| payouts::lease(tx, account, holder))?;
        Ok(AccountLease {
            account,
            fence: fence.into_inner(),
            _guard: guard,
        })
    }

    fn account_holder(&self, account: Address) -> Result<Option<String>, LedgerError> {
        match self.locks.try_lock(&format!("account-{account}"))? {
            Some(_) => Ok(None),
            None => self.read(|tx| payouts::holder(tx, account)),
        }
    }

    fn bind_account(
        &self,
        lease: &AccountLease,
        block: BlockId,
        time: UnixMs,
    ) -> Result<Durable<CursorRow>, LedgerError> {
        self.write(|tx| chain::bind(tx, lease, block, time))
    }

    fn cursor(&self, account: Address) -> Result<Option<CursorRow>, LedgerError> {
        self.read(|tx| chain::cursor(tx, account))
    }

    fn insert_batch(
        &self,
        lease: &AccountLease,
        batch: &BatchRow,
        payouts: &[PayoutRow],
    ) -> Result<Durable<BatchId>, LedgerError> {
        self.write(|tx| {
            payouts::insert_batch(tx, lease, batch, payouts)?;
            Ok(batch.id)
        })
    }

    fn insert_attempts(
        &self,
        lease: &AccountLease,
        attempts: &[AttemptRow],
    ) -> Result<Vec<Durable<AttemptRow>>, LedgerError> {
        self.write(|tx| payouts::insert_attempts(tx, lease, attempts))?;
        Ok(durable(attempts.to_vec()))
    }

    fn mark_sent(
        &self,
        lease: &AccountLease,
        answers: &[(TxId, String)],
    ) -> Result<(), LedgerError> {
        self.write(|tx| payouts::mark_sent(tx, lease, answers))
            .map(Durable::into_inner)
    }

    fn mark_included(
        &self,
        lease: &AccountLease,
        seen: &[(TxId, Option<u64>)],
    ) -> Result<(), LedgerError> {
        self.write(|tx| payouts::mark_included(tx, lease, seen))
            .map(Durable::into_inner)
    }

    fn apply_blocks(
        &self,
        lease: &AccountLease,
        blocks: &[BlockRow],
    ) -> Result<Durable<CursorRow>, LedgerError> {
        self.write(|tx| chain::apply(tx, lease, blocks))
    }

    fn skip_to(
        &self,
        lease: &AccountLease,
        block: BlockId,
        time: UnixMs,
    ) -> Result<Durable<CursorRow>, LedgerError> {
        self.write(|tx| chain::skip_to(tx, lease, block, time))
    }

    fn adopt_transfer(&self, txid: TxId, note: &str) -> Result<Durable<bool>, LedgerError> {
        self.write(|tx| recovery::adopt_transfer(tx, txid, note))
    }

    fn recovery(&self, account: Address) -> Result<Recovery, LedgerError> {
        self.read(|tx| recovery::state(tx, account))
    }

    fn mark_restored(&self) -> Result<(), LedgerError> {
        self.write(|tx| recovery::mark(tx)).map(Durable::into_inner)
    }

    fn begin_recovery(
        &self,
        lease: &AccountLease,
        at: UnixMs,
    ) -> Result<Durable<UnixMs>, LedgerError> {
        self.write(|tx| recovery::begin(tx, lease, at))
    }

    fn end_recovery(&self, lease: &AccountLease) -> Result<(), LedgerError> {
        self.write(|tx| recovery::end(tx, lease))
            .map(Durable::into_inner)
    }

    fn witnesses(&self) -> Result<Vec<WitnessRow>, LedgerError> {
        self.read(recovery::witnesses)
    }

    fn remember_witnesses(
        &self,
        lease: &AccountLease,
        seen: &[WitnessRow],
    ) -> Result<(), LedgerError> {
        self.write(|tx| recovery::remember_witnesses(tx, lease, seen))
            .map(Durable::into_inner)
    }

    fn record_fees(&self, fees: &[(TxId, Sun)]) -> Result<(), LedgerError> {
        self.write(|tx| payouts::record_fees(tx, fees))
            .map(Durable::into_inner)
    }

    fn fail_payout(
        &self,
        lease: &AccountLease,
        payout: PayoutId,
        reason: &str,
    ) -> Result<(), LedgerError> {
        self.write(|tx| payouts::fail(tx, lease, payout, reason))
            .map(Durable::into_inner)
    }

    fn unfinished(&self, payer: Address) -> Result<Vec<BatchRow>, LedgerError> {
        self.read(|tx| payouts::unfinished(tx, payer))
    }

    fn batches(&self, payer: Address, limit: u32) -> Result<Vec<BatchRow>, LedgerError> {
        self.read(|tx| payouts::batches(tx, payer, limit))
    }

    fn batch(&self, batch: BatchId) -> Result<Option<BatchRow>, LedgerError> {
        self.read(|tx| payouts::find_batch(tx, batch))
    }

    fn range_end(
        &self,
        payer: Address,
        payee: Address,
        token: Token,
    ) -> Result<RawAmount, LedgerError> {
        self.read(|tx| transfers::range_end(tx, payer, payee, token))
    }

    fn counts(&self, batch: BatchId) -> Result<BatchCounts, LedgerError> {
        self.read(|tx| payouts::counts(tx, batch))
    }

    fn payouts(&self, batch: BatchId) -> Result<Vec<PayoutRow>, LedgerError> {
        self.read(|tx| payouts::payouts(tx, batch))
    }

    fn attempts(&self, batch: BatchId) -> Result<Vec<Durable<AttemptRow>>, LedgerError> {
        self.read(|tx| payouts::attempts(tx, batch)).map(durable)
    }

    fn live_attempts(&self, account: Address) -> Result<Vec<Durable<AttemptRow>>, LedgerError> {
        self.read(|tx| payouts::live_attempts(tx, account))
            .map(durable)
    }

    fn attempt(&self, txid: TxId) -> Result<Option<Durable<AttemptRow>>, LedgerError> {
        Ok(self
            .read(|tx| payouts::find_attempt(tx, txid))?
            .map(Durable::committed))
    }
}

/// Rows that were read are committed rows: SQLite shows a transaction to other
/// connections only after its log was synced.
fn durable<T>(rows: Vec<T>) -> Vec<Durable<T>> {
    rows.into_iter().map(Durable::committed).collect()
}
