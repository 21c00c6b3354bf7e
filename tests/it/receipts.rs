//! Tests of `receipts` from outside.

mod economy;
mod failing;
mod grants;
mod kill;
mod link;
mod market;
mod pair;
mod swarm;
