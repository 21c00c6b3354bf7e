//! What happens to a torrent, as its owner is told: trouble in words, once for each
//! kind of it, and with `--json` everything that other programs may need.

use std::collections::HashSet;

use serde_json::json;

use super::{Context, failure::Outcome};
use crate::swarm::Event;

/// Remembers what was said.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    said: HashSet<String>,
    checked: u32,
}

/// Sentences that are remembered; then all may be said again.
const MAX_SAID: usize = 200;

impl Troubles {
    /// Tells of one event, if there is something to tell.
    pub(super) fn tell(&mut self, context: &Context, event: &Event) -> Outcome {
        let (document, words) = match event {
            Event::Checking { total, .. } => {
                self.checked = *total;
                return Ok(());
            }
            Event::Ready { have, total } => (
                json!({ "event": "ready", "have": have, "pieces": total, "checked": self.checked }),
                None,
            ),
            Event::PeerBanned { addr, reason } => (
                json!({ "event": "banned", "peer": addr, "reason": reason }),
                None,
            ),
            Event::TrackerError { url, message } => (
                json!({ "event": "tracker_error", "url": url, "message": message }),
                Some(format!("{message}; going on with other sources")),
            ),
            Event::DiskError { message, full } => (
                json!({ "event": "disk_error", "message": message, "full": full }),
                Some(match full {
                    true => format!(
                        "{message}; what is there is kept, and the rest comes when there is room"
                    ),
                    false => format!("{message}; trying again in a while"),
                }),
            ),
            _ => return Ok(()),
        };
        if let Some(words) = words {
            if self.said.len() >= MAX_SAID {
                self.said.clear();
            }
            if self.said.insert(words.clone()) {
                context.out.note(words);
            }
        }
        context.out.event(&document)
    }
}
