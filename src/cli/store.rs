//! The ledger a command works on: one file per chain in the home folder.

use std::{fs, path::PathBuf, sync::Arc};

use super::{
    Context,
    chain::{self, Chain},
    failure::{Exit, Failure, Outcome},
};
use crate::{
    ledger::{Ledger, LedgerError, SqliteLedger},
    types::BlockId,
};

/// Opens, and at first makes, the ledger of the chain.
pub(crate) fn open(context: &Context, genesis: BlockId) -> Outcome<Arc<dyn Ledger>> {
    let path = path(context, genesis);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| Failure::file(folder, error))?;
    }
    let ledger = SqliteLedger::open(&path, genesis)?;
    Ok(Arc::new(ledger))
}

/// The chain and its ledger. When no node answers, the only ledger of the
/// network, or the one that was named, still opens: reading it needs no node.
pub(crate) async fn open_offline(context: &Context) -> Outcome<(Option<Chain>, Arc<dyn Ledger>)> {
    let failure = match chain::connect(context).await {
        Ok(chain) => {
            let ledger = open(context, chain.genesis)?;
            return Ok((Some(chain), ledger));
        }
        Err(failure) if failure.exit == Exit::Node => failure,
        Err(failure) => return Err(failure),
    };
    let path = match &context.settings.ledger {
        Some(path) if path.exists() => path.clone(),
        Some(_) => return Err(failure),
        None => {
            let mut ledgers = ledgers(context)?;
            match (ledgers.pop(), ledgers.len()) {
                (Some(only), 0) => only,
                (None, _) => return Err(failure),
                (Some(_), _) => {
                    return Err(failure.hint(
                        "several ledgers are here: name one with --ledger FILE, or start the node",
                    ));
                }
            }
        }
    };
    let ledger = SqliteLedger::open_existing(&path)?;
    context
        .out
        .note(format!("no node answers; reading {}", path.display()));
    Ok((None, Arc::new(ledger)))
}

/// Where the ledger of a chain is.
fn path(context: &Context, genesis: BlockId) -> PathBuf {
    match &context.settings.ledger {
        Some(path) => path.clone(),
        None => {
            let text = genesis.to_string();
            let tail = text.get(48..).unwrap_or(&text);
            folder(context).join(format!("{}-{tail}.sqlite", context.settings.network))
        }
    }
}

fn folder(context: &Context) -> PathBuf {
    context.settings.home.join("ledgers")
}

/// The ledgers of the network, whatever their chains.
fn ledgers(context: &Context) -> Outcome<Vec<PathBuf>> {
    let folder = folder(context);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::file(&folder, error)),
    };
    let prefix = format!("{}-", context.settings.network);
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| Failure::file(&folder, error))?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if name.starts_with(&prefix) && name.ends_with(".sqlite") {
            found.push(path);
        }
    }
    Ok(found)
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        Self::failed("ledger", error)
    }
}
