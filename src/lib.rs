//! Seedrail: BitTorrent sharing paid in BTT.

#[cfg(feature = "swarm")]
pub mod swarm;
pub mod types;
