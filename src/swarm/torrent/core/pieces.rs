//! Who is asked for what, and what becomes of it.

use std::collections::BTreeSet;

use super::{Of, Output, TorrentCore, Wish};
use crate::swarm::{
    bitfield::Bitfield,
    events::Event,
    hooks::{ConnId, PriceTag},
    peer::{Named, Told},
    phase::{self, Phase},
    picker::{Asker, Ended, GivenUp, Picker, Received},
    selection::Wanted,
    wire::Block,
};

impl TorrentCore {
    pub(super) fn pick(&mut self, now_ms: u64, wish: Wish, named: &Named, of: Of) -> Option<Block> {
        let (picker, asker, bits) = self.asker(now_ms, wish)?;
        let bits = named.only.as_ref().unwrap_or(bits);
        if of == Of::Own {
            return picker.pick_more(asker, bits);
        }
        let rather = named.rather.as_ref();
        let rather = rather.and_then(|rather| picker.pick(asker, rather));
        rather.or_else(|| picker.pick(asker, bits))
    }

    /// Nothing was found to request from a connection: a request of another, slower one that
    /// is to be cancelled, so that its chunk can be requested here.
    pub(super) fn take_over(&mut self, now_ms: u64, wish: Wish) -> Option<(ConnId, Block)> {
        let (picker, asker, bits) = self.asker(now_ms, wish)?;
        picker.take_over(asker, bits)
    }

    fn asker(&mut self, now_ms: u64, wish: Wish) -> Option<(&mut Picker, Asker, &Bitfield)> {
        if self.phase != Phase::Downloading {
            return None;
        }
        let peer = self.peers.get(&wish.conn)?;
        let picker = self.picker.as_mut()?;
        let asker = Asker {
            conn: wish.conn,
            metered: wish.metered,
            suspect: peer.suspect,
            proven: peer.proven,
            races: wish.races[0],
            now_ms,
            answer_ms: wish.answer_ms,
        };
        Some((picker, asker, peer.bits.as_ref()?))
    }

    /// Those of a few pieces that a peer has and we lack, if there are any.
    pub(in crate::swarm) fn offered(
        &self,
        conn: ConnId,
        pieces: &BTreeSet<u32>,
    ) -> Option<Bitfield> {
        let bits = self.peers.get(&conn)?.bits.as_ref()?;
        let have = self.picker.as_ref()?.have();
        let mut offered = Bitfield::empty(bits.len());
        let useful = |piece: &&u32| bits.has(**piece) && !have.has(**piece);
        for piece in pieces.iter().filter(useful) {
            offered.insert(*piece);
        }
        (!offered.is_empty()).then_some(offered)
    }

    /// Whether a piece is here.
    pub(in crate::swarm) fn has(&self, piece: u32) -> bool {
        let picker = self.picker.as_ref();
        picker.is_some_and(|picker| picker.have().has(piece))
    }

    /// A chunk that was picked for a connection will not come from it. True if it has no
    /// part in the piece any more.
    pub(in crate::swarm) fn unpick(&mut self, conn: ConnId, block: Block) -> bool {
        let picker = self.picker.as_mut();
        picker.is_none_or(|picker| picker.dropped(conn, block))
    }

    /// Others may finish what a connection began; true if it had begun anything.
    pub(in crate::swarm) fn release(&mut self, conn: ConnId) -> bool {
        let picker = self.picker.as_mut();
        picker.is_some_and(|picker| picker.release(conn))
    }

    /// A chunk that was asked for came. The others that were asked for it are in the
    /// answer, and are to be sent a cancel.
    pub(in crate::swarm) fn received(
        &mut self,
        conn: ConnId,
        block: Block,
        tag: Option<PriceTag>,
    ) -> Received {
        match &mut self.picker {
            Some(picker) => picker.received(conn, block, tag),
            None => Received::Unwanted,
        }
    }

    /// Tells the connections what became of their chunks of a piece.
    fn tell_ended(&self, piece: u32, ended: Ended, verified: bool, out: &mut Vec<Output>) {
        for (conn, chunks) in ended.contributions {
            if !self.peers.contains_key(&conn) {
                continue;
            }
            match verified {
                true => out.push(Output::Tell(conn, Told::Verified { piece, chunks })),
                false => Self::tell_dropped(conn, chunks, out),
            }
        }
        for conn in ended.open {
            if self.peers.contains_key(&conn) {
                out.push(Output::Tell(conn, Told::Over { piece }));
            }
        }
    }

    /// Other files are wanted: what is asked for, and whether it is complete, follow from it.
    pub(super) fn chosen(&mut self, now_ms: u64, wanted: Wanted, out: &mut Vec<Output>) {
        let Some(picker) = &mut self.picker else {
            return;
        };
        let was_done = picker.is_done();
        picker.choose(wanted);
        let complete = picker.is_done();
        self.prioritize();
        self.give_up(out);
        match (was_done, complete) {
            (false, true) => out.push(Output::Completed),
            (true, false) => {
                self.book.seeds_are_useful(now_ms);
                out.push(Output::Incomplete);
            }
            _ => {}
        }
        self.step(phase::Input::Chosen { complete }, out);
        out.push(Output::LookAgain);
    }

    /// Pieces that are not wanted any more, and will not be whole, are given up.
    pub(super) fn give_up(&mut self, out: &mut Vec<Output>) {
        let over = self.picker.as_mut().map(Picker::give_up);
        for GivenUp {
            piece,
            bytes,
            ended,
        } in over.unwrap_or_default()
        {
            out.push(Output::Forget(piece));
            out.push(Output::Waste(bytes));
            self.tell_ended(piece, ended, false, out);
        }
    }

    pub(super) fn verified(&mut self, piece: u32, out: &mut Vec<Output>) {
        out.push(Output::Forget(piece));
        let Some(picker) = &mut self.picker else {
            return;
        };
        let senders = picker.senders(piece);
        let was_done = picker.is_done();
        let ended = picker.verified(piece);
        let (have, total) = (picker.have().count(), picker.have().len());
        // Not by a piece that is not wanted any more.
        let done = picker.is_done() && !was_done;
        self.tell_ended(piece, ended, true, out);
        out.push(Output::Event(Event::PieceVerified { piece, have, total }));
        for sender in &senders {
            if let Some(peer) = self.peers.get_mut(sender) {
                peer.proven = true;
                // Alone with a good piece: no suspect any more.
                peer.suspect &= senders.len() > 1;
            }
        }
        // Also those that have it: a super-seeder (BEP 16) waits for it.
        out.push(Output::Have(piece));
        if have == total {
            out.push(Output::Full);
        }
        if done {
            out.push(Output::Completed);
            self.step(phase::Input::Completed, out);
        }
    }

    pub(super) fn wrong(&mut self, piece: u32, out: &mut Vec<Output>) {
        out.push(Output::Forget(piece));
        let Some(picker) = &mut self.picker else {
            return;
        };
        let length = picker.piece_length(piece);
        let senders = picker.senders(piece);
        let ended = picker.failed(piece);
        self.tell_ended(piece, ended, false, out);
        out.push(Output::Waste(length.into()));
        out.push(Output::Event(Event::PieceFailed { piece }));
        // Also those that have left: a liar must not leave its blame behind.
        match &senders[..] {
            [one] if self.is_web(*one) => out.push(Output::Close(*one, "it sent a bad piece")),
            [one] => {
                if let Some(remote) = self.remote(*one) {
                    self.ban(remote, "it sent a bad piece", out);
                }
            }
            // One of them lied. From now on each is asked for whole pieces, so
            // that the next bad one tells who.
            several => {
                for sender in several {
                    if let Some(peer) = self.peers.get_mut(sender) {
                        peer.suspect = true;
                    } else if let Some(addr) = self.remote(*sender) {
                        self.departed.note_suspect(addr);
                    }
                }
            }
        }
        out.push(Output::LookAgain);
    }

    pub(super) fn refused(
        &mut self,
        piece: u32,
        message: String,
        full: bool,
        out: &mut Vec<Output>,
    ) {
        out.push(Output::Forget(piece));
        let Some(picker) = &mut self.picker else {
            return;
        };
        let ended = picker.failed(piece);
        self.tell_ended(piece, ended, false, out);
        self.step(phase::Input::DiskRefused(message.clone()), out);
        out.push(Output::Event(Event::DiskError { message, full }));
    }
}
