//! Several torrents, shown until all of them are over.

use std::{collections::HashSet, path::PathBuf, time::Instant};

use indicatif::ProgressBar;
use serde_json::json;

use super::Get;
use crate::{
    cli::{
        Context,
        failure::{Exit, Failure, Outcome},
        files::Folder,
        foreground::{Foreground, Moment, tell_failed},
        live,
        progress::{self, Screen, Shown},
        units::Size,
    },
    client::snapshot::{TorrentRow, TorrentState},
    types::InfoHash,
};

impl Get {
    /// Several torrents beside each other, to their end.
    pub(super) async fn many(
        &self,
        context: &Context,
        mut client: Foreground<'_>,
        hashes: &[InfoHash],
        place: &Folder,
    ) -> Outcome {
        let arrived = |row: &TorrentRow| self.arrived(context, row, place);
        let ends = follow(context, &mut client, hashes, &arrived).await;
        let shared = match &ends {
            Ok(ends) if self.seed && !ends.complete.is_empty() => {
                context.out.note("sharing what is complete until Ctrl-C");
                share(context, &mut client, &ends.complete).await
            }
            _ => Ok(()),
        };
        client.close().await;
        let ends = ends?;
        shared?;
        ends.outcome()
    }
}

/// What became of each torrent.
#[derive(Debug, Default)]
struct Ends {
    complete: Vec<InfoHash>,
    failed: Vec<String>,
}

/// Shows figures until every torrent is complete and where it is to stay, or has failed. Each
/// is told of as it ends; `arrived` says where it is.
async fn follow(
    context: &Context,
    client: &mut Foreground<'_>,
    hashes: &[InfoHash],
    arrived: &dyn Fn(&TorrentRow) -> Outcome<PathBuf>,
) -> Outcome<Ends> {
    let bar = context.out.bar(0, "{msg}");
    let (started, mut told) = (Instant::now(), HashSet::new());
    let mut ends = Ends::default();
    while told.len() < hashes.len() {
        let moment = client.moment().await?;
        if moment == Moment::Stopped {
            bar.finish_and_clear();
            return Err(Failure::interrupted());
        }
        client.begun(hashes)?;
        let torrents = client.torrents(hashes);
        for torrent in &torrents {
            let row = &torrent.row.value;
            let is_failed = row.state == TorrentState::Failed;
            if !(row.is_in_place() || is_failed) || !told.insert(row.hash) {
                continue;
            }
            let trouble = is_failed.then(|| row.trouble.clone().unwrap_or_default());
            if let Some(why) = trouble.or_else(|| row.not_moved.clone()) {
                tell_failed(context, row, &why)?;
                ends.failed.push(why);
            } else {
                ends.complete.push(row.hash);
                tell_complete(context, row, arrived(row)?, started)?;
            }
        }
        if moment == Moment::Figures {
            show(context, &bar, client, &torrents)?;
        }
    }
    bar.finish_and_clear();
    Ok(ends)
}

/// Shows figures until all of them ended, or until told to stop.
async fn share(context: &Context, client: &mut Foreground<'_>, hashes: &[InfoHash]) -> Outcome {
    let bar = context.out.bar(0, "{msg}");
    loop {
        let moment = client.moment().await?;
        let torrents = client.torrents(hashes);
        if moment == Moment::Stopped || torrents.iter().all(|torrent| torrent.row.value.is_over()) {
            break;
        }
        if moment == Moment::Figures {
            show(context, &bar, client, &torrents)?;
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn show(
    context: &Context,
    bar: &ProgressBar,
    client: &Foreground<'_>,
    torrents: &[Shown],
) -> Outcome {
    bar.set_message(progress::lines(&Screen::of_stderr(), torrents, None));
    bar.tick();
    context.out.event(&json!({
        "event": "progress",
        "spent_raw": client.totals().0.to_string(),
        "payments": live::documents(torrents),
        "torrents": progress::documents(torrents),
    }))
}

fn tell_complete(context: &Context, row: &TorrentRow, path: PathBuf, started: Instant) -> Outcome {
    let elapsed = started.elapsed();
    let document = json!({
        "event": "complete",
        "info_hash": row.hash,
        "path": path,
        "bytes": row.wanted,
        "seconds": elapsed.as_secs_f64(),
        "downloaded": row.session_downloaded,
    });
    context.out.result(&document, || {
        format!("{}  {} in {elapsed:.1?}", path.display(), Size(row.wanted))
    })
}

impl Ends {
    /// What the command comes to.
    fn outcome(&self) -> Outcome {
        let (failed, complete) = (self.failed.len(), self.complete.len());
        match self.failed.first() {
            None => Ok(()),
            Some(why) if complete == 0 => Err(Failure::failed("download", why)),
            Some(why) => Err(Failure::new(
                Exit::Partly,
                "download",
                format!("{failed} of {} downloads failed: {why}", failed + complete),
            )),
        }
    }
}
