//! `seedrail get`: download, and pay to go first.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use serde_json::{Value, json};

use super::{
    Context, daemon,
    events::{Troubles, next},
    failure::{Exit, Failure, Outcome},
    files::sha256,
    get_many,
    goals::{self, GoalFlags},
    live::{self, LivePeer},
    pay,
    progress::{self, Screen},
    session::GrantFlags,
    source,
    swarm::{GRACE, SHOW_EVERY, SwarmFlags, end},
    torrent,
    units::{self, BidArg, Price, Size, btt_text},
};
use crate::{
    receipts::{
        Bid,
        pay::{PayExtension, Terms},
    },
    swarm::{
        AddOptions, Event, Phase, SeedGoals, Session, SessionError, Source, Stats, TorrentError,
        TorrentHandle, selection::Selection,
    },
    types::RawAmount,
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
    /// Show each peer that pays or is paid.
    #[arg(long)]
    show_peers: bool,
    /// Folder to download into.
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// Files to download: numbers as `torrent show` prints them, or names, for example
    /// `1,3-5` or `disc 1/*.flac`; may be repeated. The choice is remembered; `all` undoes
    /// it.
    #[arg(long, value_name = "FILES")]
    files: Vec<Selection>,
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
        let files = self.files.iter().cloned().reduce(Selection::and);
        for source in &sources {
            if let (Source::Torrent(torrent), Some(files)) = (source, &files) {
                files
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
        let terms = Terms {
            ask: self
                .ask
                .filter(|ask| ask.0 > 0)
                .map(|price| pay::ask(price, None)),
            bid: self.bid()?,
            max_spend: self.max_spend,
            max_per_peer: self.max_per_peer,
            ..Terms::default()
        };
        let piece_length = |source: &Source| match source {
            Source::Torrent(metainfo) => Some(metainfo.info.layout().piece_length()),
            Source::Magnet(_) => None,
        };
        let piece_length = sources.iter().filter_map(piece_length).max();
        let pay = pay::start(context, terms, &self.grant, piece_length).await?;
        std::fs::create_dir_all(&self.output)
            .map_err(|error| Failure::file(&self.output, error))?;
        let session = self.swarm.session(context, pay.as_ref(), 80).await?;
        context
            .out
            .event(&json!({ "event": "started", "listen": session.listen_addr() }))?;
        let options = AddOptions {
            trackers: self.tracker.clone(),
            web_seeds: torrent::web_seeds(self.web_seed.clone())?,
            peers: self.swarm.peers().await?,
            // It stays until told to finish: what is due is settled then.
            seed: true,
            files,
            recheck: self.recheck,
            overwrite: self.overwrite,
            preallocate: self.preallocate,
            ..AddOptions::default()
        };
        let started = Instant::now();
        if self.source.len() > 1 {
            let outcome = self
                .many(context, &session, sources, options, goals, pay.as_deref())
                .await;
            session.finish(GRACE).await;
            end(pay).await?;
            return outcome;
        }
        let source = sources.remove(0);
        let handle = session.add(source, &self.output, options)?;
        let outcome = self.follow(context, &handle, pay.as_ref()).await;
        let elapsed = started.elapsed();
        let outcome = match (outcome, &self.move_to) {
            (Ok(_), Some(folder)) => relocate(context, &handle, folder).await,
            (outcome, _) => outcome,
        };
        let shared = if self.seed && outcome.is_ok() {
            self.share(context, &handle, goals, pay.as_deref()).await
        } else {
            Ok(())
        };
        let stats = handle.stats();
        session.finish(GRACE).await;
        let totals = pay.as_ref().map(|pay| pay.totals()).unwrap_or_default();
        let (spent, earned) = (totals.spent_raw, totals.earned_raw);
        end(pay).await?;
        let path = outcome.map_err(|failure| stopped(failure, &stats, spent))?;
        shared?;
        if let Some(goal) = handle.reached() {
            let document = goals::document(&handle, goal, &stats, earned);
            context.out.event(&document)?;
            context.out.note(goals::words(goal, &stats, earned));
        }
        self.done(context, &path, elapsed, &stats, spent).await
    }

    /// Several torrents beside each other.
    async fn many(
        &self,
        context: &Context,
        session: &Session,
        sources: Vec<Source>,
        options: AddOptions,
        goals: SeedGoals,
        pay: Option<&PayExtension>,
    ) -> Outcome {
        let mut handles = Vec::new();
        for source in sources {
            match session.add(source, &self.output, options.clone()) {
                Ok(handle) => handles.push(handle),
                // Named twice.
                Err(error @ SessionError::AlreadyAdded(_)) => context.out.note(error.to_string()),
                Err(error) => return Err(error.into()),
            }
        }
        let ends = get_many::follow(context, &handles, pay, goals).await?;
        if let Some(folder) = &self.move_to {
            for handle in ends.complete.iter().filter_map(|at| handles.get(*at)) {
                relocate(context, handle, folder).await?;
            }
        }
        if self.seed && !ends.complete.is_empty() {
            let complete = ends.complete.iter().filter_map(|at| handles.get(*at));
            let complete: Vec<TorrentHandle> = complete.cloned().collect();
            for handle in &complete {
                handle.set_goals(goals);
            }
            context.out.note("sharing what is complete until Ctrl-C");
            get_many::share(context, &complete, pay, goals).await?;
        }
        ends.outcome()
    }

    /// What is bid; a bid of 0 is none.
    fn bid(&self) -> Outcome<Option<Bid>> {
        match (self.bid, self.max_bid, self.max_spend) {
            (None, ..) => Ok(None),
            (Some(BidArg::Fixed(_)), Some(_), _) => {
                Err(Failure::usage("--max-bid goes with --bid auto"))
            }
            (Some(BidArg::Fixed(price)), None, _) => {
                Ok(Some(Bid::Fixed(price.0)).filter(|_| price.0 > 0))
            }
            (Some(BidArg::Auto), None, None) => Err(Failure::usage("--bid auto needs an end")
                .hint("give --max-bid 20BTT/GiB, or --max-spend 50BTT")),
            (Some(BidArg::Auto), most, _) => {
                Ok(Some(Bid::Auto(most.map_or(u64::MAX >> 1, |price| price.0))))
            }
        }
    }

    /// Shows figures until the download is complete.
    async fn follow(
        &self,
        context: &Context,
        handle: &TorrentHandle,
        pay: Option<&Arc<PayExtension>>,
    ) -> Outcome<PathBuf> {
        let bar = context.out.bar(0, "{msg}");
        let mut tick = tokio::time::interval(SHOW_EVERY);
        let complete = handle.wait_complete();
        tokio::pin!(complete);
        let mut events = handle.events();
        let mut troubles = Troubles::default();
        let mut waiting = Waiting::default();
        let outcome = loop {
            tokio::select! {
                event = events.recv() => {
                    // One that missed some is told the next ones.
                    if let Ok(event) = event {
                        waiting.hear(&event);
                        self.hear(context, handle, &mut troubles, &event)?;
                    }
                    continue;
                }
                outcome = &mut complete => {
                    break outcome.map_err(|error| self.failed(handle, &error));
                }
                () = context.interrupt.wait() => break Err(Failure::interrupted()),
                _ = tick.tick() => {}
            }
            let ports = handle.port_mapping();
            troubles.tell_ports(context, ports)?;
            let stats = handle.stats();
            let spent = pay.map_or(0, |pay| pay.totals().spent_raw);
            if let Some(pay) = pay {
                pay.wants(handle.info_hash(), stats.bytes_left);
            }
            let live = live::peers(pay.map(AsRef::as_ref), std::slice::from_ref(handle));
            waiting.tell(context, &stats);
            let (screen, one) = (Screen::of_stderr(), std::slice::from_ref(handle));
            let tallies = progress::tallies(pay.map(AsRef::as_ref));
            let mut text = progress::lines(
                &screen,
                one,
                std::slice::from_ref(&stats),
                SeedGoals::default(),
                &tallies,
                waiting.full.then_some("the disk is full"),
            );
            if self.show_peers {
                live::add_lines(&screen, &mut text, &live);
            }
            bar.set_message(text);
            bar.tick();
            context.out.event(&document(&stats, spent, &live))?;
        };
        bar.finish_and_clear();
        // What came together with the end is told, too.
        while let Some(event) = next(&mut events) {
            self.hear(context, handle, &mut troubles, &event)?;
        }
        outcome.map_err(|failure| match handle.is_file_in_the_way() {
            true => failure.hint("-o DIR downloads elsewhere, --overwrite writes over it"),
            false => failure,
        })
    }

    fn hear(
        &self,
        context: &Context,
        handle: &TorrentHandle,
        troubles: &mut Troubles,
        event: &Event,
    ) -> Outcome {
        troubles.tell(context, event)?;
        if matches!(event, Event::Ready { .. }) {
            self.tell_chosen(context, handle);
        }
        Ok(())
    }

    /// What can be known before: that it would be refused at the end.
    fn check_target(&self, folder: &Path, source: &Source) -> Outcome {
        let absolute = |path: &Path| {
            let absolute = std::path::absolute(path);
            absolute.map_err(|error| Failure::file(path, error))
        };
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
                return Err(Failure::file(&target, words).hint(
                    "`seedrail torrent check` tells whether it is what is to be downloaded",
                ));
            }
        }
        Ok(())
    }

    /// A choice that was not made now.
    fn tell_chosen(&self, context: &Context, handle: &TorrentHandle) {
        if let (true, Some((files, all))) = (self.files.is_empty(), handle.chosen()) {
            let linked = self.source.iter().any(|source| source.contains("&so="));
            let by = if linked {
                "as the link says"
            } else {
                "as chosen before"
            };
            context.out.note(format!(
                "{files} of {all} files are wanted, {by}; `--files all` takes all of them"
            ));
        }
    }

    /// Why there is no download. What a magnet link is asked for is known late.
    fn failed(&self, handle: &TorrentHandle, error: &TorrentError) -> Failure {
        let files = self.files.iter().cloned().reduce(Selection::and);
        let unknown = files.zip(handle.info());
        match unknown.and_then(|(files, info)| files.choose(&info).err()) {
            Some(unknown) => torrent::unknown_files(unknown),
            None => Failure::failed("download", error),
        }
    }

    /// Goes on until a goal is reached, or until told to stop.
    async fn share(
        &self,
        context: &Context,
        handle: &TorrentHandle,
        goals: SeedGoals,
        pay: Option<&PayExtension>,
    ) -> Outcome {
        // Not before: what ends the sharing shall not end a move.
        handle.set_goals(goals);
        context.out.note(if self.goals.any() {
            "complete; sharing until a goal is reached, or Ctrl-C"
        } else {
            "complete; sharing until Ctrl-C"
        });
        let bar = context.out.bar(0, "{msg}");
        let mut tick = tokio::time::interval(SHOW_EVERY);
        let mut events = handle.events();
        let mut troubles = Troubles::default();
        let torrents = std::slice::from_ref(handle);
        loop {
            tokio::select! {
                _over = handle.wait_over() => break,
                () = context.interrupt.wait() => break,
                _ = tick.tick() => {}
            }
            while let Some(event) = next(&mut events) {
                troubles.tell(context, &event)?;
            }
            let ports = handle.port_mapping();
            troubles.tell_ports(context, ports)?;
            let stats = handle.stats();
            let spent = pay.map_or(0, |pay| pay.totals().spent_raw);
            let live = live::peers(pay, torrents);
            let tallies = progress::tallies(pay);
            let one = std::slice::from_ref(&stats);
            let screen = Screen::of_stderr();
            let mut text = progress::lines(&screen, torrents, one, goals, &tallies, None);
            if self.show_peers {
                live::add_lines(&screen, &mut text, &live);
            }
            bar.set_message(text);
            bar.tick();
            context.out.event(&document(&stats, spent, &live))?;
        }
        bar.finish_and_clear();
        Ok(())
    }

    async fn done(
        &self,
        context: &Context,
        path: &Path,
        elapsed: Duration,
        stats: &Stats,
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
            "bytes": stats.bytes,
            "have": stats.bytes.saturating_sub(stats.bytes_left),
            "seconds": elapsed.as_secs_f64(),
            "downloaded": stats.downloaded,
            "uploaded": stats.uploaded,
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
                Size(stats.bytes),
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

/// Takes a complete download where it shall lie; that it stays where it is if that
/// cannot be is said by the error.
async fn relocate(context: &Context, handle: &TorrentHandle, folder: &Path) -> Outcome<PathBuf> {
    let moved = async {
        let moved = handle.move_to(folder).await;
        moved.map_err(|error| Failure::failed("move", error))
    };
    let path = context.or_interrupt(moved).await?;
    context
        .out
        .event(&json!({ "event": "moved", "path": path }))?;
    Ok(path)
}

/// A download that was ended by a signal: how far it came, and what to do next.
fn stopped(failure: Failure, stats: &Stats, spent: u64) -> Failure {
    if failure.exit != Exit::Interrupted {
        return failure;
    }
    let mut hint = "the same command goes on from there".to_owned();
    if stats.bytes > 0 {
        let here = stats.bytes.saturating_sub(stats.bytes_left);
        hint = format!("{} of {} are here; {hint}", Size(here), Size(stats.bytes));
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
    /// The disk has no room.
    full: bool,
    figures: u32,
    said: Option<&'static str>,
}

impl Waiting {
    fn hear(&mut self, event: &Event) {
        match event {
            Event::DiskError { full: true, .. } => self.full = true,
            Event::PieceVerified { .. } => self.full = false,
            _ => {}
        }
    }

    /// Says it once for each reason. That the disk is full is said elsewhere.
    fn tell(&mut self, context: &Context, stats: &Stats) {
        let waits = matches!(stats.phase, Phase::Metadata | Phase::Downloading)
            && stats.down_rate == 0
            && !self.full;
        self.figures = if waits { self.figures + 1 } else { 0 };
        let why = progress::why_waiting(stats);
        if self.figures >= WAITING_FIGURES && self.said != Some(why) {
            self.said = Some(why);
            context.out.note(format!("nothing comes: {why}"));
        }
    }
}

fn document(stats: &Stats, spent: u64, live: &[LivePeer]) -> Value {
    json!({
        "event": "progress",
        "have": stats.bytes.saturating_sub(stats.bytes_left),
        "downloaded": stats.downloaded,
        "total": stats.bytes,
        "rate": stats.down_rate,
        "uploaded": stats.uploaded,
        "peers": stats.peers.len(),
        "web_seeds": progress::web_seeds(stats),
        "spent_raw": spent.to_string(),
        "payments": live.iter().map(LivePeer::document).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_over_when_a_piece_is_kept() {
        let mut waiting = Waiting::default();
        let message = "the disk is full".to_owned();
        waiting.hear(&Event::DiskError {
            message,
            full: true,
        });
        assert!(waiting.full);
        waiting.hear(&Event::PieceVerified {
            piece: 0,
            have: 1,
            total: 2,
        });
        assert!(!waiting.full);
    }
}
