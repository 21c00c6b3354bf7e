//! Room for calls that belong to no transaction: few at once, some waiting, no more.

use std::sync::{Condvar, Mutex, PoisonError};

/// Calls made at once.
pub(crate) const AT_ONCE: usize = 2;
/// Calls that may wait for their turn.
pub(crate) const WAITING: usize = 64;

#[derive(Debug, Default)]
struct Taken {
    running: usize,
    waiting: usize,
}

/// Turns, given in no order.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    taken: Mutex<Taken>,
    free: Condvar,
}

/// A turn, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a>(&'a Turns);

impl Turns {
    /// A turn, at once or after waiting; none when too many wait already.
    pub(crate) fn take(&self) -> Option<Turn<'_>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.running >= AT_ONCE {
            if taken.waiting >= WAITING {
                return None;
            }
            taken.waiting += 1;
            taken = self
                .free
                .wait_while(taken, |taken| taken.running >= AT_ONCE)
                .unwrap_or_else(PoisonError::into_inner);
            taken.waiting -= 1;
        }
        taken.running += 1;
        Some(Turn(self))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.running -= 1;
        drop(taken);
        self.0.free.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    #[test]
    fn more_than_may_wait_are_turned_away() {
        let turns = Arc::new(Turns::default());
        let held: Vec<_> = (0..AT_ONCE).map(|_| turns.take().unwrap()).collect();
        let waiting: Vec<_> = (0..WAITING)
            .map(|_| {
                let turns = Arc::clone(&turns);
                thread::spawn(move || turns.take().is_some())
            })
            .collect();
        while turns.taken.lock().unwrap().waiting < WAITING {
            thread::yield_now();
        }
        assert!(turns.take().is_none());
        drop(held);
        assert!(waiting.into_iter().all(|thread| thread.join().unwrap()));
        assert!(turns.take().is_some());
    }
}
