//! What was earned and spent, by day, torrent or peer. Pure.

use std::collections::BTreeMap;

use super::claims::Claim;
use crate::{
    ledger::FlowRow,
    types::{Address, InfoHash, RawAmount},
};

/// What sums are made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Days, UTC.
    Day,
    /// Torrents.
    Torrent,
    /// Peers.
    Peer,
}

/// What one row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Days since 1970-01-01, UTC.
    Day(u32),
    /// A torrent; `None` when it is not known.
    Torrent(Option<InfoHash>),
    /// A peer.
    Peer(Address),
}

/// The sums of one day, torrent or peer, in raw units:
/// `earned = pending + in flight + settled`, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// By receipts held.
    pub earned: u128,
    /// Of that, in no block.
    pub pending: u128,
    /// Of that, in blocks that may still be forked out.
    pub in_flight: u128,
    /// Of that, final.
    pub settled: u128,
    /// By receipts of our own.
    pub spent: u128,
    /// Bytes that earned it.
    pub sent_bytes: u128,
    /// Bytes that were paid for.
    pub bought_bytes: u128,
}

/// Divides what was earned and spent. What a payer settled is for what it owed
/// first; so is what is on its way.
pub fn divide(
    by: By,
    earned: &[FlowRow],
    spent: &[FlowRow],
    claims: &[Claim],
) -> BTreeMap<Key, Sums> {
    let mut rows: BTreeMap<Key, Sums> = BTreeMap::new();
    let mut left: BTreeMap<Address, (u128, u128)> = claims
        .iter()
        .map(|claim| {
            let (settled, in_flight) = (raw(claim.settled), raw(claim.in_flight));
            (claim.payer, (settled, in_flight))
        })
        .collect();
    let mut in_order: Vec<&FlowRow> = earned.iter().collect();
    in_order.sort_by_key(|flow| flow.day);
    for flow in in_order {
        let amount = raw(flow.amount);
        let (settled, in_flight) = left.entry(flow.pair.payer).or_default();
        let settled = take(settled, amount);
        let in_flight = take(in_flight, amount - settled);
        let row = rows.entry(key(by, flow, flow.pair.payer)).or_default();
        row.earned += amount;
        row.settled += settled;
        row.in_flight += in_flight;
        row.pending += amount - settled - in_flight;
        row.sent_bytes += u128::from(flow.bytes);
    }
    for flow in spent {
        let row = rows.entry(key(by, flow, flow.pair.payee)).or_default();
        row.spent += raw(flow.amount);
        row.bought_bytes += u128::from(flow.bytes);
    }
    rows
}

fn raw(amount: RawAmount) -> u128 {
    u128::from(amount.unsigned())
}

/// Takes up to `most` from what is left.
fn take(left: &mut u128, most: u128) -> u128 {
    let taken = most.min(*left);
    *left -= taken;
    taken
}

fn key(by: By, flow: &FlowRow, peer: Address) -> Key {
    match by {
        By::Day => Key::Day(flow.day),
        By::Torrent => Key::Torrent(flow.torrent),
        By::Peer => Key::Peer(peer),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        ledger::{FlowKind, Pair},
        types::TokenId,
    };

    fn flow(payer: u8, day: u32, torrent: u8, amount: u32) -> FlowRow {
        FlowRow {
            kind: FlowKind::Earned,
            pair: Pair {
                payer: Address::from_body([payer; 20]),
                payee: Address::from_body([99; 20]),
                token: TokenId::BTT,
            },
            day,
            torrent: (torrent > 0).then(|| InfoHash::from_bytes([torrent; 20])),
            amount: RawAmount::new(amount.into()).unwrap(),
            bytes: 7,
        }
    }

    #[test]
    fn what_was_owed_first_is_settled_first() {
        let flows = [flow(1, 2, 1, 10), flow(1, 1, 1, 10), flow(2, 1, 1, 5)];
        let claim = Claim {
            payer: Address::from_body([1; 20]),
            earned: RawAmount::new(20).unwrap(),
            in_flight: RawAmount::new(3).unwrap(),
            settled: RawAmount::new(12).unwrap(),
            offset: RawAmount::ZERO,
        };
        let rows = divide(By::Day, &flows, &[], &[claim]);
        let of = |day| {
            let row = rows[&Key::Day(day)];
            (row.earned, row.pending, row.in_flight, row.settled)
        };
        assert_eq!(of(1), (15, 5, 0, 10));
        assert_eq!(of(2), (10, 5, 3, 2));
    }

    proptest! {
        #[test]
        fn every_division_adds_up_to_the_claims(
            flows in proptest::collection::vec((1u8..5, 0u32..6, 0u8..4, 0u32..1000), 0..40),
            parts in proptest::collection::vec((0u32..4000, 0u32..4000), 4),
        ) {
            let flows: Vec<_> = flows.into_iter().map(|(p, d, t, a)| flow(p, d, t, a)).collect();
            let claims: Vec<_> = (1u8..5)
                .zip(parts)
                .map(|(payer, (settled, in_flight))| {
                    let payer = Address::from_body([payer; 20]);
                    let earned: u64 = flows
                        .iter()
                        .filter(|flow| flow.pair.payer == payer)
                        .map(|flow| flow.amount.unsigned())
                        .sum();
                    let settled = u64::from(settled).min(earned);
                    let amount = |n: u64| RawAmount::new(n.try_into().unwrap()).unwrap();
                    Claim {
                        payer,
                        earned: amount(earned),
                        in_flight: amount(u64::from(in_flight).min(earned - settled)),
                        settled: amount(settled),
                        offset: RawAmount::ZERO,
                    }
                })
                .collect();
            for by in [By::Day, By::Torrent, By::Peer] {
                let mut all = Sums::default();
                for row in divide(by, &flows, &flows, &claims).values() {
                    prop_assert_eq!(row.earned, row.pending + row.in_flight + row.settled);
                    all.earned += row.earned;
                    all.pending += row.pending;
                    all.in_flight += row.in_flight;
                    all.settled += row.settled;
                    all.spent += row.spent;
                }
                let sum = |part: fn(&Claim) -> RawAmount| -> u128 {
                    claims.iter().map(|claim| raw(part(claim))).sum()
                };
                prop_assert_eq!(all.earned, sum(|claim| claim.earned));
                prop_assert_eq!(all.pending, sum(Claim::pending));
                prop_assert_eq!(all.in_flight, sum(|claim| claim.in_flight));
                prop_assert_eq!(all.settled, sum(|claim| claim.settled));
                prop_assert_eq!(all.spent, all.earned);
            }
        }
    }
}
