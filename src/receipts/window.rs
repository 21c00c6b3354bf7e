//! The window of a payer: how much is served ahead of its receipts. Pure.

/// What may be on the way between two peers, in bytes: 64 chunks of 16 KiB,
/// enough for 1 Gbit/s at 8 ms.
pub const PIPELINE_BYTES: u64 = 64 * (16 << 10);
/// The smallest beginning of a window without its pipeline.
const SMALLEST_BYTES: u64 = 256 << 10;

/// The window W: bytes served ahead of receipts, shared by all connections of
/// an address. It grows by half whenever W bytes were paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    bytes: u64,
    start: u64,
    max: u64,
    paid_in_step: u64,
}

impl Window {
    /// Where growth ends, unless two pieces and a pipeline are more, in bytes.
    pub const LARGEST_BYTES: u64 = 16 << 20;

    /// As it begins: two pieces, or 256 KiB if more, and a pipeline. Two pieces,
    /// because nothing can be paid before a whole piece is verified.
    pub fn start_bytes(piece_length: u32) -> u64 {
        (2 * u64::from(piece_length)).max(SMALLEST_BYTES) + PIPELINE_BYTES
    }

    /// At its beginning, for the largest piece of any torrent shared.
    pub fn new(piece_length: u32) -> Self {
        let start = Self::start_bytes(piece_length);
        Self {
            bytes: start,
            start,
            max: start.max(Self::LARGEST_BYTES),
            paid_in_step: 0,
        }
    }

    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether it is as it began.
    pub fn is_at_start(&self) -> bool {
        self.bytes == self.start
    }

    /// A torrent with larger pieces is shared too: never smaller than that needs.
    pub fn admit_piece(&mut self, piece_length: u32) {
        let start = Self::start_bytes(piece_length);
        self.start = self.start.max(start);
        self.bytes = self.bytes.max(start);
        self.max = self.max.max(start);
    }

    /// So many bytes were paid for. Returns whether it grew.
    pub fn paid(&mut self, bytes: u64) -> bool {
        self.paid_in_step = self.paid_in_step.saturating_add(bytes);
        if self.paid_in_step < self.bytes || self.bytes >= self.max {
            return false;
        }
        self.paid_in_step = 0;
        let grown = self.bytes + self.bytes / 2;
        // In whole chunks, since less than one is not sent.
        self.bytes = (grown - grown % (16 << 10)).min(self.max);
        true
    }

    /// Back to the beginning: a debt was not paid.
    pub fn shrink(&mut self) {
        self.bytes = self.start;
        self.paid_in_step = 0;
    }
}
