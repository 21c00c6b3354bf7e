//! Content goes from those who have it to those who want it.

use std::{fs, net::TcpListener, time::Duration};

use seedrail::swarm::{
    AddOptions, Event, Phase, SeedOptions, Session, Source, TorrentError,
    metainfo::CreateOptions,
    tracker::{Server, ServerOptions},
};

use crate::support::torrents::{add, file, noise, of, session, torrent, until, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_torrent_goes_from_seeder_to_leecher() {
    let (_dir, path) = file(3_000_000, 1);
    let metainfo = torrent(&path, 64 << 10, &[]);
    let seeder = session().await;
    let seed = seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    let leecher = session().await;
    let (leech, _out) = add(&leecher, of(&metainfo), &[]);
    let mut events = leech.events();
    leech.add_peer(seeder.listen_addr());
    let got = within(leech.wait_complete()).await.unwrap();
    assert_eq!(fs::read(&got).unwrap(), fs::read(&path).unwrap());
    assert_eq!(got.file_name(), path.file_name());
    let stats = leech.stats();
    assert_eq!(
        (stats.pieces_have, stats.pieces, stats.bytes_left),
        (46, 46, 0)
    );
    assert_eq!(stats.downloaded, 3_000_000);
    until("the upload is counted", || {
        seed.stats().uploaded == 3_000_000
    })
    .await;
    let mut seen = Vec::new();
    while let Ok(event) = events.try_recv() {
        seen.push(event);
    }
    let pieces = seen
        .iter()
        .filter(|e| matches!(e, Event::PieceVerified { .. }));
    assert_eq!(pieces.count(), 46);
    assert!(seen.iter().any(|e| matches!(
        e,
        Event::Completed {
            bytes: 3_000_000,
            ..
        }
    )));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_listener_hears_all_events_since_the_torrent_was_added() {
    let (_dir, path) = file(200_000, 12);
    let metainfo = torrent(&path, 64 << 10, &[]);
    let seeder = session().await;
    let options = SeedOptions::default();
    seeder.seed(&metainfo, &path, options).unwrap();
    let leecher = session().await;
    let (leech, _out) = add(&leecher, of(&metainfo), &[seeder.listen_addr()]);
    within(leech.wait_complete()).await.unwrap();
    let heard = |mut events: tokio::sync::broadcast::Receiver<Event>| {
        std::iter::from_fn(|| events.try_recv().ok())
            .filter(|event| matches!(event, Event::PieceVerified { .. }))
            .count()
    };
    assert_eq!(heard(leech.events()), 4);
    assert_eq!(
        heard(leech.events()),
        0,
        "the second one hears what follows"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_magnet_link_brings_a_folder_and_its_metadata() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("album");
    fs::create_dir_all(root.join("disc 1")).unwrap();
    fs::write(root.join("disc 1/track"), noise(300_000, 3)).unwrap();
    fs::write(root.join("cover"), noise(70_001, 4)).unwrap();
    fs::write(root.join("empty"), b"").unwrap();
    let seeder = session().await;
    let options = CreateOptions {
        piece_size: Some(16 << 10),
        ..CreateOptions::default()
    };
    let (metainfo, _seed) = seeder
        .seed_path(&root, options, vec![], |_, _| {})
        .await
        .unwrap();
    let mut magnet = metainfo.magnet();
    magnet.peers.push(seeder.listen_addr());
    let leecher = session().await;
    let magnet = Source::Magnet(magnet.to_string().parse().unwrap());
    let (leech, _out) = add(&leecher, magnet, &[]);
    let got = within(leech.wait_complete()).await.unwrap();
    for name in ["disc 1/track", "cover", "empty"] {
        assert_eq!(
            fs::read(got.join(name)).unwrap(),
            fs::read(root.join(name)).unwrap()
        );
    }
    assert_eq!(leech.info().as_deref(), Some(&metainfo.info));
}

#[tokio::test(flavor = "multi_thread")]
async fn leechers_exchange_pieces_through_a_tracker() {
    let tracker = Server::start("127.0.0.1:0".parse().unwrap(), ServerOptions::default())
        .await
        .unwrap();
    let (_dir, path) = file(4 << 20, 5);
    let metainfo = torrent(&path, 32 << 10, &[tracker.announce_url()]);
    // Slow enough that leechers have something to give each other.
    let seeder = Session::builder()
        .up_limit(Some(2 << 20))
        .start()
        .await
        .unwrap();
    let seed = seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    until("the seeder is known", || tracker.stats().peers == 1).await;
    let mut leechers = Vec::new();
    for _ in 0..3 {
        let leecher = session().await;
        let (leech, out) = add(&leecher, of(&metainfo), &[]);
        leechers.push((leecher, leech, out));
    }
    for (_, leech, _) in &leechers {
        let got = within(leech.wait_complete()).await.unwrap();
        assert_eq!(fs::read(got).unwrap(), fs::read(&path).unwrap());
    }
    let between: u64 = leechers
        .iter()
        .map(|(_, leech, _)| leech.stats().uploaded)
        .sum();
    let content = 4 << 20;
    assert!(between > content, "leechers gave each other only {between}");
    assert!(
        seed.stats().uploaded < 2 * content,
        "{}",
        seed.stats().uploaded
    );
    // Who finishes leaves the tracker.
    for (leecher, _, _) in leechers {
        leecher.finish(Duration::from_secs(1)).await;
    }
    until("the leechers left", || tracker.stats().peers == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_tracker_is_an_event_and_others_are_asked() {
    let tracker = Server::start("127.0.0.1:0".parse().unwrap(), ServerOptions::default())
        .await
        .unwrap();
    let dead = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let trackers = [format!("http://{dead}/announce"), tracker.announce_url()];
    let (_dir, path) = file(200_000, 6);
    let metainfo = torrent(&path, 16 << 10, &trackers);
    let seeder = session().await;
    seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    until("the seeder is known", || tracker.stats().peers == 1).await;
    let leecher = session().await;
    let (leech, _out) = add(&leecher, of(&metainfo), &[]);
    let mut events = leech.events();
    within(leech.wait_complete()).await.unwrap();
    let failed = async {
        loop {
            if let Event::TrackerError { url, message } = events.recv().await.unwrap() {
                break (url, message);
            }
        }
    };
    let (url, message) = within(failed).await;
    assert!(url.contains(&dead.to_string()));
    assert!(message.contains("cannot reach tracker"), "{message}");
    // The reason is at the bottom of what the HTTP library says.
    assert!(message.contains("Connection refused"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_torrents_share_a_listener_and_a_leecher_seeds_on() {
    let seeder = session().await;
    let middle = session().await;
    let last = session().await;
    let mut handles = Vec::new();
    for seed in 10..13 {
        let (dir, path) = file(200_000, seed);
        let metainfo = torrent(&path, 16 << 10, &[]);
        seeder
            .seed(&metainfo, &path, SeedOptions::default())
            .unwrap();
        let first = add(&middle, of(&metainfo), &[seeder.listen_addr()]);
        let second = add(&last, of(&metainfo), &[middle.listen_addr()]);
        handles.push((dir, path, first, second));
    }
    for (_, path, (first, _), (second, _)) in &handles {
        within(first.wait_complete()).await.unwrap();
        let got = within(second.wait_complete()).await.unwrap();
        assert_eq!(fs::read(got).unwrap(), fs::read(path).unwrap());
    }
    assert_eq!(seeder.torrents().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_does_not_match_is_not_seeded() {
    let (_dir, path) = file(100_000, 20);
    let metainfo = torrent(&path, 16 << 10, &[]);
    fs::write(&path, noise(100_000, 21)).unwrap();
    let seeder = session().await;
    let seed = seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    let failed = within(seed.wait_complete()).await;
    assert!(matches!(failed, Err(TorrentError::Failed(_))), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torrent_that_shall_not_seed_finishes_itself() {
    let (_dir, path) = file(100_000, 22);
    let metainfo = torrent(&path, 16 << 10, &[]);
    let seeder = session().await;
    seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    let leecher = session().await;
    let out = tempfile::tempdir().unwrap();
    let options = AddOptions {
        peers: vec![seeder.listen_addr()],
        seed: false,
        ..AddOptions::default()
    };
    let leech = leecher.add(of(&metainfo), out.path(), options).unwrap();
    within(leech.wait_complete()).await.unwrap();
    until("it stopped", || leech.phase() == Phase::Stopped).await;
    assert!(leecher.torrents().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_session_leaves_nothing_behind() {
    let (_dir, path) = file(2 << 20, 23);
    let metainfo = torrent(&path, 16 << 10, &[]);
    let seeder = Session::builder()
        .up_limit(Some(100_000))
        .start()
        .await
        .unwrap();
    let seed = seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    let leecher = session().await;
    let (leech, _out) = add(&leecher, of(&metainfo), &[seeder.listen_addr()]);
    until("they are connected", || leech.stats().downloaded > 0).await;
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let addr = leecher.listen_addr();
    drop(leecher);
    until("the port is free", || TcpListener::bind(addr).is_ok()).await;
    until("the seeder noticed", || seed.stats().peers.is_empty()).await;
    drop(seeder);
    until("no task is left", || tasks() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_are_kept() {
    let (_dir, path) = file(1 << 20, 24);
    let metainfo = torrent(&path, 32 << 10, &[]);
    for (up, down) in [(Some(512 << 10), None), (None, Some(512 << 10))] {
        let seeder = Session::builder().up_limit(up).start().await.unwrap();
        let seed = seeder
            .seed(&metainfo, &path, SeedOptions::default())
            .unwrap();
        seed.wait_ready().await.unwrap();
        let leecher = Session::builder().down_limit(down).start().await.unwrap();
        let began = std::time::Instant::now();
        let (leech, _out) = add(&leecher, of(&metainfo), &[seeder.listen_addr()]);
        within(leech.wait_complete()).await.unwrap();
        let seconds = began.elapsed().as_secs_f64();
        assert!(
            (1.8..2.8).contains(&seconds),
            "{up:?} {down:?}: {seconds} s"
        );
    }
}
