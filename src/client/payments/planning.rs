//! What would be settled now, and why not the rest: the plan, as readers see it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{Running, Settling, ending::Ended, reading::batches};
use crate::{
    client::{
        error::ClientError,
        snapshot::{Batch, PlannedPayout, SettlePolicy, SettlementPlan, Waits},
    },
    ledger::Ledger,
    settle::{Engine, Event, NodeChain, Plan, Policy, random_number},
    tron::permission::OWNER_ID,
    types::{Address, Clock as _, SystemClock, TokenId, UnixMs},
};

/// Payouts, and debts that wait, that are shown.
const ROWS: usize = 1000;

/// A plan is shown again for so long, unless a batch came or went on: each one asks the node
/// for every payee.
const FRESH: Duration = Duration::from_secs(5);

/// The plan that was made last. It is locked while one is made, so that whoever asks meanwhile
/// gets that.
pub(super) type LastPlan = Arc<Mutex<Option<Made>>>;

/// A plan, and what it was made from.
#[derive(Debug)]
pub(super) struct Made {
    at: Instant,
    policy: Policy,
    batches: Vec<Batch>,
    plan: Arc<SettlementPlan>,
}

/// What a plan is made from.
struct Desk {
    ledger: Arc<dyn Ledger>,
    chain: NodeChain,
    account: Address,
    token: TokenId,
    settling: Option<Arc<Settling>>,
    ended: Ended,
}

impl Running {
    /// Makes the plan of what a settlement would pay now; it blocks, inside a tokio runtime.
    pub(in crate::client) fn planning(
        &self,
    ) -> impl FnOnce() -> Result<Arc<SettlementPlan>, ClientError> + Send + use<> {
        let desk = Desk {
            ledger: Arc::clone(&self.ledger),
            chain: self.chain.clone(),
            account: self.account,
            token: self.token,
            settling: self.settling.clone(),
            ended: self.ends.ended(),
        };
        let policy = self.settler.as_ref().map(|one| *one.policy.borrow());
        let last = Arc::clone(&self.last_plan);
        move || {
            let policy = desk.policy(policy.unwrap_or_default());
            // Whoever made one and panicked left the one before.
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            let batches = batches(desk.ledger.as_ref(), desk.account)?;
            if let Some(made) = &*last
                && made.at.elapsed() < FRESH
                && made.policy == policy
                && made.batches == batches
            {
                return Ok(Arc::clone(&made.plan));
            }
            let plan = Arc::new(desk.plan(&policy)?);
            *last = Some(Made {
                at: Instant::now(),
                policy,
                batches,
                plan: Arc::clone(&plan),
            });
            Ok(plan)
        }
    }
}

impl Desk {
    /// As a settlement has it.
    fn policy(&self, settle: SettlePolicy) -> Policy {
        let own = self.settling.as_ref().map(|settling| settling.policy);
        let own = own.unwrap_or_default();
        Policy {
            free_only: own.free_only || settle == SettlePolicy::Free,
            ..own
        }
    }

    fn plan(&self, policy: &Policy) -> Result<SettlementPlan, ClientError> {
        let report = |event: &Event| tracing::debug!(?event, "planning");
        let holder = self
            .settling
            .as_ref()
            .map(|settling| settling.holder.as_str());
        let engine = Engine {
            ledger: self.ledger.as_ref(),
            chain: &self.chain,
            clock: &SystemClock,
            account: self.account,
            permission_id: OWNER_ID,
            holder: holder.unwrap_or("seedrail daemon"),
            report: &report,
            random: &random_number,
        };
        let runtime = tokio::runtime::Handle::current();
        let ended = self.ended.clone();
        let plan = ended.block_on(&runtime, engine.plan(self.token, policy));
        let plan = plan.ok_or(ClientError::Ended)?;
        let plan = plan.map_err(|error| ClientError::NoPlan(Box::new(error)))?;
        Ok(shown(&plan, SystemClock.now()))
    }
}

/// A plan as readers see it.
fn shown(plan: &Plan, at: UnixMs) -> SettlementPlan {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let payouts = plan.payouts.iter().take(ROWS).map(|one| PlannedPayout {
        payee: one.debt.payee,
        amount_raw: one.amount,
        owed_raw: one.debt.owed,
        owed_to_us_raw: one.debt.owed_to_us,
        activates: one.activates,
        fee_sun: one.cost.expected.0,
    });
    let deferred = plan.deferred.iter().take(ROWS).map(|one| Waits {
        payee: one.payee,
        amount_raw: one.amount,
        reason: one.reason.words(plan.token),
    });
    SettlementPlan {
        at,
        payer: plan.payer,
        payouts: payouts.collect(),
        payouts_in_all: count(plan.payouts.len()),
        deferred: deferred.collect(),
        deferred_in_all: count(plan.deferred.len()),
        total_raw: plan.total,
        fee_sun_estimate: plan.fee_expected.0,
        fee_sun_worst: plan.fee_worst.0,
        bandwidth_needed: plan.bandwidth_needed,
        bandwidth_available: plan.bandwidth_available,
        stake_to_be_free_sun: plan.stake_to_be_free.map(|stake| stake.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        settle::{Deferred, Why},
        types::{RawAmount, Sun},
    };

    #[test]
    fn a_long_plan_is_cut_and_says_how_long_it_is() {
        let payer: Address = "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC".parse().unwrap();
        let raw = |amount| RawAmount::new(amount).unwrap();
        let one = Deferred {
            payee: payer,
            amount: raw(7),
            reason: Why::BelowMinimum(raw(1_000_000)),
        };
        let plan = Plan {
            payer,
            token: TokenId::BTT,
            payouts: Vec::new(),
            deferred: vec![one; ROWS + 1],
            total: RawAmount::ZERO,
            fee_expected: Sun(0),
            fee_worst: Sun(0),
            bandwidth_needed: 0,
            bandwidth_available: 600,
            stake_to_be_free: None,
        };
        let shown = shown(&plan, UnixMs(5));
        assert_eq!((shown.deferred.len(), shown.deferred_in_all), (ROWS, 1001));
        assert_eq!(
            shown.deferred[0].reason,
            "below the minimum payout of 1 BTT; left for later"
        );
        let json = serde_json::to_value(&shown).unwrap();
        assert_eq!(json["deferred"][0]["amount_raw"], "7");
    }
}
