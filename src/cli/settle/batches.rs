//! What batches paid, for people and as JSON.

use serde_json::{Value, json};

use crate::{
    cli::{alike::state_word, units::counted},
    ledger::Wanted,
    settle::{BatchReport, totals_of},
    types::{Decimals, RawAmount, Token, TokenId},
};

/// An amount in whole tokens, where the number of decimals is built in.
pub(super) fn whole_tokens(token: Token, amount: RawAmount) -> Option<String> {
    match token {
        Token::Trx => Some(amount.to_decimal(Decimals::TRX)),
        Token::Trc10(TokenId::BTT) => Some(amount.to_decimal(Decimals::BTT)),
        Token::Trc10(_) => None,
    }
}

/// The batches of a run as one: the id is the last one's.
pub(super) fn batches_json(reports: &[BatchReport]) -> Value {
    let sum = |field: fn(&BatchReport) -> u64| -> u64 { reports.iter().map(field).sum() };
    let totals: Vec<_> = totals_of(reports)
        .into_iter()
        .map(|(token, total)| {
            json!({
                "token": token.to_string(),
                "amount": whole_tokens(token, total),
                "amount_raw": total,
            })
        })
        .collect();
    let txids: Vec<_> = reports.iter().flat_map(|report| &report.txids).collect();
    json!({
        "batch": reports.last().map(|report| report.batch.id.to_string()),
        "payouts": sum(|report| report.counts.payouts),
        "confirmed": sum(|report| report.counts.confirmed),
        "pending": sum(|report| report.counts.pending),
        "failed": sum(|report| report.counts.failed),
        "totals": totals,
        "fee_sun": sum(|report| report.fee.0),
        "fees_unknown": sum(|report| report.fees_unknown),
        "txids": txids,
    })
}

pub(super) fn batches_text(reports: &[BatchReport]) -> String {
    if reports.is_empty() {
        return "no batch yet".into();
    }
    let mut text = String::new();
    for report in reports {
        let counts = report.counts;
        text.push_str(&format!(
            "batch {} of {}: {}, {} final, {} on their way, {} given up; fees {}\n",
            report.batch.id,
            report.batch.created_at.to_utc(),
            counted(counts.payouts, "payment"),
            counts.confirmed,
            counts.pending,
            counts.failed,
            fees_text(report)
        ));
        for payout in &report.payouts {
            let attempt = payout.current().or(payout.attempts.last());
            let word = state_word(payout.payout.state, attempt.map(|row| row.state));
            let txid = attempt.map_or_else(String::new, |row| format!("  {}", row.txid));
            let reason = match payout.payout.reason.as_str() {
                "" => String::new(),
                reason => format!("  ({reason})"),
            };
            text.push_str(&format!(
                "  {} to {}  {word}{txid}{reason}\n",
                Wanted::from(&payout.payout).unit_amount(),
                payout.payout.payee
            ));
        }
    }
    text.trim_end().to_owned()
}

/// What a batch burnt, as far as it is known.
fn fees_text(report: &BatchReport) -> String {
    match report.fees_unknown {
        0 => report.fee.to_string(),
        unknown => format!(
            "{}, and of {} not known yet",
            report.fee,
            counted(unknown, "transaction")
        ),
    }
}
