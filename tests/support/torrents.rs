//! Torrents of noise, and sessions that transfer them.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use seedrail::swarm::{
    AddOptions, SeedOptions, Session, Source, TorrentHandle,
    metainfo::{CreateOptions, Metainfo, create},
};
use tempfile::TempDir;

/// Nothing here takes longer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(40);

/// Bytes that look like noise, the same each time.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A file of noise in a folder of its own.
pub(crate) fn file(length: usize, seed: u64) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("content.bin");
    fs::write(&path, noise(length, seed)).unwrap();
    (dir, path)
}

pub(crate) fn torrent(path: &Path, piece_size: u32, trackers: &[String]) -> Metainfo {
    let options = CreateOptions {
        piece_size: Some(piece_size),
        trackers: trackers.to_vec(),
        ..CreateOptions::default()
    };
    create(path, &options, &|_, _| {}).unwrap()
}

/// A folder `album` of files of noise, with its torrent, in pieces of 32 KiB, and a seeder of it.
pub(crate) async fn album(files: &[(&str, usize)]) -> (TempDir, Metainfo, Session) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("album");
    fs::create_dir_all(root.join("sub")).unwrap();
    for (number, (name, length)) in (900..).zip(files) {
        fs::write(root.join(name), noise(*length, number)).unwrap();
    }
    let metainfo = torrent(&root, 32 << 10, &[]);
    let seeder = session().await;
    let options = SeedOptions::default();
    seeder.seed(&metainfo, &root, options).unwrap();
    (dir, metainfo, seeder)
}

pub(crate) async fn session() -> Session {
    Session::builder().start().await.unwrap()
}

/// Downloads `source` from these peers; the handle and the folder it goes to.
pub(crate) fn add(
    session: &Session,
    source: Source,
    peers: &[SocketAddr],
) -> (TorrentHandle, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let options = AddOptions {
        peers: peers.to_vec(),
        ..AddOptions::default()
    };
    let handle = session.add(source, dir.path(), options).unwrap();
    (handle, dir)
}

pub(crate) fn of(metainfo: &Metainfo) -> Source {
    Source::Torrent(Box::new(metainfo.clone()))
}

/// Waits for a future, but not for ever.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("done before the deadline")
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting)
        .await
        .unwrap_or_else(|_| panic!("not before the deadline: {what}"));
}
