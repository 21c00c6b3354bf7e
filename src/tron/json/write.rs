//! To JSON, as the node writes it.

use serde_json::{Map, Value, json};

use crate::{
    tron::{
        block::Block,
        contract::{ContractType, FieldSchema, Kind, type_name},
        keys::keccak256_parts,
        proto::{ProtoError, Reader},
        transaction::{
            CONTRACT_RET, RawContract, RawData, Transaction, TransactionError, TransactionResult,
        },
    },
    types::Address,
};

/// Bytes of an address: hex, or base58check of whatever is there.
fn address_text(bytes: &[u8], visible: bool) -> String {
    match Address::from_bytes(bytes) {
        Ok(address) if visible => address.to_string(),
        _ => hex::encode(bytes),
    }
}

fn plain_text(bytes: &[u8], visible: bool) -> String {
    if visible {
        String::from_utf8_lossy(bytes).into_owned()
    } else {
        hex::encode(bytes)
    }
}

/// The JSON of a message from its protobuf bytes.
///
/// # Errors
/// Bytes that are no such message.
pub fn message_to_json(
    fields: &[FieldSchema],
    bytes: &[u8],
    visible: bool,
) -> Result<Value, ProtoError> {
    let mut object = Map::new();
    for field in Reader::new(bytes) {
        let field = field?;
        let Some(schema) = fields.iter().find(|schema| schema.number == field.number) else {
            continue;
        };
        let name = schema.json_name();
        let value = match schema.kind {
            Kind::Address => Value::from(address_text(field.bytes(schema.name)?, visible)),
            Kind::Text => Value::from(plain_text(field.bytes(schema.name)?, visible)),
            Kind::Bytes => Value::from(hex::encode(field.bytes(schema.name)?)),
            Kind::String => Value::from(field.text(schema.name)?),
            Kind::Int64 => Value::from(field.int64(schema.name)?),
            Kind::Int32 => Value::from(field.int32(schema.name)?),
            Kind::Bool => Value::from(field.int64(schema.name)? != 0),
            Kind::Enum(names) => {
                let number = field.int32(schema.name)?;
                match usize::try_from(number)
                    .ok()
                    .and_then(|index| names.get(index))
                {
                    Some(text) => Value::from(*text),
                    None => Value::from(number),
                }
            }
            Kind::Message(inner) => message_to_json(inner, field.bytes(schema.name)?, visible)?,
            Kind::Repeated(inner) => {
                let element = message_to_json(inner, field.bytes(schema.name)?, visible)?;
                match object.get_mut(name) {
                    Some(Value::Array(list)) => list.push(element),
                    _ => {
                        object.insert(name.to_owned(), Value::Array(vec![element]));
                    }
                }
                continue;
            }
        };
        object.insert(name.to_owned(), value);
    }
    Ok(Value::Object(object))
}

/// `raw_data` as the node writes it. A contract of an unknown type keeps its
/// bytes as hex in `parameter.value`.
///
/// # Errors
/// A contract whose bytes are not what its type says.
pub fn raw_data_to_json(raw: &RawData, visible: bool) -> Result<Value, ProtoError> {
    let contracts = raw
        .contracts
        .iter()
        .map(|contract| contract_to_json(contract, visible))
        .collect::<Result<Vec<_>, _>>()?;
    let mut object = Map::new();
    if !raw.memo.is_empty() {
        object.insert("data".into(), hex::encode(&raw.memo).into());
    }
    object.insert("contract".into(), contracts.into());
    for (name, bytes) in [
        ("ref_block_bytes", &raw.ref_block_bytes),
        ("ref_block_hash", &raw.ref_block_hash),
    ] {
        if !bytes.is_empty() {
            object.insert(name.into(), hex::encode(bytes).into());
        }
    }
    let numbers = [
        ("ref_block_num", raw.ref_block_num),
        ("expiration", raw.expiration.0),
        ("fee_limit", raw.fee_limit_sun),
        ("timestamp", raw.timestamp.0),
    ];
    for (name, value) in numbers {
        if value != 0 {
            object.insert(name.into(), value.into());
        }
    }
    if !raw.scripts.is_empty() {
        object.insert("scripts".into(), hex::encode(&raw.scripts).into());
    }
    Ok(Value::Object(object))
}

fn contract_to_json(contract: &RawContract, visible: bool) -> Result<Value, ProtoError> {
    let kind = ContractType::from_number(contract.contract_type);
    let value = match kind {
        Some(kind) => message_to_json(kind.fields(), &contract.value, visible)?,
        None => Value::from(hex::encode(&contract.value)),
    };
    let mut object = Map::new();
    object.insert(
        "parameter".into(),
        json!({ "value": value, "type_url": contract.type_url }),
    );
    object.insert(
        "type".into(),
        match type_name(contract.contract_type) {
            Some(name) => name.into(),
            None => contract.contract_type.into(),
        },
    );
    if contract.permission_id != 0 {
        object.insert("Permission_id".into(), contract.permission_id.into());
    }
    Ok(Value::Object(object))
}

/// A transaction as `gettransactionbyid` gives it: `ret` and `signature` only
/// when there are any, no `visible`.
///
/// # Errors
/// Raw data that cannot be read.
pub fn transaction_to_json(
    transaction: &Transaction,
    visible: bool,
) -> Result<Value, TransactionError> {
    let raw = transaction.raw_data()?;
    let mut object = Map::new();
    if !transaction.results().is_empty() {
        let results = transaction
            .results()
            .iter()
            .map(result_to_json)
            .collect::<Vec<_>>();
        object.insert("ret".into(), results.into());
    }
    if !transaction.signatures().is_empty() {
        let signatures = transaction
            .signatures()
            .iter()
            .map(hex::encode)
            .collect::<Vec<_>>();
        object.insert("signature".into(), signatures.into());
    }
    object.insert("txID".into(), transaction.txid().to_string().into());
    if let Some(contract) = raw.contracts.first()
        && contract.contract_type == ContractType::CreateSmart.number()
        && let Ok(contract) = contract.decoded()
    {
        // `WalletUtil.generateContractAddress`: hex whatever `visible` says.
        let txid = transaction.txid();
        let hash = keccak256_parts(&[txid.as_bytes(), contract.owner_address()]);
        let body = hex::encode(hash.get(12..).unwrap_or_default());
        object.insert("contract_address".into(), format!("41{body}").into());
    }
    object.insert("raw_data".into(), raw_data_to_json(&raw, visible)?);
    object.insert(
        "raw_data_hex".into(),
        hex::encode(transaction.raw_bytes()).into(),
    );
    Ok(Value::Object(object))
}

fn result_to_json(result: &TransactionResult) -> Value {
    let mut object = Map::new();
    if result.fee_sun != 0 {
        object.insert("fee".into(), result.fee_sun.into());
    }
    if result.ret != 0 {
        object.insert("ret".into(), "FAILED".into());
    }
    if result.contract_ret != 0 {
        let name = usize::try_from(result.contract_ret)
            .ok()
            .and_then(|index| CONTRACT_RET.get(index).copied())
            .unwrap_or("UNKNOWN");
        object.insert("contractRet".into(), name.into());
    }
    Value::Object(object)
}

/// A block as `getblockbynum` gives it.
///
/// # Errors
/// A transaction in it that cannot be read.
pub fn block_to_json(block: &Block, visible: bool) -> Result<Value, TransactionError> {
    let mut object = Map::new();
    object.insert("blockID".into(), block.id().to_string().into());
    object.insert("block_header".into(), header_to_json(block, visible));
    if !block.transactions.is_empty() {
        let transactions = block
            .transactions
            .iter()
            .map(|transaction| transaction_to_json(transaction, visible))
            .collect::<Result<Vec<_>, _>>()?;
        object.insert("transactions".into(), transactions.into());
    }
    Ok(Value::Object(object))
}

/// `block_header`, as in a block without its transactions.
pub fn header_to_json(block: &Block, visible: bool) -> Value {
    let header = &block.header;
    let mut raw = Map::new();
    if header.number != 0 {
        raw.insert("number".into(), header.number.into());
    }
    raw.insert("txTrieRoot".into(), hex::encode(header.tx_trie_root).into());
    raw.insert(
        "witness_address".into(),
        address_text(&header.witness_address, visible).into(),
    );
    raw.insert("parentHash".into(), header.parent_hash.to_string().into());
    if header.version != 0 {
        raw.insert("version".into(), header.version.into());
    }
    if header.timestamp.0 != 0 {
        raw.insert("timestamp".into(), header.timestamp.0.into());
    }
    if !header.account_state_root.is_empty() {
        raw.insert(
            "accountStateRoot".into(),
            hex::encode(&header.account_state_root).into(),
        );
    }
    let mut object = Map::new();
    object.insert("raw_data".into(), Value::Object(raw));
    if !block.witness_signature.is_empty() {
        object.insert(
            "witness_signature".into(),
            hex::encode(&block.witness_signature).into(),
        );
    }
    Value::Object(object)
}
