//! The ledger a command works on: one file per chain in the home folder, or
//! where `--ledger` says.

use std::{fs, path::PathBuf, sync::Arc};

use super::{
    Context,
    chain::{self, Chain},
    failure::{Exit, Failure, Outcome},
    settings::{LedgerPlace, private_folder},
};
use crate::{
    ledger::{Ledger, LedgerError, PostgresLedger, PostgresUrl, SqliteLedger, Upkeep},
    types::BlockId,
};

/// Opens the ledger of the chain. A new one is announced: a command that pays
/// from an empty ledger knows of no earlier payment.
pub(crate) fn open(context: &Context, genesis: BlockId) -> Outcome<Arc<dyn Ledger>> {
    Ok(open_whole(context, genesis)?)
}

fn announce(context: &Context, place: impl std::fmt::Display) {
    context.out.note(format!(
        "a new ledger is made at {place}; it knows of no earlier payment"
    ));
}

fn open_whole(context: &Context, genesis: BlockId) -> Outcome<Arc<dyn Upkeep>> {
    let path = match place(context, Some(genesis))? {
        Place::Server(url) => {
            if !PostgresLedger::is_there(url)? {
                announce(context, url);
            }
            return Ok(Arc::new(PostgresLedger::open(url, genesis)?));
        }
        Place::File(path) => path,
        Place::Several => return Err(several()),
        Place::Nowhere => return Err(Failure::failed("ledger", "there is no ledger yet")),
    };
    if let Some(folder) = path.parent() {
        private_folder(folder)?;
    }
    if !path.exists() {
        announce(context, path.display());
    }
    let ledger = SqliteLedger::open(&path, genesis)?;
    Ok(Arc::new(ledger))
}

/// Where the ledger is, or would be.
enum Place<'a> {
    Server(&'a PostgresUrl),
    File(PathBuf),
    /// No chain is known, and there are several.
    Several,
    /// No chain is known, and there is none.
    Nowhere,
}

fn place(context: &Context, genesis: Option<BlockId>) -> Outcome<Place<'_>> {
    match (&context.settings.ledger, genesis) {
        (Some(LedgerPlace::Server(url)), _) => Ok(Place::Server(url)),
        (Some(LedgerPlace::File(path)), _) => Ok(Place::File(path.clone())),
        (Some(LedgerPlace::Refused(why)), _) => Err(Failure::usage(why)),
        (None, Some(genesis)) => Ok(Place::File(default_path(context, genesis))),
        (None, None) => {
            let mut ledgers = ledgers(context)?;
            Ok(match (ledgers.pop(), ledgers.len()) {
                (Some(only), 0) => Place::File(only),
                (None, _) => Place::Nowhere,
                (Some(_), _) => Place::Several,
            })
        }
    }
}

fn several() -> Failure {
    Failure::new(
        Exit::Node,
        "node",
        "no node answers, and several ledgers are here",
    )
    .hint("name one with --ledger FILE, or start the node")
}

/// The chain, or none when no node answers: reading a ledger needs no node.
async fn chain_if_any(context: &Context) -> Outcome<Result<Chain, Failure>> {
    match chain::connect(context).await {
        Ok(chain) => Ok(Ok(chain)),
        Err(failure) if failure.exit == Exit::Node => Ok(Err(failure)),
        Err(failure) => Err(failure),
    }
}

/// The chain and its ledger, to write to. When no node answers, the only ledger
/// of the network, or the one that was named, still opens.
pub(crate) async fn open_offline(context: &Context) -> Outcome<(Option<Chain>, Arc<dyn Ledger>)> {
    match chain_if_any(context).await? {
        Ok(chain) => {
            let ledger = open(context, chain.genesis)?;
            Ok((Some(chain), ledger))
        }
        Err(no_node) => match existing(context)? {
            Some(ledger) => Ok((None, ledger)),
            // Without a node nobody knows which chain a new ledger would be for.
            None => Err(no_node),
        },
    }
}

/// The chain and its ledger, as far as there are any. Makes nothing.
pub(crate) async fn open_if_there(
    context: &Context,
) -> Outcome<(Option<Chain>, Option<Arc<dyn Upkeep>>)> {
    let chain = chain_if_any(context).await?.ok();
    let genesis = chain.as_ref().map(|chain| chain.genesis);
    let found = match place(context, genesis)? {
        Place::Server(url) => PostgresLedger::is_there(url)?,
        Place::File(path) => path.exists(),
        Place::Several => return Err(several()),
        Place::Nowhere => false,
    };
    let opened = match (found, genesis) {
        (true, Some(genesis)) => Some(open_whole(context, genesis)?),
        (true, None) => existing(context)?,
        (false, _) => None,
    };
    Ok((chain, opened))
}

/// The same, to read from: where there is no ledger, an empty one in memory
/// answers, and the user is told.
pub(crate) async fn open_to_read(context: &Context) -> Outcome<(Option<Chain>, Arc<dyn Upkeep>)> {
    let (chain, ledger) = open_if_there(context).await?;
    let ledger = match ledger {
        Some(ledger) => ledger,
        None => {
            context
                .out
                .note("there is no ledger yet: nothing was paid, and nothing was earned");
            let genesis = chain.as_ref().map(|chain| chain.genesis);
            let genesis = genesis.unwrap_or(BlockId::from_bytes([0; 32]));
            Arc::new(SqliteLedger::in_memory(genesis)?)
        }
    };
    Ok((chain, ledger))
}

/// The ledger that is there, whatever its chain; `None` when there is none.
fn existing(context: &Context) -> Outcome<Option<Arc<dyn Upkeep>>> {
    let path = match place(context, None)? {
        Place::Server(url) => {
            return match PostgresLedger::open_existing(url) {
                Ok(ledger) => {
                    context.out.note(format!("no node answers; reading {url}"));
                    Ok(Some(Arc::new(ledger)))
                }
                Err(LedgerError::Absent(_)) => Ok(None),
                Err(error) => Err(error.into()),
            };
        }
        Place::File(path) if path.exists() => path,
        Place::Several => return Err(several()),
        Place::File(_) | Place::Nowhere => return Ok(None),
    };
    let ledger = SqliteLedger::open_existing(&path)?;
    context
        .out
        .note(format!("no node answers; reading {}", path.display()));
    Ok(Some(Arc::new(ledger)))
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
            LedgerError::NotLinked { .. } => Self::new(Exit::Disagree, "not_linked", error).hint(
                "this node and the one that was read before show different chains: compare with \
                 another --node, then `seedrail settle recover` goes back to the last block that \
                 the right one holds",
            ),
            LedgerError::Strangers { .. } => Self::new(Exit::Node, "unknown_witness", error)
                .hint("name another node with --node URL, or wait for the next block"),
            error => Self::failed("ledger", error),
        }
    }
}
