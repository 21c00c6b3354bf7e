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
    relocate::{MoveError, copy_content, remove, rename_content},
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
        let in_place = from.in_place();
        let to = Arc::new(Storage::new(&info, &target, |at| in_place.has(at)));
        let this = self.clone();
        let job = tokio::task::spawn_blocking(move || {
            let _writing = writing;
            // Nobody reads a file while its name changes.
            let still = this.moving.blocking_write();
            let renamed = rename_content(&from, &to)?;
            if renamed {
                this.now_at(&target, &have, &to);
                return Ok(target);
            }
            drop(still);
            let go_on = || !this.is_ending();
            copy_content(&info, &have, &from, &to, &go_on)?;
            let _still = this.moving.blocking_write();
            this.now_at(&target, &have, &to);
            remove(&from)?;
            Ok(target)
        });
        job.await.map_err(|_| MoveError::Ended)?
    }

    /// The content has another place; what is known of it is known there.
    fn now_at(&self, root: &Path, have: &Bitfield, storage: &Arc<Storage>) {
        *lock(&self.storage) = Some(storage.clone());
        let mut held = lock(&self.resume);
        let (Some(old), Some(dir)) = (held.take(), self.shared.state_dir.as_deref()) else {
            return;
        };
        let new = Resume::new(&dir.join("resume"), self.hash, root).and_then(|mut new| {
            if let Some(wanted) = self.wanted() {
                new.choose(&wanted);
            }
            new.save(have, storage, false)?;
            Ok(new)
        });
        match new {
            Ok(new) => *held = Some(new),
            // It is hashed at the next start.
            Err(error) => tracing::warn!(%error, "cannot record what is verified"),
        }
        old.forget();
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
    if let Some(made) = record.in_place(info.file_count()) {
        remove(&Storage::new(info, root, |at| made.has(at)))?;
        record.forget();
    }
    Ok(())
}
