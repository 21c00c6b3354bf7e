//! Peers that break the rules.

use std::{fs, net::SocketAddr, time::Duration};

use seedrail::swarm::{
    Event, SeedOptions,
    wire::{Block, Handshake, Message, piece_header},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::support::torrents::{add, file, of, session, torrent, until, within};

const LIAR: [u8; 20] = *b"-XX0000-liarliarliar";

async fn dial(addr: SocketAddr, handshake: Handshake) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(&handshake.encode()).await.unwrap();
    let mut theirs = [0; 68];
    stream.read_exact(&mut theirs).await.unwrap();
    stream
}

/// Claims to have everything and answers every request with zeros.
async fn lie(mut stream: TcpStream, handshake: Handshake) {
    let mut theirs = [0; 68];
    if stream.read_exact(&mut theirs).await.is_err() {
        return;
    }
    let mut out = bytes::BytesMut::new();
    out.extend_from_slice(&handshake.encode());
    Message::HaveAll.encode(&mut out);
    Message::Unchoke.encode(&mut out);
    let mut buf = bytes::BytesMut::new();
    loop {
        if stream.write_all(&out.split()).await.is_err() {
            return;
        }
        while let Ok(Some(message)) = seedrail::swarm::wire::decode(&mut buf) {
            if let Message::Request(block) = message {
                out.extend_from_slice(&piece_header(block));
                out.extend(std::iter::repeat_n(0, block.length.try_into().unwrap()));
            }
        }
        if stream.read_buf(&mut buf).await.unwrap_or(0) == 0 {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_sends_wrong_data_is_banned_and_the_rest_is_right() {
    let (_dir, path) = file(1 << 20, 30);
    let metainfo = torrent(&path, 64 << 10, &[]);
    let handshake = Handshake::new(metainfo.info.hash(), LIAR);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let liar = listener.local_addr().unwrap();
    let lying = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(lie(stream, handshake));
        }
    });
    let leecher = session().await;
    let (leech, _out) = add(&leecher, of(&metainfo), &[liar]);
    let mut events = leech.events();
    let banned = async {
        loop {
            if let Event::PeerBanned { addr, .. } = events.recv().await.unwrap() {
                break addr;
            }
        }
    };
    assert_eq!(within(banned).await, liar);
    let seeder = session().await;
    seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    leech.add_peer(seeder.listen_addr());
    let got = within(leech.wait_complete()).await.unwrap();
    assert_eq!(fs::read(got).unwrap(), fs::read(&path).unwrap());
    lying.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_liar_among_good_peers_does_not_stop_the_download() {
    let (_dir, path) = file(2 << 20, 31);
    let metainfo = torrent(&path, 256 << 10, &[]);
    let handshake = Handshake::new(metainfo.info.hash(), LIAR);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let liar = listener.local_addr().unwrap();
    let lying = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(lie(stream, handshake));
        }
    });
    let seeder = session().await;
    let seed = seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    seed.wait_ready().await.unwrap();
    let leecher = session().await;
    let (leech, _out) = add(&leecher, of(&metainfo), &[liar, seeder.listen_addr()]);
    let got = within(leech.wait_complete()).await.unwrap();
    assert_eq!(fs::read(got).unwrap(), fs::read(&path).unwrap());
    lying.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_ends_a_connection_and_nothing_else() {
    let (_dir, path) = file(300_000, 32);
    let metainfo = torrent(&path, 16 << 10, &[]);
    let seeder = session().await;
    let seed = seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    seed.wait_ready().await.unwrap();
    let handshake = Handshake::new(metainfo.info.hash(), LIAR);
    let message = |message: Message| {
        let mut out = bytes::BytesMut::new();
        message.encode(&mut out);
        out.to_vec()
    };
    let outside = Block {
        piece: u32::MAX,
        begin: u32::MAX,
        length: u32::MAX,
    };
    let extended = |id, payload: &'static [u8]| {
        message(Message::Extended {
            id,
            payload: payload.into(),
        })
    };
    for bytes in [
        vec![0xff; 4],
        vec![0xff; 5000],
        vec![0, 1, 0, 0, 7],
        vec![0, 0, 0, 1, 20],
        message(Message::Have(9_999_999)),
        message(Message::Bitfield(vec![0xff; 100].into())),
        message(Message::Request(outside)),
        extended(0, b"nonsense"),
        extended(1, b"i5e"),
        extended(1, b"xx"),
        extended(2, b"d5:added3:abce"),
    ] {
        let mut stream = dial(seeder.listen_addr(), handshake).await;
        stream.write_all(&bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let ended = async {
            // A reset is an end too.
            let _reset = stream.read_to_end(&mut rest).await;
        };
        within(ended).await;
    }
    // Ids nobody knows are passed over.
    let mut stream = dial(seeder.listen_addr(), handshake).await;
    stream.write_all(&[0, 0, 0, 2, 99, 1]).await.unwrap();
    stream.write_all(&extended(77, b"?")).await.unwrap();
    stream
        .write_all(&message(Message::Interested))
        .await
        .unwrap();
    let unchoked = async {
        let mut buf = bytes::BytesMut::new();
        loop {
            while let Some(message) = seedrail::swarm::wire::decode(&mut buf).unwrap() {
                if message == Message::Unchoke {
                    return;
                }
            }
            assert!(stream.read_buf(&mut buf).await.unwrap() > 0);
        }
    };
    within(unchoked).await;
    // And the good are served.
    let leecher = session().await;
    let (leech, _out) = add(&leecher, of(&metainfo), &[seeder.listen_addr()]);
    within(leech.wait_complete()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_never_comes_and_another_protocol_cost_nothing() {
    let (_dir, path) = file(100_000, 33);
    let metainfo = torrent(&path, 16 << 10, &[]);
    let seeder = session().await;
    let seed = seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    let _silent = TcpStream::connect(seeder.listen_addr()).await.unwrap();
    let mut web = TcpStream::connect(seeder.listen_addr()).await.unwrap();
    web.write_all(&b"GET / HTTP/1.1\r\n".repeat(5))
        .await
        .unwrap();
    let mut rest = Vec::new();
    let _reset = within(web.read_to_end(&mut rest)).await;
    assert!(rest.is_empty());
    let leecher = session().await;
    let (leech, _out) = add(&leecher, of(&metainfo), &[seeder.listen_addr()]);
    within(leech.wait_complete()).await.unwrap();
    until("only the leecher counts", || seed.stats().peers.len() <= 1).await;
    leecher.finish(Duration::from_secs(1)).await;
}
