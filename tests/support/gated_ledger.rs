//! A ledger with a gate before each read and around each write: tests decide
//! there what fails, and when.

use std::ops::Deref;

use seedrail::{
    ledger::{
        AccountLease, Adopted, Arrived, AttemptRow, BatchCounts, BatchId, BatchRow, BlockRow,
        ChainBound, ChainLog, CursorRow, Durable, EpochId, EpochLease, Equivocation, FlowKind,
        FlowRow, GrantMarks, GrantRow, GrantUse, LedgerError, OrderKey, Orders, Origin,
        OutgoingRow, Pair, Parties, PastPayment, PayoutId, PayoutRow, Payouts, Position,
        ReceiptEntry, ReceiptFilter, ReceiptRow, Receipts, Recovery, Remainder, RevocationRow,
        Standing, Stored, TrailRow, TransferRow, Transfers, Wanted, WatchRow, WitnessRow,
    },
    types::{Address, BlockId, RawAmount, Salt, Sun, Token, TokenId, TxId, UnixMs},
};

/// What stands before a ledger.
pub(crate) trait Gate: Send + Sync {
    /// Whether a read may go on.
    fn read(&self) -> Result<(), LedgerError>;

    /// Makes the write, or not.
    fn write<T>(&self, write: impl FnOnce() -> Result<T, LedgerError>) -> Result<T, LedgerError>;
}

/// Passes everything on through its gate. It has the subjects that the ledger
/// behind it has.
pub(crate) struct Gated<L, G> {
    pub(crate) ledger: L,
    pub(crate) gate: G,
}

impl<L: Deref + Send + Sync, G: Gate> ChainBound for Gated<L, G>
where
    L::Target: ChainBound,
{
    fn genesis(&self) -> BlockId {
        self.ledger.genesis()
    }
}

macro_rules! pass_on {
    ($subject:ident
     reads { $(fn $read:ident($($ra:ident: $rt:ty),*) -> $ro:ty;)* }
     writes { $(fn $write:ident($($wa:ident: $wt:ty),*) -> $wo:ty;)* }) => {
        impl<L: Deref + Send + Sync, G: Gate> $subject for Gated<L, G>
        where
            L::Target: $subject,
        {
            $(fn $read(&self, $($ra: $rt),*) -> Result<$ro, LedgerError> {
                self.gate.read()?;
                self.ledger.$read($($ra),*)
            })*
            $(fn $write(&self, $($wa: $wt),*) -> Result<$wo, LedgerError> {
                self.gate.write(|| self.ledger.$write($($wa),*))
            })*
        }
    };
}

pass_on! {
    Receipts
    reads {
        fn issued_of(pairs: &[Pair]) -> Vec<Durable<ReceiptRow>>;
        fn reserved(payer: Address, token: TokenId) -> RawAmount;
        fn received(pair: &Pair) -> Vec<Durable<ReceiptRow>>;
        fn equivocations(pair: &Pair) -> Vec<Equivocation>;
        fn all_equivocations() -> Vec<Equivocation>;
        fn receipts(filter: &ReceiptFilter, after: Option<&ReceiptEntry>, limit: u32)
            -> Vec<ReceiptEntry>;
        fn position(pair: &Pair) -> Position;
        fn positions(payer: Address, token: TokenId) -> Vec<Position>;
        fn issued_since(payer: Address) -> Option<u64>;
    }
    writes {
        fn claim_epoch_under(pair: &Pair, since_block: u64, grant: Salt) -> EpochLease;
        fn issue_for(lease: &EpochLease, receipt: &ReceiptRow, remainder: Remainder,
            ceiling: Option<RawAmount>, origin: &Origin) -> Durable<ReceiptRow>;
        fn store_received_for(receipt: &ReceiptRow, origin: &Origin) -> Durable<Stored>;
        fn store_arrived(arrived: &[Arrived], now_secs: u64) -> Durable<Vec<Stored>>;
        fn store_received_all(receipts: &[ReceiptRow]) -> Durable<Vec<Stored>>;
        fn store_evidence(receipts: &[ReceiptRow]) -> Durable<Vec<Stored>>;
        fn adopt(epochs: &[(Pair, EpochId)]) -> Durable<Adopted>;
    }
}

pass_on! {
    Payouts
    reads {
        fn account_holder(account: Address) -> Option<String>;
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
    }
    writes {
        fn lease_account(account: Address, holder: &str) -> AccountLease;
        fn insert_batch(lease: &AccountLease, batch: &BatchRow, payouts: &[PayoutRow])
            -> Durable<BatchId>;
        fn insert_attempts(lease: &AccountLease, attempts: &[AttemptRow])
            -> Vec<Durable<AttemptRow>>;
        fn bring_back(lease: &AccountLease, signed: &[(TxId, Vec<u8>)])
            -> Vec<Durable<AttemptRow>>;
        fn mark_sent(lease: &AccountLease, answers: &[(TxId, String)]) -> ();
        fn mark_included(lease: &AccountLease, seen: &[(TxId, Option<u64>)]) -> ();
        fn record_fees(fees: &[(TxId, Sun)]) -> ();
        fn fail_payout(lease: &AccountLease, payout: PayoutId, reason: &str) -> ();
    }
}

pass_on! {
    Orders
    reads {
        fn past_payments(payer: Address, wanted: &[Wanted], since: UnixMs) -> Vec<PastPayment>;
        fn adopted_as(payer: Address, keys: &[OrderKey]) -> Vec<(OrderKey, TransferRow)>;
        fn unpriced(payer: Address, limit: u32) -> Vec<(u64, TxId)>;
        fn transfers_of(txids: &[TxId]) -> Vec<TransferRow>;
    }
    writes {
        fn adopt_as(txid: TxId, key: &OrderKey, note: &str) -> Durable<bool>;
        fn fail_payouts(lease: &AccountLease, payouts: &[(PayoutId, String)]) -> ();
    }
}

pass_on! {
    ChainLog
    reads {
        fn cursor(account: Address) -> Option<CursorRow>;
        fn recovery(account: Address) -> Recovery;
        fn witnesses() -> Vec<WitnessRow>;
        fn trail(account: Address) -> Vec<TrailRow>;
    }
    writes {
        fn bind_account(lease: &AccountLease, block: BlockId, time: UnixMs) -> Durable<CursorRow>;
        fn apply_blocks(lease: &AccountLease, blocks: &[BlockRow]) -> Durable<CursorRow>;
        fn skip_to(lease: &AccountLease, headers: &[BlockRow]) -> Durable<CursorRow>;
        fn step_back(lease: &AccountLease, to: TrailRow, following: &[BlockRow])
            -> Durable<Option<CursorRow>>;
        fn extend_history(lease: &AccountLease, first: u64, transfers: &[TransferRow])
            -> Durable<CursorRow>;
        fn mark_restored() -> ();
        fn begin_recovery(lease: &AccountLease, at: UnixMs) -> Durable<UnixMs>;
        fn end_recovery(lease: &AccountLease) -> ();
        fn learn_witnesses(blocks: &[BlockRow]) -> Durable<usize>;
        fn trust_witnesses(lease: &AccountLease) -> ();
    }
}

pass_on! {
    Transfers
    reads {
        fn transferred_since(payer: Address, payee: Address, token: Token, since: UnixMs)
            -> RawAmount;
        fn transfers(account: Address, limit: u32) -> Vec<TransferRow>;
        fn outgoing(account: Address, after: u64, limit: u32) -> Vec<OutgoingRow>;
        fn watched(account: Address, token: TokenId) -> Option<WatchRow>;
    }
    writes {
        fn record_transfer(transfer: &TransferRow) -> Durable<bool>;
        fn adopt_transfer(txid: TxId, note: &str) -> Durable<bool>;
        fn watch_blocks(account: Address, token: TokenId, from: u64, blocks: &[BlockRow])
            -> Durable<Option<WatchRow>>;
    }
}

pass_on! {
    Parties
    reads {
        fn grant(hash: Salt) -> Option<GrantRow>;
        fn grant_left(hash: Salt, payee: Option<Address>) -> RawAmount;
        fn grants(payer: Address) -> Vec<GrantUse>;
        fn grant_marks(payer: Address, signer: Address) -> GrantMarks;
        fn revocations(payer: Address) -> Vec<RevocationRow>;
        fn standing(address: Address, token: TokenId) -> Standing;
        fn standings(token: TokenId) -> Vec<Standing>;
        fn flows(account: Address, token: TokenId, kind: FlowKind) -> Vec<FlowRow>;
    }
    writes {
        fn store_grant(grant: &GrantRow, now_secs: u64) -> Durable<()>;
        fn store_renewal(grant: &GrantRow, renews: Salt, now_secs: u64) -> Durable<()>;
        fn store_revocation(revocation: &RevocationRow, now_secs: u64) -> Durable<()>;
        fn note_default(address: Address, token: TokenId, amount: RawAmount, at: UnixMs)
            -> Durable<Standing>;
        fn note_written_off(address: Address, token: TokenId, amount: RawAmount)
            -> Durable<Standing>;
        fn ban(address: Address, token: TokenId, reason: &str, at: UnixMs) -> Durable<Standing>;
        fn forgive(address: Address, token: TokenId) -> Durable<Standing>;
    }
}
