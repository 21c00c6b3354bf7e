//! Transfers seen on the solid chain.

use crate::{
    ledger::{BlockRow, ChainBound, Durable, LedgerError, OutgoingRow, TransferRow, WatchRow},
    types::{Address, RawAmount, Token, TokenId, TxId, UnixMs},
};

/// Transfers that were read from the solid chain, each transaction once. The guarantees are those of
/// [`Ledger`](super::Ledger).
pub trait Transfers: ChainBound {
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

    /// Says of a transfer made outside of this ledger that the user knows it:
    /// the audit no longer tells it. `false` if that was said before.
    ///
    /// # Errors
    /// [`LedgerError::Missing`] when no such transfer was seen,
    /// [`LedgerError::Contradiction`] when it is a payout of ours.
    fn adopt_transfer(&self, txid: TxId, note: &str) -> Result<Durable<bool>, LedgerError>;

    /// How far the solid chain was read for transfers to the account.
    ///
    /// # Errors
    /// The store's.
    fn watched(&self, account: Address, token: TokenId) -> Result<Option<WatchRow>, LedgerError>;

    /// Takes in consecutive solid blocks for the account's income: records their
    /// transfers and how far the chain was read, together. The first follows what was
    /// read, or is the one after `from` when nothing was, or not from there on.
    ///
    /// Blocks of strangers wait for a known witness's on top of them, as in
    /// [`ChainLog::apply_blocks`](super::ChainLog::apply_blocks); a ledger that knows
    /// none learns them from the first [`LEARNING`](super::super::LEARNING) blocks.
    ///
    /// # Errors
    /// [`LedgerError::NotLinked`], [`LedgerError::Strangers`];
    /// [`LedgerError::Contradiction`] when a transfer was recorded differently.
    fn watch_blocks(
        &self,
        account: Address,
        token: TokenId,
        from: u64,
        blocks: &[BlockRow],
    ) -> Result<Durable<Option<WatchRow>>, LedgerError>;
}
