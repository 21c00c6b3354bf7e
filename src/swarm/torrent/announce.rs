//! Asking the trackers: each tier (BEP 12) on its own, the tracker that answered
//! last first. One whose URL nobody understands is told of once and passed over.

use std::{sync::Arc, time::Duration};

use super::{PeerSource, Torrent};
use crate::swarm::{
    events::{Event, Phase},
    tracker::{Announce, AnnounceEvent, TrackerError},
};

/// Wait after the first failure of a whole tier; doubles.
const RETRY: Duration = Duration::from_secs(2);
/// Longest wait after failures.
const MAX_RETRY: Duration = Duration::from_secs(900);
/// While fewer peers are known, a tracker is asked more often than it wishes …
const FEW_PEERS: usize = 5;
/// … but no more often than this.
const HURRY: Duration = Duration::from_secs(30);
/// The last announce must not delay the end for long.
const GOODBYE: Duration = Duration::from_secs(3);
/// Peers wanted of a tracker.
const WANTED: u32 = 80;

impl Torrent {
    fn announce(&self, event: AnnounceEvent) -> Announce {
        let (downloaded, uploaded, _) = self.totals();
        Announce {
            info_hash: self.hash,
            peer_id: self.shared.peer_id,
            port: self.shared.public_port(),
            uploaded,
            downloaded,
            left: self.bytes_missing(),
            event,
            wanted: if self.is_stopping() { 0 } else { WANTED },
            key: self.shared.key,
        }
    }

    /// One announce to the first tracker of a tier that answers.
    async fn ask(&self, tier: &mut Vec<String>, event: AnnounceEvent) -> Option<Duration> {
        let mut at = 0;
        while let Some(url) = tier.get(at).cloned() {
            let announce = self.announce(event);
            match self.shared.tracker.announce(&url, &announce).await {
                Ok(reply) => {
                    self.add_peers(&reply.peers, PeerSource::Tracker);
                    let peers = reply.peers.len();
                    self.emit(Event::TrackerReply { url, peers });
                    tier.get_mut(..=at)?.rotate_right(1);
                    return Some(reply.interval);
                }
                Err(error) => {
                    if matches!(error, TrackerError::BadUrl(_)) {
                        tier.remove(at);
                    } else {
                        at += 1;
                    }
                    let message = error.to_string();
                    tracing::debug!(%message, "tracker");
                    self.emit(Event::TrackerError { url, message });
                }
            }
        }
        None
    }

    /// Keeps a tier told for as long as the torrent lives.
    pub(super) async fn announce_loop(self: Arc<Self>, mut tier: Vec<String>) {
        let mut event = AnnounceEvent::Started;
        let mut failures = 0u32;
        let mut phase = self.phase.subscribe();
        // While data is checked nobody is let in, and what is left is not known.
        let checked = phase.wait_for(|phase| !matches!(phase, Phase::Checking { .. }));
        if checked.await.is_err() {
            return;
        }
        let mut told_complete = self.is_full();
        loop {
            let asked = {
                let _announcing = self.announcing.read().await;
                if self.is_stopping() {
                    return;
                }
                self.ask(&mut tier, event).await
            };
            if tier.is_empty() {
                return;
            }
            let wait = match asked {
                Some(interval) => {
                    failures = 0;
                    event = AnnounceEvent::None;
                    let hurry = !self.is_complete() && self.conns().len() < FEW_PEERS;
                    if hurry { interval.min(HURRY) } else { interval }
                }
                None => {
                    failures = failures.saturating_add(1);
                    let factor = 1u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
                    RETRY.saturating_mul(factor).min(MAX_RETRY)
                }
            };
            let until = tokio::time::Instant::now() + wait;
            loop {
                // Who has chosen some of the files is no seeder, and completed nothing.
                let became_complete = self.is_full() && !told_complete;
                if became_complete && event == AnnounceEvent::None {
                    told_complete = true;
                    // What was on disk already was not downloaded.
                    if self.totals().0 > 0 {
                        event = AnnounceEvent::Completed;
                    }
                    break;
                }
                tokio::select! {
                    () = tokio::time::sleep_until(until) => break,
                    changed = phase.changed() => {
                        if changed.is_err() || self.is_stopping() {
                            return;
                        }
                    }
                }
            }
        }
    }

    /// Tells every tier at once that we leave, after what is being told: a tracker
    /// that hears of both at once would keep the peer that is gone.
    pub(super) async fn say_goodbye(self: &Arc<Self>) {
        let _told = tokio::time::timeout(GOODBYE, self.announcing.write()).await;
        let mut all = tokio::task::JoinSet::new();
        for mut tier in self.trackers().to_vec() {
            let torrent = self.clone();
            all.spawn(async move {
                let goodbye = torrent.ask(&mut tier, AnnounceEvent::Stopped);
                // Its peers forget us anyway after a while.
                let _late = tokio::time::timeout(GOODBYE, goodbye).await;
            });
        }
        all.join_all().await;
    }
}
