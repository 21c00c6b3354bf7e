//! What is said first.

use seedrail::swarm::{SeedOptions, wire::Message};

use super::fast::Peer;
use crate::support::torrents::{file, session, torrent, within};

/// rtorrent without metadata does not read all that came with our bitfield until more comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_without_metadata_gets_a_message_after_its_own() {
    let (_dir, path) = file(100_000, 760);
    let metainfo = torrent(&path, 32 << 10, &[]);
    let seeder = session().await;
    let seed = seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    within(seed.wait_ready()).await.unwrap();
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
