//! For which torrents something is owed, on either side.

use std::collections::BTreeMap;

use super::meter::{GIB_BITS, cost};
use crate::types::InfoHash;

/// A raw unit is so many of a weight's parts: a millionth is enough to share by.
const UNIT_BITS: u32 = 20;
const UNIT: u64 = 1 << UNIT_BITS;

/// What torrents came to that no receipt has paid for, as weights.
#[derive(Debug, Clone, Default)]
pub(super) struct Weights {
    unpaid: BTreeMap<InfoHash, u64>,
    /// The one that something was added to last.
    newest: Option<InfoHash>,
}

impl Weights {
    /// So many bytes of a torrent, at a price (raw units per GiB).
    pub(super) fn add(&mut self, torrent: InfoHash, bytes: u64, price: u64) {
        let parts = cost(bytes, price) >> (GIB_BITS - UNIT_BITS);
        let weight = self.unpaid.entry(torrent).or_default();
        *weight = weight.saturating_add(u64::try_from(parts).unwrap_or(u64::MAX));
        self.newest = Some(torrent);
    }

    /// What the next receipt is for. Once everything is paid for, the one that was added to last.
    pub(super) fn all(&self) -> Vec<(InfoHash, u64)> {
        let worth = |least: u64| {
            let weights = self
                .unpaid
                .iter()
                .filter(move |(_, weight)| **weight >= least);
            weights.map(|(torrent, weight)| (*torrent, *weight))
        };
        let due: Vec<_> = worth(UNIT).collect();
        match due.is_empty() {
            true => worth(0).collect(),
            false => due,
        }
    }

    /// A receipt paid so many raw units for each. Less than a unit is left of those that are
    /// paid for, since shares are whole: that is forgotten with them, or each torrent that was
    /// ever traded would be known, and a part of every receipt.
    pub(super) fn paid(&mut self, shares: &[(Option<InfoHash>, u64)]) {
        for (torrent, raw) in shares {
            if let Some(weight) = torrent.and_then(|torrent| self.unpaid.get_mut(&torrent)) {
                *weight = weight.saturating_sub(raw.saturating_mul(UNIT));
            }
        }
        let newest = self.newest;
        self.unpaid
            .retain(|torrent, weight| *weight >= UNIT || Some(*torrent) == newest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Origin;

    /// 5 BTT a GiB.
    const PRICE: u64 = 5_000_000;

    fn torrent(number: u32) -> InfoHash {
        let mut bytes = [0; 20];
        // Later ones are neither before nor behind all others.
        bytes[..4].copy_from_slice(&number.wrapping_mul(0x9E37_79B9).to_be_bytes());
        InfoHash::from_bytes(bytes)
    }

    /// A receipt over everything that is due: how many torrents it is for.
    fn pay(weights: &mut Weights) -> usize {
        let origin = Origin {
            torrents: weights.all(),
            ..Origin::default()
        };
        let due: u64 = origin.torrents.iter().map(|(_, weight)| weight).sum();
        let shares = origin.share(due / UNIT);
        weights.paid(&shares);
        shares.len()
    }

    #[test]
    fn torrents_that_are_paid_for_are_forgotten() {
        let mut weights = Weights::default();
        for number in 0..2_000 {
            for one in 0..3 {
                weights.add(torrent(3 * number + one), 1_000_003, PRICE);
            }
            // The newest of those before is not among them.
            assert_eq!(pay(&mut weights), 3);
            assert!(weights.unpaid.len() <= 1);
        }
        // What is due besides is of the newest.
        assert_eq!(weights.all().len(), 1);
        assert_eq!(weights.all().first().unwrap().0, torrent(5_999));
    }

    #[test]
    fn what_is_not_paid_for_stays() {
        let mut weights = Weights::default();
        weights.add(torrent(1), 1 << 20, PRICE);
        weights.add(torrent(2), 1 << 20, PRICE);
        weights.paid(&[(Some(torrent(1)), 4_882), (Some(torrent(2)), 1_000)]);
        let all = weights.all();
        assert_eq!(all.len(), 1);
        let (of, left) = all.first().unwrap();
        assert_eq!((*of, left / UNIT), (torrent(2), 3_882));
    }
}
