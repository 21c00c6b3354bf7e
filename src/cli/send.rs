//! `seedrail send`: a payout of one, by the same ledger as a settlement, so
//! that running it again never pays twice. Of many: `send_file.rs`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{
    Context,
    alike::{alike_json, alike_text, state_word},
    chain::{self, TokenInfo},
    csv_flags::CsvFlags,
    failure::{Failure, Outcome},
    payment::{How, Paying, list, memo_text, owed_text, warn_of_payee, with},
    printable, send_file,
    signed_by::SignedBy,
    tx::Wait,
};
use crate::{
    ledger::{AttemptState, PayoutState, TransferRow},
    settle::{
        OrderName, SendEnd, SendOrder, SendQuote, SendReport, Until,
        payout_file::{check_id, key_of_id},
    },
    tron::rpc::NodeError,
    types::{Address, RawAmount},
};

#[derive(Debug, Args)]
pub(crate) struct Send {
    /// Address to pay.
    #[arg(
        long,
        value_name = "ADDRESS",
        requires = "amount",
        required_unless_present = "csv"
    )]
    to: Option<Address>,
    /// Amount with its unit: 5BTT, 3TRX, 7raw:1000001.
    #[arg(long, requires = "to", required_unless_present = "csv")]
    amount: Option<String>,
    /// Text stored with the payment on the chain; costs a fee on most networks.
    #[arg(long, value_name = "TEXT", requires = "to")]
    memo: Option<String>,
    /// The same, as bytes in hex.
    #[arg(
        long,
        value_name = "HEX",
        requires = "to",
        conflicts_with = "memo",
        value_parser = memo_bytes
    )]
    memo_hex: Option<Memo>,
    /// Name of this payment, such as an invoice number: it is paid once for good, however
    /// often it is ordered.
    #[arg(long, value_name = "KEY", requires = "to", value_parser = id)]
    id: Option<String>,
    /// Pay every row of this file once, however often it is run: its first row names the
    /// columns address, amount and if wanted id, memo.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["to", "amount", "memo", "memo_hex", "id"])]
    csv: Option<PathBuf>,
    #[command(flatten)]
    csv_flags: CsvFlags,
    #[command(flatten)]
    signed_by: SignedBy,
    /// Period that the file is paid for, such as 2026-12: the same file is paid once in each
    /// period.
    #[arg(long, value_name = "NAME", requires = "csv", value_parser = id)]
    period: Option<String>,
    /// State to wait for.
    #[arg(long, value_enum, default_value_t = Wait::Solid)]
    wait: Wait,
    /// Show what it would do; sign nothing.
    #[arg(long)]
    dry_run: bool,
    /// Pay although an equal payment is known: same recipient, token and amount, in the last
    /// 35 days or made outside of this ledger.
    #[arg(long)]
    new: bool,
    /// Leave what is owed to the recipients by receipts as it is: this pays something else,
    /// such as wages.
    #[arg(long)]
    not_for_debts: bool,
}

/// The bytes of a memo.
#[derive(Debug, Clone)]
struct Memo(Vec<u8>);

fn memo_bytes(text: &str) -> Result<Memo, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    hex::decode(digits)
        .map(Memo)
        .map_err(|error| format!("`{text}` is not hex: {error}"))
}

fn id(text: &str) -> Result<String, String> {
    check_id(text).map(|()| text.to_owned())
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
            period: self.period,
            signed_by: self.signed_by,
            not_for_debts: self.not_for_debts,
        };
        let (to, amount) = match (self.csv, self.to, self.amount) {
            (Some(file), _, _) => {
                return send_file::run(context, &file, &self.csv_flags.read_as(), how).await;
            }
            (None, Some(to), Some(amount)) => (to, chain::amount(context, &amount)?),
            _ => return Err(Failure::usage("--to and --amount are needed, or --csv")),
        };
        if amount.raw == RawAmount::ZERO {
            return Err(Failure::usage(
                "the amount is zero: there is nothing to pay",
            ));
        }
        let memo = match (self.memo, self.memo_hex) {
            (Some(text), _) => text.into_bytes(),
            (None, Some(Memo(bytes))) => bytes,
            (None, None) => Vec::new(),
        };
        let order = SendOrder {
            payee: to,
            token: amount.token,
            amount: amount.raw,
            memo,
            name: self.id.map(|id| OrderName {
                key: key_of_id(&id),
                label: id,
            }),
            again: how.new,
            not_for_debts: how.not_for_debts,
        };
        one(context, &order, &how).await
    }
}

/// The payment in words, and what it costs; `key` signs.
fn words(
    context: &Context,
    key: Address,
    order: &SendOrder,
    token: &TokenInfo,
    quote: &SendQuote,
    how: &How,
) -> String {
    let mut words = format!(
        "{} pays {} to {} on {}{}",
        how.signed_by.payer(key),
        token.amount(order.amount),
        order.payee,
        context.settings.network,
        how.signed_by.words(key)
    );
    if !order.memo.is_empty() {
        words.push_str(&format!(" with the memo {}", memo_text(&order.memo)));
    }
    words.push_str(&format!(
        "; fee {} expected, {} at worst",
        quote.cost.expected, quote.cost.worst
    ));
    words
}

async fn one(context: &Context, order: &SendOrder, how: &How) -> Outcome {
    let Paying { payer, key, from } = how.paying(context)?;
    let chain = chain::connect(context).await?;
    let token = chain.token(context, order.token).await?;
    let desk = how.desk(context, chain, from)?;
    let base = json!({
        "from": from,
        "to": order.payee,
        "token": order.token.to_string(),
        "amount": order.amount.to_decimal(token.decimals),
        "amount_raw": order.amount,
        "id": order.name.as_ref().map(|name| &name.label),
    });
    let Some(payer) = payer else {
        let quote = desk
            .with(async |engine| engine.preview(order).await)
            .await?;
        warn_of_payee(context, order.payee, quote.activates, quote.is_contract);
        return show(context, base, order, &token, &quote, (key, how));
    };
    chain::guard_mainnet(context)?;
    // What another command orders from now on is known as this order.
    let begun = desk.ask(|engine| engine.begin_order(order))?;
    let mut expected = None;
    let mut answer = Ok(());
    let mut confirm = |quote: &SendQuote| {
        expected = Some(quote.cost.expected);
        context
            .out
            .note(words(context, key, order, &token, quote, how));
        warn_of_payee(context, order.payee, quote.activates, quote.is_contract);
        note_debt(context, order, &token, quote.owed);
        answer = agree(context, order, &token, quote, how).and_then(|()| payer.unlock());
        answer.is_ok()
    };
    let end = desk
        .order(context, async |engine| {
            engine
                .send(&payer, order, &begun, how.until, &mut confirm)
                .await
        })
        .await?;
    let report = match end {
        SendEnd::Declined => return answer,
        SendEnd::Elsewhere(transfer) => return print_elsewhere(context, base, order, &transfer),
        SendEnd::Payout(report) => report,
    };
    if let Some(expected) = expected
        && report
            .state()
            .is_some_and(|(state, ..)| state == PayoutState::Confirmed)
        && report.batch.fees_unknown == 0
    {
        chain::note_fee(context, report.batch.fee, expected);
    }
    let estimate = json!({ "fee_sun_estimate": expected.map(|fee| fee.0) });
    let base = with(base, estimate);
    print(context, base, &report)
}

/// What a dry run prints.
fn show(
    context: &Context,
    base: Value,
    order: &SendOrder,
    token: &TokenInfo,
    quote: &SendQuote,
    (key, how): (Address, &How),
) -> Outcome {
    let document = with(
        base,
        json!({
            "fee_sun_estimate": quote.cost.expected.0,
            "fee_sun_worst": quote.cost.worst.0,
            "activates": quote.activates,
            "alike": alike_json(&quote.alike),
        }),
    );
    note_debt(context, order, token, quote.owed);
    context.out.result(&document, || {
        let mut text = format!(
            "would do: {}",
            words(context, key, order, token, quote, how)
        );
        for past in &quote.alike {
            text.push_str(&format!("\nequal payment: {}", alike_text(past)));
        }
        text
    })
}

/// The question, with the equal payments that are known.
fn agree(
    context: &Context,
    order: &SendOrder,
    token: &TokenInfo,
    quote: &SendQuote,
    how: &How,
) -> Outcome {
    let alike: Vec<_> = quote.alike.iter().map(alike_text).collect();
    let refusal = || {
        format!(
            "an equal payment of {} to {} is known: {}",
            token.amount(order.amount),
            order.payee,
            list(&alike)
        )
    };
    how.agree(context, &alike, refusal, ["Send it?", "Pay it again?"])
}

fn note_debt(context: &Context, order: &SendOrder, token: &TokenInfo, owed: RawAmount) {
    if owed > RawAmount::ZERO {
        context.out.note(owed_text(
            &token.amount(owed),
            order.payee,
            order.not_for_debts,
        ));
    }
}

fn print_elsewhere(
    context: &Context,
    base: Value,
    order: &SendOrder,
    transfer: &TransferRow,
) -> Outcome {
    let document = with(
        base,
        json!({
            "txid": transfer.txid,
            "state": "solid",
            "block": transfer.block,
            "found": true,
        }),
    );
    let id = order.name.as_ref().map_or("", |name| name.label.as_str());
    context.out.result(&document, || {
        format!(
            "`{}` was paid outside of this ledger: {} in block {}, final; nothing was sent",
            printable::line(id),
            transfer.txid,
            transfer.block
        )
    })
}

fn print(context: &Context, base: Value, report: &SendReport) -> Outcome {
    let (Some(txid), Some((payout, attempt, block))) = (report.txid, report.state()) else {
        return Err(nothing_signed(report));
    };
    let state = match (payout, attempt) {
        (PayoutState::Confirmed, _) | (_, Some(AttemptState::Solid)) => "solid",
        (PayoutState::Failed, _) | (_, Some(AttemptState::Dead)) => {
            return Err(match &report.refusal {
                Some(refusal @ NodeError::Refused { .. }) => refusal.clone().into(),
                _ => Failure::failed(
                    "expired",
                    format!(
                        "transaction {txid} did not happen: it expired without getting into a block"
                    ),
                ),
            });
        }
        (_, Some(AttemptState::Included)) => "included",
        _ => match &report.refusal {
            // What a node says is a remark: until it expires it may still happen.
            Some(refusal) => return Err(Failure::may_have_happened(txid, refusal)),
            None => "accepted",
        },
    };
    let fee = fee(report);
    let mut document = with(
        base,
        json!({
            "txid": txid,
            "fee_sun": fee.map(|fee| fee.0),
            "state": state,
            "found": report.found,
        }),
    );
    if let Some(block) = block {
        document = with(document, json!({ "block": block }));
    }
    let word = state_word(payout, attempt);
    context.out.result(&document, || {
        let mut text = match block {
            Some(block) if state == "solid" => format!("{txid} is final, in block {block}"),
            Some(block) => format!("{txid} is in block {block}"),
            None => format!("{txid} is {word}"),
        };
        if state == "solid" {
            text.push_str(&match fee {
                Some(fee) => format!(", fee {fee}"),
                None => ", the node does not tell its fee yet".to_owned(),
            });
        }
        text
    })
}

/// What it burnt, once that is known.
fn fee(report: &SendReport) -> Option<crate::types::Sun> {
    let is_final = report.state()?.0 == PayoutState::Confirmed;
    (is_final && report.batch.fees_unknown == 0).then_some(report.batch.fee)
}

/// Why nothing was signed for a payment.
fn nothing_signed(report: &SendReport) -> Failure {
    let reason = report
        .batch
        .payouts
        .first()
        .map(|payout| payout.payout.reason.clone())
        .filter(|reason| !reason.is_empty());
    match reason {
        Some(reason) => Failure::failed("send", format!("nothing was signed: {reason}")),
        None => Failure::failed("send", "nothing was signed"),
    }
    .hint("run the same command again")
}
