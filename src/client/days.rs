//! What was received, sent, earned and spent on each day (UTC).

use std::collections::{BTreeMap, BTreeSet};

use super::snapshot::Day;
use crate::types::UnixMs;

/// Days that are kept: a year and a month.
pub(super) const MAX_DAYS: u16 = 400;

const DAY_MS: i64 = 86_400_000;

/// The days, and which of them are not on disk.
#[derive(Debug, Default)]
pub(super) struct Days {
    rows: BTreeMap<i64, Day>,
    unsaved: BTreeSet<i64>,
}

impl Days {
    pub(super) fn of(rows: impl IntoIterator<Item = Day>) -> Self {
        let rows = rows.into_iter();
        Self {
            rows: rows.map(|row| (row.day, row)).collect(),
            unsaved: BTreeSet::new(),
        }
    }

    /// Something moved.
    pub(super) fn add(&mut self, now: UnixMs, moved: Day) {
        if (
            moved.downloaded,
            moved.uploaded,
            moved.earned_raw,
            moved.spent_raw,
        ) == (0, 0, 0, 0)
        {
            return;
        }
        let day = now.0.div_euclid(DAY_MS);
        let row = self.rows.entry(day).or_insert(Day {
            day,
            ..Day::default()
        });
        row.downloaded = row.downloaded.saturating_add(moved.downloaded);
        row.uploaded = row.uploaded.saturating_add(moved.uploaded);
        row.earned_raw = row.earned_raw.saturating_add(moved.earned_raw);
        row.spent_raw = row.spent_raw.saturating_add(moved.spent_raw);
        self.unsaved.insert(day);
        while self.rows.len() > usize::from(MAX_DAYS) {
            self.rows.pop_first();
        }
    }

    /// All of them, the oldest first.
    pub(super) fn all(&self) -> Vec<Day> {
        self.rows.values().copied().collect()
    }

    /// Those that are not on disk.
    pub(super) fn unsaved(&self) -> Vec<Day> {
        let rows = self.unsaved.iter();
        rows.filter_map(|day| self.rows.get(day)).copied().collect()
    }

    /// These are on disk, as they were written.
    pub(super) fn saved(&mut self, written: &[Day]) {
        for row in written {
            if self.rows.get(&row.day) == Some(row) {
                self.unsaved.remove(&row.day);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_summed_and_bounded() {
        let mut days = Days::default();
        let moved = |uploaded| Day {
            uploaded,
            earned_raw: 1,
            ..Day::default()
        };
        days.add(UnixMs(DAY_MS - 1), moved(5));
        days.add(UnixMs(DAY_MS - 1), moved(6));
        days.add(UnixMs(DAY_MS), moved(7));
        days.add(UnixMs(DAY_MS), Day::default());
        let sums = days.all().into_iter();
        let sums: Vec<_> = sums
            .map(|row| (row.day, row.uploaded, row.earned_raw))
            .collect();
        assert_eq!(sums, [(0, 11, 2), (1, 7, 1)]);
        let written = days.unsaved();
        days.add(UnixMs(DAY_MS), moved(1));
        days.saved(&written);
        assert_eq!(days.unsaved().len(), 1);
        for day in 0..1000 {
            days.add(UnixMs(day * DAY_MS), moved(1));
        }
        let kept = days.all();
        assert_eq!((kept.len(), kept[0].day, kept[399].day), (400, 600, 999));
    }
}
