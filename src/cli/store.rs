//! The ledger a command works on: one file per chain in the home folder, or
//! where `--ledger` says.

use std::{fs, path::PathBuf, sync::Arc};

use super::{
    Context,
    chain::{self, Chain},
    failure::{Exit, Failure, Outcome},
    settings::LedgerPlace,
};
use crate::{
    ledger::{Ledger, LedgerError, PostgresLedger, SqliteLedger, Upkeep},
    types::BlockId,
};

/// Opens, and at first makes, the ledger of the chain.
pub(crate) fn open(context: &Context, genesis: BlockId) -> Outcome<Arc<dyn Ledger>> {
    Ok(open_whole(context, genesis)?)
}

fn open_whole(context: &Context, genesis: BlockId) -> Outcome<Arc<dyn Upkeep>> {
    let path = match &context.settings.ledger {
        Some(LedgerPlace::Server(url)) => {
            return Ok(Arc::new(PostgresLedger::open(url, genesis)?));
        }
        Some(LedgerPlace::File(path)) => path.clone(),
        Some(LedgerPlace::Refused(why)) => return Err(Failure::usage(why)),
        None => default_path(context, genesis),
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| Failure::file(folder, error))?;
    }
    let ledger = SqliteLedger::open(&path, genesis)?;
    Ok(Arc::new(ledger))
}

/// The chain and its ledger. When no node answers, the only ledger of the
/// network, or the one that was named, still opens: reading it needs no node.
pub(crate) async fn open_offline(context: &Context) -> Outcome<(Option<Chain>, Arc<dyn Ledger>)> {
    let (chain, ledger) = open_upkeep(context).await?;
    Ok((chain, ledger))
}

/// The same, for work on the ledger as a whole.
pub(crate) async fn open_upkeep(context: &Context) -> Outcome<(Option<Chain>, Arc<dyn Upkeep>)> {
    let failure = match chain::connect(context).await {
        Ok(chain) => {
            let ledger = open_whole(context, chain.genesis)?;
            return Ok((Some(chain), ledger));
        }
        Err(failure) if failure.exit == Exit::Node => failure,
        Err(failure) => return Err(failure),
    };
    let path = match &context.settings.ledger {
        Some(LedgerPlace::Server(url)) => {
            let ledger = PostgresLedger::open_existing(url)?;
            context.out.note(format!("no node answers; reading {url}"));
            return Ok((None, Arc::new(ledger)));
        }
        Some(LedgerPlace::File(path)) if path.exists() => path.clone(),
        Some(LedgerPlace::File(_) | LedgerPlace::Refused(_)) => return Err(failure),
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

/// Where the ledger of a chain is unless another place is named.
fn default_path(context: &Context, genesis: BlockId) -> PathBuf {
    let text = genesis.to_string();
    let tail = text.get(48..).unwrap_or(&text);
    folder(context).join(format!("{}-{tail}.sqlite", context.settings.network))
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
        match error {
            // What was written is read back by whoever comes next.
            LedgerError::CommitUnknown(_) | LedgerError::LeaseLost(_) => {
                Self::new(Exit::Partly, "ledger", error)
                    .hint("run the command again: it goes on from what the ledger holds")
            }
            error => Self::failed("ledger", error),
        }
    }
}
