//! The stored list: what a restart finds, and what happens when it cannot be written.

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use super::list::{DEADLINE, add, config, content, gone, shared, state, until};
use crate::client::{
    Client, ClientError, OpenError, Peek, StoreError,
    command::{AddTorrent, Answer, Command, Files, Source},
    peek,
    snapshot::{Day, Goals, Limits, Prices, ProblemCode, Torrent, TorrentState},
    store::Store,
};

fn list(folder: &Path) -> PathBuf {
    folder.join("client.db")
}

pub(super) async fn kept(folder: &Path) -> Client {
    let mut config = config(folder);
    config.store = Some(list(folder));
    Client::open(config).await.unwrap()
}

/// Changes a byte, and nothing else that can be seen without reading it.
fn damage(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    let changed = file.metadata().unwrap().modified().unwrap();
    file.write_all_at(b"?", 100).unwrap();
    file.set_modified(changed).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_finds_everything_and_hashes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (a, b) = (home.path().join("a"), home.path().join("b"));
    std::fs::create_dir_all(&a).unwrap();
    std::fs::create_dir_all(&b).unwrap();
    let metainfo = content(&a, "film.bin", 200_000);
    let seeder = kept(&a).await;
    let hash = add(&seeder, shared(&metainfo, &a.join("film.bin"))).await;
    state(&seeder, hash, TorrentState::Seeding).await;

    let leecher = kept(&b).await;
    let listen = seeder.snapshot().transfer.value.listen;
    let link = format!("magnet:?xt=urn:btih:{hash}&x.pe={listen}");
    let mut wanted = AddTorrent::new(Source::Link(link));
    wanted.category = Some("films".to_owned());
    wanted.tags = vec!["new".to_owned()];
    wanted.name = Some("A film".to_owned());
    wanted.trackers = vec!["http://127.0.0.1:9/announce".to_owned()];
    wanted.goals = Goals {
        ratio_permille: Some(9000),
        ..Goals::default()
    };
    add(&leecher, wanted).await;
    state(&leecher, hash, TorrentState::Seeding).await;
    let waits = format!("magnet:?xt=urn:btih:{}&dn=later", "ab".repeat(20));
    let mut waits = AddTorrent::new(Source::Link(waits));
    waits.paused = true;
    waits.files = Some(Files::Positions(vec![3]));
    let other = add(&leecher, waits).await;
    let limits = Limits {
        up: Some(1 << 20),
        down: Some(2 << 20),
    };
    let limited = Command::SetLimits { hash: None, limits };
    leecher.command(limited).await.unwrap();
    let folder = Some(PathBuf::from("/there"));
    let name = "books".to_owned();
    leecher
        .command(Command::SaveCategory { name, folder })
        .await
        .unwrap();
    leecher.close().await;
    seeder.close().await;
    let before = leecher.snapshot().torrents[&hash].row.value.clone();
    assert_eq!(
        (before.downloaded, before.session_downloaded),
        (200_000, 200_000)
    );

    damage(&b.join("downloads/film.bin"));
    damage(&a.join("film.bin"));
    let (leecher, seeder) = (kept(&b).await, kept(&a).await);
    for client in [&leecher, &seeder] {
        let torrent = state(client, hash, TorrentState::Seeding).await;
        // Whoever hashes it finds that a piece is wrong.
        assert_eq!(torrent.row.value.pieces_have, torrent.row.value.pieces);
    }
    let now = leecher.snapshot().torrents[&hash].row.value.clone();
    assert_eq!((now.downloaded, now.session_downloaded), (200_000, 0));
    assert_eq!(now.name, "A film");
    assert_eq!(now.category, before.category);
    assert_eq!((&now.tags, now.goals), (&before.tags, before.goals));
    assert_eq!((now.added, now.completed), (before.added, before.completed));
    assert!(now.active_secs.secs() >= before.active_secs.secs());
    assert_eq!(now.magnet, before.magnet);
    let snapshot = leecher.snapshot();
    assert_eq!(
        snapshot.torrents[&other].row.value.state,
        TorrentState::Paused
    );
    assert_eq!(snapshot.torrents[&other].row.value.name, "later");
    assert_eq!(snapshot.transfer.value.limits, limits);
    assert_eq!(snapshot.transfer.value.downloaded, 200_000);
    // Around midnight they may be two.
    let day = |of: fn(&Day) -> u64| leecher.snapshot().days.iter().map(of).sum::<u64>();
    assert_eq!(day(|row| row.downloaded), 200_000);
    let books = &snapshot.labels.value.categories["books"];
    assert_eq!(books.as_deref(), Some(Path::new("/there")));

    // What is removed stays so, and its total is not lost.
    for hash in [hash, other] {
        let remove = Command::Remove { hash, data: true };
        leecher.command(remove).await.unwrap();
        gone(&leecher, hash).await;
    }
    assert!(!b.join("downloads/film.bin").exists());
    leecher.close().await;
    let leecher = kept(&b).await;
    assert!(leecher.snapshot().torrents.is_empty());
    assert_eq!(leecher.snapshot().transfer.value.downloaded, 200_000);
}

/// The hashes of thousands of torrents would be most of what a client needs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn info_dictionaries_stay_in_the_list_until_they_are_needed() {
    let home = tempfile::tempdir().unwrap();
    let (a, b) = (home.path().join("a"), home.path().join("b"));
    std::fs::create_dir_all(&a).unwrap();
    std::fs::create_dir_all(&b).unwrap();
    let metainfo = content(&a, "film.bin", 200_000);
    let file = metainfo.to_bytes().unwrap();
    let seeder = kept(&a).await;
    let hash = add(&seeder, shared(&metainfo, &a.join("film.bin"))).await;
    state(&seeder, hash, TorrentState::Seeding).await;
    seeder.close().await;

    let (store, found) = Store::open(&list(&a)).unwrap();
    let info = found.torrents[0].wish.known.info().unwrap().clone();
    assert_eq!((info.held(), &info), (None, &metainfo.info));
    assert_eq!(info.raw().unwrap(), metainfo.info.raw().unwrap());
    drop((store, found));
    // Whoever has the list open next is not in anybody's way.
    info.put_away(std::time::Duration::ZERO);
    assert!(info.raw().is_err());

    let (seeder, leecher) = (kept(&a).await, kept(&b).await);
    let answer = seeder.command(Command::Export(hash)).await.unwrap();
    assert_eq!(answer, Answer::TorrentFile(file));
    state(&seeder, hash, TorrentState::Seeding).await;
    let listen = seeder.snapshot().transfer.value.listen;
    let link = format!("magnet:?xt=urn:btih:{hash}&x.pe={listen}");
    add(&leecher, AddTorrent::new(Source::Link(link))).await;
    state(&leecher, hash, TorrentState::Seeding).await;
    let recheck = Command::Recheck(hash);
    leecher.command(recheck).await.unwrap();
    state(&leecher, hash, TorrentState::Seeding).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_that_was_not_finished_is_finished_at_the_next_start() {
    let home = tempfile::tempdir().unwrap();
    let (a, b) = (home.path().join("a"), home.path().join("b"));
    std::fs::create_dir_all(&a).unwrap();
    std::fs::create_dir_all(&b).unwrap();
    let metainfo = content(&a, "film.bin", 100_000);
    let seeder = kept(&a).await;
    let hash = add(&seeder, shared(&metainfo, &a.join("film.bin"))).await;
    let leecher = kept(&b).await;
    let mut wanted = AddTorrent::new(Source::File(metainfo.to_bytes().unwrap()));
    wanted.peers = vec![seeder.snapshot().transfer.value.listen];
    add(&leecher, wanted).await;
    state(&leecher, hash, TorrentState::Seeding).await;
    leecher.close().await;
    // As a kill leaves it, right after the answer.
    let conn = rusqlite::Connection::open(list(&b)).unwrap();
    let marked = conn.execute(
        "UPDATE torrent SET wish = replace(wish, '\"removing\":null', '\"removing\":true')",
        [],
    );
    assert_eq!(marked.unwrap(), 1);
    drop(conn);
    assert!(b.join("downloads/film.bin").exists());
    let leecher = kept(&b).await;
    gone(&leecher, hash).await;
    assert!(!b.join("downloads/film.bin").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_written_is_not_done() {
    let home = tempfile::tempdir().unwrap();
    let client = kept(home.path()).await;
    let mut wanted = AddTorrent::new(Source::Link("ab".repeat(20)));
    wanted.paused = true;
    let hash = add(&client, wanted.clone()).await;
    let before = client.snapshot();
    // Somebody else writes to it, and does not come to an end.
    let other = rusqlite::Connection::open(list(home.path())).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let name = Some("renamed".to_owned());
    let rename = Command::Rename { hash, name };
    let refused = client.command(rename.clone()).await.unwrap_err();
    assert!(
        matches!(refused, ClientError::Store(StoreError::Write(_))),
        "{refused}"
    );
    wanted.source = Source::Link("cd".repeat(20));
    wanted.tags = vec!["tag".to_owned()];
    let refused = client.command(Command::Add(Box::new(wanted))).await;
    assert!(matches!(refused, Err(ClientError::Store(_))));
    let now = client.snapshot();
    assert_eq!(now.torrents.len(), 1);
    let (was, is) = (
        &before.torrents[&hash].row.value,
        &now.torrents[&hash].row.value,
    );
    assert_eq!(was, is);
    assert_eq!(before.labels.value, now.labels.value);
    let problems = &now.problems.value.problems;
    assert!(
        problems
            .iter()
            .any(|problem| problem.code == ProblemCode::ListNotKept)
    );
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(client.command(rename).await.unwrap(), Answer::Done);
    let renamed = |one: &Torrent| one.row.value.name == "renamed";
    until(&client, hash, "it is renamed", renamed).await;
    assert!(client.snapshot().problems.value.problems.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_has_one_client_at_a_time() {
    let home = tempfile::tempdir().unwrap();
    assert_eq!(peek(&list(home.path())).unwrap(), Peek::default());
    let client = kept(home.path()).await;
    let mut wanted = AddTorrent::new(Source::Link("ab".repeat(20)));
    wanted.paused = true;
    let hash = add(&client, wanted).await;
    let mut second = config(home.path());
    second.store = Some(list(home.path()));
    let refused = Client::open(second).await.unwrap_err();
    assert!(
        matches!(refused, OpenError::Store(StoreError::InUse(_))),
        "{refused}"
    );
    let mut seen = Peek {
        open: true,
        torrents: vec![(hash, Prices::default())],
        prices: Prices::default(),
    };
    assert_eq!(peek(&list(home.path())).unwrap(), seen);
    client.close().await;
    seen.open = false;
    assert_eq!(peek(&list(home.path())).unwrap(), seen);
    let again = tokio::time::timeout(DEADLINE, kept(home.path()))
        .await
        .unwrap();
    assert_eq!(again.snapshot().torrents.len(), 1);
}

#[test]
fn other_files_and_newer_lists_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = list(home.path());
    let open = || super::super::store::Store::open(&path).map(|_| ());
    open().unwrap();
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(open(), Err(StoreError::TooNew { found: 99, .. })));
    conn.pragma_update(None, "user_version", 1).unwrap();
    conn.pragma_update(None, "application_id", 7).unwrap();
    assert!(matches!(open(), Err(StoreError::Open { .. })));
    drop(conn);
    std::fs::write(
        &path,
        b"no database at all, but long enough to be looked at as one",
    )
    .unwrap();
    assert!(matches!(open(), Err(StoreError::Open { .. })));
}
