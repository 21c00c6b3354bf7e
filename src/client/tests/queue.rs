//! Turns: who runs and who waits, and the order of the list.

use super::{
    kept::kept,
    list::{add, client, gone, state, until},
};
use crate::{
    client::{
        Client,
        command::{AddTorrent, Command, QueueTo, Source},
        snapshot::{Queue, Torrent, TorrentState},
    },
    types::InfoHash,
};

async fn told(client: &Client, command: Command) {
    client.command(command).await.unwrap();
}

/// A torrent that nobody has: it looks for its metadata while it runs.
async fn link(client: &Client, number: u8) -> InfoHash {
    let link = Source::Link(format!("{number:040x}"));
    add(client, AddTorrent::new(link)).await
}

fn places(client: &Client, hashes: [InfoHash; 3]) -> [u32; 3] {
    let snapshot = client.snapshot();
    hashes.map(|hash| snapshot.torrents[&hash].row.value.place)
}

#[tokio::test]
async fn torrents_wait_for_their_turn_in_the_order_of_the_list() {
    let folder = tempfile::tempdir().unwrap();
    let client = client(folder.path()).await;
    let queue = Queue {
        downloads: Some(1),
        seeds: None,
    };
    told(&client, Command::SetQueue(queue)).await;
    assert_eq!(client.snapshot().transfer.value.queue, queue);
    // The order is that in which they were added, not that of the info-hashes.
    let first = link(&client, 3).await;
    let second = link(&client, 2).await;
    let third = link(&client, 1).await;
    let all = [first, second, third];
    state(&client, first, TorrentState::Metadata).await;
    state(&client, second, TorrentState::Queued).await;
    state(&client, third, TorrentState::Queued).await;
    assert_eq!(places(&client, all), [1, 2, 3]);

    // The one that is moved to the top runs, and the one that ran waits.
    let to = QueueTo::Top;
    let hashes = vec![third];
    told(&client, Command::MoveInQueue { hashes, to }).await;
    state(&client, third, TorrentState::Metadata).await;
    state(&client, first, TorrentState::Queued).await;
    assert_eq!(places(&client, all), [2, 3, 1]);

    // What is paused, or removed, gives its turn away.
    told(&client, Command::Pause(third)).await;
    state(&client, first, TorrentState::Metadata).await;
    state(&client, third, TorrentState::Paused).await;
    let remove = Command::Remove {
        hash: first,
        data: false,
    };
    told(&client, remove).await;
    gone(&client, first).await;
    state(&client, second, TorrentState::Metadata).await;
    let is = |one: &Torrent| one.row.value.place == 2;
    until(&client, second, "the second place", is).await;

    // Without limits nobody waits.
    told(&client, Command::Resume(third)).await;
    state(&client, third, TorrentState::Metadata).await;
    state(&client, second, TorrentState::Queued).await;
    told(&client, Command::SetQueue(Queue::default())).await;
    state(&client, second, TorrentState::Metadata).await;
}

#[tokio::test]
async fn the_order_and_the_limits_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let client = kept(folder.path()).await;
    let queue = Queue {
        downloads: Some(0),
        seeds: Some(4),
    };
    told(&client, Command::SetQueue(queue)).await;
    let mut hashes = Vec::new();
    for number in [7, 5, 6] {
        hashes.push(link(&client, number).await);
    }
    let all = [hashes[0], hashes[1], hashes[2]];
    let to = QueueTo::Bottom;
    let hashes = vec![all[0]];
    told(&client, Command::MoveInQueue { hashes, to }).await;
    state(&client, all[0], TorrentState::Queued).await;
    assert_eq!(places(&client, all), [3, 1, 2]);
    client.close().await;
    let client = kept(folder.path()).await;
    for hash in all {
        state(&client, hash, TorrentState::Queued).await;
    }
    assert_eq!(places(&client, all), [3, 1, 2]);
    assert_eq!(client.snapshot().transfer.value.queue, queue);
}
