//! What a store keeps for orders: payments that a person typed, alone or in a file.

use super::{AccountLease, Durable};
use crate::{
    ledger::{LedgerError, OrderKey, PastPayment, PayoutId, TransferRow, Wanted},
    types::{Address, TxId, UnixMs},
};

/// What orders are compared with, and their ends.
pub trait Orders: Send + Sync {
    /// What `payer` is known to have paid or ordered of these, newest first: payouts that
    /// were planned at or after `since` and not given up, and transfers of any age that
    /// were made outside of this ledger.
    ///
    /// # Errors
    /// The store's.
    fn past_payments(
        &self,
        payer: Address,
        wanted: &[Wanted],
        since: UnixMs,
    ) -> Result<Vec<PastPayment>, LedgerError>;

    /// The transfers made outside of this ledger that are known to be these orders.
    ///
    /// # Errors
    /// The store's.
    fn adopted_as(
        &self,
        payer: Address,
        keys: &[OrderKey],
    ) -> Result<Vec<(OrderKey, TransferRow)>, LedgerError>;

    /// Notes for good that a transfer made outside of this ledger is this order; `false`
    /// if that was noted before. The user knows the transfer then.
    ///
    /// # Errors
    /// [`LedgerError::Missing`] when no such transfer was seen,
    /// [`LedgerError::Contradiction`] when it is a payout of ours or another order, or
    /// the order is another transfer.
    fn adopt_as(
        &self,
        txid: TxId,
        key: &OrderKey,
        note: &str,
    ) -> Result<Durable<bool>, LedgerError>;

    /// Gives payouts up for these reasons, all of them or none, and their ranges back.
    ///
    /// # Errors
    /// [`LedgerError::AttemptLive`] unless every attempt of each is dead,
    /// [`LedgerError::LeaseLost`].
    fn fail_payouts(
        &self,
        lease: &AccountLease,
        payouts: &[(PayoutId, String)],
    ) -> Result<(), LedgerError>;

    /// Transactions of the account's payouts in solid blocks, with the block's number, of
    /// which it is not known what they burnt; oldest first, at most `limit`.
    ///
    /// # Errors
    /// The store's.
    fn unpriced(&self, payer: Address, limit: u32) -> Result<Vec<(u64, TxId)>, LedgerError>;

    /// These transfers, those that are recorded, in no order.
    ///
    /// # Errors
    /// The store's.
    fn transfers_of(&self, txids: &[TxId]) -> Result<Vec<TransferRow>, LedgerError>;
}
