//! Where the session is bound: an address, or an interface that may go away, and come back with
//! another address. Nothing is sent by another way meanwhile.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use super::{
    entry::Run,
    owner::{Job, Owner},
    problems::Reach,
    snapshot::ProblemCode,
};
use crate::{
    swarm::{Session, SessionBuilder, SessionError, interface::BindTo},
    types::InfoHash,
};

/// Looks between two questions whether the source has another address: 2 s.
const LOOKS: u64 = 8;

/// How long the end of a session that nothing is in may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// What a client is bound to.
#[derive(Clone)]
pub struct Binding {
    to: BindTo,
    find: Arc<dyn Fn() -> Option<IpAddr> + Send + Sync>,
}

impl Binding {
    /// Bound to this, wherever it is on this machine.
    pub fn new(to: BindTo) -> Self {
        let own = to.clone();
        Self::found_by(to, move || own.find())
    }

    /// The same, found in another way.
    pub(super) fn found_by(
        to: BindTo,
        find: impl Fn() -> Option<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        Self {
            to,
            find: Arc::new(find),
        }
    }
}

/// The place of a session, and how to start it there.
pub(super) struct Seat {
    builder: SessionBuilder,
    /// Where to listen, in this order; only the ports count if there is a binding.
    places: Vec<SocketAddr>,
    binding: Option<Binding>,
    /// The address that it is bound to; `None`: there is none, and the session is parked.
    at: Option<IpAddr>,
    /// It leaves its place; torrents are not started until it has another one.
    leaving: bool,
}

impl Seat {
    pub(super) fn new(
        builder: SessionBuilder,
        places: Vec<SocketAddr>,
        binding: Option<Binding>,
    ) -> Self {
        Self {
            builder,
            places,
            binding,
            at: None,
            leaving: false,
        }
    }

    /// Starts a session at the first place that is free.
    pub(super) async fn open(&mut self) -> Result<Session, SessionError> {
        let Some(binding) = &self.binding else {
            return open_at(&self.builder, &self.places).await;
        };
        self.at = (binding.find)();
        let Some(ip) = self.at else {
            return self.park().await;
        };
        let places = self.places.iter();
        let places: Vec<_> = places
            .map(|place| SocketAddr::new(ip, place.port()))
            .collect();
        let first = places.first().copied().unwrap_or(SocketAddr::new(ip, 0));
        let mut builder = self.builder.clone().listen(first);
        if ip.is_loopback() {
            // Nobody would hear.
            builder = builder.lsd(false);
        }
        open_at(&builder, &places).await
    }

    /// A session that reaches nobody, for as long as there is no address.
    async fn park(&mut self) -> Result<Session, SessionError> {
        self.at = None;
        let builder = self.builder.clone().listen((Ipv4Addr::LOCALHOST, 0).into());
        builder.dht(None).lsd(false).port_map(None).start().await
    }

    /// Torrents may be in the session.
    pub(super) fn is_taken(&self) -> bool {
        !self.leaving && !self.is_away()
    }

    /// What it is bound to has no address.
    pub(super) fn is_away(&self) -> bool {
        self.binding.is_some() && self.at.is_none()
    }
}

async fn open_at(builder: &SessionBuilder, places: &[SocketAddr]) -> Result<Session, SessionError> {
    let Some((last, others)) = places.split_last() else {
        return builder.clone().start().await;
    };
    for place in others {
        match builder.clone().listen(*place).start().await {
            Err(SessionError::Bind { addr, source }) => {
                tracing::debug!(%addr, %source, "another place is tried");
            }
            other => return other,
        }
    }
    builder.clone().listen(*last).start().await
}

impl Owner {
    /// Looks whether what the session is bound to has another address now, and follows it: all
    /// torrents leave the session first, and are put into the next one.
    pub(super) async fn look_at_seat(&mut self) {
        let Some(binding) = &self.seat.binding else {
            return;
        };
        if self.ticks.is_multiple_of(LOOKS) && !self.seat.leaving {
            let found = (binding.find)();
            self.seat.leaving = found != self.seat.at;
        }
        if !self.seat.leaving {
            return;
        }
        let running = self
            .entries
            .iter()
            .filter(|(_, entry)| matches!(entry.run, Run::Yes(_)));
        let running: Vec<InfoHash> = running.map(|(hash, _)| *hash).collect();
        for hash in running {
            self.leave(hash);
        }
        let leaves = |run: &Run| matches!(run, Run::Leaving(_));
        if !self.entries.values().any(|entry| leaves(&entry.run)) {
            self.take_seat().await;
        }
        self.tell_seat();
    }

    /// Starts the next session; nothing is in the one before any more.
    async fn take_seat(&mut self) {
        let opened = match self.seat.open().await {
            Ok(session) => Ok(session),
            // The address went away again, or its port is taken: the next look tries again.
            Err(error) => {
                tracing::warn!(%error, "the session stays closed");
                self.seat.park().await
            }
        };
        let Ok(next) = opened else {
            // Not even loopback: the next look tries again, too.
            self.seat.at = None;
            return;
        };
        let before = std::mem::replace(&mut self.session, next);
        self.limit_session();
        self.jobs.spawn(async move {
            // Nothing is in it any more; the router is told to forget its port.
            let _late = tokio::time::timeout(GOODBYE, before.finish(Duration::ZERO)).await;
            Job::SessionEnded
        });
        self.reach = Reach::new();
        self.seat.leaving = false;
        self.turns_changed = true;
        self.look_at_all();
    }

    /// That it has no address is a problem.
    pub(super) fn tell_seat(&mut self) {
        let Some(binding) = &self.seat.binding else {
            return;
        };
        match self.seat.is_away() {
            true => {
                let why = match binding.to {
                    BindTo::Address(_) => "is not on this machine",
                    BindTo::Interface(_) => "is not there, or has no address",
                };
                self.problem(
                    ProblemCode::NoAddress,
                    None,
                    format!(
                        "{} {why}: nothing is sent or received meanwhile",
                        binding.to
                    ),
                    "Bring it up, and all goes on by itself; or start again with another one.",
                );
            }
            false => self.over(ProblemCode::NoAddress, None),
        }
    }
}
