//! Orders: what a person typed, alone or in a file. Before one is signed it is
//! compared with everything that the account is known to have done, and one that
//! nothing was signed for does not outlive its command.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Engine, SendOrder, SettleError, board::Board};
use crate::{
    ledger::{
        AccountLease, BatchId, Durable, LedgerError, OrderKey, PastOrigin, PastPayment, PayoutId,
        PayoutKind, PayoutRow, PayoutState, TransferRow, Wanted,
    },
    settle::{
        chain::Chain,
        payout_file::FileRow,
        recovery::{Facts, Step, next_step},
        report::{CANCELLED, Event, PLANNED_ANEW, group},
    },
    tron::transaction::RawData,
    types::{TxId, UnixMs},
};

/// An equal payment that was ordered longer ago is not asked about: a month and some
/// days, so that what is paid every month is.
pub const ALIKE_FOR: Duration = Duration::from_secs(35 * 24 * 60 * 60);

/// Of so many transactions at a time it is asked what they burnt.
const UNPRICED: u32 = 1_000;

/// What its user calls an order: whoever orders it again means the same payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderName {
    /// Which order it is.
    pub key: OrderKey,
    /// In words.
    pub label: String,
}

/// What the ledger held of an order when its command began.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Begun {
    /// Equal payouts that had not ended.
    open: BTreeSet<PayoutId>,
    /// All equal payouts.
    known: BTreeSet<PayoutId>,
}

/// An order that another command left unsigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// When it was ordered.
    pub at: UnixMs,
    /// The order.
    pub payout: PayoutRow,
    /// Equal payments made outside of this ledger.
    pub alike: Vec<PastPayment>,
}

/// What is asked before anything is signed.
#[derive(Debug)]
pub enum Question<'a> {
    /// Finish these orders, which another command left unsigned?
    Finish(&'a [Unfinished]),
    /// Pay this plan?
    Pay(&'a super::Plan),
}

/// What a cancellation did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CancelReport {
    /// What was given up: nothing was signed for it.
    pub cancelled: Vec<PayoutRow>,
    /// What is signed, and may happen whatever is wished now.
    pub signed: Vec<PayoutRow>,
}

impl From<&SendOrder> for Wanted {
    fn from(order: &SendOrder) -> Self {
        Self {
            payee: order.payee,
            token: order.token,
            amount: order.amount,
        }
    }
}

impl From<&FileRow> for Wanted {
    fn from(row: &FileRow) -> Self {
        Self {
            payee: row.payee,
            token: row.token,
            amount: row.amount,
        }
    }
}

impl From<&PayoutRow> for Wanted {
    fn from(payout: &PayoutRow) -> Self {
        Self {
            payee: payout.payee,
            token: payout.token,
            amount: payout.amount,
        }
    }
}

/// The transfers made outside of this ledger among past payments.
pub(super) fn elsewhere(past: &[PastPayment]) -> BTreeSet<TxId> {
    past.iter()
        .filter(|payment| matches!(payment.origin, PastOrigin::Elsewhere { .. }))
        .filter_map(|payment| payment.txid)
        .collect()
}

/// Past payments that may be the same as orders, each at most once.
pub(super) struct Comparison(BTreeMap<Wanted, Vec<PastPayment>>);

impl Comparison {
    /// Takes the past payment that is most like an order, if there is one. A named order is
    /// another one than every other that has a name.
    pub(super) fn take(&mut self, wanted: &Wanted, named: bool) -> Option<PastPayment> {
        let past = self.0.get_mut(wanted)?;
        let alike = past.iter().position(|payment| match &payment.origin {
            // One that is known to be another order is not this one.
            PastOrigin::Elsewhere { order, .. } => order.is_none(),
            PastOrigin::Payout { label, .. } => !named || label.is_empty(),
        })?;
        Some(past.remove(alike))
    }
}

impl<C: Chain> Engine<'_, C> {
    /// What the ledger holds of an order now, before its command waits for anything.
    /// What another command orders meanwhile is then known as this order.
    ///
    /// # Errors
    /// The ledger's.
    pub fn begin_order(&self, order: &SendOrder) -> Result<Begun, SettleError> {
        let mut begun = Begun::default();
        for payment in self.past(&[order.into()])? {
            if let PastOrigin::Payout { id, state, .. } = payment.origin {
                begun.known.insert(id);
                if state.is_open() {
                    begun.open.insert(id);
                }
            }
        }
        Ok(begun)
    }

    /// Past payments that pay one of these, newest first.
    pub(super) fn past(&self, wanted: &[Wanted]) -> Result<Vec<PastPayment>, SettleError> {
        let since = self.clock.now().minus(ALIKE_FOR);
        Ok(self.ledger.past_payments(self.account, wanted, since)?)
    }

    /// Past payments to compare orders with, less the payouts `own`.
    pub(super) fn compare(
        &self,
        wanted: &[Wanted],
        own: &BTreeSet<PayoutId>,
    ) -> Result<Comparison, SettleError> {
        let mut past: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for payment in self.past(wanted)? {
            match payment.origin {
                PastOrigin::Payout { id, .. } if own.contains(&id) => {}
                _ => past.entry(payment.wanted).or_default().push(payment),
            }
        }
        Ok(Comparison(past))
    }

    /// Batch and number of an unnamed order that was ordered already: it had not ended when the
    /// command began, or another command ordered it since.
    pub(super) fn same_order(
        &self,
        order: &SendOrder,
        begun: &Begun,
    ) -> Result<Option<(BatchId, PayoutId)>, SettleError> {
        for payment in self.past(&[order.into()])? {
            let PastOrigin::Payout {
                id,
                batch,
                kind: PayoutKind::Send,
                memo,
                label,
                ..
            } = payment.origin
            else {
                continue;
            };
            let same = memo == order.memo && label.is_empty();
            let is_this = begun.open.contains(&id) || !begun.known.contains(&id);
            // Rows of a file are told apart by the file.
            if same && is_this && self.ledger.counts(batch)?.payouts == 1 {
                return Ok(Some((batch, id)));
            }
        }
        Ok(None)
    }

    /// Ends orders of which every transaction is dead, so that they can be ordered again.
    pub(super) fn bury(&self, lease: &AccountLease) -> Result<(), SettleError> {
        let facts = Facts {
            head: UnixMs(0),
            may_sign: false,
        };
        let mut dead = Vec::new();
        for batch in self.ledger.unfinished(self.account)? {
            if batch.kind != PayoutKind::Send {
                continue;
            }
            let attempts = self.ledger.attempts(batch.id)?;
            for (payout, attempts) in group(self.ledger.payouts(batch.id)?, attempts) {
                if payout.state != PayoutState::InFlight {
                    continue;
                }
                match next_step(&payout, &attempts, &facts) {
                    Step::GiveUp(reason) => dead.push((payout.id, reason)),
                    Step::Broken(reason) => {
                        let payout = payout.id;
                        return Err(SettleError::Broken { payout, reason });
                    }
                    _ => {}
                }
            }
        }
        self.give_up_all(lease, &dead)
    }

    /// The transfers made outside of this ledger that are known to be these orders.
    pub(super) fn adopted_as(
        &self,
        rows: &[FileRow],
    ) -> Result<BTreeMap<OrderKey, TransferRow>, SettleError> {
        let keys: BTreeMap<_, _> = rows
            .iter()
            .map(|row| (row.key.of_account(self.account), row.key))
            .collect();
        let asked: Vec<_> = keys.keys().copied().collect();
        let mut found = BTreeMap::new();
        for (key, transfer) in self.ledger.adopted_as(self.account, &asked)? {
            if let Some(key) = keys.get(&key) {
                found.insert(*key, transfer);
            }
        }
        Ok(found)
    }

    /// Says of a transfer made outside of this ledger that it is this order: the order is
    /// paid for good. `false` if that was said before.
    ///
    /// # Errors
    /// The ledger's: it has not seen the transfer, the transfer is a payout of it or
    /// another order, or the order is another transfer.
    pub fn adopt_as(&self, txid: TxId, key: &OrderKey, note: &str) -> Result<bool, SettleError> {
        let key = key.of_account(self.account);
        let done = self.ledger.adopt_as(txid, &key, note)?;
        Ok(*done.get())
    }

    /// Binds named orders that were paid outside of this ledger, as after a restored
    /// backup, to their transfers, which are found by the memos in them.
    pub(super) async fn find_by_memo(&self, rows: &[&FileRow]) -> Result<(), SettleError> {
        let rows: Vec<_> = rows
            .iter()
            .filter(|row| !row.label.is_empty() && !row.memo.is_empty())
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        let wanted: Vec<Wanted> = rows.iter().map(|row| (**row).into()).collect();
        let mut places = BTreeMap::new();
        for payment in self.past(&wanted)? {
            if let (PastOrigin::Elsewhere { order: None, .. }, Some(block), Some(txid)) =
                (&payment.origin, payment.block, payment.txid)
            {
                places.insert((block, txid), payment.wanted);
            }
        }
        let mut memos: BTreeMap<(Wanted, Vec<u8>), Vec<TxId>> = BTreeMap::new();
        for (txid, (wanted, memo)) in self.memos(places).await? {
            memos.entry((wanted, memo)).or_default().push(txid);
        }
        for row in rows {
            let what = (Wanted::from(*row), row.memo.clone());
            // Of several with one memo only their user knows which is which.
            if let Some(txids) = memos.get(&what)
                && let [txid] = txids.as_slice()
            {
                let note = format!("it has the memo of order {}", row.label);
                self.adopt_as(*txid, &row.key, &note)?;
                memos.remove(&what);
            }
        }
        Ok(())
    }

    /// The memos of transactions in solid blocks, where the node still shows the blocks.
    /// The id of a transaction stands for its memo, too.
    async fn memos(
        &self,
        mut places: BTreeMap<(u64, TxId), Wanted>,
    ) -> Result<BTreeMap<TxId, (Wanted, Vec<u8>)>, SettleError> {
        let mut memos = BTreeMap::new();
        while let Some((first, _)) = places.keys().next().copied() {
            let blocks = self.patiently(|| self.chain.solid_blocks(first)).await?;
            for block in &blocks {
                for transaction in &block.transactions {
                    let txid = transaction.txid();
                    if let Some(wanted) = places.remove(&(block.header.number, txid))
                        && let Ok(draft) = transaction.raw_data().and_then(RawData::into_draft)
                    {
                        memos.insert(txid, (wanted, draft.memo));
                    }
                }
            }
            // What the blocks up to the last one shown do not hold is not found.
            let last = blocks
                .last()
                .map_or(first, |block| block.header.number.max(first));
            places = places.split_off(&(last.saturating_add(1), TxId::from_bytes([0; 32])));
        }
        Ok(memos)
    }

    /// The account's payouts that nothing was signed for, with the time of their batch.
    fn unsigned(&self, kind: PayoutKind) -> Result<Vec<(UnixMs, PayoutRow)>, SettleError> {
        let mut unsigned = Vec::new();
        for batch in self.ledger.unfinished(self.account)? {
            if batch.kind != kind {
                continue;
            }
            for payout in self.ledger.payouts(batch.id)? {
                if payout.state == PayoutState::Planned {
                    unsigned.push((batch.created_at, payout));
                }
            }
        }
        Ok(unsigned)
    }

    /// The orders that their commands left unsigned, oldest first, by what is on disk.
    ///
    /// # Errors
    /// The ledger's.
    pub fn unfinished(&self) -> Result<Vec<Unfinished>, SettleError> {
        let orders = self.unsigned(PayoutKind::Send)?;
        let wanted: Vec<Wanted> = orders.iter().map(|(_, payout)| payout.into()).collect();
        let past = if wanted.is_empty() {
            Vec::new()
        } else {
            self.past(&wanted)?
        };
        let unfinished = orders.into_iter().map(|(at, payout)| {
            let alike = past
                .iter()
                .filter(|past| past.wanted == Wanted::from(&payout))
                .filter(|past| matches!(past.origin, PastOrigin::Elsewhere { .. }))
                .cloned()
                .collect();
            Unfinished { at, payout, alike }
        });
        Ok(unfinished.collect())
    }

    /// Gives up the debts that another command planned and nothing was signed for: the
    /// next plan has them again, by its own policy.
    pub(super) fn replan_debts(&self, lease: &AccountLease) -> Result<(), SettleError> {
        let debts: Vec<_> = self
            .unsigned(PayoutKind::Settle)?
            .into_iter()
            .map(|(_, payout)| (payout.id, PLANNED_ANEW.to_owned()))
            .collect();
        self.give_up_all(lease, &debts)
    }

    /// Gives payouts up in one transaction, and tells.
    pub(super) fn give_up_all(
        &self,
        lease: &AccountLease,
        payouts: &[(PayoutId, String)],
    ) -> Result<(), SettleError> {
        if payouts.is_empty() {
            return Ok(());
        }
        self.ledger.fail_payouts(lease, payouts)?;
        for (payout, reason) in payouts {
            self.tell(Event::GivenUp(*payout, reason.clone()));
        }
        Ok(())
    }

    /// The end of what nothing was signed for, in batches of which the command failed.
    pub(super) fn end_unsigned(
        &self,
        lease: &AccountLease,
        batches: &[BatchId],
        reason: &str,
    ) -> Result<usize, SettleError> {
        let mut ended = Vec::new();
        for batch in batches {
            for payout in self.ledger.payouts(*batch)? {
                if payout.state == PayoutState::Planned {
                    ended.push((payout.id, reason.to_owned()));
                }
            }
        }
        self.give_up_all(lease, &ended)?;
        Ok(ended.len())
    }

    /// What a drive brought; when it failed, whatever the reason, what it left unsigned is
    /// given up. A ledger that takes nothing any more refuses that as well; then the order is
    /// shown as one that a killed command left.
    pub(super) fn or_end_unsigned<T>(
        &self,
        lease: &AccountLease,
        batches: &[BatchId],
        outcome: Result<T, SettleError>,
    ) -> Result<T, SettleError> {
        if let Err(error) = &outcome
            && let Err(second) = self.end_unsigned(lease, batches, &error.to_string())
        {
            tracing::warn!("what was not signed could not be given up: {second}");
        }
        outcome
    }

    /// Gives up what nothing was signed for in these batches, whose command ended.
    /// Returns how many that were.
    ///
    /// # Errors
    /// The ledger's, [`LedgerError::AccountHeld`] too.
    pub fn abandon(&self, batches: &[BatchId], reason: &str) -> Result<usize, SettleError> {
        let lease = self.ledger.lease_account(self.account, self.holder)?;
        self.end_unsigned(&lease, batches, reason)
    }

    /// Gives up orders that nothing was signed for: these, or all.
    ///
    /// # Errors
    /// The ledger's, [`LedgerError::AccountHeld`] too; [`LedgerError::Missing`] for a
    /// number that is no unfinished order of the account.
    pub fn cancel(&self, numbers: Option<&[PayoutId]>) -> Result<CancelReport, SettleError> {
        let lease = self.ledger.lease_account(self.account, self.holder)?;
        let mut left: Option<BTreeSet<_>> = numbers.map(|numbers| numbers.iter().collect());
        let mut report = CancelReport::default();
        for batch in self.ledger.unfinished(self.account)? {
            let attempts = self.ledger.attempts(batch.id)?;
            for (payout, attempts) in group(self.ledger.payouts(batch.id)?, attempts) {
                let asked = left.as_mut().is_none_or(|left| left.remove(&payout.id));
                if !asked || !payout.state.is_open() {
                    continue;
                }
                if attempts
                    .iter()
                    .map(Durable::get)
                    .any(|row| row.state.is_live())
                {
                    report.signed.push(payout);
                } else {
                    report.cancelled.push(payout);
                }
            }
        }
        if let Some(number) = left.and_then(|left| left.first().copied()) {
            return Err(LedgerError::Missing(format!("unfinished payment {number}")).into());
        }
        let ended: Vec<_> = report
            .cancelled
            .iter()
            .map(|payout| (payout.id, CANCELLED.to_owned()))
            .collect();
        self.give_up_all(&lease, &ended)?;
        Ok(report)
    }

    /// Asks again what transactions in solid blocks burnt, where that is not known. What
    /// the nodes do not tell stays unknown.
    ///
    /// # Errors
    /// The ledger's.
    pub async fn fetch_missing_fees(&self) -> Result<(), SettleError> {
        loop {
            let unpriced = self.ledger.unpriced(self.account, UNPRICED)?;
            let asked = unpriced.len();
            let told = self.fetch_fees(unpriced).await?;
            // Fewer than were asked of: the rest is told by no node, or there is no rest.
            if told == 0 || asked < UNPRICED as usize {
                return Ok(());
            }
        }
    }

    /// The transfers outside of this ledger with which typed payouts that are due to be
    /// signed were not compared yet; an equal one ends a payout unsigned.
    pub(super) fn paid_alike_since(
        &self,
        board: &Board,
        due: &[(usize, u32)],
        known: &mut BTreeSet<TxId>,
    ) -> Result<BTreeMap<PayoutId, TxId>, SettleError> {
        let typed: Vec<&PayoutRow> = due
            .iter()
            .filter_map(|(place, _)| board.get(*place))
            .map(|entry| &entry.payout)
            .filter(|payout| payout.kind == PayoutKind::Send)
            .collect();
        let mut paid = BTreeMap::new();
        if typed.is_empty() {
            return Ok(paid);
        }
        let wanted: Vec<Wanted> = typed.iter().map(|payout| (*payout).into()).collect();
        let mut past: BTreeMap<Wanted, Vec<TxId>> = BTreeMap::new();
        for payment in self.past(&wanted)? {
            if let (PastOrigin::Elsewhere { .. }, Some(txid)) = (&payment.origin, payment.txid)
                && !known.contains(&txid)
            {
                past.entry(payment.wanted).or_default().push(txid);
            }
        }
        for payout in typed {
            if let Some(txid) = past.get_mut(&payout.into()).and_then(Vec::pop) {
                known.insert(txid);
                paid.insert(payout.id, txid);
            }
        }
        Ok(paid)
    }
}
