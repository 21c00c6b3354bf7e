//! Memory of data on its way to the disk: reused, counted, bounded.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

use super::lock::lock;

/// Bytes hashed and written at once. They are hashed right before they are
/// written, and all of that fits a second-level cache.
pub(super) const SPAN: usize = 256 << 10;

/// Bytes that may wait for the disk. Beyond it nobody is read from: a peer that
/// is faster than the disk must wait, not fill the memory. A few spans for each
/// of the threads that hash and write.
const MAX_QUEUED: usize = 4 << 20;

/// Spare buffers kept for the next spans.
const MAX_SPARE: usize = 8;

/// The session's buffers.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    spare: Mutex<Vec<Vec<u8>>>,
    queued: AtomicUsize,
    room: Notify,
}

impl Buffers {
    /// So many bytes of anything.
    pub(super) fn take(&self, length: usize) -> Vec<u8> {
        // Shorter ones would hold more than they need.
        let spare = (length == SPAN).then(|| lock(&self.spare).pop()).flatten();
        match spare {
            Some(mut buffer) => {
                buffer.resize(length, 0);
                buffer
            }
            None => vec![0; length],
        }
    }

    /// An empty buffer with room for a span.
    pub(super) fn take_empty(&self) -> Vec<u8> {
        let spare = lock(&self.spare).pop();
        spare.map_or_else(
            || Vec::with_capacity(SPAN),
            |mut buffer| {
                buffer.clear();
                buffer
            },
        )
    }

    /// The bytes are not needed any more.
    pub(super) fn give_back(&self, buffer: Vec<u8>) {
        let mut spare = lock(&self.spare);
        if buffer.capacity() == SPAN && spare.len() < MAX_SPARE {
            spare.push(buffer);
        }
    }

    /// So many bytes wait for the disk from now on.
    pub(super) fn queue(&self, bytes: usize) {
        self.queued.fetch_add(bytes, Ordering::AcqRel);
    }

    /// So many bytes do not wait any more.
    pub(super) fn unqueue(&self, bytes: usize) {
        let before = self.queued.fetch_sub(bytes, Ordering::AcqRel);
        if before > MAX_QUEUED && before - bytes <= MAX_QUEUED {
            self.room.notify_waiters();
        }
    }

    /// Waits until the disk has caught up.
    pub(super) async fn room(&self) {
        loop {
            let room = self.room.notified();
            if self.queued.load(Ordering::Acquire) <= MAX_QUEUED {
                return;
            }
            room.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn whoever_is_faster_than_the_disk_waits() {
        let buffers = Arc::new(Buffers::default());
        buffers.queue(MAX_QUEUED);
        buffers.room().await;
        buffers.queue(1);
        let waiting = tokio::spawn({
            let buffers = buffers.clone();
            async move { buffers.room().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        buffers.unqueue(2);
        waiting.await.unwrap();
    }

    #[test]
    fn only_whole_spans_are_kept_and_not_many() {
        let buffers = Buffers::default();
        for length in [100, SPAN, SPAN + 1] {
            for _ in 0..2 * MAX_SPARE {
                buffers.give_back(vec![7; length]);
            }
        }
        assert_eq!(lock(&buffers.spare).len(), MAX_SPARE);
        assert_eq!(buffers.take(SPAN).first(), Some(&7));
        assert_eq!(buffers.take(100), vec![0; 100]);
    }
}
