//! Who is connected, what they have, whom to dial, and who is kept out.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;

use super::{super::book::Network, Output, PeerSource, TorrentCore};
use crate::swarm::{
    bitfield::Bitfield,
    events::Event,
    hooks::ConnId,
    metainfo::{MAX_INFO_BYTES, MAX_PIECES},
    wire::PeerId,
};

/// `have`s kept of a peer while the metadata is missing.
const MAX_EARLY: usize = 4096;
/// Connections that are over of which it is known where they led: what they sent
/// may turn out to be bad later.
const MAX_DEPARTED: usize = 256;
/// Banned addresses, and banned hosts: the oldest are forgotten.
const MAX_BANNED: usize = 4096;
/// A connection with which nothing happens for so long gives way where a torrent is full.
const MAY_BE_IDLE: Duration = Duration::from_secs(10);
/// So many more places than another network has, a network has in a full torrent only while
/// nobody of that other network asks for one.
const CROWD: usize = 4;
/// How often a peer may name all its pieces at once: aria2 does it more than once.
const MAX_CLAIMS: u32 = 8;
/// The last places of a session for those who are dialled: they are for torrents with less than
/// an equal part of all.
const LAST_PLACES: usize = 100;
/// Connections of one torrent that are being opened at once.
const MAX_DIALLING: usize = 16;

/// What a peer says to have.
#[derive(Debug)]
pub(in crate::swarm) enum Claim {
    One(u32),
    Bits(Bytes),
    All,
    None,
}

/// A connection that wants to be taken in.
#[derive(Debug, Clone, Copy)]
pub(in crate::swarm) struct Joining {
    pub(in crate::swarm) conn: ConnId,
    pub(in crate::swarm) remote: SocketAddr,
    pub(in crate::swarm) peer_id: PeerId,
    /// We dialled it.
    pub(in crate::swarm) outgoing: bool,
}

/// What becomes of an address that asks to be let in.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::swarm) enum Arrival {
    Welcome,
    /// Not now.
    Refused,
    /// Every place is taken: perhaps one gives way.
    Full,
}

/// What a session has room for.
#[derive(Debug, Clone, Copy)]
pub(in crate::swarm) struct Places {
    /// Connections that may still be opened by us.
    pub(in crate::swarm) left: usize,
    /// An equal part for each torrent of all that there may be.
    pub(in crate::swarm) part: usize,
}

impl Places {
    /// How many connections a torrent may have that has `own`.
    fn for_one_with(self, own: usize) -> usize {
        let spare = self.left.saturating_sub(LAST_PLACES);
        let equal = self.part.max(1).min(own + self.left);
        equal.max(own + spare)
    }
}

/// How useful a connection is at the moment.
#[derive(Debug, Clone, Copy)]
pub(in crate::swarm) struct Standing {
    pub(in crate::swarm) conn: ConnId,
    pub(in crate::swarm) remote: SocketAddr,
    /// For how long nothing moved.
    pub(in crate::swarm) idle_for: Duration,
    /// Nothing moves, and nobody pays.
    pub(in crate::swarm) idle: bool,
}

/// What a peer said before its words could be checked.
#[derive(Debug, Default)]
struct Early {
    bits: Option<Bytes>,
    all: bool,
    pieces: Vec<u32>,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Peer {
    remote: SocketAddr,
    peer_id: PeerId,
    outgoing: bool,
    pub(super) bits: Option<Bitfield>,
    early: Early,
    /// How often it named all its pieces at once.
    claims: u32,
    listens_at: Option<SocketAddr>,
    /// A web seed: it has no address, and is told nothing.
    web: bool,
    /// Its pieces are asked of it alone: a piece it had a part in was bad.
    pub(super) suspect: bool,
    /// It had a part in a piece whose hash matched.
    pub(super) proven: bool,
}

/// Connections that are over.
#[derive(Debug, Default)]
pub(super) struct Departed {
    /// Where each led.
    remotes: BTreeMap<ConnId, SocketAddr>,
    /// Where suspects are, the oldest first: who leaves and comes again is one still.
    suspects: VecDeque<SocketAddr>,
}

impl Departed {
    fn note(&mut self, conn: ConnId, remote: SocketAddr) {
        // Ids only rise: the first is of the one that left, or came, longest ago.
        self.remotes.insert(conn, remote);
        while self.remotes.len() > MAX_DEPARTED {
            self.remotes.pop_first();
        }
    }

    /// A suspect left, or one that left turns out to be one.
    pub(super) fn note_suspect(&mut self, addr: SocketAddr) {
        if self.suspects.len() >= MAX_DEPARTED {
            self.suspects.pop_front();
        }
        self.suspects.push_back(addr);
    }

    /// Whether a suspect was there; it is remembered no longer.
    fn take_suspect(&mut self, addr: SocketAddr) -> bool {
        let before = self.suspects.len();
        self.suspects.retain(|one| !is_same(*one, addr));
        self.suspects.len() < before
    }
}

/// Whether it is the same peer, as far as addresses tell. At `localhost` everybody has the
/// same one, but not the same port.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    one == other || (one.ip() == other.ip() && !is_localhost(one.ip()))
}

fn is_localhost(ip: IpAddr) -> bool {
    ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST
}

/// Who is kept out; the oldest first.
#[derive(Debug, Default)]
pub(super) struct Bans {
    ips: VecDeque<IpAddr>,
    addrs: VecDeque<SocketAddr>,
}

impl Bans {
    fn has(&self, addr: SocketAddr) -> bool {
        self.ips.contains(&addr.ip()) || self.addrs.contains(&addr)
    }

    pub(super) fn ban_addr(&mut self, addr: SocketAddr) {
        if !self.addrs.contains(&addr) {
            if self.addrs.len() >= MAX_BANNED {
                self.addrs.pop_front();
            }
            self.addrs.push_back(addr);
        }
    }

    fn ban_ip(&mut self, ip: IpAddr) {
        if !self.ips.contains(&ip) {
            if self.ips.len() >= MAX_BANNED {
                self.ips.pop_front();
            }
            self.ips.push_back(ip);
        }
    }
}

impl TorrentCore {
    /// Adds addresses to dial. Unusable ones are passed over.
    pub(super) fn named(
        &mut self,
        addrs: &[SocketAddr],
        source: PeerSource,
        teller: Option<IpAddr>,
        now_ms: u64,
    ) {
        for addr in addrs {
            let ip = addr.ip();
            if addr.port() == 0 || ip.is_unspecified() || ip.is_multicast() {
                continue;
            }
            let addr = SocketAddr::new(ip.to_canonical(), addr.port());
            if !self.bans.has(addr) {
                self.book.add(addr, source, teller, now_ms);
            }
        }
    }

    /// Addresses to dial now, of at most `max_peers` connections in all; they are marked as
    /// being dialled. What is useless to a `complete` torrent is passed over. `places` are
    /// those of the session.
    pub(in crate::swarm) fn choose_to_dial(
        &mut self,
        now_ms: u64,
        max_peers: usize,
        places: Places,
        complete: bool,
        priority: impl Fn(SocketAddr) -> u32,
    ) -> Vec<SocketAddr> {
        if !self.phase.is_open() {
            return Vec::new();
        }
        let dialling = self.book.dialling();
        let own = self.connected() + dialling;
        let room = max_peers
            .min(places.for_one_with(own))
            .saturating_sub(own)
            .min(MAX_DIALLING.saturating_sub(dialling));
        self.book.choose(room, complete, now_ms, priority)
    }

    /// Whether an incoming connection is taken.
    pub(in crate::swarm) fn arrives(&self, addr: SocketAddr, max_peers: usize) -> Arrival {
        if !self.phase.is_open() || self.bans.has(addr) {
            Arrival::Refused
        } else if self.connected() < max_peers {
            Arrival::Welcome
        } else {
            Arrival::Full
        }
    }

    /// Connections, without web seeds.
    pub(super) fn connected(&self) -> usize {
        self.peers.values().filter(|peer| !peer.web).count()
    }

    /// A web seed may be asked.
    pub(super) fn web_seed_came(&mut self, conn: ConnId, out: &mut Vec<Output>) {
        let Some(picker) = &mut self.picker else {
            return;
        };
        if self.peers.contains_key(&conn) {
            return;
        }
        let bits = Bitfield::full(picker.have().len());
        picker.peer_came(&bits);
        let peer = Peer {
            remote: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
            peer_id: PeerId::default(),
            outgoing: true,
            bits: Some(bits),
            early: Early::default(),
            claims: 0,
            listens_at: None,
            web: true,
            suspect: false,
            proven: false,
        };
        self.peers.insert(conn, peer);
        out.push(Output::LookAgain);
    }

    /// Whether a connection is a web seed.
    pub(super) fn is_web(&self, conn: ConnId) -> bool {
        self.peers.get(&conn).is_some_and(|peer| peer.web)
    }

    /// Which connection of a full torrent gives way to a peer at `addr`, and why.
    pub(in crate::swarm) fn gives_way(
        addr: SocketAddr,
        standings: &[Standing],
        priority: impl Fn(SocketAddr) -> u32,
    ) -> Option<(ConnId, &'static str)> {
        let mut places = BTreeMap::<Network, usize>::new();
        for one in standings {
            *places.entry(Network::of(one.remote.ip())).or_default() += 1;
        }
        let network_of = |one: &Standing| Network::of(one.remote.ip());
        let of = |network| places.get(&network).copied().unwrap_or(0);
        let own = of(Network::of(addr.ip()));
        let longest_idle = |ones: &mut dyn Iterator<Item = &Standing>| {
            ones.max_by_key(|one| one.idle_for).copied()
        };
        // One of the network that has most places, if that is a crowd beside the new one's:
        // many connections of one network keep nobody out.
        let crowd = places.iter().max_by_key(|(_, count)| **count);
        if let Some((crowd, count)) = crowd
            && *count > own + CROWD
        {
            let idle = standings.iter().filter(|one| one.idle);
            let mut of_it = idle.filter(|one| network_of(one) == *crowd);
            if let Some(longest) = longest_idle(&mut of_it) {
                return Some((
                    longest.conn,
                    "its network has many places, and another has few",
                ));
            }
        }
        // Nor do they push out others.
        let may_go = |one: &&Standing| of(network_of(one)) >= own;
        // One with which nothing has happened for a while, the longest idle first. One that
        // pays, or moves data, never does.
        let longest = longest_idle(&mut standings.iter().filter(may_go));
        let longest = longest.filter(|one| one.idle_for >= MAY_BE_IDLE);
        if let Some(longest) = longest {
            let why = "nothing happens here, and another peer asks for the place";
            return Some((longest.conn, why));
        }
        // Or one that matters less to the swarm (BEP 40).
        let idle = standings.iter().filter(|one| one.idle).filter(may_go);
        let (least, conn) = idle
            .map(|one| (priority(one.remote), one.conn))
            .min_by_key(|(priority, _)| *priority)?;
        (least < priority(addr)).then_some((conn, "there is a peer of higher priority"))
    }

    /// Takes a connection in.
    ///
    /// # Errors
    /// It is not wanted; why.
    pub(in crate::swarm) fn join(
        &mut self,
        joining: Joining,
        our_id: &PeerId,
    ) -> Result<Vec<Output>, &'static str> {
        if self.phase.is_closed() || self.phase.is_ending() {
            return Err("the torrent is paused or has ended");
        }
        if self.bans.has(joining.remote) {
            return Err("it is banned");
        }
        let mut out = Vec::new();
        // Two peers that dial each other keep the connection of the one with the
        // greater id, and both of them know which that is. An id alone proves
        // nothing, so it must also be the same host.
        let same = self.peers.iter().find(|(_, peer)| {
            peer.peer_id == joining.peer_id && peer.remote.ip() == joining.remote.ip()
        });
        if let Some((same, peer)) = same {
            let ours_wins = *our_id > joining.peer_id;
            if peer.outgoing == joining.outgoing || joining.outgoing != ours_wins {
                return Err("there is a connection already");
            }
            out.push(Output::Close(*same, "there is another connection"));
        }
        let peer = Peer {
            remote: joining.remote,
            peer_id: joining.peer_id,
            outgoing: joining.outgoing,
            bits: None,
            early: Early::default(),
            claims: 0,
            listens_at: joining.outgoing.then_some(joining.remote),
            web: false,
            suspect: self.departed.take_suspect(joining.remote),
            proven: false,
        };
        self.peers.insert(joining.conn, peer);
        if joining.outgoing {
            self.book.connected(joining.remote, joining.conn, true);
        }
        out.push(Output::Event(Event::PeerConnected {
            addr: joining.remote,
            outgoing: joining.outgoing,
        }));
        Ok(out)
    }

    /// What a new connection is told to begin with, if that is known.
    pub(in crate::swarm) fn greet(&mut self, conn: ConnId) -> Option<Bitfield> {
        let have = self.picker.as_ref()?.have().clone();
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.bits = Some(Bitfield::empty(have.len()));
        }
        Some(have)
    }

    /// The check is done while a connection was open: believes what its peer said before.
    /// What it is to be told, if the check is done.
    ///
    /// # Errors
    /// What it said cannot be.
    pub(in crate::swarm) fn go_live(
        &mut self,
        conn: ConnId,
    ) -> Result<Option<Bitfield>, &'static str> {
        let (Some(picker), Some(peer)) = (&mut self.picker, self.peers.get_mut(&conn)) else {
            return Ok(None);
        };
        let have = picker.have().clone();
        let mut bits = match (peer.early.all, peer.early.bits.take()) {
            (true, _) => Bitfield::full(have.len()),
            (false, Some(bits)) => {
                let bits = Bitfield::from_wire(&bits, have.len());
                bits.ok_or("it claims pieces that do not exist")?
            }
            (false, None) => Bitfield::empty(have.len()),
        };
        for piece in std::mem::take(&mut peer.early.pieces) {
            bits.insert(piece);
        }
        picker.peer_came(&bits);
        peer.bits = Some(bits);
        Ok(Some(have))
    }

    /// A peer says what it has. Whether that is news.
    ///
    /// # Errors
    /// It cannot be.
    pub(in crate::swarm) fn claimed(
        &mut self,
        conn: ConnId,
        claim: Claim,
    ) -> Result<bool, &'static str> {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return Ok(false);
        };
        if !matches!(claim, Claim::One(_)) {
            peer.claims += 1;
            if peer.claims > MAX_CLAIMS {
                return Err("it says again and again what it has");
            }
        }
        let impossible = "it claims pieces that do not exist";
        let (Some(picker), Some(bits)) = (&mut self.picker, &mut peer.bits) else {
            return peer.early.note(claim).then_some(true).ok_or(impossible);
        };
        let all = match claim {
            Claim::One(piece) => {
                if piece >= bits.len() {
                    return Err(impossible);
                }
                if !bits.insert(piece) {
                    return Ok(false);
                }
                picker.peer_has(piece);
                None
            }
            Claim::All => Some(Bitfield::full(bits.len())),
            Claim::None => Some(Bitfield::empty(bits.len())),
            Claim::Bits(bytes) => match Bitfield::from_wire(&bytes, bits.len()) {
                Some(all) => Some(all),
                None => return Err(impossible),
            },
        };
        if let Some(all) = all {
            picker.peer_went(bits);
            picker.peer_came(&all);
            *bits = all;
        }
        if bits.is_full()
            && let Some(addr) = peer.listens_at
        {
            self.book.is_seed(addr);
        }
        Ok(true)
    }

    pub(in crate::swarm) fn is_interested_in(&self, conn: ConnId) -> bool {
        let bits = self.peers.get(&conn).and_then(|peer| peer.bits.as_ref());
        match (&self.picker, bits) {
            (Some(picker), Some(bits)) => !self.phase.is_ending() && picker.interesting(bits),
            _ => false,
        }
    }

    /// Where the peer of an incoming connection listens: the first that it says counts.
    pub(super) fn listens(
        &mut self,
        conn: ConnId,
        addr: SocketAddr,
        now_ms: u64,
        out: &mut Vec<Output>,
    ) {
        let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if peer.listens_at.is_some() {
            return;
        }
        peer.listens_at = Some(addr);
        // At `localhost` it is known again by this alone.
        peer.suspect |= self.departed.take_suspect(addr);
        self.named(&[addr], PeerSource::Pex, Some(addr.ip()), now_ms);
        self.book.connected(addr, conn, false);
        out.push(Output::DialMore);
    }

    /// A connection is over.
    pub(super) fn left(&mut self, conn: ConnId, reason: String, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.remove(&conn) else {
            return;
        };
        if let Some(picker) = &mut self.picker {
            if let Some(bits) = &peer.bits {
                picker.peer_went(bits);
            }
            let lost = picker.disown(conn);
            Self::tell_dropped(conn, lost, out);
        }
        out.push(Output::LookAgain);
        if peer.web {
            return;
        }
        self.book.left(conn);
        self.departed.note(conn, peer.remote);
        if peer.suspect {
            self.departed
                .note_suspect(peer.listens_at.unwrap_or(peer.remote));
        }
        out.push(Output::Event(Event::PeerDisconnected {
            addr: peer.remote,
            reason,
        }));
        out.push(Output::DialMore);
    }

    /// Where a connection leads or led, if it is not long ago.
    pub(super) fn remote(&self, conn: ConnId) -> Option<SocketAddr> {
        let here = self.peers.get(&conn).map(|peer| peer.remote);
        here.or_else(|| self.departed.remotes.get(&conn).copied())
    }

    /// Never again with this peer. A whole address, but at `localhost`, where
    /// everybody has the same one, only this port.
    pub(super) fn ban(&mut self, addr: SocketAddr, why: &'static str, out: &mut Vec<Output>) {
        if is_localhost(addr.ip()) {
            self.bans.ban_addr(addr);
            let banned = self.peers.values().find(|peer| peer.remote == addr);
            if let Some(listens_at) = banned.and_then(|peer| peer.listens_at) {
                self.bans.ban_addr(listens_at);
                self.book.remove(listens_at);
            }
        } else {
            self.bans.ban_ip(addr.ip());
        }
        self.book.remove(addr);
        let all = self.peers.iter();
        let banned = all.filter(|(_, peer)| self.bans.has(peer.remote));
        out.extend(banned.map(|(conn, _)| Output::Close(*conn, why)));
        out.push(Output::Event(Event::PeerBanned {
            addr,
            reason: why.to_owned(),
        }));
    }

    /// How many pieces a connection's peer has.
    pub(in crate::swarm) fn pieces_of(&self, conn: ConnId) -> u32 {
        let bits = self.peers.get(&conn).and_then(|peer| peer.bits.as_ref());
        bits.map_or(0, Bitfield::count)
    }

    /// Whether a connection's peer has everything.
    pub(in crate::swarm) fn is_seed(&self, conn: ConnId) -> bool {
        let bits = self.peers.get(&conn).and_then(|peer| peer.bits.as_ref());
        bits.is_some_and(Bitfield::is_full)
    }

    /// Addresses where connected peers can be dialled: for PEX.
    pub(in crate::swarm) fn dialable(&self) -> Vec<SocketAddr> {
        let peers = self.peers.values();
        peers.filter_map(|peer| peer.listens_at).collect()
    }
}

impl Early {
    fn note(&mut self, claim: Claim) -> bool {
        match claim {
            Claim::One(piece) => {
                if piece >= MAX_PIECES || self.pieces.len() >= MAX_EARLY {
                    return piece < MAX_PIECES;
                }
                self.pieces.push(piece);
                true
            }
            Claim::Bits(bits) => {
                let fits = bits.len() <= MAX_INFO_BYTES / 160;
                self.bits = Some(Bytes::copy_from_slice(&bits));
                fits
            }
            Claim::All => {
                self.all = true;
                true
            }
            Claim::None => true,
        }
    }
}
