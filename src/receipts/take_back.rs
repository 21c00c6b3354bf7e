//! Takes grants to a session key back.

use crate::{
    ledger::{LedgerError, Parties, RevocationRow},
    receipts::{ReceiptDomain, Revoke},
    tron::keys::{Signer, SignerError},
    types::Address,
};

/// Why a session key is not taken back.
#[derive(Debug, thiserror::Error)]
pub enum TakeBackError {
    /// The account never granted it anything.
    #[error("{payer} granted nothing to {signer}")]
    NothingGranted {
        /// The account.
        payer: Address,
        /// The session key's address.
        signer: Address,
    },
    /// The wallet does not sign.
    #[error("the wallet cannot sign: {0}")]
    Sign(#[from] SignerError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// The newest grant of an account to a session key.
///
/// # Errors
/// There is none, or the ledger's.
pub fn newest_grant(
    ledger: &(impl Parties + ?Sized),
    payer: Address,
    signer: Address,
) -> Result<u64, TakeBackError> {
    let marks = ledger.grant_marks(payer, signer)?;
    marks
        .highest
        .ok_or(TakeBackError::NothingGranted { payer, signer })
}

/// Takes back every grant of the wallet's account to a session key; the newest of them. When
/// this returns it is on disk: the ledger lets the key sign nothing more away, and peers are
/// told when they are met next. `now_secs` is Unix time.
///
/// # Errors
/// See [`TakeBackError`].
pub fn take_back(
    ledger: &(impl Parties + ?Sized),
    wallet: &dyn Signer,
    signer: Address,
    now_secs: u64,
) -> Result<u64, TakeBackError> {
    let payer = wallet.address();
    let serial = newest_grant(ledger, payer, signer)?;
    let body = Revoke {
        payer,
        signer,
        serial,
    };
    let signature = ReceiptDomain::new(ledger.genesis()).sign(&body, wallet)?;
    let row = RevocationRow {
        payer,
        signer,
        serial,
        signature: signature.to_bytes(),
    };
    ledger.store_revocation(&row, now_secs)?;
    Ok(serial)
}
