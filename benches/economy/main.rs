//! The economy in one process: one seeder with a limited line, leechers that
//! pay or do not, real sessions over loopback with real ledgers.
//!
//!   economy swarm SCENARIO.json     one experiment; prints one line of JSON
//!   economy receipts SIZE SECONDS   what one receipt of SIZE bytes costs both sides
//!   economy chokers                 who finishes when, by three ways to choose
//!
//! `scripts/bench economy` runs it and draws the figures.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark: a panic is its report, stdout its result"
)]

#[path = "../../tests/support/market.rs"]
mod market;
#[path = "../../tests/support/waiting.rs"]
mod waiting;

mod chokers;
mod receipts;

use serde_json::{Value, json};

use market::{Leecher, NO_CAP, Scenario, run};

fn scenario(document: &Value) -> Scenario {
    let number = |name: &str| document[name].as_u64();
    Scenario {
        rate: number("rate"),
        bytes: usize::try_from(number("bytes").unwrap()).unwrap(),
        piece: u32::try_from(number("piece").unwrap_or(256 << 10)).unwrap(),
        floor: number("floor"),
        cap: document["cap"].as_i64().unwrap_or(NO_CAP),
        meeting: document["meeting"].as_bool().unwrap_or(false),
        seconds: document["seconds"].as_f64(),
        leechers: document["leechers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|leecher| Leecher {
                bid: leecher["bid"].as_u64(),
                up: leecher["up"].as_u64(),
                slots: None,
            })
            .collect(),
    }
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("swarm") => {
            let text = std::fs::read_to_string(&arguments[1]).unwrap();
            let document: Value = serde_json::from_str(&text).unwrap();
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .unwrap();
            let outcome = runtime.block_on(run(&scenario(&document)));
            let leechers: Vec<_> = outcome
                .leechers
                .iter()
                .map(|leecher| {
                    json!({
                        "done": leecher.done,
                        "samples": leecher.samples,
                        "spent_raw": leecher.spent_raw,
                        "receipts": leecher.receipts,
                    })
                })
                .collect();
            println!(
                "{}",
                json!({
                    "leechers": leechers,
                    "earned_raw": outcome.earned_raw,
                    "holds": outcome.holds,
                    "held_s": outcome.held.as_secs_f64(),
                    "wire_bytes": outcome.wire_bytes,
                    "seconds": outcome.seconds,
                })
            );
        }
        Some("receipts") => {
            let size = arguments[1].parse().unwrap();
            let seconds = arguments[2].parse().unwrap();
            println!("{}", receipts::measure(size, seconds));
        }
        Some("chokers") => println!("{}", chokers::measure()),
        // `cargo test` starts benches too.
        _ => println!(
            "economy swarm SCENARIO.json | economy receipts SIZE SECONDS | economy chokers"
        ),
    }
}
