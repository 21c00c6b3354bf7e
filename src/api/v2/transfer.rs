//! `transfer/…`: rates and limits of all torrents together; and the limits of each.

use axum::response::Response;
use serde_json::{Map, Value, json};

use super::{change::bytes, hashes, ok};
use crate::{
    api::{
        answer::{self, Answered},
        request::Call,
        site::Site,
    },
    client::{
        command::Command,
        snapshot::{Limits, Snapshot},
    },
};

/// Which of two limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Down,
    Up,
}

impl Way {
    fn of(self, limits: Limits) -> u64 {
        let limit = match self {
            Self::Down => limits.down,
            Self::Up => limits.up,
        };
        limit.unwrap_or_default()
    }

    fn set(self, limits: Limits, limit: Option<u64>) -> Limits {
        match self {
            Self::Down => Limits {
                down: limit,
                ..limits
            },
            Self::Up => Limits {
                up: limit,
                ..limits
            },
        }
    }
}

pub(super) fn info(snapshot: &Snapshot) -> Map<String, Value> {
    let transfer = &snapshot.transfer.value;
    let problems = &snapshot.problems.value.problems;
    let closed = problems
        .iter()
        .any(|problem| problem.code == crate::client::snapshot::ProblemCode::NoIncoming);
    let value = json!({
        "connection_status": if closed { "firewalled" } else { "connected" },
        "dht_nodes": transfer.dht_nodes.unwrap_or_default(),
        "dl_info_data": transfer.session_downloaded,
        "dl_info_speed": transfer.down_rate,
        "dl_rate_limit": transfer.limits_now().down.unwrap_or_default(),
        "last_external_address_v4": "",
        "last_external_address_v6": "",
        "up_info_data": transfer.session_uploaded,
        "up_info_speed": transfer.up_rate,
        "up_rate_limit": transfer.limits_now().up.unwrap_or_default(),
    });
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// 1 while the limits of the time of day count, in place of the usual ones.
pub(super) fn mode(site: &Site) -> Response {
    let is_scheduled = site
        .client
        .snapshot()
        .transfer
        .value
        .scheduled_limits
        .is_some();
    answer::ok_text(u8::from(is_scheduled).to_string())
}

pub(super) fn global(site: &Site, way: Way) -> Response {
    let limits = site.client.snapshot().transfer.value.limits;
    answer::ok_text(way.of(limits).to_string())
}

pub(super) async fn set_global(site: &Site, call: &Call<'_>, way: Way) -> Answered {
    call.need("limit")?;
    let limits = site.client.snapshot().transfer.value.limits;
    let limits = way.set(limits, bytes(call, "limit")?);
    let command = Command::SetLimits { hash: None, limits };
    site.client.command(command).await?;
    Ok(ok())
}

/// The limit of each torrent that is named.
pub(super) fn limits_of(site: &Site, call: &Call<'_>, way: Way) -> Answered {
    let snapshot = site.client.snapshot();
    let named = hashes(site, call)?;
    let limits: Map<String, Value> = named
        .iter()
        .filter_map(|hash| {
            let limits = snapshot.torrents.get(hash)?.row.value.limits;
            Some((hash.to_string(), way.of(limits).into()))
        })
        .collect();
    answer::json(&limits)
}

pub(super) async fn limit(site: &Site, call: &Call<'_>, way: Way) -> Answered {
    call.need("limit")?;
    let limit = bytes(call, "limit")?;
    let snapshot = site.client.snapshot();
    for hash in hashes(site, call)? {
        let old = snapshot.torrents.get(&hash);
        let old = old.map_or_else(Limits::default, |torrent| torrent.row.value.limits);
        let command = Command::SetLimits {
            hash: Some(hash),
            limits: way.set(old, limit),
        };
        site.client.command(command).await?;
    }
    Ok(ok())
}
