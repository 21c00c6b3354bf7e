//! Locks that are only ever held for a few instructions, never over an `await`.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes the lock. A thread that panicked while it held one has left nothing
/// half done that the next one would mind: every holder changes one thing.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
