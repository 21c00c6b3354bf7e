//! What a torrent consists of: properties, files, trackers, pieces.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{row, torrent};
use crate::{
    api::{
        answer::{self, Answered, Refusal},
        request::Call,
        site::Site,
    },
    client::{
        ClientError,
        command::{Answer, Command},
        snapshot::{FilePriority, FileRow, TrackerState},
    },
};

pub(super) fn properties(site: &Site, call: &Call<'_>) -> Answered {
    let (_, torrent) = torrent(site, call)?;
    let row = &*torrent.row.value;
    let average = |bytes: u64| {
        bytes
            .checked_div(row.active_secs.secs())
            .unwrap_or_default()
    };
    let pieces = |number: u32| {
        if row.pieces > 0 {
            i64::from(number)
        } else {
            -1
        }
    };
    let size = match row.pieces {
        0 => -1,
        _ => i64::try_from(row.size).unwrap_or(i64::MAX),
    };
    answer::json(&json!({
        "addition_date": row::secs(row.added),
        "comment": row.comment.as_deref().unwrap_or_default(),
        "completion_date": row.completed.map_or(-1, row::secs),
        "created_by": "",
        "creation_date": -1,
        "dl_limit": limit(row.limits.down),
        "dl_speed": row.down_rate,
        "dl_speed_avg": average(row.downloaded),
        "download_path": "",
        "eta": row::eta(row),
        "has_metadata": row.pieces > 0,
        "hash": row.hash,
        "infohash_v1": row.hash,
        "infohash_v2": "",
        "is_private": row.private.unwrap_or_default(),
        "last_seen": row.last_activity.map_or(-1, row::secs),
        "name": row.name,
        "nb_connections": row.peers,
        "nb_connections_limit": -1,
        "peers": row.peers.saturating_sub(row.seeds),
        "peers_total": row.peers.saturating_sub(row.seeds),
        "piece_size": pieces(row.piece_length),
        "pieces_have": row.pieces_have,
        "pieces_num": pieces(row.pieces),
        "popularity": 0,
        "private": row.private,
        "reannounce": 0,
        "save_path": row.folder,
        "seeding_time": row.seeding_secs.secs(),
        "seeds": row.seeds,
        "seeds_total": row.seeds,
        "share_ratio": answer::permille(row.ratio_permille),
        "time_elapsed": row.active_secs.secs(),
        "total_downloaded": row.downloaded,
        "total_downloaded_session": row.session_downloaded,
        "total_size": size,
        "total_uploaded": row.uploaded,
        "total_uploaded_session": row.session_uploaded,
        "total_wasted": row.wasted,
        "up_limit": limit(row.limits.up),
        "up_speed": row.up_rate,
        "up_speed_avg": average(row.uploaded),
    }))
}

/// A limit, -1 where there is none: so it is here, and 0 in lists.
fn limit(limit: Option<u64>) -> i64 {
    limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX))
}

pub(super) fn files(site: &Site, call: &Call<'_>) -> Answered {
    let (_, torrent) = torrent(site, call)?;
    let indexes: Option<Vec<u32>> = call
        .text("indexes")
        .filter(|text| !text.is_empty())
        .map(|text| {
            let numbers = text.split('|').map(str::parse);
            numbers
                .collect::<Result<_, _>>()
                .map_err(|_| Refusal::conflict("an index is no number"))
        })
        .transpose()?;
    let row = &*torrent.row.value;
    // In qBittorrent's own numbering padding files do not count; `index` says ours, which
    // `filePrio` takes.
    let files: Vec<Value> = torrent
        .files
        .value
        .iter()
        .filter(|file| {
            indexes
                .as_ref()
                .is_none_or(|wanted| wanted.contains(&file.index))
        })
        .enumerate()
        .map(|(number, file)| {
            let mut value = json!({
                "availability": -1,
                "index": file.index,
                "name": name(torrent.files.value.len(), row, &file.path),
                "piece_range": [file.first_piece, file.last_piece],
                "priority": priority(file),
                "progress": if file.size == 0 { 1.0 } else { answer::part(file.have, file.size) },
                "size": file.size,
            });
            if number == 0
                && let Some(fields) = value.as_object_mut()
            {
                fields.insert("is_seed".to_owned(), row.complete.into());
            }
            value
        })
        .collect();
    answer::json(&files)
}

/// 0 for a file that is left out, 6 for one that goes before others. One that goes after them
/// has no number of its own there.
fn priority(file: &FileRow) -> i32 {
    match (file.wanted, file.priority) {
        (false, _) => 0,
        (true, FilePriority::Low | FilePriority::Normal) => 1,
        (true, FilePriority::High) => 6,
    }
}

/// A file's path below `save_path`: the torrent's own folder is a part of it.
fn name(count: usize, row: &crate::client::snapshot::TorrentRow, path: &str) -> String {
    let folder = row.path.as_ref().and_then(|whole| whole.file_name());
    match folder.and_then(|folder| folder.to_str()) {
        Some(folder) if !(count == 1 && folder == path) => format!("{folder}/{path}"),
        _ => path.to_owned(),
    }
}

/// The three ways to peers that are no trackers come first, as clients expect.
pub(super) fn trackers(site: &Site, call: &Call<'_>) -> Answered {
    let (_, torrent) = torrent(site, call)?;
    let snapshot = site.client.snapshot();
    let private = torrent.row.value.private == Some(true);
    let dht = snapshot.transfer.value.dht_nodes.is_some();
    let sticky = |name: &str, on: bool| {
        json!({
            "url": format!("** [{name}] **"),
            "status": if on && !private { 2 } else { 0 },
            "tier": -1,
            "num_peers": 0,
            "num_seeds": 0,
            "num_leeches": 0,
            "num_downloaded": 0,
            "msg": if private { "This torrent is private" } else { "" },
        })
    };
    let mut rows = vec![sticky("DHT", dht), sticky("PeX", true), sticky("LSD", true)];
    rows.extend(torrent.trackers.value.iter().map(|tracker| {
        json!({
            "url": tracker.url,
            "status": match tracker.state {
                TrackerState::Waiting => 1,
                TrackerState::Works => 2,
                TrackerState::Failed => 4,
            },
            "tier": tracker.tier,
            "num_peers": tracker.peers.map_or(-1, i64::from),
            "num_seeds": -1,
            "num_leeches": -1,
            "num_downloaded": -1,
            "msg": tracker.message.as_deref().unwrap_or_default(),
        })
    }));
    answer::json(&rows)
}

/// The torrent file.
pub(super) async fn export(site: &Site, call: &Call<'_>) -> Answered {
    let (hash, _) = torrent(site, call)?;
    match site.client.command(Command::Export(hash)).await {
        Ok(Answer::TorrentFile(bytes)) => Ok(answer::with_type(
            StatusCode::OK,
            "application/x-bittorrent",
            bytes,
        )),
        Err(ClientError::NoMetadata(_)) => Err(Refusal::conflict("Unable to export torrent file")),
        Ok(Answer::Done | Answer::Added { .. } | Answer::Moved { .. }) => {
            Err(Refusal::failed("no torrent file came"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Web seeds are used as the torrent file has them, and not listed.
pub(super) fn web_seeds(site: &Site, call: &Call<'_>) -> Answered {
    torrent(site, call)?;
    answer::json(&json!([]))
}

/// 2 for a piece that is there, 0 for one that is not.
pub(super) fn piece_states(site: &Site, call: &Call<'_>) -> Answered {
    let (_, torrent) = torrent(site, call)?;
    let count = usize::try_from(torrent.row.value.pieces).unwrap_or_default();
    let bits = torrent.pieces.value.iter();
    let mut states: Vec<u8> = bits
        .flat_map(|byte| (0..8).map(move |bit| if byte << bit & 0x80 == 0 { 0 } else { 2 }))
        .take(count)
        .collect();
    states.resize(count, 0);
    answer::json(&states)
}
