//! What of a torrent is on disk: first what the record says, then by hashing the rest. Few
//! torrents look at once, and fewer hash: a session of thousands starts at the pace of its disk.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    Place, Torrent,
    core::Input,
    resume::{Plan, Recorded, Resume},
};
use crate::swarm::{
    bitfield::Bitfield,
    events::Event,
    lock::lock,
    metainfo::Info,
    phase::{self, Phase},
    picker::Picker,
    selection::{SelectionError, Wanted},
    storage::{Storage, StorageError, is_there},
};

/// What is known before anything is hashed.
enum Look {
    /// The pieces that are there; none if it was broken off.
    Known(Option<Bitfield>),
    Unknown(Box<Unknown>),
}

/// What is to be hashed, and what is done with what is found.
struct Unknown {
    storage: Arc<Storage>,
    resume: Option<Resume>,
    wanted: Arc<Wanted>,
    read_only: bool,
    /// What the record vouches for.
    have: Bitfield,
    /// Pieces to hash.
    check: Vec<u32>,
    /// The files are this torrent's.
    ours: bool,
    /// The record may stay as it is.
    settled: bool,
}

impl Torrent {
    /// Finds out what is there, and opens for transfers. False if the session has ended.
    pub(super) async fn check(self: Arc<Self>) -> bool {
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
        let Some(checked) = self.look_and_hash(root.clone(), read_only).await else {
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

    /// The pieces that are there; none if it was broken off.
    async fn look_and_hash(
        self: &Arc<Self>,
        root: PathBuf,
        read_only: bool,
    ) -> Option<Result<Option<Bitfield>, StorageError>> {
        let Some(looking) = self.turn(&self.shared.looking).await else {
            return Some(Ok(None));
        };
        let this = self.clone();
        let look = tokio::task::spawn_blocking(move || this.look(&root, read_only));
        let unknown = match look.await.ok()? {
            Ok(Look::Known(have)) => return Some(Ok(have)),
            Ok(Look::Unknown(unknown)) => unknown,
            Err(error) => return Some(Err(error)),
        };
        // Whoever hashes for hours is in the way of those alone that must hash, too.
        let is_quick = unknown.ours && unknown.check.is_empty();
        let turn = match is_quick {
            true => Some(looking),
            false => {
                drop(looking);
                self.turn(&self.shared.hashing).await
            }
        };
        let Some(_turn) = turn else {
            return Some(Ok(None));
        };
        let this = self.clone();
        let hash = tokio::task::spawn_blocking(move || this.hash(*unknown));
        hash.await.ok()
    }

    /// Waits for one of few places, as long as there is something to check.
    async fn turn<'s>(&self, places: &'s Semaphore) -> Option<SemaphorePermit<'s>> {
        let mut phase = self.phase.subscribe();
        tokio::select! {
            place = places.acquire() => place.ok(),
            _other = phase.wait_for(|phase| !matches!(phase, Phase::Checking { .. })) => None,
        }
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
        recorded: Option<&Recorded>,
    ) -> Storage {
        let files = wanted.chosen().len();
        let before = recorded.and_then(|recorded| recorded.in_place(files));
        Storage::new(info, root, |at| {
            let made = || before.as_ref().is_some_and(|before| before.has(at));
            wanted.chosen().has(at) || (made() && is_there(info, root, at))
        })
    }

    /// Still to be done: no pause or end has come.
    fn goes_on(&self) -> bool {
        matches!(*self.phase.borrow(), Phase::Checking { .. })
    }

    /// Lays the files out, and finds what the record vouches for.
    fn look(&self, root: &Path, read_only: bool) -> Result<Look, StorageError> {
        let Some(info) = self.info.get() else {
            return Ok(Look::Known(None));
        };
        let pieces = info.layout().pieces();
        let trusted = self.setup.trusted;
        let state = self.shared.state_dir.as_deref().filter(|_| !trusted);
        let mut resume = state.and_then(|dir| {
            let opened = Resume::new(&dir.join("resume"), self.hash, root);
            opened
                .inspect_err(|error| tracing::warn!(%error, "no fast resume"))
                .ok()
        });
        let recorded = resume.as_ref().and_then(Resume::recorded);
        let wanted = self.wanted_or(info, || {
            let before = recorded.as_ref().filter(|_| !read_only);
            before.and_then(|recorded| recorded.chosen(info.file_count()))
        });
        if let Some(resume) = &mut resume {
            resume.choose(&wanted);
        }
        let storage = Arc::new(match read_only {
            true => Storage::content(info, root, |_| true),
            false => self.lay_out(info, root, &wanted, recorded.as_ref()),
        });
        *lock(&self.storage) = Some(storage.clone());
        if trusted {
            return Ok(Look::Known(Some(Bitfield::full(pieces))));
        }
        let mut absent = storage.is_absent();
        if read_only {
            storage.check_places(false)?;
        } else {
            let claimed = storage.claim(info.is_single_file())?;
            absent = claimed.made || storage.is_absent();
            *lock(&self.claimed) = Some(claimed);
        }
        let plan = match resume.as_ref() {
            _ if absent => Plan {
                have: Bitfield::empty(pieces),
                ours: true,
                check: Vec::new(),
                settled: false,
            },
            Some(resume) if !self.setup.recheck => resume.plan(recorded.as_ref(), info, &storage),
            _ => Plan {
                have: Bitfield::empty(pieces),
                ours: false,
                check: (0..pieces).collect(),
                settled: false,
            },
        };
        Ok(Look::Unknown(Box::new(Unknown {
            settled: plan.settled && wanted.is_everything(),
            storage,
            resume,
            wanted,
            read_only,
            have: plan.have,
            check: plan.check,
            ours: plan.ours,
        })))
    }

    /// Hashes what the record does not vouch for, and opens the files.
    fn hash(self: &Arc<Self>, unknown: Unknown) -> Result<Option<Bitfield>, StorageError> {
        let Some(info) = self.info.get() else {
            return Ok(None);
        };
        let Unknown {
            storage,
            mut resume,
            wanted,
            read_only,
            mut have,
            mut check,
            ours,
            settled,
        } = unknown;
        let goes_on = || self.goes_on();
        let pieces = info.layout().pieces();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        // Nothing is moved before it is known what to believe, and nothing written
        // before it is known whose files these are.
        if !read_only {
            storage.check_places(self.setup.overwrite)?;
            if !ours && !self.setup.overwrite {
                storage.check_foreign(info, threads, &goes_on)?;
            }
            // It was broken off: nothing is known of strangers' files.
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
        if let Some(resume) = resume.as_mut().filter(|_| settled) {
            resume.settle();
        }
        *lock(&self.resume) = resume;
        if !settled {
            self.record_now(&have, &storage);
        }
        // After the record, which may speak of it.
        if !read_only && storage.drop_parts()? {
            self.record_now(&have, &storage);
        }
        Ok(Some(have))
    }
}
