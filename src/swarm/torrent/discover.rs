//! Finding peers without a tracker. Never for private torrents (BEP 27).

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{PeerSource, Torrent};
use crate::swarm::{events::Event, phase::Phase};

/// Nodes forget an announce after half an hour.
const ANNOUNCE: Duration = Duration::from_secs(900);
/// While fewer peers are connected to a download, it is searched for more often …
const FEW_PEERS: usize = 5;
/// … first after so long; doubles.
const HURRY: Duration = Duration::from_secs(5);

impl Torrent {
    /// Known to be private: what is not known yet is taken for public.
    pub(in crate::swarm) fn is_private(&self) -> bool {
        self.info.get().is_some_and(|info| info.is_private())
    }

    /// Whether peers may be looked for in public now.
    pub(in crate::swarm) fn is_public_and_open(&self) -> bool {
        !self.is_private() && self.phase.borrow().is_open()
    }

    /// Looks for peers in the distributed hash table, and is found there.
    pub(super) async fn dht_loop(self: Arc<Self>) {
        let Some(dht) = &self.shared.dht else {
            return;
        };
        let mut phase = self.phase.subscribe();
        let mut nodes = dht.nodes();
        let mut wait = HURRY;
        loop {
            if nodes.wait_for(|nodes| *nodes > 0).await.is_err() {
                return;
            }
            // Not while its files are checked, nor while it is paused.
            let goes_on = |phase: &Phase| phase.is_open() || phase.is_ending();
            if phase.wait_for(goes_on).await.is_err() || !self.is_public_and_open() {
                return;
            }
            if let Some(mut found) = dht.search(self.hash, Some(self.shared.public_port())) {
                let mut peers = 0;
                while let Some(some) = found.recv().await {
                    peers += some.len();
                    self.add_peers(&some, PeerSource::Dht);
                }
                self.emit(Event::DhtReply { peers });
            }
            let until = Instant::now() + ANNOUNCE;
            loop {
                let few = !self.is_complete() && self.conns().len() < FEW_PEERS;
                let next = if few { Instant::now() + wait } else { until };
                tokio::select! {
                    () = tokio::time::sleep_until(next.min(until)) => break,
                    changed = phase.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        if !self.is_public_and_open() {
                            break;
                        }
                    }
                }
            }
            wait = (wait * 2).min(ANNOUNCE);
        }
    }
}
