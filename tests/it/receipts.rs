//! Tests of `receipts` from outside.

mod economy;
mod failing;
mod kill;
mod link;
mod market;
mod pair;
mod swarm;
