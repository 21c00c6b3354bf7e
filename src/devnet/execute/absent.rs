//! What acts on orders and stake of the old rules, on a chain where there are none: the
//! actuators' own refusals.

use super::{Outcome, address, existing};
use crate::{
    devnet::{reject::Reject, state::State},
    tron::contract::Contract,
};

const NO_MARKET: &str = "Not support Market Transaction, need to be opened by the committee";

pub(super) fn refuse(state: &State, contract: &Contract) -> Result<Outcome, Reject> {
    let owner = || address(contract.owner_address(), "Invalid address");
    match contract {
        Contract::FreezeBalance(_) => Reject::validate("freeze v2 is open, old freeze is closed"),
        Contract::UnfreezeBalance(unfreeze) => {
            existing(state, &owner()?)?;
            Reject::validate(match unfreeze.resource {
                1 => "no frozenBalance(Energy)",
                _ => "no frozenBalance(BANDWIDTH)",
            })
        }
        _ => Reject::validate(NO_MARKET),
    }
}
