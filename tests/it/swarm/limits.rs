//! Limits of single torrents, within those of the session.

use std::{fs, time::Instant};

use seedrail::swarm::{AddOptions, SeedOptions, Session};

use crate::support::torrents::{add, file, of, session, torrent, until, within};

const SIZE: usize = 1 << 20;
/// The limit, in bytes a second, …
const RATE: u64 = 512 << 10;
/// … and what the content takes at least at it, less what is granted at once.
const AT_LEAST: f64 = 1.7;

#[tokio::test(flavor = "multi_thread")]
async fn a_torrent_keeps_its_upload_limit_and_others_do_not() {
    let seeder = session().await;
    let (_slow_dir, slow_path) = file(SIZE, 710);
    let (_fast_dir, fast_path) = file(SIZE, 711);
    let slow = torrent(&slow_path, 32 << 10, &[]);
    let fast = torrent(&fast_path, 32 << 10, &[]);
    let options = SeedOptions {
        // Too slow for any test to see the end of it.
        up_limit: Some(8 << 10),
        ..SeedOptions::default()
    };
    seeder.seed(&slow, &slow_path, options).unwrap();
    seeder
        .seed(&fast, &fast_path, SeedOptions::default())
        .unwrap();
    let leecher = session().await;
    let (slow_leech, _slow_out) = add(&leecher, of(&slow), &[seeder.listen_addr()]);
    let (fast_leech, _fast_out) = add(&leecher, of(&fast), &[seeder.listen_addr()]);
    let got = within(fast_leech.wait_complete()).await.unwrap();
    assert_eq!(fs::read(got).unwrap(), fs::read(&fast_path).unwrap());
    until("the slow one moves too", || {
        slow_leech.stats().downloaded > 0
    })
    .await;
    assert!(slow_leech.stats().bytes_left > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lower_of_both_limits_holds_each_way() {
    let (_dir, path) = file(SIZE, 712);
    let metainfo = torrent(&path, 32 << 10, &[]);
    for (of_session, of_torrent) in [(8 * RATE, RATE), (RATE, 8 * RATE)] {
        let seeder = Session::builder()
            .up_limit(Some(of_session))
            .start()
            .await
            .unwrap();
        let options = SeedOptions {
            up_limit: Some(of_torrent),
            ..SeedOptions::default()
        };
        seeder.seed(&metainfo, &path, options).unwrap();
        let free = session().await;
        let began = Instant::now();
        let (leech, _out) = add(&free, of(&metainfo), &[seeder.listen_addr()]);
        within(leech.wait_complete()).await.unwrap();
        let up = began.elapsed().as_secs_f64();

        let limited = Session::builder()
            .down_limit(Some(of_session))
            .start()
            .await
            .unwrap();
        let out = tempfile::tempdir().unwrap();
        let options = AddOptions {
            peers: vec![free.listen_addr()],
            down_limit: Some(of_torrent),
            ..AddOptions::default()
        };
        let began = Instant::now();
        let leech = limited.add(of(&metainfo), out.path(), options).unwrap();
        within(leech.wait_complete()).await.unwrap();
        let down = began.elapsed().as_secs_f64();
        assert!(up >= AT_LEAST && down >= AT_LEAST, "{up} s, {down} s");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_set_and_lifted_while_data_flows() {
    let (_dir, path) = file(SIZE, 713);
    let metainfo = torrent(&path, 32 << 10, &[]);
    let seeder = session().await;
    let seed = seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    // At this rate it would take longer than any test waits.
    let crawl = Some(8 << 10);
    seed.set_up_limit(crawl);
    let leecher = session().await;
    let (leech, _out) = add(&leecher, of(&metainfo), &[seeder.listen_addr()]);
    leech.set_down_limit(crawl);
    until("a chunk came", || leech.stats().downloaded > 0).await;
    seed.set_up_limit(None);
    leech.set_down_limit(None);
    within(leech.wait_complete()).await.unwrap();
}
