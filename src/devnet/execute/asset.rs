//! TRC-10 tokens: issuing, buying at issue, changing, unfreezing.

use super::{Outcome, add_exact, address, existing, pay_fee};
use crate::{
    devnet::{
        params::Parameter,
        reject::Reject,
        state::{FrozenSupply, State},
    },
    tron::contract::{
        AssetIssueContract, ParticipateAssetIssueContract, UnfreezeAssetContract,
        UpdateAssetContract,
    },
    types::UnixMs,
};

/// A day in which supply is frozen, ms (`FROZEN_PERIOD`).
pub(super) const DAY_MS: i64 = 86_400_000;
/// A token's bandwidth limits must be below this (`ONE_DAY_NET_LIMIT`).
const ONE_DAY_NET_LIMIT: i64 = 57_600_000_000;
const MAX_NAME: usize = 32;
const MAX_URL: usize = 256;
const MAX_DESCRIPTION: usize = 200;
const MAX_FROZEN: usize = 10;
const MIN_FROZEN_DAYS: i64 = 1;
const MAX_FROZEN_DAYS: i64 = 3_652;

fn readable(name: &[u8]) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && name.iter().all(u8::is_ascii_graphic)
}

fn check_url(url: &[u8]) -> Result<(), Reject> {
    if url.is_empty() || url.len() > MAX_URL {
        return Reject::validate("Invalid url");
    }
    Ok(())
}

fn check_description(description: &[u8]) -> Result<(), Reject> {
    if description.len() > MAX_DESCRIPTION {
        return Reject::validate("Invalid description");
    }
    Ok(())
}

fn check_limits(own: i64, public: i64) -> Result<(), Reject> {
    if !(0..ONE_DAY_NET_LIMIT).contains(&own) {
        return Reject::validate("Invalid FreeAssetNetLimit");
    }
    if !(0..ONE_DAY_NET_LIMIT).contains(&public) {
        return Reject::validate("Invalid PublicFreeAssetNetLimit");
    }
    Ok(())
}

fn check_issue(state: &State, contract: &AssetIssueContract) -> Result<(), Reject> {
    if !readable(&contract.name) {
        return Reject::validate("Invalid assetName");
    }
    if contract.name.eq_ignore_ascii_case(b"trx") {
        return Reject::validate("assetName can't be trx");
    }
    if !(0..=6).contains(&contract.precision) {
        return Reject::validate("precision cannot exceed 6");
    }
    if !contract.abbr.is_empty() && !readable(&contract.abbr) {
        return Reject::validate("Invalid abbreviation for token");
    }
    check_url(&contract.url)?;
    check_description(&contract.description)?;
    if contract.start_time == 0 {
        return Reject::validate("Start time should be not empty");
    }
    if contract.end_time == 0 {
        return Reject::validate("End time should be not empty");
    }
    if contract.end_time <= contract.start_time {
        return Reject::validate("End time should be greater than start time");
    }
    if contract.start_time <= state.properties.head_time.0 {
        return Reject::validate("Start time should be greater than HeadBlockTime");
    }
    if contract.total_supply <= 0 {
        return Reject::validate("TotalSupply must greater than 0!");
    }
    if contract.trx_num <= 0 {
        return Reject::validate("TrxNum must greater than 0!");
    }
    if contract.num <= 0 {
        return Reject::validate("Num must greater than 0!");
    }
    if contract.public_free_asset_net_usage != 0 {
        return Reject::validate("PublicFreeAssetNetUsage must be 0!");
    }
    if contract.frozen_supply.len() > MAX_FROZEN {
        return Reject::validate("Frozen supply list length is too long");
    }
    check_limits(
        contract.free_asset_net_limit,
        contract.public_free_asset_net_limit,
    )
}

/// `AssetIssueActuator.java`.
pub(super) fn issue(state: &mut State, contract: &AssetIssueContract) -> Result<Outcome, Reject> {
    let owner = address(&contract.owner_address, "Invalid ownerAddress")?;
    check_issue(state, contract)?;
    let mut remaining = contract.total_supply;
    let mut frozen = Vec::new();
    for part in &contract.frozen_supply {
        if part.frozen_amount <= 0 {
            return Reject::validate("Frozen supply must be greater than 0!");
        }
        if part.frozen_amount > remaining {
            return Reject::validate("Frozen supply cannot exceed total supply");
        }
        if !(MIN_FROZEN_DAYS..=MAX_FROZEN_DAYS).contains(&part.frozen_days) {
            return Reject::validate(format!(
                "frozenDuration must be less than {MAX_FROZEN_DAYS} days and more than {MIN_FROZEN_DAYS} days"
            ));
        }
        remaining -= part.frozen_amount;
        let expire = part.frozen_days * DAY_MS;
        frozen.push(FrozenSupply {
            amount: part.frozen_amount,
            expire: UnixMs(contract.start_time.saturating_add(expire)),
        });
    }
    let Some(account) = state.account(&owner) else {
        return Reject::validate("Account not exists");
    };
    let mut account = account.as_ref().clone();
    if account.issued.is_some() {
        return Reject::validate("An account can only issue one asset");
    }
    let fee = state.parameters.get(Parameter::AssetIssueFee);
    if account.balance < fee {
        return Reject::validate("No enough balance for fee!");
    }

    let id = state.take_token_id();
    let mut asset = contract.clone();
    asset.id = id.to_string();
    state.put_asset(id, asset);
    account.issued = Some((contract.name.clone(), id));
    account.set_asset(id, add_exact(account.asset(id), remaining)?);
    account.frozen_supply.extend(frozen);
    state.put_account(account);
    pay_fee(state, &owner, fee)?;
    Ok(Outcome {
        fee,
        asset_issue_id: Some(id),
        ..Outcome::default()
    })
}

/// `ParticipateAssetIssueActuator.java`: TRX for tokens at the issuer's rate.
pub(super) fn participate(
    state: &mut State,
    contract: &ParticipateAssetIssueContract,
) -> Result<Outcome, Reject> {
    let owner = address(&contract.owner_address, "Invalid ownerAddress")?;
    let to = address(&contract.to_address, "Invalid toAddress")?;
    if contract.amount <= 0 {
        return Reject::validate("Amount must greater than 0!");
    }
    if owner == to {
        return Reject::validate("Cannot participate asset Issue yourself !");
    }
    let Some(buyer) = state.account(&owner) else {
        return Reject::validate("Account does not exist!");
    };
    let mut buyer = buyer.as_ref().clone();
    if buyer.balance < contract.amount {
        return Reject::validate("No enough balance !");
    }
    let Some((id, asset)) = state.asset_named(&contract.asset_name) else {
        return Reject::validate(format!(
            "No asset named {}",
            String::from_utf8_lossy(&contract.asset_name)
        ));
    };
    if asset.owner_address != contract.to_address {
        return Reject::validate(format!("The asset is not issued by {}", to.to_hex()));
    }
    let now = state.properties.head_time.0;
    if now >= asset.end_time || now < asset.start_time {
        return Reject::validate("No longer valid period!");
    }
    let bought = contract
        .amount
        .checked_mul(asset.num.into())
        .ok_or_else(|| Reject::Validate("long overflow".to_owned()))?
        .div_euclid(i64::from(asset.trx_num).max(1));
    if bought <= 0 {
        return Reject::validate("Can not process the exchange!");
    }
    let Some(issuer) = state.account(&to) else {
        return Reject::validate("To account does not exist!");
    };
    let mut issuer = issuer.as_ref().clone();
    if issuer.asset(id) < bought {
        return Reject::validate("Asset balance is not enough !");
    }
    buyer.balance -= contract.amount;
    buyer.set_asset(id, add_exact(buyer.asset(id), bought)?);
    issuer.balance = add_exact(issuer.balance, contract.amount)?;
    issuer.set_asset(id, issuer.asset(id) - bought);
    state.put_account(buyer);
    state.put_account(issuer);
    Ok(Outcome::default())
}

/// `UpdateAssetActuator.java`.
pub(super) fn update(state: &mut State, contract: &UpdateAssetContract) -> Result<Outcome, Reject> {
    let owner = address(&contract.owner_address, "Invalid ownerAddress")?;
    let Some(account) = state.account(&owner) else {
        return Reject::validate("Account does not exist");
    };
    let Some((_, id)) = account.issued else {
        return Reject::validate("Account has not issued any asset");
    };
    let Some(asset) = state.asset(id) else {
        return Reject::validate("Asset is not existed in AssetIssueV2Store");
    };
    let mut asset = asset.as_ref().clone();
    check_url(&contract.url)?;
    check_description(&contract.description)?;
    check_limits(contract.new_limit, contract.new_public_limit)?;
    asset.free_asset_net_limit = contract.new_limit;
    asset.public_free_asset_net_limit = contract.new_public_limit;
    asset.url.clone_from(&contract.url);
    asset.description.clone_from(&contract.description);
    state.put_asset(id, asset);
    Ok(Outcome::default())
}

/// `UnfreezeAssetActuator.java`.
pub(super) fn unfreeze(
    state: &mut State,
    contract: &UnfreezeAssetContract,
) -> Result<Outcome, Reject> {
    let owner = address(&contract.owner_address, "Invalid address")?;
    let mut account = existing(state, &owner)?;
    if account.frozen_supply.is_empty() {
        return Reject::validate("no frozen supply balance");
    }
    let Some((_, id)) = account.issued else {
        return Reject::validate("this account has not issued any asset");
    };
    let now = state.properties.head_time;
    let (due, left): (Vec<_>, Vec<_>) = account
        .frozen_supply
        .iter()
        .copied()
        .partition(|frozen| frozen.expire <= now);
    if due.is_empty() {
        return Reject::validate("It's not time to unfreeze asset supply");
    }
    let amount = due.iter().map(|frozen| frozen.amount).sum::<i64>();
    account.set_asset(id, add_exact(account.asset(id), amount)?);
    account.frozen_supply = left;
    state.put_account(account);
    Ok(Outcome::default())
}
