//! A client that is bound to something whose address comes and goes.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
};

use super::list::{add, client, config, content, shared, until};
use crate::{
    client::{
        Binding, Client,
        command::{AddTorrent, Source},
        snapshot::{Limits, ProblemCode, Torrent, TorrentState},
    },
    swarm::interface::BindTo,
    types::InfoHash,
};

fn has_problem(client: &Client) -> bool {
    let problems = client.snapshot().problems.clone();
    let mut problems = problems.value.problems.iter();
    problems.any(|problem| problem.code == ProblemCode::NoAddress)
}

/// Waits until a torrent waits for an address, without a peer.
async fn away(client: &Client, hash: InfoHash) {
    let waits =
        |one: &Torrent| one.row.value.state == TorrentState::Queued && one.peers.value.is_empty();
    until(client, hash, "it waits", waits).await;
    let listen = client.snapshot().transfer.value.listen;
    assert_eq!(listen.ip(), IpAddr::from([127, 0, 0, 1]), "{listen}");
    assert!(has_problem(client));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_goes_stops_everything_until_there_is_one_again() {
    let home = tempfile::tempdir().unwrap();
    let metainfo = content(home.path(), "film.bin", 200_000);
    let seeder = client(&home.path().join("a")).await;
    add(&seeder, shared(&metainfo, &home.path().join("film.bin"))).await;

    let has = Arc::new(Mutex::new(None));
    let own = has.clone();
    let to = BindTo::Interface("tun0".to_owned());
    let mut config = config(&home.path().join("b"));
    config.binding = Some(Binding::found_by(to, move || *own.lock().unwrap()));
    let leecher = Client::open(config).await.unwrap();
    assert!(has_problem(&leecher));
    let wanted = AddTorrent {
        // So that it is never complete: those that are leave each other.
        limits: Limits {
            up: None,
            down: Some(1024),
        },
        peers: vec![seeder.snapshot().transfer.value.listen],
        ..AddTorrent::new(Source::File(metainfo.to_bytes().unwrap()))
    };
    let hash = add(&leecher, wanted).await;
    away(&leecher, hash).await;
    let mut connections = Vec::new();
    for last in [2, 3] {
        let ip = IpAddr::from([127, 0, 0, last]);
        *has.lock().unwrap() = Some(ip);
        let comes = |one: &Torrent| one.peers.value.iter().any(|peer| peer.addr.ip() == ip);
        let torrent = until(&seeder, hash, "it comes from there", comes).await;
        assert!(torrent.peers.value.iter().all(|peer| peer.addr.ip() == ip));
        let runs = |one: &Torrent| {
            one.row.value.state == TorrentState::Downloading && !one.peers.value.is_empty()
        };
        let torrent = until(&leecher, hash, "it runs", runs).await;
        connections.extend(torrent.peers.value.iter().map(|peer| peer.connection));
        assert_eq!(leecher.snapshot().transfer.value.listen.ip(), ip);
        assert!(!has_problem(&leecher));
        *has.lock().unwrap() = None;
        away(&leecher, hash).await;
    }
    // Numbers of connections are not used again.
    let mut unlike = connections.clone();
    unlike.sort_unstable();
    unlike.dedup();
    assert_eq!(unlike.len(), connections.len());
    // From one address to another one, without a time between them.
    for last in [4, 5] {
        let ip = IpAddr::from([127, 0, 0, last]);
        *has.lock().unwrap() = Some(ip);
        let comes = |one: &Torrent| one.peers.value.iter().any(|peer| peer.addr.ip() == ip);
        until(&seeder, hash, "it comes from the next one", comes).await;
    }
    leecher.close().await;
    seeder.close().await;
}
