//! Locks that are only ever held for a few instructions, never over an `await`.
//!
//! Two tasks that take two locks in different orders can block each other for good. So
//! each lock has a rank, and a thread takes locks only in the order of rising ranks. Debug
//! builds, and so all tests, panic where that is broken.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The order in which locks are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// The session's lists of torrents and connections.
    Session,
    /// A torrent's pieces and peers.
    Torrent,
    /// What one connection said and was asked.
    Connection,
    /// What waits to be done by a connection.
    Queue,
    /// A torrent's resume record, and the hash of a piece in the making.
    Record,
    /// What waits to be hashed of a piece.
    Assembly,
    /// Whatever takes no other lock.
    Leaf,
}

/// A lock with a rank.
#[derive(Debug)]
pub(super) struct Lock<T> {
    rank: Rank,
    mutex: Mutex<T>,
}

impl<T> Lock<T> {
    pub(super) fn new(rank: Rank, value: T) -> Self {
        Self {
            rank,
            mutex: Mutex::new(value),
        }
    }
}

/// What can be locked. A plain mutex is a leaf.
pub(super) trait Ranked {
    type Value;

    fn parts(&self) -> (Rank, &Mutex<Self::Value>);
}

impl<T> Ranked for Lock<T> {
    type Value = T;

    fn parts(&self) -> (Rank, &Mutex<T>) {
        (self.rank, &self.mutex)
    }
}

impl<T> Ranked for Mutex<T> {
    type Value = T;

    fn parts(&self) -> (Rank, &Mutex<T>) {
        (Rank::Leaf, self)
    }
}

impl<L: Ranked> Ranked for Arc<L> {
    type Value = L::Value;

    fn parts(&self) -> (Rank, &Mutex<L::Value>) {
        (**self).parts()
    }
}

/// Takes the lock. A thread that panicked while it held one has left nothing
/// half done that the next one would mind: every holder changes one thing.
pub(super) fn lock<L: Ranked>(lock: &L) -> Guard<'_, L::Value> {
    let (rank, mutex) = lock.parts();
    // Before it is taken: two threads in different orders would wait for each other here.
    let held = order::Held::new(rank);
    Guard {
        inner: mutex.lock().unwrap_or_else(PoisonError::into_inner),
        _held: held,
    }
}

/// A lock that is held.
#[derive(Debug)]
pub(super) struct Guard<'a, T> {
    inner: MutexGuard<'a, T>,
    _held: order::Held,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

#[cfg(debug_assertions)]
mod order {
    use std::cell::Cell;

    use super::Rank;

    thread_local! {
        /// A bit for each rank of which this thread holds a lock: one at most of each.
        static HELD: Cell<u32> = const { Cell::new(0) };
    }

    #[derive(Debug)]
    pub(super) struct Held(u32);

    impl Held {
        #[inline]
        pub(super) fn new(rank: Rank) -> Self {
            let bit = 1 << rank as u32;
            let held = HELD.get();
            assert!(
                held < bit || std::thread::panicking(),
                "a lock of rank {rank:?} is taken while one of this rank or a higher one is held"
            );
            HELD.set(held | bit);
            Self(bit)
        }
    }

    impl Drop for Held {
        #[inline]
        fn drop(&mut self) {
            HELD.set(HELD.get() & !self.0);
        }
    }
}

#[cfg(not(debug_assertions))]
mod order {
    #[derive(Debug)]
    pub(super) struct Held;

    impl Held {
        pub(super) fn new(_rank: super::Rank) -> Self {
            Self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_taken_in_the_order_of_their_ranks() {
        let (torrent, connection) = (Lock::new(Rank::Torrent, 1), Lock::new(Rank::Connection, 2));
        {
            let outer = lock(&torrent);
            assert_eq!(*outer + *lock(&connection), 3);
        }
        // One after the other, in any order.
        assert_eq!(*lock(&connection) + 1, 3);
        assert_eq!(*lock(&torrent), 1);
    }

    #[test]
    #[should_panic(expected = "a lock of rank Torrent is taken")]
    fn the_wrong_order_panics_in_debug_builds() {
        let (torrent, connection) = (Lock::new(Rank::Torrent, 1), Lock::new(Rank::Connection, 2));
        let _inner = lock(&connection);
        let _outer = lock(&torrent);
    }

    #[test]
    #[should_panic(expected = "a lock of rank Connection is taken")]
    fn two_connections_are_never_locked_at_once() {
        let (one, two) = (
            Lock::new(Rank::Connection, 1),
            Lock::new(Rank::Connection, 2),
        );
        let _one = lock(&one);
        let _two = lock(&two);
    }
}
