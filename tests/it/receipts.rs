//! Tests of `receipts` from outside.
