//! Tests of `devnet` from outside: through HTTP, as a client sees it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests; a panic is the failure"
)]

mod conformance;
mod guide;
mod limits;
mod node;
mod state;
