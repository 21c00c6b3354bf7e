//! One living client: torrents, payments, ledger and settlement together. Commands go in,
//! snapshots and events come out. It knows no terminal and no HTTP: the command line and
//! `api` are callers of it.
//!
//! One task owns all state ([`Client`] is a handle to it). What readers see is a
//! [`Snapshot`] that never changes. `DESIGN.md` beside this file has the
//! rules.

pub mod command;
pub mod earnings;
pub mod event;
pub mod snapshot;

mod adding;
mod agenda;
mod applying;
mod choosing;
mod days;
mod entry;
mod error;
mod goals;
mod keeping;
mod labels;
mod look;
mod money;
mod moving;
mod owner;
mod payments;
mod problems;
mod publish;
mod queue;
mod schedule;
mod seat;
mod store;
mod trackers;
mod watch_folder;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::{broadcast, mpsc, oneshot, watch};

pub use error::{ClientError, ErrorKind, OpenError};
pub use look::held_words;
pub use payments::{
    Consent, Looked, OpenWallet, Payments, PaymentsConfig, Renew, SettleWatch, Settling, Trade,
    Waiting,
};
pub use schedule::{MAX_WINDOWS, Schedule, Window};
pub use seat::Binding;
pub use store::{Peek, StoreError, peek};
pub use watch_folder::{WatchError, WatchFolder, Watched};

use self::{
    command::{AddTorrent, Answer, Command},
    event::Events,
    owner::{Order, Owner},
    snapshot::{Changes, Prices, Queue, Revision, SettlePolicy, SettlementPlan, Snapshot},
};
use crate::{
    swarm::SessionBuilder,
    types::{Clock, InfoHash, SystemClock},
};

/// Commands that wait. Who tells more waits, too.
const ORDERS: usize = 64;

/// How a client is opened.
pub struct ClientConfig {
    /// The swarm's settings. Payments are plugged in by the client.
    pub session: SessionBuilder,
    /// Where to listen, in this order, until one is free; empty: as the session says.
    pub places: Vec<SocketAddr>,
    /// What everything is sent from; then only the ports of `places` count. When it has no
    /// address nothing is sent, and it goes on when it has one.
    pub binding: Option<Binding>,
    /// The folder that torrents are put into if no other is named.
    pub folder: PathBuf,
    /// Where the list of torrents is kept; `None`: it is forgotten at the end. Limits of the
    /// session, where there are any, are preferred to those in the list.
    pub store: Option<PathBuf>,
    /// Buys and sells.
    pub payments: Option<Payments>,
    /// Prices of torrents that have none of their own, in place of those in the list where
    /// they are said.
    pub prices: Prices,
    /// How many torrents run at once; where it is not said, as the list says.
    pub queue: Queue,
    /// Limits by the time of day, in place of those that are kept or said.
    pub schedule: Schedule,
    /// How debts are settled; `None`: as the list says, and at first not.
    pub policy: Option<SettlePolicy>,
    /// How long what is due may take to be settled when a torrent, or the client, ends.
    pub grace: Duration,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientConfig")
            .field("folder", &self.folder)
            .field("payments", &self.payments)
            .finish_non_exhaustive()
    }
}

impl ClientConfig {
    /// A client without payments that puts torrents into `folder`.
    pub fn new(session: SessionBuilder, folder: PathBuf) -> Self {
        Self {
            session,
            places: Vec::new(),
            binding: None,
            folder,
            store: None,
            payments: None,
            prices: Prices::default(),
            policy: None,
            queue: Queue::default(),
            schedule: Schedule::default(),
            grace: Duration::from_secs(10),
            clock: Arc::new(SystemClock),
        }
    }
}

/// A running client. Clones are the same one; it ends when the last is dropped, or in order
/// by [`close`](Self::close).
#[derive(Clone)]
pub struct Client {
    orders: mpsc::Sender<Order>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    events: Arc<broadcast::Receiver<event::Event>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// Opens a client. Call it in a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// The session cannot start, or the list cannot be read.
    pub async fn open(config: ClientConfig) -> Result<Self, OpenError> {
        let (client, _events, _added) = Self::open_with(config, Vec::new()).await?;
        Ok(client)
    }

    /// Opens a client that begins with these torrents. Also given are all that happens to them,
    /// and for each its info-hash and whether it is new: false if it is in the list, or if one
    /// before it is the same.
    ///
    /// # Errors
    /// The same, or a torrent cannot be added.
    pub async fn open_with(
        config: ClientConfig,
        torrents: Vec<AddTorrent>,
    ) -> Result<(Self, Events, Vec<(InfoHash, bool)>), OpenError> {
        let (orders, inbox) = mpsc::channel(ORDERS);
        let (events, kept) = broadcast::channel(event::EVENTS_KEPT);
        let (mut owner, snapshots) = Owner::start(config, events).await?;
        let happens = Events::new(kept.resubscribe());
        let added = owner.begin(torrents).await?;
        tokio::spawn(owner.run(inbox));
        let client = Self {
            orders,
            snapshots,
            events: Arc::new(kept),
        };
        Ok((client, happens, added))
    }

    /// Does a command. The next [`snapshot`](Self::snapshot) shows what came of it. It is
    /// done also when nobody waits for the answer any more.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn command(&self, command: Command) -> Result<Answer, ClientError> {
        let (reply, answer) = oneshot::channel();
        let order = Order::Command(command, reply);
        if self.orders.send(order).await.is_err() {
            return Err(ClientError::Ended);
        }
        answer.await.unwrap_or(Err(ClientError::Ended))
    }

    /// What a settlement would pay now, and why the rest waits. The node is asked; a plan that
    /// is not older than 5 s is shown again.
    ///
    /// # Errors
    /// [`ClientError::NoPayments`]; [`ClientError::NoPlan`].
    pub async fn settlement_plan(&self) -> Result<Arc<SettlementPlan>, ClientError> {
        let (reply, answer) = oneshot::channel();
        if self.orders.send(Order::Plan(reply)).await.is_err() {
            return Err(ClientError::Ended);
        }
        answer.await.unwrap_or(Err(ClientError::Ended))
    }

    /// The newest snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }

    /// What is different since a revision.
    pub fn changes(&self, since: Revision) -> Changes {
        self.snapshot().changes(since)
    }

    /// Waits until there is a newer snapshot than `since`, or another one than this process
    /// has made. `None`: the client has ended.
    pub async fn changed(&self, since: Revision) -> Option<Arc<Snapshot>> {
        let mut snapshots = self.snapshots.clone();
        let newer = |snapshot: &Arc<Snapshot>| snapshot.revision != since;
        let snapshot = snapshots.wait_for(newer).await.ok()?;
        Some(snapshot.clone())
    }

    /// Everything that happens from now on.
    pub fn events(&self) -> Events {
        Events::new(self.events.resubscribe())
    }

    /// Ends it in order: what is due is settled (at most the grace), trackers are told, and
    /// what is verified is recorded. Returns when that is done.
    pub async fn close(&self) {
        let (done, ended) = oneshot::channel();
        if self.orders.send(Order::Close(done)).await.is_ok() {
            // Dropped without an answer: it has ended.
            let _ended = ended.await;
        }
    }
}

#[cfg(test)]
mod tests;
