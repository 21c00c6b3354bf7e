//! What the demo says in the end.

use serde_json::{Value, json};

use super::Demo;
use crate::{
    cli::{
        Context,
        failure::Outcome,
        units::{Rate, Size, btt_text},
    },
    types::{RawAmount, Sun},
};

/// One leecher's end.
#[derive(Debug, Clone)]
pub(super) struct Download {
    pub(super) millis: u64,
    pub(super) sha256: String,
    pub(super) spent: RawAmount,
}

/// Solid BTT of an account, before and after.
#[derive(Debug, Clone, Copy)]
pub(super) struct Balances {
    pub(super) before: RawAmount,
    pub(super) after: RawAmount,
}

/// Everything the demo measured.
#[derive(Debug, Clone)]
pub(super) struct Report {
    /// The page of the payer's daemon, with a token in it.
    pub(super) page: Option<String>,
    pub(super) bytes: u64,
    pub(super) sha256: String,
    pub(super) paid: Download,
    pub(super) free: Download,
    pub(super) earned: RawAmount,
    pub(super) receipts: u64,
    pub(super) txids: Vec<String>,
    pub(super) confirmed: u64,
    pub(super) fee: Sun,
    pub(super) payer: Balances,
    pub(super) seeder: Balances,
    pub(super) head: u64,
    pub(super) solid: u64,
}

/// Milliseconds as a JSON number of seconds.
fn seconds(millis: u64) -> Value {
    // Thousandths of a second: exact in a double for 285,000 years.
    serde_json::from_str(&seconds_text(millis, 3)).expect("digits with a point are a JSON number")
}

fn seconds_text(millis: u64, digits: usize) -> String {
    let fraction = format!("{:03}", millis % 1000);
    format!(
        "{}.{}",
        millis / 1000,
        fraction.get(..digits).unwrap_or(&fraction)
    )
}

fn btt(amount: RawAmount) -> String {
    btt_text(amount.unsigned())
}

impl Report {
    pub(super) fn print(&self, context: &Context, demo: &Demo) -> Outcome {
        let download = |download: &Download| json!({ "seconds": seconds(download.millis), "sha256": download.sha256 });
        let mut paid = download(&self.paid);
        if let Some(object) = paid.as_object_mut() {
            object.insert("spent_raw".into(), json!(self.paid.spent));
        }
        let balances = |balances: &Balances| json!({ "before_raw": balances.before, "after_raw": balances.after });
        let mut document = json!({
            "file": { "bytes": self.bytes, "sha256": self.sha256 },
            "paid": paid,
            "free": download(&self.free),
            "seeder": { "earned_raw": self.earned, "receipts": self.receipts },
            "settlement": { "txids": self.txids, "confirmed": self.confirmed, "fee_sun": self.fee.0 },
            "balances": { "payer": balances(&self.payer), "seeder": balances(&self.seeder) },
            "devnet": { "head": self.head, "solid": self.solid },
        });
        if let (Some(page), Some(object)) = (&self.page, document.as_object_mut()) {
            object.insert("page".into(), json!(page));
        }
        context.out.result(&document, || self.text(demo))
    }

    fn text(&self, demo: &Demo) -> String {
        let Self { paid, free, .. } = self;
        let times = free.millis * 100 / paid.millis.max(1);
        let row = |name: &str, download: &Download, note: String| {
            let rate = Rate(self.bytes * 1000 / download.millis.max(1));
            format!(
                "  {name:<14} {:>7} s  {:>12}   {note}\n",
                seconds_text(download.millis, 1),
                rate.to_string()
            )
        };
        let mut text = format!(
            "\nDownload       {} from one seeder limited to {}; leechers to {} each\n",
            Size(self.bytes),
            demo.rate,
            demo.leech_rate
        );
        text.push_str(&row(
            "paying",
            paid,
            format!("bid {}, spent {}", demo.bid, btt(paid.spent)),
        ));
        text.push_str(&row("not paying", free, String::new()));
        text.push_str(&format!("  The payer was {}.{:02} times as fast. Both files have the SHA-256 of the original:\n  {}\n", times / 100, times % 100, self.sha256));
        text.push_str(&format!(
            "\nReceipts       the newest of {} is worth {}, all of it settled\n",
            self.receipts,
            btt(self.earned)
        ));
        text.push_str(&format!(
            "\nSettlement     {} of {} transfers solid, fees {}\n",
            self.confirmed,
            self.txids.len(),
            self.fee
        ));
        for txid in &self.txids {
            text.push_str(&format!("  {txid}\n"));
        }
        text.push_str("  The seeder found it on its own node: paid what its receipts say.\n");
        text.push_str("\nBalances (solid)             before                  after\n");
        for (name, balances) in [("payer", &self.payer), ("seeder", &self.seeder)] {
            text.push_str(&format!(
                "  {name:<8} {:>22} {:>22}\n",
                btt(balances.before),
                btt(balances.after)
            ));
        }
        text.push_str(&format!(
            "\nDevnet         head block {}, solid block {}",
            self.head, self.solid
        ));
        text
    }
}
