//! A disk that has no room for what is downloaded: what is there is kept, the rest
//! comes when there is room, and no byte is wrong.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use seedrail::swarm::{AddOptions, Event, SeedOptions, Session};
use serde_json::Value;

use crate::support::torrents::{file, of, torrent, within};
use crate::support::{home::Home, small_disk::Disk};

const CONTENT: usize = 6 << 20;
const PIECE: u32 = 32 << 10;

/// A disk of 8 MiB with 3 of them free.
fn small() -> Disk {
    let disk = Disk::new(8, "root");
    fs::write(disk.path().join("ballast"), vec![1; 5 << 20]).unwrap();
    disk
}

/// What is at `path` has no byte that is neither right nor not yet written.
fn no_wrong_byte(path: &Path, right: &[u8]) {
    let there = fs::read(path).unwrap();
    assert_eq!(there.len(), right.len());
    let wrong = there
        .iter()
        .zip(right)
        .position(|(is, be)| is != be && *is != 0);
    assert_eq!(wrong, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_waits_for_room_and_says_so_once() {
    let (dir, path) = file(CONTENT, 720);
    let right = fs::read(&path).unwrap();
    let metainfo = torrent(&path, PIECE, &[]);
    let torrent_file = dir.path().join("t.torrent");
    fs::write(&torrent_file, metainfo.to_bytes().unwrap()).unwrap();
    let seeder = Session::builder().start().await.unwrap();
    let options = SeedOptions {
        trusted: true,
        ..SeedOptions::default()
    };
    let seed = seeder.seed(&metainfo, &path, options).unwrap();
    let peer = seeder.listen_addr().to_string();
    let disk = small();
    let out = disk.path().join("out");
    let target = out.join("content.bin");
    let expected = right.clone();

    let run = tokio::task::spawn_blocking(move || {
        let home = Home::new();
        let mut command = home.command();
        command
            .args(["get", "--json", "--no-dht", "--listen", "127.0.0.1:0"])
            .args(["--peer", &peer, "-o"])
            .args([&out, &torrent_file]);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        let full = lines.find(|line| line["event"] == "disk_error").unwrap();
        assert_eq!(full["full"], true);
        no_wrong_byte(&out.join("content.bin"), &expected);
        disk.empty();
        let last = lines.last().unwrap();
        assert_eq!(last["event"], "done", "{last}");
        let mut told = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut told)
            .unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(told.matches("the disk is full").count(), 1, "{told}");
        assert!(told.contains("the rest comes when there is room"), "{told}");
        assert!(
            fs::read(&target).unwrap() == expected,
            "the content differs"
        );
        let beside: Vec<_> = fs::read_dir(&out).unwrap().collect();
        assert_eq!(beside.len(), 1, "{beside:?}");
    });
    within(run).await.unwrap();
    // What did not fit was sent twice, and nothing a third time.
    let sent = usize::try_from(seed.stats().uploaded).unwrap();
    assert!(
        sent <= CONTENT + (3 << 20) + (1 << 19),
        "{sent} bytes were sent"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_verified_before_the_disk_was_full_outlives_the_process() {
    let (_dir, path) = file(CONTENT, 721);
    let right = fs::read(&path).unwrap();
    let metainfo = torrent(&path, PIECE, &[]);
    let seeder = Session::builder().start().await.unwrap();
    let options = SeedOptions {
        trusted: true,
        ..SeedOptions::default()
    };
    seeder.seed(&metainfo, &path, options).unwrap();
    let disk = small();
    // The record is on the full disk, too.
    let (out, state) = (disk.path().join("out"), disk.path().join("state"));
    let target = out.join("content.bin");
    let begin = async || {
        let session = Session::builder().state_dir(&state).start().await.unwrap();
        let options = AddOptions {
            peers: vec![seeder.listen_addr()],
            ..AddOptions::default()
        };
        let handle = session.add(of(&metainfo), &out, options).unwrap();
        (session, handle)
    };
    let (session, handle) = begin().await;
    let mut events = handle.events();
    let mut had = 0;
    let full = async {
        loop {
            match events.recv().await.unwrap() {
                Event::PieceVerified { have, .. } => had = have,
                Event::DiskError { full, message } => break (full, message),
                _ => {}
            }
        }
    };
    let (full, message) = within(full).await;
    assert!(full && message.contains("content.bin"), "{message}");
    assert!(had > 0 && handle.stats().pieces_have < handle.stats().pieces);
    drop((session, handle));
    no_wrong_byte(&target, &right);

    // Begun again while it is still full, and ended in order.
    let (session, handle) = begin().await;
    within(handle.wait_ready()).await.unwrap();
    let kept = handle.stats().pieces_have;
    assert!(kept >= had, "{had} pieces were there, now {kept}");
    session.finish(std::time::Duration::ZERO).await;
    no_wrong_byte(&target, &right);

    disk.empty();
    let (_session, handle) = begin().await;
    within(handle.wait_complete()).await.unwrap();
    assert!(fs::read(&target).unwrap() == right, "the content differs");
}
