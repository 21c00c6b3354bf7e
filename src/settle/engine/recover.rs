//! A ledger that may be behind what its account has signed: a backup, a copied
//! home, a machine that was set back.

use std::time::Duration;

use super::{
    Engine, LIFETIME, LOOK_EVERY, OFFER_LIFETIME, SLOWEST_SIGNER, SettleError, board::Board,
    look::FOREIGN_LOOKS,
};
use crate::{
    ledger::{AccountLease, CursorRow, LEARNING, Pair, Recovery, TrailRow, TransferRow},
    settle::{
        chain::Chain,
        report::{Event, RESTORED},
        state::{LivingAttempts, read_block},
    },
    types::{BlockId, Token, UnixMs},
};

/// How a recovery stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecoverReport {
    /// Whether the account may sign again.
    pub done: bool,
    /// How many payouts were given up, to be planned anew by what is owed now.
    pub given_up: usize,
    /// Transfers made outside of this ledger that pay what its receipts say.
    pub matched: Vec<TransferRow>,
    /// Transfers that no receipt of this ledger explains: the user must say that
    /// he knows them before anything is signed.
    pub unassigned: Vec<TransferRow>,
}

impl<C: Chain> Engine<'_, C> {
    /// Brings the account of a restored ledger back: waits until nothing that was
    /// signed elsewhere can still happen, gives up what was planned, and matches
    /// the transfers that were made since. Signs nothing. With `trust_witnesses`,
    /// believes the witnesses of the blocks that come next, which all nodes must hold.
    ///
    /// # Errors
    /// See [`SettleError`]; `UsedElsewhere` while another program goes on using
    /// the account. Running it again goes on.
    pub async fn recover(&self, trust_witnesses: bool) -> Result<RecoverReport, SettleError> {
        self.same_chain().await?;
        let lease = self.ledger.lease_account(self.account, self.holder)?;
        if trust_witnesses {
            self.agree_on_next().await?;
            self.ledger.trust_witnesses(&lease)?;
        }
        self.go_back(&lease).await?;
        self.catch_up(&lease).await?;
        if self.ledger.recovery(self.account)? == Recovery::Current {
            return Ok(RecoverReport {
                done: true,
                ..RecoverReport::default()
            });
        }
        // The original may have signed until now, by the head's time.
        let head = self.patiently(|| self.chain.head()).await?;
        let began = self.ledger.begin_recovery(&lease, head.time)?.into_inner();
        let mut board = Board::load(self.ledger, self.account, &[])?;
        self.outlive(&lease, &mut board, began).await?;
        self.know_history(&lease).await?;

        let mut report = RecoverReport::default();
        let open: Vec<_> = board
            .entries()
            .filter(|entry| entry.is_open())
            .map(|entry| (entry.payout.id, RESTORED.to_owned()))
            .collect();
        self.give_up(&lease, &mut board, &open)?;
        report.given_up = open.len();
        self.match_foreign(&mut report)?;
        if report.unassigned.is_empty() {
            self.ledger.end_recovery(&lease)?;
            report.done = true;
        }
        Ok(report)
    }

    /// Where there are several nodes, they must hold the same blocks as those whose
    /// witnesses are going to be believed.
    async fn agree_on_next(&self) -> Result<(), SettleError> {
        let Some(cursor) = self.ledger.cursor(self.account)? else {
            return Ok(());
        };
        let head = self.patiently(|| self.chain.solid_head()).await?;
        let last = cursor.last.number().saturating_add(LEARNING.into());
        if head.id.number() <= cursor.last.number() {
            return Ok(());
        }
        let blocks = self.blocks_there(last.min(head.id.number())).await?;
        if let Some(block) = blocks.first() {
            let id = block.id();
            self.patiently(|| self.chain.agree_on(id)).await?;
        }
        Ok(())
    }

    /// Goes back to the newest block that was read and is in the nodes' chain, if the
    /// newest one that was read is not.
    async fn go_back(&self, lease: &AccountLease) -> Result<(), SettleError> {
        let trail = self.ledger.trail(self.account)?;
        let Some(newest) = trail.first() else {
            return Ok(());
        };
        let head = self.patiently(|| self.chain.solid_head()).await?;
        if head.id.number() < newest.block.number() && trail.len() > 1 {
            // A node that lags contradicts nothing: ask about what it can have.
            let within = trail
                .iter()
                .find(|row| row.block.number() <= head.id.number());
            if let Some(row) = within
                && self.holds(row.block).await?
            {
                return Ok(());
            }
        }
        // A block's parents are in its chain: the older ones of the trail are held,
        // the newer ones are not.
        let (mut not_held, mut held) = (0, trail.len());
        if head.id.number() >= newest.block.number() && self.holds(newest.block).await? {
            return Ok(());
        }
        while not_held + 1 < held {
            let middle = not_held + (held - not_held) / 2;
            let row = trail.get(middle).copied().unwrap_or(*newest);
            let is_held = row.block.number() <= head.id.number() && self.holds(row.block).await?;
            if is_held {
                held = middle;
            } else {
                not_held = middle;
            }
        }
        let to = match trail.get(held) {
            Some(row) => *row,
            // None of them: to where the reading began, in the chain as it is.
            None => {
                let oldest = trail.last().map_or(0, |row| row.block.number());
                let number = oldest.saturating_sub(1).min(head.id.number());
                let blocks = self.blocks_there(number).await?;
                let block = blocks.first().ok_or(SettleError::NoBlocks(number))?;
                TrailRow {
                    block: block.id(),
                    time: block.header.timestamp,
                }
            }
        };
        let next = to.block.number().saturating_add(1);
        let blocks = self.blocks_there(next).await?;
        let following: Vec<_> = blocks
            .iter()
            .map(|block| read_block(block, self.account, &mut LivingAttempts::new()))
            .collect();
        self.ledger.step_back(lease, to, &following)?;
        self.tell(Event::WentBack {
            from: newest.block,
            to: to.block,
        });
        Ok(())
    }

    /// Whether the chain holds this block.
    async fn holds(&self, block: BlockId) -> Result<bool, SettleError> {
        let blocks = self.blocks_there(block.number()).await?;
        Ok(blocks.first().is_some_and(|found| found.id() == block))
    }

    /// How long something may still happen that was signed, or offered to be signed,
    /// with another copy of the ledger.
    async fn longest_life(&self) -> Result<Duration, SettleError> {
        let shared = self.permissions().await?.is_shared(self.account);
        Ok(if shared {
            OFFER_LIFETIME
        } else {
            LIFETIME + SLOWEST_SIGNER
        })
    }

    /// Reads the chain until every attempt signed before `began`, here or
    /// elsewhere, has ended.
    async fn outlive(
        &self,
        lease: &AccountLease,
        board: &mut Board,
        began: UnixMs,
    ) -> Result<(), SettleError> {
        let life = self.longest_life().await?;
        // As many looks as it lasts, and those that a foreign use may last.
        let waiting = life.as_millis() / LOOK_EVERY.as_millis();
        for _ in 0..waiting.saturating_add(FOREIGN_LOOKS.into()) {
            let cursor = self.read_on(lease, Some(board)).await?;
            let last = latest(&cursor, began).plus(life);
            if last <= cursor.last_time && board.living().is_empty() {
                return Ok(());
            }
            let why = "transactions that were signed elsewhere may still happen".to_owned();
            self.tell(Event::WaitingFor(last.since(cursor.last_time), why));
            self.chain.pause(LOOK_EVERY).await;
        }
        Err(SettleError::UsedElsewhere {
            account: self.account,
        })
    }

    /// A transfer whose payee was paid no more than our receipts say pays them.
    fn match_foreign(&self, report: &mut RecoverReport) -> Result<(), SettleError> {
        let Some(cursor) = self.ledger.cursor(self.account)? else {
            return Ok(());
        };
        let outgoing = self
            .ledger
            .outgoing(self.account, cursor.bound.number(), u32::MAX)?;
        for row in outgoing {
            if row.is_explained() {
                continue;
            }
            let transfer = row.transfer;
            let explained = match transfer.token {
                Token::Trx => false,
                Token::Trc10(token) => {
                    let position = self.ledger.position(&Pair {
                        payer: transfer.payer,
                        payee: transfer.payee,
                        token,
                    })?;
                    position.paid <= position.issued
                }
            };
            if explained {
                let note = "found by the recovery; it pays receipts of this ledger";
                self.ledger.adopt_transfer(transfer.txid, note)?;
                report.matched.push(transfer);
            } else {
                report.unassigned.push(transfer);
            }
        }
        Ok(())
    }
}

/// The latest moment at which somebody else may have signed.
fn latest(cursor: &CursorRow, began: UnixMs) -> UnixMs {
    cursor
        .foreign
        .map_or(began, |foreign| began.max(foreign.at))
}
