//! Contracts as they are kept; the market as a chain has it where there is none; the node's refusals of zero-knowledge calls.

use serde_json::{Map, Value, json};

use super::{Ctx, account::put, block::VALUE, failure::Failure, request::Call};
use crate::{
    devnet::{contracts::without_abi, state::State},
    tron::{
        contract::{Message as _, SmartContract},
        json::message_to_json,
    },
    types::Address,
};

/// `{}`, whatever is asked about.
pub(super) fn nothing(_: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    call.visible()?;
    Ok(json!({}))
}

/// With `visible`, the value is an address in base58check; else it is read as a message's.
pub(super) fn value_of(call: &Call) -> Result<Vec<u8>, Failure> {
    match call.visible()? {
        true => call.address("value"),
        false => Ok(call.message(VALUE)?.bytes(1)),
    }
}

fn asked(ctx: &Ctx<'_>, call: &Call) -> Result<(State, Option<Address>, bool), Failure> {
    let visible = call.visible()?;
    let bytes = value_of(call)?;
    let state = ctx.state();
    let address = Address::from_bytes(&bytes)
        .ok()
        .filter(|address| state.contract(address).is_some());
    Ok((state, address, visible))
}

fn smart_json(contract: &SmartContract, visible: bool) -> Value {
    let contract = match &contract.abi {
        Some(_) => contract.clone(),
        None => without_abi(contract),
    };
    message_to_json(SmartContract::FIELDS, &contract.encode(), visible)
        .unwrap_or_else(|_| json!({}))
}

pub(super) fn get_contract(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let (state, address, visible) = asked(ctx, call)?;
    let contract = address.and_then(|address| state.contract(&address).cloned());
    Ok(contract.map_or_else(|| json!({}), |contract| smart_json(&contract, visible)))
}

/// With its code and its use of energy.
pub(super) fn get_contract_info(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let (state, address, visible) = asked(ctx, call)?;
    let Some((address, contract)) =
        address.and_then(|address| Some((address, state.contract(&address)?)))
    else {
        return Ok(json!({}));
    };
    let mut out = Map::new();
    if let Some(code) = state.code(&address).filter(|code| !code.bytes().is_empty()) {
        out.insert("runtimecode".into(), hex::encode(code.bytes()).into());
    }
    out.insert("smart_contract".into(), smart_json(contract, visible));
    let energy = state.contract_energy_now(&address);
    let mut kept = Map::new();
    put(&mut kept, "energy_usage", energy.usage);
    put(&mut kept, "energy_factor", energy.factor);
    put(&mut kept, "update_cycle", energy.cycle);
    out.insert("contract_state".into(), kept.into());
    Ok(Value::Object(out))
}

/// Zero-knowledge calls are off, as on most nodes (`allowShieldedTransactionApi`).
pub(super) fn shielded(_: &Ctx<'_>, _: &Call) -> Result<Value, Failure> {
    Err(Failure::new(
        "org.tron.core.exception.ZksnarkException",
        "ShieldedTransactionApi is not allowed",
    ))
}
