//! How batches stand and stood, by what is on disk.

use clap::Args;
use serde_json::json;

use super::{batches_json, batches_text};
use crate::{
    cli::{Context, account, failure::Outcome, store},
    ledger::PayoutKind,
    settle::BatchReport,
    types::Sun,
};

#[derive(Debug, Args)]
pub(crate) struct History {
    /// At most this many.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
}

pub(super) async fn status(context: &Context) -> Outcome {
    let account = account::address(context)?;
    let (_, ledger) = store::open_to_read(context).await?;
    let mut batches = ledger.unfinished(account)?;
    if batches.is_empty() {
        batches = ledger.batches(account, 1)?;
    }
    let reports = batches
        .into_iter()
        .map(|batch| BatchReport::read(&*ledger, batch))
        .collect::<Result<Vec<_>, _>>()?;
    let document = batches_json(&reports);
    context.out.result(&document, || batches_text(&reports))
}

const fn kind_name(kind: PayoutKind) -> &'static str {
    match kind {
        PayoutKind::Settle => "settle",
        PayoutKind::Send => "send",
    }
}

impl History {
    pub(super) async fn run(self, context: &Context) -> Outcome {
        let account = account::address(context)?;
        let (_, ledger) = store::open_to_read(context).await?;
        let reports = ledger
            .batches(account, self.limit)?
            .into_iter()
            .map(|batch| BatchReport::read(&*ledger, batch))
            .collect::<Result<Vec<_>, _>>()?;
        let rows: Vec<_> = reports
            .iter()
            .map(|report| {
                json!({
                    "batch": report.batch.id.to_string(),
                    "kind": kind_name(report.batch.kind),
                    "created_at_ms": report.batch.created_at,
                    "payouts": report.counts.payouts,
                    "confirmed": report.counts.confirmed,
                    "pending": report.counts.pending,
                    "failed": report.counts.failed,
                    "total_raw": report.total,
                    "fee_sun": report.fee.0,
                })
            })
            .collect();
        context.out.result(&json!({ "batches": rows }), || {
            if reports.is_empty() {
                return "no batch yet".into();
            }
            reports
                .iter()
                .map(|report| {
                    format!(
                        "{}  {:<6} batch {}: {} payouts, {} solid, {} pending, {} failed; fees {}",
                        report.batch.created_at,
                        kind_name(report.batch.kind),
                        report.batch.id,
                        report.counts.payouts,
                        report.counts.confirmed,
                        report.counts.pending,
                        report.counts.failed,
                        Sun(report.fee.0)
                    )
                })
                .collect::<Vec<_>>()
                .join("\n")
        })
    }
}
