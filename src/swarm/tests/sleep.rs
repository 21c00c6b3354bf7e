//! A torrent that nothing happens to sleeps, and whatever happens wakes it.

use std::time::Duration;

use crate::swarm::{
    AddOptions, SeedGoals, SeedOptions, Session, Source, TorrentHandle,
    metainfo::{CreateOptions, create},
};

/// How long something may take, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

async fn until(what: &str, is: impl Fn() -> bool) {
    let looks = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, looks).await;
    in_time.unwrap_or_else(|_| panic!("waited for: {what}"));
}

async fn asleep(torrent: &TorrentHandle) {
    until("it sleeps", || torrent.ticks().1).await;
}

#[tokio::test]
async fn an_idle_seed_sleeps_until_a_peer_comes_and_again_when_it_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("content");
    std::fs::write(&path, vec![7; 600_000]).unwrap();
    let options = CreateOptions {
        piece_size: Some(16 << 10),
        ..CreateOptions::default()
    };
    let metainfo = create(&path, &options, &|_, _| {}).unwrap();
    // Whom it knows from the local network it would dial.
    let alone = || Session::builder().lsd(false);
    let session = alone().start().await.unwrap();
    let options = SeedOptions::default();
    let seed = session.seed(&metainfo, &path, options).unwrap();
    seed.wait_complete().await.unwrap();
    asleep(&seed).await;
    let _at_the_start = session.take_news();

    let other = alone().start().await.unwrap();
    let options = AddOptions {
        peers: vec![session.listen_addr()],
        // So that it is never complete: those that are leave each other.
        down_limit: Some(1024),
        ..AddOptions::default()
    };
    let source = Source::Torrent(Box::new(metainfo));
    let got = dir.path().join("got");
    let leecher = other.add(source, &got, options).unwrap();
    let is_news = || session.take_news() == [seed.info_hash()];
    until("a peer is there", || !seed.stats().peers.is_empty()).await;
    until("that is told", is_news).await;
    let (before, _) = seed.ticks();
    until("it ticks", || seed.ticks().0 >= before + 3).await;
    assert!(!seed.ticks().1);
    leecher.finish(Duration::ZERO).await;
    until("the peer is gone", || seed.stats().peers.is_empty()).await;
    until("that is told, too", is_news).await;
    // Where that one listened is dialled a few times, after longer and longer waits.
    asleep(&seed).await;

    // A goal that is reached by waiting is a deadline.
    seed.set_goals(SeedGoals {
        time: Some(seed.stats().seeding_for + Duration::from_millis(1500)),
        ..SeedGoals::default()
    });
    let ended = tokio::time::timeout(DEADLINE, seed.wait_over()).await;
    ended.expect("it was shared enough");
    assert!(seed.reached().is_some());
    // Of a torrent that is not there any more nothing is told.
    seed.finish(Duration::ZERO).await;
    assert!(session.torrents().is_empty() && session.take_news().is_empty());
}
