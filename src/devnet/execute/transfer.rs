//! Transfers of TRX and of TRC-10 tokens (`TransferActuator.java`,
//! `TransferAssetActuator.java`).

use super::{Outcome, add_exact, address, pay_fee};
use crate::{
    devnet::{
        params::Parameter,
        reject::Reject,
        state::{Account, State},
    },
    tron::contract::{TransferAssetContract, TransferContract},
    types::Address,
};

/// Contracts may be forbidden as receivers; an account of kind 2 is one.
const CONTRACT: i32 = 2;

/// Creates the receiver if it does not exist; the fee for that, sun.
fn receiver(state: &mut State, to: Address) -> (Account, i64) {
    match state.account(&to) {
        Some(account) => (account.as_ref().clone(), 0),
        None => (
            Account::created(to, &state.properties),
            state
                .parameters
                .get(Parameter::CreateNewAccountFeeInSystemContract),
        ),
    }
}

pub(super) fn trx(state: &mut State, contract: &TransferContract) -> Result<Outcome, Reject> {
    let owner = address(&contract.owner_address, "Invalid ownerAddress!")?;
    let to = address(&contract.to_address, "Invalid toAddress!")?;
    if owner == to {
        return Reject::validate("Cannot transfer TRX to yourself.");
    }
    let Some(sender) = state.account(&owner) else {
        return Reject::validate("Validate TransferContract error, no OwnerAccount.");
    };
    let mut sender = sender.as_ref().clone();
    if contract.amount <= 0 {
        return Reject::validate("Amount must be greater than 0.");
    }
    let (mut account, fee) = receiver(state, to);
    if account.kind == CONTRACT && state.parameters.get(Parameter::ForbidTransferToContract) == 1 {
        return Reject::validate("Cannot transfer TRX to a smartContract.");
    }
    if sender.balance < add_exact(contract.amount, fee)? {
        return Reject::validate("Validate TransferContract error, balance is not sufficient.");
    }
    account.balance = add_exact(account.balance, contract.amount)?;
    sender.balance -= contract.amount;
    state.put_account(sender);
    state.put_account(account);
    pay_fee(state, &owner, fee)?;
    Ok(Outcome {
        fee,
        ..Outcome::default()
    })
}

pub(super) fn asset(
    state: &mut State,
    contract: &TransferAssetContract,
) -> Result<Outcome, Reject> {
    let owner = address(&contract.owner_address, "Invalid ownerAddress")?;
    let to = address(&contract.to_address, "Invalid toAddress")?;
    if contract.amount <= 0 {
        return Reject::validate("Amount must be greater than 0.");
    }
    if owner == to {
        return Reject::validate("Cannot transfer asset to yourself.");
    }
    let Some(sender) = state.account(&owner) else {
        return Reject::validate("No owner account!");
    };
    let mut sender = sender.as_ref().clone();
    let Some((id, _)) = state.asset_named(&contract.asset_name) else {
        return Reject::validate("No asset!");
    };
    let held = sender.asset(id);
    if held <= 0 {
        return Reject::validate("assetBalance must be greater than 0.");
    }
    if contract.amount > held {
        return Reject::validate("assetBalance is not sufficient.");
    }
    let (mut account, fee) = receiver(state, to);
    if account.kind == CONTRACT && state.parameters.get(Parameter::ForbidTransferToContract) == 1 {
        return Reject::validate("Cannot transfer asset to smartContract.");
    }
    let received = add_exact(account.asset(id), contract.amount)?;
    if sender.balance < fee {
        return Reject::validate("Validate TransferAssetActuator error, insufficient fee.");
    }
    sender.set_asset(id, held - contract.amount);
    account.set_asset(id, received);
    state.put_account(sender);
    state.put_account(account);
    pay_fee(state, &owner, fee)?;
    Ok(Outcome {
        fee,
        ..Outcome::default()
    })
}
