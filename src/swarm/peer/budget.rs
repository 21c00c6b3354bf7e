//! How many messages without worth are read of a peer.

/// So many at once: more than an honest peer sends when it is choked with a full queue of
/// requests, or takes back the end of a download.
const BURST: u32 = 4096;
/// And so many more each second.
const PER_SECOND: u32 = 500;

/// The messages that may still be read of a peer though they bring nothing: no data, no request
/// that is served, nothing new. Reading stops where there are none left, so a flood of them waits
/// in the sender's own socket.
#[derive(Debug)]
pub(super) struct MessageBudget {
    left: u32,
    /// Up to when `left` has grown.
    grown_ms: u64,
}

impl MessageBudget {
    /// Of a connection that begins at `now_ms`.
    pub(super) fn new(now_ms: u64) -> Self {
        Self {
            left: BURST,
            grown_ms: now_ms,
        }
    }

    pub(super) fn any_left(&self) -> bool {
        self.left > 0
    }

    /// One was read.
    pub(super) fn spend(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    /// Lets it grow up to `now_ms`.
    pub(super) fn grow(&mut self, now_ms: u64) {
        let since_ms = now_ms.saturating_sub(self.grown_ms);
        let more = since_ms.saturating_mul(PER_SECOND.into()) / 1000;
        if more > 0 {
            self.grown_ms = now_ms;
            let more = u32::try_from(more).unwrap_or(BURST);
            self.left = self.left.saturating_add(more).min(BURST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_read_at_once_and_then_so_many_a_second() {
        let mut budget = MessageBudget::new(0);
        let read = |budget: &mut MessageBudget| {
            let more = |_: &u32| {
                let any = budget.any_left();
                budget.spend();
                any
            };
            (0..10_000).take_while(more).count()
        };
        assert_eq!(read(&mut budget), 4096);
        budget.grow(1);
        assert_eq!(read(&mut budget), 0);
        budget.grow(1000);
        assert_eq!(read(&mut budget), 500);
        // A clock that is asked often loses nothing of it.
        for now_ms in 1001..=2000 {
            budget.grow(now_ms);
        }
        assert_eq!(read(&mut budget), 500);
        budget.grow(1_000_000);
        assert_eq!(read(&mut budget), 4096);
    }
}
