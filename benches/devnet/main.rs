//! The devnet under load, for `scripts/bench devnet`. Each mode prints one JSON
//! document; only the timed part counts.
//!
//! - `recover N THREADS`: who made each of N signatures, and nothing else
//! - `process N THREADS`: N transfers submitted in process, until all are in
//!   blocks; and how long a block of 2,000 takes to be sealed
//! - `trc20 N THREADS`: the same with N transfers of a TRC-20 token
//! - `opcodes N`: a contract's loop of about N opcodes, called over HTTP
//! - `http N CONNECTIONS URL`: N transfers broadcast to a devnet over HTTP,
//!   until all were answered, and until all are in blocks

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement that fails shall end with a panic; its result is its output"
)]

use std::{
    hint::black_box,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use seedrail::{
    devnet::{DEFAULT_MNEMONIC, Devnet, Pace, SubmitError},
    tron::{
        contract::{Contract, TriggerSmartContract},
        keys::SecretKey,
        mnemonic::Mnemonic,
        transaction::{Draft, RefBlock, Transaction},
    },
    types::{Address, BlockId, RawAmount, Token, TokenId, UnixMs},
};
use serde_json::{Value, json};

/// What a call of a contract may burn, sun; nothing else looks at it.
const FEE_LIMIT: i64 = 100_000_000;
/// Transactions a node's pool holds.
const POOL: usize = 2_000;

fn keys() -> Vec<SecretKey> {
    let mnemonic = Mnemonic::parse(DEFAULT_MNEMONIC).unwrap();
    (0..10).map(|n| mnemonic.key("", n).unwrap()).collect()
}

/// Moves one unit of BTT.
fn btt(from: Address, to: Address) -> Contract {
    let amount = RawAmount::new(1).unwrap();
    Contract::transfer(from, to, Token::Trc10(TokenId::BTT), amount)
}

/// Moves one unit of a TRC-20 token: `transfer(address,uint256)`.
fn trc20(token: Address, from: Address, to: Address) -> Contract {
    let mut data = hex::decode("a9059cbb").unwrap();
    data.extend([0; 12]);
    data.extend(to.body());
    data.extend([0; 31]);
    data.push(1);
    Contract::from(TriggerSmartContract {
        owner_address: from.to_bytes().to_vec(),
        contract_address: token.to_bytes().to_vec(),
        data,
        ..TriggerSmartContract::default()
    })
}

/// Transactions among the ten accounts, each with its own id.
fn transfers(
    count: usize,
    head: BlockId,
    time: UnixMs,
    moves: impl Fn(Address, Address) -> Contract + Sync,
) -> Vec<Transaction> {
    let keys = keys();
    let make = |n: usize| {
        let (from, to) = (&keys[n % 10], &keys[(n + 1) % 10]);
        let contract = moves(from.address(), to.address());
        let salt = UnixMs(time.0 + i64::try_from(n).unwrap());
        let expiration = time.plus(Duration::from_secs(3_600));
        let mut draft = Draft::new(contract, RefBlock::from(head), expiration, salt);
        draft.fee_limit_sun = FEE_LIMIT;
        draft.build().sign(from).unwrap()
    };
    let half = count / 2;
    thread::scope(|scope| {
        let rest = scope.spawn(|| (half..count).map(&make).collect::<Vec<_>>());
        let mut all: Vec<_> = (0..half).map(&make).collect();
        all.extend(rest.join().unwrap());
        all
    })
}

/// Runs `work` on each number below `count`, on several threads; seconds.
fn on_threads(threads: usize, count: usize, work: impl Fn(usize) + Sync) -> f64 {
    let next = AtomicUsize::new(0);
    let begin = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        break;
                    }
                    work(n);
                }
            });
        }
    });
    begin.elapsed().as_secs_f64()
}

fn recover(count: usize, threads: usize) -> Value {
    let genesis = BlockId::from_bytes([1; 32]);
    let transactions = transfers(count, genesis, UnixMs(1_790_000_000_000), btt);
    let seconds = on_threads(threads, count, |n| {
        black_box(transactions[n].signers().unwrap());
    });
    json!({ "ops": count, "wall_s": seconds })
}

async fn devnet() -> Devnet {
    let builder = Devnet::builder().pace(Pace::Manual);
    let devnet = builder.trc20("USDT:6".parse().unwrap()).start();
    let devnet = devnet.await.unwrap();
    devnet.mine(1);
    devnet
}

/// Which token is moved.
#[derive(Clone, Copy)]
enum Moved {
    Btt,
    Trc20,
}

async fn process(count: usize, threads: usize, moved: Moved) -> Value {
    let devnet = devnet().await;
    let (_, token) = devnet.trc20().remove(0);
    let moves = move |from, to| match moved {
        Moved::Btt => btt(from, to),
        Moved::Trc20 => trc20(token, from, to),
    };
    let head = devnet.block(1).unwrap();
    let transactions = transfers(count, head.id(), head.header.timestamp, moves);
    let seconds = on_threads(threads, count, |n| {
        loop {
            match devnet.submit(transactions[n].clone()) {
                Ok(_) => break,
                // The pool is full: whoever finds it so makes a block.
                Err(SubmitError::Reject(reject)) if reject.code() == "SERVER_BUSY" => {
                    devnet.mine(1);
                }
                Err(error) => panic!("{error}"),
            }
        }
    });
    let begin = Instant::now();
    devnet.mine(1);
    let seconds = seconds + begin.elapsed().as_secs_f64();
    let included: usize = (2..=devnet.head_number())
        .map(|number| devnet.block(number).unwrap().transactions.len())
        .sum();
    assert_eq!(included, count);

    let head = devnet.block(devnet.head_number()).unwrap();
    let full = transfers(POOL, head.id(), head.header.timestamp, moves);
    for transaction in full {
        devnet.submit(transaction).unwrap();
    }
    let begin = Instant::now();
    devnet.mine(1);
    let seal = begin.elapsed();
    let newest = devnet.block(devnet.head_number()).unwrap();
    assert_eq!(newest.transactions.len(), POOL);
    json!({ "ops": count, "wall_s": seconds, "seal_ms": seal.as_secs_f64() * 1_000.0 })
}

/// One kept connection: a request, the JSON of its answer.
struct Line(BufReader<TcpStream>);

impl Line {
    fn open(host: &str) -> Self {
        let stream = TcpStream::connect(host).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    fn post(&mut self, path: &str, body: &str) -> Value {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: devnet\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        serde_json::from_slice(&body).unwrap()
    }
}

fn http(count: usize, connections: usize, url: &str) -> Value {
    let host = url.strip_prefix("http://").unwrap();
    let mut line = Line::open(host);
    let head = line.post("/wallet/getnowblock", "");
    let id: BlockId = head["blockID"].as_str().unwrap().parse().unwrap();
    let time = &head["block_header"]["raw_data"]["timestamp"];
    let time = UnixMs(time.as_i64().unwrap());
    let bodies: Vec<String> = transfers(count, id, time, btt)
        .iter()
        .map(|transaction| json!({ "transaction": hex::encode(transaction.encode()) }).to_string())
        .collect();
    let next = AtomicUsize::new(0);
    let busy = AtomicUsize::new(0);
    let begin = Instant::now();
    thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let mut line = Line::open(host);
                while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                    loop {
                        let answer = line.post("/wallet/broadcasthex", body);
                        if answer["result"] == true {
                            break;
                        }
                        assert_eq!(answer["code"], "SERVER_BUSY", "{answer}");
                        busy.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let answered = begin.elapsed().as_secs_f64();
    while line.post("/devnet/status", "")["pending"] != 0 {}
    json!({
        "ops": count,
        "wall_s": answered,
        "included_s": begin.elapsed().as_secs_f64(),
        "busy": busy.into_inner(),
    })
}

/// Opcodes of one round of the loop.
const ROUND: usize = 7;

async fn opcodes(count: usize) -> Value {
    let devnet = devnet().await;
    let rounds = u32::try_from(count / ROUND).unwrap();
    // PUSH4 rounds, JUMPDEST, PUSH1 1, SWAP1, SUB, DUP1, PUSH1 5, JUMPI, STOP.
    let code = format!("63{rounds:08x}5b600190038060055700");
    let me = devnet.accounts()[0].address.to_hex();
    let body = json!({ "owner_address": me, "data": code }).to_string();
    let host = devnet.url().strip_prefix("http://").unwrap().to_owned();
    let (seconds, answer) = tokio::task::spawn_blocking(move || {
        let mut line = Line::open(&host);
        let begin = Instant::now();
        let answer = line.post("/wallet/triggerconstantcontract", &body);
        (begin.elapsed().as_secs_f64(), answer)
    })
    .await
    .unwrap();
    assert_eq!(answer["result"]["result"], true, "{answer}");
    let energy = answer["energy_used"].as_u64().unwrap();
    json!({ "ops": count, "wall_s": seconds, "energy": energy })
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let number = |n: usize| arguments[n].parse::<usize>().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let result = match arguments.first().map(String::as_str) {
        Some("recover") => recover(number(1), number(2)),
        Some("process") => runtime.block_on(process(number(1), number(2), Moved::Btt)),
        Some("trc20") => runtime.block_on(process(number(1), number(2), Moved::Trc20)),
        Some("opcodes") => runtime.block_on(opcodes(number(1))),
        Some("http") => http(number(1), number(2), &arguments[3]),
        other => panic!("there is no mode {other:?}"),
    };
    println!("{result}");
}
