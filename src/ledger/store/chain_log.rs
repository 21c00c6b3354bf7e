//! How far the solid chain was read for an account that pays.

use crate::{
    ledger::{
        AccountLease, BlockRow, ChainBound, CursorRow, Durable, LedgerError, Recovery, TrailRow,
        TransferRow, WitnessRow,
    },
    types::{Address, BlockId, UnixMs},
};

/// The blocks that were read, the witnesses that made them, and copies of a ledger that fell behind. The guarantees are those of
/// [`Ledger`](super::Ledger).
pub trait ChainLog: ChainBound {
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

    /// Moves the cursor forward over blocks that are not read, to the last of these
    /// linked blocks that a known witness signed. Only for an account with no live
    /// attempt, and only when two of three of the witnesses that made the newest
    /// blocks, at most 19, are among those who signed these, and one of them signed
    /// one of the newest 27: then those who make the next blocks are known, too.
    ///
    /// # Errors
    /// [`LedgerError::AttemptLive`]; [`LedgerError::NotLinked`], to each other or
    /// backwards; [`LedgerError::Strangers`] when too few known witnesses signed.
    fn skip_to(
        &self,
        lease: &AccountLease,
        headers: &[BlockRow],
    ) -> Result<Durable<CursorRow>, LedgerError>;

    /// Some of the blocks that were read for the account, for what it pays and for
    /// what it earns, newest first: dense near the end, the very first included.
    ///
    /// # Errors
    /// The store's.
    fn trail(&self, account: Address) -> Result<Vec<TrailRow>, LedgerError>;

    /// Takes back what was read for the account after a block: a node showed blocks
    /// that are not the chain's. Recorded transfers go, payouts that they confirmed
    /// are in flight again, witnesses first seen in them are forgotten, and the
    /// ledger is marked as [restored](Recovery), so that nothing is signed before
    /// what was signed since has ended. `following` are the blocks on top of the one
    /// gone back to: a witness that is still known must have made one of them. With
    /// no known witness left, they are learnt anew. `None` for an account that was
    /// never bound.
    ///
    /// # Errors
    /// [`LedgerError::Strangers`], and then nothing is changed;
    /// [`LedgerError::LeaseLost`].
    fn step_back(
        &self,
        lease: &AccountLease,
        to: TrailRow,
        following: &[BlockRow],
    ) -> Result<Durable<Option<CursorRow>>, LedgerError>;

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

    /// Believes the witnesses of these linked blocks, when the ledger knows none yet;
    /// how many.
    ///
    /// # Errors
    /// [`LedgerError::NotLinked`].
    fn learn_witnesses(&self, blocks: &[BlockRow]) -> Result<Durable<usize>, LedgerError>;

    /// Believes the witnesses of the next [`LEARNING`](crate::ledger::LEARNING) blocks, as
    /// a new ledger does.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`].
    fn trust_witnesses(&self, lease: &AccountLease) -> Result<(), LedgerError>;
}
