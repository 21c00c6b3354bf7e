//! A client that lives as long as its command: it keeps no list, and leaves that of a daemon
//! alone.

use std::{net::SocketAddr, sync::Arc};

use serde_json::json;
use tokio::time::Interval;

use super::{
    Context,
    events::Troubles,
    failure::{Failure, Outcome},
    progress::Shown,
    settings::private_folder,
    swarm::{SHOW_EVERY, SwarmFlags},
    torrent,
    units::{btt_text, counted},
};
use crate::{
    client::{
        Client, ClientError, Payments,
        command::AddTorrent,
        event::{Events, Happened},
        snapshot::{Prices, ProblemCode, SettlePolicy, Snapshot, TorrentRow},
    },
    types::InfoHash,
};

/// A client of one command, and what it showed last.
pub(super) struct Foreground<'a> {
    context: &'a Context,
    client: Client,
    events: Events,
    troubles: Troubles,
    tick: Interval,
    /// The newest that was looked at.
    pub(super) snapshot: Arc<Snapshot>,
    /// The disk has no room.
    pub(super) full: bool,
}

/// What it is time for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Figures are to be shown.
    Figures,
    /// Something changed.
    Changed,
    /// A signal ends the command.
    Stopped,
}

impl<'a> Foreground<'a> {
    /// Opens it with these torrents; the info-hash of each, and false if it was among those
    /// before it. `paid_share` is percent of a limited upload.
    pub(super) async fn open(
        context: &'a Context,
        swarm: &SwarmFlags,
        paid_share: u8,
        prices: Prices,
        payments: Option<Payments>,
        torrents: Vec<AddTorrent>,
    ) -> Outcome<(Self, Vec<(InfoHash, bool)>)> {
        let home = &context.settings.home;
        private_folder(home)?;
        // Each torrent says its own folder.
        let mut config = swarm.for_client(context, paid_share, home.clone())?;
        config.payments = payments;
        config.prices = prices;
        // Without somebody who settles nothing comes of it.
        config.policy = Some(SettlePolicy::Free);
        let (client, events, added) = Client::open_with(config, torrents).await?;
        swarm.keep_port(context, client.snapshot().transfer.value.listen);
        let problems = client.snapshot().problems.clone();
        for problem in &problems.value.problems {
            if problem.code == ProblemCode::NoAddress {
                context
                    .out
                    .warn(format!("{}. {}", problem.message, problem.hint));
            }
        }
        let foreground = Self {
            context,
            events,
            snapshot: client.snapshot(),
            client,
            troubles: Troubles::default(),
            tick: tokio::time::interval(SHOW_EVERY),
            full: false,
        };
        Ok((foreground, added))
    }

    /// Where it listens.
    pub(super) fn listen(&self) -> SocketAddr {
        self.snapshot.transfer.value.listen
    }

    /// Waits for the next moment. What happened until then is told.
    pub(super) async fn moment(&mut self) -> Outcome<Moment> {
        loop {
            let since = self.snapshot.revision;
            tokio::select! {
                event = self.events.next() => match event {
                    Some(event) => self.hear(&event.what)?,
                    None => return Err(ClientError::Ended.into()),
                },
                snapshot = self.client.changed(since) => {
                    self.snapshot = snapshot.ok_or(ClientError::Ended)?;
                    // What came before it is told before it.
                    while let Some(event) = self.events.waiting() {
                        self.hear(&event.what)?;
                    }
                    let ports = &self.snapshot.transfer.value.port_mapping;
                    self.troubles.tell_ports(self.context, ports)?;
                    return Ok(Moment::Changed);
                }
                _ = self.tick.tick() => return Ok(Moment::Figures),
                () = self.context.interrupt.wait() => return Ok(Moment::Stopped),
            }
        }
    }

    fn hear(&mut self, event: &Happened) -> Outcome {
        match event {
            Happened::DiskRefused { full: true, .. } => self.full = true,
            Happened::ProblemOver {
                code: ProblemCode::Disk,
                ..
            } => self.full = false,
            Happened::Settled { payouts, total_raw } => self.context.out.note(format!(
                "paid {} to {}; that is final",
                btt_text(total_raw.unsigned()),
                counted(*payouts, "account")
            )),
            Happened::Problem {
                code: ProblemCode::DebtsDue | ProblemCode::SettleFailed,
                message,
                ..
            } => self.context.out.warn(format!(
                "{message}; `seedrail settle run` pays what you owe"
            )),
            Happened::Problem {
                code: ProblemCode::KeyEnds | ProblemCode::NoAddress,
                message,
                hint,
                ..
            } => self.context.out.warn(format!("{message}. {hint}")),
            _ => {}
        }
        self.troubles.tell(self.context, event)
    }

    /// Tells which of the torrents have begun; those that have just now.
    pub(super) fn begun(&mut self, hashes: &[InfoHash]) -> Outcome<Vec<Shown>> {
        let mut begun = Vec::new();
        for torrent in self.torrents(hashes) {
            if self.troubles.tell_begun(self.context, &torrent.row.value)? {
                begun.push(torrent);
            }
        }
        Ok(begun)
    }

    /// Torrents as they stand, in this order.
    pub(super) fn torrents(&self, hashes: &[InfoHash]) -> Vec<Shown> {
        let all = &self.snapshot.torrents;
        hashes
            .iter()
            .filter_map(|hash| all.get(hash).cloned())
            .collect()
    }

    /// Spent and earned, in raw units.
    pub(super) fn totals(&self) -> (u64, u64) {
        let money = self.snapshot.money.as_ref().map(|money| &money.value);
        money.map_or((0, 0), |money| {
            (money.session_spent_raw, money.session_earned_raw)
        })
    }

    /// Ends it in order: what is due is settled, and the last snapshot shows what all came to.
    pub(super) async fn close(&mut self) {
        self.client.close().await;
        self.snapshot = self.client.snapshot();
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Session(error) => error.into(),
            ClientError::Files(error) => torrent::unknown_files(error),
            ClientError::Move(error) => Self::failed("move", error),
            ClientError::BadTracker(_) => Self::usage(error),
            error => Self::failed("session", error),
        }
    }
}

/// A torrent of several cannot go on.
pub(super) fn tell_failed(context: &Context, row: &TorrentRow, why: &str) -> Outcome {
    context.out.note(format!("{}: {why}", row.name));
    context.out.event(&json!({
        "event": "failed",
        "info_hash": row.hash,
        "name": row.name,
        "message": why,
    }))
}
