//! The bridge against recordings of a real node, and against nodes that lie.

mod fees;
mod lying;
mod recordings;
mod tls;
