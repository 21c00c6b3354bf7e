//! Peers that find each other without a tracker.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use seedrail::swarm::{
    Event, SeedOptions, Session, TorrentHandle,
    dht::DhtOptions,
    lsd::Search,
    metainfo::{CreateOptions, Metainfo, create},
};
use tokio::net::UdpSocket;

use crate::support::torrents::{add, file, of, torrent, until, within};

/// Where neighbours hear each other (BEP 14).
const NEIGHBOURS: Ipv4Addr = Ipv4Addr::new(239, 192, 152, 143);

async fn node(begins_with: Vec<String>) -> Session {
    let options = DhtOptions {
        nodes: begins_with,
        state: None,
    };
    let session = Session::builder().dht(Some(options));
    session.start().await.unwrap()
}

/// Where a session's node is.
pub(super) fn at(session: &Session) -> String {
    format!("127.0.0.1:{}", session.dht().unwrap().0)
}

/// What the first search found.
async fn searched(torrent: &TorrentHandle) -> usize {
    let mut events = torrent.events();
    within(async {
        loop {
            if let Event::DhtReply { peers } = events.recv().await.unwrap() {
                return peers;
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_of_nodes_brings_peers_together() {
    let first = node(vec![]).await;
    let mut all = vec![first];
    for _ in 0..20 {
        // Each knows the one that came before it, and nobody else.
        let last = at(all.last().unwrap());
        all.push(node(vec![last]).await);
    }
    until("everybody knows several", || {
        all.iter().all(|one| one.dht().unwrap().1 >= 8)
    })
    .await;
    let (_dir, path) = file(300_000, 620);
    let metainfo = torrent(&path, 32 << 10, &[]);
    let options = SeedOptions::default();
    let seed = all[3].seed(&metainfo, &path, options).unwrap();
    searched(&seed).await;
    let magnet = seedrail::swarm::Source::Magnet(metainfo.magnet());
    let (leech, _out) = add(&all[17], magnet, &[]);
    let got = within(leech.wait_complete()).await.unwrap();
    assert_eq!(fs::read(got).unwrap(), fs::read(&path).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torrent_file_and_a_peer_tell_of_nodes() {
    let (seeder, other) = (node(vec![]).await, node(vec![]).await);
    let (_dir, path) = file(100_000, 621);
    let (host, port) = ("127.0.0.1".to_owned(), other.dht().unwrap().0);
    let metainfo = Metainfo {
        nodes: vec![(host, port)],
        ..torrent(&path, 32 << 10, &[])
    };
    let metainfo = Metainfo::from_bytes(&metainfo.to_bytes().unwrap()).unwrap();
    let options = SeedOptions::default();
    seeder.seed(&metainfo, &path, options).unwrap();
    until("the file's node is known", || seeder.dht().unwrap().1 == 1).await;
    // It learns of the seeder's node by their connection.
    let leecher = node(vec![]).await;
    let (_leech, _out) = add(&leecher, of(&metainfo), &[seeder.listen_addr()]);
    until("the peer's node is known", || leecher.dht().unwrap().1 >= 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn private_torrents_are_told_of_nowhere() {
    let (_dir, path) = file(100_000, 622);
    let options = CreateOptions {
        private: true,
        ..CreateOptions::default()
    };
    let hidden = create(&path, &options, &|_, _| {}).unwrap();
    let open = torrent(&path, 32 << 10, &[]);
    let seeder = node(vec![]).await;
    let leecher = node(vec![at(&seeder)]).await;
    until("they know each other", || {
        leecher.dht().unwrap().1 == 1 && seeder.dht().unwrap().1 == 1
    })
    .await;
    for metainfo in [&hidden, &open] {
        let options = SeedOptions::default();
        seeder.seed(metainfo, &path, options).unwrap();
    }
    let (leech, _out) = add(&leecher, of(&open), &[]);
    within(leech.wait_complete()).await.unwrap();
    // What the open one needed is more than enough time for the other.
    let (leech, _out) = add(&leecher, of(&hidden), &[]);
    let mut events = leech.events();
    let found = tokio::time::timeout(Duration::from_secs(1), async {
        while !matches!(
            events.recv().await.unwrap(),
            Event::DhtReply { .. } | Event::PeerConnected { .. }
        ) {}
    });
    assert!(found.await.is_err(), "a private torrent was looked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn neighbours_find_each_other() {
    let start = async || Session::builder().lsd(true).start().await.unwrap();
    let (seeder, leecher) = (start().await, start().await);
    let (_dir, path) = file(100_000, 623);
    let metainfo = torrent(&path, 32 << 10, &[]);
    let options = SeedOptions::default();
    seeder.seed(&metainfo, &path, options).unwrap();
    let (leech, _out) = add(&leecher, of(&metainfo), &[]);
    within(leech.wait_complete()).await.unwrap();
}

/// A socket that hears what neighbours tell each other, and tells them.
fn neighbour() -> UdpSocket {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    let all: SocketAddr = "0.0.0.0:6771".parse().unwrap();
    socket.bind(&all.into()).unwrap();
    socket
        .join_multicast_v4(&NEIGHBOURS, &Ipv4Addr::LOCALHOST)
        .unwrap();
    socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    socket.set_nonblocking(true).unwrap();
    UdpSocket::from_std(socket.into()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn neighbours_are_neither_told_of_a_private_torrent_nor_believed() {
    let heard = neighbour();
    let session = Session::builder().lsd(true).start().await.unwrap();
    let (_dir, path) = file(100_000, 624);
    let options = CreateOptions {
        private: true,
        ..CreateOptions::default()
    };
    let hidden = create(&path, &options, &|_, _| {}).unwrap();
    let open = torrent(&path, 32 << 10, &[]);
    let (leech, _out) = add(&session, of(&hidden), &[]);
    within(leech.wait_ready()).await.unwrap();
    let (leech, _other) = add(&session, of(&open), &[]);
    within(leech.wait_ready()).await.unwrap();
    let mut packet = [0; 2048];
    within(async {
        loop {
            let (length, _) = heard.recv_from(&mut packet).await.unwrap();
            let told = Search::decode(&packet[..length]);
            let told = told.map_or(Vec::new(), |search| search.hashes);
            assert!(!told.contains(&hidden.info.hash()), "it is told of");
            if told.contains(&open.info.hash()) {
                break;
            }
        }
    })
    .await;
    let [secret, public] = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    for (torrent, listener) in [(&hidden, &secret), (&open, &public)] {
        let search = Search {
            port: listener.local_addr().unwrap().port(),
            hashes: vec![torrent.info.hash()],
            cookie: None,
        };
        let to = (NEIGHBOURS, 6771);
        heard.send_to(&search.encode(), to).await.unwrap();
        listener.set_nonblocking(true).unwrap();
    }
    until("the other torrent's is believed", || {
        public.accept().is_ok()
    })
    .await;
    // What the open one needed is more than enough time for the other.
    let believed = tokio::time::timeout(Duration::from_secs(1), async {
        until("the private torrent's is believed", || {
            secret.accept().is_ok()
        })
        .await;
    });
    assert!(believed.await.is_err());
}
