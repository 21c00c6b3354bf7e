//! Whom a torrent keeps, and what it says of itself.

use std::net::{Ipv4Addr, SocketAddr};

use seedrail::swarm::{
    Event, SeedOptions, Session, TorrentHandle,
    extended::ExtendedHandshake,
    priority::priority,
    wire::{Handshake, Message, decode},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::support::torrents::{add, file, of, session, torrent, until, within};

/// Connects from an address of its own, as somebody else, until the other side's
/// handshake is here.
async fn connect(from: Ipv4Addr, to: SocketAddr, torrent: &TorrentHandle) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let mut stream = socket.connect(to).await.unwrap();
    let mut id = *b"-XX0000-neighbour...";
    id[19] = from.octets()[3];
    let ours = Handshake::new(torrent.info_hash(), id).encode();
    stream.write_all(&ours).await.unwrap();
    let mut theirs = [0; 68];
    stream.read_exact(&mut theirs).await.unwrap();
    stream
}

async fn say(stream: &mut TcpStream, messages: &[Message]) {
    let mut out = bytes::BytesMut::new();
    for message in messages {
        message.encode(&mut out);
    }
    stream.write_all(&out).await.unwrap();
}

/// Reads until the other side hangs up.
async fn hung_up(stream: &mut TcpStream) {
    let mut buf = [0; 4096];
    // A reset is as good.
    while stream.read(&mut buf).await.unwrap_or(0) > 0 {}
}

fn hello(upload_only: bool) -> Message {
    let handshake = ExtendedHandshake {
        upload_only,
        ..ExtendedHandshake::default()
    };
    Message::Extended {
        id: 0,
        payload: handshake.encode().into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_torrent_keeps_those_of_the_highest_priority() {
    let seeder = Session::builder().max_peers(1).start().await.unwrap();
    let here = seeder.listen_addr();
    let (_dir, path) = file(100_000, 740);
    let metainfo = torrent(&path, 16 << 10, &[]);
    let seed = seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    within(seed.wait_ready()).await.unwrap();
    let mut places: Vec<_> = (2..100).map(|n| Ipv4Addr::new(127, 0, 0, n)).collect();
    places.sort_by_key(|place| priority(here, (*place, 1).into()));
    let (low, middle, high) = (places[0], places[49], places[97]);
    let connected = || -> Vec<_> {
        let rows = seed.stats().peers;
        rows.iter().map(|row| row.addr.ip()).collect()
    };

    let mut first = connect(low, here, &seed).await;
    until("it is taken in", || connected() == [low]).await;
    let mut second = connect(high, here, &seed).await;
    within(hung_up(&mut first)).await;
    until("it has taken the place", || connected() == [high]).await;
    let mut third = connect(middle, here, &seed).await;
    within(hung_up(&mut third)).await;
    assert_eq!(connected(), [high]);
    // It is still served.
    say(&mut second, &[Message::HaveNone, Message::Interested]).await;
    let mut buf = bytes::BytesMut::new();
    within(async {
        loop {
            while let Some(message) = decode(&mut buf).unwrap() {
                if message == Message::Unchoke {
                    return;
                }
            }
            assert_ne!(second.read_buf(&mut buf).await.unwrap(), 0);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_completes_says_that_it_only_uploads() {
    let seeder = session().await;
    let (_dir, path) = file(300_000, 741);
    let metainfo = torrent(&path, 32 << 10, &[]);
    seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    let leecher = session().await;
    let (leech, _out) = add(&leecher, of(&metainfo), &[]);
    within(leech.wait_ready()).await.unwrap();
    let mut watching = connect(Ipv4Addr::new(127, 0, 0, 9), leecher.listen_addr(), &leech).await;
    say(&mut watching, &[Message::HaveNone, hello(false)]).await;
    let mut buf = bytes::BytesMut::new();
    let mut said = Vec::new();
    within(async {
        while said.last() != Some(&true) {
            while let Some(message) = decode(&mut buf).unwrap() {
                if let Message::Extended { id: 0, payload } = message {
                    said.push(ExtendedHandshake::decode(&payload).unwrap().upload_only);
                    // Only now is there something to download from.
                    leech.add_peer(seeder.listen_addr());
                }
            }
            if said.last() != Some(&true) {
                assert_ne!(watching.read_buf(&mut buf).await.unwrap(), 0);
            }
        }
    })
    .await;
    assert_eq!(said, [false, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_does_not_keep_a_partial_seed() {
    let seeder = session().await;
    let (_dir, path) = file(100_000, 742);
    let metainfo = torrent(&path, 16 << 10, &[]);
    let seed = seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    within(seed.wait_ready()).await.unwrap();
    let here = seeder.listen_addr();
    let mut events = seed.events();
    let mut wants = connect(Ipv4Addr::new(127, 0, 0, 2), here, &seed).await;
    say(&mut wants, &[Message::HaveNone, hello(false)]).await;
    let mut partial = connect(Ipv4Addr::new(127, 0, 0, 3), here, &seed).await;
    say(&mut partial, &[Message::Have(0), hello(true)]).await;
    within(hung_up(&mut partial)).await;
    let reason = within(async {
        loop {
            if let Event::PeerDisconnected { addr, reason } = events.recv().await.unwrap() {
                break (addr.ip().to_string(), reason);
            }
        }
    })
    .await;
    let words = "neither wants anything of the other";
    assert_eq!(reason, ("127.0.0.3".to_owned(), words.to_owned()));
    assert_eq!(seed.stats().peers.len(), 1);
}
