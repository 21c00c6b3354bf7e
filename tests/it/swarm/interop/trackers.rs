//! opentracker and npm's bittorrent-tracker, by HTTP and UDP: two of ours find
//! each other by nothing else. A line each.

use std::{
    fmt::Display,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use seedrail::{
    swarm::{
        SeedOptions,
        metainfo::Metainfo,
        tracker::{Announce, AnnounceEvent, Client},
    },
    types::InfoHash,
};
use tempfile::TempDir;

use super::{free_port, peer, print, program::script, soon};
use crate::support::child::Ended;
use crate::support::torrents::{add, file, of, session, torrent, within};

/// Debian's opentracker has no option that says its version.
fn opentracker_version() -> String {
    let asked = Command::new("dpkg-query")
        .args(["-W", "-f", "opentracker ${Version}", "opentracker"])
        .output();
    String::from_utf8(asked.unwrap().stdout).unwrap()
}

/// What is shared by a tracker that is still to be started.
struct Shared {
    _dir: TempDir,
    path: PathBuf,
    metainfo: Metainfo,
}

impl Shared {
    fn new(seed: u64) -> Self {
        let (dir, path) = file(200_001, seed);
        let metainfo = torrent(&path, 32 << 10, &[]);
        Self {
            _dir: dir,
            path,
            metainfo,
        }
    }

    fn hash(&self) -> InfoHash {
        self.metainfo.info.hash()
    }

    /// A seeder and a leecher that know nothing but the tracker; the line.
    async fn meet(&self, version: &str, url: String) -> String {
        let metainfo = Metainfo {
            trackers: vec![vec![url.clone()]],
            ..self.metainfo.clone()
        };
        let seeder = session().await;
        let options = SeedOptions::default();
        seeder.seed(&metainfo, &self.path, options).unwrap();
        // A leecher that comes first would wait for its next turn.
        let client = Client::new().unwrap();
        let visitor = Announce {
            info_hash: self.hash(),
            peer_id: *b"-XX0000-visitor.....",
            port: 9,
            uploaded: 0,
            downloaded: 0,
            left: 1,
            event: AnnounceEvent::Started,
            wanted: 10,
            key: 0,
        };
        within(async {
            let told = async || client.announce(&url, &visitor).await.unwrap();
            while !told().await.peers.contains(&seeder.listen_addr()) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        let event = AnnounceEvent::Stopped;
        let leaving = Announce { event, ..visitor };
        within(client.announce(&url, &leaving)).await.unwrap();
        // By HTTP, npm's spoils every hash that is not ASCII in its answer.
        let scrapes = !version.starts_with("bittorrent-tracker") || url.starts_with("udp");
        let counted = async |wanted| {
            let counts = async || {
                let scraped = client.scrape(&url, &[self.hash()]).await.unwrap();
                scraped[0].map(|one| (one.seeders, one.leechers))
            };
            while scrapes && counts().await != Some(wanted) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        within(counted((1, 0))).await;
        let leecher = session().await;
        let (leech, _out) = add(&leecher, of(&metainfo), &[]);
        let got = within(leech.wait_complete()).await.unwrap();
        assert_eq!(fs::read(got).unwrap(), fs::read(&self.path).unwrap());
        leecher.finish(Duration::ZERO).await;
        within(counted((1, 0))).await;
        format!("ok      {:5}  {version}", url.split(':').next().unwrap())
    }
}

/// opentracker, as Debian builds it, serves the torrents of a list.
async fn opentracker(shared: &[&Shared]) -> (Ended, u16, TempDir) {
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
    let list: Vec<String> = shared.iter().map(|one| one.hash().to_string()).collect();
    fs::write(home.path().join("list"), list.join("\n") + "\n").unwrap();
    let port = free_port();
    let mut command = Command::new("opentracker");
    command
        .args(["-i", "127.0.0.1", "-p", &port.to_string()])
        .args(["-P", &port.to_string(), "-w", "list", "-d"])
        .arg(home.path())
        .current_dir(home.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let child = Ended(command.spawn().expect("opentracker starts"));
    let there = soon("opentracker listens", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    assert!(there.await);
    (child, port, home)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tracker_brings_peers_together() {
    tokio::task::spawn_blocking(peer::folder).await.unwrap();
    let [a, b, c, d] = [601, 602, 603, 604].map(Shared::new);
    let (_opentracker, port, _list) = opentracker(&[&a, &b]).await;
    let (child, said, _home) = script("tracker.mjs", &[]).await;
    let _npm = Ended(child);
    let open = opentracker_version();
    let npm = said["version"].as_str().unwrap();
    let url = |scheme, port: &dyn Display| format!("{scheme}://127.0.0.1:{port}/announce");
    let (a, b, c, d) = tokio::join!(
        a.meet(&open, url("http", &port)),
        b.meet(&open, url("udp", &port)),
        c.meet(npm, url("http", &said["http"])),
        d.meet(npm, url("udp", &said["udp"])),
    );
    print(&format!("\ntrackers\n{a}\n{b}\n{c}\n{d}\n"));
}
