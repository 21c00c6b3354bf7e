//! Between the connections and the core: leases that go out, and the chunks that come back.
//! For many chunks the torrent's lock is taken once, and no byte is moved under it.

use std::{ops::Range, sync::Arc};

use super::{
    State, Torrent,
    assembly::Assembly,
    core::{self, Lease, Of, Owner, TorrentCore, Wish},
};
use crate::swarm::{
    hooks::ConnId,
    lock::lock,
    metainfo::Info,
    peer::{Came, Conn, Named, Told},
    picker::Received,
    web::WebSeed,
    wire::Block,
};

/// A connection that was asked for a chunk.
enum Asked {
    Peer(Arc<Conn>),
    Web(Arc<WebSeed>),
}

/// What is left to be done when the lock is given back.
#[derive(Default)]
struct Later {
    batches: Vec<Batch>,
    /// Padding of pieces that are begun.
    zeros: Vec<(Arc<Assembly>, Block)>,
    /// Requests that are not wanted any more.
    cancels: Vec<(Asked, Block)>,
}

/// The torrent's lock is held.
struct Held<'a> {
    torrent: &'a Torrent,
    state: &'a mut State,
    later: &'a mut Later,
}

impl Owner for Held<'_> {
    fn core(&mut self) -> &mut TorrentCore {
        &mut self.state.core
    }

    fn look(&mut self) {
        self.torrent.take_in_all(self.state, self.later);
    }
}

/// What one connection brought at once.
struct Batch {
    data: Vec<u8>,
    /// The chunks that are used: where they belong, and where they are in `data`.
    used: Vec<(Arc<Assembly>, usize, Range<usize>)>,
}

impl Batch {
    /// The place of all of it, if it is a span as it should be: it need not be copied then.
    fn span(&self) -> Option<(&Arc<Assembly>, usize)> {
        let (assembly, begin, _) = self.used.first()?;
        let in_order = |(other, at, range): &(Arc<Assembly>, usize, Range<usize>)| {
            Arc::ptr_eq(assembly, other) && *at == begin + range.start
        };
        let bytes: usize = self.used.iter().map(|(.., range)| range.len()).sum();
        let whole = bytes == self.data.len()
            && assembly.is_span(*begin, bytes)
            && self.used.iter().all(in_order);
        whole.then_some((assembly, *begin))
    }
}

impl Torrent {
    /// Leases chunks to a connection, `most` at most: those, and which of them others were
    /// asked for too. What it brought is looked at, if it is time.
    pub(in crate::swarm) fn lease(
        self: &Arc<Self>,
        wish: Wish,
        named: &Named,
        of: Of,
        most: usize,
    ) -> (Vec<Block>, Vec<Block>) {
        let now = self.now_ms();
        self.leased(wish.conn, |owner| {
            core::lease(owner, now, wish, named, of, most)
        })
    }

    /// The same for one that requests chunks that lie together.
    pub(in crate::swarm) fn lease_run(
        self: &Arc<Self>,
        wish: Wish,
        most: usize,
    ) -> (Vec<Block>, Vec<Block>) {
        let now = self.now_ms();
        self.leased(wish.conn, |owner| core::lease_run(owner, now, wish, most))
    }

    fn leased(
        self: &Arc<Self>,
        conn: ConnId,
        lease: impl FnOnce(&mut Held<'_>) -> Lease,
    ) -> (Vec<Block>, Vec<Block>) {
        let mut later = Later::default();
        let mut state = self.state();
        let brought = state.brought.get(&conn).map(lock);
        if brought.is_some_and(|brought| brought.is_full() || brought.is_due()) {
            self.take_in_of(&mut state, conn, &mut later);
        }
        let lease = lease(&mut Held {
            torrent: self,
            state: &mut state,
            later: &mut later,
        });
        let rivals = lease.rivals.into_iter();
        let rivals = rivals.filter_map(|(block, rival)| Some((block, self.asked(&state, rival)?)));
        let rivals: Vec<(Block, Asked)> = rivals.collect();
        if let Some((other, block)) = lease.taken
            && let Some(other) = self.asked(&state, other)
        {
            later.cancels.push((other, block));
        }
        drop(state);
        self.do_later(later);
        (lease.chunks, Self::tell_rivals(rivals))
    }

    /// A connection that was asked, if it is still there.
    fn asked(&self, state: &State, id: ConnId) -> Option<Asked> {
        let peer = state.conns.get(&id).cloned().map(Asked::Peer);
        peer.or_else(|| self.web_seed(id).cloned().map(Asked::Web))
    }

    /// Others wait now for what these were asked for. The chunks.
    fn tell_rivals(rivals: Vec<(Block, Asked)>) -> Vec<Block> {
        let tell = |(block, asked)| {
            match asked {
                Asked::Peer(conn) => conn.is_raced(block),
                Asked::Web(seed) => seed.is_raced(block),
            }
            block
        };
        rivals.into_iter().map(tell).collect()
    }

    /// What a connection brought, if anything, is looked at.
    pub(in crate::swarm) fn take_in(self: &Arc<Self>, conn: ConnId) {
        let mut later = Later::default();
        self.take_in_of(&mut self.state(), conn, &mut later);
        self.do_later(later);
    }

    /// The connection is about to end, under the lock that covers that: what is to be done of
    /// what it brought.
    pub(super) fn take_in_last(
        self: &Arc<Self>,
        state: &mut State,
        conn: ConnId,
    ) -> impl FnOnce() + use<> {
        let mut later = Later::default();
        self.take_in_of(state, conn, &mut later);
        state.brought.remove(&conn);
        let torrent = self.clone();
        move || torrent.do_later(later)
    }

    fn take_in_all(&self, state: &mut State, later: &mut Later) {
        let with_some = state
            .brought
            .iter()
            .filter(|(_, brought)| !lock(*brought).is_empty());
        let with_some: Vec<ConnId> = with_some.map(|(conn, _)| *conn).collect();
        for conn in with_some {
            self.take_in_of(state, conn, later);
        }
    }

    /// Price tags are given back under the lock, which also covers leaving.
    fn take_in_of(&self, state: &mut State, conn: ConnId, later: &mut Later) {
        let brought = state.brought.get(&conn);
        let Some((came, data)) = brought.map(|brought| lock(brought).take()) else {
            return;
        };
        let Some(info) = self.info.get().filter(|_| !came.is_empty()) else {
            return;
        };
        let mut used = Vec::with_capacity(came.len());
        let mut at = 0;
        for Came { block, tag } in came {
            let from = at;
            at += size(block.length);
            let told = match (state.core.received(conn, block, tag), tag) {
                (Received::Used { cancel, .. }, _) => {
                    let assembly = Self::assembly(state, info, block.piece, later);
                    used.push((assembly, size(block.begin), from..at));
                    let others = cancel.into_iter();
                    let others = others.filter_map(|other| self.asked(state, other));
                    later.cancels.extend(others.map(|other| (other, block)));
                    continue;
                }
                (Received::Unwanted, Some(tag)) => Some(Told::Dropped {
                    tag,
                    bytes: block.length,
                }),
                (Received::Owed, Some(tag)) => Some(Told::Verified {
                    piece: block.piece,
                    chunks: vec![(tag, block.length)],
                }),
                _ => None,
            };
            self.count_waste(block.length.into());
            if let (Some(told), Some(conn)) = (told, state.conns.get(&conn)) {
                conn.tell(told);
            }
        }
        later.batches.push(Batch { data, used });
    }

    /// The piece in the making that a chunk belongs to.
    fn assembly(state: &mut State, info: &Info, piece: u32, later: &mut Later) -> Arc<Assembly> {
        if let Some(known) = state.assemblies.get(&piece) {
            return known.clone();
        }
        let length = size(info.layout().piece_len(piece));
        let assembly = Arc::new(Assembly::new(piece, length));
        state.assemblies.insert(piece, assembly.clone());
        let picker = state.core.picker();
        let padding = picker.map(|picker| picker.padding(piece));
        let padding = padding.into_iter().flatten();
        let padding = padding.map(|chunk| info.layout().chunk(piece, chunk));
        let padding = padding.map(|block| (assembly.clone(), block));
        later.zeros.extend(padding);
        assembly
    }

    fn do_later(self: &Arc<Self>, later: Later) {
        for (asked, block) in later.cancels {
            match asked {
                Asked::Peer(conn) => conn.cancel(block),
                Asked::Web(seed) => {
                    if seed.cancel(block, self.now_ms()) {
                        self.unpick(seed.id, block);
                    }
                }
            }
        }
        let buffers = &self.shared.buffers;
        let mut works = Vec::new();
        for (assembly, block) in later.zeros {
            let zeros = vec![0; size(block.length)];
            works.extend(assembly.place(size(block.begin), &zeros, buffers));
        }
        for batch in later.batches {
            if let Some((assembly, begin)) = batch.span() {
                let assembly = assembly.clone();
                works.extend(assembly.place_span(begin, batch.data, buffers));
                continue;
            }
            for (assembly, begin, range) in batch.used {
                let data = batch.data.get(range).unwrap_or_default();
                works.extend(assembly.place(begin, data, buffers));
            }
            buffers.give_back(batch.data);
        }
        let Some(info) = self.info.get() else {
            return;
        };
        for work in works {
            let job = self.clone().hash_and_write(info.clone(), work);
            self.shared.spawn(job);
        }
    }

    /// These were leased to a connection and will not be requested.
    pub(in crate::swarm) fn unpick_all(&self, conn: ConnId, chunks: &[Block]) {
        let mut state = self.state();
        // The last first, so that a piece that was begun for them is as it was.
        for block in chunks.iter().rev() {
            state.core.unpick(conn, *block);
        }
    }
}

fn size(length: u32) -> usize {
    usize::try_from(length).expect("usize has at least 32 bits")
}
