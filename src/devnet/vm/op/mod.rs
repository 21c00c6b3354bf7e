//! What the opcodes do, by kind (`OperationActions.java`).

pub(super) mod arith;
pub(super) mod call;
pub(super) mod env;
pub(super) mod flow;
pub(super) mod memory;
pub(super) mod stake;
pub(super) mod store;
