//! The bytes of an info dictionary: in memory while they are used, else where they can be
//! read again. Piece hashes are most of what a torrent with nothing to do would take.

use std::{
    fmt::Debug,
    io,
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use bytes::Bytes;
use sha1::{Digest, Sha1};

use crate::{swarm::lock::lock, types::InfoHash};

/// For so long the info dictionary stays in memory after somebody needed it, if it is kept
/// elsewhere, too: whoever asks for its parts has them from one read.
pub(crate) const DICTIONARY_UNUSED: Duration = Duration::from_secs(60);

/// Keeps info dictionaries that are not in memory.
pub trait InfoSource: Debug + Send + Sync {
    /// The bytes of the dictionary with this hash. May block.
    ///
    /// # Errors
    /// It cannot be read.
    fn read(&self, hash: InfoHash) -> io::Result<Bytes>;
}

#[derive(Debug)]
pub(super) struct Dictionary {
    hash: InfoHash,
    length: usize,
    source: OnceLock<Arc<dyn InfoSource>>,
    held: Mutex<Option<Held>>,
}

#[derive(Debug)]
struct Held {
    raw: Bytes,
    used: Instant,
}

impl Dictionary {
    pub(super) fn new(hash: InfoHash, raw: Bytes) -> Self {
        let length = raw.len();
        let used = Instant::now();
        Self {
            hash,
            length,
            source: OnceLock::new(),
            held: Mutex::new(Some(Held { raw, used })),
        }
    }

    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// What is in memory.
    pub(super) fn held(&self) -> Option<Bytes> {
        let mut held = lock(&self.held);
        held.as_mut().map(|held| {
            held.used = Instant::now();
            held.raw.clone()
        })
    }

    /// What is in memory, or is read into it.
    pub(super) fn raw(&self) -> io::Result<Bytes> {
        if let Some(raw) = self.held() {
            return Ok(raw);
        }
        // Without the lock: who asks only for what is in memory never waits for a disk.
        let source = self.source.get();
        let source = source.ok_or_else(|| io::Error::other("it is kept nowhere"))?;
        let raw = source.read(self.hash)?;
        if InfoHash::from_bytes(Sha1::digest(&raw).into()) != self.hash {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "its bytes are not those of this torrent",
            ));
        }
        let used = Instant::now();
        *lock(&self.held) = Some(Held {
            raw: raw.clone(),
            used,
        });
        Ok(raw)
    }

    pub(super) fn keep_in(&self, source: Arc<dyn InfoSource>) {
        // The first one has it, too.
        let _second = self.source.set(source);
    }

    /// How long it is until bytes can be put away that nobody used for so long; `None`: they
    /// are kept nowhere else, or are not in memory.
    pub(super) fn put_away_in(&self, unused: Duration) -> Option<Duration> {
        self.source.get()?;
        let held = lock(&self.held);
        let used = held.as_ref()?.used;
        Some(unused.saturating_sub(used.elapsed()))
    }

    pub(super) fn put_away(&self, unused: Duration) {
        if self.source.get().is_some() {
            let mut held = lock(&self.held);
            held.take_if(|held| held.used.elapsed() >= unused);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Debug)]
    struct Shelf {
        bytes: Bytes,
        reads: AtomicUsize,
    }

    impl InfoSource for Shelf {
        fn read(&self, _: InfoHash) -> io::Result<Bytes> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            Ok(self.bytes.clone())
        }
    }

    fn shelf(bytes: &'static [u8]) -> Arc<Shelf> {
        let (bytes, reads) = (Bytes::from_static(bytes), AtomicUsize::new(0));
        Arc::new(Shelf { bytes, reads })
    }

    fn dictionary(bytes: &'static [u8]) -> Dictionary {
        let hash = InfoHash::from_bytes(Sha1::digest(bytes).into());
        Dictionary::new(hash, Bytes::from_static(bytes))
    }

    #[test]
    fn bytes_that_are_kept_nowhere_else_stay_in_memory() {
        let dictionary = dictionary(b"all");
        dictionary.put_away(Duration::ZERO);
        assert_eq!(dictionary.put_away_in(Duration::ZERO), None);
        assert_eq!(dictionary.held(), Some(Bytes::from_static(b"all")));
    }

    #[test]
    fn bytes_are_put_away_when_they_are_not_used_and_read_again_once() {
        let (dictionary, shelf) = (dictionary(b"all"), shelf(b"all"));
        dictionary.keep_in(shelf.clone());
        let hour = Duration::from_secs(3600);
        dictionary.put_away(hour);
        assert!(dictionary.held().is_some());
        let left = dictionary.put_away_in(hour).unwrap();
        assert!(left <= hour && !left.is_zero());
        assert_eq!(dictionary.put_away_in(Duration::ZERO), Some(Duration::ZERO));
        dictionary.put_away(Duration::ZERO);
        assert_eq!(dictionary.put_away_in(hour), None);
        assert_eq!((dictionary.held(), dictionary.length()), (None, 3));
        for _ in 0..2 {
            assert_eq!(dictionary.raw().unwrap(), Bytes::from_static(b"all"));
        }
        assert_eq!(shelf.reads.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn other_bytes_are_refused() {
        let dictionary = dictionary(b"all");
        dictionary.keep_in(shelf(b"other"));
        dictionary.put_away(Duration::ZERO);
        assert_eq!(
            dictionary.raw().unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        assert_eq!(dictionary.held(), None);
    }
}
