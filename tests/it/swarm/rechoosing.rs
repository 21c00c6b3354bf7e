//! Other files are chosen while a torrent runs: its connections stay, and what is complete
//! follows the choice.

use std::{fs, path::PathBuf, time::Duration};

use seedrail::swarm::{
    AddOptions, ChooseError, Event, Phase, Session, TorrentHandle, metainfo::Metainfo,
};
use tempfile::TempDir;
use tokio::sync::broadcast::Receiver;

use crate::support::{
    torrents::{album, of, until, within},
    web::{Manner, Web},
};

const FILES: [(&str, usize); 3] = [("a", 700_001), ("b", 900_000), ("sub/c", 300_000)];

/// Three files that share pieces, a seeder of them, and where a download of them goes.
struct Album {
    dir: TempDir,
    metainfo: Metainfo,
    seeder: Session,
    state: TempDir,
    out: TempDir,
}

impl Album {
    async fn new() -> Self {
        let (dir, metainfo, seeder) = album(&FILES).await;
        Self {
            dir,
            metainfo,
            seeder,
            state: tempfile::tempdir().unwrap(),
            out: tempfile::tempdir().unwrap(),
        }
    }

    async fn session(&self) -> Session {
        let session = Session::builder().state_dir(self.state.path());
        session.start().await.unwrap()
    }

    fn options(&self, files: &str) -> AddOptions {
        AddOptions {
            peers: vec![self.seeder.listen_addr()],
            files: Some(files.parse().unwrap()),
            seed: true,
            ..AddOptions::default()
        }
    }

    fn add(&self, session: &Session, options: AddOptions) -> TorrentHandle {
        let source = of(&self.metainfo);
        session.add(source, self.out.path(), options).unwrap()
    }

    fn root(&self) -> PathBuf {
        self.out.path().join("album")
    }

    /// Those of the files that are there; all of them are right.
    fn there(&self) -> Vec<&'static str> {
        let there = FILES.iter().map(|(name, _)| *name);
        let there: Vec<_> = there
            .filter(|name| self.root().join(name).exists())
            .collect();
        for name in &there {
            let right = fs::read(self.dir.path().join("album").join(name)).unwrap();
            assert!(fs::read(self.root().join(name)).unwrap() == right, "{name}");
        }
        there
    }

    fn part_file(&self) -> PathBuf {
        let name = format!(".{}.parts", self.metainfo.info.hash());
        self.out.path().join(name)
    }
}

async fn choose(handle: &TorrentHandle, files: &str) -> Result<(), ChooseError> {
    within(handle.choose_files(files.parse().unwrap())).await
}

/// What happened until it was complete: connections that were made and lost, and the pieces
/// that came.
async fn until_complete(events: &mut Receiver<Event>) -> (usize, usize, Vec<u32>) {
    let (mut made, mut lost, mut pieces) = (0, 0, Vec::new());
    loop {
        match within(events.recv()).await.unwrap() {
            Event::PeerConnected { .. } => made += 1,
            Event::PeerDisconnected { .. } => lost += 1,
            Event::PieceVerified { piece, .. } => pieces.push(piece),
            Event::Completed { .. } => break,
            _ => {}
        }
    }
    pieces.sort_unstable();
    (made, lost, pieces)
}

/// It is connected to a peer that serves it.
async fn is_served(handle: &TorrentHandle) {
    until("it is served", || {
        let peers = handle.stats().peers;
        peers
            .iter()
            .any(|peer| peer.interested && !peer.peer_choking)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_files_come_over_the_same_connection() {
    let album = Album::new().await;
    let session = album.session().await;
    let mut options = album.options("a");
    // Next to nothing comes before the choice.
    options.down_limit = Some(1);
    let handle = album.add(&session, options);
    let mut events = handle.events();
    is_served(&handle).await;
    let before = handle.stats().peers[0].conn;
    choose(&handle, "sub/c").await.unwrap();
    assert_eq!(handle.stats().bytes, 300_000);
    is_served(&handle).await;
    assert_eq!(handle.stats().peers[0].conn, before);
    handle.set_down_limit(None);
    let (made, lost, pieces) = until_complete(&mut events).await;
    assert_eq!((made, lost), (1, 0));
    let layout = album.metainfo.info.layout();
    let of_c: Vec<u32> = layout.pieces_of(1_600_001, 300_000).collect();
    // Of `a`, what was requested before: not all of it.
    let others = pieces.iter().filter(|piece| !of_c.contains(piece)).count();
    assert!(of_c.iter().all(|piece| pieces.contains(piece)));
    assert!(others < 20, "{pieces:?}");
    // What was not downloaded of `a` is a hole.
    assert_eq!(handle.chosen(), Some((1, 3)));
    fs::remove_file(album.root().join("a")).unwrap();
    assert_eq!(album.there(), ["sub/c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_is_chosen_of_a_complete_torrent_and_known_after_a_kill() {
    let album = Album::new().await;
    let session = album.session().await;
    let handle = album.add(&session, album.options("b"));
    let mut events = handle.events();
    until_complete(&mut events).await;
    assert_eq!(album.there(), ["b"]);
    assert!(album.part_file().exists());
    choose(&handle, "b,sub/c").await.unwrap();
    assert!(!handle.is_complete());
    let (.., pieces) = until_complete(&mut events).await;
    assert_eq!(album.there(), ["b", "sub/c"]);
    // The end of `b` and the beginning of `c` are one piece, which was there.
    let layout = album.metainfo.info.layout();
    let mut of_c: Vec<u32> = layout.pieces_of(1_600_001, 300_000).collect();
    of_c.remove(0);
    assert_eq!(pieces, of_c);
    choose(&handle, "all").await.unwrap();
    until_complete(&mut events).await;
    assert_eq!(album.there(), ["a", "b", "sub/c"]);
    assert!(!album.part_file().exists());
    assert_eq!(handle.chosen(), None);
    within(handle.finish(Duration::ZERO)).await;
    drop(session);

    // It is found as it was, and nothing is hashed.
    let session = album.session().await;
    let options = AddOptions {
        peers: Vec::new(),
        files: None,
        ..album.options("all")
    };
    let handle = album.add(&session, options);
    let mut events = handle.events();
    within(handle.wait_complete()).await.unwrap();
    assert_eq!(handle.chosen(), None);
    while let Ok(event) = events.try_recv() {
        assert!(!matches!(event, Event::Checking { .. }), "{event:?}");
    }
}

/// A choice is durable when it is taken: a kill right after it costs no hash.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_right_after_a_choice_costs_no_hash() {
    let album = Album::new().await;
    let mut session = album.session().await;
    let handle = album.add(&session, album.options("b"));
    until_complete(&mut handle.events()).await;
    // What is verified is recorded once it is complete.
    within(handle.finish(Duration::ZERO)).await;
    for files in ["a,b", "all", "b"] {
        session = album.session().await;
        let mut options = album.options("b");
        options.files = None;
        options.peers.clear();
        let handle = album.add(&session, options);
        let mut events = handle.events();
        within(handle.wait_ready()).await.unwrap();
        assert_eq!(handle.stats().pieces_have, 28);
        while let Ok(event) = events.try_recv() {
            assert!(
                !matches!(event, Event::Checking { .. }),
                "{files}: {event:?}"
            );
        }
        choose(&handle, files).await.unwrap();
        drop((handle, session));
    }
    session = album.session().await;
    let handle = album.add(&session, album.options("b"));
    within(handle.wait_complete()).await.unwrap();
    let right = fs::read(album.dir.path().join("album/b")).unwrap();
    assert!(fs::read(album.root().join("b")).unwrap() == right);
}

#[tokio::test(flavor = "multi_thread")]
async fn less_is_chosen_and_it_is_complete_or_paused_as_before() {
    let album = Album::new().await;
    let session = album.session().await;
    let handle = album.add(&session, album.options("a"));
    until_complete(&mut handle.events()).await;
    within(album.seeder.clone().finish(Duration::ZERO)).await;
    choose(&handle, "all").await.unwrap();
    assert_eq!(handle.phase(), Phase::Downloading);
    assert_eq!(handle.stats().bytes_left > 0, !handle.is_complete());
    choose(&handle, "a").await.unwrap();
    assert_eq!(handle.phase(), Phase::Seeding);
    assert_eq!(handle.stats().bytes_left, 0);
    handle.pause();
    choose(&handle, "a,sub/c").await.unwrap();
    assert!(!handle.is_complete() && matches!(handle.phase(), Phase::Paused(_)));
    handle.resume();
    assert_eq!(handle.phase(), Phase::Downloading);
    // Files that are left out stay.
    choose(&handle, "a").await.unwrap();
    assert!(handle.is_complete() && album.root().join("sub/c").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_the_way_is_not_touched_and_nothing_is_chosen() {
    let album = Album::new().await;
    let session = album.session().await;
    let handle = album.add(&session, album.options("b"));
    until_complete(&mut handle.events()).await;
    let own = album.root().join("a");
    fs::write(&own, b"somebody's own").unwrap();
    let refused = choose(&handle, "all").await.unwrap_err();
    assert!(matches!(&refused, ChooseError::There(path) if *path == own));
    assert_eq!(fs::read(&own).unwrap(), b"somebody's own");
    assert_eq!(handle.chosen(), Some((1, 3)));
    assert_eq!(handle.phase(), Phase::Seeding);
    let refused = choose(&handle, "9").await.unwrap_err();
    assert!(matches!(refused, ChooseError::Selection(_)));
    // Content that is only shared is shared whole.
    let shared = album.seeder.torrents().remove(0);
    let refused = choose(&shared, "a").await.unwrap_err();
    assert!(matches!(refused, ChooseError::OnlyShared));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_choice_before_the_metadata_is_there_is_kept_until_then() {
    let album = Album::new().await;
    let session = album.session().await;
    let source = seedrail::swarm::Source::Magnet(album.metainfo.magnet());
    let options = AddOptions {
        peers: Vec::new(),
        ..album.options("a")
    };
    let handle = session.add(source, album.out.path(), options).unwrap();
    choose(&handle, "b").await.unwrap();
    handle.add_peer(album.seeder.listen_addr());
    within(handle.wait_complete()).await.unwrap();
    assert_eq!(album.there(), ["b"]);
    assert!(!album.root().join("a").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_seed_is_asked_for_what_is_wanted_now() {
    let album = Album::new().await;
    let content = |name: &str| fs::read(album.dir.path().join("album").join(name)).unwrap();
    let served = [
        ("/pub/album/a", content("a")),
        ("/pub/album/b", content("b")),
        ("/pub/album/sub/c", content("sub/c")),
    ];
    let web = Web::start(&served, Manner::Honest).await;
    let session = album.session().await;
    let options = AddOptions {
        peers: Vec::new(),
        web_seeds: vec![web.url("/pub")],
        ..album.options("sub/c")
    };
    let handle = album.add(&session, options);
    let mut events = handle.events();
    until_complete(&mut events).await;
    assert_eq!(album.there(), ["sub/c"]);
    choose(&handle, "a").await.unwrap();
    until_complete(&mut events).await;
    assert_eq!(album.there(), ["a", "sub/c"]);
    let asked = web.asked();
    let of_b = asked.iter().filter(|(path, ..)| path.ends_with("/b"));
    // Only for the piece that it shares with another.
    assert!(of_b.count() <= 2, "{asked:?}");
}
