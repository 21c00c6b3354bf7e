//! `/devnet/*`: what a real node cannot do.

use std::{sync::Arc, time::Duration};

use axum::response::Response;
use serde_json::{Value, json};

use super::{http::ok, request::Call};
use crate::{
    devnet::{control, faults::Fault, node::Node},
    types::{Address, UnixMs},
};

/// Blocks that one call may make.
const MAX_MINED: u64 = 100_000;

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
        "faults": node.faults.all(),
    })
}

/// Answers a call; an error is a sentence in `error`, with status 200 as
/// everything here.
pub(super) fn answer(node: &Arc<Node>, name: &str, call: &Call) -> Response {
    let body = match call.json() {
        Ok(body) => body.unwrap_or_else(|| json!({})),
        Err(failure) => return ok(&json!({ "error": failure.to_string() })),
    };
    ok(&run(node, name, &body).unwrap_or_else(|error| json!({ "error": error })))
}

fn run(node: &Arc<Node>, name: &str, body: &Value) -> Result<Value, String> {
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
        "snapshot" => return Ok(json!({ "snapshot": control::snapshot(node) })),
        "revert" => {
            let id = unsigned(body, "snapshot", 0)?;
            if !control::revert(node, id) {
                return Err(format!("there is no snapshot {id}"));
            }
        }
        "fund" => {
            let to = address(body)?;
            let amount = required(body, "amount_raw")?;
            let token = int(body, "token")?;
            control::fund(node, to, token, amount).map_err(|error| error.to_string())?;
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
            let keep = body.get("keep_transactions") != Some(&Value::Bool(false));
            let forked = node.chain().fork_out(count, keep);
            return Ok(json!({ "forked": forked }));
        }
        "droppending" => return Ok(json!({ "dropped": node.chain().drop_pending() })),
        "faults" => {
            if let Some(seed) = int(body, "seed")? {
                node.faults.seed(seed.cast_unsigned());
            }
            if body.get("clear") == Some(&Value::Bool(true)) {
                node.faults.clear();
            }
            if let Some(fault) = body.get("add") {
                let fault: Fault = serde_json::from_value(fault.clone())
                    .map_err(|error| format!("this is no fault: {error}"))?;
                node.faults.add(fault).map_err(|error| error.to_string())?;
            }
            match body.get("hold_solid") {
                Some(Value::Bool(true)) => {
                    let solid = node.chain().solid();
                    node.faults.hold_solid(Some(solid));
                }
                Some(Value::Bool(false)) => node.faults.hold_solid(None),
                _ => {}
            }
        }
        other => {
            let other: String = other.chars().take(80).collect();
            return Err(format!("there is no /devnet/{other}"));
        }
    }
    Ok(status(node))
}
