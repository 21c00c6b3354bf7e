//! [`Parties`] by the statements.

use super::super::{flows, grants, standing};
use super::Transactions;
use crate::{
    ledger::{
        Durable, FlowKind, FlowRow, GrantMarks, GrantRow, GrantUse, LedgerError, Parties,
        RevocationRow, Standing,
    },
    types::{Address, RawAmount, Salt, TokenId, UnixMs},
};

impl<S: Transactions> Parties for S {
    fn store_grant(&self, grant: &GrantRow, now_secs: u64) -> Result<Durable<()>, LedgerError> {
        self.write(|tx| grants::store(tx, grant, now_secs))
    }

    fn store_renewal(
        &self,
        grant: &GrantRow,
        renews: Salt,
        now_secs: u64,
    ) -> Result<Durable<()>, LedgerError> {
        self.write(|tx| grants::store_renewal(tx, grant, renews, now_secs))
    }

    fn grant_left(&self, hash: Salt, payee: Option<Address>) -> Result<RawAmount, LedgerError> {
        self.read(|tx| grants::left(tx, hash, payee))
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

    fn store_revocation(
        &self,
        revocation: &RevocationRow,
        now_secs: u64,
    ) -> Result<Durable<()>, LedgerError> {
        self.write(|tx| grants::store_revocation(tx, revocation, now_secs))
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

    fn note_written_off(
        &self,
        address: Address,
        token: TokenId,
        amount: RawAmount,
    ) -> Result<Durable<Standing>, LedgerError> {
        self.write(|tx| standing::note_written_off(tx, address, token, amount))
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

    fn flows(
        &self,
        account: Address,
        token: TokenId,
        kind: FlowKind,
    ) -> Result<Vec<FlowRow>, LedgerError> {
        self.read(|tx| flows::list(tx, account, token, kind))
    }
}
