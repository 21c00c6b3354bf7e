//! What Ethereum's tools ask of contracts: code, storage, calls, estimates.

use serde_json::{Map, Value};

use super::{
    Ctx, build,
    eth::{Answer, Refusal, address, bytes, hex_bytes, latest, number, quantity},
    eth_build,
    trigger::{self, Refused, View},
};
use crate::{
    devnet::{
        abi,
        contracts::selector_of,
        execute::Constant,
        vm::{Ended, Ran, storage_row, word_bytes, word_of},
    },
    tron::contract::{
        Contract, CreateSmartContract, SmartContract, TransferContract, TriggerSmartContract,
    },
    types::{Address, TxId},
};

pub(super) const NOT_HEX: &str =
    "exception decoding Hex string: invalid characters encountered in Hex string";

pub(super) fn code(ctx: &Ctx<'_>, list: &[Value]) -> Answer {
    latest(ctx, list.get(1))?;
    let address = address(list.first())?;
    let state = ctx.state();
    let code = state.code(&address).map(|code| code.bytes().to_vec());
    Ok(hex_bytes(&code.unwrap_or_default()))
}

pub(super) fn storage(ctx: &Ctx<'_>, list: &[Value]) -> Answer {
    latest(ctx, list.get(2))?;
    let address = address(list.first())?;
    let slot = bytes(list.get(1), uncaught)?;
    let row = storage_row(&word_of(&slot));
    let value = ctx.state().storage(&address, &row).unwrap_or_default();
    Ok(hex_bytes(&word_bytes(&value)))
}

/// What no code of the node catches is named by the library.
fn uncaught() -> Refusal {
    Refusal {
        code: -32001,
        message: NOT_HEX.to_owned(),
        data: Some(serde_json::json!({
            "exceptionTypeName": "org.bouncycastle.util.encoders.DecoderException",
            "message": NOT_HEX,
        })),
    }
}

/// What a call is made with.
struct Asked {
    from: Address,
    to: Option<Address>,
    data: Vec<u8>,
    value: i64,
    has_value: bool,
}

/// Said of a value that is no quantity.
pub(super) fn no_number() -> Refusal {
    Refusal::params("invalid param value: invalid hex number")
}

impl Asked {
    /// `wrong` is said of data that are no hex.
    fn read(what: &Map<String, Value>, wrong: fn() -> Refusal) -> Result<Self, Refusal> {
        only(what, CALL)?;
        let given = |name: &str| what.get(name).filter(|value| !value.is_null());
        let party = |name: &str| given(name).map(|value| address(Some(value))).transpose();
        let data = match given("data") {
            Some(data) => bytes(Some(data), wrong)?,
            None => Vec::new(),
        };
        let value = given("value").and_then(Value::as_str);
        let value = value.filter(|text| !text.is_empty());
        let value = value.map(|text| quantity(text).ok_or_else(no_number));
        Ok(Self {
            from: party("from")?.unwrap_or(Address::ZERO),
            to: party("to")?,
            data,
            has_value: value.is_some(),
            value: value.transpose()?.unwrap_or_default(),
        })
    }

    fn constant(&self) -> Constant {
        let owner_address = self.from.to_bytes().to_vec();
        match self.to {
            Some(to) => Constant::Call(TriggerSmartContract {
                owner_address,
                contract_address: to.to_bytes().to_vec(),
                call_value: self.value,
                data: self.data.clone(),
                ..TriggerSmartContract::default()
            }),
            None => Constant::Create(CreateSmartContract {
                new_contract: Some(SmartContract {
                    origin_address: owner_address.clone(),
                    bytecode: self.data.clone(),
                    call_value: self.value,
                    consume_user_resource_percent: 100,
                    origin_energy_limit: 1,
                    ..SmartContract::default()
                }),
                owner_address,
                ..CreateSmartContract::default()
            }),
        }
    }
}

/// What may be said of a call (`CallArguments`).
const CALL: &[&str] = &["from", "to", "gas", "gasPrice", "value", "data", "nonce"];

/// Refuses an object with a name that the library does not know there.
pub(super) fn only(what: &Map<String, Value>, known: &[&str]) -> Result<(), Refusal> {
    match what.keys().all(|name| known.contains(&name.as_str())) {
        true => Ok(()),
        false => Err(Refusal::unreadable()),
    }
}

fn refused(refused: Refused) -> Refusal {
    match refused {
        Refused::Validate(message) => Refusal::new(-32600, message),
        Refused::Other(message) => Refusal::new(-32000, message),
        Refused::Busy => Refusal::new(-32000, "Server busy."),
    }
}

/// The text of `Error(string)`, which a `require` reverts with; java-tron tells no other.
fn reason(output: &[u8]) -> Option<String> {
    let rest = output.strip_prefix(&selector_of("Error(string)"))?;
    abi::value("string", rest, 0)
}

/// The call and the transaction id it would have.
fn asked_for(ctx: &Ctx<'_>, asked: &Asked) -> (Constant, TxId) {
    let call = asked.constant();
    let contract = match &call {
        Constant::Call(call) => Contract::from(call.clone()),
        Constant::Create(create) => Contract::from(create.clone()),
    };
    let txid = build::draft(ctx, contract).build().txid();
    (call, txid)
}

/// Runs a call; its output, or the node's words for why it failed.
fn made(ctx: &Ctx<'_>, asked: &Asked) -> Result<Vec<u8>, Refusal> {
    let turn = ctx.node.turns.take().ok_or(Refused::Busy);
    let _turn = turn.map_err(refused)?;
    let (call, txid) = asked_for(ctx, asked);
    let view = View::of(ctx);
    let ran = trigger::make(&view, &call, txid, 0, trigger::deadline()).map_err(refused)?;
    match ran.ended {
        Ended::Done => Ok(ran.output),
        Ended::Reverted | Ended::Failed(_) => Err(failed(&ran)),
    }
}

/// The node's words for a call that failed.
fn failed(ran: &Ran) -> Refusal {
    let message = match &ran.ended {
        Ended::Failed(fault) => fault.to_string(),
        Ended::Done | Ended::Reverted => {
            let reason = reason(&ran.output).map(|reason| format!(": {reason}"));
            format!("REVERT opcode executed{}", reason.unwrap_or_default())
        }
    };
    Refusal::new(-32000, message)
}

/// The least fee limit that a call can do with, as energy, by the node's search.
fn estimated(ctx: &Ctx<'_>, asked: &Asked) -> Result<i64, Refusal> {
    let turn = ctx.node.turns.take().ok_or(Refused::Busy);
    let _turn = turn.map_err(refused)?;
    let (call, txid) = asked_for(ctx, asked);
    let estimated = trigger::estimated(&View::of(ctx), &call, txid).map_err(refused)?;
    estimated.map_err(|ran| failed(&ran))
}

pub(super) fn call(ctx: &Ctx<'_>, list: &[Value]) -> Answer {
    latest(ctx, list.get(1))?;
    let Some(Value::Object(what)) = list.first() else {
        return Err(Refusal::invalid());
    };
    let asked = Asked::read(what, uncaught)?;
    if asked.to.is_none() {
        return Err(Refusal::params("invalid address hash value"));
    }
    made(ctx, &asked).map(|output| hex_bytes(&output))
}

pub(super) fn estimate(ctx: &Ctx<'_>, list: &[Value]) -> Answer {
    let Some(Value::Object(what)) = list.first() else {
        return Err(Refusal::invalid());
    };
    let asked = Asked::read(what, || Refusal::new(-32000, NOT_HEX))?;
    let is_contract = match &asked.to {
        Some(to) => ctx.state().contract(to).is_some(),
        None if asked.data.is_empty() => return Err(Refusal::invalid()),
        None => true,
    };
    if !is_contract {
        // TRX alone takes none, but must be there.
        let Some(to) = asked.to.filter(|_| asked.has_value) else {
            let words = "invalid json request: invalid value";
            return Err(Refusal::new(-32600, words));
        };
        let payment = Contract::from(TransferContract {
            owner_address: asked.from.to_bytes().to_vec(),
            to_address: to.to_bytes().to_vec(),
            amount: asked.value,
        });
        build::check(ctx, &payment).map_err(|reject| eth_build::refused(build::failure(reject)))?;
        return Ok("0x0".into());
    }
    estimated(ctx, &asked).map(number)
}
