//! `/devnet/*`: what a real node cannot do.

use std::{sync::Arc, time::Duration};

use axum::{http::Method, response::Response};
use serde_json::{Value, json};

use super::{
    http::{not_allowed, ok},
    request::{Call, Verb},
};
use crate::{
    devnet::{
        chain::Chain,
        cheat::AccountFields,
        control,
        faults::Fault,
        node::{Node, Pace},
        trc20::Trc20,
    },
    types::{Address, UnixMs},
};

/// Blocks that one call may make.
pub(super) const MAX_MINED: u64 = 100_000;
/// Accounts that one call may unlock.
pub(super) const MAX_UNLOCKED: usize = 1_000;

/// The description of all this for tools.
const OPENAPI: &str = include_str!("openapi.json");

/// Every command, and the keys it takes.
const COMMANDS: &[(&str, &[&str])] = &[
    ("status", &[]),
    ("mine", &["blocks"]),
    ("pause", &[]),
    ("resume", &[]),
    ("settime", &["time_ms"]),
    ("increasetime", &["ms"]),
    ("blocktime", &["ms"]),
    ("snapshot", &[]),
    ("revert", &["snapshot"]),
    ("fund", &["address", "amount_raw", "token"]),
    (
        "setaccount",
        &[
            "address",
            "balance_sun",
            "token",
            "name",
            "free_net_used",
            "net_used",
            "latest_operation_ms",
        ],
    ),
    ("deploytrc20", &["symbol", "decimals", "holder"]),
    ("setcode", &["address", "code"]),
    ("setstorage", &["address", "slot", "value"]),
    ("unlock", &["addresses"]),
    ("lock", &["addresses"]),
    ("setparameter", &["name", "value"]),
    ("fork", &["blocks", "keep_transactions"]),
    ("droppending", &[]),
    ("faults", &["seed", "clear", "add", "hold_solid"]),
    ("dump", &[]),
    ("load", &["state"]),
];

/// Refuses a command that does not exist, and keys that it would pass over.
fn known(name: &str, body: &Value) -> Result<(), String> {
    let keys = COMMANDS.iter().find(|(known, _)| *known == name);
    let Some((_, keys)) = keys else {
        let name: String = name.chars().take(80).collect();
        return Err(format!("there is no /devnet/{name}"));
    };
    let Some(given) = body.as_object() else {
        return Err("the body is no JSON object".to_owned());
    };
    match given.keys().find(|key| !keys.contains(&key.as_str())) {
        Some(key) => {
            let key: String = key.chars().take(80).collect();
            Err(format!(
                "/devnet/{name} does not know `{key}`: it takes {}",
                match keys {
                    [] => "nothing".to_owned(),
                    keys => keys.join(", "),
                }
            ))
        }
        None => Ok(()),
    }
}

fn boolean(body: &Value, name: &str, default: bool) -> Result<bool, String> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => value
            .as_bool()
            .ok_or_else(|| format!("`{name}` is neither true nor false: {value}")),
    }
}

fn int(body: &Value, name: &str) -> Result<Option<i64>, String> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_i64()
            .or_else(|| value.as_str()?.parse().ok())
            .map(Some)
            .ok_or_else(|| format!("`{name}` is not an integer: {value}")),
    }
}

fn required(body: &Value, name: &str) -> Result<i64, String> {
    int(body, name)?.ok_or_else(|| format!("`{name}` is missing"))
}

fn unsigned(body: &Value, name: &str, default: u64) -> Result<u64, String> {
    match int(body, name)? {
        None => Ok(default),
        Some(value) => u64::try_from(value).map_err(|_| format!("`{name}` is negative: {value}")),
    }
}

fn text<'a>(body: &'a Value, name: &str) -> Result<&'a str, String> {
    let text = body.get(name).and_then(Value::as_str);
    text.ok_or_else(|| format!("`{name}` is missing"))
}

fn address(body: &Value) -> Result<Address, String> {
    let text = body.get("address").and_then(Value::as_str);
    text.ok_or("`address` is missing")?
        .parse()
        .map_err(|error: crate::types::AddressError| error.to_string())
}

fn status(node: &Node) -> Value {
    let chain = node.chain();
    json!({
        "head": chain.head().number(),
        "head_id": chain.head().id,
        "head_time_ms": chain.head().time().0,
        "solid": chain.solid(),
        "pending": chain.pending().len(),
        "genesis": chain.genesis().id,
        "now_ms": node.now().0,
        "paused": node.is_paused(),
        "block_time_ms": match node.pace() {
            Pace::Every(time) => json!(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            Pace::Instant => json!(0),
            Pace::Manual => Value::Null,
        },
        "faults": node.faults.all(),
    })
}

/// Answers a call; an error is a sentence in `error`, with status 200 as
/// everything here.
pub(super) fn answer(node: &Arc<Node>, name: &str, call: &Call) -> Response {
    if name == "openapi.json" {
        return match serde_json::from_str::<Value>(OPENAPI) {
            Ok(document) => ok(&document),
            Err(error) => ok(&json!({ "error": error.to_string() })),
        };
    }
    if call.verb == Verb::Get && name != "status" {
        return not_allowed(&Method::GET, &format!("/devnet/{name}"));
    }
    let body = match call.json() {
        Ok(body) => body.unwrap_or_else(|| json!({})),
        Err(failure) => return ok(&json!({ "error": failure.to_string() })),
    };
    ok(&run(node, name, &body).unwrap_or_else(|error| json!({ "error": error })))
}

/// The pace of a block time: none is a block for every transaction.
pub(super) fn pace(time: Duration) -> Pace {
    if time.is_zero() {
        Pace::Instant
    } else {
        Pace::Every(time)
    }
}

fn run(node: &Arc<Node>, name: &str, body: &Value) -> Result<Value, String> {
    known(name, body)?;
    match name {
        "status" => {}
        "mine" => {
            let count = unsigned(body, "blocks", 1)?;
            if count > MAX_MINED {
                return Err(format!("`blocks` is {count}: it is at most {MAX_MINED}"));
            }
            node.mine(count);
        }
        "pause" => node.pause(true),
        "resume" => node.pause(false),
        "settime" => node.set_now(UnixMs(required(body, "time_ms")?)),
        "increasetime" => {
            let by = unsigned(body, "ms", 0)?;
            node.set_now(node.now().plus(Duration::from_millis(by)));
        }
        "blocktime" => {
            let ms = required(body, "ms")?;
            let ms = u64::try_from(ms).map_err(|_| format!("`ms` is negative: {ms}"))?;
            node.set_pace(pace(Duration::from_millis(ms)));
        }
        "snapshot" => return Ok(json!({ "snapshot": node.snapshot() })),
        "revert" => {
            let id = unsigned(body, "snapshot", 0)?;
            if !node.revert(id) {
                return Err(format!("there is no snapshot {id}"));
            }
        }
        "fund" => {
            let to = address(body)?;
            let amount = required(body, "amount_raw")?;
            let token = int(body, "token")?;
            control::fund(node, to, token, amount).map_err(|error| error.to_string())?;
        }
        "setaccount" => {
            let to = address(body)?;
            let mut fields = body.clone();
            if let Some(fields) = fields.as_object_mut() {
                fields.remove("address");
            }
            let fields: AccountFields =
                serde_json::from_value(fields).map_err(|error| error.to_string())?;
            control::set_account(node, to, fields).map_err(|error| error.to_string())?;
        }
        "deploytrc20" => {
            let decimals = u8::try_from(required(body, "decimals")?);
            let decimals = decimals.map_err(|_| "`decimals` is 0 to 36")?;
            let token = Trc20::new(text(body, "symbol")?, decimals);
            let token = token.map_err(|error| error.to_string())?;
            let holder = text(body, "holder")?.parse::<Address>();
            let holder = holder.map_err(|error| error.to_string())?;
            let at = control::deploy_trc20(node, token, holder);
            return Ok(json!({ "address": at.map_err(|error| error.to_string())? }));
        }
        "setcode" => {
            let code = text(body, "code")?.to_owned();
            control::set_code(node, address(body)?, code).map_err(|error| error.to_string())?;
        }
        "setstorage" => {
            let (slot, value) = (
                text(body, "slot")?.to_owned(),
                text(body, "value")?.to_owned(),
            );
            control::set_storage(node, address(body)?, slot, value)
                .map_err(|error| error.to_string())?;
        }
        "unlock" | "lock" => {
            let addresses: Vec<Address> = body
                .get("addresses")
                .cloned()
                .ok_or("`addresses` is missing")
                .and_then(|list| {
                    serde_json::from_value(list).map_err(|_| "`addresses` is no list of addresses")
                })?;
            if addresses.len() > MAX_UNLOCKED {
                return Err(format!("at most {MAX_UNLOCKED} addresses at once"));
            }
            match name {
                "lock" => control::lock(node, addresses),
                _ => control::unlock(node, addresses),
            }
            .map_err(|error| error.to_string())?;
        }
        "dump" => {
            let state = control::dump(node).map_err(|error| error.to_string())?;
            return Ok(json!({ "state": state }));
        }
        "load" => {
            let state = body.get("state").and_then(Value::as_str);
            control::load(node, state.ok_or("`state` is missing")?)
                .map_err(|error| error.to_string())?;
        }
        "setparameter" => {
            let name = body
                .get("name")
                .and_then(Value::as_str)
                .ok_or("`name` is missing")?;
            control::set_parameter(node, name, required(body, "value")?)
                .map_err(|error| error.to_string())?;
        }
        "fork" => {
            let count = unsigned(body, "blocks", 1)?;
            let keep = boolean(body, "keep_transactions", true)?;
            let forked = node.change(|chain| chain.fork_out(count, keep));
            return Ok(json!({ "forked": forked }));
        }
        "droppending" => return Ok(json!({ "dropped": node.change(Chain::drop_pending) })),
        "faults" => {
            if let Some(seed) = int(body, "seed")? {
                node.faults.seed(seed.cast_unsigned());
            }
            if boolean(body, "clear", false)? {
                node.faults.clear();
            }
            if let Some(fault) = body.get("add") {
                let fault: Fault = serde_json::from_value(fault.clone())
                    .map_err(|error| format!("this is no fault: {error}"))?;
                node.faults.add(fault).map_err(|error| error.to_string())?;
            }
            if body.get("hold_solid").is_some_and(|hold| !hold.is_null()) {
                let hold = boolean(body, "hold_solid", false)?;
                let solid = hold.then(|| node.chain().solid());
                node.faults.hold_solid(solid);
            }
        }
        // `known` has let only the names of the table through.
        other => return Err(format!("there is no /devnet/{other}")),
    }
    Ok(status(node))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The document tells of exactly the commands and keys there are.
    #[test]
    fn the_description_is_of_these_commands() {
        let document: Value = serde_json::from_str(OPENAPI).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let mut told: Vec<_> = paths
            .iter()
            .filter_map(|(path, item)| {
                let name = path.strip_prefix("/devnet/")?;
                let schema = &item["post"]["requestBody"]["content"]["application/json"]["schema"];
                let mut keys: Vec<String> = schema["properties"]
                    .as_object()
                    .map(|keys| keys.keys().cloned().collect())
                    .unwrap_or_default();
                keys.sort();
                Some((name.to_owned(), keys))
            })
            .filter(|(name, _)| name != "openapi.json")
            .collect();
        told.sort();
        let mut there: Vec<_> = COMMANDS
            .iter()
            .map(|(name, keys)| {
                let mut keys: Vec<_> = keys.iter().map(ToString::to_string).collect();
                keys.sort();
                ((*name).to_owned(), keys)
            })
            .collect();
        there.sort();
        assert_eq!(told, there);
    }
}
