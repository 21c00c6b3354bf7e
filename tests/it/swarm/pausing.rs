//! A torrent that is paused, by its owner or by its disk, goes on when it is resumed.

use std::{fs, time::Duration};

use seedrail::swarm::{AddOptions, Event, Pause, Phase, Resumes, SeedOptions, Session};

use crate::support::small_disk::Disk;
use crate::support::torrents::{add, file, of, session, torrent, until, within};

const PIECE: u32 = 32 << 10;

async fn seeder(path: &std::path::Path) -> (Session, seedrail::swarm::metainfo::Metainfo) {
    let metainfo = torrent(path, PIECE, &[]);
    let seeder = session().await;
    let options = SeedOptions {
        trusted: true,
        ..SeedOptions::default()
    };
    seeder.seed(&metainfo, path, options).unwrap();
    (seeder, metainfo)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_download_has_no_peers_and_goes_on_when_it_is_resumed() {
    let (_dir, path) = file(2 << 20, 760);
    let (seeder, metainfo) = seeder(&path).await;
    let leecher = session().await;
    let out = tempfile::tempdir().unwrap();
    let options = AddOptions {
        peers: vec![seeder.listen_addr()],
        // It takes longer than all of this test.
        down_limit: Some(20_000),
        ..AddOptions::default()
    };
    let leech = leecher.add(of(&metainfo), out.path(), options).unwrap();
    let mut events = leech.events();
    let some = async { while !matches!(events.recv().await, Ok(Event::PieceVerified { .. })) {} };
    within(some).await;
    leech.pause();
    assert_eq!(
        leech.phase(),
        Phase::Paused(Pause::Asked(Resumes::Downloading))
    );
    until("nobody is connected", || leech.stats().peers.is_empty()).await;
    // Nobody who asks is let in.
    leech.set_down_limit(None);
    let seed = &seeder.torrents()[0];
    seed.add_peer(leecher.listen_addr());
    let had = leech.stats().pieces_have;
    leech.pause();
    assert!(leech.stats().peers.is_empty());

    leech.resume();
    let got = within(leech.wait_complete()).await.unwrap();
    assert!(had < leech.stats().pieces_have);
    assert_eq!(fs::read(got).unwrap(), fs::read(&path).unwrap());

    // A complete one too.
    leech.pause();
    assert_eq!(leech.phase(), Phase::Paused(Pause::Asked(Resumes::Seeding)));
    within(leech.wait_complete()).await.unwrap();
    leech.resume();
    assert_eq!(leech.phase(), Phase::Seeding);
    drop(seeder);
    let other = session().await;
    let (last, _out) = add(&other, of(&metainfo), &[leecher.listen_addr()]);
    within(last.wait_complete()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_could_not_be_made_are_tried_again_when_it_is_resumed() {
    let (_dir, path) = file(300_000, 761);
    let (seeder, metainfo) = seeder(&path).await;
    let leecher = session().await;
    let out = tempfile::tempdir().unwrap();
    // A folder where the file belongs.
    let target = out.path().join("content.bin");
    fs::create_dir(&target).unwrap();
    let options = AddOptions {
        peers: vec![seeder.listen_addr()],
        ..AddOptions::default()
    };
    let leech = leecher.add(of(&metainfo), out.path(), options).unwrap();
    let refused = within(leech.wait_complete()).await.unwrap_err();
    let phase = within(leech.wait_over()).await;
    let words = "content.bin is not a file";
    assert!(refused.to_string().contains(words), "{refused}");
    assert!(matches!(phase, Phase::Paused(Pause::CheckFailed(why)) if why.contains(words)));
    fs::remove_dir(&target).unwrap();
    leech.resume();
    until("it is checked again", || {
        !matches!(leech.phase(), Phase::Paused(_) | Phase::Checking { .. })
    })
    .await;
    let got = within(leech.wait_complete()).await.unwrap();
    assert_eq!(fs::read(got).unwrap(), fs::read(&path).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_is_broken_off_forgets_nothing() {
    let (dir, path) = file(64 << 20, 762);
    let metainfo = torrent(&path, 16 << 10, &[]);
    let state = tempfile::tempdir().unwrap();
    let begin = async || {
        let session = Session::builder()
            .state_dir(state.path())
            .start()
            .await
            .unwrap();
        let handle = session.add(of(&metainfo), dir.path(), AddOptions::default());
        (session, handle.unwrap())
    };
    let checking = async |handle: &seedrail::swarm::TorrentHandle| {
        let mut events = handle.events();
        let begun = async { while !matches!(events.recv().await, Ok(Event::Checking { .. })) {} };
        within(begun).await;
    };
    let (session, handle) = begin().await;
    checking(&handle).await;
    within(session.finish(Duration::ZERO)).await;
    let (session, handle) = begin().await;
    within(handle.wait_ready()).await.unwrap();
    assert_eq!(handle.stats().pieces_have, handle.stats().pieces);
    within(session.finish(Duration::ZERO)).await;

    // Nor one that is paused and resumed.
    fs::remove_dir_all(state.path().join("resume")).unwrap();
    let (_session, handle) = begin().await;
    checking(&handle).await;
    handle.pause();
    handle.resume();
    within(handle.wait_complete()).await.unwrap();
    assert_eq!(handle.stats().pieces_have, handle.stats().pieces);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_pauses_a_download_and_resuming_tries_it_at_once() {
    let (_dir, path) = file(6 << 20, 763);
    let (seeder, metainfo) = seeder(&path).await;
    let disk = Disk::new(8, "root");
    fs::write(disk.path().join("ballast"), vec![1; 5 << 20]).unwrap();
    let leecher = session().await;
    let options = AddOptions {
        peers: vec![seeder.listen_addr()],
        ..AddOptions::default()
    };
    let leech = leecher.add(of(&metainfo), disk.path(), options).unwrap();
    until("the disk is full", || {
        matches!(leech.phase(), Phase::Paused(Pause::DiskRefused(_)))
    })
    .await;
    // It is still shared.
    assert_eq!(leech.stats().peers.len(), 1);
    disk.empty();
    leech.resume();
    let got = within(leech.wait_complete()).await.unwrap();
    assert_eq!(fs::read(got).unwrap(), fs::read(&path).unwrap());
}
