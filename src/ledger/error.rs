//! What can go wrong with a ledger, each in one sentence.

use std::path::PathBuf;

use crate::types::{Address, BlockId, RawAmount, Salt, TxId};

use super::records::{EpochId, Pair};

/// Why the ledger refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file cannot be opened.
    #[error("the ledger {path} cannot be opened: {reason}")]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// There is no ledger at this place.
    #[error("there is no ledger at {0} yet")]
    Absent(PathBuf),
    /// The file belongs to another chain.
    #[error(
        "the ledger {path} belongs to the chain with genesis block {found}, not {expected}: \
         use another --ledger or --home for this network"
    )]
    OtherChain {
        /// Which file.
        path: PathBuf,
        /// The chain it is bound to.
        found: BlockId,
        /// The chain asked for.
        expected: BlockId,
    },
    /// Written by a newer version of this program.
    #[error("the ledger {path} has schema {found}, and this version knows up to {known}: upgrade")]
    NewerSchema {
        /// Which file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// An integer that does not fit, or a sum of them.
    #[error("{what} is {value}, above the ledger's limit of 9223372036854775807")]
    TooLarge {
        /// Which value.
        what: &'static str,
        /// The value, as far as known.
        value: String,
    },
    /// A row that this program cannot have written.
    #[error("the ledger holds a damaged row ({0}): stop, keep the file, and go back to a copy")]
    Damaged(String),
    /// Every epoch of the pair is held by a living process.
    #[error(
        "{} epochs are open between {} and {}, all in use: stop a process that pays this payee",
        super::store::MAX_OPEN_EPOCHS, .0.payer, .0.payee
    )]
    TooManyEpochs(Pair),
    /// More than a spend grant allows.
    #[error(
        "{owed} raw units would be owed under the spend grant {hash}, which allows {allowed}: \
         make a new grant"
    )]
    GrantSpent {
        /// The grant's struct hash.
        hash: Salt,
        /// What would be owed under it: to one payee, or in all.
        owed: RawAmount,
        /// What it allows.
        allowed: RawAmount,
    },
    /// A grant that was taken back.
    #[error("the spend grant {hash} was revoked up to serial {serial}: nothing more is signed")]
    GrantRevoked {
        /// The grant's struct hash.
        hash: Salt,
        /// Up to which serial.
        serial: u64,
    },
    /// A payer with more grants or revocations than are kept.
    #[error(
        "{0} has too many spend grants that are valid or have unsettled receipts: no more of them are stored"
    )]
    TooManyGrants(Address),
    /// A receipt that does not continue its epoch.
    #[error("a receipt of epoch {epoch} with sequence {sequence} cannot follow: {reason}")]
    Sequence {
        /// The epoch.
        epoch: EpochId,
        /// The receipt's sequence.
        sequence: u64,
        /// What does not fit.
        reason: &'static str,
    },
    /// The payer would owe more than it may.
    #[error(
        "{payer} would owe {reserved} raw units unsettled, more than the {ceiling} it can cover"
    )]
    OverCeiling {
        /// Who pays.
        payer: Address,
        /// What it would owe.
        reserved: RawAmount,
        /// What it may owe.
        ceiling: RawAmount,
    },
    /// Evidence of an epoch in which a living process issues.
    #[error(
        "epoch {0} is in use by a running process of this ledger: stop it before adopting into it"
    )]
    EpochInUse(EpochId),
    /// What was held exclusively is held by another now.
    #[error("the right to write for {0} was lost to another process")]
    LeaseLost(Address),
    /// Another process signs for the account.
    #[error("payouts of {account} are being signed by {holder}: wait for it or stop it")]
    AccountHeld {
        /// The account.
        account: Address,
        /// As it named itself.
        holder: String,
    },
    /// A copy that nobody has recovered.
    #[error(
        "this ledger was restored from a copy and may be behind what {0} has signed since: \
         nothing is signed from it; use the original, or run `settle recover`"
    )]
    Restored(Address),
    /// The account was never bound.
    #[error("{0} was never bound to this ledger")]
    NotBound(Address),
    /// A range that overlaps another or leaves a gap.
    #[error(
        "a payout from {payer} to {payee} claims the range from {from}, but the paid range ends at {end}: \
         plan again"
    )]
    Range {
        /// Who pays.
        payer: Address,
        /// Who is paid.
        payee: Address,
        /// Where the payout's range begins.
        from: RawAmount,
        /// Where it must begin.
        end: RawAmount,
    },
    /// An attempt of the payout may still pay.
    #[error("transaction {0} may still pay, so nothing may take its place")]
    AttemptLive(TxId),
    /// No such row.
    #[error("{0} is not in the ledger")]
    Missing(String),
    /// Blocks that do not follow the last one read.
    #[error("block {found} does not follow block {last}, the last one read")]
    NotLinked {
        /// The block offered.
        found: BlockId,
        /// The last one read.
        last: BlockId,
    },
    /// An end of an attempt that the blocks read do not prove.
    #[error("the end of transaction {txid} is not proven: {reason}")]
    NotProven {
        /// The attempt.
        txid: TxId,
        /// What is lacking.
        reason: &'static str,
    },
    /// Blocks by a witness that this ledger has never seen, and none of a known
    /// one on top.
    #[error(
        "block {block} is by {witness}, whom this ledger has never seen, and no known witness has \
         built on it: the node may be inventing a chain; ask another node, or, if the chain \
         really elected nobody but strangers, run `settle recover --trust-witnesses`"
    )]
    Strangers {
        /// The block.
        block: BlockId,
        /// Who made it.
        witness: Address,
    },
    /// The same id was recorded with other content.
    #[error("{0} was recorded before with other content")]
    Contradiction(String),
    /// Another process wrote for longer than we wait.
    #[error("the ledger was busy for ten seconds: another process is writing")]
    Busy,
    /// No space left.
    #[error("the disk is full: the ledger could not be written, and nothing was changed")]
    DiskFull,
    /// A commit that may or may not have happened; the handle refuses all
    /// further work.
    #[error(
        "the ledger could not confirm a write ({0}): it may have happened; end this process and \
         look again"
    )]
    CommitUnknown(String),
    /// What was read could not be written out.
    #[error("the ledger's rows could not be written: {0}")]
    Output(#[from] std::io::Error),
    /// Anything else that the store says.
    #[error("the ledger failed: {0}")]
    Store(String),
}
