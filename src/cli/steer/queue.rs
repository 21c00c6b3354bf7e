//! `seedrail queue`: which torrents have their turn first, and how many run at once.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{find, http::Daemon, list};
use crate::cli::{
    Context,
    failure::{Failure, Outcome},
    units::counted,
};

#[derive(Debug, Args)]
pub(crate) struct QueueCommand {
    /// Torrents to move: the first digits of their info-hashes, or their names.
    torrent: Vec<String>,
    /// Where to move them.
    #[arg(long, value_name = "WHERE", value_enum, requires = "torrent")]
    to: Option<To>,
    /// Downloads at once; `off` removes the limit.
    #[arg(long, value_name = "N|off", value_parser = at_once, conflicts_with = "torrent")]
    downloads: Option<AtOnce>,
    /// Complete torrents that are shared at once; `off` removes the limit.
    #[arg(long, value_name = "N|off", value_parser = at_once, conflicts_with = "torrent")]
    seeds: Option<AtOnce>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum To {
    Top,
    Up,
    Down,
    Bottom,
}

impl To {
    fn word(self) -> &'static str {
        match self {
            Self::Top => "top",
            Self::Up => "up",
            Self::Down => "down",
            Self::Bottom => "bottom",
        }
    }
}

/// So many, or all.
#[derive(Debug, Clone, Copy)]
struct AtOnce(Option<u32>);

fn at_once(text: &str) -> Result<AtOnce, String> {
    if text == "off" {
        return Ok(AtOnce(None));
    }
    let number = text.parse();
    let number = number.map_err(|_| format!("`{text}` is neither a number nor off"))?;
    Ok(AtOnce(Some(number)))
}

impl QueueCommand {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let daemon = Daemon::new(context);
        if self.torrent.is_empty() {
            return self.limits(context, &daemon).await;
        }
        let Some(to) = self.to else {
            return Err(Failure::usage(
                "give the new place: --to top, up, down or bottom",
            ));
        };
        let rows = list(context, &daemon).await?;
        let mut found = Vec::new();
        for meant in &self.torrent {
            found.push(find(&rows, meant)?);
        }
        // One after the other: so they keep the order in which they were typed.
        if matches!(to, To::Top | To::Down) {
            found.reverse();
        }
        for one in found {
            let path = format!("/api/v1/torrents/{}/queue", one.hash);
            let body = json!({ "to": to.word() });
            daemon.ask(context, "POST", &path, Some(&body)).await?;
            let document = json!({ "info_hash": one.hash, "name": one.name, "to": to.word() });
            context
                .out
                .result(&document, || format!("moved {}: {}", to.word(), one.name))?;
        }
        Ok(())
    }

    /// Shows how many run at once, and changes it.
    async fn limits(&self, context: &Context, daemon: &Daemon) -> Outcome {
        let state = daemon.ask(context, "GET", "/api/v1/state", None).await?;
        let now = state.pointer("/transfer/queue").cloned();
        let keep = |name: &str| {
            let number = now.as_ref()?.get(name)?.as_u64()?;
            u32::try_from(number).ok()
        };
        let downloads = self
            .downloads
            .map_or_else(|| keep("downloads"), |given| given.0);
        let seeds = self.seeds.map_or_else(|| keep("seeds"), |given| given.0);
        let queue = json!({ "downloads": downloads, "seeds": seeds });
        if self.downloads.is_some() || self.seeds.is_some() {
            daemon
                .ask(context, "PUT", "/api/v1/queue", Some(&queue))
                .await?;
        }
        let mut rows = list(context, daemon).await?;
        rows.retain(|row| super::text(row, "state") == "queued");
        let place = |row: &Value| row.get("place").and_then(Value::as_u64);
        rows.sort_by_key(place);
        let shown = |limit: Option<u32>, noun: &str| match limit {
            Some(limit) => format!("at most {}", counted(limit, noun)),
            None => format!("all {noun}s"),
        };
        let waiting: Vec<Value> = rows
            .iter()
            .map(|row| {
                json!({
                    "info_hash": super::text(row, "info_hash"),
                    "name": super::text(row, "name"),
                    "place": place(row),
                })
            })
            .collect();
        let document = json!({ "queue": queue, "waiting": waiting });
        context.out.result(&document, || {
            let first = format!(
                "at once: {} and {}",
                shown(downloads, "download"),
                shown(seeds, "complete torrent")
            );
            let waiting = rows.iter().map(|row| {
                let name = crate::cli::printable::line(super::text(row, "name"));
                format!("{:>6}  waits  {name}", place(row).unwrap_or_default())
            });
            std::iter::once(first)
                .chain(waiting)
                .collect::<Vec<_>>()
                .join("\n")
        })
    }
}
