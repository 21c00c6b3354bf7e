//! [`ChainLog`] by the statements.

use super::super::{chain, recovery, trail, witnesses};
use super::Transactions;
use crate::{
    ledger::{
        AccountLease, BlockRow, ChainLog, CursorRow, Durable, LedgerError, Recovery, TrailRow,
        TransferRow, WitnessRow,
    },
    types::{Address, BlockId, UnixMs},
};

impl<S: Transactions> ChainLog for S {
    fn bind_account(
        &self,
        lease: &AccountLease,
        block: BlockId,
        time: UnixMs,
    ) -> Result<Durable<CursorRow>, LedgerError> {
        self.write(|tx| chain::bind(tx, lease, block, time))
    }

    fn cursor(&self, account: Address) -> Result<Option<CursorRow>, LedgerError> {
        self.read(|tx| chain::cursor(tx, account))
    }

    fn apply_blocks(
        &self,
        lease: &AccountLease,
        blocks: &[BlockRow],
    ) -> Result<Durable<CursorRow>, LedgerError> {
        self.write(|tx| chain::apply(tx, lease, blocks))
    }

    fn skip_to(
        &self,
        lease: &AccountLease,
        headers: &[BlockRow],
    ) -> Result<Durable<CursorRow>, LedgerError> {
        self.write(|tx| chain::skip_to(tx, lease, headers))
    }

    fn trail(&self, account: Address) -> Result<Vec<TrailRow>, LedgerError> {
        self.read(|tx| trail::all(tx, account))
    }

    fn step_back(
        &self,
        lease: &AccountLease,
        to: TrailRow,
        following: &[BlockRow],
    ) -> Result<Durable<Option<CursorRow>>, LedgerError> {
        self.write(|tx| trail::step_back(tx, lease, to, following))
    }

    fn extend_history(
        &self,
        lease: &AccountLease,
        first: u64,
        transfers: &[TransferRow],
    ) -> Result<Durable<CursorRow>, LedgerError> {
        self.write(|tx| chain::extend_history(tx, lease, first, transfers))
    }

    fn recovery(&self, account: Address) -> Result<Recovery, LedgerError> {
        self.read(|tx| recovery::state(tx, account))
    }

    fn mark_restored(&self) -> Result<(), LedgerError> {
        self.write(recovery::mark).map(Durable::into_inner)
    }

    fn begin_recovery(
        &self,
        lease: &AccountLease,
        at: UnixMs,
    ) -> Result<Durable<UnixMs>, LedgerError> {
        self.write(|tx| recovery::begin(tx, lease, at))
    }

    fn end_recovery(&self, lease: &AccountLease) -> Result<(), LedgerError> {
        self.write(|tx| recovery::end(tx, lease))
            .map(Durable::into_inner)
    }

    fn witnesses(&self) -> Result<Vec<WitnessRow>, LedgerError> {
        self.read(witnesses::all)
    }

    fn learn_witnesses(&self, blocks: &[BlockRow]) -> Result<Durable<usize>, LedgerError> {
        self.write(|tx| witnesses::learn(tx, blocks))
    }

    fn trust_witnesses(&self, lease: &AccountLease) -> Result<(), LedgerError> {
        self.write(|tx| witnesses::trust(tx, lease))
            .map(Durable::into_inner)
    }
}
