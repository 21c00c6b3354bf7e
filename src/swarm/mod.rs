//! The BitTorrent client: several torrents in one [`Session`], behind one
//! listener. Payments plug in by [`hooks`]; without them it is an ordinary
//! client. `DESIGN.md` beside this file has the state machines and the limits.

pub mod bencode;
pub mod bitfield;
pub mod choker;
pub mod extended;
pub mod hooks;
pub mod metainfo;
pub mod picker;
pub mod scheduler;
pub mod storage;
pub mod tracker;
pub mod wire;

mod limiter;
mod lock;
