//! What is said first, and metadata.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use bytes::Bytes;
use seedrail::{
    swarm::{
        SeedOptions, Session,
        metainfo::{InfoSource, Metainfo},
        wire::Message,
    },
    types::InfoHash,
};
use tempfile::TempDir;

use super::fast::Peer;
use crate::support::torrents::{file, session, torrent, within};

/// A file that is shared.
async fn shared() -> (TempDir, Metainfo, Session) {
    let (dir, path) = file(100_000, 760);
    let metainfo = torrent(&path, 32 << 10, &[]);
    let seeder = session().await;
    let seed = seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    within(seed.wait_ready()).await.unwrap();
    (dir, metainfo, seeder)
}

/// rtorrent without metadata does not read all that came with our bitfield until more comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_without_metadata_gets_a_message_after_its_own() {
    let (_dir, metainfo, seeder) = shared().await;
    for (handshake, is_answered) in [("de", true), ("d13:metadata_sizei100ee", false)] {
        let mut peer = Peer::dial(seeder.listen_addr(), &metainfo).await;
        let greets = Message::Extended {
            id: 0,
            payload: handshake.as_bytes().into(),
        };
        while !matches!(peer.next().await, Message::Extended { id: 0, .. }) {}
        // Once: the second one changes nothing.
        peer.say(&[greets.clone(), greets, Message::Interested])
            .await;
        let mut answers = 0;
        loop {
            match peer.next().await {
                Message::KeepAlive => answers += 1,
                Message::Unchoke => break,
                _ => {}
            }
        }
        assert_eq!(answers, usize::from(is_answered), "{handshake}");
    }
}

/// A list that has the torrent's file on its disk, which is slow.
#[derive(Debug)]
struct SlowList {
    raw: Bytes,
    reads: AtomicUsize,
    gate: Mutex<mpsc::Receiver<()>>,
}

impl InfoSource for SlowList {
    fn read(&self, _: InfoHash) -> io::Result<Bytes> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.gate.lock().unwrap().recv().unwrap();
        Ok(self.raw.clone())
    }
}

/// The peer asks more often than is remembered, while the disk is slow: nothing else waits for
/// that, and one read serves all.
#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_is_not_in_memory_is_read_once_and_served() {
    let (_dir, metainfo, seeder) = shared().await;
    let (open, gate) = mpsc::channel();
    let list = Arc::new(SlowList {
        raw: metainfo.info.raw().unwrap(),
        reads: AtomicUsize::new(0),
        gate: Mutex::new(gate),
    });
    metainfo.info.keep_in(list.clone());
    metainfo.info.put_away(Duration::ZERO);

    let mut peer = Peer::dial(seeder.listen_addr(), &metainfo).await;
    let message = |id, payload: &'static [u8]| Message::Extended {
        id,
        payload: payload.into(),
    };
    let ask = || message(1, b"d8:msg_typei0e5:piecei0ee");
    let mut said = vec![message(0, b"d1:md11:ut_metadatai3eee")];
    said.extend((0..66).map(|_| ask()));
    peer.say(&said).await;
    let mut rejected = 0;
    while rejected < 2 {
        if let Message::Extended { id: 3, payload } = peer.next().await {
            assert_eq!(&payload[..], b"d8:msg_typei2e5:piecei0ee");
            rejected += 1;
        }
    }
    open.send(()).unwrap();
    let mut served = 0;
    while served < 64 {
        if let Message::Extended { id: 3, payload } = peer.next().await {
            assert!(payload.ends_with(&list.raw));
            served += 1;
        }
    }
    assert_eq!(list.reads.load(Ordering::Relaxed), 1);
}
