//! Tests of `tron` from outside.
