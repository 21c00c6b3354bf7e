//! For which torrents something is owed, on either side.

use std::collections::BTreeMap;

use super::meter::{GIB_BITS, cost};
use crate::types::InfoHash;

/// A raw unit is so many of a weight's parts: a millionth is enough to share by.
const UNIT_BITS: u32 = 20;

/// What torrents came to that no receipt has paid for, as weights.
#[derive(Debug, Clone, Default)]
pub(super) struct Weights(BTreeMap<InfoHash, u64>);

impl Weights {
    /// So many bytes of a torrent, at a price (raw units per GiB).
    pub(super) fn add(&mut self, torrent: InfoHash, bytes: u64, price: u64) {
        let parts = cost(bytes, price) >> (GIB_BITS - UNIT_BITS);
        let weight = self.0.entry(torrent).or_default();
        *weight = weight.saturating_add(u64::try_from(parts).unwrap_or(u64::MAX));
    }

    /// What the next receipt is for. Once everything is paid for, those that were.
    pub(super) fn all(&self) -> Vec<(InfoHash, u64)> {
        let weights = self.0.iter();
        weights
            .map(|(torrent, weight)| (*torrent, *weight))
            .collect()
    }

    /// A receipt paid so many raw units for each.
    pub(super) fn paid(&mut self, shares: &[(Option<InfoHash>, u64)]) {
        for (torrent, raw) in shares {
            if let Some(weight) = torrent.and_then(|torrent| self.0.get_mut(&torrent)) {
                *weight = weight.saturating_sub(raw.saturating_mul(1 << UNIT_BITS));
            }
        }
    }
}
