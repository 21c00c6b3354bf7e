//! `app/…` and `log/main`.

use serde_json::{Value, json};

use crate::{
    api::{
        answer::{self, Answered, Refusal},
        log::{weight, words},
        request::Call,
        site::Site,
    },
    client::{
        command::Command,
        snapshot::{Limits, Queue},
    },
};

/// The version of qBittorrent that this API is of: clients choose their calls by it.
pub(super) const VERSION: &str = "v5.0.0";
/// The API's own version, as qBittorrent 5.0.0 has it.
pub(super) const API_VERSION: &str = "2.11.2";

pub(super) fn build_info() -> Value {
    json!({
        "bitness": usize::BITS,
        "boost": "",
        "libtorrent": "",
        "openssl": "",
        "platform": std::env::consts::OS,
        "qt": "",
        "zlib": "",
    })
}

pub(super) fn save_path(site: &Site) -> String {
    let snapshot = site.client.snapshot();
    snapshot.disks.value.folder.display().to_string()
}

/// What may run at once when the queue is turned on without a number, as in qBittorrent.
const USUAL: u32 = 3;

/// How many may run at once; -1: all.
fn at_once(limit: Option<u32>) -> i64 {
    limit.map_or(-1, i64::from)
}

/// The queue as these preferences make it.
fn queue(given: &serde_json::Map<String, Value>, old: Queue) -> Result<Queue, Refusal> {
    let number = |key: &str, old: Option<u32>| match given.get(key) {
        None => Ok::<_, Refusal>(old),
        Some(value) => {
            let number = value
                .as_i64()
                .ok_or_else(|| Refusal::bad(format!("`{key}` is no number")))?;
            Ok(u32::try_from(number).ok())
        }
    };
    let on = match given.get("queueing_enabled") {
        None => None,
        Some(value) => Some(
            value
                .as_bool()
                .ok_or_else(|| Refusal::bad("`queueing_enabled` is true or false"))?,
        ),
    };
    let new = Queue {
        downloads: number("max_active_downloads", old.downloads)?,
        seeds: number("max_active_uploads", old.seeds)?,
    };
    Ok(match on {
        Some(false) => Queue::default(),
        Some(true) if new == Queue::default() => Queue {
            downloads: Some(USUAL),
            seeds: Some(USUAL),
        },
        // Numbers alone do not turn it on.
        None if old == Queue::default() => old,
        Some(true) | None => new,
    })
}

/// The preferences that clients read. There is no folder for what is not complete,
/// and no goal for all torrents.
pub(super) fn preferences(site: &Site) -> Value {
    let snapshot = site.client.snapshot();
    let transfer = &snapshot.transfer.value;
    let scheduled = transfer.scheduled_limits.unwrap_or_default();
    json!({
        "save_path": snapshot.disks.value.folder,
        "temp_path_enabled": false,
        "temp_path": "",
        "export_dir": "",
        "export_dir_fin": "",
        "auto_tmm_enabled": false,
        "torrent_content_layout": "Original",
        "add_stopped_enabled": false,
        "incomplete_files_ext": false,
        "preallocate_all": false,
        "listen_port": transfer.listen.port(),
        "random_port": false,
        "dl_limit": transfer.limits.down.unwrap_or_default(),
        "up_limit": transfer.limits.up.unwrap_or_default(),
        "alt_dl_limit": scheduled.down.unwrap_or_default(),
        "alt_up_limit": scheduled.up.unwrap_or_default(),
        "scheduler_enabled": false,
        "dht": transfer.dht_nodes.is_some(),
        "queueing_enabled": transfer.queue != Queue::default(),
        "max_active_downloads": at_once(transfer.queue.downloads),
        "max_active_torrents": -1,
        "max_active_uploads": at_once(transfer.queue.seeds),
        "dont_count_slow_torrents": false,
        "max_ratio_enabled": false,
        "max_ratio": -1,
        "max_seeding_time_enabled": false,
        "max_seeding_time": -1,
        "max_inactive_seeding_time_enabled": false,
        "max_inactive_seeding_time": -1,
        // 0: a torrent that was shared enough stops.
        "max_ratio_act": 0,
        "web_ui_username": crate::api::gate::USER,
    })
}

/// Changes the limits of all torrents together and the queue; nothing else is changed here, and whoever
/// tries is told so.
pub(super) async fn set_preferences(site: &Site, call: &Call<'_>) -> Answered {
    let given: serde_json::Map<String, Value> = serde_json::from_str(call.need("json")?)
        .map_err(|error| Refusal::bad(format!("`json` is none: {error}")))?;
    let mut limits = site.client.snapshot().transfer.value.limits;
    let now = preferences(site);
    for (key, value) in &given {
        let limit = || {
            let limit = value
                .as_i64()
                .ok_or_else(|| Refusal::bad(format!("`{key}` is no number")))?;
            Ok::<_, Refusal>(u64::try_from(limit).ok().filter(|limit| *limit > 0))
        };
        match key.as_str() {
            "dl_limit" => limits.down = limit()?,
            "up_limit" => limits.up = limit()?,
            "queueing_enabled" | "max_active_downloads" | "max_active_uploads" => {}
            // Said again as it is: nothing changes.
            key if now.get(key) == Some(value) => {}
            key => {
                let key: String = key.chars().take(80).collect();
                return Err(Refusal::conflict(format!(
                    "the preference `{key}` cannot be changed here"
                )));
            }
        }
    }
    let old = site.client.snapshot().transfer.value.queue;
    let queue = queue(&given, old)?;
    if queue != old {
        site.client.command(Command::SetQueue(queue)).await?;
    }
    let Limits { up, down } = limits;
    let limits = Limits { up, down };
    site.client
        .command(Command::SetLimits { hash: None, limits })
        .await?;
    Ok(super::ok())
}

/// The last events.
pub(super) fn log(site: &Site, call: &Call<'_>) -> Answered {
    let last = call.parsed::<i64>("last_known_id")?;
    let last = last.and_then(|last| u64::try_from(last).ok());
    let wanted = |kind: u8| {
        let name = match kind {
            1 => "normal",
            2 => "info",
            4 => "warning",
            _ => "critical",
        };
        Ok::<_, Refusal>(call.flag(name)?.unwrap_or(true))
    };
    let mut rows = Vec::new();
    for row in site.log.after(last) {
        let kind = weight(&row.event.what);
        if wanted(kind)? {
            rows.push(json!({
                "id": row.id,
                "message": words(&row.event.what),
                "timestamp": row.event.at.0.div_euclid(1000),
                "type": kind,
            }));
        }
    }
    answer::json(&rows)
}
