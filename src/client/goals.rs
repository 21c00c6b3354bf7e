//! Whether a torrent was shared enough in its whole life.

use super::{
    entry::Life,
    snapshot::{Goals, ReachedGoal},
};

/// The goal that is reached, if one is. `wanted`: bytes of the wanted files.
pub(super) fn reached(goals: &Goals, wanted: u64, life: &Life) -> Option<ReachedGoal> {
    let sent = u128::from(life.uploaded) * 1000;
    let ratio = |goal| sent >= u128::from(wanted.max(1)) * u128::from(goal);
    if goals.ratio_permille.is_some_and(ratio) {
        return Some(ReachedGoal::Ratio);
    }
    if goals.earned_raw.is_some_and(|goal| life.earned_raw >= goal) {
        return Some(ReachedGoal::Earned);
    }
    let time = goals
        .seeding_secs
        .is_some_and(|goal| life.seeding_ms / 1000 >= goal);
    time.then_some(ReachedGoal::Time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_goal_that_is_reached_counts_and_not_a_byte_before() {
        let goals = Goals {
            ratio_permille: Some(1500),
            seeding_secs: Some(60),
            earned_raw: Some(10),
        };
        let at = |uploaded, seeding_ms, earned_raw| {
            let life = Life {
                uploaded,
                seeding_ms,
                earned_raw,
                ..Life::default()
            };
            reached(&goals, 1000, &life)
        };
        assert_eq!(at(1499, 59_999, 9), None);
        assert_eq!(at(1500, 59_999, 9), Some(ReachedGoal::Ratio));
        assert_eq!(at(1499, 60_000, 9), Some(ReachedGoal::Time));
        assert_eq!(at(1499, 59_999, 10), Some(ReachedGoal::Earned));
        let most = Life {
            uploaded: u64::MAX,
            seeding_ms: u64::MAX,
            earned_raw: u64::MAX,
            ..Life::default()
        };
        assert_eq!(reached(&Goals::default(), u64::MAX, &most), None);
        let far = Goals {
            ratio_permille: Some(u64::MAX),
            ..Goals::default()
        };
        assert_eq!(reached(&far, u64::MAX, &most), None);
    }
}
