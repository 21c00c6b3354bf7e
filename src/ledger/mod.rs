//! Durable rows: receipts, payouts, attempts, and how far the solid chain was
//! read. See `DESIGN.md` beside this file.
//!
//! [`Ledger`] is the sum of the traits, one a subject, with their guarantees.

mod error;
mod parties;
mod payouts;
#[cfg(feature = "postgres")]
mod postgres;
mod records;
mod sql;
mod sqlite;
mod statements;
mod store;

#[cfg(feature = "postgres")]
pub use self::postgres::{PostgresLedger, PostgresUrl};
pub use error::LedgerError;
pub use parties::{
    Arrived, FlowKind, FlowRow, GrantMarks, GrantRow, GrantUse, Origin, RevocationRow, Standing,
    WatchRow,
};
pub use payouts::{
    AttemptEnd, AttemptRow, AttemptState, BatchCounts, BatchId, BatchRow, BlockRow, CursorRow,
    Foreign, LEARNING, OrderKey, OutgoingRow, PastOrigin, PastPayment, PayoutId, PayoutKind,
    PayoutRow, PayoutState, Recovery, TrailRow, Wanted, WitnessRow,
};
pub use records::{
    Adopted, EpochId, Equivocation, Pair, Position, ReceiptEntry, ReceiptFilter, ReceiptKind,
    ReceiptRow, Remainder, Stored, TransferRow,
};
pub use sqlite::{NumberSource, SqliteLedger};
pub use store::{
    AccountLease, Cell, ChainBound, ChainLog, Durable, EachRow, EpochLease, Ledger,
    MAX_EQUIVOCATIONS, MAX_KEPT_GRANTS, MAX_OPEN_EPOCHS, MAX_REVOCATIONS, Orders, Parties, Payouts,
    ReceiptBook, Receipts, Transfers, Upkeep,
};
