//! How fast a peer answers, from what it was asked and what came. Pure: time is handed in,
//! in milliseconds since any fixed moment.
//!
//! A peer that is not asked has no time to show its speed: what is known of it stays. One
//! that was asked and goes silent is slower with each moment.

use crate::swarm::wire::CHUNK;

/// The rate that is assumed of a peer that has not sent anything, in bytes a second. So what
/// it holds up is late soon, and requested from others.
const ASSUMED: u64 = 1 << 20;
/// For so long after the first request the peer is new.
const NEW_MS: u64 = 5000;
/// A peer that has not sent anything for so long after the first request may never do.
const DOUBTED_MS: u64 = 1000;
/// The least that is expected of anybody, in bytes a second: a chunk in ten seconds.
const LEAST: u64 = 1638;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Speed {
    /// When it was asked for the first time.
    first_ms: Option<u64>,
    /// Bytes that came.
    came: u64,
    /// Bytes that had come when it was measured last, and when that was.
    before: (u64, u64),
    /// It was asked for something then.
    was_busy: bool,
    /// Bytes a second.
    measured: Option<u64>,
}

impl Speed {
    /// Something is requested.
    pub(super) fn asked(&mut self, now_ms: u64) {
        self.first_ms.get_or_insert(now_ms);
    }

    /// So much came.
    pub(super) fn came(&mut self, bytes: u32) {
        self.came += u64::from(bytes);
    }

    /// Once a second. `busy`: something is requested.
    pub(super) fn measure(&mut self, now_ms: u64, busy: bool) {
        let (bytes, at) = self.before;
        let since = now_ms.saturating_sub(at).max(1);
        let now = self.came.saturating_sub(bytes) * 1000 / since;
        self.measured = match self.measured {
            // It had work all the time.
            known if self.was_busy && busy => {
                Some(known.map_or(now, |old| u64::midpoint(old, now)))
            }
            // It may have been done long before.
            known if now > 0 => Some(known.map_or(now, |old| old.max(now))),
            known => known,
        };
        self.was_busy = busy;
        self.before = (self.came, now_ms);
    }

    /// It was asked for the first time a moment ago, or never.
    pub(super) fn is_new(&self, now_ms: u64) -> bool {
        let first = self.first_ms.unwrap_or(now_ms);
        now_ms.saturating_sub(first) < NEW_MS
    }

    /// It sent a chunk before.
    pub(super) fn is_shown(&self) -> bool {
        self.came > 0
    }

    /// Whole chunks that came.
    pub(super) fn chunks(&self) -> u64 {
        self.came / u64::from(CHUNK)
    }

    /// Bytes a second, as measured; none yet is 0.
    pub(super) fn measured(&self) -> u64 {
        self.measured.unwrap_or(0)
    }

    /// It was asked a while ago, and has not sent anything yet.
    pub(super) fn is_doubted(&self, now_ms: u64) -> bool {
        let first = self.first_ms.unwrap_or(now_ms);
        self.came == 0 && now_ms.saturating_sub(first) >= DOUBTED_MS
    }

    /// Bytes a second that may be expected.
    pub(super) fn expected(&self, now_ms: u64) -> u64 {
        if self.came == 0 {
            return ASSUMED;
        }
        if let Some(measured) = self.measured {
            return measured.max(LEAST);
        }
        let waited = now_ms.saturating_sub(self.first_ms.unwrap_or(now_ms));
        // The next chunk may be on its way.
        ((self.came + u64::from(CHUNK)) * 1000 / waited.max(1)).max(LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_sends_nothing_is_doubted_and_one_that_begins_is_measured_at_once() {
        let mut speed = Speed::default();
        speed.asked(1000);
        assert!(!speed.is_doubted(1999) && speed.is_doubted(2000));
        speed.measure(2000, true);
        speed.measure(3000, true);
        assert_eq!(speed.expected(3000), ASSUMED);
        let mut slow = Speed::default();
        slow.asked(0);
        slow.came(CHUNK);
        assert_eq!([slow.expected(1000), slow.expected(2000)], [32_768, 16_384]);
        assert!(!slow.is_doubted(9000));
    }

    #[test]
    fn a_peer_that_is_not_asked_stays_as_fast_as_it_was() {
        let mut speed = Speed::default();
        speed.asked(0);
        speed.measure(0, true);
        for second in 1..=4 {
            speed.came(800_000);
            speed.measure(second * 1000, true);
        }
        assert_eq!(speed.measured(), 800_000);
        for second in 5..60 {
            speed.measure(second * 1000, false);
        }
        assert_eq!(speed.expected(60_000), 800_000);
        // A little work says nothing, and a second of silence much.
        speed.came(16_384);
        speed.measure(60_000, false);
        assert_eq!(speed.measured(), 800_000);
        speed.measure(61_000, true);
        speed.measure(62_000, true);
        assert_eq!(speed.measured(), 400_000);
    }
}
