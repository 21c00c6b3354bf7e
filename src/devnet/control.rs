//! Cheats: changes of the chain that no transaction makes, for the library and
//! for `/devnet/*` alike.

use crate::{
    devnet::{
        node::Node,
        params::ParameterError,
        state::{Account, State},
    },
    types::Address,
};

/// A cheat that cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheatError {
    /// Negative, or more than an account can hold.
    #[error(
        "{amount} cannot be given to {address}: it holds {held}, and the most is {}",
        i64::MAX
    )]
    Amount {
        /// To whom.
        address: Address,
        /// What was to be given, in the smallest unit.
        amount: i64,
        /// What is there.
        held: i64,
    },
    /// No such token on this chain.
    #[error("there is no token {0} on this chain")]
    Token(i64),
}

pub(crate) fn snapshot(node: &Node) -> u64 {
    node.chain().snapshot()
}

pub(crate) fn revert(node: &Node, id: u64) -> bool {
    node.chain().revert(id)
}

/// Gives TRX (`token` none) or a token out of nothing, creating the account if
/// need be.
pub(crate) fn fund(
    node: &Node,
    address: Address,
    token: Option<i64>,
    amount: i64,
) -> Result<(), CheatError> {
    node.chain()
        .change(|state| give(state, address, token, amount))
}

fn give(
    state: &mut State,
    address: Address,
    token: Option<i64>,
    amount: i64,
) -> Result<(), CheatError> {
    if let Some(id) = token
        && state.asset(id).is_none()
    {
        return Err(CheatError::Token(id));
    }
    let mut account = match state.account(&address) {
        Some(account) => account.as_ref().clone(),
        None => Account::created(address, state.properties.head_time),
    };
    let held = token.map_or(account.balance, |id| account.asset(id));
    let sum = held.checked_add(amount).filter(|_| amount >= 0);
    let Some(sum) = sum else {
        return Err(CheatError::Amount {
            address,
            amount,
            held,
        });
    };
    match token {
        Some(id) => account.set_asset(id, sum),
        None => {
            account.balance = sum;
            state.properties.minted = state.properties.minted.saturating_add(amount);
        }
    }
    state.put_account(account);
    Ok(())
}

/// Sets an account's TRX, creating it if need be. `sun` is not negative.
pub(crate) fn set_balance(node: &Node, address: Address, sun: i64) {
    node.chain().change(|state| {
        let mut account = match state.account(&address) {
            Some(account) => account.as_ref().clone(),
            None => Account::created(address, state.properties.head_time),
        };
        let more = sun.saturating_sub(account.balance);
        state.properties.minted = state.properties.minted.saturating_add(more);
        account.balance = sun;
        state.put_account(account);
    });
}

/// Changes a chain parameter at once.
pub(crate) fn set_parameter(node: &Node, name: &str, value: i64) -> Result<(), ParameterError> {
    node.chain().change(|state| {
        let mut parameters = state.parameters.as_ref().clone();
        parameters.set(name, value)?;
        state.parameters = std::sync::Arc::new(parameters);
        Ok(())
    })
}
