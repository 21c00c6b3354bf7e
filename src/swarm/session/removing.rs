//! Takes torrents out of a session, with what they made.

use std::{path::Path, time::Duration};

use super::Session;
use crate::{
    swarm::{
        metainfo::Info,
        relocate::{MoveError, Recovered, remove as remove_files},
        torrent::{forget_content, recover_move},
    },
    types::InfoHash,
};

impl Session {
    /// Finishes a torrent, with at most `grace` for settling what is due, and takes it out:
    /// it may be added again. With `data`, the files that it made are deleted, and what was
    /// recorded of them; content that is only shared where it lies is never deleted. False
    /// if it is not in this session.
    ///
    /// # Errors
    /// A file cannot be deleted; the torrent is out of the session all the same.
    pub async fn remove(
        &self,
        hash: InfoHash,
        grace: Duration,
        data: bool,
    ) -> Result<bool, MoveError> {
        let shared = &self.guard.shared;
        let Some(torrent) = shared.torrent(hash) else {
            return Ok(false);
        };
        torrent.clone().finish(grace).await;
        let made = torrent.made_here().filter(|_| data);
        shared.forget(hash);
        if let Some(made) = made {
            let removed = tokio::task::spawn_blocking(move || remove_files(&made));
            removed.await.map_err(|_| MoveError::Ended)??;
            torrent.forget_record();
        }
        Ok(true)
    }

    /// Deletes the files that a torrent which is not in this session made in `folder`, by
    /// what was recorded of it, and the record. Without a record nothing is deleted.
    ///
    /// # Errors
    /// A file cannot be deleted.
    pub async fn remove_content(&self, info: Info, folder: &Path) -> Result<(), MoveError> {
        let Some(dir) = self.guard.shared.state_dir.clone() else {
            return Ok(());
        };
        let root = folder.join(info.name());
        let removed = tokio::task::spawn_blocking(move || forget_content(&dir, &info, &root));
        removed.await.map_err(|_| MoveError::Ended)?
    }

    /// Finds out what became of a [move](crate::swarm::TorrentHandle::move_to) of a torrent's
    /// content that a kill may have cut off, before the torrent is in this session: from
    /// `from`, the file or folder itself, into the folder `to`. A move whose content has its
    /// new name is finished; else, what is left of a copy is deleted. `read_only`: it was
    /// content that is only shared.
    ///
    /// # Errors
    /// A file cannot be moved or deleted.
    pub async fn recover_move(
        &self,
        info: Info,
        from: &Path,
        to: &Path,
        read_only: bool,
    ) -> Result<Recovered, MoveError> {
        let dir = self.guard.shared.state_dir.clone();
        let (from, to) = (from.to_owned(), to.join(info.name()));
        let recovered = tokio::task::spawn_blocking(move || {
            recover_move(dir.as_deref(), &info, &from, &to, read_only)
        });
        recovered.await.map_err(|_| MoveError::Ended)?
    }
}
