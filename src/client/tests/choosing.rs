//! Other files are wanted of a torrent that runs.

use std::path::Path;

use super::list::{add, client, shared, state, until};
use crate::{
    client::{
        Client,
        command::{AddTorrent, Command, Files, Source},
        snapshot::{Limits, Obstacle, Torrent, TorrentState},
    },
    swarm::metainfo::{self, CreateOptions, Metainfo},
    types::InfoHash,
};

const BYTES: usize = 512 << 10;

/// A folder of two files that share a piece.
fn disc(folder: &Path) -> Metainfo {
    let disc = folder.join("disc");
    std::fs::create_dir_all(&disc).unwrap();
    for (name, byte) in [("1.bin", 1u8), ("2.bin", 2)] {
        std::fs::write(disc.join(name), vec![byte; BYTES + 1]).unwrap();
    }
    let options = CreateOptions {
        piece_size: Some(16 << 10),
        ..CreateOptions::default()
    };
    metainfo::create(&disc, &options, &|_, _| {}).unwrap()
}

/// A seeder of it, and a download of its first file.
async fn pair(folder: &Path, limit: Option<u64>) -> (Client, Client, InfoHash) {
    let metainfo = disc(folder);
    let seeder = client(&folder.join("a")).await;
    let hash = add(&seeder, shared(&metainfo, &folder.join("disc"))).await;
    let leecher = client(&folder.join("b")).await;
    let wanted = AddTorrent {
        files: Some(Files::Positions(vec![0])),
        peers: vec![seeder.snapshot().transfer.value.listen],
        limits: Limits {
            up: None,
            down: limit,
        },
        ..AddTorrent::new(Source::File(metainfo.to_bytes().unwrap()))
    };
    add(&leecher, wanted).await;
    (seeder, leecher, hash)
}

async fn choose(client: &Client, hash: InfoHash, positions: &[u32]) {
    let files = Files::Positions(positions.to_vec());
    let command = Command::SetFiles { hash, files };
    client.command(command).await.unwrap();
}

fn wanted(one: &Torrent) -> Vec<bool> {
    one.files.value.iter().map(|file| file.wanted).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_torrent_takes_a_choice_and_keeps_its_connections() {
    let folder = tempfile::tempdir().unwrap();
    let (_seeder, leecher, hash) = pair(folder.path(), Some(1)).await;
    let served = |one: &Torrent| one.peers.value.iter().any(|peer| !peer.peer_choking);
    let before = until(&leecher, hash, "it is served", served).await;
    let connection = before.peers.value[0].connection;
    // Both have as many bytes.
    choose(&leecher, hash, &[1]).await;
    let other = |one: &Torrent| wanted(one) == [false, true];
    let now = until(&leecher, hash, "the other file is wanted", other).await;
    assert_eq!(now.row.value.state, TorrentState::Downloading);
    assert_eq!(now.peers.value[0].connection, connection);
    // Of many choices at once the last one counts.
    for files in [&[0, 1][..], &[0], &[0, 1], &[1]] {
        choose(&leecher, hash, files).await;
    }
    let limits = Limits::default();
    let command = Command::SetLimits {
        hash: Some(hash),
        limits,
    };
    leecher.command(command).await.unwrap();
    let done = state(&leecher, hash, TorrentState::Seeding).await;
    let done = match wanted(&done)[..] {
        [false, true] => done,
        _ => until(&leecher, hash, "the last choice", other).await,
    };
    assert_eq!(done.row.value.wanted, u64::try_from(BYTES + 1).unwrap());
    let got = std::fs::read(folder.path().join("b/downloads/disc/2.bin")).unwrap();
    assert!(got == vec![2; BYTES + 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_running_torrent_cannot_take_has_it_start_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (_seeder, leecher, hash) = pair(folder.path(), None).await;
    state(&leecher, hash, TorrentState::Seeding).await;
    // Somebody's file lies where the other one belongs.
    let own = folder.path().join("b/downloads/disc/2.bin");
    std::fs::write(&own, b"somebody's own").unwrap();
    choose(&leecher, hash, &[0, 1]).await;
    let failed = state(&leecher, hash, TorrentState::Failed).await;
    assert_eq!(failed.row.value.obstacle, Some(Obstacle::FileInTheWay));
    assert_eq!(std::fs::read(&own).unwrap(), b"somebody's own");
    // It is left out again, and all is well.
    choose(&leecher, hash, &[0]).await;
    let well = state(&leecher, hash, TorrentState::Seeding).await;
    assert_eq!(wanted(&well), [true, false]);
}
