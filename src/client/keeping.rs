//! Keeps the list: reads it at the start, writes it, and the totals now and then.

use std::path::PathBuf;

use super::{
    days::Days,
    entry::Entry,
    look::Paid,
    owner::Owner,
    snapshot::ProblemCode,
    store::{Change, Folder, Kept, Settings, StoreError},
};
use crate::types::InfoHash;

/// Looks between two writings of the totals: 5 s.
pub(super) const TOTALS_LOOKS: u64 = 20;

/// Looks between two writings of the totals of torrents that only grew older: a minute for
/// each thousand torrents that there are.
const AGES_LOOKS: u64 = 240;

/// Looks between two writings of totals in which only the age changed, in a list of `torrents`.
pub(super) fn ages_looks(torrents: usize) -> u64 {
    let thousands = torrents.div_ceil(1000).max(1);
    AGES_LOOKS.saturating_mul(u64::try_from(thousands).unwrap_or(u64::MAX))
}

impl Owner {
    /// What was kept is wanted again.
    pub(super) fn restore(&mut self, kept: Kept, paid: &Paid) {
        if let Some(settings) = kept.settings {
            self.set_settings(settings);
        }
        for stored in kept.torrents {
            let hash = stored.wish.known.hash();
            let before = paid.torrents.get(&hash).copied().unwrap_or_default();
            let entry = Entry::new(stored.wish, stored.life, stored.standing, before);
            self.entries.insert(hash, entry);
        }
        self.number();
        self.days = Days::of(kept.days);
    }

    /// What is not of one torrent, as it is kept.
    pub(super) fn settings(&self) -> Settings {
        let folder = |folder: &Option<PathBuf>| folder.clone().map(Folder);
        let categories = self.book.categories.iter();
        Settings {
            categories: categories
                .map(|(name, at)| (name.clone(), folder(at)))
                .collect(),
            tags: self.book.tags.clone(),
            limits: Some(self.limits),
            prices: Some(self.prices),
            policy: Some(self.policy),
            queue: self.queue,
            past: self.past,
        }
    }

    pub(super) fn set_settings(&mut self, settings: Settings) {
        let categories = settings.categories.into_iter();
        self.book.categories = categories
            .map(|(name, folder)| (name, folder.map(|folder| folder.0)))
            .collect();
        self.book.tags = settings.tags;
        self.limits = settings.limits.unwrap_or(self.limits);
        self.prices = settings.prices.unwrap_or(self.prices);
        self.policy = settings.policy.unwrap_or(self.policy);
        self.queue = settings.queue;
        self.past = settings.past;
    }

    /// Writes to the list, if one is kept.
    pub(super) async fn write(&mut self, changes: Vec<Change>) -> Result<(), StoreError> {
        let Some(store) = self.store.as_ref().filter(|_| !changes.is_empty()) else {
            return Ok(());
        };
        let written = store.write(changes).await;
        match &written {
            Ok(()) => {
                self.board.clear(ProblemCode::ListNotKept, None);
            }
            Err(error) => {
                tracing::error!(%error, "the list of torrents is not kept");
                self.board.set(
                    ProblemCode::ListNotKept,
                    None,
                    error.to_string(),
                    "Make room on the disk of the home folder, or look at it.",
                    self.clock.now(),
                );
            }
        }
        written
    }

    /// Writes what is wanted of torrents where something happened that no command said, and
    /// the totals that changed. What cannot be written is tried again at the next time.
    pub(super) async fn keep_up(&mut self, totals: bool, ages: bool) {
        let mut changes = Vec::new();
        let hashes: Vec<InfoHash> = self.unwritten.iter().copied().collect();
        for hash in &hashes {
            if let Some(entry) = self.entries.get(hash) {
                changes.push(Change::Put(*hash, Box::new(entry.wish.clone())));
            }
        }
        let mut rows = Vec::new();
        if totals || ages {
            for (hash, entry) in &self.entries {
                if entry.unsaved || (ages && entry.aged) {
                    rows.push((*hash, entry.life, entry.standing.clone()));
                }
            }
        }
        let saved: Vec<InfoHash> = rows.iter().map(|(hash, ..)| *hash).collect();
        if !rows.is_empty() {
            changes.push(Change::Totals(rows));
        }
        let days = match totals {
            true => self.days.unsaved(),
            false => Vec::new(),
        };
        if !days.is_empty() {
            changes.push(Change::Days(days.clone()));
        }
        if self.write(changes).await.is_err() {
            return;
        }
        self.days.saved(&days);
        for hash in &hashes {
            self.unwritten.remove(hash);
        }
        for hash in saved {
            if let Some(entry) = self.entries.get_mut(&hash) {
                entry.unsaved = false;
                entry.aged = false;
            }
        }
    }
}
