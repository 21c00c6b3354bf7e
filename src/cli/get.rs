//! `seedrail get`: download, and pay to go first.

mod many;
mod one;

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{
    Context, daemon,
    failure::{Failure, Outcome},
    files::Folder,
    foreground::Foreground,
    goals::GoalFlags,
    pay,
    session::GrantFlags,
    source,
    swarm::{SwarmFlags, state_folder},
    torrent,
    units::{self, BidArg, Price},
};
use crate::{
    client::{
        Trade,
        command::{self, AddTorrent, Files},
        snapshot::{Prices, TorrentRow},
    },
    swarm::{
        SessionError, Source,
        bitfield::Bitfield,
        metainfo::Info,
        relocate,
        selection::{Selection, SelectionError, Wanted},
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
        self.swarm.check()?;
        let output = Folder::new(&self.output)?;
        let move_to = self.move_to.as_deref().map(Folder::new).transpose()?;
        let wanted = self.wanted(context, &output, move_to.as_ref()).await?;
        let trade = Trade {
            prices: self.prices()?,
            max_spend: self.max_spend,
            max_per_peer: self.max_per_peer,
            ..Trade::default()
        };
        let prices = trade.prices;
        let settling = self.settle.settling(context, &trade)?;
        let piece_length = wanted.iter().filter_map(AddTorrent::piece_length).max();
        let pay = pay::start(context, trade, &self.grant, piece_length, settling).await?;
        std::fs::create_dir_all(&self.output)
            .map_err(|error| Failure::file(&self.output, error))?;
        let (client, added) =
            Foreground::open(context, &self.swarm, 80, prices, pay, wanted).await?;
        context
            .out
            .event(&json!({ "event": "started", "listen": client.listen() }))?;
        for (hash, _) in added.iter().filter(|(_, is_new)| !is_new) {
            let words = SessionError::AlreadyAdded(*hash).to_string();
            context.out.note(words);
        }
        // One that is named twice is one.
        let hashes = added.iter().filter(|(_, is_new)| *is_new);
        let hashes: Vec<InfoHash> = hashes.map(|(hash, _)| *hash).collect();
        let place = move_to.unwrap_or(output);
        match hashes.as_slice() {
            [hash] if self.source.len() == 1 => self.one(context, client, *hash, &place).await,
            hashes => self.many(context, client, hashes, &place).await,
        }
    }

    /// What the flags say, checked as far as that can be before anything runs.
    async fn wanted(
        &self,
        context: &Context,
        output: &Folder,
        move_to: Option<&Folder>,
    ) -> Outcome<Vec<AddTorrent>> {
        let goals = self.goals.goals(self.ask.is_some_and(|ask| ask.0 > 0))?;
        if move_to.is_some_and(|folder| folder.absolute == output.absolute) {
            return Err(Failure::usage(format!(
                "--move-to names {}, where it is downloaded to",
                self.output.display()
            )));
        }
        let mut sources = Vec::new();
        for text in &self.source {
            let from = async { self.swarm.way() };
            sources.push(source::read(context, text, from).await?);
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
            if let Source::Torrent(torrent) = source {
                let chosen = chosen.as_ref().map(|chosen| chosen.choose(&torrent.info));
                let chosen = chosen.transpose().map_err(torrent::unknown_files)?;
                if let Some(folder) = move_to {
                    check_target(context, &torrent.info, folder, chosen)?;
                }
            }
        }
        for source in &sources {
            daemon::refuse_its_own(context, source.info_hash())?;
        }
        let web_seeds = torrent::web_seeds(self.web_seed.clone())?;
        let peers = self.swarm.peers().await?;
        let wanted = sources.into_iter().map(|source| AddTorrent {
            folder: Some(output.absolute.clone()),
            move_to: move_to.map(|folder| folder.absolute.clone()),
            trackers: self.tracker.clone(),
            web_seeds: web_seeds.clone(),
            peers: peers.clone(),
            files: (!self.files.is_empty()).then(|| Files::Patterns(self.files.clone())),
            goals,
            recheck: self.recheck,
            overwrite: self.overwrite,
            preallocate: self.preallocate,
            ..AddTorrent::new(command::Source::Parsed(Box::new(source)))
        });
        Ok(wanted.collect())
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
                return Err(Failure::usage("--bid auto needs an upper limit")
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

    /// Where a complete torrent is now, as the user named the folder.
    fn arrived(&self, context: &Context, row: &TorrentRow, place: &Folder) -> Outcome<PathBuf> {
        let path = place.shown(row.path.clone().unwrap_or_default());
        if self.move_to.is_some() {
            context
                .out
                .event(&json!({ "event": "moved", "path": path }))?;
        }
        Ok(path)
    }
}

/// What can be known before: that a move would be refused at the end. What was moved before
/// goes on from there.
fn check_target(
    context: &Context,
    info: &Info,
    folder: &Folder,
    chosen: Option<Bitfield>,
) -> Outcome {
    let target = folder.absolute.join(info.name());
    if std::fs::symlink_metadata(&target).is_err() {
        return Ok(());
    }
    let wanted = chosen.map(|files| Wanted::files(info, files));
    let state = state_folder(context);
    let moved = relocate::is_moved(&state, info, &folder.absolute, wanted.as_ref());
    match moved.map_err(|error| Failure::failed("move", error))? {
        true => Ok(()),
        false => {
            let words = "is there already, and nothing is overwritten";
            Err(Failure::file(&folder.shown(target), words)
                .hint("`seedrail torrent check` says whether it is this torrent's content"))
        }
    }
}
