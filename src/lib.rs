//! BitTorrent sharing paid in BTT: downloaders spend it to go first, seeders
//! earn it by sharing longer.
//!
//! # The map
//! - [`types`]: addresses, exact amounts, hashes, time: the words of everything.
//! - [`tron`]: the bridge. Keys and keystores, transactions built and signed
//!   here byte for byte as java-tron has them, a node client that believes
//!   nothing it can recompute, and following a transaction until it is solid.
//! - `devnet`: an embedded TRON node that starts in a blink.
//! - `swarm`: the BitTorrent client; payments plug into its hooks.
//! - `receipts`: signed statements of what was delivered, and the `sr_pay`
//!   exchange that carries them between peers.
//! - `ledger`: durable rows; `settle`: from receipts to coins, exactly once.
//! - `client`: one living client; commands go in, snapshots and events come out.
//! - `api`: HTTP in front of a client: its own API, qBittorrent's, Transmission's, the page.
//! - `cli`: the `seedrail` program, a thin caller of all of it.
//!
//! Without default features only `types` and `tron` are there, with few
//! dependencies.
//!
//! # The words
//! **Block**: of the chain. **Chunk**: 16 KiB of a torrent's piece.
//! **Transaction**: of the chain. **Receipt**: ours; the node's own is
//! `TransactionInfo`. **Node**: of TRON. **Peer**: of BitTorrent. **Payout**: one
//! transfer that settles a debt; **batch**: the payouts of one run.
//! **Accepted**: a node took it; **included**: it is in a block; **solid**: that
//! block cannot be forked out any more.
//!
//! # A transfer of BTT, offline
//! ```
//! use seedrail::{
//!     tron::{contract::Contract, keys::SecretKey, transaction::{Draft, RefBlock}},
//!     types::{Address, BlockId, Token, UnitAmount, UnixMs},
//! };
//!
//! let key = SecretKey::from_hex(&"01".repeat(32))?;
//! let to: Address = "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC".parse()?;
//! let amount: UnitAmount = "12.5BTT".parse()?;
//! // A recent block, from a node.
//! let block: BlockId = "000000000000001d0fd5a8953407a4c26ba2ea48cf093e04e5b58ecf4fca9bdd".parse()?;
//! let draft = Draft::new(
//!     Contract::transfer(key.address(), to, amount.token, amount.raw),
//!     RefBlock::from(block),
//!     UnixMs(1_795_363_380_000),
//!     UnixMs(1_795_363_320_000),
//! );
//! let signed = draft.build().sign(&key)?;
//! assert_eq!(signed.signers()?, [key.address()]);
//! assert_eq!(amount.token, Token::Trc10(seedrail::types::TokenId::BTT));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// A torrent of qBittorrent's API has more fields than `json!` takes by default.
#![recursion_limit = "256"]

#[cfg(feature = "api")]
pub mod api;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "client")]
pub mod client;
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
