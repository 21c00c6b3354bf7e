//! Whom a transaction moves something to, and how much, as java-tron tells Ethereum's
//! tools (`JsonRpcApiUtil.getTo`, `getTransactionAmount`). Not all of it is TRX.

use serde_json::Value;

use super::eth::body_of;
use crate::{devnet::execute::Outcome, tron::contract::Contract, types::Address};

/// What becoming a witness, issuing a token or making an exchange, and setting permissions
/// are told to move, whatever they cost, sun.
const WITNESS: i64 = 9_999_000_000;
const ISSUE: i64 = 1_024_000_000;
const PERMISSIONS: i64 = 100_000_000;

fn to(contract: &Contract) -> Option<&[u8]> {
    Some(match contract {
        Contract::Transfer(c) => &c.to_address,
        Contract::TransferAsset(c) => &c.to_address,
        Contract::ParticipateAssetIssue(c) => &c.to_address,
        Contract::VoteWitness(c) => &c.votes.first()?.vote_address,
        Contract::FreezeBalance(c) if !c.receiver_address.is_empty() => &c.receiver_address,
        Contract::UnfreezeBalance(c) if !c.receiver_address.is_empty() => &c.receiver_address,
        Contract::DelegateResource(c) => &c.receiver_address,
        Contract::UnDelegateResource(c) => &c.receiver_address,
        Contract::TriggerSmart(c) => &c.contract_address,
        Contract::UpdateSetting(c) => &c.contract_address,
        Contract::UpdateEnergyLimit(c) => &c.contract_address,
        Contract::ClearAbi(c) => &c.contract_address,
        _ => return None,
    })
}

fn amount(contract: &Contract, outcome: Option<&Outcome>) -> i64 {
    match contract {
        Contract::Transfer(c) => c.amount,
        Contract::TransferAsset(c) => c.amount,
        Contract::TriggerSmart(c) => c.call_value,
        Contract::VoteWitness(c) => {
            let counts = c.votes.iter().map(|vote| vote.vote_count);
            counts.fold(0, i64::wrapping_add)
        }
        Contract::WitnessCreate(_) => WITNESS,
        Contract::AssetIssue(_) | Contract::ExchangeCreate(_) => ISSUE,
        Contract::AccountPermissionUpdate(_) => PERMISSIONS,
        Contract::FreezeBalance(c) => c.frozen_balance,
        Contract::ExchangeInject(c) => c.quant,
        Contract::ExchangeWithdraw(c) => c.quant,
        Contract::ExchangeTransaction(c) => c.quant,
        // Known once it is in a block.
        Contract::WithdrawBalance(_) => outcome.map_or(0, |outcome| outcome.withdraw_amount),
        Contract::WithdrawExpireUnfreeze(_) => {
            outcome.map_or(0, |outcome| outcome.withdraw_expire_amount)
        }
        Contract::CancelAllUnfreezeV2(_) => {
            let cancelled = outcome.and_then(|outcome| outcome.cancelled);
            cancelled.unwrap_or_default().iter().sum()
        }
        _ => 0,
    }
}

/// To whom and how much.
pub(super) fn moved(contract: Option<&Contract>, outcome: Option<&Outcome>) -> (Value, i64) {
    let Some(contract) = contract else {
        return (body_of(&[0; 20]), 0);
    };
    let to = to(contract).filter(|to| Address::from_bytes(to).is_ok());
    (to.map_or(Value::Null, body_of), amount(contract, outcome))
}
