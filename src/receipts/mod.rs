//! Signed usage receipts and the `sr_pay` exchange.
