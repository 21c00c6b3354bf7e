//! `seedrail send`: a payout of one, by the same ledger as a settlement, so
//! that running it again never pays twice. Of many: `send_file.rs`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{
    Context,
    account::{self, Payer},
    alike::{alike_json, alike_text, refuse_alike, state_word},
    chain::{self, TokenInfo},
    csv_flags::CsvFlags,
    failure::{Failure, Outcome},
    printable, send_file,
    settle::Desk,
    signed_by::SignedBy,
    tx::Wait,
};
use crate::{
    ledger::{AttemptState, PayoutState, TransferRow},
    settle::{
        OrderName, SendEnd, SendOrder, SendQuote, SendReport, Until,
        payout_file::{check_id, key_of_id},
    },
    tron::{keys::Signer as _, rpc::NodeError},
    types::{Address, RawAmount, UnitAmount},
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

/// What is asked of a payment besides what is paid.
#[derive(Debug, Clone)]
pub(super) struct How {
    pub(super) until: Until,
    pub(super) dry_run: bool,
    pub(super) new: bool,
    pub(super) period: Option<String>,
    pub(super) signed_by: SignedBy,
    pub(super) not_for_debts: bool,
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

/// A memo as people read it: text in quotes, or bytes in hex.
pub(super) fn memo_text(memo: &[u8]) -> String {
    match std::str::from_utf8(memo) {
        Ok(text) => format!("`{}`", printable::line(text)),
        Err(_) => format!("0x{}", hex::encode(memo)),
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

/// What a person should look at twice.
pub(super) fn warn_of_payee(context: &Context, payee: Address, activates: bool, is_contract: bool) {
    if payee == Address::ZERO {
        context.out.warn(format!(
            "{payee} is the zero address: nobody has its key, and what is sent there is lost"
        ));
    } else if is_contract {
        context.out.warn(format!(
            "{payee} is a smart contract: tokens sent to it are lost, unless it was made to take \
             them"
        ));
    } else if activates {
        context.out.warn(format!(
            "{payee} was never used on this chain: check it letter by letter; making the account \
             is part of the fee"
        ));
    }
}

async fn one(context: &Context, order: &SendOrder, how: &How) -> Outcome {
    // Keys come before the node: a wrong passphrase asks nobody anything.
    let payer = if how.dry_run {
        None
    } else {
        Some(Payer::new(context)?)
    };
    let key = match &payer {
        Some(payer) => payer.address(),
        None => account::address(context)?,
    };
    let from = how.signed_by.payer(key);
    let chain = chain::connect(context).await?;
    let token = chain.token(context, order.token).await?;
    let desk = Desk::new(context, chain, from)?.signing_under(how.signed_by.permission_id());
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
    let base = with(
        base,
        [("fee_sun_estimate", json!(expected.map(|fee| fee.0)))],
    );
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
        [
            ("fee_sun_estimate", json!(quote.cost.expected.0)),
            ("fee_sun_worst", json!(quote.cost.worst.0)),
            ("activates", json!(quote.activates)),
            ("alike", alike_json(&quote.alike)),
        ],
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
    let question = if quote.alike.is_empty() {
        "Send it?"
    } else {
        for past in &quote.alike {
            context
                .out
                .note(format!("equal payment: {}", alike_text(past)));
        }
        refuse_alike(context, how.new, || {
            let past = quote.alike.first().map(alike_text).unwrap_or_default();
            let more = match quote.alike.len() {
                0 | 1 => String::new(),
                more => format!("; and {} more", more - 1),
            };
            format!(
                "an equal payment of {} to {} is known: {past}{more}",
                token.amount(order.amount),
                order.payee
            )
        })?;
        "Pay it again?"
    };
    context.out.confirm(question, context.settings.yes)
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

/// What a payment does to what is owed to its payee by receipts.
pub(super) fn owed_text(owed: &str, payee: Address, not_for_debts: bool) -> String {
    let what = if not_for_debts {
        "this payment leaves that as it is"
    } else {
        "this payment counts against it, and the next settlement pays so much less \
         (--not-for-debts keeps them apart)"
    };
    format!("{owed} is owed to {payee} by receipts: {what}")
}

pub(super) fn with<const N: usize>(mut document: Value, more: [(&str, Value); N]) -> Value {
    if let Some(object) = document.as_object_mut() {
        for (key, value) in more {
            object.insert(key.to_owned(), value);
        }
    }
    document
}

fn print_elsewhere(
    context: &Context,
    base: Value,
    order: &SendOrder,
    transfer: &TransferRow,
) -> Outcome {
    let document = with(
        base,
        [
            ("txid", json!(transfer.txid)),
            ("state", json!("solid")),
            ("block", json!(transfer.block)),
            ("found", json!(true)),
        ],
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
        [
            ("txid", json!(txid)),
            ("fee_sun", json!(fee.map(|fee| fee.0))),
            ("state", json!(state)),
            ("found", json!(report.found)),
        ],
    );
    if let Some(block) = block {
        document = with(document, [("block", json!(block))]);
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

impl TokenInfo {
    /// An amount as people read it; of a token that is not built in, with its id.
    pub(super) fn amount(&self, amount: RawAmount) -> String {
        format!("{} {}", amount.to_decimal(self.decimals), self.name)
    }
}

/// Amounts whose token the chain was not asked about.
pub(super) fn unit_amount(wanted: &crate::ledger::Wanted) -> UnitAmount {
    UnitAmount {
        token: wanted.token,
        raw: wanted.amount,
    }
}
