//! `eth_getLogs` and filters (`LogFilter.java`, `TronJsonRpcImpl.java`): no contract
//! ever logs anything here, but what is asked is judged, and blocks are told of.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use serde_json::{Map, Value, json};

use super::{
    Ctx,
    eth::{Refusal, hex_bytes, quantity},
};
use crate::types::{BlockId, UnixMs};

/// Filters at once; the one that was asked for least recently goes.
const MAX_FILTERS: usize = 1_000;
/// How long a filter lives after it was last asked for, ms (`EXPIRE_SECONDS`).
const EXPIRE_MS: i64 = 5 * 60 * 1_000;
/// Topics of a log, and so of a filter.
const MAX_TOPICS: usize = 4;
/// Blocks that one answer tells of.
const MAX_TOLD: u64 = 50_000;

/// What a filter waits for.
#[derive(Debug, Clone, Copy)]
enum Waits {
    /// Blocks after this one.
    Blocks(u64),
    Logs,
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
    ctx.node.filters.add(ctx.now(), Waits::Logs)
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
        let before = filter.waits;
        if let Waits::Blocks(told) = &mut filter.waits {
            *told = head;
        }
        Some(before)
    });
    match waits.ok_or_else(not_found)? {
        Waits::Logs => Ok(json!([])),
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
        Some(filter.waits)
    });
    match waits {
        Some(Waits::Logs) => Ok(json!([])),
        Some(Waits::Blocks(_)) | None => Err(not_found()),
    }
}

/// What logs were asked for.
pub(super) struct Logs {
    block: Option<BlockId>,
    until_solid: bool,
}

impl Logs {
    pub(super) fn read(ctx: &Ctx<'_>, list: &[Value]) -> Result<Self, Refusal> {
        let Some(Value::Object(what)) = list.first() else {
            return Err(Refusal::invalid());
        };
        addresses(what)?;
        topics(what)?;
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
        let bound = |tag: Option<&str>| match tag {
            Some(tag) => number(ctx, tag).map(Some),
            None => Ok(None),
        };
        if let (Some(from), Some(to)) = (bound(from)?, bound(to)?)
            && from > to
        {
            return Err(Refusal::params("please verify: fromBlock <= toBlock"));
        }
        Ok(Self {
            block,
            until_solid: [from, to].contains(&Some("finalized")),
        })
    }

    /// The logs there are.
    pub(super) fn none_yet(&self, ctx: &Ctx<'_>) -> Result<Value, Refusal> {
        match &self.block {
            Some(id) if ctx.block_by_id(id).is_none() => Err(Refusal::params("invalid blockHash")),
            _ => Ok(json!([])),
        }
    }
}

fn number(ctx: &Ctx<'_>, tag: &str) -> Result<i64, Refusal> {
    match tag {
        "earliest" | "latest" | "finalized" | "pending" => super::eth::tagged(ctx, tag),
        tag => quantity(tag).ok_or_else(|| Refusal::params("Incorrect hex syntax")),
    }
}

fn addresses(what: &Map<String, Value>) -> Result<(), Refusal> {
    let check = |value: &Value| {
        let text = value.as_str();
        let text = text.ok_or_else(|| Refusal::params("invalid addresses in query"))?;
        let digits = text.strip_prefix("0x").unwrap_or(text);
        match digits.len() == 40 && hex::decode(digits).is_ok() {
            true => Ok(()),
            false => Err(Refusal::params(format!("invalid address: {}", cut(text)))),
        }
    };
    match what.get("address") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Array(list)) => list.iter().try_for_each(check),
        Some(one) => check(one),
    }
}

fn topics(what: &Map<String, Value>) -> Result<(), Refusal> {
    let check = |value: &Value| {
        let digits = value.as_str().map(|text| text.trim_start_matches("0x"));
        match digits.is_some_and(|digits| digits.len() == 64 && hex::decode(digits).is_ok()) {
            true => Ok(()),
            false => {
                let shown = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                Err(Refusal::params(format!(
                    "invalid topic(s): {}",
                    cut(&shown)
                )))
            }
        }
    };
    let Some(Value::Array(list)) = what.get("topics") else {
        return Ok(());
    };
    if list.len() > MAX_TOPICS {
        return Err(Refusal::params("topics size should be <= 4"));
    }
    list.iter().try_for_each(|topic| match topic {
        Value::Null => Ok(()),
        Value::Array(either) => either.iter().try_for_each(check),
        one => check(one),
    })
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}
