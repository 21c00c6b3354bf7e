//! `seedrail earnings`: what was earned, and what of it is on the chain.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{
    Context, account,
    failure::{Failure, Outcome},
    plot::{self, Bar},
    receipts::amount_text,
    store, trust,
    units::date,
};
use crate::{
    client::earnings::{By, Earnings as Earned, Figures, Key, Owed, earnings},
    types::{RawAmount, TokenId},
};

/// The most bars that are drawn: the newest days, or the largest sums.
const MOST_BARS: usize = 40;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Group {
    Day,
    Torrent,
    Peer,
}

#[derive(Debug, Args)]
pub(crate) struct Earnings {
    /// A row for each day (UTC), torrent or peer.
    #[arg(long, value_enum, value_name = "WHAT")]
    by: Option<Group>,
    /// Draw bars on the terminal; by day if not said.
    #[arg(long)]
    plot: bool,
    /// Draw bars into an SVG file; by day if not said.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl Earnings {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let token = TokenId::BTT;
        let account = account::address(context)?;
        let (chain, ledger) = store::open_to_read(context).await?;
        let chain = match chain {
            Some(chain) => Some(trust::believed(context, chain, ledger.as_ref()).await?),
            None => None,
        };
        let drawn = self.plot || self.svg.is_some();
        let group = self.by.or(drawn.then_some(Group::Day));
        let by = match group {
            Some(Group::Day) => By::Day,
            Some(Group::Torrent) => By::Torrent,
            Some(Group::Peer) | None => By::Peer,
        };
        let Earned {
            total,
            rows,
            receipts,
            by_payer,
        } = earnings(ledger.as_ref(), chain.as_ref(), account, token, by).await?;
        let bars = bars(&rows);
        let amount = |sum: RawAmount| amount_text(sum, token);
        let part = |sum: u128| amount(raw(sum));
        if let Some(file) = &self.svg {
            let drawing = plot::svg(&format!("Earned by {account}"), &bars, part);
            std::fs::write(file, drawing).map_err(|error| Failure::file(file, error))?;
        }
        let mut document = json!({
            "account": account,
            "token": token,
            "earned_raw": total.earned_raw,
            "pending_raw": total.pending_raw,
            "in_flight_raw": total.in_flight_raw,
            "final_raw": total.final_raw,
            "spent_raw": total.spent_raw,
            "receipts": receipts,
            "by_payer": by_payer.iter().map(claim_document).collect::<Vec<_>>(),
        });
        if let (Some(group), Some(object)) = (group, document.as_object_mut()) {
            let name = match group {
                Group::Day => "day",
                Group::Torrent => "torrent",
                Group::Peer => "peer",
            };
            let all = rows.iter().map(|(key, sums)| row_document(name, key, sums));
            object.insert(format!("by_{name}"), all.collect());
        }
        context.out.result(&document, || {
            let mut text = format!(
                "earned {}: {} is final, {} is in flight, {} is pending; spent {}",
                amount(total.earned_raw),
                amount(total.final_raw),
                amount(total.in_flight_raw),
                amount(total.pending_raw),
                amount(total.spent_raw)
            );
            if group.is_none() || self.by.is_some() || !self.plot {
                text.push_str(&table(&rows, token));
            }
            if self.plot {
                text.push('\n');
                text.push_str(&plot::text(&bars, part));
            }
            text
        })
    }
}

/// The sum of parts that were amounts each.
fn raw(sum: u128) -> RawAmount {
    i64::try_from(sum)
        .ok()
        .and_then(|sum| RawAmount::new(sum).ok())
        .unwrap_or(RawAmount::MAX)
}

fn key_text(key: &Key) -> String {
    match key {
        Key::Day(day) => date(*day),
        Key::Torrent(Some(hash)) => hash.to_string(),
        Key::Torrent(None) => "not known".to_owned(),
        Key::Peer(address) => address.to_string(),
    }
}

fn claim_document(claim: &Owed) -> Value {
    json!({
        "payer": claim.payer,
        "earned_raw": claim.earned_raw,
        "pending_raw": claim.pending_raw,
        "in_flight_raw": claim.in_flight_raw,
        "final_raw": claim.final_raw,
        "offset_raw": claim.offset_raw,
    })
}

fn row_document(name: &str, key: &Key, sums: &Figures) -> Value {
    let key = match key {
        Key::Torrent(hash) => json!(hash),
        other => json!(key_text(other)),
    };
    json!({
        name: key,
        "earned_raw": sums.earned_raw,
        "pending_raw": sums.pending_raw,
        "in_flight_raw": sums.in_flight_raw,
        "final_raw": sums.final_raw,
        "spent_raw": sums.spent_raw,
        "sent_bytes": sums.sent_bytes,
        "bought_bytes": sums.bought_bytes,
    })
}

fn table(rows: &[(Key, Figures)], token: TokenId) -> String {
    let width = rows.iter().map(|(key, _)| key_text(key).len()).max();
    let Some(width) = width else {
        return String::new();
    };
    let mut text = format!(
        "\n{:<width$} {:>20} {:>20} {:>20} {:>20} {:>20}",
        "", "earned", "pending", "in flight", "final", "spent"
    );
    for (key, sums) in rows {
        text.push_str(&format!("\n{:<width$}", key_text(key)));
        for sum in [
            sums.earned_raw,
            sums.pending_raw,
            sums.in_flight_raw,
            sums.final_raw,
            sums.spent_raw,
        ] {
            text.push_str(&format!(" {:>20}", amount_text(sum, token)));
        }
    }
    text
}

/// The newest days in their order, or the largest sums first.
fn bars(rows: &[(Key, Figures)]) -> Vec<Bar> {
    let mut chosen: Vec<_> = rows
        .iter()
        .filter(|(_, sums)| sums.earned_raw > RawAmount::ZERO)
        .collect();
    if !matches!(chosen.first(), Some((Key::Day(_), _))) {
        chosen.sort_by_key(|(_, sums)| sums.earned_raw);
    }
    let skipped = chosen.len().saturating_sub(MOST_BARS);
    let mut chosen = chosen.split_off(skipped);
    if !matches!(chosen.first(), Some((Key::Day(_), _))) {
        chosen.reverse();
    }
    chosen
        .into_iter()
        .map(|(key, sums)| Bar {
            label: key_text(key),
            parts: [sums.final_raw, sums.in_flight_raw, sums.pending_raw]
                .map(|part| u128::from(part.unsigned())),
        })
        .collect()
}
