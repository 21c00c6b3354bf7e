//! The engine with everything that it borrows, and what a person sees of its work.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use indicatif::ProgressBar;

use crate::{
    cli::{
        Context,
        chain::Chain,
        failure::{Exit, Failure, Outcome},
        output::Output,
        settings::Network,
        signals, store, trust,
        units::counted,
    },
    ledger::{BatchId, Ledger, LedgerError, PayoutState},
    settle::{Engine, Event, NodeChain, SettleError, random_number},
    tron::permission::OWNER_ID,
    types::{Address, BlockId, Clock as _, SystemClock, TxId},
};

/// Everything an engine borrows.
pub(crate) struct Desk {
    pub(crate) chain: NodeChain,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) account: Address,
    /// Which permission of the account signs.
    permission_id: i32,
    holder: String,
    checkpoint: Option<BlockId>,
    out: Output,
    progress: Progress,
}

/// How often it is asked whether an account is free.
const TURN: Duration = Duration::from_millis(250);

/// How long the same reason to wait is kept from a person who sees no bar.
const SILENCE: Duration = Duration::from_secs(5);

/// For how long what a command left is put in order after Ctrl-C.
const TIDYING: Duration = Duration::from_secs(5);

/// This process, as others are told of it.
pub(crate) fn holder() -> String {
    let process = format!("process {}", std::process::id());
    match std::fs::read_to_string("/proc/sys/kernel/hostname") {
        Ok(host) => format!("{process} on {}", host.trim()),
        // Elsewhere the number has to do.
        Err(_) => process,
    }
}

/// Counts what an engine reports, and shows it.
struct Progress {
    out: Output,
    seen: Mutex<Seen>,
}

/// How far the attempts are: each counts once, however often it is sent.
#[derive(Default)]
struct Seen {
    /// Drawn once there is something to count.
    bar: Option<ProgressBar>,
    /// How many payouts there are to count.
    length: u64,
    signed: u64,
    sent: BTreeSet<TxId>,
    included: BTreeSet<TxId>,
    solid: u64,
    /// The batches that this command made, or goes on with.
    batches: Vec<BatchId>,
    /// Why nothing can be done, and since when.
    waiting: Option<(String, Instant)>,
    /// What was told of a wait.
    told: Option<String>,
}

impl Seen {
    fn text(&self) -> String {
        format!(
            "{} signed, {} sent, {} in a block",
            self.signed,
            self.sent.len(),
            self.included.len()
        )
    }

    fn draw(&mut self, out: Output) {
        let (length, solid, text) = (self.length, self.solid, self.text());
        let bar = self
            .bar
            .get_or_insert_with(|| out.bar(length, "{bar:32} {pos}/{len} final  {msg}"));
        bar.set_length(length);
        bar.set_position(solid);
        bar.set_message(text);
    }

    /// Tells of a wait that lasts, once for each reason.
    fn tell(&mut self, out: Output, reason: String) {
        if self.told.as_ref() != Some(&reason) {
            out.note(&reason);
            self.told = Some(reason);
        }
    }
}

impl Progress {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        // Counts are whole after any panic.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to count, with what earlier commands left.
    fn begin(&self, pending: u64) {
        *self.seen() = Seen {
            length: pending,
            ..Seen::default()
        };
    }

    fn end(&self) {
        if let Some(bar) = self.seen().bar.take() {
            bar.finish_and_clear();
        }
    }

    fn see(&self, event: &Event) {
        let mut seen = self.seen();
        match event {
            Event::Planned { payouts, batch } => {
                seen.length += *payouts as u64;
                seen.batches.push(*batch);
                return;
            }
            Event::Resumed(batch) => {
                if !seen.batches.contains(batch) {
                    seen.batches.push(*batch);
                }
                return;
            }
            Event::Found(batch) => {
                seen.batches.push(*batch);
                let words = "the same payment was ordered before and is gone on with: this is that \
                             one (--new pays again)";
                seen.tell(self.out, words.to_owned());
                return;
            }
            Event::Signed(_) => seen.signed += 1,
            Event::Sent(txid, _) => {
                seen.sent.insert(*txid);
            }
            Event::Included(txid, _) => {
                seen.included.insert(*txid);
            }
            Event::Solid(txid, _) => {
                // It may have been signed, sent and seen by an earlier run.
                seen.sent.insert(*txid);
                seen.included.insert(*txid);
                seen.solid += 1;
            }
            Event::Dead(txid) => {
                tracing::info!("{txid} expired unused");
                return;
            }
            Event::GivenUp(payout, reason) => {
                tracing::info!("payout {payout} given up: {reason}");
                return;
            }
            Event::WentBack { from, to } => tracing::warn!(
                "block {from} is not in the node's chain: what was read after block {to} is taken \
                 back and read again"
            ),
            Event::Waiting(reason) => {
                let since = match &seen.waiting {
                    Some((before, since)) if before == reason => *since,
                    _ => Instant::now(),
                };
                seen.waiting = Some((reason.clone(), since));
                if since.elapsed() >= SILENCE {
                    seen.tell(self.out, format!("waiting: {reason}"));
                }
                return;
            }
            Event::WaitingFor(left, reason) => {
                // One sentence for each reason: the time in it is that of the first.
                let is_new = seen
                    .waiting
                    .as_ref()
                    .is_none_or(|(before, _)| before != reason);
                seen.waiting = Some((reason.clone(), Instant::now()));
                if is_new {
                    let until = SystemClock.now().plus(*left).to_utc();
                    let words = format!(
                        "waiting until {until} (about {}): {reason}",
                        counted(left.as_secs(), "second")
                    );
                    seen.tell(self.out, words);
                }
                return;
            }
        }
        seen.waiting = None;
        seen.draw(self.out);
    }
}

impl Desk {
    pub(crate) fn new(context: &Context, chain: Chain, account: Address) -> Outcome<Self> {
        let ledger = store::open(context, chain.genesis)?;
        Ok(Self::on(context, chain, ledger, account))
    }

    pub(super) fn on(
        context: &Context,
        chain: Chain,
        ledger: Arc<dyn Ledger>,
        account: Address,
    ) -> Self {
        Self {
            chain: NodeChain {
                node: chain.node,
                moves_time: context.settings.network == Network::Devnet,
            },
            ledger,
            account,
            permission_id: OWNER_ID,
            holder: holder(),
            checkpoint: context.settings.checkpoint,
            out: context.out,
            progress: Progress {
                out: context.out,
                seen: Mutex::default(),
            },
        }
    }

    /// The same, for a key that signs under a permission of the account.
    pub(crate) fn signing_under(mut self, permission_id: i32) -> Self {
        self.permission_id = permission_id;
        self
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

    fn engine<'a>(&'a self, report: &'a (dyn Fn(&Event) + Sync)) -> Engine<'a, NodeChain> {
        Engine {
            ledger: self.ledger.as_ref(),
            chain: &self.chain,
            clock: &SystemClock,
            account: self.account,
            permission_id: self.permission_id,
            holder: &self.holder,
            report,
            random: &random_number,
        }
    }

    /// Runs `work` with an engine that asks no node and reports nothing.
    pub(crate) fn ask<T>(
        &self,
        work: impl FnOnce(&Engine<'_, NodeChain>) -> Result<T, SettleError>,
    ) -> Outcome<T> {
        Ok(work(&self.engine(&|_: &Event| {}))?)
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
        trust::begin(self.out, self.ledger.as_ref(), &self.chain, self.checkpoint).await?;
        self.progress.begin(pending);
        let report = |event: &Event| self.progress.see(event);
        let engine = self.engine(&report);
        let outcome = loop {
            match work(&engine).await {
                Err(SettleError::Ledger(LedgerError::AccountHeld { .. })) => self.turn().await?,
                outcome => break outcome,
            }
        };
        self.progress.end();
        Ok(outcome?)
    }

    /// [`with`](Self::with), for work that signs. When Ctrl-C or an error ends it, what
    /// nothing was signed for is given up, and the failure says what is on its way.
    pub(crate) async fn order<T>(
        &self,
        context: &Context,
        work: impl AsyncFnMut(&Engine<'_, NodeChain>) -> Result<T, SettleError>,
    ) -> Outcome<T> {
        context.ends_in_order.store(true, Ordering::SeqCst);
        let outcome = self.order_until(context, work).await;
        context.ends_in_order.store(false, Ordering::SeqCst);
        outcome
    }

    async fn order_until<T>(
        &self,
        context: &Context,
        work: impl AsyncFnMut(&Engine<'_, NodeChain>) -> Result<T, SettleError>,
    ) -> Outcome<T> {
        let failure = tokio::select! {
            outcome = self.with(work) => match outcome {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            },
            () = context.interrupt.wait() => Failure::interrupted(),
        };
        self.progress.end();
        let batches = self.progress.seen().batches.clone();
        if batches.is_empty() {
            return Err(if signals::is_interrupted() {
                failure.hint("nothing was signed by this command")
            } else {
                failure
            });
        }
        self.tidy(&batches, failure).await
    }

    /// Gives up what nothing was signed for, and adds to the failure what became of the
    /// rest.
    async fn tidy<T>(&self, batches: &[BatchId], mut failure: Failure) -> Outcome<T> {
        let reason = match failure.exit {
            Exit::Interrupted => "its command was ended by Ctrl-C".to_owned(),
            _ => failure.message.clone(),
        };
        let end = Instant::now() + TIDYING;
        let given_up = loop {
            match self.ask(|engine| engine.abandon(batches, &reason)) {
                // Another command took the account over, or the lease of the work that
                // was ended is still on its way back.
                Err(_) if Instant::now() < end => tokio::time::sleep(TURN).await,
                outcome => break outcome.is_ok(),
            }
        };
        let fate = self.fate(batches)?;
        let words = fate.text();
        let hint = if given_up {
            format!("{words}; running the same command again is safe: nothing is paid twice")
        } else {
            format!("{words}; `seedrail settle status` shows what is still planned")
        };
        // What the error advised stays the first advice.
        failure.hint = Some(match failure.hint {
            Some(advice) => format!("{advice}; {hint}"),
            None => hint,
        });
        if fate.out > 0 && failure.exit == Exit::Failed {
            failure.exit = Exit::Partly;
        }
        Err(failure)
    }

    /// What became of the payouts of batches.
    fn fate(&self, batches: &[BatchId]) -> Outcome<Fate> {
        let mut fate = Fate::default();
        for batch in batches {
            for payout in self.ledger.payouts(*batch)? {
                match payout.state {
                    PayoutState::Planned => fate.unsigned += 1,
                    PayoutState::InFlight => fate.out += 1,
                    PayoutState::Confirmed => fate.solid += 1,
                    PayoutState::Failed => fate.given_up += 1,
                }
            }
        }
        Ok(fate)
    }
}

/// What became of the payouts of a command that ended early.
#[derive(Debug, Default)]
struct Fate {
    out: usize,
    solid: usize,
    given_up: usize,
    unsigned: usize,
}

impl Fate {
    fn text(&self) -> String {
        let all = self.out + self.solid + self.given_up + self.unsigned;
        format!(
            "of {}, {} final, {} signed and may still happen, {} not signed",
            counted(all, "payment"),
            are(self.solid),
            are(self.out),
            are(self.given_up + self.unsigned)
        )
    }
}

fn are(number: usize) -> String {
    format!("{number} {}", if number == 1 { "is" } else { "are" })
}
