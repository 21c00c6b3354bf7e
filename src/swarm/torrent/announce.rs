//! Asking the trackers: each tier (BEP 12) on its own, the tracker that answered
//! last first. One whose URL nobody understands is told of once and passed over.
//!
//! A tier has a lock that is held during each announce, and remembers what it was
//! told: whatever the timing, `completed` comes before `stopped`, each at most once,
//! and nothing after `stopped`.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, Notify},
    time::timeout,
};

use super::{PeerSource, Torrent};
use crate::swarm::{
    events::Event,
    locality::namable,
    lock::lock,
    phase::Phase,
    tracker::{Announce, AnnounceEvent, Reply, Retry, Tracker, TrackerError},
};

/// Wait after the first failure of a whole tier; doubles.
const RETRY: Duration = Duration::from_secs(2);
/// Longest wait after failures, unless the tracker asks for a longer one.
const MAX_RETRY: Duration = Duration::from_secs(900);
/// While fewer peers are connected, a tracker is asked at its shortest interval …
const FEW_PEERS: usize = 5;
/// … but no more often than this.
const HURRY: Duration = Duration::from_secs(30);
/// The last announces must not delay the end for long.
const GOODBYE: Duration = Duration::from_secs(3);
/// Looking up the host names of a reply's peers takes no longer.
const LOOK_UP: Duration = Duration::from_secs(10);
/// Peers wanted of a tracker.
const WANTED: u32 = 80;

/// Trackers of which one is asked.
#[derive(Debug)]
pub(super) struct Tier {
    /// All of them, also those that are not asked any more.
    urls: Vec<String>,
    told: Mutex<Told>,
    /// It is not one of the torrent's any more.
    gone: Notify,
}

/// What a tier was told.
#[derive(Debug)]
struct Told {
    trackers: Vec<Tracker>,
    /// An announce was sent: a tracker may know of us.
    asked: bool,
    /// `completed` was told, or is not to be told: nothing was downloaded.
    complete: bool,
    /// `stopped` was told: nothing more is.
    stopped: bool,
}

/// The tiers of a torrent, and those that it had before.
#[derive(Debug, Default)]
pub(super) struct Tiers {
    now: Vec<Arc<Tier>>,
    /// Trackers of these may still have to hear that we leave.
    leaving: Vec<Arc<Tier>>,
}

impl Tiers {
    /// Of a torrent that begins. `named` are trackers that the user named.
    pub(super) fn new(tiers: &[Vec<String>], named: &[String]) -> Self {
        Self {
            now: tiers.iter().map(|urls| Tier::new(urls, named)).collect(),
            leaving: Vec::new(),
        }
    }

    /// The URLs, by tier.
    pub(super) fn urls(&self) -> Vec<Vec<String>> {
        self.now.iter().map(|tier| tier.urls.clone()).collect()
    }

    /// Changes them; a tier of the same trackers in the same order stays what it is. Those
    /// that are new.
    fn change(&mut self, tiers: &[Vec<String>], named: &[String]) -> Vec<Arc<Tier>> {
        let mut before = std::mem::take(&mut self.now);
        let mut new = Vec::new();
        for urls in tiers {
            let known = before.iter().position(|tier| tier.urls == *urls);
            let tier = known.map_or_else(
                || {
                    new.push(Tier::new(urls, named));
                    new.last().cloned().expect("it was just put there")
                },
                |at| before.remove(at),
            );
            self.now.push(tier);
        }
        self.leaving.extend(before);
        new
    }
}

impl Tier {
    fn new(urls: &[String], named: &[String]) -> Arc<Self> {
        let trackers = urls.iter().map(|url| Tracker {
            named: named.contains(url),
            url: url.clone(),
            id: None,
        });
        Arc::new(Self {
            urls: urls.to_vec(),
            told: Mutex::new(Told {
                trackers: trackers.collect(),
                asked: false,
                complete: false,
                stopped: false,
            }),
            gone: Notify::new(),
        })
    }
}

/// When a tier is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::swarm) struct Next {
    /// Regularly.
    wait: Duration,
    /// While there are few peers.
    soonest: Duration,
    /// When somebody wants it.
    wished: Duration,
}

impl Next {
    pub(in crate::swarm) fn of(reply: &Reply) -> Self {
        let soonest = reply.min_interval.unwrap_or(reply.interval);
        Self {
            wait: reply.interval,
            soonest: soonest.max(HURRY).min(reply.interval),
            wished: reply
                .min_interval
                .unwrap_or(HURRY)
                .max(HURRY)
                .min(reply.interval),
        }
    }

    /// After so many failures in a row, of trackers that asked for this wait.
    pub(in crate::swarm) fn after(failures: u32, asked: Option<Duration>) -> Self {
        let factor = 1u32.checked_shl(failures.saturating_sub(1));
        let wait = RETRY
            .saturating_mul(factor.unwrap_or(u32::MAX))
            .min(MAX_RETRY);
        let wait = wait.max(asked.unwrap_or(wait));
        Self {
            wait,
            soonest: wait,
            wished: asked.unwrap_or(RETRY),
        }
    }
}

impl Next {
    /// How long to wait, if somebody wishes an announce, or while there are few peers.
    pub(in crate::swarm) fn wait(&self, wished: bool, few: bool) -> Duration {
        match (wished, few) {
            (true, _) => self.wished,
            (false, true) => self.soonest,
            (false, false) => self.wait,
        }
    }
}

/// Whether a torrent has so few peers that it asks for more.
pub(in crate::swarm) fn has_few(complete: bool, peers: usize) -> bool {
    !complete && peers < FEW_PEERS
}

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
            wanted: match event {
                AnnounceEvent::Stopped => 0,
                _ if self.is_ending() => 0,
                _ => WANTED,
            },
            key: self.shared.key,
        }
    }

    /// One announce to the first tracker of a tier that answers; else how long those
    /// that refused want to be left alone.
    async fn ask(
        self: &Arc<Self>,
        told: &mut Told,
        event: AnnounceEvent,
    ) -> Result<Next, Option<Duration>> {
        let mut at = 0;
        let mut leave = None;
        while let Some(tracker) = told.trackers.get(at).cloned() {
            let announce = self.announce(event);
            told.asked = true;
            match self.shared.tracker.ask(&tracker, &announce).await {
                Ok(reply) => {
                    self.hear(tracker.url, &reply);
                    if let (Some(known), Some(id)) = (told.trackers.get_mut(at), &reply.tracker_id)
                    {
                        known.id = Some(id.clone());
                    }
                    if let Some(first) = told.trackers.get_mut(..=at) {
                        first.rotate_right(1);
                    }
                    return Ok(Next::of(&reply));
                }
                Err(error) => {
                    let message = error.to_string();
                    match error {
                        TrackerError::BadUrl(_)
                        | TrackerError::NotThroughProxy { .. }
                        | TrackerError::Refused {
                            retry: Some(Retry::Never),
                            ..
                        } => {
                            told.trackers.remove(at);
                        }
                        TrackerError::Refused {
                            retry: Some(Retry::After(wait)),
                            ..
                        } => {
                            // Of several trackers the first that may be asked again.
                            leave = Some(leave.map_or(wait, |other: Duration| other.min(wait)));
                            at += 1;
                        }
                        _ => at += 1,
                    }
                    tracing::debug!(%message, "tracker");
                    let url = tracker.url;
                    self.emit(Event::TrackerError { url, message });
                }
            }
        }
        Err(leave)
    }

    /// Has all tiers be asked again soon.
    pub(in crate::swarm) fn reannounce(&self) {
        self.reannounced
            .send_modify(|times| *times = times.wrapping_add(1));
    }

    /// Takes in a reply.
    fn hear(self: &Arc<Self>, url: String, reply: &Reply) {
        self.add_peers(&reply.peers, PeerSource::Tracker);
        if !reply.names.is_empty() {
            let (torrent, reply) = (self.clone(), reply.clone());
            self.shared.spawn(async move {
                let found = look_up(&reply).await;
                torrent.add_peers(&found, PeerSource::Tracker);
            });
        }
        let peers = reply.peers.len() + reply.names.len();
        if let Some(message) = reply.warning.clone() {
            let url = url.clone();
            self.emit(Event::TrackerWarning { url, message });
        }
        self.emit(Event::TrackerReply { url, peers });
    }

    /// Keeps all tiers told.
    pub(super) fn start_announcing(self: &Arc<Self>) {
        let tiers = lock(&self.tiers).now.clone();
        for tier in tiers {
            self.shared.spawn(self.clone().announce_loop(tier));
        }
    }

    /// Changes the trackers, in groups; `named` are those that the user named. Trackers that
    /// are not there any more are told that we leave, and new ones that we are there: after
    /// that, as one may have changed its group.
    pub(in crate::swarm) fn set_trackers(
        self: &Arc<Self>,
        tiers: &[Vec<String>],
        named: &[String],
    ) {
        let (new, leaving) = {
            let mut known = lock(&self.tiers);
            let new = known.change(tiers, named);
            (new, known.leaving.clone())
        };
        if new.is_empty() && leaving.is_empty() {
            return;
        }
        let torrent = self.clone();
        self.shared.spawn(async move {
            torrent.leave_tiers(leaving).await;
            for tier in new {
                torrent.shared.spawn(torrent.clone().announce_loop(tier));
            }
        });
    }

    /// Tells tiers that we leave, after what they are being told. Also if somebody else does
    /// so, too: it is done when this ends.
    async fn leave_tiers(self: &Arc<Self>, tiers: Vec<Arc<Tier>>) {
        let mut all = tokio::task::JoinSet::new();
        for tier in tiers {
            let torrent = self.clone();
            all.spawn(async move {
                tier.gone.notify_one();
                torrent.take_leave(&mut *tier.told.lock().await).await;
                let mut known = lock(&torrent.tiers);
                known.leaving.retain(|other| !Arc::ptr_eq(other, &tier));
            });
        }
        all.join_all().await;
    }

    /// Keeps a tier told for as long as it is one of the torrent's.
    async fn announce_loop(self: Arc<Self>, tier: Arc<Tier>) {
        let mut event = AnnounceEvent::Started;
        let mut failures = 0u32;
        let mut phase = self.phase.subscribe();
        let mut wishes = self.reannounced.subscribe();
        // While data is checked nobody is let in, and what is left is not known.
        let is_checked = |phase: &Phase| !matches!(phase, Phase::Checking { .. });
        tokio::select! {
            checked = phase.wait_for(is_checked) => if checked.is_err() {
                return;
            },
            () = tier.gone.notified() => return,
        }
        tier.told.lock().await.complete = self.is_full();
        loop {
            let next = {
                let mut told = tier.told.lock().await;
                let now = self.phase.borrow().clone();
                if told.stopped || matches!(now, Phase::Stopping | Phase::Stopped) {
                    return;
                }
                if matches!(now, Phase::Failed(_)) {
                    self.take_leave(&mut told).await;
                    return;
                }
                if now.is_closed() {
                    self.take_a_break(&mut told).await;
                    drop(told);
                    event = AnnounceEvent::Started;
                    let goes_on = |phase: &Phase| phase.is_open() || phase.is_ending();
                    tokio::select! {
                        open = phase.wait_for(goes_on) => if open.is_err() {
                            return;
                        },
                        () = tier.gone.notified() => return,
                    }
                    continue;
                }
                let asked = self.ask(&mut told, event).await;
                if told.trackers.is_empty() {
                    return;
                }
                match asked {
                    Ok(next) => {
                        told.complete |= event == AnnounceEvent::Completed;
                        failures = 0;
                        event = AnnounceEvent::None;
                        next
                    }
                    Err(leave) => {
                        failures = failures.saturating_add(1);
                        Next::after(failures, leave)
                    }
                }
            };
            let now = tokio::time::Instant::now();
            let mut wished = false;
            loop {
                if event == AnnounceEvent::None && self.owes_completed(&*tier.told.lock().await) {
                    event = AnnounceEvent::Completed;
                    break;
                }
                let few = has_few(self.is_complete(), self.conns().len());
                let wait = next.wait(wished, few);
                tokio::select! {
                    () = tokio::time::sleep_until(now + wait) => break,
                    () = tier.gone.notified() => return,
                    // Its sender lives as long as the torrent.
                    Ok(()) = wishes.changed() => wished = true,
                    changed = phase.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        let now = phase.borrow();
                        if now.is_closed() || now.is_ending() {
                            break;
                        }
                    }
                }
            }
        }
    }

    /// Whether a tier is still to hear of the download's end. Who has chosen some of
    /// the files is no seeder; what was on disk already was not downloaded.
    fn owes_completed(&self, told: &Told) -> bool {
        !told.complete && self.is_full() && self.totals().0 > 0
    }

    /// Says what a tier has not heard yet, `stopped` last; nothing follows.
    async fn take_leave(self: &Arc<Self>, told: &mut Told) {
        if !told.stopped {
            // First, so that nothing follows though this is given up in the middle.
            told.stopped = true;
            self.take_a_break(told).await;
        }
    }

    /// Says what a tier has not heard yet, `stopped` last. `started` may follow.
    async fn take_a_break(self: &Arc<Self>, told: &mut Told) {
        let owed = self.owes_completed(told);
        if !(told.asked || owed) {
            return;
        }
        // Their answers are not waited for long; what is lost is a count.
        if owed && !told.asked {
            let _late = timeout(GOODBYE, self.ask(told, AnnounceEvent::Started)).await;
        }
        if owed {
            told.complete = true;
            let _late = timeout(GOODBYE, self.ask(told, AnnounceEvent::Completed)).await;
        }
        // Its peers forget us anyway after a while.
        let _late = timeout(GOODBYE, self.ask(told, AnnounceEvent::Stopped)).await;
        told.asked = false;
    }

    /// Tells every tier at once that we leave, after what is being told: a tracker
    /// that heard both at once would keep the peer that is gone.
    pub(super) async fn say_goodbye(self: &Arc<Self>) {
        let mut all = tokio::task::JoinSet::new();
        let tiers = lock(&self.tiers).now.clone();
        for tier in tiers {
            let torrent = self.clone();
            all.spawn(async move {
                // One that has not answered by then would not hear a goodbye either.
                if let Ok(mut told) = timeout(GOODBYE, tier.told.lock()).await {
                    torrent.take_leave(&mut told).await;
                }
            });
        }
        all.join_all().await;
    }
}

/// The addresses of peers with host names, as far as the tracker may name them.
async fn look_up(reply: &Reply) -> Vec<SocketAddr> {
    let mut lookups = tokio::task::JoinSet::new();
    for (host, port) in reply.names.clone() {
        lookups.spawn(async move {
            let found = timeout(LOOK_UP, tokio::net::lookup_host((host, port))).await;
            let found = found.ok().and_then(Result::ok);
            found.map(Iterator::collect::<Vec<_>>).unwrap_or_default()
        });
    }
    let found = lookups.join_all().await;
    let found = found.concat();
    reply
        .from
        .map_or(found.clone(), |from| namable(from, &found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_that_stays_is_what_it_was() {
        let tier = |urls: &[&str]| -> Vec<String> { urls.iter().map(|&url| url.into()).collect() };
        let mut tiers = Tiers::new(&[tier(&["a", "b"]), tier(&["c"])], &[]);
        let (first, second) = (tiers.now[0].clone(), tiers.now[1].clone());
        let new = tiers.change(&[tier(&["d"]), tier(&["a", "b"])], &["d".into()]);
        assert_eq!(tiers.urls(), [tier(&["d"]), tier(&["a", "b"])]);
        assert!(Arc::ptr_eq(&tiers.now[1], &first));
        assert!(new.len() == 1 && Arc::ptr_eq(&new[0], &tiers.now[0]));
        assert!(tiers.leaving.len() == 1 && Arc::ptr_eq(&tiers.leaving[0], &second));
        // One of its trackers is gone: it is another one.
        let new = tiers.change(&[tier(&["d"]), tier(&["b"])], &[]);
        assert_eq!((new.len(), tiers.leaving.len()), (1, 2));
        assert!(tiers.change(&tiers.urls(), &[]).is_empty());
    }

    #[test]
    fn a_tracker_is_asked_no_sooner_than_it_wishes() {
        let reply = |interval: u64, min: Option<u64>| Reply {
            interval: Duration::from_secs(interval),
            min_interval: min.map(Duration::from_secs),
            peers: Vec::new(),
            names: Vec::new(),
            warning: None,
            tracker_id: None,
            from: None,
        };
        let of = |interval, min| {
            let next = Next::of(&reply(interval, min));
            let secs = [next.wait, next.soonest, next.wished].map(|wait| wait.as_secs());
            (secs[0], secs[1], secs[2])
        };
        assert_eq!(of(1800, Some(900)), (1800, 900, 900));
        assert_eq!(of(1800, None), (1800, 1800, 30));
        assert_eq!(of(1800, Some(5)), (1800, 30, 30));
        assert_eq!(of(10, None), (10, 10, 10));
        let after = |failures, asked: Option<u64>| {
            Next::after(failures, asked.map(Duration::from_secs))
                .wait
                .as_secs()
        };
        assert_eq!(
            [after(1, None), after(2, None), after(99, None)],
            [2, 4, 900]
        );
        assert_eq!(after(1, Some(7200)), 7200);
        assert_eq!(after(20, Some(60)), 900);
        // Who mends his network does not wait for a tracker that was not reached.
        assert_eq!(Next::after(20, None).wished, RETRY);
        let asked = Some(Duration::from_secs(60));
        assert_eq!(Next::after(20, asked).wished, Duration::from_secs(60));
    }
}
