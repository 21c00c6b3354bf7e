//! Signatures against permissions (`TransactionCapsule.validatePubSignature`).

use crate::{
    devnet::{
        incoming::{Incoming, base58check},
        reject::Reject,
        state::{State, default_active, default_owner},
    },
    tron::{contract::Permission, transaction::MAX_SIGNATURES},
    types::Address,
};

/// `PermissionType.Active`.
pub(crate) const ACTIVE: i32 = 2;

/// Whether an active permission allows a contract type: bit n of its
/// operations, least significant first.
pub(crate) fn allows(permission: &Permission, contract_type: i32) -> bool {
    let Ok(bit) = usize::try_from(contract_type) else {
        return false;
    };
    permission
        .operations
        .get(bit / 8)
        .is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
}

fn weight_of(permission: &Permission, signer: &Address) -> i64 {
    let signer = signer.to_bytes();
    permission
        .keys
        .iter()
        .find(|key| key.address == signer)
        .map_or(0, |key| key.weight)
}

/// The permission a transaction invokes; an account that does not exist has
/// the default ones.
pub(crate) fn permission_of(state: &State, incoming: &Incoming) -> Option<Permission> {
    let contract = incoming.raw_contract()?;
    let owner = incoming.owner();
    match (state.account_at(owner), contract.permission_id) {
        (Some(account), id) => account.permission(id),
        (None, 0) => Some(default_owner(owner)),
        (None, 2) => Some(default_active(owner, state.properties.operations)),
        (None, _) => None,
    }
}

/// The weight of the signatures under a permission, and who signed.
pub(crate) fn weigh(
    permission: &Permission,
    incoming: &Incoming,
) -> Result<(i64, Vec<Address>), String> {
    let signatures = incoming.transaction().signatures();
    if signatures.len() > permission.keys.len() {
        return Err(format!(
            "Signature count is {} more than key counts of permission : {}",
            signatures.len(),
            permission.keys.len()
        ));
    }
    let mut seen = Vec::new();
    let mut total = 0i64;
    for (signature, signer) in signatures.iter().zip(incoming.signers()) {
        let signer = signer.clone()?;
        let weight = weight_of(permission, &signer);
        if weight == 0 {
            return Err(format!(
                "{} is signed by {signer} but it is not contained of permission.",
                hex::encode(signature)
            ));
        }
        if seen.contains(&signer) {
            return Err(format!("{signer} has signed twice!"));
        }
        seen.push(signer);
        total = total.saturating_add(weight);
    }
    Ok((total, seen))
}

/// Why a permission does not apply, before any signature is looked at.
pub(crate) fn applies(permission: &Permission, incoming: &Incoming) -> Result<(), &'static str> {
    let Some(contract) = incoming.raw_contract() else {
        return Ok(());
    };
    if contract.permission_id != 0 {
        if permission.r#type != ACTIVE {
            return Err("Permission type is error");
        }
        if !allows(permission, contract.contract_type) {
            return Err("Permission denied");
        }
    }
    Ok(())
}

/// Checks the signatures.
pub(crate) fn check(state: &State, incoming: &Incoming) -> Result<(), Reject> {
    let refuse = |message: String| Err(Reject::Signature(message));
    let signatures = incoming.transaction().signatures();
    if signatures.len() > MAX_SIGNATURES {
        return refuse("too many signatures".to_owned());
    }
    // `tre_unlockedAccounts`: whatever is in place of the signature will do, and nothing.
    if state.is_unlocked(incoming.owner()) {
        return Ok(());
    }
    if signatures.is_empty() || incoming.raw().contracts.is_empty() {
        return refuse("miss sig or contract".to_owned());
    }
    let Some(permission) = permission_of(state, incoming) else {
        return refuse("permission isn't exit".to_owned());
    };
    if let Err(message) = applies(&permission, incoming) {
        return refuse(message.to_owned());
    }
    match weigh(&permission, incoming) {
        Ok((weight, _)) if weight >= permission.threshold => Ok(()),
        Ok(_) => refuse("sig error".to_owned()),
        Err(message) => refuse(message),
    }
}

/// The words for an owner that does not exist.
pub(crate) fn no_such_account(owner: &[u8]) -> Reject {
    Reject::Validate(format!("account [{}] does not exist", base58check(owner)))
}
