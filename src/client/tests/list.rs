//! The list of torrents: what commands do to it, and what readers see.

use std::{path::Path, sync::Arc, time::Duration};

use crate::{
    client::{
        Client, ClientConfig, ClientError,
        command::{AddTorrent, Answer, Command, Files, Source},
        event::Happened,
        snapshot::{Goals, Limits, ReachedGoal, Revision, Torrent, TorrentState},
    },
    swarm::{
        Session,
        metainfo::{self, CreateOptions, Metainfo},
    },
    types::InfoHash,
};

/// How long something may take, on a busy machine.
pub(super) const DEADLINE: Duration = Duration::from_secs(40);

pub(super) fn config(folder: &Path) -> ClientConfig {
    let session = Session::builder().state_dir(folder.join("state"));
    let mut config = ClientConfig::new(session, folder.join("downloads"));
    config.grace = Duration::from_secs(2);
    config
}

pub(super) async fn client(folder: &Path) -> Client {
    Client::open(config(folder)).await.unwrap()
}

/// A file of this many bytes in `folder`, and its torrent.
pub(super) fn content(folder: &Path, name: &str, bytes: usize) -> Metainfo {
    let noise: Vec<u8> = (0..bytes)
        .map(|at| (at * 7 / 3 + at / 251).to_le_bytes()[0])
        .collect();
    let path = folder.join(name);
    std::fs::write(&path, noise).unwrap();
    let options = CreateOptions {
        piece_size: Some(16 << 10),
        ..CreateOptions::default()
    };
    metainfo::create(&path, &options, &|_, _| {}).unwrap()
}

/// Waits until a torrent is as it shall be.
pub(super) async fn until(
    client: &Client,
    hash: InfoHash,
    what: &str,
    is: impl Fn(&Torrent) -> bool,
) -> Arc<Torrent> {
    let found = async {
        let mut seen = Revision(0);
        loop {
            let snapshot = client.changed(seen).await.expect("it runs");
            seen = snapshot.revision;
            if let Some(torrent) = snapshot.torrents.get(&hash).filter(|one| is(one)) {
                return torrent.clone();
            }
        }
    };
    let found = tokio::time::timeout(DEADLINE, found).await;
    found.unwrap_or_else(|_| {
        panic!(
            "waited for: {what}; {:?}",
            client.snapshot().torrents.get(&hash)
        )
    })
}

pub(super) async fn state(client: &Client, hash: InfoHash, wanted: TorrentState) -> Arc<Torrent> {
    let is = |one: &Torrent| one.row.value.state == wanted;
    until(client, hash, &format!("{wanted:?}"), is).await
}

pub(super) async fn gone(client: &Client, hash: InfoHash) {
    let gone = async {
        let mut seen = Revision(0);
        loop {
            let snapshot = client.changed(seen).await.expect("it runs");
            seen = snapshot.revision;
            if !snapshot.torrents.contains_key(&hash) {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, gone)
        .await
        .expect("it is removed");
}

pub(super) fn shared(metainfo: &Metainfo, path: &Path) -> AddTorrent {
    AddTorrent::new(Source::Content {
        file: metainfo.to_bytes().unwrap(),
        path: path.to_owned(),
        trusted: true,
    })
}

pub(super) async fn add(client: &Client, add: AddTorrent) -> InfoHash {
    match client.command(Command::Add(Box::new(add))).await.unwrap() {
        Answer::Added { hash, known: false } => hash,
        other => panic!("{other:?}"),
    }
}

/// Two clients: the first shares a file, the second downloads it.
struct Pair {
    folder: tempfile::TempDir,
    seeder: Client,
    leecher: Client,
    hash: InfoHash,
}

async fn pair(bytes: usize) -> Pair {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    std::fs::create_dir_all(&a).unwrap();
    std::fs::create_dir_all(&b).unwrap();
    let metainfo = content(&a, "film.bin", bytes);
    let (seeder, leecher) = (client(&a).await, client(&b).await);
    let hash = add(&seeder, shared(&metainfo, &a.join("film.bin"))).await;
    state(&seeder, hash, TorrentState::Seeding).await;
    Pair {
        folder,
        seeder,
        leecher,
        hash,
    }
}

impl Pair {
    /// The link, with the address of the seeder.
    fn link(&self) -> String {
        let listen = self.seeder.snapshot().transfer.value.listen;
        format!("magnet:?xt=urn:btih:{}&x.pe={listen}", self.hash)
    }

    fn downloaded(&self) -> std::path::PathBuf {
        self.folder.path().join("b/downloads/film.bin")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_downloaded_shown_and_removed_with_its_data() {
    let pair = pair(300_000).await;
    let mut events = pair.leecher.events();
    let before = pair.leecher.snapshot().revision;
    let mut wanted = AddTorrent::new(Source::Link(pair.link()));
    wanted.category = Some("films".to_owned());
    wanted.tags = vec!["new".to_owned()];
    let hash = add(&pair.leecher, wanted.clone()).await;
    assert_eq!(hash, pair.hash);
    let again = pair.leecher.command(Command::Add(Box::new(wanted))).await;
    assert_eq!(again.unwrap(), Answer::Added { hash, known: true });
    let torrent = state(&pair.leecher, hash, TorrentState::Seeding).await;
    let row = &torrent.row.value;
    assert_eq!((row.size, row.left, row.downloaded), (300_000, 0, 300_000));
    assert_eq!((row.pieces, row.pieces_have), (19, 19));
    assert!(row.complete && row.completed.is_some());
    assert_eq!(row.path.as_deref(), Some(pair.downloaded().as_path()));
    assert_eq!(row.category.as_deref(), Some("films"));
    assert_eq!(row.tags, ["new"]);
    let file = &torrent.files.value[0];
    assert_eq!(
        (file.path.as_str(), file.size, file.have),
        ("film.bin", 300_000, 300_000)
    );
    assert_eq!(
        (file.first_piece, file.last_piece, file.wanted),
        (0, 18, true)
    );
    assert_eq!(&torrent.pieces.value[..], [255, 255, 224]);
    let labels = pair.leecher.snapshot().labels.clone();
    assert!(labels.value.categories.contains_key("films"));
    assert_eq!(labels.value.tags, ["new"]);

    let changes = pair.leecher.changes(before);
    assert!(!changes.full);
    assert_eq!(changes.torrents.len(), 1);
    assert!(changes.labels.is_some());

    let told = async {
        let mut told = Vec::new();
        while let Some(event) = events.next().await {
            let over = matches!(event.what, Happened::Completed { .. });
            told.push(event.what);
            if over {
                break;
            }
        }
        told
    };
    let told = tokio::time::timeout(DEADLINE, told).await.unwrap();
    assert!(matches!(told.first(), Some(Happened::Added { .. })));

    let since = pair.leecher.snapshot().revision;
    let remove = Command::Remove { hash, data: true };
    assert_eq!(pair.leecher.command(remove).await.unwrap(), Answer::Done);
    gone(&pair.leecher, hash).await;
    assert!(!pair.downloaded().exists());
    let changes = pair.leecher.changes(since);
    assert_eq!(
        (changes.full, changes.removed.as_slice()),
        (false, &[hash][..])
    );
    let total = pair.leecher.snapshot().transfer.value.downloaded;
    assert_eq!(total, 300_000);
    // The seeder's own file is never deleted.
    let remove = Command::Remove { hash, data: true };
    pair.seeder.command(remove).await.unwrap();
    gone(&pair.seeder, hash).await;
    assert!(pair.folder.path().join("a/film.bin").exists());
    let unknown = pair.seeder.command(Command::Pause(hash)).await;
    assert!(matches!(unknown, Err(ClientError::NoSuchTorrent(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_one_is_not_begun_and_its_data_is_deleted_by_its_record() {
    let pair = pair(200_000).await;
    let leecher = &pair.leecher;
    let mut wanted = AddTorrent::new(Source::Link(pair.link()));
    wanted.paused = true;
    let hash = add(leecher, wanted).await;
    state(leecher, hash, TorrentState::Paused).await;
    assert!(!pair.downloaded().exists());
    leecher.command(Command::Resume(hash)).await.unwrap();
    state(leecher, hash, TorrentState::Seeding).await;
    leecher.command(Command::Pause(hash)).await.unwrap();
    let paused = state(leecher, hash, TorrentState::Paused).await;
    assert_eq!(paused.row.value.pieces_have, paused.row.value.pieces);
    leecher.command(Command::Resume(hash)).await.unwrap();
    state(leecher, hash, TorrentState::Seeding).await;
    // It is verified, and then it waits again.
    leecher.command(Command::Pause(hash)).await.unwrap();
    leecher.command(Command::Recheck(hash)).await.unwrap();
    let rechecked = |one: &Torrent| {
        let row = &one.row.value;
        row.state == TorrentState::Paused && row.pieces_have == row.pieces
    };
    until(leecher, hash, "it is verified and paused", rechecked).await;
    let remove = Command::Remove { hash, data: true };
    leecher.command(remove).await.unwrap();
    gone(leecher, hash).await;
    assert!(!pair.downloaded().exists());
    // It may be added again.
    let hash = add(leecher, AddTorrent::new(Source::Link(pair.link()))).await;
    state(leecher, hash, TorrentState::Seeding).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_chosen_while_it_runs_and_goals_pause_for_life() {
    let folder = tempfile::tempdir().unwrap();
    let a = folder.path().join("a");
    let disc = a.join("disc");
    std::fs::create_dir_all(&disc).unwrap();
    for (name, byte) in [("1.bin", 1u8), ("2.bin", 2)] {
        std::fs::write(disc.join(name), vec![byte; 64 << 10]).unwrap();
    }
    let options = CreateOptions {
        piece_size: Some(16 << 10),
        ..CreateOptions::default()
    };
    let metainfo = metainfo::create(&disc, &options, &|_, _| {}).unwrap();
    let seeder = client(&a).await;
    let hash = add(&seeder, shared(&metainfo, &disc)).await;
    let leecher = client(&folder.path().join("b")).await;
    let mut wanted = AddTorrent::new(Source::File(metainfo.to_bytes().unwrap()));
    wanted.files = Some(Files::Positions(vec![1]));
    wanted.peers = vec![seeder.snapshot().transfer.value.listen];
    add(&leecher, wanted).await;
    let torrent = state(&leecher, hash, TorrentState::Seeding).await;
    let wanted: Vec<bool> = torrent.files.value.iter().map(|file| file.wanted).collect();
    assert_eq!(wanted, [false, true]);
    assert_eq!(torrent.row.value.wanted, 64 << 10);
    for (files, bad) in [
        (Files::Positions(vec![]), "none"),
        (Files::Positions(vec![2]), "not there"),
        (Files::Pattern("3.bin".to_owned()), "not there"),
    ] {
        let refused = leecher.command(Command::SetFiles { hash, files }).await;
        refused.expect_err(bad);
    }
    let all = Command::SetFiles {
        hash,
        files: Files::All,
    };
    leecher.command(all).await.unwrap();
    let peers = vec![seeder.snapshot().transfer.value.listen];
    leecher
        .command(Command::AddPeers { hash, peers })
        .await
        .unwrap();
    let whole = |one: &Torrent| {
        let row = &one.row.value;
        row.state == TorrentState::Seeding && row.wanted == 128 << 10
    };
    let torrent = until(&leecher, hash, "all of it is here", whole).await;
    // What was received before it began anew is in the total.
    assert_eq!(torrent.row.value.downloaded, 128 << 10);
    assert_eq!(torrent.row.value.session_downloaded, 128 << 10);

    let goals = Goals {
        ratio_permille: Some(500),
        ..Goals::default()
    };
    seeder
        .command(Command::SetGoals { hash, goals })
        .await
        .unwrap();
    let paused = state(&seeder, hash, TorrentState::Paused).await;
    assert_eq!(paused.row.value.reached, Some(ReachedGoal::Ratio));
    seeder.command(Command::Resume(hash)).await.unwrap();
    let again = state(&seeder, hash, TorrentState::Seeding).await;
    assert_eq!(
        (again.row.value.reached, again.row.value.goals),
        (None, Goals::default())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let client = client(folder.path()).await;
    let before = client.snapshot().revision;
    let link = format!("magnet:?xt=urn:btih:{}", "ab".repeat(20));
    let mut relative = AddTorrent::new(Source::Link(link.clone()));
    relative.folder = Some("here".into());
    let mut tracker = AddTorrent::new(Source::Link(link.clone()));
    tracker.trackers = vec!["file:///etc/passwd".to_owned()];
    let mut tag = AddTorrent::new(Source::Link(link));
    tag.tags = vec!["a,b".to_owned()];
    for bad in [
        AddTorrent::new(Source::Link("no link".to_owned())),
        AddTorrent::new(Source::File(b"d4:infoe".to_vec())),
        relative,
        tracker,
        tag,
    ] {
        let refused = client.command(Command::Add(Box::new(bad))).await;
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), crate::client::ErrorKind::Invalid, "{error}");
    }
    assert_eq!(client.snapshot().torrents.len(), 0);
    assert!(client.changes(before).torrents.is_empty());
    client.close().await;
    let ended = client.command(Command::AddTags(Vec::new())).await;
    assert!(matches!(ended, Err(ClientError::Ended)));
    assert!(client.changed(client.snapshot().revision).await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_of_one_torrent_or_of_all() {
    let pair = pair(100_000).await;
    let limits = Limits {
        up: Some(50_000),
        down: None,
    };
    let set = |hash| Command::SetLimits { hash, limits };
    pair.seeder.command(set(None)).await.unwrap();
    pair.seeder.command(set(Some(pair.hash))).await.unwrap();
    let snapshot = pair.seeder.snapshot();
    assert_eq!(snapshot.transfer.value.limits, limits);
    assert_eq!(snapshot.torrents[&pair.hash].row.value.limits, limits);
}
