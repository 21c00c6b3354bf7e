//! `seedrail ledger`: the ledger as a whole.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::{
    Context,
    failure::{Failure, Outcome},
    output::unwritten,
    printable, store,
};
use crate::{
    ledger::{Cell, Upkeep},
    types::Address,
};

#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Check the ledger for contradictions.
    Check,
    /// Back up the ledger to a new file, also while other commands use it. The copy signs
    /// nothing until `settle recover`.
    Backup {
        /// The copy; from PostgreSQL too, it is a file that --ledger takes.
        #[arg(value_name = "FILE")]
        to: PathBuf,
    },
    /// Export all rows as JSON Lines.
    Export {
        /// File to write. Default: stdout.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

impl LedgerCommand {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let (_, Some(ledger)) = store::open_if_there(context).await? else {
            return Err(Failure::failed("ledger", "there is no ledger yet"));
        };
        match self {
            Self::Check => check(context, ledger.as_ref()),
            Self::Backup { to } => {
                ledger.backup(&to)?;
                let document = json!({ "file": to, "genesis": ledger.genesis() });
                context.out.result(&document, || {
                    format!(
                        "copied to {}; nothing is signed from the copy, since it does not know what \
                         is signed from now on",
                        to.display()
                    )
                })
            }
            Self::Export { output } => export(context, ledger.as_ref(), output.as_deref()),
        }
    }
}

fn check(context: &Context, ledger: &dyn Upkeep) -> Outcome {
    let found = ledger.contradictions()?;
    let restored = ledger.is_restored()?;
    let document = json!({ "ok": found.is_empty(), "contradictions": found, "restored": restored });
    context.out.result(&document, || {
        let mut lines = found.clone();
        if found.is_empty() {
            lines.push("every row agrees with the others".to_owned());
        }
        if restored {
            lines.push("this ledger is a copy, or was once: nothing is signed from it".to_owned());
        }
        lines.join("\n")
    })?;
    match found.len() {
        0 => Ok(()),
        1 => Err(contradicted("the ledger contradicts itself")),
        more => Err(contradicted(&format!(
            "the ledger contradicts itself in {more} ways"
        ))),
    }
}

fn contradicted(message: &str) -> Failure {
    Failure::failed("ledger", message)
        .hint("stop everything that uses it, keep the file, and go back to a copy")
}

fn export(context: &Context, ledger: &dyn Upkeep, output: Option<&Path>) -> Outcome {
    let failed = |error: io::Error| match output {
        Some(path) => Failure::file(path, error),
        None => unwritten(&error),
    };
    let mut unread = None;
    let mut writer: Box<dyn Write + Send> = match output {
        Some(path) => Box::new(BufWriter::new(File::create_new(path).map_err(failed)?)),
        None => Box::new(BufWriter::new(io::stdout())),
    };
    let count = ledger.rows(&mut |table, columns| {
        let mut line = Map::new();
        line.insert("table".to_owned(), table.into());
        for (name, cell) in columns {
            line.insert((*name).to_owned(), value(name, *cell));
        }
        let line = Value::Object(line).to_string();
        writeln!(writer, "{}", printable::json(&line)).inspect_err(|error| {
            if output.is_none() {
                unread = Some(unwritten(error));
            }
        })
    });
    if let Some(failure) = unread {
        return Err(failure);
    }
    let count = count?;
    writer.flush().map_err(failed)?;
    drop(writer);
    match output {
        None => Ok(()),
        Some(path) => {
            let document = json!({ "exported": count, "file": path });
            context.out.result(&document, || {
                format!("{count} rows written to {}", path.display())
            })
        }
    }
}

/// Addresses are base58check, other bytes hex; numbers are decimal strings,
/// since many readers of JSON lose digits.
fn value(column: &str, cell: Cell<'_>) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Int(number) => number.to_string().into(),
        Cell::Text(text) => text.into(),
        Cell::Bytes(bytes) => match <[u8; 20]>::try_from(bytes) {
            Ok(body) if column != "torrent" => Address::from_body(body).to_string().into(),
            _ => hex::encode(bytes).into(),
        },
    }
}
