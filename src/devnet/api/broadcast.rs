//! Taking transactions in: `broadcasttransaction` and `broadcasthex`.

use serde_json::{Map, Value, json};

use crate::{
    devnet::{
        api::{
            Ctx,
            failure::Failure,
            merge::{from_hex_string, merge},
            request::Call,
        },
        incoming::{Incoming, type_name},
        reject::Reject,
    },
    tron::{
        contract::{self, Contract, ContractType},
        proto::{ProtoError, Reader, Writer},
        transaction::{RawContract, Transaction, TransactionError},
    },
    types::TxId,
};

/// What became of a broadcast. A transaction whose bytes a node drops silently
/// has an id and a refusal, but nothing that could be executed.
pub(super) struct Sent {
    pub(super) txid: TxId,
    pub(super) result: Result<(), Reject>,
}

/// `Util.packTransaction`: the transaction of a JSON body, from `raw_data` and
/// `signature` alone. A contract that does not parse is dropped.
pub(super) fn pack(call: &Call) -> Result<Incoming, Failure> {
    let visible = call.visible()?;
    let null = |name: &str, local: u8| {
        Failure::null(&format!(
            "Cannot invoke \"com.alibaba.fastjson.JSONObject.{name}(String)\" because \"<local{local}>\" is null"
        ))
    };
    let Some(body) = call.json()? else {
        return Err(null("getJSONObject", 2));
    };
    let Some(raw) = body.get("raw_data").filter(|raw| raw.is_object()) else {
        return Err(null("getJSONArray", 3));
    };
    let Some(list) = raw.get("contract").and_then(Value::as_array) else {
        return Err(Failure::null(
            "Cannot invoke \"com.alibaba.fastjson.JSONArray.size()\" because \"<local5>\" is null",
        ));
    };
    let mut writer = Writer::new();
    writer
        .bytes(1, &hex_field(raw, "ref_block_bytes")?)
        .int64(3, int_field(raw, "ref_block_num"))
        .bytes(4, &hex_field(raw, "ref_block_hash")?)
        .int64(8, int_field(raw, "expiration"))
        .bytes(10, &hex_field(raw, "data")?);
    for contract in list {
        if let Some(bytes) = contract_bytes(contract, visible) {
            writer.element(11, &bytes);
        }
    }
    // Of a type that has no message here, the bytes are in `raw_data_hex` alone. It is
    // refused by name, but as what was sent.
    let unread = list.iter().any(|contract| unread_type(contract).is_some());
    writer
        .bytes(12, &hex_field(raw, "scripts")?)
        .int64(14, int_field(raw, "timestamp"))
        .int64(18, int_field(raw, "fee_limit"));
    let signatures = match body.get("signature") {
        None | Some(Value::Null) => Vec::new(),
        // A single text is taken for a list of one.
        Some(Value::String(one)) => vec![hex_text(one)?],
        Some(Value::Array(list)) => list
            .iter()
            .filter_map(Value::as_str)
            .map(hex_text)
            .collect::<Result<_, _>>()?,
        Some(_) => Vec::new(),
    };
    let sent = body.get("raw_data_hex").and_then(Value::as_str);
    let raw = match sent.filter(|_| unread).and_then(from_hex_string) {
        Some(bytes) => bytes,
        None => writer.into_bytes(),
    };
    let transaction = Transaction::from_parts(raw, signatures, Vec::new());
    Incoming::new(transaction).map_err(protobuf)
}

/// The number of a contract's type, if the chain has it but no message of it is here.
fn unread_type(contract: &Value) -> Option<i32> {
    let name = contract.get("type")?.as_str()?;
    contract::type_number(name).filter(|number| ContractType::from_number(*number).is_none())
}

fn hex_text(text: &str) -> Result<Vec<u8>, Failure> {
    from_hex_string(text).ok_or_else(|| Failure::parse(0, 0, "INVALID hex String"))
}

fn hex_field(raw: &Value, name: &str) -> Result<Vec<u8>, Failure> {
    match raw.get(name) {
        Some(Value::String(text)) => hex_text(text),
        _ => Ok(Vec::new()),
    }
}

fn int_field(raw: &Value, name: &str) -> i64 {
    raw.get(name).and_then(Value::as_i64).unwrap_or_default()
}

fn contract_bytes(contract: &Value, visible: bool) -> Option<Vec<u8>> {
    if let Some(number) = unread_type(contract) {
        let mut writer = Writer::new();
        writer.int64(1, number.into()).element(2, &[]);
        return Some(writer.into_bytes());
    }
    let kind = ContractType::from_name(contract.get("type")?.as_str()?)?;
    let parameter = contract.get("parameter")?;
    let value = parameter.get("value").filter(|value| value.is_object())?;
    let value = without_nulls(value);
    // Encoded again: what was read stands in the order of the JSON.
    let value = merge(&value.to_string(), kind.fields(), visible).ok()?;
    let value = Contract::decode(kind, &value).ok()?.encode();
    let url = parameter.get("type_url").and_then(Value::as_str);
    let mut any = Writer::new();
    any.bytes(1, url.unwrap_or_default().as_bytes())
        .bytes(2, &value);
    let mut writer = Writer::new();
    writer
        .int64(1, kind.number().into())
        .element(2, any.as_bytes())
        .bytes(3, &hex_field(contract, "provider").ok()?)
        .bytes(4, &hex_field(contract, "ContractName").ok()?)
        .int64(5, int_field(contract, "Permission_id"));
    Some(writer.into_bytes())
}

/// As fastjson writes an object again before `JsonFormat` reads it: keys whose
/// value is null are gone.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), without_nulls(value)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        _ => value.clone(),
    }
}

fn protobuf(error: TransactionError) -> Failure {
    let message = match &error {
        TransactionError::Proto(ProtoError::Truncated(_)) => {
            "While parsing a protocol message, the input ended unexpectedly in the middle of a field.  This could mean either that the input has been truncated or that an embedded message misreported its own length.".to_owned()
        }
        TransactionError::Proto(ProtoError::Varint(_)) => {
            "CodedInputStream encountered a malformed varint.".to_owned()
        }
        TransactionError::Proto(ProtoError::FieldNumber(..)) => {
            "Protocol message contained an invalid tag (zero).".to_owned()
        }
        TransactionError::Proto(ProtoError::WireType(..)) => {
            "Protocol message tag had invalid wire type.".to_owned()
        }
        other => other.to_string(),
    };
    Failure::new(
        "com.google.protobuf.InvalidProtocolBufferException",
        message,
    )
}

pub(super) fn broadcast_transaction(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let visible = call.visible()?;
    let sent = ctx.send(pack(call)?);
    let mut out = Map::new();
    match &sent.result {
        Ok(()) => {
            out.insert("result".into(), true.into());
        }
        Err(reject) => {
            let message = reject.to_string();
            let message = match visible {
                true => message,
                false => hex::encode(message),
            };
            out.insert("code".into(), reject.code().into());
            out.insert("message".into(), message.into());
        }
    }
    out.insert("txid".into(), sent.txid.to_string().into());
    Ok(Value::Object(out))
}

pub(super) fn broadcast_hex(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let Some(body) = call.json()? else {
        return Err(Failure::null(
            "Cannot invoke \"com.alibaba.fastjson.JSONObject.getString(String)\" because the return value of \"com.alibaba.fastjson.JSONObject.parseObject(String)\" is null",
        ));
    };
    let text = body.get("transaction").and_then(Value::as_str);
    let bytes = from_hex_string(text.unwrap_or_default()).ok_or_else(Failure::not_hex)?;
    let transaction = match Transaction::decode(&bytes) {
        Ok(transaction) => transaction,
        // A message without raw data is one with an empty raw data.
        Err(TransactionError::Empty) => Transaction::from_parts(Vec::new(), Vec::new(), Vec::new()),
        Err(TransactionError::TooBig(_)) => {
            let (raw, signatures) = parts(&bytes);
            Transaction::from_parts(raw, signatures, Vec::new())
        }
        Err(error) => return Err(protobuf(error)),
    };
    let incoming = Incoming::new(transaction).map_err(protobuf)?;
    let shown = printed(&incoming);
    let sent = ctx.send(incoming);
    let (result, code, message) = match &sent.result {
        Ok(()) => (true, "SUCCESS", String::new()),
        Err(reject) => (false, reject.code(), reject.to_string()),
    };
    Ok(json!({
        "result": result,
        "code": code,
        "txid": sent.txid.to_string(),
        "message": message,
        "transaction": shown,
    }))
}

/// Raw data and signatures of a transaction too big to be one.
fn parts(bytes: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut raw = Vec::new();
    let mut signatures = Vec::new();
    for field in Reader::new(bytes).filter_map(Result::ok) {
        match (field.number, field.bytes("Transaction")) {
            (1, Ok(bytes)) => raw = bytes.to_vec(),
            (2, Ok(bytes)) => signatures.push(bytes.to_vec()),
            _ => {}
        }
    }
    (raw, signatures)
}

/// `JsonFormat.printToString` of the whole transaction: a text of JSON with its
/// own spacing, the contract's parameter still bytes.
fn printed(incoming: &Incoming) -> String {
    let raw = incoming.raw();
    let quoted = |bytes: &[u8]| format!("\"{}\"", hex::encode(bytes));
    let mut fields = Vec::new();
    let mut put = |name: &str, value: String| fields.push(format!("\"{name}\": {value}"));
    if !raw.ref_block_bytes.is_empty() {
        put("ref_block_bytes", quoted(&raw.ref_block_bytes));
    }
    if raw.ref_block_num != 0 {
        put("ref_block_num", raw.ref_block_num.to_string());
    }
    if !raw.ref_block_hash.is_empty() {
        put("ref_block_hash", quoted(&raw.ref_block_hash));
    }
    if raw.expiration.0 != 0 {
        put("expiration", raw.expiration.to_string());
    }
    if !raw.memo.is_empty() {
        put("data", quoted(&raw.memo));
    }
    if !raw.contracts.is_empty() {
        let list: Vec<_> = raw.contracts.iter().map(printed_contract).collect();
        put("contract", format!("[{}]", list.join(",")));
    }
    if !raw.scripts.is_empty() {
        put("scripts", quoted(&raw.scripts));
    }
    if raw.timestamp.0 != 0 {
        put("timestamp", raw.timestamp.to_string());
    }
    if raw.fee_limit_sun != 0 {
        put("fee_limit", raw.fee_limit_sun.to_string());
    }
    let mut all = Vec::new();
    if !incoming.transaction().raw_bytes().is_empty() {
        all.push(format!("\"raw_data\": {{{}}}", fields.join(",")));
    }
    let signatures = incoming.transaction().signatures();
    if !signatures.is_empty() {
        let list: Vec<_> = signatures.iter().map(|bytes| quoted(bytes)).collect();
        all.push(format!("\"signature\": [{}]", list.join(",")));
    }
    format!("{{{}}}", all.join(","))
}

fn printed_contract(contract: &RawContract) -> String {
    let mut fields = Vec::new();
    if contract.contract_type != 0 {
        let name = type_name(contract.contract_type);
        fields.push(format!("\"type\": \"{name}\""));
    }
    let mut any = Vec::new();
    if !contract.type_url.is_empty() {
        any.push(format!("\"type_url\": \"{}\"", contract.type_url));
    }
    if !contract.value.is_empty() {
        any.push(format!("\"value\": \"{}\"", hex::encode(&contract.value)));
    }
    fields.push(format!("\"parameter\": {{{}}}", any.join(",")));
    if !contract.provider.is_empty() {
        fields.push(format!(
            "\"provider\": \"{}\"",
            hex::encode(&contract.provider)
        ));
    }
    if contract.permission_id != 0 {
        fields.push(format!("\"Permission_id\": {}", contract.permission_id));
    }
    format!("{{{}}}", fields.join(","))
}
