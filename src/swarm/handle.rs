//! A torrent as its owner sees it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::broadcast;

use super::{
    bitfield::Bitfield,
    events::Event,
    file_priority::FilePriorities,
    goals::{Goal, SeedGoals},
    metainfo::{Info, Magnet},
    peer::PeerRow,
    phase::{Pause, Phase, Resumes},
    ports::PortMapping,
    relocate::MoveError,
    selection::Selection,
    torrent::{ChooseError, PeerSource, Torrent},
    web::WebSeedRow,
};
use crate::types::InfoHash;

/// A torrent of a session. Clones are the same torrent; it does not keep its
/// session alive.
#[derive(Clone)]
pub struct TorrentHandle {
    torrent: Arc<Torrent>,
}

/// A torrent did not complete.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TorrentError {
    /// It cannot go on, or not before it is resumed.
    #[error("{0}")]
    Failed(String),
    /// It was stopped before.
    #[error("the torrent was stopped before it was complete")]
    Stopped,
}

/// Figures of a torrent at one moment.
#[derive(Debug, Clone)]
pub struct Stats {
    /// Where it is in its life.
    pub phase: Phase,
    /// Pieces that are there.
    pub pieces_have: u32,
    /// All pieces; 0 while the metadata is missing.
    pub pieces: u32,
    /// Bytes of the wanted files; 0 while the metadata is missing.
    pub bytes: u64,
    /// Those of them that are still missing.
    pub bytes_left: u64,
    /// Bytes of chunks received in this session, good or not.
    pub downloaded: u64,
    /// Bytes of chunks sent in this session.
    pub uploaded: u64,
    /// Bytes received that were of no use.
    pub wasted: u64,
    /// Those of them that were paid all the same: two sellers sent the same chunk.
    pub paid_duplicates: u64,
    /// How long it has been complete and shared.
    pub seeding_for: Duration,
    /// Bytes a second received.
    pub down_rate: u64,
    /// Bytes a second sent.
    pub up_rate: u64,
    /// One row for each connection.
    pub peers: Vec<PeerRow>,
    /// One row for each web seed.
    pub web_seeds: Vec<WebSeedRow>,
}

impl TorrentHandle {
    pub(super) fn new(torrent: Arc<Torrent>) -> Self {
        Self { torrent }
    }

    /// How often the torrent's lock was taken.
    #[cfg(test)]
    pub(super) fn takings(&self) -> u64 {
        self.torrent
            .taken
            .load(std::sync::atomic::Ordering::Relaxed)
    }

    /// How often the torrent's task ticked, and whether it sleeps for longer than a tick now.
    #[cfg(test)]
    pub(super) fn ticks(&self) -> (u64, bool) {
        let ticks = &self.torrent.ticks;
        let ticks = ticks.load(std::sync::atomic::Ordering::Relaxed);
        (ticks, self.torrent.sleeps())
    }

    /// The torrent's identity.
    pub fn info_hash(&self) -> InfoHash {
        self.torrent.hash
    }

    /// Its name, or what the magnet link calls it.
    pub fn name(&self) -> Option<String> {
        self.torrent.name()
    }

    /// The info dictionary, once it is there.
    pub fn info(&self) -> Option<Arc<Info>> {
        self.torrent.info()
    }

    /// The file, or the folder with the files, once that is known.
    pub fn path(&self) -> Option<PathBuf> {
        self.torrent.path()
    }

    /// How many files are wanted, and of how many, if not all of them are.
    pub fn chosen(&self) -> Option<(usize, usize)> {
        self.torrent.chosen()
    }

    /// The pieces that are there, once that is known.
    pub fn have(&self) -> Option<Bitfield> {
        self.torrent.have()
    }

    /// The wanted files by position, once that is known.
    pub fn wanted_files(&self) -> Option<Bitfield> {
        self.torrent.wanted_files()
    }

    /// Its trackers, one tier after the other.
    pub fn tracker_tiers(&self) -> Vec<Vec<String>> {
        self.torrent.tracker_tiers()
    }

    /// Changes which of the wanted files are downloaded first. Connections stay; pieces that
    /// are begun are finished.
    pub fn set_priorities(&self, files: FilePriorities) {
        self.torrent.set_priorities(files);
    }

    /// Has other files be downloaded from now on. Connections stay: pieces that are wanted now
    /// are asked for, others are not, and what was requested of them is still taken in; those
    /// of which a part is owed to a seller are finished, as long as others are missing. Files
    /// that are left out stay where they are.
    ///
    /// # Errors
    /// See [`ChooseError`].
    pub async fn choose_files(&self, files: Selection) -> Result<(), ChooseError> {
        self.torrent.clone().choose_files(files).await
    }

    /// Changes the trackers, one tier after the other; `named` are those of them that the user
    /// names, see [`AddOptions::trackers`](super::AddOptions::trackers). Connections stay.
    /// A tracker that is not there any more is told that we leave.
    pub fn set_trackers(&self, tiers: &[Vec<String>], named: &[String]) {
        self.torrent.set_trackers(tiers, named);
    }

    /// A link for others: with its trackers, without this session's address.
    pub fn magnet(&self) -> Magnet {
        Magnet {
            info_hash: self.torrent.hash,
            name: self.torrent.name(),
            trackers: self.torrent.trackers(),
            web_seeds: self.torrent.public_web_seeds(),
            peers: Vec::new(),
            files: Vec::new(),
        }
    }

    /// Asks the trackers for peers now: as soon as those that answered allow it, and at once
    /// those that did not.
    pub fn reannounce(&self) {
        self.torrent.reannounce();
    }

    /// Dials one more peer.
    pub fn add_peer(&self, addr: SocketAddr) {
        self.torrent.add_peers(&[addr], PeerSource::User);
    }

    /// The torrent's events: for the first listener all since the torrent was added, for
    /// others all from now on. A listener that is 128 events behind misses the oldest and
    /// is told how many.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.torrent.events()
    }

    /// Where it is in its life.
    pub fn phase(&self) -> Phase {
        self.torrent.phase().borrow().clone()
    }

    /// Changes the limit of its uploads, in bytes a second; the session's holds too.
    pub fn set_up_limit(&self, rate: Option<u64>) {
        self.torrent.set_limit(&self.torrent.up_limit, rate);
    }

    /// Changes the limit of its downloads, in bytes a second; the session's holds too.
    pub fn set_down_limit(&self, rate: Option<u64>) {
        self.torrent.set_limit(&self.torrent.down_limit, rate);
    }

    /// Whether the session's gateway lets peers in.
    pub fn port_mapping(&self) -> PortMapping {
        self.torrent.shared.port_mapping()
    }

    /// Changes what ends its sharing; one that has ended stays so.
    pub fn set_goals(&self, goals: SeedGoals) {
        self.torrent.set_goals(goals);
    }

    /// The goal that has ended its sharing, if one has.
    pub fn reached(&self) -> Option<Goal> {
        self.torrent.reached()
    }

    /// Pauses it: what is due is settled, connections are closed, trackers are told, and
    /// nothing is read or written until [`resume`](Self::resume). A check of its files is
    /// broken off. Nothing happens if it is paused already, or ends.
    pub fn pause(&self) {
        self.torrent.pause();
    }

    /// Goes on where it was paused. Files that could not be read or made are checked again,
    /// and a disk that refused is tried again. Nothing happens if it is not paused.
    pub fn resume(&self) {
        self.torrent.resume();
    }

    /// Waits until it has stopped, failed, or cannot go on before it is resumed
    /// ([`Phase::trouble`]), and which of these.
    pub async fn wait_over(&self) -> Phase {
        let over = |phase: &Phase| *phase == Phase::Stopped || phase.trouble().is_some();
        let mut phase = self.torrent.phase();
        let reached = phase.wait_for(over).await;
        // The sender lives as long as the torrent.
        reached.map_or(Phase::Stopped, |phase| phase.clone())
    }

    /// Figures at this moment.
    pub fn stats(&self) -> Stats {
        let peers = self.torrent.rows();
        let web_seeds = self.torrent.web_seed_rows();
        let from_web: u64 = web_seeds.iter().map(|seed| seed.down_rate).sum();
        let (pieces_have, pieces) = self.torrent.progress();
        let (downloaded, uploaded, wasted) = self.torrent.totals();
        let total = || self.torrent.info().map(|info| info.layout().total());
        let bytes = self.torrent.bytes_wanted().or_else(total).unwrap_or(0);
        let phase = self.phase();
        let unknown = matches!(
            phase,
            Phase::Metadata
                | Phase::Checking { .. }
                | Phase::Paused(
                    Pause::CheckFailed(_) | Pause::Asked(Resumes::Metadata | Resumes::Checking)
                )
        );
        let left = self.torrent.bytes_left();
        Stats {
            phase,
            pieces_have,
            pieces,
            bytes,
            bytes_left: if unknown { bytes } else { left },
            downloaded,
            uploaded,
            wasted,
            paid_duplicates: self.torrent.duplicate_bytes(),
            seeding_for: self.torrent.seeding_for(),
            down_rate: peers.iter().map(|peer| peer.down_rate).sum::<u64>() + from_web,
            up_rate: peers.iter().map(|peer| peer.up_rate).sum(),
            peers,
            web_seeds,
        }
    }

    /// Waits until data on disk was checked and transfers have begun.
    ///
    /// # Errors
    /// The torrent failed or was stopped before, or its files cannot be read or made
    /// ([`Phase::trouble`]).
    pub async fn wait_ready(&self) -> Result<(), TorrentError> {
        self.wait(Phase::is_checked).await
    }

    /// Waits until everything that is wanted is there and on disk; its path.
    ///
    /// # Errors
    /// The torrent failed or was stopped before, or its files cannot be read or made
    /// ([`Phase::trouble`]).
    pub async fn wait_complete(&self) -> Result<PathBuf, TorrentError> {
        self.wait(|phase| {
            let paused = Phase::Paused(Pause::Asked(Resumes::Seeding));
            *phase == Phase::Seeding || *phase == paused
        })
        .await?;
        Ok(self.torrent.path().unwrap_or_default())
    }

    async fn wait(&self, wanted: impl Fn(&Phase) -> bool) -> Result<(), TorrentError> {
        let over = |phase: &Phase| phase.is_ending() || phase.trouble().is_some();
        let mut phase = self.torrent.phase();
        let reached = phase.wait_for(|phase| wanted(phase) || over(phase)).await;
        let phase = reached.map_err(|_| TorrentError::Stopped)?.clone();
        match phase.trouble() {
            Some(why) => Err(TorrentError::Failed(why.to_owned())),
            None if wanted(&phase) || self.torrent.is_complete() => Ok(()),
            _ => Err(TorrentError::Stopped),
        }
    }

    /// Whether everything that is wanted is there.
    pub fn is_complete(&self) -> bool {
        self.torrent.is_complete()
    }

    /// Whether it failed because a file is in its place that is not its own:
    /// [`AddOptions::overwrite`](super::AddOptions::overwrite) would write over it.
    pub fn is_file_in_the_way(&self) -> bool {
        self.torrent
            .in_the_way
            .load(std::sync::atomic::Ordering::Acquire)
    }

    /// Moves complete content into `folder`, across file systems too, and goes on from
    /// there; its new path. Nothing is overwritten. At every moment the content is
    /// whole in one place or the other; see [`relocate`](super::relocate).
    ///
    /// # Errors
    /// See [`MoveError`]. The content is where it was, unless the original of a copy
    /// could not be removed.
    pub async fn move_to(&self, folder: &Path) -> Result<PathBuf, MoveError> {
        self.torrent.clone().move_to(folder.to_owned()).await
    }

    /// Stops in order: extensions settle what is due (at most `grace`), the
    /// trackers are told, what is verified is recorded.
    pub async fn finish(&self, grace: Duration) {
        self.torrent.clone().finish(grace).await;
    }
}
