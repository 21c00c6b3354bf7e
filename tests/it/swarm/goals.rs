//! Sharing that ends by itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use seedrail::{
    swarm::{
        AddOptions, Event, Goal, Phase, SeedGoals, SeedOptions, Session,
        hooks::{Extension, PeerContext, PeerExtension, PeerLink},
    },
    types::InfoHash,
};
use tokio::sync::broadcast::error::TryRecvError;

use crate::support::torrents::{add, file, of, session, torrent, until, within};

fn until_reached(goals: SeedGoals) -> SeedOptions {
    SeedOptions {
        goals,
        ..SeedOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torrent_is_shared_to_its_ratio_and_others_go_on() {
    // Slow enough that the goal is noticed before all of it is sent.
    let seeder = Session::builder()
        .up_limit(Some(1 << 20))
        .start()
        .await
        .unwrap();
    let (_dir, path) = file(8 << 20, 700);
    let metainfo = torrent(&path, 64 << 10, &[]);
    let goals = SeedGoals {
        ratio_permille: Some(250),
        ..SeedGoals::default()
    };
    let seed = seeder.seed(&metainfo, &path, until_reached(goals)).unwrap();
    let (_other_dir, other_path) = file(100_000, 701);
    let other = torrent(&other_path, 16 << 10, &[]);
    let other_seed = seeder
        .seed(&other, &other_path, SeedOptions::default())
        .unwrap();
    let mut events = seed.events();
    let leecher = session().await;
    let (_leech, _out) = add(&leecher, of(&metainfo), &[seeder.listen_addr()]);
    assert_eq!(within(seed.wait_over()).await, Phase::Stopped);
    assert_eq!(seed.reached(), Some(Goal::Ratio));
    let uploaded = seed.stats().uploaded;
    assert!((2 << 20..8 << 20).contains(&uploaded), "{uploaded}");
    let mut told = Vec::new();
    loop {
        match events.try_recv() {
            Ok(event) if matches!(event, Event::GoalReached { .. }) => told.push(event),
            // Of its check nothing is wanted here.
            Ok(_) | Err(TryRecvError::Lagged(_)) => {}
            Err(_) => break,
        }
    }
    assert_eq!(told, [Event::GoalReached { goal: Goal::Ratio }]);
    // What was not meant is shared on.
    let (leech, _out) = add(&leecher, of(&other), &[seeder.listen_addr()]);
    within(leech.wait_complete()).await.unwrap();
    assert_eq!(
        (other_seed.phase(), other_seed.reached()),
        (Phase::Seeding, None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_is_shared_on_for_its_time() {
    let seeder = session().await;
    let (_dir, path) = file(300_000, 702);
    let metainfo = torrent(&path, 32 << 10, &[]);
    seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    let leecher = session().await;
    let out = tempfile::tempdir().unwrap();
    let time = Duration::from_millis(1500);
    let options = AddOptions {
        peers: vec![seeder.listen_addr()],
        goals: SeedGoals {
            time: Some(time),
            ratio_permille: Some(1000),
            ..SeedGoals::default()
        },
        ..AddOptions::default()
    };
    let leech = leecher.add(of(&metainfo), out.path(), options).unwrap();
    within(leech.wait_complete()).await.unwrap();
    assert_eq!(within(leech.wait_over()).await, Phase::Stopped);
    assert_eq!(leech.reached(), Some(Goal::Time));
    assert!(leech.stats().seeding_for >= time);
    assert!(leecher.torrents().is_empty());
}

/// Counts earnings of one torrent; no peer speaks it.
struct Till {
    torrent: InfoHash,
    earned: AtomicU64,
}

impl Extension for Till {
    fn name(&self) -> &str {
        "x_till"
    }

    fn enabled(&self, _info_hash: InfoHash, _private: bool) -> bool {
        true
    }

    fn earned(&self, info_hash: InfoHash) -> u64 {
        if info_hash == self.torrent {
            self.earned.load(Ordering::Relaxed)
        } else {
            0
        }
    }

    fn attach(&self, _peer: PeerContext, _link: Arc<dyn PeerLink>) -> Arc<dyn PeerExtension> {
        unreachable!("nobody else announces it")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torrent_is_shared_until_it_has_earned_enough_itself() {
    let (_dir, path) = file(100_000, 703);
    let metainfo = torrent(&path, 32 << 10, &[]);
    let (_poor_dir, poor_path) = file(100_000, 704);
    let poor = torrent(&poor_path, 32 << 10, &[]);
    let till = Arc::new(Till {
        torrent: metainfo.info.hash(),
        earned: AtomicU64::new(0),
    });
    let seeder = Session::builder()
        .extension(till.clone())
        .start()
        .await
        .unwrap();
    let goals = SeedGoals {
        earned: Some(1000),
        ..SeedGoals::default()
    };
    let seed = seeder.seed(&metainfo, &path, until_reached(goals)).unwrap();
    let poor_seed = seeder
        .seed(&poor, &poor_path, until_reached(goals))
        .unwrap();
    till.earned.store(999, Ordering::Relaxed);
    until("it is shared for more than a look at the goals", || {
        seed.stats().seeding_for > Duration::from_millis(1200)
    })
    .await;
    assert_eq!(seed.reached(), None);
    till.earned.store(1000, Ordering::Relaxed);
    assert_eq!(within(seed.wait_over()).await, Phase::Stopped);
    assert_eq!(seed.reached(), Some(Goal::Earned));
    assert_eq!(poor_seed.phase(), Phase::Seeding);
}
