//! `seedrail peers`: how others have paid, and whom we serve.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Context, account, failure::Outcome, receipts::amount_text, store};
use crate::{
    ledger::{Ledger, Standing},
    types::{Address, Clock, RawAmount, SystemClock, Token, TokenId, UnixMs},
};

#[derive(Debug, Args)]
pub(crate) struct Peers {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Clear the unpaid debts, bans and contradictions of an address.
    Forgive {
        /// Address of the peer.
        address: Address,
    },
    /// Stop serving an address.
    Ban {
        /// Address of the peer.
        address: Address,
        /// Why, for your own memory.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
}

impl Peers {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let token = TokenId::BTT;
        let Some(action) = self.action else {
            let (_, ledger) = store::open_to_read(context).await?;
            return list(context, ledger.as_ref(), account::address(context)?, token);
        };
        let (_, ledger) = store::open_offline(context).await?;
        match action {
            Action::Forgive { address } => {
                ledger.forgive(address, token)?;
                context
                    .out
                    .result(&json!({ "forgiven": address }), || {
                        format!("{address} begins again as any other; running sessions notice within half a minute")
                    })
            }
            Action::Ban { address, reason } => {
                let reason: String = reason.chars().take(200).collect();
                ledger.ban(address, token, &reason, SystemClock.now())?;
                context.out.result(&json!({ "banned": address }), || {
                    format!("{address} is not served any more; `seedrail peers forgive {address}` undoes it")
                })
            }
        }
    }
}

#[derive(Default)]
struct Row {
    /// Owed to us by receipts and not settled, less what we owe.
    net: i128,
    /// Settled with us, ever.
    settled: RawAmount,
    standing: Option<Standing>,
    contradictions: usize,
}

fn list(context: &Context, ledger: &dyn Ledger, own: Address, token: TokenId) -> Outcome {
    let mut rows: BTreeMap<Address, Row> = BTreeMap::new();
    for position in ledger.positions(own, token)? {
        rows.entry(position.pair.payee).or_default().net = -position.net();
    }
    for standing in ledger.standings(token)? {
        let row = rows.entry(standing.address).or_default();
        row.standing = Some(standing);
    }
    for kept in ledger.all_equivocations()? {
        if kept.first.pair.payer != own {
            let row = rows.entry(kept.first.pair.payer).or_default();
            row.contradictions += 1;
        }
    }
    let mut lines = Vec::new();
    let mut documents = Vec::new();
    for (address, mut row) in rows {
        row.settled = ledger.transferred_since(address, own, Token::Trc10(token), UnixMs(0))?;
        let standing = row
            .standing
            .take()
            .unwrap_or_else(|| Standing::unknown(address, token));
        let owed = |amount: i128| {
            let raw = i64::try_from(amount.max(0)).unwrap_or(i64::MAX);
            RawAmount::new(raw).unwrap_or(RawAmount::MAX)
        };
        let (owes, owed) = (owed(row.net), owed(-row.net));
        let mut line = format!(
            "{address}  settled {}, owes {}, is owed {}",
            amount_text(row.settled, token),
            amount_text(owes, token),
            amount_text(owed, token),
        );
        if standing.defaults > 0 {
            line.push_str(&format!(
                ", did not pay {} ({} times)",
                amount_text(standing.defaulted, token),
                standing.defaults
            ));
        }
        if standing.written_off > RawAmount::ZERO {
            line.push_str(&format!(
                ", written off {}",
                amount_text(standing.written_off, token)
            ));
        }
        if row.contradictions > 0 {
            line.push_str(&format!(
                ", contradicted itself {} times",
                row.contradictions
            ));
        }
        if standing.banned_at.is_some() {
            line.push_str(", banned");
            if !standing.reason.is_empty() {
                line.push_str(&format!(": {}", standing.reason));
            }
        }
        lines.push(line);
        documents.push(json!({
            "address": address,
            "settled_raw": row.settled,
            "owes_raw": owes,
            "owed_raw": owed,
            "defaults": standing.defaults,
            "defaulted_raw": standing.defaulted,
            "written_off_raw": standing.written_off,
            "contradictions": row.contradictions,
            "forgiven": standing.forgiven,
            "banned_at_ms": standing.banned_at,
            "reason": standing.reason,
        }));
    }
    context.out.result(&json!(documents), || {
        if lines.is_empty() {
            "no peers".to_owned()
        } else {
            lines.join("\n")
        }
    })
}
