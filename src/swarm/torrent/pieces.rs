//! From chunks to verified pieces on disk, and back to chunks.

use std::{
    collections::{BTreeSet, hash_map::Entry as Slot},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    State, Torrent,
    assembly::{Assembly, Verdict, Work},
};
use crate::swarm::{
    bitfield::Bitfield,
    buffers::Buffers,
    events::Event,
    hooks::{ConnId, PriceTag},
    lock::lock,
    metainfo::Info,
    peer::{Burst, Named, Told},
    phase::{Input, Pause, Phase},
    picker::{Asker, Ended, Received},
    storage::StorageError,
    wire::{Block, Message},
};

/// After the disk refused, nothing is downloaded for so long.
const DISK_RETRY: Duration = Duration::from_secs(10);
/// Peers whose metadata is fetched at once; each holds up to the largest info
/// dictionary in memory.
const MAX_FETCHING: usize = 3;

impl State {
    fn forget_assembly(&mut self, piece: u32, buffers: &Buffers) {
        if let Some(assembly) = self.assemblies.remove(&piece) {
            assembly.discard(buffers);
        }
    }

    /// Tells the connections what became of their chunks of a piece. Under the lock that
    /// also covers leaving, so that each tag goes back once: here, or when its connection
    /// leaves.
    fn tell_ended(&self, piece: u32, ended: Ended, verified: bool) {
        for (conn, chunks) in ended.contributions {
            let Some(entry) = self.peers.get(&conn) else {
                continue;
            };
            if verified {
                entry.conn.tell(Told::Verified { piece, chunks });
                continue;
            }
            for (tag, bytes) in chunks {
                entry.conn.tell(Told::Dropped { tag, bytes });
            }
        }
        for conn in ended.open {
            if let Some(entry) = self.peers.get(&conn) {
                entry.conn.tell(Told::Over { piece });
            }
        }
    }
}

impl Torrent {
    /// The next chunk to ask of a connection.
    /// The same, with `more`, from pieces that it takes part in.
    pub(in crate::swarm) fn pick(&self, asker: Asker, named: &Named, more: bool) -> Option<Block> {
        let mut state = lock(&self.state);
        if state.phase != Phase::Downloading {
            return None;
        }
        let State { picker, peers, .. } = &mut *state;
        let bits = peers.get(&asker.conn)?.bits.as_ref()?;
        let picker = picker.as_mut()?;
        let bits = named.only.as_ref().unwrap_or(bits);
        if more {
            return picker.pick_more(asker, bits);
        }
        let rather = named.rather.as_ref();
        let rather = rather.and_then(|rather| picker.pick(asker, rather));
        rather.or_else(|| picker.pick(asker, bits))
    }

    /// Those of a few pieces that a peer has and we lack, if there are any.
    pub(in crate::swarm) fn offered(
        &self,
        conn: ConnId,
        pieces: &BTreeSet<u32>,
    ) -> Option<Bitfield> {
        let state = lock(&self.state);
        let bits = state.peers.get(&conn)?.bits.as_ref()?;
        let have = state.picker.as_ref()?.have();
        let mut offered = Bitfield::empty(bits.len());
        let useful = |piece: &&u32| bits.has(**piece) && !have.has(**piece);
        for piece in pieces.iter().filter(useful) {
            offered.insert(*piece);
        }
        (!offered.is_empty()).then_some(offered)
    }

    /// Whether a piece is here.
    pub(in crate::swarm) fn has(&self, piece: u32) -> bool {
        let state = lock(&self.state);
        let picker = state.picker.as_ref();
        picker.is_some_and(|picker| picker.have().has(piece))
    }

    /// A chunk that was picked for a connection will not come from it. True if it has no
    /// part in the piece any more.
    pub(in crate::swarm) fn unpick(&self, conn: ConnId, block: Block) -> bool {
        let mut state = lock(&self.state);
        let picker = state.picker.as_mut();
        picker.is_none_or(|picker| picker.dropped(conn, block))
    }

    /// Others may finish what a connection began; true if it had begun anything.
    pub(in crate::swarm) fn release(&self, conn: ConnId) -> bool {
        let mut state = lock(&self.state);
        let picker = state.picker.as_mut();
        picker.is_some_and(|picker| picker.release(conn))
    }

    /// A chunk that was asked for came.
    pub(in crate::swarm) fn received(
        self: &Arc<Self>,
        conn: ConnId,
        block: Block,
        tag: Option<PriceTag>,
        data: &[u8],
    ) -> Received {
        let Some(info) = self.info.get() else {
            return Received::Unwanted;
        };
        self.down.fetch_add(block.length.into(), Ordering::Relaxed);
        let mut state = lock(&self.state);
        let State {
            picker, assemblies, ..
        } = &mut *state;
        let Some(picker) = picker else {
            return Received::Unwanted;
        };
        let received = picker.received(conn, block, tag);
        if !matches!(received, Received::Used { .. }) {
            return received;
        }
        let length = size(info.layout().piece_len(block.piece));
        let buffers = &self.shared.buffers;
        let mut work = None;
        let assembly = match assemblies.entry(block.piece) {
            Slot::Occupied(slot) => slot.into_mut(),
            Slot::Vacant(slot) => {
                let assembly = slot.insert(Assembly::new(block.piece, length));
                for zeros in picker.padding(block.piece) {
                    let zeros = info.layout().chunk(block.piece, zeros);
                    let data = vec![0; size(zeros.length)];
                    work = work.or(assembly.place(size(zeros.begin), &data, buffers));
                }
                assembly
            }
        };
        work = work.or(assembly.place(size(block.begin), data, buffers));
        drop(state);
        if let Some(work) = work {
            let job = self.clone().hash_and_write(info.clone(), work);
            self.shared.spawn(job);
        }
        received
    }

    async fn hash_and_write(self: Arc<Self>, info: Arc<Info>, work: Arc<Work>) {
        let Some(storage) = self.storage() else {
            return;
        };
        let writing = self.writing.clone().read_owned().await;
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
            Ok(Ok(Verdict::Finished(true))) => self.verified(piece),
            Ok(Ok(Verdict::Finished(false))) => self.bad(piece),
            Ok(Err(error)) => self.disk_failed(piece, &error),
            // The runtime is shutting down.
            Err(_) => {}
        }
    }

    fn verified(self: &Arc<Self>, piece: u32) {
        let mut state = lock(&self.state);
        state.forget_assembly(piece, &self.shared.buffers);
        let Some(picker) = &mut state.picker else {
            return;
        };
        let senders = picker.senders(piece);
        let ended = picker.verified(piece);
        let (have, total) = (picker.have().count(), picker.have().len());
        let done = picker.is_done();
        let peers = state.peers.values();
        let conns: Vec<_> = peers.map(|entry| entry.conn.clone()).collect();
        state.tell_ended(piece, ended, true);
        // Under the lock, so that the counts rise and `Completed` is the last.
        self.emit(Event::PieceVerified { piece, have, total });
        drop(state);
        for conn in senders.iter().filter_map(|id| self.conn(*id)) {
            conn.proven.store(true, Ordering::Relaxed);
        }
        // Alone with a good piece: no suspect any more.
        if let [one] = senders[..]
            && let Some(conn) = self.conn(one)
        {
            conn.suspect.store(false, Ordering::Relaxed);
        }
        // Also those that have it: a super-seeder (BEP 16) waits for it.
        for conn in conns {
            conn.send(Message::Have(piece));
            conn.wake();
        }
        if have == total {
            self.full.store(true, Ordering::Release);
        }
        if done {
            self.completed();
        }
    }

    fn bad(&self, piece: u32) {
        let mut state = lock(&self.state);
        state.forget_assembly(piece, &self.shared.buffers);
        let Some(picker) = &mut state.picker else {
            return;
        };
        let senders = picker.senders(piece);
        let ended = picker.failed(piece);
        state.tell_ended(piece, ended, false);
        drop(state);
        let length = self.info.get().map(|i| i.layout().piece_len(piece));
        self.count_waste(length.unwrap_or(0).into());
        self.emit(Event::PieceFailed { piece });
        // Also those that have left: a liar must not leave its blame behind.
        match &senders[..] {
            [one] => {
                if let Some(remote) = self.remote(*one) {
                    self.ban(remote, "it sent a bad piece");
                }
            }
            // One of them lied. From now on each is asked for whole pieces, so
            // that the next bad one tells who.
            several => {
                for conn in several.iter().filter_map(|id| self.conn(*id)) {
                    conn.suspect.store(true, Ordering::Relaxed);
                }
            }
        }
        self.wake_all();
    }

    fn disk_failed(self: &Arc<Self>, piece: u32, error: &StorageError) {
        let mut state = lock(&self.state);
        state.disk_retry = Instant::now() + DISK_RETRY;
        state.disk_full = error.is_full();
        state.forget_assembly(piece, &self.shared.buffers);
        let Some(picker) = &mut state.picker else {
            return;
        };
        let ended = picker.failed(piece);
        state.tell_ended(piece, ended, false);
        drop(state);
        self.input(Input::DiskRefused(error.to_string()));
        self.emit(Event::DiskError {
            message: error.to_string(),
            full: error.is_full(),
        });
    }

    /// After the disk refused, lets the download go on, if it is time. Where there was
    /// no room it is looked for first: what nobody can store must not be asked for,
    /// and least of all paid for, again and again.
    pub(super) async fn try_disk_again(self: &Arc<Self>) {
        let full = {
            let state = lock(&self.state);
            let refused = matches!(state.phase, Phase::Paused(Pause::DiskRefused(_)));
            if !refused || state.disk_retry > Instant::now() {
                return;
            }
            state.disk_full
        };
        if let (true, Some(storage)) = (full, self.storage()) {
            let room = u64::from(storage.layout().piece_length());
            let probed = tokio::task::spawn_blocking(move || storage.probe(room)).await;
            if let Ok(Err(error)) = probed {
                tracing::debug!(%error, "still no room");
                lock(&self.state).disk_retry = Instant::now() + DISK_RETRY;
                return;
            }
        }
        self.input(Input::DiskWorks);
    }

    fn completed(self: &Arc<Self>) {
        self.complete.store(true, Ordering::Release);
        let path = self.path().unwrap_or_default();
        let bytes = self.bytes_wanted().unwrap_or(0);
        self.emit(Event::Completed {
            path: path.clone(),
            bytes,
            elapsed: self.started.elapsed(),
        });
        self.input(Input::Completed);
        for conn in self.conns() {
            // It is upload-only from now on (BEP 21).
            conn.send_extended_handshake();
            conn.tell(Told::Finished);
            conn.wake();
        }
    }

    /// Whether a request can be served.
    pub(in crate::swarm) fn can_serve(&self, block: Block) -> bool {
        let Some(info) = self.info.get() else {
            return false;
        };
        if !info.layout().contains(block) || !self.phase.borrow().is_open() {
            return false;
        }
        self.is_full()
            || lock(&self.state)
                .picker
                .as_ref()
                .is_some_and(|picker| picker.have().has(block.piece))
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
                self.input(Input::MetadataCame);
                true
            }
            Err(crate::swarm::metainfo::MetainfoError::WrongHash { .. }) => false,
            // The right bytes of a torrent that is not acceptable: nobody's fault.
            Err(error) => {
                self.input(Input::Impossible(error.to_string()));
                true
            }
        }
    }
}

fn size(length: u32) -> usize {
    usize::try_from(length).expect("usize has at least 32 bits")
}
