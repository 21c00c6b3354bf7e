//! The recorded session of a real java-tron node, replayed against the devnet:
//! the same requests in the same order at the same times, every answer compared
//! as a whole document, field by field.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::PathBuf,
    sync::Arc,
};

use seedrail::{
    devnet::{Devnet, Pace},
    tron::{
        contract::Contract,
        keys::SecretKey,
        transaction::{Draft, RawData, RefBlock, Transaction},
    },
    types::{Address, ManualClock, RawAmount, Token, TokenId, UnixMs},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The start of the session's clock, ms.
const EPOCH: i64 = 1_795_360_000_000;

/// What a field that differs must be. There is no other kind: a field that is
/// neither cannot be masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Hex of a hash, a signature over one, or bytes that hold one: as long as
    /// the recorded one.
    Hash,
    /// Text around such hex, `Num:7,ID:<hex>`.
    Number,
    /// A text, or its hex, in which only java's identity hash (`@1a2b3c `)
    /// differs.
    IdentityHash,
    /// The machine's and the process's times and sizes.
    Time,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Only {
    Everywhere,
    NodeBuilt,
    NodeInfo,
    UnknownAsset,
}

/// A field that must differ: it hangs on the chain's history, which the
/// recordings hold only in part, or on the machine's time.
struct Mask {
    field: &'static str,
    kind: Kind,
    only: Only,
    why: &'static str,
}

const fn mask(field: &'static str, kind: Kind, only: Only, why: &'static str) -> Mask {
    Mask {
        field,
        kind,
        only,
        why,
    }
}

const MASKS: &[Mask] = &[
    mask(
        "blockID",
        Kind::Hash,
        Only::Everywhere,
        "of a header that names its parent's hash",
    ),
    mask(
        "parentHash",
        Kind::Hash,
        Only::Everywhere,
        "of the block before",
    ),
    mask(
        "witness_signature",
        Kind::Hash,
        Only::Everywhere,
        "over the block's hash",
    ),
    mask(
        "block_identifier.hash",
        Kind::Hash,
        Only::Everywhere,
        "of a block",
    ),
    mask(
        "block",
        Kind::Number,
        Only::NodeInfo,
        "holds the head's hash",
    ),
    mask(
        "solidityBlock",
        Kind::Number,
        Only::NodeInfo,
        "holds the solid head's hash",
    ),
    mask(
        "raw_data.ref_block_hash",
        Kind::Hash,
        Only::NodeBuilt,
        "part of a block's hash",
    ),
    mask(
        "raw_data_hex",
        Kind::Hash,
        Only::NodeBuilt,
        "holds that part",
    ),
    mask("txID", Kind::Hash, Only::NodeBuilt, "the hash of that"),
    mask(
        "machineInfo",
        Kind::Time,
        Only::NodeInfo,
        "trimmed in the recording: the machine's times and sizes",
    ),
    mask(
        "message",
        Kind::IdentityHash,
        Only::UnknownAsset,
        "names an object by java's identity hash",
    ),
];

/// How many masks there are: one more needs its reason here and there.
const MASK_COUNT: usize = 11;

impl Mask {
    /// Whether two values differ only as the mask says they may.
    fn covers(&self, recorded: &Value, ours: &Value) -> bool {
        let hex = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
        if self.kind == Kind::Time {
            return recorded == "(trimmed)";
        }
        let (Some(recorded), Some(ours)) = (recorded.as_str(), ours.as_str()) else {
            return false;
        };
        match self.kind {
            Kind::Hash => hex(recorded) && hex(ours) && recorded.len() == ours.len(),
            Kind::IdentityHash => without_identity(recorded) == without_identity(ours),
            Kind::Number => match (recorded.split_once(",ID:"), ours.split_once(",ID:")) {
                (Some((a, a_hash)), Some((b, b_hash))) => a == b && hex(a_hash) && hex(b_hash),
                _ => false,
            },
            Kind::Time => false,
        }
    }
}

/// A text, from its hex if it is in hex, without the hash after its `@`.
fn without_identity(text: &str) -> Option<(String, String)> {
    let text = match hex::decode(text) {
        Ok(bytes) => String::from_utf8(bytes).ok()?,
        Err(_) => text.to_owned(),
    };
    let (before, after) = text.split_once('@')?;
    let (_hash, after) = after.split_once(' ')?;
    Some((before.to_owned(), after.to_owned()))
}

/// Recordings that are replayed: not one fewer.
const REPLAYED: usize = 402;

/// Recordings that are not replayed, by the start of their name, and why.
const NOT_REPLAYED: &[(&str, &str)] = &[
    (
        "07-",
        "smart contracts: this node has no virtual machine; those that are not there, in `absent`",
    ),
    ("absent", "asked for by `surface.rs`"),
    ("jsonrpc", "asked for by `surface.rs`"),
    ("08-", "gRPC"),
    ("09-", "JSON-RPC of another machine's contracts"),
    ("10-", "blocks after the recorded session"),
    ("01-full-and-solidity-heads", "samples, not a request"),
    (
        "03-balance-visibility",
        "samples; `node.rs` tests what they show",
    ),
    (
        "03-pending-transaction-and-node-restart",
        "samples; `node.rs` tests what they show",
    ),
    ("03-timeline", "samples; `node.rs` tests what they show"),
    ("05-fate-of", "a summary"),
    (
        "01-getblock-by-number",
        "block 29 holds a proposal, which this node does not execute",
    ),
    (
        "01-getblockbynum",
        "block 29, as above (except what the replay names)",
    ),
    (
        "01-getblockbylimitnext",
        "block 29, as above (except what the replay names)",
    ),
    ("01-gettransactioncountbyblocknum", "block 29, as above"),
    ("01-getbandwidthprices", "prices before and after a vote"),
    ("01-getenergyprices", "prices before and after a vote"),
    ("01-getburntrx", "burnt by votes and proposals too"),
    (
        "01-getnextmaintenancetime",
        "counted from a start that was not recorded",
    ),
    (
        "03-createtransaction-extra-data-hex",
        "a race: the reference fell back to genesis",
    ),
    (
        "04-fund-k13-info",
        "of a payment whose bytes were not recorded",
    ),
    (
        "06-broadcast-owner-permission-info",
        "of a payment whose bytes were not recorded",
    ),
    (
        "04-getaccountnet-witness",
        "the witness's earlier proposals were not recorded",
    ),
    (
        "04-getaccountresource-witness",
        "the witness's earlier proposals were not recorded",
    ),
    ("04-getaccount-witness", "the witness earns nothing here"),
    (
        "04-getaccount-solidity-witness",
        "the witness earns nothing here",
    ),
    (
        "05-too-big",
        "half a megabyte that was not recorded (`-hex` likewise)",
    ),
];

struct Case {
    name: String,
    method: String,
    path: String,
    body: String,
    status: u16,
    response: Value,
}

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/tron")
}

/// The session's key N: the number, as 32 bytes.
fn key(number: u8) -> SecretKey {
    let mut bytes = [0; 32];
    bytes[31] = number;
    SecretKey::from_bytes(&bytes).unwrap()
}

impl Case {
    fn read(name: &str) -> Self {
        let path = fixtures().join(format!("{name}.json"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
        let json: Value = serde_json::from_str(&text).unwrap();
        let request = &json["request"];
        let body = match &request["raw_body"] {
            Value::String(raw) => raw.clone(),
            _ => as_sent(&text),
        };
        let mut path = request["path"].as_str().unwrap().to_owned();
        if let Some(query) = request.get("query").and_then(Value::as_object) {
            let pairs: Vec<_> = query
                .iter()
                .map(|(k, v)| format!("{k}={}", v.as_str().map_or(v.to_string(), str::to_owned)))
                .collect();
            path = format!("{path}?{}", pairs.join("&"));
        }
        Self {
            name: name.to_owned(),
            method: request["method"].as_str().unwrap().to_owned(),
            path,
            body,
            status: u16::try_from(json["status"].as_u64().unwrap()).unwrap(),
            response: json["response"].clone(),
        }
    }

    /// The raw data this request brings, or the node answered with.
    fn raw_data(&self) -> Option<RawData> {
        let body: Value = serde_json::from_str(&self.body).ok()?;
        if let Some(raw) = body.get("raw_data") {
            let field = |name: &str| hex::decode(raw[name].as_str().unwrap_or_default()).unwrap();
            return Some(RawData {
                ref_block_bytes: field("ref_block_bytes"),
                ref_block_hash: field("ref_block_hash"),
                ..RawData::default()
            });
        }
        let hex = body.get("transaction")?.as_str()?.trim_start_matches("0x");
        Transaction::decode(&hex::decode(hex).ok()?)
            .ok()?
            .raw_data()
            .ok()
    }

    fn built_at(&self) -> Option<i64> {
        self.response.get("visible")?;
        self.response["raw_data"]["timestamp"].as_i64()
    }
}

/// The request's body with the spacing it was sent with: the file's own text,
/// its line breaks taken out.
fn as_sent(text: &str) -> String {
    let Some(start) = text.find("\"body\": ") else {
        return String::new();
    };
    let mut out = String::new();
    let mut depth = 0;
    let mut quoted = false;
    let mut escaped = false;
    for c in text[start + 8..].chars() {
        if quoted {
            out.push(c);
            (quoted, escaped) = (escaped || c != '"', c == '\\' && !escaped);
            continue;
        }
        match c {
            '"' => quoted = true,
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            '\n' | ' ' => continue,
            _ => {}
        }
        out.push(c);
        if matches!(c, ',' | ':') {
            out.push(' ');
        }
        if depth == 0 {
            break;
        }
    }
    out
}

#[derive(Default)]
struct Tally {
    cases: usize,
    equal: usize,
    masked: usize,
    used: BTreeSet<&'static str>,
    wrong: String,
}

impl Tally {
    fn compare(&mut self, case: &Case, path: &str, recorded: &Value, ours: &Value) {
        if let Some(mask) = self.mask(case, path) {
            if mask.covers(recorded, ours) {
                self.masked += 1;
                self.used.insert(mask.field);
            } else {
                let what = format!("masked, and no {:?}: {recorded}, ours {ours}", mask.kind);
                self.fail(case, path, &what);
            }
            return;
        }
        match (recorded, ours) {
            (Value::Object(a), Value::Object(b)) => {
                for (name, value) in a {
                    let path = join(path, name);
                    match b.get(name) {
                        Some(other) => self.compare(case, &path, value, other),
                        None => self.fail(case, &path, &format!("missing, recorded {value}")),
                    }
                }
                for name in b.keys().filter(|name| !a.contains_key(*name)) {
                    let path = join(path, name);
                    self.fail(case, &path, &format!("not recorded, ours {}", b[name]));
                }
                self.equal += usize::from(a.is_empty() && b.is_empty());
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                for (a, b) in a.iter().zip(b) {
                    self.compare(case, path, a, b);
                }
                self.equal += usize::from(a.is_empty());
            }
            (a, b) if a == b => self.equal += 1,
            (a, b) => self.fail(case, path, &format!("recorded {a}, ours {b}")),
        }
    }

    fn mask(&self, case: &Case, path: &str) -> Option<&'static Mask> {
        MASKS.iter().find(|mask| {
            let here = match mask.only {
                Only::Everywhere => true,
                Only::NodeBuilt => case.built_at().is_some(),
                Only::NodeInfo => case.path.contains("getnodeinfo"),
                Only::UnknownAsset => {
                    case.name.contains("-unknown-asset") || case.name.contains("-asset-by-name")
                }
            };
            here && (path == mask.field || path.ends_with(&format!(".{}", mask.field)))
        })
    }

    fn fail(&mut self, case: &Case, path: &str, what: &str) {
        writeln!(self.wrong, "{} {path}: {what}", case.name).unwrap();
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

struct Session {
    devnet: Devnet,
    tally: Tally,
    /// The recorded node's block ids by number, as far as they are known.
    done: BTreeMap<String, ()>,
}

impl Session {
    fn head_time(&self) -> i64 {
        let head = self.devnet.block(self.devnet.head_number()).unwrap();
        head.header.timestamp.0
    }

    fn seal_at(&self, time: i64) {
        self.devnet.set_time(UnixMs(time));
        self.devnet.mine(1);
        assert_eq!(self.head_time(), time);
    }

    async fn ask(&self, case: &Case) -> (u16, String) {
        let mut stream = TcpStream::connect(self.devnet.address()).await.unwrap();
        let body = self.with_our_ids(&case.body);
        let request = format!(
            "{} {} HTTP/1.1\r\nHost: devnet\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{}",
            case.method,
            case.path,
            body.len(),
            body
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head[9..12].parse().unwrap();
        (status, body.to_owned())
    }

    /// A block id in a request is the recorded chain's: ours is another.
    fn with_our_ids(&self, body: &str) -> String {
        let mut out = body.to_owned();
        for (at, _) in body.match_indices("\"00000000") {
            let id = &body[at + 1..body.len().min(at + 65)];
            let Ok(number) = u64::from_str_radix(&id[..16], 16) else {
                continue;
            };
            if id.len() == 64
                && number > 0
                && let Some(block) = self.devnet.block(number)
            {
                out = out.replace(id, &block.id().to_string());
            }
        }
        out
    }

    async fn replay(&mut self, name: &str) {
        let (name, known) = match name.strip_prefix('!') {
            Some(name) => (name, false),
            None => (name, true),
        };
        let case = Case::read(name);
        if let Some(time) = case.built_at() {
            self.devnet.set_time(UnixMs(time));
        }
        if known && let Some(raw) = case.raw_data() {
            let bytes = raw.ref_block_bytes.try_into();
            let hash = raw.ref_block_hash.try_into();
            if let (Ok(bytes), Ok(hash)) = (bytes, hash) {
                self.devnet
                    .accept_reference(RefBlock { bytes, hash })
                    .unwrap();
            }
        }
        let (status, body) = self.ask(&case).await;
        self.tally.cases += 1;
        if status != case.status {
            let what = format!("recorded {}, ours {status}", case.status);
            self.tally.fail(&case, "HTTP status", &what);
        } else if status == 200 {
            match serde_json::from_str(&body) {
                Ok(ours) => self.tally.compare(&case, "", &case.response, &ours),
                Err(error) => self.tally.fail(&case, "body", &format!("{error}: {body}")),
            }
        }
        self.done.insert(name.to_owned(), ());
    }

    /// A payment of the session that was not recorded.
    fn pay(&self, words: &[&str]) {
        let number = |word: &str| word.parse::<i64>().unwrap();
        let (from, to, token, amount) = match words {
            [from, to, amount] => (from, to, Token::Trx, amount),
            [from, to, id, amount] => {
                let id = TokenId::new(number(id)).unwrap();
                (from, to, Token::Trc10(id), amount)
            }
            other => panic!("pay {other:?}"),
        };
        let from = key(u8::try_from(number(from)).unwrap());
        let to = key(u8::try_from(number(to)).unwrap()).address();
        let amount = RawAmount::new(number(amount)).unwrap();
        let head = self.devnet.block(self.devnet.head_number()).unwrap();
        let draft = Draft::new(
            Contract::transfer(from.address(), to, token, amount),
            RefBlock::from(head.id()),
            UnixMs(head.header.timestamp.0 + 60_000),
            UnixMs(head.header.timestamp.0),
        );
        let paid = draft.build().sign(&from).unwrap();
        // A recorded block of this number may have taken its place.
        self.devnet.accept_reference(draft.ref_block).unwrap();
        self.devnet.submit(paid).unwrap();
    }

    /// Sends what the recorded node built, signed by the session's keys.
    fn sign(&mut self, words: &[&str]) {
        let [name, keys @ ..] = words else {
            panic!("sign {words:?}")
        };
        let case = Case::read(name);
        let raw = hex::decode(case.response["raw_data_hex"].as_str().unwrap()).unwrap();
        let mut transaction = Transaction::from_parts(raw, Vec::new(), Vec::new());
        let data = transaction.raw_data().unwrap();
        self.devnet
            .accept_reference(RefBlock {
                bytes: data.ref_block_bytes.try_into().unwrap(),
                hash: data.ref_block_hash.try_into().unwrap(),
            })
            .unwrap();
        for number in keys {
            transaction.sign(&key(number.parse().unwrap())).unwrap();
        }
        if let Err(error) = self.devnet.submit(transaction) {
            self.tally
                .fail(&case, "signed and sent", &error.to_string());
        }
    }

    async fn step(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let seconds = |word: &str| EPOCH + word.parse::<i64>().unwrap() * 1_000;
        match words.as_slice() {
            [] => {}
            ["skip", time] => self.seal_at(seconds(time)),
            ["at", time] => {
                while self.head_time() < seconds(time) {
                    self.seal_at(self.head_time() + 3_000);
                }
            }
            ["hold"] => self.devnet.hold_solid(true),
            ["release"] => self.devnet.hold_solid(false),
            ["pay", rest @ ..] => self.pay(rest),
            ["sign", rest @ ..] => self.sign(rest),
            names => {
                for name in names {
                    self.replay(name).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn the_recorded_session_replays_field_by_field() {
    let black_hole: Address = "4177944d19c052b73ee2286823aa83f8138cb7032f"
        .parse()
        .unwrap();
    let devnet = Devnet::builder()
        .pace(Pace::Manual)
        .clock(Arc::new(ManualClock::new(UnixMs(0))))
        .solid_lag(0)
        .accounts(0)
        .without_btt()
        .configured_operations()
        .genesis_time(UnixMs(0))
        .witness(key(3))
        .genesis_account("Zion", key(1).address(), 95_000_000_000_000_000)
        .genesis_account("Sun", key(2).address(), 1_000_000_000_000)
        .genesis_account("Blackhole", black_hole, i64::MIN)
        .start()
        .await
        .unwrap();
    // The very genesis block of the recorded chain.
    assert_eq!(
        devnet.genesis_id().to_string(),
        "0000000000000000a48f2d3b05abf5429fbe6c5720fc9cc61596aab4d4201ab9"
    );
    let mut session = Session {
        devnet,
        tally: Tally::default(),
        done: BTreeMap::new(),
    };
    for line in include_str!("replay.txt").lines() {
        if !line.starts_with('#') {
            session.step(line).await;
        }
    }

    let mut missing = Vec::new();
    let mut left_out = 0;
    for entry in std::fs::read_dir(fixtures()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = name.strip_suffix(".json") else {
            continue;
        };
        if session.done.contains_key(name) {
            continue;
        }
        match NOT_REPLAYED
            .iter()
            .any(|(start, _)| name.starts_with(start))
        {
            true => left_out += 1,
            false => missing.push(name.to_owned()),
        }
    }
    missing.sort();
    let tally = &session.tally;
    println!(
        "{} recordings replayed: {} fields equal, {} masked; {left_out} recordings left out with a reason, {} missing",
        tally.cases,
        tally.equal,
        tally.masked,
        missing.len()
    );
    assert!(
        missing.is_empty(),
        "neither replayed nor left out: {missing:?}"
    );
    assert!(tally.wrong.is_empty(), "\n{}", tally.wrong);
    assert!(
        tally.cases >= REPLAYED,
        "only {} recordings are replayed",
        tally.cases
    );
    assert_eq!(MASKS.len(), MASK_COUNT);
    for mask in MASKS {
        assert!(
            !mask.why.is_empty(),
            "{} is masked for no reason",
            mask.field
        );
        assert!(
            tally.used.contains(mask.field),
            "{} need not be masked",
            mask.field
        );
    }
}
