//! A torrent as readers see it.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Instant};

use serde::{Deserialize, Serialize, Serializer};

use super::{Revision, Versioned};
pub use crate::swarm::FilePriority;
use crate::types::{Address, InfoHash, RawAmount, UnixMs};

/// A torrent with its peers, trackers and files.
#[derive(Debug, Clone, Serialize)]
pub struct Torrent {
    /// The newest of the revisions of its parts.
    pub revision: Revision,
    /// What a list shows.
    pub row: Versioned<Arc<TorrentRow>>,
    /// The connected peers.
    pub peers: Versioned<Arc<[PeerRow]>>,
    /// Its trackers.
    pub trackers: Versioned<Arc<[TrackerRow]>>,
    /// Its files; empty while the metadata is missing.
    pub files: Versioned<Arc<[FileRow]>>,
    /// Which pieces are there, the first in the highest bit of the first byte; empty while
    /// it is not known.
    #[serde(skip)]
    pub pieces: Versioned<Arc<[u8]>>,
}

/// How long something was so. Where it goes on, it grows without another snapshot.
#[derive(Debug, Clone, Copy, Default)]
pub struct Age {
    ms: u64,
    since: Option<Instant>,
}

impl Age {
    /// It was so for `ms` so far; `since`: it is so since then, besides.
    pub(crate) fn new(ms: u64, since: Option<Instant>) -> Self {
        Self { ms, since }
    }

    /// Seconds until now.
    pub fn secs(&self) -> u64 {
        let more = self.since.map_or(0, |since| {
            u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
        });
        self.ms.saturating_add(more) / 1000
    }
}

/// Two are alike that showed the same seconds, and both go on or do not.
impl PartialEq for Age {
    fn eq(&self, other: &Self) -> bool {
        let of = |age: &Self| (age.ms / 1000, age.since.is_some());
        of(self) == of(other)
    }
}

impl Eq for Age {}

impl Serialize for Age {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.secs())
    }
}

/// What a list of torrents shows of each. Bytes and amounts called "ever" go on after a
/// restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TorrentRow {
    /// Its identity.
    #[serde(rename = "info_hash")]
    pub hash: InfoHash,
    /// Its name: the user's, or the torrent's own, or the info-hash.
    pub name: String,
    /// What it does.
    pub state: TorrentState,
    /// Its place in the list, from 1 on: those before others have their turn first.
    pub place: u32,
    /// Why it cannot go on, if so.
    pub trouble: Option<String>,
    /// What of the user's own choices is in its way, if that is known.
    pub obstacle: Option<Obstacle>,
    /// Everything that is wanted is there.
    pub complete: bool,
    /// Peers come only from its trackers (BEP 27); `None` while the metadata is missing.
    pub private: Option<bool>,
    /// The folder that it is in.
    pub folder: PathBuf,
    /// The file, or the folder with the files, once that is known.
    pub path: Option<PathBuf>,
    /// The folder that it is moved into once it is complete; `None`: it stays, or is there.
    pub move_to: Option<PathBuf>,
    /// Why it could not be moved there: it stays where it is.
    pub not_moved: Option<String>,
    /// Its category.
    pub category: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Bytes of all files; 0 while the metadata is missing.
    pub size: u64,
    /// Bytes of the wanted files; 0 while the metadata is missing.
    pub wanted: u64,
    /// Bytes of the wanted files that are missing.
    pub left: u64,
    /// Pieces; 0 while the metadata is missing.
    pub pieces: u32,
    /// Pieces that are there.
    pub pieces_have: u32,
    /// Bytes of a piece; 0 while the metadata is missing.
    pub piece_length: u32,
    /// Thousandths of a check of the files, while one is made.
    pub checked_permille: Option<u16>,
    /// Pieces that were there when transfers began, since the client was started; `None`
    /// before that.
    pub began_with: Option<u32>,
    /// Pieces that were hashed before that.
    pub hashed: u32,
    /// Bytes received, ever.
    pub downloaded: u64,
    /// Bytes sent, ever.
    pub uploaded: u64,
    /// Bytes received since the client was started.
    pub session_downloaded: u64,
    /// Bytes sent since the client was started.
    pub session_uploaded: u64,
    /// Bytes received in vain since the client was started.
    pub wasted: u64,
    /// Bytes a second received.
    pub down_rate: u64,
    /// Bytes a second sent.
    pub up_rate: u64,
    /// Seconds until it is complete, at this rate; `None` while nothing moves.
    pub eta_secs: Option<u64>,
    /// Connected peers.
    pub peers: u32,
    /// Those of them that have everything.
    pub seeds: u32,
    /// Web seeds that are asked.
    pub web_seeds: u32,
    /// Uploaded ever, in thousandths of the wanted bytes.
    pub ratio_permille: u64,
    /// Bytes a second, at most.
    pub limits: Limits,
    /// What ends its sharing.
    pub goals: Goals,
    /// The goal that has ended its sharing.
    pub reached: Option<ReachedGoal>,
    /// Its own prices; a price that it does not have is that of all torrents.
    pub prices: Prices,
    /// Earned with it, ever, in raw units.
    #[serde(serialize_with = "super::raw::serialize")]
    pub earned_raw: u64,
    /// Spent on it, ever, in raw units.
    #[serde(serialize_with = "super::raw::serialize")]
    pub spent_raw: u64,
    /// When it was added.
    pub added: UnixMs,
    /// When it was complete for the first time.
    pub completed: Option<UnixMs>,
    /// Seconds in which it ran, ever.
    pub active_secs: Age,
    /// Seconds in which it was complete and shared, ever.
    pub seeding_secs: Age,
    /// When bytes of it moved last.
    pub last_activity: Option<UnixMs>,
    /// A link for others.
    pub magnet: String,
    /// What the torrent file says of itself.
    pub comment: Option<String>,
}

impl TorrentRow {
    /// Everything that is wanted is there and on disk.
    pub fn is_done(&self) -> bool {
        let is_paused = self.state == TorrentState::Paused && self.complete;
        self.state == TorrentState::Seeding || is_paused
    }

    /// It is done, and is where it is to stay.
    pub fn is_in_place(&self) -> bool {
        self.is_done() && (self.move_to.is_none() || self.not_moved.is_some())
    }

    /// It was shared enough, or cannot go on.
    pub fn is_over(&self) -> bool {
        let is_paused = self.state == TorrentState::Paused && self.reached.is_some();
        self.state == TorrentState::Failed || is_paused
    }
}

/// What a torrent does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TorrentState {
    /// A magnet link's list of files is looked for.
    Metadata,
    /// Data on disk is hashed.
    Checking,
    /// Pieces are missing.
    Downloading,
    /// Everything that is wanted is there.
    Seeding,
    /// It waits to be resumed.
    Paused,
    /// It waits for its turn: as many run as may at once.
    Queued,
    /// A piece could not be written. It is tried again by itself.
    DiskRefused,
    /// It settles what is due, and then starts again or is removed.
    Finishing,
    /// It cannot go on; see [`TorrentRow::trouble`].
    Failed,
}

/// What of the user's choices makes that a torrent cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// A file in its place is not its own, and is not to be overwritten.
    FileInTheWay,
    /// Files were chosen that it does not have.
    UnknownFiles,
}

/// Bytes a second, at most; `None`: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Sent.
    pub up: Option<u64>,
    /// Received.
    pub down: Option<u64>,
}

/// How many torrents run at once; `None`: all. What is paused or failed does not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Those of which something is missing.
    pub downloads: Option<u32>,
    /// Those that are complete.
    pub seeds: Option<u32>,
}

/// What ends the sharing of a complete torrent, counted over its whole life. The first that
/// is reached pauses it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goals {
    /// Uploaded, in thousandths of the wanted bytes.
    pub ratio_permille: Option<u64>,
    /// Seconds in which it was complete and shared.
    pub seeding_secs: Option<u64>,
    /// Earned, in raw units.
    #[serde(default, with = "super::raw::optional")]
    pub earned_raw: Option<u64>,
}

/// Which goal was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReachedGoal {
    /// [`Goals::ratio_permille`].
    Ratio,
    /// [`Goals::seeding_secs`].
    Time,
    /// [`Goals::earned_raw`].
    Earned,
}

/// Prices in raw units per GiB. Of a torrent: `None` means that of all torrents, and 0 means
/// for free. Of all torrents: `None` and 0 both mean for free.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prices {
    /// The lowest price at which peers that pay are served first.
    #[serde(default, with = "super::raw::optional")]
    pub ask_raw: Option<u64>,
    /// The highest price that is paid.
    #[serde(default, with = "super::raw::optional")]
    pub bid_raw: Option<u64>,
    /// As little as is needed is paid, up to `bid_raw`.
    pub bid_auto: bool,
}

/// A connected peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PeerRow {
    /// The connection's number: never used again while the client runs.
    pub connection: u64,
    /// Where the peer is.
    pub addr: SocketAddr,
    /// We dialled it.
    pub outgoing: bool,
    /// What the connection runs on.
    pub transport: TransportOf,
    /// Whether it is enciphered.
    pub encryption: EncryptionOf,
    /// What it calls itself.
    pub client: Option<String>,
    /// Bytes received from it.
    pub downloaded: u64,
    /// Bytes sent to it.
    pub uploaded: u64,
    /// Bytes a second received from it.
    pub down_rate: u64,
    /// Bytes a second sent to it.
    pub up_rate: u64,
    /// We do not serve it.
    pub choking: bool,
    /// We want its data.
    pub interested: bool,
    /// It does not serve us.
    pub peer_choking: bool,
    /// It wants our data.
    pub peer_interested: bool,
    /// Thousandths of the pieces that it has.
    pub progress_permille: u16,
    /// What is paid on this connection; `None`: it speaks of no payment.
    pub paid: Option<PaidPeer>,
}

/// What a connection runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TransportOf {
    /// TCP.
    Tcp,
    /// uTP (BEP 29).
    Utp,
}

/// Whether a connection is enciphered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EncryptionOf {
    /// It is not.
    None,
    /// All of it is.
    Full,
}

/// What is paid on a connection. Amounts are in raw units, prices in raw units per GiB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PaidPeer {
    /// The peer's account, once it is proven.
    pub account: Option<Address>,
    /// What it pays us.
    #[serde(serialize_with = "super::raw::optional::serialize")]
    pub sale_price_raw: Option<u64>,
    /// What we pay it.
    #[serde(serialize_with = "super::raw::optional::serialize")]
    pub purchase_price_raw: Option<u64>,
    /// Spent with this account since the client was started.
    #[serde(serialize_with = "super::raw::serialize")]
    pub spent_raw: u64,
    /// Earned with this account since the client was started.
    #[serde(serialize_with = "super::raw::serialize")]
    pub earned_raw: u64,
    /// Owed to us by its receipts, and not settled.
    pub owed_raw: RawAmount,
    /// Bytes sent to its account and not receipted.
    pub unpaid_bytes: u64,
    /// Bytes that may be sent to its account ahead of receipts.
    pub window_bytes: u64,
    /// Why it is held, if it is.
    pub held: Option<String>,
}

/// A tracker of a torrent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrackerRow {
    /// Its address.
    pub url: String,
    /// The group it is in: those of the first are asked first.
    pub tier: u32,
    /// What came of the last announce.
    pub state: TrackerState,
    /// Peers that it named in its last answer.
    pub peers: Option<u32>,
    /// What it said, or why it did not help.
    pub message: Option<String>,
    /// When it answered last, or was seen to fail.
    pub answered: Option<UnixMs>,
}

/// What came of a tracker's last announce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TrackerState {
    /// It has not answered yet.
    Waiting,
    /// It answered.
    Works,
    /// It did not help.
    Failed,
}

/// A file of a torrent, without padding files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileRow {
    /// Its position in the torrent, from 0 on, padding files counted.
    pub index: u32,
    /// Its path in the torrent's folder, with `/` between the parts.
    pub path: String,
    /// Its bytes.
    pub size: u64,
    /// Those of them that are in pieces that are there.
    pub have: u64,
    /// It is downloaded.
    pub wanted: bool,
    /// How soon, beside other files that are.
    pub priority: FilePriority,
    /// The first piece with bytes of it.
    pub first_piece: u32,
    /// The last piece with bytes of it.
    pub last_piece: u32,
}

#[cfg(test)]
impl TorrentRow {
    /// One that has nothing, for tests of those who show it.
    pub(crate) fn empty(hash: InfoHash, state: TorrentState) -> Self {
        Self {
            hash,
            name: hash.to_string(),
            state,
            place: 0,
            trouble: None,
            obstacle: None,
            complete: false,
            private: None,
            folder: PathBuf::new(),
            path: None,
            move_to: None,
            not_moved: None,
            category: None,
            tags: Vec::new(),
            size: 0,
            wanted: 0,
            left: 0,
            pieces: 0,
            pieces_have: 0,
            piece_length: 0,
            checked_permille: None,
            began_with: None,
            hashed: 0,
            downloaded: 0,
            uploaded: 0,
            session_downloaded: 0,
            session_uploaded: 0,
            wasted: 0,
            down_rate: 0,
            up_rate: 0,
            eta_secs: None,
            peers: 0,
            seeds: 0,
            web_seeds: 0,
            ratio_permille: 0,
            limits: Limits::default(),
            goals: Goals::default(),
            reached: None,
            prices: Prices::default(),
            earned_raw: 0,
            spent_raw: 0,
            added: UnixMs(0),
            completed: None,
            active_secs: Age::default(),
            seeding_secs: Age::default(),
            last_activity: None,
            magnet: String::new(),
            comment: None,
        }
    }
}

#[cfg(test)]
impl Torrent {
    /// One without peers, trackers and files.
    pub(crate) fn of(row: TorrentRow) -> Self {
        fn first<T>(value: T) -> Versioned<T> {
            Versioned {
                revision: Revision(1),
                value,
            }
        }
        Self {
            revision: Revision(1),
            row: first(Arc::new(row)),
            peers: first(Vec::new().into()),
            trackers: first(Vec::new().into()),
            files: first(Vec::new().into()),
            pieces: first(Vec::new().into()),
        }
    }
}
