//! Transmission's numbers of torrents.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use crate::{client::snapshot::Snapshot, types::InfoHash};

/// The number of each torrent, given out in the order in which they are seen. They are
/// forgotten with the torrent, and at a restart.
#[derive(Debug, Default)]
pub(in crate::api) struct Ids(Mutex<(i64, BTreeMap<InfoHash, i64>)>);

impl Ids {
    /// All torrents with their numbers.
    pub(super) fn of(&self, snapshot: &Snapshot) -> BTreeMap<InfoHash, i64> {
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, known) = &mut *ids;
        known.retain(|hash, _| snapshot.torrents.contains_key(hash));
        for hash in snapshot.torrents.keys() {
            known.entry(*hash).or_insert_with(|| {
                *last += 1;
                *last
            });
        }
        known.clone()
    }
}
