//! Integration tests: one binary, one module per topic.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "all of this is test code, its helpers too: a panic is the report"
)]

mod child;
mod cli;
mod demo;
mod devnet;
mod house;
mod interrupt;
mod kill;
mod ledger;
mod oracle;
mod postgres_server;
mod receipts;
mod settle;
mod settling;
mod small_disk;
mod swarm;
mod tron;
mod waiting;
mod workers;
