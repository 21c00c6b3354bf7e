//! A payout of one: `send`, through the same ledger.

use std::collections::BTreeSet;

use super::{
    Begun, Engine, OrderName, SettleError, Until,
    board::Board,
    drive::{Order as Drive, Signs},
    file::RowState,
    orders::elsewhere,
};
use crate::{
    ledger::{
        AccountLease, AttemptState, BatchId, BatchRow, LedgerError, PastPayment, PayoutId,
        PayoutKind, PayoutRow, PayoutState, TransferRow,
    },
    settle::{
        chain::Chain,
        net::net,
        payout_file::FileRow,
        plan::{Cost, cost, transfer_bandwidth},
        report::{BatchReport, Event},
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
    /// What its user calls it: an order with a name is paid once for good.
    pub name: Option<OrderName>,
    /// Pay even while an identical payment is unresolved.
    pub again: bool,
    /// Leave the debts to the payee as they are: this pays something else.
    pub not_for_debts: bool,
}

/// How a `send` stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendReport {
    /// Its batch of one.
    pub batch: BatchReport,
    /// The transaction that paid, may pay, or was the last to die.
    pub txid: Option<TxId>,
    /// Whether the same order was found in the ledger and is shown instead.
    pub found: bool,
    /// The last answer of a node that was no acceptance, if there was one: a refusal, or one
    /// that says nothing. While an attempt lives, it may still happen.
    pub refusal: Option<NodeError>,
}

/// The end of a `send`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendEnd {
    /// It was paid, is on its way, or died.
    Payout(Box<SendReport>),
    /// It was paid outside of this ledger, by this transfer.
    Elsewhere(TransferRow),
    /// The question was answered with no: nothing was stored.
    Declined,
}

/// What a `send` would do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendQuote {
    /// What it costs.
    pub cost: Cost,
    /// Whether it makes the payee's account.
    pub activates: bool,
    /// Whether the payee is a smart contract.
    pub is_contract: bool,
    /// Equal payments that the account is known to have made or ordered, newest first.
    pub alike: Vec<PastPayment>,
    /// What is owed to the payee by receipts in this token: the transfer counts against
    /// it.
    pub owed: RawAmount,
}

impl<C: Chain> Engine<'_, C> {
    /// What the order would do and cost now. Signs nothing.
    ///
    /// # Errors
    /// See [`SettleError`]; `Balance` and `Fee` when the account lacks it.
    pub async fn quote(&self, order: &SendOrder) -> Result<SendQuote, SettleError> {
        if order.payee == self.account {
            return Err(SettleError::ToSelf(order.payee));
        }
        let means = self.means(order.token).await?;
        let payee = self.chain.account(Finality::Head, order.payee).await?;
        let activates = payee.is_none();
        let points = transfer_bandwidth(
            self.account,
            order.payee,
            order.token,
            order.amount,
            &order.memo,
            self.clock.now(),
            self.one_signature(),
        );
        let mut situation = means.situation;
        let memo = !order.memo.is_empty();
        let cost = cost(
            order.token,
            points,
            activates,
            memo,
            self.one_signature(),
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
        let wanted = order.into();
        let mut comparison = self.compare(&[wanted], &BTreeSet::new())?;
        let mut alike = Vec::new();
        while let Some(payment) = comparison.take(&wanted, order.name.is_some()) {
            alike.push(payment);
        }
        Ok(SendQuote {
            cost,
            activates,
            is_contract: payee.is_some_and(|payee| payee.is_contract),
            alike,
            owed: self.owed_to(order.payee, order.token)?,
        })
    }

    /// What is owed to a payee by receipts and not on its way.
    pub(super) fn owed_to(&self, payee: Address, token: Token) -> Result<RawAmount, SettleError> {
        let Token::Trc10(token) = token else {
            return Ok(RawAmount::ZERO);
        };
        let position = self.ledger.position(&crate::ledger::Pair {
            payer: self.account,
            payee,
            token,
        })?;
        Ok(net(&position).due)
    }

    /// [`quote`](Self::quote), with what the chain shows until now.
    ///
    /// # Errors
    /// See [`SettleError`].
    pub async fn preview(&self, order: &SendOrder) -> Result<SendQuote, SettleError> {
        self.look_unless_held().await?;
        self.quote(order).await
    }

    /// Sends once, if `confirm` says so of what it would do. The same order is driven on
    /// instead when it was not over as the command `began`, or was ordered since, unless
    /// `again` is set; an order with a name, whenever it was ordered.
    ///
    /// # Errors
    /// See [`SettleError`]; sending again goes on with the same payment. When nothing was
    /// signed, the order is given up.
    pub async fn send(
        &self,
        signer: &dyn Signer,
        order: &SendOrder,
        begun: &Begun,
        until: Until,
        confirm: &mut (dyn FnMut(&SendQuote) -> bool + Send),
    ) -> Result<SendEnd, SettleError> {
        let lease = self.take_alone(signer, [order.token]).await?;
        self.catch_up(&lease).await?;
        self.bury(&lease)?;
        let mut order_found = self.find_order(&lease, order, begun).await?;
        if let Found::Nothing(_) = order_found {
            // Everything signed elsewhere that may still happen is waited for first. It may
            // be this order, by its memo; otherwise the order is compared with it.
            let mut board = Board::load(self.ledger, self.account, &[])?;
            self.fresh(&lease, &mut board).await?;
            order_found = self.find_order(&lease, order, begun).await?;
        }
        let (batch, number, found) = match order_found {
            Found::Payout(batch, number) => (batch, number, true),
            Found::Elsewhere(transfer) => return Ok(SendEnd::Elsewhere(transfer)),
            Found::Nothing(number) => {
                let quote = self.quote(order).await?;
                let compared = self.past(&[order.into()])?;
                if !confirm(&quote) {
                    return Ok(SendEnd::Declined);
                }
                let batch = self.insert_order(&lease, order, number)?;
                return self
                    .drive_order(&lease, signer, batch, number, until, &compared)
                    .await
                    .map(|report| SendEnd::Payout(Box::new(report)));
            }
        };
        self.tell(Event::Found(batch));
        let mut report = self
            .drive_order(&lease, signer, batch, number, until, &[])
            .await?;
        report.found = found;
        Ok(SendEnd::Payout(Box::new(report)))
    }

    async fn drive_order(
        &self,
        lease: &AccountLease,
        signer: &dyn Signer,
        batch: BatchId,
        number: PayoutId,
        until: Until,
        alike: &[PastPayment],
    ) -> Result<SendReport, SettleError> {
        let drive = Drive {
            signer: Some(signer),
            batches: &[batch],
            until,
            signs: Signs::Only(&BTreeSet::from([number])),
            known: elsewhere(alike),
        };
        let driven = self.drive(lease, drive).await;
        let refusal = self.or_end_unsigned(lease, &[batch], driven)?;
        self.fetch_missing_fees().await?;
        let mut report = self
            .batch_report(batch)?
            .ok_or_else(|| LedgerError::Missing(format!("batch {batch}")))?;
        // Of a row of a file, its own payout.
        report.only(number);
        let txid = report
            .payouts
            .first()
            .and_then(|payout| payout.current().or(payout.attempts.last()))
            .map(|attempt| attempt.txid);
        Ok(SendReport {
            batch: report,
            txid,
            found: false,
            refusal,
        })
    }

    /// Whether the order was ordered before, by its name or as this command began.
    async fn find_order(
        &self,
        lease: &AccountLease,
        order: &SendOrder,
        begun: &Begun,
    ) -> Result<Found, SettleError> {
        let Some(name) = &order.name else {
            if !order.again
                && let Some((batch, number)) = self.same_order(order, begun)?
            {
                return Ok(Found::Payout(batch, number));
            }
            return Ok(Found::Nothing(self.new_payout_id()?));
        };
        let row = FileRow {
            number: 1,
            id: Some(name.label.clone()),
            key: name.key,
            label: name.label.clone(),
            payee: order.payee,
            token: order.token,
            amount: order.amount,
            memo: order.memo.clone(),
            not_for_debts: order.not_for_debts,
        };
        let rows = std::slice::from_ref(&row);
        self.find_by_memo(&[&row]).await?;
        self.end_adopted(lease, rows)?;
        match self.standing(rows)?.pop() {
            Some(RowState::Known(payout)) => Ok(Found::Payout(payout.batch, payout.id)),
            Some(RowState::Elsewhere(transfer)) => Ok(Found::Elsewhere(transfer)),
            Some(RowState::Due(number)) => Ok(Found::Nothing(number)),
            Some(RowState::Differs(before)) => Err(SettleError::IdTaken {
                id: name.label.clone(),
                before: Box::new(before),
            }),
            None => Ok(Found::Nothing(self.new_payout_id()?)),
        }
    }

    fn insert_order(
        &self,
        lease: &AccountLease,
        order: &SendOrder,
        id: PayoutId,
    ) -> Result<BatchId, SettleError> {
        let batch = self.new_batch(PayoutKind::Send)?;
        let from = self
            .ledger
            .range_end(self.account, order.payee, order.token)?;
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
            label: order
                .name
                .as_ref()
                .map_or_else(String::new, |name| name.label.clone()),
            not_for_debts: order.not_for_debts,
            state: PayoutState::Planned,
            reason: String::new(),
            owed: RawAmount::ZERO,
            owed_to_us: RawAmount::ZERO,
        }
    }
}

/// Whether an order is in the ledger.
enum Found {
    /// As this payout of this batch.
    Payout(BatchId, PayoutId),
    /// As a transfer made outside of it.
    Elsewhere(TransferRow),
    /// It is not, and would get this number.
    Nothing(PayoutId),
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
