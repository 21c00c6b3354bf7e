//! Payers whose keys are in several hands: the batch goes out to be signed, and
//! comes back.

use std::{
    fs::OpenOptions,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use serde_json::json;

use super::{PolicyFlags, TOKEN, desk::Desk, plan_text, print_batches, run};
use crate::{
    cli::{
        Context, account, chain,
        failure::{Failure, Outcome},
        signed_by::SignedBy,
        store, tx, tx_documents, tx_words, units,
    },
    ledger::{AttemptRow, Durable, Payouts},
    settle::{OFFER_LIFETIME, OfferTerms, Plan, SettleError},
    tron::transaction::Transaction,
    types::{Address, Token, TxId},
};

#[derive(Debug, Args)]
pub(crate) struct RunFlags {
    #[command(flatten)]
    policy: PolicyFlags,
    /// Sign nothing: write the transactions to this file, for the holders of the
    /// account's keys.
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// Show what it would pay; sign nothing.
    #[arg(long, conflicts_with = "export")]
    dry_run: bool,
    /// Until when they can be signed and sent, at most 24h.
    #[arg(long, value_name = "TIME", value_parser = lifetime, default_value = "24h", requires = "export")]
    expires: Duration,
    #[command(flatten)]
    signed_by: SignedBy,
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = units::duration(text)?;
    if (Duration::from_secs(60)..=OFFER_LIFETIME).contains(&lifetime) {
        Ok(lifetime)
    } else {
        Err("a transaction for others to sign lives from 1m to 24h".to_owned())
    }
}

impl RunFlags {
    pub(super) async fn run(self, context: &Context) -> Outcome {
        let policy = self.policy.or(&context.settings.settle);
        if self.dry_run {
            return super::plan(context, &policy, self.signed_by).await;
        }
        let Some(file) = &self.export else {
            return run(context, &policy, self.signed_by).await;
        };
        let terms = OfferTerms {
            permission_id: self.signed_by.permission_id(),
            lifetime: self.expires,
        };
        export(context, &policy, terms, self.signed_by, file).await
    }
}

async fn export(
    context: &Context,
    flags: &PolicyFlags,
    terms: OfferTerms,
    signed_by: SignedBy,
    file: &Path,
) -> Outcome {
    let policy = &flags.policy();
    let account = signed_by.payer(account::address(context)?);
    let chain = chain::connect(context).await?;
    chain::guard_mainnet(context)?;
    chain.token(context, Token::Trc10(TOKEN)).await?;
    let desk = Desk::new(context, chain, account)?;
    let mut answer = Ok(());
    let mut confirm = |plan: &Plan| {
        context.out.note(format!(
            "from {} on {}, to be signed elsewhere\n{}",
            plan.payer,
            context.settings.network,
            plan_text(plan, flags.price())
        ));
        answer = context
            .out
            .confirm("Offer it for signing?", context.settings.yes);
        answer.is_ok()
    };
    let report = desk
        .with(async |engine| engine.offer(terms, TOKEN, policy, &mut confirm).await)
        .await?;
    answer?;
    write(file, &report.offered)?;
    let count = report.offered.len();
    let document = json!({
        "file": file,
        "transactions": count,
        "new": report.plan.payouts.len(),
        "expiration": report.offered.iter().map(|row| row.get().expiration).min(),
    });
    context.out.result(&document, || match count {
        0 => "nothing to sign".to_owned(),
        _ => format!(
            "{} in {}, {} of them new. Each holder: `seedrail tx sign {} > SIGNED`; \
             then `seedrail settle import SIGNED…`",
            units::counted(count, "transaction"),
            file.display(),
            report.plan.payouts.len(),
            file.display()
        ),
    })
}

/// A document a line, as `tx sign` reads them.
fn write(path: &Path, offered: &[Durable<AttemptRow>]) -> Outcome {
    let failed = |error: std::io::Error| Failure::file(path, error);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut writer = BufWriter::new(options.open(path).map_err(failed)?);
    for attempt in offered {
        let transaction =
            Transaction::decode(&attempt.get().bytes).map_err(tx_documents::invalid)?;
        writeln!(writer, "{}", tx_documents::document(&transaction)?).map_err(failed)?;
    }
    writer.flush().map_err(failed)
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Signed files, in any order: signatures of the same transaction are put
    /// together.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
}

impl Import {
    pub(super) async fn run(self, context: &Context) -> Outcome {
        let signed = tx::merge(&self.files)?;
        let chain = chain::connect(context).await?;
        chain::guard_mainnet(context)?;
        let ledger = store::open(context, chain.genesis)?;
        let account = payer(&*ledger, &signed)?;
        for total in tx_words::totals(&signed)? {
            context.out.note(format!("from {account}: {total}"));
        }
        let desk = Desk::on(context, chain, ledger, account);
        context.out.confirm(
            &format!("Send {} transactions?", signed.len()),
            context.settings.yes,
        )?;
        let report = desk
            .order(context, async |engine| engine.bring_back(&signed).await)
            .await?;
        for (txid, why) in &report.left {
            context.out.note(format!("{txid} was not sent: {why}"));
        }
        if let Some(refusal) = &report.refusal {
            context.out.warn(refusal.to_string());
        }
        print_batches(context, &report.batches)
    }
}

/// Whose payouts these are.
fn payer(ledger: &dyn Payouts, signed: &[Transaction]) -> Outcome<Address> {
    let txids: Vec<TxId> = signed.iter().map(Transaction::txid).collect();
    let known = ledger.attempts_of(&txids)?;
    let numbers: Vec<_> = known.iter().map(|row| row.get().payout).collect();
    let payouts = ledger.payouts_numbered(&numbers)?;
    match (payouts.first(), txids.first()) {
        (Some(payout), _) => Ok(payout.payer),
        (None, Some(txid)) => Err(SettleError::NotOffered(*txid).into()),
        (None, None) => Err(Failure::usage("the files hold no transaction")),
    }
}
