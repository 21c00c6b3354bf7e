//! Signed usage receipts and the `sr_pay` exchange: `DESIGN.md` beside this
//! file is the protocol.

#[cfg(feature = "swarm")]
mod autobid;
mod body;
#[cfg(feature = "swarm")]
mod credit;
#[cfg(feature = "swarm")]
mod debt;
#[cfg(feature = "swarm")]
mod exchange;
#[cfg(feature = "swarm")]
mod exposure;
mod file;
mod grant;
mod import;
#[cfg(feature = "swarm")]
mod message;
mod meter;
#[cfg(feature = "swarm")]
pub mod pay;
mod take_back;
#[cfg(feature = "swarm")]
mod weights;
#[cfg(feature = "swarm")]
mod window;

#[cfg(feature = "swarm")]
pub use autobid::{AutoBid, LOOK_EVERY};
pub use body::{
    Accepted, Expected, Hello, MAX_CLOCK_SKEW_SECS, Quote, Receipt, ReceiptDomain, Refusal,
    SignedReceipt, TypedStruct,
};
#[cfg(feature = "swarm")]
pub use credit::{Credit, MAX_FOLLOWED_EPOCHS};
#[cfg(feature = "swarm")]
pub use debt::{Budget, Debt, Draft, MIN_INTERVAL, SIGN_AFTER};
#[cfg(feature = "swarm")]
pub use exchange::{
    Ask, Bid, Exchange, Held, Input, Known, NEGOTIATION, Output, RAISE_INTERVAL, Setup,
};
#[cfg(feature = "swarm")]
pub use exposure::{Exposed, Exposure, Network, Stranger};
pub use file::{LineRefusal, MAX_LINE_BYTES, NumberedLines, ReceiptLine, ReceiptLines};
pub use grant::{
    GrantContext, GrantRefusal, Identity, KnownGrants, Revoke, SignedGrant, SpendGrant,
};
pub use import::{ImportError, ImportReport, MAX_REFUSED_LISTED, import};
#[cfg(feature = "swarm")]
pub use message::{
    HelloMessage, HoldReason, Instance, MAX_GRANTS, MAX_REASON_BYTES, MAX_SYNC_RECEIPTS, Message,
    MessageError, VERSION,
};
pub use meter::{GIB_BITS, Meter, MeterError, cost};
pub use take_back::{TakeBackError, newest_grant, take_back};
#[cfg(feature = "swarm")]
pub use window::{PIPELINE_BYTES, Window};

#[cfg(test)]
pub(crate) mod tests;
