//! The bridge to TRON: keys, transactions, the node client.

pub mod contract;
pub mod keys;
pub mod proto;
