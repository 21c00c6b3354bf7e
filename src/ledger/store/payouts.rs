//! Payouts and their attempts, and the right to sign them.

use crate::{
    ledger::{
        AccountLease, AttemptRow, BatchCounts, BatchId, BatchRow, ChainBound, Durable, LedgerError,
        PayoutId, PayoutRow,
    },
    types::{Address, RawAmount, Sun, Token, TxId},
};

/// Batches, payouts and attempts of the accounts that pay. The guarantees are those of
/// [`Ledger`](super::Ledger).
pub trait Payouts: ChainBound {
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
