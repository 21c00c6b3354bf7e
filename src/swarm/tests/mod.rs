//! Tests that take more than a module's own.

mod picker;
mod simulation;
