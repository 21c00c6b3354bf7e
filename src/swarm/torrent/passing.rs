//! Whom a seed serves first: who passes on what it gets.

use std::collections::VecDeque;

use super::Torrent;
use crate::swarm::{choker::Group, lock::lock, peer::Conn, wire::Block};

impl Torrent {
    /// Chunks went to a peer.
    pub(in crate::swarm) fn gave(&self, conn: &Conn, blocks: &[Block]) {
        if !self.is_complete() || blocks.is_empty() {
            return;
        }
        let group = Group::of(conn.id, conn.remote.ip());
        let mut passing = lock(&self.passing);
        for block in blocks {
            passing.gave(conn.id, group, block.piece, block.length);
        }
    }

    /// A peer says to have one more piece.
    pub(super) fn announced(&self, conn: &Conn, piece: u32) {
        let Some(info) = self.info.get().filter(|_| self.is_complete()) else {
            return;
        };
        let length = info.layout().piece_len(piece);
        let group = Group::of(conn.id, conn.remote.ip());
        lock(&self.passing).announced(conn.id, group, piece, length);
    }

    /// How many times the share of one that passes nothing on a connection is worth.
    pub(in crate::swarm) fn factor(&self, conn: &Conn) -> u64 {
        match self.is_complete() {
            true => lock(&self.passing).factor(conn.id),
            false => 1,
        }
    }

    /// Puts a peer's requests into the order in which they are served.
    pub(in crate::swarm) fn order(&self, conn: &Conn, requests: &mut VecDeque<Block>) {
        if self.is_complete() && requests.len() > 1 {
            lock(&self.passing).order(conn.id, requests);
        }
    }
}
