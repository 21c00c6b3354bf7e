//! A set of piece indexes, in the layout of BEP 3's `bitfield`: the high bit of
//! the first byte is piece 0.

/// Which pieces of a torrent somebody has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bitfield {
    bytes: Vec<u8>,
    len: u32,
    ones: u32,
}

impl Bitfield {
    /// None of `len` pieces.
    pub fn empty(len: u32) -> Self {
        Self {
            bytes: vec![0; byte_len(len)],
            len,
            ones: 0,
        }
    }

    /// All of `len` pieces.
    pub fn full(len: u32) -> Self {
        let mut bytes = vec![0xff; byte_len(len)];
        if let Some(last) = bytes.last_mut() {
            *last &= last_byte_mask(len);
        }
        Self {
            bytes,
            len,
            ones: len,
        }
    }

    /// What a peer sent: `None` if it is not of the right length or has spare
    /// bits set, for which BEP 3 wants the connection closed.
    pub fn from_wire(bytes: &[u8], len: u32) -> Option<Self> {
        if bytes.len() != byte_len(len) {
            return None;
        }
        if bytes
            .last()
            .is_some_and(|last| last & !last_byte_mask(len) != 0)
        {
            return None;
        }
        Some(Self {
            bytes: bytes.to_vec(),
            len,
            ones: bytes.iter().map(|byte| byte.count_ones()).sum(),
        })
    }

    /// The bytes as sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many pieces there are.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// True if the set has no pieces.
    pub fn is_empty(&self) -> bool {
        self.ones == 0
    }

    /// How many pieces are in the set.
    pub fn count(&self) -> u32 {
        self.ones
    }

    /// True if every piece is in the set.
    pub fn is_full(&self) -> bool {
        self.ones == self.len
    }

    /// Whether `piece` is in the set; false beyond the end.
    pub fn has(&self, piece: u32) -> bool {
        let (byte, mask) = place(piece);
        piece < self.len && self.bytes.get(byte).is_some_and(|byte| byte & mask != 0)
    }

    /// Puts `piece` in; true if it was not there (and is not beyond the end).
    pub fn insert(&mut self, piece: u32) -> bool {
        let (byte, mask) = place(piece);
        if piece >= self.len {
            return false;
        }
        match self.bytes.get_mut(byte) {
            Some(byte) if *byte & mask == 0 => {
                *byte |= mask;
                self.ones += 1;
                true
            }
            _ => false,
        }
    }

    /// Takes `piece` out; true if it was there.
    pub fn remove(&mut self, piece: u32) -> bool {
        let (byte, mask) = place(piece);
        match self.bytes.get_mut(byte) {
            Some(byte) if *byte & mask != 0 => {
                *byte &= !mask;
                self.ones -= 1;
                true
            }
            _ => false,
        }
    }

    /// The pieces in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.len).filter(|piece| self.has(*piece))
    }
}

fn byte_len(len: u32) -> usize {
    usize::try_from(len.div_ceil(8)).expect("usize has at least 32 bits")
}

fn last_byte_mask(len: u32) -> u8 {
    match len % 8 {
        0 => 0xff,
        used => !(0xff >> used),
    }
}

fn place(piece: u32) -> (usize, u8) {
    let byte = usize::try_from(piece / 8).expect("usize has at least 32 bits");
    (byte, 0x80 >> (piece % 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_bit_is_piece_zero() {
        let mut set = Bitfield::empty(10);
        assert!(set.insert(0) && set.insert(9) && !set.insert(9) && !set.insert(10));
        assert_eq!(set.as_bytes(), [0x80, 0x40]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 9]);
        assert!(set.remove(0) && !set.remove(0));
        assert_eq!(set.count(), 1);
    }

    #[test]
    fn spare_bits_and_wrong_lengths_are_refused() {
        assert_eq!(
            Bitfield::from_wire(&[0xff, 0xc0], 10),
            Some(Bitfield::full(10))
        );
        assert_eq!(Bitfield::from_wire(&[0xff, 0xe0], 10), None);
        assert_eq!(Bitfield::from_wire(&[0xff], 10), None);
        assert_eq!(Bitfield::from_wire(&[0xff, 0xc0, 0], 10), None);
        assert!(Bitfield::from_wire(&[0xff], 8).is_some_and(|set| set.is_full()));
    }
}
