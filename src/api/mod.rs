//! HTTP in front of a client: its own API (`/api/v1`), qBittorrent's (`/api/v2`),
//! Transmission's (`/transmission/rpc`), the page, metrics and health.
//!
//! [`serve`] starts a server, and dropping or stopping the [`Server`] ends it. Who may do what
//! is decided in one place (`dispatch`) before a handler sees a request; `DESIGN.md` beside
//! this file has the rules.

mod answer;
mod bans;
mod caller;
mod config;
mod dispatch;
mod gate;
mod health;
mod line;
mod log;
mod metrics;
mod origin;
mod page;
mod password;
mod request;
mod scope;
mod secret;
mod server;
mod sessions;
mod site;
mod tls;
mod tokens;
mod transmission;
mod v1;
mod v2;

#[cfg(test)]
mod tests;

pub use config::{ApiConfig, ApiError, Network, TlsFiles};
pub use password::hash_password;
pub use scope::Scope;
pub use server::{Server, serve};
pub use tokens::add_token;
