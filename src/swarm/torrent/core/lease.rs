//! Leases: what a connection is to request.

use super::TorrentCore;
use crate::swarm::{bitfield::Bitfield, hooks::ConnId, peer::Named, wire::Block};

/// A connection that could request something.
#[derive(Debug, Clone, Copy)]
pub(in crate::swarm) struct Wish {
    pub(in crate::swarm) conn: ConnId,
    /// Its chunks may cost money.
    pub(in crate::swarm) metered: bool,
    /// It may race for its first chunk, and for further ones: looking for a chunk that is
    /// late takes a while.
    pub(in crate::swarm) races: [bool; 2],
    /// When a chunk that is requested now is expected to be here.
    pub(in crate::swarm) answer_ms: u64,
    /// How much later each further one is.
    pub(in crate::swarm) chunk_ms: u64,
}

impl Wish {
    /// What it is after so many chunks more.
    pub(in crate::swarm) fn after(self, chunks: usize) -> Self {
        let [first, more] = self.races;
        let chunks = u64::try_from(chunks).unwrap_or(u64::MAX);
        let later = self.chunk_ms.saturating_mul(chunks);
        Self {
            races: if chunks == 0 {
                [first, more]
            } else {
                [more; 2]
            },
            answer_ms: self.answer_ms.saturating_add(later),
            ..self
        }
    }

    /// Without racing.
    pub(in crate::swarm) fn alone(self) -> Self {
        Self {
            races: [false; 2],
            ..self
        }
    }
}

/// Of which pieces a lease may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::swarm) enum Of {
    /// Any.
    Any,
    /// Those that the connection takes part in.
    Own,
}

/// Who holds the core, and what the connections brought.
pub(in crate::swarm) trait Owner {
    fn core(&mut self) -> &mut TorrentCore;

    /// Tells the core of all that the connections brought.
    fn look(&mut self);
}

/// Chunks that a connection is to request.
#[derive(Debug, Default)]
pub(in crate::swarm) struct Lease {
    pub(in crate::swarm) chunks: Vec<Block>,
    /// Other connections that were asked for one of them, too.
    pub(in crate::swarm) rivals: Vec<(Block, ConnId)>,
    /// There is nothing for it: this request of a slower seller is to be cancelled, so that
    /// its chunk can be requested when that is answered.
    pub(in crate::swarm) taken: Option<(ConnId, Block)>,
}

/// Leases chunks to a connection, `most` at most. Before it may race, the core is told what
/// others brought: nobody is to request what is here.
pub(in crate::swarm) fn lease(
    owner: &mut impl Owner,
    now_ms: u64,
    wish: Wish,
    named: &Named,
    of: Of,
    most: usize,
) -> Lease {
    let mut lease = Lease::default();
    if of == Of::Any {
        lease.chunks = owner.core().choose(now_ms, wish.alone(), named, of, most);
    }
    let rest = wish.after(lease.chunks.len());
    let more = most - lease.chunks.len();
    if more == 0 || !(rest.races[0] || of == Of::Own) {
        return lease;
    }
    owner.look();
    let core = owner.core();
    let found = core.choose(now_ms, rest, named, of, more);
    lease.rivals = core.rivals(wish.conn, &found);
    lease.chunks.extend(found);
    if lease.chunks.is_empty() && of == Of::Any {
        lease.taken = core.take_over(now_ms, wish);
    }
    lease
}

/// The same for one that requests chunks that lie together.
pub(in crate::swarm) fn lease_run(
    owner: &mut impl Owner,
    now_ms: u64,
    wish: Wish,
    most: usize,
) -> Lease {
    let mut lease = Lease {
        chunks: owner.core().choose_run(now_ms, wish.alone(), most),
        ..Lease::default()
    };
    if lease.chunks.is_empty() && wish.races[0] {
        owner.look();
        let core = owner.core();
        lease.chunks = core.choose_run(now_ms, wish, most.min(1));
        lease.rivals = core.rivals(wish.conn, &lease.chunks);
    }
    lease
}

impl TorrentCore {
    /// Chunks that a connection is to request, `most` at most.
    pub(super) fn choose(
        &mut self,
        now_ms: u64,
        wish: Wish,
        named: &Named,
        of: Of,
        most: usize,
    ) -> Vec<Block> {
        let mut chunks = Vec::new();
        while chunks.len() < most {
            match self.pick(now_ms, wish.after(chunks.len()), named, of) {
                Some(block) => chunks.push(block),
                None => break,
            }
        }
        chunks
    }

    /// The same for one that requests chunks that lie together: a race for one alone, or a
    /// run that begins in one piece and goes on in the next.
    fn choose_run(&mut self, now_ms: u64, wish: Wish, most: usize) -> Vec<Block> {
        let mut run: Vec<Block> = Vec::new();
        let mut named = Named::default();
        while run.len() < most {
            let wish = wish.after(run.len());
            let wish = if run.is_empty() { wish } else { wish.alone() };
            let Some(block) = self.pick(now_ms, wish, &named, Of::Any) else {
                break;
            };
            let follows = |last: &Block| match block.piece == last.piece {
                true => block.begin == last.begin + last.length,
                false => block.begin == 0 && block.piece == last.piece + 1 && self.ends(*last),
            };
            if !run.last().is_none_or(follows) {
                self.unpick(wish.conn, block);
                break;
            }
            if run.last().is_none_or(|last| last.piece != block.piece) {
                // The rest of the piece, or the one behind it.
                named.rather = self.two_pieces(block.piece);
            }
            run.push(block);
        }
        run
    }

    fn two_pieces(&self, first: u32) -> Option<Bitfield> {
        let pieces = self.picker.as_ref()?.have().len();
        let mut two = Bitfield::empty(pieces);
        two.insert(first);
        two.insert(first + 1);
        Some(two)
    }

    /// Whether a chunk is the last of its piece.
    fn ends(&self, block: Block) -> bool {
        let picker = self.picker.as_ref();
        picker.is_some_and(|picker| block.begin + block.length == picker.piece_length(block.piece))
    }

    /// Other connections that were asked for these chunks.
    fn rivals(&self, conn: ConnId, chunks: &[Block]) -> Vec<(Block, ConnId)> {
        let Some(picker) = &self.picker else {
            return Vec::new();
        };
        let of = |block: &Block| {
            let rivals = picker.rivals(conn, *block).into_iter();
            rivals.map(|rival| (*block, rival)).collect::<Vec<_>>()
        };
        chunks.iter().flat_map(of).collect()
    }
}
