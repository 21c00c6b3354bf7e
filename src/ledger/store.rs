//! The trait every store implements, with what it guarantees.

use std::fmt;

use crate::types::{Address, BlockId, RawAmount, Salt, Sun, Token, TxId, UnixMs};

use super::{
    error::LedgerError,
    parties::Origin,
    party_store::PartyStore,
    payouts::{
        AttemptRow, BatchCounts, BatchId, BatchRow, BlockRow, CursorRow, OutgoingRow, PayoutId,
        PayoutRow, Recovery, WitnessRow,
    },
    records::{
        Adopted, EpochId, Equivocation, Pair, Position, ReceiptEntry, ReceiptFilter, ReceiptRow,
        Remainder, Stored, TransferRow,
    },
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

/// The durable rows of one chain.
///
/// # What every store guarantees
/// - A method that writes is one transaction: all of it happened, or none.
///   When it returns `Ok`, it is on disk (fsynced), not merely visible.
/// - [`LedgerError::CommitUnknown`] means that a commit may or may not have
///   happened: read back before acting. Every write may be repeated with the
///   same rows, and then changes nothing.
/// - Reads see committed rows only, one moment of the ledger per call.
/// - Several processes may use one ledger at once; writes wait for each other
///   for up to ten seconds, then are refused with [`LedgerError::Busy`].
/// - No integer above `i64::MAX`, no negative amount, ever gets in or out.
/// - The ledger is bound to one genesis block at its creation.
///
/// Calls block for a short transaction: in async code, use `spawn_blocking`.
pub trait Ledger: PartyStore + Send + Sync {
    /// The chain this ledger is bound to.
    fn genesis(&self) -> BlockId;

    // ---- receipts that we issue ----

    /// Takes a free epoch of the pair for this holder alone, or opens a new
    /// one with `since_block`, durably. A free one is an epoch of our own log
    /// that no living holder has. Receipts of an epoch are all under one grant
    /// (zero: none), since a grant bounds what an epoch comes to; free epochs of
    /// other grants are closed on the way.
    ///
    /// # Errors
    /// [`LedgerError::TooManyEpochs`] when [`MAX_OPEN_EPOCHS`] are all held.
    fn claim_epoch_under(
        &self,
        pair: &Pair,
        since_block: u64,
        grant: Salt,
    ) -> Result<EpochLease, LedgerError>;

    /// [`claim_epoch_under`](Self::claim_epoch_under) no grant.
    ///
    /// # Errors
    /// The same.
    fn claim_epoch(&self, pair: &Pair, since_block: u64) -> Result<EpochLease, LedgerError> {
        self.claim_epoch_under(pair, since_block, Salt::ZERO)
    }

    /// Stores a receipt of our own with the accumulator's remainder, before
    /// anybody may see it: strictly higher sequence, amount and bytes not
    /// lower, pair, epoch and since block the lease's. Storing the newest once
    /// more changes nothing.
    ///
    /// With `ceiling`, refuses when what the payer has issued and not settled
    /// in this token, over all payees, would exceed it.
    ///
    /// A receipt under a grant is refused unless the grant is stored, and what
    /// was issued under it, to this payee and in all, stays within it.
    ///
    /// # Errors
    /// [`LedgerError::Sequence`], [`LedgerError::OverCeiling`],
    /// [`LedgerError::GrantSpent`], [`LedgerError::GrantRevoked`],
    /// [`LedgerError::LeaseLost`].
    fn issue_for(
        &self,
        lease: &EpochLease,
        receipt: &ReceiptRow,
        remainder: Remainder,
        ceiling: Option<RawAmount>,
        origin: &Origin,
    ) -> Result<Durable<ReceiptRow>, LedgerError>;

    /// [`issue_for`](Self::issue_for) nothing that is known.
    ///
    /// # Errors
    /// The same.
    fn issue(
        &self,
        lease: &EpochLease,
        receipt: &ReceiptRow,
        remainder: Remainder,
        ceiling: Option<RawAmount>,
    ) -> Result<Durable<ReceiptRow>, LedgerError> {
        self.issue_for(lease, receipt, remainder, ceiling, &Origin::default())
    }

    /// The newest receipt of each epoch of our own log, adopted ones included.
    ///
    /// # Errors
    /// The store's.
    fn issued(&self, pair: &Pair) -> Result<Vec<Durable<ReceiptRow>>, LedgerError> {
        self.issued_of(&[*pair])
    }

    /// [`issued`](Self::issued) of many pairs at once, each pair's by epoch.
    ///
    /// # Errors
    /// The store's.
    fn issued_of(&self, pairs: &[Pair]) -> Result<Vec<Durable<ReceiptRow>>, LedgerError>;

    /// What the payer issued and did not settle, over all payees: to be kept
    /// below its balance. Debts of others to it are not subtracted.
    ///
    /// # Errors
    /// The store's.
    fn reserved(
        &self,
        payer: Address,
        token: crate::types::TokenId,
    ) -> Result<RawAmount, LedgerError>;

    // ---- receipts that others sign ----

    /// Stores a verified receipt of a payer, before it is acknowledged.
    ///
    /// # Errors
    /// The store's. Misbehaviour is in [`Stored`].
    fn store_received_for(
        &self,
        receipt: &ReceiptRow,
        origin: &Origin,
    ) -> Result<Durable<Stored>, LedgerError>;

    /// [`store_received_for`](Self::store_received_for) nothing that is known.
    ///
    /// # Errors
    /// The same.
    fn store_received(&self, receipt: &ReceiptRow) -> Result<Durable<Stored>, LedgerError> {
        self.store_received_for(receipt, &Origin::default())
    }

    /// Stores verified receipts of payers, in one transaction: as
    /// [`store_received`](Self::store_received) of each, one after the other.
    ///
    /// # Errors
    /// The same; then none was stored.
    fn store_received_all(
        &self,
        receipts: &[ReceiptRow],
    ) -> Result<Durable<Vec<Stored>>, LedgerError>;

    /// The newest received receipt of each epoch.
    ///
    /// # Errors
    /// The store's.
    fn received(&self, pair: &Pair) -> Result<Vec<Durable<ReceiptRow>>, LedgerError>;

    /// The contradictions kept for a pair, oldest first, at most
    /// [`MAX_EQUIVOCATIONS`].
    ///
    /// # Errors
    /// The store's.
    fn equivocations(&self, pair: &Pair) -> Result<Vec<Equivocation>, LedgerError>;

    // ---- our signature from elsewhere ----

    /// Stores verified receipts with our own signature that this ledger's log
    /// did not make, all of them or none. [`Stored::Unchanged`] for one that the
    /// log has, or newer.
    ///
    /// # Errors
    /// The store's.
    fn store_evidence(&self, receipts: &[ReceiptRow]) -> Result<Durable<Vec<Stored>>, LedgerError>;

    /// Makes evidence part of our log, all of these or none: from now on it
    /// is paid. Epochs without evidence are passed over. What a grant does not
    /// allow is refused: nothing above its total is ever paid.
    ///
    /// # Errors
    /// [`LedgerError::EpochInUse`] when a living process issues in one,
    /// [`LedgerError::GrantSpent`], [`LedgerError::Missing`] for a grant that is
    /// not stored.
    fn adopt(&self, epochs: &[(Pair, EpochId)]) -> Result<Durable<Adopted>, LedgerError>;

    // ---- lists ----

    /// A page of receipts in a fixed order, after `after` (the last one of the
    /// page before), at most `limit`.
    ///
    /// # Errors
    /// The store's.
    fn receipts(
        &self,
        filter: &ReceiptFilter,
        after: Option<&ReceiptEntry>,
        limit: u32,
    ) -> Result<Vec<ReceiptEntry>, LedgerError>;

    // ---- transfers seen on the solid chain ----

    /// Records a transfer that the caller read from its own node's solid
    /// chain; `false` if the transaction was recorded before.
    ///
    /// # Errors
    /// [`LedgerError::Contradiction`] when it was recorded differently.
    fn record_transfer(&self, transfer: &TransferRow) -> Result<Durable<bool>, LedgerError>;

    /// Σ recorded transfers `payer` → `payee` in `token` whose block's time is
    /// at or after `since`.
    ///
    /// # Errors
    /// The store's.
    fn transferred_since(
        &self,
        payer: Address,
        payee: Address,
        token: Token,
        since: UnixMs,
    ) -> Result<RawAmount, LedgerError>;

    /// The newest recorded transfers with `account` on either side, newest
    /// first, at most `limit`.
    ///
    /// # Errors
    /// The store's.
    fn transfers(&self, account: Address, limit: u32) -> Result<Vec<TransferRow>, LedgerError>;

    /// The recorded transfers that `account` made in blocks after `after`,
    /// newest first, at most `limit`.
    ///
    /// # Errors
    /// The store's.
    fn outgoing(
        &self,
        account: Address,
        after: u64,
        limit: u32,
    ) -> Result<Vec<OutgoingRow>, LedgerError>;

    /// Everything between the two, seen from `pair.payer`.
    ///
    /// # Errors
    /// The store's.
    fn position(&self, pair: &Pair) -> Result<Position, LedgerError>;

    /// The positions of every pair for which `payer` has issued receipts, or
    /// holds receipts of the other side, ordered by payee.
    ///
    /// # Errors
    /// The store's.
    fn positions(
        &self,
        payer: Address,
        token: crate::types::TokenId,
    ) -> Result<Vec<Position>, LedgerError>;

    // ---- payouts ----

    /// Takes the right to sign payouts of `account`; `holder` is shown to
    /// others who ask.
    ///
    /// # Errors
    /// [`LedgerError::AccountHeld`] while a living process has it.
    fn lease_account(&self, account: Address, holder: &str) -> Result<AccountLease, LedgerError>;

    /// Who signs for the account right now, as it named itself.
    ///
    /// # Errors
    /// The store's.
    fn account_holder(&self, account: Address) -> Result<Option<String>, LedgerError>;

    /// Binds the account to this ledger at a solid block, once; afterwards
    /// returns what is there.
    ///
    /// # Errors
    /// The store's.
    fn bind_account(
        &self,
        lease: &AccountLease,
        block: BlockId,
        time: UnixMs,
    ) -> Result<Durable<CursorRow>, LedgerError>;

    /// How far the solid chain was read for the account; `None` if never bound.
    ///
    /// # Errors
    /// The store's.
    fn cursor(&self, account: Address) -> Result<Option<CursorRow>, LedgerError>;

    /// Stores a batch and its payouts, all planned. Each range must begin
    /// where the pair's live and confirmed ranges end.
    ///
    /// # Errors
    /// [`LedgerError::Range`] for a range that overlaps or leaves a gap,
    /// [`LedgerError::LeaseLost`].
    fn insert_batch(
        &self,
        lease: &AccountLease,
        batch: &BatchRow,
        payouts: &[PayoutRow],
    ) -> Result<Durable<BatchId>, LedgerError>;

    /// Stores attempts, signed or offered, all of them or none, before any is sent
    /// or shown to anybody. Their payouts are planned, or in flight with every attempt dead.
    ///
    /// # Errors
    /// [`LedgerError::AttemptLive`] when a payout has an attempt that may
    /// still pay, [`LedgerError::LeaseLost`].
    fn insert_attempts(
        &self,
        lease: &AccountLease,
        attempts: &[AttemptRow],
    ) -> Result<Vec<Durable<AttemptRow>>, LedgerError>;

    /// Stores the signed bytes of offered attempts, each named once, and returns
    /// those that were still offered; the others are left as they are. That the
    /// bytes are those of the same transaction is the caller's to know.
    ///
    /// # Errors
    /// [`LedgerError::Missing`] for one that is not in the ledger: then none is
    /// changed; [`LedgerError::LeaseLost`].
    fn bring_back(
        &self,
        lease: &AccountLease,
        signed: &[(TxId, Vec<u8>)],
    ) -> Result<Vec<Durable<AttemptRow>>, LedgerError>;

    /// Notes that live attempts were handed to a node, with its answer in
    /// words. Ended and offered ones are left as they are.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`].
    fn mark_sent(
        &self,
        lease: &AccountLease,
        answers: &[(TxId, String)],
    ) -> Result<(), LedgerError>;

    /// Notes in which unsolid block live attempts are now (`None`: in none,
    /// a fork took it).
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`].
    fn mark_included(
        &self,
        lease: &AccountLease,
        seen: &[(TxId, Option<u64>)],
    ) -> Result<(), LedgerError>;

    /// Takes in consecutive solid blocks: records their transfers, ends
    /// attempts and confirms payouts, moves the cursor, all or nothing. A
    /// transfer payer → payee that is no payout of ours takes a range of its
    /// own.
    ///
    /// A node can invent blocks, but not the signatures of witnesses that are known:
    /// blocks by others are taken in only together with one of a known witness that
    /// was built on them, which makes them known. What comes after the last such
    /// block is left for later.
    ///
    /// # Errors
    /// [`LedgerError::NotLinked`] when the first does not follow the cursor;
    /// [`LedgerError::NotProven`] when an end is not proven by what was read;
    /// [`LedgerError::Strangers`] when none of the blocks is by a known witness.
    fn apply_blocks(
        &self,
        lease: &AccountLease,
        blocks: &[BlockRow],
    ) -> Result<Durable<CursorRow>, LedgerError>;

    /// Moves the cursor forward over blocks that are not read. Only for an
    /// account with no live attempt.
    ///
    /// # Errors
    /// [`LedgerError::AttemptLive`], [`LedgerError::NotLinked`] (backwards).
    fn skip_to(
        &self,
        lease: &AccountLease,
        block: BlockId,
        time: UnixMs,
    ) -> Result<Durable<CursorRow>, LedgerError>;

    /// Takes in what the account sent in the blocks after `first` and up to the
    /// one it was bound at, all of it: each takes a range of its own.
    ///
    /// # Errors
    /// [`LedgerError::NotBound`], [`LedgerError::LeaseLost`],
    /// [`LedgerError::Contradiction`].
    fn extend_history(
        &self,
        lease: &AccountLease,
        first: u64,
        transfers: &[TransferRow],
    ) -> Result<Durable<CursorRow>, LedgerError>;

    /// The lowest since block of the receipts that the payer has issued.
    ///
    /// # Errors
    /// The store's.
    fn issued_since(&self, payer: Address) -> Result<Option<u64>, LedgerError>;

    /// Says of a transfer made outside of this ledger that the user knows it:
    /// the audit no longer tells it. `false` if that was said before.
    ///
    /// # Errors
    /// [`LedgerError::Missing`] when no such transfer was seen,
    /// [`LedgerError::Contradiction`] when it is a payout of ours.
    fn adopt_transfer(&self, txid: TxId, note: &str) -> Result<Durable<bool>, LedgerError>;

    // ---- copies of the ledger, and other machines ----

    /// Whether this ledger may be behind the chain and behind what its peers
    /// hold, for this account.
    ///
    /// # Errors
    /// The store's.
    fn recovery(&self, account: Address) -> Result<Recovery, LedgerError>;

    /// Marks this ledger as restored, as [a copy](Recovery) is from the start:
    /// every account needs to be recovered before it signs.
    ///
    /// # Errors
    /// The store's.
    fn mark_restored(&self) -> Result<(), LedgerError>;

    /// Begins the account's recovery at a time of the solid chain; afterwards
    /// returns the time it began first.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`].
    fn begin_recovery(
        &self,
        lease: &AccountLease,
        at: UnixMs,
    ) -> Result<Durable<UnixMs>, LedgerError>;

    /// Ends it: the account may sign again. Its open epochs are closed, since
    /// peers may hold newer receipts of them than this ledger.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`].
    fn end_recovery(&self, lease: &AccountLease) -> Result<(), LedgerError>;

    /// The witnesses that were seen to make solid blocks, by address.
    ///
    /// # Errors
    /// The store's.
    fn witnesses(&self) -> Result<Vec<WitnessRow>, LedgerError>;

    /// Believes the witnesses of the next [`LEARNING`](super::LEARNING) blocks, as
    /// a new ledger does.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`].
    fn trust_witnesses(&self, lease: &AccountLease) -> Result<(), LedgerError>;

    /// Notes what solid attempts burnt.
    ///
    /// # Errors
    /// The store's.
    fn record_fees(&self, fees: &[(TxId, Sun)]) -> Result<(), LedgerError>;

    /// Gives a payout up and its range back; higher ranges of the pair move
    /// down, so that they stay contiguous.
    ///
    /// # Errors
    /// [`LedgerError::AttemptLive`] unless every attempt is dead.
    fn fail_payout(
        &self,
        lease: &AccountLease,
        payout: PayoutId,
        reason: &str,
    ) -> Result<(), LedgerError>;

    /// The account's batches that have payouts planned or in flight, oldest
    /// first.
    ///
    /// # Errors
    /// The store's.
    fn unfinished(&self, payer: Address) -> Result<Vec<BatchRow>, LedgerError>;

    /// The account's batches, newest first, at most `limit`.
    ///
    /// # Errors
    /// The store's.
    fn batches(&self, payer: Address, limit: u32) -> Result<Vec<BatchRow>, LedgerError>;

    /// One batch.
    ///
    /// # Errors
    /// The store's.
    fn batch(&self, batch: BatchId) -> Result<Option<BatchRow>, LedgerError>;

    /// Where the pair's live and confirmed ranges end: the next begins here.
    ///
    /// # Errors
    /// The store's.
    fn range_end(
        &self,
        payer: Address,
        payee: Address,
        token: Token,
    ) -> Result<RawAmount, LedgerError>;

    /// How a batch stands.
    ///
    /// # Errors
    /// The store's.
    fn counts(&self, batch: BatchId) -> Result<BatchCounts, LedgerError>;

    /// A batch's payouts, in the order they were planned.
    ///
    /// # Errors
    /// The store's.
    fn payouts(&self, batch: BatchId) -> Result<Vec<PayoutRow>, LedgerError>;

    /// The payouts with these numbers, those that there are, in no order.
    ///
    /// # Errors
    /// The store's.
    fn payouts_numbered(&self, numbers: &[PayoutId]) -> Result<Vec<PayoutRow>, LedgerError>;

    /// Every attempt of a batch's payouts, by payout and ordinal.
    ///
    /// # Errors
    /// The store's.
    fn attempts(&self, batch: BatchId) -> Result<Vec<Durable<AttemptRow>>, LedgerError>;

    /// The account's attempts that may still pay.
    ///
    /// # Errors
    /// The store's.
    fn live_attempts(&self, account: Address) -> Result<Vec<Durable<AttemptRow>>, LedgerError>;

    /// One attempt, whichever state it is in.
    ///
    /// # Errors
    /// The store's.
    fn attempt(&self, txid: TxId) -> Result<Option<Durable<AttemptRow>>, LedgerError>;

    /// These attempts, whichever state they are in, in no order.
    ///
    /// # Errors
    /// The store's.
    fn attempts_of(&self, txids: &[TxId]) -> Result<Vec<Durable<AttemptRow>>, LedgerError>;
}

/// How many epochs of a pair may be open at once: enough for the processes of
/// a home, few enough to send whole in a `sync`.
pub const MAX_OPEN_EPOCHS: usize = 8;

/// How many contradictions are kept for a pair: one is proof enough; a peer
/// must not fill the disk with more.
pub const MAX_EQUIVOCATIONS: usize = 16;
