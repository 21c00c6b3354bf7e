//! TronGrid's events of contracts and its lists of TRC-20 transfers, from this chain's own
//! logs, newest first.

use std::{collections::BTreeMap, time::Instant};

use serde_json::{Map, Value, json};

use super::{
    Ctx,
    eth::logs_in,
    pager::{Place, busy, list},
    trigger::{self, View},
};
use crate::{
    devnet::{
        abi,
        chain::Sealed,
        contracts::{selector_of, signature},
        execute::Constant,
        state::State,
        vm::{Ended, Log},
    },
    tron::{
        contract::{AbiEntry, TriggerSmartContract},
        keys::keccak256,
    },
    types::{Address, TxId},
};

/// What a question to a token may cost: 1,000,000 energy at the usual price.
const QUESTION_SUN: i64 = 100_000_000;
/// Tokens that are asked for what an account holds, the first by their addresses.
const MAX_TOKENS: usize = 200;
/// `SmartContract.ABI.Entry.EntryType.Event`.
const EVENT: i32 = 3;

/// Where the logs of a block are.
fn logs(sealed: &Sealed) -> Vec<(usize, usize)> {
    let receipts = sealed.receipts.iter().enumerate();
    receipts
        .flat_map(|(index, receipt)| (0..logs_in(receipt).len()).map(move |at| (index, at)))
        .collect()
}

/// The log at a place.
fn log_at(place: &Place) -> Option<&Log> {
    logs_in(place.sealed.receipts.get(place.index)?).get(place.at)
}

/// The event of the contract's ABI that a log is of.
fn described(state: &State, log: &Log) -> Option<AbiEntry> {
    let contract = state.contract(&log.address)?;
    let topic = log.topics.first()?;
    let entries = contract.abi.as_ref()?.entrys.iter();
    entries
        .filter(|entry| entry.r#type == EVENT && !entry.anonymous)
        .find(|entry| keccak256(signature(&entry.name, &entry.inputs)) == *topic)
        .cloned()
}

fn event_json(ctx: &Ctx<'_>, state: &State, found: &Place) -> Option<Value> {
    let mut out = Map::new();
    let log = log_at(found)?;
    let address = log.address.to_string();
    out.insert("block_number".into(), found.sealed.number().into());
    out.insert("block_timestamp".into(), found.sealed.time().0.into());
    out.insert("caller_contract_address".into(), address.as_str().into());
    out.insert("contract_address".into(), address.into());
    out.insert("event_index".into(), found.at.into());
    out.insert("transaction_id".into(), found.txid()?.to_string().into());
    if found.sealed.number() > ctx.solid_block().number() {
        out.insert("_unconfirmed".into(), true.into());
    }
    let (mut result, mut kinds) = (Map::new(), Map::new());
    match described(state, log) {
        Some(entry) => {
            let (mut topic, mut at) = (1, 0);
            let mut words = Vec::new();
            for (n, input) in entry.inputs.iter().enumerate() {
                let text = if input.indexed {
                    let word = log.topics.get(topic)?;
                    topic += 1;
                    let kind = match input.r#type.as_str() {
                        // Of what has no fixed size a topic has the hash.
                        "string" | "bytes" => "bytes32",
                        kind => kind,
                    };
                    abi::value(kind, word, 0)
                } else {
                    at += 32;
                    abi::value(&input.r#type, &log.data, at - 32)
                };
                let text = text.map(|text| in_event(&input.r#type, text));
                result.insert(n.to_string(), text.clone().into());
                result.insert(input.name.clone(), text.into());
                kinds.insert(input.name.clone(), input.r#type.as_str().into());
                let indexed = if input.indexed { "indexed " } else { "" };
                words.push(format!("{} {indexed}{}", input.r#type, input.name));
            }
            out.insert("event_name".into(), entry.name.as_str().into());
            let event = format!("{}({})", entry.name, words.join(", "));
            out.insert("event".into(), event.into());
        }
        None => {
            let name = log.topics.first().map(hex::encode).unwrap_or_default();
            out.insert("event_name".into(), name.into());
            result.insert("0".into(), hex::encode(&log.data).into());
        }
    }
    out.insert("result".into(), result.into());
    out.insert("result_type".into(), kinds.into());
    Some(Value::Object(out))
}

/// TronGrid writes addresses of events as Ethereum does.
fn in_event(kind: &str, text: String) -> String {
    match text.parse::<Address>() {
        Ok(address) if kind == "address" => format!("0x{}", hex::encode(address.body())),
        _ => text,
    }
}

/// `/v1/contracts/{address}/events`.
pub(super) fn of_contract(ctx: &Ctx<'_>, who: Address, query: &BTreeMap<String, String>) -> Value {
    let state = ctx.state();
    let name = query.get("event_name");
    list(ctx, query, logs, |found| {
        if log_at(found)?.address != who {
            return None;
        }
        let shown = event_json(ctx, &state, found)?;
        let is_wanted =
            name.is_none_or(|name| shown.get("event_name").and_then(Value::as_str) == Some(name));
        is_wanted.then_some(shown)
    })
}

/// `/v1/transactions/{id}/events` and `/v1/blocks/{number}/events`.
pub(super) fn of_place(
    ctx: &Ctx<'_>,
    txid: Option<TxId>,
    number: Option<u64>,
    query: &BTreeMap<String, String>,
) -> Value {
    let state = ctx.state();
    list(ctx, query, logs, |found| {
        let is_there = txid.is_none_or(|txid| found.txid() == Some(txid))
            && number.is_none_or(|number| found.sealed.number() == number);
        is_there.then(|| event_json(ctx, &state, found)).flatten()
    })
}

/// `/v1/accounts/{address}/transactions/trc20`: what `Transfer` events say.
pub(super) fn trc20(ctx: &Ctx<'_>, who: Address, query: &BTreeMap<String, String>) -> Value {
    let transfer = keccak256("Transfer(address,address,uint256)");
    let flag = |name: &str| query.get(name).is_some_and(|value| value == "true");
    let (only_from, only_to) = (flag("only_from"), flag("only_to"));
    let token = query.get("contract_address");
    let mut tokens: BTreeMap<Address, Value> = BTreeMap::new();
    let Some(_turn) = ctx.node.turns.take() else {
        return busy();
    };
    // One deadline for what all of them say of themselves.
    let deadline = trigger::deadline();
    list(ctx, query, logs, |found| {
        let log = log_at(found)?;
        let [kind, from, to] = log.topics.as_slice() else {
            return None;
        };
        let (from, to) = (abi::topic_address(from), abi::topic_address(to));
        let wanted = match (only_from, only_to) {
            (true, false) => from == who,
            (false, true) => to == who,
            _ => from == who || to == who,
        };
        let at = log.address;
        if *kind != transfer || !wanted || token.is_some_and(|token| *token != at.to_string()) {
            return None;
        }
        let info = tokens
            .entry(at)
            .or_insert_with(|| token_info(ctx, at, deadline));
        Some(json!({
            "transaction_id": found.txid()?.to_string(),
            "token_info": info,
            "block_timestamp": found.sealed.time().0,
            "from": from.to_string(),
            "to": to.to_string(),
            "type": "Transfer",
            "value": abi::value("uint256", &log.data, 0)?,
        }))
    })
}

/// The answer of a token to a question, if it gives one in time.
fn ask(view: &View, token: Address, data: Vec<u8>, deadline: Instant) -> Option<Vec<u8>> {
    let call = Constant::Call(TriggerSmartContract {
        owner_address: Address::ZERO.to_bytes().to_vec(),
        contract_address: token.to_bytes().to_vec(),
        data,
        ..TriggerSmartContract::default()
    });
    let txid = TxId::from_bytes([0; 32]);
    let ran = trigger::make(view, &call, txid, QUESTION_SUN, deadline).ok()?;
    (ran.ended == Ended::Done).then_some(ran.output)
}

/// What a token says of itself.
fn token_info(ctx: &Ctx<'_>, token: Address, deadline: Instant) -> Value {
    let view = View::of(ctx);
    let ask = |name: &str, kind: &str| {
        let data = selector_of(&format!("{name}()")).to_vec();
        abi::value(kind, &ask(&view, token, data, deadline)?, 0)
    };
    let decimals = ask("decimals", "uint8").and_then(|text| text.parse::<u64>().ok());
    json!({
        "symbol": ask("symbol", "string"),
        "address": token.to_string(),
        "decimals": decimals,
        "name": ask("name", "string"),
    })
}

/// What an account holds of each token, `{token: amount}`, but for those of which it has
/// none: every contract that has `balanceOf(address)` is asked. None when too many calls
/// are being made.
pub(super) fn balances(ctx: &Ctx<'_>, who: Address) -> Option<Vec<Value>> {
    let view = View::of(ctx);
    let selector = selector_of("balanceOf(address)");
    // PUSH4, as a compiler writes it.
    let sign = [&[0x63][..], &selector].concat();
    let mut tokens: Vec<Address> = view.state.contracts_with(&sign);
    if tokens.is_empty() {
        return Some(Vec::new());
    }
    tokens.sort();
    tokens.truncate(MAX_TOKENS);
    let _turn = ctx.node.turns.take()?;
    let deadline = trigger::deadline();
    let mut data = selector.to_vec();
    data.extend([0; 12]);
    data.extend(who.body());
    let held = tokens.into_iter().filter_map(|token| {
        let output = ask(&view, token, data.clone(), deadline)?;
        let amount = abi::value("uint256", &output, 0).filter(|amount| amount != "0")?;
        Some(json!({ token.to_string(): amount }))
    });
    Some(held.collect())
}
