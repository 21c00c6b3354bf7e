//! `--bid auto`: what to bid for one seller. Pure: time comes in.
//!
//! A seller could say at any time that its line is wanted by others. So a raise
//! is an experiment: it begins at the floor, rises only while the demand is
//! unmet, and a raise that brought no more bytes is taken back and not tried
//! again for a while that doubles each time. While the rate holds, the bid falls.

use std::time::Duration;

use crate::types::UnixMs;

/// How long a bid is watched before it is changed: bids rise at most so often.
pub const LOOK_EVERY: Duration = Duration::from_secs(60);
/// A raise that failed is repeated after so many looks, then twice as many …
const FIRST_PAUSE: u32 = 2;
/// … up to this: a liar is believed for a 32nd of the time.
const LAST_PAUSE: u32 = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    Raised { from: u64, rate: u64 },
    Lowered { from: u64, rate: u64 },
}

/// What to bid for one seller.
#[derive(Debug, Clone)]
pub struct AutoBid {
    floor: u64,
    bid: u64,
    looked: UnixMs,
    bytes: u64,
    change: Change,
    pause: u32,
    next_pause: u32,
}

impl AutoBid {
    /// Begins at the seller's floor, in raw units per GiB.
    pub fn new(floor: u64, now: UnixMs) -> Self {
        Self {
            floor,
            bid: floor,
            looked: now,
            bytes: 0,
            change: Change::None,
            pause: 0,
            next_pause: FIRST_PAUSE,
        }
    }

    /// The bid, in raw units per GiB.
    pub fn bid(&self) -> u64 {
        self.bid
    }

    /// So many bytes of the seller's were verified.
    pub fn received(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Looks again, once a minute: the new bid if it changes. `unmet`: more was
    /// asked for than came. `most`: never above it, in raw units per GiB, but
    /// the floor is always paid.
    pub fn look(&mut self, now: UnixMs, unmet: bool, most: u64) -> Option<u64> {
        let passed = now.since(self.looked);
        if passed < LOOK_EVERY {
            return None;
        }
        let millis = u128::from(self.bytes) * 1000 / passed.as_millis().max(1);
        let rate = u64::try_from(millis).unwrap_or(u64::MAX);
        self.looked = now;
        self.bytes = 0;
        let most = most.max(self.floor);
        let before = self.bid;
        self.step(rate, unmet, most);
        self.bid = self.bid.clamp(self.floor, most);
        (self.bid != before).then_some(self.bid)
    }

    fn step(&mut self, rate: u64, unmet: bool, most: u64) {
        let (better, worse) = (
            |old: u64| rate > old.saturating_add(old / 10),
            |old: u64| rate < old - old / 10,
        );
        match std::mem::replace(&mut self.change, Change::None) {
            Change::Raised { from, rate: old } if !better(old) => {
                self.bid = from;
                self.pause = self.next_pause;
                self.next_pause = (self.next_pause * 2).min(LAST_PAUSE);
                return;
            }
            Change::Raised { .. } => self.next_pause = FIRST_PAUSE,
            Change::Lowered { from, rate: old } if worse(old) => {
                self.bid = from;
                self.pause = self.pause.max(FIRST_PAUSE);
                return;
            }
            Change::Lowered { .. } | Change::None => {}
        }
        if unmet && self.pause == 0 && self.bid < most {
            let from = self.bid;
            self.bid = from.saturating_add((from / 4).max(1));
            self.change = Change::Raised { from, rate };
            return;
        }
        self.pause = self.pause.saturating_sub(1);
        if self.bid > self.floor && !matches!(self.change, Change::Raised { .. }) {
            let from = self.bid;
            self.bid = from - from / 5;
            self.change = Change::Lowered { from, rate };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: u64 = 1_000_000;

    /// Minutes of a market: `rate` says what a bid gets, in bytes a second.
    /// Returns the bids.
    fn market(minutes: i64, most: u64, unmet: bool, rate: impl Fn(u64) -> u64) -> Vec<u64> {
        let mut auto = AutoBid::new(FLOOR, UnixMs(0));
        (1..=minutes)
            .map(|minute| {
                auto.received(rate(auto.bid()) * 60);
                let changed = auto.look(UnixMs(minute * 60_000), unmet, most);
                assert_eq!(changed.unwrap_or(auto.bid()), auto.bid());
                auto.bid()
            })
            .collect()
    }

    #[test]
    fn who_only_says_that_it_is_contended_earns_next_to_nothing_by_it() {
        // Contended, it says, whatever is bid; the rate does not change.
        let bids = market(24 * 60, 20 * FLOOR, true, |_| 1 << 20);
        let paid: u64 = bids.iter().sum();
        let at_floor = FLOOR * 24 * 60;
        assert!(paid < at_floor + at_floor / 50, "{paid} for {at_floor}");
        assert!(bids.iter().all(|bid| *bid <= FLOOR + FLOOR / 4));
    }

    #[test]
    fn what_a_raise_really_buys_is_bought_up_to_the_most() {
        // A line that is shared by bid with others that bid 3 floors.
        let rate = |bid: u64| (10 << 20) * bid / (bid + 3 * FLOOR);
        let bids = market(60, 8 * FLOOR, true, rate);
        assert!(bids.iter().any(|bid| *bid > 2 * FLOOR), "{bids:?}");
        assert!(bids.iter().all(|bid| *bid <= 8 * FLOOR));
    }

    #[test]
    fn it_falls_back_to_the_floor_when_the_rate_holds() {
        let mut auto = AutoBid::new(FLOOR, UnixMs(0));
        auto.bid = 10 * FLOOR;
        let mut minutes = 0;
        while auto.bid() > FLOOR {
            minutes += 1;
            auto.received(60 << 20);
            auto.look(UnixMs(minutes * 60_000), false, 20 * FLOOR);
            assert!(minutes < 12);
        }
        // A fifth a minute: 0.8^11 is below a tenth.
        assert!(minutes >= 10, "{minutes}");
    }

    #[test]
    fn it_changes_at_most_once_a_minute_and_never_passes_the_most() {
        let mut auto = AutoBid::new(FLOOR, UnixMs(0));
        assert_eq!(auto.look(UnixMs(59_999), true, 9 * FLOOR), None);
        assert_eq!(auto.look(UnixMs(60_000), true, FLOOR + 7), Some(FLOOR + 7));
        assert_eq!(auto.look(UnixMs(60_001), true, 9 * FLOOR), None);
        // What the budget allows has shrunk.
        assert_eq!(auto.look(UnixMs(120_000), true, 0), Some(FLOOR));
    }
}
