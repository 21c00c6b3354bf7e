//! Moves content: because somebody says so, or because it is complete and has a folder to go to.

use std::path::{Path, PathBuf};

use super::{
    command::Answer,
    entry::{Entry, Place, Wish},
    error::ClientError,
    labels::check_folder,
    owner::{Job, Owner, Reply},
    snapshot::ProblemCode,
};
use crate::{
    swarm::{TorrentHandle, relocate::MoveError},
    types::InfoHash,
};

/// What came of a move.
pub(super) struct Moved {
    /// Where to.
    folder: PathBuf,
    /// The file or folder at its new place.
    path: Result<PathBuf, MoveError>,
}

impl Wish {
    /// A client that was killed after a move, before it noted it: the content is where it was
    /// to go.
    pub(super) fn find_moved(&mut self) {
        let (Some(to), Some(info)) = (&self.move_to, self.known.info()) else {
            return;
        };
        let from = match &self.place {
            Place::Folder(folder) => folder.join(info.name()),
            Place::Content(path) => path.clone(),
        };
        let target = to.join(info.name());
        let is_there = |path: &Path| std::fs::symlink_metadata(path).is_ok();
        if !is_there(&from) && is_there(&target) {
            let to = to.clone();
            self.is_at(to, target);
        }
    }

    /// Its content is in this folder now, and stays there.
    fn is_at(&mut self, folder: PathBuf, path: PathBuf) {
        self.move_to = None;
        self.place = match &self.place {
            Place::Folder(_) => Place::Folder(folder),
            Place::Content(_) => Place::Content(path),
        };
    }
}

impl Owner {
    /// Whether somebody may have it moved there.
    pub(super) fn check_move(&self, hash: InfoHash, folder: &Path) -> Result<(), ClientError> {
        check_folder(folder)?;
        let entry = self.entries.get(&hash);
        let entry = entry.ok_or(ClientError::NoSuchTorrent(hash))?;
        match (entry.wish.removing, entry.live()) {
            (Some(_), _) => Err(ClientError::BeingRemoved(hash)),
            (None, Some(_)) => Ok(()),
            (None, None) => Err(ClientError::Paused(hash)),
        }
    }

    /// Moves content because somebody says so; the answer comes when it is there.
    pub(super) fn start_move(&mut self, hash: InfoHash, folder: PathBuf, reply: Reply) {
        let live = self.entries.get(&hash).and_then(Entry::live);
        match live.map(|live| live.handle.clone()) {
            Some(handle) => self.spawn_move(hash, handle, folder, Some(reply)),
            None => {
                let _gone = reply.send(Err(ClientError::Paused(hash)));
            }
        }
    }

    /// Moves content that is complete to where it is to go.
    pub(super) fn move_complete(&mut self, hash: InfoHash) {
        let Some(entry) = self.entries.get_mut(&hash) else {
            return;
        };
        if !entry.is_to_move() || entry.moving {
            return;
        }
        let live = entry.live().filter(|live| live.handle.is_complete());
        let handle = live.map(|live| live.handle.clone());
        if let (Some(handle), Some(folder)) = (handle, entry.wish.move_to.clone()) {
            entry.moving = true;
            self.spawn_move(hash, handle, folder, None);
        }
    }

    fn spawn_move(
        &mut self,
        hash: InfoHash,
        handle: TorrentHandle,
        folder: PathBuf,
        reply: Option<Reply>,
    ) {
        self.jobs.spawn(async move {
            let path = handle.move_to(&folder).await;
            Job::Moved(hash, Moved { folder, path }, reply)
        });
    }

    /// A move has ended.
    pub(super) async fn moved(&mut self, hash: InfoHash, moved: Moved, reply: Option<Reply>) {
        let Moved { folder, path } = moved;
        if let Some(entry) = self.entries.get_mut(&hash) {
            entry.touched = true;
            // One that somebody asked for runs beside that of complete content.
            entry.moving &= reply.is_some();
            if let Ok(path) = &path {
                entry.not_moved = None;
                entry.wish.is_at(folder, path.clone());
                // Whether it could be written is seen as a problem: it is moved.
                self.unwritten.insert(hash);
                self.keep_up(false, false).await;
                self.over(ProblemCode::Disk, Some(hash.to_string()));
            }
        }
        match (reply, path) {
            (Some(reply), path) => {
                let answer = path.map(|path| Answer::Moved { path });
                let _gone = reply.send(answer.map_err(Into::into));
            }
            (None, Ok(path)) => tracing::info!(%hash, path = %path.display(), "moved"),
            (None, Err(error)) => self.not_moved(hash, error.to_string()),
        }
    }

    /// Complete content stays where it is, against what was wanted.
    fn not_moved(&mut self, hash: InfoHash, why: String) {
        let Some(entry) = self.entries.get_mut(&hash) else {
            return;
        };
        // Moved meanwhile, because somebody said so.
        if entry.wish.move_to.is_none() {
            return;
        }
        let message = format!("{}: {why}", entry.name());
        entry.not_moved = Some(why);
        self.problem(
            ProblemCode::Disk,
            Some(hash.to_string()),
            message,
            "Mend what is in its way and resume the torrent: then it is moved.",
        );
    }
}
