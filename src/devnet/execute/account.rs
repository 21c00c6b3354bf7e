//! Accounts: creating, naming, permissions.

use std::sync::Arc;

use super::{Outcome, address, existing, pay_fee};
use crate::{
    devnet::{
        params::Parameter,
        reject::Reject,
        state::{Account, Operations, State},
    },
    tron::{
        contract::{
            AccountCreateContract, AccountPermissionUpdateContract, AccountUpdateContract,
            Permission, SetAccountIdContract,
        },
        transaction::MAX_SIGNATURES,
    },
    types::Address,
};

/// `CreateAccountActuator.java`.
pub(super) fn create(
    state: &mut State,
    contract: &AccountCreateContract,
) -> Result<Outcome, Reject> {
    let owner = address(&contract.owner_address, "Invalid ownerAddress")?;
    let fee = state
        .parameters
        .get(Parameter::CreateNewAccountFeeInSystemContract);
    if existing(state, &owner)?.balance < fee {
        return Reject::validate("Validate CreateAccountActuator error, insufficient fee.");
    }
    let new = address(&contract.account_address, "Invalid account address")?;
    if state.account(&new).is_some() {
        return Reject::validate("Account has existed");
    }
    let mut account = Account::created(new, &state.properties);
    account.kind = contract.r#type;
    state.put_account(account);
    pay_fee(state, &owner, fee)?;
    Ok(Outcome {
        fee,
        ..Outcome::default()
    })
}

/// `UpdateAccountActuator.java`.
pub(super) fn update(
    state: &mut State,
    contract: &AccountUpdateContract,
) -> Result<Outcome, Reject> {
    const MAX_NAME: usize = 200;
    if contract.account_name.len() > MAX_NAME {
        return Reject::validate("Invalid accountName");
    }
    let owner = address(&contract.owner_address, "Invalid ownerAddress")?;
    let Some(account) = state.account(&owner) else {
        return Reject::validate("Account does not exist");
    };
    let mut account = account.as_ref().clone();
    if state.parameters.get(Parameter::AllowUpdateAccountName) == 0 {
        if !account.name.is_empty() {
            return Reject::validate("This account name is already existed");
        }
        if state.is_name_taken(&contract.account_name) {
            return Reject::validate("This name is existed");
        }
    }
    account.name.clone_from(&contract.account_name);
    state.put_name(contract.account_name.clone());
    state.put_account(account);
    Ok(Outcome::default())
}

/// `SetAccountIdActuator.java`.
pub(super) fn set_id(
    state: &mut State,
    contract: &SetAccountIdContract,
) -> Result<Outcome, Reject> {
    let id = &contract.account_id;
    if !(8..=32).contains(&id.len()) || !id.iter().all(u8::is_ascii_graphic) {
        return Reject::validate("Invalid accountId");
    }
    let owner = address(&contract.owner_address, "Invalid ownerAddress")?;
    let Some(account) = state.account(&owner) else {
        return Reject::validate("Account has not existed");
    };
    let mut account = account.as_ref().clone();
    if !account.account_id.is_empty() {
        return Reject::validate("This account id already set");
    }
    // The index is not case-sensitive (`AccountIdIndexStore`).
    let key = id.to_ascii_lowercase();
    if state.account_by_id(&key).is_some() {
        return Reject::validate("This id has existed");
    }
    account.account_id.clone_from(id);
    state.put_account_id(key, owner);
    state.put_account(account);
    Ok(Outcome::default())
}

/// `AccountPermissionUpdateActuator.java`.
pub(super) fn update_permissions(
    state: &mut State,
    contract: &AccountPermissionUpdateContract,
) -> Result<Outcome, Reject> {
    let owner = address(&contract.owner_address, "invalidate ownerAddress")?;
    let Some(account) = state.account(&owner) else {
        return Reject::validate("ownerAddress account does not exist");
    };
    let mut account = account.as_ref().clone();
    let Some(owner_permission) = &contract.owner else {
        return Reject::validate("owner permission is missed");
    };
    match (&contract.witness, account.is_witness) {
        (None, true) => return Reject::validate("witness permission is missed"),
        (Some(_), false) => {
            return Reject::validate("account isn't witness can't set witness permission");
        }
        _ => {}
    }
    if contract.actives.is_empty() {
        return Reject::validate("active permission is missed");
    }
    if contract.actives.len() > 8 {
        return Reject::validate("active permission is too many");
    }
    if owner_permission.r#type != 0 {
        return Reject::validate("owner permission type is error");
    }
    let known = state.properties.operations;
    check(owner_permission, known)?;
    if let Some(witness) = &contract.witness {
        if witness.r#type != 1 {
            return Reject::validate("witness permission type is error");
        }
        check(witness, known)?;
    }
    for active in &contract.actives {
        if active.r#type != 2 {
            return Reject::validate("active permission type is error");
        }
        check(active, known)?;
    }

    let numbered = |permission: &Permission, id: i32| {
        Arc::new(Permission {
            id,
            ..permission.clone()
        })
    };
    account.owner_permission = Some(numbered(owner_permission, 0));
    if let Some(witness) = &contract.witness {
        account.witness_permission = Some(numbered(witness, 1));
    }
    account.active_permissions = (2..)
        .zip(&contract.actives)
        .map(|(id, permission)| numbered(permission, id))
        .collect();
    state.put_account(account);
    let fee = state.parameters.get(Parameter::UpdateAccountPermissionFee);
    pay_fee(state, &owner, fee)?;
    Ok(Outcome {
        fee,
        ..Outcome::default()
    })
}

fn type_name(permission: &Permission) -> &'static str {
    match permission.r#type {
        0 => "Owner",
        1 => "Witness",
        2 => "Active",
        _ => "UNRECOGNIZED",
    }
}

fn check(permission: &Permission, known: Operations) -> Result<(), Reject> {
    if permission.keys.len() > MAX_SIGNATURES {
        return Reject::validate(format!(
            "number of keys in permission should not be greater than {MAX_SIGNATURES}"
        ));
    }
    if permission.keys.is_empty() {
        return Reject::validate("key's count should be greater than 0");
    }
    if permission.r#type == 1 && permission.keys.len() != 1 {
        return Reject::validate("Witness permission's key count should be 1");
    }
    if permission.threshold <= 0 {
        return Reject::validate("permission's threshold should be greater than 0");
    }
    if permission.permission_name.encode_utf16().count() > 32 {
        return Reject::validate("permission's name is too long");
    }
    if permission.parent_id != 0 {
        return Reject::validate("permission's parent should be owner");
    }
    for (at, key) in permission.keys.iter().enumerate() {
        let mut others = permission.keys.iter().take(at);
        if others.any(|other| other.address == key.address) {
            return Reject::validate(format!(
                "address should be distinct in permission {}",
                type_name(permission)
            ));
        }
    }
    let mut sum = 0i64;
    for key in &permission.keys {
        if Address::from_bytes(&key.address).is_err() {
            return Reject::validate("key is not a validate address");
        }
        if key.weight <= 0 {
            return Reject::validate("key's weight should be greater than 0");
        }
        sum = super::add_exact(sum, key.weight)?;
    }
    if sum < permission.threshold {
        return Reject::validate(format!(
            "sum of all key's weight should not be less than threshold in permission {}",
            type_name(permission)
        ));
    }
    check_operations(permission, known)
}

fn check_operations(permission: &Permission, known: Operations) -> Result<(), Reject> {
    let operations = &permission.operations;
    if permission.r#type != 2 {
        return match operations.is_empty() {
            true => Ok(()),
            false => Reject::validate(format!(
                "{} permission needn't operations",
                type_name(permission)
            )),
        };
    }
    if operations.len() != 32 {
        return Reject::validate("operations size must 32");
    }
    for (at, (asked, available)) in operations.iter().zip(known.available()).enumerate() {
        let beyond = asked & !available;
        if beyond != 0 {
            let bit = at * 8 + usize::try_from(beyond.trailing_zeros()).unwrap_or(0);
            return Reject::validate(format!("{bit} isn't a validate ContractType"));
        }
    }
    Ok(())
}
