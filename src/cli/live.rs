//! The live view of `seed` and `get`: price, rate, spent, owed and earned for
//! each peer and torrent, and why a peer is held.

use serde_json::{Value, json};

use super::{
    progress::{Screen, Shown},
    units::{Price, Rate, Size, btt_text},
};
use crate::{
    client::snapshot::{PaidPeer, PeerRow},
    types::InfoHash,
};

/// One paying or paid connection.
pub(crate) struct LivePeer<'a> {
    hash: InfoHash,
    row: &'a PeerRow,
    paid: &'a PaidPeer,
}

/// The connections on which something is paid, as they stand.
pub(crate) fn peers(torrents: &[Shown]) -> Vec<LivePeer<'_>> {
    let rows = torrents.iter().flat_map(|torrent| {
        let hash = torrent.row.value.hash;
        torrent.peers.value.iter().map(move |row| (hash, row))
    });
    rows.filter_map(|(hash, row)| {
        let paid = row.paid.as_ref()?;
        paid.account?;
        Some(LivePeer { hash, row, paid })
    })
    .collect()
}

/// For `--json`: all of them.
pub(crate) fn documents(torrents: &[Shown]) -> Vec<Value> {
    peers(torrents).iter().map(LivePeer::document).collect()
}

impl LivePeer<'_> {
    fn document(&self) -> Value {
        let Self { hash, row, paid } = self;
        json!({
            "peer": paid.account,
            "remote": row.addr,
            "info_hash": hash,
            "sells_at_raw": paid.sale_price_raw,
            "buys_at_raw": paid.purchase_price_raw,
            "down_rate": row.down_rate,
            "up_rate": row.up_rate,
            "spent_raw": paid.spent_raw.to_string(),
            "earned_raw": paid.earned_raw.to_string(),
            "owed_raw": paid.owed_raw,
            "unpaid_bytes": paid.unpaid_bytes,
            "window_bytes": paid.window_bytes,
            "held": paid.held,
        })
    }

    /// One line for people.
    fn line(&self) -> String {
        let Self { row, paid, .. } = self;
        let account = paid.account.map(|account| account.to_string());
        let mut line = format!("  {} {}", account.unwrap_or_default(), row.addr);
        if let Some(price) = paid.purchase_price_raw {
            line.push_str(&format!(
                "  down {} at {}, spent {}",
                Rate(row.down_rate),
                Price(price),
                btt_text(paid.spent_raw)
            ));
        }
        if let Some(price) = paid.sale_price_raw {
            line.push_str(&format!(
                "  up {} at {}, earned {}, owes {}, {} of {} ahead",
                Rate(row.up_rate),
                Price(price),
                btt_text(paid.earned_raw),
                btt_text(paid.owed_raw.unsigned()),
                Size(paid.unpaid_bytes),
                Size(paid.window_bytes),
            ));
        }
        if let Some(held) = &paid.held {
            line.push_str(&format!("  {held}"));
        }
        line
    }
}

/// Adds a line for each that the screen has room for.
pub(crate) fn add_lines(screen: &Screen, text: &mut String, torrents: &[Shown]) {
    for peer in peers(torrents) {
        screen.add(text, &peer.line());
    }
}
