//! What is remembered of other parties, by the trait's names.

use super::{
    Transactions, flows, grants, receipts,
    rows::{self, int, unsigned},
    standing, transfers,
};
use crate::{
    ledger::{
        Durable, Equivocation, FlowKind, FlowRow, GrantMarks, GrantRow, GrantUse, LedgerError,
        PartyStore, RevocationRow, Standing, TransferRow, WatchRow,
        sql::{Transaction, params},
    },
    types::{Address, RawAmount, Salt, TokenId, UnixMs},
};

impl<S: Transactions> PartyStore for S {
    fn store_grant(&self, grant: &GrantRow) -> Result<Durable<()>, LedgerError> {
        self.write(|tx| grants::store(tx, grant))
    }

    fn grant(&self, hash: Salt) -> Result<Option<GrantRow>, LedgerError> {
        self.read(|tx| grants::find(tx, hash))
    }

    fn grants(&self, payer: Address) -> Result<Vec<GrantUse>, LedgerError> {
        self.read(|tx| grants::list(tx, payer))
    }

    fn grant_marks(&self, payer: Address, signer: Address) -> Result<GrantMarks, LedgerError> {
        self.read(|tx| grants::marks(tx, payer, signer))
    }

    fn store_revocation(&self, revocation: &RevocationRow) -> Result<Durable<()>, LedgerError> {
        self.write(|tx| grants::store_revocation(tx, revocation))
    }

    fn revocations(&self, payer: Address) -> Result<Vec<RevocationRow>, LedgerError> {
        self.read(|tx| grants::revocations(tx, payer))
    }

    fn standing(&self, address: Address, token: TokenId) -> Result<Standing, LedgerError> {
        self.read(|tx| standing::find(tx, address, token))
    }

    fn standings(&self, token: TokenId) -> Result<Vec<Standing>, LedgerError> {
        self.read(|tx| standing::list(tx, token))
    }

    fn note_default(
        &self,
        address: Address,
        token: TokenId,
        amount: RawAmount,
        at: UnixMs,
    ) -> Result<Durable<Standing>, LedgerError> {
        self.write(|tx| standing::note_default(tx, address, token, amount, at))
    }

    fn ban(
        &self,
        address: Address,
        token: TokenId,
        reason: &str,
        at: UnixMs,
    ) -> Result<Durable<Standing>, LedgerError> {
        self.write(|tx| standing::ban(tx, address, token, reason, at))
    }

    fn forgive(&self, address: Address, token: TokenId) -> Result<Durable<Standing>, LedgerError> {
        self.write(|tx| standing::forgive(tx, address, token))
    }

    fn all_equivocations(&self) -> Result<Vec<Equivocation>, LedgerError> {
        self.read(receipts::all_equivocations)
    }

    fn flows(
        &self,
        account: Address,
        token: TokenId,
        kind: FlowKind,
    ) -> Result<Vec<FlowRow>, LedgerError> {
        self.read(|tx| flows::list(tx, account, token, kind))
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
