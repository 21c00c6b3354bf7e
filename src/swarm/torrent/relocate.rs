//! Moves a complete torrent's content, and goes on from the new place.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Place, Torrent, resume::Resume};
use crate::swarm::{
    bitfield::Bitfield,
    lock::lock,
    metainfo::Info,
    relocate::{
        Hooks, MoveError, Recovered, copy_content, find, remove, remove_staging, rename_content,
    },
    selection::Wanted,
    storage::{Storage, StorageError},
};

impl Torrent {
    /// Moves the content into `folder`; its new path.
    pub(in crate::swarm) async fn move_to(
        self: Arc<Self>,
        folder: PathBuf,
    ) -> Result<PathBuf, MoveError> {
        // One move at a time, and the end waits for it.
        let writing = self.writing.clone().write_owned().await;
        let (Some(info), Some(from)) = (self.info.get().cloned(), self.storage()) else {
            return Err(MoveError::Incomplete);
        };
        let Some(have) = self.have().filter(|_| self.is_complete()) else {
            return Err(MoveError::Incomplete);
        };
        let target = folder.join(info.name());
        if from.root() == target {
            return Ok(target);
        }
        let in_place = from.in_place();
        let to = Arc::new(Storage::new(&info, &target, |at| in_place.has(at)));
        let this = self.clone();
        let job = tokio::task::spawn_blocking(move || {
            let _writing = writing;
            let record = |files: &Storage| drop(this.record_at(&target, &have, files));
            let forget = || this.forget_record_at(&target);
            let hooks = Hooks {
                record: &record,
                forget: &forget,
                done: &|_| {},
            };
            // Nobody reads a file while its name changes.
            let still = this.moving.blocking_write();
            let renamed = rename_content(&from, &to, &hooks)?;
            if renamed {
                if let Some(old) = this.now_at(&target, &have, &to) {
                    old.forget();
                }
                return Ok(target);
            }
            drop(still);
            let go_on = || !this.is_ending();
            copy_content(&info, &have, &from, &to, &hooks, &go_on)?;
            let still = this.moving.blocking_write();
            let old = this.now_at(&target, &have, &to);
            drop(still);
            remove(&from)?;
            // Until then it says whose the original is.
            if let Some(old) = old {
                old.forget();
            }
            Ok(target)
        });
        job.await.map_err(|_| MoveError::Ended)?
    }

    /// Records for another place what is verified of these files. `None`: nothing is recorded.
    fn record_at(&self, root: &Path, have: &Bitfield, files: &Storage) -> Option<Resume> {
        let dir = self.shared.state_dir.as_deref();
        let dir = dir.filter(|_| lock(&self.resume).is_some())?;
        let new = Resume::new(&dir.join("resume"), self.hash, root).and_then(|mut new| {
            if let Some(wanted) = self.wanted() {
                new.choose(&wanted);
            }
            new.save(have, files, false)?;
            Ok(new)
        });
        // It is hashed at the next start.
        let warn =
            |error: &std::io::Error| tracing::warn!(%error, "cannot record what is verified");
        new.inspect_err(warn).ok()
    }

    fn forget_record_at(&self, root: &Path) {
        let Some(dir) = self.shared.state_dir.as_deref() else {
            return;
        };
        match Resume::new(&dir.join("resume"), self.hash, root) {
            Ok(record) => record.forget(),
            Err(error) => tracing::warn!(%error, "cannot take a record away"),
        }
    }

    /// The content has another place; what is known of it is known there. The record of the
    /// old place.
    fn now_at(&self, root: &Path, have: &Bitfield, storage: &Arc<Storage>) -> Option<Resume> {
        *lock(&self.storage) = Some(storage.clone());
        let new = self.record_at(root, have, storage);
        std::mem::replace(&mut *lock(&self.resume), new)
    }

    /// Where its content is: at `root`, or where it was moved before a kill or an end. What was
    /// left to do of the move is done.
    pub(super) async fn is_at(
        &self,
        info: &Arc<Info>,
        root: PathBuf,
    ) -> Result<PathBuf, MoveError> {
        let (folder, dir) = (self.setup.moves_to.clone(), self.shared.state_dir.clone());
        let (Some(folder), Some(dir)) = (folder, dir) else {
            return Ok(root);
        };
        let (info, wanted) = (info.clone(), self.wanted());
        let job = tokio::task::spawn_blocking(move || {
            find_moved(&dir, &info, root, &folder, wanted.as_deref())
        });
        job.await.map_err(|_| MoveError::Ended)?
    }

    /// What it made on disk; `None`: its content is only read, or it is not known yet
    /// whose files are there.
    pub(in crate::swarm) fn made_here(&self) -> Option<Arc<Storage>> {
        let made = matches!(self.setup.place, Place::Folder(_)) && self.have().is_some();
        self.storage().filter(|_| made)
    }

    /// There is nothing of it any more.
    pub(in crate::swarm) fn forget_record(&self) {
        if let Some(record) = lock(&self.resume).take() {
            record.forget();
        }
    }
}

/// Deletes what a torrent that does not run made at `root`, as its record in `dir` says, and
/// the record.
pub(in crate::swarm) fn forget_content(
    dir: &Path,
    info: &Info,
    root: &Path,
) -> Result<(), MoveError> {
    let opened = Resume::new(&dir.join("resume"), info.hash(), root);
    let record = opened.map_err(|source| StorageError::new("read", dir, source))?;
    let recorded = record.recorded();
    if let Some(made) = recorded.and_then(|recorded| recorded.in_place(info.file_count())) {
        remove(&Storage::new(info, root, |at| made.has(at)))?;
        record.forget();
    }
    Ok(())
}

/// The record in `dir` of what is at `root`, and the files that it speaks of.
fn known_at(dir: &Path, info: &Info, root: &Path) -> Result<(Resume, Storage), MoveError> {
    let record = Resume::new(&dir.join("resume"), info.hash(), root);
    let record = record.map_err(|source| StorageError::new("read", dir, source))?;
    let files = info.file_count();
    let in_place = record
        .recorded()
        .and_then(|recorded| recorded.in_place(files));
    let in_place = in_place.unwrap_or_else(|| Bitfield::full(files));
    let storage = Storage::new(info, root, |at| in_place.has(at));
    Ok((record, storage))
}

/// Whether content was moved into `folder`, by what a session with this state folder has
/// recorded: all that is wanted is there, and nobody touched it since. `wanted`: else what was
/// chosen then, or all.
///
/// # Errors
/// The folder for records cannot be made.
pub(in crate::swarm) fn is_moved(
    dir: &Path,
    info: &Info,
    folder: &Path,
    wanted: Option<&Wanted>,
) -> Result<bool, MoveError> {
    let (record, there) = known_at(dir, info, &folder.join(info.name()))?;
    let recorded = || record.recorded()?.chosen(info.file_count());
    let chosen = || match recorded() {
        Some(files) => Wanted::files(info, files),
        None => Wanted::all(info),
    };
    let wanted = wanted.cloned().unwrap_or_else(chosen);
    Ok(record.holds(&there, wanted.pieces()))
}

/// Where content is that was to be moved from `root` into `folder`. If it was moved, what was
/// left to do of that is done.
fn find_moved(
    dir: &Path,
    info: &Info,
    root: PathBuf,
    folder: &Path,
    wanted: Option<&Wanted>,
) -> Result<PathBuf, MoveError> {
    if !is_moved(dir, info, folder, wanted)? {
        return Ok(root);
    }
    let target = folder.join(info.name());
    let (record, from) = known_at(dir, info, &root)?;
    // What somebody put there since stays.
    if from.is_absent() || record.owns(&from, info.layout().pieces()) {
        recover_move(Some(dir), info, &root, &target, false)?;
    }
    Ok(target)
}

/// Finds out what became of a move that a kill cut off, from `from` to `to`, and finishes it, or
/// takes away what is left of it. `read_only`: it was content that is only shared.
pub(in crate::swarm) fn recover_move(
    dir: Option<&Path>,
    info: &Info,
    from: &Path,
    to: &Path,
    read_only: bool,
) -> Result<Recovered, MoveError> {
    let record = |root: &Path| {
        let opened = dir.map(|dir| Resume::new(&dir.join("resume"), info.hash(), root));
        let opened = opened.transpose();
        opened.map_err(|source| StorageError::new("read", root, source))
    };
    let (old, new) = (record(from)?, record(to)?);
    let files = info.file_count();
    let of = |record: &Option<Resume>| record.as_ref()?.recorded()?.in_place(files);
    let known = of(&new).or_else(|| of(&old));
    let in_place = known.unwrap_or_else(|| Bitfield::full(files));
    let from = match read_only {
        true => Storage::content(info, from, |at| in_place.has(at)),
        false => Storage::new(info, from, |at| in_place.has(at)),
    };
    let to = Storage::new(info, to, |at| in_place.has(at));
    let pieces = info.layout().pieces();
    let is_whole = |files: &Storage| new.as_ref().is_some_and(|new| new.is_of(files, pieces));
    let found = find(&from, &to, is_whole)?;
    match found {
        Recovered::NotMoved => remove_staging(info, to.folder())?,
        Recovered::Moved => {
            remove_staging(info, to.folder())?;
            remove(&from)?;
            if let Some(old) = old {
                old.forget();
            }
        }
        Recovered::Both => {}
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
