//! Tests that need what the room keeps to itself.

mod invariants;
mod osaka;
mod tvm;
