//! How content is cut into pieces and chunks.

use std::ops::RangeInclusive;

use super::{MAX_PIECE_LENGTH, MAX_PIECES, MetainfoError};
use crate::swarm::wire::{Block, CHUNK};

/// How the content is cut: all pieces are equally long but the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    total: u64,
    piece_length: u32,
    pieces: u32,
}

impl Layout {
    /// A layout of `total` bytes in pieces of `piece_length`.
    ///
    /// # Errors
    /// Nothing to share, or a size out of range.
    pub fn new(total: u64, piece_length: u64) -> Result<Self, MetainfoError> {
        let piece_length = u32::try_from(piece_length)
            .ok()
            .filter(|length| (1..=MAX_PIECE_LENGTH).contains(length))
            .ok_or_else(|| MetainfoError::BadSize {
                what: "piece length",
                value: piece_length,
                expected: format!("1 to {MAX_PIECE_LENGTH} bytes"),
            })?;
        let pieces = total.div_ceil(piece_length.into());
        let pieces = u32::try_from(pieces)
            .ok()
            .filter(|pieces| (1..=MAX_PIECES).contains(pieces))
            .ok_or_else(|| MetainfoError::BadSize {
                what: "number of pieces",
                value: pieces,
                expected: format!("1 to {MAX_PIECES}"),
            })?;
        Ok(Self {
            total,
            piece_length,
            pieces,
        })
    }

    /// Bytes of the content.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Bytes of every piece but the last.
    pub fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// How many pieces.
    pub fn pieces(&self) -> u32 {
        self.pieces
    }

    /// Where a piece begins in the content, in bytes.
    pub fn offset(&self, piece: u32) -> u64 {
        u64::from(piece) * u64::from(self.piece_length)
    }

    /// The piece that a byte of the content lies in.
    pub fn piece_at(&self, offset: u64) -> u32 {
        u32::try_from(offset / u64::from(self.piece_length)).unwrap_or(u32::MAX)
    }

    /// The pieces that `length` bytes of the content from `offset` on lie in; of no
    /// bytes, the one at `offset`.
    pub fn pieces_of(&self, offset: u64, length: u64) -> RangeInclusive<u32> {
        let last = offset.saturating_add(length.saturating_sub(1));
        self.piece_at(offset)..=self.piece_at(last)
    }

    /// The first of them and the last, which hold other bytes, too, maybe; each once.
    pub fn edges_of(&self, offset: u64, length: u64) -> impl Iterator<Item = u32> + use<> {
        let (first, last) = self.pieces_of(offset, length).into_inner();
        std::iter::once(first).chain((last != first).then_some(last))
    }

    /// Where a piece ends in the content, in bytes.
    pub fn end(&self, piece: u32) -> u64 {
        self.offset(piece) + u64::from(self.piece_len(piece))
    }

    /// Bytes of this piece; 0 beyond the end.
    pub fn piece_len(&self, piece: u32) -> u32 {
        let left = self.total.saturating_sub(self.offset(piece));
        u32::try_from(left).map_or(self.piece_length, |left| left.min(self.piece_length))
    }

    /// How many chunks this piece has.
    pub fn chunks(&self, piece: u32) -> u32 {
        self.piece_len(piece).div_ceil(CHUNK)
    }

    /// The `chunk`th chunk of a piece.
    pub fn chunk(&self, piece: u32, chunk: u32) -> Block {
        let begin = chunk.saturating_mul(CHUNK);
        Block {
            piece,
            begin,
            length: self.piece_len(piece).saturating_sub(begin).min(CHUNK),
        }
    }

    /// Whether a block lies in its piece and is not empty.
    pub fn contains(&self, block: Block) -> bool {
        block.length > 0
            && block
                .begin
                .checked_add(block.length)
                .is_some_and(|end| end <= self.piece_len(block.piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_piece_and_chunk_are_shorter() {
        let layout = Layout::new(100_000, 40_000).unwrap();
        assert_eq!(layout.pieces(), 3);
        assert_eq!(layout.piece_len(2), 20_000);
        assert_eq!(layout.piece_len(3), 0);
        assert_eq!(layout.chunks(0), 3);
        assert_eq!(layout.chunk(0, 2).length, 40_000 - 2 * CHUNK);
        assert_eq!(layout.chunk(2, 1).length, 20_000 - CHUNK);
        let all = Block {
            piece: 2,
            begin: 0,
            length: 20_000,
        };
        assert!(layout.contains(all));
        assert!(!layout.contains(Block { begin: 1, ..all }));
        assert!(!layout.contains(Block {
            begin: u32::MAX,
            ..all
        }));
        assert!(!layout.contains(Block { piece: 3, ..all }));
        assert!(!layout.contains(Block { length: 0, ..all }));
    }
}
