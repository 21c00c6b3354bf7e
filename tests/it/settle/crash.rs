//! A ledger whose process dies at a chosen write, just before or just after
//! the commit. Everything else it passes on.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use super::sim::Process;
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

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// At once.
    Killed,
    /// By itself, since a commit could not be confirmed.
    Unsure,
}

/// Ends at a write (counted in half writes: even before the commit, odd after).
pub(crate) struct CrashingLedger<L> {
    pub(crate) inner: L,
    end: Option<(u64, Ending)>,
    pub(crate) half_writes: AtomicU64,
    dead: Arc<AtomicBool>,
}

impl<L> CrashingLedger<L> {
    pub(crate) fn new(inner: L, end: Option<(u64, Ending)>, process: &Process) -> Self {
        Self {
            inner,
            end,
            half_writes: AtomicU64::new(0),
            dead: process.dead.clone(),
        }
    }

    fn step(&self) -> Result<(), LedgerError> {
        let step = self.half_writes.fetch_add(1, Ordering::SeqCst);
        if self.end.is_some_and(|(at, _)| at == step) {
            self.dead.store(true, Ordering::SeqCst);
        }
        self.alive()
    }

    fn alive(&self) -> Result<(), LedgerError> {
        if !self.dead.load(Ordering::SeqCst) {
            return Ok(());
        }
        let reason = "the process is gone".to_owned();
        Err(match self.end {
            Some((_, Ending::Unsure)) => LedgerError::CommitUnknown(reason),
            _ => LedgerError::Store(reason),
        })
    }
}

macro_rules! pass_on {
    ($store:ident { $($more:item)* }
     reads { $(fn $read:ident($($ra:ident: $rt:ty),*) -> $ro:ty;)* }
     writes { $(fn $write:ident($($wa:ident: $wt:ty),*) -> $wo:ty;)* }) => {
        impl<L: Ledger> $store for CrashingLedger<L> {
            $($more)*
            $(fn $read(&self, $($ra: $rt),*) -> Result<$ro, LedgerError> {
                self.alive()?;
                self.inner.$read($($ra),*)
            })*
            $(fn $write(&self, $($wa: $wt),*) -> Result<$wo, LedgerError> {
                self.step()?;
                let done = self.inner.$write($($wa),*)?;
                self.step()?;
                Ok(done)
            })*
        }
    };
}

pass_on! {
    Ledger {
        fn genesis(&self) -> BlockId {
            self.inner.genesis()
        }
    }
    reads {
        fn issued_of(pairs: &[Pair]) -> Vec<Durable<ReceiptRow>>;
        fn reserved(payer: Address, token: TokenId) -> RawAmount;
        fn received(pair: &Pair) -> Vec<Durable<ReceiptRow>>;
        fn equivocations(pair: &Pair) -> Vec<Equivocation>;
        fn receipts(filter: &ReceiptFilter, after: Option<&ReceiptEntry>, limit: u32)
            -> Vec<ReceiptEntry>;
        fn transferred_since(payer: Address, payee: Address, token: Token, since: UnixMs)
            -> RawAmount;
        fn transfers(account: Address, limit: u32) -> Vec<TransferRow>;
        fn outgoing(account: Address, after: u64, limit: u32) -> Vec<OutgoingRow>;
        fn position(pair: &Pair) -> Position;
        fn positions(payer: Address, token: TokenId) -> Vec<Position>;
        fn account_holder(account: Address) -> Option<String>;
        fn cursor(account: Address) -> Option<CursorRow>;
        fn recovery(account: Address) -> Recovery;
        fn witnesses() -> Vec<WitnessRow>;
        fn unfinished(payer: Address) -> Vec<BatchRow>;
        fn batches(payer: Address, limit: u32) -> Vec<BatchRow>;
        fn batch(batch: BatchId) -> Option<BatchRow>;
        fn range_end(payer: Address, payee: Address, token: Token) -> RawAmount;
        fn counts(batch: BatchId) -> BatchCounts;
        fn payouts(batch: BatchId) -> Vec<PayoutRow>;
        fn payouts_numbered(numbers: &[PayoutId]) -> Vec<PayoutRow>;
        fn attempts(batch: BatchId) -> Vec<Durable<AttemptRow>>;
        fn live_attempts(account: Address) -> Vec<Durable<AttemptRow>>;
        fn attempt(txid: TxId) -> Option<Durable<AttemptRow>>;
        fn attempts_of(txids: &[TxId]) -> Vec<Durable<AttemptRow>>;
        fn issued_since(payer: Address) -> Option<u64>;
    }
    writes {
        fn claim_epoch_under(pair: &Pair, since_block: u64, grant: Salt) -> EpochLease;
        fn issue_for(lease: &EpochLease, receipt: &ReceiptRow, remainder: Remainder,
            ceiling: Option<RawAmount>, origin: &Origin) -> Durable<ReceiptRow>;
        fn store_received_for(receipt: &ReceiptRow, origin: &Origin) -> Durable<Stored>;
        fn store_received_all(receipts: &[ReceiptRow]) -> Durable<Vec<Stored>>;
        fn store_evidence(receipts: &[ReceiptRow]) -> Durable<Vec<Stored>>;
        fn adopt(epochs: &[(Pair, EpochId)]) -> Durable<Adopted>;
        fn record_transfer(transfer: &TransferRow) -> Durable<bool>;
        fn lease_account(account: Address, holder: &str) -> AccountLease;
        fn bind_account(lease: &AccountLease, block: BlockId, time: UnixMs) -> Durable<CursorRow>;
        fn insert_batch(lease: &AccountLease, batch: &BatchRow, payouts: &[PayoutRow])
            -> Durable<BatchId>;
        fn insert_attempts(lease: &AccountLease, attempts: &[AttemptRow])
            -> Vec<Durable<AttemptRow>>;
        fn bring_back(lease: &AccountLease, signed: &[(TxId, Vec<u8>)])
            -> Vec<Durable<AttemptRow>>;
        fn mark_sent(lease: &AccountLease, answers: &[(TxId, String)]) -> ();
        fn mark_included(lease: &AccountLease, seen: &[(TxId, Option<u64>)]) -> ();
        fn apply_blocks(lease: &AccountLease, blocks: &[BlockRow]) -> Durable<CursorRow>;
        fn skip_to(lease: &AccountLease, block: BlockId, time: UnixMs) -> Durable<CursorRow>;
        fn adopt_transfer(txid: TxId, note: &str) -> Durable<bool>;
        fn mark_restored() -> ();
        fn begin_recovery(lease: &AccountLease, at: UnixMs) -> Durable<UnixMs>;
        fn end_recovery(lease: &AccountLease) -> ();
        fn trust_witnesses(lease: &AccountLease) -> ();
        fn extend_history(lease: &AccountLease, first: u64, transfers: &[TransferRow])
            -> Durable<CursorRow>;
        fn record_fees(fees: &[(TxId, Sun)]) -> ();
        fn fail_payout(lease: &AccountLease, payout: PayoutId, reason: &str) -> ();
    }
}

pass_on! {
    PartyStore {}
    reads {
        fn grant(hash: Salt) -> Option<GrantRow>;
        fn grants(payer: Address) -> Vec<GrantUse>;
        fn grant_marks(payer: Address, signer: Address) -> GrantMarks;
        fn revocations(payer: Address) -> Vec<RevocationRow>;
        fn standing(address: Address, token: TokenId) -> Standing;
        fn standings(token: TokenId) -> Vec<Standing>;
        fn all_equivocations() -> Vec<Equivocation>;
        fn flows(account: Address, token: TokenId, kind: FlowKind) -> Vec<FlowRow>;
        fn watched(account: Address, token: TokenId) -> Option<WatchRow>;
    }
    writes {
        fn store_grant(grant: &GrantRow) -> Durable<()>;
        fn store_revocation(revocation: &RevocationRow) -> Durable<()>;
        fn note_default(address: Address, token: TokenId, amount: RawAmount, at: UnixMs)
            -> Durable<Standing>;
        fn ban(address: Address, token: TokenId, reason: &str, at: UnixMs) -> Durable<Standing>;
        fn forgive(address: Address, token: TokenId) -> Durable<Standing>;
        fn note_watched(watch: &WatchRow, transfers: &[TransferRow]) -> Durable<u64>;
    }
}
