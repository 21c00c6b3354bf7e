//! Settles debts by policy.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinHandle,
    time::MissedTickBehavior,
};

use super::{News, Settling};
use crate::{
    client::snapshot::SettlePolicy,
    ledger::{Ledger, LedgerError, PayoutKind, PayoutState},
    settle::{Engine, Event, NodeChain, Plan, Policy, Question, SettleError, random_number},
    tron::permission::OWNER_ID,
    types::{Clock as _, RawAmount, SystemClock, Token, TokenId, UnixMs},
};

/// A day of the chain's people, ms (UTC).
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Batches in which today's payouts are looked for.
const BATCHES: u32 = 1000;

/// What came of one round.
#[derive(Debug)]
pub(in crate::client) enum Round {
    /// Nothing is due, or all that is due was paid.
    Done,
    /// Debts are due that the policy does not pay; why.
    Declined(String),
    /// It failed; why. It is tried again.
    Failed(String),
}

/// The task that settles. Dropping it ends that: what is in flight is in the ledger, and is
/// gone on with.
pub(in crate::client) struct Settler {
    pub(in crate::client) policy: watch::Sender<SettlePolicy>,
    pub(in crate::client) now: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Drop for Settler {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Settler {
    pub(super) fn start(
        settling: Arc<Settling>,
        ledger: Arc<dyn Ledger>,
        chain: NodeChain,
        token: TokenId,
        news: mpsc::Sender<News>,
    ) -> Self {
        let (policy, policies) = watch::channel(SettlePolicy::Off);
        let now = Arc::new(Notify::new());
        let asked = Arc::clone(&now);
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(settling.every.max(Duration::from_secs(1)));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let by_hand = tokio::select! {
                    () = asked.notified() => true,
                    _ = ticks.tick() => false,
                };
                let policy = *policies.borrow();
                if policy == SettlePolicy::Off && !by_hand {
                    continue;
                }
                let desk = Desk {
                    settling: Arc::clone(&settling),
                    ledger: Arc::clone(&ledger),
                    chain: chain.clone(),
                    token,
                    policy,
                    by_hand,
                };
                // Its calls to the ledger block.
                let runtime = tokio::runtime::Handle::current();
                let round = tokio::task::spawn_blocking(move || runtime.block_on(desk.round()));
                let Ok(round) = round.await else {
                    // The runtime shuts down.
                    return;
                };
                if news.send(News::Settled(round)).await.is_err() {
                    return;
                }
            }
        });
        Self { policy, now, task }
    }
}

/// What one round needs.
struct Desk {
    settling: Arc<Settling>,
    ledger: Arc<dyn Ledger>,
    chain: NodeChain,
    token: TokenId,
    policy: SettlePolicy,
    by_hand: bool,
}

impl Desk {
    async fn round(self) -> Round {
        let signer = self.settling.signer.as_ref();
        let report = |event: &Event| tracing::debug!(?event, "settling");
        let engine = Engine {
            ledger: self.ledger.as_ref(),
            chain: &self.chain,
            clock: &SystemClock,
            account: signer.address(),
            permission_id: OWNER_ID,
            holder: &self.settling.holder,
            report: &report,
            random: &random_number,
        };
        let policy = Policy {
            free_only: self.settling.policy.free_only || self.policy == SettlePolicy::Free,
            ..self.settling.policy
        };
        let mut declined = None;
        let run = engine.run(signer, self.token, &policy, |question| match question {
            Question::Pay(plan) => match self.may_pay(plan) {
                Ok(()) => true,
                Err(why) => {
                    declined = Some(why);
                    false
                }
            },
            // A person ordered them: a person says whether they are still wanted.
            Question::Finish(_) => false,
        });
        let run = run.await;
        match (run, declined) {
            (Err(SettleError::Ledger(LedgerError::AccountHeld { holder, .. })), _) => {
                tracing::info!(%holder, "another process settles");
                Round::Done
            }
            (Err(error), _) => Round::Failed(error.to_string()),
            (Ok(_), Some(why)) => Round::Declined(why),
            (Ok(_), None) => Round::Done,
        }
    }

    /// Whether the policy pays all of this plan.
    fn may_pay(&self, plan: &Plan) -> Result<(), String> {
        let SettlePolicy::UpTo { day_raw } = self.policy else {
            return Ok(());
        };
        if self.by_hand {
            return Ok(());
        }
        let today = self.paid_today().map_err(|error| error.to_string())?;
        let all = today.checked_add(plan.total).unwrap_or(RawAmount::MAX);
        match all <= day_raw {
            true => Ok(()),
            false => Err(format!(
                "{} raw units are due, {today} were paid today, and {day_raw} a day are allowed",
                plan.total
            )),
        }
    }

    /// What the debts of today's settlements came to, whatever became of them: what was given
    /// up for good is not counted.
    fn paid_today(&self) -> Result<RawAmount, LedgerError> {
        let now = SystemClock.now();
        let midnight = UnixMs(now.0 - now.0.rem_euclid(DAY_MS));
        let mut sum = RawAmount::ZERO;
        let account = self.settling.signer.address();
        for batch in self.ledger.batches(account, BATCHES)? {
            if batch.created_at < midnight {
                break;
            }
            for payout in self.ledger.payouts(batch.id)? {
                let counts = payout.kind == PayoutKind::Settle
                    && payout.token == Token::Trc10(self.token)
                    && payout.state != PayoutState::Failed;
                if counts {
                    sum = sum.checked_add(payout.amount).unwrap_or(RawAmount::MAX);
                }
            }
        }
        Ok(sum)
    }
}
