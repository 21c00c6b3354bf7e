//! Memory of data on its way between sockets and the disk: reused, counted, bounded.
//!
//! A long buffer comes from the system and goes back to it, at a page fault for each 4 KiB: with
//! small torrents, whose connections are short, that took more of the processor than reading
//! and writing did. So a few are kept for whoever needs one next, as long as they are needed.

use std::{
    mem,
    ops::{Deref, DerefMut},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::BytesMut;
use tokio::sync::Notify;

use super::lock::lock;

/// Bytes hashed and written at once. They are hashed right before they are
/// written, and all of that fits a second-level cache.
pub(super) const SPAN: usize = 256 << 10;

/// Bytes read at once of a socket: several chunks.
pub(super) const READING: usize = 256 << 10;

/// Bytes sent at once: that much of chunks, and messages.
pub(super) const SENDING: usize = (256 << 10) + (4 << 10);

/// Bytes that may wait for the disk. Beyond it nobody is read from: a peer that
/// is faster than the disk must wait, not fill the memory. A few spans for each
/// of the threads that hash and write.
const MAX_QUEUED: usize = 4 << 20;

/// Spare buffers of each kind that are kept for the next who need them.
const MAX_SPARE: usize = 8;

/// Buffers that nobody uses now.
#[derive(Debug)]
struct Spare<T> {
    kept: Vec<T>,
    /// The fewest there were since the last [`tick`](Self::tick): so many nobody needed.
    fewest: usize,
}

impl<T> Default for Spare<T> {
    fn default() -> Self {
        Self {
            kept: Vec::new(),
            fewest: 0,
        }
    }
}

impl<T> Spare<T> {
    /// The last one that was given back and is fit.
    fn take(&mut self, is_fit: impl Fn(&T) -> bool) -> Option<T> {
        let at = self.kept.iter().rposition(is_fit);
        let taken = at.map(|at| self.kept.remove(at));
        self.fewest = self.fewest.min(self.kept.len());
        taken
    }

    fn put(&mut self, one: T) {
        if self.kept.len() < MAX_SPARE {
            self.kept.push(one);
        }
    }

    /// Gives up those that nobody needed since the last time.
    fn tick(&mut self) {
        self.kept.drain(..self.fewest);
        self.fewest = self.kept.len();
    }
}

/// The session's buffers.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    spans: Mutex<Spare<Vec<u8>>>,
    reading: Mutex<Spare<BytesMut>>,
    sending: Mutex<Spare<Vec<u8>>>,
    queued: AtomicUsize,
    room: Notify,
}

impl Buffers {
    /// So many bytes of anything, a span at most.
    pub(super) fn take(&self, length: usize) -> Vec<u8> {
        // Longer ones would hold more than they need.
        let is_fit = |spare: &Vec<u8>| (length..=2 * length).contains(&spare.capacity());
        match lock(&self.spans).take(is_fit) {
            Some(mut buffer) => {
                buffer.resize(length, 0);
                buffer
            }
            None => vec![0; length],
        }
    }

    /// An empty buffer with room for a span.
    pub(super) fn take_empty(&self) -> Vec<u8> {
        let spare = lock(&self.spans).take(|spare| spare.capacity() == SPAN);
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
        if (1..=SPAN).contains(&buffer.capacity()) {
            lock(&self.spans).put(buffer);
        }
    }

    /// An empty buffer to read into.
    pub(super) fn reading(&self) -> Reading<'_> {
        let spare = lock(&self.reading).take(|_| true);
        Reading {
            bytes: spare.unwrap_or_else(|| BytesMut::with_capacity(READING)),
            buffers: self,
        }
    }

    /// Bytes of anything, with room for what is sent at once.
    pub(super) fn take_sending(&self) -> Vec<u8> {
        let spare = lock(&self.sending).take(|_| true);
        spare.unwrap_or_else(|| Vec::with_capacity(SENDING))
    }

    /// They are not needed any more.
    pub(super) fn give_back_sending(&self, buffer: Vec<u8>) {
        if buffer.capacity() == SENDING {
            lock(&self.sending).put(buffer);
        }
    }

    /// Once a second: what nobody needed since the last time goes back to the system.
    pub(super) fn tick(&self) {
        lock(&self.spans).tick();
        lock(&self.reading).tick();
        lock(&self.sending).tick();
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

/// What is read of a socket; given back when this is dropped.
#[derive(Debug)]
pub(super) struct Reading<'b> {
    bytes: BytesMut,
    buffers: &'b Buffers,
}

impl Reading<'_> {
    /// Makes room for what is read next. Where nothing waits in it, that is at its begin again:
    /// so no more memory is touched than is read at once.
    pub(super) fn make_room(&mut self) {
        let is_whole = self.bytes.is_empty() && self.bytes.try_reclaim(READING);
        if !is_whole && self.bytes.capacity() - self.bytes.len() < READING / 4 {
            // Half of it: the rest is what waits, so that it need not grow for that.
            self.bytes.reserve(READING / 2);
        }
    }
}

impl Deref for Reading<'_> {
    type Target = BytesMut;

    fn deref(&self) -> &BytesMut {
        &self.bytes
    }
}

impl DerefMut for Reading<'_> {
    fn deref_mut(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut bytes = mem::take(&mut self.bytes);
        bytes.clear();
        // Not where a message still has a part of it, or a long one made it grow.
        if bytes.try_reclaim(READING) && bytes.capacity() == READING {
            lock(&self.buffers.reading).put(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::BufMut;

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
    fn few_are_kept_and_only_what_is_fit() {
        let buffers = Buffers::default();
        for length in [SPAN + 1, 100, SPAN] {
            for _ in 0..2 * MAX_SPARE {
                buffers.give_back(vec![7; length]);
            }
            // Of a span more than a quarter of it would not be used.
            assert_eq!(buffers.take(SPAN / 4), vec![0; SPAN / 4]);
            let kept = lock(&buffers.spans).kept.len();
            assert_eq!(kept, if length > SPAN { 0 } else { MAX_SPARE });
            // What was kept of the other kind goes first.
            buffers.tick();
            buffers.tick();
        }
        assert_eq!(buffers.take(SPAN), vec![0; SPAN]);
        buffers.give_back(vec![7; SPAN]);
        assert_eq!(buffers.take(SPAN).first(), Some(&7));
        buffers.give_back(vec![7; 100]);
        assert_eq!(buffers.take(60), vec![7; 60]);
        buffers.give_back(vec![7; SPAN]);
        assert_eq!(buffers.take_empty().capacity(), SPAN);
        let sending = buffers.take_sending();
        for _ in 0..2 * MAX_SPARE {
            buffers.give_back_sending(sending.clone());
            buffers.give_back_sending(Vec::with_capacity(SENDING));
        }
        assert_eq!(lock(&buffers.sending).kept.len(), MAX_SPARE);
    }

    #[test]
    fn what_nobody_needs_for_a_second_is_given_up() {
        let buffers = Buffers::default();
        let mut used: Vec<_> = (0..4).map(|_| buffers.take_empty()).collect();
        used.drain(..).for_each(|buffer| buffers.give_back(buffer));
        let kept = |buffers: &Buffers| lock(&buffers.spans).kept.len();
        buffers.tick();
        // Three at once were needed, again and again.
        for _ in 0..5 {
            used.extend((0..3).map(|_| buffers.take_empty()));
            used.drain(..).for_each(|buffer| buffers.give_back(buffer));
        }
        assert_eq!(kept(&buffers), 4);
        buffers.tick();
        assert_eq!(kept(&buffers), 3);
        buffers.tick();
        assert_eq!(kept(&buffers), 0);
    }

    #[test]
    fn what_is_read_begins_where_it_did_and_stays_as_long() {
        let buffers = Buffers::default();
        let mut reading = buffers.reading();
        let begin = reading.as_ptr();
        for chunk in 0..200usize {
            reading.make_room();
            assert!(reading.capacity() - reading.len() >= READING / 4);
            reading.put_slice(&vec![1; 16 << 10]);
            // A message that is not whole stays.
            let whole = reading.len() - chunk % 3;
            drop(reading.split_to(whole).freeze());
        }
        let rest = reading.len();
        drop(reading.split_to(rest));
        reading.make_room();
        assert_eq!((reading.as_ptr(), reading.capacity()), (begin, READING));
        drop(reading);
        let mut again = buffers.reading();
        assert_eq!((again.as_ptr(), again.len()), (begin, 0));
        // A message has a part of it: it is that one's.
        again.put_slice(&[1; 100]);
        let message = again.split_to(50).freeze();
        drop(again);
        assert!(lock(&buffers.reading).kept.is_empty());
        assert_eq!(&message[..], [1; 50]);
        // It grew for a long one.
        let mut long = buffers.reading();
        long.put_slice(&vec![1; READING + 1]);
        drop(long);
        assert!(lock(&buffers.reading).kept.is_empty());
    }
}
