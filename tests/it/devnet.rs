//! Tests of `devnet` from outside: through HTTP, as a client sees it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests; a panic is the failure"
)]

mod clock;
mod commands;
mod committee;
mod conformance;
mod contracts;
mod ethereum;
mod exchange;
mod fork;
mod guide;
mod history;
mod http;
mod inputs;
mod limits;
mod node;
mod operations;
mod refusals;
mod stake;
mod state;
mod surface;
mod toolchains;
