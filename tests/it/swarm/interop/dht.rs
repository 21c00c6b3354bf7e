//! A distributed hash table of our nodes and libtorrent's: each finds what the
//! other announced there, and nothing else tells them.

use std::fs;

use seedrail::swarm::{SeedOptions, Session, dht::DhtOptions};

use super::{Job, Mode, print, program::libtorrent, soon};
use crate::support::torrents::{add, file, of, torrent, within};

#[tokio::test(flavor = "multi_thread")]
async fn ours_and_libtorrents_nodes_are_one_network() {
    let mut ours = Vec::new();
    let mut nodes = Vec::new();
    for _ in 0..6 {
        let options = DhtOptions {
            nodes: nodes.clone(),
            state: None,
        };
        let session = Session::builder().dht(Some(options)).start().await.unwrap();
        nodes = vec![format!("127.0.0.1:{}", session.dht().unwrap().0)];
        ours.push(session);
    }
    let port = ours[5].dht().unwrap().0;
    // What they have, what we have.
    let (their_dir, theirs) = file(200_001, 630);
    let (_our_dir, mine) = file(200_001, 631);
    let (their_torrent, our_torrent) = (
        torrent(&theirs, 32 << 10, &[]),
        torrent(&mine, 32 << 10, &[]),
    );
    let torrent_file = their_dir.path().join("t.torrent");
    fs::write(&torrent_file, their_torrent.to_bytes().unwrap()).unwrap();
    let job = |source: String, dir: &tempfile::TempDir| Job {
        source,
        dir: dir.path().to_owned(),
        peers: Vec::new(),
    };
    let out = tempfile::tempdir().unwrap();
    let seeds = [job(torrent_file.display().to_string(), &their_dir)];
    let gets = [job(our_torrent.magnet().to_string(), &out)];
    let seeding = libtorrent(&seeds, Mode::Plain, Some(&[port])).await;
    let getting = libtorrent(&gets, Mode::Plain, Some(&[port])).await;

    let options = SeedOptions::default();
    ours[1].seed(&our_torrent, &mine, options).unwrap();
    let (leech, _out) = add(&ours[3], of(&their_torrent), &[]);
    let got = within(leech.wait_complete()).await.unwrap();
    assert_eq!(fs::read(got).unwrap(), fs::read(&theirs).unwrap());
    let content = fs::read(&mine).unwrap();
    let target = out.path().join("content.bin");
    let done = soon("libtorrent finds our torrent", || {
        fs::read(&target).is_ok_and(|found| found == content)
    });
    assert!(done.await, "{}\n{}", seeding.log(), getting.log());
    print(&format!(
        "\ndistributed hash table\nok      we find what they announced  {0}\n\
         ok      they find what we announced  {0}\n",
        seeding.version
    ));
}
