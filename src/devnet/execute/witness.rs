//! Witnesses and the votes for them.

use std::sync::Arc;

use super::{Outcome, address, existing, pay_fee};
use crate::{
    devnet::{
        committee::Witness,
        params::Parameter,
        reject::Reject,
        resource::TRX,
        reward,
        state::{Account, State, default_active, default_owner},
    },
    tron::contract::{
        Key, Permission, UpdateBrokerageContract, VoteWitnessContract, WithdrawBalanceContract,
        WitnessCreateContract, WitnessUpdateContract,
    },
    types::Address,
};

/// Witnesses that one account may vote for (`MAX_VOTE_NUMBER`).
const MAX_VOTES: usize = 30;
/// Bytes of a witness's address on the web.
const MAX_URL: usize = 256;

/// Stake, in sun, delegated or not: what an account may vote with.
pub(crate) fn tron_power(account: &Account) -> i64 {
    use crate::devnet::state::Resource;
    let own = Resource::ALL
        .iter()
        .map(|resource| account.staked(*resource));
    own.sum::<i64>() + account.delegated.0 + account.delegated.1
}

/// `VoteWitnessActuator.java`.
pub(super) fn vote(state: &mut State, contract: &VoteWitnessContract) -> Result<Outcome, Reject> {
    let owner = address(&contract.owner_address, "Invalid address")?;
    if contract.votes.is_empty() {
        return Reject::validate("VoteNumber must more than 0");
    }
    if contract.votes.len() > MAX_VOTES {
        return Reject::validate(format!("VoteNumber more than maxVoteNumber {MAX_VOTES}"));
    }
    let mut votes = Vec::new();
    let mut sum = 0i64;
    for vote in &contract.votes {
        let witness = address(&vote.vote_address, "Invalid vote address!")?;
        if vote.vote_count <= 0 {
            return Reject::validate("vote count must be greater than 0");
        }
        if state.account(&witness).is_none() {
            return Reject::validate(format!("Account[{}] not exists", witness.to_hex()));
        }
        if state.witness(&witness).is_none() {
            return Reject::validate(format!("Witness[{}] not exists", witness.to_hex()));
        }
        sum = super::add_exact(sum, vote.vote_count)?;
        votes.push((witness, vote.vote_count));
    }
    let Some(account) = state.account(&owner) else {
        return Reject::validate(format!("Account[{}] not exists", owner.to_hex()));
    };
    let power = tron_power(account);
    let sum = sum
        .checked_mul(TRX)
        .ok_or_else(|| Reject::Validate("long overflow".to_owned()))?;
    if sum > power {
        return Reject::validate(format!(
            "The total number of votes[{sum}] is greater than the tronPower[{power}]"
        ));
    }
    reward::settle(state, &owner);
    let mut account = existing(state, &owner)?;
    account.votes = votes;
    state.put_voter(owner);
    state.put_account(account);
    Ok(Outcome::default())
}

/// How long after a reward was taken no other one is (`WITNESS_ALLOWANCE_FROZEN_TIME`), ms.
const REWARD_PAUSE_MS: i64 = 24 * 60 * 60 * 1_000;

/// `WithdrawBalanceActuator.java`.
pub(super) fn withdraw_reward(
    state: &mut State,
    contract: &WithdrawBalanceContract,
) -> Result<Outcome, Reject> {
    let owner = address(&contract.owner_address, "Invalid address")?;
    let Some(account) = state.account(&owner) else {
        return Reject::validate(format!("Account[{}] not exists", owner.to_hex()));
    };
    if is_guard(state, &owner) {
        return Reject::validate(format!(
            "Account[{}] is a guard representative and is not allowed to withdraw Balance",
            owner.to_hex()
        ));
    }
    let now = state.properties.head_time;
    let latest = account.latest_withdraw;
    if now.0.saturating_sub(latest.0) < REWARD_PAUSE_MS {
        return Reject::validate(format!(
            "The last withdraw time is {}, less than 24 hours",
            latest.0
        ));
    }
    if account.allowance <= 0 && reward::earned(state, &owner) <= 0 {
        return Reject::validate("witnessAccount does not have any reward");
    }
    if account.balance.checked_add(account.allowance).is_none() {
        return Reject::validate(format!(
            "overflow: checkedAdd({}, {})",
            account.balance, account.allowance
        ));
    }
    reward::settle(state, &owner);
    let mut account = existing(state, &owner)?;
    let withdraw_amount = reward::withdraw(state, &mut account)
        .ok_or_else(|| Reject::Execute("long overflow".to_owned()))?;
    account.latest_withdraw = now;
    state.put_account(account);
    Ok(Outcome {
        withdraw_amount,
        ..Outcome::default()
    })
}

/// A witness of genesis, who takes no reward.
pub(crate) fn is_guard(state: &State, address: &Address) -> bool {
    let witness = state.witness(address);
    witness.is_some_and(|witness| witness.is_active)
}

/// Takes votes that the stake no longer carries, each in its proportion
/// (`UnfreezeBalanceV2Actuator.updateVote`).
pub(super) fn cut_votes(account: &mut Account) {
    let total: i64 = account.votes.iter().map(|(_, count)| *count).sum();
    let power = tron_power(account);
    if total == 0 || power >= total.saturating_mul(TRX) {
        return;
    }
    let share = |count: i64| {
        let product = i128::from(count) * i128::from(power);
        i64::try_from(product / i128::from(total) / i128::from(TRX)).unwrap_or_default()
    };
    for (_, count) in &mut account.votes {
        *count = share(*count);
    }
    account.votes.retain(|(_, count)| *count > 0);
}

fn is_url(url: &[u8]) -> bool {
    !url.is_empty() && url.len() <= MAX_URL
}

fn not_there(owner: &Address) -> Reject {
    Reject::Validate(format!("account[{}] not exists", owner.to_hex()))
}

/// `WitnessCreateActuator.java`.
pub(super) fn create(
    state: &mut State,
    contract: &WitnessCreateContract,
) -> Result<Outcome, Reject> {
    let owner = address(&contract.owner_address, "Invalid address")?;
    if !is_url(&contract.url) {
        return Reject::validate("Invalid url");
    }
    let Some(account) = state.account(&owner) else {
        return Err(not_there(&owner));
    };
    if state.witness(&owner).is_some() {
        return Reject::validate(format!("Witness[{}] has existed", owner.to_hex()));
    }
    let fee = state.parameters.get(Parameter::AccountUpgradeCost);
    if account.balance < fee {
        return Reject::validate("balance < AccountUpgradeCost");
    }
    let mut account = account.as_ref().clone();
    account.is_witness = true;
    let bytes = owner.to_bytes();
    // `AccountCapsule.setDefaultWitnessPermission`: all three, if it had none.
    if account.owner_permission.is_none() {
        account.owner_permission = Some(Arc::new(default_owner(&bytes)));
    }
    if account.active_permissions.is_empty() {
        let active = default_active(&bytes, state.properties.operations);
        account.active_permissions = vec![Arc::new(active)];
    }
    account.witness_permission = Some(Arc::new(Permission {
        r#type: 1,
        id: 1,
        permission_name: "witness".to_owned(),
        threshold: 1,
        keys: vec![Key {
            address: bytes.to_vec(),
            weight: 1,
        }],
        ..Permission::default()
    }));
    state.put_account(account);
    state.put_witness(owner, Witness::new(&contract.url));
    pay_fee(state, &owner, fee)?;
    Ok(Outcome {
        fee,
        ..Outcome::default()
    })
}

/// `WitnessUpdateActuator.java`.
pub(super) fn update(
    state: &mut State,
    contract: &WitnessUpdateContract,
) -> Result<Outcome, Reject> {
    let owner = address(&contract.owner_address, "Invalid address")?;
    if state.account(&owner).is_none() {
        return Reject::validate("account does not exist");
    }
    if !is_url(&contract.update_url) {
        return Reject::validate("Invalid url");
    }
    let Some(witness) = state.witness(&owner) else {
        return Reject::validate("Witness does not exist");
    };
    let mut witness = witness.as_ref().clone();
    witness.url.clone_from(&contract.update_url);
    state.put_witness(owner, witness);
    Ok(Outcome::default())
}

/// `UpdateBrokerageActuator.java`: from the next cycle on.
pub(super) fn brokerage(
    state: &mut State,
    contract: &UpdateBrokerageContract,
) -> Result<Outcome, Reject> {
    let owner = address(&contract.owner_address, "Invalid ownerAddress")?;
    if !(0..=100).contains(&contract.brokerage) {
        return Reject::validate("Invalid brokerage");
    }
    let Some(witness) = state.witness(&owner) else {
        return Reject::validate(format!("Not existed witness:{}", owner.to_hex()));
    };
    let mut witness = witness.as_ref().clone();
    existing(state, &owner)?;
    witness.next_brokerage = contract.brokerage;
    state.put_witness(owner, witness);
    Ok(Outcome::default())
}
