//! The witnesses that made the solid blocks read so far. A node can invent a
//! chain, but not the signatures of witnesses that are known.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    leases::fenced,
    rows::{self, int},
};
use crate::{
    ledger::{
        AccountLease, BlockRow, LEARNING, LedgerError, WitnessRow,
        sql::{Kind, Param, Transaction, params},
    },
    types::Address,
};

pub(in crate::ledger) fn all(tx: &Transaction<'_>) -> Result<Vec<WitnessRow>, LedgerError> {
    let found = tx.query(
        "SELECT address, last_block FROM witness ORDER BY address",
        params![],
    )?;
    let mut all = Vec::new();
    for row in &found {
        all.push(WitnessRow {
            address: rows::address(row, "address")?,
            last_block: rows::unsigned(row, "last_block")?,
        });
    }
    Ok(all)
}

pub(in crate::ledger) fn trust(
    tx: &Transaction<'_>,
    lease: &AccountLease,
) -> Result<(), LedgerError> {
    fenced(tx, lease)?;
    tx.execute(
        "UPDATE account SET to_learn = ?2 WHERE account = ?1",
        params![lease.account.body(), LEARNING],
    )?;
    Ok(())
}

/// Who is known, while blocks are taken in.
pub(super) struct Known {
    witnesses: BTreeMap<Address, u64>,
    /// Those who made the blocks taken in.
    seen: BTreeSet<Address>,
    account: Address,
    to_learn: u64,
    learning: bool,
}

impl Known {
    pub(super) fn load(tx: &Transaction<'_>, account: Address) -> Result<Self, LedgerError> {
        let to_learn = tx.query(
            "SELECT to_learn FROM account WHERE account = ?1",
            params![account.body()],
        )?;
        let row = to_learn.first().ok_or(LedgerError::NotBound(account))?;
        Ok(Self {
            witnesses: all(tx)?
                .into_iter()
                .map(|witness| (witness.address, witness.last_block))
                .collect(),
            seen: BTreeSet::new(),
            account,
            to_learn: rows::unsigned(row, "to_learn")?,
            learning: false,
        })
    }

    /// The blocks up to the last one by a known witness, all of whose witnesses
    /// are known from then on.
    ///
    /// # Errors
    /// `Strangers` when that is none of them.
    pub(super) fn vouched<'b>(
        &mut self,
        blocks: &'b [BlockRow],
    ) -> Result<&'b [BlockRow], LedgerError> {
        let to_learn = usize::try_from(self.to_learn).unwrap_or(usize::MAX);
        let upto = (0..)
            .zip(blocks)
            .filter(|(place, block)| {
                *place < to_learn || self.witnesses.contains_key(&block.witness)
            })
            .map(|(place, _)| place + 1)
            .last()
            .unwrap_or(0);
        let vouched = blocks.get(..upto).unwrap_or_default();
        if let (None, Some(block)) = (vouched.first(), blocks.first()) {
            return Err(LedgerError::Strangers {
                block: block.id,
                witness: block.witness,
            });
        }
        for block in vouched {
            self.learning |= self.to_learn > 0;
            self.to_learn = self.to_learn.saturating_sub(1);
            self.seen.insert(block.witness);
            let last = self.witnesses.entry(block.witness).or_default();
            *last = block.id.number().max(*last);
        }
        Ok(vouched)
    }

    pub(super) fn store(&self, tx: &Transaction<'_>) -> Result<(), LedgerError> {
        if self.learning {
            tx.execute(
                "UPDATE account SET to_learn = ?2 WHERE account = ?1",
                params![self.account.body(), int("to_learn", self.to_learn)?],
            )?;
        }
        let mut rows = Vec::with_capacity(self.seen.len());
        for witness in &self.seen {
            let last_block = self.witnesses.get(witness).unwrap_or(&0);
            rows.push(vec![
                Param::Bytes(Some(witness.body())),
                Param::Int(Some(int("block", *last_block)?)),
            ]);
        }
        tx.execute_each(
            "INSERT INTO witness (address, last_block)
             SELECT r.address, r.last_block FROM {rows} WHERE true
             ON CONFLICT (address) DO UPDATE SET last_block = excluded.last_block",
            &[("address", Kind::Bytes), ("last_block", Kind::Int)],
            &rows,
        )?;
        Ok(())
    }
}
