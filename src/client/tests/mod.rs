//! A client alone and among others, on loopback.

mod kept;
mod list;
mod moving;
mod queue;
mod seat;
