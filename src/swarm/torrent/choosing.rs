//! Other files are wanted of a torrent that runs: its connections stay.

use std::{fs, sync::Arc};

use super::{Place, Torrent, core::Input};
use crate::swarm::{
    bitfield::Bitfield,
    lock::lock,
    metainfo::Info,
    phase::{Pause, Phase, Resumes},
    selection::{Selection, SelectionError, Wanted},
    storage::{Storage, StorageError, own_path},
};

/// Why other files cannot be chosen while a torrent runs. Its choice is what it was.
#[derive(Debug, thiserror::Error)]
pub enum ChooseError {
    /// The torrent has no such files.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// Its content is only read.
    #[error("all files of content that is only shared are shared")]
    OnlyShared,
    /// It is not known what is on disk, or the torrent ends: it is to be started anew.
    #[error("the torrent is being checked, or ends")]
    NotNow,
    /// A file lies where one that is wanted now belongs, and was not looked at yet: the
    /// torrent is to be started anew.
    #[error("{0} is there already; it is to be checked first")]
    There(std::path::PathBuf),
    /// A file cannot be made or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Torrent {
    /// Has other files be downloaded from now on. Connections stay, and what was requested is
    /// taken in. A file that is left out stays where it is. While the metadata is missing, the
    /// choice is kept until it is there.
    pub(in crate::swarm) async fn choose_files(
        self: Arc<Self>,
        files: Selection,
    ) -> Result<(), ChooseError> {
        if let Place::Content(_) = self.setup.place {
            return Err(ChooseError::OnlyShared);
        }
        {
            let mut choice = lock(&self.choice);
            // A check that begins looks at it after it has its phase.
            if matches!(
                *self.phase.borrow(),
                Phase::Metadata | Phase::Paused(Pause::Asked(Resumes::Metadata))
            ) {
                *choice = Some(files);
                return Ok(());
            }
        }
        let Some(info) = self.info.get().cloned() else {
            return Err(ChooseError::NotNow);
        };
        let wanted = Wanted::files(&info, files.choose(&info)?);
        // One change of the files at a time: nobody writes to them, nor moves them.
        let writing = self.writing.clone().write_owned().await;
        let this = self.clone();
        let job = tokio::task::spawn_blocking(move || {
            let _writing = writing;
            this.choose_blocking(&info, wanted)?;
            *lock(&this.choice) = Some(files);
            Ok(())
        });
        job.await.map_err(|_| ChooseError::NotNow)?
    }

    fn choose_blocking(self: &Arc<Self>, info: &Info, wanted: Wanted) -> Result<(), ChooseError> {
        let (Some(from), Some(have)) = (self.storage(), self.have()) else {
            return Err(ChooseError::NotNow);
        };
        if !self.phase.borrow().is_checked() {
            return Err(ChooseError::NotNow);
        }
        let mut needed = wanted.pieces().clone();
        have.iter().for_each(|piece| {
            needed.remove(piece);
        });
        let more = Self::without_a_file(info, &from, &wanted)?;
        if !(needed.is_empty() && more.is_empty()) {
            self.claim_again(info, &from)?;
        }
        // A record speaks of what is on stable storage alone.
        from.sync()?;
        {
            // Nobody reads a file while its bytes come to another one.
            let _still = self.moving.blocking_write();
            let storage = match more.is_empty() {
                true => from,
                false => {
                    let to = from.with_files(info, &more);
                    to.prepare_files(self.setup.room, |at| more.has(at))?;
                    Arc::new(to)
                }
            };
            let mut settled = Bitfield::full(needed.len());
            needed.iter().for_each(|piece| {
                settled.remove(piece);
            });
            storage.check_writable(&settled)?;
            *lock(&self.storage) = Some(storage.clone());
            if let Some(resume) = &mut *lock(&self.resume) {
                resume.choose(&wanted);
            }
            self.record_now(&have, &storage);
            match storage.drop_parts() {
                Ok(true) => self.record_now(&have, &storage),
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "the part file stays"),
            }
        }
        *lock(&self.wanted) = Some(Arc::new(wanted.clone()));
        self.input(Input::Chosen(Box::new(wanted)));
        if self.phase.borrow().frees_files() {
            drop(lock(&self.claimed).take());
        }
        Ok(())
    }

    /// The wanted files that have no file of their own yet, by position.
    fn without_a_file(
        info: &Info,
        from: &Storage,
        wanted: &Wanted,
    ) -> Result<Bitfield, ChooseError> {
        let in_place = from.in_place();
        let mut more = Bitfield::empty(in_place.len());
        for (at, file) in (0..).zip(info.files()) {
            if file.pad || in_place.has(at) || !wanted.chosen().has(at) {
                continue;
            }
            let path = own_path(info, from.root(), file);
            if fs::symlink_metadata(&path).is_ok() {
                return Err(ChooseError::There(path));
            }
            more.insert(at);
        }
        Ok(more)
    }

    /// Keeps other downloads from the content again, if this one did not write any more.
    fn claim_again(&self, info: &Info, storage: &Storage) -> Result<(), ChooseError> {
        if lock(&self.claimed).is_some() {
            return Ok(());
        }
        let again = storage.claim(info.is_single_file())?;
        if again.made {
            // What was there is gone.
            return Err(ChooseError::NotNow);
        }
        *lock(&self.claimed) = Some(again);
        Ok(())
    }
}
