//! Integration tests: one binary, one module per topic.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "all of this is test code, its helpers too: a panic is the report"
)]

mod api;
mod cli;
mod daemon;
mod demo;
mod devnet;
mod docs;
mod house;
mod interrupt;
mod json_reference;
mod kill;
mod ledger;
mod lying;
mod oracle;
mod orders;
mod packages;
mod pages;
mod receipts;
mod settle;
mod settling;
mod swarm;
mod tron;
mod words;
mod workers;

#[path = "../support/mod.rs"]
mod support;
