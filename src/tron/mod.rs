//! The bridge to TRON: keys, transactions, the node client.

pub mod block;
pub mod contract;
pub mod json;
pub mod keys;
pub mod proto;
pub mod transaction;
