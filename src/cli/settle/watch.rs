//! Settling by policy until stopped.

use std::{sync::atomic::Ordering, time::Duration};

use clap::Args;

use super::{
    TOKEN,
    batches::{batches_json, batches_text},
    desk::Desk,
    policy::PolicyFlags,
};
use crate::{
    cli::{
        Context, account, chain,
        failure::{Exit, Outcome},
        receipts::amount_text,
        units,
    },
    client::SettleWatch,
    types::Token,
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
        let mut watch = SettleWatch::new(TOKEN, policy);
        loop {
            let round = desk.order(context, async |engine| {
                watch.round(engine, key.as_ref()).await
            });
            let round = round.await;
            // From one round to the next.
            context.ends_in_order.store(true, Ordering::SeqCst);
            if let Some(waiting @ 1..) = watch.newly_ordered() {
                context.out.warn(format!(
                    "{} ordered by another command and not signed: `seedrail settle run` asks \
                     whether to finish, `seedrail settle cancel` gives up",
                    match waiting {
                        1 => "1 payment was".to_owned(),
                        more => format!("{more} payments were"),
                    }
                ));
            }
            match round {
                Ok(looked) => {
                    for debt in &looked.waits {
                        context.out.note(format!(
                            "waits: {} to {}: {}",
                            amount_text(debt.amount_raw, TOKEN),
                            debt.payee,
                            debt.reason
                        ));
                    }
                    if looked.more_wait > 0 {
                        context.out.note(format!("and {} more", looked.more_wait));
                    }
                    if !looked.batches.is_empty() {
                        context.out.result(&batches_json(&looked.batches), || {
                            batches_text(&looked.batches)
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
