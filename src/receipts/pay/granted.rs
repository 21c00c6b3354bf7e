//! What the session key in use may still sign away.

use super::{PayConfig, PayError};
use crate::{
    ledger::{LedgerError, Parties},
    receipts::{
        ReceiptDomain,
        grant::{GrantContext, SignedGrant},
    },
    types::RawAmount,
};

/// What a peer is told whose connection was made under another key.
pub(super) const KEY_RENEWED: &str = "the session key was renewed";

/// Keeps a grant of ours and says what it leaves, if it holds.
pub(super) fn good_grant(config: &PayConfig, grant: &SignedGrant) -> Result<RawAmount, PayError> {
    let (payer, signer) = (grant.grant.payer, grant.grant.signer);
    let marks = config.ledger.grant_marks(payer, signer)?;
    let context = GrantContext {
        highest_serial: marks.highest,
        revoked_serial: marks.revoked,
        owed_elsewhere: RawAmount::ZERO,
    };
    let now = u64::try_from(config.clock.now().secs()).unwrap_or(0);
    let domain = ReceiptDomain::new(config.genesis);
    grant.verify(&domain, payer, config.token, now, &context)?;
    config.ledger.store_grant(&grant.to_row(), now)?;
    Ok(left_of(config.ledger.as_ref(), grant)?)
}

/// The total of a grant less what was signed under it, in raw units.
///
/// # Errors
/// See [`LedgerError`].
pub fn left_of(ledger: &dyn Parties, grant: &SignedGrant) -> Result<RawAmount, LedgerError> {
    let uses = ledger.grants(grant.grant.payer)?;
    let used = uses.iter().find(|used| used.grant.hash == grant.hash());
    let used = used.map_or(RawAmount::ZERO, |used| used.issued);
    let left = grant.grant.max_total.checked_sub(used);
    Ok(left.unwrap_or(RawAmount::ZERO))
}
