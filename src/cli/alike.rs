//! Equal payments that are known, in words: what an order is compared with before
//! anything is signed.

use std::io::IsTerminal;

use serde_json::{Value, json};

use super::{
    Context,
    failure::{Failure, Outcome},
    printable,
};
use crate::{
    ledger::{AttemptState, PastOrigin, PastPayment, PayoutState, Wanted},
    settle::Unfinished,
};

/// The one word for each state.
pub(super) const fn state_word(payout: PayoutState, attempt: Option<AttemptState>) -> &'static str {
    match (payout, attempt) {
        (PayoutState::Confirmed, _) => "final",
        (PayoutState::Failed, _) => "given up",
        (_, Some(AttemptState::Included | AttemptState::Solid)) => "in a block",
        (_, Some(AttemptState::Sent)) => "accepted",
        (_, Some(AttemptState::Signed)) => "signed",
        (_, Some(AttemptState::Offered)) => "to be signed",
        (_, Some(AttemptState::Dead)) => "expired",
        (_, None) => "not signed",
    }
}

/// A past payment in a sentence: when, what, to which address, how it is known.
pub(super) fn alike_text(past: &PastPayment) -> String {
    let mut text = format!(
        "{}: {} to {}",
        past.at.to_utc(),
        past.wanted.unit_amount(),
        past.wanted.payee
    );
    match &past.origin {
        PastOrigin::Payout { state, label, .. } => {
            let word = match (state, past.block) {
                (PayoutState::Confirmed, _) => "final",
                (_, Some(_)) => "in a block",
                (PayoutState::Planned, _) => "ordered, not signed",
                _ => "on its way",
            };
            text.push_str(&format!(", {word}"));
            if !label.is_empty() {
                text.push_str(&format!(", id `{}`", printable::line(label)));
            }
        }
        PastOrigin::Elsewhere { .. } => text.push_str(", made outside of this ledger"),
    }
    if let Some(txid) = past.txid {
        text.push_str(&format!(", transaction {txid}"));
    }
    text
}

pub(super) fn alike_json(alike: &[PastPayment]) -> Value {
    let one = |past: &PastPayment| {
        let (label, elsewhere) = match &past.origin {
            PastOrigin::Payout { label, .. } => (Some(label), false),
            PastOrigin::Elsewhere { .. } => (None, true),
        };
        json!({
            "at_ms": past.at,
            "to": past.wanted.payee,
            "token": past.wanted.token.to_string(),
            "amount_raw": past.wanted.amount,
            "txid": past.txid,
            "id": label.filter(|label| !label.is_empty()),
            "elsewhere": elsewhere,
        })
    };
    alike.iter().map(one).collect()
}

/// Equal payments are a question of their own: only a person at a terminal, or `--new`,
/// answers it.
pub(super) fn refuse_alike(
    context: &Context,
    new: bool,
    sentence: impl FnOnce() -> String,
) -> Outcome {
    if new || (std::io::stdin().is_terminal() && !context.settings.yes) {
        return Ok(());
    }
    Err(Failure::failed("paid_alike", sentence()).hint(
        "nothing was paid: give --new to pay it again; payments with an id of their own (--id KEY, \
         or the column `id` of a file) are told apart by it; `seedrail settle adopt TXID --id KEY` \
         says that a transfer made outside of this ledger is the payment KEY",
    ))
}

/// An order that another command left unsigned.
pub(super) fn unfinished_text(order: &Unfinished) -> String {
    let payout = &order.payout;
    let mut text = format!(
        "{} to {}, ordered {}, not signed (number {}",
        Wanted::from(payout).unit_amount(),
        payout.payee,
        order.at.to_utc(),
        payout.id
    );
    if !payout.label.is_empty() {
        text.push_str(&format!(", id `{}`", printable::line(&payout.label)));
    }
    text.push(')');
    for past in &order.alike {
        text.push_str(&format!("\n    equal payment: {}", alike_text(past)));
    }
    text
}

pub(super) fn unfinished_json(orders: &[Unfinished]) -> Value {
    let one = |order: &Unfinished| {
        let payout = &order.payout;
        json!({
            "number": payout.id.to_string(),
            "at_ms": order.at,
            "to": payout.payee,
            "token": payout.token.to_string(),
            "amount_raw": payout.amount,
            "id": Some(&payout.label).filter(|label| !label.is_empty()),
            "alike": alike_json(&order.alike),
        })
    };
    orders.iter().map(one).collect()
}
