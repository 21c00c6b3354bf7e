//! SIGHUP has the daemon read `config.toml` again: what can change while it runs is changed,
//! the rest is named. A file that is wrong changes nothing.

use serde_json::json;

use super::{
    Command, Context, Wrong,
    daemon::Daemon,
    errands::Errands,
    failure::{Failure, Outcome},
    file_options::{FileOption, FileOptions, Typed},
    parse,
    settings::Settings,
};
use crate::client::{
    Client, ClientError,
    command::Command as Told,
    snapshot::{Limits, Prices, Queue},
};

/// What the running daemon was told by the file.
#[derive(Debug)]
pub(super) struct Running {
    file: FileOptions,
}

/// What came of reading the file again.
#[derive(Debug, Default)]
struct Reloaded {
    changed: Vec<String>,
    restart: Vec<String>,
}

/// The keys that differ, each with its name as it is shown.
fn differing(
    before: &FileOptions,
    now: &FileOptions,
    counts: impl Fn(&FileOption) -> bool,
) -> Vec<(String, String)> {
    let own = |file: &FileOptions| {
        let options = file.options.iter().filter(|option| counts(option));
        options.cloned().collect::<Vec<_>>()
    };
    let (before_own, now_own) = (own(before), own(now));
    let same = |one: &FileOption, other: &FileOption| {
        (one.table, &one.key, &one.value) == (other.table, &other.key, &other.value)
    };
    let lost = before_own
        .iter()
        .filter(|one| !now_own.iter().any(|other| same(one, other)));
    let new = now_own
        .iter()
        .filter(|one| !before_own.iter().any(|other| same(one, other)));
    let mut keys: Vec<_> = lost
        .chain(new)
        .map(|option| {
            let table = option
                .table
                .map_or(String::new(), |table| format!("{table}."));
            (format!("{table}{}", option.key), option.key.clone())
        })
        .collect();
    let rest = before.rest.keys().chain(now.rest.keys());
    let rest = rest.filter(|key| before.rest.get(*key) != now.rest.get(*key));
    keys.extend(rest.map(|key| (key.clone(), String::new())));
    keys.sort();
    keys.dedup();
    keys
}

impl Running {
    pub(super) fn new(context: &Context) -> Self {
        Self {
            file: context.file.clone(),
        }
    }

    /// Reads the file again, and tells what came of it.
    pub(super) async fn reload(
        &mut self,
        context: &Context,
        client: &Client,
        errands: &mut Errands,
    ) {
        match self.try_reload(context, client, errands).await {
            Ok(reloaded) => {
                let document = json!({
                    "event": "reloaded",
                    "changed": reloaded.changed,
                    "needs_restart": reloaded.restart,
                });
                let told = context.out.event(&document);
                if let Err(failure) = told {
                    tracing::warn!(error = %failure.message, "nobody reads what is told");
                }
                context.out.note(match reloaded.changed.is_empty() {
                    true => "config.toml was read again; nothing changes".to_owned(),
                    false => format!(
                        "config.toml was read again; changed: {}",
                        reloaded.changed.join(", ")
                    ),
                });
                if !reloaded.restart.is_empty() {
                    let keys = reloaded.restart.join(", ");
                    context
                        .out
                        .warn(format!("a restart is needed for these keys: {keys}"));
                }
            }
            Err(failure) => {
                let message = &failure.message;
                context
                    .out
                    .warn(format!("the old configuration goes on: {message}"));
                let document = json!({ "event": "reload_failed", "message": message });
                if let Err(failure) = context.out.event(&document) {
                    tracing::warn!(error = %failure.message, "nobody reads what is told");
                }
            }
        }
    }

    async fn try_reload(
        &mut self,
        context: &Context,
        client: &Client,
        errands: &mut Errands,
    ) -> Outcome<Reloaded> {
        let (cli, file) = parse(&context.arguments).map_err(|wrong| match wrong {
            Wrong::Filed(failure) => failure,
            Wrong::Typed(error) => Failure::usage(error.render()),
        })?;
        let Command::Daemon(daemon) = &cli.command else {
            return Err(Failure::failed(
                "config",
                "these are not the arguments of `seedrail daemon`",
            ));
        };
        // What is no option is checked, too.
        Settings::read(&cli.global)?;
        let typed =
            Typed::of(&context.arguments).map_err(|error| Failure::usage(error.render()))?;
        let counting = typed.counting(&file);
        let before = typed.counting(&self.file);
        let counts = |option: &FileOption| counting.contains(&option) || before.contains(&option);
        let mut reloaded = Reloaded::default();
        let keys = differing(&self.file, &file, counts);
        let commands = commands(&keys, daemon, client)?;
        let programs = among(&keys, &["on_complete", "on_problem"]);
        if !programs.is_empty() {
            daemon.programs().check()?;
            errands.set(daemon.programs());
            self.file.take(&file, &programs);
            reloaded.changed.extend(programs);
        }
        for (names, command) in commands {
            match client.command(command).await {
                Ok(_) => {
                    self.file.take(&file, &names);
                    reloaded.changed.extend(names);
                }
                // The wallet and the node are opened at the start.
                Err(ClientError::NoPayments | ClientError::NoWallet) => {
                    reloaded.restart.extend(names)
                }
                Err(error) => return Err(Failure::failed("config", error)),
            }
        }
        let others = keys.into_iter().map(|(name, _)| name);
        let others = others
            .filter(|name| !reloaded.changed.contains(name) && !reloaded.restart.contains(name));
        let others: Vec<String> = others.collect();
        reloaded.restart.extend(others);
        Ok(reloaded)
    }
}

/// Those of the keys that are these of the daemon.
fn among(keys: &[(String, String)], wanted: &[&str]) -> Vec<String> {
    let own = keys
        .iter()
        .filter(|(name, key)| name.starts_with("daemon.") && wanted.contains(&key.as_str()));
    own.map(|(name, _)| name.clone()).collect()
}

/// What the client is told of the keys that can change while it runs.
fn commands(
    keys: &[(String, String)],
    daemon: &Daemon,
    client: &Client,
) -> Outcome<Vec<(Vec<String>, Told)>> {
    let among = |wanted: &[&str]| among(keys, wanted);
    let mut told = Vec::new();
    let transfer = client.snapshot().transfer.clone();
    let limits = among(&["up_limit", "down_limit"]);
    if !limits.is_empty() {
        let [up, down] = daemon.limits();
        let now = transfer.value.limits;
        let has = |key: &str| limits.iter().any(|name| name.ends_with(key));
        let limits_now = Limits {
            up: if has("up_limit") { up } else { now.up },
            down: if has("down_limit") { down } else { now.down },
        };
        told.push((
            limits,
            Told::SetLimits {
                hash: None,
                limits: limits_now,
            },
        ));
    }
    let queue = among(&["max_downloads", "max_seeds"]);
    if !queue.is_empty() {
        let (now, new) = (transfer.value.queue, daemon.queue());
        let has = |key: &str| queue.iter().any(|name| name.ends_with(key));
        let queue_now = Queue {
            downloads: if has("max_downloads") {
                new.downloads
            } else {
                now.downloads
            },
            seeds: if has("max_seeds") {
                new.seeds
            } else {
                now.seeds
            },
        };
        told.push((queue, Told::SetQueue(queue_now)));
    }
    let times = among(&["schedule"]);
    if !times.is_empty() {
        told.push((times, Told::SetSchedule(daemon.schedule()?)));
    }
    let asks = among(&["ask"]);
    let bids = among(&["bid", "max_bid"]);
    if !asks.is_empty() || !bids.is_empty() {
        let (now, new) = (transfer.value.prices, daemon.prices()?);
        let (bid_raw, bid_auto) = match bids.is_empty() {
            true => (now.bid_raw, now.bid_auto),
            false => (new.bid_raw, new.bid_auto),
        };
        let prices = Prices {
            ask_raw: if asks.is_empty() {
                now.ask_raw
            } else {
                new.ask_raw
            },
            bid_raw,
            bid_auto,
        };
        let names = asks.into_iter().chain(bids).collect();
        told.push((names, Told::SetPrices { hash: None, prices }));
    }
    if let (names, Some(policy)) = (among(&["settle"]), daemon.policy())
        && !names.is_empty()
    {
        told.push((names, Told::SetPolicy(policy)));
    }
    Ok(told)
}
