//! `kill -9` at any moment of a download: it always goes on, never with a wrong
//! byte, and hashes again only what was in flight. Eight times here; `scripts/soak
//! downloads` does it a hundred times.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use seedrail::swarm::{SeedOptions, Session};
use serde_json::Value;

use crate::support::torrents::{file, torrent};

const PIECE: u32 = 128 << 10;
/// A life that does not get further has nothing to be killed for.
const PATIENCE: Duration = Duration::from_secs(30);

fn number(name: &str, or: u32) -> u32 {
    let given = std::env::var(name).ok();
    given.map_or(or, |given| given.parse().unwrap())
}

/// A process that does not outlive the test.
struct Life {
    child: Child,
    lines: mpsc::Receiver<Value>,
}

impl Drop for Life {
    fn drop(&mut self) {
        // SIGKILL; it may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Life {
    fn begin(torrent: &Path, home: &Path, out: &Path, peer: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_seedrail"))
            .args(["get", "--json", "--listen", "127.0.0.1:0", "--home"])
            .arg(home)
            .arg("-o")
            .arg(out)
            .arg(torrent)
            .args(["--peer", peer, "--no-dht"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (told, lines) = mpsc::channel();
        std::thread::spawn(move || {
            // A line that was cut by the kill is the last.
            let lines = stdout.lines().map_while(Result::ok);
            for line in lines.map_while(|line| serde_json::from_str(&line).ok()) {
                if told.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// The next line of this kind, or that it is done.
    fn wait(&self, kind: &str) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).expect("a line in time");
            if line["event"] == kind || line["event"] == "done" {
                return line;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_killed_at_any_moment_goes_on() {
    let kills = number("SEEDRAIL_DOWNLOAD_KILLS", 8);
    // A life is half a second long on average, and then some; the seeder is so slow
    // that all of them are needed, and then it is let loose.
    let rate = 4u64 << 20;
    let size = usize::try_from(u64::from(kills + 4) * rate * 3 / 4).unwrap();
    let (dir, path) = file(size, 650);
    let metainfo = torrent(&path, PIECE, &[]);
    let torrent_file = dir.path().join("t.torrent");
    fs::write(&torrent_file, metainfo.to_bytes().unwrap()).unwrap();
    let seeder = Session::builder().up_limit(Some(rate));
    let seeder = seeder.start().await.unwrap();
    let options = SeedOptions {
        trusted: true,
        ..SeedOptions::default()
    };
    let seed = seeder.seed(&metainfo, &path, options).unwrap();
    let peer = seeder.listen_addr().to_string();
    let (home, out) = (dir.path().join("home"), dir.path().join("out"));
    let target = out.join("content.bin");
    let pieces = u64::from(metainfo.info.layout().pieces());
    let content = fs::read(&path).unwrap();
    let loose = seeder.clone();

    let lives = tokio::task::spawn_blocking(move || {
        let (mut killed, mut had, mut checked, mut most) = (0, 0, 0, 0);
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        while killed < kills {
            let life = Life::begin(&torrent_file, &home, &out, &peer);
            let ready = life.wait("ready");
            assert_eq!(ready["event"], "ready", "it was done after {killed} kills");
            let (have, hashed) = (
                ready["have"].as_u64().unwrap(),
                ready["checked"].as_u64().unwrap(),
            );
            assert!(have >= had, "it lost pieces: {had}, then {have}");
            // What was in flight is what the last life wrote.
            assert!(
                hashed <= have - had + 4,
                "{hashed} pieces of {pieces} hashed, {} of them new",
                have - had
            );
            had = have;
            checked += hashed;
            most = most.max(hashed);
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // The moment is what the test is about: any, from none to a second.
            std::thread::sleep(Duration::from_millis(state % 1000));
            drop(life);
            killed += 1;
            // Every byte on disk is right, or was not written yet.
            let there = fs::read(&target).unwrap();
            let size = usize::try_from(PIECE).unwrap();
            let zeros = vec![0; size];
            let pieces = there.chunks(size).zip(content.chunks(size));
            for (at, (piece, right)) in pieces.enumerate() {
                let mut bytes = piece.iter().zip(right);
                let wrong = piece != right
                    && !zeros.starts_with(piece)
                    && bytes.any(|(is, be)| is != be && *is != 0);
                assert!(!wrong, "piece {at} has a wrong byte after kill {killed}");
            }
        }
        loose.set_up_limit(None);
        let life = Life::begin(&torrent_file, &home, &out, &peer);
        assert_eq!(life.wait("done")["event"], "done");
        assert!(fs::read(&target).unwrap() == content, "the content differs");
        (killed, checked, most)
    });
    let (killed, checked, most) = lives.await.unwrap();
    let sent = seed.stats().uploaded;
    if let Ok(report) = std::env::var("SEEDRAIL_SOAK_REPORT") {
        let mut report = fs::File::options().append(true).open(report).unwrap();
        writeln!(
            report,
            "| {} MiB in {pieces} pieces | {killed} | {checked} | {most} | {} MiB |",
            size >> 20,
            sent >> 20
        )
        .unwrap();
    }
}
