//! [`Receipts`] by the statements.

use super::super::{epochs, evidence, grants, positions, receipts, recovery};
use super::{Transactions, durable, is_held};
use crate::{
    ledger::{
        Adopted, Arrived, Durable, EpochId, EpochLease, Equivocation, LedgerError, Origin, Pair,
        Position, ReceiptEntry, ReceiptFilter, ReceiptKind, ReceiptRow, Receipts, Recovery,
        Remainder, Stored,
    },
    types::{Address, RawAmount, Salt, TokenId},
};

impl<S: Transactions> Receipts for S {
    fn claim_epoch_under(
        &self,
        pair: &Pair,
        since_block: u64,
        grant: Salt,
    ) -> Result<EpochLease, LedgerError> {
        self.announce()?;
        let lease = self.write(|tx| {
            if recovery::state(tx, pair.payer)? != Recovery::Current {
                return Err(LedgerError::Restored(pair.payer));
            }
            let (mut free, mut open) = (None, 0);
            for own in epochs::open_epochs(tx, pair)? {
                if free.is_some() || is_held(self, tx, &own)? {
                    open += 1;
                    continue;
                }
                let last = receipts::newest(tx, ReceiptKind::Issued, pair, own.epoch)?;
                if last.is_some_and(|last| last.grant != grant) {
                    epochs::close(tx, pair, own.epoch)?;
                } else {
                    open += 1;
                    free = Some((own, last));
                }
            }
            let (epoch, since_block, remainder, last) = match free {
                Some((own, last)) => {
                    epochs::hold(tx, pair, own.epoch, self.worker())?;
                    (own.epoch, own.since_block, own.remainder, last)
                }
                None => (
                    epochs::open_epoch(tx, pair, since_block, self.worker(), open)?,
                    since_block,
                    Remainder::default(),
                    None,
                ),
            };
            // Before the commit, so that no other thread of ours takes it.
            let guard = self.held().hold(epoch);
            Ok(EpochLease {
                pair: *pair,
                epoch,
                since_block,
                last,
                remainder,
                _guard: Box::new(guard),
            })
        })?;
        Ok(lease.into_inner())
    }

    fn issue_for(
        &self,
        lease: &EpochLease,
        receipt: &ReceiptRow,
        remainder: Remainder,
        ceiling: Option<RawAmount>,
        origin: &Origin,
    ) -> Result<Durable<ReceiptRow>, LedgerError> {
        if receipt.pair != lease.pair || receipt.epoch != lease.epoch {
            return Err(LedgerError::Sequence {
                epoch: receipt.epoch,
                sequence: receipt.sequence,
                reason: "the lease is of another epoch",
            });
        }
        self.write(|tx| {
            receipts::issue(tx, receipt, self.worker(), remainder, ceiling, origin)?;
            Ok(*receipt)
        })
    }

    fn issued_of(&self, pairs: &[Pair]) -> Result<Vec<Durable<ReceiptRow>>, LedgerError> {
        self.read(|tx| receipts::all_newest(tx, ReceiptKind::Issued, pairs))
            .map(durable)
    }

    fn reserved(&self, payer: Address, token: TokenId) -> Result<RawAmount, LedgerError> {
        self.read(|tx| positions::reserved(tx, payer, token))
    }

    fn store_received_for(
        &self,
        receipt: &ReceiptRow,
        origin: &Origin,
    ) -> Result<Durable<Stored>, LedgerError> {
        self.write(|tx| receipts::store_received(tx, receipt, origin))
    }

    fn store_arrived(
        &self,
        arrived: &[Arrived],
        now_secs: u64,
    ) -> Result<Durable<Vec<Stored>>, LedgerError> {
        self.write(|tx| {
            let each = arrived.iter().map(|one| {
                if let Some(grant) = &one.grant {
                    grants::store(tx, grant, now_secs)?;
                }
                receipts::store_received(tx, &one.receipt, &one.origin)
            });
            each.collect()
        })
    }

    fn store_received_all(&self, all: &[ReceiptRow]) -> Result<Durable<Vec<Stored>>, LedgerError> {
        self.write(|tx| receipts::store_received_all(tx, all))
    }

    fn received(&self, pair: &Pair) -> Result<Vec<Durable<ReceiptRow>>, LedgerError> {
        self.read(|tx| receipts::all_newest(tx, ReceiptKind::Received, &[*pair]))
            .map(durable)
    }

    fn equivocations(&self, pair: &Pair) -> Result<Vec<Equivocation>, LedgerError> {
        self.read(|tx| evidence::equivocations(tx, pair))
    }

    fn all_equivocations(&self) -> Result<Vec<Equivocation>, LedgerError> {
        self.read(evidence::all_equivocations)
    }

    fn store_evidence(&self, all: &[ReceiptRow]) -> Result<Durable<Vec<Stored>>, LedgerError> {
        self.write(|tx| {
            all.iter()
                .map(|receipt| evidence::store_evidence(tx, receipt))
                .collect()
        })
    }

    fn adopt(&self, epochs: &[(Pair, EpochId)]) -> Result<Durable<Adopted>, LedgerError> {
        self.write(|tx| evidence::adopt(tx, epochs, |own| is_held(self, tx, own)))
    }

    fn receipts(
        &self,
        filter: &ReceiptFilter,
        after: Option<&ReceiptEntry>,
        limit: u32,
    ) -> Result<Vec<ReceiptEntry>, LedgerError> {
        self.read(|tx| positions::list(tx, filter, after, limit))
    }

    fn position(&self, pair: &Pair) -> Result<Position, LedgerError> {
        self.read(|tx| positions::position(tx, pair))
    }

    fn positions(&self, payer: Address, token: TokenId) -> Result<Vec<Position>, LedgerError> {
        self.read(|tx| positions::positions(tx, payer, token))
    }

    fn issued_since(&self, payer: Address) -> Result<Option<u64>, LedgerError> {
        self.read(|tx| positions::issued_since(tx, payer))
    }
}
