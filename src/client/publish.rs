//! Makes snapshots: what changed gets a new revision, the rest is shared with the one before.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    entry::Run,
    owner::Owner,
    snapshot::{
        Disk, Disks, Gone, Limits, PortMapping, Prices, Problems, Queue, Revision, Snapshot,
        TorrentRow, Transfer, Versioned,
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
        scheduled_limits: None,
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

/// What the rows that readers see come to.
#[derive(Debug, Default)]
pub(super) struct Sums {
    down_rate: u128,
    up_rate: u128,
    /// Connections.
    pub(super) peers: u128,
    session_downloaded: u128,
    session_uploaded: u128,
    downloaded: u128,
    uploaded: u128,
    /// How many torrents are in each folder.
    folders: BTreeMap<PathBuf, usize>,
}

impl Sums {
    /// A row is another one, new or gone.
    fn change(&mut self, before: Option<&TorrentRow>, now: Option<&TorrentRow>) {
        let mut change = |sum: fn(&mut Self) -> &mut u128, of: fn(&TorrentRow) -> u64| {
            let (less, more) = (before.map_or(0, of), now.map_or(0, of));
            let sum = sum(self);
            // What goes is a part of the sum.
            *sum = (*sum + u128::from(more)).saturating_sub(u128::from(less));
        };
        change(|sums| &mut sums.down_rate, |row| row.down_rate);
        change(|sums| &mut sums.up_rate, |row| row.up_rate);
        change(|sums| &mut sums.peers, |row| u64::from(row.peers));
        change(
            |sums| &mut sums.session_downloaded,
            |row| row.session_downloaded,
        );
        change(
            |sums| &mut sums.session_uploaded,
            |row| row.session_uploaded,
        );
        change(|sums| &mut sums.downloaded, |row| row.downloaded);
        change(|sums| &mut sums.uploaded, |row| row.uploaded);
        let (from, to) = (before.map(|row| &row.folder), now.map(|row| &row.folder));
        if from == to {
            return;
        }
        if let Some(from) = from
            && let Some(count) = self.folders.get_mut(from)
        {
            *count -= 1;
            if *count == 0 {
                self.folders.remove(from);
            }
        }
        if let Some(to) = to {
            *self.folders.entry(to.clone()).or_default() += 1;
        }
    }

    /// All torrents together; `past`: what those came to that are not in the list any more.
    fn write(&self, transfer: &mut Transfer, past: (u64, u64)) {
        let count = |sum: u128| u64::try_from(sum).unwrap_or(u64::MAX);
        transfer.down_rate = count(self.down_rate);
        transfer.up_rate = count(self.up_rate);
        transfer.peers = u32::try_from(self.peers).unwrap_or(u32::MAX);
        transfer.session_downloaded = count(self.session_downloaded);
        transfer.session_uploaded = count(self.session_uploaded);
        transfer.downloaded = count(self.downloaded + u128::from(past.0));
        transfer.uploaded = count(self.uploaded + u128::from(past.1));
    }
}

impl Owner {
    /// Shows readers what changed by commands, and by what was heard of.
    pub(super) fn publish_changed(&mut self) {
        let changed = std::mem::take(&mut self.unseen);
        self.stay_at(&changed);
        self.publish(changed);
    }

    /// Shows readers everything.
    pub(super) fn publish_all(&mut self) {
        self.unseen.clear();
        self.slow_due = true;
        let all: Vec<InfoHash> = self.entries.keys().copied().collect();
        self.publish(all);
    }

    /// Looks at some torrents, and shows readers what changed since the last time.
    pub(super) fn publish(&mut self, hashes: impl IntoIterator<Item = InfoHash>) {
        let before = self.snapshots.borrow().clone();
        let now = self.clock.now();
        let revision = Revision(before.revision.0.saturating_add(1));
        let mut torrents = None;
        let paid = self.paid();
        for hash in hashes {
            let Some(entry) = self.entries.get_mut(&hash) else {
                continue;
            };
            let seen = entry.look(&paid, now);
            self.days.add(now, seen.moved);
            if let (Some(pay), Some(stats)) = (&self.pay, &seen.stats) {
                pay.extension.wants(hash, stats.bytes_left);
            }
            if let (Run::Yes(live), Some(stats)) = (&mut entry.run, &seen.stats) {
                let mut web_seeds = stats.web_seeds.iter();
                let asked = stats.phase == Phase::Downloading
                    && web_seeds.any(|seed| seed.given_up.is_none());
                live.busy = asked || !stats.peers.is_empty();
            }
            let was = before.torrents.get(&hash);
            let shown = entry.show(was, &seen, &paid, revision);
            if let Some(shown) = shown {
                let was = was.map(|was| &*was.row.value);
                self.sums.change(was, Some(&shown.row.value));
                let all = torrents.get_or_insert_with(|| before.torrents.clone());
                all.insert(hash, shown);
            }
            // What follows from it is seen at the next look.
            self.heed(hash, &seen);
            self.plan_look(hash);
        }
        let mut gone = None;
        for hash in std::mem::take(&mut self.gone) {
            let all = torrents.get_or_insert_with(|| before.torrents.clone());
            if !self.entries.contains_key(&hash)
                && let Some(was) = all.remove(&hash)
            {
                self.sums.change(Some(&was.row.value), None);
            }
            let list = gone.get_or_insert_with(|| Gone::clone(&before.gone));
            list.add(revision, hash);
        }
        let torrents_changed = torrents.is_some();
        let torrents = torrents.unwrap_or_else(|| before.torrents.clone());
        let mut transfer = empty(&self.session, self.limits);
        transfer.scheduled_limits = self.scheduled;
        transfer.prices = self.prices;
        transfer.queue = self.queue;
        self.sums.write(&mut transfer, self.past);
        let labels = self.book.labels();
        let problems = Problems {
            problems: self.board.all(),
        };
        let slow = std::mem::take(&mut self.slow_due);
        let room = slow.then(|| {
            let folders = self.sums.folders.keys().map(PathBuf::as_path);
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
            days: match slow {
                true if *before.days != *self.days.all() => self.days.all().into(),
                _ => before.days.clone(),
            },
            gone: gone.map_or_else(|| before.gone.clone(), Arc::new),
        };
        if torrents_changed || next.is_newer_than(&before) {
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
    /// Whether something of it but the torrents is of its own revision.
    fn is_newer_than(&self, before: &Self) -> bool {
        let revision = self.revision;
        !Arc::ptr_eq(&self.gone, &before.gone)
            || !Arc::ptr_eq(&self.days, &before.days)
            || self.transfer.revision == revision
            || self.labels.revision == revision
            || self.disks.revision == revision
            || self.problems.revision == revision
            || self
                .money
                .as_ref()
                .is_some_and(|money| money.revision == revision)
    }
}
