//! Payments that nobody wants any more, and that nothing was signed for.

use clap::Args;
use serde_json::json;

use crate::{
    cli::{
        Context, account,
        alike::unfinished_text,
        chain,
        failure::{Exit, Failure, Outcome},
        settle::desk::Desk,
        units::counted,
    },
    ledger::{PayoutId, PayoutRow, Wanted},
};

#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// Numbers of the payments, as `settle status` shows them.
    #[arg(value_name = "NUMBER", required_unless_present = "all", value_parser = number)]
    numbers: Vec<PayoutId>,
    /// Every payment that nothing was signed for.
    #[arg(long, conflicts_with = "numbers")]
    all: bool,
}

fn number(text: &str) -> Result<PayoutId, String> {
    text.parse()
        .ok()
        .and_then(PayoutId::new)
        .ok_or_else(|| format!("`{text}` is not the number of a payment"))
}

impl Cancel {
    pub(super) async fn run(self, context: &Context) -> Outcome {
        let account = account::address(context)?;
        let chain = chain::connect(context).await?;
        let desk = Desk::new(context, chain, account)?;
        for order in desk.ask(|engine| engine.unfinished())? {
            if self.all || self.numbers.contains(&order.payout.id) {
                context.out.note(unfinished_text(&order));
            }
        }
        context
            .out
            .confirm("Give these payments up?", context.settings.yes)?;
        let numbers = (!self.all).then_some(self.numbers.as_slice());
        let report = desk.with(async |engine| engine.cancel(numbers)).await?;
        let list = |payouts: &[PayoutRow]| -> Vec<_> {
            payouts
                .iter()
                .map(|payout| {
                    json!({
                        "number": payout.id.to_string(),
                        "to": payout.payee,
                        "token": payout.token.to_string(),
                        "amount_raw": payout.amount,
                        "id": Some(&payout.label).filter(|label| !label.is_empty()),
                    })
                })
                .collect()
        };
        let document = json!({
            "cancelled": list(&report.cancelled),
            "signed": list(&report.signed),
        });
        context.out.result(&document, || {
            if report.cancelled.is_empty() {
                return "nothing to give up".to_owned();
            }
            let mut lines = vec![format!(
                "{} given up; nothing was signed for them",
                counted(report.cancelled.len(), "payment")
            )];
            for payout in &report.cancelled {
                lines.push(format!(
                    "  {} to {}",
                    Wanted::from(payout).unit_amount(),
                    payout.payee
                ));
            }
            lines.join("\n")
        })?;
        match report.signed.len() {
            0 => Ok(()),
            signed => Err(Failure::new(
                Exit::Partly,
                "signed",
                format!(
                    "{} signed already and may still happen",
                    match signed {
                        1 => "1 payment is".to_owned(),
                        more => format!("{more} payments are"),
                    }
                ),
            )
            .hint("`seedrail settle resume` follows them to their end")),
        }
    }
}
