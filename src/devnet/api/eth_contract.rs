//! What Ethereum's tools ask of contracts: code, storage, calls, estimates.

use serde_json::{Map, Value};

use super::{
    Ctx, build,
    eth::{Answer, Refusal, address, bytes, hex_bytes, latest, number, quantity},
    trigger::{self, Refused, View},
};
use crate::{
    devnet::{
        abi,
        contracts::selector_of,
        execute::Constant,
        vm::{Ended, storage_row, word_bytes, word_of},
    },
    tron::contract::{Contract, CreateSmartContract, SmartContract, TriggerSmartContract},
    types::Address,
};

const NOT_HEX: &str = "exception decoding Hex string: invalid characters encountered in Hex string";

pub(super) fn code(ctx: &Ctx<'_>, list: &[Value]) -> Answer {
    latest(list.get(1))?;
    let address = address(list.first())?;
    let state = ctx.state();
    let code = state.code(&address).map(|code| code.bytes().to_vec());
    Ok(hex_bytes(&code.unwrap_or_default()))
}

pub(super) fn storage(ctx: &Ctx<'_>, list: &[Value]) -> Answer {
    latest(list.get(2))?;
    let address = address(list.first())?;
    let slot = bytes(list.get(1), || Refusal {
        code: -32001,
        message: NOT_HEX.to_owned(),
        data: Some(serde_json::json!({
            "exceptionTypeName": "org.bouncycastle.util.encoders.DecoderException",
            "message": NOT_HEX,
        })),
    })?;
    let row = storage_row(&word_of(&slot));
    let value = ctx.state().storage(&address, &row).unwrap_or_default();
    Ok(hex_bytes(&word_bytes(&value)))
}

/// What a call is made with.
struct Asked {
    from: Address,
    to: Option<Address>,
    data: Vec<u8>,
    value: i64,
}

impl Asked {
    fn read(what: &Map<String, Value>) -> Result<Self, Refusal> {
        let given = |name: &str| what.get(name).filter(|value| !value.is_null());
        let party = |name: &str| given(name).map(|value| address(Some(value))).transpose();
        let data = match given("data") {
            Some(data) => bytes(Some(data), || Refusal::params(NOT_HEX))?,
            None => Vec::new(),
        };
        let value = given("value").and_then(Value::as_str).and_then(quantity);
        Ok(Self {
            from: party("from")?.unwrap_or(Address::ZERO),
            to: party("to")?,
            data,
            value: value.unwrap_or_default(),
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

/// Runs a call; its output and energy, or the node's words for why it failed.
fn made(ctx: &Ctx<'_>, asked: &Asked) -> Result<(Vec<u8>, i64), Refusal> {
    let _turn = ctx
        .node
        .turns
        .take()
        .ok_or(Refused::Busy)
        .map_err(refused)?;
    let call = asked.constant();
    let contract = match &call {
        Constant::Call(call) => Contract::from(call.clone()),
        Constant::Create(create) => Contract::from(create.clone()),
    };
    let txid = build::draft(ctx, contract).build().txid();
    let view = View::of(ctx);
    let ran = trigger::make(&view, &call, txid, 0, trigger::deadline()).map_err(refused)?;
    match ran.ended {
        Ended::Done => Ok((ran.output, ran.energy_used)),
        Ended::Reverted => {
            let reason = reason(&ran.output).map(|reason| format!(": {reason}"));
            let words = "REVERT opcode executed";
            let message = format!("{words}{}", reason.unwrap_or_default());
            Err(Refusal::new(-32000, message))
        }
        Ended::Failed(fault) => Err(Refusal::new(-32000, fault.to_string())),
    }
}

pub(super) fn call(ctx: &Ctx<'_>, list: &[Value]) -> Answer {
    latest(list.get(1))?;
    let Some(Value::Object(what)) = list.first() else {
        return Err(Refusal::invalid());
    };
    let asked = Asked::read(what)?;
    if asked.to.is_none() {
        return Err(Refusal::params("invalid address hash value"));
    }
    made(ctx, &asked).map(|(output, _)| hex_bytes(&output))
}

pub(super) fn estimate(ctx: &Ctx<'_>, list: &[Value]) -> Answer {
    let Some(Value::Object(what)) = list.first() else {
        return Err(Refusal::invalid());
    };
    let asked = Asked::read(what)?;
    let is_contract = match &asked.to {
        Some(to) => ctx.state().contract(to).is_some(),
        None if asked.data.is_empty() => return Err(Refusal::invalid()),
        None => true,
    };
    if !is_contract {
        // TRX alone takes none.
        return match asked.value {
            1.. => Ok("0x0".into()),
            _ => Err(Refusal::invalid()),
        };
    }
    made(ctx, &asked).map(|(_, energy)| number(energy))
}
