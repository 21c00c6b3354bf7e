//! The devnet under load, for `scripts/bench devnet`. Each mode prints one JSON
//! document; only the timed part counts.
//!
//! - `recover N THREADS`: who made each of N signatures, and nothing else
//! - `process N THREADS`: N transfers submitted in process, until all are in
//!   blocks; and how long a block of 2,000 takes to be sealed
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
        contract::Contract,
        keys::SecretKey,
        mnemonic::Mnemonic,
        transaction::{Draft, RefBlock, Transaction},
    },
    types::{BlockId, RawAmount, Token, TokenId, UnixMs},
};
use serde_json::{Value, json};

/// Transactions a node's pool holds.
const POOL: usize = 2_000;

fn keys() -> Vec<SecretKey> {
    let mnemonic = Mnemonic::parse(DEFAULT_MNEMONIC).unwrap();
    (0..10).map(|n| mnemonic.key("", n).unwrap()).collect()
}

/// Transfers of one unit of BTT among the ten accounts, each with its own id.
fn transfers(count: usize, head: BlockId, time: UnixMs) -> Vec<Transaction> {
    let keys = keys();
    let make = |n: usize| {
        let (from, to) = (&keys[n % 10], &keys[(n + 1) % 10]);
        let amount = RawAmount::new(1).unwrap();
        let contract = Contract::transfer(
            from.address(),
            to.address(),
            Token::Trc10(TokenId::BTT),
            amount,
        );
        let salt = UnixMs(time.0 + i64::try_from(n).unwrap());
        let expiration = time.plus(Duration::from_secs(3_600));
        Draft::new(contract, RefBlock::from(head), expiration, salt)
            .build()
            .sign(from)
            .unwrap()
    };
    let half = count / 2;
    thread::scope(|scope| {
        let rest = scope.spawn(|| (half..count).map(make).collect::<Vec<_>>());
        let mut all: Vec<_> = (0..half).map(make).collect();
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
    let transactions = transfers(count, genesis, UnixMs(1_790_000_000_000));
    let seconds = on_threads(threads, count, |n| {
        black_box(transactions[n].signers().unwrap());
    });
    json!({ "ops": count, "wall_s": seconds })
}

async fn devnet() -> Devnet {
    let devnet = Devnet::builder().pace(Pace::Manual).start().await.unwrap();
    devnet.mine(1);
    devnet
}

async fn process(count: usize, threads: usize) -> Value {
    let devnet = devnet().await;
    let head = devnet.block(1).unwrap();
    let transactions = transfers(count, head.id(), head.header.timestamp);
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
    let full = transfers(POOL, head.id(), head.header.timestamp);
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
    let bodies: Vec<String> = transfers(count, id, UnixMs(time.as_i64().unwrap()))
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

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let number = |n: usize| arguments[n].parse::<usize>().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let result = match arguments.first().map(String::as_str) {
        Some("recover") => recover(number(1), number(2)),
        Some("process") => runtime.block_on(process(number(1), number(2))),
        Some("http") => http(number(1), number(2), &arguments[3]),
        other => panic!("there is no mode {other:?}"),
    };
    println!("{result}");
}
