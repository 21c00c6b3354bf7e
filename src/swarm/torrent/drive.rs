//! A torrent's own task: metadata, check, then transfers until told to stop.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::time::MissedTickBehavior;

use super::{Place, Torrent, core::Input, resume::Resume};
use crate::swarm::{
    bitfield::Bitfield,
    events::Event,
    lock::lock,
    metainfo::Info,
    peer::{self, Told},
    phase::{self, Phase},
    picker::Picker,
    selection::{SelectionError, Wanted},
    storage::{Storage, StorageError, is_there},
};

/// How often verified pieces are made durable and recorded. After a kill, what
/// was written since is hashed again.
const RECORD_EVERY: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_secs(1);

/// Runs a torrent.
pub(in crate::swarm) async fn drive(torrent: Arc<Torrent>) {
    let shared = torrent.shared.clone();
    torrent.start_announcing();
    torrent.start_web_seeds();
    if !torrent.is_private() {
        shared.spawn(torrent.clone().dht_loop());
    }
    // Made once: whatever happens more often than a tick must not put it off.
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
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
            _tick = ticks.tick() => true,
        };
        let phase = torrent.phase.borrow().clone();
        if phase == Phase::Metadata {
            if tick {
                torrent.tick_metadata();
            }
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
        let enough = !torrent.setup.seed || torrent.is_shared_enough();
        if phase == Phase::Seeding && enough {
            let torrent = torrent.clone();
            let grace = shared.grace;
            shared.spawn(async move { torrent.finish(grace).await });
        }
    }
}

impl Torrent {
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

    /// Finds out what is there, and opens for transfers. False if the session has ended.
    async fn check(self: Arc<Self>) -> bool {
        let Some(info) = self.info.get().cloned() else {
            return false;
        };
        if let Err(error) = self.choose() {
            let why = phase::Input::Impossible(error.to_string());
            self.input(Input::Phase(why));
            return true;
        }
        // A check that was broken off may have left it.
        lock(&self.claimed).take();
        let root = match &self.setup.place {
            Place::Content(path) => path.clone(),
            Place::Folder(folder) => folder.join(info.name()),
        };
        let root = match self.is_at(&info, root).await {
            Ok(root) => root,
            Err(error) => {
                let why = phase::Input::CheckFailed(error.to_string());
                self.input(Input::Phase(why));
                return true;
            }
        };
        let read_only = matches!(self.setup.place, Place::Content(_));
        let this = self.clone();
        let at = root.clone();
        let checked = tokio::task::spawn_blocking(move || this.check_blocking(&at, read_only));
        let Ok(checked) = checked.await else {
            // The runtime is shutting down.
            return false;
        };
        let short = |have: &Option<Bitfield>| {
            read_only && have.as_ref().is_some_and(|have| !have.is_full())
        };
        match checked {
            Ok(have) if short(&have) => self.check_failed(&StorageError::Short { path: root }),
            Ok(Some(have)) => self.checked(info, have, root),
            // Broken off: its phase is another one.
            Ok(None) => {}
            Err(error) => self.check_failed(&error),
        }
        true
    }

    fn check_failed(self: &Arc<Self>, error: &StorageError) {
        let foreign = error.is_in_the_way();
        self.in_the_way.store(foreign, Ordering::Release);
        let why = phase::Input::CheckFailed(error.to_string());
        self.input(Input::Phase(why));
    }

    fn checked(self: &Arc<Self>, info: Arc<Info>, have: Bitfield, root: PathBuf) {
        let wanted = self.wanted_or(&info, || None);
        self.verified.begin(&have);
        self.full.store(have.is_full(), Ordering::Release);
        let (count, total) = (have.count(), have.len());
        let seed = u32::from_be_bytes(*self.hash.as_bytes().first_chunk().expect("20 bytes"))
            ^ self.shared.key;
        let picker = Picker::new(info.layout(), have, Wanted::clone(&wanted), seed);
        let complete = picker.is_done();
        self.complete.store(complete, Ordering::Release);
        self.emit(Event::Ready { have: count, total });
        if complete {
            self.emit(Event::Completed {
                path: root,
                bytes: wanted.bytes(),
                elapsed: self.started.elapsed(),
            });
        }
        self.input(Input::Checked(Box::new(picker), Some(info)));
    }

    /// Finds out which files were chosen, if that was said.
    fn choose(&self) -> Result<(), SelectionError> {
        let files = lock(&self.choice).clone();
        if let (Some(info), Some(files)) = (self.info.get(), files) {
            let wanted = Wanted::files(info, files.choose(info)?);
            *lock(&self.wanted) = Some(Arc::new(wanted));
        }
        Ok(())
    }

    /// What is wanted: what was chosen, or was `before`, or everything.
    fn wanted_or(&self, info: &Info, before: impl FnOnce() -> Option<Bitfield>) -> Arc<Wanted> {
        if let Some(known) = self.wanted() {
            return known;
        }
        let found = Arc::new(match before() {
            Some(files) => Wanted::files(info, files),
            None => Wanted::all(info),
        });
        lock(&self.wanted).get_or_insert(found).clone()
    }

    /// Where each file's bytes lie. A file that is left out has one of its own if
    /// this torrent made it before; a stranger's is never written to.
    fn lay_out(
        &self,
        info: &Info,
        root: &Path,
        wanted: &Wanted,
        resume: Option<&Resume>,
    ) -> Storage {
        let files = wanted.chosen().len();
        let before = resume.and_then(|resume| resume.in_place(files));
        Storage::new(info, root, |at| {
            let made = || before.as_ref().is_some_and(|before| before.has(at));
            wanted.chosen().has(at) || (made() && is_there(info, root, at))
        })
    }

    /// The pieces that are there; none if it was broken off.
    fn check_blocking(
        self: &Arc<Self>,
        root: &Path,
        read_only: bool,
    ) -> Result<Option<Bitfield>, StorageError> {
        let Some(info) = self.info.get() else {
            return Ok(None);
        };
        let goes_on = || matches!(*self.phase.borrow(), Phase::Checking { .. });
        let pieces = info.layout().pieces();
        let trusted = self.setup.trusted;
        let state = self.shared.state_dir.as_deref().filter(|_| !trusted);
        let mut resume = state.and_then(|dir| {
            let opened = Resume::new(&dir.join("resume"), self.hash, root);
            opened
                .inspect_err(|error| tracing::warn!(%error, "no fast resume"))
                .ok()
        });
        let wanted = self.wanted_or(info, || {
            let before = resume.as_ref().filter(|_| !read_only);
            before.and_then(|resume| resume.chosen(info.file_count()))
        });
        if let Some(resume) = &mut resume {
            resume.choose(&wanted);
        }
        let storage = Arc::new(match read_only {
            true => Storage::content(info, root, |_| true),
            false => self.lay_out(info, root, &wanted, resume.as_ref()),
        });
        *lock(&self.storage) = Some(storage.clone());
        if trusted {
            return Ok(Some(Bitfield::full(pieces)));
        }
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut absent = storage.is_absent();
        if read_only {
            storage.check_places(false)?;
        } else {
            let claimed = storage.claim(info.is_single_file())?;
            absent = claimed.made || storage.is_absent();
            *lock(&self.claimed) = Some(claimed);
        }
        let (mut have, mut check, ours) = match resume.as_ref() {
            _ if absent => (Bitfield::empty(pieces), Vec::new(), true),
            Some(resume) if !self.setup.recheck => {
                let plan = resume.plan(info, &storage);
                (plan.have, plan.check, plan.ours)
            }
            _ => (Bitfield::empty(pieces), (0..pieces).collect(), false),
        };
        // Nothing is moved before it is known what to believe, and nothing written
        // before it is known whose files these are.
        if !read_only {
            storage.check_places(self.setup.overwrite)?;
            if !ours && !self.setup.overwrite {
                storage.check_foreign(info, threads, &goes_on)?;
            }
            // Looking for strangers' files was broken off: nothing is known of them.
            if !goes_on() {
                return Ok(None);
            }
            storage.prepare(self.setup.room)?;
        }
        check.retain(|piece| storage.may_hold(*piece));
        let total = u32::try_from(check.len()).unwrap_or(u32::MAX);
        let done = AtomicU32::new(0);
        let progress = || {
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            // A hundred steps are enough for any bar.
            if done == total || done.is_multiple_of(total.div_ceil(100)) {
                self.emit(Event::Checking { done, total });
                self.input(Input::Phase(phase::Input::Hashed { done, total }));
            }
            goes_on()
        };
        let found = storage.check(info, &check, threads, &progress)?;
        // What was not hashed may be there: nothing is recorded of it.
        if done.load(Ordering::Relaxed) < total || !goes_on() {
            return Ok(None);
        }
        for piece in found.iter() {
            have.insert(piece);
        }
        if !read_only {
            let mut needed = have.clone();
            let wanted = wanted.pieces();
            (0..pieces)
                .filter(|piece| !wanted.has(*piece))
                .for_each(|piece| {
                    needed.insert(piece);
                });
            storage.check_writable(&needed)?;
        }
        *lock(&self.resume) = resume;
        self.record_now(&have, &storage);
        // After the record, which may speak of it.
        if !read_only && storage.drop_parts()? {
            self.record_now(&have, &storage);
        }
        Ok(Some(have))
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
        lock(&self.shared.torrents).remove(&self.hash);
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
