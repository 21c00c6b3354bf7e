//! What settlement tells while it works and when it is done.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    ledger::{
        AttemptRow, AttemptState, BatchCounts, BatchId, BatchRow, Durable, LedgerError, PayoutId,
        PayoutRow, PayoutState, Payouts,
    },
    types::{BlockId, RawAmount, Sun, Token, TxId},
};

/// Why an order is given up whose user cancelled it.
pub const CANCELLED: &str = "it was cancelled";

/// Why a debt that nothing was signed for was given up: the next plan has it again.
pub const PLANNED_ANEW: &str = "nothing was signed for it: it is planned anew";

/// The beginning of the reason of what was not signed because the account paid it from
/// elsewhere.
pub const PAID_ELSEWHERE: &str = "it was paid outside of this ledger meanwhile";

/// Why a restored ledger gave up what it had planned.
pub const RESTORED: &str = "the ledger was restored from a copy: it is planned anew";

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A batch with so many payouts is durable.
    Planned {
        /// Which.
        batch: BatchId,
        /// How many.
        payouts: usize,
    },
    /// The order of this batch was ordered before: it is gone on with.
    Found(BatchId),
    /// This batch, which an earlier command made, is gone on with.
    Resumed(BatchId),
    /// An attempt is signed and durable.
    Signed(TxId),
    /// An attempt was handed to a node, which said this.
    Sent(TxId, String),
    /// An attempt is in a block that may still be forked out.
    Included(TxId, u64),
    /// An attempt is in this solid block: its payout is confirmed.
    Solid(TxId, u64),
    /// An attempt was seen to be dead.
    Dead(TxId),
    /// A payout was given up.
    GivenUp(PayoutId, String),
    /// What was read after a block was taken back: it is not in the nodes' chain.
    WentBack {
        /// The newest block that was read before.
        from: BlockId,
        /// The block gone back to.
        to: BlockId,
    },
    /// Nothing can be done right now, and why.
    Waiting(String),
    /// Nothing can be done for so long, as far as can be told, and why.
    WaitingFor(Duration, String),
}

/// How a batch stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchReport {
    /// The batch.
    pub batch: BatchRow,
    /// Its payouts, counted.
    pub counts: BatchCounts,
    /// Σ of the payouts that were not given up, of each token.
    pub totals: BTreeMap<Token, RawAmount>,
    /// What its transactions burnt, as far as known.
    pub fee: Sun,
    /// Of how many transactions in solid blocks it is not known what they burnt.
    pub fees_unknown: u64,
    /// The transactions that paid or may pay, in the payouts' order.
    pub txids: Vec<TxId>,
    /// Its payouts with their attempts.
    pub payouts: Vec<PayoutReport>,
}

/// One payout with its attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayoutReport {
    /// The payout.
    pub payout: PayoutRow,
    /// Its attempts, by ordinal.
    pub attempts: Vec<AttemptRow>,
}

impl PayoutReport {
    /// The attempt that paid or may pay.
    pub fn current(&self) -> Option<&AttemptRow> {
        current(&self.attempts)
    }
}

/// Of a payout's attempts, the one that paid or may pay.
pub(super) fn current(attempts: &[impl AsRef<AttemptRow>]) -> Option<&AttemptRow> {
    attempts
        .iter()
        .map(AsRef::as_ref)
        .find(|attempt| attempt.state != AttemptState::Dead)
}

impl BatchReport {
    /// Reads how a batch stands by what is on disk.
    ///
    /// # Errors
    /// The ledger's.
    pub fn read(ledger: &dyn Payouts, batch: BatchRow) -> Result<Self, LedgerError> {
        let payouts = ledger.payouts(batch.id)?;
        let attempts = ledger.attempts(batch.id)?;
        let attempts = attempts.into_iter().map(Durable::into_inner).collect();
        Ok(Self::new(batch, payouts, attempts))
    }

    /// From a batch's rows.
    pub fn new(batch: BatchRow, payouts: Vec<PayoutRow>, attempts: Vec<AttemptRow>) -> Self {
        let payouts: Vec<_> = group(payouts, attempts)
            .map(|(payout, attempts)| PayoutReport { payout, attempts })
            .collect();
        let mut report = Self {
            batch,
            counts: BatchCounts::default(),
            totals: BTreeMap::new(),
            fee: Sun(0),
            fees_unknown: 0,
            txids: Vec::new(),
            payouts: Vec::new(),
        };
        for payout in &payouts {
            report.counts.payouts += 1;
            match payout.payout.state {
                PayoutState::Planned | PayoutState::InFlight => report.counts.pending += 1,
                PayoutState::Confirmed => report.counts.confirmed += 1,
                PayoutState::Failed => report.counts.failed += 1,
            }
            if payout.payout.state != PayoutState::Failed {
                add(
                    &mut report.totals,
                    payout.payout.token,
                    payout.payout.amount,
                );
            }
            report.txids.extend(payout.current().map(|row| row.txid));
            for attempt in &payout.attempts {
                let fee = attempt.fee.map_or(0, |fee| fee.0);
                report.fee = Sun(report.fee.0.saturating_add(fee));
                let is_over = matches!(attempt.state, AttemptState::Solid | AttemptState::Dead);
                if is_over && attempt.block.is_some() && attempt.fee.is_none() {
                    report.fees_unknown += 1;
                }
            }
        }
        report.payouts = payouts;
        report
    }

    /// Keeps one payout of the batch, with its counts and sums.
    pub fn only(&mut self, payout: PayoutId) {
        let own = self.payouts.iter().find(|row| row.payout.id == payout);
        if let Some(own) = own.cloned() {
            *self = Self::new(self.batch, vec![own.payout], own.attempts);
        }
    }

    /// Whether nothing of it can change any more.
    pub fn is_finished(&self) -> bool {
        self.counts.pending == 0
    }
}

/// Adds to the sum of its token.
fn add(totals: &mut BTreeMap<Token, RawAmount>, token: Token, amount: RawAmount) {
    let total = totals.entry(token).or_insert(RawAmount::ZERO);
    *total = total.checked_add(amount).unwrap_or(RawAmount::MAX);
}

/// The sums of several batches, of each token.
pub fn totals_of(reports: &[BatchReport]) -> BTreeMap<Token, RawAmount> {
    let mut totals = BTreeMap::new();
    for (token, amount) in reports.iter().flat_map(|report| &report.totals) {
        add(&mut totals, *token, *amount);
    }
    totals
}

/// Puts each attempt to its payout; both come in the payouts' order.
pub(super) fn group<T: AsRef<AttemptRow>>(
    payouts: Vec<PayoutRow>,
    attempts: Vec<T>,
) -> impl Iterator<Item = (PayoutRow, Vec<T>)> {
    let mut rest = attempts.into_iter().peekable();
    payouts.into_iter().map(move |payout| {
        let mut own = Vec::new();
        while let Some(attempt) = rest.next_if(|attempt| attempt.as_ref().payout == payout.id) {
            own.push(attempt);
        }
        (payout, own)
    })
}
