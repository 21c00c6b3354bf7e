//! `torrents/info`: the list, filtered and sorted.

use std::{cmp::Ordering, collections::BTreeSet, sync::Arc};

use serde_json::{Map, Value};

use super::row;
use crate::{
    api::{
        answer::{self, Answered, Refusal},
        request::Call,
        site::Site,
    },
    client::snapshot::{Torrent, TorrentRow, TorrentState},
    types::InfoHash,
};

pub(super) fn count(site: &Site) -> Answered {
    Ok(answer::ok_text(
        site.client.snapshot().torrents.len().to_string(),
    ))
}

/// Whether a torrent is of those that a filter names. An unknown filter names all, as
/// qBittorrent takes it.
fn passes(filter: &str, torrent: &TorrentRow) -> bool {
    let state = row::state(torrent);
    let active = torrent.down_rate > 0 || torrent.up_rate > 0;
    let stopped = torrent.state == TorrentState::Paused;
    match filter {
        "downloading" => !torrent.complete,
        "seeding" => torrent.complete && !stopped && state != "error",
        "completed" => torrent.complete,
        "stopped" | "paused" => stopped,
        "running" | "resumed" => !stopped,
        "active" => active,
        "inactive" => !active,
        "stalled" => state == "stalledUP" || state == "stalledDL",
        "stalled_uploading" => state == "stalledUP",
        "stalled_downloading" => state == "stalledDL",
        "checking" => torrent.state == TorrentState::Checking,
        "moving" => false,
        "errored" => state == "error",
        _ => true,
    }
}

/// The order of two values of one field.
fn order(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.to_lowercase().cmp(&b.to_lowercase()),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => {
                let float = |number: &serde_json::Number| number.as_f64().unwrap_or_default();
                float(a).total_cmp(&float(b))
            }
        },
        _ => Ordering::Equal,
    }
}

pub(super) fn info(site: &Site, call: &Call<'_>) -> Answered {
    let snapshot = site.client.snapshot();
    let filter = call.text("filter").unwrap_or("all");
    let category = call.text("category");
    let tag = call.text("tag");
    let hashes: Option<BTreeSet<InfoHash>> = call
        .text("hashes")
        .filter(|text| !text.is_empty() && *text != "all")
        .map(|text| {
            let hashes = text.split('|');
            hashes
                .filter_map(|hash| hash.trim().to_ascii_lowercase().parse().ok())
                .collect()
        });
    let wanted = |torrent: &&Arc<Torrent>| {
        let torrent = &*torrent.row.value;
        let own = torrent.category.as_deref().unwrap_or_default();
        passes(filter, torrent)
            && category.is_none_or(|category| category == own)
            && tag.is_none_or(|tag| match tag {
                "" => torrent.tags.is_empty(),
                tag => torrent.tags.iter().any(|own| own == tag),
            })
            && hashes
                .as_ref()
                .is_none_or(|hashes| hashes.contains(&torrent.hash))
    };
    let mut rows: Vec<Map<String, Value>> = snapshot
        .torrents
        .values()
        .filter(wanted)
        .map(|torrent| row::of(torrent))
        .collect();
    if let Some(key) = call.text("sort").filter(|key| !key.is_empty()) {
        if rows.first().is_some_and(|row| !row.contains_key(key)) {
            return Err(Refusal::bad("'sort' parameter is invalid"));
        }
        let value = |row: &Map<String, Value>| row.get(key).cloned().unwrap_or_default();
        rows.sort_by(|a, b| order(&value(a), &value(b)));
    }
    if call.flag("reverse")?.unwrap_or_default() {
        rows.reverse();
    }
    // As qBittorrent: an offset below 0 counts from the end, a limit below 1 is none.
    let offset = call.parsed::<i64>("offset")?.unwrap_or_default();
    let size = rows.len();
    let skip = match usize::try_from(offset) {
        Ok(offset) if offset < size => offset,
        Ok(_) => 0,
        Err(_) => {
            let back = usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX);
            size.saturating_sub(back)
        }
    };
    let limit = call.parsed::<i64>("limit")?.unwrap_or_default();
    let take = usize::try_from(limit).ok().filter(|limit| *limit > 0);
    let rows: Vec<_> = rows
        .into_iter()
        .skip(skip)
        .take(take.unwrap_or(usize::MAX))
        .collect();
    answer::json(&rows)
}
