//! A ledger that fails at a chosen write, before it or after it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use seedrail::{
    ledger::{
        AccountLease, Adopted, AttemptRow, BatchCounts, BatchId, BatchRow, BlockRow, CursorRow,
        Durable, EpochId, EpochLease, Equivocation, FlowKind, FlowRow, GrantMarks, GrantRow,
        GrantUse, Ledger, LedgerError, Origin, OutgoingRow, Pair, PartyStore, PayoutId, PayoutRow,
        Position, ReceiptEntry, ReceiptFilter, ReceiptRow, Recovery, Remainder, RevocationRow,
        Standing, Stored, TransferRow, WatchRow, WitnessRow,
    },
    types::{Address, BlockId, RawAmount, Salt, Sun, Token, TokenId, TxId, UnixMs},
};

/// When the write fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Nothing was written.
    Before,
    /// It was written, and nobody knows.
    After,
}

/// Passes everything on until its time has come.
pub(crate) struct Failing {
    inner: Arc<dyn Ledger>,
    left: AtomicU64,
    when: When,
}

impl Failing {
    /// The write number `at`, from 1 on, and all after it fail.
    pub(crate) fn new(inner: Arc<dyn Ledger>, at: u64, when: When) -> Arc<Self> {
        Arc::new(Self {
            inner,
            left: AtomicU64::new(at),
            when,
        })
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }

    fn step<T>(&self, write: impl FnOnce() -> Result<T, LedgerError>) -> Result<T, LedgerError> {
        let left = self.left.load(Ordering::SeqCst);
        if left > 1 {
            self.left.store(left - 1, Ordering::SeqCst);
            return write();
        }
        self.left.store(0, Ordering::SeqCst);
        if self.when == When::After && left == 1 {
            write()?;
        }
        Err(match self.when {
            When::Before => LedgerError::DiskFull,
            When::After => LedgerError::CommitUnknown("the test said so".to_owned()),
        })
    }
}

impl Ledger for Failing {
    fn genesis(&self) -> BlockId {
        self.inner.genesis()
    }

    fn claim_epoch_under(
        &self,
        pair: &Pair,
        since_block: u64,
        grant: Salt,
    ) -> Result<EpochLease, LedgerError> {
        self.step(|| self.inner.claim_epoch_under(pair, since_block, grant))
    }

    fn issue_for(
        &self,
        lease: &EpochLease,
        receipt: &ReceiptRow,
        remainder: Remainder,
        ceiling: Option<RawAmount>,
        origin: &Origin,
    ) -> Result<Durable<ReceiptRow>, LedgerError> {
        self.step(|| {
            self.inner
                .issue_for(lease, receipt, remainder, ceiling, origin)
        })
    }

    fn issued_of(&self, pairs: &[Pair]) -> Result<Vec<Durable<ReceiptRow>>, LedgerError> {
        self.inner.issued_of(pairs)
    }

    fn reserved(&self, payer: Address, token: TokenId) -> Result<RawAmount, LedgerError> {
        self.inner.reserved(payer, token)
    }

    fn store_received_for(
        &self,
        receipt: &ReceiptRow,
        origin: &Origin,
    ) -> Result<Durable<Stored>, LedgerError> {
        self.step(|| self.inner.store_received_for(receipt, origin))
    }

    fn store_received_all(
        &self,
        receipts: &[ReceiptRow],
    ) -> Result<Durable<Vec<Stored>>, LedgerError> {
        self.step(|| self.inner.store_received_all(receipts))
    }

    fn received(&self, pair: &Pair) -> Result<Vec<Durable<ReceiptRow>>, LedgerError> {
        self.inner.received(pair)
    }

    fn equivocations(&self, pair: &Pair) -> Result<Vec<Equivocation>, LedgerError> {
        self.inner.equivocations(pair)
    }

    fn store_evidence(&self, receipts: &[ReceiptRow]) -> Result<Durable<Vec<Stored>>, LedgerError> {
        self.step(|| self.inner.store_evidence(receipts))
    }

    fn adopt(&self, epochs: &[(Pair, EpochId)]) -> Result<Durable<Adopted>, LedgerError> {
        self.inner.adopt(epochs)
    }

    fn receipts(
        &self,
        filter: &ReceiptFilter,
        after: Option<&ReceiptEntry>,
        limit: u32,
    ) -> Result<Vec<ReceiptEntry>, LedgerError> {
        self.inner.receipts(filter, after, limit)
    }

    fn record_transfer(&self, transfer: &TransferRow) -> Result<Durable<bool>, LedgerError> {
        self.step(|| self.inner.record_transfer(transfer))
    }

    fn transferred_since(
        &self,
        payer: Address,
        payee: Address,
        token: Token,
        since: UnixMs,
    ) -> Result<RawAmount, LedgerError> {
        self.inner.transferred_since(payer, payee, token, since)
    }

    fn transfers(&self, account: Address, limit: u32) -> Result<Vec<TransferRow>, LedgerError> {
        self.inner.transfers(account, limit)
    }

    fn position(&self, pair: &Pair) -> Result<Position, LedgerError> {
        self.inner.position(pair)
    }

    fn positions(&self, payer: Address, token: TokenId) -> Result<Vec<Position>, LedgerError> {
        self.inner.positions(payer, token)
    }

    fn adopt_transfer(&self, txid: TxId, note: &str) -> Result<Durable<bool>, LedgerError> {
        self.inner.adopt_transfer(txid, note)
    }

    fn recovery(&self, account: Address) -> Result<Recovery, LedgerError> {
        self.inner.recovery(account)
    }

    fn mark_restored(&self) -> Result<(), LedgerError> {
        self.inner.mark_restored()
    }

    fn begin_recovery(
        &self,
        lease: &AccountLease,
        at: UnixMs,
    ) -> Result<Durable<UnixMs>, LedgerError> {
        self.inner.begin_recovery(lease, at)
    }

    fn end_recovery(&self, lease: &AccountLease) -> Result<(), LedgerError> {
        self.inner.end_recovery(lease)
    }

    fn witnesses(&self) -> Result<Vec<WitnessRow>, LedgerError> {
        self.inner.witnesses()
    }

    fn trust_witnesses(&self, lease: &AccountLease) -> Result<(), LedgerError> {
        self.inner.trust_witnesses(lease)
    }

    fn extend_history(
        &self,
        lease: &AccountLease,
        first: u64,
        transfers: &[TransferRow],
    ) -> Result<Durable<CursorRow>, LedgerError> {
        self.inner.extend_history(lease, first, transfers)
    }

    fn issued_since(&self, payer: Address) -> Result<Option<u64>, LedgerError> {
        self.inner.issued_since(payer)
    }

    fn attempts_of(&self, txids: &[TxId]) -> Result<Vec<Durable<AttemptRow>>, LedgerError> {
        self.inner.attempts_of(txids)
    }

    fn lease_account(&self, account: Address, holder: &str) -> Result<AccountLease, LedgerError> {
        self.inner.lease_account(account, holder)
    }

    fn account_holder(&self, account: Address) -> Result<Option<String>, LedgerError> {
        self.inner.account_holder(account)
    }

    fn bind_account(
        &self,
        lease: &AccountLease,
        block: BlockId,
        time: UnixMs,
    ) -> Result<Durable<CursorRow>, LedgerError> {
        self.inner.bind_account(lease, block, time)
    }

    fn cursor(&self, account: Address) -> Result<Option<CursorRow>, LedgerError> {
        self.inner.cursor(account)
    }

    fn insert_batch(
        &self,
        lease: &AccountLease,
        batch: &BatchRow,
        payouts: &[PayoutRow],
    ) -> Result<Durable<BatchId>, LedgerError> {
        self.inner.insert_batch(lease, batch, payouts)
    }

    fn insert_attempts(
        &self,
        lease: &AccountLease,
        attempts: &[AttemptRow],
    ) -> Result<Vec<Durable<AttemptRow>>, LedgerError> {
        self.inner.insert_attempts(lease, attempts)
    }

    fn bring_back(
        &self,
        lease: &AccountLease,
        signed: &[(TxId, Vec<u8>)],
    ) -> Result<Vec<Durable<AttemptRow>>, LedgerError> {
        self.inner.bring_back(lease, signed)
    }

    fn mark_sent(
        &self,
        lease: &AccountLease,
        answers: &[(TxId, String)],
    ) -> Result<(), LedgerError> {
        self.inner.mark_sent(lease, answers)
    }

    fn mark_included(
        &self,
        lease: &AccountLease,
        seen: &[(TxId, Option<u64>)],
    ) -> Result<(), LedgerError> {
        self.inner.mark_included(lease, seen)
    }

    fn apply_blocks(
        &self,
        lease: &AccountLease,
        blocks: &[BlockRow],
    ) -> Result<Durable<CursorRow>, LedgerError> {
        self.inner.apply_blocks(lease, blocks)
    }

    fn skip_to(
        &self,
        lease: &AccountLease,
        block: BlockId,
        time: UnixMs,
    ) -> Result<Durable<CursorRow>, LedgerError> {
        self.inner.skip_to(lease, block, time)
    }

    fn record_fees(&self, fees: &[(TxId, Sun)]) -> Result<(), LedgerError> {
        self.inner.record_fees(fees)
    }

    fn fail_payout(
        &self,
        lease: &AccountLease,
        payout: PayoutId,
        reason: &str,
    ) -> Result<(), LedgerError> {
        self.inner.fail_payout(lease, payout, reason)
    }

    fn unfinished(&self, payer: Address) -> Result<Vec<BatchRow>, LedgerError> {
        self.inner.unfinished(payer)
    }

    fn batches(&self, payer: Address, limit: u32) -> Result<Vec<BatchRow>, LedgerError> {
        self.inner.batches(payer, limit)
    }

    fn counts(&self, batch: BatchId) -> Result<BatchCounts, LedgerError> {
        self.inner.counts(batch)
    }

    fn payouts(&self, batch: BatchId) -> Result<Vec<PayoutRow>, LedgerError> {
        self.inner.payouts(batch)
    }

    fn payouts_numbered(&self, numbers: &[PayoutId]) -> Result<Vec<PayoutRow>, LedgerError> {
        self.inner.payouts_numbered(numbers)
    }

    fn attempts(&self, batch: BatchId) -> Result<Vec<Durable<AttemptRow>>, LedgerError> {
        self.inner.attempts(batch)
    }

    fn live_attempts(&self, account: Address) -> Result<Vec<Durable<AttemptRow>>, LedgerError> {
        self.inner.live_attempts(account)
    }

    fn attempt(&self, txid: TxId) -> Result<Option<Durable<AttemptRow>>, LedgerError> {
        self.inner.attempt(txid)
    }

    fn outgoing(
        &self,
        account: Address,
        after: u64,
        limit: u32,
    ) -> Result<Vec<OutgoingRow>, LedgerError> {
        self.inner.outgoing(account, after, limit)
    }

    fn batch(&self, batch: BatchId) -> Result<Option<BatchRow>, LedgerError> {
        self.inner.batch(batch)
    }

    fn range_end(
        &self,
        payer: Address,
        payee: Address,
        token: Token,
    ) -> Result<RawAmount, LedgerError> {
        self.inner.range_end(payer, payee, token)
    }
}

impl PartyStore for Failing {
    fn store_grant(&self, grant: &GrantRow) -> Result<Durable<()>, LedgerError> {
        self.step(|| self.inner.store_grant(grant))
    }

    fn grant(&self, hash: Salt) -> Result<Option<GrantRow>, LedgerError> {
        self.inner.grant(hash)
    }

    fn grants(&self, payer: Address) -> Result<Vec<GrantUse>, LedgerError> {
        self.inner.grants(payer)
    }

    fn grant_marks(&self, payer: Address, signer: Address) -> Result<GrantMarks, LedgerError> {
        self.inner.grant_marks(payer, signer)
    }

    fn store_revocation(&self, revocation: &RevocationRow) -> Result<Durable<()>, LedgerError> {
        self.step(|| self.inner.store_revocation(revocation))
    }

    fn revocations(&self, payer: Address) -> Result<Vec<RevocationRow>, LedgerError> {
        self.inner.revocations(payer)
    }

    fn standing(&self, address: Address, token: TokenId) -> Result<Standing, LedgerError> {
        self.inner.standing(address, token)
    }

    fn standings(&self, token: TokenId) -> Result<Vec<Standing>, LedgerError> {
        self.inner.standings(token)
    }

    fn note_default(
        &self,
        address: Address,
        token: TokenId,
        amount: RawAmount,
        at: UnixMs,
    ) -> Result<Durable<Standing>, LedgerError> {
        self.step(|| self.inner.note_default(address, token, amount, at))
    }

    fn ban(
        &self,
        address: Address,
        token: TokenId,
        reason: &str,
        at: UnixMs,
    ) -> Result<Durable<Standing>, LedgerError> {
        self.step(|| self.inner.ban(address, token, reason, at))
    }

    fn forgive(&self, address: Address, token: TokenId) -> Result<Durable<Standing>, LedgerError> {
        self.step(|| self.inner.forgive(address, token))
    }

    fn all_equivocations(&self) -> Result<Vec<Equivocation>, LedgerError> {
        self.inner.all_equivocations()
    }

    fn flows(
        &self,
        account: Address,
        token: TokenId,
        kind: FlowKind,
    ) -> Result<Vec<FlowRow>, LedgerError> {
        self.inner.flows(account, token, kind)
    }

    fn watched(&self, account: Address, token: TokenId) -> Result<Option<WatchRow>, LedgerError> {
        self.inner.watched(account, token)
    }

    fn note_watched(
        &self,
        watch: &WatchRow,
        transfers: &[TransferRow],
    ) -> Result<Durable<u64>, LedgerError> {
        self.step(|| self.inner.note_watched(watch, transfers))
    }
}
