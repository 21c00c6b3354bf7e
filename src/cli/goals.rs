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
    client::snapshot::{Goals, ReachedGoal, TorrentRow},
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
    pub(super) fn goals(&self, asks: bool) -> Outcome<Goals> {
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
        let seconds = |time: Duration| time.as_millis().div_ceil(1000);
        Ok(Goals {
            ratio_permille: self.seed_ratio.map(|ratio| ratio.0),
            seeding_secs: self
                .seed_time
                .map(|time| u64::try_from(seconds(time)).unwrap_or(u64::MAX)),
            earned_raw: self.seed_earnings.map(RawAmount::unsigned),
        })
    }

    /// Whether a goal was given.
    pub(super) fn any(&self) -> bool {
        self.seed_ratio.is_some() || self.seed_time.is_some() || self.seed_earnings.is_some()
    }
}

/// For `--json`: a torrent has reached a goal.
pub(super) fn document(row: &TorrentRow, goal: ReachedGoal) -> Value {
    json!({
        "event": "goal",
        "info_hash": row.hash,
        "name": row.name,
        "goal": match goal {
            ReachedGoal::Ratio => "ratio",
            ReachedGoal::Time => "time",
            ReachedGoal::Earned => "earnings",
        },
        "uploaded": row.session_uploaded,
        "seconds": row.seeding_secs.secs(),
        "earned_raw": row.earned_raw.to_string(),
    })
}

/// The same in words.
pub(super) fn words(row: &TorrentRow, goal: ReachedGoal) -> String {
    let sent = Size(row.session_uploaded);
    match goal {
        ReachedGoal::Ratio => format!(
            "shared enough: {sent} sent, {} times its size",
            Ratio(row.ratio_permille)
        ),
        ReachedGoal::Time => format!(
            "shared long enough: {}, {sent} sent",
            progress::time(row.seeding_secs.secs())
        ),
        ReachedGoal::Earned => format!("earned enough: {} for {sent}", btt_text(row.earned_raw)),
    }
}
