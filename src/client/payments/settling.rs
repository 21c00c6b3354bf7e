//! Settles debts by policy.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinHandle,
    time::{Interval, MissedTickBehavior},
};

use super::{News, Settling, ending::Ended};
use crate::{
    client::snapshot::SettlePolicy,
    ledger::{Ledger, LedgerError, PayoutKind, PayoutState},
    settle::{
        BatchReport, Chain, Engine, Event, NodeChain, Plan, Policy, Question, RunReport,
        SettleError, random_number,
    },
    tron::{keys::Signer, permission::OWNER_ID},
    types::{Clock as _, Decimals, RawAmount, Sun, SystemClock, Token, TokenId, UnixMs},
};

/// A day of the chain's people, ms (UTC).
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Batches in which today's payouts are looked for.
const BATCHES: u32 = 1000;

/// What came of one round.
#[derive(Debug)]
pub(in crate::client) enum Round {
    /// Nothing is due, or all that is due was paid; what that came to.
    Done(Option<Paid>),
    /// Debts are due that the policy does not pay; why.
    Declined(String),
    /// It failed; why. It is tried again.
    Failed(String),
}

/// What was paid in a round, and is final.
#[derive(Debug, Clone, Copy)]
pub(in crate::client) struct Paid {
    pub(in crate::client) payouts: u64,
    pub(in crate::client) total: RawAmount,
}

/// Why debts are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// It is time.
    Time,
    /// A person said so.
    Person,
    /// A payee gives no more credit.
    Limit,
}

/// The task that settles. Dropping it ends that: what is in flight is in the ledger, and is
/// gone on with.
pub(in crate::client) struct Settler {
    pub(in crate::client) policy: watch::Sender<SettlePolicy>,
    pub(in crate::client) now: Arc<Notify>,
    /// A payee gives no more credit.
    pub(in crate::client) limit: Arc<Notify>,
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
        ended: Ended,
        ledger: Arc<dyn Ledger>,
        chain: NodeChain,
        token: TokenId,
        news: mpsc::Sender<News>,
    ) -> Self {
        let (policy, policies) = watch::channel(SettlePolicy::Off);
        let now = Arc::new(Notify::new());
        let limit = Arc::new(Notify::new());
        let (asked, reached) = (Arc::clone(&now), Arc::clone(&limit));
        let task = tokio::spawn(async move {
            let mut ticks = settling.every.map(|every| {
                let mut ticks = tokio::time::interval(every.max(Duration::from_secs(1)));
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                ticks
            });
            loop {
                let cause = tokio::select! {
                    () = asked.notified() => Cause::Person,
                    () = reached.notified() => Cause::Limit,
                    () = next(&mut ticks) => Cause::Time,
                };
                let policy = *policies.borrow();
                if policy == SettlePolicy::Off && cause != Cause::Person {
                    continue;
                }
                let desk = Desk {
                    settling: Arc::clone(&settling),
                    ledger: Arc::clone(&ledger),
                    chain: chain.clone(),
                    token,
                    policy,
                    cause,
                    ended: ended.clone(),
                };
                // Its calls to the ledger block.
                let runtime = tokio::runtime::Handle::current();
                let ended = ended.clone();
                let round =
                    tokio::task::spawn_blocking(move || ended.block_on(&runtime, desk.round()));
                let Ok(Some(round)) = round.await else {
                    // The client ends.
                    return;
                };
                if news.send(News::Settled(round)).await.is_err() {
                    return;
                }
            }
        });
        Self {
            policy,
            now,
            limit,
            task,
        }
    }
}

/// The next time; never, if none was said.
async fn next(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => {
            ticks.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// What one round needs.
struct Desk {
    settling: Arc<Settling>,
    ledger: Arc<dyn Ledger>,
    chain: NodeChain,
    token: TokenId,
    policy: SettlePolicy,
    cause: Cause,
    ended: Ended,
}

impl Desk {
    async fn round(self) -> Round {
        match self.settle().await {
            Ok(round) => round,
            Err(SettleError::Ledger(LedgerError::AccountHeld { holder, .. })) => {
                tracing::info!(%holder, "another process settles");
                Round::Done(None)
            }
            Err(error) => Round::Failed(error.to_string()),
        }
    }

    async fn settle(&self) -> Result<Round, SettleError> {
        let report = |event: &Event| tracing::debug!(?event, "settling");
        let engine = Engine {
            ledger: self.ledger.as_ref(),
            chain: &self.chain,
            clock: &SystemClock,
            account: self.settling.account,
            permission_id: OWNER_ID,
            holder: &self.settling.holder,
            report: &report,
            random: &random_number,
        };
        // What was begun before is looked after without a wallet.
        engine.resume(None, |_| false).await?;
        let Chosen {
            policy,
            fees,
            waits,
        } = self.choose(&engine).await?;
        let declined = || waits.clone().map_or(Round::Done(None), Round::Declined);
        let Some(fees) = fees else {
            return Ok(declined());
        };
        let signer = match (self.settling.wallet)() {
            Ok(signer) => signer,
            Err(why) => return Ok(Round::Declined(format!("the wallet stays closed: {why}"))),
        };
        // A person may have been asked meanwhile.
        if self.ended.is_over() {
            return Ok(Round::Done(None));
        }
        let agree = |plan: &Plan| match plan.fee_worst > fees {
            // What was agreed to is what is paid.
            true => Err("prices have changed meanwhile".to_owned()),
            false => self.may_pay(plan),
        };
        let signer = signer.as_ref();
        let done = pay(&engine, signer, self.token, &policy, &mut 0, agree).await?;
        if let Some(why) = done.refused {
            return Ok(Round::Declined(why));
        }
        let report = done.report;
        match waits {
            Some(why) => Ok(Round::Declined(why)),
            None => Ok(Round::Done(paid(&report.batches, report.plan.as_ref()))),
        }
    }

    /// What would be paid, and at which fees: at a payee's limit a person may agree to more
    /// than the policy does.
    async fn choose<C: Chain>(&self, engine: &Engine<'_, C>) -> Result<Chosen, SettleError> {
        let own = self.settling.policy;
        let policy = Policy {
            free_only: own.free_only || self.policy == SettlePolicy::Free,
            ..own
        };
        let plan = engine.plan(self.token, &policy).await?;
        let costs = plan.deferred.iter().filter(|left| left.reason.is_cost());
        let waits = costs.map(|left| {
            let amount = left.amount.to_decimal(Decimals::BTT);
            format!(
                "{amount} BTT to {}: {}",
                left.payee,
                left.reason.words(self.token)
            )
        });
        let waits: Vec<String> = waits.take(SAID).collect();
        let fees = (!plan.payouts.is_empty()).then_some(plan.fee_worst);
        if waits.is_empty() {
            let waits = None;
            return Ok(Chosen {
                policy,
                fees,
                waits,
            });
        }
        if let (Cause::Limit, Some(consent)) = (self.cause, &self.settling.consent) {
            let all = Policy {
                free_only: false,
                ..own
            };
            let dear = engine.plan(self.token, &all).await?;
            if !dear.payouts.is_empty() && consent(&dear) && !self.ended.is_over() {
                return Ok(Chosen {
                    policy: all,
                    fees: Some(dear.fee_worst),
                    waits: None,
                });
            }
        }
        Ok(Chosen {
            policy,
            fees,
            waits: Some(waits.join("; ")),
        })
    }

    /// Whether the policy pays all of this plan.
    fn may_pay(&self, plan: &Plan) -> Result<(), String> {
        let SettlePolicy::UpTo { day_raw } = self.policy else {
            return Ok(());
        };
        if self.cause == Cause::Person {
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
        let account = self.settling.account;
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

/// What came of a run of settlement.
pub(super) struct Ran {
    pub(super) report: RunReport,
    /// Why the plan is not paid.
    pub(super) refused: Option<String>,
}

/// Pays what is due by a policy, if the plan is agreed to. `ordered` counts the payments that
/// a person ordered by another command and that nothing is signed for, also if this fails:
/// a person says whether they are still wanted, and whether they may cost.
pub(super) async fn pay<C: Chain>(
    engine: &Engine<'_, C>,
    signer: &dyn Signer,
    token: TokenId,
    policy: &Policy,
    ordered: &mut usize,
    agree: impl Fn(&Plan) -> Result<(), String>,
) -> Result<Ran, SettleError> {
    *ordered = 0;
    let mut refused = None;
    let run = engine.run(signer, token, policy, |question| match question {
        Question::Pay(plan) => {
            refused = agree(plan).err();
            refused.is_none()
        }
        Question::Finish(orders) => {
            *ordered = orders.len();
            false
        }
    });
    let report = run.await?;
    Ok(Ran { report, refused })
}

/// What a round pays.
struct Chosen {
    policy: Policy,
    /// What it may burn at most; `None`: nothing is paid.
    fees: Option<Sun>,
    /// What is due and is not paid, for what it costs.
    waits: Option<String>,
}

/// Debts that are named in a sentence.
const SAID: usize = 3;

/// What the batches of a run came to.
fn paid(batches: &[BatchReport], plan: Option<&Plan>) -> Option<Paid> {
    let payouts: u64 = batches.iter().map(|batch| batch.counts.confirmed).sum();
    let total = plan.map_or(RawAmount::ZERO, |plan| plan.total);
    (payouts > 0).then_some(Paid { payouts, total })
}
