//! Who is connected, what they have, and whom to dial.

use std::{
    cmp::Reverse,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{Claim, State, Torrent};
use crate::swarm::{
    bitfield::Bitfield,
    events::Event,
    hooks::ConnId,
    lock::lock,
    metainfo::{MAX_INFO_BYTES, MAX_PIECES},
    peer::Conn,
    wire::Message,
};

/// Addresses remembered of one torrent. Trackers and PEX offer more than this
/// only for the largest swarms, and the peers we are connected to find others.
const MAX_KNOWN: usize = 2000;
/// Attempts at an address that never answers.
const MAX_FAILURES: u32 = 8;
/// Wait before the second attempt; doubles.
const RETRY: Duration = Duration::from_secs(2);
/// Longest wait.
const MAX_RETRY: Duration = Duration::from_secs(300);
/// `have`s kept of a peer while the metadata is missing.
const MAX_EARLY: usize = 4096;
/// Connections that are over of which it is known where they led: what they sent
/// may turn out to be bad later.
const MAX_DEPARTED: usize = 256;
/// Connections of one torrent that are being opened at once.
const MAX_DIALLING: usize = 16;

/// Where an address is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::swarm) enum PeerSource {
    Pex,
    Dht,
    Lan,
    Tracker,
    Incoming,
    User,
}

#[derive(Debug)]
pub(super) struct Known {
    source: PeerSource,
    failures: u32,
    next_try: Instant,
    dialling: bool,
    conn: Option<ConnId>,
    seed: bool,
}

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
}

impl Torrent {
    /// Adds addresses to dial. Unusable ones are passed over.
    pub(in crate::swarm) fn add_peers(&self, addrs: &[SocketAddr], source: PeerSource) {
        let mut state = lock(&self.state);
        let now = Instant::now();
        for addr in addrs {
            let ip = addr.ip();
            if addr.port() == 0 || ip.is_unspecified() || ip.is_multicast() {
                continue;
            }
            let addr = SocketAddr::new(ip.to_canonical(), addr.port());
            if state.is_banned(addr) {
                continue;
            }
            let room = state.known.len() < MAX_KNOWN;
            match state.known.get_mut(&addr) {
                Some(known) => {
                    known.source = known.source.max(source);
                    if source >= PeerSource::Tracker {
                        known.failures = known.failures.min(MAX_FAILURES / 2);
                    }
                }
                None if room => {
                    let fresh = Known {
                        source,
                        failures: 0,
                        next_try: now,
                        dialling: false,
                        conn: None,
                        seed: false,
                    };
                    state.known.insert(addr, fresh);
                }
                None => {}
            }
        }
        drop(state);
        self.changed.notify_one();
    }

    /// A magnet link turns out to be of a private torrent: only its trackers and its
    /// owner may say who its peers are (BEP 27).
    pub(super) fn forget_public_peers(&self) {
        let mut state = lock(&self.state);
        state
            .known
            .retain(|_, known| known.source >= PeerSource::Tracker);
    }

    /// Addresses to dial now; they are marked as being dialled.
    pub(super) fn choose_to_dial(&self) -> Vec<SocketAddr> {
        if self.is_stopping() {
            return Vec::new();
        }
        let complete = self.is_complete();
        let mut state = lock(&self.state);
        let dialling = state.known.values().filter(|known| known.dialling).count();
        let connected = state.peers.len();
        let room = self
            .shared
            .max_peers
            .saturating_sub(connected + dialling)
            .min(MAX_DIALLING.saturating_sub(dialling));
        let now = Instant::now();
        let mut ready: Vec<_> = state
            .known
            .iter_mut()
            .filter(|(_, known)| {
                let user = known.source == PeerSource::User;
                known.conn.is_none()
                    && !known.dialling
                    && known.next_try <= now
                    && (user || known.failures < MAX_FAILURES)
                    && !(complete && known.seed)
                    && known.source != PeerSource::Incoming
            })
            .collect();
        ready.sort_by_cached_key(|(addr, known)| {
            let priority = self.shared.priority(**addr);
            (
                Reverse(known.source),
                known.failures,
                Reverse(priority),
                **addr,
            )
        });
        let chosen = ready.into_iter().take(room).map(|(addr, known)| {
            known.dialling = true;
            *addr
        });
        chosen.collect()
    }

    /// A dialled connection ended, or never was.
    pub(super) fn dialled(&self, addr: SocketAddr, lived: Duration) {
        let mut state = lock(&self.state);
        if let Some(known) = state.known.get_mut(&addr) {
            known.dialling = false;
            known.conn = None;
            if lived > Duration::from_secs(20) {
                known.failures = 0;
            }
            let factor = 1u32.checked_shl(known.failures.min(16)).unwrap_or(u32::MAX);
            known.next_try = Instant::now() + RETRY.saturating_mul(factor).min(MAX_RETRY);
            known.failures = known.failures.saturating_add(1);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// The address is this session's own.
    pub(in crate::swarm) fn is_self(&self, addr: SocketAddr) {
        let mut state = lock(&self.state);
        state.known.remove(&addr);
        state.banned_addrs.insert(addr);
    }

    /// Whether an incoming connection is taken.
    pub(in crate::swarm) fn welcomes(&self, addr: SocketAddr) -> bool {
        let state = lock(&self.state);
        let checking = self.info.get().is_some() && state.picker.is_none();
        if self.is_stopping() || checking || state.is_banned(addr) {
            return false;
        }
        if state.peers.len() < self.shared.max_peers {
            return true;
        }
        // Full: one that matters more to the swarm (BEP 40) takes the place of one
        // with which nothing happens.
        let idle = state.peers.values().map(|entry| &entry.conn);
        let idle = idle.filter(|conn| conn.is_idle() && !conn.is_closing());
        let least = idle
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
        if self.is_stopping() {
            return Err("the torrent is stopping");
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
            listens_at: conn.outgoing.then_some(conn.remote),
        };
        state.peers.insert(conn.id, entry);
        if conn.outgoing
            && let Some(known) = state.known.get_mut(&conn.remote)
        {
            known.conn = Some(conn.id);
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
        for piece in have.iter() {
            conn.send(Message::Have(piece));
        }
        true
    }

    /// A peer says what it has; false if that cannot be.
    pub(in crate::swarm) fn claimed(&self, conn: ConnId, claim: Claim) -> bool {
        let mut state = lock(&self.state);
        let State {
            picker,
            peers,
            known,
            ..
        } = &mut *state;
        let Some(entry) = peers.get_mut(&conn) else {
            return true;
        };
        let (Some(picker), Some(bits)) = (picker, &mut entry.bits) else {
            return entry.early.note(claim);
        };
        let all = match claim {
            Claim::One(piece) => {
                if piece >= bits.len() {
                    return false;
                }
                if bits.insert(piece) {
                    picker.peer_has(piece);
                }
                None
            }
            Claim::All => Some(Bitfield::full(bits.len())),
            Claim::None => Some(Bitfield::empty(bits.len())),
            Claim::Bits(bytes) => match Bitfield::from_wire(&bytes, bits.len()) {
                Some(all) => Some(all),
                None => return false,
            },
        };
        if let Some(all) = all {
            picker.peer_went(bits);
            picker.peer_came(&all);
            *bits = all;
        }
        if bits.is_full()
            && let Some(known) = entry.listens_at.and_then(|addr| known.get_mut(&addr))
        {
            known.seed = true;
        }
        true
    }

    pub(in crate::swarm) fn is_interested_in(&self, conn: ConnId) -> bool {
        let state = lock(&self.state);
        let bits = state.peers.get(&conn).and_then(|entry| entry.bits.as_ref());
        match (&state.picker, bits) {
            (Some(picker), Some(bits)) => !self.is_stopping() && picker.interesting(bits),
            _ => false,
        }
    }

    pub(in crate::swarm) fn learn_listen_addr(&self, conn: ConnId, addr: SocketAddr) {
        self.add_peers(&[addr], PeerSource::Pex);
        let mut state = lock(&self.state);
        let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
        if let Some(known) = state.known.get_mut(&addr)
            && known.conn.is_none()
        {
            known.conn = Some(conn);
        }
        if let Some(entry) = state.peers.get_mut(&conn) {
            entry.listens_at = Some(addr);
        }
    }

    /// A connection is over.
    pub(in crate::swarm) fn leave(&self, conn: &Conn, reason: &str) {
        let mut state = lock(&self.state);
        let State {
            picker,
            peers,
            known,
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
        for known in known.values_mut() {
            if known.conn == Some(conn.id) {
                known.conn = None;
            }
        }
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
            state.banned_addrs.insert(addr);
            let banned = state.peers.values().find(|entry| entry.conn.remote == addr);
            if let Some(listens_at) = banned.and_then(|entry| entry.listens_at) {
                state.banned_addrs.insert(listens_at);
                state.known.remove(&listens_at);
            }
        } else {
            state.banned_ips.insert(addr.ip());
        }
        state.known.remove(&addr);
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
        let state = lock(&self.state);
        let useless = state.peers.values().filter(|entry| {
            let full = entry.bits.as_ref().is_some_and(Bitfield::is_full);
            (full || entry.conn.is_upload_only()) && entry.conn.is_drained()
        });
        let useless: Vec<_> = useless.map(|entry| entry.conn.clone()).collect();
        drop(state);
        for conn in useless {
            conn.close("neither wants anything of the other");
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
