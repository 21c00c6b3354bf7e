//! [`Orders`] by the statements.

use super::super::orders;
use super::Transactions;
use crate::{
    ledger::{
        AccountLease, Durable, LedgerError, OrderKey, Orders, PastPayment, PayoutId, TransferRow,
        Wanted,
    },
    types::{Address, TxId, UnixMs},
};

impl<S: Transactions> Orders for S {
    fn past_payments(
        &self,
        payer: Address,
        wanted: &[Wanted],
        since: UnixMs,
    ) -> Result<Vec<PastPayment>, LedgerError> {
        let wanted = wanted.iter().copied().collect();
        self.read(|tx| orders::past_payments(tx, payer, &wanted, since))
    }

    fn adopted_as(
        &self,
        payer: Address,
        keys: &[OrderKey],
    ) -> Result<Vec<(OrderKey, TransferRow)>, LedgerError> {
        let keys = keys.iter().copied().collect();
        self.read(|tx| orders::adopted_as(tx, payer, &keys))
    }

    fn adopt_as(
        &self,
        txid: TxId,
        key: &OrderKey,
        note: &str,
    ) -> Result<Durable<bool>, LedgerError> {
        self.write(|tx| orders::adopt_as(tx, txid, key, note))
    }

    fn fail_payouts(
        &self,
        lease: &AccountLease,
        payouts: &[(PayoutId, String)],
    ) -> Result<(), LedgerError> {
        self.write(|tx| orders::fail_all(tx, lease, payouts))
            .map(Durable::into_inner)
    }

    fn unpriced(&self, payer: Address, limit: u32) -> Result<Vec<(u64, TxId)>, LedgerError> {
        self.read(|tx| orders::unpriced(tx, payer, limit))
    }

    fn transfers_of(&self, txids: &[TxId]) -> Result<Vec<TransferRow>, LedgerError> {
        let txids = txids.iter().copied().collect();
        self.read(|tx| orders::transfers_of(tx, &txids))
    }
}
