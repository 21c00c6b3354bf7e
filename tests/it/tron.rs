//! The bridge against recordings of a real node, and against nodes that lie.

mod fees;
mod lying;
mod recordings;
pub(crate) mod server;
mod tls;
