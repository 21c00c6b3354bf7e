//! [`Transfers`] by the statements.

use super::super::{
    recovery,
    rows::{self, int, unsigned},
    transfers,
};
use super::Transactions;
use crate::{
    ledger::{
        Durable, LedgerError, OutgoingRow, TransferRow, Transfers, WatchRow,
        sql::{Transaction, params},
    },
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
        self.read(|tx| watched(tx, account, token))
    }

    fn note_watched(
        &self,
        watch: &WatchRow,
        found: &[TransferRow],
    ) -> Result<Durable<u64>, LedgerError> {
        self.write(|tx| {
            let mut new = 0;
            for transfer in found {
                new += u64::from(transfers::record(tx, transfer)?);
            }
            tx.execute(
                "INSERT INTO watch (account, token, scanned_from, last) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (account, token) DO UPDATE SET
                     scanned_from = excluded.scanned_from, last = excluded.last",
                params![
                    watch.account.body(),
                    watch.token.get(),
                    int("block", watch.from)?,
                    watch.last.as_bytes()
                ],
            )?;
            Ok(new)
        })
    }
}

fn watched(
    tx: &Transaction<'_>,
    account: Address,
    token: TokenId,
) -> Result<Option<WatchRow>, LedgerError> {
    let found = tx.query(
        "SELECT * FROM watch WHERE account = ?1 AND token = ?2",
        params![account.body(), token.get()],
    )?;
    found
        .first()
        .map(|row| {
            Ok(WatchRow {
                account,
                token,
                from: unsigned(row, "scanned_from")?,
                last: rows::block_id(row, "last")?,
            })
        })
        .transpose()
}
