//! One client that shares many torrents for a long time, in virtual time: the cores, peer books,
//! announces, choker and scheduler of a session, with trackers that fail and peers that come,
//! take something and go. A day in each check, a month in the soak
//! (`SEEDRAIL_SWARM_DAYS`).

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    net::SocketAddr,
    time::Duration,
};

use super::Random;
use crate::swarm::{
    bitfield::Bitfield,
    choker::{Candidate, Choker, Group, ROUND_SECONDS, worth},
    hooks::{ConnId, UploadClass},
    metainfo::Layout,
    phase::Phase,
    picker::Picker,
    scheduler::{Decision, MAX_CREDIT, Scheduler},
    selection::Wanted,
    session::{MAX_CONNS, MAX_DIALLED},
    torrent::{
        PeerSource,
        announce::{Next, has_few},
        core::{Arrival, Claim, Input, Joining, Places, TorrentCore},
    },
    tracker::Reply,
};

const TORRENTS: usize = 1000;
const MAX_PEERS: usize = 60;
const DAY_MS: u64 = 24 * 3600 * 1000;
/// Of the session's line, in bytes a second.
const RATE: u64 = 2 << 20;
/// A tracker that cannot be reached is tried again within this: 15 minutes, and its own wish.
const LONGEST_RETRY_MS: u64 = 900_000;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Happens {
    Announces(usize),
    /// Somebody dials us.
    Arrives(usize),
    Dialled(usize, SocketAddr, bool),
    Leaves(ConnId),
    /// Once a second while somebody wants data, and each round.
    Round,
    Grants,
}

/// What a tracker asks for, and how it was treated.
struct Tracker {
    interval_ms: u64,
    min_interval_ms: Option<u64>,
    /// It cannot be reached meanwhile.
    gone: [u64; 2],
    asked_ms: u64,
    /// It is not asked sooner, and asked by then.
    due: [u64; 2],
    failures: u32,
    announces: u64,
    answered: u64,
}

struct Torrent {
    core: TorrentCore,
    tracker: Tracker,
    complete: bool,
    sent: u64,
    /// How many peers came, of how many wanted data, and to how many everything was sent.
    came: [u64; 3],
}

struct Conn {
    torrent: usize,
    addr: SocketAddr,
    outgoing: bool,
    began_ms: u64,
    wants: u64,
    got: u64,
    unchoked: bool,
    first_ms: Option<u64>,
}

struct Month {
    random: Random,
    now_us: u64,
    order: u64,
    events: BinaryHeap<Reverse<(u64, u64, Happens)>>,
    torrents: Vec<Torrent>,
    conns: BTreeMap<ConnId, Conn>,
    dialling: usize,
    next_conn: u64,
    choker: Choker,
    scheduler: Scheduler,
    rounds: bool,
    round: u64,
    grants_at: Option<u64>,
    /// The most there were, of connections, and of events that wait.
    most: [usize; 2],
    /// The longest that somebody who stayed waited for the first byte.
    waited_ms: u64,
}

impl Month {
    fn new() -> Self {
        let mut random = Random(7);
        let layout = Layout::new(4 << 20, 256 << 10).unwrap();
        let torrents = (0..TORRENTS).map(|n| {
            // One in ten looks for what nobody has.
            let complete = n % 10 != 0;
            let have = match complete {
                true => Bitfield::full(layout.pieces()),
                false => Bitfield::empty(layout.pieces()),
            };
            let picker = Picker::new(layout, have, Wanted::everything(layout), 3);
            let mut core = TorrentCore::new(Phase::Checking { done: 0, total: 0 });
            core.input(0, Input::Checked(Box::new(picker), None));
            let interval_ms = 1000 * (1800 + random.below(5400));
            let gone = random.below(30 * DAY_MS);
            Torrent {
                core,
                complete,
                tracker: Tracker {
                    interval_ms,
                    min_interval_ms: (n % 3 == 0).then_some(interval_ms / 2),
                    gone: [gone, gone + random.below(DAY_MS / 2)],
                    asked_ms: 0,
                    due: [0, 0],
                    failures: 0,
                    announces: 0,
                    answered: 0,
                },
                sent: 0,
                came: [0; 3],
            }
        });
        let mut month = Self {
            torrents: torrents.collect(),
            random,
            now_us: 0,
            order: 0,
            events: BinaryHeap::new(),
            conns: BTreeMap::new(),
            dialling: 0,
            next_conn: 1,
            choker: Choker::new(8, 5),
            scheduler: Scheduler::new(Some(RATE), 80),
            rounds: false,
            round: 0,
            grants_at: None,
            most: [0; 2],
            waited_ms: 0,
        };
        for n in 0..TORRENTS {
            month.at(0, Happens::Announces(n));
            let first = month.random.below(DAY_MS / 24);
            month.at(first, Happens::Arrives(n));
        }
        month
    }

    fn now_ms(&self) -> u64 {
        self.now_us / 1000
    }

    fn at(&mut self, ms: u64, what: Happens) {
        self.order += 1;
        let at = self.now_us + 1000 * ms;
        self.events.push(Reverse((at, self.order, what)));
    }

    /// One of a torrent's swarm.
    fn somebody(&mut self, torrent: usize) -> SocketAddr {
        let peer = self.random.below(5000);
        let [_, _, _, _, a, b, c, d] =
            (u64::try_from(torrent).unwrap() * 5000 + peer).to_be_bytes();
        ([20 + a, b, c, d], 6881).into()
    }

    fn announces(&mut self, n: usize) {
        let now = self.now_ms();
        let swarm: Vec<SocketAddr> = (0..8).map(|_| self.somebody(n)).collect();
        let torrent = &mut self.torrents[n];
        let tracker = &mut torrent.tracker;
        let [soonest, latest] = tracker.due;
        assert!(
            (soonest..=latest).contains(&now),
            "{n}: {now}, due {:?}",
            tracker.due
        );
        tracker.announces += 1;
        tracker.asked_ms = now;
        let reached = !(tracker.gone[0]..tracker.gone[1]).contains(&now);
        let next = if reached {
            tracker.failures = 0;
            tracker.answered += 1;
            let reply = Reply {
                interval: Duration::from_millis(tracker.interval_ms),
                min_interval: tracker.min_interval_ms.map(Duration::from_millis),
                peers: swarm.clone(),
                names: Vec::new(),
                warning: None,
                tracker_id: None,
                from: None,
            };
            Next::of(&reply)
        } else {
            tracker.failures += 1;
            Next::after(tracker.failures, None)
        };
        let few = has_few(torrent.complete, torrent.core.peers());
        let wait = u64::try_from(next.wait(false, few).as_millis()).unwrap();
        tracker.due = match reached {
            // Twice as often at most, where it allows that, and never later than it asked.
            true => {
                let least = tracker.min_interval_ms.unwrap_or(tracker.interval_ms);
                [now + least, now + tracker.interval_ms]
            }
            false => [now + 2000, now + LONGEST_RETRY_MS],
        };
        if reached {
            let named = Input::Named {
                addrs: swarm,
                source: PeerSource::Tracker,
                teller: None,
            };
            torrent.core.input(now, named);
        }
        self.at(wait, Happens::Announces(n));
        self.dial(n);
    }

    fn dial(&mut self, n: usize) {
        let now = self.now_ms();
        let places = Places {
            left: MAX_DIALLED.saturating_sub(self.conns.len() + self.dialling),
            part: MAX_DIALLED / TORRENTS.max(1),
        };
        let torrent = &mut self.torrents[n];
        let core = &mut torrent.core;
        let chosen = core.choose_to_dial(now, MAX_PEERS, places, torrent.complete, |_| 0);
        for addr in chosen {
            self.dialling += 1;
            let answers = self.random.below(3) == 0;
            let after = 50 + self.random.below(5000);
            self.at(after, Happens::Dialled(n, addr, answers));
        }
    }

    fn dialled(&mut self, n: usize, addr: SocketAddr, answers: bool) {
        self.dialling -= 1;
        if !answers || !self.join(n, addr, true) {
            let now = self.now_ms();
            let lived = Duration::ZERO;
            let core = &mut self.torrents[n].core;
            core.input(now, Input::Dialled { addr, lived });
            self.dial(n);
        }
    }

    fn arrives(&mut self, n: usize) {
        let addr = self.somebody(n);
        if self.conns.len() < MAX_CONNS
            && self.torrents[n].core.arrives(addr, MAX_PEERS) == Arrival::Welcome
        {
            self.join(n, addr, false);
        }
        // About twelve in a day.
        let next = self.random.below(DAY_MS / 6);
        self.at(next, Happens::Arrives(n));
    }

    fn join(&mut self, n: usize, addr: SocketAddr, outgoing: bool) -> bool {
        let (conn, now) = (ConnId(self.next_conn), self.now_ms());
        self.next_conn += 1;
        let mut peer_id = [0; 20];
        peer_id[..8].copy_from_slice(&conn.0.to_be_bytes());
        let joining = Joining {
            conn,
            remote: addr,
            peer_id,
            outgoing,
        };
        let torrent = &mut self.torrents[n];
        if torrent.core.join(joining, &[255; 20]).is_err() {
            return false;
        }
        torrent.core.greet(conn);
        torrent.core.claimed(conn, Claim::None).unwrap();
        torrent.came[0] += 1;
        let stays = 60_000 + self.random.below(1_800_000);
        let wants = match torrent.complete && self.random.below(3) == 0 {
            true => 1 + self.random.below(2 << 20),
            false => 0,
        };
        self.torrents[n].came[1] += u64::from(wants > 0);
        self.conns.insert(
            conn,
            Conn {
                torrent: n,
                addr,
                outgoing,
                began_ms: now,
                wants,
                got: 0,
                unchoked: false,
                first_ms: None,
            },
        );
        self.most[0] = self.most[0].max(self.conns.len());
        self.at(stays, Happens::Leaves(conn));
        if wants > 0 && !std::mem::replace(&mut self.rounds, true) {
            self.at(0, Happens::Round);
        }
        true
    }

    fn leaves(&mut self, id: ConnId) {
        let now = self.now_ms();
        let Some(conn) = self.conns.remove(&id) else {
            return;
        };
        self.scheduler.remove(id);
        let torrent = &mut self.torrents[conn.torrent];
        torrent.sent += conn.got;
        torrent.came[2] += u64::from(conn.wants > 0 && conn.got == conn.wants);
        if conn.wants > 0 {
            let first = conn.first_ms.unwrap_or(now);
            self.waited_ms = self.waited_ms.max(first - conn.began_ms);
        }
        let reason = String::new();
        torrent.core.input(now, Input::Left { conn: id, reason });
        if conn.outgoing {
            let lived = Duration::from_millis(now - conn.began_ms);
            let addr = conn.addr;
            torrent.core.input(now, Input::Dialled { addr, lived });
        }
        self.dial(conn.torrent);
    }

    /// Who is served is decided; each second free places are filled, each tenth all anew.
    fn round(&mut self) {
        let now = self.now_ms();
        let wanting = self.conns.iter().filter(|(_, conn)| conn.got < conn.wants);
        let candidates: Vec<Candidate> = wanting
            .map(|(id, conn)| Candidate {
                conn: *id,
                group: Group::of(*id, conn.addr.ip()),
                rate: worth(true, conn.got / (1 + (now - conn.began_ms) / 1000), 0, 1),
                unchoked: conn.unchoked,
                new: now - conn.began_ms < 60_000,
                wasteful: false,
            })
            .collect();
        self.rounds = !candidates.is_empty();
        if !self.rounds {
            return;
        }
        self.round += 1;
        let chosen = match self.round.is_multiple_of(ROUND_SECONDS) {
            true => self.choker.round(&candidates),
            false => self.choker.fill(&candidates),
        };
        for one in candidates {
            let unchoked = chosen.contains(&one.conn);
            let conn = self.conns.get_mut(&one.conn).unwrap();
            conn.unchoked = unchoked;
            match unchoked {
                true => self.want(one.conn),
                false => self.scheduler.idle(one.conn),
            }
        }
        self.grant();
        self.at(1000, Happens::Round);
    }

    fn want(&mut self, id: ConnId) {
        let conn = &self.conns[&id];
        match (conn.wants - conn.got).min(MAX_CREDIT) {
            0 => self.scheduler.idle(id),
            more => self.scheduler.want(id, UploadClass::Free, more),
        }
    }

    fn grant(&mut self) {
        loop {
            match self.scheduler.next(self.now_us * 1000) {
                Decision::Grant(id, bytes) => {
                    let now = self.now_ms();
                    let conn = self
                        .conns
                        .get_mut(&id)
                        .expect("those that left want nothing");
                    conn.got += bytes;
                    conn.first_ms.get_or_insert(now);
                    self.want(id);
                }
                Decision::Wait(nanos) => {
                    let at = self.now_us + nanos.div_ceil(1000);
                    if self.grants_at.is_none_or(|known| at < known) {
                        self.grants_at = Some(at);
                        self.order += 1;
                        let what = Happens::Grants;
                        self.events.push(Reverse((at, self.order, what)));
                    }
                    return;
                }
                Decision::Idle => return,
            }
        }
    }

    fn run(&mut self, days: u64) {
        while let Some(Reverse((at, _, what))) = self.events.pop() {
            if at > days * DAY_MS * 1000 {
                return;
            }
            self.now_us = at;
            match what {
                Happens::Announces(n) => self.announces(n),
                Happens::Arrives(n) => self.arrives(n),
                Happens::Dialled(n, addr, answers) => self.dialled(n, addr, answers),
                Happens::Leaves(conn) => self.leaves(conn),
                Happens::Round => self.round(),
                Happens::Grants => {
                    self.grants_at = None;
                    self.grant();
                }
            }
            self.most[1] = self.most[1].max(self.events.len());
        }
    }
}

#[test]
fn a_thousand_torrents_are_kept_within_bounds_and_none_is_forgotten() {
    let days = std::env::var("SEEDRAIL_SWARM_DAYS");
    let days: u64 = days.map_or(1, |days| days.parse().expect("a number of days"));
    let mut month = Month::new();
    month.run(days);
    let end = days * DAY_MS;
    let [conns, events] = month.most;
    assert!(conns <= MAX_CONNS, "{conns}");
    // An announce and an arrival of each torrent, what connections and dials wait for, and the
    // two of the session.
    assert!(events <= 2 * TORRENTS + 2 * MAX_CONNS + 2, "{events}");
    let (mut known, mut sent, mut came) = (0, 0, [0; 3]);
    for (n, torrent) in month.torrents.iter().enumerate() {
        let tracker = &torrent.tracker;
        assert!(
            tracker.due[1] >= end,
            "{n} was to be asked by {:?}",
            tracker.due
        );
        // Between what it asked for and the most that it allows.
        let gone = tracker.gone[1].min(end) - tracker.gone[0].min(end);
        let least = (end - gone) / (tracker.interval_ms + LONGEST_RETRY_MS);
        let most = end / tracker.min_interval_ms.unwrap_or(tracker.interval_ms) + 1;
        let answered = tracker.answered;
        assert!((least..=most).contains(&answered), "{n}: {answered}");
        let failed = tracker.announces - answered;
        assert!(failed <= gone / LONGEST_RETRY_MS + 12, "{n}: {failed}");
        assert!(torrent.came[0] > 0, "nobody was ever at {n}");
        known = known.max(torrent.core.known_addresses());
        let here = month.conns.values().filter(|conn| conn.torrent == n);
        sent += torrent.sent + here.map(|conn| conn.got).sum::<u64>();
        for (all, more) in came.iter_mut().zip(torrent.came) {
            *all += more;
        }
    }
    assert!(known <= 2000, "addresses of one torrent: {known}");
    let [came, wanted, served] = came;
    let here = month.conns.values().filter(|conn| conn.wants > 0);
    let waiting = u64::try_from(here.count()).unwrap();
    eprintln!(
        "{days} days: {came} peers came, {wanted} wanted data, {served} have all of it, {waiting} \
         are here; {sent} bytes sent; first byte after {} ms at most; {conns} connections, \
         {known} addresses of one torrent, {events} events at most",
        month.waited_ms
    );
    // Whoever stays a minute, and wants what the line brings in a second, is served.
    assert!(
        served + waiting >= wanted * 99 / 100,
        "{served} of {wanted}"
    );
    assert!(month.waited_ms <= 60_000, "{}", month.waited_ms);
    assert!(sent <= RATE * end / 1000 + RATE);
}
