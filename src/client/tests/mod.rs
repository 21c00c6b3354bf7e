//! A client alone and among others, on loopback.

mod choosing;
mod kept;
mod list;
mod moving;
mod queue;
mod schedule;
mod seat;
