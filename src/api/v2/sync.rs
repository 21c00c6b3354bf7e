//! `sync/…`: what is different since the last answer.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{labels, row, torrent, transfer};
use crate::{
    api::{
        answer::{self, Answered, Refusal},
        request::Call,
        site::Site,
    },
    client::snapshot::{Changes, EncryptionOf, PeerRow, Queue, Revision, Snapshot, TransportOf},
    types::InfoHash,
};

/// `rid` is a small number in qBittorrent, and clients keep it in 32 bits. It counts from a
/// random start of this process, so that one of an earlier process is seldom taken for ours.
fn rid(site: &Site, revision: Revision) -> u64 {
    let since_start = revision.0.saturating_sub(site.first_revision.0);
    u64::from(site.first_rid) + since_start
}

/// The revision that a client has; `Revision(0)` if it has none of ours.
fn revision(site: &Site, rid: u64) -> Revision {
    let since_start = rid.checked_sub(u64::from(site.first_rid));
    since_start.map_or(Revision(0), |since| {
        Revision(site.first_revision.0.saturating_add(since))
    })
}

fn server_state(snapshot: &Snapshot) -> Map<String, Value> {
    let transfer = &snapshot.transfer.value;
    let disks = &snapshot.disks.value;
    let free = disks.disks.iter().find(|disk| disk.folder == disks.folder);
    let mut state = transfer::info(snapshot);
    let ratio = transfer
        .uploaded
        .saturating_mul(100)
        .checked_div(transfer.downloaded)
        .map_or("-".to_owned(), |percent| {
            format!("{}.{:02}", percent / 100, percent % 100)
        });
    let more = json!({
        "alltime_dl": transfer.downloaded,
        "alltime_ul": transfer.uploaded,
        "average_time_queue": 0,
        "free_space_on_disk": free.and_then(|disk| disk.free).unwrap_or_default(),
        "global_ratio": ratio,
        "queued_io_jobs": 0,
        "queueing": transfer.queue != Queue::default(),
        "read_cache_hits": "0",
        "read_cache_overload": "0",
        "refresh_interval": 1500,
        "total_buffers_size": 0,
        "total_peer_connections": transfer.peers,
        "total_queued_size": 0,
        "total_wasted_session": 0,
        "use_alt_speed_limits": transfer.scheduled_limits.is_some(),
        "use_subcategories": false,
        "write_cache_overload": "0",
    });
    if let Value::Object(more) = more {
        state.extend(more);
    }
    state
}

/// The trackers of torrents whose trackers have changed, each with all its torrents.
fn trackers(snapshot: &Snapshot, changes: &Changes, since: Revision) -> Map<String, Value> {
    let changed = changes.torrents.iter();
    let changed: BTreeSet<&str> = changed
        .filter(|torrent| changes.full || torrent.trackers.revision > since)
        .flat_map(|torrent| torrent.trackers.value.iter())
        .map(|tracker| tracker.url.as_str())
        .collect();
    let mut all: BTreeMap<&str, Vec<InfoHash>> = BTreeMap::new();
    if !changed.is_empty() {
        for torrent in snapshot.torrents.values() {
            for tracker in &*torrent.trackers.value {
                if let Some(url) = changed.get(tracker.url.as_str()) {
                    all.entry(url).or_default().push(torrent.row.value.hash);
                }
            }
        }
    }
    let all = all.into_iter();
    all.map(|(url, hashes)| (url.to_owned(), json!(hashes)))
        .collect()
}

pub(super) fn main_data(site: &Site, call: &Call<'_>) -> Answered {
    let given = call.parsed::<u64>("rid")?.unwrap_or_default();
    let snapshot = site.client.snapshot();
    let mut since = revision(site, given);
    // A category or tag that is gone cannot be told by what changed: everything is sent.
    if snapshot.labels.revision > since {
        since = Revision(0);
    }
    let changes = snapshot.changes(since);
    let torrents: Map<String, Value> = changes
        .torrents
        .iter()
        .map(|torrent| {
            let mut fields = row::of(torrent);
            // The key has it.
            fields.remove("hash");
            (torrent.row.value.hash.to_string(), Value::Object(fields))
        })
        .collect();
    let mut data = Map::new();
    data.insert("rid".to_owned(), rid(site, changes.revision).into());
    if changes.full {
        data.insert("full_update".to_owned(), true.into());
        data.insert(
            "categories".to_owned(),
            Value::Object(labels::categories(&snapshot)),
        );
        data.insert("tags".to_owned(), json!(snapshot.labels.value.tags));
    }
    let trackers = trackers(&snapshot, &changes, since);
    if changes.full || !trackers.is_empty() {
        data.insert("trackers".to_owned(), Value::Object(trackers));
    }
    if changes.full || !torrents.is_empty() {
        data.insert("torrents".to_owned(), Value::Object(torrents));
    }
    if !changes.removed.is_empty() {
        data.insert("torrents_removed".to_owned(), json!(changes.removed));
    }
    if changes.full || changes.transfer.is_some() || changes.disks.is_some() {
        let state = server_state(&snapshot);
        data.insert("server_state".to_owned(), Value::Object(state));
    }
    answer::json(&data)
}

/// A peer's flags, as qBittorrent's letters have them, with their meaning.
fn flags(peer: &PeerRow) -> (String, String) {
    let mut list: Vec<(&str, &str)> = Vec::new();
    match (peer.interested, peer.peer_choking) {
        (true, false) => list.push(("D", "Interested (local) and unchoked (peer)")),
        (true, true) => list.push(("d", "Interested (local) and choked (peer)")),
        (false, false) => list.push(("K", "Not interested (local) and unchoked (peer)")),
        (false, true) => {}
    }
    match (peer.peer_interested, peer.choking) {
        (true, false) => list.push(("U", "Interested (peer) and unchoked (local)")),
        (true, true) => list.push(("u", "Interested (peer) and choked (local)")),
        (false, false) => list.push(("?", "Not interested (peer) and unchoked (local)")),
        (false, true) => {}
    }
    if !peer.outgoing {
        list.push(("I", "Incoming connection"));
    }
    if peer.encryption == EncryptionOf::Full {
        list.push(("E", "Encrypted traffic"));
    }
    if peer.transport == TransportOf::Utp {
        list.push(("P", "μTP"));
    }
    let letters: Vec<&str> = list.iter().map(|(letter, _)| *letter).collect();
    let words: Vec<String> = list
        .iter()
        .map(|(letter, words)| format!("{letter} = {words}"))
        .collect();
    (letters.join(" "), words.join("\n"))
}

/// The peers of a torrent: always all of them.
pub(super) fn torrent_peers(site: &Site, call: &Call<'_>) -> Answered {
    let (_, torrent) = torrent(site, call)?;
    let given = call.parsed::<u64>("rid")?.unwrap_or_default();
    let peers: Map<String, Value> = torrent
        .peers
        .value
        .iter()
        .map(|peer| {
            let (letters, words) = flags(peer);
            let value = json!({
                "client": peer.client.as_deref().unwrap_or_default(),
                "connection": match peer.transport {
                    TransportOf::Tcp => "BT",
                    TransportOf::Utp => "μTP",
                },
                "country": "",
                "country_code": "",
                "dl_speed": peer.down_rate,
                "downloaded": peer.downloaded,
                "files": "",
                "flags": letters,
                "flags_desc": words,
                "ip": peer.addr.ip(),
                "peer_id_client": "",
                "port": peer.addr.port(),
                "progress": answer::permille(peer.progress_permille.into()),
                "relevance": 0,
                "up_speed": peer.up_rate,
                "uploaded": peer.uploaded,
            });
            (peer.addr.to_string(), value)
        })
        .collect();
    let next = given
        .checked_add(1)
        .ok_or_else(|| Refusal::bad("`rid` is too large"))?;
    answer::json(&json!({
        "full_update": true,
        "rid": next,
        "show_flags": false,
        "peers": peers,
    }))
}
