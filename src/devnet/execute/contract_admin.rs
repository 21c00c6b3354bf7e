//! What the maker of a contract may change about it (`UpdateSettingContractActuator.java`,
//! `UpdateEnergyLimitContractActuator.java`, `ClearABIContractActuator.java`).

use std::sync::Arc;

use super::{Outcome, address, existing};
use crate::{
    devnet::{contracts::without_abi, reject::Reject, state::State},
    tron::contract::{
        ClearABIContract, SmartContract, UpdateEnergyLimitContract, UpdateSettingContract,
    },
    types::Address,
};

/// The contract, if the owner made it.
fn own(
    state: &State,
    owner: &Address,
    contract: &[u8],
    missing: &str,
) -> Result<(Address, Arc<SmartContract>), Reject> {
    let Some(found) = state.contract_at(contract) else {
        return Reject::validate(missing);
    };
    if found.origin_address != owner.to_bytes() {
        return Reject::validate(format!(
            "Account[{}] is not the owner of the contract",
            owner.to_hex()
        ));
    }
    Ok((address(contract, "Invalid address")?, Arc::clone(found)))
}

pub(super) fn setting(
    state: &mut State,
    contract: &UpdateSettingContract,
) -> Result<Outcome, Reject> {
    let owner = address(&contract.owner_address, "Invalid address")?;
    existing(state, &owner)?;
    let percent = contract.consume_user_resource_percent;
    if !(0..=100).contains(&percent) {
        return Reject::validate("percent not in [0, 100]");
    }
    let missing = "Contract does not exist";
    let (at, found) = own(state, &owner, &contract.contract_address, missing)?;
    let changed = SmartContract {
        consume_user_resource_percent: percent,
        ..found.as_ref().clone()
    };
    state.put_contract(at, changed);
    Ok(Outcome::default())
}

pub(super) fn energy_limit(
    state: &mut State,
    contract: &UpdateEnergyLimitContract,
) -> Result<Outcome, Reject> {
    let owner = address(&contract.owner_address, "Invalid address")?;
    existing(state, &owner)?;
    if contract.origin_energy_limit <= 0 {
        return Reject::validate("origin energy limit must be > 0");
    }
    let missing = "Contract does not exist";
    let (at, found) = own(state, &owner, &contract.contract_address, missing)?;
    let changed = SmartContract {
        origin_energy_limit: contract.origin_energy_limit,
        ..found.as_ref().clone()
    };
    state.put_contract(at, changed);
    Ok(Outcome::default())
}

pub(super) fn clear_abi(state: &mut State, contract: &ClearABIContract) -> Result<Outcome, Reject> {
    let owner = address(&contract.owner_address, "Invalid address")?;
    existing(state, &owner)?;
    let missing = "Contract not exists";
    let (at, found) = own(state, &owner, &contract.contract_address, missing)?;
    state.put_contract(at, without_abi(&found));
    Ok(Outcome::default())
}
