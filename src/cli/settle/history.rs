//! How payments stand and stood: for a person, for programs, and for the books.

use std::{collections::BTreeMap, sync::Arc};

use clap::Args;
use serde_json::{Value, json};

use super::{
    batches::{batches_json, batches_text, whole_tokens},
    desk::Desk,
};
use crate::{
    cli::{
        Context, account,
        alike::state_word,
        chain::Chain,
        failure::{Failure, Outcome},
        output,
        payment::memo_text,
        printable, store,
    },
    ledger::{BatchRow, Ledger, OutgoingRow, PayoutKind, PayoutState, TransferRow},
    settle::{BatchReport, PayoutReport},
    types::{Address, RawAmount, Sun, Token, TxId, UnitAmount, UnixMs},
};

/// The most batches that are read.
const ALL: u32 = u32::MAX;

#[derive(Debug, Args)]
pub(crate) struct History {
    /// Number of payments to show, the newest first; 0 shows all.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Print all payments as comma-separated values for a spreadsheet, the oldest first.
    #[arg(long, conflicts_with_all = ["limit", "json"])]
    csv: bool,
}

/// Asks again for fees that are not known, where a node answers.
async fn learn_fees(
    context: &Context,
    chain: Option<Chain>,
    ledger: &Arc<dyn Ledger>,
    account: Address,
) -> Outcome {
    let Some(chain) = chain else {
        return Ok(());
    };
    let desk = Desk::on(context, chain, ledger.clone(), account);
    desk.with(async |engine| engine.fetch_missing_fees().await)
        .await
}

async fn open(context: &Context, account: Address) -> Outcome<Arc<dyn Ledger>> {
    let (chain, ledger) = store::open_to_read(context).await?;
    let ledger: Arc<dyn Ledger> = ledger;
    learn_fees(context, chain, &ledger, account).await?;
    Ok(ledger)
}

pub(super) async fn status(context: &Context) -> Outcome {
    let account = account::address(context)?;
    let ledger = open(context, account).await?;
    let mut batches = ledger.unfinished(account)?;
    if batches.is_empty() {
        batches = ledger.batches(account, 1)?;
    }
    let reports = batches
        .into_iter()
        .map(|batch| BatchReport::read(&*ledger, batch))
        .collect::<Result<Vec<_>, _>>()?;
    context
        .out
        .result(&batches_json(&reports), || batches_text(&reports))
}

const fn kind_name(kind: PayoutKind) -> &'static str {
    match kind {
        PayoutKind::Settle => "settle",
        PayoutKind::Send => "send",
    }
}

/// One payment, as the books want it.
struct Entry {
    /// When it happened: its block's time; before that, when it was ordered.
    at: UnixMs,
    /// Why it exists: `settle`, `send`, or `elsewhere`.
    kind: &'static str,
    /// Its number in the ledger.
    number: Option<String>,
    batch: Option<String>,
    to: Address,
    token: Token,
    amount: RawAmount,
    /// In one word.
    state: &'static str,
    /// What its transactions burnt; `None` while that is not known.
    fee: Option<Sun>,
    txid: Option<TxId>,
    block: Option<u64>,
    id: String,
    memo: Vec<u8>,
    reason: String,
}

impl Entry {
    fn of_payout(batch: &BatchRow, row: &PayoutReport, times: &BTreeMap<TxId, UnixMs>) -> Self {
        let payout = &row.payout;
        let attempt = row.current().or(row.attempts.last());
        let txid = attempt.map(|attempt| attempt.txid);
        // A transaction that is in a block burnt something, also one that failed there.
        let in_blocks = row.attempts.iter().filter(|row| row.block.is_some());
        let fee = in_blocks
            .map(|attempt| attempt.fee.map(|fee| fee.0))
            .try_fold(0_u64, |sum, fee| sum.checked_add(fee?));
        Self {
            at: txid
                .and_then(|txid| times.get(&txid).copied())
                .unwrap_or(batch.created_at),
            kind: kind_name(payout.kind),
            number: Some(payout.id.to_string()),
            batch: Some(batch.id.to_string()),
            to: payout.payee,
            token: payout.token,
            amount: payout.amount,
            state: state_word(payout.state, attempt.map(|attempt| attempt.state)),
            fee: fee.map(Sun),
            txid,
            block: attempt.and_then(|attempt| attempt.block),
            id: payout.label.clone(),
            memo: payout.memo.clone(),
            reason: payout.reason.clone(),
        }
    }

    /// A transfer that no payout of the ledger made. What it burnt is not known.
    fn elsewhere(row: &OutgoingRow) -> Self {
        let transfer = &row.transfer;
        Self {
            at: transfer.block_time,
            kind: "elsewhere",
            number: None,
            batch: None,
            to: transfer.payee,
            token: transfer.token,
            amount: transfer.amount,
            state: "final",
            fee: None,
            txid: Some(transfer.txid),
            block: Some(transfer.block),
            id: String::new(),
            memo: Vec::new(),
            reason: String::new(),
        }
    }

    fn decimal(&self) -> Option<String> {
        whole_tokens(self.token, self.amount)
    }

    fn json(&self) -> Value {
        json!({
            "at_ms": self.at,
            "at": self.at.to_utc(),
            "kind": self.kind,
            "number": self.number,
            "batch": self.batch,
            "to": self.to,
            "token": self.token.to_string(),
            "amount": self.decimal(),
            "amount_raw": self.amount,
            "state": self.state,
            "fee_sun": self.fee.map(|fee| fee.0),
            "txid": self.txid,
            "block": self.block,
            "id": Some(&self.id).filter(|id| !id.is_empty()),
            "memo": std::str::from_utf8(&self.memo).ok().filter(|memo| !memo.is_empty()),
            "memo_hex": hex::encode(&self.memo),
            "reason": Some(&self.reason).filter(|reason| !reason.is_empty()),
        })
    }

    fn text(&self) -> String {
        let amount = UnitAmount {
            token: self.token,
            raw: self.amount,
        };
        let mut line = format!(
            "{}  {amount} to {}  {}",
            self.at.to_utc(),
            self.to,
            self.state
        );
        if self.kind == "elsewhere" {
            line.push_str(", made outside of this ledger");
        }
        match (self.fee, self.block) {
            (Some(fee), Some(_)) => line.push_str(&format!(", fee {fee}")),
            (None, Some(_)) if self.kind != "elsewhere" => line.push_str(", fee not known yet"),
            _ => {}
        }
        if !self.id.is_empty() {
            line.push_str(&format!(", id `{}`", printable::line(&self.id)));
        }
        if !self.memo.is_empty() {
            line.push_str(&format!(", memo {}", memo_text(&self.memo)));
        }
        if !self.reason.is_empty() {
            line.push_str(&format!(" ({})", self.reason));
        }
        if let Some(txid) = self.txid {
            line.push_str(&format!("\n    {txid}"));
        }
        line
    }

    /// A row of the file for the books. A text that a spreadsheet would take for a formula
    /// begins with an apostrophe.
    fn cells(&self) -> [String; 12] {
        let safe = |text: String| match text.chars().next() {
            Some('=' | '+' | '-' | '@' | '\t' | '\r') => format!("'{text}"),
            _ => text,
        };
        [
            self.at.to_utc(),
            self.kind.to_owned(),
            self.to.to_string(),
            self.token.to_string(),
            self.decimal().unwrap_or_default(),
            self.amount.to_string(),
            self.state.to_owned(),
            self.fee.map(|fee| fee.0.to_string()).unwrap_or_default(),
            self.txid.map(|txid| txid.to_string()).unwrap_or_default(),
            safe(self.id.clone()),
            match std::str::from_utf8(&self.memo) {
                Ok(memo) => safe(printable::line(memo).into_owned()),
                Err(_) => String::new(),
            },
            hex::encode(&self.memo),
        ]
    }
}

const COLUMNS: [&str; 12] = [
    "time",
    "kind",
    "to",
    "token",
    "amount",
    "amount_raw",
    "state",
    "fee_sun",
    "txid",
    "id",
    "memo",
    "memo_hex",
];

/// Every payment of the account that happened or may happen, the oldest first. What was
/// given up unsigned is left out unless `whole`.
fn entries(ledger: &dyn Ledger, account: Address, whole: bool) -> Outcome<Vec<Entry>> {
    let mut entries = Vec::new();
    for batch in ledger.batches(account, ALL)? {
        let report = BatchReport::read(ledger, batch)?;
        let times = times(ledger, &report)?;
        for row in &report.payouts {
            let burnt = row.attempts.iter().any(|attempt| attempt.block.is_some());
            if whole || burnt || row.payout.state != PayoutState::Failed {
                entries.push(Entry::of_payout(&batch, row, &times));
            }
        }
    }
    if let Some(cursor) = ledger.cursor(account)? {
        for row in ledger.outgoing(account, cursor.history, ALL)? {
            if !row.ours {
                entries.push(Entry::elsewhere(&row));
            }
        }
    }
    entries.sort_by_key(|entry| (entry.at, entry.block, entry.txid));
    Ok(entries)
}

fn times(ledger: &dyn Ledger, report: &BatchReport) -> Outcome<BTreeMap<TxId, UnixMs>> {
    let transfers: Vec<TransferRow> = ledger.transfers_of(&report.txids)?;
    Ok(transfers
        .into_iter()
        .map(|transfer| (transfer.txid, transfer.block_time))
        .collect())
}

impl History {
    pub(super) async fn run(self, context: &Context) -> Outcome {
        let account = account::address(context)?;
        let ledger = open(context, account).await?;
        let mut entries = entries(&*ledger, account, !self.csv)?;
        if self.csv {
            return write_csv(&entries);
        }
        entries.reverse();
        if self.limit > 0 {
            entries.truncate(self.limit);
        }
        let document = json!({
            "payments": entries.iter().map(Entry::json).collect::<Vec<_>>(),
        });
        context.out.result(&document, || {
            if entries.is_empty() {
                return "no payment yet".into();
            }
            entries
                .iter()
                .map(Entry::text)
                .collect::<Vec<_>>()
                .join("\n")
        })
    }
}

fn write_csv(entries: &[Entry]) -> Outcome {
    let failed = |error: csv::Error| Failure::failed("history", error);
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS).map_err(failed)?;
    for entry in entries {
        writer.write_record(entry.cells()).map_err(failed)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| Failure::failed("history", error.to_string()))?;
    output::write(&bytes)
}
