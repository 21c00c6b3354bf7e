//! Durable rows: receipts, payouts, attempts, and how far the solid chain was
//! read. See `DESIGN.md` beside this file.
//!
//! [`Ledger`] is the trait with its guarantees.

mod error;
mod parties;
mod party_store;
mod payouts;
#[cfg(feature = "postgres")]
mod postgres;
mod records;
mod sql;
mod sqlite;
mod statements;
mod store;
mod upkeep;

#[cfg(feature = "postgres")]
pub use self::postgres::{PostgresLedger, PostgresUrl};
pub use error::LedgerError;
pub use parties::{
    FlowKind, FlowRow, GrantMarks, GrantRow, GrantUse, Origin, RevocationRow, Standing, WatchRow,
};
pub use party_store::{MAX_GRANTS, MAX_REVOCATIONS, PartyStore};
pub use payouts::{
    AttemptEnd, AttemptRow, AttemptState, BatchCounts, BatchId, BatchRow, BlockRow, CursorRow,
    Foreign, LEARNING, OutgoingRow, PayoutId, PayoutKind, PayoutRow, PayoutState, Recovery,
    WitnessRow,
};
pub use records::{
    Adopted, EpochId, Equivocation, Pair, Position, ReceiptEntry, ReceiptFilter, ReceiptKind,
    ReceiptRow, Remainder, Stored, TransferRow,
};
pub use sqlite::SqliteLedger;
pub use store::{AccountLease, Durable, EpochLease, Ledger, MAX_EQUIVOCATIONS, MAX_OPEN_EPOCHS};
pub use upkeep::{Cell, EachRow, Upkeep};
