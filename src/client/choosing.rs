//! Which files of a torrent are wanted. One that runs is told, and its connections stay; what it
//! cannot do so has it start anew.

use super::{
    command::Files,
    entry::{Entry, selection},
    owner::{Job, Owner},
};
use crate::types::InfoHash;

/// Whether a running torrent has taken a choice of files.
pub(super) struct Chosen {
    files: Files,
    taken: bool,
}

impl Owner {
    /// Has a torrent want other files. One choice at a time is told: the last one counts.
    pub(super) fn choose_files(&mut self, hash: InfoHash) {
        let Some(entry) = self.entries.get_mut(&hash) else {
            return;
        };
        entry.files_changed = true;
        if entry.live().is_none() {
            // It starts with this choice.
            entry.start_anew();
            return;
        }
        let (Some(live), Some(files)) = (entry.live(), entry.wish.files.clone()) else {
            return;
        };
        if entry.choosing {
            return;
        }
        let handle = live.handle.clone();
        entry.choosing = true;
        self.jobs.spawn(async move {
            // It was looked at before it became a wish.
            let taken = match selection(&files) {
                Ok(selection) => handle.choose_files(selection).await,
                Err(error) => Err(error.into()),
            };
            if let Err(error) = &taken {
                tracing::debug!(%hash, %error, "it starts anew for its files");
            }
            let taken = taken.is_ok();
            Job::Chosen(hash, Chosen { files, taken })
        });
    }

    /// A choice was told.
    pub(super) fn chosen(&mut self, hash: InfoHash, chosen: &Chosen) {
        let Some(entry) = self.entries.get_mut(&hash) else {
            return;
        };
        entry.choosing = false;
        self.unseen.insert(hash);
        entry.files_changed = true;
        if entry.wish.files.as_ref() != Some(&chosen.files) {
            self.choose_files(hash);
        } else if !chosen.taken {
            entry.start_anew();
        }
        self.reconcile(hash);
    }
}

impl Entry {
    /// Whether readers may not know yet which files are wanted. They do after this.
    pub(super) fn take_files_changed(&mut self) -> bool {
        std::mem::take(&mut self.files_changed)
    }
}
