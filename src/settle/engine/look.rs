//! Reading the chain: up to its solid head, and whether the ledger knows all
//! that the account did.

use std::collections::BTreeMap;

use super::{Engine, LIFETIME, LOOK_EVERY, PATIENCE, SettleError};
use crate::{
    ledger::{AccountLease, AttemptEnd, BlockRow, CursorRow, Durable, LedgerError, TransferRow},
    settle::{
        chain::Chain,
        report::Event,
        state::{living, read_block, transfer_of},
    },
    tron::{block::Block, rpc::Finality},
    types::TxId,
};

/// A gap of more blocks than this is not read when the account was quiet: an
/// hour of the chain.
const LONG_GAP: u64 = 1200;

/// How many looks a foreign use of the account may last: ten minutes.
const FOREIGN_LOOKS: u32 = 1200;

impl<C: Chain> Engine<'_, C> {
    /// Reads solid blocks until there are no more, binding the account at the
    /// solid head the first time.
    pub(super) async fn catch_up(&self, lease: &AccountLease) -> Result<CursorRow, SettleError> {
        let mut cursor = match self.ledger.cursor(self.account)? {
            Some(cursor) => self.skip_quiet(lease, cursor).await?,
            None => {
                let head = self.patiently(|| self.chain.solid_head()).await?;
                self.ledger
                    .bind_account(lease, head.id, head.time)?
                    .into_inner()
            }
        };
        let mut strays = 0;
        loop {
            let first = cursor.last.number().saturating_add(1);
            let blocks = self.patiently(|| self.chain.solid_blocks(first)).await?;
            if blocks.is_empty() {
                return Ok(cursor);
            }
            match self.take_in(lease, &blocks) {
                Ok(moved) => {
                    cursor = moved;
                    strays = 0;
                }
                // A node on a fork, or not solid where it says so: another may
                // answer next time. Nothing of it was taken in.
                Err(SettleError::Ledger(error @ LedgerError::NotLinked { .. })) => {
                    strays += 1;
                    if strays >= PATIENCE {
                        return Err(error.into());
                    }
                    self.tell(Event::Waiting(error.to_string()));
                    self.chain.pause(LOOK_EVERY).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Applies blocks and tells what they ended.
    fn take_in(&self, lease: &AccountLease, blocks: &[Block]) -> Result<CursorRow, SettleError> {
        let attempts = self.ledger.live_attempts(self.account)?;
        let mut living = living(attempts.iter().map(Durable::get));
        let rows: Vec<BlockRow> = blocks
            .iter()
            .map(|block| read_block(block, self.account, &mut living))
            .collect();
        let cursor = self.ledger.apply_blocks(lease, &rows)?.into_inner();
        for row in &rows {
            for end in &row.ends {
                self.tell(match end {
                    AttemptEnd::Solid(txid) => Event::Solid(*txid, row.id.number()),
                    AttemptEnd::IncludedFailed(txid) | AttemptEnd::Expired(txid) => {
                        Event::Dead(*txid)
                    }
                });
            }
        }
        Ok(cursor)
    }

    /// Passes over a long gap in which the account did nothing: no attempt of
    /// ours can be in it, and what others paid us is counted when they say so.
    async fn skip_quiet(
        &self,
        lease: &AccountLease,
        cursor: CursorRow,
    ) -> Result<CursorRow, SettleError> {
        let head = self.patiently(|| self.chain.solid_head()).await?;
        if head.id.number().saturating_sub(cursor.last.number()) <= LONG_GAP
            || !self.ledger.live_attempts(self.account)?.is_empty()
        {
            return Ok(cursor);
        }
        let account = self
            .patiently(|| self.chain.account(Finality::Solid, self.account))
            .await?;
        // An operation is stamped with its block's parent's time.
        let quiet = account.is_none_or(|account| account.latest_operation < cursor.last_time);
        if quiet {
            Ok(self.ledger.skip_to(lease, head.id, head.time)?.into_inner())
        } else {
            Ok(cursor)
        }
    }

    /// Returns once the ledger knows everything that the account did, and
    /// nothing that another holder of its key signed can still happen unseen.
    pub(super) async fn fresh(&self, lease: &AccountLease) -> Result<CursorRow, SettleError> {
        for _ in 0..FOREIGN_LOOKS {
            let cursor = self.catch_up(lease).await?;
            match self.foreign(&cursor).await? {
                None => return Ok(cursor),
                Some(why) => self.tell(Event::Waiting(why)),
            }
            self.chain.pause(LOOK_EVERY).await;
        }
        Err(SettleError::UsedElsewhere {
            account: self.account,
        })
    }

    /// Why nothing may be signed yet.
    async fn foreign(&self, cursor: &CursorRow) -> Result<Option<String>, SettleError> {
        let account = self.account;
        let solid = self
            .patiently(|| self.chain.account(Finality::Solid, account))
            .await?;
        if solid.is_some_and(|solid| solid.latest_operation >= cursor.last_time) {
            return Ok(Some(format!("{account} acted in a block not read yet")));
        }
        if self.ledger.live_attempts(account)?.is_empty() {
            let head = self
                .patiently(|| self.chain.account(Finality::Head, account))
                .await?;
            if head.is_some_and(|head| head.latest_operation >= cursor.last_time) {
                return Ok(Some(format!(
                    "{account} did something that is not solid yet and not from this ledger"
                )));
            }
        }
        let newest = self
            .ledger
            .outgoing(account, cursor.bound.number(), 1000)?
            .into_iter()
            .find(|row| !row.ours);
        if let Some(newest) = newest
            && newest.transfer.block_time.plus(LIFETIME) > cursor.last_time
        {
            return Ok(Some(format!(
                "{account} made transfer {} outside this ledger a moment ago: waiting until \
                 nothing else signed elsewhere can still happen",
                newest.transfer.txid
            )));
        }
        Ok(None)
    }

    /// Every transfer from the account on the solid chain after its bound
    /// block, up to the cursor.
    pub(super) async fn outgoing_on_chain(
        &self,
        cursor: &CursorRow,
    ) -> Result<BTreeMap<TxId, TransferRow>, SettleError> {
        let mut seen = BTreeMap::new();
        let mut parent = cursor.bound;
        let end = cursor.last.number();
        while parent.number() < end {
            let first = parent.number().saturating_add(1);
            let blocks = self.patiently(|| self.chain.solid_blocks(first)).await?;
            if blocks.is_empty() {
                self.chain.pause(LOOK_EVERY).await;
            }
            for block in &blocks {
                if block.header.parent_hash != parent {
                    return Err(LedgerError::NotLinked {
                        found: block.id(),
                        last: parent,
                    }
                    .into());
                }
                parent = block.id();
                if parent.number() > end {
                    break;
                }
                let own = block
                    .transactions
                    .iter()
                    .filter_map(|transaction| transfer_of(block, transaction))
                    .filter(|transfer| transfer.payer == self.account);
                seen.extend(own.map(|transfer| (transfer.txid, transfer)));
            }
        }
        Ok(seen)
    }
}
