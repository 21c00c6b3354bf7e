//! `seedrail get` of several torrents in one process.

use std::{collections::HashSet, path::PathBuf, time::Instant};

use indicatif::ProgressBar;
use serde_json::json;

use super::{
    Context,
    failure::{Exit, Failure, Outcome},
    foreground::{Foreground, Moment, tell_failed},
    live,
    progress::{self, Screen, Shown},
    units::Size,
};
use crate::{
    client::snapshot::{TorrentRow, TorrentState},
    types::InfoHash,
};

/// What became of each torrent.
#[derive(Debug, Default)]
pub(super) struct Ends {
    pub(super) complete: Vec<InfoHash>,
    pub(super) failed: Vec<String>,
}

/// Shows figures until every torrent is complete or has failed. Each is told of as it
/// ends; `shown` is where it is.
pub(super) async fn follow(
    context: &Context,
    client: &mut Foreground<'_>,
    hashes: &[InfoHash],
    started: Instant,
    shown: &dyn Fn(&TorrentRow) -> PathBuf,
) -> Outcome<Ends> {
    let bar = context.out.bar(0, "{msg}");
    let mut told = HashSet::new();
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
            if !(row.is_done() || is_failed) || !told.insert(row.hash) {
                continue;
            }
            if is_failed {
                let why = row.trouble.clone().unwrap_or_default();
                tell_failed(context, row, &why)?;
                ends.failed.push(why);
            } else {
                ends.complete.push(row.hash);
                tell_complete(context, row, shown(row), started)?;
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
pub(super) async fn share(
    context: &Context,
    client: &mut Foreground<'_>,
    hashes: &[InfoHash],
) -> Outcome {
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
    pub(super) fn outcome(&self) -> Outcome {
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
