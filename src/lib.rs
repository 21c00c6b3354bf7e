//! Seedrail: BitTorrent sharing paid in BTT.

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "devnet")]
pub mod devnet;
#[cfg(feature = "ledger")]
pub mod ledger;
#[cfg(feature = "ledger")]
pub mod receipts;
#[cfg(feature = "ledger")]
pub mod settle;
#[cfg(feature = "swarm")]
pub mod swarm;
pub mod tron;
pub mod types;
