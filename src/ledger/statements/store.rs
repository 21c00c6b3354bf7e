//! The stores' trait, by the statements: what is left to a store is its
//! transactions, and what is exclusive.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    chain, payouts,
    receipts::{self, OwnEpoch},
    recovery, tables, transfers, witnesses,
};
use crate::{
    ledger::{
        AccountLease, Adopted, AttemptRow, BatchCounts, BatchId, BatchRow, BlockRow, Cell,
        CursorRow, Durable, EachRow, EpochId, EpochLease, Equivocation, Ledger, LedgerError,
        Origin, OutgoingRow, Pair, PayoutId, PayoutRow, Position, ReceiptEntry, ReceiptFilter,
        ReceiptKind, ReceiptRow, Recovery, Remainder, Stored, TransferRow, WitnessRow,
        sql::Transaction, store::Guard,
    },
    types::{Address, BlockId, RawAmount, Salt, Sun, Token, TokenId, TxId, UnixMs},
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

    /// See [`Ledger::lease_account`].
    fn take_account(&self, account: Address, holder: &str) -> Result<AccountLease, LedgerError>;

    /// See [`Ledger::account_holder`].
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

impl<S: Transactions> Ledger for S {
    fn genesis(&self) -> BlockId {
        self.chain()
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
                if free.is_some() || is_held(self, tx, &own)? {
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
                    receipts::hold(tx, pair, own.epoch, self.worker())?;
                    (own.epoch, own.since_block, own.remainder, last)
                }
                None => (
                    receipts::open_epoch(tx, pair, since_block, self.worker(), open)?,
                    since_block,
                    Remainder::default(),
                    None,
                ),
            };
            // Before the commit, so that no other thread of ours takes it.
            let guard = self.held().hold(epoch);
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
            receipts::issue(tx, receipt, self.worker(), remainder, ceiling, origin)?;
            Ok(*receipt)
        })
    }

    fn issued_of(&self, pairs: &[Pair]) -> Result<Vec<Durable<ReceiptRow>>, LedgerError> {
        self.read(|tx| receipts::all_newest(tx, ReceiptKind::Issued, pairs))
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

    fn store_received_all(&self, all: &[ReceiptRow]) -> Result<Durable<Vec<Stored>>, LedgerError> {
        self.write(|tx| receipts::store_received_all(tx, all))
    }

    fn received(&self, pair: &Pair) -> Result<Vec<Durable<ReceiptRow>>, LedgerError> {
        self.read(|tx| receipts::all_newest(tx, ReceiptKind::Received, &[*pair]))
            .map(durable)
    }

    fn equivocations(&self, pair: &Pair) -> Result<Vec<Equivocation>, LedgerError> {
        self.read(|tx| receipts::equivocations(tx, pair))
    }

    fn store_evidence(&self, all: &[ReceiptRow]) -> Result<Durable<Vec<Stored>>, LedgerError> {
        self.write(|tx| {
            all.iter()
                .map(|receipt| receipts::store_evidence(tx, receipt))
                .collect()
        })
    }

    fn adopt(&self, epochs: &[(Pair, EpochId)]) -> Result<Durable<Adopted>, LedgerError> {
        self.write(|tx| receipts::adopt(tx, epochs, |own| is_held(self, tx, own)))
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
        self.read(|tx| receipts::positions(tx, payer, token))
    }

    fn lease_account(&self, account: Address, holder: &str) -> Result<AccountLease, LedgerError> {
        self.take_account(account, holder)
    }

    fn account_holder(&self, account: Address) -> Result<Option<String>, LedgerError> {
        self.who_has(account)
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

    fn bring_back(
        &self,
        lease: &AccountLease,
        signed: &[(TxId, Vec<u8>)],
    ) -> Result<Vec<Durable<AttemptRow>>, LedgerError> {
        self.write(|tx| payouts::bring_back(tx, lease, signed))
            .map(|rows| durable(rows.into_inner()))
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

    fn extend_history(
        &self,
        lease: &AccountLease,
        first: u64,
        transfers: &[TransferRow],
    ) -> Result<Durable<CursorRow>, LedgerError> {
        self.write(|tx| chain::extend_history(tx, lease, first, transfers))
    }

    fn issued_since(&self, payer: Address) -> Result<Option<u64>, LedgerError> {
        self.read(|tx| receipts::issued_since(tx, payer))
    }

    fn adopt_transfer(&self, txid: TxId, note: &str) -> Result<Durable<bool>, LedgerError> {
        self.write(|tx| recovery::adopt_transfer(tx, txid, note))
    }

    fn recovery(&self, account: Address) -> Result<Recovery, LedgerError> {
        self.read(|tx| recovery::state(tx, account))
    }

    fn mark_restored(&self) -> Result<(), LedgerError> {
        self.write(recovery::mark).map(Durable::into_inner)
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
        self.read(witnesses::all)
    }

    fn trust_witnesses(&self, lease: &AccountLease) -> Result<(), LedgerError> {
        self.write(|tx| witnesses::trust(tx, lease))
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

    fn payouts_numbered(&self, numbers: &[PayoutId]) -> Result<Vec<PayoutRow>, LedgerError> {
        let numbers = numbers.iter().copied().collect();
        let found = self.read(|tx| payouts::find_payouts(tx, &numbers))?;
        Ok(found.into_values().collect())
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

    fn attempts_of(&self, txids: &[TxId]) -> Result<Vec<Durable<AttemptRow>>, LedgerError> {
        let txids = txids.iter().copied().collect();
        let found = self.read(|tx| payouts::find_attempts(tx, &txids))?;
        Ok(durable(found.into_values().collect()))
    }
}

/// Rows that were read are committed rows: SQLite shows a transaction to other
/// connections only after its log was synced.
fn durable<T>(rows: Vec<T>) -> Vec<Durable<T>> {
    rows.into_iter().map(Durable::committed).collect()
}
