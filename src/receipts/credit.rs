//! How much is served ahead of receipts, and what a seller holds of a payer.
//! Pure: no clock, no disk.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use super::{
    body::SignedReceipt,
    meter::{GIB_BITS, cost},
    weights::Weights,
    window::{PIPELINE_BYTES, Window},
};
use crate::{
    ledger::{EpochId, Standing},
    types::{InfoHash, RawAmount, Salt, UnixMs},
};

/// One part in so many (2 %) of what was paid may be lost besides: asked for before an
/// award, or unfinished as a connection ended.
const SLACK_PART: u64 = 50;
/// Receipts of an address above what was sold to it that are stored at once: as many as
/// a `sync` has,
const WORDS_BURST: u32 = 8;
/// and one more after so long.
const WORDS_INTERVAL: Duration = Duration::from_secs(10);
/// The most epochs of one payer that are followed: far more than can be open.
pub const MAX_FOLLOWED_EPOCHS: usize = 64;

/// What one epoch's rounding can hold back: just below one unit, · 2^30.
const TOLERANCE: u128 = (1 << GIB_BITS) - 1;

/// What is known of an epoch of a payer's.
#[derive(Debug, Clone, Copy)]
struct Followed {
    /// The newest verified receipt, stored or about to be.
    last: SignedReceipt,
    /// The newest stored one.
    durable: Option<SignedReceipt>,
    /// The bytes of the newest one that was credited.
    credited_bytes: u64,
    /// Its one unit of tolerance was given: an amount is a sum rounded down.
    tolerated: bool,
    /// The newest one is not stored, as nothing was sold for it.
    aside: bool,
}

/// What one address owes us: the seller's side of a pair, over all its
/// connections with this process.
#[derive(Debug, Clone)]
pub struct Credit {
    window: Window,
    /// The longest of a torrent that is shared with it, in bytes.
    piece_length: u32,
    /// Served and not paid: bytes by price. Paid off from the cheapest up.
    unpaid: BTreeMap<u64, u64>,
    /// What was served and no receipt has paid for, by torrent.
    origin: Weights,
    /// What was served in this process comes to, each byte at the dearest price at which
    /// it may have been asked for, in units · 2^30: receipts count up to here.
    sold: u128,
    /// What receipts came to that counted, in this process, in raw units.
    receipted: u128,
    /// Receipts above what was sold that may be stored now, and since when.
    words: (u32, UnixMs),
    /// Epochs whose unit of tolerance was used.
    tolerances: u32,
    /// Bytes sent at no price after an award, since they were asked for before it.
    grace_given: u64,
    /// Paid and not yet turned into bytes, in units · 2^30.
    paid_ahead: u128,
    /// Bytes ever paid for at a price, in this process.
    credited: u64,
    epochs: HashMap<EpochId, Followed>,
    /// Bytes ever written off, in this process.
    written_off: u64,
    /// What was ever written off, as the ledger has it, in raw units.
    written_off_units: u128,
    /// What was written off and the ledger does not have yet, in raw units.
    unnoted: u64,
    /// The position: owed by receipts for what was sold and not settled on the solid
    /// chain, less what we owe in turn. In raw units.
    owed: i128,
    /// Half of what was settled in the last 30 days, on the solid chain.
    trusted: RawAmount,
    /// What was ever settled with us, on the solid chain, in raw units.
    settled: u128,
    /// A receipt of this address was accepted in this session or before.
    has_paid: bool,
    /// Contradicted itself: not served any more.
    contradicted: bool,
    /// Debts that were not paid after a reconnect.
    defaults: u32,
    /// What they came to, in raw units.
    defaulted: u128,
    /// By the user's word.
    banned: bool,
    /// What it may owe, besides its cap, in raw units: what it ever settled, and
    /// its part of what strangers may together.
    ceiling: Option<u128>,
}

impl Credit {
    /// Of an address that nothing is known of.
    pub fn new(piece_length: u32) -> Self {
        Self {
            window: Window::new(piece_length),
            piece_length,
            unpaid: BTreeMap::new(),
            origin: Weights::default(),
            sold: 0,
            receipted: 0,
            words: (WORDS_BURST, UnixMs(0)),
            tolerances: 0,
            grace_given: 0,
            paid_ahead: 0,
            credited: 0,
            written_off: 0,
            written_off_units: 0,
            unnoted: 0,
            epochs: HashMap::new(),
            owed: 0,
            trusted: RawAmount::ZERO,
            settled: 0,
            has_paid: false,
            contradicted: false,
            defaults: 0,
            defaulted: 0,
            banned: false,
            ceiling: None,
        }
    }

    /// Takes in what the ledger knows: the newest receipts of each epoch, what
    /// the address owes in all (positive) or is owed, what it settled in 30 days
    /// and ever, and whether it contradicted itself.
    pub fn load(
        &mut self,
        received: &[SignedReceipt],
        owed: i128,
        settled: RawAmount,
        ever: RawAmount,
        contradicted: bool,
    ) {
        for signed in received.iter().take(MAX_FOLLOWED_EPOCHS) {
            let followed = self
                .epochs
                .entry(signed.receipt.epoch)
                .or_insert_with(|| Followed {
                    last: *signed,
                    durable: None,
                    credited_bytes: signed.receipt.delivered_bytes,
                    tolerated: false,
                    aside: false,
                });
            // Another process of ours may have stored a newer one meanwhile.
            let sequence = signed.receipt.sequence;
            if followed
                .durable
                .is_none_or(|old| old.receipt.sequence < sequence)
            {
                followed.durable = Some(*signed);
            }
            if followed.last.receipt.sequence < sequence {
                followed.last = *signed;
                followed.credited_bytes = signed.receipt.delivered_bytes;
            }
        }
        self.owed = owed;
        self.trusted = RawAmount::new(settled.get() / 2).unwrap_or(RawAmount::ZERO);
        self.settled = u128::from(ever.unsigned());
        self.has_paid |= !received.is_empty();
        self.contradicted |= contradicted;
    }

    /// The newest verified receipt of an epoch.
    pub fn last(&self, epoch: EpochId) -> Option<&SignedReceipt> {
        self.epochs.get(&epoch).map(|followed| &followed.last)
    }

    /// Follows a verified receipt, so that the next one is held against it.
    /// False when there are too many epochs.
    pub fn follow(&mut self, signed: &SignedReceipt) -> bool {
        let epoch = signed.receipt.epoch;
        if !self.epochs.contains_key(&epoch) && self.epochs.len() >= MAX_FOLLOWED_EPOCHS {
            return false;
        }
        self.epochs
            .entry(epoch)
            .and_modify(|followed| followed.last = *signed)
            .or_insert(Followed {
                last: *signed,
                durable: None,
                credited_bytes: 0,
                tolerated: false,
                aside: false,
            });
        true
    }

    /// Whether the newest receipt of an epoch is kept aside: followed, but not stored.
    pub fn is_aside(&self, epoch: EpochId) -> bool {
        self.epochs
            .get(&epoch)
            .is_some_and(|followed| followed.aside)
    }

    /// Keeps the newest receipt of an epoch aside, or takes it up again to be stored.
    pub fn set_aside(&mut self, epoch: EpochId, aside: bool) {
        if let Some(followed) = self.epochs.get_mut(&epoch) {
            followed.aside = aside;
        }
    }

    /// Whether the newest verified receipt of an epoch, and so every older one,
    /// is on disk.
    pub fn is_durable(&self, epoch: EpochId) -> bool {
        self.epochs
            .get(&epoch)
            .is_some_and(|followed| followed.durable == Some(followed.last))
    }

    /// A receipt could not be stored: it counts as never seen.
    pub fn forget(&mut self, epoch: EpochId) {
        let Some(followed) = self.epochs.get_mut(&epoch) else {
            return;
        };
        match followed.durable {
            Some(durable) => followed.last = durable,
            None => {
                self.epochs.remove(&epoch);
            }
        }
    }

    /// What the ledger says of the position and of settlements now: what another process
    /// of ours learnt counts here, too.
    pub fn set_settled(&mut self, owed: i128, settled: RawAmount, ever: RawAmount) {
        self.owed = owed;
        self.trusted = RawAmount::new(settled.get() / 2).unwrap_or(RawAmount::ZERO);
        self.settled = u128::from(ever.unsigned());
    }

    /// So many bytes of a torrent were sent at a price (raw units per GiB), which may
    /// have been asked for at `dearest`.
    pub fn served_of(&mut self, torrent: InfoHash, bytes: u64, price: u64, dearest: u64) {
        if price > 0 {
            self.origin.add(torrent, bytes, price);
        }
        self.sold = self.sold.saturating_add(cost(bytes, dearest));
        self.owes_for(bytes, price);
    }

    /// For which torrents the next receipt is, each with its weight.
    pub fn origin(&self) -> Vec<(InfoHash, u64)> {
        self.origin.all()
    }

    /// A receipt paid so many raw units for each torrent.
    pub fn paid_for(&mut self, shares: &[(Option<InfoHash>, u64)]) {
        self.origin.paid(shares);
    }

    /// So many bytes were sent at a price (raw units per GiB).
    pub fn served(&mut self, bytes: u64, price: u64) {
        self.sold = self.sold.saturating_add(cost(bytes, price));
        self.owes_for(bytes, price);
    }

    /// Bytes at no price are nobody's debt.
    fn owes_for(&mut self, bytes: u64, price: u64) {
        if price == 0 {
            return;
        }
        let unpaid = self.unpaid.entry(price).or_default();
        *unpaid = unpaid.saturating_add(bytes);
    }

    /// Served and not paid, in bytes.
    pub fn unpaid_bytes(&self) -> u64 {
        self.unpaid
            .values()
            .fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// Served and not paid, in raw units, rounded up.
    pub fn unpaid_units(&self) -> u128 {
        let sum = self.unpaid.iter().fold(0u128, |sum, (price, bytes)| {
            sum.saturating_add(cost(*bytes, *price))
        });
        sum.div_ceil(1 << GIB_BITS)
    }

    /// Bytes paid for since this process knows the address.
    pub fn credited_bytes(&self) -> u64 {
        self.credited
    }

    /// Owed by receipts and not settled, less what we owe in turn, in raw units:
    /// at least zero.
    pub fn owed(&self) -> RawAmount {
        i64::try_from(self.owed.max(0))
            .ok()
            .and_then(|raw| RawAmount::new(raw).ok())
            .unwrap_or(RawAmount::MAX)
    }

    /// We signed so much more to the address: what it owes pays for it.
    pub fn offset(&mut self, raised: RawAmount) {
        self.owed -= i128::from(raised.get());
    }

    /// Owed by the newest receipts of other epochs under the same grant.
    pub fn owed_under(&self, grant: Salt, besides: EpochId) -> RawAmount {
        self.epochs
            .values()
            .map(|followed| &followed.last.receipt)
            .filter(|receipt| receipt.grant == grant && receipt.epoch != besides)
            .try_fold(RawAmount::ZERO, |sum, receipt| {
                sum.checked_add(receipt.amount)
            })
            .unwrap_or(RawAmount::MAX)
    }

    /// How much of what a receipt of this epoch raises is for something that was sold and
    /// not receipted yet, at most, in raw units: with one unit for each epoch, since an
    /// amount is a sum rounded down. Nothing when nothing was sold.
    pub fn sold_left(&self, epoch: EpochId) -> RawAmount {
        if self.sold == 0 {
            return RawAmount::ZERO;
        }
        let known = self.epochs.get(&epoch);
        let tolerated = known.is_some_and(|followed| followed.tolerated);
        let left = self
            .sold
            .div_ceil(1 << GIB_BITS)
            .saturating_add(u128::from(self.tolerances) + u128::from(!tolerated))
            .saturating_sub(self.receipted);
        i64::try_from(left)
            .ok()
            .and_then(|raw| RawAmount::new(raw).ok())
            .unwrap_or(RawAmount::MAX)
    }

    /// Whether a receipt above what was sold is stored: it may be for what another process
    /// of ours sold before it ended, or for what an older copy of our ledger forgot. It
    /// counts for nothing, so only of an address that bought something, and not too many.
    pub fn may_store_unsold(&mut self, now: UnixMs) -> bool {
        if !self.has_traded() {
            return false;
        }
        let (left, since) = self.words;
        let more = now.since(since).as_secs() / WORDS_INTERVAL.as_secs();
        let left = left.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
        let since = if more > 0 { now } else { since };
        let left = left.min(WORDS_BURST);
        self.words = (left.saturating_sub(1), since);
        left > 0
    }

    /// Whether the address ever bought something of us: in this process, or by the
    /// receipts that the ledger holds.
    pub fn has_traded(&self) -> bool {
        self.sold > 0 || self.has_paid
    }

    /// How many of `bytes`, asked for at no price before an award and sent after it, cost
    /// nothing: a pipeline once an address, and 2 % of what was paid.
    pub fn grace(&mut self, bytes: u64) -> u64 {
        let most = PIPELINE_BYTES.saturating_add(self.credited / SLACK_PART);
        let given = bytes.min(most.saturating_sub(self.grace_given));
        self.grace_given = self.grace_given.saturating_add(given);
        given
    }

    /// A receipt raises nothing beyond a durable one: it is as good as that.
    pub fn same_debt(&mut self, signed: &SignedReceipt) {
        let Some(followed) = self.epochs.get_mut(&signed.receipt.epoch) else {
            return;
        };
        followed.durable = Some(*signed);
        self.credit(signed, RawAmount::ZERO);
    }

    /// A receipt is durable and raised what its epoch owes for sales by `raised`. Turns
    /// it into credit and returns the bytes. What is claimed as delivered and
    /// not paid for counts for nothing: the price of each byte was agreed.
    pub fn credit(&mut self, signed: &SignedReceipt, raised: RawAmount) -> u64 {
        self.has_paid |= raised > RawAmount::ZERO;
        self.owed += i128::from(raised.get());
        self.receipted = self.receipted.saturating_add(u128::from(raised.unsigned()));
        let sold_any = self.sold > 0;
        let claimed = match self.epochs.get_mut(&signed.receipt.epoch) {
            Some(followed) => {
                let delivered = signed.receipt.delivered_bytes;
                let claimed = delivered.saturating_sub(followed.credited_bytes);
                let newest = followed
                    .durable
                    .is_none_or(|old| old.receipt.sequence < signed.receipt.sequence);
                if newest {
                    followed.durable = Some(*signed);
                }
                followed.credited_bytes = followed.credited_bytes.max(delivered);
                if !followed.tolerated && sold_any {
                    followed.tolerated = true;
                    self.tolerances = self.tolerances.saturating_add(1);
                    self.paid_ahead = self.paid_ahead.saturating_add(TOLERANCE);
                }
                claimed
            }
            None => 0,
        };
        self.paid_ahead = self
            .paid_ahead
            .saturating_add(u128::from(raised.unsigned()) << GIB_BITS);
        let (mut left, mut credited) = (claimed, 0u64);
        while let Some(mut entry) = self.unpaid.first_entry() {
            let price = *entry.key();
            let affordable = self
                .paid_ahead
                .checked_div(u128::from(price))
                .map_or(u64::MAX, |bytes| u64::try_from(bytes).unwrap_or(u64::MAX));
            let bytes = left.min(*entry.get()).min(affordable);
            if bytes == 0 {
                break;
            }
            left -= bytes;
            credited += bytes;
            *entry.get_mut() -= bytes;
            let settled = *entry.get() == 0;
            if settled {
                entry.remove();
            }
            self.paid_ahead = self.paid_ahead.saturating_sub(cost(bytes, price));
        }
        if self.unpaid.is_empty() {
            // Paid for more than was served here: no credit for later.
            self.paid_ahead = self.paid_ahead.min(TOLERANCE);
        }
        self.window.paid(credited);
        self.credited = self.credited.saturating_add(credited);
        credited
    }

    /// Lost with this address, in raw units, rounded up: what was written off, and the
    /// debts that were given up and not forgiven.
    pub fn lost_units(&self) -> u128 {
        self.written_off_units.saturating_add(self.defaulted)
    }

    /// How many more bytes may be sent now at `price`: what the window and the
    /// cap on unsettled debts leave. What was lost counts as if it were owed,
    /// against the cap until as much was settled.
    pub fn allowance(&self, price: u64, cap: RawAmount) -> u64 {
        if self.contradicted || self.banned {
            return 0;
        }
        let by_window = self.window.bytes().saturating_sub(self.unpaid_bytes());
        by_window.min(self.room(price, cap))
    }

    /// How many more bytes the address may owe at `price`, whatever its window.
    pub fn room(&self, price: u64, cap: RawAmount) -> u64 {
        let cap = u128::from(cap.unsigned());
        let lost = self.lost_units();
        let room = self
            .ceiling
            .map_or(u128::MAX, |ceiling| ceiling.saturating_sub(lost))
            .min(cap.saturating_sub(lost.saturating_sub(self.settled)))
            .saturating_sub(u128::from(self.owed().unsigned()))
            .saturating_sub(self.unpaid_units());
        (room << GIB_BITS)
            .checked_div(u128::from(price))
            .map_or(u64::MAX, |bytes| u64::try_from(bytes).unwrap_or(u64::MAX))
    }

    /// The cap on unsettled debts: what every unproven address gets, or half of
    /// what this one settled in 30 days, if more.
    pub fn cap(&self, unproven_cap: RawAmount) -> RawAmount {
        self.trusted.max(unproven_cap)
    }

    /// What the address may owe, besides its cap, in raw units.
    pub fn set_ceiling(&mut self, ceiling: Option<u128>) {
        self.ceiling = ceiling;
    }

    /// Whether nothing would be lost by forgetting it: what the ledger holds
    /// comes back with it.
    pub fn is_blank(&self) -> bool {
        self.unpaid.is_empty()
            && self.paid_ahead <= TOLERANCE
            && self.owed == 0
            && self.written_off == 0
            && self.unnoted == 0
            && self.defaulted == 0
            && self.window.is_at_start()
    }

    /// The window.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// Another torrent is shared with the address.
    pub fn admit_piece(&mut self, piece_length: u32) {
        self.window.admit_piece(piece_length);
        self.piece_length = self.piece_length.max(piece_length);
    }

    /// Whether something was settled with us.
    pub fn proven(&self) -> bool {
        self.settled > 0
    }

    /// What was ever settled with us, in raw units.
    pub fn settled_ever(&self) -> u128 {
        self.settled
    }

    /// Whether a receipt was ever accepted.
    pub fn has_paid(&self) -> bool {
        self.has_paid
    }

    /// Two valid statements under one sequence were seen.
    pub fn contradicted(&self) -> bool {
        self.contradicted
    }

    /// Remembers that it contradicted itself.
    pub fn set_contradicted(&mut self) {
        self.contradicted = true;
    }

    /// A transfer to us became solid.
    pub fn settled(&mut self, amount: RawAmount) {
        self.owed -= i128::from(amount.get());
        let half = RawAmount::new(amount.get() / 2).unwrap_or(RawAmount::ZERO);
        self.trusted = self.trusted.checked_add(half).unwrap_or(RawAmount::MAX);
        self.settled = self.settled.saturating_add(u128::from(amount.unsigned()));
    }

    /// What is written off of an address that never paid, in bytes: two pieces, and what
    /// may be on its way.
    pub fn never_paid_write_off(piece_length: u32) -> u64 {
        2 * u64::from(piece_length) + PIPELINE_BYTES
    }

    /// A connection is gone on which `served` bytes were sent at a price: up to a
    /// piece and a pipeline of them are written off, from the dearest down, since a piece that
    /// was not finished could not be paid. In all no more than two pieces, a pipeline
    /// and 2 % of what was paid: who comes and goes to get a discount is held instead, by what
    /// it left unpaid. It is lost, and counts as such.
    pub fn write_off(&mut self, served: u64, piece_length: u32) {
        let bytes = served.min(u64::from(piece_length) + PIPELINE_BYTES).min(
            self.most_written_off(piece_length)
                .saturating_sub(self.written_off),
        );
        self.lose(bytes);
    }

    /// What may be written off of the address in all, in bytes.
    fn most_written_off(&self, piece_length: u32) -> u64 {
        let paid_part = self.credited / SLACK_PART;
        Self::never_paid_write_off(piece_length).saturating_add(paid_part)
    }

    /// Writes so many unpaid bytes off.
    fn lose(&mut self, bytes: u64) {
        let bytes = bytes.min(self.unpaid_bytes());
        self.written_off = self.written_off.saturating_add(bytes);
        let units = self.strike(bytes);
        self.written_off_units = self.written_off_units.saturating_add(units);
        self.unnoted = self
            .unnoted
            .saturating_add(u64::try_from(units).unwrap_or(u64::MAX));
    }

    /// Takes so many unpaid bytes out, from the dearest down, and returns what they cost, in raw
    /// units, rounded up.
    fn strike(&mut self, bytes: u64) -> u128 {
        let (mut left, mut units) = (bytes, 0u128);
        while let Some(mut entry) = self.unpaid.last_entry() {
            let bytes = left.min(*entry.get());
            left -= bytes;
            units = units.saturating_add(cost(bytes, *entry.key()));
            *entry.get_mut() -= bytes;
            if *entry.get() > 0 {
                break;
            }
            entry.remove();
        }
        units.div_ceil(1 << GIB_BITS)
    }

    /// What was written off since this was asked last, in raw units: for the ledger.
    pub fn take_written_off(&mut self) -> u64 {
        std::mem::take(&mut self.unnoted)
    }

    /// What was due before a reconnect is still due a minute after it, but too little to be a
    /// default: less than a piece, and with all that was ever written off no more than may be. It
    /// is written off, and the window begins again. False, and nothing is done, if it is more.
    pub fn write_off_rest(&mut self, bytes: u64) -> bool {
        let dearest = self.unpaid.last_key_value().map_or(0, |(price, _)| *price);
        let most = cost(self.most_written_off(self.piece_length), dearest) >> GIB_BITS;
        let with_this = (cost(bytes, dearest) >> GIB_BITS).saturating_add(self.written_off_units);
        if bytes >= u64::from(self.piece_length) || with_this > most {
            return false;
        }
        self.lose(bytes);
        self.window.shrink();
        true
    }

    /// What was due before a reconnect is still due a minute after it: the
    /// window begins again, the debt is given up, and it is remembered.
    /// Returns what was given up, in raw units, rounded up.
    pub fn default_on(&mut self, bytes: u64) -> u64 {
        let units = self.strike(bytes);
        self.window.shrink();
        self.defaults = self.defaults.saturating_add(1);
        self.defaulted = self.defaulted.saturating_add(units);
        u64::try_from(units).unwrap_or(u64::MAX)
    }

    /// How it stands by what is remembered: defaults, what was written off, whether it
    /// contradicted itself unforgiven, and whether it is served no more.
    pub fn set_standing(&mut self, standing: &Standing, contradicted: bool) {
        self.defaults = standing.defaults;
        self.defaulted = u128::from(standing.defaulted.unsigned());
        self.written_off_units =
            u128::from(standing.written_off.unsigned()) + u128::from(self.unnoted);
        self.contradicted = contradicted;
        self.banned = standing.banned_at.is_some();
    }

    /// The user wants it not to be served.
    pub fn banned(&self) -> bool {
        self.banned
    }

    /// How often a debt was not paid.
    pub fn defaults(&self) -> u32 {
        self.defaults
    }

    /// Whether it is served on credit no more: it did not pay, and more often
    /// than `most` or more than it ever settled.
    pub fn lost(&self, most: u32) -> bool {
        self.defaults > most || (self.defaults > 0 && self.defaulted >= self.settled)
    }
}
