//! Tests of `settle` from outside.
