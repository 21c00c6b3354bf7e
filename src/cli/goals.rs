//! When sharing ends by itself.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::{
    failure::{Failure, Outcome},
    progress,
    units::{self, Ratio, Size, btt_text},
};
use crate::{
    swarm::{Goal, SeedGoals, Stats, TorrentHandle},
    types::RawAmount,
};

/// Flags of what ends the sharing of each torrent.
#[derive(Debug, Args)]
#[command(next_help_heading = "End of sharing")]
pub(crate) struct GoalFlags {
    /// Stop sharing a torrent at this ratio of sent bytes to its size, for example 1.5.
    #[arg(long, value_name = "RATIO")]
    seed_ratio: Option<Ratio>,
    /// Stop sharing a torrent after this time, for example 12h or 7d.
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    seed_time: Option<Duration>,
    /// Stop sharing a torrent when it has earned this amount.
    #[arg(long, value_name = "AMOUNT", value_parser = units::btt)]
    seed_earnings: Option<RawAmount>,
}

impl GoalFlags {
    /// What was asked for; `asks`: payers pay something here.
    pub(super) fn goals(&self, asks: bool) -> Outcome<SeedGoals> {
        if self.seed_earnings.is_some() && !asks {
            return Err(Failure::usage(
                "--seed-earnings goes with --ask: nothing is earned without it",
            )
            .hint("say what payers pay with --ask 5BTT/GiB"));
        }
        let nothing =
            self.seed_time == Some(Duration::ZERO) || self.seed_earnings == Some(RawAmount::ZERO);
        if nothing {
            return Err(Failure::usage(
                "a goal of 0 is reached before anything is shared",
            ));
        }
        Ok(SeedGoals {
            ratio_permille: self.seed_ratio.map(|ratio| ratio.0),
            time: self.seed_time,
            earned: self.seed_earnings.map(RawAmount::unsigned),
        })
    }

    /// Whether a goal was given.
    pub(super) fn any(&self) -> bool {
        self.seed_ratio.is_some() || self.seed_time.is_some() || self.seed_earnings.is_some()
    }
}

/// What was uploaded in proportion to the content.
pub(super) fn ratio(stats: &Stats) -> Ratio {
    let thousandths = u128::from(stats.uploaded) * 1000 / u128::from(stats.bytes.max(1));
    Ratio(u64::try_from(thousandths).unwrap_or(u64::MAX))
}

/// For `--json`: a torrent has reached a goal.
pub(super) fn document(torrent: &TorrentHandle, goal: Goal, stats: &Stats, earned: u64) -> Value {
    json!({
        "event": "goal",
        "info_hash": torrent.info_hash(),
        "name": torrent.name(),
        "goal": goal.to_string(),
        "uploaded": stats.uploaded,
        "seconds": stats.seeding_for.as_secs(),
        "earned_raw": earned.to_string(),
    })
}

/// The same in words.
pub(super) fn words(goal: Goal, stats: &Stats, earned: u64) -> String {
    match goal {
        Goal::Ratio => format!(
            "shared enough: {} sent, {} times its size",
            Size(stats.uploaded),
            ratio(stats)
        ),
        Goal::Time => format!(
            "shared long enough: {}, {} sent",
            progress::duration(stats.seeding_for),
            Size(stats.uploaded)
        ),
        Goal::Earned => format!(
            "earned enough: {} for {}",
            btt_text(earned),
            Size(stats.uploaded)
        ),
    }
}
