//! A torrent as `torrents/info` and `sync/maindata` have it.

use serde_json::{Map, Value, json};

use crate::{
    api::answer::{part, permille},
    client::snapshot::{Torrent, TorrentRow, TorrentState, TrackerState},
    types::UnixMs,
};

/// What stands for "unknown" where seconds are said.
pub(super) const UNKNOWN_ETA: u64 = 8_640_000;

/// The state's name in 5.0.
pub(super) fn state(row: &TorrentRow) -> &'static str {
    match (row.state, row.complete) {
        (TorrentState::Metadata, _) => "metaDL",
        (TorrentState::Checking, true) => "checkingUP",
        (TorrentState::Checking, false) => "checkingDL",
        (TorrentState::Downloading, _) if row.down_rate > 0 => "downloading",
        (TorrentState::Downloading, _) => "stalledDL",
        (TorrentState::Seeding, _) if row.up_rate > 0 => "uploading",
        (TorrentState::Seeding, _) => "stalledUP",
        (TorrentState::Queued, true) => "queuedUP",
        (TorrentState::Queued, false) => "queuedDL",
        (TorrentState::Paused, true) => "stoppedUP",
        (TorrentState::Paused, false) => "stoppedDL",
        (TorrentState::DiskRefused | TorrentState::Failed, _) => "error",
        // What is due is settled; nothing is downloaded any more.
        (TorrentState::Finishing, true) => "stalledUP",
        (TorrentState::Finishing, false) => "stalledDL",
    }
}

/// Seconds until it is complete.
pub(super) fn eta(row: &TorrentRow) -> u64 {
    row.eta_secs.unwrap_or(UNKNOWN_ETA).min(UNKNOWN_ETA)
}

pub(super) fn secs(at: UnixMs) -> i64 {
    at.0.div_euclid(1000)
}

/// A limit, 0 where there is none.
pub(super) fn limit(limit: Option<u64>) -> u64 {
    limit.unwrap_or_default()
}

/// Goals as qBittorrent has them: -1 where there is none, times in minutes.
pub(super) fn goals(row: &TorrentRow) -> (f64, i64) {
    let ratio = row.goals.ratio_permille.map_or(-1.0, permille);
    let minutes = row
        .goals
        .seeding_secs
        .map_or(-1, |secs| i64::try_from(secs / 60).unwrap_or(i64::MAX));
    (ratio, minutes)
}

/// The first tracker that works.
fn tracker(torrent: &Torrent) -> &str {
    torrent
        .trackers
        .value
        .iter()
        .find(|tracker| tracker.state == TrackerState::Works)
        .map_or("", |tracker| tracker.url.as_str())
}

/// All fields of a torrent.
pub(super) fn of(torrent: &Torrent) -> Map<String, Value> {
    let row = &*torrent.row.value;
    let done = row.wanted.saturating_sub(row.left);
    let (ratio_limit, minutes) = goals(row);
    let folder = row.folder.display().to_string();
    let path = row
        .path
        .as_ref()
        .map_or_else(|| folder.clone(), |path| path.display().to_string());
    let is_folder = torrent
        .files
        .value
        .iter()
        .any(|file| file.path.contains('/'));
    let value = json!({
        "added_on": secs(row.added),
        "amount_left": row.left,
        "auto_tmm": false,
        "availability": -1,
        "category": row.category.as_deref().unwrap_or_default(),
        "comment": row.comment.as_deref().unwrap_or_default(),
        "completed": done,
        "completion_on": row.completed.map_or(-1, secs),
        "content_path": path,
        "dl_limit": limit(row.limits.down),
        "dlspeed": row.down_rate,
        "download_path": "",
        "downloaded": row.downloaded,
        "downloaded_session": row.session_downloaded,
        "eta": eta(row),
        "f_l_piece_prio": false,
        "force_start": false,
        "has_metadata": row.pieces > 0,
        "hash": row.hash,
        "inactive_seeding_time_limit": -1,
        "infohash_v1": row.hash,
        "infohash_v2": "",
        "last_activity": secs(row.last_activity.unwrap_or(row.added)),
        "magnet_uri": row.magnet,
        "max_inactive_seeding_time": -1,
        "max_ratio": ratio_limit,
        "max_seeding_time": minutes,
        "name": row.name,
        "num_complete": row.seeds,
        "num_incomplete": row.peers.saturating_sub(row.seeds),
        "num_leechs": row.peers.saturating_sub(row.seeds),
        "num_seeds": row.seeds,
        "popularity": 0,
        // A complete torrent has none, as in qBittorrent.
        "priority": if row.complete { 0 } else { row.place },
        "private": row.private,
        "progress": part(done, row.wanted),
        "ratio": permille(row.ratio_permille),
        "ratio_limit": ratio_limit,
        "reannounce": 0,
        "root_path": if is_folder { path.as_str() } else { "" },
        "save_path": folder,
        "seeding_time": row.seeding_secs.secs(),
        "seeding_time_limit": minutes,
        "seen_complete": row.completed.map_or(-1, secs),
        "seq_dl": false,
        "size": row.wanted,
        "state": state(row),
        "super_seeding": false,
        "tags": row.tags.join(", "),
        "time_active": row.active_secs.secs(),
        "total_size": row.size,
        "tracker": tracker(torrent),
        "trackers_count": torrent.trackers.value.len(),
        "up_limit": limit(row.limits.up),
        "uploaded": row.uploaded,
        "uploaded_session": row.session_uploaded,
        "upspeed": row.up_rate,
    });
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
