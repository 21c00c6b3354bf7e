//! Signed usage receipts and the `sr_pay` exchange: `DESIGN.md` beside this
//! file is the protocol.

mod body;
mod file;
mod grant;
mod import;
mod meter;

pub use body::{
    Accepted, Expected, Hello, MAX_CLOCK_SKEW_SECS, Quote, Receipt, ReceiptDomain, Refusal,
    SignedReceipt, TypedStruct,
};
pub use file::{LineRefusal, MAX_LINE_BYTES, ReceiptLine, ReceiptLines};
pub use grant::{GrantContext, GrantRefusal, Revoke, SignedGrant, SpendGrant};
pub use import::{ImportError, ImportReport, MAX_REFUSED_LISTED, import};
pub use meter::{GIB_BITS, Meter, MeterError, cost};

#[cfg(test)]
mod tests;
