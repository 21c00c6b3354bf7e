//! Pieces in the making. Chunks are gathered into spans; a span that is whole is
//! hashed and written on a blocking thread, beside the connections, while more
//! of the piece arrives. So a piece of any size costs the memory of a few spans,
//! and its hash is known right after its last chunk.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use sha1::{Digest, Sha1};

use crate::swarm::{
    buffers::{Buffers, SPAN},
    lock::{Lock, Rank, lock},
    metainfo::Info,
    storage::{Storage, StorageError},
};

/// A run of a piece's bytes.
struct Span {
    begin: usize,
    data: Vec<u8>,
}

/// A span of which chunks are missing.
struct Filling {
    data: Vec<u8>,
    missing: usize,
}

/// A piece of which at least one chunk is here.
pub(super) struct Assembly {
    length: usize,
    /// By where they begin; none, if the piece is begun anew or never.
    filling: Lock<Option<BTreeMap<usize, Filling>>>,
    work: Arc<Work>,
}

/// What a job found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// More of the piece is to come.
    Unfinished,
    /// All of it is on disk, and its hash is the right one, or not.
    Finished(bool),
}

impl Assembly {
    pub(super) fn new(piece: u32, length: usize) -> Self {
        Self {
            length,
            filling: Lock::new(Rank::Assembly, Some(BTreeMap::new())),
            work: Arc::new(Work {
                piece,
                length,
                queue: Lock::new(Rank::Assembly, Queue::default()),
                progress: Lock::new(Rank::Record, Progress::default()),
            }),
        }
    }

    /// Whether a span of so many bytes begins here.
    pub(super) fn is_span(&self, begin: usize, bytes: usize) -> bool {
        begin.is_multiple_of(SPAN) && bytes == self.length.saturating_sub(begin).min(SPAN)
    }

    /// Takes a chunk that was not there yet. If there is something to do and
    /// nobody does it: what is to be [`run`](Work::run).
    pub(super) fn place(&self, begin: usize, data: &[u8], buffers: &Buffers) -> Option<Arc<Work>> {
        let start = begin - begin % SPAN;
        let whole = {
            let mut filling = lock(&self.filling);
            let spans = filling.as_mut()?;
            let span = spans.entry(start).or_insert_with(|| {
                let missing = (self.length - start).min(SPAN);
                Filling {
                    data: buffers.take(missing),
                    missing,
                }
            });
            let from = begin - start;
            if let Some(place) = span.data.get_mut(from..from + data.len()) {
                place.copy_from_slice(data);
                span.missing -= data.len();
            }
            if span.missing > 0 {
                return None;
            }
            spans.remove(&start)?.data
        };
        self.queue(start, whole, buffers)
    }

    /// The same for a whole [span](Self::is_span) of which nothing was there yet.
    pub(super) fn place_span(
        &self,
        start: usize,
        data: Vec<u8>,
        buffers: &Buffers,
    ) -> Option<Arc<Work>> {
        if lock(&self.filling).is_none() {
            buffers.give_back(data);
            return None;
        }
        self.queue(start, data, buffers)
    }

    fn queue(&self, begin: usize, data: Vec<u8>, buffers: &Buffers) -> Option<Arc<Work>> {
        let mut queue = lock(&self.work.queue);
        if queue.given_up {
            buffers.give_back(data);
            return None;
        }
        buffers.queue(data.len());
        queue.spans.push_back(Span { begin, data });
        let idle = !std::mem::replace(&mut queue.running, true);
        idle.then(|| self.work.clone())
    }

    /// The piece is begun anew, or never.
    pub(super) fn discard(&self, buffers: &Buffers) {
        let filling = lock(&self.filling).take();
        for span in filling.into_iter().flat_map(BTreeMap::into_values) {
            buffers.give_back(span.data);
        }
        // What waits to be written must not come after what is fetched anew.
        self.work.give_up(buffers);
    }
}

/// What is to be done with a piece's spans: one job at a time.
pub(super) struct Work {
    piece: u32,
    length: usize,
    queue: Lock<Queue>,
    /// Held by the job.
    progress: Lock<Progress>,
}

#[derive(Default)]
struct Queue {
    spans: VecDeque<Span>,
    running: bool,
    /// The disk refused; the piece will be fetched again.
    given_up: bool,
}

#[derive(Default)]
struct Progress {
    sha1: Sha1,
    /// From the piece's begin on.
    hashed: usize,
    written: usize,
}

impl Work {
    pub(super) fn piece(&self) -> u32 {
        self.piece
    }

    /// Hashes and writes what is queued; blocks.
    ///
    /// # Errors
    /// The disk refused.
    pub(super) fn run(
        &self,
        info: &Info,
        storage: &Storage,
        buffers: &Buffers,
    ) -> Result<Verdict, StorageError> {
        let mut progress = lock(&self.progress);
        loop {
            let span = {
                let mut queue = lock(&self.queue);
                let Some(span) = queue.spans.pop_front() else {
                    queue.running = false;
                    return Ok(Verdict::Unfinished);
                };
                span
            };
            let length = span.data.len();
            let done = self.take_in(&mut progress, &span, info, storage, buffers);
            buffers.unqueue(length);
            buffers.give_back(span.data);
            match done {
                Ok(Verdict::Unfinished) => {}
                Ok(finished) => return Ok(finished),
                Err(error) => {
                    self.give_up(buffers);
                    return Err(error);
                }
            }
        }
    }

    fn take_in(
        &self,
        progress: &mut Progress,
        span: &Span,
        info: &Info,
        storage: &Storage,
        buffers: &Buffers,
    ) -> Result<Verdict, StorageError> {
        let start = info.layout().offset(self.piece);
        // Its bytes are in the cache now. One that came before its turn is read
        // again when everything is there.
        if span.begin == progress.hashed {
            progress.sha1.update(&span.data);
            progress.hashed += span.data.len();
        }
        storage.write(start + wide(span.begin), &span.data)?;
        progress.written += span.data.len();
        if progress.written < self.length {
            return Ok(Verdict::Unfinished);
        }
        while progress.hashed < self.length {
            let mut data = buffers.take((self.length - progress.hashed).min(SPAN));
            storage.read(start + wide(progress.hashed), &mut data)?;
            progress.sha1.update(&data);
            progress.hashed += data.len();
            buffers.give_back(data);
        }
        let hash: [u8; 20] = progress.sha1.finalize_reset().into();
        let hashes = info.hashes().map_err(StorageError::Hashes)?;
        Ok(Verdict::Finished(hashes.of(self.piece) == Some(&hash)))
    }

    fn give_up(&self, buffers: &Buffers) {
        let mut queue = lock(&self.queue);
        queue.given_up = true;
        for span in queue.spans.drain(..) {
            buffers.unqueue(span.data.len());
            buffers.give_back(span.data);
        }
    }
}

fn wide(length: usize) -> u64 {
    u64::try_from(length).expect("u64 is as wide as usize")
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;
    use crate::swarm::{
        metainfo::{CreateOptions, create},
        wire::CHUNK,
    };

    fn torrent() -> (tempfile::TempDir, PathBuf, Info, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("content");
        let bytes: Vec<u8> = (0..1_300_000u32).map(|n| (n % 251) as u8).collect();
        fs::write(&path, &bytes).unwrap();
        let options = CreateOptions {
            piece_size: Some(1 << 20),
            ..CreateOptions::default()
        };
        let info = create(&path, &options, &|_, _| {}).unwrap().info;
        (dir, path, info, bytes)
    }

    /// Feeds a piece's chunks in this order; the last verdict.
    fn feed(piece: u32, order: &[u32], spoil: bool) -> (Verdict, bool) {
        let (dir, path, info, bytes) = torrent();
        let out = dir.path().join("out");
        let storage = Storage::whole(&info, &out);
        let buffers = Buffers::default();
        let layout = info.layout();
        let at = usize::try_from(layout.offset(piece)).unwrap();
        let length = usize::try_from(layout.piece_len(piece)).unwrap();
        let assembly = Assembly::new(piece, length);
        let mut verdict = Verdict::Unfinished;
        for chunk in order {
            let block = layout.chunk(piece, *chunk);
            let begin = usize::try_from(block.begin).unwrap();
            let from = at + begin;
            let to = from + usize::try_from(block.length).unwrap();
            let mut data = bytes[from..to].to_vec();
            data[0] ^= u8::from(spoil && *chunk == 3);
            if let Some(work) = assembly.place(begin, &data, &buffers) {
                assert_eq!(verdict, Verdict::Unfinished);
                verdict = work.run(&info, &storage, &buffers).unwrap();
            }
        }
        let written = fs::read(&out).unwrap_or_default();
        let right = written.get(at..at + length) == bytes.get(at..at + length);
        drop(path);
        (verdict, right)
    }

    #[test]
    fn chunks_in_any_order_make_a_piece() {
        let chunks = (1u32 << 20) / CHUNK;
        let forward: Vec<u32> = (0..chunks).collect();
        let backward: Vec<u32> = (0..chunks).rev().collect();
        let mixed: Vec<u32> = (0..chunks).map(|n| n * 37 % chunks).collect();
        for order in [forward, backward, mixed] {
            assert_eq!(feed(0, &order, false), (Verdict::Finished(true), true));
            assert_eq!(feed(0, &order, true), (Verdict::Finished(false), false));
        }
        let last: Vec<u32> = (0..16).rev().collect();
        assert_eq!(feed(1, &last, false), (Verdict::Finished(true), true));
    }

    #[test]
    fn a_piece_that_the_disk_refuses_is_given_up() {
        let (dir, _, info, bytes) = torrent();
        // Where the file belongs stands a folder.
        let out = dir.path().join("out");
        fs::create_dir(&out).unwrap();
        let storage = Storage::whole(&info, &out);
        let buffers = Buffers::default();
        let assembly = Assembly::new(0, 1 << 20);
        let work = assembly.place(0, &bytes[..SPAN], &buffers).unwrap();
        assert!(
            assembly
                .place(SPAN, &bytes[SPAN..2 * SPAN], &buffers)
                .is_none()
        );
        assert!(work.run(&info, &storage, &buffers).is_err());
        assert!(assembly.place(2 * SPAN, &bytes[..SPAN], &buffers).is_none());
        assembly.discard(&buffers);
    }
}
