//! One swarm of ours and of others, in which every one finishes.

use std::{fs, path::PathBuf};

use seedrail::swarm::{
    SeedOptions, Session,
    tracker::{Server, ServerOptions},
};

use super::{Job, Mode, Program, soon};
use crate::support::torrents::{add, file, of, torrent, within};

#[tokio::test(flavor = "multi_thread")]
async fn ten_of_four_kinds_finish() {
    use Program::{Aria2, Libtorrent, Transmission};
    let tracker = Server::start("127.0.0.1:0".parse().unwrap(), ServerOptions::default());
    let tracker = tracker.await.unwrap();
    let (dir, path) = file(3_000_000, 77);
    let content = fs::read(&path).unwrap();
    let metainfo = torrent(&path, 64 << 10, &[tracker.announce_url()]);
    let torrent_file = dir.path().join("t.torrent");
    fs::write(&torrent_file, metainfo.to_bytes().unwrap()).unwrap();

    // One that has it, three of ours that have not; one of these gets no more than
    // a trickle from the seeder, so that they need each other.
    let seeder = Session::builder().up_limit(Some(2_000_000));
    let seeder = seeder.start().await.unwrap();
    let others = [
        Transmission,
        Transmission,
        Aria2,
        Aria2,
        Libtorrent,
        Libtorrent,
    ];
    let mut running = Vec::new();
    let mut targets: Vec<PathBuf> = Vec::new();
    let mut folders = Vec::new();
    for program in others {
        let folder = tempfile::tempdir().unwrap();
        let job = Job {
            source: torrent_file.display().to_string(),
            dir: folder.path().to_owned(),
            peers: Vec::new(),
        };
        running.push(program.start(&[job], Mode::Plain).await);
        targets.push(folder.path().join("content.bin"));
        folders.push(folder);
    }
    // Transmission dials nobody at loopback.
    let peers: Vec<_> = running.iter().map(|program| program.addr).collect();
    let mut ours = Vec::new();
    for _ in 0..3 {
        let session = Session::builder().start().await.unwrap();
        let (leech, folder) = add(&session, of(&metainfo), &peers);
        ours.push((session, leech, folder));
    }
    let options = SeedOptions {
        peers,
        trusted: true,
        ..SeedOptions::default()
    };
    seeder.seed(&metainfo, &path, options).unwrap();

    for (_, leech, _) in &ours {
        let got = within(leech.wait_complete()).await.unwrap();
        assert_eq!(fs::read(got).unwrap(), content);
    }
    for (program, target) in running.iter().zip(&targets) {
        let done = soon("one of ten", || {
            fs::read(target).is_ok_and(|found| found == content)
        });
        assert!(done.await, "{} said:\n{}", program.version, program.log());
    }
    assert_eq!(1 + ours.len() + running.len(), 10);
}
