//! The embedded TRON node.

mod bandwidth;
mod execute;
mod incoming;
mod params;
mod permission;
mod reject;
mod resource;
mod state;

pub use params::{Parameter, ParameterError, Parameters, Preset};
pub use reject::Reject;
