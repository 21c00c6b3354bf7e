//! The last events, for those who ask later.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use serde::Serialize;

use crate::{
    client::event::{Event, Happened},
    types::Decimals,
};

/// Events that are kept.
const MAX_ROWS: usize = 1000;

/// An event with its number.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    /// Counts from 0 on, since the start.
    pub(super) id: u64,
    #[serde(flatten)]
    pub(super) event: Event,
}

/// The last events.
#[derive(Debug, Default)]
pub(super) struct Log(Mutex<(u64, VecDeque<Row>)>);

impl Log {
    pub(super) fn push(&self, event: Event) {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, rows) = &mut *log;
        if rows.len() >= MAX_ROWS {
            rows.pop_front();
        }
        rows.push_back(Row { id: *next, event });
        *next += 1;
    }

    /// Those with a larger number than `last`, the oldest first.
    pub(super) fn after(&self, last: Option<u64>) -> Vec<Row> {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = log.1.iter();
        rows.filter(|row| last.is_none_or(|last| row.id > last))
            .cloned()
            .collect()
    }
}

/// One line for a person.
pub(super) fn words(event: &Happened) -> String {
    match event {
        Happened::Added { name, .. } => format!("added {name}"),
        Happened::Removed { name, .. } => format!("removed {name}"),
        Happened::Completed { name, .. } => format!("completed {name}"),
        Happened::GoalReached { name, .. } => format!("{name} was shared enough and is paused"),
        Happened::Failed { name, reason, .. } => format!("{name} cannot go on: {reason}"),
        Happened::PeerBanned { peer, reason, .. } => format!("peer {peer} is banned: {reason}"),
        Happened::TrackerFailed { url, message, .. } => format!("tracker {url}: {message}"),
        Happened::TrackerWarned { url, message, .. } => format!("tracker {url} warns: {message}"),
        Happened::WebSeedFailed { url, message, .. } => format!("web seed {url}: {message}"),
        Happened::DiskRefused { message, .. } => message.clone(),
        Happened::Settled { payouts, total_raw } => format!(
            "paid {} BTT of debts to {payouts} {}",
            total_raw.to_decimal(Decimals::BTT),
            if *payouts == 1 { "peer" } else { "peers" }
        ),
        Happened::Problem { message, hint, .. } => format!("{message} {hint}"),
        Happened::ProblemOver { code, .. } => format!("the problem {code:?} is over"),
        Happened::Resync => "events were missed".to_owned(),
    }
}

/// How bad it is, as qBittorrent counts: 1 normal, 2 information, 4 warning, 8 critical.
pub(super) fn weight(event: &Happened) -> u8 {
    match event {
        Happened::Added { .. }
        | Happened::Removed { .. }
        | Happened::Completed { .. }
        | Happened::GoalReached { .. }
        | Happened::Settled { .. }
        | Happened::ProblemOver { .. } => 1,
        Happened::Resync => 2,
        Happened::PeerBanned { .. }
        | Happened::TrackerFailed { .. }
        | Happened::TrackerWarned { .. }
        | Happened::WebSeedFailed { .. }
        | Happened::DiskRefused { .. }
        | Happened::Problem { .. } => 4,
        Happened::Failed { .. } => 8,
    }
}
