//! Tests of `devnet` from outside.
