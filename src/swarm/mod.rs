//! The BitTorrent client.

pub mod hooks;
