//! `seedrail settle`: from receipts to coins.

mod batches;
mod cancel;
mod chain_side;
pub(crate) mod desk;
mod export;
mod given_up;
mod history;
mod holders;
pub(crate) mod policy;
mod watch;

use clap::Subcommand;
use serde_json::{Value, json};

use self::{
    batches::{batches_json, batches_text},
    cancel::Cancel,
    chain_side::{Adopt, Recover, audit},
    desk::Desk,
    export::Export,
    given_up::GivenUp,
    history::{History, status},
    holders::{Import, RunFlags},
    policy::PolicyFlags,
    watch::Watch,
};
use super::{
    Context,
    account::{self, Payer},
    alike::{unfinished_json, unfinished_text},
    chain,
    failure::{Exit, Failure, Outcome},
    receipts::amount_text,
    signed_by::SignedBy,
    units::Worth,
};
use crate::{
    settle::{BatchReport, Plan, Question, SettleError},
    tron::keys::Signer as _,
    types::{Decimals, Token, TokenId},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Settle {
    /// Show what a run would pay, and at what cost; signs nothing.
    Plan(PolicyFlags),
    /// Follow what is signed to its end, then pay what is due, until all of it is final.
    Run(RunFlags),
    /// Send what `run --export` wrote and the holders of the account's keys signed.
    Import(Import),
    /// Follow what is signed to its end; plans no debts.
    Resume,
    /// Show unfinished payments, or else the last ones.
    Status,
    /// Give up payments that nothing was signed for.
    Cancel(Cancel),
    /// Keep paying debts until stopped; by default only when that is free.
    Watch(Watch),
    /// Write, for each payee, what was signed and the proof of what was paid.
    Export(Export),
    /// List payments, newest first, with their dates and fees.
    History(History),
    /// Compare the solid chain with the ledger, both ways.
    Audit,
    /// Make a restored ledger usable again; signs nothing.
    Recover(Recover),
    /// Accept transfers that were made outside of this ledger.
    Adopt(Adopt),
}

impl From<SettleError> for Failure {
    fn from(error: SettleError) -> Self {
        match error {
            SettleError::Ledger(error) => error.into(),
            SettleError::Node(error) => error.into(),
            SettleError::Balance { .. } | SettleError::Fee { .. } => Self::funds(error),
            SettleError::ToSelf(_) => Self::usage(error),
            SettleError::OtherChain { .. } => Self::new(Exit::Disagree, "other_chain", error).hint(
                "this node is on another chain than the ledger: name the right one with --node URL",
            ),
            SettleError::IdTaken { .. } => Self::failed("changed_order", error).hint(
                "nothing was paid: an id names one payment for good; give a new payment a new id",
            ),
            SettleError::Shared(_) => Self::failed("shared_account", error).hint(
                "pay with `seedrail settle run --export FILE`: each holder signs FILE, and \
                 `seedrail settle import` sends it; or build one transaction with `seedrail tx`",
            ),
            SettleError::NotApproved { ref missing, .. } => {
                let missing: Vec<_> = missing.iter().map(ToString::to_string).collect();
                let hint = format!("still to sign: {}", missing.join(", "));
                Self::failed("not_approved", error).hint(hint)
            }
            error @ SettleError::NoBlocks(_) => {
                Self::new(Exit::Node, "no_blocks", error).hint("name another node with --node URL")
            }
            error @ SettleError::SolidBehind { .. } => Self::new(Exit::Node, "solid_behind", error)
                .hint("name another node with --node URL, or wait for the chain"),
            error @ SettleError::NotTheChains(_) => {
                Self::new(Exit::Disagree, "not_the_chains", error)
                    .hint("name another node with --node URL")
            }
            error @ SettleError::StrangeCheckpoint { .. } => {
                Self::new(Exit::Disagree, "strange_checkpoint", error).hint(
                    "if you are sure of the block, a node showed this ledger an invented chain: \
                     begin a new ledger with --checkpoint and --ledger FILE",
                )
            }
            other => Self::failed("settle", other),
        }
    }
}

/// Debts are in BTT; other tokens come with their own flag when they do.
const TOKEN: TokenId = TokenId::BTT;

impl Settle {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Plan(flags) => {
                let flags = flags.or(&context.settings.settle);
                plan(context, &flags, SignedBy::default()).await
            }
            Self::Run(flags) => flags.run(context).await,
            Self::Import(import) => import.run(context).await,
            Self::Watch(watch) => watch.run(context).await,
            Self::Export(export) => export.run(context).await,
            Self::Resume => {
                let (account, key) = account::signer_if_any(context)?;
                let chain = chain::connect(context).await?;
                chain::guard_mainnet(context)?;
                let desk = Desk::new(context, chain, account)?;
                let mut consent = Consent::new(context, None);
                let report = desk
                    .order(context, async |engine| {
                        engine
                            .resume(key.as_deref(), |question| consent.answer(question))
                            .await
                    })
                    .await?;
                consent.outcome?;
                print_batches(context, &report.batches)
            }
            Self::Status => status(context).await,
            Self::Cancel(cancel) => cancel.run(context).await,
            Self::History(history) => history.run(context).await,
            Self::Audit => audit(context).await,
            Self::Recover(recover) => recover.run(context).await,
            Self::Adopt(adopt) => adopt.run(context).await,
        }
    }
}

async fn plan(context: &Context, flags: &PolicyFlags, signed_by: SignedBy) -> Outcome {
    let policy = &flags.policy();
    let key = account::address(context)?;
    let chain = chain::connect(context).await?;
    chain.token(context, Token::Trc10(TOKEN)).await?;
    let desk =
        Desk::new(context, chain, signed_by.payer(key))?.signing_under(signed_by.permission_id());
    let plan = desk
        .with(async |engine| engine.plan(TOKEN, policy).await)
        .await?;
    let unfinished = desk.ask(|engine| engine.unfinished())?;
    let mut document = plan_json(context, &plan);
    if let Some(object) = document.as_object_mut() {
        object.insert("unfinished".into(), unfinished_json(&unfinished));
    }
    context.out.result(&document, || {
        let mut text = plan_text(&plan, flags.price());
        for order in &unfinished {
            text.push_str(&format!("\nunfinished: {}", unfinished_text(order)));
        }
        if !unfinished.is_empty() {
            text.push_str(
                "\n`seedrail settle run` asks whether to finish these, `seedrail settle cancel` \
                 gives them up",
            );
        }
        text
    })
}

fn plan_json(context: &Context, plan: &Plan) -> Value {
    let payouts: Vec<_> = plan
        .payouts
        .iter()
        .map(|payout| {
            json!({
                "payee": payout.debt.payee,
                "token": plan.token,
                "amount": payout.amount.to_decimal(Decimals::BTT),
                "amount_raw": payout.amount,
                "owed_raw": payout.debt.owed,
                "owed_to_us_raw": payout.debt.owed_to_us,
                "range_raw": [payout.debt.range_from, payout.range_to()],
                "activates": payout.activates,
            })
        })
        .collect();
    let deferred: Vec<_> = plan
        .deferred
        .iter()
        .map(|deferred| {
            json!({
                "payee": deferred.payee,
                "amount_raw": deferred.amount,
                "reason": deferred.reason.words(plan.token),
            })
        })
        .collect();
    json!({
        "network": context.settings.network.to_string(),
        "payer": plan.payer,
        "payouts": payouts,
        "deferred": deferred,
        "total_raw": plan.total,
        "fee_sun_estimate": plan.fee_expected.0,
        "fee_sun_worst": plan.fee_worst.0,
        "bandwidth_needed": plan.bandwidth_needed,
        "bandwidth_available": plan.bandwidth_available,
        "stake_to_be_free_sun": plan.stake_to_be_free.map(|stake| stake.0),
    })
}

fn plan_text(plan: &Plan, price: Option<Worth>) -> String {
    if plan.payouts.is_empty() && plan.deferred.is_empty() {
        return "nothing is due".into();
    }
    let mut text = String::new();
    for payout in &plan.payouts {
        let activates = if payout.activates {
            "  (makes the account)"
        } else {
            ""
        };
        let value = price.map_or(String::new(), |price| {
            format!(
                "  worth {}, fee {}",
                price.of(payout.amount),
                payout.cost.expected
            )
        });
        text.push_str(&format!(
            "pay   {:>20}  to {}{activates}{value}\n",
            amount_text(payout.amount, plan.token),
            payout.debt.payee
        ));
    }
    for deferred in &plan.deferred {
        text.push_str(&format!(
            "later {:>20}  to {}: {}\n",
            amount_text(deferred.amount, plan.token),
            deferred.payee,
            deferred.reason.words(plan.token)
        ));
    }
    text.push_str(&format!(
        "total {:>20}  fees {} expected, {} at worst; bandwidth needed {}, available {}",
        amount_text(plan.total, plan.token),
        plan.fee_expected,
        plan.fee_worst,
        plan.bandwidth_needed,
        plan.bandwidth_available
    ));
    if let Some(price) = price {
        let dear = plan
            .payouts
            .iter()
            .filter(|payout| price.is_dear(payout.cost.expected, payout.amount))
            .count();
        if dear > 0 {
            text.push_str(&format!(
                "\nwarning: the fee of {dear} of {} payouts is more than 5 % of what they pay: let \
                 debts gather with --min-payout, or use --free-only",
                plan.payouts.len()
            ));
        }
    }
    if let Some(stake) = plan.stake_to_be_free {
        text.push_str(&format!(
            "\nwith {stake} more staked for bandwidth, nothing of it would be burnt in a day"
        ));
    }
    text
}

/// Asks what an engine asks, and keeps the answer.
struct Consent<'c> {
    context: &'c Context,
    price: Option<Worth>,
    payer: Option<&'c Payer<'c>>,
    signed_by: SignedBy,
    outcome: Outcome,
}

impl<'c> Consent<'c> {
    fn new(context: &'c Context, payer: Option<&'c Payer<'c>>) -> Self {
        Self {
            context,
            price: None,
            payer,
            signed_by: SignedBy::default(),
            outcome: Ok(()),
        }
    }

    fn answer(&mut self, question: &Question<'_>) -> bool {
        // What was refused is not asked again in other words.
        if self.outcome.is_err() {
            return false;
        }
        let out = self.context.out;
        let words = match question {
            Question::Finish(orders) => {
                out.note(format!(
                    "{} ordered by another command and not signed:",
                    if orders.len() == 1 {
                        "1 payment was".to_owned()
                    } else {
                        format!("{} payments were", orders.len())
                    }
                ));
                for order in *orders {
                    out.note(format!("  {}", unfinished_text(order)));
                }
                "Pay these? (`seedrail settle cancel` gives them up)"
            }
            Question::Pay(plan) => {
                let network = self.context.settings.network;
                let signed = self
                    .payer
                    .map_or_else(String::new, |payer| self.signed_by.words(payer.address()));
                out.note(format!(
                    "from {} on {network}{signed}\n{}",
                    plan.payer,
                    plan_text(plan, self.price)
                ));
                "Pay?"
            }
        };
        self.outcome = out
            .confirm(words, self.context.settings.yes)
            .and_then(|()| self.payer.map_or(Ok(()), Payer::unlock));
        self.outcome.is_ok()
    }
}

async fn run(context: &Context, flags: &PolicyFlags, signed_by: SignedBy) -> Outcome {
    let policy = &flags.policy();
    let payer = Payer::new(context)?;
    let chain = chain::connect(context).await?;
    chain::guard_mainnet(context)?;
    chain.token(context, Token::Trc10(TOKEN)).await?;
    let desk = Desk::new(context, chain, signed_by.payer(payer.address()))?
        .signing_under(signed_by.permission_id());
    // The plan that is shown is the plan that is paid.
    let mut consent = Consent::new(context, Some(&payer));
    consent.price = flags.price();
    consent.signed_by = signed_by;
    let report = desk
        .order(context, async |engine| {
            engine
                .run(&payer, TOKEN, policy, |question| consent.answer(question))
                .await
        })
        .await?;
    if let Err(failure) = consent.outcome {
        if !report.batches.is_empty() {
            context.out.note(batches_text(&report.batches));
        }
        return Err(failure);
    }
    if !report.batches.is_empty() {
        return print_batches(context, &report.batches);
    }
    let deferred = report.plan.iter().flat_map(|plan| &plan.deferred);
    for deferred in deferred.clone() {
        let amount = amount_text(deferred.amount, TOKEN);
        context.out.note(format!(
            "later: {amount} to {}: {}",
            deferred.payee,
            deferred.reason.words(TOKEN)
        ));
    }
    if let Some(short) = deferred.clone().find(|deferred| deferred.reason.is_funds()) {
        let amount = amount_text(short.amount, TOKEN);
        return Err(Failure::funds(format!(
            "{amount} cannot be paid to {}: {}",
            short.payee,
            short.reason.words(TOKEN)
        )));
    }
    let document = batches_json(&[]);
    context.out.result(&document, || "nothing to pay".into())
}

fn print_batches(context: &Context, reports: &[BatchReport]) -> Outcome {
    let document = batches_json(reports);
    context.out.result(&document, || {
        if reports.is_empty() {
            "nothing to finish".into()
        } else {
            batches_text(reports)
        }
    })?;
    let given_up = GivenUp::of(reports);
    if given_up.failed + given_up.pending == 0 {
        for words in given_up.harmless() {
            context.out.note(words);
        }
        return Ok(());
    }
    Err(Failure::new(Exit::Partly, "partly", given_up.text())
        .hint("running it again is safe: nothing is paid twice"))
}
