//! Receipts: issued, received, and what they come to.

use crate::{
    ledger::{
        Adopted, Arrived, ChainBound, Durable, EpochId, EpochLease, Equivocation, LedgerError,
        Origin, Pair, Position, ReceiptEntry, ReceiptFilter, ReceiptRow, Remainder, Stored,
    },
    types::{Address, RawAmount, Salt},
};

/// Receipts of both roles, and the positions that follow from them. The guarantees are those of
/// [`Ledger`](super::Ledger).
pub trait Receipts: ChainBound {
    /// Takes a free epoch of the pair for this holder alone, or opens a new
    /// one with `since_block`, durably. A free one is an epoch of our own log
    /// that no living holder has. Receipts of an epoch are all under one grant
    /// (zero: none), since a grant bounds what an epoch comes to; free epochs of
    /// other grants are closed on the way.
    ///
    /// # Errors
    /// [`LedgerError::TooManyEpochs`] when [`MAX_OPEN_EPOCHS`](super::MAX_OPEN_EPOCHS) are all held.
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

    /// Stores verified receipts of different payers in one transaction, each with what it
    /// is for, before any of them is acknowledged: as
    /// [`store_received_for`](Self::store_received_for) of each, one after the other. The grant
    /// that one is under is stored first, as by [`Parties::store_grant`](super::Parties::store_grant)
    /// at `now_secs` (seconds since the Unix epoch).
    ///
    /// # Errors
    /// The store's, and [`LedgerError::TooManyGrants`]; then none was stored. Misbehaviour is in
    /// [`Stored`].
    fn store_arrived(
        &self,
        arrived: &[Arrived],
        now_secs: u64,
    ) -> Result<Durable<Vec<Stored>>, LedgerError>;

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
    /// [`MAX_EQUIVOCATIONS`](super::MAX_EQUIVOCATIONS).
    ///
    /// # Errors
    /// The store's.
    fn equivocations(&self, pair: &Pair) -> Result<Vec<Equivocation>, LedgerError>;

    /// Every contradiction kept, of any pair.
    ///
    /// # Errors
    /// The store's.
    fn all_equivocations(&self) -> Result<Vec<Equivocation>, LedgerError>;

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

    /// The lowest since block of the receipts that the payer has issued.
    ///
    /// # Errors
    /// The store's.
    fn issued_since(&self, payer: Address) -> Result<Option<u64>, LedgerError>;
}
