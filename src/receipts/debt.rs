//! What we owe one seller: the payer's side of a pair, over all connections
//! with one of its processes. Pure: no clock, no disk.

use std::{collections::HashMap, time::Duration};

use super::{
    body::{Receipt, SignedReceipt},
    grant::Identity,
    meter::{GIB_BITS, Meter, MeterError, cost},
    weights::Weights,
    window::Window,
};
use crate::{
    ledger::{EpochId, Pair, Remainder},
    swarm::hooks::ConnId,
    types::{Address, InfoHash, RawAmount, Salt, UnixMs},
};

/// What is due is signed after this long at the latest.
pub const SIGN_AFTER: Duration = Duration::from_secs(2);
/// The shortest time between two receipts, unless they are far apart in bytes.
pub const MIN_INTERVAL: Duration = Duration::from_millis(50);

/// The epoch we issue in.
#[derive(Debug, Clone, Copy)]
struct Epoch {
    id: EpochId,
    since_block: u64,
    /// The newest durable receipt.
    last: Option<SignedReceipt>,
    /// What it and the remainder say.
    meter: Meter,
    delivered: u64,
}

/// A receipt to be signed and stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// What to sign.
    pub receipt: Receipt,
    /// What to store beside it.
    pub remainder: Remainder,
    /// By how much it raises the debt.
    pub raised: RawAmount,
    meter: Meter,
    taken: Vec<(u64, u64)>,
}

/// What one seller's process is owed by us.
#[derive(Debug, Clone)]
pub struct Debt {
    pair: Pair,
    signer: Address,
    grant: Salt,
    /// What may still be promised to this payee, in units · 2^30.
    limit: Option<u128>,
    /// Promised in this session: asked for, due and signed, in units · 2^30.
    promised: u128,
    window: u64,
    /// What the seller lets be unsettled.
    cap: Option<RawAmount>,
    /// What is owed to it by receipts and not settled, as the ledger says.
    owed: RawAmount,
    epoch: Option<Epoch>,
    /// Verified and in no receipt: bytes by price.
    due: HashMap<u64, u64>,
    /// What is due, by torrent.
    origin: Weights,
    /// Asked for at a price and not verified: it may have been served.
    asked: u64,
    due_since: Option<UnixMs>,
    last_signed: Option<UnixMs>,
    issuing: bool,
    acknowledged: u64,
    /// Pieces asked for and not verified, with their length.
    unfinished: HashMap<(ConnId, u32), u32>,
}

impl Debt {
    /// To a seller nothing was bought from yet.
    pub fn new(pair: Pair) -> Self {
        Self {
            signer: pair.payer,
            grant: Salt::ZERO,
            limit: None,
            promised: 0,
            pair,
            window: 0,
            cap: None,
            owed: RawAmount::ZERO,
            epoch: None,
            due: HashMap::new(),
            origin: Weights::default(),
            asked: 0,
            due_since: None,
            last_signed: None,
            issuing: false,
            acknowledged: 0,
            unfinished: HashMap::new(),
        }
    }

    /// Who signs, and the most this payee may be promised from now on, in raw
    /// units: what its grant and the user's limit leave.
    #[must_use]
    pub fn signed_by(mut self, identity: &Identity, limit: Option<RawAmount>) -> Self {
        self.signer = identity.signer().address();
        self.grant = identity.grant_hash();
        self.limit = limit.map(|limit| u128::from(limit.unsigned()) << GIB_BITS);
        self
    }

    /// The seller quoted what it lets be unsettled.
    pub fn set_cap(&mut self, cap: RawAmount) {
        self.cap = Some(cap);
    }

    /// What the seller lets be unsettled, as it quoted last.
    pub fn cap(&self) -> Option<RawAmount> {
        self.cap
    }

    /// What is owed to the seller by receipts and not settled.
    pub fn set_owed(&mut self, owed: RawAmount) {
        self.owed = owed;
    }

    /// Whether so many more bytes at a price are within what the seller lets be unsettled, as
    /// far as that is known: one that goes on selling above what it quoted quoted too little.
    fn fits_cap(&self, bytes: u64, price: u64) -> bool {
        let Some(cap) = self.cap else { return true };
        let cap = u128::from(cap.unsigned()) << GIB_BITS;
        let due = self.due.iter().map(|(price, bytes)| cost(*bytes, *price));
        let owed = (u128::from(self.owed.unsigned()) << GIB_BITS).saturating_add(due.sum());
        owed > cap || owed.saturating_add(cost(bytes, price)) <= cap
    }

    /// The seller granted a window, in bytes.
    pub fn set_window(&mut self, bytes: u64) {
        self.window = bytes;
    }

    /// The window, in bytes; zero before any.
    pub fn window(&self) -> u64 {
        self.window
    }

    /// Whether another chunk of `piece` may be asked for at a price: at most as many
    /// unfinished pieces as the window holds, or nothing could ever be paid; and, but for one,
    /// as the seller lets be unsettled, since what is on the way when it ends the sale is owed.
    pub fn begin_piece(&mut self, conn: ConnId, piece: u32, piece_length: u32, price: u64) -> bool {
        if self.unfinished.contains_key(&(conn, piece)) {
            return true;
        }
        let begun: u64 = self.unfinished.values().map(|n| u64::from(*n)).sum();
        let all = begun + u64::from(piece_length);
        if all > self.window.max(Window::start_bytes(piece_length))
            || (begun > 0 && !self.fits_cap(all, price))
        {
            return false;
        }
        self.unfinished.insert((conn, piece), piece_length);
        true
    }

    /// A piece is verified: its chunks from this seller are due.
    pub fn verified(&mut self, conn: ConnId, piece: u32, chunks: &[(u64, u64)], now: UnixMs) {
        self.unfinished.remove(&(conn, piece));
        for (price, bytes) in chunks {
            let due = self.due.entry(*price).or_default();
            *due = due.saturating_add(*bytes);
        }
        if self.due_bytes() > 0 {
            self.due_since.get_or_insert(now);
        }
    }

    /// Asks for so many bytes at a price; false when that is more than this
    /// payee may be promised.
    pub fn ask(&mut self, bytes: u64, price: u64) -> bool {
        let promised = self.promised.saturating_add(cost(bytes, price));
        if self.limit.is_some_and(|limit| promised > limit) {
            return false;
        }
        self.promised = promised;
        self.asked = self.asked.saturating_add(bytes);
        true
    }

    /// So many of them are verified: what they cost stays promised.
    pub fn arrived(&mut self, bytes: u64) {
        self.asked = self.asked.saturating_sub(bytes);
    }

    /// So many of them will not come.
    pub fn dropped(&mut self, bytes: u64, price: u64) {
        self.asked = self.asked.saturating_sub(bytes);
        self.promised = self.promised.saturating_sub(cost(bytes, price));
    }

    /// What a verified piece is for.
    pub fn due_for(&mut self, torrent: InfoHash, chunks: &[(u64, u64)]) {
        for (price, bytes) in chunks {
            self.origin.add(torrent, *bytes, *price);
        }
    }

    /// For which torrents the next receipt is, each with its weight.
    pub fn origin(&self) -> Vec<(InfoHash, u64)> {
        self.origin.all()
    }

    /// A receipt of ours paid so many raw units for each torrent.
    pub fn paid_for(&mut self, shares: &[(Option<InfoHash>, u64)]) {
        self.origin.paid(shares);
    }

    /// Nothing of the piece is asked for on this connection, or waits for its hash.
    pub fn piece_over(&mut self, conn: ConnId, piece: u32) {
        self.unfinished.remove(&(conn, piece));
    }

    /// Nothing is asked for on this connection any more.
    pub fn forget_pieces(&mut self, conn: ConnId) {
        self.unfinished.retain(|(of, _), _| *of != conn);
    }

    /// Verified and in no receipt, in bytes.
    pub fn due_bytes(&self) -> u64 {
        self.due.values().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// Whether to sign now: something is due and half a window may be unpaid,
    /// or anything is due for two seconds, or at all when `urgent` (held, choked,
    /// finished). Waiting for half a window to be *verified* would be too late
    /// with large pieces: what is unfinished counts on the seller's side too.
    pub fn wants_receipt(&self, now: UnixMs, urgent: bool) -> bool {
        let due = self.due_bytes();
        if self.issuing || due == 0 {
            return false;
        }
        let recently = self
            .last_signed
            .is_some_and(|last| now.since(last) < MIN_INTERVAL);
        let half = due.saturating_add(self.asked) >= self.window / 2;
        let old = self
            .due_since
            .is_some_and(|since| now.since(since) >= SIGN_AFTER);
        // A seller never passes over a receipt for a quarter of its window.
        let quarter = due >= (self.window / 4).max(1);
        (half && quarter) || ((half || urgent || old) && !recently)
    }

    /// Whether an epoch was claimed.
    pub fn has_epoch(&self) -> bool {
        self.epoch.is_some()
    }

    /// The epoch that was claimed, with what its log says.
    pub fn claimed(
        &mut self,
        id: EpochId,
        since_block: u64,
        last: Option<SignedReceipt>,
        remainder: Remainder,
    ) {
        let (amount, delivered) = last.as_ref().map_or((RawAmount::ZERO, 0), |signed| {
            (signed.receipt.amount, signed.receipt.delivered_bytes)
        });
        self.epoch = Some(Epoch {
            id,
            since_block,
            last,
            meter: Meter::resume(amount, remainder),
            delivered,
        });
    }

    /// Nothing is issued in the epoch any more; what is due goes into another.
    pub fn leave_epoch(&mut self) {
        self.epoch = None;
        self.acknowledged = 0;
    }

    /// The receipt over everything that is due; no other is drafted until
    /// [`issued`](Self::issued) or [`not_issued`](Self::not_issued). `None`
    /// without an epoch.
    ///
    /// # Errors
    /// The debt would leave an amount's range.
    pub fn draft(&mut self, now: UnixMs) -> Option<Result<Draft, MeterError>> {
        let epoch = self.epoch.as_ref()?;
        let mut meter = epoch.meter;
        for (price, bytes) in &self.due {
            if let Err(error) = meter.add(*bytes, *price) {
                return Some(Err(error));
            }
        }
        let bytes = self.due_bytes();
        let raised = meter
            .amount()
            .checked_sub(epoch.meter.amount())
            .unwrap_or(RawAmount::ZERO);
        let receipt = Receipt {
            payer: self.pair.payer,
            payee: self.pair.payee,
            signer: self.signer,
            vault: Address::ZERO,
            token: self.pair.token,
            epoch: epoch.id,
            since_block: epoch.since_block,
            sequence: epoch.last.map_or(0, |last| last.receipt.sequence) + 1,
            amount: meter.amount(),
            delivered_bytes: epoch.delivered.saturating_add(bytes),
            issued_at: u64::try_from(now.secs()).unwrap_or(0),
            grant: self.grant,
        };
        self.issuing = true;
        Some(Ok(Draft {
            receipt,
            remainder: meter.remainder(),
            raised,
            meter,
            taken: self
                .due
                .iter()
                .map(|(price, bytes)| (*price, *bytes))
                .collect(),
        }))
    }

    /// The draft is signed and durable. Nothing that became due since is lost.
    pub fn issued(&mut self, draft: &Draft, signed: SignedReceipt, now: UnixMs) {
        self.issuing = false;
        self.owed = self
            .owed
            .checked_add(draft.raised)
            .unwrap_or(RawAmount::MAX);
        self.last_signed = Some(now);
        for (price, bytes) in &draft.taken {
            if let Some(due) = self.due.get_mut(price) {
                *due = due.saturating_sub(*bytes);
            }
        }
        self.due.retain(|_, bytes| *bytes > 0);
        self.due_since = (!self.due.is_empty()).then_some(now);
        if let Some(epoch) = &mut self.epoch {
            epoch.meter = draft.meter;
            epoch.delivered = draft.receipt.delivered_bytes;
            epoch.last = Some(signed);
        }
    }

    /// The draft could not be stored; nothing has changed and it may be tried
    /// again after a while.
    pub fn not_issued(&mut self, now: UnixMs) {
        self.issuing = false;
        self.last_signed = Some(now);
    }

    /// The seller has a receipt of ours durably.
    pub fn acknowledged(&mut self, epoch: EpochId, sequence: u64) {
        if self.epoch.is_some_and(|own| own.id == epoch) {
            self.acknowledged = self.acknowledged.max(sequence);
        }
    }

    /// The newest receipt of our epoch, durable.
    pub fn last(&self) -> Option<&SignedReceipt> {
        self.epoch.as_ref()?.last.as_ref()
    }

    /// Whether nothing was bought.
    pub fn is_blank(&self) -> bool {
        self.promised == 0 && self.due.is_empty()
    }

    /// Nothing is due, or being signed.
    pub fn settled_up(&self) -> bool {
        !self.issuing && self.due_bytes() == 0
    }

    /// Nothing is due, being signed, or without an acknowledgement.
    pub fn settled(&self) -> bool {
        let newest = self.last().map_or(0, |last| last.receipt.sequence);
        !self.issuing && self.due_bytes() == 0 && self.acknowledged >= newest
    }
}

/// The most that may be spent: in a session, or for a torrent. What was asked for at a
/// price is set aside until it is verified or will not come.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    limit: u128,
    reserved: u128,
    spent: u128,
    /// Of what was spent, earned back from the very sellers: bytes offset bytes.
    offset: u128,
}

impl Budget {
    /// Of so many raw units; `None` is no limit but an amount's range.
    pub fn new(limit: Option<RawAmount>) -> Self {
        Self {
            limit: u128::from(limit.unwrap_or(RawAmount::MAX).unsigned()) << GIB_BITS,
            reserved: 0,
            spent: 0,
            offset: 0,
        }
    }

    /// Another limit from now on, of all that is spent since the beginning.
    pub fn set_limit(&mut self, limit: Option<RawAmount>) {
        self.limit = u128::from(limit.unwrap_or(RawAmount::MAX).unsigned()) << GIB_BITS;
    }

    /// Sets aside what `bytes` cost at `price`; false if it is not there.
    pub fn reserve(&mut self, bytes: u64, price: u64) -> bool {
        let wanted = cost(bytes, price);
        let fits = self
            .reserved
            .checked_add(self.spent.saturating_sub(self.offset))
            .and_then(|sum| sum.checked_add(wanted))
            .is_some_and(|sum| sum <= self.limit);
        if fits {
            self.reserved += wanted;
        }
        fits
    }

    /// What was set aside will not come.
    pub fn release(&mut self, bytes: u64, price: u64) {
        self.reserved = self.reserved.saturating_sub(cost(bytes, price));
    }

    /// What was set aside is owed now.
    pub fn spend(&mut self, bytes: u64, price: u64) {
        self.release(bytes, price);
        self.spent = self.spent.saturating_add(cost(bytes, price));
    }

    /// So many raw units of what was spent were earned back from those who were
    /// paid.
    pub fn set_offset(&mut self, units: u64) {
        self.offset = u128::from(units) << GIB_BITS;
    }

    /// What is left, in raw units.
    pub fn left(&self) -> u64 {
        let used = self
            .spent
            .saturating_sub(self.offset)
            .saturating_add(self.reserved);
        u64::try_from(self.limit.saturating_sub(used) >> GIB_BITS).unwrap_or(u64::MAX)
    }
}
