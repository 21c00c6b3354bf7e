//! What happens to a torrent, as its owner is told: trouble in words, once for each
//! kind of it, and with `--json` everything that other programs may need.

use std::collections::HashSet;

use serde_json::json;
use tokio::sync::broadcast::{Receiver, error::TryRecvError};

use super::{Context, failure::Outcome};
use crate::swarm::{Event, ports::PortMapping};

/// The next event that waits. Those that were missed are passed over.
pub(super) fn next(events: &mut Receiver<Event>) -> Option<Event> {
    loop {
        match events.try_recv() {
            Ok(event) => return Some(event),
            Err(TryRecvError::Lagged(_)) => {}
            Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
        }
    }
}

/// Remembers what was said.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    said: HashSet<String>,
    checked: u32,
    ports: Option<PortMapping>,
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
            Event::TrackerWarning { url, message } => (
                json!({ "event": "tracker_warning", "url": url, "message": message }),
                Some(format!("tracker {url} warns: {message}")),
            ),
            Event::WebSeedFailed { url, message } => (
                json!({ "event": "web_seed_failed", "url": url, "message": message }),
                Some(format!(
                    "web seed {url} is not asked any more: {message}; going on with other sources"
                )),
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
            self.say(context, words);
        }
        context.out.event(&document)
    }

    /// Tells whether the router lets peers in, when that has changed.
    pub(super) fn tell_ports(&mut self, context: &Context, ports: PortMapping) -> Outcome {
        if self.ports.as_ref() == Some(&ports) {
            return Ok(());
        }
        let (document, words) = match &ports {
            PortMapping::Off | PortMapping::Trying => return Ok(()),
            PortMapping::Mapped { by, port, address } => {
                let place = address.map_or_else(String::new, |address| format!(" of {address}"));
                (
                    json!({
                        "event": "port_mapped",
                        "by": by.to_string(),
                        "port": port,
                        "address": address,
                    }),
                    format!("the router lets peers in at port {port}{place} ({by})"),
                )
            }
            PortMapping::Failed(message) => (
                json!({ "event": "port_not_mapped", "message": message }),
                format!(
                    "no router was told to let peers in ({message}); going on with peers that we reach"
                ),
            ),
        };
        self.ports = Some(ports);
        self.say(context, words);
        context.out.event(&document)
    }

    fn say(&mut self, context: &Context, words: String) {
        if self.said.len() >= MAX_SAID {
            self.said.clear();
        }
        if self.said.insert(words.clone()) {
            context.out.note(words);
        }
    }
}
