//! Limits by the time of day.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::{civil::Time, tz::TimeZone};

use super::list::{DEADLINE, add, client, config, content, shared, state};
use crate::{
    client::{
        Client, Schedule, Window,
        command::{AddTorrent, Command, Source},
        snapshot::{Limits, Revision, TorrentState},
    },
    types::{ManualClock, UnixMs},
};

/// Monday, 2026-11-30, 07:59:59 UTC.
const BEFORE: UnixMs = UnixMs(1_795_996_800_000 + (8 * 3600 - 1) * 1000);
const RATE: u64 = 64 << 10;
/// What a limit lets through at once, and five seconds of it.
const BYTES: usize = 512 << 10;

/// From eight to nine: this much is received.
fn from_eight(rate: u64) -> Schedule {
    let at = |hour| Time::new(hour, 0, 0, 0).unwrap();
    let window = Window {
        days: [true; 7],
        from: at(8),
        to: at(9),
        up: None,
        down: Some(Some(rate)),
    };
    Schedule::new(vec![window], TimeZone::UTC)
}

/// Waits until the schedule's limits are these.
async fn scheduled(client: &Client, wanted: Option<Limits>) {
    let found = async {
        let mut seen = Revision(0);
        loop {
            let snapshot = client.changed(seen).await.expect("it runs");
            seen = snapshot.revision;
            if snapshot.transfer.value.scheduled_limits == wanted {
                return;
            }
        }
    };
    let found = tokio::time::timeout(DEADLINE, found).await;
    found.expect("the schedule's limits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_limits_count_at_their_time_of_the_day() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    std::fs::create_dir_all(&a).unwrap();
    let clock = Arc::new(ManualClock::new(BEFORE));
    let mut config = config(&b);
    config.clock = clock.clone();
    config.schedule = from_eight(RATE);
    let (seeder, leecher) = (client(&a).await, Client::open(config).await.unwrap());
    let listen = seeder.snapshot().transfer.value.listen;
    let download = async |name: &str| {
        let metainfo = content(&a, name, BYTES);
        let hash = add(&seeder, shared(&metainfo, &a.join(name))).await;
        state(&seeder, hash, TorrentState::Seeding).await;
        let mut wanted = AddTorrent::new(Source::File(metainfo.to_bytes().unwrap()));
        wanted.peers = vec![listen];
        let began = Instant::now();
        add(&leecher, wanted).await;
        state(&leecher, hash, TorrentState::Seeding).await;
        began.elapsed()
    };

    // Before eight, the usual limits: none.
    assert_eq!(leecher.snapshot().transfer.value.scheduled_limits, None);
    let usual = Limits {
        up: Some(9 << 20),
        down: None,
    };
    let limits = Command::SetLimits {
        hash: None,
        limits: usual,
    };
    leecher.command(limits).await.unwrap();

    clock.advance(Duration::from_secs(1));
    let slow = Limits {
        down: Some(RATE),
        ..usual
    };
    scheduled(&leecher, Some(slow)).await;
    assert_eq!(leecher.snapshot().transfer.value.limits, usual);
    let taken = download("by-day.bin").await;
    assert!(taken > Duration::from_secs(3), "{taken:?}");

    // The usual limits are changed meanwhile, and count later.
    let usual = Limits {
        up: None,
        down: None,
    };
    let limits = Command::SetLimits {
        hash: None,
        limits: usual,
    };
    leecher.command(limits).await.unwrap();
    let slow = Limits {
        down: Some(RATE),
        ..usual
    };
    scheduled(&leecher, Some(slow)).await;

    // Another schedule counts at once; and its time ends.
    let other = Command::SetSchedule(from_eight(1));
    leecher.command(other).await.unwrap();
    let slower = Limits {
        down: Some(1),
        ..usual
    };
    scheduled(&leecher, Some(slower)).await;
    clock.advance(Duration::from_secs(3600));
    scheduled(&leecher, None).await;
    // At a byte a second it would take days.
    download("at-night.bin").await;
    leecher.close().await;
    seeder.close().await;
}
