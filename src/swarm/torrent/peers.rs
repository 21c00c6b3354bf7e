//! Who is connected, what they have, and whom to dial.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

use super::{Claim, PeerSource, State, Torrent};
use crate::swarm::{
    bitfield::Bitfield,
    events::Event,
    hooks::ConnId,
    lock::lock,
    metainfo::{MAX_INFO_BYTES, MAX_PIECES},
    peer::Conn,
    wire::Message,
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
/// How often a peer may name all its pieces at once: aria2 does it more than once.
const MAX_CLAIMS: u32 = 8;
/// Connections of one torrent that are being opened at once.
const MAX_DIALLING: usize = 16;

/// What a peer said before its words could be checked.
#[derive(Debug, Default)]
struct Early {
    bits: Option<Bytes>,
    all: bool,
    pieces: Vec<u32>,
}

pub(super) struct Entry {
    pub(super) conn: Arc<Conn>,
    pub(super) bits: Option<Bitfield>,
    early: Early,
    /// How often it named all its pieces at once.
    claims: u32,
    listens_at: Option<SocketAddr>,
}

impl Entry {
    pub(super) fn pieces(&self) -> u32 {
        self.bits.as_ref().map_or(0, Bitfield::count)
    }
}

impl State {
    fn is_banned(&self, addr: SocketAddr) -> bool {
        self.banned_ips.contains(&addr.ip()) || self.banned_addrs.contains(&addr)
    }

    fn ban_addr(&mut self, addr: SocketAddr) {
        if !self.banned_addrs.contains(&addr) {
            if self.banned_addrs.len() >= MAX_BANNED {
                self.banned_addrs.pop_front();
            }
            self.banned_addrs.push_back(addr);
        }
    }

    fn ban_ip(&mut self, ip: IpAddr) {
        if !self.banned_ips.contains(&ip) {
            if self.banned_ips.len() >= MAX_BANNED {
                self.banned_ips.pop_front();
            }
            self.banned_ips.push_back(ip);
        }
    }
}

impl Torrent {
    /// Adds addresses to dial. Unusable ones are passed over.
    pub(in crate::swarm) fn add_peers(&self, addrs: &[SocketAddr], source: PeerSource) {
        self.learn(addrs, source, None);
    }

    /// Adds addresses that the peer at `teller` named.
    pub(in crate::swarm) fn add_told(&self, addrs: &[SocketAddr], teller: IpAddr) {
        self.learn(addrs, PeerSource::Pex, Some(teller));
    }

    fn learn(&self, addrs: &[SocketAddr], source: PeerSource, teller: Option<IpAddr>) {
        let now = self.now_ms();
        let mut state = lock(&self.state);
        for addr in addrs {
            let ip = addr.ip();
            if addr.port() == 0 || ip.is_unspecified() || ip.is_multicast() {
                continue;
            }
            let addr = SocketAddr::new(ip.to_canonical(), addr.port());
            if !state.is_banned(addr) {
                state.book.add(addr, source, teller, now);
            }
        }
        drop(state);
        self.changed.notify_one();
    }

    /// A magnet link turns out to be of a private torrent: only its trackers and its
    /// owner may say who its peers are (BEP 27).
    pub(super) fn forget_public_peers(&self) {
        lock(&self.state).book.forget_public();
    }

    /// Addresses to dial now; they are marked as being dialled.
    pub(super) fn choose_to_dial(&self) -> Vec<SocketAddr> {
        let (complete, now) = (self.is_complete(), self.now_ms());
        let mut state = lock(&self.state);
        if !state.phase.is_open() {
            return Vec::new();
        }
        let dialling = state.book.dialling();
        let room = self
            .shared
            .max_peers
            .saturating_sub(state.peers.len() + dialling)
            .min(MAX_DIALLING.saturating_sub(dialling));
        let priority = |addr| self.shared.priority(addr);
        state.book.choose(room, complete, now, priority)
    }

    /// A dialled connection ended, or never was.
    pub(super) fn dialled(&self, addr: SocketAddr, lived: Duration) {
        let now = self.now_ms();
        lock(&self.state).book.dialled(addr, lived, now);
        self.changed.notify_one();
    }

    /// The address is this session's own.
    pub(in crate::swarm) fn is_self(&self, addr: SocketAddr) {
        let mut state = lock(&self.state);
        state.book.remove(addr);
        state.ban_addr(addr);
    }

    /// Whether an incoming connection is taken.
    pub(in crate::swarm) fn welcomes(&self, addr: SocketAddr) -> bool {
        let state = lock(&self.state);
        if !state.phase.is_open() || state.is_banned(addr) {
            return false;
        }
        if state.peers.len() < self.shared.max_peers {
            return true;
        }
        // Full: one with which nothing has happened for a while gives way, the longest idle
        // first. One that pays, or moves data, never does.
        let conns = || {
            let open = state.peers.values().map(|entry| &entry.conn);
            open.filter(|conn| !conn.is_closing())
        };
        let longest = conns()
            .map(|conn| (conn.idle_for(), conn))
            .max_by_key(|(idle, _)| *idle)
            .filter(|(idle, _)| *idle >= MAY_BE_IDLE);
        if let Some((_, longest)) = longest {
            longest.close("nothing happens here, and another peer asks for the place");
            return true;
        }
        // Or one that matters less to the swarm (BEP 40).
        let least = conns()
            .filter(|conn| conn.is_idle())
            .map(|conn| (self.shared.priority(conn.remote), conn))
            .min_by_key(|(priority, _)| *priority)
            .filter(|(priority, _)| *priority < self.shared.priority(addr));
        if let Some((_, least)) = least {
            least.close("there is a peer of higher priority");
        }
        least.is_some()
    }

    /// Takes a connection in.
    pub(in crate::swarm) fn join(&self, conn: &Arc<Conn>) -> Result<(), &'static str> {
        let mut state = lock(&self.state);
        if state.phase.is_closed() || state.phase.is_ending() {
            return Err("the torrent is paused or has ended");
        }
        if state.is_banned(conn.remote) {
            return Err("it is banned");
        }
        // Two peers that dial each other keep the connection of the one with the
        // greater id, and both of them know which that is. An id alone proves
        // nothing, so it must also be the same host.
        let same = state.peers.values().find(|entry| {
            entry.conn.peer_id == conn.peer_id && entry.conn.remote.ip() == conn.remote.ip()
        });
        if let Some(same) = same {
            let ours_wins = self.shared.peer_id > conn.peer_id;
            if same.conn.outgoing == conn.outgoing || conn.outgoing != ours_wins {
                return Err("there is a connection already");
            }
            same.conn.close("there is another connection");
        }
        let entry = Entry {
            conn: conn.clone(),
            bits: None,
            early: Early::default(),
            claims: 0,
            listens_at: conn.outgoing.then_some(conn.remote),
        };
        state.peers.insert(conn.id, entry);
        if conn.outgoing {
            state.book.connected(conn.remote, conn.id, true);
        }
        drop(state);
        self.emit(Event::PeerConnected {
            addr: conn.remote,
            outgoing: conn.outgoing,
        });
        Ok(())
    }

    /// Sends what we have, right after the handshake; true if that is known.
    pub(in crate::swarm) fn greet(&self, conn: &Conn, fast: bool) -> bool {
        let mut state = lock(&self.state);
        let Some(picker) = &state.picker else {
            drop(state);
            if fast {
                conn.send(Message::HaveNone);
            }
            return false;
        };
        let have = picker.have().clone();
        if let Some(entry) = state.peers.get_mut(&conn.id) {
            entry.bits = Some(Bitfield::empty(have.len()));
        }
        drop(state);
        if fast && have.is_full() {
            conn.send(Message::HaveAll);
        } else if fast && have.is_empty() {
            conn.send(Message::HaveNone);
        } else if !have.is_empty() {
            conn.send(Message::Bitfield(Bytes::copy_from_slice(have.as_bytes())));
        }
        true
    }

    /// The metadata came, or the check is done, while `conn` was open: believes
    /// what it said before, and tells it what we have.
    pub(in crate::swarm) fn go_live(&self, conn: &Conn) -> bool {
        let mut state = lock(&self.state);
        let Some(have) = state.picker.as_ref().map(|picker| picker.have().clone()) else {
            return false;
        };
        let Some(entry) = state.peers.get_mut(&conn.id) else {
            return false;
        };
        let mut bits = match (entry.early.all, entry.early.bits.take()) {
            (true, _) => Some(Bitfield::full(have.len())),
            (false, Some(bits)) => Bitfield::from_wire(&bits, have.len()),
            (false, None) => Some(Bitfield::empty(have.len())),
        };
        if let Some(bits) = &mut bits {
            for piece in std::mem::take(&mut entry.early.pieces) {
                bits.insert(piece);
            }
        }
        let Some(bits) = bits else {
            drop(state);
            conn.close("it claims pieces that do not exist");
            return false;
        };
        entry.bits = Some(bits.clone());
        if let Some(picker) = &mut state.picker {
            picker.peer_came(&bits);
        }
        drop(state);
        conn.send_haves(have);
        true
    }

    /// A peer says what it has. Whether that is news.
    ///
    /// # Errors
    /// It cannot be.
    pub(in crate::swarm) fn claimed(
        &self,
        conn: ConnId,
        claim: Claim,
    ) -> Result<bool, &'static str> {
        let mut state = lock(&self.state);
        let State {
            picker,
            peers,
            book,
            ..
        } = &mut *state;
        let Some(entry) = peers.get_mut(&conn) else {
            return Ok(false);
        };
        if !matches!(claim, Claim::One(_)) {
            entry.claims += 1;
            if entry.claims > MAX_CLAIMS {
                return Err("it says again and again what it has");
            }
        }
        let impossible = "it claims pieces that do not exist";
        let (Some(picker), Some(bits)) = (picker, &mut entry.bits) else {
            return entry.early.note(claim).then_some(true).ok_or(impossible);
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
            && let Some(addr) = entry.listens_at
        {
            book.is_seed(addr);
        }
        Ok(true)
    }

    pub(in crate::swarm) fn is_interested_in(&self, conn: ConnId) -> bool {
        let state = lock(&self.state);
        let bits = state.peers.get(&conn).and_then(|entry| entry.bits.as_ref());
        match (&state.picker, bits) {
            (Some(picker), Some(bits)) => !state.phase.is_ending() && picker.interesting(bits),
            _ => false,
        }
    }

    /// Where the peer of an incoming connection listens: the first that it says counts.
    pub(in crate::swarm) fn learn_listen_addr(&self, conn: ConnId, addr: SocketAddr) {
        let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
        let mut state = lock(&self.state);
        let Some(entry) = state.peers.get_mut(&conn) else {
            return;
        };
        if entry.listens_at.is_some() {
            return;
        }
        entry.listens_at = Some(addr);
        drop(state);
        self.add_told(&[addr], addr.ip());
        lock(&self.state).book.connected(addr, conn, false);
    }

    /// A connection is over.
    pub(in crate::swarm) fn leave(&self, conn: &Conn, reason: &str) {
        let mut state = lock(&self.state);
        let State {
            picker,
            peers,
            book,
            ..
        } = &mut *state;
        let Some(entry) = peers.remove(&conn.id) else {
            return;
        };
        let mut lost = Vec::new();
        if let Some(picker) = picker {
            if let Some(bits) = &entry.bits {
                picker.peer_went(bits);
            }
            lost = picker.disown(conn.id);
        }
        book.left(conn.id);
        // Ids only rise: the first is of the one that left, or came, longest ago.
        state.departed.insert(conn.id, conn.remote);
        while state.departed.len() > MAX_DEPARTED {
            state.departed.pop_first();
        }
        drop(state);
        for (tag, bytes) in lost {
            conn.tell(crate::swarm::peer::Told::Dropped { tag, bytes });
        }
        self.emit(Event::PeerDisconnected {
            addr: conn.remote,
            reason: reason.to_owned(),
        });
        self.drained.notify_one();
        self.changed.notify_one();
        self.wake_all();
    }

    /// Where a connection leads or led, if it is not long ago.
    pub(super) fn remote(&self, conn: ConnId) -> Option<SocketAddr> {
        let state = lock(&self.state);
        let here = state.peers.get(&conn).map(|entry| entry.conn.remote);
        here.or_else(|| state.departed.get(&conn).copied())
    }

    /// Never again with this peer. A whole address, but at `localhost`, where
    /// everybody has the same one, only this port.
    pub(in crate::swarm) fn ban(&self, addr: SocketAddr, why: &str) {
        let mut state = lock(&self.state);
        if addr.ip() == Ipv4Addr::LOCALHOST || addr.ip() == Ipv6Addr::LOCALHOST {
            state.ban_addr(addr);
            let banned = state.peers.values().find(|entry| entry.conn.remote == addr);
            if let Some(listens_at) = banned.and_then(|entry| entry.listens_at) {
                state.ban_addr(listens_at);
                state.book.remove(listens_at);
            }
        } else {
            state.ban_ip(addr.ip());
        }
        state.book.remove(addr);
        let conns: Vec<_> = state
            .peers
            .values()
            .filter(|entry| state.is_banned(entry.conn.remote))
            .map(|entry| entry.conn.clone())
            .collect();
        drop(state);
        for conn in conns {
            conn.close(why);
        }
        self.emit(Event::PeerBanned {
            addr,
            reason: why.to_owned(),
        });
    }

    /// Addresses where connected peers can be dialled: for PEX.
    pub(super) fn dialable(&self) -> Vec<SocketAddr> {
        let state = lock(&self.state);
        let peers = state.peers.values();
        peers.filter_map(|entry| entry.listens_at).collect()
    }

    /// Closes connections between two that want nothing of each other.
    pub(super) fn close_useless(&self) {
        if !self.is_complete() {
            return;
        }
        let peers: Vec<_> = {
            let state = lock(&self.state);
            let peers = state.peers.values();
            let full = |entry: &Entry| entry.bits.as_ref().is_some_and(Bitfield::is_full);
            peers
                .map(|entry| (entry.conn.clone(), full(entry)))
                .collect()
        };
        for (conn, full) in peers {
            if (full || conn.is_upload_only()) && conn.is_drained() {
                conn.close("neither wants anything of the other");
            }
        }
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
