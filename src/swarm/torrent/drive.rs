//! A torrent's own task: metadata, check, then transfers until told to stop.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    Torrent,
    core::{Input, TICK_MS},
    resume::Resume,
};
use crate::swarm::{
    bitfield::Bitfield,
    events::Event,
    lock::lock,
    metainfo::DICTIONARY_UNUSED,
    peer::{self, Told},
    phase::{self, Phase},
    picker::Picker,
    storage::Storage,
};

/// How often verified pieces are made durable and recorded. After a kill, what
/// was written since is hashed again.
const RECORD_EVERY: Duration = Duration::from_secs(5);
/// How often a torrent looks at itself while something goes on; else it sleeps until its next
/// deadline, or until something happens.
const TICK: Duration = Duration::from_millis(TICK_MS);

/// Runs a torrent.
pub(in crate::swarm) async fn drive(torrent: Arc<Torrent>) {
    let shared = torrent.shared.clone();
    torrent.start_announcing();
    torrent.start_web_seeds();
    if !torrent.is_private() {
        shared.spawn(torrent.clone().dht_loop());
    }
    // Counted from the last tick: whatever happens more often must not put the next one off.
    let mut ticked = tokio::time::Instant::now();
    let mut next = Some(ticked);
    let mut recorded_at = Instant::now();
    let mut told_metadata = torrent.setup.info.is_some();
    loop {
        let phase = torrent.phase.borrow().clone();
        if phase.is_ending() {
            return;
        }
        if let Phase::Checking { .. } = phase {
            if !std::mem::replace(&mut told_metadata, true) {
                torrent.tell_metadata();
            }
            if !torrent.clone().check().await {
                return;
            }
            continue;
        }
        torrent.dial_more();
        let tick = tokio::select! {
            () = torrent.changed.notified() => false,
            () = until(next) => true,
        };
        torrent.asleep.store(false, Ordering::Release);
        let phase = torrent.phase.borrow().clone();
        if tick {
            ticked = tokio::time::Instant::now();
            #[cfg(test)]
            torrent.ticks.fetch_add(1, Ordering::Relaxed);
        }
        if phase == Phase::Metadata {
            if tick {
                torrent.tick_metadata();
            }
            next = torrent.next_tick(tick, ticked);
            continue;
        }
        if tick {
            torrent.input(Input::Tick);
        }
        if tick && phase.is_open() {
            torrent.close_useless();
            torrent.try_disk_again().await;
            let connected = torrent.dialable();
            for conn in torrent.conns() {
                conn.tick_pex(&connected);
            }
        }
        if recorded_at.elapsed() >= RECORD_EVERY || torrent.is_complete() {
            recorded_at = Instant::now();
            torrent.clone().record(false).await;
        }
        if tick && let Some(info) = torrent.info.get() {
            info.put_away(DICTIONARY_UNUSED);
        }
        let enough = !torrent.setup.seed || torrent.is_shared_enough();
        if phase == Phase::Seeding && enough {
            let torrent = torrent.clone();
            let grace = shared.grace;
            shared.spawn(async move { torrent.finish(grace).await });
        }
        next = torrent.next_tick(tick, ticked);
    }
}

/// Waits until then; for ever, if that is never.
async fn until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Torrent {
    /// When its task ticks next, the last time having been `ticked`, if nothing happens before.
    /// After anything but a tick that is soon; then as late as nothing is missed.
    fn next_tick(
        &self,
        after_tick: bool,
        ticked: tokio::time::Instant,
    ) -> Option<tokio::time::Instant> {
        if !after_tick {
            return Some(ticked + TICK);
        }
        // Before it looks: whatever happens from now on wakes it.
        self.asleep.store(true, Ordering::Release);
        let quiet = self.quiet_for()?;
        if quiet > TICK {
            return Some(tokio::time::Instant::now() + quiet);
        }
        self.asleep.store(false, Ordering::Release);
        Some(ticked + TICK)
    }

    /// How long nothing has to be done, if nothing happens; `None`: for ever.
    fn quiet_for(&self) -> Option<Duration> {
        let now = self.now_ms();
        let core = self.state().core.next_tick(now, self.is_complete());
        let core = core.map(|at| Duration::from_millis(at.saturating_sub(now)));
        let unrecorded = lock(&self.resume).as_ref().is_some_and(Resume::is_dirty);
        let dictionary = self.info.get();
        let dictionary = dictionary.and_then(|info| info.put_away_in(DICTIONARY_UNUSED));
        let goals = *lock(&self.goals);
        let goal = goals.time;
        let goal = goal.and_then(|time| lock(&self.shared_for).until(time));
        // What is earned others count, and do not tell.
        let counted = goals.earned.is_some() && *self.phase.borrow() == Phase::Seeding;
        let looks = (unrecorded || counted).then_some(TICK);
        let all = [core, looks, dictionary, goal];
        let first = all.into_iter().flatten().min();
        first.map(|first| first.max(TICK))
    }

    /// Something happened: if its task sleeps, it looks what that means.
    pub(super) fn wake_task(&self) {
        if self.asleep.load(Ordering::Acquire) {
            self.changed.notify_one();
        }
    }

    /// Its task does not tick each second now.
    #[cfg(test)]
    pub(in crate::swarm) fn sleeps(&self) -> bool {
        self.asleep.load(Ordering::Acquire)
    }

    fn tick_metadata(&self) {
        for conn in self.conns() {
            conn.tick_metadata();
            conn.wake();
        }
    }

    fn dial_more(self: &Arc<Self>) {
        for (addr, place) in self.choose_to_dial() {
            let torrent = self.clone();
            let shared = self.shared.clone();
            self.shared.spawn(async move {
                let began = Instant::now();
                let close = peer::run::dial(shared, torrent.clone(), addr, place).await;
                tracing::debug!(%addr, %close, "outgoing connection ended");
                torrent.dialled(addr, began.elapsed());
            });
        }
    }

    /// The metadata of a magnet link is here.
    fn tell_metadata(self: &Arc<Self>) {
        let Some(info) = self.info.get() else {
            return;
        };
        if info.is_private() {
            self.input(Input::ForgetPublic);
        }
        self.emit(Event::MetadataReceived {
            name: info.name().to_owned(),
            bytes: info.layout().total(),
        });
    }

    /// Records what is verified and on stable storage.
    pub(super) fn record_now(&self, have: &Bitfield, storage: &Storage) {
        if let Some(resume) = &mut *lock(&self.resume)
            && let Err(error) = resume.save(have, storage, false)
        {
            tracing::warn!(%error, "cannot record what is verified");
        }
    }

    /// Makes verified pieces durable, then records them.
    async fn record(self: Arc<Self>, clean: bool) {
        let moving = self.moving.clone().read_owned().await;
        let Some(storage) = self.storage() else {
            return;
        };
        let Some(have) = self.have() else {
            return;
        };
        let dirty = lock(&self.resume).as_ref().map(Resume::is_dirty);
        if dirty.is_none() || (dirty == Some(false) && !clean) {
            return;
        }
        let this = self.clone();
        let recorded = tokio::task::spawn_blocking(move || {
            let _moving = moving;
            if let Err(error) = storage.sync() {
                this.emit(Event::DiskError {
                    message: error.to_string(),
                    full: error.is_full(),
                });
                return;
            }
            let mut resume = lock(&this.resume);
            // The last record, of an orderly end, must not be replaced by this one.
            if !clean && this.is_ending() {
                return;
            }
            if let Some(resume) = &mut *resume
                && let Err(error) = resume.save(&have, &storage, clean)
            {
                tracing::warn!(%error, "cannot record what is verified");
            }
        });
        if recorded.await.is_err() {
            tracing::debug!("the runtime is shutting down");
        }
    }

    pub(in crate::swarm) fn bytes_left(&self) -> u64 {
        if self.is_complete() {
            return 0;
        }
        let left = self.state().core.picker().map(Picker::bytes_left);
        // Before the metadata is there nobody knows; it is not nothing.
        left.unwrap_or(1)
    }

    /// Bytes that are missing, wanted or not.
    pub(super) fn bytes_missing(&self) -> u64 {
        if self.is_full() {
            return 0;
        }
        let left = self.state().core.picker().map(Picker::bytes_missing);
        left.unwrap_or(1)
    }

    /// Stops in order: what is due is settled (at most `grace`), the trackers are
    /// told, what is verified is recorded.
    ///
    /// It goes on if nobody waits for it any more.
    pub(in crate::swarm) async fn finish(self: Arc<Self>, grace: Duration) {
        let mut ended = self.ended.subscribe();
        self.input(Input::Phase(phase::Input::Stop));
        if !self.ending.swap(true, Ordering::AcqRel) {
            let ending = Ending(self.clone());
            // If the session has ended there is nothing to do, and `ending` is dropped.
            self.shared.spawn(async move { ending.0.end(grace).await });
        }
        // The sender lives as long as this torrent.
        let _ended = ended.wait_for(|ended| *ended).await;
    }

    /// Waits, at most for `grace`, until what is due on its connections is settled.
    async fn settle(self: &Arc<Self>, grace: Duration) {
        for conn in self.conns() {
            conn.tell(Told::Finished);
            conn.wake();
        }
        let drained = async {
            while !self.conns().iter().all(|conn| conn.is_drained()) {
                let soon = tokio::time::sleep(Duration::from_millis(50));
                tokio::select! {
                    () = self.drained.notified() => {}
                    () = soon => self.wake_all(),
                }
            }
        };
        let in_time = tokio::time::timeout(grace, drained).await;
        if in_time.is_err() {
            tracing::debug!(torrent = %self.hash, "some peers did not settle in time");
        }
    }

    /// Closes every connection after what is due is settled, unless it is resumed meanwhile.
    pub(super) async fn disconnect(self: Arc<Self>) {
        self.settle(self.shared.grace).await;
        if self.phase.borrow().is_closed() {
            for conn in self.conns() {
                conn.close("the torrent is paused here");
            }
        }
    }

    async fn end(self: &Arc<Self>, grace: Duration) {
        self.settle(grace).await;
        for conn in self.conns() {
            conn.close("this session is done");
        }
        // Nobody sends any more: what is being written is the last.
        let written = self.writing.write().await;
        tokio::join!(self.say_goodbye(), self.clone().record(true));
        drop(written);
        self.shared.forget(self.hash);
    }
}

/// A torrent that is being finished; when this is dropped, it is over.
struct Ending(Arc<Torrent>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.input(Input::Phase(phase::Input::Ended));
        self.0.ended.send_replace(true);
    }
}
