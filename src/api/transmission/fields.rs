//! The fields of a torrent.

use base64::Engine as _;
use serde_json::{Map, Value, json};

use crate::{
    api::answer::{part, permille},
    client::snapshot::{
        EncryptionOf, FilePriority, FileRow, PeerRow, Torrent, TorrentRow, TorrentState,
        TrackerRow, TrackerState, TransportOf,
    },
    types::UnixMs,
};

/// Seconds until something, where it is not known.
const UNKNOWN: i64 = -1;

fn secs(at: UnixMs) -> i64 {
    at.0.div_euclid(1000)
}

/// 0 stopped, 2 checking, 3 waiting to download, 4 downloading, 5 waiting to seed, 6 seeding.
fn status(row: &TorrentRow) -> u8 {
    match row.state {
        TorrentState::Paused | TorrentState::Failed => 0,
        TorrentState::Checking => 2,
        TorrentState::Queued if row.complete => 5,
        TorrentState::Queued => 3,
        TorrentState::Metadata | TorrentState::Downloading => 4,
        TorrentState::Seeding => 6,
        TorrentState::DiskRefused | TorrentState::Finishing if row.complete => 6,
        TorrentState::DiskRefused | TorrentState::Finishing => 4,
    }
}

/// Limits are in units of 1,000 bytes a second here.
pub(super) fn kilo(limit: Option<u64>) -> u64 {
    limit.unwrap_or_default().div_ceil(1000)
}

fn file_name(row: &TorrentRow, count: usize, path: &str) -> String {
    let folder = row.path.as_ref().and_then(|whole| whole.file_name());
    match folder.and_then(|folder| folder.to_str()) {
        Some(folder) if !(count == 1 && folder == path) => format!("{folder}/{path}"),
        _ => path.to_owned(),
    }
}

fn files(torrent: &Torrent, of: impl Fn(&FileRow) -> Value) -> Value {
    torrent.files.value.iter().map(of).collect()
}

fn tracker_stats(number: usize, tracker: &TrackerRow) -> Value {
    let answered = tracker.answered.map_or(0, secs);
    let works = tracker.state == TrackerState::Works;
    let host = tracker.url.split('/').nth(2).unwrap_or_default();
    json!({
        "announce": tracker.url,
        "announceState": 1,
        "downloadCount": -1,
        "hasAnnounced": tracker.answered.is_some(),
        "hasScraped": false,
        "host": host,
        "id": number,
        "isBackup": false,
        "lastAnnouncePeerCount": tracker.peers.unwrap_or_default(),
        "lastAnnounceResult": match works {
            true => "Success",
            false => tracker.message.as_deref().unwrap_or_default(),
        },
        "lastAnnounceStartTime": answered,
        "lastAnnounceSucceeded": works,
        "lastAnnounceTime": answered,
        "lastAnnounceTimedOut": false,
        "lastScrapeResult": "",
        "lastScrapeStartTime": 0,
        "lastScrapeSucceeded": false,
        "lastScrapeTime": 0,
        "lastScrapeTimedOut": false,
        "leecherCount": -1,
        "nextAnnounceTime": 0,
        "nextScrapeTime": 0,
        "scrape": "",
        "scrapeState": 0,
        "seederCount": -1,
        "tier": tracker.tier,
    })
}

fn peer(peer: &PeerRow) -> Value {
    let mut flags = String::new();
    let utp = peer.transport == TransportOf::Utp;
    for (on, letter) in [
        (utp, 'T'),
        (peer.interested && !peer.peer_choking, 'D'),
        (peer.interested && peer.peer_choking, 'd'),
        (peer.peer_interested && !peer.choking, 'U'),
        (peer.peer_interested && peer.choking, 'u'),
        (peer.encryption == EncryptionOf::Full, 'E'),
        (!peer.outgoing, 'I'),
    ] {
        if on {
            flags.push(letter);
        }
    }
    json!({
        "address": peer.addr.ip(),
        "clientIsChoked": peer.peer_choking,
        "clientIsInterested": peer.interested,
        "clientName": peer.client.as_deref().unwrap_or_default(),
        "flagStr": flags,
        "isDownloadingFrom": peer.down_rate > 0,
        "isEncrypted": peer.encryption == EncryptionOf::Full,
        "isIncoming": !peer.outgoing,
        "isUTP": utp,
        "isUploadingTo": peer.up_rate > 0,
        "peerIsChoked": peer.choking,
        "peerIsInterested": peer.peer_interested,
        "port": peer.addr.port(),
        "progress": permille(peer.progress_permille.into()),
        "rateToClient": peer.down_rate,
        "rateToPeer": peer.up_rate,
    })
}

fn priority(file: &FileRow) -> i32 {
    match file.priority {
        FilePriority::Low => -1,
        FilePriority::Normal => 0,
        FilePriority::High => 1,
    }
}

/// One field; nothing for one that is not known, as Transmission leaves it out.
pub(super) fn field(id: i64, torrent: &Torrent, name: &str) -> Option<Value> {
    let row = &*torrent.row.value;
    let count = torrent.files.value.len();
    let done = row.wanted.saturating_sub(row.left);
    let getting = || {
        torrent
            .peers
            .value
            .iter()
            .filter(|peer| peer.down_rate > 0)
            .count()
    };
    let giving = || {
        torrent
            .peers
            .value
            .iter()
            .filter(|peer| peer.up_rate > 0)
            .count()
    };
    let have = |file: &FileRow| {
        json!({
            "bytesCompleted": file.have,
            "priority": priority(file),
            "wanted": file.wanted,
        })
    };
    Some(match name {
        "activityDate" => json!(row.last_activity.map_or(0, secs)),
        "addedDate" => json!(secs(row.added)),
        "bandwidthPriority" => json!(0),
        "comment" => json!(row.comment.as_deref().unwrap_or_default()),
        "corruptEver" => json!(0),
        "creator" => json!(""),
        "dateCreated" => json!(0),
        "desiredAvailable" => json!(if row.peers > 0 { row.left } else { 0 }),
        "doneDate" => json!(row.completed.map_or(0, secs)),
        "downloadDir" => json!(row.folder),
        "downloadedEver" => json!(row.downloaded),
        "downloadLimit" => json!(kilo(row.limits.down)),
        "downloadLimited" => json!(row.limits.down.is_some()),
        "editDate" => json!(0),
        "error" => json!(if row.trouble.is_some() { 3 } else { 0 }),
        "errorString" => json!(row.trouble.as_deref().unwrap_or_default()),
        "eta" => json!(
            row.eta_secs
                .map_or(UNKNOWN, |eta| i64::try_from(eta).unwrap_or(UNKNOWN))
        ),
        "etaIdle" => json!(UNKNOWN),
        "file-count" => json!(count),
        "files" => files(torrent, |file| {
            json!({
                "bytesCompleted": file.have,
                "length": file.size,
                "name": file_name(row, count, &file.path),
            })
        }),
        "fileStats" => files(torrent, have),
        "hashString" => json!(row.hash),
        "haveUnchecked" => json!(0),
        "haveValid" => json!(done),
        "honorsSessionLimits" => json!(true),
        "id" => json!(id),
        // Stopped because it was shared enough: what Sonarr waits for before it removes one.
        "isFinished" => json!(row.state == TorrentState::Paused && row.reached.is_some()),
        "isPrivate" => json!(row.private.unwrap_or_default()),
        "isStalled" => json!(row.down_rate == 0 && row.up_rate == 0),
        "labels" => {
            let category = row.category.iter();
            json!(category.chain(&row.tags).collect::<Vec<_>>())
        }
        "leftUntilDone" => json!(row.left),
        "magnetLink" => json!(row.magnet),
        "manualAnnounceTime" => json!(UNKNOWN),
        "maxConnectedPeers" | "peer-limit" => json!(0),
        "metadataPercentComplete" => json!(if row.pieces > 0 { 1 } else { 0 }),
        "name" => json!(row.name),
        "peers" => torrent.peers.value.iter().map(peer).collect(),
        "peersConnected" => json!(row.peers),
        "peersGettingFromUs" => json!(giving()),
        "peersSendingToUs" => json!(getting()),
        "percentDone" => json!(part(done, row.wanted)),
        "pieces" => json!(base64::engine::general_purpose::STANDARD.encode(&*torrent.pieces.value)),
        "pieceCount" => json!(row.pieces),
        "pieceSize" => json!(row.piece_length),
        "priorities" => files(torrent, |file| json!(priority(file))),
        "primary-mime-type" => json!("application/octet-stream"),
        "queuePosition" => json!(row.place.saturating_sub(1)),
        "rateDownload" => json!(row.down_rate),
        "rateUpload" => json!(row.up_rate),
        "recheckProgress" => json!(permille(row.checked_permille.unwrap_or_default().into())),
        "secondsDownloading" => json!(
            row.active_secs
                .secs()
                .saturating_sub(row.seeding_secs.secs())
        ),
        "secondsSeeding" => json!(row.seeding_secs.secs()),
        "seedIdleLimit" => json!(0),
        // 2: without any limit, 1: its own.
        "seedIdleMode" => json!(2),
        "seedRatioLimit" => json!(permille(row.goals.ratio_permille.unwrap_or_default())),
        "seedRatioMode" => json!(if row.goals.ratio_permille.is_some() {
            1
        } else {
            2
        }),
        "sizeWhenDone" => json!(row.wanted),
        "startDate" => json!(secs(row.added)),
        "status" => json!(status(row)),
        "torrentFile" => json!(""),
        "totalSize" => json!(row.size),
        "trackers" => torrent
            .trackers
            .value
            .iter()
            .enumerate()
            .map(|(number, tracker)| {
                json!({
                    "announce": tracker.url,
                    "id": number,
                    "scrape": "",
                    "tier": tracker.tier,
                })
            })
            .collect(),
        "trackerStats" => {
            let trackers = torrent.trackers.value.iter().enumerate();
            trackers
                .map(|(number, tracker)| tracker_stats(number, tracker))
                .collect()
        }
        "uploadedEver" => json!(row.uploaded),
        "uploadLimit" => json!(kilo(row.limits.up)),
        "uploadLimited" => json!(row.limits.up.is_some()),
        "uploadRatio" => json!(permille(row.ratio_permille)),
        "wanted" => files(torrent, |file| json!(u8::from(file.wanted))),
        "webseeds" => json!([]),
        "webseedsSendingToUs" => json!(0),
        _ => return None,
    })
}

/// The fields that are asked for.
pub(super) fn object(id: i64, torrent: &Torrent, names: &[&str]) -> Map<String, Value> {
    let fields = names.iter().filter_map(|name| {
        let value = field(id, torrent, name)?;
        Some(((*name).to_owned(), value))
    });
    fields.collect()
}
