//! What happens to a torrent, as its owner is told: trouble in words, once for each
//! kind of it, and with `--json` everything that other programs may need.

use std::collections::HashSet;

use serde_json::json;

use super::{Context, failure::Outcome};
use crate::{
    client::{
        event::Happened,
        snapshot::{PortMapping, TorrentRow},
    },
    types::InfoHash,
};

/// Remembers what was said.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    said: HashSet<String>,
    ports: Option<PortMapping>,
    /// Torrents of which the beginning was told.
    begun: HashSet<InfoHash>,
}

/// Sentences that are remembered; then all may be said again.
const MAX_SAID: usize = 200;

impl Troubles {
    /// Tells of one event, if there is something to tell.
    pub(super) fn tell(&mut self, context: &Context, event: &Happened) -> Outcome {
        let (document, words) = match event {
            Happened::PeerBanned { peer, reason, .. } => (
                json!({ "event": "banned", "peer": peer, "reason": reason }),
                None,
            ),
            Happened::TrackerFailed { url, message, .. } => (
                json!({ "event": "tracker_error", "url": url, "message": message }),
                Some(format!("{message}; going on with other sources")),
            ),
            Happened::TrackerWarned { url, message, .. } => (
                json!({ "event": "tracker_warning", "url": url, "message": message }),
                Some(format!("tracker {url} warns: {message}")),
            ),
            Happened::WebSeedFailed { url, message, .. } => (
                json!({ "event": "web_seed_failed", "url": url, "message": message }),
                Some(format!(
                    "web seed {url} is not asked any more: {message}; going on with other sources"
                )),
            ),
            Happened::DiskRefused { message, full, .. } => (
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

    /// Tells that the transfers of a torrent have begun; true when that is new.
    pub(super) fn tell_begun(&mut self, context: &Context, row: &TorrentRow) -> Outcome<bool> {
        let Some(have) = row.began_with else {
            return Ok(false);
        };
        if !self.begun.insert(row.hash) {
            return Ok(false);
        }
        context.out.event(&json!({
            "event": "ready",
            "have": have,
            "pieces": row.pieces,
            "checked": row.hashed,
        }))?;
        Ok(true)
    }

    /// Tells whether the router lets peers in, when that has changed.
    pub(super) fn tell_ports(&mut self, context: &Context, ports: &PortMapping) -> Outcome {
        if self.ports.as_ref() == Some(ports) {
            return Ok(());
        }
        let (document, words) = match ports {
            PortMapping::Off | PortMapping::Trying => return Ok(()),
            PortMapping::Mapped { by, port, address } => {
                let place = address.as_ref();
                let place = place.map_or_else(String::new, |address| format!(" of {address}"));
                (
                    json!({
                        "event": "port_mapped",
                        "by": by,
                        "port": port,
                        "address": address,
                    }),
                    format!("the router lets peers in at port {port}{place} ({by})"),
                )
            }
            PortMapping::Failed { reason: message } => (
                json!({ "event": "port_not_mapped", "message": message }),
                format!(
                    "no router was told to let peers in ({message}); going on with peers that we reach"
                ),
            ),
        };
        self.ports = Some(ports.clone());
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
