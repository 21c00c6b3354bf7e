//! From chunks to verified pieces on disk, and back to chunks.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

use super::{
    Torrent,
    assembly::{Verdict, Work},
    core::Input,
};
use crate::swarm::{
    bitfield::Bitfield, events::Event, hooks::ConnId, lock::lock, metainfo::Info, peer::Burst,
    phase, storage::StorageError, wire::Block,
};

/// Peers whose metadata is fetched at once; each holds up to the largest info
/// dictionary in memory.
const MAX_FETCHING: usize = 3;

impl Torrent {
    /// Those of a few pieces that a peer has and we lack, if there are any.
    pub(in crate::swarm) fn offered(
        &self,
        conn: ConnId,
        pieces: &BTreeSet<u32>,
    ) -> Option<Bitfield> {
        self.state().core.offered(conn, pieces)
    }

    /// Whether a piece is here.
    pub(in crate::swarm) fn has(&self, piece: u32) -> bool {
        self.state().core.has(piece)
    }

    /// A chunk that was picked for a connection will not come from it. True if it has no
    /// part in the piece any more.
    pub(in crate::swarm) fn unpick(&self, conn: ConnId, block: Block) -> bool {
        self.state().core.unpick(conn, block)
    }

    /// Others may finish what a connection began; true if it had begun anything.
    pub(in crate::swarm) fn release(&self, conn: ConnId) -> bool {
        self.state().core.release(conn)
    }

    pub(super) async fn hash_and_write(self: Arc<Self>, info: Arc<Info>, work: Arc<Work>) {
        let writing = self.writing.clone().read_owned().await;
        // Only now: meanwhile the files may have got other places.
        let Some(storage) = self.storage() else {
            return;
        };
        let Ok(_permit) = self.shared.disk.acquire().await else {
            return;
        };
        let piece = work.piece();
        let this = self.clone();
        let job = tokio::task::spawn_blocking(move || {
            let _writing = writing;
            let mark = || {
                if let Some(resume) = &mut *lock(&this.resume) {
                    resume.mark();
                }
            };
            mark();
            let verdict = work.run(&info, &storage, &this.shared.buffers);
            if let Ok(Verdict::Finished(true)) = verdict
                && let Some(resume) = &mut *lock(&this.resume)
            {
                resume.note(piece);
            }
            mark();
            verdict
        });
        match job.await {
            Ok(Ok(Verdict::Unfinished)) => {}
            Ok(Ok(Verdict::Finished(true))) => self.input(Input::Verified(piece)),
            Ok(Ok(Verdict::Finished(false))) => self.input(Input::Wrong(piece)),
            Ok(Err(error)) => self.input(Input::DiskRefused {
                piece,
                message: error.to_string(),
                full: error.is_full(),
            }),
            // The runtime is shutting down.
            Err(_) => {}
        }
    }

    /// After the disk refused, lets the download go on, if it is time. Where there was
    /// no room it is looked for first: what nobody can store must not be asked for,
    /// and least of all paid for, again and again.
    pub(super) async fn try_disk_again(self: &Arc<Self>) {
        let due = self.state().core.disk_due(self.now_ms());
        let Some(full) = due else {
            return;
        };
        if let (true, Some(storage)) = (full, self.storage()) {
            let room = u64::from(storage.layout().piece_length());
            let probed = tokio::task::spawn_blocking(move || storage.probe(room)).await;
            if let Ok(Err(error)) = probed {
                tracing::debug!(%error, "still no room");
                self.input(Input::StillFull);
                return;
            }
        }
        self.input(Input::Phase(phase::Input::DiskWorks));
    }

    /// Those who watch are told that everything wanted is there.
    pub(super) fn tell_completed(&self) {
        self.complete.store(true, Ordering::Release);
        self.emit(Event::Completed {
            path: self.path().unwrap_or_default(),
            bytes: self.bytes_wanted().unwrap_or(0),
            elapsed: self.started.elapsed(),
        });
    }

    /// Whether a request can be served.
    pub(in crate::swarm) fn can_serve(&self, block: Block) -> bool {
        let Some(info) = self.info.get() else {
            return false;
        };
        if !info.layout().contains(block) || !self.phase.borrow().is_open() {
            return false;
        }
        self.verified.has(block.piece)
    }

    /// Reads parts of verified pieces and appends them to a burst.
    pub(in crate::swarm) async fn read(
        &self,
        mut burst: Burst,
        blocks: &[Block],
    ) -> Result<Burst, StorageError> {
        let gone = || StorageError::Short {
            path: self.path().unwrap_or_default(),
        };
        let moving = self.moving.clone().read_owned().await;
        let (Some(info), Some(storage)) = (self.info.get(), self.storage()) else {
            return Err(gone());
        };
        let layout = info.layout();
        let blocks = blocks.to_vec();
        let _permit = self.shared.disk.acquire().await.map_err(|_| gone())?;
        let read = tokio::task::spawn_blocking(move || {
            let _moving = moving;
            let mut reader = storage.reader();
            for block in blocks {
                let offset = layout.offset(block.piece) + u64::from(block.begin);
                burst.put_chunk(block, |place| reader.read(offset, place))?;
            }
            Ok(burst)
        });
        let burst = read.await.map_err(|_| gone())?;
        if let Err(error) = &burst {
            self.emit(Event::DiskError {
                message: StorageError::to_string(error),
                full: error.is_full(),
            });
        }
        burst
    }

    /// Whether another peer's metadata may be fetched; ended by
    /// [`end_fetch`](Self::end_fetch).
    pub(in crate::swarm) fn begin_fetch(&self) -> bool {
        let one_more = |count: usize| (count < MAX_FETCHING).then_some(count + 1);
        let more = self
            .fetching
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
        more.is_ok()
    }

    pub(in crate::swarm) fn end_fetch(&self) {
        self.fetching.fetch_sub(1, Ordering::AcqRel);
        self.wake_all();
    }

    /// A peer sent all of the metadata; false if it is wrong.
    pub(in crate::swarm) fn offer_metadata(self: &Arc<Self>, bytes: Vec<u8>) -> bool {
        match Info::from_metadata(bytes.into(), self.hash) {
            Ok(info) => {
                self.info.get_or_init(|| Arc::new(info));
                self.input(Input::Phase(phase::Input::MetadataCame));
                true
            }
            Err(crate::swarm::metainfo::MetainfoError::WrongHash { .. }) => false,
            // The right bytes of a torrent that is not acceptable: nobody's fault.
            Err(error) => {
                let why = phase::Input::Impossible(error.to_string());
                self.input(Input::Phase(why));
                true
            }
        }
    }
}
