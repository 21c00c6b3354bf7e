//! Complete content goes to a folder of its own.

use std::path::Path;

use super::{
    kept::kept,
    list::{add, client, content, shared, state, until},
};
use crate::{
    client::{
        Client, ClientError,
        command::{AddTorrent, Command, Source},
        entry::Place,
        snapshot::{Goals, ProblemCode, ReachedGoal, Torrent, TorrentState},
        store::{Change, Store},
    },
    swarm::metainfo::Metainfo,
};

/// A torrent that is downloaded from `seeder`, and then moved to `target`.
fn moved(metainfo: &Metainfo, seeder: &Client, target: &Path) -> AddTorrent {
    AddTorrent {
        move_to: Some(target.to_owned()),
        peers: vec![seeder.snapshot().transfer.value.listen],
        ..AddTorrent::new(Source::File(metainfo.to_bytes().unwrap()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn complete_content_is_moved_before_a_goal_ends_it() {
    let home = tempfile::tempdir().unwrap();
    let metainfo = content(home.path(), "film.bin", 200_000);
    let right = std::fs::read(home.path().join("film.bin")).unwrap();
    let seeder = client(&home.path().join("a")).await;
    add(&seeder, shared(&metainfo, &home.path().join("film.bin"))).await;
    let target = home.path().join("there");
    let leecher = client(&home.path().join("b")).await;
    let mut wanted = moved(&metainfo, &seeder, &target);
    // Reached as soon as it is complete.
    wanted.goals = Goals {
        ratio_permille: Some(0),
        ..Goals::default()
    };
    let hash = add(&leecher, wanted).await;
    let ended = state(&leecher, hash, TorrentState::Paused).await;
    let row = &ended.row.value;
    assert_eq!(row.reached, Some(ReachedGoal::Ratio));
    assert!(row.is_in_place(), "{row:?}");
    assert_eq!(row.path, Some(target.join("film.bin")));
    assert_eq!(row.folder, target);
    assert_eq!(std::fs::read(target.join("film.bin")).unwrap(), right);
    assert!(!home.path().join("b/downloads/film.bin").exists());
    // What is relative would depend on where the client was started.
    let mut relative = moved(&metainfo, &seeder, Path::new("there"));
    relative.source = Source::Link("ab".repeat(20));
    let refused = leecher.command(Command::Add(Box::new(relative))).await;
    assert!(matches!(refused, Err(ClientError::RelativeFolder(_))));
    leecher.close().await;
    seeder.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_that_cannot_be_moved_stays_until_it_is_resumed() {
    let home = tempfile::tempdir().unwrap();
    let metainfo = content(home.path(), "film.bin", 200_000);
    let seeder = client(&home.path().join("a")).await;
    add(&seeder, shared(&metainfo, &home.path().join("film.bin"))).await;
    let target = home.path().join("there");
    std::fs::create_dir_all(&target).unwrap();
    std::fs::write(target.join("film.bin"), "another one").unwrap();
    let leecher = client(&home.path().join("b")).await;
    let hash = add(&leecher, moved(&metainfo, &seeder, &target)).await;
    let refused = |one: &crate::client::snapshot::Torrent| one.row.value.not_moved.is_some();
    let stays = until(&leecher, hash, "refused", refused).await;
    let row = &stays.row.value;
    assert_eq!(row.state, TorrentState::Seeding);
    assert!(row.is_in_place());
    assert_eq!(row.path, Some(home.path().join("b/downloads/film.bin")));
    let snapshot = leecher.snapshot();
    let problems = &snapshot.problems.value.problems;
    let told = problems
        .iter()
        .find(|one| one.code == ProblemCode::Disk)
        .unwrap();
    assert_eq!(told.subject, Some(hash.to_string()));
    assert!(told.message.contains("is there already"), "{told:?}");
    let other = std::fs::read(target.join("film.bin")).unwrap();
    assert_eq!(other, b"another one");
    // It is out of the way.
    std::fs::remove_file(target.join("film.bin")).unwrap();
    leecher.command(Command::Resume(hash)).await.unwrap();
    let there = |one: &crate::client::snapshot::Torrent| one.row.value.move_to.is_none();
    let moved = until(&leecher, hash, "moved", there).await;
    assert_eq!(moved.row.value.path, Some(target.join("film.bin")));
    assert!(leecher.snapshot().problems.value.problems.is_empty());
    leecher.close().await;
    seeder.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_was_not_noted_any_more_is_found_at_the_next_start() {
    let home = tempfile::tempdir().unwrap();
    let metainfo = content(home.path(), "film.bin", 200_000);
    let path = home.path().join("film.bin");
    let target = home.path().join("there");
    std::fs::create_dir_all(&target).unwrap();
    let folder = home.path().join("b");
    std::fs::create_dir_all(&folder).unwrap();
    let leecher = kept(&folder).await;
    let wanted = AddTorrent {
        move_to: Some(target.clone()),
        paused: true,
        ..AddTorrent::new(Source::File(metainfo.to_bytes().unwrap()))
    };
    let hash = add(&leecher, wanted).await;
    leecher.close().await;
    // As a kill between the move and the note leaves it.
    std::fs::rename(&path, target.join("film.bin")).unwrap();
    let leecher = kept(&folder).await;
    let torrent = leecher.snapshot().torrents[&hash].clone();
    assert_eq!(torrent.row.value.folder, target);
    assert_eq!(torrent.row.value.move_to, None);
    leecher.command(Command::Resume(hash)).await.unwrap();
    let seeding = state(&leecher, hash, TorrentState::Seeding).await;
    assert_eq!(seeding.row.value.path, Some(target.join("film.bin")));
    assert_eq!(seeding.row.value.downloaded, 0);
    leecher.close().await;
}

/// On one thread: both commands wait for the client before it does the first.
#[tokio::test]
async fn a_second_move_of_a_torrent_is_refused_while_the_first_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let metainfo = content(home.path(), "film.bin", 200_000);
    let folder = home.path().join("b");
    std::fs::create_dir_all(&folder).unwrap();
    let client = kept(&folder).await;
    let wanted = AddTorrent {
        folder: Some(home.path().to_owned()),
        ..AddTorrent::new(Source::File(metainfo.to_bytes().unwrap()))
    };
    let hash = add(&client, wanted).await;
    state(&client, hash, TorrentState::Seeding).await;
    let to = |name: &str| Command::Move {
        hash,
        folder: home.path().join(name),
    };
    let both = tokio::join!(client.command(to("one")), client.command(to("two")));
    both.0.unwrap();
    assert!(matches!(both.1, Err(ClientError::BeingMoved(of)) if of == hash));
    assert!(home.path().join("one/film.bin").exists() && !home.path().join("two").exists());
    // What cannot be done leaves nothing behind that would refuse the next one.
    std::fs::create_dir_all(home.path().join("two/film.bin")).unwrap();
    let refused = client.command(to("two")).await;
    assert!(matches!(refused, Err(ClientError::Move(_))));
    client.command(to("three")).await.unwrap();
    assert!(home.path().join("three/film.bin").exists());
    client.close().await;
}

/// What a client that was killed has noted of a move to `target`, and of where the content
/// was before it.
async fn note(folder: &Path, place: &Path, target: &Path) {
    let (store, kept) = Store::open(&folder.join("client.db")).unwrap();
    let mut wish = kept.torrents.into_iter().next().unwrap().wish;
    wish.place = Place::Folder(place.to_owned());
    wish.moving = Some(target.to_owned());
    let hash = wish.known.hash();
    let change = Change::Put(hash, Box::new(wish));
    store.write(vec![change]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_was_asked_for_is_found_after_a_kill_wherever_it_was() {
    let home = tempfile::tempdir().unwrap();
    let metainfo = content(home.path(), "film.bin", 200_000);
    let right = std::fs::read(home.path().join("film.bin")).unwrap();
    let seeder = client(&home.path().join("a")).await;
    add(&seeder, shared(&metainfo, &home.path().join("film.bin"))).await;
    let folder = home.path().join("b");
    std::fs::create_dir_all(&folder).unwrap();
    let before = folder.join("downloads");
    let target = home.path().join("there");
    let leecher = kept(&folder).await;
    let wanted = AddTorrent {
        peers: vec![seeder.snapshot().transfer.value.listen],
        ..AddTorrent::new(Source::File(metainfo.to_bytes().unwrap()))
    };
    let hash = add(&leecher, wanted).await;
    state(&leecher, hash, TorrentState::Seeding).await;
    let command = Command::Move {
        hash,
        folder: target.clone(),
    };
    leecher.command(command.clone()).await.unwrap();
    let is_there = |one: &Torrent| one.row.value.path == Some(target.join("film.bin"));
    until(&leecher, hash, "it is shown there", is_there).await;
    leecher.close().await;
    // It was moved, and killed before that was noted.
    note(&folder, &before, &target).await;
    let leecher = kept(&folder).await;
    let seeding = state(&leecher, hash, TorrentState::Seeding).await;
    let row = &seeding.row.value;
    assert_eq!(
        (&row.folder, row.hashed, row.session_downloaded),
        (&target, 0, 0)
    );
    assert_eq!(std::fs::read(target.join("film.bin")).unwrap(), right);
    leecher.close().await;
    // It was copied in part.
    note(&folder, &target, &before).await;
    let staging = before.join(format!(".{hash}.moving"));
    std::fs::create_dir_all(&staging).unwrap();
    std::fs::write(staging.join("film.bin"), &right[..1000]).unwrap();
    let leecher = kept(&folder).await;
    let seeding = state(&leecher, hash, TorrentState::Seeding).await;
    let row = &seeding.row.value;
    assert_eq!(
        (&row.folder, row.hashed, row.session_downloaded),
        (&target, 0, 0)
    );
    assert!(!staging.exists() && leecher.snapshot().problems.value.problems.is_empty());
    leecher.close().await;
    // Something lies in both places.
    note(&folder, &target, &before).await;
    std::fs::write(before.join("film.bin"), "another one").unwrap();
    let leecher = kept(&folder).await;
    let seeding = state(&leecher, hash, TorrentState::Seeding).await;
    assert_eq!(seeding.row.value.folder, target);
    let problems = leecher.snapshot().problems.value.problems.clone();
    let told = problems.iter().find(|one| one.code == ProblemCode::Disk);
    assert!(
        told.unwrap().message.contains("a move was cut off"),
        "{problems:?}"
    );
    assert_eq!(
        std::fs::read(before.join("film.bin")).unwrap(),
        b"another one"
    );
    // What was noted is over: it can be moved again.
    std::fs::remove_file(before.join("film.bin")).unwrap();
    let back = Command::Move {
        hash,
        folder: before.clone(),
    };
    leecher.command(back).await.unwrap();
    assert_eq!(std::fs::read(before.join("film.bin")).unwrap(), right);
    leecher.close().await;
    seeder.close().await;
}
