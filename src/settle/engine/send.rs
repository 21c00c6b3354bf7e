//! A payout of one: `send`, through the same ledger.

use super::{Engine, SettleError, Until};
use crate::{
    ledger::{
        AccountLease, AttemptState, BatchId, BatchRow, PayoutId, PayoutKind, PayoutRow, PayoutState,
    },
    settle::{
        chain::Chain,
        plan::{Cost, Signatures, cost, transfer_bandwidth},
        report::BatchReport,
    },
    tron::{
        keys::Signer,
        rpc::{Finality, NodeError},
    },
    types::{Address, RawAmount, Sun, Token, TxId},
};

/// What to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendOrder {
    /// To whom.
    pub payee: Address,
    /// What.
    pub token: Token,
    /// How much, above zero.
    pub amount: RawAmount,
    /// A memo; costs a fee when not empty.
    pub memo: Vec<u8>,
    /// Pay even while an identical payment is unresolved.
    pub again: bool,
}

/// How a `send` stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendReport {
    /// Its batch of one.
    pub batch: BatchReport,
    /// The transaction that paid, may pay, or was the last to die.
    pub txid: Option<TxId>,
    /// Whether an identical payment was found unresolved and is shown instead.
    pub found: bool,
    /// The last refusal of a node, if there was one. While an attempt lives,
    /// it may still happen.
    pub refusal: Option<NodeError>,
}

/// What a `send` would cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendQuote {
    /// What it costs.
    pub cost: Cost,
    /// Whether it makes the payee's account.
    pub activates: bool,
}

impl<C: Chain> Engine<'_, C> {
    /// What the order would cost now.
    ///
    /// # Errors
    /// See [`SettleError`]; `Balance` and `Fee` when the account lacks it.
    pub async fn quote(&self, order: &SendOrder) -> Result<SendQuote, SettleError> {
        if order.payee == self.account {
            return Err(SettleError::ToSelf(order.payee));
        }
        let means = self.means(order.token).await?;
        let activates = self
            .chain
            .account(Finality::Head, order.payee)
            .await?
            .is_none();
        let points = transfer_bandwidth(
            self.account,
            order.payee,
            order.token,
            order.amount,
            &order.memo,
            self.clock.now(),
            Signatures::ONE,
        );
        let mut situation = means.situation;
        let memo = !order.memo.is_empty();
        let cost = cost(
            order.token,
            points,
            activates,
            memo,
            Signatures::ONE,
            &mut situation,
        );
        if order.amount > means.token_balance {
            return Err(SettleError::Balance {
                account: self.account,
                token: order.token,
                have: means.token_balance,
                need: order.amount,
            });
        }
        let spent = match order.token {
            Token::Trx => order.amount.unsigned(),
            Token::Trc10(_) => 0,
        };
        let for_fees = Sun(means.trx.0.saturating_sub(spent));
        if cost.expected > for_fees {
            return Err(SettleError::Fee {
                account: self.account,
                have: for_fees,
                need: cost.expected,
            });
        }
        Ok(SendQuote { cost, activates })
    }

    /// Sends once. While an identical order (payee, token, amount, memo) is
    /// unresolved, that one is driven on instead, unless `again` is set.
    ///
    /// # Errors
    /// See [`SettleError`]; sending again goes on with the same payment.
    pub async fn send(
        &self,
        signer: &dyn Signer,
        order: &SendOrder,
        until: Until,
    ) -> Result<SendReport, SettleError> {
        let lease = self.take_alone(signer).await?;
        // Before the chain is read: what became solid while nobody looked is
        // the payment that was asked for, not a reason for another.
        let open = self.unresolved(order)?;
        self.catch_up(&lease).await?;
        let open = match open {
            Some(batch) if !order.again && !self.gave_up(batch)? => Some(batch),
            _ => None,
        };
        let (batch, found) = match open {
            Some(batch) => (batch, true),
            None => {
                self.quote(order).await?;
                (self.insert_order(&lease, order)?, false)
            }
        };
        let refusal = self.drive(&lease, Some(signer), &[batch], until).await?;
        let report = self
            .batch_report(batch)?
            .ok_or_else(|| crate::ledger::LedgerError::Missing(format!("batch {batch}")))?;
        let txid = report
            .payouts
            .first()
            .and_then(|payout| payout.current().or(payout.attempts.last()))
            .map(|attempt| attempt.txid);
        Ok(SendReport {
            batch: report,
            txid,
            found,
            refusal,
        })
    }

    /// The newest batch with an identical order that may still happen.
    fn unresolved(&self, order: &SendOrder) -> Result<Option<BatchId>, SettleError> {
        let mut found = None;
        for batch in self.ledger.unfinished(self.account)? {
            let payouts = self.ledger.payouts(batch.id)?;
            // Rows of a file are told apart by the file.
            if payouts.len() > 1 {
                continue;
            }
            for payout in payouts {
                if payout.state.is_open()
                    && payout.kind == PayoutKind::Send
                    && payout.payee == order.payee
                    && payout.token == order.token
                    && payout.amount == order.amount
                    && payout.memo == order.memo
                {
                    found = Some(batch.id);
                }
            }
        }
        Ok(found)
    }

    /// Whether nothing of a batch of one can happen any more, nor did.
    fn gave_up(&self, batch: BatchId) -> Result<bool, SettleError> {
        let report = self.batch_report(batch)?;
        Ok(report.is_some_and(|report| {
            report.payouts.iter().all(|payout| {
                payout.payout.state != PayoutState::Confirmed
                    && payout.current().is_none()
                    && !payout.attempts.is_empty()
            })
        }))
    }

    fn insert_order(
        &self,
        lease: &AccountLease,
        order: &SendOrder,
    ) -> Result<BatchId, SettleError> {
        let batch = self.new_batch(PayoutKind::Send)?;
        let from = self
            .ledger
            .range_end(self.account, order.payee, order.token)?;
        let id = self.new_payout_id()?;
        let payout = self.typed(&batch, id, from, order);
        self.insert(lease, &batch, std::slice::from_ref(&payout))
    }

    /// A payout that its user typed: no receipt stands behind it.
    pub(super) fn typed(
        &self,
        batch: &BatchRow,
        id: PayoutId,
        from: RawAmount,
        order: &SendOrder,
    ) -> PayoutRow {
        PayoutRow {
            id,
            batch: batch.id,
            kind: PayoutKind::Send,
            payer: self.account,
            payee: order.payee,
            token: order.token,
            from,
            amount: order.amount,
            memo: order.memo.clone(),
            state: PayoutState::Planned,
            reason: String::new(),
            owed: RawAmount::ZERO,
            owed_to_us: RawAmount::ZERO,
        }
    }
}

impl SendReport {
    /// Its one payout's state and its transaction's, with the block.
    pub fn state(&self) -> Option<(PayoutState, Option<AttemptState>, Option<u64>)> {
        let payout = self.batch.payouts.first()?;
        let attempt = payout.current().or(payout.attempts.last());
        Some((
            payout.payout.state,
            attempt.map(|attempt| attempt.state),
            attempt.and_then(|attempt| attempt.block),
        ))
    }
}
