//! Integration tests: one binary, one module per topic.

mod cli;
mod devnet;
mod ledger;
mod oracle;
mod receipts;
mod settle;
mod swarm;
mod tron;
