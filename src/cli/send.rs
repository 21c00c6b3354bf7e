//! `seedrail send`: a payout of one, by the same ledger as a settlement, so
//! that running it again never pays twice. Of many: `send_file.rs`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{
    Context, account, chain,
    csv_flags::CsvFlags,
    failure::{Failure, Outcome},
    send_file,
    settle::Desk,
    tx::Wait,
};
use crate::{
    ledger::{AttemptState, PayoutState},
    settle::{SendOrder, SendReport, Until},
    types::{Address, UnitAmount},
};

#[derive(Debug, Args)]
pub(crate) struct Send {
    /// Who is paid.
    #[arg(
        long,
        value_name = "ADDRESS",
        requires = "amount",
        required_unless_present = "csv"
    )]
    to: Option<Address>,
    /// How much, with its unit: 5BTT, 3TRX, 7raw:1000001.
    #[arg(long, requires = "to", required_unless_present = "csv")]
    amount: Option<String>,
    /// A memo; costs a fee on most networks.
    #[arg(long, value_name = "TEXT", requires = "to")]
    memo: Option<String>,
    /// Pay every row of this file once, however often it is run: its first row names the
    /// columns address, amount and if wanted id, memo.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["to", "amount", "memo"])]
    csv: Option<PathBuf>,
    #[command(flatten)]
    csv_flags: CsvFlags,
    /// What to wait for.
    #[arg(long, value_enum, default_value_t = Wait::Solid)]
    wait: Wait,
    /// Show what it would do; sign nothing.
    #[arg(long)]
    dry_run: bool,
    /// Pay again although the same payment is still under way; rows of a file without ids,
    /// although the same was paid lately.
    #[arg(long)]
    new: bool,
}

/// What is asked of a payment besides what is paid.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    pub(super) until: Until,
    pub(super) dry_run: bool,
    pub(super) new: bool,
}

impl Send {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let how = How {
            until: match self.wait {
                Wait::None => Until::Sent,
                Wait::Block => Until::Included,
                Wait::Solid => Until::Ended,
            },
            dry_run: self.dry_run,
            new: self.new,
        };
        match (self.csv, self.to, self.amount) {
            (Some(file), _, _) => {
                send_file::run(context, &file, &self.csv_flags.read_as(), how).await
            }
            (None, Some(to), Some(amount)) => {
                let amount = chain::amount(context, &amount)?;
                one(context, to, amount, self.memo.unwrap_or_default(), how).await
            }
            _ => Err(Failure::usage("--to and --amount are needed, or --csv")),
        }
    }
}

async fn one(
    context: &Context,
    to: Address,
    amount: UnitAmount,
    memo: String,
    how: How,
) -> Outcome {
    // Keys come before the node: a wrong passphrase asks nobody anything.
    let (from, key) = account::actor(context, how.dry_run)?;
    let chain = chain::connect(context).await?;
    let token = chain.token(context, amount.token).await?;
    let order = SendOrder {
        payee: to,
        token: amount.token,
        amount: amount.raw,
        memo: memo.into_bytes(),
        again: how.new,
    };
    let desk = Desk::new(context, chain, from)?;
    let quote = desk.with(async |engine| engine.quote(&order).await).await?;
    let amount = amount.raw.to_decimal(token.decimals);
    let network = context.settings.network;
    let mut words = format!(
        "{from} pays {amount} {} to {} on {network}; fee {} expected, {} at worst",
        token.name, to, quote.cost.expected, quote.cost.worst
    );
    if quote.activates {
        words.push_str(" (it makes the account)");
    }
    let base = json!({
        "from": from,
        "to": to,
        "token": order.token.to_string(),
        "amount": amount,
        "amount_raw": order.amount,
    });
    let Some(key) = key else {
        let document = with(
            base,
            [
                ("fee_sun_estimate", json!(quote.cost.expected.0)),
                ("fee_sun_worst", json!(quote.cost.worst.0)),
                ("activates", json!(quote.activates)),
            ],
        );
        return context
            .out
            .result(&document, || format!("would do: {words}"));
    };
    chain::guard_mainnet(context)?;
    context.out.note(words);
    context.out.confirm("Send it?", context.settings.yes)?;
    let report = desk
        .with(async |engine| engine.send(key.as_ref(), &order, how.until).await)
        .await?;
    if report.found {
        context
            .out
            .note("the same payment was under way already: this is that one (--new pays again)");
    }
    let base = with(base, [("fee_sun_estimate", json!(quote.cost.expected.0))]);
    let burnt = report.batch.fee;
    if report.batch.is_finished() && !report.found {
        chain::note_fee(context, burnt, quote.cost.expected);
    }
    print(context, base, &report)
}

fn with<const N: usize>(mut document: Value, more: [(&str, Value); N]) -> Value {
    if let Some(object) = document.as_object_mut() {
        for (key, value) in more {
            object.insert(key.to_owned(), value);
        }
    }
    document
}

fn print(context: &Context, base: Value, report: &SendReport) -> Outcome {
    let (Some(txid), Some((payout, attempt, block))) = (report.txid, report.state()) else {
        return Err(
            Failure::failed("send", "nothing was signed").hint("run the same command again")
        );
    };
    let state = match (payout, attempt) {
        (PayoutState::Confirmed, _) | (_, Some(AttemptState::Solid)) => "solid",
        (PayoutState::Failed, _) | (_, Some(AttemptState::Dead)) => {
            let reason = report.refusal.as_ref().map_or_else(
                || "it expired without getting into a block".to_owned(),
                ToString::to_string,
            );
            return Err(match &report.refusal {
                Some(refusal) => refusal.clone().into(),
                None => Failure::failed(
                    "expired",
                    format!("transaction {txid} did not happen: {reason}"),
                ),
            });
        }
        (_, Some(AttemptState::Included)) => "included",
        _ => match &report.refusal {
            // A refusal is a remark: until it expires it may still happen.
            Some(refusal) => return Err(Failure::may_have_happened(txid, refusal)),
            None => "accepted",
        },
    };
    let mut document = with(
        base,
        [
            ("txid", json!(txid)),
            ("fee_sun", json!(report.batch.fee.0)),
            ("state", json!(state)),
        ],
    );
    if let Some(block) = block {
        document = with(document, [("block", json!(block))]);
    }
    context.out.result(&document, || match block {
        Some(block) => format!("{txid} {state} in block {block}, fee {}", report.batch.fee),
        None => format!("{txid} {state}"),
    })
}
