//! Whom to serve from the free share. Pure.
//!
//! As in BEP 3: every [`ROUND_SECONDS`] the peers that give us most (when we
//! want something of theirs) or take most (when we only seed) are unchoked, and
//! one more, the *optimistic* one, regardless of that; every third round
//! another. A new peer is thrice as likely to be it. In between, only free slots
//! are filled, so that nobody is choked and unchoked in quick turns. Who has a slot
//! and makes no use of it gives it up to whoever waits. At most
//! half of the slots go to one group (an address prefix): many connections from
//! one network win nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::hooks::ConnId;

/// Time between two decisions that may choke somebody.
pub const ROUND_SECONDS: u64 = 10;
/// Rounds an optimistic unchoke lasts.
pub const OPTIMISTIC_ROUNDS: u64 = 3;

/// Peers that count as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// The connection itself: a loopback address, where every peer is one
    /// process of this machine.
    Conn(ConnId),
    /// An IPv4 /24.
    V4([u8; 3]),
    /// An IPv6 /56.
    V6([u8; 7]),
}

impl Group {
    /// The group of a connection from `ip`.
    pub fn of(conn: ConnId, ip: std::net::IpAddr) -> Self {
        match ip.to_canonical() {
            ip if ip.is_loopback() => Self::Conn(conn),
            std::net::IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                Self::V4([a, b, c])
            }
            std::net::IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, g, ..] = ip.octets();
                Self::V6([a, b, c, d, e, f, g])
            }
        }
    }
}

/// What the choker knows of a connection of the free class that wants data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The connection.
    pub conn: ConnId,
    /// Its group.
    pub group: Group,
    /// What it is worth to us: see [`worth`].
    pub rate: u64,
    /// Unchoked at present.
    pub unchoked: bool,
    /// Connected for less than a minute.
    pub new: bool,
    /// It asked for nothing while it was unchoked last, or does not take what it is sent.
    /// Served only if nobody else waits.
    pub wasteful: bool,
}

/// What a connection is worth, see [`Candidate::rate`]: while `seeding` what it takes, more
/// if it passes that on (`factor`, from 1), else what it gives.
pub fn worth(seeding: bool, up_rate: u64, down_rate: u64, factor: u64) -> u64 {
    if seeding {
        up_rate.saturating_mul(factor.max(1))
    } else {
        down_rate
    }
}

/// Remembers the optimistic one.
#[derive(Debug)]
pub struct Choker {
    slots: usize,
    round: u64,
    optimistic: Option<ConnId>,
    random: u64,
}

impl Choker {
    /// A choker that serves `slots` peers (at least 2) at once, one of them
    /// optimistically. `seed` makes its choices repeatable.
    pub fn new(slots: usize, seed: u64) -> Self {
        Self {
            slots: slots.max(2),
            round: 0,
            optimistic: None,
            random: seed | 1,
        }
    }

    /// A round: everything is decided anew. The peers to be unchoked; all others
    /// are to be choked.
    pub fn round(&mut self, candidates: &[Candidate]) -> BTreeSet<ConnId> {
        let rotate = self.round.is_multiple_of(OPTIMISTIC_ROUNDS);
        self.round += 1;
        let present = |conn| {
            let useful = candidates.iter().filter(|one| !one.wasteful);
            useful.map(|one| one.conn).any(|one| one == conn)
        };
        if rotate || !self.optimistic.is_some_and(present) {
            self.optimistic = None;
        }
        let mut ranked: Vec<_> = candidates.to_vec();
        // Equal rates: who is served stays, else the older connection.
        ranked.sort_by_key(|one| (std::cmp::Reverse((one.rate, one.unchoked)), one.conn));
        let mut chosen = Chosen::new(self.slots);
        for one in ranked.iter().filter(|one| !one.wasteful) {
            if chosen.all.len() + 1 < self.slots && self.optimistic != Some(one.conn) {
                chosen.take(one);
            }
        }
        self.complete(&ranked, chosen)
    }

    /// Between rounds: fills slots that are free and chokes nobody who stays.
    pub fn fill(&mut self, candidates: &[Candidate]) -> BTreeSet<ConnId> {
        let mut chosen = Chosen::new(self.slots);
        for one in candidates
            .iter()
            .filter(|one| one.unchoked && !one.wasteful)
        {
            chosen.take(one);
        }
        self.complete(candidates, chosen)
    }

    fn complete(&mut self, candidates: &[Candidate], mut chosen: Chosen) -> BTreeSet<ConnId> {
        let kept = candidates
            .iter()
            .find(|one| self.optimistic == Some(one.conn) && !one.wasteful);
        if let Some(one) = kept {
            chosen.take(one);
        }
        while chosen.all.len() < self.slots {
            let eligible: Vec<_> = candidates
                .iter()
                .filter(|one| chosen.may_take(one))
                .collect();
            let useful = eligible.iter().any(|one| !one.wasteful);
            let tickets = eligible
                .iter()
                .filter(|one| !(useful && one.wasteful))
                .flat_map(|one| std::iter::repeat_n(*one, if one.new { 3 } else { 1 }));
            let tickets: Vec<_> = tickets.collect();
            let Some(one) = self.pick(&tickets) else {
                break;
            };
            if self.optimistic.is_none() {
                self.optimistic = Some(one.conn);
            }
            chosen.take(one);
        }
        chosen.all
    }

    fn pick<'a>(&mut self, tickets: &[&'a Candidate]) -> Option<&'a Candidate> {
        // xorshift64: this decides whom to be kind to, nothing secret.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let count = u64::try_from(tickets.len()).ok().filter(|n| *n > 0)?;
        let at = usize::try_from(self.random % count).ok()?;
        tickets.get(at).copied()
    }
}

struct Chosen {
    all: BTreeSet<ConnId>,
    groups: BTreeMap<Group, usize>,
    slots: usize,
}

impl Chosen {
    fn new(slots: usize) -> Self {
        Self {
            all: BTreeSet::new(),
            groups: BTreeMap::new(),
            slots,
        }
    }

    fn may_take(&self, one: &Candidate) -> bool {
        let of_group = self.groups.get(&one.group).copied().unwrap_or(0);
        self.all.len() < self.slots && of_group < self.slots / 2 && !self.all.contains(&one.conn)
    }

    fn take(&mut self, one: &Candidate) {
        if self.may_take(one) {
            self.all.insert(one.conn);
            *self.groups.entry(one.group).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn peer(id: u64, rate: u64) -> Candidate {
        let ip: IpAddr = [10, 0, u8::try_from(id).unwrap(), 1].into();
        Candidate {
            conn: ConnId(id),
            group: Group::of(ConnId(id), ip),
            rate,
            unchoked: false,
            new: false,
            wasteful: false,
        }
    }

    #[test]
    fn the_fastest_win_and_one_more_has_a_chance() {
        let mut choker = Choker::new(4, 1);
        let peers: Vec<_> = (0..20).map(|id| peer(id, id)).collect();
        let mut lucky = BTreeSet::new();
        for _ in 0..60 {
            let chosen = choker.round(&peers);
            assert_eq!(chosen.len(), 4);
            let slow: Vec<_> = chosen.iter().filter(|conn| conn.0 < 16).collect();
            assert!(slow.len() <= 1, "{chosen:?}");
            lucky.extend(slow.into_iter().copied());
        }
        assert!(lucky.len() > 5, "{lucky:?}");
    }

    #[test]
    fn a_seed_chooses_who_passes_on_and_a_download_who_gives() {
        assert_eq!(worth(true, 10, 7, 4), 40);
        assert_eq!(worth(true, 10, 7, 0), 10);
        assert_eq!(worth(false, 10, 7, 4), 7);
    }

    #[test]
    fn one_network_gets_at_most_half() {
        let mut choker = Choker::new(4, 1);
        let mut peers: Vec<_> = (0..20).map(|id| peer(id, 1000)).collect();
        for one in &mut peers {
            one.group = Group::V4([10, 0, 0]);
        }
        assert_eq!(choker.round(&peers).len(), 2);
        peers.push(peer(77, 0));
        assert!(choker.round(&peers).contains(&ConnId(77)));
    }

    #[test]
    fn between_rounds_only_free_slots_are_filled() {
        let mut choker = Choker::new(2, 9);
        let mut peers = vec![peer(1, 0)];
        assert_eq!(choker.fill(&peers), BTreeSet::from([ConnId(1)]));
        peers[0].unchoked = true;
        peers.extend([peer(2, 99), peer(3, 99)]);
        let chosen = choker.fill(&peers);
        assert!(chosen.contains(&ConnId(1)) && chosen.len() == 2);
    }

    #[test]
    fn who_asks_for_nothing_keeps_its_slot_only_while_nobody_waits() {
        let mut choker = Choker::new(4, 3);
        let mut peers: Vec<_> = (0..4).map(|id| peer(id, 0)).collect();
        assert_eq!(choker.round(&peers).len(), 4);
        for one in &mut peers {
            one.unchoked = true;
            one.wasteful = true;
        }
        // Nobody waits.
        assert_eq!(choker.fill(&peers).len(), 4);
        peers.extend([peer(7, 0), peer(8, 0)]);
        for chosen in [choker.fill(&peers), choker.round(&peers)] {
            assert!(chosen.contains(&ConnId(7)) && chosen.contains(&ConnId(8)));
            assert_eq!(chosen.len(), 4);
        }
        // Nor do they come back while others wait.
        for id in 9..12 {
            peers.push(peer(id, 0));
        }
        for _ in 0..20 {
            let chosen = choker.fill(&peers);
            assert!(chosen.iter().all(|conn| conn.0 >= 7), "{chosen:?}");
        }
    }

    #[test]
    fn loopback_peers_are_each_their_own() {
        let ip: IpAddr = [127, 0, 0, 1].into();
        assert_ne!(Group::of(ConnId(1), ip), Group::of(ConnId(2), ip));
        let mapped: IpAddr = "::ffff:10.1.2.3".parse().unwrap();
        assert_eq!(Group::of(ConnId(1), mapped), Group::V4([10, 1, 2]));
    }
}
