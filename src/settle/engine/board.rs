//! The account's unfinished payouts in memory, as they are on disk: whoever has
//! the account's lease is the only one who changes them, and what was changed
//! is read back before it is acted on.

use std::collections::{BTreeSet, HashMap};

use crate::{
    ledger::{
        AttemptRow, AttemptState, BatchId, Durable, LedgerError, PayoutId, PayoutRow, PayoutState,
        Payouts,
    },
    settle::{
        report::{current, group},
        state::{LivingAttempts, living},
    },
    types::{Address, RawAmount, Token, TxId},
};

/// A payout with its attempts, by ordinal.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) payout: PayoutRow,
    pub(super) attempts: Vec<Durable<AttemptRow>>,
    /// Of a batch that is driven to its end now.
    pub(super) driven: bool,
}

impl Entry {
    pub(super) fn is_open(&self) -> bool {
        self.payout.state.is_open()
    }

    /// The attempt that paid or may pay.
    pub(super) fn current(&self) -> Option<&AttemptRow> {
        current(&self.attempts)
    }
}

/// All of them, in the order they were planned.
#[derive(Debug, Default)]
pub(super) struct Board {
    entries: Vec<Entry>,
    by_payout: HashMap<PayoutId, usize>,
    by_txid: HashMap<TxId, usize>,
    living: LivingAttempts,
    /// The driven payouts that no attempt was made of yet.
    planned: BTreeSet<usize>,
    /// The driven payouts with attempts that have not ended.
    begun: BTreeSet<usize>,
}

impl Board {
    /// Reads every unfinished batch of the account, and those of `driven`.
    pub(super) fn load(
        ledger: &dyn Payouts,
        account: Address,
        driven: &[BatchId],
    ) -> Result<Self, LedgerError> {
        let mut board = Self::default();
        let unfinished = ledger.unfinished(account)?;
        let batches: BTreeSet<_> = unfinished
            .iter()
            .map(|batch| batch.id)
            .chain(driven.iter().copied())
            .collect();
        for batch in batches {
            for (payout, attempts) in group(ledger.payouts(batch)?, ledger.attempts(batch)?) {
                let index = board.entries.len();
                board.by_payout.insert(payout.id, index);
                for attempt in &attempts {
                    board.by_txid.insert(attempt.get().txid, index);
                }
                board
                    .living
                    .extend(living(attempts.iter().map(Durable::get)));
                board.entries.push(Entry {
                    payout,
                    attempts,
                    driven: driven.contains(&batch),
                });
                board.sort_in(index);
            }
        }
        Ok(board)
    }

    /// Puts an entry that is new or was changed where [`planned`](Self::planned) and
    /// [`begun`](Self::begun) find it.
    fn sort_in(&mut self, index: usize) {
        self.planned.remove(&index);
        self.begun.remove(&index);
        match self.entries.get(index) {
            Some(entry) if entry.driven && entry.is_open() => {
                if entry.attempts.is_empty() {
                    self.planned.insert(index);
                } else {
                    self.begun.insert(index);
                }
            }
            _ => {}
        }
    }

    /// The driven payouts that no attempt was made of yet, and their places.
    pub(super) fn planned(&self) -> impl Iterator<Item = (usize, &Entry)> {
        self.at(&self.planned)
    }

    /// The driven payouts with attempts that have not ended, and their places.
    pub(super) fn begun(&self) -> impl Iterator<Item = (usize, &Entry)> {
        self.at(&self.begun)
    }

    fn at<'a>(&'a self, places: &'a BTreeSet<usize>) -> impl Iterator<Item = (usize, &'a Entry)> {
        places
            .iter()
            .filter_map(|index| Some((*index, self.entries.get(*index)?)))
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    pub(super) fn driven(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.driven)
    }

    pub(super) fn get(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index)
    }

    /// The attempt as it is on disk.
    pub(super) fn attempt(&self, txid: TxId) -> Option<&Durable<AttemptRow>> {
        self.entries
            .get(*self.by_txid.get(&txid)?)?
            .attempts
            .iter()
            .find(|attempt| attempt.get().txid == txid)
    }

    /// The attempts that may still pay.
    pub(super) fn living(&self) -> &LivingAttempts {
        &self.living
    }

    /// Whether nothing of ours can be on its way: what is only offered, its holders
    /// send, and then it is waited for like anything of others.
    pub(super) fn is_quiet(&self) -> bool {
        let mut living = self.living.keys().filter_map(|txid| self.attempt(*txid));
        living.all(|attempt| attempt.get().state == AttemptState::Offered)
    }

    /// Σ payouts of the token with an attempt that may still pay.
    pub(super) fn in_flight(&self, token: Token) -> RawAmount {
        let payouts: BTreeSet<_> = self
            .living
            .keys()
            .filter_map(|txid| self.by_txid.get(txid))
            .collect();
        payouts
            .into_iter()
            .filter_map(|index| self.entries.get(*index))
            .filter(|entry| entry.payout.token == token)
            .fold(RawAmount::ZERO, |sum, entry| {
                sum.checked_add(entry.payout.amount)
                    .unwrap_or(RawAmount::MAX)
            })
    }

    /// Puts new attempts, which are on disk, to their payouts.
    pub(super) fn add(&mut self, attempts: &[Durable<AttemptRow>]) {
        for attempt in attempts {
            let row = attempt.get();
            let Some(index) = self.by_payout.get(&row.payout) else {
                continue;
            };
            let Some(entry) = self.entries.get_mut(*index) else {
                continue;
            };
            entry.payout.state = PayoutState::InFlight;
            entry.attempts.push(attempt.clone());
            self.by_txid.insert(row.txid, *index);
            self.living.extend(living([row]));
            self.sort_in(*index);
        }
    }

    /// Reads attempts that were changed.
    pub(super) fn refresh(
        &mut self,
        ledger: &dyn Payouts,
        txids: &[TxId],
    ) -> Result<(), LedgerError> {
        for fresh in ledger.attempts_of(txids)? {
            let txid = fresh.get().txid;
            let Some(index) = self.by_txid.get(&txid).copied() else {
                continue;
            };
            let Some(entry) = self.entries.get_mut(index) else {
                continue;
            };
            if !fresh.get().state.is_live() {
                self.living.remove(&txid);
            }
            if fresh.get().state == AttemptState::Solid {
                entry.payout.state = PayoutState::Confirmed;
            }
            if let Some(old) = entry
                .attempts
                .iter_mut()
                .find(|attempt| attempt.get().txid == txid)
            {
                *old = fresh;
            }
            self.sort_in(index);
        }
        Ok(())
    }

    /// Notes that a payout was given up on disk.
    pub(super) fn failed(&mut self, payout: PayoutId) {
        let Some(index) = self.by_payout.get(&payout).copied() else {
            return;
        };
        if let Some(entry) = self.entries.get_mut(index) {
            entry.payout.state = PayoutState::Failed;
        }
        self.sort_in(index);
    }
}
