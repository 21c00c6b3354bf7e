//! What is known of other parties: grants, standings, flows.

use crate::{
    ledger::{
        ChainBound, Durable, FlowKind, FlowRow, GrantMarks, GrantRow, GrantUse, LedgerError,
        RevocationRow, Standing,
    },
    types::{Address, RawAmount, Salt, TokenId, UnixMs},
};

/// How many grants of one payer may run or carry unsettled receipts at a time: a
/// peer must not fill the disk.
pub const MAX_KEPT_GRANTS: u32 = 256;
/// How many signers of one payer may be revoked, for the same reason. The
/// revocation of a signer whose grants have all run out makes room.
pub const MAX_REVOCATIONS: u32 = 256;

/// Grants, standings and flows. The guarantees are those of
/// [`Ledger`](super::Ledger).
pub trait Parties: ChainBound {
    /// Stores a verified grant, ours or another's; twice changes nothing. At
    /// [`MAX_KEPT_GRANTS`], grants that ran out before `now_secs` (seconds since the
    /// Unix epoch) make room: without receipts they are removed, with receipts that
    /// are settled they stay, and no longer count.
    ///
    /// # Errors
    /// [`LedgerError::TooManyGrants`] of a payer.
    fn store_grant(&self, grant: &GrantRow, now_secs: u64) -> Result<Durable<()>, LedgerError>;

    /// [`store_grant`](Self::store_grant) of one that follows the grant `renews`, another one of
    /// ours. All that follow one another sign away no more, to a payee and in all, than the
    /// first of them allows, whoever uses them.
    ///
    /// # Errors
    /// [`LedgerError::Missing`] for one to follow that is not stored, or of another payer or
    /// token; [`LedgerError::TooManyGrants`].
    fn store_renewal(
        &self,
        grant: &GrantRow,
        renews: Salt,
        now_secs: u64,
    ) -> Result<Durable<()>, LedgerError>;

    /// What may still be signed away under a grant, to `payee` or (`None`) in all, in raw
    /// units: what is left of it, and of the first of those that it follows. Nothing of one
    /// that is not stored.
    ///
    /// # Errors
    /// The store's.
    fn grant_left(&self, hash: Salt, payee: Option<Address>) -> Result<RawAmount, LedgerError>;

    /// The grant with this hash.
    ///
    /// # Errors
    /// The store's.
    fn grant(&self, hash: Salt) -> Result<Option<GrantRow>, LedgerError>;

    /// The payer's grants with what was signed under each, by signer and serial.
    ///
    /// # Errors
    /// The store's.
    fn grants(&self, payer: Address) -> Result<Vec<GrantUse>, LedgerError>;

    /// The highest serials of the payer's grants to this signer: stored, and
    /// taken back.
    ///
    /// # Errors
    /// The store's.
    fn grant_marks(&self, payer: Address, signer: Address) -> Result<GrantMarks, LedgerError>;

    /// Stores a verified revocation; a lower serial than what is known changes
    /// nothing. At [`MAX_REVOCATIONS`], those of grants that ran out before
    /// `now_secs` are removed.
    ///
    /// # Errors
    /// [`LedgerError::TooManyGrants`] of a payer.
    fn store_revocation(
        &self,
        revocation: &RevocationRow,
        now_secs: u64,
    ) -> Result<Durable<()>, LedgerError>;

    /// The payer's revocations, by signer.
    ///
    /// # Errors
    /// The store's.
    fn revocations(&self, payer: Address) -> Result<Vec<RevocationRow>, LedgerError>;

    /// How an address behaved; [`Standing::unknown`] if nothing is known.
    ///
    /// # Errors
    /// The store's.
    fn standing(&self, address: Address, token: TokenId) -> Result<Standing, LedgerError>;

    /// Every address of which something is known, by address.
    ///
    /// # Errors
    /// The store's.
    fn standings(&self, token: TokenId) -> Result<Vec<Standing>, LedgerError>;

    /// An address did not pay `amount` in time. Returns how it stands now.
    ///
    /// # Errors
    /// The store's.
    fn note_default(
        &self,
        address: Address,
        token: TokenId,
        amount: RawAmount,
        at: UnixMs,
    ) -> Result<Durable<Standing>, LedgerError>;

    /// So much more of what was sent to the address was given up, unfinished, as a
    /// connection with it ended.
    ///
    /// # Errors
    /// The store's.
    fn note_written_off(
        &self,
        address: Address,
        token: TokenId,
        amount: RawAmount,
    ) -> Result<Durable<Standing>, LedgerError>;

    /// The address is not served any more, by the user's word.
    ///
    /// # Errors
    /// The store's.
    fn ban(
        &self,
        address: Address,
        token: TokenId,
        reason: &str,
        at: UnixMs,
    ) -> Result<Durable<Standing>, LedgerError>;

    /// Forgets defaults and bans of the address, and forgives the contradictions
    /// kept so far; they stay kept as proof.
    ///
    /// # Errors
    /// The store's.
    fn forgive(&self, address: Address, token: TokenId) -> Result<Durable<Standing>, LedgerError>;

    /// What receipts of the account's pairs raised, by day and torrent, in a
    /// fixed order: `account` is the payer of what was spent, the payee of what
    /// was earned. Sums to the pairs' receipts, always.
    ///
    /// # Errors
    /// The store's.
    fn flows(
        &self,
        account: Address,
        token: TokenId,
        kind: FlowKind,
    ) -> Result<Vec<FlowRow>, LedgerError>;
}
