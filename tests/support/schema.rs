//! Holds what commands print with `--json` against `docs/schema.json`. Of JSON Schema it
//! knows what that file uses, and refuses a keyword that it does not know.

use std::{path::Path, sync::OnceLock};

use seedrail::types::Address;
use serde_json::{Map, Value};

/// `docs/schema.json`.
pub(crate) fn schemas() -> &'static Value {
    static SCHEMAS: OnceLock<Value> = OnceLock::new();
    SCHEMAS.get_or_init(|| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    })
}

/// The command among the arguments: the longest name that has a schema.
fn command(arguments: &[&str]) -> Option<&'static str> {
    let commands = schemas()["commands"].as_object().unwrap();
    let known = |name: &str| commands.get_key_value(name).map(|(name, _)| name.as_str());
    // Global options may stand anywhere.
    let words = arguments.iter().copied().filter(|word| *word != "--json");
    let arguments: Vec<&str> = words.collect();
    let begins = |place: usize| {
        (1..=3).rev().find_map(|count| {
            let words = arguments.get(place..place + count)?.join(" ");
            known(match words.as_str() {
                "download" => "get",
                "share" => "seed",
                words if words.starts_with("tx build ") => "tx build",
                words => words,
            })
        })
    };
    (0..arguments.len()).find_map(begins)
}

/// Checks what a command that succeeded printed, if it was asked for JSON.
pub(crate) fn check(arguments: &[&str], printed: &str) {
    if !arguments.contains(&"--json") || printed.is_empty() {
        return;
    }
    let name = command(arguments).unwrap_or_else(|| panic!("no schema: {arguments:?}"));
    let schema = &schemas()["commands"][name];
    let documents: Vec<Value> = serde_json::Deserializer::from_str(printed)
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap_or_else(|error| panic!("{name}: {error}: {printed}"));
    for document in &documents {
        if let Err(reason) = holds(schema, document) {
            panic!("{name}: {reason}\nin {document}");
        }
    }
}

/// Checks an error of any command.
pub(crate) fn check_error(document: &Value) {
    if let Err(reason) = holds(&schemas()["commands"]["error"], document) {
        panic!("{reason}\nin {document}");
    }
}

/// Holds a document against a schema.
pub(crate) fn holds(schema: &Value, value: &Value) -> Result<(), String> {
    for (keyword, rule) in schema.as_object().expect("a schema is an object") {
        let rules = || rule.as_array().expect("a list");
        let whether = match keyword.as_str() {
            "description" | "pattern" | "additionalProperties" => true,
            "$ref" => {
                refers(rule.as_str().unwrap(), value)?;
                true
            }
            "type" => match rule {
                Value::String(name) => is_a(name, value),
                names => {
                    let mut names = names.as_array().unwrap().iter();
                    names.any(|name| is_a(name.as_str().unwrap(), value))
                }
            },
            "maxItems" => {
                let most = rule.as_u64().expect("a number");
                value
                    .as_array()
                    .is_none_or(|items| items.len() as u64 <= most)
            }
            "const" => rule == value,
            "enum" => rules().contains(value),
            "anyOf" => rules().iter().any(|rule| holds(rule, value).is_ok()),
            "oneOf" => {
                let hold = rules().iter().filter(|rule| holds(rule, value).is_ok());
                hold.count() == 1
            }
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    holds(rule, item)?;
                }
                true
            }
            "required" => {
                let has = |key: &Value| value.get(key.as_str().unwrap()).is_some();
                !value.is_object() || rules().iter().all(has)
            }
            "properties" => {
                let known = rule.as_object().unwrap();
                let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
                for (key, value) in value.as_object().into_iter().flatten() {
                    match known.get(key) {
                        Some(rule) => holds(rule, value).map_err(|why| format!("{key}: {why}"))?,
                        None if closed => return Err(format!("{key} is not in the schema")),
                        None => {}
                    }
                }
                true
            }
            other => panic!("this check does not know the keyword {other}"),
        };
        if !whether {
            return Err(format!("{keyword} {rule} does not hold for {value}"));
        }
    }
    Ok(())
}

/// Another part of the file. What its pattern says is checked by the product's own types.
fn refers(to: &str, value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    let digits = |count| text.len() == count && hex::decode(text).is_ok();
    let holds_so = match to {
        "#/$defs/address" => text.parse::<Address>().is_ok(),
        "#/$defs/raw" => text.parse::<i128>().is_ok(),
        "#/$defs/hash" => digits(64),
        "#/$defs/info_hash" => digits(40),
        "#/$defs/time_ms" => value.is_i64(),
        other => {
            let pointer = other.trim_start_matches('#').replace("%20", " ");
            return holds(schemas().pointer(&pointer).expect("it is there"), value);
        }
    };
    holds_so
        .then_some(())
        .ok_or_else(|| format!("{value} is not as {to}"))
}

fn is_a(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no type"),
    }
}

/// What a schema has, for the page: each property with its type and description.
pub(crate) fn properties(schema: &Value) -> Vec<(String, String, String)> {
    let mut rows = Vec::new();
    collect("", schema, &mut rows);
    rows
}

fn collect(prefix: &str, schema: &Value, rows: &mut Vec<(String, String, String)>) {
    let none = Map::new();
    let inner = schema.get("items").unwrap_or(schema);
    let prefix = match schema.get("items") {
        Some(_) if !prefix.is_empty() => format!("{}[].", prefix.trim_end_matches('.')),
        _ => prefix.to_owned(),
    };
    let known = inner.get("properties").and_then(Value::as_object);
    let required = inner.get("required").and_then(Value::as_array);
    for (key, rule) in known.unwrap_or(&none) {
        let always = required.is_some_and(|all| all.iter().any(|one| one == key));
        let name = format!("{prefix}{key}");
        let described = rule.get("description").and_then(Value::as_str);
        let kind = kind(rule) + if always { "" } else { ", not always" };
        rows.push((name.clone(), kind, described.unwrap_or_default().into()));
        collect(&format!("{name}."), rule, rows);
    }
}

fn kind(rule: &Value) -> String {
    if let Some(to) = rule.get("$ref").and_then(Value::as_str) {
        return to.rsplit('/').next().unwrap().replace("%20", " ");
    }
    if let Some(all) = rule.get("anyOf").and_then(Value::as_array) {
        return all.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    if let Some(one) = rule.get("const").and_then(Value::as_str) {
        return format!("`{one}`");
    }
    match rule.get("type") {
        Some(Value::String(name)) => name.clone(),
        Some(Value::Array(names)) => {
            let names = names.iter().filter_map(Value::as_str);
            names.collect::<Vec<_>>().join(" or ")
        }
        _ => "any".into(),
    }
}
