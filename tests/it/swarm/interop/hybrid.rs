//! Hybrid torrents (BEP 52): their first version is used, and the second one's data is
//! kept and given to others with the metadata.

use std::{fs, path::Path, process::Command};

use seedrail::swarm::{
    AddOptions, SeedOptions, Session, Source,
    metainfo::Metainfo,
    tracker::{Server, ServerOptions},
};

use super::{Job, Mode, Program, peer, soon};
use crate::support::torrents::{noise, within};

const FILES: [(&str, usize); 3] = [("a", 100_000), ("b", 40_000), ("d/c", 70_001)];

fn same(left: &Path, right: &Path) -> bool {
    FILES.iter().all(|(name, length)| {
        let there = fs::read(left.join(name)).unwrap_or_default();
        there.len() == *length && there == fs::read(right.join(name)).unwrap_or_default()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn hybrids_go_both_ways_by_torrent_and_by_magnet() {
    let tracker = Server::start("127.0.0.1:0".parse().unwrap(), ServerOptions::default());
    let url = tracker.await.unwrap();
    let (dir, url) = (tempfile::tempdir().unwrap(), (url.announce_url(), url));
    let root = dir.path().join("album");
    fs::create_dir_all(root.join("d")).unwrap();
    for ((name, length), seed) in FILES.iter().zip(930..) {
        fs::write(root.join(name), noise(*length, seed)).unwrap();
    }
    let file = dir.path().join("h.torrent");
    let folder = tokio::task::spawn_blocking(peer::folder).await.unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/hybrid.py");
    let mut command = Command::new(folder.join("swarm/bin/python"));
    command.arg(script).arg(&root).arg(&file).arg(&url.0);
    let made = tokio::task::spawn_blocking(move || command.output().unwrap());
    let made = made.await.unwrap();
    assert!(made.status.success(), "{made:?}");
    let bytes = fs::read(&file).unwrap();
    let metainfo = Metainfo::from_bytes(&bytes).unwrap();
    let raw = metainfo.info.raw().unwrap();
    assert!(
        raw.windows(12).any(|part| part == b"meta version"),
        "no hybrid"
    );

    for by_magnet in [false, true] {
        // To it.
        let ours = Session::builder().start().await.unwrap();
        ours.seed(&metainfo, &root, SeedOptions::default()).unwrap();
        let theirs = tempfile::tempdir().unwrap();
        let source = match by_magnet {
            true => metainfo.magnet().to_string(),
            false => file.display().to_string(),
        };
        let job = Job {
            source,
            dir: theirs.path().to_owned(),
            peers: vec![ours.listen_addr()],
        };
        let running = Program::Libtorrent.start(&[job], Mode::Plain).await;
        let done = soon("it has it", || same(&theirs.path().join("album"), &root)).await;
        assert!(done, "by magnet: {by_magnet}: {}", running.log());
        drop(running);
        ours.finish(std::time::Duration::ZERO).await;
        // And from it.
        let job = Job {
            source: file.display().to_string(),
            dir: dir.path().to_owned(),
            peers: Vec::new(),
        };
        let running = Program::Libtorrent.start(&[job], Mode::Plain).await;
        let ours = Session::builder().start().await.unwrap();
        let out = tempfile::tempdir().unwrap();
        let source = match by_magnet {
            true => Source::Magnet(metainfo.magnet()),
            false => Source::Torrent(Box::new(metainfo.clone())),
        };
        let options = AddOptions {
            peers: vec![running.addr],
            ..AddOptions::default()
        };
        let leech = ours.add(source, out.path(), options).unwrap();
        let got = within(leech.wait_complete()).await.unwrap();
        assert!(same(&got, &root), "by magnet: {by_magnet}");
        assert_eq!(leech.info().unwrap().raw().unwrap(), raw);
    }
}
