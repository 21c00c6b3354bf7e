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
    swarm::{
        TorrentHandle,
        metainfo::Info,
        relocate::{self, MoveError, Recovered},
    },
    types::InfoHash,
};

/// What came of a move.
pub(super) struct Moved {
    /// Where to.
    folder: PathBuf,
    /// The file or folder at its new place.
    path: Result<PathBuf, MoveError>,
    /// Where it is now: it may be there though its original could not be deleted.
    at: Option<PathBuf>,
}

impl Wish {
    /// The file or folder, if its name is known.
    fn root(&self) -> Option<PathBuf> {
        match &self.place {
            Place::Folder(folder) => Some(folder.join(self.known.info()?.name())),
            Place::Content(path) => Some(path.clone()),
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
    /// A client that was killed while content was moved, or before it noted that: what was
    /// moved is where it was to go, and what was not stays.
    pub(super) async fn recover_moves(&mut self) {
        let mut begun = Vec::new();
        for (hash, entry) in &self.entries {
            let Some(info) = entry.wish.known.info() else {
                continue;
            };
            let is_begun = |to: &&PathBuf| relocate::is_begun(info, to);
            let complete = entry.wish.move_to.as_ref().filter(is_begun);
            for to in entry.wish.moving.as_ref().into_iter().chain(complete) {
                begun.push((*hash, info.clone(), to.clone()));
            }
        }
        for (hash, info, to) in begun {
            self.recover_move(hash, info, to).await;
        }
    }

    async fn recover_move(&mut self, hash: InfoHash, info: Info, to: PathBuf) {
        let target = to.join(info.name());
        let session = self.session.clone();
        let Some(entry) = self.entries.get_mut(&hash) else {
            return;
        };
        let Some(from) = entry.wish.root() else {
            return;
        };
        let read_only = matches!(entry.wish.place, Place::Content(_));
        let recovered = session.recover_move(info, &from, &to, read_only).await;
        let name = entry.name();
        let told = match recovered {
            Ok(found) => {
                let told = entry.wish.moving.take().is_some();
                self.unwritten.insert(hash);
                match found {
                    Recovered::Moved => {
                        tracing::info!(%hash, path = %target.display(), "moved before it was killed");
                        entry.wish.is_at(to, target);
                        return;
                    }
                    Recovered::Both if told => format!(
                        "{name}: a move was cut off, and something lies at {}, too",
                        target.display()
                    ),
                    // What is in the way is told when it is complete.
                    Recovered::NotMoved | Recovered::Both => return,
                }
            }
            // It is tried again at the next start.
            Err(error) => format!("{name}: a move was cut off: {error}"),
        };
        self.problem(
            ProblemCode::Disk,
            Some(hash.to_string()),
            told,
            "Look at both places, and delete what is not needed.",
        );
    }

    /// Notes that content is moved because somebody says so: a kill in between is seen at the
    /// next start.
    pub(super) async fn note_move(
        &mut self,
        hash: InfoHash,
        folder: &Path,
    ) -> Result<(), ClientError> {
        check_folder(folder)?;
        let entry = self.entries.get(&hash);
        let entry = entry.ok_or(ClientError::NoSuchTorrent(hash))?;
        match (entry.wish.removing, entry.live()) {
            (Some(_), _) => return Err(ClientError::BeingRemoved(hash)),
            (None, None) => return Err(ClientError::Paused(hash)),
            (None, Some(_)) if entry.wish.moving.is_some() => {
                return Err(ClientError::BeingMoved(hash));
            }
            (None, Some(_)) => {}
        }
        self.change_one(hash, |wish| wish.moving = Some(folder.to_owned()))
            .await
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
            let at = handle.path();
            Job::Moved(hash, Moved { folder, path, at }, reply)
        });
    }

    /// A move has ended.
    pub(super) async fn moved(&mut self, hash: InfoHash, moved: Moved, reply: Option<Reply>) {
        let Moved { folder, path, at } = moved;
        if let Some(entry) = self.entries.get_mut(&hash) {
            self.unseen.insert(hash);
            // One that somebody asked for runs beside that of complete content.
            entry.moving &= reply.is_some();
            if reply.is_some() {
                entry.wish.moving = None;
            }
            let before = entry.wish.root();
            let there = path.as_ref().ok().or(at.as_ref());
            let there = there
                .filter(|there| before.as_ref() != Some(*there))
                .cloned();
            if let Some(there) = there {
                entry.not_moved = None;
                entry.wish.is_at(folder, there);
            }
            // Whether it could be written is seen as a problem: it is moved.
            self.unwritten.insert(hash);
            self.keep_up(false, false).await;
            if path.is_ok() {
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
