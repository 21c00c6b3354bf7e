//! A recorded chain, made again block by block: with the ids, times and transactions that
//! the recordings tell of, and each recorded request put to it when it was put there.
//!
//! A node writes into what it builds which block was its newest, so it is known when that
//! was asked. When other questions were put is not: their answer must be that of some
//! block of the recorded stretch.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;

use super::{differences, world};
use crate::{
    devnet::{
        api::{self, Purse, Verb},
        chain::Chain,
        execute::Slot,
        genesis::{Genesis, GenesisAccount, NetworkStake},
        incoming::Incoming,
        node::{Habits, Node, Pace, Surroundings},
        params::Parameters,
        rules::ChainRules,
        state::{Account, Operations, State, reference_of},
    },
    tron::{
        keys::{SecretKey, SignRequest, Signer as _},
        transaction::Transaction,
    },
    types::{Address, BlockId, ManualClock, UnixMs},
};

/// The time between two blocks of the recorded chains, ms.
const STEP: i64 = 3_000;
/// How long after the head what a node builds expires, ms.
const BUILT_EXPIRES: i64 = 60_000;

/// A recorded request and its answer.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) name: String,
    group: &'static str,
    verb: Verb,
    path: String,
    body: String,
    pub(super) response: Value,
    /// The head's time when it was put, and which block was solid, where that is known.
    built: Option<(UnixMs, u16, UnixMs)>,
    /// Not put before this time, nor before this block was the newest.
    not_before: Option<UnixMs>,
    from: u64,
    /// Whether a contract's code runs for it.
    runs_code: bool,
    /// Whether a transaction is sent by it.
    sends: bool,
}

/// JSON with the spaces that the recorded requests were sent with; the order of their
/// names was not kept.
fn spaced(value: &Value) -> String {
    let list = |parts: Vec<String>| parts.join(", ");
    match value {
        Value::Object(object) => {
            let parts = object.iter();
            let parts = parts
                .map(|(name, value)| format!("{}: {}", Value::from(name.as_str()), spaced(value)));
            format!("{{{}}}", list(parts.collect()))
        }
        Value::Array(values) => format!("[{}]", list(values.iter().map(spaced).collect())),
        other => other.to_string(),
    }
}

/// The raw data of a transaction that a node built for a request.
fn built(response: &Value) -> Option<&Value> {
    let result = response.get("result").unwrap_or(response);
    [response, result]
        .into_iter()
        .flat_map(|place| [place, &place["transaction"]])
        .map(|place| &place["raw_data"])
        .find(|raw| raw["timestamp"].is_i64() && raw["expiration"].is_i64())
}

fn reference(raw: &Value) -> Option<(u16, [u8; 8])> {
    let bytes = hex::decode(raw["ref_block_bytes"].as_str()?).ok()?;
    let hash = hex::decode(raw["ref_block_hash"].as_str()?).ok()?;
    let number = u16::from_be_bytes(bytes.try_into().ok()?);
    Some((number, hash.try_into().ok()?))
}

impl Exchange {
    /// The clock of that machine ended the call; whether another one is as slow is no rule.
    pub(super) fn is_ended_by_the_clock(&self) -> bool {
        let text = self.response.to_string();
        let said = "CPU timeout for";
        text.contains(said) || text.contains(&hex::encode(said))
    }

    /// A group has a name, and a newest block when the first of it was put.
    pub(super) fn read(name: &str, told: &Value, (group, from): (&'static str, u64)) -> Self {
        let request = &told["request"];
        let path = request["path"].as_str().unwrap().to_owned();
        let body = match (&request["raw_body"], &request["body"]) {
            (Value::String(raw), _) => raw.clone(),
            (_, Value::Null) => String::new(),
            (_, body) => spaced(body),
        };
        let response = told["response"].clone();
        let is_asked = !path.contains("/get");
        let time = |raw: &Value, name: &str| raw[name].as_i64().map(UnixMs);
        let head = |raw: &Value| Some(UnixMs(time(raw, "expiration")?.0 - BUILT_EXPIRES));
        let built = built(&response).filter(|_| is_asked).and_then(|raw| {
            let solid = reference(raw)?.0;
            Some((head(raw)?, solid, time(raw, "timestamp")?))
        });
        let sent = &request["body"]["raw_data"];
        Self {
            name: name.to_owned(),
            group,
            verb: match request["method"].as_str() {
                Some("GET") => Verb::Get,
                _ => Verb::Post,
            },
            sends: path.contains("broadcast"),
            runs_code: path.contains("trigger") || path.contains("estimate"),
            path,
            body,
            not_before: time(sent, "timestamp"),
            from,
            built,
            response,
        }
    }
}

/// What recordings tell of the chain they were made on.
#[derive(Debug, Default)]
pub(super) struct Facts {
    ids: BTreeMap<u64, BlockId>,
    hashes: BTreeMap<u64, [u8; 8]>,
    times: BTreeMap<u64, UnixMs>,
    /// Where a transaction is in its block, where that is known.
    order: BTreeMap<String, u64>,
    /// The block of each transaction.
    blocks: BTreeMap<String, u64>,
    sent: BTreeMap<String, Incoming>,
    /// Built, and perhaps sent, but the sending was not recorded: raw data.
    unsigned: BTreeMap<String, Vec<u8>>,
    /// No block is later than that, where one was the solid one then.
    latest: BTreeMap<u64, UnixMs>,
}

/// The newest block number that recordings may tell of.
const MAX_NUMBER: u64 = 10_000;

impl Facts {
    /// Takes what a document tells.
    pub(super) fn learn(&mut self, told: &Value) {
        match told {
            Value::Array(list) => list.iter().for_each(|one| self.learn(one)),
            Value::Object(object) => {
                self.learn_object(told);
                object.values().for_each(|one| self.learn(one));
            }
            Value::String(text) => {
                let digits = text.strip_prefix("0x").unwrap_or(text);
                if let Ok(id) = digits.parse::<BlockId>()
                    && (1..MAX_NUMBER).contains(&id.number())
                    && digits.len() == 64
                {
                    self.ids.insert(id.number(), id);
                }
            }
            _ => {}
        }
    }

    fn learn_object(&mut self, told: &Value) {
        if let Some((number, hash)) = reference(told) {
            self.hashes.insert(number.into(), hash);
        }
        let time = |name: &str| told[name].as_i64().map(UnixMs);
        if let (Some(number), Some(time)) = (told["number"].as_u64(), time("timestamp")) {
            self.times.insert(number, time);
        }
        if let (Some(number), Some(time)) = (told["blockNumber"].as_u64(), time("blockTimeStamp")) {
            self.times.insert(number, time);
            if let Some(id) = told["id"].as_str() {
                self.blocks.insert(id.to_owned(), number);
            }
        }
        let hex = |name: &str| {
            let digits = told[name].as_str()?.strip_prefix("0x")?;
            u32::from_str_radix(digits, 16).ok()
        };
        if let (Some(number), Some(seconds)) = (hex("number"), hex("timestamp")) {
            let time = UnixMs(i64::from(seconds) * 1_000);
            self.times.insert(number.into(), time);
        }
        let digits = |name: &str| Some(told[name].as_str()?.strip_prefix("0x")?.to_owned());
        if let (Some(id), Some(index)) = (
            digits("transactionHash").or_else(|| digits("hash")),
            digits("transactionIndex").and_then(|text| u64::from_str_radix(&text, 16).ok()),
        ) {
            self.order.insert(id, index);
        }
        if told["block_header"].is_object() {
            for (index, one) in told["transactions"]
                .as_array()
                .into_iter()
                .flatten()
                .enumerate()
            {
                if let Some(id) = one["txID"].as_str() {
                    self.order.insert(id.to_owned(), index as u64);
                }
            }
        }
        if let (Some(raw), Some(id)) = (told["raw_data_hex"].as_str(), told["txID"].as_str()) {
            let raw = hex::decode(raw).unwrap_or_default();
            self.unsigned.insert(id.to_owned(), raw);
        }
        let sent = match (told["raw_data_hex"].as_str(), told["signature"].as_array()) {
            (Some(raw), Some(signatures)) => {
                let signatures = signatures
                    .iter()
                    .filter_map(|one| hex::decode(one.as_str()?).ok())
                    .collect();
                let raw = hex::decode(raw).unwrap_or_default();
                Some(Transaction::from_parts(raw, signatures, Vec::new()))
            }
            _ => told["transaction"]
                .as_str()
                .and_then(|text| Transaction::decode(&hex::decode(text).ok()?).ok()),
        };
        if let Some(incoming) = sent.and_then(|sent| Incoming::new(sent).ok()) {
            self.sent.insert(incoming.txid().to_string(), incoming);
        }
    }

    fn id(&self, number: u64) -> BlockId {
        if let Some(id) = self.ids.get(&number) {
            return *id;
        }
        let mut id = *world::made_up(number).as_bytes();
        if let Some(hash) = self.hashes.get(&number) {
            id[8..16].copy_from_slice(hash);
        }
        BlockId::from_bytes(id)
    }

    /// The transactions of a block, in their order as far as it is known.
    fn block(&self, number: u64) -> Vec<Incoming> {
        let there = self.blocks.iter().filter(|(_, block)| **block == number);
        let mut there: Vec<_> = there
            .filter_map(|(id, _)| Some((self.order.get(id), self.sent.get(id)?)))
            .collect();
        there.sort_by_key(|(order, incoming)| (order.copied(), incoming.raw().timestamp));
        there.into_iter().map(|(_, one)| one.clone()).collect()
    }

    fn last(&self) -> u64 {
        let blocks = self.blocks.values();
        let last = blocks.chain(self.hashes.keys()).max();
        last.copied().unwrap_or_default()
    }

    /// Takes what a request tells of when it was put.
    pub(super) fn notice(&mut self, exchange: &Exchange) {
        if let Some((head, solid, _)) = exchange.built {
            let latest = self.latest.entry(solid.into()).or_insert(head);
            *latest = (*latest).min(head);
        }
    }

    /// Signs what is in a block without its sending having been recorded.
    fn sign(&mut self) {
        let keys: Vec<SecretKey> = (1..=100).map(key).collect();
        for (id, raw) in &self.unsigned {
            if !self.blocks.contains_key(id) || self.sent.contains_key(id) {
                continue;
            }
            let bare = Transaction::from_parts(raw.clone(), Vec::new(), Vec::new());
            let Ok(bare) = Incoming::new(bare) else {
                continue;
            };
            let key = keys
                .iter()
                .find(|key| key.address().to_bytes() == bare.owner());
            let Some(key) = key else {
                continue;
            };
            let request = SignRequest::Transaction { raw_data: raw };
            let signature = key.sign_request(&request).unwrap().to_transaction_bytes();
            let signed = Transaction::from_parts(raw.clone(), vec![signature.to_vec()], Vec::new());
            self.sent.insert(id.clone(), Incoming::new(signed).unwrap());
        }
    }

    /// Works out what is not told of, for a chain that goes on from `head`.
    pub(super) fn complete(&mut self, head: Slot, taken: &[String]) {
        self.sign();
        self.fill(head);
        self.infer(taken);
        self.fill(head);
    }

    /// Fills in when blocks from `head` on were made that nothing tells of: a slot before
    /// the next, if the one before leaves room for it.
    fn fill(&mut self, head: Slot) {
        let mut before = head.time;
        for number in head.number + 1..=self.last() + 2 {
            let next = self.times.range(number..).next();
            let back = next.map(|(next, time)| {
                UnixMs(time.0 - STEP * i64::try_from(next - number).unwrap_or_default())
            });
            let bound = self.latest.range(number..).next().map(|(later, time)| {
                UnixMs(time.0 - STEP * i64::try_from(later - number).unwrap_or_default())
            });
            let back = bound.into_iter().chain(back).min();
            let time = back.filter(|time| *time > before);
            before = time.unwrap_or(UnixMs(before.0 + STEP));
            self.times.insert(number, before);
        }
    }

    /// Transactions that were taken, but whose block is not told of, were in the next one.
    fn infer(&mut self, taken: &[String]) {
        for id in taken {
            let Some(incoming) = self.sent.get(id).filter(|_| !self.blocks.contains_key(id)) else {
                continue;
            };
            let at = incoming
                .raw()
                .timestamp
                .plus(Duration::from_millis(SENDING));
            let next = self.times.iter().find(|(_, time)| **time > at);
            if let Some((number, _)) = next {
                self.blocks.insert(id.clone(), *number);
            }
        }
    }

    /// Who sends the transactions that are in blocks.
    fn senders(&self) -> BTreeSet<Address> {
        let sent = self.sent.iter();
        sent.filter(|(id, _)| self.blocks.contains_key(*id))
            .filter_map(|(_, incoming)| Address::from_bytes(incoming.owner()).ok())
            .collect()
    }
}

fn key(number: u8) -> SecretKey {
    let mut bytes = [0; 32];
    bytes[31] = number;
    SecretKey::from_bytes(&bytes).unwrap()
}

/// What the recorded chains began with; java-tron's configuration has the three accounts.
fn genesis(parameters: Parameters) -> Genesis {
    let account = |name: &str, address: Address, balance| GenesisAccount {
        address,
        name: name.to_owned(),
        balance,
        btt: 0,
    };
    let address = |text: &str| text.parse().unwrap();
    let sun = address("41ef1bd15b5b657f69611b053a6f4fcd7268a50858");
    let black_hole = address("4177944d19c052b73ee2286823aa83f8138cb7032f");
    Genesis {
        time: UnixMs(0),
        parameters,
        accounts: vec![
            account("Zion", key(1).address(), 99_000_000_000_000_000),
            account("Sun", sun, 0),
            account("Blackhole", black_hole, i64::MIN),
        ],
        issuer: None,
        witness: key(3).address(),
        more_witnesses: Vec::new(),
        witness_signers: Vec::new(),
        operations: Operations::Configured,
        trc20: Vec::new(),
        network_stake: NetworkStake::default(),
        parent: None,
        unfreeze_delay_ms: None,
        transaction_opcodes: None,
        fork: None,
    }
}

/// What came of a group's exchanges.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) equal: usize,
    /// Equal but for what a mask covers.
    pub(super) masked: usize,
    /// By name: where they differ.
    wrong: BTreeMap<String, Vec<String>>,
}

impl Outcome {
    /// Prints a line for the group, and one for each that differs.
    fn report(&self, group: &str) {
        let failed = self.wrong.len();
        let (equal, masked) = (self.equal, self.masked);
        println!("{group}: {equal} equal, {masked} masked, {failed} failed");
        for (name, found) in &self.wrong {
            println!("{name}: {}", found.join("; "));
        }
    }

    /// Equal, masked, failed.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        (self.equal, self.masked, self.wrong.len())
    }
}

/// TRX of those who got theirs by transactions that were not recorded, sun.
const GIVEN: i64 = 100_000_000_000;

/// Makes the chain of `facts` again on top of a world, and asks it what was asked.
pub(super) fn run(
    (mut state, head): (State, Slot),
    parameters: Parameters,
    facts: &Facts,
    exchanges: &[Exchange],
) -> BTreeMap<&'static str, Outcome> {
    let rules = ChainRules {
        witnesses: vec![key(3)],
        signers: Vec::new(),
        interval_ms: STEP,
        solid_lag: 1,
        keep_blocks: None,
    };
    for sender in facts.senders() {
        if state.account(&sender).is_none() {
            state.put_account(Account::genesis(sender, b"", GIVEN));
        }
    }
    for number in facts.hashes.keys().filter(|number| **number <= head.number) {
        let (reference, hash) = reference_of(&facts.id(*number));
        state.put_reference(reference, hash);
    }
    let chain = Chain::going_on(rules, &genesis(parameters), head, state);
    let clock = Arc::new(ManualClock::new(head.time));
    let around = Surroundings {
        habits: Habits {
            idle_blocks: false,
            lenient_expiration: false,
        },
        purse: Purse::new(None, String::new(), Vec::new()),
        origins: api::Origins(Vec::new()),
        log: None,
        fork: None,
    };
    let node = Arc::new(Node::new(chain, Pace::Manual, clock.clone(), around));
    let mut outcomes: BTreeMap<&'static str, Outcome> = BTreeMap::new();
    // What changes the pool comes after what does not, and that once more after it.
    let (sending, asking): (Vec<&Exchange>, Vec<&Exchange>) =
        exchanges.iter().partition(|exchange| exchange.sends);
    let mut open = [asking, sending];
    let mut closest: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut at = head;
    // On a long chain code is run only where something may have changed.
    let is_short = facts.last() - head.number < 150;
    for number in head.number..=facts.last() + 2 {
        let transactions = facts.block(number);
        let is_new = is_short || !transactions.is_empty() || number > facts.last();
        if number > head.number {
            at.number = number;
            at.time = facts.times[&number];
            let id = facts.id(number);
            for (incoming, why) in node.change(|chain| chain.push_recorded(id, at, transactions)) {
                let txid = incoming.txid();
                println!("{txid} is not in block {number} here: {why}");
            }
        }
        for (pass, group) in [0, 1, 0].into_iter().enumerate() {
            if pass == 2 && node.chain().pending().is_empty() {
                break;
            }
            open[group].retain(|exchange| {
                let found = ask(&node, &clock, exchange, at, is_new);
                let Some(found) = found else {
                    return true;
                };
                let is_equal = found.is_empty();
                let list = closest.entry(exchange.name.as_str()).or_default();
                // Of several answers the one that comes closest is told of.
                let wrong = |found: &[String]| found.iter().filter(|one| !is_masked(one)).count();
                if is_equal || list.is_empty() || wrong(&found) < wrong(list) {
                    *list = found;
                }
                !is_equal
            });
        }
        node.change(Chain::drop_pending);
    }
    let open: BTreeSet<&str> = open
        .concat()
        .iter()
        .map(|open| open.name.as_str())
        .collect();
    for exchange in exchanges {
        let outcome = outcomes.entry(exchange.group).or_default();
        let name = exchange.name.as_str();
        if !open.contains(name) {
            outcome.equal += 1;
            continue;
        }
        let found = closest.remove(name);
        let found = found.unwrap_or_else(|| vec!["was never due".to_owned()]);
        match found.iter().all(|one| is_masked(one)) {
            true => outcome.masked += 1,
            false => {
                outcome.wrong.insert(name.to_owned(), found);
            }
        }
    }
    for (group, outcome) in &outcomes {
        outcome.report(group);
    }
    outcomes
}

/// What may differ: where a transaction and a log are in a block, whose other transactions
/// were not all recorded, and the ids of filters, which are random.
const MASKS: [&str; 3] = [".cumulativeGasUsed", ".transactionIndex", ".logIndex"];

fn is_masked(difference: &str) -> bool {
    let Some((path, values)) = difference.split_once(": ") else {
        return false;
    };
    let Some((ours, theirs)) = values.split_once(" is not ") else {
        return false;
    };
    let quantity = |text: &str| {
        let digits = text
            .strip_prefix("\"0x")
            .and_then(|text| text.strip_suffix('"'));
        digits
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .map(str::len)
    };
    match (quantity(ours), quantity(theirs)) {
        (Some(32), Some(32)) => path == ".result",
        (Some(_), Some(_)) => MASKS.iter().any(|mask| path.ends_with(mask)),
        _ => false,
    }
}

/// Puts a question if it may have been put at this block; where the answer is not the
/// recorded one.
fn ask(
    node: &Arc<Node>,
    clock: &ManualClock,
    exchange: &Exchange,
    at: Slot,
    is_new: bool,
) -> Option<Vec<String>> {
    let too_early = |time: UnixMs| time > at.time.plus(BLOCK);
    let now = match exchange.built {
        Some((head, solid, timestamp)) if head == at.time => {
            let high = at.number & !0xffff;
            node.change(|chain| chain.set_solid(high | u64::from(solid)));
            timestamp
        }
        Some(_) => return None,
        None if at.number < exchange.from => return None,
        None if exchange.runs_code && !is_new => return None,
        None if exchange.not_before.is_some_and(too_early) => return None,
        None => {
            node.change(|chain| chain.set_solid(at.number));
            at.time.plus(Duration::from_millis(SENDING))
        }
    };
    clock.set(now);
    let ours = api::ask(node, exchange.verb, &exchange.path, &exchange.body);
    Some(differences(&ours, &exchange.response, &BTreeSet::new()))
}

/// How long after a block the next one comes.
const BLOCK: Duration = Duration::from_secs(3);
/// How long a transaction is on its way after it was made, ms.
const SENDING: u64 = 300;
