//! Tests that need what the room keeps to itself.

use super::*;

#[cfg(feature = "swarm")]
mod attacks;
#[cfg(feature = "swarm")]
mod cheating_sellers;
#[cfg(feature = "swarm")]
pub(crate) mod duo;
#[cfg(feature = "swarm")]
mod session_vectors;
mod signing;
#[cfg(feature = "swarm")]
mod unsold;
#[cfg(feature = "swarm")]
mod wire_vectors;
