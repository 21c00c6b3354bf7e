//! What `seed` and `get` have in common.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use clap::{Args, ValueEnum};

use super::{
    Context,
    failure::{Failure, Outcome},
    units::Rate,
};
use crate::{
    receipts::pay::PayExtension,
    swarm::{self, Session, SessionError},
};

/// How long what is due may take to be settled when a session ends.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// How often figures are shown.
pub(super) const SHOW_EVERY: Duration = Duration::from_millis(500);

/// Flags of every swarm session.
#[derive(Debug, Args)]
pub(crate) struct SwarmFlags {
    /// Where to listen for peers; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:0")]
    listen: SocketAddr,
    /// A peer to dial; give it again for more.
    #[arg(long, value_name = "ADDR")]
    pub(super) peer: Vec<SocketAddr>,
    /// Upload limit.
    #[arg(long, value_name = "RATE")]
    up_limit: Option<Rate>,
    /// Download limit.
    #[arg(long, value_name = "RATE")]
    down_limit: Option<Rate>,
    /// Encrypt connections: when the peer wants it, whenever it can, or always.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    encryption: Encryption,
    /// Speak TCP only.
    #[arg(long)]
    no_utp: bool,
}

/// As [`swarm::Encryption`].
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Encryption {
    #[default]
    Accept,
    Prefer,
    Require,
}

impl From<Encryption> for swarm::Encryption {
    fn from(wanted: Encryption) -> Self {
        match wanted {
            Encryption::Accept => Self::Accept,
            Encryption::Prefer => Self::Prefer,
            Encryption::Require => Self::Require,
        }
    }
}

impl SwarmFlags {
    /// Starts a session; `paid_share` is percent of a limited upload.
    pub(super) async fn session(
        &self,
        context: &Context,
        pay: Option<&Arc<PayExtension>>,
        paid_share: u8,
    ) -> Outcome<Session> {
        let mut builder = Session::builder()
            .listen(self.listen)
            .up_limit(self.up_limit.map(|rate| rate.0))
            .down_limit(self.down_limit.map(|rate| rate.0))
            .encryption(self.encryption.into())
            .transports(true, !self.no_utp)
            .paid_share(paid_share)
            .state_dir(context.settings.home.join("swarm"))
            .grace(GRACE);
        if let Some(pay) = pay {
            builder = builder.extension(Arc::<PayExtension>::clone(pay));
        }
        Ok(builder.start().await?)
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        let code = match &error {
            SessionError::Bind { .. } => "listen",
            SessionError::Content { .. } => "file",
            _ => "session",
        };
        Self::failed(code, error)
    }
}

/// Ends payments without holding up the runtime: their worker finishes what it
/// has begun.
pub(super) async fn end(pay: Option<Arc<PayExtension>>) -> Outcome {
    let Some(pay) = pay else { return Ok(()) };
    tokio::task::spawn_blocking(move || pay.shutdown())
        .await
        .map_err(|error| Failure::failed("payments", error))
}
