//! What the fast extension (BEP 6) adds to a connection: pieces that go while choked,
//! and pieces that the peer would rather give.

use std::collections::BTreeSet;

use super::Conn;
use crate::swarm::{
    bitfield::Bitfield,
    fast::{ALLOWED_FAST, allowed_fast},
    hooks::UploadClass,
    lock::lock,
    metainfo::MAX_PIECES,
    wire::{Block, Message},
};

/// Pieces of the peer's that are remembered, of each kind: more than any client names.
const MAX_NAMED: usize = 32;

/// What a choice of the next chunk has to heed.
#[derive(Debug, Default)]
pub(in crate::swarm) struct Named {
    /// Nothing but these.
    pub(in crate::swarm) only: Option<Bitfield>,
    /// These before others.
    pub(in crate::swarm) rather: Option<Bitfield>,
}

/// Pieces named by one side or the other.
#[derive(Debug, Default)]
pub(super) struct Fast {
    /// The peer may ask for these while we choke it …
    granted: BTreeSet<u32>,
    /// … for so many bytes in all.
    granted_bytes: u64,
    /// We may ask for these while it chokes us.
    allowed: BTreeSet<u32>,
    /// It would rather be asked for these.
    suggested: BTreeSet<u32>,
}

impl Fast {
    /// Whether anything may be asked for while choked.
    pub(super) fn allows(&self) -> bool {
        !self.allowed.is_empty()
    }

    /// The peer takes back that it may be asked for a piece while it chokes us.
    pub(super) fn forbid(&mut self, piece: u32) {
        self.allowed.remove(&piece);
    }
}

impl Conn {
    /// Names the pieces that the peer may ask for while it is choked. Nobody gets them
    /// where something is sold.
    pub(super) fn grant_fast(&self) {
        let std::net::IpAddr::V4(ip) = self.remote.ip() else {
            return;
        };
        let Some(info) = self.torrent.info().filter(|_| self.fast) else {
            return;
        };
        let mut extensions = self.shared.extensions.iter();
        if extensions.any(|one| one.enabled(self.torrent.hash, info.is_private())) {
            return;
        }
        let layout = info.layout();
        let mut set = allowed_fast(ip, self.torrent.hash, layout.pieces(), ALLOWED_FAST);
        set.retain(|piece| self.torrent.has(*piece));
        let bytes = set.iter().map(|piece| u64::from(layout.piece_len(*piece)));
        let mut link = lock(&self.link);
        link.fast.granted_bytes = bytes.sum();
        link.fast.granted = set.iter().copied().collect();
        drop(link);
        self.send_all(set.into_iter().map(Message::AllowedFast));
    }

    /// Whether a request is served though the peer is choked; once for each byte.
    pub(super) fn is_granted(&self, block: Block) -> bool {
        let mut link = lock(&self.link);
        let free = link.class == UploadClass::Free && self.meter.get().is_none();
        let left = link.fast.granted_bytes.checked_sub(block.length.into());
        match left.filter(|_| free && link.fast.granted.contains(&block.piece)) {
            Some(left) => {
                link.fast.granted_bytes = left;
                true
            }
            None => false,
        }
    }

    pub(super) fn on_allowed_fast(&self, piece: u32) {
        let mut link = lock(&self.link);
        if piece < MAX_PIECES && link.fast.allowed.len() < MAX_NAMED {
            link.fast.allowed.insert(piece);
        }
    }

    pub(super) fn on_suggest(&self, piece: u32) {
        let mut link = lock(&self.link);
        if piece < MAX_PIECES && link.fast.suggested.len() < MAX_NAMED {
            link.fast.suggested.insert(piece);
        }
    }

    /// What the choice of what to ask for now has to heed; nothing may be, if it is
    /// `None`.
    pub(super) fn named(&self) -> Option<Named> {
        let (allowed, suggested) = {
            let link = lock(&self.link);
            let allowed = link.peer_choking.then(|| link.fast.allowed.clone());
            (allowed, link.fast.suggested.clone())
        };
        let offered = |pieces: &BTreeSet<u32>| self.torrent.offered(self.id, pieces);
        let Some(allowed) = allowed else {
            let rather = Some(suggested).filter(|some| !some.is_empty());
            return Some(Named {
                only: None,
                rather: rather.and_then(|some| offered(&some)),
            });
        };
        // Choked: nothing at all, if nothing of these is of use.
        offered(&allowed).map(|only| Named {
            only: Some(only),
            rather: None,
        })
    }
}
