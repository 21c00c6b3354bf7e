//! Calls of contracts: at once and without a trace, or as a transaction to be signed.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::{
    Ctx,
    account::put,
    build::{self, memo_of},
    execution::{LogAddress, put_logs, refused_json, text_json},
    failure::Failure,
    merge::{from_hex_string, merge},
    request::{Call, long_of, permission_id_of, string_of},
};
use crate::{
    devnet::{
        contracts::selector_of,
        execute::{self, Constant, NO_PROGRAM, Slot},
        params::Parameter,
        reject::Reject,
        resource::TRX,
        state::State,
        vm::{Ended, Ran},
    },
    tron::{
        contract::{Contract, CreateSmartContract, Message, SmartContract, TriggerSmartContract},
        json::transaction_to_json,
        transaction::{Draft, Transaction, TransactionResult},
    },
    types::TxId,
};

/// What a call that belongs to no transaction may use (`vm.maxEnergyLimitForConstant`).
const MAX_ENERGY: i64 = 100_000_000;
/// And how long it may take.
const MAX_TIME: Duration = Duration::from_secs(2);

/// Why a call was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// `CONTRACT_VALIDATE_ERROR`.
    Validate(String),
    /// `OTHER_ERROR`: Java's exception and its words.
    Other(String),
    /// Too many others are being made.
    Busy,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Other(failure.to_string())
    }
}

impl From<Reject> for Refused {
    fn from(reject: Reject) -> Self {
        match reject {
            Reject::Execute(message) if message == NO_PROGRAM => {
                Self::Other(format!("class java.lang.NullPointerException : {message}"))
            }
            Reject::Validate(message) | Reject::Execute(message) => Self::Validate(message),
            other => Self::Other(other.to_string()),
        }
    }
}

impl Refused {
    pub(super) fn to_json(&self, visible: bool) -> Value {
        let (code, message) = match self {
            Self::Validate(message) => ("CONTRACT_VALIDATE_ERROR", message.clone()),
            // The node's own way of keeping its JSON whole.
            Self::Other(message) => ("OTHER_ERROR", message.replace('"', "'")),
            Self::Busy => ("SERVER_BUSY", "Server busy.".to_owned()),
        };
        refused_json(code, &message, visible)
    }
}

/// The state a call is made on, and the block it sees.
pub(super) struct View {
    pub(super) state: State,
    pub(super) slot: Slot,
}

impl View {
    pub(super) fn of(ctx: &Ctx<'_>) -> Self {
        let head = ctx.head();
        Self {
            state: ctx.state(),
            slot: Slot {
                number: head.number(),
                time: head.time(),
                witness: crate::types::Address::from_bytes(&head.block.header.witness_address)
                    .unwrap_or(crate::types::Address::ZERO),
            },
        }
    }
}

/// Whether a parameter is there, and not empty.
fn is_set(body: &Value, name: &str) -> bool {
    string_of(body, name).is_some_and(|text| !text.is_empty())
}

/// The message of a request: `function_selector` wins over `data`.
fn read(call: &Call, body: &Value, visible: bool) -> Result<TriggerSmartContract, Refused> {
    let bytes = merge(&call.body, TriggerSmartContract::FIELDS, visible)?;
    let mut trigger =
        TriggerSmartContract::decode(&bytes).map_err(|error| Refused::Other(error.to_string()))?;
    if let Some(selector) = string_of(body, "function_selector").filter(|text| !text.is_empty()) {
        let parameter = string_of(body, "parameter").unwrap_or_default();
        let data = format!("{}{parameter}", hex::encode(selector_of(&selector)));
        trigger.data = from_hex_string(&data).ok_or_else(Failure::not_hex)?;
    }
    Ok(trigger)
}

/// What is called, as the message for it.
fn constant(trigger: &TriggerSmartContract) -> (Constant, Contract) {
    if !trigger.contract_address.is_empty() {
        let contract = Contract::from(trigger.clone());
        return (Constant::Call(trigger.clone()), contract);
    }
    let create = CreateSmartContract {
        owner_address: trigger.owner_address.clone(),
        new_contract: Some(SmartContract {
            origin_address: trigger.owner_address.clone(),
            bytecode: trigger.data.clone(),
            call_value: trigger.call_value,
            consume_user_resource_percent: 100,
            origin_energy_limit: 1,
            ..SmartContract::default()
        }),
        call_token_value: trigger.call_token_value,
        token_id: trigger.token_id,
    };
    (Constant::Create(create.clone()), Contract::from(create))
}

/// Makes a call on a view. The energy is that of a fee limit, if there is one.
pub(super) fn make(
    view: &View,
    call: &Constant,
    txid: TxId,
    fee_limit: i64,
    deadline: Instant,
) -> Result<Ran, Refused> {
    if let Constant::Call(trigger) = call
        && view.state.contract_at(&trigger.contract_address).is_none()
    {
        return Err(Refused::Validate("Smart contract is not exist.".to_owned()));
    }
    let price = view.state.parameters.get(Parameter::EnergyFee).max(1);
    let limit = match fee_limit {
        0 => MAX_ENERGY,
        limit => MAX_ENERGY.min(limit / price),
    };
    let ran = execute::run_constant(&view.state, view.slot, txid, call, limit, deadline)?;
    Ok(ran)
}

/// The deadline of a call that begins now.
pub(super) fn deadline() -> Instant {
    Instant::now() + MAX_TIME
}

/// The answer to a call that was made, without its transaction; the text of a failure
/// that is no revert.
pub(super) fn answer_of(ran: &Ran, visible: bool) -> Result<Map<String, Value>, Refused> {
    if let Ended::Failed(fault) = &ran.ended {
        return Err(Refused::Other(execute::words(fault)));
    }
    let mut result = Map::new();
    result.insert("result".into(), true.into());
    if ran.ended == Ended::Reverted {
        let message = text_json("REVERT opcode executed", visible);
        result.insert("message".into(), message);
    }
    let mut out = Map::new();
    out.insert("result".into(), result.into());
    put(&mut out, "energy_used", ran.energy_used);
    put(&mut out, "energy_penalty", ran.energy_penalty);
    let output = hex::encode(&ran.output);
    out.insert("constant_result".into(), json!([output]));
    put_logs(
        &mut out,
        ("logs", &ran.logs),
        &ran.internal,
        (visible, LogAddress::of_call(visible)),
    );
    Ok(out)
}

/// The transaction that a call would have been, with how it ended.
fn transaction_json(draft: &Draft, result: Option<&Ran>, visible: bool) -> Value {
    let mut transaction = Transaction::from(draft.build());
    if let Some(ran) = result {
        transaction.set_results(vec![TransactionResult {
            ret: i32::from(ran.ended == Ended::Reverted),
            fee_sun: 0,
            contract_ret: 0,
        }]);
    }
    let mut out = transaction_to_json(&transaction, visible).unwrap_or_else(|_| json!({}));
    if let Value::Object(object) = &mut out {
        object.insert("visible".into(), visible.into());
        if result.is_some() {
            object.remove("signature");
        }
    }
    out
}

/// Makes a constant call and gives the whole answer.
pub(super) fn constant_answer(
    view: &View,
    trigger: &TriggerSmartContract,
    draft: impl FnOnce(Contract) -> Draft,
    visible: bool,
) -> Result<Value, Refused> {
    let (call, contract) = constant(trigger);
    let draft = draft(contract);
    let txid = draft.build().txid();
    let ran = make(view, &call, txid, draft.fee_limit_sun, deadline())?;
    let mut out = answer_of(&ran, visible)?;
    out.insert(
        "transaction".into(),
        transaction_json(&draft, Some(&ran), visible),
    );
    Ok(Value::Object(out))
}

fn answer(
    call: &Call,
    act: impl FnOnce(&Value, bool) -> Result<Value, Refused>,
) -> Result<Value, Failure> {
    let visible = call.visible()?;
    let acted = call.object().map_err(Refused::from);
    let acted = acted.and_then(|body| act(&body, visible));
    Ok(acted.unwrap_or_else(|refused| refused.to_json(visible)))
}

/// `TriggerSmartContractServlet`: a function that the ABI says changes nothing is called
/// at once.
pub(super) fn trigger(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    answer(call, |body, visible| {
        for name in ["owner_address", "contract_address"] {
            if !is_set(body, name) {
                return Err(Failure::parameter(format!("{name} isn't set.")).into());
            }
        }
        let mut trigger = read(call, body, visible)?;
        trigger.call_token_value = long_of(body, "call_token_value")?;
        trigger.token_id = long_of(body, "token_id")?;
        trigger.call_value = long_of(body, "call_value")?;
        let fee_limit = long_of(body, "fee_limit")?;
        let view = View::of(ctx);
        if view.state.contract_at(&trigger.contract_address).is_none() {
            let message = "No contract or not a valid smart contract";
            return Err(Refused::Validate(message.to_owned()));
        }
        let contract = Contract::from(trigger.clone());
        let mut draft = build::draft(ctx, contract);
        draft.fee_limit_sun = fee_limit;
        draft.permission_id = permission_id_of(body)?;
        let address = crate::types::Address::from_bytes(&trigger.contract_address);
        if address.is_ok_and(|address| view.state.is_constant(&address, &trigger.data)) {
            let _turn = ctx.node.turns.take().ok_or(Refused::Busy)?;
            return constant_answer(&view, &trigger, |_| draft, visible);
        }
        Ok(json!({
            "result": { "result": true },
            "transaction": transaction_json(&draft, None, visible),
        }))
    })
}

/// Which call a request means.
fn asked(call: &Call, body: &Value, visible: bool) -> Result<TriggerSmartContract, Refused> {
    let wrong = if !is_set(body, "owner_address") {
        "owner_address isn't set."
    } else if is_set(body, "contract_address") {
        return read(call, body, visible);
    } else if !is_set(body, "data") {
        "At least one of contract_address and data must be set."
    } else if is_set(body, "function_selector") {
        "While trying to deploy, function_selector and data can not be both set."
    } else {
        return read(call, body, visible);
    };
    Err(Failure::parameter(wrong).into())
}

/// `TriggerConstantContractServlet`.
pub(super) fn call_constant(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    answer(call, |body, visible| {
        let trigger = asked(call, body, visible)?;
        let _turn = ctx.node.turns.take().ok_or(Refused::Busy)?;
        let (permission_id, memo) = (permission_id_of(body)?, memo_of(body, visible)?);
        let draft = |contract| Draft {
            permission_id,
            memo,
            ..build::draft(ctx, contract)
        };
        constant_answer(&View::of(ctx), &trigger, draft, visible)
    })
}

/// `EstimateEnergyServlet`: the least fee limit that is enough, to a TRX.
pub(super) fn estimate(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    answer(call, |body, visible| {
        let trigger = asked(call, body, visible)?;
        let _turn = ctx.node.turns.take().ok_or(Refused::Busy)?;
        let view = View::of(ctx);
        let (constant, contract) = constant(&trigger);
        let txid = build::draft(ctx, contract).build().txid();
        estimated(&view, &constant, txid).map(|estimated| match estimated {
            Ok(energy) => {
                let mut out = Map::new();
                out.insert("result".into(), json!({ "result": true }));
                put(&mut out, "energy_required", energy);
                Value::Object(out)
            }
            Err(ran) => refused_json("CONTRACT_EXE_ERROR", &why(&ran), visible),
        })
    })
}

/// Why a call failed, in the node's words.
fn why(ran: &Ran) -> String {
    match &ran.ended {
        Ended::Failed(fault) => fault.to_string(),
        Ended::Done | Ended::Reverted => "REVERT opcode executed".to_owned(),
    }
}

/// The energy that a call needs by the node's search, or how it fails.
pub(super) fn estimated(
    view: &View,
    call: &Constant,
    txid: TxId,
) -> Result<Result<i64, Box<Ran>>, Refused> {
    let parameters = &view.state.parameters;
    let deadline = deadline();
    let run = |limit: i64| make(view, call, txid, limit, deadline);
    let mut high = parameters.get(Parameter::MaxFeeLimit);
    let price = parameters.get(Parameter::EnergyFee).max(1);
    let first = run(high)?;
    if first.ended != Ended::Done {
        return Ok(Err(Box::new(first)));
    }
    let mut low = price.saturating_mul(first.energy_used);
    let narrow = |limit: i64, low: &mut i64, high: &mut i64| -> Result<(), Refused> {
        let ran = run(limit)?;
        if ran.ended == Ended::Done {
            *high = limit;
        } else {
            *low = limit;
        }
        Ok(())
    };
    if low.saturating_mul(2) < high {
        narrow(low * 2, &mut low, &mut high)?;
    }
    while low.saturating_add(TRX) < high {
        let middle = low.midpoint(high);
        narrow(middle, &mut low, &mut high)?;
    }
    Ok(Ok(high / price + i64::from(high % price > 0)))
}

/// A constant call on a state, for tests that have no node.
#[cfg(test)]
pub(super) fn constant_on(call: &Call, state: &State, slot: Slot) -> Value {
    let view = View {
        state: state.clone(),
        slot,
    };
    let made = answer(call, |body, visible| {
        let trigger = asked(call, body, visible)?;
        let draft = |contract| {
            let head = crate::tron::transaction::RefBlock::from(state.properties.head);
            Draft::new(contract, head, slot.time, slot.time)
        };
        constant_answer(&view, &trigger, draft, visible)
    });
    made.unwrap_or_else(|failure| failure.to_json())
}
