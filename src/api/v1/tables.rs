//! Tables by day and by payout, also as CSV files.

use std::fmt::Write as _;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde::Serialize;

use crate::{
    api::answer::{Answered, Refusal, with_type},
    client::snapshot::{Day, Payout, Snapshot},
    types::UnixMs,
};

const DAY_MS: i64 = 86_400_000;

/// A day with its date.
#[derive(Debug, Serialize)]
pub(super) struct Dated {
    /// As 2026-11-30 (UTC).
    date: String,
    #[serde(flatten)]
    row: Day,
}

fn utc(at: UnixMs) -> String {
    at.to_utc().to_string()
}

/// The days, the oldest first.
pub(super) fn days(snapshot: &Snapshot) -> Vec<Dated> {
    let rows = snapshot.days.iter();
    rows.map(|row| Dated {
        date: utc(UnixMs(row.day.saturating_mul(DAY_MS)))
            .chars()
            .take(10)
            .collect(),
        row: *row,
    })
    .collect()
}

/// A file to be saved.
fn csv(name: &'static str, text: String) -> Response {
    let mut response = with_type(StatusCode::OK, "text/csv; charset=utf-8", text);
    response
        .headers_mut()
        .insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(name));
    response
}

pub(super) fn days_csv(snapshot: &Snapshot) -> Response {
    let mut text = "date,downloaded,uploaded,earned_raw,spent_raw\r\n".to_owned();
    for Dated { date, row } in days(snapshot) {
        let (down, up) = (row.downloaded, row.uploaded);
        // Writing to a text cannot fail.
        let _ = write!(
            text,
            "{date},{down},{up},{},{}\r\n",
            row.earned_raw, row.spent_raw
        );
    }
    csv("attachment; filename=\"seedrail-days.csv\"", text)
}

/// A cell: what spreadsheets would compute stays text.
fn cell(text: &str) -> String {
    let computes = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let guard = if computes { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

/// The newest payouts, as the page shows them.
pub(super) fn payouts_csv(snapshot: &Snapshot) -> Answered {
    let money = snapshot.money.as_ref();
    let money = money.ok_or_else(|| Refusal::not_found("this client neither buys nor sells"))?;
    let mut text = "planned,batch,payee,amount_raw,state,txid,block,reason\r\n".to_owned();
    for batch in &money.value.batches {
        for Payout {
            payee,
            amount_raw,
            state,
            txid,
            block,
            reason,
        } in &batch.payouts
        {
            let state = serde_json::to_value(state).unwrap_or_default();
            let txid = txid.map_or(String::new(), |txid| txid.to_string());
            let block = block.map_or(String::new(), |block| block.to_string());
            let _ = write!(
                text,
                "{},{},{payee},{amount_raw},{},{txid},{block},{}\r\n",
                utc(batch.created),
                batch.id,
                state.as_str().unwrap_or_default(),
                cell(reason),
            );
        }
    }
    Ok(csv("attachment; filename=\"seedrail-payouts.csv\"", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_compute_nothing() {
        assert_eq!(cell("a, \"b\""), "\"a, \"\"b\"\"\"");
        assert_eq!(cell("=1+1"), "\"'=1+1\"");
        assert_eq!(cell(""), "\"\"");
    }
}
