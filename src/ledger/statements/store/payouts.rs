//! [`Payouts`] by the statements.

use super::super::{attempts, payouts, transfers};
use super::{Transactions, durable};
use crate::{
    ledger::{
        AccountLease, AttemptRow, BatchCounts, BatchId, BatchRow, Durable, LedgerError, PayoutId,
        PayoutRow, Payouts,
    },
    types::{Address, RawAmount, Sun, Token, TxId},
};

impl<S: Transactions> Payouts for S {
    fn lease_account(&self, account: Address, holder: &str) -> Result<AccountLease, LedgerError> {
        self.take_account(account, holder)
    }

    fn account_holder(&self, account: Address) -> Result<Option<String>, LedgerError> {
        self.who_has(account)
    }

    fn insert_batch(
        &self,
        lease: &AccountLease,
        batch: &BatchRow,
        payouts: &[PayoutRow],
    ) -> Result<Durable<BatchId>, LedgerError> {
        self.write(|tx| {
            payouts::insert_batch(tx, lease, batch, payouts)?;
            Ok(batch.id)
        })
    }

    fn insert_attempts(
        &self,
        lease: &AccountLease,
        attempts: &[AttemptRow],
    ) -> Result<Vec<Durable<AttemptRow>>, LedgerError> {
        self.write(|tx| attempts::insert_attempts(tx, lease, attempts))?;
        Ok(durable(attempts.to_vec()))
    }

    fn bring_back(
        &self,
        lease: &AccountLease,
        signed: &[(TxId, Vec<u8>)],
    ) -> Result<Vec<Durable<AttemptRow>>, LedgerError> {
        self.write(|tx| attempts::bring_back(tx, lease, signed))
            .map(|rows| durable(rows.into_inner()))
    }

    fn mark_sent(
        &self,
        lease: &AccountLease,
        answers: &[(TxId, String)],
    ) -> Result<(), LedgerError> {
        self.write(|tx| attempts::mark_sent(tx, lease, answers))
            .map(Durable::into_inner)
    }

    fn mark_included(
        &self,
        lease: &AccountLease,
        seen: &[(TxId, Option<u64>)],
    ) -> Result<(), LedgerError> {
        self.write(|tx| attempts::mark_included(tx, lease, seen))
            .map(Durable::into_inner)
    }

    fn record_fees(&self, fees: &[(TxId, Sun)]) -> Result<(), LedgerError> {
        self.write(|tx| attempts::record_fees(tx, fees))
            .map(Durable::into_inner)
    }

    fn fail_payout(
        &self,
        lease: &AccountLease,
        payout: PayoutId,
        reason: &str,
    ) -> Result<(), LedgerError> {
        self.write(|tx| payouts::fail(tx, lease, payout, reason))
            .map(Durable::into_inner)
    }

    fn unfinished(&self, payer: Address) -> Result<Vec<BatchRow>, LedgerError> {
        self.read(|tx| payouts::unfinished(tx, payer))
    }

    fn batches(&self, payer: Address, limit: u32) -> Result<Vec<BatchRow>, LedgerError> {
        self.read(|tx| payouts::batches(tx, payer, limit))
    }

    fn batch(&self, batch: BatchId) -> Result<Option<BatchRow>, LedgerError> {
        self.read(|tx| payouts::find_batch(tx, batch))
    }

    fn range_end(
        &self,
        payer: Address,
        payee: Address,
        token: Token,
    ) -> Result<RawAmount, LedgerError> {
        self.read(|tx| transfers::range_end(tx, payer, payee, token))
    }

    fn counts(&self, batch: BatchId) -> Result<BatchCounts, LedgerError> {
        self.read(|tx| payouts::counts(tx, batch))
    }

    fn payouts(&self, batch: BatchId) -> Result<Vec<PayoutRow>, LedgerError> {
        self.read(|tx| payouts::payouts(tx, batch))
    }

    fn payouts_numbered(&self, numbers: &[PayoutId]) -> Result<Vec<PayoutRow>, LedgerError> {
        let numbers = numbers.iter().copied().collect();
        let found = self.read(|tx| payouts::find_payouts(tx, &numbers))?;
        Ok(found.into_values().collect())
    }

    fn attempts(&self, batch: BatchId) -> Result<Vec<Durable<AttemptRow>>, LedgerError> {
        self.read(|tx| attempts::attempts(tx, batch)).map(durable)
    }

    fn live_attempts(&self, account: Address) -> Result<Vec<Durable<AttemptRow>>, LedgerError> {
        self.read(|tx| attempts::live_attempts(tx, account))
            .map(durable)
    }

    fn attempt(&self, txid: TxId) -> Result<Option<Durable<AttemptRow>>, LedgerError> {
        Ok(self
            .read(|tx| attempts::find_attempt(tx, txid))?
            .map(Durable::committed))
    }

    fn attempts_of(&self, txids: &[TxId]) -> Result<Vec<Durable<AttemptRow>>, LedgerError> {
        let txids = txids.iter().copied().collect();
        let found = self.read(|tx| attempts::find_attempts(tx, &txids))?;
        Ok(durable(found.into_values().collect()))
    }
}
