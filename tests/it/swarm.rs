//! Tests of `swarm` from outside.
