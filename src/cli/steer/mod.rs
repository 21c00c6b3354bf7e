//! The commands that steer the daemon of this home, over its Unix socket.

mod files;
mod http;
mod price;
mod queue;
mod trackers;
mod words;

pub(crate) use files::FilesCommand;
pub(crate) use price::PriceCommand;
pub(crate) use queue::QueueCommand;
pub(crate) use trackers::Trackers;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use base64::Engine as _;
use clap::Args;
use serde_json::{Value, json};

use self::http::Daemon;
use super::{
    Context,
    failure::{Failure, Outcome},
    files::absolute,
    goals::GoalFlags,
    source,
    units::{Price, Rate, counted},
};
use crate::swarm::Source;

/// Fewest digits of its info-hash, or letters of its name, that name a torrent.
const LEAST_DIGITS: usize = 4;

/// How often `watch` looks.
const WATCH_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Magnet links (in quotes), torrent files, URLs of torrent files, or info-hashes; `-`
    /// reads one from stdin.
    #[arg(value_name = "MAGNET|FILE|URL|HASH", required = true)]
    source: Vec<String>,
    /// Folder to download into. Default: that of the category, or the daemon's.
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Folder to move the complete download to; nothing is overwritten.
    #[arg(long, value_name = "DIR")]
    move_to: Option<PathBuf>,
    /// Name in lists. Default: the torrent's own.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Category; one that is not there is made.
    #[arg(long, value_name = "NAME")]
    category: Option<String>,
    /// Tag; may be repeated.
    #[arg(long, value_name = "NAME")]
    tag: Vec<String>,
    /// Files to download: numbers as `torrent show` prints them, or names.
    #[arg(long, value_name = "FILES")]
    files: Option<String>,
    /// Do not start it.
    #[arg(long)]
    paused: bool,
    /// Lowest price for peers that pay, in place of the daemon's.
    #[arg(long, value_name = "PRICE")]
    ask: Option<Price>,
    /// Upload limit.
    #[arg(long, value_name = "RATE")]
    up_limit: Option<Rate>,
    /// Download limit.
    #[arg(long, value_name = "RATE")]
    down_limit: Option<Rate>,
    /// Tracker besides those of the torrent; may be repeated.
    #[arg(long, value_name = "URL")]
    tracker: Vec<String>,
    /// Peer to connect to, as ADDRESS:PORT; may be repeated.
    #[arg(long, value_name = "PEER")]
    peer: Vec<SocketAddr>,
    /// Verify all data on disk.
    #[arg(long)]
    recheck: bool,
    /// Overwrite existing files that are not this torrent's.
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    goals: GoalFlags,
}

#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Show only torrents of this category.
    #[arg(long, value_name = "NAME")]
    category: Option<String>,
    /// Show only torrents with this tag.
    #[arg(long, value_name = "NAME")]
    tag: Option<String>,
    /// Show only torrents in this state, for example downloading or paused.
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Torrent: the first digits of its info-hash, or its name.
    torrent: String,
}

/// Torrents that a command is about.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Torrents: the first digits of their info-hashes, or their names; `all` means all.
    #[arg(required = true)]
    torrent: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Rm {
    #[command(flatten)]
    which: Which,
    /// Delete the files that it made, too.
    #[arg(long)]
    data: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Limit {
    /// Torrent: the first digits of its info-hash, or its name. Default: all together.
    torrent: Option<String>,
    /// Upload limit; `off` removes it.
    #[arg(long, value_name = "RATE|off", value_parser = limit)]
    up: Option<Wanted>,
    /// Download limit; `off` removes it.
    #[arg(long, value_name = "RATE|off", value_parser = limit)]
    down: Option<Wanted>,
}

/// A limit, or none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted(Option<u64>);

fn limit(text: &str) -> Result<Wanted, String> {
    if text == "off" {
        return Ok(Wanted(None));
    }
    Ok(Wanted(Some(text.parse::<Rate>()?.0)))
}

#[derive(Debug, Args)]
pub(crate) struct Watch {}

/// A torrent of the list.
struct Named {
    hash: String,
    name: String,
}

fn text<'v>(row: &'v Value, name: &str) -> &'v str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

async fn list(context: &Context, daemon: &Daemon) -> Outcome<Vec<Value>> {
    match daemon.ask(context, "GET", "/api/v1/torrents", None).await? {
        Value::Array(rows) => Ok(rows),
        _ => Err(Failure::failed(
            "daemon",
            "the daemon answered something that is not a list of torrents",
        )),
    }
}

/// The torrent that somebody means.
fn find(rows: &[Value], meant: &str) -> Outcome<Named> {
    let named = |row: &Value| Named {
        hash: text(row, "info_hash").to_owned(),
        name: text(row, "name").to_owned(),
    };
    let is_hex = meant.len() >= LEAST_DIGITS && meant.bytes().all(|b| b.is_ascii_hexdigit());
    let digits = meant.to_ascii_lowercase();
    let by_hash = |row: &&Value| is_hex && text(row, "info_hash").starts_with(&digits);
    let by_name = |row: &&Value| text(row, "name") == meant;
    let is_long = meant.chars().count() >= LEAST_DIGITS;
    let begins = |row: &&Value| is_long && text(row, "name").starts_with(meant);
    let mut found: Vec<&Value> = rows.iter().filter(by_name).collect();
    if found.is_empty() {
        found = rows.iter().filter(by_hash).collect();
    }
    if found.is_empty() {
        found = rows.iter().filter(begins).collect();
    }
    match found.as_slice() {
        [one] => Ok(named(one)),
        [] => Err(
            Failure::failed("not_found", format!("no torrent is called `{meant}`"))
                .hint("`seedrail ls` shows them"),
        ),
        several => Err(Failure::failed(
            "ambiguous",
            format!("`{meant}` matches {} torrents", several.len()),
        )
        .hint("name one by more digits of its info-hash (`seedrail ls`)")),
    }
}

impl Which {
    async fn find(&self, context: &Context, daemon: &Daemon) -> Outcome<Vec<Named>> {
        let rows = list(context, daemon).await?;
        let all = |row: &Value| Named {
            hash: text(row, "info_hash").to_owned(),
            name: text(row, "name").to_owned(),
        };
        if self.torrent.iter().any(|meant| meant == "all") {
            return Ok(rows.iter().map(all).collect());
        }
        self.torrent
            .iter()
            .map(|meant| find(&rows, meant))
            .collect()
    }

    /// Does the same to each.
    async fn each(&self, context: &Context, action: &str, done: &str) -> Outcome {
        let daemon = Daemon::new(context);
        for one in self.find(context, &daemon).await? {
            let path = format!("/api/v1/torrents/{}/{action}", one.hash);
            daemon.ask(context, "POST", &path, None).await?;
            let document = json!({ "info_hash": one.hash, "name": one.name, "done": action });
            context
                .out
                .result(&document, || format!("{done}: {}", one.name))?;
        }
        Ok(())
    }

    pub(crate) async fn pause(&self, context: &Context) -> Outcome {
        self.each(context, "pause", "paused").await
    }

    pub(crate) async fn resume(&self, context: &Context) -> Outcome {
        self.each(context, "resume", "resumed").await
    }
}

impl Add {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let daemon = Daemon::new(context);
        if self.source.len() > 1 && (self.files.is_some() || self.name.is_some()) {
            return Err(Failure::usage("--files and --name go with one torrent"));
        }
        let goals = self.goals.goals(true)?;
        let folder = self.folder.as_deref().map(absolute).transpose()?;
        let move_to = self.move_to.as_deref().map(absolute).transpose()?;
        for meant in &self.source {
            let from = daemon.way(context);
            let (link, file) = match source::read(context, meant, from).await? {
                Source::Magnet(magnet) => (Some(magnet.to_string()), None),
                Source::Torrent(torrent) => {
                    let bytes = crate::cli::torrent::bytes(&torrent)?;
                    let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
                    (None, Some(encoded))
                }
            };
            let body = json!({
                "link": link,
                "file": file,
                "folder": folder,
                "move_to": move_to,
                "name": self.name,
                "category": self.category,
                "tags": self.tag,
                "files": self.files,
                "limits": {
                    "up": self.up_limit.map(|rate| rate.0),
                    "down": self.down_limit.map(|rate| rate.0),
                },
                "goals": {
                    "ratio_permille": goals.ratio_permille,
                    "seeding_secs": goals.seeding_secs,
                    "earned_raw": goals.earned_raw.map(|raw| raw.to_string()),
                },
                "prices": { "ask_raw": self.ask.map(|ask| ask.0.to_string()) },
                "paused": self.paused,
                "trackers": self.tracker,
                "peers": self.peer,
                "recheck": self.recheck,
                "overwrite": self.overwrite,
            });
            let added = daemon
                .ask(context, "POST", "/api/v1/torrents", Some(&body))
                .await?;
            context.out.result(&added, || {
                let what = match added.get("known").and_then(Value::as_bool) {
                    Some(true) => "in the list already",
                    _ => "added",
                };
                format!("{what}: {}", text(&added, "info_hash"))
            })?;
        }
        Ok(())
    }
}

impl Ls {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let daemon = Daemon::new(context);
        let mut rows = list(context, &daemon).await?;
        rows.retain(|row| {
            let category = self.category.as_deref();
            let state = self.state.as_deref();
            let tags = row.get("tags").and_then(Value::as_array);
            category.is_none_or(|name| text(row, "category") == name)
                && state.is_none_or(|state| text(row, "state") == state)
                && self.tag.as_ref().is_none_or(|tag| {
                    tags.is_some_and(|tags| tags.iter().any(|one| one.as_str() == Some(tag)))
                })
        });
        let document = Value::Array(rows);
        context.out.result(&document, || {
            let rows = document.as_array().map_or(&[][..], Vec::as_slice);
            words::table(rows)
        })
    }
}

impl Show {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let daemon = Daemon::new(context);
        let one = find(&list(context, &daemon).await?, &self.torrent)?;
        let path = format!("/api/v1/torrents/{}", one.hash);
        let document = daemon.ask(context, "GET", &path, None).await?;
        context.out.result(&document, || words::torrent(&document))
    }
}

impl Rm {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let daemon = Daemon::new(context);
        let found = self.which.find(context, &daemon).await?;
        if self.data && !found.is_empty() {
            for one in &found {
                context
                    .out
                    .note(format!("its files are deleted: {}", one.name));
            }
            context.out.confirm("Delete them?", context.settings.yes)?;
        }
        for one in found {
            let path = format!("/api/v1/torrents/{}?data={}", one.hash, self.data);
            daemon.ask(context, "DELETE", &path, None).await?;
            let document = json!({ "info_hash": one.hash, "name": one.name, "data": self.data });
            context
                .out
                .result(&document, || format!("removed: {}", one.name))?;
        }
        Ok(())
    }
}

impl Limit {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let daemon = Daemon::new(context);
        if self.up.is_none() && self.down.is_none() {
            return Err(Failure::usage("give a limit: --up RATE or --down RATE"));
        }
        // The other one stays as it is.
        let mut scheduled = None;
        let (path, method, now, name) = match &self.torrent {
            Some(meant) => {
                let rows = list(context, &daemon).await?;
                let one = find(&rows, meant)?;
                let row = rows.iter().find(|row| text(row, "info_hash") == one.hash);
                let now = row.and_then(|row| row.get("limits")).cloned();
                (
                    format!("/api/v1/torrents/{}", one.hash),
                    "PATCH",
                    now,
                    one.name,
                )
            }
            None => {
                let state = daemon.ask(context, "GET", "/api/v1/state", None).await?;
                let now = state.pointer("/transfer/limits").cloned();
                scheduled = state.pointer("/transfer/scheduled_limits").cloned();
                let all = "all torrents together".to_owned();
                ("/api/v1/limits".to_owned(), "PUT", now, all)
            }
        };
        let keep = |name: &str| now.as_ref().and_then(|now| now.get(name)?.as_u64());
        let up = self.up.map_or_else(|| keep("up"), |wanted| wanted.0);
        let down = self.down.map_or_else(|| keep("down"), |wanted| wanted.0);
        let limits = json!({ "up": up, "down": down });
        let body = match self.torrent {
            Some(_) => json!({ "limits": limits }),
            None => limits.clone(),
        };
        daemon.ask(context, method, &path, Some(&body)).await?;
        let shown =
            |limit: Option<u64>| limit.map_or("none".to_owned(), |rate| Rate(rate).to_string());
        let document = json!({ "name": name, "limits": limits });
        context.out.result(&document, || {
            format!("{name}: up {}, down {}", shown(up), shown(down))
        })?;
        if let Some(scheduled) = scheduled.filter(|limits| limits.is_object()) {
            let of = |way: &str| shown(scheduled.get(way).and_then(Value::as_u64));
            context.out.note(format!(
                "until the schedule's time is over, up {} and down {} count",
                of("up"),
                of("down")
            ));
        }
        Ok(())
    }
}

impl Watch {
    /// Shows what is different, until Ctrl-C.
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let daemon = Daemon::new(context);
        let mut since = 0;
        let mut ticks = tokio::time::interval(WATCH_EVERY);
        let bar = context.out.bar(0, "{msg}");
        let mut rows = std::collections::BTreeMap::new();
        loop {
            tokio::select! {
                () = context.interrupt.wait() => break,
                _ = ticks.tick() => {}
            }
            let path = format!("/api/v1/state?since={since}");
            let state = match daemon.ask(context, "GET", &path, None).await {
                Err(failure) if failure.code == "interrupted" => break,
                other => other?,
            };
            since = state
                .get("revision")
                .and_then(Value::as_u64)
                .unwrap_or(since);
            context.out.event(&state)?;
            if state.get("full").and_then(Value::as_bool) == Some(true) {
                rows.clear();
            }
            for row in state
                .get("torrents")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                rows.insert(text(row, "info_hash").to_owned(), row.clone());
            }
            for hash in state
                .get("removed")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                rows.remove(hash.as_str().unwrap_or_default());
            }
            let all: Vec<Value> = rows.values().cloned().collect();
            let count = counted(all.len() as u64, "torrent");
            bar.set_message(format!("{count}\n{}", words::table(&all)));
            bar.tick();
        }
        bar.finish_and_clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torrent_is_named_by_all_or_the_beginning_of_its_name_or_info_hash() {
        let rows = [
            json!({ "info_hash": "abcd11", "name": "Night of the Living Dead" }),
            json!({ "info_hash": "abcd22", "name": "Nighthawks" }),
            json!({ "info_hash": "ef0000", "name": "Night" }),
        ];
        let found = |meant: &str| find(&rows, meant).map(|named| named.hash);
        for (meant, hash) in [
            ("Nighthawks", "abcd22".to_owned()),
            ("Night", "ef0000".to_owned()),
            ("Night of", "abcd11".to_owned()),
            ("ABCD2", "abcd22".to_owned()),
            ("ef00", "ef0000".to_owned()),
        ] {
            assert_eq!(found(meant).ok(), Some(hash), "{meant}");
        }
        for (meant, code) in [
            ("abcd", "ambiguous"),
            ("Nigh", "ambiguous"),
            ("Nig", "not_found"),
            ("night of", "not_found"),
            ("", "not_found"),
        ] {
            assert_eq!(
                found(meant).err().map(|why| why.code),
                Some(code.to_owned()),
                "{meant}"
            );
        }
    }
}
