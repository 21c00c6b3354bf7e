//! `eth_getLogs` and filters (`LogFilter.java`, `TronJsonRpcImpl.java`).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Map, Value};

use super::{
    Ctx,
    eth::{Refusal, hex_bytes, log_json, logs_in, quantity},
    eth_contract::only,
};
use crate::{
    devnet::{chain::Sealed, vm::Log},
    types::{Address, BlockId, UnixMs},
};

/// Filters at once; the one that was asked for least recently goes.
const MAX_FILTERS: usize = 1_000;
/// How long a filter lives after it was last asked for, ms (`EXPIRE_SECONDS`).
const EXPIRE_MS: i64 = 5 * 60 * 1_000;
/// Topics of a log, and so of a filter.
const MAX_TOPICS: usize = 4;
/// Blocks that one answer tells of.
const MAX_TOLD: u64 = 50_000;
/// Blocks that one question for logs may span (`node.jsonrpc.maxBlockRange`).
const MAX_RANGE: i64 = 5_000;
/// Logs of one answer (`maxBlockFilterNum` bounds java-tron's).
const MAX_LOGS: usize = 50_000;

/// What a filter waits for.
#[derive(Debug, Clone)]
enum Waits {
    /// Blocks after this one.
    Blocks(u64),
    /// Logs of the blocks after this one.
    Logs(u64, Arc<Logs>),
}

#[derive(Debug)]
struct Filter {
    waits: Waits,
    asked: UnixMs,
}

/// The filters of a node.
#[derive(Debug, Default)]
pub(crate) struct Filters(Mutex<BTreeMap<String, Filter>>);

impl Filters {
    fn with<T>(&self, now: UnixMs, act: impl FnOnce(&mut BTreeMap<String, Filter>) -> T) -> T {
        let mut filters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        filters.retain(|_, filter| now.0 - filter.asked.0 < EXPIRE_MS);
        act(&mut filters)
    }

    fn add(&self, now: UnixMs, waits: Waits) -> Result<Value, Refusal> {
        let mut id = [0; 16];
        getrandom::fill(&mut id)
            .map_err(|error| Refusal::new(-32603, format!("no randomness: {error}")))?;
        self.with(now, |filters| {
            if filters.len() >= MAX_FILTERS
                && let Some(oldest) = filters
                    .iter()
                    .min_by_key(|(_, filter)| filter.asked)
                    .map(|(id, _)| id.clone())
            {
                filters.remove(&oldest);
            }
            filters.insert(hex::encode(id), Filter { waits, asked: now });
        });
        Ok(hex_bytes(&id))
    }
}

fn not_found() -> Refusal {
    Refusal::new(-32000, "filter not found")
}

fn id(list: &[Value]) -> Result<String, Refusal> {
    let text = list.first().and_then(Value::as_str).ok_or_else(not_found)?;
    Ok(text.strip_prefix("0x").unwrap_or(text).to_lowercase())
}

pub(super) fn new_block_filter(ctx: &Ctx<'_>, _: &[Value]) -> Result<Value, Refusal> {
    let head = ctx.head().number();
    ctx.node.filters.add(ctx.now(), Waits::Blocks(head))
}

pub(super) fn new_filter(ctx: &Ctx<'_>, list: &[Value]) -> Result<Value, Refusal> {
    let logs = Logs::read(ctx, list)?;
    if logs.until_solid {
        return Err(Refusal::params("invalid block range params"));
    }
    let head = ctx.head().number();
    ctx.node
        .filters
        .add(ctx.now(), Waits::Logs(head, Arc::new(logs)))
}

pub(super) fn uninstall(ctx: &Ctx<'_>, list: &[Value]) -> Result<Value, Refusal> {
    let id = id(list)?;
    let gone = ctx
        .node
        .filters
        .with(ctx.now(), |filters| filters.remove(&id));
    gone.map(|_| true.into()).ok_or_else(not_found)
}

pub(super) fn changes(ctx: &Ctx<'_>, list: &[Value]) -> Result<Value, Refusal> {
    let (id, now, head) = (id(list)?, ctx.now(), ctx.head().number());
    let waits = ctx.node.filters.with(now, |filters| {
        let filter = filters.get_mut(&id)?;
        filter.asked = now;
        let before = filter.waits.clone();
        let (Waits::Blocks(told) | Waits::Logs(told, _)) = &mut filter.waits;
        *told = head;
        Some(before)
    });
    match waits.ok_or_else(not_found)? {
        Waits::Logs(told, logs) => {
            let first = i64::try_from(told + 1).unwrap_or(i64::MAX);
            let last = i64::try_from(head).unwrap_or(i64::MAX);
            let from = logs.from.unwrap_or(0).max(first);
            logs.between(ctx, from, logs.to.unwrap_or(last).min(last))
        }
        Waits::Blocks(told) => {
            let first = (told + 1).max(head.saturating_sub(MAX_TOLD));
            let new = (first..=head).filter_map(|number| {
                let sealed = ctx.block(i64::try_from(number).ok()?)?;
                Some(hex_bytes(sealed.id.as_bytes()))
            });
            Ok(new.collect())
        }
    }
}

pub(super) fn logs(ctx: &Ctx<'_>, list: &[Value]) -> Result<Value, Refusal> {
    let (id, now) = (id(list)?, ctx.now());
    let waits = ctx.node.filters.with(now, |filters| {
        let filter = filters.get_mut(&id)?;
        filter.asked = now;
        Some(filter.waits.clone())
    });
    match waits {
        Some(Waits::Logs(_, logs)) => logs.found(ctx),
        Some(Waits::Blocks(_)) | None => Err(not_found()),
    }
}

/// What may be said of logs (`FilterRequest`).
const FILTER: &[&str] = &["address", "blockHash", "fromBlock", "toBlock", "topics"];

/// What logs were asked for.
#[derive(Debug)]
pub(super) struct Logs {
    block: Option<BlockId>,
    from: Option<i64>,
    to: Option<i64>,
    until_solid: bool,
    /// Any of these; none for all.
    addresses: Vec<Address>,
    /// At each place any of these; none for all.
    topics: Vec<Vec<[u8; 32]>>,
}

impl Logs {
    pub(super) fn read(ctx: &Ctx<'_>, list: &[Value]) -> Result<Self, Refusal> {
        let Some(Value::Object(what)) = list.first() else {
            return Err(Refusal::invalid());
        };
        only(what, FILTER)?;
        let addresses = addresses(what)?;
        let topics = topics(what)?;
        let given = |name: &str| what.get(name).and_then(Value::as_str);
        let (from, to) = (given("fromBlock"), given("toBlock"));
        let mut block = None;
        if let Some(hash) = given("blockHash") {
            if from.is_some() || to.is_some() {
                return Err(Refusal::params(
                    "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other",
                ));
            }
            let id = hash.trim_start_matches("0x").parse();
            block = Some(id.map_err(|_| Refusal::params("invalid blockHash"))?);
        }
        let until_solid = [from, to].contains(&Some("finalized"));
        let bound = |tag: Option<&str>| match tag {
            Some(tag) => number(ctx, tag).map(Some),
            None => Ok(None),
        };
        let (from, to) = (bound(from)?, bound(to)?);
        if let (Some(from), Some(to)) = (from, to)
            && from > to
        {
            return Err(Refusal::params("please verify: fromBlock <= toBlock"));
        }
        Ok(Self {
            block,
            from,
            to,
            until_solid,
            addresses,
            topics,
        })
    }

    fn matches(&self, log: &Log) -> bool {
        let at = |(place, any): (usize, &Vec<[u8; 32]>)| {
            any.is_empty()
                || log
                    .topics
                    .get(place)
                    .is_some_and(|topic| any.contains(topic))
        };
        (self.addresses.is_empty() || self.addresses.contains(&log.address))
            && self.topics.len() <= log.topics.len()
            && self.topics.iter().enumerate().all(at)
    }

    fn of_block(&self, sealed: &Sealed, found: &mut Vec<Value>) {
        let mut at = 0;
        for (index, receipt) in sealed.receipts.iter().enumerate() {
            for log in logs_in(receipt) {
                if self.matches(log) {
                    found.push(log_json(sealed, index, at, log));
                }
                at += 1;
            }
        }
    }

    fn between(&self, ctx: &Ctx<'_>, from: i64, to: i64) -> Result<Value, Refusal> {
        if to.saturating_sub(from) > MAX_RANGE {
            return Err(Refusal::params(format!(
                "exceed max block range: {MAX_RANGE}"
            )));
        }
        let mut found = Vec::new();
        for number in from..=to {
            if let Some(sealed) = ctx.block(number) {
                self.of_block(&sealed, &mut found);
            }
            if found.len() > MAX_LOGS {
                return Err(Refusal::params(format!(
                    "query returned more than {MAX_LOGS} results"
                )));
            }
        }
        Ok(found.into())
    }

    /// The logs there are.
    pub(super) fn found(&self, ctx: &Ctx<'_>) -> Result<Value, Refusal> {
        let head = i64::try_from(ctx.head().number()).unwrap_or(i64::MAX);
        let Some(id) = &self.block else {
            // Without a beginning it is the newest block alone.
            let to = self.to.unwrap_or(head).min(head);
            return self.between(ctx, self.from.unwrap_or(to), to);
        };
        let sealed = ctx
            .block_by_id(id)
            .ok_or_else(|| Refusal::params("invalid blockHash"))?;
        let mut found = Vec::new();
        self.of_block(&sealed, &mut found);
        Ok(found.into())
    }
}

fn number(ctx: &Ctx<'_>, tag: &str) -> Result<i64, Refusal> {
    match tag {
        "earliest" | "latest" | "finalized" | "pending" => super::eth::tagged(ctx, tag),
        tag => quantity(tag)
            .filter(|number| *number >= 0)
            .ok_or_else(|| Refusal::params("Incorrect hex syntax")),
    }
}

fn addresses(what: &Map<String, Value>) -> Result<Vec<Address>, Refusal> {
    let read = |value: &Value| {
        let text = value.as_str();
        let text = text.ok_or_else(|| Refusal::params("invalid addresses in query"))?;
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let body = hex::decode(digits).ok();
        let body = body.and_then(|body| <[u8; 20]>::try_from(body.as_slice()).ok());
        body.map(Address::from_body)
            .ok_or_else(|| Refusal::params(format!("invalid address: {}", cut(text))))
    };
    match what.get("address") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => list.iter().map(read).collect(),
        Some(one) => Ok(vec![read(one)?]),
    }
}

fn topics(what: &Map<String, Value>) -> Result<Vec<Vec<[u8; 32]>>, Refusal> {
    let read = |value: &Value| {
        let digits = value.as_str().map(|text| text.trim_start_matches("0x"));
        let bytes = digits.and_then(|digits| hex::decode(digits).ok());
        bytes
            .and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok())
            .ok_or_else(|| {
                let text = value.as_str().map(str::to_owned);
                let shown = text.unwrap_or_else(|| value.to_string());
                Refusal::params(format!("invalid topic(s): {}", cut(&shown)))
            })
    };
    let Some(Value::Array(list)) = what.get("topics") else {
        return Ok(Vec::new());
    };
    if list.len() > MAX_TOPICS {
        return Err(Refusal::params("topics size should be <= 4"));
    }
    list.iter()
        .map(|topic| match topic {
            Value::Null => Ok(Vec::new()),
            Value::Array(either) => either.iter().map(read).collect(),
            one => Ok(vec![read(one)?]),
        })
        .collect()
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}
