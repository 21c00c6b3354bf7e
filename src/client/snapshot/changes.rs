//! The difference between two snapshots.

use std::{collections::VecDeque, sync::Arc};

use serde::Serialize;

use super::{Disks, Labels, Money, Problems, Revision, Snapshot, Torrent, Transfer, Versioned};
use crate::types::InfoHash;

/// Removed torrents that are remembered. A reader that is older gets everything.
pub const MAX_GONE: usize = 1000;

/// Torrents that were removed, and in which revision.
#[derive(Debug, Clone)]
pub struct Gone {
    rows: VecDeque<(Revision, InfoHash)>,
    /// Differences to older revisions than this one are not known.
    oldest: Revision,
}

impl Gone {
    /// Nothing was removed since `start`.
    pub(in crate::client) fn new(start: Revision) -> Self {
        Self {
            rows: VecDeque::new(),
            oldest: start,
        }
    }

    /// A torrent was removed.
    pub(in crate::client) fn add(&mut self, revision: Revision, hash: InfoHash) {
        if self.rows.len() >= MAX_GONE
            && let Some((oldest, _)) = self.rows.pop_front()
        {
            self.oldest = oldest;
        }
        self.rows.push_back((revision, hash));
    }
}

/// What is different since a revision. What did not change is left out.
#[derive(Debug, Clone, Serialize)]
pub struct Changes {
    /// The revision to ask with next time.
    pub revision: Revision,
    /// Everything is in it: what the reader had before is worth nothing.
    pub full: bool,
    /// Torrents that are new or changed.
    pub torrents: Vec<Arc<Torrent>>,
    /// Torrents that were removed.
    pub removed: Vec<InfoHash>,
    /// Rates, limits and connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer: Option<Arc<Versioned<Transfer>>>,
    /// Categories and tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Arc<Versioned<Labels>>>,
    /// What is owed and paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub money: Option<Arc<Versioned<Money>>>,
    /// The folders, and the room there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disks: Option<Arc<Versioned<Disks>>>,
    /// What needs a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problems: Option<Arc<Versioned<Problems>>>,
}

impl Changes {
    pub(super) fn between(now: &Snapshot, since: Revision) -> Self {
        // One of another process, or of the future, is none of ours.
        let full = since < now.gone.oldest || since > now.revision;
        let newer = |revision: Revision| full || revision > since;
        let torrents = now.torrents.values();
        let removed = now.gone.rows.iter().rev();
        Self {
            revision: now.revision,
            full,
            torrents: torrents
                .filter(|one| newer(one.revision))
                .cloned()
                .collect(),
            removed: match full {
                true => Vec::new(),
                false => {
                    let newest = removed.take_while(|(revision, _)| *revision > since);
                    let gone = newest.map(|(_, hash)| *hash);
                    // One that was added again is not gone.
                    gone.filter(|hash| !now.torrents.contains_key(hash))
                        .collect()
                }
            },
            transfer: Some(&now.transfer)
                .filter(|one| newer(one.revision))
                .cloned(),
            labels: Some(&now.labels).filter(|one| newer(one.revision)).cloned(),
            money: now
                .money
                .as_ref()
                .filter(|one| newer(one.revision))
                .cloned(),
            disks: Some(&now.disks).filter(|one| newer(one.revision)).cloned(),
            problems: Some(&now.problems)
                .filter(|one| newer(one.revision))
                .cloned(),
        }
    }

    /// Whether nothing is different.
    pub fn is_empty(&self) -> bool {
        !self.full
            && self.torrents.is_empty()
            && self.removed.is_empty()
            && self.transfer.is_none()
            && self.labels.is_none()
            && self.money.is_none()
            && self.disks.is_none()
            && self.problems.is_none()
    }
}
