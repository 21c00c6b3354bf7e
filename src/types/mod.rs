//! The words everything in this crate speaks: addresses, tokens, amounts,
//! hashes and time. No I/O, no cryptography beyond checksums.

mod address;
mod amount;
mod cause;
mod hash;
mod time;
mod token_key;

pub use address::{Address, AddressError};
pub use amount::{AmountError, Decimals, RawAmount, Sun, Token, TokenId, UnitAmount};
pub use cause::root_cause;
pub use hash::{BlockId, HexError, InfoHash, Salt, TxId};
pub use time::{Clock, ManualClock, SystemClock, UnixMs};
pub use token_key::TokenKey;
