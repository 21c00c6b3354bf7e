//! What a torrent decides: its phase, its pieces, who is connected and what each has, whom
//! to dial, whom to ask for what, and who is to blame. Pure: no sockets, no disk, no clock.
//! What happens is handed in with the time, in milliseconds since any fixed moment; what is
//! to be done about it comes back as [`Output`]s, in their order.
//!
//! A torrent drives it behind its lock, and the simulation of a swarm drives the same.

mod lease;
mod peers;
mod pieces;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use super::book::{PeerBook, PeerSource};
use crate::swarm::{
    events::Event,
    file_priority::{FilePriorities, of_pieces},
    hooks::{ConnId, PriceTag},
    metainfo::Info,
    peer::Told,
    phase::{self, Pause, Phase},
    picker::Picker,
    selection::Wanted,
};
use peers::{Bans, Departed, Peer};

pub(in crate::swarm) use lease::{Lease, Of, Owner, Wish, lease, lease_run};
pub(in crate::swarm) use peers::{Arrival, Claim, Joining, Places, Standing};

/// After the disk refused, nothing is requested for so long.
const DISK_RETRY_MS: u64 = 10_000;
/// Between two ticks, while something goes on.
pub(in crate::swarm) const TICK_MS: u64 = 1000;

/// What happens to a torrent. What asks for an answer is a method of [`TorrentCore`].
#[derive(Debug)]
pub(in crate::swarm) enum Input {
    /// What leads from one phase to another, but a refusal of the disk.
    Phase(phase::Input),
    /// All that is there is hashed. The info dictionary says which pieces are of which files.
    Checked(Box<Picker>, Option<Arc<Info>>),
    /// Some files go before others.
    Prioritize(FilePriorities),
    /// Other files are wanted.
    Chosen(Box<Wanted>),
    /// A second or more has passed: see [`TorrentCore::next_tick`].
    Tick,
    /// Somebody named these addresses; `teller`, if it was a peer.
    Named {
        addrs: Vec<SocketAddr>,
        source: PeerSource,
        teller: Option<IpAddr>,
    },
    /// It is a private torrent: what was named in public does not count.
    ForgetPublic,
    /// A dialled connection ended, or never was.
    Dialled { addr: SocketAddr, lived: Duration },
    /// The address is this session's own.
    IsSelf(SocketAddr),
    /// The peer of an incoming connection says where it listens.
    Listens { conn: ConnId, addr: SocketAddr },
    /// Never again with the peer at this address.
    Ban { addr: SocketAddr, why: &'static str },
    /// A web seed may be asked: it has everything.
    WebSeedCame(ConnId),
    /// The connection is over.
    Left { conn: ConnId, reason: String },
    /// A piece is on disk, and its hash is the right one.
    Verified(u32),
    /// A piece's hash is wrong.
    Wrong(u32),
    /// The disk refused a piece.
    DiskRefused {
        piece: u32,
        message: String,
        full: bool,
    },
    /// There is no room yet.
    StillFull,
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(in crate::swarm) enum Output {
    /// The phase is another one, and asks for this.
    Phase(Phase, Vec<phase::Output>),
    /// Those who watch are told.
    Event(Event),
    /// Everything is there, wanted or not.
    Full,
    /// Everything that is wanted is there.
    Completed,
    /// It was, and more is wanted now.
    Incomplete,
    /// A connection's extension is told.
    Tell(ConnId, Told),
    /// A connection is closed.
    Close(ConnId, &'static str),
    /// Everybody is told that we have a piece.
    Have(u32),
    /// What there is to request has changed.
    LookAgain,
    /// A piece in the making is given up: its bytes may go.
    Forget(u32),
    /// Bytes came that are of no use.
    Waste(u64),
    /// Whom to dial has changed.
    DialMore,
}

/// See the module.
#[derive(Debug)]
pub(in crate::swarm) struct TorrentCore {
    phase: Phase,
    picker: Option<Picker>,
    /// Once it is checked.
    info: Option<Arc<Info>>,
    priorities: FilePriorities,
    peers: BTreeMap<ConnId, Peer>,
    departed: Departed,
    book: PeerBook,
    bans: Bans,
    /// When the disk is tried again, after it refused.
    disk_retry_ms: u64,
    /// It refused for want of room.
    disk_full: bool,
}

impl TorrentCore {
    pub(in crate::swarm) fn new(phase: Phase) -> Self {
        Self {
            phase,
            picker: None,
            info: None,
            priorities: FilePriorities::new(),
            peers: BTreeMap::new(),
            departed: Departed::default(),
            book: PeerBook::default(),
            bans: Bans::default(),
            disk_retry_ms: 0,
            disk_full: false,
        }
    }

    #[cfg(test)]
    pub(in crate::swarm) fn phase(&self) -> &Phase {
        &self.phase
    }

    /// How many are connected.
    #[cfg(test)]
    pub(in crate::swarm) fn peers(&self) -> usize {
        self.peers.len()
    }

    /// How many addresses are remembered.
    #[cfg(test)]
    pub(in crate::swarm) fn known_addresses(&self) -> usize {
        self.book.len()
    }

    /// The pieces, once those on disk are checked.
    pub(in crate::swarm) fn picker(&self) -> Option<&Picker> {
        self.picker.as_ref()
    }

    /// Something happened at `now_ms`: what is to be done.
    pub(in crate::swarm) fn input(&mut self, now_ms: u64, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        match input {
            Input::Phase(input) => self.step(input, &mut out),
            Input::Checked(picker, info) => {
                let complete = picker.is_done();
                self.picker = Some(*picker);
                self.info = info;
                self.prioritize();
                self.step(phase::Input::Checked { complete }, &mut out);
                out.push(Output::LookAgain);
            }
            Input::Prioritize(files) => {
                self.priorities = files;
                self.prioritize();
                out.push(Output::LookAgain);
            }
            Input::Chosen(wanted) => self.chosen(now_ms, *wanted, &mut out),
            Input::Tick => self.give_up(&mut out),
            Input::Named {
                addrs,
                source,
                teller,
            } => {
                self.named(&addrs, source, teller, now_ms);
                out.push(Output::DialMore);
            }
            Input::ForgetPublic => self.book.forget_public(),
            Input::Dialled { addr, lived } => {
                self.book.dialled(addr, lived, now_ms);
                out.push(Output::DialMore);
            }
            Input::IsSelf(addr) => {
                self.book.remove(addr);
                self.bans.ban_addr(addr);
            }
            Input::Listens { conn, addr } => self.listens(conn, addr, now_ms, &mut out),
            Input::Ban { addr, why } => self.ban(addr, why, &mut out),
            Input::WebSeedCame(conn) => self.web_seed_came(conn, &mut out),
            Input::Left { conn, reason } => self.left(conn, reason, &mut out),
            Input::Verified(piece) => self.verified(piece, &mut out),
            Input::Wrong(piece) => self.wrong(piece, &mut out),
            Input::DiskRefused {
                piece,
                message,
                full,
            } => {
                self.disk_retry_ms = now_ms.saturating_add(DISK_RETRY_MS);
                self.disk_full = full;
                self.refused(piece, message, full, &mut out);
            }
            Input::StillFull => self.disk_retry_ms = now_ms.saturating_add(DISK_RETRY_MS),
        }
        out
    }

    /// Has the picker know which pieces are begun first.
    fn prioritize(&mut self) {
        if let (Some(picker), Some(info)) = (&mut self.picker, &self.info) {
            let pieces = of_pieces(info, picker.wanted(), &self.priorities);
            picker.prioritize(pieces);
        }
    }

    fn step(&mut self, input: phase::Input, out: &mut Vec<Output>) {
        if let Some((next, outputs)) = self.phase.step(input) {
            self.phase = next.clone();
            out.push(Output::Phase(next, outputs));
        }
    }

    /// Whether the disk that refused is to be tried again now; true within it, if it
    /// refused for want of room.
    pub(in crate::swarm) fn disk_due(&self, now_ms: u64) -> Option<bool> {
        let refused = matches!(self.phase, Phase::Paused(Pause::DiskRefused(_)));
        (refused && self.disk_retry_ms <= now_ms).then_some(self.disk_full)
    }

    /// When the next tick is needed, after one at `now_ms`, if nothing happens before; `None`:
    /// not before something happens. Nothing that a torrent decides changes in between. It is
    /// `complete` if everything wanted is there.
    pub(in crate::swarm) fn next_tick(&self, now_ms: u64, complete: bool) -> Option<u64> {
        let soon = now_ms.saturating_add(TICK_MS);
        // Nothing is asked of a web seed any more when everything is there.
        if !(complete || self.peers.is_empty()) || self.connected() > 0 {
            return Some(soon);
        }
        let refused = matches!(self.phase, Phase::Paused(Pause::DiskRefused(_)));
        let disk = refused.then_some(self.disk_retry_ms);
        let dial = match self.phase.is_open() {
            true => self.book.next_try(complete),
            false => None,
        };
        let next = disk.into_iter().chain(dial).min();
        next.map(|at| at.max(soon))
    }

    /// The price tags of a connection's chunks are written off.
    fn tell_dropped(conn: ConnId, tags: Vec<(PriceTag, u32)>, out: &mut Vec<Output>) {
        for (tag, bytes) in tags {
            out.push(Output::Tell(conn, Told::Dropped { tag, bytes }));
        }
    }
}

#[cfg(test)]
mod tests;
