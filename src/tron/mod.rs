//! The bridge to TRON: keys, transactions, the node client.

pub mod block;
pub mod contract;
pub mod fees;
pub mod follow;
pub mod json;
pub mod keys;
pub mod keystore;
pub mod message;
pub mod mnemonic;
pub mod permission;
pub mod proto;
pub mod rpc;
pub mod signer;
pub mod transaction;
pub mod typed_data;
pub mod typed_json;
pub mod verified;
