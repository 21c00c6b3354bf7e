//! {transmission, aria2, libtorrent, qbittorrent, deluge, rtorrent, webtorrent} ×
//! {we seed, we leech} × {.torrent, magnet}: a line for each cell.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::OnceLock,
    time::{Duration, Instant},
};

use seedrail::swarm::{
    AddOptions, Encryption, SeedOptions, Session, Source,
    metainfo::Metainfo,
    tracker::{Server, ServerOptions},
};
use tempfile::TempDir;

use super::{Job, Mode, PATIENCE, Program, Running, print, soon};
use crate::support::torrents::{add, noise, torrent, within};

/// A torrent that goes one way between us and a program.
struct Cell {
    we_seed: bool,
    by_magnet: bool,
    metainfo: Metainfo,
    content: Vec<u8>,
    /// Ours, and the program's.
    ours: TempDir,
    theirs: TempDir,
}

const NAME: &str = "content.bin";

impl Cell {
    fn new(we_seed: bool, by_magnet: bool, seed: u64, tracker: &str) -> Self {
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let from = if we_seed { &ours } else { &theirs };
        let content = noise(700_001, seed);
        let path = from.path().join(NAME);
        fs::write(&path, &content).unwrap();
        let metainfo = torrent(&path, 32 << 10, &[tracker.to_owned()]);
        fs::write(ours.path().join("t.torrent"), metainfo.to_bytes().unwrap()).unwrap();
        Self {
            we_seed,
            by_magnet,
            metainfo,
            content,
            ours,
            theirs,
        }
    }

    fn job(&self) -> Job {
        // Who has the content cannot do with a link alone.
        let link = self.we_seed && self.by_magnet;
        let file = self.ours.path().join("t.torrent");
        Job {
            source: if link {
                self.metainfo.magnet().to_string()
            } else {
                file.display().to_string()
            },
            dir: self.theirs.path().to_owned(),
            peers: Vec::new(),
        }
    }

    fn target(&self) -> PathBuf {
        let to = if self.we_seed {
            &self.theirs
        } else {
            &self.ours
        };
        to.path().join(NAME)
    }

    /// Begins our side.
    fn begin(&self, session: &Session, running: &Running) {
        let peers = vec![running.addr];
        if self.we_seed {
            let options = SeedOptions {
                peers,
                trusted: true,
                ..SeedOptions::default()
            };
            let path = self.ours.path().join(NAME);
            session.seed(&self.metainfo, &path, options).unwrap();
            return;
        }
        let source = if self.by_magnet {
            Source::Magnet(self.metainfo.magnet())
        } else {
            Source::Torrent(Box::new(self.metainfo.clone()))
        };
        let options = AddOptions {
            peers,
            ..AddOptions::default()
        };
        session.add(source, self.ours.path(), options).unwrap();
    }

    fn is_done(&self) -> bool {
        fs::read(self.target()).is_ok_and(|found| found == self.content)
    }

    fn line(&self, took: Option<&Duration>, version: &str) -> String {
        format!(
            "{}  we {}  {}  {:4.1} s  {version}",
            if took.is_some() { "ok    " } else { "FAILED" },
            if self.we_seed { "seed " } else { "leech" },
            if self.by_magnet {
                "magnet  "
            } else {
                ".torrent"
            },
            took.unwrap_or(&PATIENCE).as_secs_f64(),
        )
    }
}

/// All four ways with one program at once; their lines.
async fn cells(program: Program, seed: u64, mode: Mode, tracker: &str) -> (Vec<String>, bool) {
    let ways = [(true, false), (true, true), (false, false), (false, true)];
    let cells: Vec<Cell> = (seed..)
        .zip(ways)
        .map(|(seed, (we_seed, by_magnet))| Cell::new(we_seed, by_magnet, seed, tracker))
        .collect();
    let jobs: Vec<Job> = cells.iter().map(Cell::job).collect();
    let encryption = match mode {
        Mode::Encrypted => Encryption::Require,
        Mode::Plain | Mode::Utp => Encryption::Accept,
    };
    let running = program.start(&jobs, mode).await;
    let mut sessions = Vec::new();
    for (cell, host) in cells.iter().zip(2..) {
        // Transmission knows peers by their address alone, and shakes hands with
        // one at a time: each session has its own.
        let session = Session::builder()
            .listen(SocketAddr::from(([127, 0, 0, host], 0)))
            .encryption(encryption)
            .transports(mode != Mode::Utp, true);
        let session = session.start().await.unwrap();
        cell.begin(&session, &running);
        sessions.push(session);
    }
    let begun = Instant::now();
    let took: Vec<OnceLock<Duration>> = cells.iter().map(|_| OnceLock::new()).collect();
    let all = soon("every cell", || {
        for (cell, took) in cells.iter().zip(&took) {
            if took.get().is_none() && cell.is_done() {
                took.get_or_init(|| begun.elapsed());
            }
        }
        took.iter().all(|took| took.get().is_some())
    })
    .await;
    let lines = cells.iter().zip(&took);
    let lines = lines.map(|(cell, took)| cell.line(took.get(), &running.version));
    let lines = lines.collect();
    if !all {
        print(&format!("{} said:\n{}", running.version, running.log()));
        for handle in sessions.iter().flat_map(Session::torrents) {
            print(&format!("ours: {:?}", handle.stats()));
        }
    }
    (lines, all)
}

/// Runs these programs at the same time; the lines, and whether all is right.
async fn matrix(title: &str, programs: &[Program], mode: Mode) -> bool {
    let tracker = Server::start("127.0.0.1:0".parse().unwrap(), ServerOptions::default());
    let tracker = tracker.await.unwrap();
    let url = tracker.announce_url();
    let mut all = tokio::task::JoinSet::new();
    for (seed, program) in (1..).step_by(10).zip(programs) {
        let (program, url) = (*program, url.clone());
        all.spawn(async move { cells(program, seed, mode, &url).await });
    }
    let mut lines = Vec::new();
    let mut right = true;
    for (some, done) in all.join_all().await {
        lines.extend(some);
        right &= done;
    }
    lines.sort_by_key(|line| line.split("  ").last().map(str::to_owned));
    print(&format!("\n{title}\n{}\n", lines.join("\n")));
    assert_eq!(lines.len(), 4 * programs.len());
    right
}

#[tokio::test(flavor = "multi_thread")]
async fn every_program_seeds_and_leeches() {
    use Program::{Aria2, Deluge, Libtorrent, Qbittorrent, Rtorrent, Transmission, Webtorrent};
    let all = [
        Transmission,
        Aria2,
        Libtorrent,
        Qbittorrent,
        Deluge,
        Rtorrent,
        Webtorrent,
    ];
    // webtorrent's encryption breaks in its own code, and it has uTP by a native module.
    let encrypted = [
        Transmission,
        Aria2,
        Libtorrent,
        Qbittorrent,
        Deluge,
        Rtorrent,
    ];
    // They mostly wait: transmission looks whom to serve every ten seconds.
    let (plain, encrypted, utp) = tokio::join!(
        matrix("interop", &all, Mode::Plain),
        matrix("interop, encrypted", &encrypted, Mode::Encrypted),
        matrix(
            "interop, uTP",
            &[Transmission, Libtorrent, Qbittorrent],
            Mode::Utp
        ),
    );
    assert!(plain && encrypted && utp, "a cell failed; see above");
}

/// The same torrent again, after the program has just had it from us.
#[tokio::test(flavor = "multi_thread")]
async fn transmission_gives_back_what_it_got() {
    let cell = Cell::new(true, false, 91, "http://127.0.0.1:9/announce");
    let running = Program::Transmission
        .start(&[cell.job()], Mode::Plain)
        .await;
    let seeder = Session::builder().start().await.unwrap();
    cell.begin(&seeder, &running);
    assert!(
        soon("it has it", || cell.is_done()).await,
        "{}",
        running.log()
    );
    seeder.finish(Duration::ZERO).await;
    // It knows peers by their address alone, and that this one has everything.
    let leecher = Session::builder().listen("127.0.0.2:0".parse().unwrap());
    let leecher = leecher.start().await.unwrap();
    let source = Source::Torrent(Box::new(cell.metainfo.clone()));
    let (leech, _out) = add(&leecher, source, &[running.addr]);
    let got = within(leech.wait_complete()).await.unwrap();
    assert_eq!(fs::read(got).unwrap(), cell.content);
}
