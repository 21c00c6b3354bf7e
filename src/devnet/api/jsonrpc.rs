//! `/jsonrpc`: cheats under the names people know (`tre_*` of the TronBox
//! runtime, `evm_*` of Anvil), and the reads a tool begins with.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    control::{MAX_MINED, MAX_UNLOCKED, pace},
    request::Call,
};
use crate::{
    devnet::{
        control,
        node::{Node, Pace},
    },
    types::{Address, UnixMs},
};

/// Requests in one batch.
const MAX_BATCH: usize = 100;

/// A refusal: JSON-RPC's code, and a sentence.
struct Refusal(i64, String);

fn params(message: impl Into<String>) -> Refusal {
    Refusal(-32602, message.into())
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

fn hex_number(number: u64) -> Value {
    format!("{number:#x}").into()
}

/// Answers a body: one request or a batch.
pub(super) fn answer(node: &Arc<Node>, call: &Call) -> Value {
    match call.json() {
        Ok(Some(Value::Array(batch))) if batch.len() <= MAX_BATCH => {
            let mut left = MAX_MINED;
            let answers = batch.iter().map(|request| one(node, request, &mut left));
            answers.collect()
        }
        Ok(Some(request @ Value::Object(_))) => one(node, &request, &mut { MAX_MINED }),
        Ok(_) => error(&Value::Null, -32600, "Invalid Request"),
        Err(_) => error(&Value::Null, -32700, "JSON parse error"),
    }
}

fn error(id: &Value, code: i64, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
}

/// `left` is how many blocks the requests of a call may still mine.
fn one(node: &Arc<Node>, request: &Value, left: &mut u64) -> Value {
    let id = request.get("id").cloned().unwrap_or_default();
    let method = request.get("method").and_then(Value::as_str);
    let list = request.get("params").and_then(Value::as_array);
    let list = list.map(Vec::as_slice).unwrap_or_default();
    match run(node, method.unwrap_or_default(), list, left) {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(Refusal(code, message)) => error(&id, code, &message),
    }
}

fn run(node: &Arc<Node>, method: &str, list: &[Value], left: &mut u64) -> Result<Value, Refusal> {
    let first = list.first();
    Ok(match method {
        "eth_chainId" | "net_version" => {
            let genesis = node.chain().genesis().id;
            let last = genesis.as_bytes().last_chunk::<4>();
            hex_number(last.map_or(0, |bytes| u32::from_be_bytes(*bytes)).into())
        }
        "eth_blockNumber" => hex_number(node.chain().head().number()),
        "eth_getBalance" => {
            let address = address(first)?;
            let chain = node.chain();
            let account = chain.pending_state().account(&address);
            let sun = account.map_or(0, |account| account.balance);
            hex_number(sun.try_into().unwrap_or_default())
        }
        "tre_mine" | "evm_mine" | "anvil_mine" => {
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
        "evm_snapshot" => hex_number(node.snapshot()),
        "evm_revert" => node.revert(quantity(first, "snapshot", None)?).into(),
        "tre_dropSnapshot" => {
            let id = quantity(first, "snapshot", None)?;
            node.chain().drop_snapshot(id).into()
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
        "tre_setAccountBalance" | "anvil_setBalance" => {
            let sun = quantity(list.get(1), "balance", None)?;
            let sun = i64::try_from(sun).map_err(|_| params("balance is over 2^63 sun"))?;
            control::set_balance(node, address(first)?, sun)
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
            node.chain().drop_pending();
            Value::Null
        }
        _ => return Err(Refusal(-32601, "method not found".to_owned())),
    })
}
