//! Lending stake to another account and taking it back
//! (`DelegateResourceActuator.java`, `UnDelegateResourceActuator.java`).

use super::{Outcome, address, existing};
use crate::{
    devnet::{
        params::Parameter,
        reject::Reject,
        resource::{TRX, scaled, stake_for},
        state::{Account, Delegation, Resource, SLOT_MS, State},
    },
    tron::contract::{DelegateResourceContract, Message, UnDelegateResourceContract},
    types::Address,
};

/// A lock without a period of its own: three days, in slots.
const DEFAULT_LOCK_SLOTS: i64 = 86_400;
/// Bytes of the delegation itself, foreseen by a node that builds one
/// (`DELEGATE_COST_BASE_SIZE`).
const BASE_BYTES: i64 = 275;

/// The stake an account could still delegate: what its use does not need.
pub(crate) fn delegable(state: &State, account: &Account, resource: Resource, more: i64) -> i64 {
    let now = state.head_slot();
    let (used, weight, limit, acquired) = match resource {
        Resource::Bandwidth => {
            let mut net = account.net;
            net.used_at(0, now);
            (
                net.usage.used + more,
                state.properties.net_weight,
                state.parameters.get(Parameter::TotalNetLimit),
                account.acquired.0,
            )
        }
        _ => {
            let mut energy = account.energy;
            energy.used_at(0, now);
            (
                energy.usage.used,
                state.properties.energy_weight,
                state.parameters.get(Parameter::TotalEnergyCurrentLimit),
                account.acquired.1,
            )
        }
    };
    let needed = (stake_for(used, weight, limit) - acquired).max(0);
    account.staked(resource) - needed
}

/// The bytes a delegation of everything, locked for the longest, would take.
pub(crate) fn foreseen_bytes(state: &State, staked: i64) -> i64 {
    let size = |contract: DelegateResourceContract| {
        i64::try_from(contract.encode().len()).unwrap_or(i64::MAX)
    };
    let longest = size(DelegateResourceContract {
        lock: true,
        lock_period: state.parameters.get(Parameter::MaxDelegateLockPeriod),
        balance: staked,
        ..DelegateResourceContract::default()
    });
    let shortest = size(DelegateResourceContract {
        balance: TRX,
        ..DelegateResourceContract::default()
    });
    BASE_BYTES + (longest - shortest).max(0)
}

pub(crate) fn delegate(
    state: &mut State,
    contract: &DelegateResourceContract,
) -> Result<Outcome, Reject> {
    let owner = address(&contract.owner_address, "Invalid address")?;
    let mut account = existing(state, &owner)?;
    if contract.balance < TRX {
        return Reject::validate("delegateBalance must be greater than or equal to 1 TRX");
    }
    let resource = match Resource::from_number(contract.resource) {
        Some(resource @ (Resource::Bandwidth | Resource::Energy)) => resource,
        _ => {
            return Reject::validate("ResourceCode error, valid ResourceCode[BANDWIDTH、ENERGY]");
        }
    };
    if delegable(state, &account, resource, 0) < contract.balance {
        return Reject::validate(match resource {
            Resource::Bandwidth => {
                "delegateBalance must be less than or equal to available FreezeBandwidthV2 balance"
            }
            _ => "delegateBalance must be less than or equal to available FreezeEnergyV2 balance",
        });
    }
    let receiver = address(&contract.receiver_address, "Invalid receiverAddress")?;
    if receiver == owner {
        return Reject::validate("receiverAddress must not be the same as ownerAddress");
    }
    let mut to = existing(state, &receiver)?;
    let period = match contract.lock_period {
        0 => DEFAULT_LOCK_SLOTS,
        slots => slots,
    };
    if contract.lock {
        check_lock(state, owner, receiver, resource, period)?;
    }
    if to.kind == 2 {
        return Reject::validate("Do not allow delegate resources to contract addresses");
    }

    unlock_expired(state, owner, receiver);
    let now = state.properties.head_time.0;
    let key = (owner, receiver, contract.lock);
    let mut delegation = state.delegation(&key).copied().unwrap_or_default();
    delegation.time = now;
    let expire = match contract.lock {
        true => now.saturating_add(period.saturating_mul(SLOT_MS)),
        false => 0,
    };
    match resource {
        Resource::Bandwidth => {
            delegation.bandwidth += contract.balance;
            delegation.bandwidth_expire = expire;
            to.acquired.0 += contract.balance;
            account.delegated.0 += contract.balance;
        }
        _ => {
            delegation.energy += contract.balance;
            delegation.energy_expire = expire;
            to.acquired.1 += contract.balance;
            account.delegated.1 += contract.balance;
        }
    }
    account.change_stake(resource, -contract.balance);
    state.put_delegation(key, delegation);
    state.put_account(to);
    state.put_account(account);
    Ok(Outcome::default())
}

fn check_lock(
    state: &State,
    owner: Address,
    receiver: Address,
    resource: Resource,
    period: i64,
) -> Result<(), Reject> {
    let longest = state.parameters.get(Parameter::MaxDelegateLockPeriod);
    if !(0..=longest).contains(&period) {
        return Reject::validate(format!(
            "The lock period of delegate resource cannot be less than 0 and cannot exceed {longest}!"
        ));
    }
    let Some(locked) = state.delegation(&(owner, receiver, true)) else {
        return Ok(());
    };
    let expire = match resource {
        Resource::Bandwidth => locked.bandwidth_expire,
        _ => locked.energy_expire,
    };
    let left = expire - state.properties.head_time.0;
    if period.saturating_mul(SLOT_MS) < left {
        let name = resource.name();
        return Reject::validate(format!(
            "The lock period for {name} this time cannot be less than the remaining time[{left}ms] of the last lock period for {name}!"
        ));
    }
    Ok(())
}

/// Moves locks that have run out to the unlocked delegation.
fn unlock_expired(state: &mut State, from: Address, to: Address) {
    let now = state.properties.head_time.0;
    let Some(mut locked) = state.delegation(&(from, to, true)).copied() else {
        return;
    };
    if locked.energy_expire >= now && locked.bandwidth_expire >= now {
        return;
    }
    let mut free = state
        .delegation(&(from, to, false))
        .copied()
        .unwrap_or(Delegation {
            time: locked.time,
            ..Delegation::default()
        });
    if locked.energy_expire < now {
        free.energy += std::mem::take(&mut locked.energy);
        locked.energy_expire = 0;
    }
    if locked.bandwidth_expire < now {
        free.bandwidth += std::mem::take(&mut locked.bandwidth);
        locked.bandwidth_expire = 0;
    }
    state.put_delegation((from, to, true), locked);
    state.put_delegation((from, to, false), free);
}

pub(crate) fn undelegate(
    state: &mut State,
    contract: &UnDelegateResourceContract,
) -> Result<Outcome, Reject> {
    let owner = address(&contract.owner_address, "Invalid address")?;
    let mut account = existing(state, &owner)?;
    let receiver = address(&contract.receiver_address, "Invalid receiverAddress")?;
    if receiver == owner {
        return Reject::validate("receiverAddress must not be the same as ownerAddress");
    }
    let free = state.delegation(&(owner, receiver, false)).copied();
    let locked = state.delegation(&(owner, receiver, true)).copied();
    if free.is_none() && locked.is_none() {
        return Reject::validate("delegated Resource does not exist");
    }
    let amount = contract.balance;
    if amount <= 0 {
        return Reject::validate("unDelegateBalance must be more than 0 TRX");
    }
    let now = state.properties.head_time.0;
    let free = free.unwrap_or_default();
    let locked = locked.unwrap_or_default();
    let resource = match Resource::from_number(contract.resource) {
        Some(Resource::Bandwidth) => {
            let due = i64::from(locked.bandwidth_expire < now) * locked.bandwidth;
            let available = free.bandwidth + due;
            if available < amount {
                return Reject::validate(format!(
                    "insufficient delegatedFrozenBalance(BANDWIDTH), request={amount}, unlock_balance={available}"
                ));
            }
            Resource::Bandwidth
        }
        Some(Resource::Energy) => {
            let due = i64::from(locked.energy_expire < now) * locked.energy;
            let available = free.energy + due;
            if available < amount {
                return Reject::validate(format!(
                    "insufficient delegateFrozenBalance(Energy), request={amount}, unlock_balance={available}"
                ));
            }
            Resource::Energy
        }
        _ => return Reject::validate("ResourceCode error.valid ResourceCode[BANDWIDTH、Energy]"),
    };

    let returned = take_from_receiver(state, &receiver, resource, amount);
    unlock_expired(state, owner, receiver);
    let key = (owner, receiver, false);
    let mut free = state.delegation(&key).copied().unwrap_or_default();
    let slot = state.head_slot();
    account.change_stake(resource, amount);
    let usage = match resource {
        Resource::Bandwidth => {
            free.bandwidth -= amount;
            account.delegated.0 -= amount;
            &mut account.net
        }
        _ => {
            free.energy -= amount;
            account.delegated.1 -= amount;
            &mut account.energy
        }
    };
    if let Some((used, window)) = returned {
        usage.take_over(used, window, slot);
    }
    state.put_delegation(key, free);
    state.put_account(account);
    Ok(Outcome::default())
}

/// Takes stake from the receiver; its share of the use, with the window it
/// recovers in, goes back to the owner.
fn take_from_receiver(
    state: &mut State,
    receiver: &Address,
    resource: Resource,
    amount: i64,
) -> Option<(i64, i64)> {
    let mut to = state.account(receiver)?.as_ref().clone();
    let now = state.head_slot();
    let all = to.stake_in_use(resource);
    let given = state.given_by(amount, resource);
    let (usage, acquired) = match resource {
        Resource::Bandwidth => (&mut to.net, &mut to.acquired.0),
        _ => (&mut to.energy, &mut to.acquired.1),
    };
    usage.used_at(0, now);
    let mut returned = 0;
    if *acquired < amount {
        *acquired = 0;
    } else {
        returned = scaled(usage.usage.used, amount, all).min(given);
        *acquired -= amount;
    }
    usage.usage.used -= returned;
    usage.usage.slot = now;
    let window = usage.window_fine();
    state.put_account(to);
    (returned > 0).then_some((returned, window))
}
