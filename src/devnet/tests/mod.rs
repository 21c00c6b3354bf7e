//! Tests that need what the room keeps to itself.

mod contracts;
mod invariants;
mod osaka;
mod tvm;
