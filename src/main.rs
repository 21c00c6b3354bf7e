//! The `seedrail` binary.
fn main() {}
