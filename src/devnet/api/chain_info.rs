//! The chain's parameters and prices, the node, the witness, addresses.

use serde_json::{Map, Value, json};

use crate::{
    devnet::{
        api::{Ctx, account::put, failure::Failure, request::Call},
        params::Parameter,
    },
    types::Address,
};

/// The release whose answers this node gives.
const VERSION: &str = "4.8.0";

pub(super) fn get_chain_parameters(ctx: &Ctx<'_>, _: &Call) -> Result<Value, Failure> {
    let state = ctx.state();
    let list: Value = state
        .parameters
        .listed()
        .map(|(parameter, value)| {
            let mut entry = Map::new();
            entry.insert("key".into(), parameter.name().into());
            put(&mut entry, "value", value);
            Value::Object(entry)
        })
        .collect();
    Ok(json!({ "chainParameter": list }))
}

/// Prices since genesis; this chain never votes, so there is one.
fn price(ctx: &Ctx<'_>, parameter: Parameter) -> Value {
    let price = ctx.state().parameters.get(parameter);
    json!({ "prices": format!("0:{price}") })
}

pub(super) fn get_bandwidth_prices(ctx: &Ctx<'_>, _: &Call) -> Result<Value, Failure> {
    Ok(price(ctx, Parameter::TransactionFee))
}

pub(super) fn get_energy_prices(ctx: &Ctx<'_>, _: &Call) -> Result<Value, Failure> {
    Ok(price(ctx, Parameter::EnergyFee))
}

pub(super) fn get_memo_fee(ctx: &Ctx<'_>, _: &Call) -> Result<Value, Failure> {
    Ok(price(ctx, Parameter::MemoFee))
}

pub(super) fn get_burnt_trx(ctx: &Ctx<'_>, _: &Call) -> Result<Value, Failure> {
    Ok(json!({ "burnTrxAmount": ctx.state().properties.burnt }))
}

/// When the present maintenance cycle ends.
pub(super) fn get_next_maintenance(ctx: &Ctx<'_>, _: &Call) -> Result<Value, Failure> {
    Ok(json!({ "num": ctx.state().properties.next_maintenance.0 }))
}

pub(super) fn get_nothing(_: &Ctx<'_>, _: &Call) -> Result<Value, Failure> {
    Ok(json!({}))
}

fn block_text(number: u64, id: &crate::types::BlockId) -> String {
    format!("Num:{number},ID:{id}")
}

pub(super) fn get_node_info(ctx: &Ctx<'_>, _: &Call) -> Result<Value, Failure> {
    let head = ctx.real_head();
    let solid = ctx.solid_block();
    Ok(json!({
        "activeConnectCount": 0,
        // The head less the blocks a node could still take back: two more than
        // are not solid, as recorded (`Manager.getSyncBeginNumber`).
        "beginSyncNum": solid.number().saturating_sub(2),
        "block": block_text(head.number(), &head.id),
        "cheatWitnessInfoMap": {},
        "configNodeInfo": {
            "activeNodeSize": 0,
            "allowAdaptiveEnergy": 0,
            "allowCreationOfContracts": 1,
            "backupListenPort": 10_001,
            "backupMemberSize": 0,
            "backupPriority": 8,
            "codeVersion": VERSION,
            "dbVersion": 2,
            "discoverEnable": false,
            "listenPort": 0,
            "maxConnectCount": 1,
            "maxTimeRatio": 5.0,
            "minParticipationRate": 0,
            "minTimeRatio": 0.0,
            "p2pVersion": "20250001",
            "passiveNodeSize": 0,
            "sameIpMaxConnectCount": 2,
            "sendNodeSize": 0,
            "supportConstant": true,
            "versionNum": "18631",
        },
        "currentConnectCount": 0,
        "machineInfo": {
            "threadCount": 0,
            "deadLockThreadCount": 0,
            "cpuCount": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        },
        "passiveConnectCount": 0,
        "peerList": [],
        "solidityBlock": block_text(solid.number(), &solid.id),
        "totalFlow": 0,
    }))
}

/// What a monitor asks a node for, as far as there is something to say.
pub(super) fn get_stats(ctx: &Ctx<'_>) -> Value {
    let head = ctx.real_head();
    json!({
        "blockchain": {
            "dupWitness": [],
            "failForkCount": 0,
            "failProcessBlockNum": 0,
            "forkCount": 0,
            "headBlockHash": head.id,
            "headBlockNum": head.number(),
            "headBlockTimestamp": head.time(),
            "transactionCacheSize": ctx.pending().len(),
            "witnesses": [],
        },
        "net": {
            "connectionCount": 0,
            "disconnectionCount": 0,
            "errorProtoCount": 0,
            "validConnectionCount": 0,
        },
        "node": { "version": VERSION },
    })
}

/// Three forms by their length; `ValidateAddressServlet`.
pub(super) fn validate_address(_: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let input = call.text("address")?.unwrap_or_default();
    let valid =
        |bytes: Option<Vec<u8>>| bytes.is_some_and(|bytes| Address::from_bytes(&bytes).is_ok());
    let (result, form) = match input.chars().count() {
        42 => (valid(hex::decode(&input).ok()), "Hex string format"),
        34 => (Address::from_base58(&input).is_ok(), "Base58check format"),
        28 => (valid(from_base64(&input)), "Base64 format"),
        _ => return Ok(json!({ "result": false, "message": "Length error" })),
    };
    Ok(json!({
        "result": result,
        "message": if result { form } else { "Invalid address" },
    }))
}

/// Base64 of 21 bytes: 28 digits without padding.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(21);
    let mut bits = 0u32;
    let mut count = 0;
    for digit in text.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.extend((bits >> count).to_le_bytes().first());
        }
    }
    Some(bytes)
}
