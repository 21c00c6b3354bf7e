//! The task: one socket, its questions and its answers.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use tokio::{
    net::UdpSocket,
    sync::{mpsc, watch},
    task::JoinSet,
};

use super::{
    Command, DhtOptions,
    allowance::Allowance,
    id::NodeId,
    message::{Answer, Body, Contact, MAX_PACKET, Packet, Query},
    saved,
    search::Search,
    store::Store,
    table::{BUCKET, Table},
};
use crate::{
    swarm::locality::{may_name, namable, network},
    types::InfoHash,
};

/// How long an answer may take: nobody is further away.
const PATIENCE: Duration = Duration::from_millis(2500);
/// How often what waits is looked at.
const TICK: Duration = Duration::from_millis(250);
/// Questions on their way, of all kinds.
const MAX_PENDING: usize = 1024;
/// Strangers that asked us and are asked whether they can be reached, at once.
const MAX_CHECKS: usize = 32;
/// Searches that run at once.
const MAX_SEARCHES: usize = 32;
/// Wait before beginning again with the given nodes; doubles.
const BEGIN_AGAIN: Duration = Duration::from_secs(5);
/// Longest wait.
const MAX_BEGIN_AGAIN: Duration = Duration::from_secs(300);
/// Names that are looked up at once.
const MAX_LOOKUPS: usize = 32;
/// With fewer nodes than this, the given ones are asked (again).
const FEW: usize = 4;
/// How often our neighbourhood is looked at anew.
const REFRESH: Duration = Duration::from_secs(900);
/// How often nodes are written down, and what is old is forgotten.
const HOUSEKEEPING: Duration = Duration::from_secs(60);
/// Hosts that must say the same before it is believed where we are.
const WITNESSES: usize = 4;
/// Hosts whose word on that is kept.
const MAX_WITNESSES: usize = 32;

/// BEP 5: method unknown; protocol error.
const UNKNOWN_METHOD: i64 = 204;
const PROTOCOL_ERROR: i64 = 203;

#[derive(Debug, Clone, Copy)]
enum Why {
    /// Is a stranger, or a node that was silent, there?
    Check,
    /// A node that was given to begin with.
    Begin,
    Search(u64),
    Announce,
}

#[derive(Debug)]
struct Pending {
    to: SocketAddr,
    why: Why,
    at: Instant,
}

struct Running {
    search: Search,
    v6: bool,
    /// What is looked for; a neighbourhood if it is nothing.
    hash: Option<InfoHash>,
    target: NodeId,
    announce: Option<u16>,
    found: Option<mpsc::Sender<Vec<SocketAddr>>>,
}

pub(super) struct Node {
    socket: UdpSocket,
    local: SocketAddr,
    /// IPv4, IPv6.
    tables: [Table; 2],
    store: Store,
    allowance: Allowance,
    pending: HashMap<u32, Pending>,
    searches: HashMap<u64, Running>,
    next_search: u64,
    options: DhtOptions,
    commands: mpsc::Receiver<Command>,
    told: watch::Sender<usize>,
    /// Where others see us: IPv4, IPv6.
    saw: watch::Sender<[Option<IpAddr>; 2]>,
    lookups: JoinSet<Vec<SocketAddr>>,
    begin_at: Instant,
    begin_wait: Duration,
    refresh_at: Instant,
    tidy_at: Instant,
    witnesses: HashMap<IpAddr, IpAddr>,
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

impl Node {
    pub(super) fn new(
        socket: UdpSocket,
        options: DhtOptions,
        commands: mpsc::Receiver<Command>,
        told: watch::Sender<usize>,
        saw: watch::Sender<[Option<IpAddr>; 2]>,
    ) -> io::Result<Self> {
        let now = Instant::now();
        Ok(Self {
            local: socket.local_addr()?,
            socket,
            tables: [Table::new(NodeId(random()?)), Table::new(NodeId(random()?))],
            store: Store::new(random()?, now),
            allowance: Allowance::new(now),
            pending: HashMap::new(),
            searches: HashMap::new(),
            next_search: 0,
            options,
            commands,
            told,
            saw,
            lookups: JoinSet::new(),
            begin_at: now,
            begin_wait: BEGIN_AGAIN,
            refresh_at: now + REFRESH,
            tidy_at: now + HOUSEKEEPING,
            witnesses: HashMap::new(),
        })
    }

    pub(super) async fn run(mut self) {
        let mut buf = [0; MAX_PACKET];
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let busy = self.searches.len() >= MAX_SEARCHES;
            tokio::select! {
                received = self.socket.recv_from(&mut buf) => {
                    // An error is some earlier packet's: nobody was there.
                    if let Ok((length, from)) = received
                        && let Some(packet) = buf.get(..length).and_then(Packet::decode)
                    {
                        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                        self.on_packet(packet, from).await;
                    }
                }
                command = self.commands.recv(), if !busy => {
                    let Some(command) = command else { return };
                    self.on_command(command).await;
                }
                Some(addrs) = self.lookups.join_next() => {
                    for addr in addrs.unwrap_or_default() {
                        self.ask(addr, Why::Begin, Query::FindNode(self.own(addr.is_ipv6()))).await;
                    }
                }
                _ = ticks.tick() => self.on_tick().await,
            }
            self.told.send_if_modified(|nodes| {
                let now = self.tables.iter().map(Table::len).sum();
                std::mem::replace(nodes, now) != now
            });
        }
    }

    fn table(&mut self, v6: bool) -> &mut Table {
        let [four, six] = &mut self.tables;
        if v6 { six } else { four }
    }

    fn own(&self, v6: bool) -> NodeId {
        let [four, six] = &self.tables;
        if v6 { six.own() } else { four.own() }
    }

    /// Whether our socket reaches such an address: bound to loopback it reaches
    /// nobody else.
    fn reaches(&self, addr: SocketAddr) -> bool {
        let ours = self.local.ip();
        let kind = addr.is_ipv4() == ours.is_ipv4() || (ours.is_ipv6() && ours.is_unspecified());
        kind && (!ours.is_loopback() || addr.ip().is_loopback())
    }

    async fn send(&self, packet: &Packet, to: SocketAddr) {
        let bytes = packet.encode(to, false);
        let to = match to {
            SocketAddr::V4(v4) if self.local.is_ipv6() => {
                SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port())
            }
            other => other,
        };
        // What is lost is asked again, or not missed.
        if let Err(error) = self.socket.send_to(&bytes, to).await {
            tracing::trace!(%to, %error, "cannot send to a node");
        }
    }

    /// Asks, if there is room for one more question.
    async fn ask(&mut self, to: SocketAddr, why: Why, query: Query) -> bool {
        if self.pending.len() >= MAX_PENDING || to == self.local || !self.reaches(to) {
            return false;
        }
        let Ok(number) = random::<4>() else {
            return false;
        };
        let packet = Packet {
            transaction: number.to_vec(),
            body: Body::Query(self.own(to.is_ipv6()), query),
        };
        self.send(&packet, to).await;
        let at = Instant::now();
        let pending = Pending { to, why, at };
        self.pending.insert(u32::from_be_bytes(number), pending);
        true
    }

    async fn on_packet(&mut self, packet: Packet, from: SocketAddr) {
        match packet.body {
            Body::Query(id, query) => {
                if self.allowance.allows(from, Instant::now()) {
                    let body = self.reply(query, from);
                    let transaction = packet.transaction;
                    self.send(&Packet { transaction, body }, from).await;
                    self.check(id, from).await;
                }
            }
            Body::Answer(id, answer) => {
                if let Some(why) = self.asked(&packet.transaction, from) {
                    self.on_answer(why, id, answer, from).await;
                }
            }
            Body::Error(_) => {
                if let Some(why) = self.asked(&packet.transaction, from) {
                    self.on_silence(why, from).await;
                }
            }
        }
    }

    /// What the packet is the answer to, if it is one.
    fn asked(&mut self, transaction: &[u8], from: SocketAddr) -> Option<Why> {
        let number = u32::from_be_bytes(transaction.try_into().ok()?);
        if self.pending.get(&number)?.to != from {
            return None;
        }
        self.pending.remove(&number).map(|pending| pending.why)
    }

    fn reply(&mut self, query: Query, from: SocketAddr) -> Body {
        let v6 = from.is_ipv6();
        let own = self.own(v6);
        let near = |node: &mut Self, target| node.table(v6).nearest(&target, BUCKET);
        match query {
            Query::Ping => Body::Answer(own, Answer::default()),
            Query::FindNode(target) => Body::Answer(
                own,
                Answer {
                    nodes: near(self, target),
                    ..Answer::default()
                },
            ),
            Query::GetPeers(hash) => Body::Answer(
                own,
                Answer {
                    nodes: near(self, hash.into()),
                    peers: self.store.peers(hash, v6),
                    token: Some(self.store.token(from.ip())),
                    seen_at: None,
                },
            ),
            Query::Announce {
                info_hash,
                port,
                token,
            } => {
                if !self.store.is_valid(&token, from.ip()) {
                    return Body::Error(PROTOCOL_ERROR);
                }
                let peer = SocketAddr::new(from.ip(), port.unwrap_or(from.port()));
                self.store.announced(info_hash, peer, Instant::now());
                Body::Answer(own, Answer::default())
            }
            Query::Unknown => Body::Error(UNKNOWN_METHOD),
        }
    }

    /// Whoever asks is known once it answers, too: an address can be forged.
    async fn check(&mut self, id: NodeId, from: SocketAddr) {
        let checks = self.pending.values();
        let checks = checks.filter(|pending| matches!(pending.why, Why::Check));
        let asked = self.pending.values().any(|pending| pending.to == from);
        if checks.count() < MAX_CHECKS && !asked && self.table(from.is_ipv6()).has_room(&id) {
            self.ask(from, Why::Check, Query::Ping).await;
        }
    }

    async fn on_answer(&mut self, why: Why, id: NodeId, answer: Answer, from: SocketAddr) {
        let v6 = from.is_ipv6();
        self.table(v6).answered(id, from, Instant::now());
        if let Some(seen_at) = answer.seen_at {
            self.witness(from.ip(), seen_at.to_canonical());
        }
        match why {
            Why::Check | Why::Announce => {}
            Why::Begin => {
                self.begin_wait = BEGIN_AGAIN;
                let known: Vec<Contact> = [vec![(id, from)], answer.nodes].concat();
                let own = self.own(v6);
                self.begin_search(v6, own, &known).await;
            }
            Why::Search(number) => {
                let Some(running) = self.searches.get_mut(&number) else {
                    return;
                };
                let nodes: Vec<Contact> = answer
                    .nodes
                    .into_iter()
                    .filter(|(_, addr)| addr.is_ipv6() == v6)
                    .filter(|(_, addr)| may_name(network(from.ip()), addr.ip()))
                    .collect();
                running.search.answered(from, answer.token, &nodes);
                let peers = namable(from.ip(), &answer.peers);
                if let Some(found) = &running.found
                    && !peers.is_empty()
                {
                    // A torrent that does not keep up has peers enough.
                    let _full = found.try_send(peers);
                }
                self.go_on(number).await;
            }
        }
    }

    async fn on_silence(&mut self, why: Why, to: SocketAddr) {
        self.table(to.is_ipv6()).failed(to);
        if let Why::Search(number) = why {
            if let Some(running) = self.searches.get_mut(&number) {
                running.search.failed(to);
            }
            self.go_on(number).await;
        }
    }

    /// When enough hosts agree on where we are, our id is made to fit (BEP 42).
    fn witness(&mut self, from: IpAddr, seen_at: IpAddr) {
        let v6 = seen_at.is_ipv6();
        if self.own(v6).fits(seen_at) {
            return;
        }
        if self.witnesses.len() >= MAX_WITNESSES {
            self.witnesses.clear();
        }
        self.witnesses.insert(from, seen_at);
        let agreeing = self.witnesses.values().filter(|other| **other == seen_at);
        if agreeing.count() >= WITNESSES
            && let Ok(random) = random()
        {
            self.saw.send_modify(|[four, six]| {
                *(if v6 { six } else { four }) = Some(seen_at);
            });
            let known = self.table(v6).all();
            *self.table(v6) = Table::new(NodeId::secured(random, seen_at));
            let now = Instant::now();
            for (id, addr) in known {
                self.table(v6).answered(id, addr, now);
            }
        }
    }

    async fn on_command(&mut self, command: Command) {
        match command {
            Command::Node(addr) => {
                let own = self.own(addr.is_ipv6());
                self.ask(addr, Why::Begin, Query::FindNode(own)).await;
            }
            Command::Name(name) => self.look_up(name),
            Command::Search {
                hash,
                announce,
                found,
            } => {
                for v6 in [false, true] {
                    let here = self.store.peers(hash, v6);
                    if !here.is_empty() {
                        let _full = found.try_send(here);
                    }
                    let target = hash.into();
                    let known = self.table(v6).nearest(&target, BUCKET);
                    if known.is_empty() {
                        continue;
                    }
                    let running = Running {
                        search: Search::new(target, &known),
                        v6,
                        hash: Some(hash),
                        target,
                        announce,
                        found: Some(found.clone()),
                    };
                    self.run_search(running).await;
                }
            }
        }
    }

    /// Looks for nodes near a target, to know them.
    async fn begin_search(&mut self, v6: bool, target: NodeId, known: &[Contact]) {
        let looking = self.searches.values();
        if looking.filter(|one| one.hash.is_none()).count() >= 4 {
            return;
        }
        let running = Running {
            search: Search::new(target, known),
            v6,
            hash: None,
            target,
            announce: None,
            found: None,
        };
        self.run_search(running).await;
    }

    async fn run_search(&mut self, running: Running) {
        let number = self.next_search;
        self.next_search += 1;
        self.searches.insert(number, running);
        self.go_on(number).await;
    }

    /// Asks the next nodes of a search, and ends it when there are none.
    async fn go_on(&mut self, number: u64) {
        loop {
            let Some(running) = self.searches.get_mut(&number) else {
                return;
            };
            let query = match running.hash {
                Some(hash) => Query::GetPeers(hash),
                None => Query::FindNode(running.target),
            };
            let Some(addr) = running.search.ask() else {
                break;
            };
            if !self.ask(addr, Why::Search(number), query).await
                && let Some(running) = self.searches.get_mut(&number)
            {
                running.search.failed(addr);
            }
        }
        if !self
            .searches
            .get(&number)
            .is_some_and(|one| one.search.is_done())
        {
            return;
        }
        let Some(running) = self.searches.remove(&number) else {
            return;
        };
        if let (Some(port), Some(hash)) = (running.announce, running.hash) {
            for (addr, token) in running.search.nearest() {
                let query = Query::Announce {
                    info_hash: hash,
                    port: Some(port),
                    token,
                };
                if addr.is_ipv6() == running.v6 {
                    self.ask(addr, Why::Announce, query).await;
                }
            }
        }
    }

    async fn on_tick(&mut self) {
        let now = Instant::now();
        let late: Vec<u32> = self
            .pending
            .iter()
            .filter(|(_, pending)| now.duration_since(pending.at) > PATIENCE)
            .map(|(number, _)| *number)
            .collect();
        for number in late {
            if let Some(pending) = self.pending.remove(&number) {
                self.on_silence(pending.why, pending.to).await;
            }
        }
        for v6 in [false, true] {
            if let Some(addr) = self.table(v6).questionable(now)
                && !self.pending.values().any(|pending| pending.to == addr)
            {
                self.ask(addr, Why::Check, Query::Ping).await;
            }
        }
        if self.tables.iter().map(Table::len).sum::<usize>() < FEW && now >= self.begin_at {
            self.begin_at = now + self.begin_wait;
            self.begin_wait = (self.begin_wait * 2).min(MAX_BEGIN_AGAIN);
            self.begin();
        }
        if now >= self.refresh_at {
            self.refresh_at = now + REFRESH;
            for v6 in [false, true] {
                let own = self.own(v6);
                for target in [Some(own), random().ok().map(NodeId)].into_iter().flatten() {
                    let known = self.table(v6).nearest(&target, BUCKET);
                    if !known.is_empty() {
                        self.begin_search(v6, target, &known).await;
                    }
                }
            }
        }
        if now >= self.tidy_at {
            self.tidy_at = now + HOUSEKEEPING;
            if let Ok(secret) = random() {
                self.store.tick(secret, now);
            }
            self.save();
        }
    }

    /// Finds the addresses of the nodes to begin with.
    fn begin(&mut self) {
        if !self.lookups.is_empty() {
            return;
        }
        let saved = self.options.state.clone();
        self.lookups.spawn(async move {
            let load = move || saved.as_deref().map(saved::load).unwrap_or_default();
            let loaded = tokio::task::spawn_blocking(load).await;
            loaded.unwrap_or_default()
        });
        for name in self.options.nodes.clone() {
            self.look_up(name);
        }
    }

    fn look_up(&mut self, name: String) {
        if self.lookups.len() >= MAX_LOOKUPS {
            return;
        }
        self.lookups.spawn(async move {
            match tokio::net::lookup_host(&name).await {
                Ok(addrs) => addrs.take(4).collect(),
                Err(error) => {
                    tracing::debug!(%name, %error, "cannot find a DHT node");
                    Vec::new()
                }
            }
        });
    }

    /// Writes down who answers. If that fails, the next start finds others.
    fn save(&self) {
        let Some(path) = self.options.state.clone() else {
            return;
        };
        let nodes = self.tables.iter().flat_map(Table::all);
        let nodes: Vec<SocketAddr> = nodes.map(|(_, addr)| addr).collect();
        if nodes.is_empty() {
            return;
        }
        tokio::task::spawn_blocking(move || {
            if let Err(error) = saved::save(&path, &nodes) {
                tracing::debug!(path = %path.display(), %error, "cannot keep DHT nodes");
            }
        });
    }
}
