//! One torrent of the list: what is wanted of it, what it came to in its life, and how it
//! runs.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use super::{
    agenda::Due,
    command::Files,
    error::ClientError,
    queue::Candidate,
    snapshot::{Goals, Limits, Prices, ReachedGoal, TrackerRow},
};
use crate::{
    receipts::pay::Tally,
    swarm::{
        self, AddOptions, FilePriorities, SeedGoals, SeedOptions, Session, SessionError,
        TorrentHandle,
        metainfo::{Info, Magnet, Metainfo},
        selection::Selection,
    },
    types::{InfoHash, UnixMs},
};

/// Peers that are kept of those that the user named.
const MAX_NAMED: usize = 100;

/// What a torrent is known by.
#[derive(Debug, Clone)]
pub(super) enum Known {
    /// Its metadata comes from peers.
    Link(Box<Magnet>),
    /// All of it.
    File(Arc<Metainfo>),
}

impl Known {
    pub(super) fn hash(&self) -> InfoHash {
        match self {
            Self::Link(magnet) => magnet.info_hash,
            Self::File(metainfo) => metainfo.info.hash(),
        }
    }

    pub(super) fn info(&self) -> Option<&Info> {
        match self {
            Self::Link(_) => None,
            Self::File(metainfo) => Some(&metainfo.info),
        }
    }

    fn own_name(&self) -> Option<String> {
        match self {
            Self::Link(magnet) => magnet.name.clone(),
            Self::File(metainfo) => Some(metainfo.info.name().to_owned()),
        }
    }

    fn tiers(&self) -> Vec<Vec<String>> {
        match self {
            Self::Link(magnet) => magnet
                .trackers
                .iter()
                .map(|url| vec![url.clone()])
                .collect(),
            Self::File(metainfo) => metainfo.trackers.clone(),
        }
    }
}

/// Where a torrent's content is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// In this folder, under the torrent's name.
    Folder(PathBuf),
    /// This is it; it is only read.
    Content(PathBuf),
}

impl Place {
    /// The folder that it is in.
    pub(super) fn folder(&self) -> &Path {
        match self {
            Self::Folder(folder) => folder,
            Self::Content(path) => path.parent().unwrap_or(path),
        }
    }
}

/// What is wanted of a torrent: what the stored list holds.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) known: Known,
    pub(super) place: Place,
    /// Where it is moved once it is complete.
    pub(super) move_to: Option<PathBuf>,
    /// Where it is being moved, because somebody said so.
    pub(super) moving: Option<PathBuf>,
    pub(super) name: Option<String>,
    pub(super) category: Option<String>,
    pub(super) tags: BTreeSet<String>,
    pub(super) files: Option<Files>,
    /// Of files that are not normal.
    pub(super) priorities: FilePriorities,
    pub(super) limits: Limits,
    pub(super) goals: Goals,
    pub(super) reached: Option<ReachedGoal>,
    pub(super) prices: Prices,
    pub(super) paused: bool,
    /// Torrents with a smaller one have their turn first.
    pub(super) position: i64,
    /// Trackers besides its own, a group each.
    pub(super) trackers: Vec<String>,
    /// Web seeds besides its own.
    pub(super) web_seeds: Vec<String>,
    /// Peers that the user named: they are dialled at each start.
    pub(super) peers: Vec<SocketAddr>,
    pub(super) overwrite: bool,
    pub(super) preallocate: bool,
    /// It is to be removed; with its data?
    pub(super) removing: Option<bool>,
}

/// What a torrent came to, ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Life {
    pub(super) downloaded: u64,
    pub(super) uploaded: u64,
    pub(super) earned_raw: u64,
    pub(super) spent_raw: u64,
    pub(super) active_ms: u64,
    pub(super) seeding_ms: u64,
    pub(super) added: UnixMs,
    pub(super) completed: Option<UnixMs>,
    pub(super) last_activity: Option<UnixMs>,
}

/// How far it was when it was looked at last; what is shown while it does not run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Standing {
    pub(super) wanted: u64,
    pub(super) left: u64,
    pub(super) pieces_have: u32,
    pub(super) complete: bool,
}

/// How it runs.
pub(super) enum Run {
    /// It is not in the session.
    No,
    /// It is.
    Yes(Box<Live>),
    /// It leaves the session, and what is wanted then is looked at again.
    Leaving(Box<Live>),
}

/// A torrent of the session.
pub(super) struct Live {
    pub(super) handle: TorrentHandle,
    pub(super) events: broadcast::Receiver<swarm::Event>,
    /// What of the session's figures is in [`Life`] already.
    pub(super) counted: Counted,
    /// When it was looked at last.
    pub(super) looked: Instant,
    /// It was told to pause.
    pub(super) paused: bool,
    /// It was neither paused nor in trouble when it was looked at last.
    pub(super) runs: bool,
    /// It had peers, or its web seeds were asked, when it was looked at last.
    pub(super) busy: bool,
    /// Pieces that were hashed before transfers began.
    pub(super) hashed: u32,
    /// Pieces that were there then.
    pub(super) began_with: Option<u32>,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted {
    pub(super) downloaded: u64,
    pub(super) uploaded: u64,
    pub(super) seeding_ms: u64,
}

/// One torrent of the list.
pub(super) struct Entry {
    pub(super) wish: Wish,
    pub(super) life: Life,
    pub(super) standing: Standing,
    pub(super) run: Run,
    /// Payments that are in [`Life`] already: they are counted for as long as the client
    /// runs, whatever the torrent does.
    pub(super) paid: Tally,
    /// Received and sent since the client was started.
    pub(super) session: (u64, u64),
    pub(super) trackers: Vec<TrackerRow>,
    /// All data is verified when it starts next.
    pub(super) recheck: bool,
    /// It must leave the session and start again: for a check, or what cannot be changed in it.
    pub(super) restart: bool,
    /// Content that was hashed just now.
    pub(super) trusted: bool,
    /// A task deletes what is left of it.
    pub(super) deleting: bool,
    /// A task moves it to where complete content goes.
    pub(super) moving: bool,
    /// A task tells it which files are wanted.
    pub(super) choosing: bool,
    /// Which files are wanted may have changed since readers were told.
    pub(super) files_changed: bool,
    /// Why it could not be moved there; it is tried again when it is resumed.
    pub(super) not_moved: Option<String>,
    /// Why it could not start.
    pub(super) refused: Option<String>,
    /// It waits for its turn.
    pub(super) waits: bool,
    /// Its place in the list, from 1 on.
    pub(super) place: u32,
    /// The totals differ from what is on disk, by more than its age.
    pub(super) unsaved: bool,
    /// Its age differs.
    pub(super) aged: bool,
    /// When it is looked at next.
    pub(super) due: Due,
    /// Whether it had, or took, a turn when it was looked at last.
    pub(super) stood: Option<Candidate>,
}

impl Wish {
    /// Notes peers that the user named; of too many, the newest are kept.
    pub(super) fn add_peers(&mut self, peers: impl IntoIterator<Item = SocketAddr>) {
        for peer in peers {
            self.peers.retain(|known| *known != peer);
            self.peers.push(peer);
        }
        let over = self.peers.len().saturating_sub(MAX_NAMED);
        self.peers.drain(..over);
    }
}

impl Wish {
    /// Changes the trackers, its own included: they are no part of what it is. `None` takes
    /// one away.
    pub(super) fn change_trackers(&mut self, change: impl Fn(&String) -> Option<String>) {
        let changed = |urls: &[String]| urls.iter().filter_map(&change).collect::<Vec<_>>();
        match &mut self.known {
            Known::Link(magnet) => magnet.trackers = changed(&magnet.trackers),
            Known::File(metainfo) => {
                let metainfo = Arc::make_mut(metainfo);
                let tiers = metainfo.trackers.iter().map(|tier| changed(tier));
                metainfo.trackers = tiers.filter(|tier| !tier.is_empty()).collect();
            }
        }
        self.trackers = changed(&self.trackers);
    }
}

impl Entry {
    pub(super) fn new(wish: Wish, life: Life, standing: Standing, paid: Tally) -> Self {
        let mut entry = Self {
            wish,
            life,
            standing,
            run: Run::No,
            paid,
            session: (0, 0),
            trackers: Vec::new(),
            recheck: false,
            restart: false,
            trusted: false,
            deleting: false,
            moving: false,
            choosing: false,
            files_changed: false,
            not_moved: None,
            refused: None,
            waits: false,
            place: 0,
            unsaved: false,
            aged: false,
            due: Due::default(),
            stood: None,
        };
        entry.trackers = super::trackers::rows(&entry.tiers(), &[]);
        entry
    }

    /// What it is called.
    pub(super) fn name(&self) -> String {
        let name = self.wish.name.clone();
        let name = name.or_else(|| self.wish.known.own_name());
        name.unwrap_or_else(|| self.wish.known.hash().to_string())
    }

    /// Its trackers, in groups.
    pub(super) fn tiers(&self) -> Vec<Vec<String>> {
        let mut tiers = self.wish.known.tiers();
        tiers.extend(self.wish.trackers.iter().map(|url| vec![url.clone()]));
        let mut seen = BTreeSet::new();
        for tier in &mut tiers {
            tier.retain(|url| seen.insert(url.clone()));
        }
        tiers.retain(|tier| !tier.is_empty());
        tiers
    }

    /// Whether it shall be in the session. One that is verified runs for that, paused or
    /// not.
    pub(super) fn is_to_run(&self) -> bool {
        self.wish.removing.is_none() && (!self.is_held() || self.recheck)
    }

    /// Whether it is paused, or waits for its turn.
    pub(super) fn is_held(&self) -> bool {
        self.wish.paused || self.waits
    }

    /// Whether its content is yet to be moved. As long as it is, no goal ends it.
    pub(super) fn is_to_move(&self) -> bool {
        self.wish.move_to.is_some() && self.not_moved.is_none()
    }

    /// The running torrent.
    pub(super) fn live(&self) -> Option<&Live> {
        match &self.run {
            Run::Yes(live) => Some(live),
            Run::No | Run::Leaving(_) => None,
        }
    }

    /// Its handle in the session, running or leaving.
    pub(super) fn handle(&self) -> Option<&TorrentHandle> {
        match &self.run {
            Run::Yes(live) => Some(&live.handle),
            Run::Leaving(live) => Some(&live.handle),
            Run::No => None,
        }
    }

    /// Puts it into the session.
    pub(super) fn start(&mut self, session: &Session) -> Result<(), SessionError> {
        let wish = &self.wish;
        let goals = SeedGoals::default();
        let handle = match (&wish.place, &wish.known) {
            (Place::Content(path), Known::File(metainfo)) if !self.recheck => session.seed(
                metainfo,
                path,
                SeedOptions {
                    trackers: wish.trackers.clone(),
                    peers: wish.peers.clone(),
                    trusted: self.trusted,
                    goals,
                    up_limit: wish.limits.up,
                },
            )?,
            (Place::Content(path), Known::File(metainfo)) => session.seed(
                metainfo,
                path,
                SeedOptions {
                    trackers: wish.trackers.clone(),
                    peers: wish.peers.clone(),
                    up_limit: wish.limits.up,
                    ..SeedOptions::default()
                },
            )?,
            (place, known) => {
                let source = match known {
                    Known::Link(magnet) => swarm::Source::Magnet((**magnet).clone()),
                    Known::File(metainfo) => swarm::Source::Torrent(Box::new((**metainfo).clone())),
                };
                let options = AddOptions {
                    trackers: wish.trackers.clone(),
                    web_seeds: wish.web_seeds.clone(),
                    peers: wish.peers.clone(),
                    seed: true,
                    files: wish.files.as_ref().map(selection).transpose()?,
                    priorities: wish.priorities.clone(),
                    recheck: self.recheck,
                    overwrite: wish.overwrite,
                    preallocate: wish.preallocate,
                    moves_to: wish.move_to.clone(),
                    // They count over its whole life: see `goals`.
                    goals,
                    up_limit: wish.limits.up,
                    down_limit: wish.limits.down,
                };
                session.add(source, place.folder(), options)?
            }
        };
        self.trusted = false;
        self.refused = None;
        let events = handle.events();
        self.run = Run::Yes(Box::new(Live {
            handle,
            events,
            counted: Counted::default(),
            looked: Instant::now(),
            paused: false,
            runs: true,
            busy: true,
            hashed: 0,
            began_with: None,
        }));
        Ok(())
    }
}

/// The files as the swarm selects them.
pub(super) fn selection(files: &Files) -> Result<Selection, swarm::selection::SelectionError> {
    match files {
        Files::All => Ok(Selection::all()),
        Files::Positions(positions) => {
            let ranges = positions.iter().map(|at| *at..=*at);
            Ok(Selection::positions(ranges.collect()))
        }
        Files::Pattern(pattern) => pattern.parse(),
        Files::Patterns(patterns) => {
            let mut all = None;
            for pattern in patterns {
                let one: Selection = pattern.parse()?;
                all = Some(match all {
                    None => one,
                    Some(all) => Selection::and(all, one),
                });
            }
            Ok(all.unwrap_or_else(Selection::all))
        }
    }
}

/// Which files that are, in a torrent whose files are known.
pub(super) fn choose(files: &Files, info: &Info) -> Result<(), ClientError> {
    if let Files::Positions(positions) = files {
        if positions.is_empty() {
            return Err(ClientError::NoFiles);
        }
        if positions.iter().any(|at| *at >= info.file_count()) {
            return Err(ClientError::NoSuchFile(info.file_count()));
        }
    }
    let chosen = selection(files)?.choose(info)?;
    match chosen.is_empty() {
        true => Err(ClientError::NoFiles),
        false => Ok(()),
    }
}
