//! The worker's queue. What peers cause waits in a bounded number; what happens once a
//! connection, or answers a question of the worker's own, is always taken, since its
//! number is bounded where it begins.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

/// The queue is full: whoever filled it must stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

struct Waiting<T> {
    /// With whether it was offered.
    events: VecDeque<(T, bool)>,
    offered: usize,
    closed: bool,
}

pub(super) struct Inbox<T> {
    waiting: Mutex<Waiting<T>>,
    filled: Condvar,
    most: usize,
}

impl<T> Inbox<T> {
    /// At most so many offered events wait.
    pub(super) fn new(most: usize) -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                events: VecDeque::new(),
                offered: 0,
                closed: false,
            }),
            filled: Condvar::new(),
            most,
        }
    }

    fn add(&self, event: T, offered: bool) -> Result<(), Full> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.closed {
            // The worker has ended with the extension: nobody need be told.
            return Ok(());
        }
        if offered {
            if waiting.offered >= self.most {
                return Err(Full);
            }
            waiting.offered += 1;
        }
        waiting.events.push_back((event, offered));
        drop(waiting);
        self.filled.notify_one();
        Ok(())
    }

    /// What a peer caused.
    ///
    /// # Errors
    /// Too much of that waits; it was not taken.
    pub(super) fn offer(&self, event: T) -> Result<(), Full> {
        self.add(event, true)
    }

    /// What is bounded elsewhere.
    pub(super) fn put(&self, event: T) {
        // Only what is offered can be too much.
        let _ = self.add(event, false);
    }

    /// The next event, waited for so long.
    pub(super) fn next(&self, patience: Duration) -> Option<T> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut waiting, _) = self
            .filled
            .wait_timeout_while(waiting, patience, |waiting| waiting.events.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        let (event, offered) = waiting.events.pop_front()?;
        waiting.offered -= usize::from(offered);
        Some(event)
    }

    /// Nothing is taken or kept any more.
    pub(super) fn close(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.closed = true;
        waiting.offered = 0;
        let left = std::mem::take(&mut waiting.events);
        drop(waiting);
        // Outside of the lock: an event may own the last handle of something.
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_takes_no_more_of_peers_and_all_that_must_be_heard() {
        let inbox = Inbox::new(3);
        for n in 0..3 {
            assert_eq!(inbox.offer(n), Ok(()));
        }
        assert_eq!(inbox.offer(3), Err(Full), "at the bound");
        inbox.put(10);
        inbox.put(11);
        assert_eq!(inbox.offer(3), Err(Full));
        assert_eq!(inbox.next(Duration::ZERO), Some(0));
        assert_eq!(inbox.offer(4), Ok(()), "there is room for one");
        assert_eq!(inbox.offer(5), Err(Full));
        let left: Vec<_> = std::iter::from_fn(|| inbox.next(Duration::ZERO)).collect();
        assert_eq!(left, [1, 2, 10, 11, 4], "in order, and nothing is lost");
        for n in 0..3 {
            assert_eq!(inbox.offer(n), Ok(()));
        }
        inbox.close();
        assert_eq!((inbox.offer(9), inbox.next(Duration::ZERO)), (Ok(()), None));
    }
}
