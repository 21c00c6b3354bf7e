//! Settling by policy until stopped.

use std::{collections::HashMap, mem::Discriminant, sync::atomic::Ordering, time::Duration};

use clap::Args;

use super::{Desk, TOKEN, batches_json, batches_text, policy::PolicyFlags};
use crate::{
    cli::{
        Context, account, chain,
        failure::{Exit, Outcome},
        output::Output,
        receipts::amount_text,
        units,
    },
    settle::{Deferred, Question, Why},
    types::{Address, Token},
};

#[derive(Debug, Args)]
pub(crate) struct Watch {
    #[command(flatten)]
    flags: PolicyFlags,
    /// Time between two looks for debts.
    #[arg(long, value_name = "TIME", value_parser = units::duration, default_value = "10m")]
    every: Duration,
    /// Pay also debts that no bandwidth covers, by burning TRX.
    #[arg(long)]
    burn: bool,
    /// Pay also accounts that do not exist yet, which costs about 1.1 TRX each.
    #[arg(long)]
    activate: bool,
}

impl Watch {
    /// Runs until a signal ends it: then what is in flight is on disk.
    pub(super) async fn run(self, context: &Context) -> Outcome {
        let key = account::signer(context)?;
        let chain = chain::connect(context).await?;
        chain::guard_mainnet(context)?;
        chain.token(context, Token::Trc10(TOKEN)).await?;
        let desk = Desk::new(context, chain, key.address())?;
        let mut policy = self.flags.or(&context.settings.settle).policy();
        policy.free_only |= !self.burn;
        policy.activate &= self.activate;
        context.out.note(format!(
            "settling for {} every {} s; Ctrl-C ends it, and nothing is lost",
            key.address(),
            self.every.as_secs()
        ));
        let mut told = 0;
        let mut waits = Waits::default();
        loop {
            let mut waiting = 0;
            let round = desk.order(context, async |engine| {
                engine
                    .run(key.as_ref(), TOKEN, &policy, |question| match question {
                        Question::Pay(_) => true,
                        // A person ordered them: a person says whether they are still
                        // wanted, and whether they may cost.
                        Question::Finish(orders) => {
                            waiting = orders.len();
                            false
                        }
                    })
                    .await
            });
            let round = round.await;
            // From one round to the next.
            context.ends_in_order.store(true, Ordering::SeqCst);
            if waiting != told {
                told = waiting;
                if waiting > 0 {
                    context.out.warn(format!(
                        "{} ordered by another command and not signed: `seedrail settle run` asks \
                         whether to finish, `seedrail settle cancel` gives up",
                        match waiting {
                            1 => "1 payment was".to_owned(),
                            more => format!("{more} payments were"),
                        }
                    ));
                }
            }
            match round {
                Ok(report) => {
                    let left = report.plan.iter().flat_map(|plan| &plan.deferred);
                    waits.tell(context.out, left);
                    if !report.batches.is_empty() {
                        context.out.result(&batches_json(&report.batches), || {
                            batches_text(&report.batches)
                        })?;
                    }
                }
                // A node that is gone comes back; everything else needs a person.
                Err(failure) if matches!(failure.exit, Exit::Node) => {
                    context
                        .out
                        .warn(format!("{}: trying again", failure.message));
                }
                Err(failure) if failure.exit == Exit::Interrupted => {
                    if let Some(fate) = failure.hint {
                        context.out.note(fate);
                    }
                    return Ok(());
                }
                Err(failure) => return Err(failure),
            }
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                () = context.interrupt.wait() => return Ok(()),
            }
        }
    }
}

/// Debts that are named at once.
const NAMED: usize = 20;

/// Debts that wait, and why, as it was told last.
#[derive(Debug, Default)]
struct Waits(HashMap<Address, Discriminant<Why>>);

impl Waits {
    /// Tells which debts wait for another reason than before. That one grew is no news.
    fn tell<'a>(&mut self, out: Output, left: impl Iterator<Item = &'a Deferred>) {
        for line in self.news(left) {
            out.note(line);
        }
    }

    fn news<'a>(&mut self, left: impl Iterator<Item = &'a Deferred>) -> Vec<String> {
        let mut lines = Vec::new();
        let mut now = HashMap::new();
        let mut more = 0u64;
        for debt in left {
            let why = std::mem::discriminant(&debt.reason);
            let is_known = self.0.get(&debt.payee) == Some(&why);
            now.insert(debt.payee, why);
            if is_known {
                continue;
            }
            if lines.len() >= NAMED {
                more += 1;
                continue;
            }
            lines.push(format!(
                "waits: {} to {}: {}",
                amount_text(debt.amount, TOKEN),
                debt.payee,
                debt.reason.words(TOKEN)
            ));
        }
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        self.0 = now;
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{RawAmount, Sun};

    #[test]
    fn a_debt_that_waits_is_told_once_for_each_reason() {
        let mut waits = Waits::default();
        let debt = |n: u8, amount: i64, reason: Why| {
            let mut bytes = [n; 21];
            bytes[0] = 0x41;
            Deferred {
                payee: Address::from_bytes(&bytes).unwrap(),
                amount: RawAmount::new(amount).unwrap(),
                reason,
            }
        };
        let mut news = |left: &[Deferred]| waits.news(left.iter());
        let least = RawAmount::new(1_000_000).unwrap();
        let small = |amount| debt(1, amount, Why::BelowMinimum(least));
        let told = news(&[small(5)]);
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("waits: 0.000005 BTT to T"), "{told:?}");
        assert!(told[0].ends_with("below the minimum payout of 1 BTT; left for later"));
        // It grew.
        assert!(news(&[small(6)]).is_empty());
        let told = news(&[
            debt(1, 7, Why::NotFree),
            debt(2, 1, Why::Fee(Sun(2), Sun(1))),
        ]);
        assert_eq!(told.len(), 2);
        assert!(news(&[]).is_empty());
        // It waits again.
        assert_eq!(news(&[debt(1, 7, Why::NotFree)]).len(), 1);
        let many: Vec<_> = (10..40).map(|n| debt(n, 1, Why::NotFree)).collect();
        let told = news(&many);
        assert_eq!((told.len(), told[20].as_str()), (21, "and 10 more"));
    }
}
