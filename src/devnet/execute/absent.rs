//! What acts on smart contracts, exchanges, orders, rewards and stake of the old rules, on
//! a chain where there are none: the actuators' own refusals.

use super::{Outcome, address, existing};
use crate::{
    devnet::{reject::Reject, state::State},
    tron::contract::Contract,
};

const NO_MARKET: &str = "Not support Market Transaction, need to be opened by the committee";

pub(super) fn refuse(state: &State, contract: &Contract) -> Result<Outcome, Reject> {
    let owner = || address(contract.owner_address(), "Invalid address");
    match contract {
        Contract::WithdrawBalance(_) => {
            let owner = owner()?;
            existing(state, &owner)?;
            if state
                .witness(&owner)
                .is_some_and(|witness| witness.is_active)
            {
                return Reject::validate(format!(
                    "Account[{}] is a guard representative and is not allowed to withdraw Balance",
                    owner.to_hex()
                ));
            }
            Reject::validate("witnessAccount does not have any reward")
        }
        Contract::FreezeBalance(_) => Reject::validate("freeze v2 is open, old freeze is closed"),
        Contract::UnfreezeBalance(unfreeze) => {
            existing(state, &owner()?)?;
            Reject::validate(match unfreeze.resource {
                1 => "no frozenBalance(Energy)",
                _ => "no frozenBalance(BANDWIDTH)",
            })
        }
        Contract::ExchangeInject(exchange) => no_exchange(state, contract, exchange.exchange_id),
        Contract::ExchangeWithdraw(exchange) => no_exchange(state, contract, exchange.exchange_id),
        Contract::ExchangeTransaction(exchange) => {
            no_exchange(state, contract, exchange.exchange_id)
        }
        _ => Reject::validate(NO_MARKET),
    }
}

fn no_exchange(state: &State, contract: &Contract, id: i64) -> Result<Outcome, Reject> {
    let owner = address(contract.owner_address(), "Invalid address")?;
    if state.account(&owner).is_none() {
        return Reject::validate(format!("account[{}] not exists", owner.to_hex()));
    }
    Reject::validate(format!("Exchange[{id}] not exists"))
}
