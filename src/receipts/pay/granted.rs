//! What the session key in use may still sign away.

use super::{PayConfig, PayError};
use crate::{
    receipts::{
        ReceiptDomain,
        grant::{GrantContext, SignedGrant},
    },
    types::{RawAmount, Salt},
};

/// What a peer is told whose connection was made under another key.
pub(super) const KEY_RENEWED: &str = "the session key was renewed";

/// Keeps a grant of ours, which follows the grant `renews` if that is said, and says what it
/// leaves, if it holds.
pub(super) fn good_grant(
    config: &PayConfig,
    grant: &SignedGrant,
    renews: Option<Salt>,
) -> Result<RawAmount, PayError> {
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
    match renews {
        Some(renews) => config.ledger.store_renewal(&grant.to_row(), renews, now)?,
        None => config.ledger.store_grant(&grant.to_row(), now)?,
    };
    Ok(config.ledger.grant_left(grant.hash(), None)?)
}
