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
        "SELECT address, signer, first_block, last_block FROM witness ORDER BY address",
        params![],
    )?;
    let mut all = Vec::new();
    for row in &found {
        all.push(WitnessRow {
            address: rows::address(row, "address")?,
            signer: rows::address(row, "signer")?,
            first_block: rows::unsigned(row, "first_block")?,
            last_block: rows::unsigned(row, "last_block")?,
        });
    }
    Ok(all)
}

/// From how many blocks a new reader learns: none where witnesses are known.
pub(super) fn lessons(tx: &Transaction<'_>) -> Result<u32, LedgerError> {
    let any = tx.exists("SELECT 1 FROM witness LIMIT 1", params![])?;
    Ok(if any { 0 } else { LEARNING })
}

/// Forgets the witnesses that were first seen after this block.
pub(super) fn forget_after(tx: &Transaction<'_>, number: u64) -> Result<(), LedgerError> {
    tx.execute(
        "DELETE FROM witness WHERE first_block > ?1",
        params![int("block", number)?],
    )?;
    Ok(())
}

/// See [`ChainLog::learn_witnesses`](crate::ledger::ChainLog::learn_witnesses).
pub(in crate::ledger) fn learn(
    tx: &Transaction<'_>,
    blocks: &[BlockRow],
) -> Result<usize, LedgerError> {
    if lessons(tx)? == 0 {
        return Ok(0);
    }
    let mut known = Known::load(tx, LEARNING.into())?;
    let mut before: Option<&BlockRow> = None;
    for block in blocks {
        if let Some(before) = before
            && block.parent != before.id
        {
            return Err(LedgerError::NotLinked {
                found: block.id,
                last: before.id,
            });
        }
        known.meet(block);
        before = Some(block);
    }
    known.store(tx)?;
    Ok(known.seen.len())
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

/// So many of TRON's 27 witnesses make a block solid (70 %).
const SOLID_WITNESSES: usize = 19;

/// So many witnesses make a round of blocks.
pub(super) const ROUND: usize = 27;

/// Who is known, while blocks are taken in.
pub(super) struct Known {
    witnesses: BTreeMap<Address, WitnessRow>,
    /// Those who made the blocks taken in.
    seen: BTreeSet<Address>,
    to_learn: u64,
}

impl Known {
    /// `to_learn`: from how many blocks the reader still learns.
    pub(super) fn load(tx: &Transaction<'_>, to_learn: u64) -> Result<Self, LedgerError> {
        Ok(Self {
            witnesses: all(tx)?
                .into_iter()
                .map(|witness| (witness.address, witness))
                .collect(),
            seen: BTreeSet::new(),
            to_learn,
        })
    }

    /// From how many blocks it still learns.
    pub(super) fn to_learn(&self) -> u64 {
        self.to_learn
    }

    /// Whether the block is by a known witness, under the key that is known as its.
    fn is_by_known(&self, block: &BlockRow) -> bool {
        self.witnesses
            .get(&block.witness)
            .is_some_and(|known| known.signer == block.signer)
    }

    /// The blocks up to the last one by a known witness, all of whose witnesses
    /// are known from then on, with the keys that signed.
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
            .filter(|(place, block)| *place < to_learn || self.is_by_known(block))
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
            self.to_learn = self.to_learn.saturating_sub(1);
            self.meet(block);
        }
        Ok(vouched)
    }

    /// The witness of a block that is believed is known from then on.
    fn meet(&mut self, block: &BlockRow) {
        let number = block.id.number();
        let known = self.witnesses.entry(block.witness).or_insert(WitnessRow {
            address: block.witness,
            signer: block.signer,
            first_block: number,
            last_block: number,
        });
        if number >= known.last_block {
            if known.signer != block.signer {
                tracing::warn!(
                    "witness {} signs its blocks with another key now: that of {}, from block \
                     {number} on; before with that of {}",
                    block.witness,
                    block.signer,
                    known.signer
                );
            }
            known.signer = block.signer;
            known.last_block = number;
        }
        known.first_block = known.first_block.min(number);
        self.seen.insert(block.witness);
    }

    /// How many different known witnesses must have signed the blocks at the end of
    /// a gap that is passed over: two of three of those that made the newest blocks,
    /// at most as many as make a block solid.
    pub(super) fn quorum(&self) -> usize {
        let newest = self.witnesses.values().map(|known| known.last_block).max();
        let since = newest.unwrap_or(0).saturating_sub(LEARNING.into());
        let active = self
            .witnesses
            .values()
            .filter(|known| known.last_block >= since)
            .count();
        (active * 2).div_ceil(3).clamp(1, SOLID_WITNESSES)
    }

    /// How many different known witnesses made these blocks.
    pub(super) fn signers_of(&self, blocks: &[BlockRow]) -> usize {
        let known = blocks.iter().filter(|block| self.is_by_known(block));
        known
            .map(|block| block.witness)
            .collect::<BTreeSet<_>>()
            .len()
    }

    pub(super) fn store(&self, tx: &Transaction<'_>) -> Result<(), LedgerError> {
        let mut rows = Vec::with_capacity(self.seen.len());
        for known in self.seen.iter().filter_map(|seen| self.witnesses.get(seen)) {
            rows.push(vec![
                Param::Bytes(Some(known.address.body())),
                Param::Bytes(Some(known.signer.body())),
                Param::Int(Some(int("block", known.first_block)?)),
                Param::Int(Some(int("block", known.last_block)?)),
            ]);
        }
        tx.execute_each(
            "INSERT INTO witness (address, signer, first_block, last_block)
             SELECT r.address, r.signer, r.first_block, r.last_block FROM {rows} WHERE true
             ON CONFLICT (address) DO UPDATE SET signer = excluded.signer,
                 first_block = excluded.first_block, last_block = excluded.last_block",
            &[
                ("address", Kind::Bytes),
                ("signer", Kind::Bytes),
                ("first_block", Kind::Int),
                ("last_block", Kind::Int),
            ],
            &rows,
        )?;
        Ok(())
    }
}
