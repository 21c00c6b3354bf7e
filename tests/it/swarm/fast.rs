//! The fast extension: pieces that go while choked, and suggestions.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU64, Ordering},
};

use seedrail::swarm::{
    SeedOptions, Session,
    fast::{ALLOWED_FAST, allowed_fast},
    metainfo::Metainfo,
    wire::{Block, CHUNK, Handshake, Message, decode, piece_header},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::support::torrents::{add, file, noise, of, session, torrent, within};

const PIECE: u32 = 32 << 10;
const PIECES: u32 = 64;
const SIZE: usize = 64 * (32 << 10);

/// The other end of a connection, by hand.
pub(super) struct Peer {
    stream: TcpStream,
    buf: bytes::BytesMut,
}

impl Peer {
    /// Each with a peer ID of its own: one that comes back before the end of its last connection
    /// was seen is refused.
    fn handshake(metainfo: &Metainfo) -> Vec<u8> {
        static PEERS: AtomicU64 = AtomicU64::new(0);
        let mut id = *b"-XX0000-fast........";
        id[12..].copy_from_slice(&PEERS.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        Handshake::new(metainfo.info.hash(), id).encode().to_vec()
    }

    async fn shake(mut stream: TcpStream, metainfo: &Metainfo) -> Self {
        stream.write_all(&Self::handshake(metainfo)).await.unwrap();
        let mut theirs = [0; 68];
        stream.read_exact(&mut theirs).await.unwrap();
        Self {
            stream,
            buf: bytes::BytesMut::new(),
        }
    }

    pub(super) async fn dial(to: SocketAddr, metainfo: &Metainfo) -> Self {
        Self::shake(TcpStream::connect(to).await.unwrap(), metainfo).await
    }

    pub(super) async fn say(&mut self, messages: &[Message]) {
        let mut out = bytes::BytesMut::new();
        for message in messages {
            message.encode(&mut out);
        }
        self.stream.write_all(&out).await.unwrap();
    }

    pub(super) async fn next(&mut self) -> Message {
        loop {
            if let Some(message) = decode(&mut self.buf).unwrap() {
                return message;
            }
            let read = within(self.stream.read_buf(&mut self.buf)).await.unwrap();
            assert_ne!(read, 0, "the other side hung up");
        }
    }
}

fn chunk(piece: u32, begin: u32) -> Message {
    Message::Request(Block {
        piece,
        begin,
        length: CHUNK,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_choked_peer_gets_its_allowed_pieces_once_and_no_others() {
    let (_dir, path) = file(SIZE, 750);
    let metainfo = torrent(&path, PIECE, &[]);
    let content = noise(SIZE, 750);
    let seeder = session().await;
    let seed = seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    within(seed.wait_ready()).await.unwrap();
    // It never says that it is interested, so it stays choked.
    let mut peer = Peer::dial(seeder.listen_addr(), &metainfo).await;
    let mut named = Vec::new();
    while named.len() < ALLOWED_FAST {
        if let Message::AllowedFast(piece) = peer.next().await {
            named.push(piece);
        }
    }
    let here = Ipv4Addr::LOCALHOST;
    let hash = metainfo.info.hash();
    assert_eq!(named, allowed_fast(here, hash, PIECES, ALLOWED_FAST));
    let other = (0..PIECES).find(|piece| !named.contains(piece)).unwrap();
    peer.say(&[Message::HaveNone, chunk(other, 0)]).await;
    let refused = |message: Message, asked: Message| match (message, asked) {
        (Message::Reject(block), Message::Request(asked)) => block == asked,
        _ => false,
    };
    while !refused(peer.next().await, chunk(other, 0)) {}
    for piece in &named {
        for begin in [0, CHUNK] {
            peer.say(&[chunk(*piece, begin)]).await;
            let got = loop {
                match peer.next().await {
                    Message::Piece { data, .. } => break data,
                    Message::Reject(block) => panic!("{block:?} was refused"),
                    _ => {}
                }
            };
            let at = usize::try_from(piece * PIECE + begin).unwrap();
            assert_eq!(got, content[at..at + got.len()]);
        }
    }
    // All of it was sent: not again.
    let again = chunk(named[0], 0);
    peer.say(std::slice::from_ref(&again)).await;
    while !refused(peer.next().await, again.clone()) {}
}

/// A peer that has everything and waits to be dialled.
async fn waits(metainfo: &Metainfo) -> (Session, Peer, tempfile::TempDir) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let leecher = session().await;
    let (_leech, out) = add(&leecher, of(metainfo), &[listener.local_addr().unwrap()]);
    let (stream, _) = within(listener.accept()).await.unwrap();
    let mut peer = Peer::shake(stream, metainfo).await;
    peer.say(&[Message::HaveAll]).await;
    (leecher, peer, out)
}

#[tokio::test(flavor = "multi_thread")]
async fn while_choked_only_allowed_pieces_are_asked_for_and_a_lie_ends_it() {
    let (_dir, path) = file(SIZE, 751);
    let metainfo = torrent(&path, PIECE, &[]);
    let content = noise(SIZE, 751);
    let (_leecher, mut peer, _out) = waits(&metainfo).await;
    // Pieces that do not exist are passed over.
    let mut allowed: Vec<_> = [7, 9, 1 << 20].map(Message::AllowedFast).to_vec();
    allowed.extend([Message::AllowedFast(u32::MAX)]);
    peer.say(&allowed).await;
    let mut asked = BTreeSet::new();
    while asked.len() < 4 {
        if let Message::Request(block) = peer.next().await {
            assert!([7, 9].contains(&block.piece), "{block:?}");
            asked.insert(block);
        }
    }
    // One is sent, the other is refused: it is not asked for again.
    for block in asked {
        if block.piece == 7 {
            let at = usize::try_from(block.piece * PIECE + block.begin).unwrap();
            let mut bytes = piece_header(block).to_vec();
            bytes.extend(&content[at..at + usize::try_from(block.length).unwrap()]);
            peer.stream.write_all(&bytes).await.unwrap();
        } else {
            peer.say(&[Message::Reject(block)]).await;
        }
    }
    loop {
        match peer.next().await {
            Message::Have(7) => break,
            Message::Request(block) => panic!("{block:?} is asked for again"),
            _ => {}
        }
    }
    peer.say(&[Message::Unchoke]).await;
    let mut others = 0;
    while others < 20 {
        if let Message::Request(block) = peer.next().await {
            assert_ne!(block.piece, 7);
            others += usize::from(block.piece != 9);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn suggested_pieces_are_begun_first() {
    let (_dir, path) = file(SIZE, 752);
    let metainfo = torrent(&path, PIECE, &[]);
    let (_leecher, mut peer, _out) = waits(&metainfo).await;
    let suggested = [40, 3, 21];
    let mut said: Vec<_> = suggested.map(Message::Suggest).to_vec();
    // Of no use: it does not exist.
    said.push(Message::Suggest(PIECES));
    said.push(Message::Unchoke);
    peer.say(&said).await;
    let mut asked = BTreeSet::new();
    let mut requests = 0;
    while requests < 2 * suggested.len() {
        if let Message::Request(block) = peer.next().await {
            asked.insert(block.piece);
            requests += 1;
        }
    }
    assert_eq!(asked, BTreeSet::from(suggested));
}
