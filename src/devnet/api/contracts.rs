//! Smart contracts, exchanges and the market, as a chain has them where there are none:
//! the node's own empty answers and refusals.

use serde_json::{Value, json};

use super::{
    Ctx,
    block::VALUE,
    failure::Failure,
    merge::{from_hex_string, merge},
    request::Call,
};
use crate::tron::contract::{FieldSchema, Kind, Message as _, TriggerSmartContract};

/// `{}`, whatever is asked about.
pub(super) fn nothing(_: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    call.visible()?;
    Ok(json!({}))
}

/// `getcontract` and `getcontractinfo` of what is no contract.
pub(super) fn get_contract(_: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let fields = match call.visible()? {
        true => ADDRESS,
        false => VALUE,
    };
    call.message(fields)?;
    Ok(json!({}))
}

/// With `visible`, the value is an address in base58check.
const ADDRESS: &[FieldSchema] = &[FieldSchema {
    number: 1,
    name: "value",
    kind: Kind::Address,
}];

/// What every call of a contract is refused with here.
enum Refused {
    /// `contract_validate_error`.
    NoContract(&'static str),
    Other(String),
}

impl Refused {
    fn of(failure: &Failure) -> Self {
        Self::Other(failure.to_string())
    }

    fn to_json(&self, visible: bool) -> Value {
        let (code, message) = match self {
            Self::NoContract(message) => ("CONTRACT_VALIDATE_ERROR", (*message).to_owned()),
            Self::Other(message) => ("OTHER_ERROR", message.clone()),
        };
        let message = match visible {
            true => message,
            false => hex::encode(message),
        };
        json!({ "result": { "code": code, "message": message } })
    }
}

fn text<'a>(body: &'a Value, name: &str) -> &'a str {
    body.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn not_set(name: &str) -> Refused {
    Refused::of(&Failure::new(
        "java.security.InvalidParameterException",
        format!("{name} isn't set."),
    ))
}

/// The checks that come before the contract is looked for.
fn check(body: &Value, call: &Call, visible: bool) -> Result<(), Refused> {
    merge(&call.body, TriggerSmartContract::FIELDS, visible).map_err(|f| Refused::of(&f))?;
    let parameter = text(body, "parameter");
    if !text(body, "function_selector").is_empty() && from_hex_string(parameter).is_none() {
        return Err(Refused::of(&Failure::not_hex()));
    }
    Ok(())
}

fn answer(
    call: &Call,
    refuse: impl FnOnce(&Value, bool) -> Result<Refused, Refused>,
) -> Result<Value, Failure> {
    let visible = call.visible()?;
    let body = call.json()?.unwrap_or_else(|| json!({}));
    let refused = match refuse(&body, visible) {
        Ok(refused) | Err(refused) => refused,
    };
    Ok(refused.to_json(visible))
}

/// `TriggerSmartContractServlet`.
pub(super) fn trigger(_: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    answer(call, |body, visible| {
        for name in ["owner_address", "contract_address"] {
            if text(body, name).is_empty() {
                return Err(not_set(name));
            }
        }
        check(body, call, visible)?;
        let message = "No contract or not a valid smart contract";
        Ok(Refused::NoContract(message))
    })
}

/// `TriggerConstantContractServlet`, `EstimateEnergyServlet`.
pub(super) fn call_constant(_: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    answer(call, |body, visible| {
        if text(body, "owner_address").is_empty() {
            return Err(not_set("owner_address"));
        }
        if text(body, "contract_address").is_empty() {
            if text(body, "data").is_empty() {
                return Err(not_set("contract_address"));
            }
            let why = "this node has no virtual machine: it cannot run the code in `data`";
            return Err(Refused::Other(why.to_owned()));
        }
        check(body, call, visible)?;
        Ok(Refused::NoContract("Smart contract is not exist."))
    })
}

/// Zero-knowledge calls are off, as on most nodes (`allowShieldedTransactionApi`).
pub(super) fn shielded(_: &Ctx<'_>, _: &Call) -> Result<Value, Failure> {
    Err(Failure::new(
        "org.tron.core.exception.ZksnarkException",
        "ShieldedTransactionApi is not allowed",
    ))
}
