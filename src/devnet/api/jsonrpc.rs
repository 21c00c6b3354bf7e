//! `/jsonrpc` and `/tre`: the envelope, java-tron's methods, and cheats under the names
//! people know (`tre_*` of the TronBox runtime, `evm_*`, `anvil_*`, `hardhat_*`).

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    Ctx, Side,
    control::{MAX_MINED, MAX_UNLOCKED, pace},
    eth::{self, Refusal},
    request::Call,
};
use crate::{
    devnet::{
        chain::Chain,
        control,
        node::{Node, Pace},
    },
    types::{Address, UnixMs},
};

/// Requests in one batch.
const MAX_BATCH: usize = 100;

fn params(message: impl Into<String>) -> Refusal {
    Refusal::plain(-32602, &message.into())
}

/// A quantity: a number, decimal text or `0x` hex.
fn quantity(value: Option<&Value>, name: &str, default: Option<u64>) -> Result<u64, Refusal> {
    let wrong = |value: &Value| params(format!("{name} is not a quantity: {value}"));
    match value {
        None | Some(Value::Null) => default.ok_or_else(|| params(format!("{name} is missing"))),
        Some(Value::String(text)) => match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => text.parse(),
        }
        .map_err(|_| wrong(&json!(text))),
        Some(other) => other.as_u64().ok_or_else(|| wrong(other)),
    }
}

/// Base58check, 21 bytes of hex, or the 20 bytes Ethereum's tools know.
fn address(value: Option<&Value>) -> Result<Address, Refusal> {
    let text = value
        .and_then(Value::as_str)
        .ok_or_else(|| params("an address is missing"))?;
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let body = match digits.len() {
        40 => hex::decode(digits).ok(),
        _ => None,
    };
    if let Some(body) = body.and_then(|body| <[u8; 20]>::try_from(body).ok()) {
        return Ok(Address::from_body(body));
    }
    digits
        .parse()
        .map_err(|error: crate::types::AddressError| params(error.to_string()))
}

fn text(value: Option<&Value>, name: &str) -> Result<String, Refusal> {
    let text = value.and_then(Value::as_str).map(str::to_owned);
    text.ok_or_else(|| params(format!("{name} is missing")))
}

fn hex_number(number: u64) -> Value {
    format!("{number:#x}").into()
}

/// The methods a body calls, for the log.
pub(super) fn calls(call: &Call) -> String {
    let name = |request: &Value| match request.get("method").and_then(Value::as_str) {
        Some(name) => name.to_owned(),
        None => "?".to_owned(),
    };
    match call.json() {
        Ok(Some(Value::Array(batch))) => {
            let names: Vec<_> = batch.iter().take(8).map(name).collect();
            names.join(", ")
        }
        Ok(Some(request)) => name(&request),
        _ => String::new(),
    }
}

/// Answers a body: one request or a batch; nothing to a notification.
pub(super) fn answer(node: &Arc<Node>, call: &Call) -> Option<Value> {
    match call.json() {
        Ok(Some(Value::Array(batch))) if batch.len() <= MAX_BATCH => {
            let mut left = MAX_MINED;
            let answers = batch
                .iter()
                .filter_map(|request| one(node, request, &mut left));
            Some(answers.collect())
        }
        Ok(Some(request @ Value::Object(_))) => one(node, &request, &mut { MAX_MINED }),
        Ok(_) => Some(error(
            &Value::Null,
            &Refusal::plain(-32600, "Invalid Request"),
        )),
        // The library's own slip: a text.
        Err(_) => Some(error(
            &"null".into(),
            &Refusal::plain(-32700, "JSON parse error"),
        )),
    }
}

fn error(id: &Value, refusal: &Refusal) -> Value {
    let mut error = json!({ "code": refusal.code, "message": refusal.message });
    if let (Some(error), Some(data)) = (error.as_object_mut(), &refusal.data) {
        error.insert("data".into(), data.clone());
    }
    json!({ "jsonrpc": "2.0", "id": id, "error": error })
}

/// `left` is how many blocks the requests of a call may still mine.
fn one(node: &Arc<Node>, request: &Value, left: &mut u64) -> Option<Value> {
    let id = request.get("id").cloned();
    let method = request.get("method").and_then(Value::as_str);
    let list = request.get("params").and_then(Value::as_array);
    let list = list.map(Vec::as_slice).unwrap_or_default();
    let method = method.unwrap_or_default();
    let ctx = Ctx {
        node,
        side: Side::Wallet,
        deliveries: 1,
    };
    let result = node.reading(|| eth::run(&ctx, method, list));
    let result = result.unwrap_or_else(|error| Some(Err(error.into())));
    let result = result.unwrap_or_else(|| run(node, method, list, left));
    // Without an id it is a notification, which nobody waits to hear of.
    let id = id?;
    Some(match result {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(refusal) if refusal.code == Refusal::UNREADABLE => error(&"null".into(), &refusal),
        Err(refusal) => error(&id, &refusal),
    })
}

fn run(node: &Arc<Node>, method: &str, list: &[Value], left: &mut u64) -> Result<Value, Refusal> {
    let first = list.first();
    Ok(match method {
        "tre_version" => concat!("seedrail devnet ", env!("CARGO_PKG_VERSION")).into(),
        "tre_mine" | "evm_mine" | "anvil_mine" | "hardhat_mine" => {
            let blocks = match first {
                Some(Value::Object(options)) => options.get("blocks"),
                other => other,
            };
            // evm_mine's own parameter is a time; without one it is one block.
            let blocks = match method {
                "evm_mine" if !matches!(first, Some(Value::Object(_))) => 1,
                _ => quantity(blocks, "blocks", Some(1))?,
            };
            if blocks > *left {
                let why = format!("blocks is {blocks}: at most {MAX_MINED} in one call");
                return Err(params(why));
            }
            *left -= blocks;
            node.mine(blocks);
            "0x0".into()
        }
        "evm_snapshot" | "tre_snapshot" | "anvil_snapshot" => hex_number(node.snapshot()),
        "evm_revert" | "tre_revert" | "anvil_revert" => {
            node.revert(quantity(first, "snapshot", None)?).into()
        }
        "tre_dropSnapshot" => {
            let id = quantity(first, "snapshot", None)?;
            node.change(|chain| chain.drop_snapshot(id)).into()
        }
        "evm_increaseTime" => {
            let seconds = quantity(first, "seconds", None)?;
            node.set_now(node.now().plus(Duration::from_secs(seconds)));
            hex_number(seconds)
        }
        "evm_setNextBlockTimestamp" => {
            let seconds = quantity(first, "timestamp", None)?;
            let ms = i64::try_from(seconds.saturating_mul(1_000))
                .map_err(|_| params("timestamp is too far"))?;
            if ms <= node.chain().head().time().0 {
                return Err(params("timestamp is not after the newest block"));
            }
            node.set_now(UnixMs(ms));
            hex_number(seconds)
        }
        "tre_blockTime" | "evm_setIntervalMining" => {
            let seconds = quantity(first, "seconds", None)?;
            node.set_idle_blocks(false);
            node.set_pace(pace(Duration::from_secs(seconds)));
            node.pause(false);
            Value::Bool(true)
        }
        "evm_setAutomine" => {
            let instant = first
                .and_then(Value::as_bool)
                .ok_or_else(|| params("whether to mine is missing"))?;
            match (instant, node.pace()) {
                (true, _) => {
                    node.set_idle_blocks(false);
                    node.set_pace(Pace::Instant);
                    node.pause(false);
                }
                // What is mined by hand stays a millisecond apart.
                (false, Pace::Instant) => node.pause(true),
                (false, _) => node.set_pace(Pace::Manual),
            }
            Value::Bool(true)
        }
        "tre_setNextBlockTimestamp" => {
            let ms = quantity(first, "timestamp", None)?;
            let at = i64::try_from(ms).map_err(|_| params("timestamp is too far"))?;
            if at <= node.chain().head().time().0 {
                return Err(params("timestamp is not after the newest block"));
            }
            node.set_now(UnixMs(at));
            ms.to_string().into()
        }
        "anvil_reset" | "hardhat_reset" => {
            if !node.reset() {
                return Err(params("the state file cannot be written"));
            }
            Value::Bool(true)
        }
        "tre_setAccountBalance" | "anvil_setBalance" | "hardhat_setBalance" => {
            let sun = quantity(list.get(1), "balance", None)?;
            let sun = i64::try_from(sun).map_err(|_| params("balance is over 2^63 sun"))?;
            control::set_balance(node, address(first)?, sun)
                .map_err(|error| params(error.to_string()))?;
            Value::Bool(true)
        }
        "tre_setAccountCode" | "anvil_setCode" | "hardhat_setCode" => {
            let code = text(list.get(1), "code")?;
            control::set_code(node, address(first)?, code)
                .map_err(|error| params(error.to_string()))?;
            Value::Bool(true)
        }
        "tre_setAccountStorageAt" | "anvil_setStorageAt" | "hardhat_setStorageAt" => {
            let (slot, value) = (text(list.get(1), "slot")?, text(list.get(2), "value")?);
            control::set_storage(node, address(first)?, slot, value)
                .map_err(|error| params(error.to_string()))?;
            Value::Bool(true)
        }
        "tre_impersonateAccount" | "anvil_impersonateAccount" | "hardhat_impersonateAccount" => {
            control::unlock(node, vec![address(first)?])
                .map_err(|error| params(error.to_string()))?;
            Value::Bool(true)
        }
        "tre_stopImpersonatingAccount"
        | "anvil_stopImpersonatingAccount"
        | "hardhat_stopImpersonatingAccount" => {
            control::lock(node, vec![address(first)?])
                .map_err(|error| params(error.to_string()))?;
            Value::Bool(true)
        }
        "tre_unlockedAccounts" => {
            let accounts = match first {
                Some(Value::Array(accounts)) => accounts.as_slice(),
                _ => list,
            };
            if accounts.len() > MAX_UNLOCKED {
                return Err(params(format!("at most {MAX_UNLOCKED} accounts at once")));
            }
            let accounts = accounts
                .iter()
                .map(|account| address(Some(account)))
                .collect::<Result<Vec<_>, _>>()?;
            control::unlock(node, accounts).map_err(|error| params(error.to_string()))?;
            Value::Bool(true)
        }
        "anvil_dropAllTransactions" => {
            node.change(Chain::drop_pending);
            Value::Null
        }
        _ => return Err(Refusal::plain(-32601, "method not found")),
    })
}
