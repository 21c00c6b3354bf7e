//! `seedrail torrent` and `seedrail tracker`.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clap::{Args, Subcommand};
use serde_json::json;
use tokio::task::JoinSet;

use super::{
    Context,
    failure::{Failure, Outcome},
    printable,
    units::{Size, duration},
};
use crate::swarm::{
    check::{FileReport, FileState, Report, check},
    metainfo::{self, CreateOptions, Info, MAX_INFO_BYTES, Metainfo},
    selection::{Selection, Wanted},
    tracker::{Client, Scraped, Server, ServerOptions},
};

/// The largest torrent file read: the longest info dictionary and its trackers.
pub(super) const MAX_FILE_BYTES: u64 = MAX_INFO_BYTES as u64 + (1 << 20);

#[derive(Debug, Subcommand)]
pub(crate) enum Torrent {
    /// Make a torrent file from a file or folder.
    Create(Create),
    /// Verify content on disk against a torrent.
    Check(Check),
    /// Show the contents of a torrent file.
    Show {
        /// The torrent file.
        file: PathBuf,
        /// Ask its trackers how many peers they know.
        #[arg(long)]
        scrape: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// File or folder to share.
    path: PathBuf,
    /// Torrent file to write.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Replace FILE if it exists.
    #[arg(long)]
    overwrite: bool,
    /// Announce URL of a tracker; may be repeated.
    #[arg(long, value_name = "URL")]
    tracker: Vec<String>,
    /// URL of a web seed (BEP 19), an HTTP server that has the content; may be repeated.
    #[arg(long, value_name = "URL")]
    web_seed: Vec<String>,
    /// Size of a piece, a power of two. Default: depends on the size of the content.
    #[arg(long, value_name = "SIZE")]
    piece_size: Option<Size>,
    /// Make a private torrent: peers come only from its trackers.
    #[arg(long)]
    private: bool,
    /// Align files to pieces by padding files (BEP 47), which nobody stores.
    #[arg(long)]
    pad_files: bool,
}

/// Reads a torrent file, bounded.
pub(crate) fn read(path: &Path) -> Outcome<Metainfo> {
    let metadata = std::fs::metadata(path).map_err(|error| Failure::file(path, error))?;
    if metadata.is_dir() {
        return Err(Failure::file(path, "is a folder, not a torrent file"));
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(Failure::file(
            path,
            format!("too large for a torrent file ({})", Size(metadata.len())),
        ));
    }
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(path).map_err(|error| Failure::file(path, error))?;
    // A pipe has no length before it is read.
    let read = opened.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::file(path, error))?;
    Metainfo::from_bytes(&bytes)
        .map_err(|error| Failure::failed("invalid_torrent", format!("{}: {error}", path.display())))
}

/// A torrent file's bytes.
pub(super) fn bytes(metainfo: &Metainfo) -> Outcome<Vec<u8>> {
    let bytes = metainfo.to_bytes();
    bytes.map_err(|error| Failure::failed("invalid_torrent", error))
}

/// Writes a torrent file. One that is there with other content is replaced only if
/// that is wanted.
pub(super) fn write(path: &Path, metainfo: &Metainfo, overwrite: bool) -> Outcome {
    let bytes = bytes(metainfo)?;
    let mut options = std::fs::OpenOptions::new();
    options.write(true);
    match overwrite {
        true => options.create(true).truncate(true),
        false => options.create_new(true),
    };
    let failed = |error| Failure::file(path, error);
    match options.open(path) {
        Ok(mut file) => file.write_all(&bytes).map_err(failed),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let there = std::fs::File::open(path).map_err(failed)?;
            let mut found = Vec::new();
            let most = u64::try_from(bytes.len()).unwrap_or(u64::MAX) + 1;
            there.take(most).read_to_end(&mut found).map_err(failed)?;
            if found == bytes {
                return Ok(());
            }
            let words = "is there already and has other content; it was not touched";
            Err(Failure::file(path, words).hint("--overwrite replaces it"))
        }
        Err(error) => Err(failed(error)),
    }
}

/// URLs of web seeds, checked.
pub(super) fn web_seeds(urls: Vec<String>) -> Outcome<Vec<String>> {
    for text in &urls {
        let url = url::Url::parse(text).ok();
        let usable = |url: &url::Url| matches!(url.scheme(), "http" | "https");
        if !url.as_ref().is_some_and(usable) || text.len() > 2048 {
            return Err(Failure::usage(format!(
                "`{text}` is not the URL of a web seed (http or https)"
            )));
        }
    }
    Ok(urls)
}

/// The options of a torrent, checked.
pub(crate) fn options(
    trackers: Vec<String>,
    piece_size: Option<Size>,
    private: bool,
    pad_files: bool,
) -> Outcome<CreateOptions> {
    for url in &trackers {
        let parsed = url::Url::parse(url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https" | "udp"));
        if parsed.is_none() {
            return Err(Failure::usage(format!(
                "`{url}` is not a tracker URL (http, https or udp)"
            )));
        }
    }
    let piece_size = piece_size
        .map(|size| {
            u32::try_from(size.0)
                .map_err(|_| Failure::usage(format!("{size} is too large for a piece")))
        })
        .transpose()?;
    Ok(CreateOptions {
        piece_size,
        trackers,
        web_seeds: Vec::new(),
        private,
        comment: None,
        pad_files,
    })
}

/// Hashes a path into a torrent, with a progress bar.
pub(crate) async fn hash(
    context: &Context,
    path: &Path,
    options: CreateOptions,
) -> Outcome<Metainfo> {
    make(context, path, options, None).await
}

/// The same, but what did not change since it was hashed before is not hashed again.
pub(super) async fn hash_or_recall(
    context: &Context,
    path: &Path,
    options: CreateOptions,
) -> Outcome<Metainfo> {
    let memory = context.settings.home.join("swarm/made");
    make(context, path, options, Some(memory)).await
}

async fn make(
    context: &Context,
    path: &Path,
    options: CreateOptions,
    memory: Option<PathBuf>,
) -> Outcome<Metainfo> {
    let bar = context.out.bar(0, "hashing {wide_bar} {percent}%");
    let progress = bar.clone();
    let owned = path.to_owned();
    let hashing = tokio::task::spawn_blocking(move || {
        let show = |done, all| {
            progress.set_length(u64::from(all));
            progress.set_position(u64::from(done));
        };
        match memory {
            Some(memory) => {
                metainfo::make_or_recall(&owned, &options, &memory, &show).map(|(made, _)| made)
            }
            None => metainfo::make(&owned, &options, &show),
        }
    });
    let hashed = async {
        hashing
            .await
            .map_err(|error| Failure::failed("hash", error))
    };
    let made = context.or_interrupt(hashed).await?;
    bar.finish_and_clear();
    let made = made.map_err(|error| Failure::failed("create", error))?;
    tell_links(context, &made.links);
    Ok(made.metainfo)
}

/// Links below a folder are not followed: they may lead anywhere.
fn tell_links(context: &Context, links: &[PathBuf]) {
    let Some(first) = links.first() else { return };
    let first = first.display();
    context.out.note(match links.len() {
        1 => format!("1 link is left out: {first}"),
        many => format!("{many} links are left out: {first} and others"),
    });
}

impl Torrent {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Create(create) => create.run(context).await,
            Self::Check(check) => check.run(context).await,
            Self::Show { file, scrape } => {
                let metainfo = read(&file)?;
                let counts = if scrape {
                    let counting = async { Ok(counts(&metainfo).await) };
                    Some(context.or_interrupt(counting).await?)
                } else {
                    None
                };
                show(context, &metainfo, counts.as_deref())
            }
        }
    }
}

impl Create {
    async fn run(self, context: &Context) -> Outcome {
        let mut options = options(self.tracker, self.piece_size, self.private, self.pad_files)?;
        options.web_seeds = web_seeds(self.web_seed)?;
        let metainfo = hash(context, &self.path, options).await?;
        write(&self.output, &metainfo, self.overwrite)?;
        let document = json!({
            "torrent": self.output,
            "info_hash": metainfo.info.hash(),
            "magnet": metainfo.magnet().to_string(),
            "bytes": metainfo.info.layout().total(),
            "piece_size": metainfo.info.layout().piece_length(),
            "pieces": metainfo.info.layout().pieces(),
        });
        context.out.result(&document, || {
            format!(
                "{} written: {} in {} pieces of {}\ninfo-hash {}\n'{}'",
                self.output.display(),
                Size(metainfo.info.layout().total()),
                metainfo.info.layout().pieces(),
                Size(metainfo.info.layout().piece_length().into()),
                metainfo.info.hash(),
                metainfo.magnet(),
            )
        })
    }
}

/// A tracker's URL, and what it counts, if it knows the torrent.
type Counted = (String, Result<Option<Scraped>, String>);

/// What each tracker answered when it was asked for its peers.
async fn counts(metainfo: &Metainfo) -> Vec<Counted> {
    let client = match Client::new() {
        Ok(client) => client,
        Err(error) => return vec![(String::new(), Err(error.to_string()))],
    };
    let hash = metainfo.info.hash();
    let mut asked = JoinSet::new();
    for (number, url) in metainfo.trackers.iter().flatten().cloned().enumerate() {
        let client = client.clone();
        asked.spawn(async move {
            let answer = client.scrape(&url, &[hash]).await;
            let answer = answer.map(|found| found.into_iter().next().flatten());
            (number, url, answer.map_err(|error| error.to_string()))
        });
    }
    let mut all = asked.join_all().await;
    all.sort_by_key(|(number, ..)| *number);
    all.into_iter()
        .map(|(_, url, answer)| (url, answer))
        .collect()
}

fn show(context: &Context, metainfo: &Metainfo, counts: Option<&[Counted]>) -> Outcome {
    let info = &metainfo.info;
    let files = (1u32..).zip(info.files()).map(|(number, file)| {
        json!({ "number": number, "path": file.path, "bytes": file.length, "pad": file.pad })
    });
    let files: Vec<_> = files.collect();
    let document = json!({
        "name": info.name(),
        "info_hash": info.hash(),
        "magnet": metainfo.magnet().to_string(),
        "bytes": info.layout().total(),
        "piece_size": info.layout().piece_length(),
        "pieces": info.layout().pieces(),
        "private": info.is_private(),
        "trackers": metainfo.trackers,
        "web_seeds": metainfo.web_seeds,
        "comment": metainfo.comment,
        "created_by": metainfo.created_by,
        "files": files,
        "scrape": counts.map(|counts| {
            let one = |(url, answer): &Counted| match answer {
                Ok(found) => json!({
                    "tracker": url,
                    "seeders": found.map(|found| found.seeders),
                    "leechers": found.map(|found| found.leechers),
                    "completed": found.map(|found| found.completed),
                }),
                Err(error) => json!({ "tracker": url, "error": error }),
            };
            counts.iter().map(one).collect::<Vec<_>>()
        }),
    });
    context.out.result(&document, || {
        let mut text = format!(
            "{}\n  info-hash  {}\n  size       {} in {} pieces of {}\n",
            printable::line(info.name()),
            info.hash(),
            Size(info.layout().total()),
            info.layout().pieces(),
            Size(info.layout().piece_length().into()),
        );
        if info.is_private() {
            text.push_str("  private\n");
        }
        for url in metainfo.trackers.iter().flatten() {
            text.push_str(&format!("  tracker    {}\n", printable::line(url)));
        }
        for url in &metainfo.web_seeds {
            text.push_str(&format!("  web seed   {}\n", printable::line(url)));
        }
        for (url, answer) in counts.unwrap_or_default() {
            let url = printable::line(url);
            text.push_str(&match answer {
                Ok(Some(found)) => format!(
                    "  {url}: {} seeders, {} leechers, {} downloads\n",
                    found.seeders, found.leechers, found.completed
                ),
                Ok(None) => format!("  {url}: does not know it\n"),
                Err(error) => format!("  {}\n", printable::line(error)),
            });
        }
        // As `get --files` counts them: padding has a number, but is nobody's wish.
        for (number, file) in (1u32..).zip(info.files()).filter(|(_, file)| !file.pad) {
            text.push_str(&format!(
                "  {number:>6}  {:>12}  {}\n",
                Size(file.length).to_string(),
                printable::line(&file.path.join("/"))
            ));
        }
        let padding: Vec<u64> = info
            .files()
            .iter()
            .filter(|file| file.pad)
            .map(|file| file.length)
            .collect();
        if !padding.is_empty() {
            text.push_str(&format!(
                "  padding    {} in {} files that are never stored\n",
                Size(padding.iter().sum()),
                padding.len()
            ));
        }
        text.trim_end().to_owned()
    })
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The torrent file.
    file: PathBuf,
    /// The content: the file, or the folder with the files; by default what has the
    /// torrent's name in this folder.
    path: Option<PathBuf>,
    /// Files to verify, chosen as in `get`; may be repeated.
    #[arg(long, value_name = "FILES")]
    files: Vec<Selection>,
}

impl Check {
    async fn run(self, context: &Context) -> Outcome {
        let info = read(&self.file)?.info;
        let files = self.files.into_iter().reduce(Selection::and);
        let files = files.unwrap_or_else(Selection::all);
        let wanted = Wanted::files(&info, files.choose(&info).map_err(unknown_files)?);
        let path = self.path.unwrap_or_else(|| PathBuf::from(info.name()));
        let found = std::fs::metadata(&path).map_err(|error| Failure::file(&path, error))?;
        if found.is_dir() == info.is_single_file() {
            let (is, be) = match found.is_dir() {
                true => ("a folder", "a file"),
                false => ("a file", "a folder"),
            };
            let words = format!("is {is}, and the torrent is of {be}");
            return Err(Failure::file(&path, words));
        }
        let bar = context.out.bar(0, "checking {wide_bar} {percent}%");
        let stopped = Arc::new(AtomicBool::new(false));
        let (progress, stop) = (bar.clone(), stopped.clone());
        let (of, root) = (info.clone(), path.clone());
        let hashing = tokio::task::spawn_blocking(move || {
            check(&of, &root, &wanted, &|done, all| {
                progress.set_length(u64::from(all));
                progress.set_position(u64::from(done));
                !stop.load(Ordering::Relaxed)
            })
        });
        let hashed = async {
            let hashed = hashing.await;
            hashed.map_err(|error| Failure::failed("check", error))
        };
        let report = context.or_interrupt(hashed).await;
        stopped.store(true, Ordering::Relaxed);
        bar.finish_and_clear();
        let report = report?.map_err(|error| Failure::failed("file", error))?;
        tell_checked(context, &info, &path, &report)
    }
}

fn state_words(state: FileState) -> (&'static str, String) {
    match state {
        FileState::Good => ("good", "good".into()),
        FileState::Missing => ("missing", "missing".into()),
        FileState::WrongSize { found } => ("wrong_size", format!("wrong size, {found} bytes")),
        FileState::Damaged => ("damaged", "damaged".into()),
        FileState::Unsure => ("unsure", "unsure: shares a wrong piece".into()),
    }
}

/// The bad files and pieces are the result; that there are any is the failure.
fn tell_checked(context: &Context, info: &Info, path: &Path, report: &Report) -> Outcome {
    let named = |file: &FileReport| {
        let entry = usize::try_from(file.position).ok();
        let entry = entry.and_then(|at| info.files().get(at));
        entry.map_or((&[][..], 0), |entry| (entry.path.as_slice(), entry.length))
    };
    let files = report.files.iter().map(|file| {
        let (path, bytes) = named(file);
        json!({
            "number": u64::from(file.position) + 1,
            "path": path,
            "bytes": bytes,
            "state": state_words(file.state).0,
            "bad_pieces": file.bad_pieces,
        })
    });
    let bad: Vec<u32> = report.bad_pieces().collect();
    let document = json!({
        "path": path,
        "info_hash": info.hash(),
        "good": report.is_good(),
        "pieces": report.checked.count(),
        "bad_pieces": bad,
        "files": files.collect::<Vec<_>>(),
    });
    let wrong = || {
        report
            .files
            .iter()
            .filter(|file| file.state != FileState::Good)
    };
    context.out.result(&document, || {
        let mut text = String::new();
        for file in wrong() {
            text.push_str(&format!(
                "  {:>6}  {}: {}, {} bad pieces\n",
                u64::from(file.position) + 1,
                named(file).0.join("/"),
                state_words(file.state).1,
                file.bad_pieces,
            ));
        }
        text.push_str(&format!(
            "{}: {} of {} pieces are good",
            path.display(),
            report.good.count(),
            report.checked.count(),
        ));
        text
    })?;
    if report.is_good() {
        return Ok(());
    }
    Err(Failure::failed(
        "bad_content",
        format!(
            "{} of {} files in {} are not as the torrent says ({} of {} pieces)",
            wrong().count(),
            report.files.len(),
            path.display(),
            bad.len(),
            report.checked.count(),
        ),
    )
    .hint("`seedrail get` keeps what is good and fetches the rest"))
}

pub(super) fn unknown_files(error: impl std::fmt::Display) -> Failure {
    Failure::usage(error).hint("`seedrail torrent show` prints the files and their numbers")
}

#[derive(Debug, Args)]
pub(crate) struct Tracker {
    /// Address and port to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:6969")]
    listen: SocketAddr,
    /// Time between announces of a peer.
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration)]
    interval: Duration,
}

impl Tracker {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let options = ServerOptions {
            interval: self.interval,
            ..ServerOptions::default()
        };
        let server = Server::start(self.listen, options)
            .await
            .map_err(|error| Failure::failed("listen", error))?;
        let document = json!({ "url": server.announce_url(), "listen": server.addr() });
        context.out.result(&document, || {
            format!("tracker at {}\nCtrl-C ends it.", server.announce_url())
        })?;
        context.interrupt.wait().await;
        Ok(())
    }
}
