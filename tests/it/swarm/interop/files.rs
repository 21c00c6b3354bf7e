//! Padding and a choice of files, both ways with libtorrent, which knows both.

use std::{fs, path::Path};

use seedrail::swarm::{
    AddOptions, SeedOptions, Session,
    metainfo::{CreateOptions, Metainfo, create},
};

use super::{Job, Mode, Program, soon};
use crate::support::torrents::{noise, of, within};

const FILES: [(&str, usize); 3] = [("a", 100_000), ("sub/b", 150_001), ("z", 9)];

/// A padded folder of files below `dir`.
fn album(dir: &Path, seed: u64) -> Metainfo {
    let root = dir.join("album");
    fs::create_dir_all(root.join("sub")).unwrap();
    for (name, length) in FILES {
        fs::write(root.join(name), noise(length, seed)).unwrap();
    }
    let options = CreateOptions {
        piece_size: Some(32 << 10),
        pad_files: true,
        ..CreateOptions::default()
    };
    let metainfo = create(&root, &options, &|_, _| {}).unwrap();
    fs::write(dir.join("t.torrent"), metainfo.to_bytes().unwrap()).unwrap();
    metainfo
}

/// How many of the files are in `there` as in `from`; none has another content.
fn same(there: &Path, from: &Path) -> usize {
    let album = |dir: &Path, name: &str| fs::read(dir.join("album").join(name));
    let right = |name: &str| album(there, name).is_ok_and(|is| is == album(from, name).unwrap());
    FILES.iter().filter(|(name, _)| right(name)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn padded_files_go_both_ways_with_libtorrent() {
    let [ours, theirs, got, taken] = [(); 4].map(|()| tempfile::tempdir().unwrap());
    let we_seed = album(ours.path(), 780);
    let they_seed = album(theirs.path(), 781);
    let seeder = Session::builder().start().await.unwrap();
    let options = SeedOptions::default();
    let root = ours.path().join("album");
    seeder.seed(&we_seed, &root, options).unwrap();
    let job = |from: &Path, to: &Path| Job {
        source: from.join("t.torrent").display().to_string(),
        dir: to.to_owned(),
        peers: vec![seeder.listen_addr()],
    };
    let jobs = [
        job(ours.path(), taken.path()),
        job(theirs.path(), theirs.path()),
    ];
    let running = Program::Libtorrent.start(&jobs, Mode::Plain).await;

    // All of it to libtorrent, one file of three from it.
    let all = soon("libtorrent has it", || {
        same(taken.path(), ours.path()) == FILES.len()
    });
    assert!(all.await, "{} said:\n{}", running.version, running.log());
    let leecher = Session::builder().start().await.unwrap();
    let options = AddOptions {
        peers: vec![running.addr],
        files: Some("sub".parse().unwrap()),
        ..AddOptions::default()
    };
    let leech = leecher.add(of(&they_seed), got.path(), options).unwrap();
    within(leech.wait_complete()).await.unwrap();
    assert_eq!(same(got.path(), theirs.path()), 1);
    let there: Vec<_> = fs::read_dir(got.path().join("album")).unwrap().collect();
    assert_eq!(there.len(), 1, "{there:?}");
    // The padding behind it was not fetched, nor any other file.
    let chunks = 150_001_u64.div_ceil(16 << 10);
    assert_eq!(leech.stats().downloaded, chunks * (16 << 10));
}
