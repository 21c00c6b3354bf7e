//! `seedrail receipts`: what is owed, by whom, with the proof.

mod paid;

use std::{
    fs::File,
    io::{BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{
    Context, account,
    failure::{Exit, Failure, Outcome},
    output::{Output, unwritten},
    printable, store,
    units::counted,
};
use crate::{
    ledger::{Adopted, ReceiptBook, ReceiptEntry, ReceiptFilter, ReceiptKind, ReceiptRow},
    receipts::{
        LineRefusal, ReceiptDomain, ReceiptLine, ReceiptLines, SignedGrant, SignedReceipt, import,
    },
    types::{Address, Clock, Decimals, RawAmount, Salt, SystemClock, Token, TokenId, UnitAmount},
};

/// Receipts read from the ledger at a time.
const PAGE: u32 = 1_000;

/// Receipts shown one by one before a question; the rest are counted.
const MAX_LISTED: usize = 50;

/// Refused lines of a file that are shown one by one; the rest are counted.
const MAX_REFUSED: u64 = 50;

#[derive(Debug, Subcommand)]
pub(crate) enum Receipts {
    /// List the newest receipt of each epoch.
    List {
        /// Only receipts of this kind.
        #[arg(long, value_enum)]
        kind: Option<Kind>,
    },
    /// Check receipts in a file; asks no node and needs no ledger.
    Verify {
        /// JSON Lines, one receipt a line, or - for stdin.
        file: PathBuf,
        /// The file is of `settle export`: check the proofs of payment in it, too,
        /// and whether they pay the receipts.
        #[arg(long)]
        paid: bool,
        /// With --paid: ask a node whether the blocks are its chain's.
        #[arg(long, requires = "paid")]
        online: bool,
    },
    /// Write receipts as JSON Lines.
    Export {
        /// Where to; stdout if not given.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Only receipts of this kind.
        #[arg(long, value_enum)]
        kind: Option<Kind>,
    },
    /// Import receipts; each is verified, and a bad one does not stop the rest.
    Import {
        /// JSON Lines, one receipt a line, or - for stdin.
        file: PathBuf,
        /// Also take over, as debts, receipts with this account's own signature.
        #[arg(long)]
        adopt: bool,
    },
    /// Accept as debts receipts with your signature that this ledger did not make.
    Adopt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// What you owe.
    Issued,
    /// What others owe you.
    Received,
    /// Your signature from elsewhere, no debt until adopted.
    Evidence,
}

impl From<Kind> for ReceiptKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Issued => Self::Issued,
            Kind::Received => Self::Received,
            Kind::Evidence => Self::Evidence,
        }
    }
}

impl Receipts {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::List { kind } => {
                let (_, ledger) = store::open_to_read(context).await?;
                list(context, ledger.as_ref(), kind)
            }
            Self::Verify {
                file,
                paid: true,
                online,
            } => paid::verify(context, &file, online).await,
            Self::Verify { file, .. } => verify(context, file).await,
            Self::Export { output, kind } => {
                let (_, ledger) = store::open_to_read(context).await?;
                export(context, ledger.as_ref(), output, kind)
            }
            Self::Import { file, adopt } => {
                let account = account::address(context)?;
                let (_, ledger) = store::open_offline(context).await?;
                take_in(context, ledger.as_ref(), account, &file, adopt)
            }
            Self::Adopt => {
                let account = account::address(context)?;
                let (_, ledger) = store::open_offline(context).await?;
                adopt(context, ledger.as_ref(), account)
            }
        }
    }
}

/// Calls `each` with every receipt that passes the filter.
fn pages(
    ledger: &dyn ReceiptBook,
    filter: &ReceiptFilter,
    mut each: impl FnMut(&ReceiptEntry) -> Outcome,
) -> Outcome {
    let mut after = None;
    loop {
        let page = ledger.receipts(filter, after.as_ref(), PAGE)?;
        for entry in &page {
            each(entry)?;
        }
        match page.last() {
            Some(last) => after = Some(*last),
            None => return Ok(()),
        }
    }
}

fn filter(kind: Option<Kind>) -> ReceiptFilter {
    ReceiptFilter {
        kind: kind.map(Into::into),
        ..ReceiptFilter::default()
    }
}

fn kind_name(kind: ReceiptKind) -> &'static str {
    match kind {
        ReceiptKind::Issued => "issued",
        ReceiptKind::Received => "received",
        ReceiptKind::Evidence => "evidence",
    }
}

/// In whole tokens where the decimals are built in, else in raw units.
pub(crate) fn amount_text(amount: RawAmount, token: TokenId) -> String {
    if token == TokenId::BTT {
        format!("{} BTT", amount.to_decimal(Decimals::BTT))
    } else {
        format!("{amount}raw:{token}")
    }
}

/// The same, of whatever is paid in.
pub(crate) fn paid_text(amount: RawAmount, token: Token) -> String {
    UnitAmount { token, raw: amount }.to_string()
}

fn list(context: &Context, ledger: &dyn ReceiptBook, kind: Option<Kind>) -> Outcome {
    let mut rows: Vec<Value> = Vec::new();
    let mut lines = vec![format!(
        "{:<9} {:<34} {:<34} {:>18} {:>14} {:>9}",
        "kind", "payer", "payee", "amount", "bytes", "sequence"
    )];
    pages(ledger, &filter(kind), |entry| {
        let row = &entry.receipt;
        let kind = kind_name(entry.kind);
        lines.push(format!(
            "{kind:<9} {:<34} {:<34} {:>18} {:>14} {:>9}",
            row.pair.payer.to_string(),
            row.pair.payee.to_string(),
            amount_text(row.amount, row.pair.token),
            row.delivered_bytes,
            row.sequence,
        ));
        rows.push(json!({
            "kind": kind,
            "payer": row.pair.payer,
            "payee": row.pair.payee,
            "token": row.pair.token,
            "epoch": row.epoch.to_string(),
            "sequence": row.sequence,
            "amount_raw": row.amount,
            "bytes": row.delivered_bytes,
            "since_block": row.since_block,
            "issued_at": row.issued_at,
        }));
        Ok(())
    })?;
    let empty = rows.is_empty();
    context.out.result(&json!(rows), || {
        if empty {
            "no receipts".into()
        } else {
            lines.join("\n")
        }
    })
}

fn reader(file: &Path) -> Outcome<Box<dyn BufRead>> {
    if file == Path::new("-") {
        return Ok(Box::new(BufReader::new(std::io::stdin())));
    }
    let opened = File::open(file).map_err(|error| Failure::file(file, error))?;
    Ok(Box::new(BufReader::new(opened)))
}

fn now_secs() -> u64 {
    u64::try_from(SystemClock.now().secs()).unwrap_or(0)
}

/// Reads on a thread of its own, so that Ctrl-C ends even a file without an end.
async fn verify(context: &Context, file: PathBuf) -> Outcome {
    let out = context.out;
    tokio::task::spawn_blocking(move || verify_lines(out, &file))
        .await
        .map_err(|error| Failure::failed("verify", error))?
}

fn verify_lines(out: Output, file: &Path) -> Outcome {
    let (mut lines, mut refused) = (0u64, 0u64);
    let mut first = None;
    for line in ReceiptLines::new(reader(file)?) {
        let (number, read) = line.map_err(|error| Failure::file(file, error))?;
        lines += 1;
        let (document, refusal) = verified(read);
        let Some(reason) = refusal else {
            out.result(&document, || format!("line {number}: valid"))?;
            continue;
        };
        refused += 1;
        // Programs get every line; people would scroll past the first reasons.
        if out.json || refused <= MAX_REFUSED {
            out.result(&document, || {
                format!("line {number}: refused: {}", printable::line(&reason))
            })?;
        }
        first.get_or_insert((number, reason));
    }
    if let Some(more @ 1..) = refused.checked_sub(MAX_REFUSED) {
        out.line(format!("{} more refused", counted(more, "line")))?;
    }
    let name = file.display();
    match first {
        _ if lines == 0 => Err(Failure::failed(
            "invalid_receipt",
            format!("{name} holds no receipts"),
        )),
        None => Ok(()),
        Some((number, reason)) => Err(Failure::failed(
            "invalid_receipt",
            format!(
                "{refused} of {} in {name} {} not valid; line {number}: {reason}",
                counted(lines, "receipt"),
                if refused == 1 { "is" } else { "are" },
            ),
        )),
    }
}

fn verified(read: Result<ReceiptLine, LineRefusal>) -> (Value, Option<String>) {
    let line = match read {
        Ok(line) => line,
        Err(refusal) => {
            let reason = refusal.to_string();
            return (json!({ "valid": false, "reason": reason }), Some(reason));
        }
    };
    let reason = line
        .verify(now_secs())
        .err()
        .map(|refusal| refusal.to_string());
    let receipt = &line.signed.receipt;
    let mut document = json!({
        "valid": reason.is_none(),
        "payer": receipt.payer,
        "payee": receipt.payee,
        "token": receipt.token,
        "epoch": receipt.epoch.to_string(),
        "genesis": line.genesis,
        "amount_raw": receipt.amount,
        "bytes": receipt.delivered_bytes,
        "sequence": receipt.sequence,
    });
    if let (Some(object), Some(reason)) = (document.as_object_mut(), &reason) {
        object.insert("reason".into(), reason.as_str().into());
    }
    (document, reason)
}

fn export(
    context: &Context,
    ledger: &dyn ReceiptBook,
    output: Option<PathBuf>,
    kind: Option<Kind>,
) -> Outcome {
    let domain = ReceiptDomain::new(ledger.genesis());
    let failed = |error: std::io::Error| match &output {
        Some(path) => Failure::file(path, error),
        None => unwritten(&error),
    };
    let mut writer: Box<dyn Write> = match &output {
        Some(path) => Box::new(BufWriter::new(File::create(path).map_err(failed)?)),
        None => Box::new(BufWriter::new(std::io::stdout().lock())),
    };
    let mut count = 0u64;
    pages(ledger, &filter(kind), |entry| {
        let line = stored_line(ledger, &domain, &entry.receipt)?;
        count += 1;
        writeln!(writer, "{line}").map_err(failed)
    })?;
    writer.flush().map_err(failed)?;
    drop(writer);
    if let Some(path) = &output {
        let document = json!({ "exported": count, "file": path });
        return context.out.result(&document, || {
            format!(
                "{} written to {}",
                counted(count, "receipt"),
                path.display()
            )
        });
    }
    Ok(())
}

/// A stored receipt with its grant, as a line of a file.
pub(crate) fn stored_line(
    ledger: &dyn ReceiptBook,
    domain: &ReceiptDomain,
    row: &ReceiptRow,
) -> Outcome<String> {
    let signed = SignedReceipt::from_row(row).map_err(|error| {
        Failure::failed("ledger", format!("a stored receipt is damaged: {error}"))
    })?;
    let grant = match row.grant {
        Salt::ZERO => None,
        hash => ledger.grant(hash)?,
    };
    let grant = grant
        .map(|grant| SignedGrant::from_row(&grant))
        .transpose()
        .map_err(|error| {
            Failure::failed("ledger", format!("a stored grant is damaged: {error}"))
        })?;
    Ok(ReceiptLine::new(domain, signed, grant).to_json())
}

fn take_in(
    context: &Context,
    ledger: &dyn ReceiptBook,
    account: Address,
    file: &Path,
    adopting: bool,
) -> Outcome {
    let report = import(reader(file)?, account, ledger, now_secs())
        .map_err(|error| Failure::failed("import", error))?;
    let refused: Vec<_> = report
        .refused
        .iter()
        .map(|(line, reason)| json!({ "line": line, "reason": reason.code(), "message": reason.to_string() }))
        .collect();
    let mut document = json!({
        "new": report.new,
        "superseded": report.superseded,
        "unchanged": report.unchanged,
        "refused": refused,
    });
    let words = || {
        let mut text = format!(
            "new {}, superseded {}, unchanged {}, refused {}",
            report.new, report.superseded, report.unchanged, report.refused_count
        );
        for (line, reason) in &report.refused {
            let reason = reason.to_string();
            text.push_str(&format!("\n  line {line}: {}", printable::line(&reason)));
        }
        text
    };
    // A program gets one document, with the end of it all; a person reads what was imported
    // before the question.
    let adopted = (adopting && context.out.json).then(|| adopt_evidence(context, ledger, account));
    if let (Some(Ok(adopted)), Some(document)) = (&adopted, document.as_object_mut()) {
        document.insert("adopted".into(), json!(adopted.receipts));
        document.insert("added_raw".into(), json!(adopted.added));
    }
    context.out.result(&document, words)?;
    adopted.transpose()?;
    if adopting && !context.out.json {
        // What was imported before and not adopted then is meant, too.
        if ledger.receipts(&evidence_of(account), None, 1)?.is_empty() {
            context.out.note(
                "nothing is to be adopted: no receipt here carries this account's signature \
                 without being its debt already",
            );
        } else {
            adopt(context, ledger, account)?;
        }
    } else if !adopting && !report.to_adopt.is_empty() {
        context.out.note(format!(
            "{} of them carry this account's own signature but are not from this ledger: evidence, \
             not debts, until `seedrail receipts adopt`",
            report.to_adopt.len()
        ));
    }
    if report.refused_count > 0 {
        return Err(Failure::new(
            Exit::Partly,
            "partly",
            format!(
                "{} of {} {} refused; the others are stored",
                counted(report.refused_count, "receipt"),
                file.display(),
                if report.refused_count == 1 {
                    "was"
                } else {
                    "were"
                },
            ),
        ));
    }
    Ok(())
}

/// The account's signature from elsewhere.
fn evidence_of(account: Address) -> ReceiptFilter {
    ReceiptFilter {
        kind: Some(ReceiptKind::Evidence),
        payer: Some(account),
        ..ReceiptFilter::default()
    }
}

/// Asks, and makes debts of the account's signatures from elsewhere.
fn adopt(context: &Context, ledger: &dyn ReceiptBook, account: Address) -> Outcome {
    let adopted = adopt_evidence(context, ledger, account)?;
    let document = json!({ "adopted": adopted.receipts, "added_raw": adopted.added });
    context.out.result(&document, || match adopted.receipts {
        0 => "nothing to adopt".into(),
        count => format!("{} adopted: debts now", counted(count, "receipt")),
    })
}

fn adopt_evidence(
    context: &Context,
    ledger: &dyn ReceiptBook,
    account: Address,
) -> Outcome<Adopted> {
    let wanted = evidence_of(account);
    let mut epochs = Vec::new();
    let mut lines = Vec::new();
    pages(ledger, &wanted, |entry| {
        let row = &entry.receipt;
        if lines.len() < MAX_LISTED {
            lines.push(format!(
                "  {} to {}",
                amount_text(row.amount, row.pair.token),
                row.pair.payee
            ));
        }
        epochs.push((row.pair, row.epoch));
        Ok(())
    })?;
    if epochs.is_empty() {
        return Ok(Adopted::default());
    }
    if epochs.len() > lines.len() {
        let more = epochs.len() - lines.len();
        lines.push(format!(
            "  and {more} more: `seedrail receipts list --kind evidence` has them all"
        ));
    }
    context.out.note(format!(
        "{} would become debts of {account}:\n{}",
        epochs.len(),
        lines.join("\n")
    ));
    context.out.confirm("Adopt them?", context.settings.yes)?;
    Ok(ledger.adopt(&epochs)?.into_inner())
}
