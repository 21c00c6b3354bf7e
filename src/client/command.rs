//! What a client can be told, and what it answers.

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    Schedule,
    snapshot::{Goals, Limits, Prices, Queue, SettlePolicy},
};
use crate::{
    swarm::{self, FilePriorities},
    types::{Address, InfoHash},
};

/// One thing that a client is told. Each may be told twice: the second time changes nothing.
/// The answer comes when it is on disk, if the client keeps its list there.
#[derive(Debug, Clone)]
pub enum Command {
    /// Adds a torrent. One that is there already is not changed.
    Add(Box<AddTorrent>),
    /// Removes a torrent.
    Remove {
        /// Which.
        hash: InfoHash,
        /// Also deletes the files that it made. What lay there before it was added, and is
        /// only shared, stays.
        data: bool,
    },
    /// Pauses a torrent: what is due is settled and its connections are closed.
    Pause(InfoHash),
    /// Goes on with a torrent. One that a goal has ended loses its goals.
    Resume(InfoHash),
    /// Verifies again all data of a torrent. A paused one is paused again afterwards.
    Recheck(InfoHash),
    /// Changes what a torrent is called in lists; its files keep their names. `None`: its own
    /// name.
    Rename {
        /// Which.
        hash: InfoHash,
        /// How it is called.
        name: Option<String>,
    },
    /// Moves complete content into a folder; nothing is overwritten.
    Move {
        /// Which.
        hash: InfoHash,
        /// Where to.
        folder: PathBuf,
    },
    /// Chooses the files of a torrent that are downloaded. Its connections are closed for
    /// that.
    SetFiles {
        /// Which torrent.
        hash: InfoHash,
        /// Which files.
        files: Files,
    },
    /// Changes which of the wanted files are downloaded first. Its connections stay. Files
    /// that are not named keep their priority.
    SetPriorities {
        /// Which torrent.
        hash: InfoHash,
        /// Priorities by the files' positions, from 0 on, as in
        /// [`FileRow::index`](super::snapshot::FileRow::index).
        files: FilePriorities,
    },
    /// Changes the limits of a torrent.
    SetLimits {
        /// Which; `None`: the limits of all torrents together.
        hash: Option<InfoHash>,
        /// Bytes a second.
        limits: Limits,
    },
    /// Changes the limits by the time of day. They are not kept: whoever opens the client says
    /// them.
    SetSchedule(Schedule),
    /// Changes what ends the sharing of a torrent.
    SetGoals {
        /// Which.
        hash: InfoHash,
        /// The new goals, in place of all old ones.
        goals: Goals,
    },
    /// Puts a torrent into a category, or takes it out (`None`). A category that is not
    /// there is made. The files stay where they are.
    SetCategory {
        /// Which.
        hash: InfoHash,
        /// The category.
        category: Option<String>,
    },
    /// Adds tags to a torrent, and takes others away. Tags that are not there are made.
    SetTags {
        /// Which.
        hash: InfoHash,
        /// Tags that it has from now on.
        add: Vec<String>,
        /// Tags that it does not have any more.
        remove: Vec<String>,
    },
    /// Makes a category, or changes its folder.
    SaveCategory {
        /// Its name.
        name: String,
        /// The folder that its torrents are put into; `None`: the client's.
        folder: Option<PathBuf>,
    },
    /// Removes categories; their torrents have none afterwards.
    RemoveCategories(Vec<String>),
    /// Makes tags.
    AddTags(Vec<String>),
    /// Removes tags, also from torrents.
    RemoveTags(Vec<String>),
    /// Adds trackers to a torrent. Its connections stay.
    AddTrackers {
        /// Which.
        hash: InfoHash,
        /// Their addresses, a group each.
        urls: Vec<String>,
    },
    /// Takes trackers away from a torrent, its own included. They are told that it leaves; its
    /// connections stay.
    RemoveTrackers {
        /// Which.
        hash: InfoHash,
        /// Their addresses; one that it does not have is an error.
        urls: Vec<String>,
    },
    /// Puts a tracker in the place of another one.
    EditTracker {
        /// Which torrent.
        hash: InfoHash,
        /// The address that it has.
        from: String,
        /// The one that it is to have.
        to: String,
    },
    /// Asks the trackers for peers, as soon as they allow it.
    Reannounce(InfoHash),
    /// Gives the torrent file. Its answer is [`Answer::TorrentFile`].
    Export(InfoHash),
    /// Moves torrents in the list: those before others have their turn first. Those that are
    /// not there are passed over.
    MoveInQueue {
        /// Which; they keep their order.
        hashes: Vec<InfoHash>,
        /// Where to.
        to: QueueTo,
    },
    /// Changes how many torrents run at once.
    SetQueue(Queue),
    /// Changes the prices of a torrent, or of all that have none of their own. Connections
    /// whose price changes are closed, and made anew.
    SetPrices {
        /// Which; `None`: all that have none of their own.
        hash: Option<InfoHash>,
        /// The prices.
        prices: Prices,
    },
    /// Changes how debts are settled.
    SetPolicy(SettlePolicy),
    /// Settles debts now, whatever the policy says.
    SettleNow,
    /// Stops serving an account.
    Ban {
        /// Which.
        account: Address,
        /// Why, for the user's own memory; 200 characters of it are kept.
        reason: String,
    },
    /// Forgets what an account did not pay, its bans and its contradictions.
    Forgive(Address),
    /// Takes back all that a session key may sign: the wallet signs that. What the key has
    /// signed away stays owed.
    RevokeKey(Address),
    /// Dials more peers of a torrent.
    AddPeers {
        /// Which.
        hash: InfoHash,
        /// Where they are.
        peers: Vec<SocketAddr>,
    },
}

/// A torrent to add.
#[derive(Debug, Clone)]
pub struct AddTorrent {
    /// What it is.
    pub source: Source,
    /// The folder that it is put into; `None`: that of its category, or the client's.
    pub folder: Option<PathBuf>,
    /// The folder that it is moved into once it is complete; nothing is overwritten. `None`:
    /// it stays where it is.
    pub move_to: Option<PathBuf>,
    /// What it is called; `None`: its own name.
    pub name: Option<String>,
    /// Its category.
    pub category: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// The files to download; `None`: those that the link names, or those of the last time,
    /// or all.
    pub files: Option<Files>,
    /// Its limits.
    pub limits: Limits,
    /// What ends its sharing.
    pub goals: Goals,
    /// Its own prices.
    pub prices: Prices,
    /// It waits to be resumed.
    pub paused: bool,
    /// More trackers, a group each.
    pub trackers: Vec<String>,
    /// More web seeds.
    pub web_seeds: Vec<String>,
    /// Peers to dial first.
    pub peers: Vec<SocketAddr>,
    /// Verifies all data that is on disk, whatever is known of it.
    pub recheck: bool,
    /// Writes over files in the way that are not this torrent's.
    pub overwrite: bool,
    /// Reserves disk space first, if the file system can.
    pub preallocate: bool,
}

impl AddTorrent {
    /// Nothing besides what the source says.
    pub fn new(source: Source) -> Self {
        Self {
            source,
            folder: None,
            move_to: None,
            name: None,
            category: None,
            tags: Vec::new(),
            files: None,
            limits: Limits::default(),
            goals: Goals::default(),
            prices: Prices::default(),
            paused: false,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            peers: Vec::new(),
            recheck: false,
            overwrite: false,
            preallocate: false,
        }
    }
}

impl AddTorrent {
    /// Bytes of a piece, where that is known already.
    pub fn piece_length(&self) -> Option<u32> {
        match &self.source {
            Source::Parsed(source) => match source.as_ref() {
                swarm::Source::Torrent(metainfo) => Some(metainfo.info.layout().piece_length()),
                swarm::Source::Magnet(_) => None,
            },
            Source::Link(_) | Source::File(_) | Source::Content { .. } => None,
        }
    }
}

/// What a torrent comes from.
#[derive(Clone)]
pub enum Source {
    /// A magnet link, or an info-hash of 40 hex digits or 32 base32 letters.
    Link(String),
    /// The bytes of a torrent file.
    File(Vec<u8>),
    /// What was read already.
    Parsed(Box<swarm::Source>),
    /// The bytes of a torrent file whose content is on this machine already: it is shared
    /// where it lies, and never written to.
    Content {
        /// The torrent file.
        file: Vec<u8>,
        /// The file, or the folder with the files, whatever its name.
        path: PathBuf,
        /// It was hashed just now: it is not hashed again.
        trusted: bool,
    },
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Link(link) => f.debug_tuple("Link").field(link).finish(),
            Self::Parsed(source) => f.debug_tuple("Parsed").field(&source.info_hash()).finish(),
            Self::File(file) => f.debug_tuple("File").field(&file.len()).finish(),
            Self::Content { path, .. } => f.debug_tuple("Content").field(path).finish(),
        }
    }
}

/// Files of a torrent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Files {
    /// All of them.
    All,
    /// Those with these positions, from 0 on, as in
    /// [`FileRow::index`](super::snapshot::FileRow::index).
    Positions(Vec<u32>),
    /// As `seedrail get --files` takes it: numbers from 1 on, or names.
    Pattern(String),
    /// What each of them chooses.
    Patterns(Vec<String>),
}

/// Where a torrent is moved in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueTo {
    /// Before all others.
    Top,
    /// Before the one before it.
    Up,
    /// Behind the one behind it.
    Down,
    /// Behind all others.
    Bottom,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done,
    /// The torrent is added.
    Added {
        /// Its identity.
        hash: InfoHash,
        /// It was there already, and is not changed.
        known: bool,
    },
    /// The torrent file.
    TorrentFile(Vec<u8>),
    /// The content is at its new place.
    Moved {
        /// The file, or the folder with the files.
        path: PathBuf,
    },
}
