//! `/`: a page for people, without scripts, with nothing from anywhere else.

use std::fmt::Write as _;

use super::Ctx;
use crate::{
    devnet::log::Event,
    types::{RawAmount, Sun, Token, TokenId, UnitAmount},
};

/// Accounts that are shown.
const ACCOUNTS: usize = 20;
/// Blocks that are searched for the transactions shown, and how many of those.
const BLOCKS: u64 = 200;
const TRANSACTIONS: usize = 20;

/// Text as HTML shows it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

pub(super) fn html(ctx: &Ctx<'_>) -> String {
    let (head, solid) = (ctx.head(), ctx.solid_block());
    let state = ctx.state();
    let shown = "writing to a text does not fail";
    let mut text = String::from(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\n<title>Seedrail devnet</title>\n\
         <style>body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:64em;padding:0 1em}\
         table{border-collapse:collapse}td,th{text-align:left;padding:.1em 1em .1em 0}code{font-size:.9em}</style>\n\
         </head>\n<body>\n<h1>Seedrail devnet</h1>\n",
    );
    writeln!(
        text,
        "<p>Block {} (<code>{}</code>), solid {}, {} pending.</p>\n<h2>Accounts</h2>\n<table>",
        head.number(),
        head.id,
        solid.number(),
        ctx.pending().len(),
    )
    .expect(shown);
    for (address, _) in ctx.node.purse.accounts.iter().take(ACCOUNTS) {
        let account = state.account(address);
        let sun = account.map_or(0, |account| account.balance);
        let btt = account.map_or(0, |account| account.asset(TokenId::BTT.get()));
        let btt = UnitAmount {
            token: Token::Trc10(TokenId::BTT),
            raw: RawAmount::new(btt).unwrap_or(RawAmount::ZERO),
        };
        let trx = Sun(u64::try_from(sun).unwrap_or_default());
        writeln!(
            text,
            "<tr><td><code>{address}</code></td><td>{trx}</td><td>{btt}</td></tr>"
        )
        .expect(shown);
    }
    text.push_str("</table>\n<h2>Last transactions</h2>\n<table>\n");
    let mut left = TRANSACTIONS;
    let newest = head.number();
    for number in (newest.saturating_sub(BLOCKS)..=newest).rev() {
        let Some(sealed) = i64::try_from(number).ok().and_then(|n| ctx.block(n)) else {
            break;
        };
        for event in Event::of_block(&sealed).into_iter().rev() {
            if let Event::Transaction {
                txid, summary, fee, ..
            } = event
                && left > 0
            {
                left -= 1;
                let summary = escaped(&summary);
                writeln!(
                    text,
                    "<tr><td>{number}</td><td><code>{txid}</code></td><td>{summary}</td><td>{fee}</td></tr>"
                )
                .expect(shown);
            }
        }
    }
    text.push_str(
        "</table>\n<h2>Endpoints</h2>\n<ul>\n\
         <li><code>/wallet</code>, <code>/walletsolidity</code>: java-tron's HTTP</li>\n\
         <li><code>/jsonrpc</code>: java-tron's JSON-RPC; <code>/tre</code>: what TronBox's runtime adds</li>\n\
         <li><code>/v1/accounts</code>: TronGrid's accounts and transactions</li>\n\
         <li><code>/admin/accounts</code>: the accounts with their keys</li>\n\
         <li><code>/devnet/openapi.json</code>: time, snapshots, faults and the rest</li>\n\
         </ul>\n</body>\n</html>\n",
    );
    text
}
