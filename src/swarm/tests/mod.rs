//! Tests that take more than a module's own.

mod leases;
mod month;
mod picker;
mod simulation;
