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
    Context,
    alike::{alike_json, alike_text, state_word},
    chain::{self, Chain, TokenInfo},
    failure::{Exit, Failure, Outcome},
    payment::{How, NAMED, Paying, list, memo_text, owed_text, warn_of_payee, with},
    printable,
    settings::Network,
    units::counted,
};
use crate::{
    ledger::{AttemptRow, AttemptState, PayoutRow, PayoutState},
    settle::{
        Before, FileQuote, FileReport, FileRow, PayoutFile, ReadAs, RowEnd, RowState,
        payout_file::MAX_FILE_BYTES,
    },
    types::{Address, RawAmount, Sun, Token, UnitAmount},
};

type Tokens = BTreeMap<Token, TokenInfo>;

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
    let mut file = read(context, path, read_as)?;
    if let Some(period) = &how.period {
        file.in_period(period);
    }
    for row in &mut file.rows {
        row.not_for_debts = how.not_for_debts;
    }
    let file = &file;
    let Paying { payer, key, from } = how.paying(context)?;
    let signed = how.signed_by.words(key);
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
    let tokens = tokens(context, &chain, file).await?;
    let desk = how.desk(context, chain, from)?;
    let base = |quote: &FileQuote| {
        json!({
            "file": path,
            "rows": file.rows.len(),
            "paid_before": file.rows.len() - quote.due(),
            "totals": totals_json(quote, &tokens),
        })
    };
    let Some(payer) = payer else {
        let quote = desk
            .with(async |engine| engine.preview_file(file).await)
            .await?;
        refuse_changed(path, file, &quote, &tokens)?;
        warn_of_rows(context, file, &quote);
        let document = with(
            base(&quote),
            json!({
                "due": quote.due(),
                "fee_sun_estimate": quote.cost.expected.0,
                "fee_sun_worst": quote.cost.worst.0,
                "activates": quote.activates,
                "payouts": preview_json(file, &quote, &tokens),
            }),
        );
        return context.out.result(&document, || {
            format!(
                "{}\nwould do: {}{signed}",
                preview_rows(file, &quote, &tokens),
                preview(context, path, file, &quote, &tokens)
            )
        });
    };
    chain::guard_mainnet(context)?;
    let mut shown = None;
    let mut answer = Ok(());
    let mut confirm = |quote: &FileQuote| {
        shown = Some(quote.clone());
        answer = agree(context, (path, file), quote, &tokens, &how, &signed)
            .and_then(|()| payer.unlock());
        answer.is_ok()
    };
    let report = desk
        .order(context, async |engine| {
            engine.pay_file(&payer, file, how.until, &mut confirm).await
        })
        .await?;
    match (report, shown) {
        (Some(report), Some(quote)) => print(context, base(&quote), file, &quote, &report, &tokens),
        _ => answer,
    }
}

/// The question before a file is paid.
fn agree(
    context: &Context,
    (path, file): (&Path, &PayoutFile),
    quote: &FileQuote,
    tokens: &Tokens,
    how: &How,
    signed: &str,
) -> Outcome {
    refuse_changed(path, file, quote, tokens)?;
    if quote.due() + quote.unsigned == 0 {
        context.out.note(format!(
            "every row of {} was paid, or is on its way: nothing is paid again (to pay the same \
             file for another month on purpose, give it a name: --period 2026-12)",
            path.display()
        ));
        return Ok(());
    }
    context.out.note(format!(
        "{}{signed}",
        preview(context, path, file, quote, tokens)
    ));
    warn_of_rows(context, file, quote);
    for (wanted, owed) in quote.owed.iter().take(NAMED) {
        context.out.note(owed_text(
            &decimal(tokens, wanted.token, *owed),
            wanted.payee,
            how.not_for_debts,
        ));
    }
    let alike: Vec<_> = quote
        .alike
        .iter()
        .map(|(row, past)| format!("row {row}: {}", alike_text(past)))
        .collect();
    let refusal = || {
        format!(
            "{}: {} of its {} rows pay what was paid already (is it a changed copy of a file that \
             was run?): {}",
            path.display(),
            alike.len(),
            file.rows.len(),
            list(&alike)
        )
    };
    how.agree(context, &alike, refusal, ["Pay them?", "Pay them again?"])
}

/// What a person should look at twice.
fn warn_of_rows(context: &Context, file: &PayoutFile, quote: &FileQuote) {
    let due = file.rows.iter().zip(&quote.rows);
    let due: Vec<_> = due
        .filter(|(_, state)| matches!(state, RowState::Due(_)))
        .map(|(row, _)| row)
        .collect();
    for row in &due {
        let is_contract = quote.contracts.contains(&row.payee);
        if row.payee == Address::ZERO || is_contract {
            warn_of_payee(context, row.payee, false, is_contract);
        }
    }
    if quote.activates > 0 {
        context.out.warn(format!(
            "{} of the payees {} never used on this chain: check that the addresses are right; \
             making an account is part of the fees",
            quote.activates,
            if quote.activates == 1 { "was" } else { "were" }
        ));
    }
    let equal = file.equal_rows();
    for (first, second) in equal.iter().take(NAMED) {
        context.out.warn(format!(
            "rows {first} and {second} pay the same to the same: both are paid"
        ));
    }
    if let more @ 1.. = equal.len().saturating_sub(NAMED) {
        context.out.warn(format!(
            "{more} more rows are equal to others: all are paid"
        ));
    }
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
        Some(info) => info.amount(amount),
        None => UnitAmount { token, raw: amount }.to_string(),
    }
}

/// Whether a row is due, in a word.
fn standing(state: &RowState) -> &'static str {
    match state {
        RowState::Due(_) => "due",
        RowState::Known(payout) => match payout.state {
            PayoutState::Confirmed => "final",
            PayoutState::Planned => "not signed",
            _ => "on its way",
        },
        RowState::Elsewhere(_) => "paid outside of this ledger",
        RowState::Differs(_) => "differs",
    }
}

/// Every row with what it pays and where it stands.
fn preview_rows(file: &PayoutFile, quote: &FileQuote, tokens: &Tokens) -> String {
    let alike: BTreeMap<_, _> = quote.alike.iter().map(|(row, past)| (*row, past)).collect();
    let rows = file.rows.iter().zip(&quote.rows).map(|(row, state)| {
        let mut line = format!(
            "{:>5}  {}  {}  {}",
            row.number,
            row.payee,
            decimal(tokens, row.token, row.amount),
            standing(state)
        );
        if !row.memo.is_empty() {
            line.push_str(&format!("  memo {}", memo_text(&row.memo)));
        }
        if let Some(past) = alike.get(&row.number) {
            line.push_str(&format!("  equal payment: {}", alike_text(past)));
        }
        line
    });
    rows.collect::<Vec<_>>().join("\n")
}

fn preview_json(file: &PayoutFile, quote: &FileQuote, tokens: &Tokens) -> Value {
    let alike: BTreeMap<_, _> = quote.alike.iter().map(|(row, past)| (*row, past)).collect();
    let one = |(row, state): (&FileRow, &RowState)| {
        json!({
            "row": row.number,
            "id": row.id,
            "to": row.payee,
            "token": row.token.to_string(),
            "amount": tokens.get(&row.token).map(|info| row.amount.to_decimal(info.decimals)),
            "amount_raw": row.amount,
            "memo_hex": hex::encode(&row.memo),
            "state": standing(state),
            "alike": alike.get(&row.number).map(|past| alike_json(std::slice::from_ref(*past))),
        })
    };
    file.rows.iter().zip(&quote.rows).map(one).collect()
}

/// Rows that were paid otherwise than the file says.
fn refuse_changed(path: &Path, file: &PayoutFile, quote: &FileQuote, tokens: &Tokens) -> Outcome {
    let changed: Vec<String> = file
        .rows
        .iter()
        .zip(&quote.rows)
        .filter_map(|(row, state)| match state {
            RowState::Differs(before) => Some(changed_row(row, before, tokens)),
            _ => None,
        })
        .collect();
    if !changed.is_empty() {
        return Err(Failure::failed(
            "changed_file",
            format!("{}: {}", path.display(), list(&changed)),
        )
        .hint(
            "nothing was paid: an id names one payment for good; give a new payment a new id, \
             and put the paid rows back as they were",
        ));
    }
    Ok(())
}

fn changed_row(row: &FileRow, paid: &Before, tokens: &Tokens) -> String {
    let name = match &row.id {
        Some(id) => format!("row {} (id `{id}`)", row.number),
        None => format!("row {}", row.number),
    };
    let wanted = paid.wanted();
    let (before, now) = (
        decimal(tokens, wanted.token, wanted.amount),
        decimal(tokens, row.token, row.amount),
    );
    let verb = match paid {
        Before::Payout(payout) if payout.state != PayoutState::Confirmed => "is on its way as",
        _ => "was paid as",
    };
    if wanted.payee == row.payee && before == now {
        return format!("{name} {verb} {before} to {} with another memo", row.payee);
    }
    format!(
        "{name} {verb} {before} to {}, and the file says {now} to {} now",
        wanted.payee, row.payee
    )
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
        quote.due() + quote.unsigned,
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
    if quote.unsigned > 0 {
        words.push_str(&format!(
            "; {} of them were ordered before and not signed",
            quote.unsigned
        ));
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

/// How a row stands, in a word for programs.
fn state(payout: &PayoutRow, attempt: Option<&AttemptRow>) -> &'static str {
    match (payout.state, attempt.map(|attempt| attempt.state)) {
        (PayoutState::Confirmed, _) => "solid",
        (PayoutState::Failed, _) => "failed",
        (_, Some(AttemptState::Included)) => "included",
        (_, Some(AttemptState::Sent)) if attempt.is_some_and(AttemptRow::is_accepted) => "accepted",
        (_, Some(AttemptState::Sent)) => "sent",
        _ => "planned",
    }
}

/// What a run of a file came to.
#[derive(Default)]
struct Tally {
    confirmed: u64,
    pending: u64,
    failed: u64,
    fee: u64,
    /// Of how many transactions it is not known what they burnt.
    fees_unknown: u64,
    /// How many no node has accepted: they may still happen.
    not_accepted: u64,
    rows: Vec<Value>,
    lines: Vec<String>,
}

impl Tally {
    /// `before`: where the row stood as the run began.
    fn add(&mut self, row: &FileRow, before: &RowState, end: &RowEnd, tokens: &Tokens) {
        let (state, word, txid) = match end {
            RowEnd::Elsewhere(transfer) => {
                ("solid", "paid outside of this ledger", Some(transfer.txid))
            }
            RowEnd::Payout(payout, attempt) => {
                // What this run burnt: rows that were final before it cost nothing now.
                let was_final = matches!(
                    before,
                    RowState::Known(payout) if payout.state == PayoutState::Confirmed
                );
                if !was_final {
                    match attempt {
                        Some(attempt) if attempt.fee.is_some() => {
                            let fee = attempt.fee.map_or(0, |fee| fee.0);
                            self.fee = self.fee.saturating_add(fee);
                        }
                        Some(attempt) if attempt.block.is_some() => self.fees_unknown += 1,
                        _ => {}
                    }
                }
                let attempt_state = attempt.as_ref().map(|attempt| attempt.state);
                let state = state(payout, attempt.as_ref());
                let word = match state {
                    "sent" => "not accepted, may still happen",
                    _ => state_word(payout.state, attempt_state),
                };
                (state, word, attempt.as_ref().map(|attempt| attempt.txid))
            }
        };
        match state {
            "solid" => self.confirmed += 1,
            "failed" => self.failed += 1,
            _ => self.pending += 1,
        }
        self.not_accepted += u64::from(state == "sent");
        let mut line = format!(
            "  {:>5}  {}  {}  {word}",
            row.number,
            row.payee,
            decimal(tokens, row.token, row.amount),
        );
        if let Some(txid) = txid {
            line.push_str(&format!("  {txid}"));
        }
        if let RowEnd::Payout(payout, _) = end
            && !payout.reason.is_empty()
        {
            line.push_str(&format!("  ({})", payout.reason));
        }
        self.lines.push(line);
        self.rows.push(json!({
            "row": row.number,
            "id": row.id,
            "to": row.payee,
            "token": row.token.to_string(),
            "amount_raw": row.amount,
            "state": state,
            "txid": txid,
        }));
    }

    fn fees(&self) -> String {
        match self.fees_unknown {
            0 => Sun(self.fee).to_string(),
            unknown => format!(
                "{}, and of {} not known yet",
                Sun(self.fee),
                counted(unknown, "transaction")
            ),
        }
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
    let mut tally = Tally::default();
    for ((row, before), end) in file.rows.iter().zip(&quote.rows).zip(&report.rows) {
        tally.add(row, before, end, tokens);
    }
    tally.lines.push(format!(
        "{} final, {} on their way, {} not paid; fees {}",
        tally.confirmed,
        tally.pending,
        tally.failed,
        tally.fees()
    ));
    let document = with(
        base,
        json!({
            "confirmed": tally.confirmed,
            "pending": tally.pending,
            "failed": tally.failed,
            "fee_sun": tally.fee,
            "fees_unknown": tally.fees_unknown,
            "fee_sun_estimate": quote.cost.expected.0,
            "payouts": tally.rows,
        }),
    );
    // The estimate was for rows that are due; it is compared where all of them, and no
    // others, were paid now.
    let new_alone = quote.rows.iter().all(|state| match state {
        RowState::Known(payout) => payout.state == PayoutState::Confirmed,
        _ => true,
    });
    let all_known = tally.failed + tally.pending + tally.fees_unknown == 0;
    if quote.due() > 0 && new_alone && all_known {
        chain::note_fee(context, Sun(tally.fee), quote.cost.expected);
    }
    context.out.result(&document, || tally.lines.join("\n"))?;
    if tally.failed + tally.not_accepted == 0 {
        return Ok(());
    }
    let why = report
        .refusal
        .as_ref()
        .map_or_else(String::new, |refusal| format!(": {refusal}"));
    Err(Failure::new(
        Exit::Partly,
        "partly",
        match tally.failed {
            0 => format!(
                "{} of {} rows were not accepted, and may still happen{why}",
                tally.not_accepted,
                file.rows.len()
            ),
            failed => format!("{failed} of {} rows were not paid{why}", file.rows.len()),
        },
    )
    .hint("run the same command again: what was paid is never paid twice"))
}
