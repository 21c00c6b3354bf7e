//! From JSON, as a node writes or takes it; nothing in it is believed.

use serde_json::Value;

use super::{JsonError, form};
use crate::{
    tron::{
        block::{Block, BlockHeader},
        contract::{ContractType, FieldSchema, Kind, Message as _, ProposalCreateContract},
        proto::{MAX_DEPTH, Writer},
        transaction::{CONTRACT_RET, RawContract, RawData, Transaction, TransactionResult},
    },
    types::{Address, BlockId, UnixMs},
};

fn field<'a>(object: &'a Value, name: &'static str) -> Result<&'a Value, JsonError> {
    object.get(name).ok_or(JsonError::Missing(name))
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str, JsonError> {
    value.as_str().ok_or_else(|| form(name, "text", value))
}

fn hex_bytes(value: &Value, name: &str) -> Result<Vec<u8>, JsonError> {
    let digits = text(value, name)?;
    hex::decode(digits.strip_prefix("0x").unwrap_or(digits)).map_err(|_| form(name, "hex", value))
}

/// An optional integer; 0 when absent. Never through a float.
fn int(object: &Value, name: &str) -> Result<i64, JsonError> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(0),
        Some(value) => value
            .as_i64()
            .ok_or_else(|| form(name, "a 64-bit integer", value)),
    }
}

fn optional_hex(object: &Value, name: &str) -> Result<Vec<u8>, JsonError> {
    object
        .get(name)
        .map_or(Ok(Vec::new()), |value| hex_bytes(value, name))
}

/// The protobuf bytes of a message from its JSON. Unknown keys are ignored, as
/// the node does.
///
/// # Errors
/// A field of another form.
pub fn message_from_json(
    fields: &[FieldSchema],
    object: &Value,
    visible: bool,
) -> Result<Vec<u8>, JsonError> {
    message_at_depth(fields, object, visible, 0)
}

fn message_at_depth(
    fields: &[FieldSchema],
    object: &Value,
    visible: bool,
    depth: usize,
) -> Result<Vec<u8>, JsonError> {
    if depth > MAX_DEPTH {
        return Err(JsonError::Depth);
    }
    if !object.is_object() {
        return Err(form("value", "an object", object));
    }
    let mut writer = Writer::new();
    for schema in fields {
        let name = schema.json_name();
        let Some(value) = object.get(name) else {
            continue;
        };
        let number = schema.number;
        match schema.kind {
            Kind::Address => writer.bytes(number, &address_bytes(value, name, visible)?),
            Kind::Text if visible => writer.bytes(number, text(value, name)?.as_bytes()),
            Kind::Text | Kind::Bytes => writer.bytes(number, &hex_bytes(value, name)?),
            Kind::String => writer.bytes(number, text(value, name)?.as_bytes()),
            Kind::Int64 => writer.int64(
                number,
                value
                    .as_i64()
                    .ok_or_else(|| form(name, "a 64-bit integer", value))?,
            ),
            Kind::Int32 => {
                let value = value
                    .as_i64()
                    .and_then(|value| i32::try_from(value).ok())
                    .ok_or_else(|| form(name, "a 32-bit integer", value))?;
                writer.int64(number, value.into())
            }
            Kind::Bool => {
                let value = value
                    .as_bool()
                    .ok_or_else(|| form(name, "true or false", value))?;
                writer.int64(number, value.into())
            }
            Kind::Enum(names) => writer.int64(number, enum_number(value, name, names)?),
            Kind::Message(inner) => {
                writer.element(number, &message_at_depth(inner, value, visible, depth + 1)?)
            }
            Kind::Repeated(inner) => {
                let list = value
                    .as_array()
                    .ok_or_else(|| form(name, "a list", value))?;
                for element in list {
                    writer.element(
                        number,
                        &message_at_depth(inner, element, visible, depth + 1)?,
                    );
                }
                &mut writer
            }
        };
    }
    Ok(writer.into_bytes())
}

fn enum_number(value: &Value, name: &str, names: &[&str]) -> Result<i64, JsonError> {
    let number = match value {
        Value::String(text) => names.iter().position(|known| known == text),
        other => other
            .as_u64()
            .and_then(|number| usize::try_from(number).ok())
            .filter(|number| *number < names.len()),
    };
    number
        .and_then(|number| i64::try_from(number).ok())
        .ok_or_else(|| form(name, "one of the enum's names", value))
}

fn address_bytes(value: &Value, name: &str, visible: bool) -> Result<Vec<u8>, JsonError> {
    if visible {
        let text = text(value, name)?;
        return Address::from_base58(text)
            .map(|address| address.to_bytes().to_vec())
            .map_err(|_| form(name, "a base58check address", value));
    }
    hex_bytes(value, name)
}

/// `raw_data` from its JSON. Contracts of a type unknown here, or not
/// [rebuilt](ContractType::is_rebuilt), are refused: their bytes cannot be made from
/// their JSON.
///
/// # Errors
/// A field of another form, or an unknown contract.
pub fn raw_data_from_json(object: &Value, visible: bool) -> Result<RawData, JsonError> {
    let contracts = field(object, "contract")?;
    let contracts = contracts
        .as_array()
        .ok_or_else(|| form("contract", "a list", contracts))?
        .iter()
        .map(|contract| contract_from_json(contract, visible))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(RawData {
        ref_block_bytes: optional_hex(object, "ref_block_bytes")?,
        ref_block_num: int(object, "ref_block_num")?,
        ref_block_hash: optional_hex(object, "ref_block_hash")?,
        expiration: UnixMs(int(object, "expiration")?),
        memo: optional_hex(object, "data")?,
        contracts,
        scripts: optional_hex(object, "scripts")?,
        timestamp: UnixMs(int(object, "timestamp")?),
        fee_limit_sun: int(object, "fee_limit")?,
    })
}

fn contract_from_json(object: &Value, visible: bool) -> Result<RawContract, JsonError> {
    let name = text(field(object, "type")?, "type")?;
    let kind = ContractType::from_name(name)
        .filter(|kind| kind.is_rebuilt())
        .ok_or_else(|| JsonError::UnknownContract(name.chars().take(80).collect()))?;
    let parameter = field(object, "parameter")?;
    let permission_id = int(object, "Permission_id")?;
    Ok(RawContract {
        contract_type: kind.number(),
        type_url: match parameter.get("type_url") {
            Some(url) => text(url, "type_url")?.to_owned(),
            None => kind.type_url(),
        },
        value: message_from_json(kind.fields(), field(parameter, "value")?, visible)?,
        provider: optional_hex(object, "provider")?,
        contract_name: optional_hex(object, "ContractName")?,
        permission_id: i32::try_from(permission_id)
            .map_err(|_| form("Permission_id", "a 32-bit integer", &permission_id.into()))?,
    })
}

fn results_from_json(object: &Value) -> Result<Vec<TransactionResult>, JsonError> {
    let Some(list) = object.get("ret") else {
        return Ok(Vec::new());
    };
    let list = list.as_array().ok_or_else(|| form("ret", "a list", list))?;
    list.iter()
        .map(|result| {
            let ret = match result.get("ret").and_then(Value::as_str) {
                None | Some("SUCESS") => 0,
                Some("FAILED") => 1,
                Some(_) => return Err(form("ret", "SUCESS or FAILED", result)),
            };
            let contract_ret = match result.get("contractRet") {
                None => 0,
                Some(name) => enum_number(name, "contractRet", CONTRACT_RET)?,
            };
            Ok(TransactionResult {
                fee_sun: int(result, "fee")?,
                ret,
                contract_ret: i32::try_from(contract_ret).unwrap_or_default(),
            })
        })
        .collect()
}

/// The same with the parameters of a proposal by their numbers: they are a map, which has no
/// order, and a node shows them in another one than it has them in its bytes.
fn in_order(raw: &RawData) -> RawData {
    let mut raw = raw.clone();
    for contract in &mut raw.contracts {
        if contract.contract_type == ContractType::ProposalCreate.number()
            && let Ok(mut proposal) = ProposalCreateContract::decode(&contract.value)
        {
            proposal.parameters.sort_by_key(|parameter| parameter.key);
            contract.value = proposal.encode();
        }
    }
    raw
}

/// A transaction from the node's JSON, its bytes from `raw_data_hex`.
///
/// Nothing is believed: `txID` must be the hash of those bytes, and `raw_data`,
/// where its contract can be read, must encode to them.
///
/// # Errors
/// A field of another form, or JSON, hex and id that disagree.
pub fn transaction_from_json(object: &Value, visible: bool) -> Result<Transaction, JsonError> {
    let raw_bytes = hex_bytes(field(object, "raw_data_hex")?, "raw_data_hex")?;
    let signatures = match object.get("signature") {
        None => Vec::new(),
        Some(Value::Array(list)) => list
            .iter()
            .map(|s| hex_bytes(s, "signature"))
            .collect::<Result<_, _>>()?,
        Some(other) => return Err(form("signature", "a list", other)),
    };
    let transaction = Transaction::from_parts(raw_bytes, signatures, results_from_json(object)?);
    if let Some(claimed) = object.get("txID") {
        let claimed = text(claimed, "txID")?;
        let computed = transaction.txid().to_string();
        if !claimed.eq_ignore_ascii_case(&computed) {
            let claimed = claimed.chars().take(80).collect();
            return Err(JsonError::TxIdDiffers { claimed, computed });
        }
    }
    if let Some(shown) = object.get("raw_data") {
        let decoded = transaction.raw_data()?;
        match raw_data_from_json(shown, visible) {
            Ok(shown) if shown == decoded || in_order(&shown) == in_order(&decoded) => {}
            // The bytes stand on their own; their JSON has no form here.
            Err(JsonError::UnknownContract(_)) => {}
            Ok(_) | Err(_) => return Err(JsonError::RawDataDiffers),
        }
    }
    Ok(transaction)
}

/// A block from the node's JSON and the id it claims, unchecked: call
/// [`Sealed::block`](crate::tron::verified::Sealed::block).
///
/// # Errors
/// A field of another form.
pub fn block_from_json(object: &Value, visible: bool) -> Result<(BlockId, Block), JsonError> {
    let (id, header, witness_signature) = header_from_json(object, visible)?;
    let transactions = match object.get("transactions") {
        None => Vec::new(),
        Some(Value::Array(list)) => list
            .iter()
            .map(|tx| transaction_from_json(tx, visible))
            .collect::<Result<_, _>>()?,
        Some(other) => return Err(form("transactions", "a list", other)),
    };
    let block = Block {
        header,
        witness_signature,
        transactions,
    };
    Ok((id, block))
}

/// The id that a node claims for a block, its header and its witness's signature,
/// whether or not its transactions are there: check with [`Sealed::header`](crate::tron::verified::Sealed::header).
///
/// # Errors
/// A field of another form.
pub fn header_from_json(
    object: &Value,
    visible: bool,
) -> Result<(BlockId, BlockHeader, Vec<u8>), JsonError> {
    let claimed = field(object, "blockID")?;
    let id: BlockId = text(claimed, "blockID")?
        .parse()
        .map_err(|_| form("blockID", "32 bytes of hex", claimed))?;
    let header = field(object, "block_header")?;
    let raw = field(header, "raw_data")?;
    let number = int(raw, "number")?;
    let fixed = |name: &'static str| -> Result<[u8; 32], JsonError> {
        let value = field(raw, name)?;
        hex_bytes(value, name)?
            .try_into()
            .map_err(|_| form(name, "32 bytes of hex", value))
    };
    let version = int(raw, "version")?;
    let witness = field(raw, "witness_address")?;
    // Genesis names its witness in plain bytes, which visible mode shows as hex.
    let witness_address = match address_bytes(witness, "witness_address", visible) {
        Err(_) if visible => hex_bytes(witness, "witness_address")?,
        other => other?,
    };
    let block_header = BlockHeader {
        number: u64::try_from(number)
            .map_err(|_| form("number", "not negative", &number.into()))?,
        timestamp: UnixMs(int(raw, "timestamp")?),
        tx_trie_root: fixed("txTrieRoot")?,
        parent_hash: BlockId::from_bytes(fixed("parentHash")?),
        witness_address,
        version: i32::try_from(version)
            .map_err(|_| form("version", "a 32-bit integer", &version.into()))?,
        account_state_root: optional_hex(raw, "accountStateRoot")?,
    };
    Ok((id, block_header, optional_hex(header, "witness_signature")?))
}
