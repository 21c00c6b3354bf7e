//! When a torrent has been shared enough.

use std::{
    fmt,
    time::{Duration, Instant},
};

/// What ends the sharing of a complete torrent; the first that is reached does.
/// All counts are of this session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SeedGoals {
    /// Uploaded, in thousandths of the size of what was wanted of the content.
    pub ratio_permille: Option<u64>,
    /// Since the torrent was complete and checked.
    pub time: Option<Duration>,
    /// What extensions count as earned by it, in their own unit
    /// ([`Extension::earned`](super::hooks::Extension::earned)).
    pub earned: Option<u64>,
}

/// Which goal was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// [`SeedGoals::ratio_permille`].
    Ratio,
    /// [`SeedGoals::time`].
    Time,
    /// [`SeedGoals::earned`].
    Earned,
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ratio => "ratio",
            Self::Time => "time",
            Self::Earned => "earnings",
        })
    }
}

/// How long something went on, with breaks.
#[derive(Debug, Default)]
pub(super) struct Stopwatch {
    before: Duration,
    since: Option<Instant>,
}

impl Stopwatch {
    /// It goes on from now on, or does not.
    pub(super) fn set(&mut self, runs: bool) {
        match (runs, self.since) {
            (true, None) => self.since = Some(Instant::now()),
            (false, Some(since)) => {
                self.before += since.elapsed();
                self.since = None;
            }
            _ => {}
        }
    }

    /// How long it is until it shows this, if it runs.
    pub(super) fn until(&self, total: Duration) -> Option<Duration> {
        self.since?;
        Some(total.saturating_sub(self.total()))
    }

    pub(super) fn total(&self) -> Duration {
        let running = self.since.map(|since| since.elapsed());
        self.before + running.unwrap_or_default()
    }
}

/// How far the sharing of a torrent has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct SoFar {
    pub(super) bytes: u64,
    pub(super) uploaded: u64,
    pub(super) seeding_for: Duration,
    pub(super) earned: u64,
}

impl SeedGoals {
    /// The goal that is reached, if one is.
    pub(super) fn reached(&self, so_far: SoFar) -> Option<Goal> {
        let sent = u128::from(so_far.uploaded) * 1000;
        let ratio = |goal| sent >= u128::from(so_far.bytes.max(1)) * u128::from(goal);
        if self.ratio_permille.is_some_and(ratio) {
            return Some(Goal::Ratio);
        }
        if self.earned.is_some_and(|goal| so_far.earned >= goal) {
            return Some(Goal::Earned);
        }
        let time = self.time.is_some_and(|goal| so_far.seeding_for >= goal);
        time.then_some(Goal::Time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SO_FAR: SoFar = SoFar {
        bytes: 1000,
        uploaded: 1499,
        seeding_for: Duration::from_secs(59),
        earned: 9,
    };

    #[test]
    fn the_first_goal_that_is_reached_counts_and_not_a_byte_before() {
        let goals = SeedGoals {
            ratio_permille: Some(1500),
            time: Some(Duration::from_secs(60)),
            earned: Some(10),
        };
        assert_eq!(goals.reached(SO_FAR), None);
        let reached = |uploaded, seconds, earned| {
            goals.reached(SoFar {
                uploaded,
                seeding_for: Duration::from_secs(seconds),
                earned,
                ..SO_FAR
            })
        };
        assert_eq!(reached(1500, 59, 9), Some(Goal::Ratio));
        assert_eq!(reached(1499, 60, 9), Some(Goal::Time));
        assert_eq!(reached(1499, 59, 10), Some(Goal::Earned));
        let largest = SoFar {
            bytes: u64::MAX,
            uploaded: u64::MAX,
            ..SO_FAR
        };
        assert_eq!(goals.reached(largest), None);
        assert_eq!(SeedGoals::default().reached(largest), None);
    }
}
