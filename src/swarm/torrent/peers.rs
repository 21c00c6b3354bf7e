//! Who is connected: between the connections and the core.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

use super::{
    Claim, PeerSource, Torrent,
    core::{Arrival, Input, Joining, Output, Standing, TorrentCore},
};
use crate::swarm::{
    bitfield::Bitfield, hooks::ConnId, lock::lock, peer::Conn, session::DialPlace, wire::Message,
};

impl Torrent {
    /// Adds addresses to dial. Unusable ones are passed over.
    pub(in crate::swarm) fn add_peers(self: &Arc<Self>, addrs: &[SocketAddr], source: PeerSource) {
        self.input(Input::Named {
            addrs: addrs.to_vec(),
            source,
            teller: None,
        });
    }

    /// Adds addresses that the peer at `teller` named.
    pub(in crate::swarm) fn add_told(self: &Arc<Self>, addrs: &[SocketAddr], teller: IpAddr) {
        self.input(Input::Named {
            addrs: addrs.to_vec(),
            source: PeerSource::Pex,
            teller: Some(teller),
        });
    }

    /// Addresses to dial now, each with its place in the session; they are marked as being
    /// dialled.
    pub(super) fn choose_to_dial(&self) -> Vec<(SocketAddr, DialPlace)> {
        let (complete, now) = (self.is_complete(), self.now_ms());
        let places = self.shared.places_to_dial();
        let priority = |addr| self.shared.priority(addr);
        let mut state = self.state();
        let core = &mut state.core;
        let most = self.shared.max_peers;
        let chosen = core.choose_to_dial(now, most, places, complete, priority);
        let with_place = |addr| (addr, DialPlace::take(&self.shared));
        chosen.into_iter().map(with_place).collect()
    }

    /// A dialled connection ended, or never was.
    pub(super) fn dialled(self: &Arc<Self>, addr: SocketAddr, lived: Duration) {
        self.input(Input::Dialled { addr, lived });
    }

    /// The address is this session's own.
    pub(in crate::swarm) fn is_self(self: &Arc<Self>, addr: SocketAddr) {
        self.input(Input::IsSelf(addr));
    }

    /// Whether an incoming connection is taken.
    pub(in crate::swarm) fn welcomes(&self, addr: SocketAddr) -> bool {
        let arrival = self.state().core.arrives(addr, self.shared.max_peers);
        match arrival {
            Arrival::Welcome => return true,
            Arrival::Refused => return false,
            Arrival::Full => {}
        }
        let conns = self.conns();
        let open = conns.iter().filter(|conn| !conn.is_closing());
        let standings: Vec<_> = open
            .map(|conn| Standing {
                conn: conn.id,
                remote: conn.remote,
                idle_for: conn.idle_for(),
                idle: conn.is_idle(),
            })
            .collect();
        let priority = |addr| self.shared.priority(addr);
        let Some((conn, why)) = TorrentCore::gives_way(addr, &standings, priority) else {
            return false;
        };
        if let Some(conn) = conns.iter().find(|one| one.id == conn) {
            conn.close(why);
        }
        true
    }

    /// Takes a connection in.
    pub(in crate::swarm) fn join(self: &Arc<Self>, conn: &Arc<Conn>) -> Result<(), &'static str> {
        let joining = Joining {
            conn: conn.id,
            remote: conn.remote,
            peer_id: conn.peer_id,
            outgoing: conn.outgoing,
        };
        let mut state = self.state();
        let outputs = state.core.join(joining, &self.shared.peer_id)?;
        state.conns.insert(conn.id, conn.clone());
        state.brought.insert(conn.id, conn.brought.clone());
        self.act(state, outputs);
        Ok(())
    }

    /// Sends what we have, right after the handshake; true if that is known.
    pub(in crate::swarm) fn greet(&self, conn: &Conn, fast: bool) -> bool {
        let have = self.state().core.greet(conn.id);
        let Some(have) = have else {
            if fast {
                conn.send(Message::HaveNone);
            }
            return false;
        };
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
        let live = self.state().core.go_live(conn.id);
        match live {
            Ok(Some(have)) => {
                conn.send_haves(have);
                true
            }
            Ok(None) => false,
            Err(why) => {
                conn.close(why);
                false
            }
        }
    }

    /// A peer says what it has. Whether that is news.
    ///
    /// # Errors
    /// It cannot be.
    pub(in crate::swarm) fn claimed(
        &self,
        conn: &Conn,
        claim: Claim,
    ) -> Result<bool, &'static str> {
        let one = match claim {
            Claim::One(piece) => Some(piece),
            _ => None,
        };
        let news = self.state().core.claimed(conn.id, claim)?;
        if let Some(piece) = one.filter(|_| news) {
            self.announced(conn, piece);
        }
        Ok(news)
    }

    pub(in crate::swarm) fn is_interested_in(&self, conn: ConnId) -> bool {
        self.state().core.is_interested_in(conn)
    }

    /// Where the peer of an incoming connection listens: the first that it says counts.
    pub(in crate::swarm) fn learn_listen_addr(self: &Arc<Self>, conn: ConnId, addr: SocketAddr) {
        self.input(Input::Listens { conn, addr });
    }

    /// A connection is over.
    pub(in crate::swarm) fn leave(self: &Arc<Self>, conn: &Conn, reason: String) {
        let left = Input::Left {
            conn: conn.id,
            reason,
        };
        let now = self.now_ms();
        let mut state = self.state();
        let do_later = self.take_in_last(&mut state, conn.id);
        let outputs = state.core.input(now, left);
        state.conns.remove(&conn.id);
        let own = |output: &Output| matches!(output, Output::Tell(to, _) if *to == conn.id);
        let (own, others): (Vec<_>, Vec<_>) = outputs.into_iter().partition(own);
        // Under the lock, as whatever price tags hang on.
        for output in own {
            if let Output::Tell(_, told) = output {
                conn.tell(told);
            }
        }
        self.act(state, others);
        do_later();
        lock(&self.passing).left(conn.id);
        self.drained.notify_one();
    }

    /// Never again with this peer.
    pub(in crate::swarm) fn ban(self: &Arc<Self>, addr: SocketAddr, why: &'static str) {
        self.input(Input::Ban { addr, why });
    }

    /// Addresses where connected peers can be dialled: for PEX.
    pub(super) fn dialable(&self) -> Vec<SocketAddr> {
        self.state().core.dialable()
    }

    /// Closes connections between two that want nothing of each other.
    pub(super) fn close_useless(&self) {
        if !self.is_complete() {
            return;
        }
        let peers: Vec<(Arc<Conn>, bool)> = {
            let state = self.state();
            let conns = state.conns.iter();
            conns
                .map(|(id, conn)| (conn.clone(), state.core.is_seed(*id)))
                .collect()
        };
        for (conn, full) in peers {
            if (full || conn.is_upload_only()) && conn.is_drained() {
                conn.close("neither wants anything of the other");
            }
        }
    }

    /// The pieces that are verified, once that is known.
    pub(in crate::swarm) fn have(&self) -> Option<Bitfield> {
        let state = self.state();
        state.core.picker().map(|picker| picker.have().clone())
    }
}
