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
    ledger::FlowKind,
    settle::{
        Claim, NodeChain, claims,
        earnings::{By, Key, Sums, divide},
        stored_claims,
    },
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
        let claims = match chain {
            Some(chain) => {
                let chain = NodeChain::new(chain.node);
                let checkpoint = context.settings.checkpoint;
                trust::begin(context.out, ledger.as_ref(), &chain, checkpoint).await?;
                claims(ledger.as_ref(), &chain, account, token).await?
            }
            None => stored_claims(ledger.as_ref(), account, token)?,
        };
        let earned = ledger.flows(account, token, FlowKind::Earned)?;
        let spent = ledger.flows(account, token, FlowKind::Spent)?;
        let drawn = self.plot || self.svg.is_some();
        let group = self.by.or(drawn.then_some(Group::Day));
        let by = match group {
            Some(Group::Day) => By::Day,
            Some(Group::Torrent) => By::Torrent,
            Some(Group::Peer) | None => By::Peer,
        };
        let rows: Vec<(Key, Sums)> = divide(by, &earned, &spent, &claims.by_payer)
            .into_iter()
            .collect();
        let total = total(&rows);
        let bars = bars(&rows);
        let amount = |sum: u128| amount_text(raw(sum), token);
        if let Some(file) = &self.svg {
            let drawing = plot::svg(&format!("Earned by {account}"), &bars, amount);
            std::fs::write(file, drawing).map_err(|error| Failure::file(file, error))?;
        }
        let mut document = json!({
            "account": account,
            "token": token,
            "earned_raw": raw(total.earned),
            "pending_raw": raw(total.pending),
            "in_flight_raw": raw(total.in_flight),
            "final_raw": raw(total.settled),
            "spent_raw": raw(total.spent),
            "receipts": claims.receipts,
            "by_payer": claims.by_payer.iter().map(claim_document).collect::<Vec<_>>(),
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
                amount(total.earned),
                amount(total.settled),
                amount(total.in_flight),
                amount(total.pending),
                amount(total.spent)
            );
            if group.is_none() || self.by.is_some() || !self.plot {
                text.push_str(&table(&rows, token));
            }
            if self.plot {
                text.push('\n');
                text.push_str(&plot::text(&bars, amount));
            }
            text
        })
    }
}

/// Sums are of amounts that the ledger keeps below its own bound.
fn raw(sum: u128) -> RawAmount {
    i64::try_from(sum)
        .ok()
        .and_then(|sum| RawAmount::new(sum).ok())
        .unwrap_or(RawAmount::MAX)
}

fn total(rows: &[(Key, Sums)]) -> Sums {
    let mut total = Sums::default();
    for (_, sums) in rows {
        total.earned += sums.earned;
        total.pending += sums.pending;
        total.in_flight += sums.in_flight;
        total.settled += sums.settled;
        total.spent += sums.spent;
    }
    total
}

fn key_text(key: &Key) -> String {
    match key {
        Key::Day(day) => date(*day),
        Key::Torrent(Some(hash)) => hash.to_string(),
        Key::Torrent(None) => "not known".to_owned(),
        Key::Peer(address) => address.to_string(),
    }
}

fn claim_document(claim: &Claim) -> Value {
    json!({
        "payer": claim.payer,
        "earned_raw": claim.earned,
        "pending_raw": claim.pending(),
        "in_flight_raw": claim.in_flight,
        "final_raw": claim.settled,
        "offset_raw": claim.offset,
    })
}

fn row_document(name: &str, key: &Key, sums: &Sums) -> Value {
    let key = match key {
        Key::Torrent(hash) => json!(hash),
        other => json!(key_text(other)),
    };
    json!({
        name: key,
        "earned_raw": raw(sums.earned),
        "pending_raw": raw(sums.pending),
        "in_flight_raw": raw(sums.in_flight),
        "final_raw": raw(sums.settled),
        "spent_raw": raw(sums.spent),
        "sent_bytes": u64::try_from(sums.sent_bytes).unwrap_or(u64::MAX),
        "bought_bytes": u64::try_from(sums.bought_bytes).unwrap_or(u64::MAX),
    })
}

fn table(rows: &[(Key, Sums)], token: TokenId) -> String {
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
            sums.earned,
            sums.pending,
            sums.in_flight,
            sums.settled,
            sums.spent,
        ] {
            text.push_str(&format!(" {:>20}", amount_text(raw(sum), token)));
        }
    }
    text
}

/// The newest days in their order, or the largest sums first.
fn bars(rows: &[(Key, Sums)]) -> Vec<Bar> {
    let mut chosen: Vec<_> = rows.iter().filter(|(_, sums)| sums.earned > 0).collect();
    if !matches!(chosen.first(), Some((Key::Day(_), _))) {
        chosen.sort_by_key(|(_, sums)| sums.earned);
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
            parts: [sums.settled, sums.in_flight, sums.pending],
        })
        .collect()
}
