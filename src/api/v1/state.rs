//! `GET /api/v1/state`: everything, or what is different since a revision.

use std::sync::Arc;

use base64::Engine as _;
use serde::Serialize;

use crate::{
    api::{
        answer::{self, Answered, Refusal},
        request::{Call, info_hash},
        site::Site,
    },
    client::snapshot::{
        Changes, Disks, FileRow, Labels, Money, PeerRow, Problems, Revision, Snapshot, Torrent,
        TorrentRow, TrackerRow, Transfer,
    },
    types::{InfoHash, UnixMs},
};

/// What is different. What did not change is left out.
#[derive(Debug, Serialize)]
pub(super) struct State<'a> {
    revision: Revision,
    full: bool,
    at: UnixMs,
    torrents: Vec<&'a TorrentRow>,
    removed: &'a [InfoHash],
    #[serde(skip_serializing_if = "Option::is_none")]
    transfer: Option<&'a Transfer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<&'a Labels>,
    #[serde(skip_serializing_if = "Option::is_none")]
    money: Option<&'a Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disks: Option<&'a Disks>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problems: Option<&'a Problems>,
    /// Of the torrent that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    torrent: Option<Details<'a>>,
}

/// A torrent's parts that a list does not show.
#[derive(Debug, Serialize)]
pub(super) struct Details<'a> {
    #[serde(rename = "info_hash")]
    hash: InfoHash,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<&'a [FileRow]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peers: Option<&'a [PeerRow]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trackers: Option<&'a [TrackerRow]>,
    /// A bit a piece, the first in the highest bit of the first byte, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pieces: Option<String>,
}

impl<'a> Details<'a> {
    pub(super) fn of(
        hash: InfoHash,
        torrent: &'a Torrent,
        newer: impl Fn(Revision) -> bool,
    ) -> Self {
        let pieces = || base64::engine::general_purpose::STANDARD.encode(&*torrent.pieces.value);
        Self {
            hash,
            files: newer(torrent.files.revision).then_some(&*torrent.files.value),
            peers: newer(torrent.peers.revision).then_some(&*torrent.peers.value),
            trackers: newer(torrent.trackers.revision).then_some(&*torrent.trackers.value),
            pieces: newer(torrent.pieces.revision).then(pieces),
        }
    }
}

/// What a reader wants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) since: Revision,
    /// The torrent whose parts are wanted, too.
    pub(super) of: Option<InfoHash>,
}

impl Asked {
    pub(super) fn read(call: &Call<'_>) -> Result<Self, Refusal> {
        Ok(Self {
            since: Revision(call.parsed("since")?.unwrap_or_default()),
            of: call.text("of").map(info_hash).transpose()?,
        })
    }

    /// The JSON of what is different in `snapshot`.
    pub(super) fn json(&self, snapshot: &Snapshot) -> serde_json::Result<Vec<u8>> {
        let changes = snapshot.changes(self.since);
        serde_json::to_vec(&self.state(snapshot, &changes))
    }

    fn state<'a>(&self, snapshot: &'a Snapshot, changes: &'a Changes) -> State<'a> {
        let newer = |revision: Revision| changes.full || revision > self.since;
        let torrents = changes.torrents.iter();
        let of = self.of.and_then(|hash| snapshot.torrents.get(&hash));
        State {
            revision: changes.revision,
            full: changes.full,
            at: snapshot.at,
            torrents: torrents
                .filter(|torrent| newer(torrent.row.revision))
                .map(|torrent| &*torrent.row.value)
                .collect(),
            removed: &changes.removed,
            transfer: changes.transfer.as_ref().map(|part| &part.value),
            labels: changes.labels.as_ref().map(|part| &part.value),
            money: changes.money.as_ref().map(|part| &part.value),
            disks: changes.disks.as_ref().map(|part| &part.value),
            problems: changes.problems.as_ref().map(|part| &part.value),
            torrent: of
                .map(|torrent: &Arc<Torrent>| Details::of(torrent.row.value.hash, torrent, newer)),
        }
    }
}

pub(super) fn answer(site: &Site, call: &Call<'_>) -> Answered {
    let asked = Asked::read(call)?;
    let snapshot = site.client.snapshot();
    let changes = snapshot.changes(asked.since);
    answer::json(&asked.state(&snapshot, &changes))
}
