//! The addresses of a torrent's peers: where each was heard of, how often it failed, when
//! to dial it again. Bounded, and no source and no teller can fill it. Pure: time is handed
//! in, in milliseconds.

use std::{
    cmp::Reverse,
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use crate::swarm::hooks::ConnId;

/// Addresses remembered of one torrent. Trackers and PEX offer more than this
/// only for the largest swarms, and the peers we are connected to find others.
const MAX_KNOWN: usize = 2000;
/// Addresses of one source, but the user's: others must find room.
const MAX_OF_SOURCE: usize = 1000;
/// Addresses that peers of one network (/24, /56) told: a liar fills no more.
const MAX_OF_TELLER: usize = 200;
/// Attempts at an address that never answers.
const MAX_FAILURES: u32 = 8;
/// Wait before the second attempt; doubles.
const RETRY: Duration = Duration::from_secs(2);
/// Longest wait.
const MAX_RETRY: Duration = Duration::from_secs(300);
/// A connection that lasted so long was no failure.
const LASTED: Duration = Duration::from_secs(20);

/// Where an address is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::swarm) enum PeerSource {
    Pex,
    Dht,
    Lan,
    Tracker,
    Incoming,
    User,
}

/// A network that belongs to one owner, as far as one can tell: /24 or /56.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::swarm) struct Network([u8; 7]);

impl Network {
    pub(in crate::swarm) fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                Self([4, a, b, c, 0, 0, 0])
            }
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, g, ..] = ip.octets();
                Self([a, b, c, d, e, f, g])
            }
        }
    }
}

#[derive(Debug)]
struct Known {
    source: PeerSource,
    teller: Option<Network>,
    failures: u32,
    next_try_ms: u64,
    added_ms: u64,
    dialling: bool,
    conn: Option<ConnId>,
    seed: bool,
}

impl Known {
    fn is_busy(&self) -> bool {
        self.dialling || self.conn.is_some() || self.source == PeerSource::User
    }

    /// Whether it may be dialled, now or later.
    fn is_candidate(&self, complete: bool) -> bool {
        let user = self.source == PeerSource::User;
        self.conn.is_none()
            && !self.dialling
            && (user || self.failures < MAX_FAILURES)
            && !(complete && self.seed)
            && self.source != PeerSource::Incoming
    }

    /// What is evicted first has the least of this.
    fn worth(&self) -> (bool, PeerSource, Reverse<u32>, u64) {
        let hopeless = self.failures >= MAX_FAILURES;
        (
            !hopeless,
            self.source,
            Reverse(self.failures),
            self.added_ms,
        )
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(in crate::swarm) struct PeerBook {
    known: HashMap<SocketAddr, Known>,
    sources: HashMap<PeerSource, usize>,
    tellers: HashMap<Network, usize>,
}

impl PeerBook {
    /// How many addresses are known.
    #[cfg(test)]
    pub(in crate::swarm) fn len(&self) -> usize {
        self.known.len()
    }

    /// Adds an address; `teller` is the peer that told it, if one did. A full book, source
    /// or teller gives up its least useful address, or passes the new one over.
    pub(in crate::swarm) fn add(
        &mut self,
        addr: SocketAddr,
        source: PeerSource,
        teller: Option<IpAddr>,
        now_ms: u64,
    ) {
        if let Some(known) = self.known.get_mut(&addr) {
            if source > known.source {
                let before = std::mem::replace(&mut known.source, source);
                let teller = known.teller.take();
                self.uncount(before, teller);
                *self.sources.entry(source).or_default() += 1;
            }
            if source >= PeerSource::Tracker
                && let Some(known) = self.known.get_mut(&addr)
            {
                known.failures = known.failures.min(MAX_FAILURES / 2);
            }
            return;
        }
        let teller = teller.map(Network::of);
        let fits = teller.is_none_or(|teller| {
            let told = self.tellers.get(&teller).copied().unwrap_or(0);
            told < MAX_OF_TELLER || self.evict(|known| known.teller == Some(teller))
        }) && (source == PeerSource::User
            || self.sources.get(&source).copied().unwrap_or(0) < MAX_OF_SOURCE
            || self.evict(|known| known.source == source))
            && (self.known.len() < MAX_KNOWN
                || self.evict(|known| known.source <= source || known.failures > 0));
        if !fits {
            return;
        }
        *self.sources.entry(source).or_default() += 1;
        if let Some(teller) = teller {
            *self.tellers.entry(teller).or_default() += 1;
        }
        self.known.insert(
            addr,
            Known {
                source,
                teller,
                failures: 0,
                next_try_ms: now_ms,
                added_ms: now_ms,
                dialling: false,
                conn: None,
                seed: false,
            },
        );
    }

    /// Gives up the least useful address of those; false if all of them are in use.
    fn evict(&mut self, of: impl Fn(&Known) -> bool) -> bool {
        let idle = self.known.iter().filter(|(_, known)| !known.is_busy());
        let least = idle
            .filter(|(_, known)| of(known))
            .min_by_key(|(_, known)| known.worth())
            .map(|(addr, _)| *addr);
        least.is_some_and(|addr| self.remove(addr))
    }

    /// Forgets an address; false if it was not known.
    pub(in crate::swarm) fn remove(&mut self, addr: SocketAddr) -> bool {
        let Some(known) = self.known.remove(&addr) else {
            return false;
        };
        self.uncount(known.source, known.teller);
        true
    }

    fn uncount(&mut self, source: PeerSource, teller: Option<Network>) {
        if let Some(count) = self.sources.get_mut(&source) {
            *count = count.saturating_sub(1);
        }
        let Some(teller) = teller else {
            return;
        };
        if let Some(count) = self.tellers.get_mut(&teller) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.tellers.remove(&teller);
            }
        }
    }

    /// Forgets what was not heard of from a tracker or the user.
    pub(in crate::swarm) fn forget_public(&mut self) {
        let public = self.known.iter();
        let public = public.filter(|(_, known)| known.source < PeerSource::Tracker);
        let public: Vec<_> = public.map(|(addr, _)| *addr).collect();
        for addr in public {
            self.remove(addr);
        }
    }

    /// Addresses that are being dialled.
    pub(in crate::swarm) fn dialling(&self) -> usize {
        self.known.values().filter(|known| known.dialling).count()
    }

    /// More is wanted than was: seeds may be dialled at once that were of no use.
    pub(in crate::swarm) fn seeds_are_useful(&mut self, now_ms: u64) {
        for known in self.known.values_mut().filter(|known| known.seed) {
            known.next_try_ms = now_ms;
        }
    }

    /// At most `room` addresses to dial now, the best first; they are marked as being
    /// dialled. A seed is passed over if we are `complete`.
    pub(in crate::swarm) fn choose(
        &mut self,
        room: usize,
        complete: bool,
        now_ms: u64,
        priority: impl Fn(SocketAddr) -> u32,
    ) -> Vec<SocketAddr> {
        if room == 0 {
            return Vec::new();
        }
        let mut ready: Vec<_> = self
            .known
            .iter_mut()
            .filter(|(_, known)| known.is_candidate(complete) && known.next_try_ms <= now_ms)
            .collect();
        ready.sort_by_cached_key(|(addr, known)| {
            let priority = Reverse(priority(**addr));
            (Reverse(known.source), known.failures, priority, **addr)
        });
        let chosen = ready.into_iter().take(room).map(|(addr, known)| {
            known.dialling = true;
            *addr
        });
        chosen.collect()
    }

    /// When the first of those is to be dialled that [`choose`](Self::choose) may ever give.
    pub(in crate::swarm) fn next_try(&self, complete: bool) -> Option<u64> {
        let candidates = self.known.values();
        let candidates = candidates.filter(|known| known.is_candidate(complete));
        candidates.map(|known| known.next_try_ms).min()
    }

    /// A dialled connection ended after `lived`, or never was.
    pub(in crate::swarm) fn dialled(&mut self, addr: SocketAddr, lived: Duration, now_ms: u64) {
        let Some(known) = self.known.get_mut(&addr) else {
            return;
        };
        known.dialling = false;
        known.conn = None;
        if lived > LASTED {
            known.failures = 0;
        }
        let factor = 1u32.checked_shl(known.failures.min(16)).unwrap_or(u32::MAX);
        let wait = RETRY.saturating_mul(factor).min(MAX_RETRY);
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        known.next_try_ms = now_ms.saturating_add(wait);
        known.failures = known.failures.saturating_add(1);
    }

    /// The address is that of a connection: of an outgoing one, or if it has none.
    pub(in crate::swarm) fn connected(&mut self, addr: SocketAddr, conn: ConnId, outgoing: bool) {
        if let Some(known) = self.known.get_mut(&addr)
            && (outgoing || known.conn.is_none())
        {
            known.conn = Some(conn);
        }
    }

    /// A connection is over.
    pub(in crate::swarm) fn left(&mut self, conn: ConnId) {
        for known in self.known.values_mut() {
            if known.conn == Some(conn) {
                known.conn = None;
            }
        }
    }

    /// The peer there has everything.
    pub(in crate::swarm) fn is_seed(&mut self, addr: SocketAddr) {
        if let Some(known) = self.known.get_mut(&addr) {
            known.seed = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: usize) -> SocketAddr {
        let [.., a, b, c] = n.to_be_bytes();
        SocketAddr::from(([50, a, b, c], 6881))
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn one_teller_fills_no_more_than_its_share_and_trackers_find_room() {
        let mut book = PeerBook::default();
        for n in 0..5000 {
            let same_network = format!("9.9.9.{}", n % 250);
            book.add(at(n), PeerSource::Pex, ip(&same_network), 0);
        }
        assert_eq!(book.len(), MAX_OF_TELLER);
        for n in 5000..20_000 {
            let teller = format!("{}.{}.9.9", n % 200 + 1, n % 199);
            book.add(at(n), PeerSource::Pex, ip(&teller), 0);
        }
        assert_eq!(book.len(), MAX_OF_SOURCE);
        for n in 20_000..25_000 {
            book.add(at(n), PeerSource::Dht, None, 1);
        }
        assert_eq!(book.len(), MAX_KNOWN);
        // A tracker's, and the user's, are dialled first all the same.
        let (tracker, user) = (at(30_000), at(30_001));
        book.add(tracker, PeerSource::Tracker, None, 2);
        book.add(user, PeerSource::User, None, 2);
        assert_eq!(book.len(), MAX_KNOWN);
        assert_eq!(book.choose(2, false, 2, |_| 0), [user, tracker]);
        let counted: usize = book.sources.values().sum();
        assert_eq!(counted, MAX_KNOWN);
    }

    #[test]
    fn a_full_book_gives_up_what_failed_and_never_what_is_in_use() {
        let mut book = PeerBook::default();
        for n in 0..MAX_OF_SOURCE {
            book.add(at(n), PeerSource::Tracker, None, 0);
        }
        let dialled = book.choose(3, false, 0, |_| 0);
        book.dialled(dialled[0], Duration::ZERO, 10);
        book.connected(dialled[1], ConnId(1), true);
        book.add(at(9999), PeerSource::Tracker, None, 20);
        assert!(!book.known.contains_key(&dialled[0]), "it failed");
        assert!(book.known.contains_key(&dialled[1]) && book.known.contains_key(&dialled[2]));
        assert!(book.known.contains_key(&at(9999)));
        assert_eq!(book.len(), MAX_OF_SOURCE);
    }

    #[test]
    fn a_book_of_connected_peers_passes_new_ones_over() {
        let mut book = PeerBook::default();
        for n in 0..MAX_OF_TELLER {
            book.add(at(n), PeerSource::Pex, ip("9.9.9.9"), 0);
            book.connected(at(n), ConnId(u64::try_from(n).unwrap()), false);
        }
        book.add(at(9999), PeerSource::Pex, ip("9.9.9.9"), 0);
        assert_eq!(book.len(), MAX_OF_TELLER);
        book.left(ConnId(7));
        book.add(at(9999), PeerSource::Pex, ip("9.9.9.9"), 0);
        assert!(book.known.contains_key(&at(9999)) && !book.known.contains_key(&at(7)));
    }

    #[test]
    fn failures_wait_longer_each_time_and_end() {
        let mut book = PeerBook::default();
        book.add(at(1), PeerSource::Dht, None, 0);
        let mut now = 0;
        for attempt in 0..MAX_FAILURES {
            assert_eq!(book.choose(1, false, now, |_| 0), [at(1)], "{attempt}");
            book.dialled(at(1), Duration::ZERO, now);
            assert_eq!(book.choose(1, false, now + 1999, |_| 0), []);
            now += 400_000;
        }
        assert_eq!(book.choose(1, false, now, |_| 0), []);
        // A tracker names it again.
        book.add(at(1), PeerSource::Tracker, None, now);
        assert_eq!(book.choose(1, false, now, |_| 0), [at(1)]);
    }
}
