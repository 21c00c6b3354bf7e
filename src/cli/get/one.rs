//! One torrent, shown until the download, and the sharing after it, are over.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::Get;
use crate::{
    cli::{
        Context,
        failure::{Exit, Failure, Outcome},
        files::{Folder, sha256},
        foreground::{Foreground, Moment},
        goals, live,
        progress::{self, Screen, Shown},
        torrent,
        units::{Size, btt_text},
    },
    client::snapshot::{Obstacle, Torrent, TorrentRow, TorrentState},
    types::InfoHash,
};

impl Get {
    /// One torrent, to its end.
    pub(super) async fn one(
        &self,
        context: &Context,
        mut client: Foreground<'_>,
        hash: InfoHash,
        place: &Folder,
    ) -> Outcome {
        let outcome = self.follow(context, &mut client, hash, place).await;
        let shared = if self.seed && outcome.is_ok() {
            self.share(context, &mut client, hash).await
        } else {
            Ok(())
        };
        client.close().await;
        let (spent, _) = client.totals();
        let torrent = one(&client, hash)?;
        let row = &torrent.row.value;
        let (path, elapsed) = outcome.map_err(|failure| stopped(failure, row, spent))?;
        shared?;
        if let Some(goal) = row.reached {
            context.out.event(&goals::document(row, goal))?;
            context.out.note(goals::words(row, goal));
        }
        self.done(context, &path, elapsed, row, spent).await
    }

    /// Shows figures until the download is complete and where it is to stay: its path, and
    /// how long it took to come.
    async fn follow(
        &self,
        context: &Context,
        client: &mut Foreground<'_>,
        hash: InfoHash,
        place: &Folder,
    ) -> Outcome<(PathBuf, Duration)> {
        let (bar, started) = (context.out.bar(0, "{msg}"), Instant::now());
        let (mut waiting, mut came) = (Waiting::default(), None);
        let outcome = loop {
            let moment = client.moment().await?;
            for torrent in client.begun(&[hash])? {
                self.tell_chosen(context, &torrent);
            }
            let torrent = one(client, hash)?;
            let row = &torrent.row.value;
            if row.is_done() {
                came.get_or_insert_with(|| started.elapsed());
            }
            if row.is_in_place() {
                break match &row.not_moved {
                    Some(why) => Err(Failure::failed("move", why)),
                    None => self.arrived(context, row, place),
                };
            } else if row.state == TorrentState::Failed {
                break Err(failed(row));
            } else if moment == Moment::Stopped {
                break Err(Failure::interrupted());
            } else if moment == Moment::Figures {
                waiting.tell(context, &torrent, client.full);
                let hindrance = client.full.then_some("the disk is full");
                self.show(context, &bar, client, torrent.clone(), hindrance)?;
            }
        };
        bar.finish_and_clear();
        outcome.map(|path| (path, came.unwrap_or_default()))
    }

    fn show(
        &self,
        context: &Context,
        bar: &ProgressBar,
        client: &Foreground<'_>,
        torrent: Shown,
        hindrance: Option<&str>,
    ) -> Outcome {
        let torrents = [torrent];
        let screen = Screen::of_stderr();
        let mut text = progress::lines(&screen, &torrents, hindrance);
        if self.show_peers {
            live::add_lines(&screen, &mut text, &torrents);
        }
        bar.set_message(text);
        bar.tick();
        let [torrent] = &torrents;
        let mut document = document(&torrent.row.value, client.totals().0);
        if let Some(object) = document.as_object_mut() {
            object.insert("payments".into(), live::documents(&torrents).into());
        }
        context.out.event(&document)
    }

    /// A choice that was not made now.
    fn tell_chosen(&self, context: &Context, torrent: &Torrent) {
        let files = &torrent.files.value;
        let wanted = files.iter().filter(|file| file.wanted).count();
        if self.files.is_empty() && wanted < files.len() {
            let linked = self.source.iter().any(|source| source.contains("&so="));
            let by = if linked {
                "as the link says"
            } else {
                "as chosen before"
            };
            context.out.note(format!(
                "{wanted} of {} files are wanted, {by}; `--files all` takes all of them",
                files.len()
            ));
        }
    }

    /// Goes on until a goal is reached, or until told to stop.
    async fn share(
        &self,
        context: &Context,
        client: &mut Foreground<'_>,
        hash: InfoHash,
    ) -> Outcome {
        context.out.note(if self.goals.any() {
            "complete; sharing until a goal is reached, or Ctrl-C"
        } else {
            "complete; sharing until Ctrl-C"
        });
        let bar = context.out.bar(0, "{msg}");
        loop {
            let moment = client.moment().await?;
            let torrent = one(client, hash)?;
            if moment == Moment::Stopped || torrent.row.value.is_over() {
                break;
            }
            if moment == Moment::Figures {
                self.show(context, &bar, client, torrent, None)?;
            }
        }
        bar.finish_and_clear();
        Ok(())
    }

    async fn done(
        &self,
        context: &Context,
        path: &Path,
        elapsed: Duration,
        row: &TorrentRow,
        spent: u64,
    ) -> Outcome {
        let sha256 = if self.sha256 && path.is_file() {
            Some(sha256(path).await?)
        } else {
            None
        };
        let mut document = json!({
            "event": "done",
            "path": path,
            "bytes": row.wanted,
            "have": row.wanted.saturating_sub(row.left),
            "seconds": elapsed.as_secs_f64(),
            "downloaded": row.session_downloaded,
            "uploaded": row.session_uploaded,
            "spent_raw": spent.to_string(),
        });
        if let (Some(object), Some(sha256)) = (document.as_object_mut(), &sha256) {
            object.insert("sha256".into(), sha256.as_str().into());
        }
        context.out.result(&document, || {
            let spent = if self.bid.is_some() {
                format!(", spent {}", btt_text(spent))
            } else {
                String::new()
            };
            format!(
                "{}  {} in {:.1?}{spent}{}",
                path.display(),
                Size(row.wanted),
                elapsed,
                sha256.map_or_else(String::new, |sha256| format!("\nSHA-256 {sha256}")),
            )
        })?;
        if spent > 0 && !context.out.json {
            context.out.note(HOW_TO_PAY);
        }
        Ok(())
    }
}

/// The only torrent.
fn one(client: &Foreground<'_>, hash: InfoHash) -> Outcome<Shown> {
    let torrent = client.torrents(&[hash]).pop();
    torrent.ok_or_else(|| Failure::failed("download", "the torrent was removed"))
}

/// Why there is no download. What a magnet link is asked for is known late.
fn failed(row: &TorrentRow) -> Failure {
    let why = row.trouble.as_deref().unwrap_or("it was stopped");
    match row.obstacle {
        Some(Obstacle::UnknownFiles) => torrent::unknown_files(why),
        Some(Obstacle::FileInTheWay) => Failure::failed("download", why)
            .hint("-o DIR downloads elsewhere, --overwrite writes over it"),
        None => Failure::failed("download", why),
    }
}

/// A download that was ended by a signal: how far it came, and what to do next.
fn stopped(failure: Failure, row: &TorrentRow, spent: u64) -> Failure {
    if failure.exit != Exit::Interrupted {
        return failure;
    }
    let mut hint = "the same command goes on from there".to_owned();
    if row.wanted > 0 {
        let here = row.wanted.saturating_sub(row.left);
        hint = format!("{} of {} are here; {hint}", Size(here), Size(row.wanted));
    }
    if spent > 0 {
        hint.push_str(&format!(
            "; it cost {} so far: {HOW_TO_PAY}",
            btt_text(spent)
        ));
    }
    failure.hint(hint)
}

/// What was bought is a debt.
const HOW_TO_PAY: &str =
    "`seedrail settle run` pays what you owe, and `settle plan` shows that first";

/// Shown figures without any data before it is said why, to a log as well.
const WAITING_FIGURES: u32 = 60;

/// Why nothing comes.
#[derive(Debug, Default)]
struct Waiting {
    figures: u32,
    said: Option<&'static str>,
}

impl Waiting {
    /// Says it once for each reason. That the disk is full is said elsewhere.
    fn tell(&mut self, context: &Context, torrent: &Torrent, full: bool) {
        let row = &torrent.row.value;
        let waits = matches!(
            row.state,
            TorrentState::Metadata | TorrentState::Downloading
        ) && row.down_rate == 0
            && !full;
        self.figures = if waits { self.figures + 1 } else { 0 };
        let why = progress::why_waiting(torrent);
        if self.figures >= WAITING_FIGURES && self.said != Some(why) {
            self.said = Some(why);
            context.out.note(format!("nothing comes: {why}"));
        }
    }
}

fn document(row: &TorrentRow, spent: u64) -> Value {
    json!({
        "event": "progress",
        "have": row.wanted.saturating_sub(row.left),
        "downloaded": row.session_downloaded,
        "total": row.wanted,
        "rate": row.down_rate,
        "uploaded": row.session_uploaded,
        "peers": row.peers,
        "web_seeds": row.web_seeds,
        "spent_raw": spent.to_string(),
    })
}
