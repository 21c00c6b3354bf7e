//! The embedded TRON node: what Anvil is for Ethereum, for TRON.
//!
//! A chain state machine with a block producer around it and java-tron's HTTP
//! API in front. [`Devnet::builder`] starts one; dropping the handle ends it.
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use seedrail::devnet::{Devnet, Pace};
//!
//! let devnet = Devnet::builder().pace(Pace::Manual).start().await?;
//! devnet.mine(3);
//! assert_eq!(devnet.head_number(), 3);
//! println!("{} answers at {}", devnet.accounts()[0].address, devnet.url());
//! # Ok::<_, seedrail::devnet::DevnetError>(())
//! # }).unwrap();
//! ```

/// The page for users: its Rust is run with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../../docs/devnet.md")]
struct Page;

mod abi;
mod api;
mod bandwidth;
mod builder;
mod chain;
mod cheat;
mod committee;
mod contracts;
mod control;
mod execute;
mod faults;
mod fork;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod genesis;
mod handle;
mod history;
mod incoming;
mod journal;
mod log;
mod node;
mod params;
mod permission;
mod proposable;
mod reject;
mod resource;
mod reward;
mod rules;
mod state;
#[cfg(test)]
mod tests;
mod trc20;
mod turns;
mod vm;

pub use builder::{Builder, DEFAULT_MNEMONIC, DevnetAccount, DevnetError};
pub use cheat::{AccountFields, CheatError};
pub use faults::{Fault, FaultError, FaultKind};
pub use fork::{ForkError, Forked};
pub use handle::{Devnet, SubmitError};
pub use journal::JournalError;
pub use log::Event;
pub use node::Pace;
pub use params::{Parameter, ParameterError, Parameters, Preset};
pub use reject::Reject;
pub use trc20::{Trc20, Trc20Error};
