//! A swarm in virtual time: the cores, leases, chokers, schedulers, request books and payment
//! machines of a few peers over links with rates and delays, among them stalling and lying ones, disks that refuse
//! and peers that are killed. One seed, one life.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque},
    net::SocketAddr,
    sync::Arc,
};

use super::Random;
use crate::{
    receipts::{
        Input, SIGN_AFTER,
        tests::duo::{CHUNK, Duo, PIECE},
    },
    swarm::{
        bitfield::Bitfield,
        choker::{self, Candidate, Choker, Group, ROUND_SECONDS},
        hooks::{ConnId, PriceTag, UploadClass},
        metainfo::{Info, Layout},
        passing::Passing,
        peer::{
            Brought, Came, Named, Told,
            asking::{Asking, Cancelled},
        },
        phase::{self, Phase},
        picker::{Picker, Received},
        scheduler::{Decision, MAX_CREDIT, Scheduler},
        selection::Wanted,
        torrent::core::{self, Claim, Input as Happened, Joining, Of, Output, Owner, TorrentCore},
        wire::Block,
    },
};

mod asking;
mod beginning;
mod choosing;
mod paying;
mod serving;

use beginning::Plot;

/// Requests that a peer queues for another.
const QUEUE: usize = 512;
/// Free peers that a node serves at once: what a session has by default.
const SLOTS: usize = 8;
/// Nobody waits longer, in virtual milliseconds.
const END_MS: u64 = 3_600_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Honest,
    /// Says to have everything and answers nothing.
    Stalls,
    /// Says to have everything and sends garbage.
    Lies,
    /// Wants data, and asks for none.
    Idles,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Wire {
    Request(Block),
    Cancel(Block),
    Reject(Block),
    Piece(Block, bool),
    Have(u32),
    Interested(bool),
    Choke(bool),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Happens {
    Arrives {
        from: usize,
        to: usize,
        what: Wire,
    },
    /// An uplink has room again.
    Grants(usize),
    Tick,
    /// Everybody decides anew whom to serve.
    Rounds,
    /// One looks who wants data, between two rounds.
    Rechokes(usize),
    /// Idle connections look for what is late.
    Look,
    /// Payments go on.
    Pays,
    Killed(usize),
    DiskBack(usize),
    /// One wants other files: their numbers as bits.
    Chooses(usize, u64),
}

struct Conn {
    asking: Asking,
    brought: Brought,
    /// Garbage among it.
    spoilt: BTreeSet<Block>,
    /// What the other asked for.
    queue: VecDeque<Block>,
    /// What the scheduler granted to it.
    credit: u64,
    interested: bool,
    peer_interested: bool,
    choking: bool,
    peer_choking: bool,
    sent: u64,
    came: u64,
    sent_before: u64,
    came_before: u64,
    up_rate: u64,
    down_rate: u64,
    /// How much it passes on.
    factor: u64,
    /// Since when it is unchoked and asked for nothing.
    unused_since_ms: Option<u64>,
}

impl Conn {
    fn new() -> Self {
        Self {
            asking: Asking::default(),
            brought: Brought::default(),
            spoilt: BTreeSet::new(),
            queue: VecDeque::new(),
            credit: 0,
            interested: false,
            peer_interested: false,
            choking: true,
            peer_choking: true,
            sent: 0,
            came: 0,
            sent_before: 0,
            came_before: 0,
            up_rate: 0,
            down_rate: 0,
            factor: 1,
            unused_since_ms: None,
        }
    }
}

struct Node {
    kind: Kind,
    up: u64,
    alive: bool,
    scheduler: Scheduler,
    /// When the uplink has room again, while it has none.
    grants_at: Option<u64>,
    choker: Choker,
    choked_ms: u64,
    /// It will look soon.
    rechokes: bool,
    passing: Passing,
    /// Of one that downloads: the very core of a torrent.
    core: Option<TorrentCore>,
    disk_ok: bool,
    conns: BTreeMap<usize, Conn>,
    /// Bad chunks of pieces in the making.
    bad: BTreeSet<Block>,
    /// Whatever it wants now is here.
    done_ms: Option<u64>,
    /// Bytes that may be paid twice of the most that it ever wanted.
    duplicate_limit: u64,
}

/// What one buyer and one seller came to, in bytes.
#[derive(Default)]
struct Account {
    priced: u64,
    owed: u64,
    dropped: u64,
    /// Of those dropped, arrived before, or not known to have been sent.
    delivered: u64,
}

fn id(node: usize) -> ConnId {
    ConnId(u64::try_from(node).unwrap())
}

/// Each in a network of its own.
fn address(node: usize) -> SocketAddr {
    ([10, 0, u8::try_from(node).unwrap(), 1], 6881).into()
}

fn node_of(conn: ConnId) -> usize {
    usize::try_from(conn.0).unwrap()
}

struct World {
    random: Random,
    layout: Layout,
    now_us: u64,
    order: u64,
    events: BinaryHeap<Reverse<(u64, u64, Happens)>>,
    nodes: Vec<Node>,
    delay_us: Vec<Vec<u64>>,
    pays: BTreeMap<(usize, usize), Duo>,
    accounts: BTreeMap<(usize, usize), Account>,
    price: u64,
    /// The files, where some of them are wanted.
    info: Option<Arc<Info>>,
    /// Choices of files that are still to come.
    choices: usize,
}

/// How a life ended.
struct Life {
    /// The last finish by the least time that the uplinks allow, in percent.
    percent: u64,
    duplicates: u64,
}

impl World {
    fn at(&mut self, us: u64, what: Happens) {
        self.order += 1;
        self.events
            .push(Reverse((self.now_us + us, self.order, what)));
    }

    fn now_ms(&self) -> u64 {
        self.now_us / 1000
    }

    fn send(&mut self, from: usize, to: usize, what: Wire) {
        let delay = self.delay_us[from][to];
        self.at(delay, Happens::Arrives { from, to, what });
    }

    /// Something happened to a torrent: does what its core says.
    fn happened(&mut self, me: usize, what: Happened) {
        let now = self.now_ms();
        let Some(core) = &mut self.nodes[me].core else {
            return;
        };
        let may_give_up = matches!(what, Happened::Tick | Happened::Chosen(_));
        let outputs = core.input(now, what);
        if may_give_up {
            choosing::check_given_up(core, &outputs);
        }
        for output in outputs {
            match output {
                Output::Tell(conn, Told::Verified { piece, chunks }) => {
                    self.owe(me, node_of(conn), piece, &chunks);
                }
                Output::Tell(conn, Told::Dropped { tag, bytes }) => {
                    self.drop_tag(me, node_of(conn), Some(tag), bytes, true);
                }
                Output::Tell(conn, Told::Over { piece }) => self.over(me, node_of(conn), piece),
                Output::Close(conn, _) => self.part(me, node_of(conn)),
                Output::Have(piece) => {
                    let peers: Vec<usize> = self.nodes[me].conns.keys().copied().collect();
                    for peer in peers {
                        self.send(me, peer, Wire::Have(piece));
                    }
                }
                Output::Completed => self.nodes[me].done_ms = Some(now),
                Output::Incomplete => self.nodes[me].done_ms = None,
                Output::Forget(piece) => {
                    self.nodes[me].bad.retain(|block| block.piece != piece);
                }
                Output::LookAgain | Output::Phase(..) => self.fill_all(me),
                Output::Tell(_, Told::Finished)
                | Output::Event(_)
                | Output::Waste(_)
                | Output::Full
                | Output::DialMore => {}
            }
        }
    }

    /// The connection between two is gone, on both sides.
    fn part(&mut self, one: usize, other: usize) {
        for (me, peer) in [(one, other), (other, one)] {
            self.take_in(me, peer);
            let Some(mut conn) = self.nodes[me].conns.remove(&peer) else {
                continue;
            };
            self.nodes[me].scheduler.remove(id(peer));
            self.nodes[me].scheduler.refund(conn.credit);
            self.nodes[me].passing.left(id(peer));
            for (block, asked) in conn.asking.take_all() {
                self.drop_tag(me, peer, asked.tag, block.length, false);
                if let Some(core) = &mut self.nodes[me].core {
                    core.unpick(id(peer), block);
                }
            }
            let left = Happened::Left {
                conn: id(peer),
                reason: String::new(),
            };
            self.happened(me, left);
        }
    }

    fn arrives(&mut self, from: usize, me: usize, what: Wire) {
        let now = self.now_ms();
        if !self.nodes[me].alive || !self.nodes[me].conns.contains_key(&from) {
            return;
        }
        match what {
            Wire::Interested(interested) => {
                let conn = self.nodes[me].conns.get_mut(&from).unwrap();
                conn.peer_interested = interested;
                self.choke(me, false);
            }
            Wire::Choke(choking) => {
                let node = &mut self.nodes[me];
                let conn = node.conns.get_mut(&from).unwrap();
                conn.peer_choking = choking;
                if let Some(core) = &mut node.core
                    && choking
                    && core.release(id(from))
                {
                    self.fill_all(me);
                }
                self.fill(me, from);
            }
            Wire::Have(piece) => {
                self.announced(me, from, piece);
                let node = &mut self.nodes[me];
                if let Some(core) = &mut node.core {
                    core.claimed(id(from), Claim::One(piece)).unwrap();
                }
                self.fill(me, from);
            }
            Wire::Request(block) => {
                let node = &mut self.nodes[me];
                let has = node.has(block.piece) || node.kind != Kind::Honest;
                let conn = node.conns.get_mut(&from).unwrap();
                if has && !conn.choking && conn.queue.len() < QUEUE {
                    conn.queue.push_back(block);
                    conn.unused_since_ms = None;
                    self.serve(me, from);
                } else {
                    self.send(me, from, Wire::Reject(block));
                }
            }
            Wire::Cancel(block) => {
                let stalls = self.nodes[me].kind == Kind::Stalls;
                let queue = &mut self.nodes[me].conns.get_mut(&from).unwrap().queue;
                let before = queue.len();
                queue.retain(|one| *one != block);
                if queue.len() < before && !stalls {
                    self.send(me, from, Wire::Reject(block));
                }
            }
            Wire::Reject(block) => {
                let conn = self.nodes[me].conns.get_mut(&from).unwrap();
                if let Some((asked, _)) = conn.asking.rejected(&block, !conn.peer_choking) {
                    self.drop_tag(me, from, asked.tag, block.length, false);
                    self.give_back(me, from, block);
                }
                self.fill_all(me);
            }
            Wire::Piece(block, good) => self.chunk(from, me, block, good, now),
        }
    }

    fn tick(&mut self) {
        let now = self.now_ms();
        let pairs: Vec<(usize, usize)> = self
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| node.alive)
            .flat_map(|(me, node)| node.conns.keys().map(move |peer| (me, *peer)))
            .collect();
        for me in 0..self.nodes.len() {
            self.happened(me, Happened::Tick);
            let node = &self.nodes[me];
            if node
                .core
                .as_ref()
                .is_some_and(|core| core.disk_due(now).is_some())
            {
                self.happened(
                    me,
                    match node.disk_ok {
                        true => Happened::Phase(phase::Input::DiskWorks),
                        false => Happened::StillFull,
                    },
                );
            }
        }
        for (me, peer) in pairs {
            let conn = self.nodes[me].conns.get_mut(&peer);
            if conn.is_some_and(|conn| conn.brought.tick()) {
                self.take_in(me, peer);
            }
            let Some(conn) = self.nodes[me].conns.get_mut(&peer) else {
                continue;
            };
            let late = conn.asking.tick(now);
            if !late.given_up.is_empty()
                && let Some(core) = &mut self.nodes[me].core
            {
                core.release(id(peer));
            }
            for (block, asked) in late.given_up {
                // Whether it was sent is not known.
                self.drop_tag(me, peer, asked.tag, block.length, true);
                self.give_back(me, peer, block);
                self.send(me, peer, Wire::Cancel(block));
            }
            self.fill(me, peer);
        }
        for me in 0..self.nodes.len() {
            self.measure(me);
            self.choke(me, false);
            self.serve_all(me);
        }
    }

    fn honest(&self) -> impl Iterator<Item = &Node> {
        let honest = |node: &&Node| node.alive && node.core.is_some();
        self.nodes.iter().filter(honest)
    }

    fn is_over(&self) -> bool {
        self.choices == 0 && self.honest().all(|node| node.done_ms.is_some())
    }

    /// The least time in which the uplinks can bring everything to all, in milliseconds.
    fn least_ms(&self) -> u64 {
        let bytes = self.layout.total();
        let leechers = u64::try_from(self.honest().count()).unwrap();
        let all: u64 = self.honest().map(|node| node.up).sum::<u64>() + self.nodes[0].up;
        let alone = bytes * 1000 / self.nodes[0].up;
        alone.max(leechers * bytes * 1000 / all).max(1)
    }

    fn run(mut self) -> Life {
        let (mut least, mut refused) = (self.least_ms(), 0);
        while let Some(Reverse((at, _, what))) = self.events.pop() {
            self.now_us = at;
            assert!(self.now_ms() < END_MS, "somebody never finishes");
            match what {
                Happens::Arrives { from, to, what } => self.arrives(from, to, what),
                Happens::Grants(me) => {
                    self.nodes[me].grants_at = None;
                    self.grant(me);
                }
                Happens::Rechokes(me) => {
                    self.nodes[me].rechokes = false;
                    self.choke(me, false);
                }
                Happens::Rounds => {
                    for me in 0..self.nodes.len() {
                        self.choke(me, true);
                    }
                    if !self.is_over() {
                        self.at(ROUND_SECONDS * 1_000_000, Happens::Rounds);
                    }
                }
                Happens::Killed(me) => {
                    self.nodes[me].alive = false;
                    for peer in 0..self.nodes.len() {
                        if peer != me {
                            self.part(me, peer);
                        }
                    }
                    // What it sent so far helped nobody, at worst.
                    least = self.least_ms() + self.now_ms();
                }
                Happens::DiskBack(me) => {
                    self.nodes[me].disk_ok = true;
                    // It is tried again after 10 s, at the next tick.
                    refused = self.now_ms() + 11_000;
                }
                Happens::Chooses(me, files) => {
                    self.chooses(me, files);
                    // What came so far is not wanted, at worst.
                    least = least.max(self.least_ms() + self.now_ms());
                }
                Happens::Pays => {
                    for duo in self.pays.values_mut() {
                        duo.tick(100);
                        duo.deliver(1000);
                    }
                    for me in 0..self.nodes.len() {
                        self.serve_all(me);
                        self.fill_all(me);
                    }
                    if !self.is_over() {
                        self.at(100_000, Happens::Pays);
                    }
                }
                Happens::Look => {
                    for me in 0..self.nodes.len() {
                        let conns = self.nodes[me].conns.iter();
                        let idle = conns.filter(|(_, conn)| conn.asking.is_idle());
                        let idle: Vec<usize> = idle.map(|(peer, _)| *peer).collect();
                        for peer in idle {
                            self.fill(me, peer);
                        }
                    }
                    if !self.is_over() {
                        self.at(250_000, Happens::Look);
                    }
                }
                Happens::Tick => {
                    self.tick();
                    if !self.is_over() {
                        self.at(1_000_000, Happens::Tick);
                    }
                }
            }
            assert!(self.events.len() < 100_000, "a queue without a bound");
        }
        if std::env::var("SEEDRAIL_SWARM_SEED").is_ok() {
            self.tell(least + refused);
        }
        self.end(least + refused)
    }

    /// Prints who took part, when each was done, and what each gave to the others.
    fn tell(&self, least: u64) {
        let pieces = self.layout.pieces();
        eprintln!("{pieces} pieces, {least} ms at least; KiB/s, done at, KiB to each other:");
        for node in &self.nodes {
            let sent = |to| node.conns.get(&to).map_or(0, |conn| conn.sent >> 10);
            let sent: Vec<u64> = (0..self.nodes.len()).map(sent).collect();
            eprintln!(
                "{:?} {} {:?} {sent:?} alive {} disk {}",
                node.kind,
                node.up >> 10,
                node.done_ms,
                node.alive,
                node.disk_ok
            );
        }
    }
}

impl Node {
    fn has(&self, piece: u32) -> bool {
        match &self.core {
            Some(core) => core.has(piece),
            None => self.kind != Kind::Idles,
        }
    }
}

#[test]
fn everybody_who_can_finish_does_and_both_ledgers_agree() {
    let number = |name| std::env::var(name).map(|n| n.parse().expect("a number"));
    let seeds: u64 = number("SEEDRAIL_SWARM_SEEDS").unwrap_or(60);
    let (mut percents, mut duplicates) = (BTreeMap::<Plot, Vec<_>>::new(), 0);
    // One life alone, with who it was that took part.
    let one: Option<u64> = number("SEEDRAIL_SWARM_SEED").ok();
    for seed in one.map_or(0..seeds, |one| one..one + 1) {
        let plot = Plot::of(seed);
        let life = std::panic::catch_unwind(|| World::new(seed, plot).run());
        let life = life.unwrap_or_else(|_| panic!("seed {seed}"));
        percents.entry(plot).or_default().push((life.percent, seed));
        duplicates += life.duplicates;
    }
    for (plot, mut all) in percents {
        all.sort_unstable();
        let [median, most, worst] = [50, 95, 100].map(|at| all[(all.len() - 1) * at / 100]);
        eprintln!(
            "{} {plot:?}: the last finish at {median:?} % of the least time in the median, \
             {most:?} % at the 95th percentile, {worst:?} % at worst (percent, seed)",
            all.len()
        );
        let slowest: Vec<_> = all.iter().rev().take(10).collect();
        eprintln!("the slowest: {slowest:?}");
        let found = [median.0, most.0, worst.0];
        // No time depends on the machine: these are virtual.
        let limits = plot.limits();
        let kept = found.iter().zip(limits).all(|(one, limit)| *one <= limit);
        assert!(kept, "{plot:?} end later than {limits:?} %");
    }
    eprintln!("{duplicates} bytes paid twice");
}
