//! Reading torrents and money.

use std::sync::Arc;

use axum::http::StatusCode;
use serde::Serialize;

use super::{of, state::Details};
use crate::{
    api::{
        answer::{self, Answered, Refusal, with_type},
        site::Site,
    },
    client::{
        ClientError,
        command::{Answer, Command},
        snapshot::TorrentRow,
    },
    types::InfoHash,
};

#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    row: &'a TorrentRow,
    #[serde(flatten)]
    details: Details<'a>,
}

pub(super) fn list(site: &Site) -> Answered {
    let snapshot = site.client.snapshot();
    let rows: Vec<&Arc<TorrentRow>> = snapshot
        .torrents
        .values()
        .map(|torrent| &torrent.row.value)
        .collect();
    answer::json(&rows)
}

/// A torrent with all its parts.
pub(super) fn show(site: &Site, hash: InfoHash) -> Answered {
    let torrent = of(&site.client.snapshot(), hash)?;
    let mut whole = match serde_json::to_value(Whole {
        row: &torrent.row.value,
        details: Details::of(hash, &torrent, |_| true),
    }) {
        Ok(whole) => whole,
        Err(error) => return Err(Refusal::failed(error.to_string())),
    };
    // Both have a number of peers and the peers themselves: the list's number has its own
    // name here.
    if let Some(object) = whole.as_object_mut() {
        object.insert("peer_count".to_owned(), torrent.row.value.peers.into());
        object.insert("piece_count".to_owned(), torrent.row.value.pieces.into());
    }
    answer::json(&whole)
}

/// A bit a piece.
pub(super) fn pieces(site: &Site, hash: InfoHash) -> Answered {
    let torrent = of(&site.client.snapshot(), hash)?;
    Ok(with_type(
        StatusCode::OK,
        "application/octet-stream",
        torrent.pieces.value.to_vec(),
    ))
}

/// The torrent file.
pub(super) async fn file(site: &Site, hash: InfoHash) -> Answered {
    match site.client.command(Command::Export(hash)).await? {
        Answer::TorrentFile(bytes) => {
            Ok(with_type(StatusCode::OK, "application/x-bittorrent", bytes))
        }
        Answer::Done | Answer::Added { .. } | Answer::Moved { .. } => {
            Err(Refusal::failed("no torrent file came"))
        }
    }
}

/// What a settlement would pay now, and why the rest waits.
pub(super) async fn plan(site: &Site) -> Answered {
    match site.client.settlement_plan().await {
        Err(ClientError::NoPayments) => {
            Err(Refusal::not_found("this client neither buys nor sells"))
        }
        plan => answer::json(plan?.as_ref()),
    }
}

pub(super) fn money(site: &Site) -> Answered {
    match &site.client.snapshot().money {
        Some(money) => answer::json(&money.value),
        None => Err(Refusal::not_found("this client neither buys nor sells")),
    }
}
