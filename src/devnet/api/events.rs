//! TronGrid's events of contracts and its lists of TRC-20 transfers, from this chain's own
//! logs, newest first.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value, json};

use super::{
    Ctx,
    eth::logs_in,
    grid::{MAX_PAGE, PAGE, page, wrong},
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

/// `SmartContract.ABI.Entry.EntryType.Event`.
const EVENT: i32 = 3;

/// A log and where it is.
struct Found {
    sealed: Arc<Sealed>,
    index: usize,
    /// Which of the transaction's logs it is.
    at: usize,
    log: Log,
}

impl Found {
    fn txid(&self) -> Option<TxId> {
        let transaction = self.sealed.block.transactions.get(self.index)?;
        Some(transaction.txid())
    }

    fn place(&self) -> (u64, usize, usize) {
        (self.sealed.number(), self.index, self.at)
    }
}

/// A page of what `show` makes of the logs, newest first.
fn list(
    ctx: &Ctx<'_>,
    query: &BTreeMap<String, String>,
    mut show: impl FnMut(&Found) -> Option<Value>,
) -> Value {
    let given = |name: &str| query.get(name).map(String::as_str);
    let limit = given("limit").map_or(Ok(PAGE), str::parse);
    let Some(limit) = limit.ok().filter(|limit| (1..=MAX_PAGE).contains(limit)) else {
        return wrong("limit is 1 to 200");
    };
    let from = given("fingerprint").map(|text| {
        let mut parts = text.split('-');
        let block = parts.next()?.parse::<u64>().ok()?;
        let index = parts.next()?.parse::<usize>().ok()?;
        Some((block, index, parts.next()?.parse::<usize>().ok()?))
    });
    let from = match from {
        Some(None) => return wrong("this fingerprint is of another list"),
        Some(Some(place)) => place,
        None => (u64::MAX, usize::MAX, usize::MAX),
    };
    let newest = match given("only_confirmed") == Some("true") {
        true => ctx.solid_block().number(),
        false => ctx.head().number(),
    };
    let mut data = Vec::new();
    let mut last = None;
    for number in (0..=newest.min(from.0)).rev() {
        let Some(sealed) = i64::try_from(number).ok().and_then(|n| ctx.block(n)) else {
            break;
        };
        for found in logs_of(&sealed).into_iter().rev() {
            if found.place() >= from {
                continue;
            }
            let Some(shown) = show(&found) else {
                continue;
            };
            if data.len() == limit {
                return page(ctx, data, last);
            }
            data.push(shown);
            let (block, index, at) = found.place();
            last = Some(format!("{block}-{index}-{at}"));
        }
    }
    page(ctx, data, None)
}

fn logs_of(sealed: &Arc<Sealed>) -> Vec<Found> {
    let receipts = sealed.receipts.iter().enumerate();
    receipts
        .flat_map(|(index, receipt)| {
            logs_in(receipt)
                .iter()
                .enumerate()
                .map(move |(at, log)| Found {
                    sealed: Arc::clone(sealed),
                    index,
                    at,
                    log: log.clone(),
                })
        })
        .collect()
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

fn event_json(ctx: &Ctx<'_>, state: &State, found: &Found) -> Option<Value> {
    let mut out = Map::new();
    let log = &found.log;
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
    list(ctx, query, |found| {
        if found.log.address != who {
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
    list(ctx, query, |found| {
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
    list(ctx, query, |found| {
        let [kind, from, to] = found.log.topics.as_slice() else {
            return None;
        };
        let (from, to) = (abi::topic_address(from), abi::topic_address(to));
        let wanted = match (only_from, only_to) {
            (true, false) => from == who,
            (false, true) => to == who,
            _ => from == who || to == who,
        };
        let at = found.log.address;
        if *kind != transfer || !wanted || token.is_some_and(|token| *token != at.to_string()) {
            return None;
        }
        let info = tokens.entry(at).or_insert_with(|| token_info(ctx, at));
        Some(json!({
            "transaction_id": found.txid()?.to_string(),
            "token_info": info,
            "block_timestamp": found.sealed.time().0,
            "from": from.to_string(),
            "to": to.to_string(),
            "type": "Transfer",
            "value": abi::value("uint256", &found.log.data, 0)?,
        }))
    })
}

/// What a token says of itself.
fn token_info(ctx: &Ctx<'_>, token: Address) -> Value {
    let view = View::of(ctx);
    let ask = |name: &str, kind: &str| {
        let call = Constant::Call(TriggerSmartContract {
            owner_address: Address::ZERO.to_bytes().to_vec(),
            contract_address: token.to_bytes().to_vec(),
            data: selector_of(&format!("{name}()")).to_vec(),
            ..TriggerSmartContract::default()
        });
        let txid = TxId::from_bytes([0; 32]);
        let ran = trigger::make(&view, &call, txid, 0, trigger::deadline()).ok()?;
        match ran.ended {
            Ended::Done => abi::value(kind, &ran.output, 0),
            _ => None,
        }
    };
    let decimals = ask("decimals", "uint8").and_then(|text| text.parse::<u64>().ok());
    json!({
        "symbol": ask("symbol", "string"),
        "address": token.to_string(),
        "decimals": decimals,
        "name": ask("name", "string"),
    })
}
