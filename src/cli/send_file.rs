//! `seedrail send --csv`: the payouts of a file, each once, however often the
//! file is run.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs::File,
    io::Read,
    path::Path,
};

use serde_json::{Value, json};

use super::{
    Context, account,
    chain::{self, Chain, TokenInfo},
    failure::{Exit, Failure, Outcome},
    printable,
    send::How,
    settings::Network,
    settle::Desk,
};
use crate::{
    ledger::{AttemptRow, AttemptState, PayoutRow, PayoutState},
    settle::{
        FileQuote, FileReport, FileRow, PayoutFile, ReadAs, RowState, payout_file::MAX_FILE_BYTES,
    },
    types::{RawAmount, Sun, Token},
};

type Tokens = BTreeMap<Token, TokenInfo>;

/// How many rows a sentence names; the others are counted.
const NAMED: usize = 10;

fn read(context: &Context, path: &Path, how: &ReadAs) -> Outcome<PayoutFile> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| Failure::file(path, error))?;
    let file = PayoutFile::parse_as(&bytes, how).map_err(|error| {
        let mut hint = "nothing was paid: correct the file and run it again".to_owned();
        if context.settings.network == Network::Mainnet && error.to_string().contains("no unit") {
            hint = format!("{hint}; `BTT`: {}", chain::REDENOMINATION);
        }
        Failure::failed("payout_file", format!("{}: {error}", path.display())).hint(hint)
    })?;
    for name in &file.ignored {
        let name = printable::line(name);
        context.out.note(format!("the column `{name}` is not read"));
    }
    Ok(file)
}

pub(super) async fn run(context: &Context, path: &Path, read_as: &ReadAs, how: How) -> Outcome {
    let file = read(context, path, read_as)?;
    let (from, key) = account::actor(context, how.dry_run)?;
    if let Some(row) = file.rows.iter().find(|row| row.payee == from) {
        return Err(Failure::failed(
            "payout_file",
            format!(
                "{}: row {}, column address: {from} cannot pay itself",
                path.display(),
                row.number
            ),
        ));
    }
    let chain = chain::connect(context).await?;
    let tokens = tokens(context, &chain, &file).await?;
    let desk = Desk::new(context, chain, from)?;
    let quote = desk
        .with(async |engine| engine.quote_file(&file).await)
        .await?;
    refuse_changed(path, &file, &quote, &tokens, how.new)?;
    let words = preview(context, path, &file, &quote, &tokens);
    let base = json!({
        "file": path,
        "rows": file.rows.len(),
        "paid_before": file.rows.len() - quote.due(),
        "totals": totals_json(&quote, &tokens),
    });
    let Some(key) = key else {
        let document = with(
            base,
            &json!({
                "due": quote.due(),
                "fee_sun_estimate": quote.cost.expected.0,
                "fee_sun_worst": quote.cost.worst.0,
                "activates": quote.activates,
            }),
        );
        return context
            .out
            .result(&document, || format!("would do: {words}"));
    };
    if quote.due() > 0 {
        chain::guard_mainnet(context)?;
        context.out.note(&words);
        for (first, second) in file.equal_rows().into_iter().take(NAMED) {
            context.out.note(format!(
                "rows {first} and {second} pay the same to the same: both are paid"
            ));
        }
        context.out.confirm("Pay them?", context.settings.yes)?;
    } else {
        context.out.note(format!(
            "every row of {} was paid, or is on its way: nothing is paid again",
            path.display()
        ));
    }
    let report = desk
        .with(async |engine| engine.pay_file(key.as_ref(), &file, how.until).await)
        .await?;
    print(context, base, &file, &quote, &report, &tokens)
}

/// What the chain says of each token the file pays in.
async fn tokens(context: &Context, chain: &Chain, file: &PayoutFile) -> Outcome<Tokens> {
    let mut tokens = Tokens::new();
    for row in &file.rows {
        if let Entry::Vacant(entry) = tokens.entry(row.token) {
            entry.insert(chain.token(context, row.token).await?);
        }
    }
    Ok(tokens)
}

fn decimal(tokens: &Tokens, token: Token, amount: RawAmount) -> String {
    match tokens.get(&token) {
        Some(info) => format!("{} {}", amount.to_decimal(info.decimals), info.name),
        None => format!("{amount} raw units of {token}"),
    }
}

/// Rows that were paid otherwise than the file says, or, without ids, perhaps
/// under another number.
fn refuse_changed(
    path: &Path,
    file: &PayoutFile,
    quote: &FileQuote,
    tokens: &Tokens,
    new: bool,
) -> Outcome {
    let changed: Vec<String> = file
        .rows
        .iter()
        .zip(&quote.rows)
        .filter_map(|(row, state)| match state {
            RowState::Differs(payout) => Some(changed_row(row, payout, tokens)),
            _ => None,
        })
        .collect();
    if !changed.is_empty() {
        return Err(Failure::failed(
            "changed_file",
            format!("{}: {}", path.display(), list(&changed)),
        )
        .hint(
            "nothing was paid: an id names one payment for ever; give a new payment a new id, \
             and put the paid rows back as they were",
        ));
    }
    if !quote.paid_alike.is_empty() && !new {
        let rows: Vec<_> = quote.paid_alike.iter().map(ToString::to_string).collect();
        return Err(Failure::failed(
            "paid_alike",
            format!(
                "{}: {} of its {} rows pay what was paid lately ({}): is it a changed copy of a file that was run?",
                path.display(),
                rows.len(),
                file.rows.len(),
                list(&rows)
            ),
        )
        .hint(
            "nothing was paid: give --new to pay them again; rows with an `id` column are told \
             apart by it, however the file is changed",
        ));
    }
    Ok(())
}

fn changed_row(row: &FileRow, payout: &PayoutRow, tokens: &Tokens) -> String {
    let name = match &row.id {
        Some(id) => format!("row {} (id `{id}`)", row.number),
        None => format!("row {}", row.number),
    };
    let (before, now) = (
        decimal(tokens, payout.token, payout.amount),
        decimal(tokens, row.token, row.amount),
    );
    let verb = match payout.state {
        PayoutState::Confirmed => "was paid as",
        _ => "is on its way as",
    };
    if payout.payee == row.payee && before == now {
        return format!("{name} {verb} {before} to {} with another memo", row.payee);
    }
    format!(
        "{name} {verb} {before} to {}, and the file says {now} to {} now",
        payout.payee, row.payee
    )
}

fn list(words: &[String]) -> String {
    let mut text = words
        .iter()
        .take(NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    if words.len() > NAMED {
        text.push_str(&format!("; and {} more", words.len() - NAMED));
    }
    text
}

fn preview(
    context: &Context,
    path: &Path,
    file: &PayoutFile,
    quote: &FileQuote,
    tokens: &Tokens,
) -> String {
    let totals: Vec<_> = quote
        .totals
        .iter()
        .map(|(token, total)| decimal(tokens, *token, *total))
        .collect();
    let mut words = format!(
        "{} of the {} rows of {} are due on {}: {} in all; fees {} expected, {} at worst",
        quote.due(),
        file.rows.len(),
        path.display(),
        context.settings.network,
        if totals.is_empty() {
            "nothing".to_owned()
        } else {
            totals.join(" and ")
        },
        quote.cost.expected,
        quote.cost.worst,
    );
    if quote.activates > 0 {
        words.push_str(&format!(" ({} accounts are made)", quote.activates));
    }
    words
}

fn totals_json(quote: &FileQuote, tokens: &Tokens) -> Value {
    let total = |(token, total): (&Token, &RawAmount)| {
        json!({
            "token": token.to_string(),
            "amount": tokens.get(token).map(|info| total.to_decimal(info.decimals)),
            "amount_raw": total,
        })
    };
    quote.totals.iter().map(total).collect()
}

fn with(mut document: Value, more: &Value) -> Value {
    if let (Some(object), Some(more)) = (document.as_object_mut(), more.as_object()) {
        object.extend(more.clone());
    }
    document
}

/// How a row stands, in a word.
fn state(payout: &PayoutRow, attempt: Option<&AttemptRow>) -> &'static str {
    match (payout.state, attempt.map(|attempt| attempt.state)) {
        (PayoutState::Confirmed, _) => "solid",
        (PayoutState::Failed, _) => "failed",
        (_, Some(AttemptState::Included)) => "included",
        (_, Some(AttemptState::Sent)) => "accepted",
        _ => "planned",
    }
}

fn print(
    context: &Context,
    base: Value,
    file: &PayoutFile,
    quote: &FileQuote,
    report: &FileReport,
    tokens: &Tokens,
) -> Outcome {
    let mut rows = Vec::with_capacity(report.rows.len());
    let mut lines = Vec::with_capacity(report.rows.len() + 1);
    let (mut confirmed, mut pending, mut failed, mut fee) = (0_u64, 0_u64, 0_u64, 0_u64);
    // Whether the estimate was for the rows whose fees are summed, and all are known:
    // those of solid transactions are.
    let mut comparable = quote.due() > 0;
    for ((row, before), (payout, attempt)) in file.rows.iter().zip(&quote.rows).zip(&report.rows) {
        let state = state(payout, attempt.as_ref());
        match state {
            "solid" => confirmed += 1,
            "failed" => failed += 1,
            _ => pending += 1,
        }
        // What this run burnt: rows that were solid before it cost nothing now.
        let settled = matches!(
            before,
            RowState::Known(payout) if payout.state == PayoutState::Confirmed
        );
        let burnt = attempt.as_ref().and_then(|attempt| attempt.fee);
        if !settled {
            fee = fee.saturating_add(burnt.map_or(0, |burnt| burnt.0));
            comparable &= burnt.is_some() && !matches!(before, RowState::Known(_));
        }
        let txid = attempt.as_ref().map(|attempt| attempt.txid);
        lines.push(format!(
            "  {:>5}  {}  {}  {state}  {}",
            row.number,
            row.payee,
            decimal(tokens, row.token, row.amount),
            txid.map_or_else(|| "unsigned".to_owned(), |txid| txid.to_string()),
        ));
        rows.push(json!({
            "row": row.number,
            "id": row.id,
            "to": row.payee,
            "token": row.token.to_string(),
            "amount_raw": row.amount,
            "state": state,
            "txid": txid,
        }));
    }
    lines.push(format!(
        "{confirmed} solid, {pending} pending, {failed} failed; fees {}",
        Sun(fee)
    ));
    let document = with(
        base,
        &json!({
            "confirmed": confirmed,
            "pending": pending,
            "failed": failed,
            "fee_sun": fee,
            "fee_sun_estimate": quote.cost.expected.0,
            "payouts": rows,
        }),
    );
    if comparable {
        chain::note_fee(context, Sun(fee), quote.cost.expected);
    }
    context.out.result(&document, || lines.join("\n"))?;
    if failed == 0 {
        return Ok(());
    }
    let why = report
        .refusal
        .as_ref()
        .map_or_else(String::new, |refusal| format!(": {refusal}"));
    Err(Failure::new(
        Exit::Partly,
        "partly",
        format!("{failed} of {} rows were not paid{why}", file.rows.len()),
    )
    .hint("run the same command again: what was paid is never paid twice"))
}
