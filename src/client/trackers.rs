//! How the trackers of a torrent answer.

use super::snapshot::{TrackerRow, TrackerState};
use crate::{swarm, types::UnixMs};

/// A row for each tracker, as it was known before.
pub(super) fn rows(tiers: &[Vec<String>], before: &[TrackerRow]) -> Vec<TrackerRow> {
    let tiers = (0..).zip(tiers);
    let urls = tiers.flat_map(|(tier, urls)| urls.iter().map(move |url| (tier, url)));
    urls.map(|(tier, url)| {
        let known = before.iter().find(|row| row.url == *url).cloned();
        TrackerRow {
            tier,
            ..known.unwrap_or_else(|| TrackerRow {
                url: url.clone(),
                tier,
                state: TrackerState::Waiting,
                peers: None,
                message: None,
                answered: None,
            })
        }
    })
    .collect()
}

/// Notes what a tracker said.
pub(super) fn hear(rows: &mut [TrackerRow], event: &swarm::Event, now: UnixMs) {
    let mut change = |url: &str, what: &dyn Fn(&mut TrackerRow)| {
        if let Some(row) = rows.iter_mut().find(|row| row.url == url) {
            row.answered = Some(now);
            what(row);
        }
    };
    match event {
        swarm::Event::TrackerReply { url, peers } => change(url, &|row| {
            // A warning comes right before the answer that it is in.
            let warned = row.state == TrackerState::Waiting && row.message.is_some();
            row.state = TrackerState::Works;
            row.peers = Some(u32::try_from(*peers).unwrap_or(u32::MAX));
            if !warned {
                row.message = None;
            }
        }),
        swarm::Event::TrackerWarning { url, message } => change(url, &|row| {
            row.state = TrackerState::Waiting;
            row.message = Some(message.clone());
        }),
        swarm::Event::TrackerError { url, message } => change(url, &|row| {
            row.state = TrackerState::Failed;
            row.message = Some(message.clone());
        }),
        _ => {}
    }
}
