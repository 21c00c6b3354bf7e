//! The rows about other parties: grants, how they behaved, for what something
//! is owed, and how far the solid chain was read for income.

use crate::types::{Address, BlockId, InfoHash, RawAmount, Salt, TokenId, UnixMs};

use super::records::{Pair, ReceiptRow};

/// A spend grant with the payer's signature, as it was signed. Whether it is
/// good was decided before it got here. All integers ≤ `i64::MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantRow {
    /// Its struct hash: what receipts under it carry.
    pub hash: Salt,
    /// Who will owe.
    pub payer: Address,
    /// Whose signature counts.
    pub signer: Address,
    /// In which token.
    pub token: TokenId,
    /// The most owed to one payee under it, in raw units.
    pub max_per_payee: RawAmount,
    /// The most ever paid under it, in raw units.
    pub max_total: RawAmount,
    /// Valid from, in seconds since the Unix epoch.
    pub not_before: u64,
    /// A receipt must arrive by then, in seconds since the Unix epoch.
    pub not_after: u64,
    /// The highest serial of a payer and signer replaces the lower ones.
    pub serial: u64,
    /// r ‖ s ‖ v over the grant's TIP-712 digest.
    pub signature: [u8; 65],
}

/// A grant, and what was signed under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantUse {
    /// The grant.
    pub grant: GrantRow,
    /// The first of the grants that it follows; its own hash if it follows none.
    pub first: Salt,
    /// What may still be signed away under it: no more than what the first one leaves.
    pub left: RawAmount,
    /// Σ newest receipts of our own log under it, over all payees.
    pub issued: RawAmount,
    /// Σ newest receipts held under it.
    pub received: RawAmount,
}

/// A payer took back its grants to a signer, up to a serial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RevocationRow {
    /// Who granted.
    pub payer: Address,
    /// To whom.
    pub signer: Address,
    /// Up to and including this serial. At most `i64::MAX`.
    pub serial: u64,
    /// r ‖ s ‖ v over the revocation's TIP-712 digest.
    pub signature: [u8; 65],
}

/// What is known of a payer's grants to one signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GrantMarks {
    /// The highest serial of any grant stored.
    pub highest: Option<u64>,
    /// The highest serial taken back.
    pub revoked: Option<u64>,
}

/// How another address behaved towards us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Who.
    pub address: Address,
    /// In which token.
    pub token: TokenId,
    /// How often it did not pay what was due.
    pub defaults: u32,
    /// What it did not pay, in all, in raw units.
    pub defaulted: RawAmount,
    /// What was sent to it and given up, unfinished, as its connections ended, in raw
    /// units.
    pub written_off: RawAmount,
    /// When it last did not pay; zero if never.
    pub defaulted_at: UnixMs,
    /// Contradictions that the user has forgiven: the first so many kept.
    pub forgiven: u32,
    /// Not served since, by the user's word.
    pub banned_at: Option<UnixMs>,
    /// Why, as the user put it.
    pub reason: String,
}

impl Standing {
    /// Of an address that nothing is known of.
    pub fn unknown(address: Address, token: TokenId) -> Self {
        Self {
            address,
            token,
            defaults: 0,
            defaulted: RawAmount::ZERO,
            written_off: RawAmount::ZERO,
            defaulted_at: UnixMs(0),
            forgiven: 0,
            banned_at: None,
            reason: String::new(),
        }
    }
}

/// For what a receipt's increase is owed: kept beside it, never signed, sent or
/// exported.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// When; the receipt's own `issued_at` if not said.
    pub at: Option<UnixMs>,
    /// The torrents it is for, each with its weight. The increase is shared in
    /// this proportion, to the unit. Empty: not known.
    pub torrents: Vec<(InfoHash, u64)>,
    /// What the payee lets be owed and unsettled, as it quoted; `None`: as before.
    pub cap: Option<RawAmount>,
    /// Of a receipt held: how much of the increase was sold, at most. What is above it
    /// is kept, and counts for nothing ([`Position::unsold`](super::Position::unsold)).
    /// `None`: all of it.
    pub sold: Option<RawAmount>,
}

impl Origin {
    /// Shares `total` (below 2^63) among the torrents in proportion to their
    /// weights, to the unit: the sums run along, so nothing is lost to rounding.
    /// All of it to one that is not known when there are no weights.
    pub fn share(&self, total: u64) -> Vec<(Option<InfoHash>, u64)> {
        let sum: u128 = self.torrents.iter().map(|(_, n)| u128::from(*n)).sum();
        // So that no product below leaves 128 bits.
        let shift = u64::BITS.saturating_sub(sum.leading_zeros());
        let weight = |n: &u64| u128::from(*n) >> shift;
        let all: u128 = self.torrents.iter().map(|(_, n)| weight(n)).sum();
        if all == 0 {
            let one = self.torrents.first().map(|(torrent, _)| *torrent);
            return vec![(one, total)];
        }
        let (mut run, mut given) = (0u128, 0u64);
        self.torrents
            .iter()
            .map(|(torrent, n)| {
                run += weight(n);
                let until = u64::try_from(u128::from(total) * run / all).unwrap_or(total);
                let share = until.saturating_sub(given);
                given = until;
                (Some(*torrent), share)
            })
            .collect()
    }
}

/// A verified receipt of a payer, with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// The receipt.
    pub receipt: ReceiptRow,
    /// What it is for.
    pub origin: Origin,
    /// The grant that it is under, if any: the receipt is worth nothing without it.
    pub grant: Option<GrantRow>,
}

/// In which direction something flowed, seen from this ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FlowKind {
    /// We owe it by receipts of our own log.
    Spent,
    /// We are owed it by receipts held.
    Earned,
}

/// What receipts of one pair raised on one day for one torrent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowRow {
    /// The direction.
    pub kind: FlowKind,
    /// Who owes whom.
    pub pair: Pair,
    /// Days since 1970-01-01, UTC.
    pub day: u32,
    /// For which torrent; `None` when not known.
    pub torrent: Option<InfoHash>,
    /// In raw units.
    pub amount: RawAmount,
    /// Bytes delivered.
    pub bytes: u64,
}

/// How far the solid chain was read for transfers of a token to an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchRow {
    /// To whom.
    pub account: Address,
    /// Of which token.
    pub token: TokenId,
    /// Every block from here (exclusive) to `last` was read and linked.
    pub from: u64,
    /// The last block read.
    pub last: BlockId,
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn nothing_is_lost_in_sharing(total in 0..=i64::MAX, weights: Vec<u64>) {
            let origin = Origin {
                at: None,
                torrents: weights
                    .into_iter()
                    .map(|weight| (InfoHash::from_bytes([1; 20]), weight))
                    .collect(),
                ..Origin::default()
            };
            let shares = origin.share(total.unsigned_abs());
            let sum: u128 = shares.iter().map(|(_, share)| u128::from(*share)).sum();
            proptest::prop_assert_eq!(sum, u128::from(total.unsigned_abs()));
        }
    }
}
