//! What contracts did, as JSON: logs, internal transactions, results.

use serde_json::{Map, Value, json};

use crate::{
    devnet::{
        api::account::{address_text, put},
        incoming::base58check,
        vm::{Internal, Log},
    },
    types::Address,
};

/// How a log's address is shown, which the chain notes without its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogAddress {
    /// In hex, as it is noted.
    Bare,
    /// `T...`, as in the information of a transaction.
    Whole,
    /// Base58check of the 20 bytes alone, as in the answer to a constant call.
    Cut,
}

impl LogAddress {
    /// In the answer to a call that was made at once.
    pub(super) fn of_call(visible: bool) -> Self {
        if visible { Self::Cut } else { Self::Bare }
    }

    /// In the information of a transaction.
    pub(super) fn of_info(visible: bool) -> Self {
        if visible { Self::Whole } else { Self::Bare }
    }

    fn text(self, address: &Address) -> String {
        match self {
            Self::Bare => hex::encode(address.body()),
            Self::Whole => address.to_string(),
            Self::Cut => base58check(address.body()),
        }
    }
}

pub(super) fn log_json(log: &Log, shown: LogAddress) -> Value {
    let mut out = Map::new();
    out.insert("address".into(), shown.text(&log.address).into());
    if !log.topics.is_empty() {
        out.insert(
            "topics".into(),
            log.topics.iter().map(hex::encode).collect(),
        );
    }
    if !log.data.is_empty() {
        out.insert("data".into(), hex::encode(&log.data).into());
    }
    Value::Object(out)
}

pub(super) fn internal_json(internal: &Internal, visible: bool) -> Value {
    let mut out = Map::new();
    out.insert("hash".into(), hex::encode(internal.hash).into());
    let address = |address: &Address| Value::from(address_text(address, visible));
    out.insert("caller_address".into(), address(&internal.from));
    if let Some(to) = &internal.to {
        out.insert("transferTo_address".into(), address(to));
    }
    let mut value = Map::new();
    put(&mut value, "callValue", internal.value);
    let mut values = vec![Value::Object(value)];
    for (id, amount) in &internal.tokens {
        let mut value = Map::new();
        put(&mut value, "callValue", *amount);
        value.insert("tokenId".into(), id.to_string().into());
        values.push(Value::Object(value));
    }
    out.insert("callValueInfo".into(), values.into());
    out.insert("note".into(), hex::encode(internal.note).into());
    if internal.is_rejected {
        out.insert("rejected".into(), true.into());
    }
    if !internal.extra.is_empty() {
        out.insert("extra".into(), internal.extra.as_str().into());
    }
    Value::Object(out)
}

/// Adds logs and internal transactions, where there are any.
pub(super) fn put_logs(
    out: &mut Map<String, Value>,
    (name, logs): (&str, &[Log]),
    internal: &[Internal],
    (visible, shown): (bool, LogAddress),
) {
    if !logs.is_empty() {
        let logs: Value = logs.iter().map(|log| log_json(log, shown)).collect();
        out.insert(name.to_owned(), logs);
    }
    if !internal.is_empty() {
        let internal: Value = internal
            .iter()
            .map(|internal| internal_json(internal, visible))
            .collect();
        out.insert("internal_transactions".into(), internal);
    }
}

/// A text of the chain's messages: hex, or itself.
pub(super) fn text_json(text: &str, visible: bool) -> Value {
    match visible {
        true => text.into(),
        false => hex::encode(text).into(),
    }
}

/// `{code, message}` of a call that was not made.
pub(super) fn refused_json(code: &str, message: &str, visible: bool) -> Value {
    json!({ "result": { "code": code, "message": text_json(message, visible) } })
}
