//! What a user does to a running node by hand, for the library, `/devnet/*` and
//! `/jsonrpc` alike.

use crate::{
    devnet::{
        cheat::{AccountFields, Cheat, CheatError},
        execute::created_address,
        genesis::{transaction, trc20_owner},
        journal::Document,
        node::Node,
        trc20::Trc20,
    },
    types::Address,
};

/// Gives TRX (`token` none) or a token out of nothing, creating the account if
/// need be.
pub(crate) fn fund(
    node: &Node,
    address: Address,
    token: Option<i64>,
    amount: i64,
) -> Result<(), CheatError> {
    node.cheat(&Cheat::Fund {
        address,
        token,
        amount,
    })
}

/// Sets an account's fields, creating it if need be.
pub(crate) fn set_account(
    node: &Node,
    address: Address,
    fields: AccountFields,
) -> Result<(), CheatError> {
    node.cheat(&Cheat::SetAccount { address, fields })
}

/// Sets an account's TRX, creating it if need be.
pub(crate) fn set_balance(node: &Node, address: Address, sun: i64) -> Result<(), CheatError> {
    let fields = AccountFields {
        balance_sun: Some(sun),
        ..AccountFields::default()
    };
    set_account(node, address, fields)
}

/// Changes a chain parameter at once.
pub(crate) fn set_parameter(node: &Node, name: &str, value: i64) -> Result<(), CheatError> {
    node.cheat(&Cheat::SetParameter {
        name: name.to_owned(),
        value,
    })
}

/// Transactions of these accounts need no signature of their own any more.
pub(crate) fn unlock(node: &Node, addresses: Vec<Address>) -> Result<(), CheatError> {
    node.cheat(&Cheat::Unlock { addresses })
}

/// They need one again.
pub(crate) fn lock(node: &Node, addresses: Vec<Address>) -> Result<(), CheatError> {
    node.cheat(&Cheat::Lock { addresses })
}

/// Puts code at an address.
pub(crate) fn set_code(node: &Node, address: Address, code: String) -> Result<(), CheatError> {
    node.cheat(&Cheat::SetCode { address, code })
}

/// Sets a word of a contract's storage.
pub(crate) fn set_storage(
    node: &Node,
    address: Address,
    slot: String,
    value: String,
) -> Result<(), CheatError> {
    node.cheat(&Cheat::SetStorage {
        address,
        slot,
        value,
    })
}

/// Deploys a TRC-20 token for a holder; its address.
pub(crate) fn deploy_trc20(
    node: &Node,
    token: Trc20,
    holder: Address,
) -> Result<Address, CheatError> {
    let contract = token.contract(trc20_owner(), &[holder]);
    let txid = transaction(&contract.clone().into()).txid();
    node.cheat(&Cheat::Trc20 { token, holder })?;
    Ok(created_address(&txid, &contract.owner_address))
}

/// The chain as the text of a state file.
pub(crate) fn dump(node: &Node) -> Result<String, CheatError> {
    Ok(node.chain().document()?.to_text())
}

/// Puts a dumped chain in place of this one; snapshots and the pool are gone.
pub(crate) fn load(node: &Node, text: &str) -> Result<(), CheatError> {
    let read = Document::parse(text).map_err(|flaw| CheatError::State(flaw.sentence()))?;
    if read.whole < text.len() {
        let reason = "this state has an unfinished last line";
        return Err(CheatError::State(reason.to_owned()));
    }
    let head = node.change(|chain| {
        chain.load(&read.document)?;
        Ok::<_, CheatError>(chain.head().time())
    })?;
    node.not_before(head);
    Ok(())
}
