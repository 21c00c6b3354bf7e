//! The bridge to TRON: keys, transactions, the node client.

pub mod contract;
pub mod proto;
