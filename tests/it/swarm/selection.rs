//! Some of a torrent's files: what is left out is neither asked for nor made.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use seedrail::swarm::{
    AddOptions, Event, FilePriority, SeedOptions, Session, SessionError, Source, TorrentHandle,
    metainfo::{CreateOptions, Metainfo, create},
    selection::Selection,
};
use tempfile::TempDir;

use crate::support::home::Home;
use crate::support::torrents::{noise, of, until, within};

const PIECE: u32 = 16 << 10;

/// Files of three letters in ten pieces: `a` in 0 to 2, `b` in 2 to 6, `c` in 6 to
/// 9, and an empty one.
struct Album {
    dir: TempDir,
    metainfo: Metainfo,
    seeder: Session,
    seed: TorrentHandle,
}

const FILES: [(&str, usize); 4] = [
    ("a", 2 * PIECE as usize + 100),
    ("b", 4 * PIECE as usize),
    ("c", 3 * PIECE as usize + 7),
    ("d/empty", 0),
];

impl Album {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("album");
        fs::create_dir_all(root.join("d")).unwrap();
        for (number, (name, length)) in FILES.into_iter().enumerate() {
            let seed = 700 + u64::try_from(number).unwrap();
            fs::write(root.join(name), noise(length, seed)).unwrap();
        }
        let options = CreateOptions {
            piece_size: Some(PIECE),
            ..CreateOptions::default()
        };
        let metainfo = create(&root, &options, &|_, _| {}).unwrap();
        assert_eq!(metainfo.info.layout().pieces(), 10);
        let seeder = Session::builder().start().await.unwrap();
        let options = SeedOptions {
            trusted: true,
            ..SeedOptions::default()
        };
        let seed = seeder.seed(&metainfo, &root, options).unwrap();
        Self {
            dir,
            metainfo,
            seeder,
            seed,
        }
    }

    fn content(&self, name: &str) -> Vec<u8> {
        fs::read(self.dir.path().join("album").join(name)).unwrap()
    }

    /// Those of the files that are below `out`; all of them are right.
    fn there(&self, out: &Path) -> Vec<&'static str> {
        let root = out.join("album");
        let there = FILES.iter().filter(|(name, _)| root.join(name).exists());
        let there: Vec<_> = there.map(|(name, _)| *name).collect();
        for name in &there {
            assert!(
                fs::read(root.join(name)).unwrap() == self.content(name),
                "{name}"
            );
        }
        there
    }

    fn part_file(&self, out: &Path) -> PathBuf {
        out.join(format!(".{}.parts", self.metainfo.info.hash()))
    }

    async fn get(
        &self,
        at: &Place,
        source: Source,
        files: Option<&str>,
    ) -> (Session, TorrentHandle) {
        let session = Session::builder().state_dir(at.state.path());
        let session = session.start().await.unwrap();
        let options = AddOptions {
            peers: vec![self.seeder.listen_addr()],
            files: files.map(|files| files.parse().unwrap()),
            ..AddOptions::default()
        };
        let handle = session.add(source, at.out.path(), options).unwrap();
        within(handle.wait_complete()).await.unwrap();
        (session, handle)
    }
}

/// Where a download goes, and where it is remembered.
struct Place {
    state: TempDir,
    out: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            state: tempfile::tempdir().unwrap(),
            out: tempfile::tempdir().unwrap(),
        }
    }
}

async fn end(session: Session) {
    session.finish(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_pieces_of_wanted_files_are_asked_for() {
    let album = Album::new().await;
    let at = Place::new();
    let (session, handle) = album.get(&at, of(&album.metainfo), Some("b")).await;
    assert_eq!(album.there(at.out.path()), ["b"]);
    let stats = handle.stats();
    assert_eq!((stats.pieces_have, stats.pieces), (5, 10));
    assert_eq!((stats.bytes, stats.bytes_left), (4 * u64::from(PIECE), 0));
    assert_eq!(stats.downloaded, 5 * u64::from(PIECE));
    assert_eq!(handle.chosen(), Some((1, 4)));
    // Two that want nothing of each other part: a seed, and who has what it wants.
    until("they part", || handle.stats().peers.is_empty()).await;
    let sent = || album.seed.stats().uploaded;
    until("it is counted", || sent() == 5 * u64::from(PIECE)).await;
    assert!(album.part_file(at.out.path()).exists());

    // What is here is given away, the shared pieces too, and nothing else is claimed.
    let other = Session::builder().start().await.unwrap();
    let out = tempfile::tempdir().unwrap();
    let options = AddOptions {
        peers: vec![session.listen_addr()],
        files: Some("2".parse().unwrap()),
        ..AddOptions::default()
    };
    let second = other.add(of(&album.metainfo), out.path(), options).unwrap();
    within(second.wait_complete()).await.unwrap();
    assert_eq!(album.there(out.path()), ["b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_choice_is_remembered_and_can_be_widened_and_narrowed() {
    let album = Album::new().await;
    let at = Place::new();
    let (session, _) = album.get(&at, of(&album.metainfo), Some("b")).await;
    end(session).await;

    // Not said again: the same, and nothing is missing.
    let (session, handle) = album.get(&at, of(&album.metainfo), None).await;
    assert_eq!(handle.chosen(), Some((1, 4)));
    assert_eq!(handle.stats().downloaded, 0);
    assert_eq!(album.there(at.out.path()), ["b"]);
    end(session).await;

    // Wider: the bytes of `a` in the shared piece are there already.
    let (session, handle) = album.get(&at, of(&album.metainfo), Some("a,b")).await;
    assert_eq!(handle.stats().downloaded, 2 * u64::from(PIECE));
    assert_eq!(album.there(at.out.path()), ["a", "b"]);
    end(session).await;

    // Narrower: the file that is left out stays, and what is in it still counts.
    let (session, handle) = album.get(&at, of(&album.metainfo), Some("a")).await;
    assert_eq!(handle.stats().pieces_have, 7);
    assert_eq!(album.there(at.out.path()), ["a", "b"]);
    end(session).await;
    let (session, handle) = album.get(&at, of(&album.metainfo), Some("1,3")).await;
    assert_eq!(handle.stats().downloaded, 2 * u64::from(PIECE) + 107);
    assert_eq!(album.there(at.out.path()), ["a", "b", "c"]);
    end(session).await;

    let (session, handle) = album.get(&at, of(&album.metainfo), Some("all")).await;
    assert_eq!(handle.chosen(), None);
    assert_eq!(handle.stats().downloaded, 0);
    assert_eq!(album.there(at.out.path()).len(), 4);
    assert!(!album.part_file(at.out.path()).exists());
    end(session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_left_out_is_never_written_to() {
    let album = Album::new().await;
    let at = Place::new();
    let root = at.out.path().join("album");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("a"), b"somebody's own").unwrap();
    let (session, _) = album.get(&at, of(&album.metainfo), Some("b")).await;
    end(session).await;
    assert_eq!(fs::read(root.join("a")).unwrap(), b"somebody's own");
    // Once it is wanted, it is in the way; not even its length changes.
    let session = Session::builder().start().await.unwrap();
    let add = |overwrite| {
        let options = AddOptions {
            peers: vec![album.seeder.listen_addr()],
            overwrite,
            ..AddOptions::default()
        };
        let handle = session.add(of(&album.metainfo), at.out.path(), options);
        handle.unwrap()
    };
    let refused = add(false);
    assert!(within(refused.wait_complete()).await.is_err());
    assert!(refused.is_file_in_the_way());
    assert_eq!(fs::read(root.join("a")).unwrap(), b"somebody's own");
    within(session.clone().finish(Duration::ZERO)).await;
    within(add(true).wait_complete()).await.unwrap();
    assert_eq!(album.there(at.out.path()).len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_out_of_the_part_file_that_was_cut_off_costs_no_byte() {
    let album = Album::new().await;
    let at = Place::new();
    let (session, _) = album.get(&at, of(&album.metainfo), Some("b")).await;
    end(session).await;
    // Killed before the new file had its name, or after that but before the record.
    let root = at.out.path().join("album");
    let new = root.join(format!(".{}.new", album.metainfo.info.hash()));
    fs::write(&new, b"half").unwrap();
    fs::write(root.join("a"), vec![0; FILES[0].1]).unwrap();
    let (_session, _) = album.get(&at, of(&album.metainfo), Some("all")).await;
    assert_eq!(album.there(at.out.path()).len(), 4);
    assert!(!new.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_magnet_link_chooses_files() {
    let album = Album::new().await;
    let at = Place::new();
    let mut magnet = album.metainfo.magnet();
    magnet.files = vec![0..=0, 3..=3];
    let link = magnet.to_string();
    assert!(link.ends_with("&so=0,3"), "{link}");
    let source = Source::Magnet(link.parse().unwrap());
    let (session, handle) = album.get(&at, source.clone(), None).await;
    assert_eq!(album.there(at.out.path()), ["a", "d/empty"]);
    assert_eq!(handle.stats().pieces_have, 3);
    end(session).await;
    // What the user says counts more.
    let (_session, _) = album.get(&at, source, Some("c")).await;
    let there = album.there(at.out.path());
    assert!(there.contains(&"c") && !there.contains(&"b"), "{there:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_not_in_the_torrent_are_refused() {
    let album = Album::new().await;
    let out = tempfile::tempdir().unwrap();
    let session = Session::builder().start().await.unwrap();
    let add = |source, files: &str, peers: Vec<SocketAddr>| {
        let options = AddOptions {
            peers,
            files: Some(files.parse::<Selection>().unwrap()),
            ..AddOptions::default()
        };
        session.add(source, out.path(), options)
    };
    let refused = add(of(&album.metainfo), "7", vec![]).err().unwrap();
    assert!(matches!(refused, SessionError::Selection(_)), "{refused}");
    let peers = vec![album.seeder.listen_addr()];
    let handle = add(Source::Magnet(album.metainfo.magnet()), "*.mp3", peers).unwrap();
    let failed = within(handle.wait_complete()).await.unwrap_err();
    assert!(failed.to_string().contains("`*.mp3`"), "{failed}");
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_chooses_by_number_and_name_and_is_told_what_is_not_there() {
    let album = Album::new().await;
    let out = tempfile::tempdir().unwrap();
    let file = album.dir.path().join("t.torrent");
    fs::write(&file, album.metainfo.to_bytes().unwrap()).unwrap();
    let (file, to) = (file.display().to_string(), out.path().display().to_string());
    let peer = album.seeder.listen_addr().to_string();
    let link = album.metainfo.magnet().to_string();
    let run = move |source: String, files: &'static str| {
        let arguments = [
            "get",
            &source,
            "--files",
            files,
            "-o",
            &to,
            "--peer",
            &peer,
            "--listen",
            "127.0.0.1:0",
            "--no-dht",
            "--json",
        ];
        Home::new().run(arguments)
    };
    let shown = Home::new().run(["torrent", "show", &file]);
    assert!(shown.stdout.contains("     2  "), "{shown:?}");
    let runs = tokio::task::spawn_blocking(move || {
        for source in [&file, &link] {
            for (files, told) in [("5", "numbered from 1 to 4"), ("2,nothing", "`nothing`")] {
                let run = run(source.clone(), files);
                assert_eq!(run.code, 2, "{run:?}");
                assert!(run.stderr.contains(told), "{run:?}");
            }
        }
        let malformed = run(file.clone(), "3-1");
        assert_eq!(malformed.code, 2, "{malformed:?}");
        run(file, "2,c")
    });
    let done = within(runs).await.unwrap();
    assert_eq!(done.code, 0, "{done:?}");
    let last: serde_json::Value =
        serde_json::from_str(done.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(last["bytes"], 7 * PIECE + 7);
    assert_eq!(album.there(out.path()), ["b", "c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selected_download_that_was_cut_off_hashes_only_what_was_in_flight() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("album");
    fs::create_dir(&root).unwrap();
    for (name, length) in [("a", 50_000), ("b", 2 << 20), ("c", 50_000)] {
        fs::write(root.join(name), noise(length, 770)).unwrap();
    }
    let options = CreateOptions {
        piece_size: Some(PIECE),
        ..CreateOptions::default()
    };
    let metainfo = create(&root, &options, &|_, _| {}).unwrap();
    let seeder = Session::builder().up_limit(Some(1 << 20));
    let seeder = seeder.start().await.unwrap();
    let options = SeedOptions::default();
    seeder.seed(&metainfo, &root, options).unwrap();
    let at = Place::new();
    let begin = async || {
        let session = Session::builder().state_dir(at.state.path());
        let session = session.start().await.unwrap();
        let options = AddOptions {
            peers: vec![seeder.listen_addr()],
            files: Some("b".parse().unwrap()),
            ..AddOptions::default()
        };
        let handle = session.add(of(&metainfo), at.out.path(), options);
        (session, handle.unwrap())
    };
    let (session, handle) = begin().await;
    until("some pieces are there", || handle.stats().pieces_have >= 20).await;
    drop((session, handle));
    let (_session, handle) = begin().await;
    let mut events = handle.events();
    within(handle.wait_ready()).await.unwrap();
    let have = handle.stats().pieces_have;
    let mut checked = 0;
    while let Ok(event) = events.try_recv() {
        if let Event::Checking { total, .. } = event {
            checked = total;
        }
    }
    assert!(have >= 20 && checked <= have, "{checked} hashed for {have}");
    seeder.set_up_limit(None);
    within(handle.wait_complete()).await.unwrap();
    let got = at.out.path().join("album/b");
    assert!(fs::read(got).unwrap() == fs::read(root.join("b")).unwrap());
}

/// `c` first and `a` last: as it is said at the start, and as it is changed later.
#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_higher_priority_are_there_first() {
    let album = Album::new().await;
    // Slower than the hashing of what comes.
    album.seed.set_up_limit(Some(64 << 10));
    let first = [(0, FilePriority::Low), (2, FilePriority::High)];
    for at_start in [true, false] {
        let at = Place::new();
        let session = Session::builder().start().await.unwrap();
        let options = AddOptions {
            priorities: match at_start {
                true => first.into(),
                false => [(0, FilePriority::High)].into(),
            },
            ..AddOptions::default()
        };
        let leech = session.add(of(&album.metainfo), at.out.path(), options);
        let leech = leech.unwrap();
        let mut events = leech.events();
        within(leech.wait_ready()).await.unwrap();
        if !at_start {
            leech.set_priorities(first.into());
        }
        leech.add_peer(album.seeder.listen_addr());
        within(leech.wait_complete()).await.unwrap();
        let mut order = Vec::new();
        while let Ok(event) = events.try_recv() {
            if let Event::PieceVerified { piece, .. } = event {
                order.push(piece);
            }
        }
        let place = |piece: u32| order.iter().position(|one| *one == piece).unwrap();
        let last_of_c = (6..10).map(place).max().unwrap();
        let first_of_b = (2..6).map(place).min().unwrap();
        let first_of_a = (0..2).map(place).min().unwrap();
        assert!(
            last_of_c < first_of_b && first_of_b < first_of_a,
            "{order:?}"
        );
        session.finish(Duration::ZERO).await;
    }
}
