//! `int64_as_string=true` of a GET: 64-bit numbers as texts, for programs whose own numbers
//! end at 2^53.

use serde_json::Value;

use super::request::{Call, Verb};

/// Fields of 32 bits and of enumerations, which stay numbers.
const NARROW: [&str; 9] = [
    "Permission_id",
    "brokerage",
    "id",
    "parent_id",
    "precision",
    "trx_num",
    "type",
    "version",
    "vote_score",
];
/// Endpoints whose answer java-tron writes without its formatter, so that they stay as
/// they are.
const DEAF: [&str; 2] = ["getnowblock", "getnodeinfo"];

/// An endpoint's answer, as its caller asked for it.
pub(super) fn answer(name: &str, call: &Call, mut value: Value) -> Value {
    let asked = call.query.get("int64_as_string");
    let is_asked = asked.is_some_and(|flag| flag.eq_ignore_ascii_case("true"));
    if is_asked && call.verb == Verb::Get && !DEAF.contains(&name) {
        widen(&mut value);
    }
    value
}

fn widen(value: &mut Value) {
    match value {
        Value::Object(object) => {
            // A token's ratio has 32 bits, a number by itself 64.
            let is_token = object.contains_key("trx_num");
            for (name, inner) in object {
                let is_narrow = NARROW.contains(&name.as_str()) || (is_token && name == "num");
                match inner {
                    Value::Number(number) if !is_narrow => *inner = number.to_string().into(),
                    _ => widen(inner),
                }
            }
        }
        Value::Array(list) => {
            for inner in list {
                match inner {
                    Value::Number(number) => *inner = number.to_string().into(),
                    _ => widen(inner),
                }
            }
        }
        _ => {}
    }
}
