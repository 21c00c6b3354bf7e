//! What the chain shows beside the ledger: the audit, transfers made elsewhere,
//! and the way back from a copy.

use clap::Args;
use serde_json::{Value, json};

use super::desk::Desk;
use crate::{
    cli::{
        Context, account, chain,
        failure::{Exit, Failure, Outcome},
        printable, store,
    },
    ledger::{Ledger, TransferRow},
    settle::payout_file::{check_id, key_in_period, key_of_id},
    types::{RawAmount, Token, TxId, UnitAmount},
};

#[derive(Debug, Args)]
pub(crate) struct Recover {
    /// Believe the witnesses of the next blocks, though the ledger never saw them.
    #[arg(long)]
    trust_witnesses: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Adopt {
    /// The transactions, as `settle audit` names them.
    #[arg(value_name = "TXID", required_unless_present = "all")]
    txids: Vec<TxId>,
    /// Every one that the ledger does not know.
    #[arg(long, conflicts_with = "txids")]
    all: bool,
    /// Text to remember them by.
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    /// Name of the payment that the transfer is: it is paid, and is not paid again.
    #[arg(long, value_name = "KEY", conflicts_with = "all", value_parser = id)]
    id: Option<String>,
    /// Period of the file that the payment is a row of.
    #[arg(long, value_name = "NAME", requires = "id", value_parser = id)]
    period: Option<String>,
}

fn id(text: &str) -> Result<String, String> {
    check_id(text).map(|()| text.to_owned())
}

fn transfer_json(transfer: &TransferRow) -> Value {
    json!({
        "txid": transfer.txid,
        "block": transfer.block,
        "payee": transfer.payee,
        "token": transfer.token.to_string(),
        "amount_raw": transfer.amount,
    })
}

fn amount(raw: RawAmount, token: Token) -> UnitAmount {
    UnitAmount { token, raw }
}

fn transfer_text(transfer: &TransferRow) -> String {
    format!(
        "{}  {}  {} to {}, block {}",
        transfer.block_time.to_utc(),
        transfer.txid,
        amount(transfer.amount, transfer.token),
        transfer.payee,
        transfer.block
    )
}

impl Recover {
    pub(super) async fn run(self, context: &Context) -> Outcome {
        let account = account::address(context)?;
        let chain = chain::connect(context).await?;
        let desk = Desk::new(context, chain, account)?;
        let report = desk
            .with(async |engine| engine.recover(self.trust_witnesses).await)
            .await?;
        let list =
            |transfers: &[TransferRow]| -> Vec<_> { transfers.iter().map(transfer_json).collect() };
        let document = json!({
            "done": report.done,
            "given_up": report.given_up,
            "matched": list(&report.matched),
            "unassigned": list(&report.unassigned),
        });
        context.out.result(&document, || {
            let mut lines = Vec::new();
            for transfer in &report.matched {
                lines.push(format!("pays receipts here:  {}", transfer_text(transfer)));
            }
            for transfer in &report.unassigned {
                lines.push(format!("not explained:       {}", transfer_text(transfer)));
            }
            if report.given_up > 0 {
                lines.push(format!("{} payouts are planned anew", report.given_up));
            }
            if report.done {
                lines.push(format!("{account} may sign again"));
            }
            lines.join("\n")
        })?;
        if report.done {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Disagree,
            "unassigned",
            format!(
                "{} transfers of {account} are explained by nothing in this ledger",
                report.unassigned.len()
            ),
        )
        .hint("look at each, then say that you know it: `seedrail settle adopt TXID`, and run `settle recover` again"))
    }
}

impl Adopt {
    pub(super) async fn run(self, context: &Context) -> Outcome {
        let account = account::address(context)?;
        let (_, ledger) = store::open_offline(context).await?;
        let txids = if self.all {
            unknown(&*ledger, account)?
        } else {
            self.txids
        };
        if let Some(id) = &self.id {
            let [txid] = txids.as_slice() else {
                return Err(Failure::usage(
                    "--id names one payment: give one transaction",
                ));
            };
            let mut key = key_of_id(id);
            if let Some(period) = &self.period {
                key = key_in_period(period, &key);
            }
            let key = key.of_account(account);
            let is_new = *ledger.adopt_as(*txid, &key, &self.note)?.get();
            let document = json!({ "adopted": [txid], "id": id, "new": is_new });
            return context.out.result(&document, || {
                format!("`{}` is paid by {txid} from now on", printable::line(id))
            });
        }
        let mut adopted = Vec::new();
        for txid in txids {
            if *ledger.adopt_transfer(txid, &self.note)?.get() {
                adopted.push(txid);
            }
        }
        let document = json!({ "adopted": adopted });
        context.out.result(&document, || match adopted.len() {
            0 => "nothing new: every one of them was adopted before".into(),
            count => format!("{count} transfers are known from now on"),
        })
    }
}

/// The transfers of the account that are no payouts of the ledger, nor adopted.
fn unknown(ledger: &dyn Ledger, account: crate::types::Address) -> Outcome<Vec<TxId>> {
    let Some(cursor) = ledger.cursor(account)? else {
        return Ok(Vec::new());
    };
    let outgoing = ledger.outgoing(account, cursor.bound.number(), u32::MAX)?;
    Ok(outgoing
        .into_iter()
        .filter(|row| !row.is_explained())
        .map(|row| row.transfer.txid)
        .collect())
}

pub(super) async fn audit(context: &Context) -> Outcome {
    let account = account::address(context)?;
    let chain = chain::connect(context).await?;
    let desk = Desk::new(context, chain, account)?;
    let differences = desk.with(async |engine| engine.audit().await).await?;
    let rows: Vec<_> = differences
        .iter()
        .map(|difference| {
            json!({
                "kind": difference.kind.name(),
                "txid": difference.txid,
                "payee": difference.payee,
                "amount_raw": difference.amount,
            })
        })
        .collect();
    let document = json!({ "ok": rows.is_empty(), "differences": rows });
    context.out.result(&document, || {
        if differences.is_empty() {
            return "the ledger and the solid chain agree".into();
        }
        differences
            .iter()
            .map(|d| {
                format!(
                    "{:<13} {}  {} to {}",
                    d.kind.name(),
                    d.txid,
                    amount(d.amount, d.token),
                    d.payee
                )
            })
            .collect::<Vec<_>>()
            .join("\n")
    })?;
    if differences.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Disagree,
        "disagree",
        format!(
            "{} differences between the ledger and the chain",
            differences.len()
        ),
    ))
}
