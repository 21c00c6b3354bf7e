//! Tests of `receipts` from outside.

mod failing;
mod kill;
mod link;
mod pair;
mod swarm;
