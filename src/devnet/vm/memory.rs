//! A frame's memory: bytes in whole words, at most 3 MiB (`Memory.java`).

use crate::devnet::vm::word::Word;

/// The limit on offset + size that the price list checks (`EnergyCost.MEM_LIMIT`).
pub(super) const MAX_BYTES: u64 = 3 * 1_024 * 1_024;

#[derive(Debug, Default)]
pub(super) struct Memory(Vec<u8>);

impl Memory {
    /// Bytes in use, a multiple of 32.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Grows to hold `size` bytes at `offset`; not at all for none.
    pub(super) fn extend(&mut self, offset: usize, size: usize) {
        if size == 0 {
            return;
        }
        let end = offset.saturating_add(size).next_multiple_of(32);
        if end > self.0.len() {
            self.0.resize(end, 0);
        }
    }

    /// A copy of a part, growing to hold it.
    pub(super) fn read(&mut self, offset: usize, size: usize) -> Vec<u8> {
        self.slice(offset, size).to_vec()
    }

    /// A part, growing to hold it.
    pub(super) fn slice(&mut self, offset: usize, size: usize) -> &[u8] {
        if size == 0 {
            return &[];
        }
        self.extend(offset, size);
        self.0.get(offset..offset + size).unwrap_or_default()
    }

    pub(super) fn word(&mut self, offset: usize) -> Word {
        self.extend(offset, 32);
        match self.0.get(offset..).and_then(|rest| rest.first_chunk()) {
            Some(bytes) => Word::from_be_bytes::<32>(*bytes),
            None => Word::ZERO,
        }
    }

    /// Writes all of `data`, growing to hold it.
    pub(super) fn write(&mut self, offset: usize, data: &[u8]) {
        self.extend(offset, data.len());
        self.write_within(offset, data);
    }

    /// Writes `size` bytes: `data`, then zeros.
    pub(super) fn write_padded(&mut self, offset: usize, data: &[u8], size: usize) {
        if size == 0 {
            return;
        }
        self.extend(offset, size);
        let (data, _) = data.split_at(data.len().min(size));
        self.write_within(offset, data);
        if let Some(rest) = self.0.get_mut(offset + data.len()..offset + size) {
            rest.fill(0);
        }
    }

    /// Writes what fits into the memory as it is.
    pub(super) fn write_within(&mut self, offset: usize, data: &[u8]) {
        if let Some(place) = self.0.get_mut(offset..) {
            let fits = data.len().min(place.len());
            let (place, _) = place.split_at_mut(fits);
            let (data, _) = data.split_at(fits);
            place.copy_from_slice(data);
        }
    }
}
