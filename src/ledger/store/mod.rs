//! The traits that every store implements, one a subject, with what they
//! guarantee.

mod chain_log;
mod orders;
mod parties;
mod payouts;
mod receipts;
mod transfers;
mod upkeep;

use std::fmt;

use super::{EpochId, Pair, ReceiptRow, Remainder};
use crate::types::{Address, BlockId};

pub use self::{
    chain_log::ChainLog,
    orders::Orders,
    parties::{MAX_KEPT_GRANTS, MAX_REVOCATIONS, Parties},
    payouts::Payouts,
    receipts::Receipts,
    transfers::Transfers,
    upkeep::{Cell, EachRow, Upkeep},
};

/// A value that is on disk: made only by a commit that succeeded, or by
/// reading back what was committed. What is sent to a peer or a node must
/// come out of one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durable<T>(T);

impl<T> Durable<T> {
    /// Only stores call this, after a commit.
    pub(in crate::ledger) fn committed(value: T) -> Self {
        Self(value)
    }

    /// The value.
    pub fn get(&self) -> &T {
        &self.0
    }

    /// The value, no longer marked.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> AsRef<T> for Durable<T> {
    fn as_ref(&self) -> &T {
        &self.0
    }
}

/// What holds something exclusively until dropped or until its process dies.
pub(in crate::ledger) type Guard = Box<dyn Send + Sync>;

/// An epoch that this holder alone may issue receipts in. Free again when
/// dropped, or when its process dies.
pub struct EpochLease {
    /// Who owes whom.
    pub pair: Pair,
    /// The series.
    pub epoch: EpochId,
    /// The payer's solid head when the epoch began.
    pub since_block: u64,
    /// The newest receipt of the epoch, if there is one.
    pub last: Option<ReceiptRow>,
    /// What the accumulator kept beside it.
    pub remainder: Remainder,
    pub(in crate::ledger) _guard: Guard,
}

impl fmt::Debug for EpochLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EpochLease")
            .field("pair", &self.pair)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

/// The right to sign payouts of one account. At most one is valid at a time;
/// `fence` grows with every new one, and a write under an old one is refused.
pub struct AccountLease {
    /// The account.
    pub account: Address,
    /// This holder's number.
    pub fence: i64,
    pub(in crate::ledger) _guard: Guard,
}

impl fmt::Debug for AccountLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountLease")
            .field("account", &self.account)
            .field("fence", &self.fence)
            .finish_non_exhaustive()
    }
}

/// A store that is bound to one chain.
pub trait ChainBound: Send + Sync {
    /// The id of the chain's genesis block.
    fn genesis(&self) -> BlockId;
}

/// The durable rows of one chain.
///
/// # What every store guarantees
/// - A method that writes is one transaction: all of it happened, or none.
///   When it returns `Ok`, it is on disk (fsynced), not merely visible.
/// - [`LedgerError::CommitUnknown`](crate::ledger::LedgerError::CommitUnknown) means that a commit may or may not have
///   happened: read back before acting. Every write may be repeated with the
///   same rows, and then changes nothing.
/// - Reads see committed rows only, one moment of the ledger per call.
/// - Several processes may use one ledger at once; writes wait for each other
///   for up to ten seconds, then are refused with [`LedgerError::Busy`](crate::ledger::LedgerError::Busy).
/// - No integer above `i64::MAX`, no negative amount, ever gets in or out.
/// - The ledger is bound to one genesis block at its creation.
///
/// Calls block for a short transaction: in async code, use `spawn_blocking`.
pub trait Ledger: ReceiptBook + Payouts + Orders + ChainLog {}

impl<S: ReceiptBook + Payouts + Orders + ChainLog + ?Sized> Ledger for S {}

/// The part of a ledger that the exchange of receipts uses: receipts, grants and
/// standings of other parties, and the transfers that settle a debt.
pub trait ReceiptBook: Receipts + Transfers + Parties {}

impl<S: Receipts + Transfers + Parties + ?Sized> ReceiptBook for S {}

/// How many epochs of a pair may be open at once: enough for the processes of
/// a home, few enough to send whole in a `sync`.
pub const MAX_OPEN_EPOCHS: usize = 8;

/// How many contradictions are kept for a pair: one is proof enough; a peer
/// must not fill the disk with more.
pub const MAX_EQUIVOCATIONS: usize = 16;
