//! The BitTorrent client: several torrents in one [`Session`], behind one
//! listener. Payments plug in by [`hooks`]; without them it is an ordinary
//! client. `DESIGN.md` beside this file has the state machines and the limits.

pub mod bencode;
pub mod bitfield;
pub mod check;
pub mod choker;
pub mod dht;
pub mod extended;
pub mod fast;
pub mod hooks;
pub mod interface;
pub mod locality;
pub mod lsd;
pub mod metainfo;
pub mod mse;
pub mod picker;
pub mod ports;
pub mod priority;
pub mod proxy;
pub mod relocate;
pub mod scheduler;
pub mod selection;
pub mod storage;
pub mod tracker;
pub mod wire;

mod buffers;
mod events;
mod fetch;
mod file_priority;
mod goals;
mod half_open;
mod handle;
mod limiter;
mod listen;
mod lock;
mod passing;
mod peer;
mod phase;
mod session;
mod torrent;
mod utp;
mod web;

pub use events::Event;
pub use fetch::fetch_torrent;
pub use file_priority::{FilePriorities, FilePriority};
pub use goals::{Goal, SeedGoals};
pub use handle::{Stats, TorrentError, TorrentHandle};
pub use mse::Encryption;
pub use peer::{PeerRow, Transport};
pub use phase::{Pause, Phase, Resumes};
pub use session::{AddOptions, SeedOptions, Session, SessionBuilder, SessionError, Source};
pub use torrent::ChooseError;
pub use web::WebSeedRow;

#[cfg(test)]
mod tests;
