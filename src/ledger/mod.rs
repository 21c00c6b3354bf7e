//! Durable rows: receipts, payouts, attempts.
