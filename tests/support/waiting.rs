//! Waiting for what others do.

use std::time::{Duration, Instant};

/// Waits until `done`; says what for when `limit` has passed.
pub(crate) fn wait_until(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        // Not to be in time for anything: so as not to spin while others work.
        std::thread::park_timeout(Duration::from_millis(1));
    }
}
