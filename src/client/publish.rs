//! Makes snapshots: what changed gets a new revision, the rest is shared with the one before.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use super::{
    entry::{Entry, Run},
    owner::{IDLE_LOOKS, Look, Owner},
    snapshot::{
        Disk, Disks, Gone, Limits, PortMapping, Prices, Problems, Queue, Revision, Snapshot,
        Transfer, Versioned,
    },
};
use crate::{
    swarm::{Phase, Session, ports},
    types::{InfoHash, UnixMs},
};

fn versioned<T>(revision: Revision, value: T) -> Arc<Versioned<T>> {
    Arc::new(Versioned { revision, value })
}

/// The snapshot of a client that has no torrent yet.
pub(super) fn first(session: &Session, folder: &Path, limits: Limits, now: UnixMs) -> Snapshot {
    // Larger than any of an earlier process, which counted one a look at most.
    let revision = Revision(u64::try_from(now.0).unwrap_or(0));
    Snapshot {
        revision,
        at: now,
        torrents: BTreeMap::new(),
        transfer: versioned(revision, empty(session, limits)),
        labels: versioned(revision, super::snapshot::Labels::default()),
        money: None,
        disks: versioned(revision, disks(folder, std::iter::once(folder))),
        problems: versioned(revision, Problems::default()),
        days: Arc::default(),
        gone: Arc::new(Gone::new(revision)),
    }
}

fn empty(session: &Session, limits: Limits) -> Transfer {
    let dht = session.dht();
    Transfer {
        listen: session.listen_addr(),
        down_rate: 0,
        up_rate: 0,
        limits,
        downloaded: 0,
        uploaded: 0,
        session_downloaded: 0,
        session_uploaded: 0,
        peers: 0,
        dht_nodes: dht.map(|(_, nodes)| u32::try_from(nodes).unwrap_or(u32::MAX)),
        port_mapping: match session.port_mapping() {
            ports::PortMapping::Off => PortMapping::Off,
            ports::PortMapping::Trying => PortMapping::Trying,
            ports::PortMapping::Mapped { by, port, address } => PortMapping::Mapped {
                by: by.to_string(),
                port,
                address: address.map(|address| address.to_string()),
            },
            ports::PortMapping::Failed(reason) => PortMapping::Failed { reason },
        },
        prices: Prices::default(),
        queue: Queue::default(),
    }
}

/// Folders of which the room is told.
const MAX_DISKS: usize = 32;

/// The folders that torrents are in, and the room there.
fn disks<'a>(folder: &Path, all: impl Iterator<Item = &'a Path>) -> Disks {
    let folders: std::collections::BTreeSet<&Path> = all.collect();
    let folders = folders.into_iter().take(MAX_DISKS);
    let disks = folders.map(|folder| Disk {
        folder: folder.to_owned(),
        free: free(folder),
    });
    Disks {
        folder: folder.to_owned(),
        disks: disks.collect(),
    }
}

/// Bytes that we may still write at a place, or at the first folder above that is there.
fn free(folder: &Path) -> Option<u64> {
    let there = folder.ancestors().find(|place| place.exists())?;
    let stat = rustix::fs::statvfs(there).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

impl Entry {
    /// Whether something may have happened to it.
    fn is_busy(&self) -> bool {
        match &self.run {
            Run::No => false,
            Run::Leaving(_) => true,
            Run::Yes(live) => {
                live.busy
                    || matches!(
                        live.handle.phase(),
                        Phase::Metadata | Phase::Checking { .. }
                    )
            }
        }
    }
}

impl Owner {
    /// Shows readers what changed since the last time.
    pub(super) fn publish(&mut self, which: Look) {
        let before = self.snapshots.borrow().clone();
        let now = self.clock.now();
        let revision = Revision(before.revision.0.saturating_add(1));
        let mut torrents = None;
        let paid = self.paid();
        let hashes: Vec<InfoHash> = self.entries.keys().copied().collect();
        for hash in hashes {
            let Some(entry) = self.entries.get_mut(&hash) else {
                continue;
            };
            let is_due = match which {
                Look::Touched => entry.touched,
                Look::Busy => entry.touched || entry.is_busy(),
                Look::All => entry.touched || !matches!(entry.run, Run::No),
            };
            if !is_due {
                continue;
            }
            entry.touched = false;
            let seen = entry.look(&paid, now);
            self.days.add(now, seen.moved);
            if let (Some(pay), Some(stats)) = (&self.pay, &seen.stats) {
                pay.extension.wants(hash, stats.bytes_left);
            }
            if let (Run::Yes(live), Some(stats)) = (&mut entry.run, &seen.stats) {
                live.busy = !stats.peers.is_empty();
            }
            let shown = entry.show(before.torrents.get(&hash), &seen, &paid, revision);
            if let Some(shown) = shown {
                let all = torrents.get_or_insert_with(|| before.torrents.clone());
                all.insert(hash, shown);
            }
            // What follows from it is seen at the next look.
            self.heed(hash, &seen);
        }
        let mut gone = None;
        for hash in std::mem::take(&mut self.gone) {
            let all = torrents.get_or_insert_with(|| before.torrents.clone());
            if !self.entries.contains_key(&hash) {
                all.remove(&hash);
            }
            let list = gone.get_or_insert_with(|| Gone::clone(&before.gone));
            list.add(revision, hash);
        }
        let torrents = torrents.unwrap_or_else(|| before.torrents.clone());
        let mut transfer = empty(&self.session, self.limits);
        transfer.prices = self.prices;
        transfer.queue = self.queue;
        for torrent in torrents.values() {
            let row = &torrent.row.value;
            transfer.down_rate = transfer.down_rate.saturating_add(row.down_rate);
            transfer.up_rate = transfer.up_rate.saturating_add(row.up_rate);
            transfer.peers = transfer.peers.saturating_add(row.peers);
            transfer.session_downloaded = transfer
                .session_downloaded
                .saturating_add(row.session_downloaded);
            transfer.session_uploaded = transfer
                .session_uploaded
                .saturating_add(row.session_uploaded);
            transfer.downloaded = transfer.downloaded.saturating_add(row.downloaded);
            transfer.uploaded = transfer.uploaded.saturating_add(row.uploaded);
        }
        let (down, up) = self.past;
        transfer.downloaded = transfer.downloaded.saturating_add(down);
        transfer.uploaded = transfer.uploaded.saturating_add(up);
        let labels = self.book.labels();
        let problems = Problems {
            problems: self.board.all(),
        };
        let room = (which == Look::All && self.ticks.is_multiple_of(IDLE_LOOKS)).then(|| {
            let folders = self.entries.values().map(|entry| entry.wish.place.folder());
            disks(&self.folder, folders.chain([self.folder.as_path()]))
        });
        let next = Snapshot {
            revision,
            at: now,
            torrents,
            transfer: keep(&before.transfer, transfer, revision),
            labels: keep(&before.labels, labels, revision),
            money: self.money().map(|money| match &before.money {
                Some(before) => keep(before, money, revision),
                None => versioned(revision, money),
            }),
            disks: match room {
                Some(room) => keep(&before.disks, room, revision),
                None => before.disks.clone(),
            },
            problems: keep(&before.problems, problems, revision),
            days: match which {
                // Others see it with the next of these.
                Look::All => self.days.all().into(),
                Look::Touched | Look::Busy => before.days.clone(),
            },
            gone: gone.map_or_else(|| before.gone.clone(), Arc::new),
        };
        if next.is_newer_than(&before) {
            self.snapshots.send_replace(Arc::new(next));
        }
    }
}

/// What did not change keeps its revision.
fn keep<T: PartialEq>(
    before: &Arc<Versioned<T>>,
    value: T,
    revision: Revision,
) -> Arc<Versioned<T>> {
    match before.value == value {
        true => before.clone(),
        false => versioned(revision, value),
    }
}

impl Snapshot {
    /// Whether something of it is of its own revision.
    fn is_newer_than(&self, before: &Self) -> bool {
        let revision = self.revision;
        !Arc::ptr_eq(&self.gone, &before.gone)
            || *self.days != *before.days
            || self.transfer.revision == revision
            || self.labels.revision == revision
            || self.disks.revision == revision
            || self.problems.revision == revision
            || self
                .money
                .as_ref()
                .is_some_and(|money| money.revision == revision)
            || self
                .torrents
                .values()
                .any(|torrent| torrent.revision == revision)
    }
}
