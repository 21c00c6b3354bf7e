//! Tests that take more than a module's own.

mod leases;
mod picker;
mod simulation;
