//! Blocks.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::{
    devnet::{
        api::{
            Ctx,
            failure::Failure,
            request::{Call, Verb},
        },
        chain::Sealed,
    },
    tron::{
        contract::{FieldSchema, Kind},
        json::{block_to_json, header_to_json},
    },
    types::BlockId,
};

/// Blocks a list may have (`BLOCK_LIMIT_NUM`).
const MAX_BLOCKS: i64 = 100;

pub(super) const NUM: &[FieldSchema] = &[FieldSchema {
    number: 1,
    name: "num",
    kind: Kind::Int64,
}];

pub(super) const VALUE: &[FieldSchema] = &[FieldSchema {
    number: 1,
    name: "value",
    kind: Kind::Bytes,
}];

const LIMIT: &[FieldSchema] = &[
    FieldSchema {
        number: 1,
        name: "startNum",
        kind: Kind::Int64,
    },
    FieldSchema {
        number: 2,
        name: "endNum",
        kind: Kind::Int64,
    },
];

const REQUEST: &[FieldSchema] = &[
    FieldSchema {
        number: 1,
        name: "id_or_num",
        kind: Kind::String,
    },
    FieldSchema {
        number: 2,
        name: "detail",
        kind: Kind::Bool,
    },
];

fn whole(sealed: &Sealed, visible: bool) -> Value {
    block_to_json(&sealed.block, visible).expect("a block this node sealed")
}

fn header_only(sealed: &Sealed, visible: bool) -> Value {
    json!({
        "blockID": sealed.id.to_string(),
        "block_header": header_to_json(&sealed.block, visible),
    })
}

fn or_empty(block: Option<Arc<Sealed>>, visible: bool) -> Value {
    block.map_or_else(|| json!({}), |sealed| whole(&sealed, visible))
}

fn list(blocks: Vec<Arc<Sealed>>, visible: bool) -> Value {
    if blocks.is_empty() {
        return json!({ "block": [] });
    }
    let blocks: Value = blocks.iter().map(|sealed| whole(sealed, visible)).collect();
    json!({ "block": blocks })
}

pub(super) fn get_now_block(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let visible = call.query_visible();
    Ok(whole(&ctx.head(), visible))
}

pub(super) fn get_block_by_num(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let number = call.message(NUM)?.int(1);
    Ok(or_empty(ctx.block(number), call.visible()?))
}

pub(super) fn get_block_by_id(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let id = call.message(VALUE)?.bytes(1);
    let block = BlockId::try_from(id.as_slice())
        .ok()
        .and_then(|id| ctx.block_by_id(&id));
    Ok(or_empty(block, call.visible()?))
}

pub(super) fn get_block_by_latest_num(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let count = call.number(NUM)?;
    if !(1..MAX_BLOCKS).contains(&count) {
        return Ok(json!({}));
    }
    let head = i64::try_from(ctx.head().number()).unwrap_or(i64::MAX);
    let first = (head - count + 1).max(0);
    let blocks = (first..=head).filter_map(|number| ctx.block(number));
    Ok(list(blocks.collect(), call.visible()?))
}

pub(super) fn get_block_by_limit_next(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let missing = call.verb == Verb::Get
        && !(call.query.contains_key("startNum") && call.query.contains_key("endNum"));
    if missing {
        return Err(Failure::number(None));
    }
    let message = call.message(LIMIT)?;
    let (start, end) = (message.int(1), message.int(2));
    if end <= 0 || end <= start || end.saturating_sub(start) > MAX_BLOCKS {
        return Ok(json!({}));
    }
    let blocks = (start..end).filter_map(|number| ctx.block(number));
    Ok(list(blocks.collect(), call.visible()?))
}

pub(super) fn get_block(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let message = match call.verb {
        Verb::Post if call.body.is_empty() => {
            return Ok(header_only(&ctx.head(), false));
        }
        _ => call.message(REQUEST)?,
    };
    let which = String::from_utf8_lossy(&message.bytes(1)).into_owned();
    let visible = call.visible()?;
    let block = if which.is_empty() {
        Some(ctx.head())
    } else if which.bytes().all(|b| b.is_ascii_digit()) && which.len() < 20 {
        ctx.block(which.parse().map_err(|_| Failure::number(Some(&which)))?)
    } else {
        match which.parse::<BlockId>() {
            Ok(id) => ctx.block_by_id(&id),
            Err(_) => return Err(Failure::Plain("id must be legal block hash.".to_owned())),
        }
    };
    Ok(match block {
        None => json!({}),
        Some(sealed) if message.int(2) != 0 => whole(&sealed, visible),
        Some(sealed) => header_only(&sealed, visible),
    })
}

pub(super) fn get_transaction_count(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let number = call.number(NUM)?;
    let count = ctx
        .block(number)
        .map_or(0, |sealed| sealed.block.transactions.len());
    Ok(json!({ "count": count }))
}

const BLOCK_IDENTIFIER: &[FieldSchema] = &[
    FieldSchema {
        number: 1,
        name: "hash",
        kind: Kind::Bytes,
    },
    FieldSchema {
        number: 2,
        name: "number",
        kind: Kind::Int64,
    },
];

/// The block's operations on balances; this node keeps no such trace, so it
/// names the transactions and leaves the list of operations out.
pub(super) fn get_block_balance(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let message = call.message(BLOCK_IDENTIFIER)?;
    let sealed = identified(ctx, &message.bytes(1), message.int(2))?;
    let trace: Value = sealed
        .block
        .transactions
        .iter()
        .map(|transaction| {
            let mut entry = Map::new();
            entry.insert(
                "transaction_identifier".into(),
                transaction.txid().to_string().into(),
            );
            if let Some(kind) = transaction
                .raw_data()
                .ok()
                .and_then(|raw| raw.contracts.first().map(|contract| contract.contract_type))
            {
                let name = crate::devnet::incoming::type_name(kind);
                entry.insert("type".into(), name.into());
            }
            entry.insert("status".into(), "SUCCESS".into());
            Value::Object(entry)
        })
        .collect();
    Ok(json!({
        "block_identifier": { "hash": sealed.id.to_string(), "number": sealed.number() },
        "timestamp": sealed.time().0,
        "transaction_balance_trace": trace,
    }))
}

pub(super) fn identified(ctx: &Ctx<'_>, hash: &[u8], number: i64) -> Result<Arc<Sealed>, Failure> {
    ctx.block(number)
        .filter(|sealed| sealed.id.as_bytes() == hash)
        .ok_or_else(|| {
            Failure::new(
                "java.lang.IllegalArgumentException",
                "number and hash do not match",
            )
        })
}
