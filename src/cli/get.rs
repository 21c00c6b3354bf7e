//! `seedrail get`: download, and pay to go first.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::{
    Context, daemon,
    failure::{Exit, Failure, Outcome},
    files::sha256,
    foreground::{Foreground, Moment, absolute},
    get_many,
    goals::{self, GoalFlags},
    live, pay,
    progress::{self, Screen, Shown},
    session::GrantFlags,
    source,
    swarm::SwarmFlags,
    torrent,
    units::{self, BidArg, Price, Size, btt_text},
};
use crate::{
    client::{
        Trade,
        command::{self, AddTorrent, Answer, Command, Files},
        snapshot::{Goals, Obstacle, Prices, Torrent, TorrentRow, TorrentState},
    },
    swarm::{
        SessionError, Source,
        selection::{Selection, SelectionError},
    },
    types::{InfoHash, RawAmount},
};

#[derive(Debug, Args)]
pub(crate) struct Get {
    /// Magnet links (in quotes), torrent files, URLs of torrent files, or info-hashes; `-`
    /// reads one from stdin.
    #[arg(value_name = "MAGNET|FILE|URL|HASH", required = true, value_hint = clap::ValueHint::AnyPath)]
    source: Vec<String>,
    /// Highest price that you pay, for example 20BTT/GiB, or `auto` for as little as is
    /// needed. Without it you download for free.
    #[arg(long, value_name = "PRICE|auto")]
    bid: Option<BidArg>,
    /// Highest bid of `--bid auto`.
    #[arg(long, value_name = "PRICE", requires = "bid")]
    max_bid: Option<Price>,
    /// Spending limit of this download, for example 5BTT.
    #[arg(long, value_name = "AMOUNT", value_parser = units::btt, requires = "bid")]
    max_spend: Option<RawAmount>,
    /// Spending limit for one peer.
    #[arg(long, value_name = "AMOUNT", value_parser = units::btt, requires = "bid")]
    max_per_peer: Option<RawAmount>,
    /// Settlement at a seller's credit limit: `auto` (default) pays what you owe as long as
    /// no fee is burnt, and asks on a terminal about fees; `off` leaves it to `seedrail
    /// settle`.
    #[arg(
        long,
        value_name = "auto|off",
        value_enum,
        hide_possible_values = true,
        default_value_t
    )]
    settle: pay::Settle,
    /// Show each peer that pays or is paid.
    #[arg(long)]
    show_peers: bool,
    /// Folder to download into.
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// Files to download: numbers as `torrent show` prints them, or names, for example
    /// `1,3-5` or `disc 1/*.flac`; may be repeated. The choice is remembered; `all` undoes
    /// it.
    #[arg(long, value_name = "FILES", value_parser = files)]
    files: Vec<String>,
    /// Verify again all data on disk.
    #[arg(long)]
    recheck: bool,
    /// Overwrite existing files that are not this torrent's. Without it, such a file ends
    /// the download.
    #[arg(long)]
    overwrite: bool,
    /// Reserve disk space for the whole download first, if the file system can.
    #[arg(long)]
    preallocate: bool,
    /// Folder to move the complete download to; nothing is overwritten.
    #[arg(long, value_name = "DIR")]
    move_to: Option<PathBuf>,
    /// Share the torrent after the download.
    #[arg(long)]
    seed: bool,
    /// Print the SHA-256 of a single file, which is read again for that.
    #[arg(long)]
    sha256: bool,
    /// Lowest price for peers that download from you and pay, for example 5BTT/GiB.
    #[arg(long, value_name = "PRICE")]
    ask: Option<Price>,
    /// Tracker besides those of the torrent; may be repeated.
    #[arg(long, value_name = "URL")]
    tracker: Vec<String>,
    /// Web seed besides those of the torrent: an HTTP server that has the content; may be
    /// repeated.
    #[arg(long, value_name = "URL")]
    web_seed: Vec<String>,
    #[command(flatten)]
    goals: GoalFlags,
    #[command(flatten)]
    swarm: SwarmFlags,
    #[command(flatten)]
    grant: GrantFlags,
}

/// What names files.
fn files(text: &str) -> Result<String, SelectionError> {
    text.parse::<Selection>().map(|_| text.to_owned())
}

impl Get {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        if self.goals.any() && !self.seed {
            return Err(Failure::usage(
                "a goal of sharing goes with --seed: without it nothing is shared",
            )
            .hint("a download ends by itself when it is complete"));
        }
        let asks = self.ask.is_some_and(|ask| ask.0 > 0);
        let goals = self.goals.goals(asks)?;
        let mut sources = Vec::new();
        for text in &self.source {
            sources.push(source::read(context, text, self.swarm.source()).await?);
        }
        if self.source.len() > 1 && !self.files.is_empty() {
            return Err(Failure::usage("--files goes with one torrent"));
        }
        let chosen = self.files.iter().map(|text| text.parse::<Selection>());
        let chosen: Vec<_> = chosen
            .collect::<Result<_, _>>()
            .map_err(torrent::unknown_files)?;
        let chosen = chosen.into_iter().reduce(Selection::and);
        for source in &sources {
            if let (Source::Torrent(torrent), Some(chosen)) = (source, &chosen) {
                chosen
                    .choose(&torrent.info)
                    .map_err(torrent::unknown_files)?;
            }
            if let Some(folder) = &self.move_to {
                self.check_target(folder, source)?;
            }
        }
        for source in &sources {
            daemon::refuse_its_own(context, source.info_hash())?;
        }
        let trade = Trade {
            prices: self.prices()?,
            max_spend: self.max_spend,
            max_per_peer: self.max_per_peer,
            ..Trade::default()
        };
        let prices = trade.prices;
        let settling = self.settle.settling(context, &trade)?;
        let piece_length = |source: &Source| match source {
            Source::Torrent(metainfo) => Some(metainfo.info.layout().piece_length()),
            Source::Magnet(_) => None,
        };
        let piece_length = sources.iter().filter_map(piece_length).max();
        let pay = pay::start(context, trade, &self.grant, piece_length, settling).await?;
        std::fs::create_dir_all(&self.output)
            .map_err(|error| Failure::file(&self.output, error))?;
        let mut client = Foreground::open(context, &self.swarm, 80, prices, pay).await?;
        context
            .out
            .event(&json!({ "event": "started", "listen": client.listen() }))?;
        let web_seeds = torrent::web_seeds(self.web_seed.clone())?;
        let peers = self.swarm.peers().await?;
        let folder = absolute(&self.output)?;
        let mut hashes = Vec::new();
        for source in sources {
            let torrent = AddTorrent {
                folder: Some(folder.clone()),
                trackers: self.tracker.clone(),
                web_seeds: web_seeds.clone(),
                peers: peers.clone(),
                files: (!self.files.is_empty()).then(|| Files::Patterns(self.files.clone())),
                recheck: self.recheck,
                overwrite: self.overwrite,
                preallocate: self.preallocate,
                ..AddTorrent::new(command::Source::Parsed(Box::new(source)))
            };
            let (hash, is_new) = client.add(torrent).await?;
            match is_new {
                true => hashes.push(hash),
                // Named twice.
                false => context
                    .out
                    .note(SessionError::AlreadyAdded(hash).to_string()),
            }
        }
        let started = Instant::now();
        let (hash, is_one) = match hashes.as_slice() {
            [hash] => (*hash, self.source.len() == 1),
            [hash, ..] => (*hash, false),
            [] => return Ok(()),
        };
        if !is_one {
            let outcome = self
                .many(context, &mut client, &hashes, goals, started)
                .await;
            client.close().await;
            return outcome;
        }
        let outcome = self.follow(context, &mut client, hash).await;
        let elapsed = started.elapsed();
        let outcome = match (outcome, &self.move_to) {
            (Ok(_), Some(folder)) => relocate(context, &mut client, hash, folder).await,
            (outcome, _) => outcome,
        };
        let shared = if self.seed && outcome.is_ok() {
            self.share(context, &mut client, hash, goals).await
        } else {
            Ok(())
        };
        client.close().await;
        let (spent, _) = client.totals();
        let torrent = one(&client, hash)?;
        let row = &torrent.row.value;
        let path = outcome.map_err(|failure| stopped(failure, row, spent))?;
        shared?;
        if let Some(goal) = row.reached {
            context.out.event(&goals::document(row, goal))?;
            context.out.note(goals::words(row, goal));
        }
        self.done(context, &path, elapsed, row, spent).await
    }

    /// Several torrents beside each other.
    async fn many(
        &self,
        context: &Context,
        client: &mut Foreground<'_>,
        hashes: &[InfoHash],
        goals: Goals,
        started: Instant,
    ) -> Outcome {
        let shown = |row: &TorrentRow| self.shown(row);
        let ends = get_many::follow(context, client, hashes, started, &shown).await?;
        if let Some(folder) = &self.move_to {
            for hash in &ends.complete {
                relocate(context, client, *hash, folder).await?;
            }
        }
        if self.seed && !ends.complete.is_empty() {
            for hash in &ends.complete {
                let hash = *hash;
                client.command(Command::SetGoals { hash, goals }).await?;
            }
            context.out.note("sharing what is complete until Ctrl-C");
            get_many::share(context, client, &ends.complete).await?;
        }
        ends.outcome()
    }

    /// What is bid and asked; a price of 0 is none.
    fn prices(&self) -> Outcome<Prices> {
        let (bid_raw, bid_auto) = match (self.bid, self.max_bid, self.max_spend) {
            (None, ..) => (None, false),
            (Some(BidArg::Fixed(_)), Some(_), _) => {
                return Err(Failure::usage("--max-bid goes with --bid auto"));
            }
            (Some(BidArg::Fixed(price)), None, _) => (Some(price.0), false),
            (Some(BidArg::Auto), None, None) => {
                return Err(Failure::usage("--bid auto needs an end")
                    .hint("give --max-bid 20BTT/GiB, or --max-spend 50BTT"));
            }
            (Some(BidArg::Auto), most, _) => {
                (Some(most.map_or(u64::MAX >> 1, |price| price.0)), true)
            }
        };
        Ok(Prices {
            ask_raw: self.ask.map(|price| price.0),
            bid_raw,
            bid_auto,
        })
    }

    /// Where it is, as the user named the folder.
    fn shown(&self, row: &TorrentRow) -> PathBuf {
        let path = row.path.clone().unwrap_or_default();
        let inside = absolute(&self.output).ok();
        let inside = inside.and_then(|folder| path.strip_prefix(folder).ok().map(Path::to_owned));
        inside.map_or(path, |inside| self.output.join(inside))
    }

    /// Shows figures until the download is complete.
    async fn follow(
        &self,
        context: &Context,
        client: &mut Foreground<'_>,
        hash: InfoHash,
    ) -> Outcome<PathBuf> {
        let bar = context.out.bar(0, "{msg}");
        let mut waiting = Waiting::default();
        let outcome = loop {
            let moment = client.moment().await?;
            for torrent in client.begun(&[hash])? {
                self.tell_chosen(context, &torrent);
            }
            let torrent = one(client, hash)?;
            let row = &torrent.row.value;
            if row.is_done() {
                break Ok(self.shown(row));
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
        outcome
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

    /// What can be known before: that it would be refused at the end.
    fn check_target(&self, folder: &Path, source: &Source) -> Outcome {
        if absolute(folder)? == absolute(&self.output)? {
            return Err(Failure::usage(format!(
                "--move-to names {}, where it is downloaded to",
                folder.display()
            )));
        }
        if let Source::Torrent(torrent) = source {
            let target = folder.join(torrent.info.name());
            if std::fs::symlink_metadata(&target).is_ok() {
                let words = "is there already, and nothing is overwritten";
                return Err(Failure::file(&target, words)
                    .hint("`seedrail torrent check` says whether it is this torrent's content"));
            }
        }
        Ok(())
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
        goals: Goals,
    ) -> Outcome {
        // Not before: what ends the sharing shall not end a move.
        client.command(Command::SetGoals { hash, goals }).await?;
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

/// Takes a complete download where it shall lie; that it stays where it is if that
/// cannot be is said by the error.
async fn relocate(
    context: &Context,
    client: &mut Foreground<'_>,
    hash: InfoHash,
    folder: &Path,
) -> Outcome<PathBuf> {
    let target = absolute(folder)?;
    let to = target.clone();
    let moved = client.command(Command::Move { hash, folder: to });
    let path = match context.or_interrupt(moved).await? {
        Answer::Moved { path } => path,
        Answer::Done | Answer::TorrentFile(_) | Answer::Added { .. } => target.clone(),
    };
    let path = match path.strip_prefix(&target) {
        Ok(inside) => folder.join(inside),
        Err(_) => path,
    };
    context
        .out
        .event(&json!({ "event": "moved", "path": path }))?;
    Ok(path)
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
