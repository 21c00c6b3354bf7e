//! What strangers can take: the most a seller risks, and how the credit that is
//! left is divided among addresses that owe more than they ever settled. Pure.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use super::{credit::Credit, exchange::Ask, window::Window};

/// All addresses that never settled may owe this many caps of one together,
const UNPROVEN_TOTAL: u128 = 10;
/// and those of one network this many.
const UNPROVEN_NETWORK: u128 = 2;

/// The most a seller can lose to addresses that never settled with it. In raw
/// units, but for the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exposure {
    /// Sent ahead of receipts to one address at first, in bytes.
    pub first_window: u64,
    /// Sent ahead of receipts to one address at most, in bytes.
    pub largest_window: u64,
    /// Written off, and so sent once more, as connections of one address that
    /// never paid end, in bytes; 2 % of what it paid comes to it.
    pub written_off: u64,
    /// What one address may take and not settle: owed, sent ahead, written off
    /// and given up.
    pub per_address: u128,
    /// What all of one /24 (IPv6: /56) may take together.
    pub per_network: u128,
    /// What all may take together.
    pub total: u128,
}

impl Exposure {
    /// With this ask, for torrents of this piece length in bytes.
    pub fn of(ask: &Ask, piece_length: u32) -> Self {
        let cap = u128::from(ask.unproven_cap.unsigned());
        let first_window = Window::start_bytes(piece_length);
        Self {
            first_window,
            largest_window: first_window.max(Window::LARGEST_BYTES),
            written_off: Credit::never_paid_write_off(piece_length),
            per_address: cap,
            per_network: cap * UNPROVEN_NETWORK,
            total: cap * UNPROVEN_TOTAL,
        }
    }
}

/// A network: a /24, or a /56 of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network([u8; 8]);

impl Network {
    /// Where an address of the internet is; `None` on loopback, where everybody is.
    pub fn of(ip: IpAddr) -> Option<Self> {
        let ip = ip.to_canonical();
        if ip.is_loopback() {
            return None;
        }
        let mut network = [0; 8];
        let (kind, octets) = match ip {
            IpAddr::V4(ip) => (4, ip.octets().into_iter().take(3).collect::<Vec<_>>()),
            IpAddr::V6(ip) => (6, ip.octets().into_iter().take(7).collect()),
        };
        for (to, from) in network.iter_mut().zip(std::iter::once(kind).chain(octets)) {
            *to = from;
        }
        Some(Self(network))
    }
}

/// An address as far as the bounds care: what it owes above what it ever settled.
/// To settle a little does not free it from them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stranger {
    /// Owed by receipts, served and unpaid, and lost with it, above what it ever
    /// settled, in raw units.
    pub used: u128,
    /// What it may take next: a window at its price, in raw units. Zero when it
    /// is not served on credit.
    pub next: u128,
    /// Where it was seen.
    pub networks: BTreeSet<Network>,
}

/// Why one more is not served on credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposed {
    /// All together owe enough.
    All,
    /// Those of its network do.
    Network,
}

/// What strangers owe, together and by network.
struct Sums {
    all: u128,
    by_network: HashMap<Network, u128>,
}

impl Sums {
    fn of<'a>(
        gone: u128,
        strangers: impl Iterator<Item = &'a Stranger>,
        worth: impl Fn(&Stranger) -> u128,
    ) -> Self {
        let mut sums = Self {
            all: gone,
            by_network: HashMap::new(),
        };
        for stranger in strangers {
            let worth = worth(stranger);
            sums.all = sums.all.saturating_add(worth);
            for network in &stranger.networks {
                let sum = sums.by_network.entry(*network).or_default();
                *sum = sum.saturating_add(worth);
            }
        }
        sums
    }

    fn in_network(&self, network: Network) -> u128 {
        self.by_network.get(&network).copied().unwrap_or(0)
    }
}

impl Exposure {
    /// Whether `one` may be served on credit beside `others`, and beside what
    /// those owe that are not here (`gone`): what each owes or may take next
    /// must fit.
    pub fn refuses(&self, one: &Stranger, others: &[&Stranger], gone: u128) -> Option<Exposed> {
        let worth = |stranger: &Stranger| stranger.used.saturating_add(stranger.next);
        let all = others.iter().copied().chain(std::iter::once(one));
        let sums = Sums::of(gone, all, worth);
        if sums.all > self.total {
            return Some(Exposed::All);
        }
        one.networks
            .iter()
            .any(|network| sums.in_network(*network) > self.per_network)
            .then_some(Exposed::Network)
    }

    /// What each may owe from now on, in raw units: what it owes, and an equal
    /// part of what is left for all and for its networks. However they use it,
    /// no bound is passed before this is asked again.
    pub fn ceilings(&self, strangers: &[&Stranger], gone: u128) -> Vec<u128> {
        let used = Sums::of(gone, strangers.iter().copied(), |stranger| stranger.used);
        let served = Sums::of(0, strangers.iter().copied(), |stranger| {
            u128::from(stranger.next > 0)
        });
        let part = |bound: u128, used: u128, served: u128| {
            bound.saturating_sub(used).checked_div(served).unwrap_or(0)
        };
        strangers
            .iter()
            .map(|stranger| {
                let all = part(self.total, used.all, served.all);
                let left = stranger
                    .networks
                    .iter()
                    .map(|n| part(self.per_network, used.in_network(*n), served.in_network(*n)))
                    .fold(all, u128::min);
                let left = if stranger.next > 0 { left } else { 0 };
                stranger.used.saturating_add(left).min(self.per_address)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::RawAmount;

    fn exposure(cap: i64) -> Exposure {
        let ask = Ask {
            floor_price: 1,
            unproven_cap: RawAmount::new(cap).unwrap(),
        };
        Exposure::of(&ask, 1 << 18)
    }

    fn network(n: u8) -> Network {
        Network::of([203, 0, n, 7].into()).unwrap()
    }

    fn stranger(used: u128, next: u128, networks: &[u8]) -> Stranger {
        Stranger {
            used,
            next,
            networks: networks.iter().map(|n| network(*n)).collect(),
        }
    }

    #[test]
    fn a_network_is_a_24_or_a_56_and_loopback_is_none() {
        let of = |text: &str| Network::of(text.parse().unwrap());
        assert_eq!(of("203.0.113.1"), of("203.0.113.254"));
        assert_ne!(of("203.0.113.1"), of("203.0.112.1"));
        assert_eq!(of("::ffff:203.0.113.1"), of("203.0.113.9"));
        assert_eq!(of("2001:db8:0:1100::1"), of("2001:db8:0:11ff::2"));
        assert_ne!(of("2001:db8:0:1100::1"), of("2001:db8:0:1200::1"));
        assert_eq!((of("127.0.0.1"), of("::1")), (None, None));
    }

    #[test]
    fn one_more_is_refused_at_two_caps_of_a_network_and_ten_of_all() {
        let bounds = exposure(100);
        let full = stranger(90, 10, &[1]);
        let one = stranger(0, 10, &[1]);
        assert_eq!(bounds.refuses(&one, &[&full], 0), None);
        assert_eq!(
            bounds.refuses(&one, &[&full, &full], 0),
            Some(Exposed::Network)
        );
        let elsewhere = stranger(0, 10, &[2]);
        assert_eq!(bounds.refuses(&elsewhere, &[&full, &full], 0), None);
        assert_eq!(
            bounds.refuses(&elsewhere, &[&full, &full], 791),
            Some(Exposed::All)
        );
        assert_eq!(bounds.refuses(&elsewhere, &[&full, &full], 790), None);
    }

    proptest! {
        /// Whoever uses all it was given, and is asked again and again: the sums
        /// stay within the bounds.
        #[test]
        fn ceilings_are_never_passed_together(
            cap in 1i64..1000,
            gone in 0u128..3000,
            served in proptest::collection::vec((any::<bool>(), 0u8..3), 1..40),
            takes in proptest::collection::vec((0usize..40, 0u128..500), 0..200),
        ) {
            let bounds = exposure(cap);
            let mut all: Vec<_> = served
                .iter()
                .map(|(served, n)| stranger(0, u128::from(*served), &[*n]))
                .collect();
            let mut ceilings = bounds.ceilings(&all.iter().collect::<Vec<_>>(), gone);
            for (who, take) in takes {
                let who = who % all.len();
                if all[who].next > 0 {
                    all[who].used = (all[who].used + take).min(ceilings[who]);
                }
                if take % 3 == 0 {
                    ceilings = bounds.ceilings(&all.iter().collect::<Vec<_>>(), gone);
                }
            }
            let sum: u128 = all.iter().map(|one| one.used).sum();
            prop_assert!(sum <= bounds.total.saturating_sub(gone));
            for n in 0..3 {
                let near: u128 = all
                    .iter()
                    .filter(|one| one.networks.contains(&network(n)))
                    .map(|one| one.used)
                    .sum();
                prop_assert!(near <= bounds.per_network);
            }
            prop_assert!(all.iter().all(|one| one.used <= bounds.per_address));
        }
    }
}
