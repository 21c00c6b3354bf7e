//! Limits by the time of day: at night others than by day.

use jiff::{
    Timestamp,
    civil::{Time, Weekday},
    tz::TimeZone,
};

use super::{owner::Owner, snapshot::Limits};
use crate::types::UnixMs;

/// Windows of a schedule, at most.
pub const MAX_WINDOWS: usize = 64;

/// Seven days.
const WEEK: usize = 7;

/// When other limits count than the usual ones, and which. Times are those of a clock on the
/// wall: where it is set forward or back, so is the schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    windows: Vec<Window>,
    zone: TimeZone,
}

/// A time of the day, on some days of the week, and its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The days that it begins on, from Monday on.
    pub days: [bool; WEEK],
    /// When it begins.
    pub from: Time,
    /// When it ends. If that is not later than its beginning, it ends on the next day.
    pub to: Time,
    /// Bytes a second sent; `None`: as usual; `Some(None)`: without a limit.
    pub up: Option<Option<u64>>,
    /// Bytes a second received, likewise.
    pub down: Option<Option<u64>>,
}

impl Window {
    fn has(&self, day: Weekday, time: Time) -> bool {
        let begins_on = |day: Weekday| {
            let at = usize::try_from(day.to_monday_zero_offset());
            at.is_ok_and(|at| self.days.get(at).is_some_and(|is_on| *is_on))
        };
        let is_over_midnight = self.to <= self.from;
        let begun = begins_on(day) && time >= self.from && (is_over_midnight || time < self.to);
        let of_yesterday = is_over_midnight && begins_on(day.previous()) && time < self.to;
        begun || of_yesterday
    }
}

impl Default for Schedule {
    /// The usual limits, always.
    fn default() -> Self {
        Self {
            windows: Vec::new(),
            zone: TimeZone::UTC,
        }
    }
}

impl Schedule {
    /// The windows, of which the first that has a moment counts, by the clocks of this zone.
    /// Those after the first 64 ([`MAX_WINDOWS`]) are left out.
    pub fn new(mut windows: Vec<Window>, zone: TimeZone) -> Self {
        windows.truncate(MAX_WINDOWS);
        Self { windows, zone }
    }

    /// The limits that count at this moment in place of the usual ones; `None`: these count.
    pub(super) fn at(&self, now: UnixMs, usual: Limits) -> Option<Limits> {
        if self.windows.is_empty() {
            return None;
        }
        let now = Timestamp::from_millisecond(now.0).ok()?;
        let now = self.zone.to_datetime(now);
        let mut windows = self.windows.iter();
        let window = windows.find(|window| window.has(now.weekday(), now.time()))?;
        Some(Limits {
            up: window.up.unwrap_or(usual.up),
            down: window.down.unwrap_or(usual.down),
        })
    }
}

impl Owner {
    /// The session's limits are those that count now.
    pub(super) fn limit_session(&mut self) {
        self.scheduled = self.schedule.at(self.clock.now(), self.limits);
        let Limits { up, down } = self.scheduled.unwrap_or(self.limits);
        self.session.set_up_limit(up);
        self.session.set_down_limit(down);
    }

    /// Looks whether the time has come for other limits.
    pub(super) fn look_at_schedule(&mut self) {
        let due = self.schedule.at(self.clock.now(), self.limits);
        if due == self.scheduled {
            return;
        }
        let Limits { up, down } = due.unwrap_or(self.limits);
        tracing::info!(
            up,
            down,
            by_schedule = due.is_some(),
            "other limits count from now on"
        );
        self.limit_session();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of Monday, 2026-11-30, 00:00 UTC.
    const MONDAY: i64 = 1_795_996_800_000;
    const MINUTE: i64 = 60_000;
    const DAY: i64 = 24 * 60 * MINUTE;

    const EVERY_DAY: [bool; WEEK] = [true; WEEK];
    const USUAL: Limits = Limits {
        up: Some(7),
        down: None,
    };

    fn window(days: [bool; WEEK], from: (i8, i8), to: (i8, i8), up: u64) -> Window {
        let time = |(hour, minute)| Time::new(hour, minute, 0, 0).unwrap();
        Window {
            days,
            from: time(from),
            to: time(to),
            up: Some(Some(up)),
            down: None,
        }
    }

    /// The upload limit on this day of the week, at this minute.
    fn up(schedule: &Schedule, day: i64, hour: i64, minute: i64) -> Option<u64> {
        let now = UnixMs(MONDAY + day * DAY + (hour * 60 + minute) * MINUTE);
        schedule.at(now, USUAL).map(|limits| limits.up.unwrap())
    }

    #[test]
    fn a_window_has_its_beginning_and_not_its_end() {
        let day = Schedule::new(vec![window(EVERY_DAY, (8, 0), (18, 30), 1)], TimeZone::UTC);
        let at = |hour, minute| up(&day, 2, hour, minute);
        assert_eq!([at(7, 59), at(8, 0)], [None, Some(1)]);
        assert_eq!([at(18, 29), at(18, 30)], [Some(1), None]);
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_that_it_begins_on() {
        let mut friday = [false; WEEK];
        friday[4] = true;
        let night = Schedule::new(vec![window(friday, (22, 0), (6, 0), 1)], TimeZone::UTC);
        let at = |day, hour| up(&night, day, hour, 0);
        assert_eq!([at(4, 5), at(4, 21), at(4, 22)], [None, None, Some(1)]);
        assert_eq!([at(5, 5), at(5, 6), at(5, 22)], [Some(1), None, None]);
        // From Sunday into Monday.
        let mut sunday = [false; WEEK];
        sunday[6] = true;
        let night = Schedule::new(vec![window(sunday, (22, 0), (6, 0), 1)], TimeZone::UTC);
        assert_eq!(up(&night, 7, 5, 0), Some(1));
        // A whole day.
        let all = Schedule::new(vec![window(sunday, (0, 0), (0, 0), 1)], TimeZone::UTC);
        assert_eq!([up(&all, 6, 0, 0), up(&all, 6, 23, 59)], [Some(1), Some(1)]);
        assert_eq!([up(&all, 5, 23, 59), up(&all, 7, 0, 0)], [None, None]);
    }

    #[test]
    fn the_first_window_counts_and_what_it_does_not_name_is_as_usual() {
        let mut whole = window(EVERY_DAY, (0, 0), (0, 0), 2);
        (whole.up, whole.down) = (None, Some(Some(9)));
        let mut evening = window(EVERY_DAY, (18, 0), (20, 0), 1);
        evening.up = Some(None);
        let schedule = Schedule::new(vec![evening, whole], TimeZone::UTC);
        let at = |hour: i64| schedule.at(UnixMs(MONDAY + hour * 60 * MINUTE), USUAL);
        let (up, down) = (None, None);
        assert_eq!(at(18), Some(Limits { up, down }));
        let (up, down) = (Some(7), Some(9));
        assert_eq!(at(20), Some(Limits { up, down }));
    }

    #[test]
    fn times_are_those_of_the_zone_and_its_summer() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let schedule = Schedule::new(vec![window(EVERY_DAY, (8, 0), (9, 0), 1)], zone);
        let at = |days: i64, hour: i64| up(&schedule, days, hour, 0);
        assert_eq!([at(0, 6), at(0, 7), at(0, 8)], [None, Some(1), None]);
        // In June, it is eight there two hours before it is eight in Greenwich.
        assert_eq!([at(200, 6), at(200, 7)], [Some(1), None]);
    }

    #[test]
    fn a_schedule_has_so_many_windows_and_no_more() {
        let mut windows = vec![window(EVERY_DAY, (1, 0), (2, 0), 1); MAX_WINDOWS];
        windows.push(window(EVERY_DAY, (3, 0), (4, 0), 1));
        let schedule = Schedule::new(windows, TimeZone::UTC);
        assert_eq!(
            [up(&schedule, 0, 1, 0), up(&schedule, 0, 3, 0)],
            [Some(1), None]
        );
        assert_eq!(up(&Schedule::default(), 0, 1, 0), None);
    }
}
