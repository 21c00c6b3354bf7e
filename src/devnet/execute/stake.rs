//! Stake 2.0: freezing TRX for bandwidth or energy, and the way back.

use super::{Outcome, add_exact, address, asset::DAY_MS, existing, witness};
use crate::{
    devnet::{
        params::Parameter,
        reject::Reject,
        resource::TRX,
        reward,
        state::{Account, Resource, State, Unfreezing},
    },
    tron::contract::{
        CancelAllUnfreezeV2Contract, FreezeBalanceV2Contract, UnfreezeBalanceV2Contract,
        WithdrawExpireUnfreezeContract,
    },
    types::UnixMs,
};

/// Withdrawals that may wait at once (`UNFREEZE_MAX_TIMES`).
pub(crate) const MAX_UNFREEZING: usize = 32;

/// Stake counts in whole TRX, delegated stake included.
fn weight(account: &Account, resource: Resource) -> i64 {
    let delegated = match resource {
        Resource::Bandwidth => account.delegated.0,
        Resource::Energy => account.delegated.1,
        Resource::TronPower => 0,
    };
    (account.staked(resource) + delegated) / TRX
}

/// Changes an account's stake and the chain's total weight with it.
fn change(state: &mut State, account: &mut Account, resource: Resource, by: i64) {
    let before = weight(account, resource);
    account.change_stake(resource, by);
    let more = weight(account, resource) - before;
    let total = match resource {
        Resource::Bandwidth => &mut state.properties.net_weight,
        Resource::Energy => &mut state.properties.energy_weight,
        Resource::TronPower => &mut state.properties.power_weight,
    };
    *total += more;
}

/// `FreezeBalanceV2Actuator.java`.
pub(crate) fn freeze(
    state: &mut State,
    contract: &FreezeBalanceV2Contract,
) -> Result<Outcome, Reject> {
    let owner = address(&contract.owner_address, "Invalid address")?;
    let mut account = existing(state, &owner)?;
    let amount = contract.frozen_balance;
    if amount <= 0 {
        return Reject::validate("frozenBalance must be positive");
    }
    if amount < TRX {
        return Reject::validate("frozenBalance must be greater than or equal to 1 TRX");
    }
    if amount > account.balance {
        return Reject::validate("frozenBalance must be less than or equal to accountBalance");
    }
    let resource = match Resource::from_number(contract.resource) {
        Some(resource @ (Resource::Bandwidth | Resource::Energy)) => resource,
        // Votes as a resource of their own come with the new resource model,
        // which mainnet does not have either.
        _ => {
            return Reject::validate("ResourceCode error, valid ResourceCode[BANDWIDTH、ENERGY]");
        }
    };
    account.balance -= amount;
    change(state, &mut account, resource, amount);
    state.put_account(account);
    Ok(Outcome::default())
}

/// Moves what is due from the waiting list to the balance.
fn collect(account: &mut Account, now: UnixMs) -> Result<i64, Reject> {
    let due = account
        .unfreezing
        .iter()
        .filter(|entry| entry.expire <= now)
        .map(|entry| entry.amount)
        .sum();
    account.unfreezing.retain(|entry| entry.expire > now);
    account.balance = add_exact(account.balance, due)?;
    Ok(due)
}

/// `UnfreezeBalanceV2Actuator.java`.
pub(crate) fn unfreeze(
    state: &mut State,
    contract: &UnfreezeBalanceV2Contract,
) -> Result<Outcome, Reject> {
    let owner = address(&contract.owner_address, "Invalid address")?;
    let mut account = existing(state, &owner)?;
    let resource = match Resource::from_number(contract.resource) {
        Some(resource @ (Resource::Bandwidth | Resource::Energy)) => resource,
        _ => return Reject::validate("ResourceCode error.valid ResourceCode[BANDWIDTH、Energy]"),
    };
    let staked = account.staked(resource);
    if staked <= 0 {
        return Reject::validate(match resource {
            Resource::Bandwidth => "no frozenBalance(BANDWIDTH)",
            _ => "no frozenBalance(Energy)",
        });
    }
    let amount = contract.unfreeze_balance;
    if amount <= 0 || amount > staked {
        return Reject::validate(format!("Invalid unfreeze_balance, [{amount}] is error"));
    }
    let now = state.properties.head_time;
    let waiting = account
        .unfreezing
        .iter()
        .filter(|entry| entry.expire > now)
        .count();
    if waiting >= MAX_UNFREEZING {
        return Reject::validate("Invalid unfreeze operation, unfreezing times is over limit");
    }
    reward::settle(state, &owner);
    account = existing(state, &owner)?;
    let withdrawn = collect(&mut account, now)?;
    let days = state.parameters.get(Parameter::UnfreezeDelayDays);
    let wait = match state.properties.unfreeze_delay_ms {
        Some(wait) => wait,
        None => days.saturating_mul(DAY_MS),
    };
    account.unfreezing.push(Unfreezing {
        resource,
        amount,
        expire: UnixMs(now.0.saturating_add(wait)),
    });
    change(state, &mut account, resource, -amount);
    witness::cut_votes(&mut account);
    state.put_account(account);
    Ok(Outcome {
        withdraw_expire_amount: withdrawn,
        ..Outcome::default()
    })
}

/// `WithdrawExpireUnfreezeActuator.java`.
pub(crate) fn withdraw(
    state: &mut State,
    contract: &WithdrawExpireUnfreezeContract,
) -> Result<Outcome, Reject> {
    let owner = address(&contract.owner_address, "Invalid address")?;
    let mut account = existing(state, &owner)?;
    let withdrawn = collect(&mut account, state.properties.head_time)?;
    if withdrawn <= 0 {
        return Reject::validate("no unFreeze balance to withdraw ");
    }
    state.put_account(account);
    Ok(Outcome {
        withdraw_expire_amount: withdrawn,
        ..Outcome::default()
    })
}

/// `CancelAllUnfreezeV2Actuator.java`: what waits becomes stake again, what is
/// due becomes balance.
pub(crate) fn cancel_all(
    state: &mut State,
    contract: &CancelAllUnfreezeV2Contract,
) -> Result<Outcome, Reject> {
    let owner = address(&contract.owner_address, "Invalid address")?;
    let mut account = existing(state, &owner)?;
    if account.unfreezing.is_empty() {
        return Reject::validate("No unfreezeV2 list to cancel");
    }
    let withdrawn = collect(&mut account, state.properties.head_time)?;
    let mut cancelled = [0; 3];
    for entry in std::mem::take(&mut account.unfreezing) {
        change(state, &mut account, entry.resource, entry.amount);
        let [bandwidth, energy, power] = &mut cancelled;
        *match entry.resource {
            Resource::Bandwidth => bandwidth,
            Resource::Energy => energy,
            Resource::TronPower => power,
        } += entry.amount;
    }
    state.put_account(account);
    Ok(Outcome {
        withdraw_expire_amount: withdrawn,
        cancelled: Some(cancelled),
        ..Outcome::default()
    })
}
