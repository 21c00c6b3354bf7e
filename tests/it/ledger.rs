//! Tests of `ledger` from outside.
