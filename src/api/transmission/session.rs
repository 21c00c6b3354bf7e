//! `session-…`, `free-space` and `port-test`.

use std::sync::atomic::Ordering;

use serde_json::{Map, Value, json};

use super::{Done, Failure, fields::kilo, object};
use crate::{
    api::site::Site,
    client::{
        command::Command,
        snapshot::{Limits, ProblemCode, Queue, TorrentState},
    },
};

/// Whether added torrents begin at once.
const STARTS: &str = "start-added-torrents";
/// The sizes of the queue, and whether they count.
const QUEUE: [&str; 4] = [
    "download-queue-size",
    "download-queue-enabled",
    "seed-queue-size",
    "seed-queue-enabled",
];
/// Sizes that are shown, and count when the queue is turned on without one: Transmission's.
const USUAL_DOWNLOADS: u32 = 5;
const USUAL_SEEDS: u32 = 10;
/// The version that clients see: they choose their calls by `rpc-version`.
const VERSION: &str = "3.00 (seedrail)";

fn all(site: &Site) -> Map<String, Value> {
    let snapshot = site.client.snapshot();
    let transfer = &snapshot.transfer.value;
    let disks = &snapshot.disks.value;
    let free = disks.disks.iter().find(|disk| disk.folder == disks.folder);
    let free = free.and_then(|disk| disk.free);
    let scheduled = transfer.scheduled_limits.unwrap_or_default();
    let mut all = object(json!({
        "alt-speed-down": kilo(scheduled.down),
        "alt-speed-enabled": transfer.scheduled_limits.is_some(),
        "alt-speed-time-begin": 0,
        "alt-speed-time-day": 127,
        "alt-speed-time-enabled": false,
        "alt-speed-time-end": 0,
        "alt-speed-up": kilo(scheduled.up),
        "blocklist-enabled": false,
        "blocklist-size": 0,
        "blocklist-url": "",
        "cache-size-mb": 0,
        "config-dir": "",
        "dht-enabled": transfer.dht_nodes.is_some(),
        "download-dir": disks.folder,
        "download-dir-free-space": free.unwrap_or_default(),
        "download-queue-enabled": transfer.queue.downloads.is_some(),
        "download-queue-size": transfer.queue.downloads.unwrap_or(USUAL_DOWNLOADS),
        "encryption": "preferred",
    }));
    all.extend(object(json!({
        "idle-seeding-limit": 0,
        "idle-seeding-limit-enabled": false,
        "incomplete-dir": "",
        "incomplete-dir-enabled": false,
        "lpd-enabled": true,
        "peer-limit-global": 0,
        "peer-limit-per-torrent": 0,
        "peer-port": transfer.listen.port(),
        "peer-port-random-on-start": false,
        "pex-enabled": true,
        "port-forwarding-enabled": true,
        "queue-stalled-enabled": false,
        "queue-stalled-minutes": 0,
        "rename-partial-files": false,
        "rpc-version": 16,
        "rpc-version-minimum": 1,
        "script-torrent-done-enabled": false,
        "script-torrent-done-filename": "",
        "seed-queue-enabled": transfer.queue.seeds.is_some(),
        "seed-queue-size": transfer.queue.seeds.unwrap_or(USUAL_SEEDS),
        "seedRatioLimit": 0,
        "seedRatioLimited": false,
        "session-id": site.transmission_id.as_str(),
        "speed-limit-down": kilo(transfer.limits.down),
        "speed-limit-down-enabled": transfer.limits.down.is_some(),
        "speed-limit-up": kilo(transfer.limits.up),
        "speed-limit-up-enabled": transfer.limits.up.is_some(),
        "start-added-torrents": site.starts_added.load(Ordering::Relaxed),
        "trash-original-torrent-files": false,
        "units": {
            "memory-bytes": 1024,
            "memory-units": ["KiB", "MiB", "GiB", "TiB"],
            "size-bytes": 1000,
            "size-units": ["kB", "MB", "GB", "TB"],
            "speed-bytes": 1000,
            "speed-units": ["kB/s", "MB/s", "GB/s", "TB/s"],
        },
        "utp-enabled": true,
        "version": VERSION,
    })));
    all
}

pub(super) fn get(site: &Site, arguments: &Map<String, Value>) -> Map<String, Value> {
    let mut all = all(site);
    if let Some(Value::Array(wanted)) = arguments.get("fields") {
        all.retain(|key, _| wanted.iter().any(|wanted| wanted.as_str() == Some(key)));
    }
    all
}

/// A pair of a limit and whether it counts, put over the one there is.
pub(super) fn limit(
    arguments: &Map<String, Value>,
    value: &'static str,
    enabled: &'static str,
    old: Option<u64>,
) -> Result<Option<u64>, Failure> {
    let given = match arguments.get(value) {
        None => None,
        Some(given) => Some(given.as_u64().ok_or(Failure::Argument(value))?),
    };
    let is_on = match arguments.get(enabled) {
        None => None,
        Some(given) => Some(
            given
                .as_bool()
                .or_else(|| Some(given.as_u64()? != 0))
                .ok_or(Failure::Argument(enabled))?,
        ),
    };
    let bytes = given
        .map(|kilo| kilo.saturating_mul(1000))
        .filter(|bytes| *bytes > 0);
    match is_on {
        Some(false) => Ok(None),
        // Turned on without a number: there is none that it could mean.
        Some(true) if given.is_none() && old.is_none() => Err(Failure::Argument(value)),
        Some(true) => Ok(bytes.or(old)),
        None if old.is_some() => Ok(bytes.or(old)),
        None => Ok(None),
    }
}

/// A number of torrents at once and whether it counts, put over the one there is.
fn at_once(
    arguments: &Map<String, Value>,
    size: &'static str,
    enabled: &'static str,
    old: Option<u32>,
    usual: u32,
) -> Result<Option<u32>, Failure> {
    let given = match arguments.get(size) {
        None => None,
        Some(given) => {
            let given = given.as_u64().and_then(|given| u32::try_from(given).ok());
            Some(given.ok_or(Failure::Argument(size))?)
        }
    };
    let is_on = match arguments.get(enabled) {
        None => old.is_some(),
        Some(given) => given.as_bool().ok_or(Failure::Argument(enabled))?,
    };
    Ok(is_on.then(|| given.or(old).unwrap_or(usual)))
}

/// Changes the limits, the queue, and whether added torrents begin at once. What is said again as it is changes nothing; anything else is
/// refused.
pub(super) async fn set(site: &Site, arguments: &Map<String, Value>) -> Done {
    let now = all(site);
    for (key, value) in arguments {
        let is_known =
            key.starts_with("speed-limit-") || key == STARTS || QUEUE.contains(&key.as_str());
        if !is_known && now.get(key) != Some(value) {
            return Err(Failure::Fixed(key.chars().take(80).collect()));
        }
    }
    if let Some(starts) = arguments.get(STARTS) {
        let starts = starts.as_bool().ok_or(Failure::Argument(STARTS))?;
        site.starts_added.store(starts, Ordering::Relaxed);
    }
    let old = site.client.snapshot().transfer.value.limits;
    let limits = Limits {
        up: limit(
            arguments,
            "speed-limit-up",
            "speed-limit-up-enabled",
            old.up,
        )?,
        down: limit(
            arguments,
            "speed-limit-down",
            "speed-limit-down-enabled",
            old.down,
        )?,
    };
    let old = site.client.snapshot().transfer.value.queue;
    let [down, down_on, seed, seed_on] = QUEUE;
    let queue = Queue {
        downloads: at_once(arguments, down, down_on, old.downloads, USUAL_DOWNLOADS)?,
        seeds: at_once(arguments, seed, seed_on, old.seeds, USUAL_SEEDS)?,
    };
    let command = Command::SetLimits { hash: None, limits };
    site.client.command(command).await?;
    if queue != old {
        site.client.command(Command::SetQueue(queue)).await?;
    }
    Ok(Map::new())
}

pub(super) fn stats(site: &Site) -> Map<String, Value> {
    let snapshot = site.client.snapshot();
    let transfer = &snapshot.transfer.value;
    let paused = snapshot
        .torrents
        .values()
        .filter(|torrent| torrent.row.value.state == TorrentState::Paused)
        .count();
    let all = snapshot.torrents.len();
    let seconds = site.started.elapsed().as_secs();
    object(json!({
        "activeTorrentCount": all - paused,
        "cumulative-stats": {
            "downloadedBytes": transfer.downloaded,
            "filesAdded": 0,
            "secondsActive": seconds,
            "sessionCount": 1,
            "uploadedBytes": transfer.uploaded,
        },
        "current-stats": {
            "downloadedBytes": transfer.session_downloaded,
            "filesAdded": 0,
            "secondsActive": seconds,
            "sessionCount": 1,
            "uploadedBytes": transfer.session_uploaded,
        },
        "downloadSpeed": transfer.down_rate,
        "pausedTorrentCount": paused,
        "torrentCount": all,
        "uploadSpeed": transfer.up_rate,
    }))
}

/// The room in a folder that torrents are in; of no other anything is said.
pub(super) fn free_space(site: &Site, arguments: &Map<String, Value>) -> Done {
    let path = arguments.get("path").and_then(Value::as_str);
    let path = path.ok_or(Failure::Argument("path"))?;
    let snapshot = site.client.snapshot();
    let disks = &snapshot.disks.value.disks;
    let disk = disks.iter().find(|disk| disk.folder.as_os_str() == path);
    let free = disk.and_then(|disk| disk.free);
    let free = free.map_or(-1, |free| i64::try_from(free).unwrap_or(i64::MAX));
    Ok(object(json!({ "path": path, "size-bytes": free })))
}

pub(super) fn port_test(site: &Site) -> Map<String, Value> {
    let snapshot = site.client.snapshot();
    let problems = &snapshot.problems.value.problems;
    let closed = problems
        .iter()
        .any(|problem| problem.code == ProblemCode::NoIncoming);
    object(json!({ "port-is-open": !closed }))
}
