//! The live view of `seed` and `get`: price, rate, spent, owed and earned for
//! each peer and torrent, and why a peer is held.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{
    progress::Screen,
    units::{Price, Rate, Size, btt_text},
};
use crate::{
    receipts::{
        Held,
        pay::{PayExtension, PeerView},
    },
    swarm::{PeerRow, TorrentHandle},
};

/// One paying or paid connection, with its rates in bytes a second.
pub(crate) struct LivePeer {
    view: PeerView,
    down: u64,
    up: u64,
}

/// The connections on which something is paid, as they stand.
pub(crate) fn peers(pay: Option<&PayExtension>, torrents: &[TorrentHandle]) -> Vec<LivePeer> {
    let Some(pay) = pay else { return Vec::new() };
    let rows: HashMap<_, PeerRow> = torrents
        .iter()
        .flat_map(|torrent| {
            let hash = torrent.info_hash();
            let rows = torrent.stats().peers.into_iter();
            rows.map(move |row| ((hash, row.addr), row))
        })
        .collect();
    pay.peers()
        .into_iter()
        .filter(|view| view.peer.is_some())
        .map(|view| {
            let row = rows.get(&(view.info_hash, view.remote));
            LivePeer {
                down: row.map_or(0, |row| row.down_rate),
                up: row.map_or(0, |row| row.up_rate),
                view,
            }
        })
        .collect()
}

fn held_text(held: Held) -> &'static str {
    match held {
        Held::Window => "held: it has not receipted what it was sent",
        Held::Cap => "held: it owes as much as it may before it settles",
    }
}

impl LivePeer {
    /// For `--json`.
    pub(crate) fn document(&self) -> Value {
        let view = &self.view;
        json!({
            "peer": view.peer,
            "remote": view.remote,
            "info_hash": view.info_hash,
            "sells_at_raw": view.sale_price,
            "buys_at_raw": view.purchase_price,
            "down_rate": self.down,
            "up_rate": self.up,
            "spent_raw": view.tally.spent_raw.to_string(),
            "earned_raw": view.tally.earned_raw.to_string(),
            "owed_raw": view.owed_raw,
            "unpaid_bytes": view.unpaid_bytes,
            "window_bytes": view.window_bytes,
            "held": view.held.map(held_text),
        })
    }

    /// One line for people.
    fn line(&self) -> String {
        let view = &self.view;
        let peer = view.peer.map(|peer| peer.to_string()).unwrap_or_default();
        let mut line = format!("  {peer} {}", view.remote);
        if let Some(price) = view.purchase_price {
            line.push_str(&format!(
                "  down {} at {}, spent {}",
                Rate(self.down),
                Price(price),
                btt_text(view.tally.spent_raw)
            ));
        }
        if let Some(price) = view.sale_price {
            line.push_str(&format!(
                "  up {} at {}, earned {}, owes {}, {} of {} ahead",
                Rate(self.up),
                Price(price),
                btt_text(view.tally.earned_raw),
                btt_text(view.owed_raw.unsigned()),
                Size(view.unpaid_bytes),
                Size(view.window_bytes),
            ));
        }
        if let Some(held) = view.held {
            line.push_str(&format!("  {}", held_text(held)));
        }
        line
    }
}

/// Adds a line for each that the screen has room for.
pub(crate) fn add_lines(screen: &Screen, text: &mut String, peers: &[LivePeer]) {
    for peer in peers {
        screen.add(text, &peer.line());
    }
}
