//! `seedrail settle`: from receipts to coins.

mod chain_side;
mod export;
mod history;
mod holders;
pub(crate) mod policy;
mod watch;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clap::Subcommand;
use serde_json::{Value, json};

use self::{
    chain_side::{Adopt, Recover, audit},
    export::Export,
    history::{History, status},
    holders::{Import, RunFlags},
    policy::PolicyFlags,
    watch::Watch,
};
use super::{
    Context, account,
    chain::{self, Chain},
    failure::{Exit, Failure, Outcome},
    output::Output,
    printable,
    receipts::{amount_text, paid_text},
    store,
    units::Worth,
};
use crate::{
    ledger::{Ledger, LedgerError},
    settle::{BatchReport, Engine, Event, NodeChain, Plan, SettleError, random_number},
    types::{Address, Decimals, RawAmount, Sun, SystemClock, Token, TokenId, TxId},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Settle {
    /// Show what a run would pay, and at what cost; signs nothing.
    Plan(PolicyFlags),
    /// Finish what is unfinished, then pay what is due, until all of it is solid.
    Run(RunFlags),
    /// Send what `run --export` wrote and the holders of the account's keys signed.
    Import(Import),
    /// Only finish what is unfinished.
    Resume,
    /// Show how the current batch stands; asks no node.
    Status,
    /// Pay by policy, for ever; by default only what costs nothing.
    Watch(Watch),
    /// Write, for each payee, what was signed and the proof of what was paid.
    Export(Export),
    /// List the batches, newest first; asks no node.
    History(History),
    /// Compare the solid chain with the ledger, both ways.
    Audit,
    /// Bring a ledger back that was copied or set back; signs nothing.
    Recover(Recover),
    /// Say of transfers made outside of this ledger that you know them.
    Adopt(Adopt),
}

impl From<SettleError> for Failure {
    fn from(error: SettleError) -> Self {
        match error {
            SettleError::Ledger(error) => error.into(),
            SettleError::Node(error) => error.into(),
            SettleError::Balance { .. } | SettleError::Fee { .. } => Self::funds(error),
            SettleError::ToSelf(_) => Self::usage(error),
            SettleError::Shared(_) => Self::failed("shared_account", error).hint(
                "pay with `seedrail settle run --export FILE`: each holder signs FILE, and \
                 `seedrail settle import` sends it; or build one transaction with `seedrail tx`",
            ),
            SettleError::NotApproved { ref missing, .. } => {
                let missing: Vec<_> = missing.iter().map(ToString::to_string).collect();
                let hint = format!("still to sign: {}", missing.join(", "));
                Self::failed("not_approved", error).hint(hint)
            }
            other => Self::failed("settle", other),
        }
    }
}

/// Everything an engine borrows.
pub(crate) struct Desk {
    pub(crate) chain: NodeChain,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) account: Address,
    holder: String,
    out: Output,
    progress: Progress,
}

/// How often it is asked whether an account is free.
const TURN: Duration = Duration::from_millis(250);

/// This process, as others are told of it.
fn holder() -> String {
    let process = format!("process {}", std::process::id());
    match std::fs::read_to_string("/proc/sys/kernel/hostname") {
        Ok(host) => format!("{process} on {}", host.trim()),
        // Elsewhere the number has to do.
        Err(_) => process,
    }
}

/// Counts what an engine reports, and shows it.
struct Progress {
    bar: indicatif::ProgressBar,
    counts: Mutex<Counts>,
}

/// How far the attempts are: each counts once, however often it is sent.
#[derive(Default)]
struct Counts {
    signed: u64,
    sent: BTreeSet<TxId>,
    included: BTreeSet<TxId>,
    solid: u64,
}

impl Counts {
    fn text(&self) -> String {
        format!(
            "{} signed, {} sent, {} included",
            self.signed,
            self.sent.len(),
            self.included.len()
        )
    }
}

impl Progress {
    fn new(context: &Context) -> Self {
        Self {
            bar: context
                .out
                .bar(0, "{bar:32} {pos}/{len} solid, {eta} left  {msg}"),
            counts: Mutex::default(),
        }
    }

    /// Begins to count, with what earlier runs left.
    fn begin(&self, pending: u64) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = Counts::default();
        self.bar.reset();
        self.bar.set_length(pending);
    }

    fn see(&self, event: &Event) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Planned { payouts, .. } => self.bar.inc_length(*payouts as u64),
            Event::Signed(_) => counts.signed += 1,
            Event::Sent(txid, _) => {
                counts.sent.insert(*txid);
            }
            Event::Included(txid, _) => {
                counts.included.insert(*txid);
            }
            Event::Solid(txid, _) => {
                // It may have been signed, sent and seen by an earlier run.
                counts.sent.insert(*txid);
                counts.included.insert(*txid);
                counts.solid += 1;
                self.bar.set_position(counts.solid);
            }
            Event::Dead(txid) => tracing::info!("{txid} expired unused; a new attempt follows"),
            Event::GivenUp(payout, reason) => tracing::warn!("payout {payout} given up: {reason}"),
            Event::Waiting(reason) => {
                let reason = printable::line(&reason.to_string()).into_owned();
                self.bar.set_message(format!("{}: {reason}", counts.text()));
                return;
            }
        }
        self.bar.set_message(counts.text());
    }
}

impl Desk {
    pub(crate) fn new(context: &Context, chain: Chain, account: Address) -> Outcome<Self> {
        let ledger = store::open(context, chain.genesis)?;
        Ok(Self::on(context, chain, ledger, account))
    }

    fn on(context: &Context, chain: Chain, ledger: Arc<dyn Ledger>, account: Address) -> Self {
        Self {
            chain: NodeChain(chain.node),
            ledger,
            account,
            holder: holder(),
            out: context.out,
            progress: Progress::new(context),
        }
    }

    /// Waits while another process signs for the account, and says which. One
    /// that was killed is gone at once, or on a server in ten seconds.
    async fn turn(&self) -> Outcome {
        let mut told = None;
        while let Some(other) = self.ledger.account_holder(self.account)? {
            if told.as_ref() != Some(&other) {
                self.out.note(format!(
                    "{other} signs for {}: waiting for it to end",
                    self.account
                ));
                told = Some(other);
            }
            tokio::time::sleep(TURN).await;
        }
        Ok(())
    }

    /// Runs `work` with an engine; again from its start when it found that
    /// another process signs for the account, and that one has ended.
    pub(crate) async fn with<T>(
        &self,
        mut work: impl AsyncFnMut(&Engine<'_, NodeChain>) -> Result<T, SettleError>,
    ) -> Outcome<T> {
        let mut pending = 0;
        for batch in self.ledger.unfinished(self.account)? {
            pending += self.ledger.counts(batch.id)?.pending;
        }
        self.progress.begin(pending);
        let report = |event: &Event| self.progress.see(event);
        let engine = Engine {
            ledger: self.ledger.as_ref(),
            chain: &self.chain,
            clock: &SystemClock,
            account: self.account,
            holder: &self.holder,
            report: &report,
            random: &random_number,
        };
        let outcome = loop {
            match work(&engine).await {
                Err(SettleError::Ledger(LedgerError::AccountHeld { .. })) => self.turn().await?,
                outcome => break outcome,
            }
        };
        self.progress.bar.finish_and_clear();
        Ok(outcome?)
    }
}

/// Debts are in BTT; other tokens come with their own flag when they do.
const TOKEN: TokenId = TokenId::BTT;

impl Settle {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Plan(flags) => plan(context, &flags.or(&context.settings.settle)).await,
            Self::Run(flags) => flags.run(context).await,
            Self::Import(import) => import.run(context).await,
            Self::Watch(watch) => watch.run(context).await,
            Self::Export(export) => export.run(context).await,
            Self::Resume => {
                let (account, key) = account::signer_if_any(context)?;
                let chain = chain::connect(context).await?;
                chain::guard_mainnet(context)?;
                let desk = Desk::new(context, chain, account)?;
                let report = desk
                    .with(async |engine| engine.resume(key.as_deref()).await)
                    .await?;
                print_batches(context, &report.batches)
            }
            Self::Status => status(context).await,
            Self::History(history) => history.run(context).await,
            Self::Audit => audit(context).await,
            Self::Recover(recover) => recover.run(context).await,
            Self::Adopt(adopt) => adopt.run(context).await,
        }
    }
}

async fn plan(context: &Context, flags: &PolicyFlags) -> Outcome {
    let policy = &flags.policy();
    let account = account::address(context)?;
    let chain = chain::connect(context).await?;
    chain.token(context, Token::Trc10(TOKEN)).await?;
    let desk = Desk::new(context, chain, account)?;
    let plan = desk
        .with(async |engine| engine.plan(TOKEN, policy).await)
        .await?;
    context.out.result(&plan_json(context, &plan), || {
        plan_text(&plan, flags.price())
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
                "reason": deferred.reason.to_string(),
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
            deferred.reason
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

async fn run(context: &Context, flags: &PolicyFlags) -> Outcome {
    let policy = &flags.policy();
    let key = account::signer(context)?;
    let chain = chain::connect(context).await?;
    chain::guard_mainnet(context)?;
    chain.token(context, Token::Trc10(TOKEN)).await?;
    let desk = Desk::new(context, chain, key.address())?;
    let mut answer = Ok(());
    // The plan that is shown is the plan that is paid.
    let mut confirm = |plan: &Plan| {
        let network = context.settings.network;
        context.out.note(format!(
            "from {} on {network}\n{}",
            plan.payer,
            plan_text(plan, flags.price())
        ));
        answer = context.out.confirm("Pay?", context.settings.yes);
        answer.is_ok()
    };
    let report = desk
        .with(async |engine| engine.run(key.as_ref(), TOKEN, policy, &mut confirm).await)
        .await?;
    answer?;
    if !report.batches.is_empty() {
        return print_batches(context, &report.batches);
    }
    let deferred = report.plan.iter().flat_map(|plan| &plan.deferred);
    for deferred in deferred.clone() {
        let amount = amount_text(deferred.amount, TOKEN);
        context.out.note(format!(
            "later: {amount} to {}: {}",
            deferred.payee, deferred.reason
        ));
    }
    if let Some(short) = deferred.clone().find(|deferred| deferred.reason.is_funds()) {
        let amount = amount_text(short.amount, TOKEN);
        return Err(Failure::funds(format!(
            "{amount} cannot be paid to {}: {}",
            short.payee, short.reason
        )));
    }
    let document = batches_json(&[]);
    context.out.result(&document, || "nothing to pay".into())
}

/// The batches of a run as one: the id is the last one's.
fn batches_json(reports: &[BatchReport]) -> Value {
    let sum = |field: fn(&BatchReport) -> u64| -> u64 { reports.iter().map(field).sum() };
    let total = reports
        .iter()
        .try_fold(RawAmount::ZERO, |total, report| {
            total.checked_add(report.total)
        })
        .unwrap_or(RawAmount::MAX);
    let txids: Vec<_> = reports.iter().flat_map(|report| &report.txids).collect();
    json!({
        "batch": reports.last().map(|report| report.batch.id.to_string()),
        "payouts": sum(|report| report.counts.payouts),
        "confirmed": sum(|report| report.counts.confirmed),
        "pending": sum(|report| report.counts.pending),
        "failed": sum(|report| report.counts.failed),
        "total_raw": total,
        "fee_sun": sum(|report| report.fee.0),
        "txids": txids,
    })
}

fn batches_text(reports: &[BatchReport]) -> String {
    if reports.is_empty() {
        return "no batch yet".into();
    }
    let mut text = String::new();
    for report in reports {
        let counts = report.counts;
        text.push_str(&format!(
            "batch {}: {} payouts, {} solid, {} pending, {} failed; fees {}\n",
            report.batch.id,
            counts.payouts,
            counts.confirmed,
            counts.pending,
            counts.failed,
            Sun(report.fee.0)
        ));
        for payout in &report.payouts {
            let txid = payout
                .current()
                .map_or_else(|| "unsigned".to_owned(), |row| row.txid.to_string());
            text.push_str(&format!(
                "  {} to {}  {txid}\n",
                paid_text(payout.payout.amount, payout.payout.token),
                payout.payout.payee
            ));
        }
    }
    text.trim_end().to_owned()
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
    let failed: u64 = reports.iter().map(|report| report.counts.failed).sum();
    let pending: u64 = reports.iter().map(|report| report.counts.pending).sum();
    if failed + pending == 0 {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Partly,
        "partly",
        format!("{failed} payouts failed and {pending} are pending"),
    )
    .hint("running it again is safe: nothing is paid twice"))
}
