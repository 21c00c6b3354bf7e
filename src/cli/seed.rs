//! `seedrail seed`: share, and be paid for it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::{Path, PathBuf},
    str::FromStr,
    time::{Duration, Instant},
};

use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;

use super::{
    Context, daemon,
    failure::{Exit, Failure, Outcome},
    files::absolute,
    foreground::{Foreground, Moment, tell_failed},
    goals::{self, GoalFlags},
    live, pay,
    progress::{self, Screen, Shown},
    session::GrantFlags,
    swarm::SwarmFlags,
    torrent,
    units::{self, Price, Rate, Size, btt_text, counted},
};
use crate::{
    client::{
        Trade,
        command::{AddTorrent, Source},
        snapshot::{Limits, Prices, TorrentRow, TorrentState},
    },
    swarm::{
        SessionError,
        metainfo::{CreateOptions, Info, Metainfo},
    },
    types::{Address, InfoHash, RawAmount},
};

#[derive(Debug, Args)]
pub(crate) struct Seed {
    /// Files or folders to share, or torrent files of content that is on this machine. They
    /// are only read; what did not change is not hashed again.
    #[arg(required = true)]
    path: Vec<PathBuf>,
    /// Content of the torrent files among the PATHs: the file or folder itself, or the
    /// folder that it is in. Default: this folder.
    #[arg(long, value_name = "PATH")]
    content: Option<PathBuf>,
    /// Lowest price, for example 5BTT/GiB. Peers that do not pay are still served, after
    /// those that do. Without it you share for free.
    #[arg(long, value_name = "PRICE")]
    ask: Option<Price>,
    /// Lowest price of one torrent: a PATH or info-hash that is shared, and its price; may
    /// be repeated.
    #[arg(long, value_name = "PATH|HASH=PRICE", value_parser = named::<Price>)]
    ask_for: Vec<(String, Price)>,
    /// Percent of the upload limit that is kept for peers that do not pay while others pay.
    #[arg(long, value_name = "PERCENT", default_value_t = 20,
          value_parser = clap::value_parser!(u8).range(1..=99))]
    free_share: u8,
    /// Address that pays nothing; may be repeated.
    #[arg(long, value_name = "ADDRESS")]
    friend: Vec<Address>,
    /// Credit limit of a peer that has never paid you, for example 10BTT.
    #[arg(long, value_name = "AMOUNT", value_parser = units::btt)]
    unproven_cap: Option<RawAmount>,
    /// Show each peer that pays.
    #[arg(long)]
    show_peers: bool,
    /// Tracker to announce to; may be repeated.
    #[arg(long, value_name = "URL")]
    tracker: Vec<String>,
    /// URL of a web seed (BEP 19), an HTTP server that has the content too: written into the
    /// torrent file and the magnet link; may be repeated. One that ends with `/` is the
    /// folder that the content is in.
    #[arg(long, value_name = "URL")]
    web_seed: Vec<String>,
    /// Write the torrent file (one PATH only).
    #[arg(long, value_name = "FILE")]
    torrent_out: Option<PathBuf>,
    /// Replace the file of --torrent-out if it exists.
    #[arg(long, requires = "torrent_out")]
    overwrite: bool,
    /// Size of a piece, a power of two. Default: depends on the size of the content.
    #[arg(long, value_name = "SIZE")]
    piece_size: Option<Size>,
    /// Make a private torrent: peers come only from its trackers.
    #[arg(long)]
    private: bool,
    /// Align files to pieces by padding files (BEP 47), which nobody stores.
    #[arg(long)]
    pad_files: bool,
    /// Upload limit of one torrent: a PATH or info-hash that is shared, and its rate; may
    /// be repeated.
    #[arg(long, value_name = "PATH|HASH=RATE", value_parser = named::<Rate>)]
    up_limit_for: Vec<(String, Rate)>,
    #[command(flatten)]
    goals: GoalFlags,
    #[command(flatten)]
    swarm: SwarmFlags,
    #[command(flatten)]
    grant: GrantFlags,
}

/// `NAME=VALUE`.
fn named<T: FromStr<Err = String>>(text: &str) -> Result<(String, T), String> {
    let (name, value) = text
        .rsplit_once('=')
        .ok_or_else(|| format!("`{text}` has no `=`: write it as PATH=… or HASH=…"))?;
    Ok((name.to_owned(), value.parse()?))
}

/// The torrent that a flag names by its path or info-hash.
fn shared(made: &[Shared<'_>], flag: &str, name: &str) -> Outcome<InfoHash> {
    let torrent = made.iter().find(|shared| {
        shared.path == Path::new(name) || shared.metainfo.info.hash().to_string() == *name
    });
    torrent
        .map(|shared| shared.metainfo.info.hash())
        .ok_or_else(|| Failure::usage(format!("{flag} names `{name}`, which is not shared here")))
}

impl Seed {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        self.swarm.check()?;
        if self.torrent_out.is_some() && self.path.len() > 1 {
            return Err(Failure::usage("--torrent-out goes with one PATH"));
        }
        if self.ask.is_some_and(|ask| ask.0 == 0) {
            return Err(
                Failure::usage("an ask cannot be 0").hint("leave --ask out to share for free")
            );
        }
        let of_one = self.web_seed.iter().find(|url| !url.ends_with('/'));
        if let Some(url) = of_one.filter(|_| self.path.len() > 1) {
            return Err(Failure::usage(format!(
                "the web seed `{url}` is one file or folder, and there are several PATHs"
            ))
            .hint("a URL that ends with `/` is a folder that all of them are in"));
        }
        let mut options = torrent::options(
            self.tracker.clone(),
            self.piece_size,
            self.private,
            self.pad_files,
        )?;
        options.web_seeds = torrent::web_seeds(self.web_seed.clone())?;
        let asks = self.ask.is_some() || !self.ask_for.is_empty();
        let goals = self.goals.goals(asks)?;
        let mut made = Vec::new();
        for path in &self.path {
            made.push(self.shared(context, path, options.clone()).await?);
        }
        for one in &made {
            daemon::refuse_its_own(context, one.metainfo.info.hash())?;
        }
        let mut limits = HashMap::new();
        for (name, rate) in &self.up_limit_for {
            limits.insert(shared(&made, "--up-limit-for", name)?, rate.0);
        }
        let own = self.asks_for(&made)?;
        let trade = Trade {
            prices: Prices {
                ask_raw: self.ask.map(|price| price.0),
                ..Prices::default()
            },
            own: own.clone(),
            unproven_cap: self.unproven_cap,
            friends: self.friend.iter().copied().collect(),
            ..Trade::default()
        };
        let prices = trade.prices;
        let longest = made
            .iter()
            .map(|one| one.metainfo.info.layout().piece_length());
        let pay = pay::start(context, trade, &self.grant, longest.max(), None).await?;
        let peers = self.swarm.peers().await?;
        let mut wanted = Vec::new();
        for Shared {
            content,
            metainfo,
            hashed,
            ..
        } in &made
        {
            let hash = metainfo.info.hash();
            let source = Source::Content {
                file: torrent::bytes(metainfo)?,
                path: absolute(content)?,
                trusted: *hashed,
            };
            wanted.push(AddTorrent {
                trackers: self.tracker.clone(),
                peers: peers.clone(),
                goals,
                limits: Limits {
                    up: limits.get(&hash).copied(),
                    down: None,
                },
                prices: own.get(&hash).copied().unwrap_or_default(),
                ..AddTorrent::new(source)
            });
        }
        let paid_share = 100 - self.free_share;
        let (mut client, added) =
            Foreground::open(context, &self.swarm, paid_share, prices, pay, wanted).await?;
        let mut hashes = Vec::new();
        for (Shared { metainfo, .. }, (hash, is_new)) in made.iter().zip(added) {
            let refused = client.torrents(&[hash]).into_iter();
            let refused = refused
                .filter_map(|torrent| torrent.row.value.trouble.clone())
                .next();
            if let Some(why) = refused {
                return Err(Failure::failed("file", why));
            }
            if !is_new {
                return Err(SessionError::AlreadyAdded(hash).into());
            }
            hashes.push(hash);
            if let Some(file) = &self.torrent_out {
                torrent::write(file, metainfo, self.overwrite)?;
            }
            let document = json!({
                "event": "seeding",
                "torrent": self.torrent_out,
                "magnet": metainfo.magnet().to_string(),
                "info_hash": hash,
                "listen": client.listen(),
            });
            context.out.result(&document, || {
                let asked = self
                    .ask
                    .map_or_else(|| "for free".to_owned(), |ask| format!("from {ask} on"));
                let place = match client.listen() {
                    listen if listen.port() == 0 => "behind the proxy".to_owned(),
                    listen => format!("at {listen}"),
                };
                format!(
                    "seeding {} {place} {asked}\n'{}'",
                    metainfo.info.name(),
                    metainfo.magnet()
                )
            })?;
        }
        let watched = self.watch(context, &mut client, &hashes).await;
        client.close().await;
        watched
    }
}

/// What is shared.
struct Shared<'a> {
    /// As the user named it.
    path: &'a Path,
    /// Where the bytes are.
    content: PathBuf,
    metainfo: Metainfo,
    /// It is known to be what the torrent says.
    hashed: bool,
}

impl Seed {
    /// A torrent of a path, or of a torrent file.
    async fn shared<'a>(
        &self,
        context: &Context,
        path: &'a Path,
        options: CreateOptions,
    ) -> Outcome<Shared<'a>> {
        let is_torrent = path.extension().is_some_and(|kind| kind == "torrent");
        if !is_torrent || path.is_dir() {
            return Ok(Shared {
                path,
                content: path.to_owned(),
                metainfo: torrent::hash_or_recall(context, path, options).await?,
                hashed: true,
            });
        }
        let mut metainfo = torrent::read(path)?;
        let content = self.content_of(&metainfo.info)?;
        let known = metainfo.trackers.iter().flatten();
        let known: HashSet<String> = known.cloned().collect();
        let more = options.trackers.into_iter();
        let more = more.filter(|url| !known.contains(url));
        metainfo.trackers.extend(more.map(|url| vec![url]));
        let known: HashSet<String> = metainfo.web_seeds.iter().cloned().collect();
        let more = options.web_seeds.into_iter();
        metainfo
            .web_seeds
            .extend(more.filter(|url| !known.contains(url)));
        Ok(Shared {
            path,
            content,
            metainfo,
            hashed: false,
        })
    }

    /// Where a torrent file's content is.
    fn content_of(&self, info: &Info) -> Outcome<PathBuf> {
        let named = self.content.as_deref().unwrap_or(Path::new("."));
        let below = named.join(info.name());
        let is_itself = match info.is_single_file() {
            true => named.is_file(),
            // A folder that has the first of the files is the content itself.
            false => {
                let first = info.files().iter().find(|file| !file.pad);
                first.is_some_and(|first| {
                    named.join(first.path.iter().collect::<PathBuf>()).exists()
                }) && self.content.is_some()
            }
        };
        if is_itself {
            return Ok(named.to_owned());
        }
        match std::fs::metadata(&below) {
            Ok(_) => Ok(below),
            Err(error) => Err(Failure::file(&below, error).hint(
                "--content PATH names the torrent's content; `seedrail get FILE --seed` downloads it first",
            )),
        }
    }

    /// The prices of single torrents.
    fn asks_for(&self, made: &[Shared<'_>]) -> Outcome<BTreeMap<InfoHash, Prices>> {
        let mut asks = BTreeMap::new();
        for (name, price) in &self.ask_for {
            let hash = shared(made, "--ask-for", name)?;
            if price.0 == 0 {
                return Err(Failure::usage("an ask cannot be 0"));
            }
            let prices = Prices {
                ask_raw: Some(price.0),
                ..Prices::default()
            };
            asks.insert(hash, prices);
        }
        Ok(asks)
    }

    /// Shows figures until told to stop, or until every torrent has ended.
    async fn watch(
        &self,
        context: &Context,
        client: &mut Foreground<'_>,
        hashes: &[InfoHash],
    ) -> Outcome {
        let started = Instant::now();
        let mut told = HashSet::new();
        let bar = context.out.bar(0, "{msg}");
        let (torrents, stopped) = loop {
            let moment = client.moment().await?;
            client.begun(hashes)?;
            let torrents = client.torrents(hashes);
            tell_ended(context, &torrents, &mut told)?;
            if moment == Moment::Stopped || told.len() == hashes.len() {
                break (torrents, moment == Moment::Stopped);
            }
            if moment == Moment::Figures {
                self.show(context, &bar, &torrents, client.totals().1)?;
            }
        };
        bar.finish_and_clear();
        let uploaded: u64 = rows(&torrents).map(|row| row.session_uploaded).sum();
        let (elapsed, earned) = (started.elapsed(), client.totals().1);
        match stopped {
            true => context.out.note(summary(uploaded, elapsed, earned)),
            false => ended(&torrents)?,
        }
        context.out.event(&json!({
            "event": "done",
            "torrents": torrents.len(),
            "uploaded": uploaded,
            "seconds": elapsed.as_secs_f64(),
            "earned_raw": earned.to_string(),
        }))
    }

    fn show(
        &self,
        context: &Context,
        bar: &ProgressBar,
        torrents: &[Shown],
        earned: u64,
    ) -> Outcome {
        let uploaded: u64 = rows(torrents).map(|row| row.session_uploaded).sum();
        let rate: u64 = rows(torrents).map(|row| row.up_rate).sum();
        let peers: u64 = rows(torrents).map(|row| u64::from(row.peers)).sum();
        let screen = Screen::of_stderr();
        let mut text = progress::lines(&screen, torrents, None);
        if torrents.len() > 1 {
            let line = format!(
                "{} torrents: {} up, {} sent, {}, earned {}",
                torrents.len(),
                Rate(rate),
                Size(uploaded),
                counted(peers, "peer"),
                btt_text(earned)
            );
            screen.add(&mut text, &line);
        }
        if self.show_peers {
            live::add_lines(&screen, &mut text, torrents);
        }
        bar.set_message(text);
        bar.tick();
        context.out.event(&json!({
            "event": "progress",
            "uploaded": uploaded,
            "rate": rate,
            "peers": peers,
            "earned_raw": earned.to_string(),
            "payments": live::documents(torrents),
            "torrents": progress::documents(torrents),
        }))
    }
}

fn rows(torrents: &[Shown]) -> impl Iterator<Item = &TorrentRow> {
    torrents.iter().map(|torrent| &*torrent.row.value)
}

/// What the sharing came to.
fn summary(uploaded: u64, elapsed: Duration, earned_raw: u64) -> String {
    let shared = format!(
        "shared {} in {}",
        Size(uploaded),
        progress::duration(elapsed)
    );
    match earned_raw {
        0 => shared,
        raw => format!(
            "{shared}, earned {}: `seedrail earnings` shows what of it is paid",
            btt_text(raw)
        ),
    }
}

/// Tells which torrents have ended since it was asked last.
fn tell_ended(context: &Context, torrents: &[Shown], told: &mut HashSet<InfoHash>) -> Outcome {
    for row in rows(torrents) {
        match (row.state, row.reached, &row.trouble) {
            (TorrentState::Paused, Some(goal), _) if told.insert(row.hash) => {
                context.out.result(&goals::document(row, goal), || {
                    format!("{}: {}", row.name, goals::words(row, goal))
                })?;
            }
            (TorrentState::Failed, _, Some(reason)) if told.insert(row.hash) => {
                tell_failed(context, row, reason)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// What the command comes to when every torrent has ended.
fn ended(torrents: &[Shown]) -> Outcome {
    let failed = rows(torrents).filter(|row| row.state == TorrentState::Failed);
    let failures: Vec<&str> = failed.filter_map(|row| row.trouble.as_deref()).collect();
    match failures.as_slice() {
        [] => Ok(()),
        [reason, ..] if failures.len() == torrents.len() => Err(Failure::failed("seed", reason)),
        [reason, ..] => Err(Failure::new(
            Exit::Partly,
            "seed",
            format!(
                "{} of {} torrents could not be shared: {reason}",
                failures.len(),
                torrents.len()
            ),
        )),
    }
}
