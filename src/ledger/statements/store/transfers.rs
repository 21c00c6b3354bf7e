//! [`Transfers`] by the statements.

use super::super::{recovery, transfers, watch};
use super::Transactions;
use crate::{
    ledger::{BlockRow, Durable, LedgerError, OutgoingRow, TransferRow, Transfers, WatchRow},
    types::{Address, RawAmount, Token, TokenId, TxId, UnixMs},
};

impl<S: Transactions> Transfers for S {
    fn record_transfer(&self, transfer: &TransferRow) -> Result<Durable<bool>, LedgerError> {
        self.write(|tx| transfers::record(tx, transfer))
    }

    fn transferred_since(
        &self,
        payer: Address,
        payee: Address,
        token: Token,
        since: UnixMs,
    ) -> Result<RawAmount, LedgerError> {
        self.read(|tx| transfers::since(tx, payer, payee, token, since))
    }

    fn transfers(&self, account: Address, limit: u32) -> Result<Vec<TransferRow>, LedgerError> {
        self.read(|tx| transfers::newest(tx, account, limit))
    }

    fn outgoing(
        &self,
        account: Address,
        after: u64,
        limit: u32,
    ) -> Result<Vec<OutgoingRow>, LedgerError> {
        self.read(|tx| transfers::outgoing(tx, account, after, limit))
    }

    fn adopt_transfer(&self, txid: TxId, note: &str) -> Result<Durable<bool>, LedgerError> {
        self.write(|tx| recovery::adopt_transfer(tx, txid, note))
    }

    fn watched(&self, account: Address, token: TokenId) -> Result<Option<WatchRow>, LedgerError> {
        self.read(|tx| watch::find(tx, account, token))
    }

    fn watch_blocks(
        &self,
        account: Address,
        token: TokenId,
        from: u64,
        blocks: &[BlockRow],
    ) -> Result<Durable<Option<WatchRow>>, LedgerError> {
        self.write(|tx| watch::take_in(tx, account, token, from, blocks))
    }
}
