//! The bridge to TRON: keys, transactions, the node client.
