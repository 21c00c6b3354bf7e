//! Looks at a torrent: what happened to it since the last time, and what readers see of it.

use std::{collections::HashMap, sync::Arc, time::Instant};

use tokio::sync::broadcast::error::TryRecvError;

use super::{
    entry::{Entry, Known, Life, Live, Run, Standing, selection},
    snapshot::{
        Age, Day, EncryptionOf, FileRow, Obstacle, PaidPeer, PeerRow, Revision, Torrent,
        TorrentRow, TorrentState, TransportOf, Versioned,
    },
    trackers,
};
use crate::{
    receipts::{
        Held,
        pay::{PeerView, Tally},
    },
    swarm::{
        self, Pause, Phase, Stats, Transport,
        bitfield::Bitfield,
        metainfo::{DICTIONARY_UNUSED, Info, Metainfo},
    },
    types::UnixMs,
};

/// What payments know, by connection and by torrent.
#[derive(Debug, Default)]
pub(super) struct Paid {
    pub(super) connections: HashMap<u64, PeerView>,
    pub(super) torrents: HashMap<crate::types::InfoHash, Tally>,
}

/// What was seen of a torrent.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) stats: Option<Stats>,
    /// Events of the swarm, in their order.
    pub(super) events: Vec<swarm::Event>,
    /// Its metadata came.
    pub(super) metadata: bool,
    /// It was not complete ever before.
    pub(super) completed: bool,
    /// What moved since the last look.
    pub(super) moved: Day,
}

impl Live {
    /// Counts the time since the last look as one in which it ran, unless it was paused, or
    /// could not go on.
    pub(super) fn count_age(&mut self, life: &mut Life, has_trouble: bool) {
        let now = Instant::now();
        let elapsed = now.saturating_duration_since(self.looked);
        self.looked = now;
        if !self.paused && !has_trouble {
            let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
            life.active_ms = life.active_ms.saturating_add(ms);
        }
    }
}

impl Entry {
    /// Counts what happened since the last look.
    pub(super) fn look(&mut self, paid: &Paid, now: UnixMs) -> Seen {
        let hash = self.wish.known.hash();
        let mut seen = Seen::default();
        if let Some(tally) = paid.torrents.get(&hash) {
            let earned = tally.earned_raw.saturating_sub(self.paid.earned_raw);
            let spent = tally.spent_raw.saturating_sub(self.paid.spent_raw);
            self.unsaved |= earned > 0 || spent > 0;
            self.life.earned_raw = self.life.earned_raw.saturating_add(earned);
            self.life.spent_raw = self.life.spent_raw.saturating_add(spent);
            self.paid = *tally;
            (seen.moved.earned_raw, seen.moved.spent_raw) = (earned, spent);
        }
        match &mut self.run {
            Run::No => return seen,
            // Until its end bytes are sent.
            Run::Yes(live) | Run::Leaving(live) => {
                loop {
                    match live.events.try_recv() {
                        Ok(event) => seen.events.push(event),
                        Err(TryRecvError::Lagged(_)) => {}
                        Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                    }
                }
                let stats = live.handle.stats();
                let has_trouble = stats.phase.trouble().is_some();
                live.count_age(&mut self.life, has_trouble);
                live.runs = !live.paused && !has_trouble;
                let down = stats.downloaded.saturating_sub(live.counted.downloaded);
                let up = stats.uploaded.saturating_sub(live.counted.uploaded);
                let seeding = u64::try_from(stats.seeding_for.as_millis()).unwrap_or(u64::MAX);
                let seeded = seeding.saturating_sub(live.counted.seeding_ms);
                live.counted.downloaded = stats.downloaded;
                live.counted.uploaded = stats.uploaded;
                live.counted.seeding_ms = seeding;
                let life = &mut self.life;
                life.downloaded = life.downloaded.saturating_add(down);
                life.uploaded = life.uploaded.saturating_add(up);
                life.seeding_ms = life.seeding_ms.saturating_add(seeded);
                (seen.moved.downloaded, seen.moved.uploaded) = (down, up);
                self.session.0 = self.session.0.saturating_add(down);
                self.session.1 = self.session.1.saturating_add(up);
                if down > 0 || up > 0 {
                    life.last_activity = Some(now);
                    self.unsaved = true;
                }
                self.aged = true;
                if let Some(info) = self.wish.known.info() {
                    info.put_away(DICTIONARY_UNUSED);
                }
                if let (Known::Link(magnet), Some(info)) = (&self.wish.known, live.handle.info()) {
                    let mut metainfo = Metainfo::new((*info).clone());
                    metainfo.trackers = magnet
                        .trackers
                        .iter()
                        .map(|url| vec![url.clone()])
                        .collect();
                    metainfo.web_seeds.clone_from(&magnet.web_seeds);
                    self.wish.known = Known::File(Arc::new(metainfo));
                    seen.metadata = true;
                }
                for event in &seen.events {
                    match event {
                        swarm::Event::Checking { total, .. } => live.hashed = *total,
                        swarm::Event::Ready { have, .. } => live.began_with = Some(*have),
                        _ => {}
                    }
                    trackers::hear(&mut self.trackers, event, now);
                }
                if stats.phase.is_checked() {
                    let complete = live.handle.is_complete();
                    let standing = Standing {
                        wanted: stats.bytes,
                        left: stats.bytes_left,
                        pieces_have: stats.pieces_have,
                        complete,
                    };
                    self.unsaved |= standing != self.standing;
                    self.standing = standing;
                    if complete && self.life.completed.is_none() {
                        self.life.completed = Some(now);
                        self.unsaved = true;
                        seen.completed = true;
                    }
                }
                seen.stats = Some(stats);
            }
        }
        seen
    }

    fn state(&self, stats: Option<&Stats>) -> TorrentState {
        if self.wish.removing.is_some() {
            return TorrentState::Finishing;
        }
        let Some(stats) = stats else {
            return match (&self.refused, self.wish.paused) {
                (Some(_), _) => TorrentState::Failed,
                (None, true) => TorrentState::Paused,
                (None, false) if self.waits => TorrentState::Queued,
                // It is about to start.
                (None, false) => TorrentState::Checking,
            };
        };
        match &stats.phase {
            _ if matches!(self.run, Run::Leaving(_)) => TorrentState::Finishing,
            phase if phase.trouble().is_some() => TorrentState::Failed,
            Phase::Metadata => TorrentState::Metadata,
            Phase::Checking { .. } => TorrentState::Checking,
            Phase::Downloading => TorrentState::Downloading,
            Phase::Seeding => TorrentState::Seeding,
            Phase::Paused(Pause::DiskRefused(_)) => TorrentState::DiskRefused,
            Phase::Paused(_) if self.waits => TorrentState::Queued,
            Phase::Paused(_) => TorrentState::Paused,
            Phase::Stopping | Phase::Stopped => TorrentState::Finishing,
            Phase::Failed(_) => TorrentState::Failed,
        }
    }

    fn row(&self, stats: Option<&Stats>) -> TorrentRow {
        let known = &self.wish.known;
        let info = known.info();
        let layout = info.map(Info::layout);
        let size = layout.map_or(0, |layout| layout.total());
        let standing = &self.standing;
        let checked = stats.and_then(|stats| match &stats.phase {
            Phase::Checking { done, total } => Some((*done, *total)),
            _ => None,
        });
        let trouble = stats.and_then(|stats| stats.phase.trouble().map(str::to_owned));
        let disk = stats.and_then(|stats| match &stats.phase {
            Phase::Paused(Pause::DiskRefused(why)) => Some(why.clone()),
            _ => None,
        });
        let wanted = match standing.wanted {
            0 => size,
            wanted => wanted,
        };
        let left = match (standing.wanted, standing.complete) {
            (_, true) => 0,
            (0, false) => wanted,
            _ => standing.left,
        };
        let down_rate = stats.map_or(0, |stats| stats.down_rate);
        let sent = u128::from(self.life.uploaded) * 1000 / u128::from(wanted.max(1));
        let peers = stats.map_or(&[][..], |stats| &stats.peers);
        let web_seeds = stats.into_iter().flat_map(|stats| &stats.web_seeds);
        let pieces = layout.map_or(0, |layout| layout.pieces());
        let seeds = peers
            .iter()
            .filter(|peer| pieces > 0 && peer.pieces == pieces);
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        TorrentRow {
            hash: known.hash(),
            name: self.name(),
            state: self.state(stats),
            place: self.place,
            obstacle: trouble.as_ref().and_then(|_| self.obstacle()),
            trouble: trouble.or(disk).or_else(|| self.refused.clone()),
            complete: standing.complete,
            private: info.map(Info::is_private),
            folder: self.wish.place.folder().to_owned(),
            path: self.path(),
            move_to: self.wish.move_to.clone(),
            not_moved: self.not_moved.clone(),
            category: self.wish.category.clone(),
            tags: self.wish.tags.iter().cloned().collect(),
            size,
            wanted,
            left,
            pieces,
            pieces_have: standing.pieces_have,
            piece_length: layout.map_or(0, |layout| layout.piece_length()),
            checked_permille: checked.map(|(done, total)| {
                let part = u64::from(done) * 1000 / u64::from(total.max(1));
                u16::try_from(part).unwrap_or(1000)
            }),
            began_with: self.live().and_then(|live| live.began_with),
            hashed: self.live().map_or(0, |live| live.hashed),
            downloaded: self.life.downloaded,
            uploaded: self.life.uploaded,
            session_downloaded: self.session.0,
            session_uploaded: self.session.1,
            wasted: stats.map_or(0, |stats| stats.wasted),
            down_rate,
            up_rate: stats.map_or(0, |stats| stats.up_rate),
            eta_secs: match left {
                0 => None,
                left => left.checked_div(down_rate),
            },
            peers: count(peers.len()),
            seeds: count(seeds.count()),
            web_seeds: count(web_seeds.filter(|seed| seed.given_up.is_none()).count()),
            ratio_permille: u64::try_from(sent).unwrap_or(u64::MAX),
            limits: self.wish.limits,
            goals: self.wish.goals,
            reached: self.wish.reached,
            prices: self.wish.prices,
            earned_raw: self.life.earned_raw,
            spent_raw: self.life.spent_raw,
            added: self.life.added,
            completed: self.life.completed,
            active_secs: self.age(self.life.active_ms, |live, _| live.runs, stats),
            seeding_secs: self.age(
                self.life.seeding_ms,
                |_, stats| stats.phase == Phase::Seeding,
                stats,
            ),
            last_activity: self.life.last_activity,
            magnet: self.magnet(),
            comment: match known {
                Known::File(metainfo) => metainfo.comment.clone(),
                Known::Link(_) => None,
            },
        }
    }

    /// How long it was so, until it was looked at, and from then on if it `goes_on`.
    fn age(&self, ms: u64, goes_on: impl Fn(&Live, &Stats) -> bool, stats: Option<&Stats>) -> Age {
        let running = self.live().zip(stats);
        let running = running.filter(|(live, stats)| goes_on(live, stats));
        Age::new(ms, running.map(|(live, _)| live.looked))
    }

    /// Which of the user's choices is in its way, when it cannot go on.
    fn obstacle(&self) -> Option<Obstacle> {
        let handle = self.handle()?;
        if handle.is_file_in_the_way() {
            return Some(Obstacle::FileInTheWay);
        }
        let files = self
            .wish
            .files
            .as_ref()
            .and_then(|files| selection(files).ok());
        let (files, info) = files.zip(self.wish.known.info())?;
        files.choose(info).err().map(|_| Obstacle::UnknownFiles)
    }

    fn path(&self) -> Option<std::path::PathBuf> {
        let running = self.handle().and_then(swarm::TorrentHandle::path);
        running.or_else(|| match &self.wish.place {
            super::entry::Place::Content(path) => Some(path.clone()),
            super::entry::Place::Folder(folder) => {
                let info = self.wish.known.info();
                info.map(|info| folder.join(info.name()))
            }
        })
    }

    fn magnet(&self) -> String {
        let known = &self.wish.known;
        let magnet = swarm::metainfo::Magnet {
            info_hash: known.hash(),
            name: known
                .info()
                .map(|info| info.name().to_owned())
                .or_else(|| match known {
                    Known::Link(magnet) => magnet.name.clone(),
                    Known::File(_) => None,
                }),
            trackers: self.tiers().into_iter().flatten().collect(),
            web_seeds: match known {
                Known::Link(magnet) => magnet.web_seeds.clone(),
                Known::File(metainfo) => metainfo.web_seeds.clone(),
            },
            peers: Vec::new(),
            files: Vec::new(),
        };
        magnet.to_string()
    }

    fn files(&self, have: Option<&Bitfield>) -> Vec<FileRow> {
        let Some(info) = self.wish.known.info() else {
            return Vec::new();
        };
        let layout = info.layout();
        // What it was not told yet is shown as it is wanted.
        let told = self.live().filter(|_| !self.choosing);
        let running = told.and_then(|live| live.handle.wanted_files());
        let wanted = running.or_else(|| {
            let files = self.wish.files.as_ref()?;
            super::entry::selection(files).ok()?.choose(info).ok()
        });
        let priorities = &self.wish.priorities;
        let real = (0..).zip(info.files()).filter(|(_, file)| !file.pad);
        real.map(|(index, file)| {
            let pieces = layout.pieces_of(file.offset, file.length);
            let here = |piece: u32| {
                let begin = layout.offset(piece).max(file.offset);
                let end = layout
                    .end(piece)
                    .min(file.offset.saturating_add(file.length));
                end.saturating_sub(begin)
            };
            let there = have.map_or(0, |have| {
                pieces
                    .clone()
                    .filter(|piece| have.has(*piece))
                    .map(here)
                    .sum()
            });
            FileRow {
                index,
                path: file.path.join("/"),
                size: file.length,
                // Which pieces are there is not kept for one that does not run.
                have: match (have, self.standing.complete) {
                    (None, true) => file.length,
                    _ => there,
                },
                wanted: wanted.as_ref().is_none_or(|wanted| wanted.has(index)),
                priority: priorities.get(&index).copied().unwrap_or_default(),
                first_piece: *pieces.start(),
                last_piece: *pieces.end(),
            }
        })
        .collect()
    }

    fn peers(&self, stats: Option<&Stats>, paid: &Paid) -> Vec<PeerRow> {
        let pieces = self
            .wish
            .known
            .info()
            .map_or(0, |info| info.layout().pieces());
        let peers = stats.map_or(&[][..], |stats| &stats.peers);
        let mut rows: Vec<PeerRow> = peers
            .iter()
            .map(|peer| peer_row(peer, pieces, paid.connections.get(&peer.conn.0)))
            .collect();
        rows.sort_by_key(|row| row.connection);
        rows
    }

    /// What readers see of it: what did not change keeps its revision. `None`: nothing did.
    pub(super) fn show(
        &mut self,
        before: Option<&Arc<Torrent>>,
        seen: &Seen,
        paid: &Paid,
        revision: Revision,
    ) -> Option<Arc<Torrent>> {
        let stats = seen.stats.as_ref();
        let files_changed = self.take_files_changed();
        let row = self.row(stats);
        let peers = self.peers(stats, paid);
        // Which pieces and files are there, and which first, when that may have changed.
        let moved = files_changed
            || before.is_none_or(|before| {
                let was = &before.row.value;
                was.pieces_have != row.pieces_have
                    || was.state != row.state
                    || was.wanted != row.wanted
                    || was.size != row.size
                    || before.files.value.iter().any(|file| {
                        let now = self.wish.priorities.get(&file.index);
                        now.copied().unwrap_or_default() != file.priority
                    })
            });
        let have = self
            .live()
            .filter(|_| moved)
            .and_then(|live| live.handle.have());
        let files = moved.then(|| self.files(have.as_ref()));
        let Some(before) = before else {
            return Some(Arc::new(Torrent {
                revision,
                row: new(revision, Arc::new(row)),
                peers: new(revision, peers.into()),
                trackers: new(revision, self.trackers.clone().into()),
                files: new(revision, files.unwrap_or_default().into()),
                pieces: new(
                    revision,
                    have.as_ref().map_or(&[][..], Bitfield::as_bytes).into(),
                ),
            }));
        };
        let is_row = *before.row.value != row;
        let is_peers = *before.peers.value != *peers;
        let is_trackers = *before.trackers.value != *self.trackers;
        let is_files = files
            .as_ref()
            .is_some_and(|files| *before.files.value != **files);
        let bits = have.as_ref().map(Bitfield::as_bytes);
        let is_pieces = bits.is_some_and(|bits| *before.pieces.value != *bits);
        if !(is_row || is_peers || is_trackers || is_files || is_pieces) {
            return None;
        }
        let mut now = Torrent::clone(before);
        now.revision = revision;
        if is_row {
            now.row = new(revision, Arc::new(row));
        }
        if is_peers {
            now.peers = new(revision, peers.into());
        }
        if is_trackers {
            now.trackers = new(revision, self.trackers.clone().into());
        }
        if let (true, Some(files)) = (is_files, files) {
            now.files = new(revision, files.into());
        }
        if let (true, Some(bits)) = (is_pieces, bits) {
            now.pieces = new(revision, bits.into());
        }
        Some(Arc::new(now))
    }
}

fn new<T>(revision: Revision, value: T) -> Versioned<T> {
    Versioned { revision, value }
}

fn peer_row(peer: &swarm::PeerRow, pieces: u32, paid: Option<&PeerView>) -> PeerRow {
    let part = u64::from(peer.pieces) * 1000 / u64::from(pieces.max(1));
    PeerRow {
        connection: peer.conn.0,
        addr: peer.addr,
        outgoing: peer.outgoing,
        transport: match peer.transport {
            Transport::Tcp => TransportOf::Tcp,
            Transport::Utp => TransportOf::Utp,
        },
        encryption: match peer.encrypted {
            true => EncryptionOf::Full,
            false => EncryptionOf::None,
        },
        client: peer.client.clone(),
        downloaded: peer.downloaded,
        uploaded: peer.uploaded,
        down_rate: peer.down_rate,
        up_rate: peer.up_rate,
        choking: peer.choking,
        interested: peer.interested,
        peer_choking: peer.peer_choking,
        peer_interested: peer.peer_interested,
        progress_permille: u16::try_from(part.min(1000)).unwrap_or(1000),
        paid: paid.map(|view| PaidPeer {
            account: view.peer,
            purchase_price_raw: view.purchase_price,
            sale_price_raw: view.sale_price,
            spent_raw: view.tally.spent_raw,
            earned_raw: view.tally.earned_raw,
            owed_raw: view.owed_raw,
            unpaid_bytes: view.unpaid_bytes,
            window_bytes: view.window_bytes,
            held: view.held.map(|held| held_words(held).to_owned()),
        }),
    }
}

/// Why a paying peer is held, in words.
pub fn held_words(held: Held) -> &'static str {
    match held {
        Held::Window => "held: it has not receipted what it was sent",
        Held::Cap => "held: it owes as much as it may before it settles",
    }
}
