//! Prices at run time, and what is shown of money.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{
    error::ClientError,
    owner::{Job, Owner},
    payments::Trade,
    snapshot::{Money, NodeState, ProblemCode, SettlePolicy, SettlementPlan},
};
use crate::types::RawAmount;

/// What we may owe before a person is told, if nothing is paid by itself: 10 BTT.
const DUE_FROM_RAW: i64 = 10_000_000;

impl Owner {
    /// Refuses what payments are needed for.
    pub(super) fn need_payments(&self) -> Result<(), ClientError> {
        match self.pay {
            Some(_) => Ok(()),
            None => Err(ClientError::NoPayments),
        }
    }

    /// Refuses what a wallet is needed for.
    pub(super) fn need_signer(&self) -> Result<(), ClientError> {
        self.need_payments()?;
        match self.pay.as_ref().is_some_and(|pay| pay.settler.is_some()) {
            true => Ok(()),
            false => Err(ClientError::NoWallet),
        }
    }

    /// Makes the plan of what a settlement would pay; the answer comes when it is made.
    pub(super) fn start_plan(
        &mut self,
        reply: oneshot::Sender<Result<Arc<SettlementPlan>, ClientError>>,
    ) {
        let Some(pay) = &self.pay else {
            let _gone = reply.send(Err(ClientError::NoPayments));
            return;
        };
        let planning = pay.planning();
        self.jobs.spawn(async move {
            let planned = tokio::task::spawn_blocking(planning).await;
            // The runtime shuts down.
            let planned = planned.unwrap_or(Err(ClientError::Ended));
            let _gone = reply.send(planned);
            Job::Booked
        });
    }

    /// Has payments sell and buy as the prices say: torrents that were added later
    /// included.
    pub(super) fn set_terms(&mut self) {
        let Some(pay) = &self.pay else {
            return;
        };
        let entries = self.entries.iter();
        let trade = Trade {
            prices: self.prices,
            own: entries
                .map(|(hash, entry)| (*hash, entry.wish.prices))
                .collect(),
            ..pay.base.clone()
        };
        let terms = trade.terms();
        if terms == *pay.extension.terms() {
            return;
        }
        if let Err(error) = pay.extension.set_terms(terms) {
            // An ask of 0 is none: it is not made above.
            tracing::error!(%error, "the prices are not taken");
        }
    }

    pub(super) fn set_policy(&self) {
        if let Some(settler) = self.pay.as_ref().and_then(|pay| pay.settler.as_ref()) {
            settler.policy.send_replace(self.policy);
        }
    }

    /// What readers see.
    pub(super) fn money(&self) -> Option<Money> {
        let pay = self.pay.as_ref()?;
        let totals = pay.extension.totals();
        let reading = pay.readings.borrow().clone();
        let of = |reading: &Arc<super::payments::Reading>| {
            (
                reading.positions.clone(),
                reading.batches.clone(),
                reading.grants.clone(),
            )
        };
        let (positions, batches, grants) = reading.as_ref().map(of).unwrap_or_default();
        Some(Money {
            account: pay.account,
            token: pay.token,
            session_spent_raw: totals.spent_raw,
            session_earned_raw: totals.earned_raw,
            balance: reading.as_ref().and_then(|reading| reading.balance),
            policy: self.policy,
            positions,
            batches,
            grants,
            node: reading.map_or_else(NodeState::default, |reading| reading.node.clone()),
        })
    }

    /// Problems that are seen in what was read.
    pub(super) fn look_at_money(&mut self) {
        let Some(pay) = &self.pay else {
            return;
        };
        let Some(reading) = pay.readings.borrow().clone() else {
            return;
        };
        match reading.balance.is_some_and(|balance| !balance.activated) {
            true => self.problem(
                ProblemCode::NotActivated,
                None,
                "your account is not on the chain yet: who pays you first pays for making it"
                    .to_owned(),
                "Activate it from another account: `seedrail account activate`.",
            ),
            false => self.over(ProblemCode::NotActivated, None),
        }
        for position in &reading.positions {
            if position.we_owe_raw == RawAmount::ZERO {
                self.over(ProblemCode::CreditLimit, Some(position.account.to_string()));
            }
        }
        let is_off = self.policy == SettlePolicy::Off;
        let is_large = reading.owed_raw.get() >= DUE_FROM_RAW;
        match is_off && is_large {
            true => self.problem(
                ProblemCode::DebtsDue,
                None,
                format!(
                    "you owe {} BTT, and nothing is paid by itself",
                    reading.owed_raw.to_decimal(crate::types::Decimals::BTT)
                ),
                "Settle it: `seedrail settle run`.",
            ),
            false if is_off => self.over(ProblemCode::DebtsDue, None),
            false => {}
        }
    }
}
