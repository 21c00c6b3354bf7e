//! Downloads that were interrupted.

use std::{fs, path::Path, time::Duration};

use seedrail::swarm::{AddOptions, Event, SeedOptions, Session};

use crate::support::torrents::{file, of, torrent, until, within};

async fn leecher(state: &Path) -> Session {
    Session::builder().state_dir(state).start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_download_goes_on_without_a_wrong_byte() {
    let (_dir, path) = file(2 << 20, 40);
    let metainfo = torrent(&path, 32 << 10, &[]);
    let seeder = Session::builder()
        .up_limit(Some(1 << 20))
        .start()
        .await
        .unwrap();
    let seed = seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    let state = tempfile::tempdir().unwrap();
    let out = tempfile::tempdir().unwrap();
    let options = || AddOptions {
        peers: vec![seeder.listen_addr()],
        ..AddOptions::default()
    };
    let session = leecher(state.path()).await;
    let leech = session.add(of(&metainfo), out.path(), options()).unwrap();
    until("some pieces are there", || leech.stats().pieces_have >= 10).await;
    let had = leech.stats().pieces_have;
    drop((session, leech));

    // What a torn write would leave: one of the pieces is wrong on disk.
    let target = out.path().join(path.file_name().unwrap());
    seeder.set_up_limit(None);
    let session = leecher(state.path()).await;
    let leech = session.add(of(&metainfo), out.path(), options()).unwrap();
    let mut events = leech.events();
    let got = within(leech.wait_complete()).await.unwrap();
    assert_eq!(got, target);
    assert_eq!(fs::read(&got).unwrap(), fs::read(&path).unwrap());
    let missing = u64::from(64 - had) * (32 << 10);
    assert!(leech.stats().downloaded <= missing + (256 << 10));
    let mut checked = 0;
    while let Ok(event) = events.try_recv() {
        if let Event::Checking { total, .. } = event {
            checked = total;
        }
    }
    assert!(checked < 64, "everything was hashed again");
    assert!(seed.stats().uploaded < (2 << 20) + (1 << 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_is_there_is_used_and_wrong_data_replaced() {
    let (_dir, path) = file(1 << 20, 41);
    let metainfo = torrent(&path, 32 << 10, &[]);
    let out = tempfile::tempdir().unwrap();
    let mut there = fs::read(&path).unwrap();
    there[100_000] ^= 1;
    there.truncate(700_000);
    fs::write(out.path().join(path.file_name().unwrap()), there).unwrap();
    let seeder = Session::builder().start().await.unwrap();
    seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    let state = tempfile::tempdir().unwrap();
    let session = leecher(state.path()).await;
    let options = AddOptions {
        peers: vec![seeder.listen_addr()],
        ..AddOptions::default()
    };
    let leech = session.add(of(&metainfo), out.path(), options).unwrap();
    let got = within(leech.wait_complete()).await.unwrap();
    assert_eq!(fs::read(got).unwrap(), fs::read(&path).unwrap());
    assert_eq!(leech.stats().downloaded, 12 * (32 << 10));
    session.finish(std::time::Duration::from_secs(1)).await;

    // Once finished in order, nothing is hashed at the next start.
    let session = leecher(state.path()).await;
    let leech = session
        .add(of(&metainfo), out.path(), AddOptions::default())
        .unwrap();
    let mut events = leech.events();
    within(leech.wait_complete()).await.unwrap();
    while let Ok(event) = events.try_recv() {
        assert!(!matches!(event, Event::Checking { .. }), "{event:?}");
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_link_in_the_way_is_not_written_through() {
    let (_dir, path) = file(100_000, 42);
    let metainfo = torrent(&path, 32 << 10, &[]);
    let out = tempfile::tempdir().unwrap();
    let victim = out.path().join("victim");
    fs::write(&victim, b"precious").unwrap();
    let link = out.path().join(path.file_name().unwrap());
    std::os::unix::fs::symlink(&victim, &link).unwrap();
    let session = Session::builder().start().await.unwrap();
    for (overwrite, words) in [(false, "it was not touched"), (true, "is a link")] {
        let options = AddOptions {
            overwrite,
            ..AddOptions::default()
        };
        let leech = session.add(of(&metainfo), out.path(), options).unwrap();
        let failed = within(leech.wait_complete()).await.unwrap_err();
        assert!(failed.to_string().contains(words), "{failed}");
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        within(session.clone().finish(Duration::ZERO)).await;
    }
}
