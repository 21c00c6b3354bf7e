//! `seedrail trackers`: the trackers of one of the daemon's torrents.

use clap::Args;
use serde_json::{Value, json};

use super::{find, http::Daemon, list, text};
use crate::cli::{Context, failure::Outcome, printable};

#[derive(Debug, Args)]
pub(crate) struct Trackers {
    /// Torrent: the first digits of its info-hash, or its name.
    torrent: String,
    /// Tracker to add; may be repeated.
    #[arg(long, value_name = "URL")]
    add: Vec<String>,
    /// Tracker to remove, its own included; may be repeated.
    #[arg(long, value_name = "URL")]
    remove: Vec<String>,
    /// Ask the trackers for peers, as soon as they allow it.
    #[arg(long)]
    announce: bool,
}

impl Trackers {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let daemon = Daemon::new(context);
        let one = find(&list(context, &daemon).await?, &self.torrent)?;
        let path = format!("/api/v1/torrents/{}", one.hash);
        for (urls, action) in [(&self.add, "trackers"), (&self.remove, "trackers/remove")] {
            if !urls.is_empty() {
                let path = format!("{path}/{action}");
                let body = json!({ "urls": urls });
                daemon.ask(context, "POST", &path, Some(&body)).await?;
            }
        }
        if self.announce {
            let path = format!("{path}/reannounce");
            daemon.ask(context, "POST", &path, None).await?;
        }
        let path = format!("{path}/trackers");
        let document = daemon.ask(context, "GET", &path, None).await?;
        context.out.result(&document, || {
            let rows = document.as_array().map_or(&[][..], Vec::as_slice);
            let row = |row: &Value| {
                let message = printable::line(text(row, "message")).into_owned();
                let line = format!(
                    "{:<8} {}  {message}",
                    text(row, "state"),
                    printable::line(text(row, "url"))
                );
                line.trim_end().to_owned()
            };
            match rows {
                [] => "it has no tracker".to_owned(),
                rows => rows.iter().map(row).collect::<Vec<_>>().join("\n"),
            }
        })
    }
}
