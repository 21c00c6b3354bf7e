//! Files in the way of a download: those of others are not touched, and no file is
//! written to by two downloads.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use seedrail::swarm::{
    AddOptions, SeedOptions, Session, Source, TorrentHandle,
    metainfo::{CreateOptions, Metainfo, create},
};

use crate::support::{
    home::{Home, Run},
    torrents::{file, noise, of, session, torrent, until, within},
};

/// Runs `get` of a torrent into `out`, from one peer.
fn get(home: &Home, metainfo: &Metainfo, out: &Path, peer: &str, more: &[&str]) -> Run {
    let torrent = home.file("t.torrent", metainfo.to_bytes().unwrap());
    let mut arguments = vec!["get".into(), torrent.into_os_string()];
    let fixed = ["--no-dht", "--listen", "127.0.0.1:0", "--peer", peer, "-o"];
    arguments.extend(fixed.map(Into::into));
    arguments.push(out.into());
    arguments.extend(more.iter().map(Into::into));
    home.run(arguments)
}

/// A seeder of a file of noise; the torrent, its content and where it is.
async fn seeded(seed: u64) -> (Session, Metainfo, Vec<u8>, tempfile::TempDir) {
    let (dir, path) = file(300_000, seed);
    let metainfo = torrent(&path, 32 << 10, &[]);
    let seeder = session().await;
    let options = SeedOptions {
        trusted: true,
        ..SeedOptions::default()
    };
    seeder.seed(&metainfo, &path, options).unwrap();
    let content = fs::read(&path).unwrap();
    (seeder, metainfo, content, dir)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_somebody_else_is_not_touched() {
    let (seeder, metainfo, content, _dir) = seeded(650).await;
    let peer = seeder.listen_addr().to_string();
    let out = tempfile::tempdir().unwrap();
    let target = out.path().join("content.bin");
    let run = tokio::task::spawn_blocking(move || {
        let home = Home::new();
        // Shorter, as long, longer.
        for length in [9, 300_000, 300_001] {
            let diary = noise(length, 651);
            fs::write(&target, &diary).unwrap();
            let refused = get(&home, &metainfo, out.path(), &peer, &[]);
            assert_eq!(refused.code, 1, "{refused:?}");
            assert!(refused.stderr.contains("it was not touched"), "{refused:?}");
            assert!(refused.stderr.contains("--overwrite"), "{refused:?}");
            assert!(!refused.stderr.contains("trying again"), "{refused:?}");
            assert!(fs::read(&target).unwrap() == diary);
        }
        let done = get(&home, &metainfo, out.path(), &peer, &["--overwrite"]);
        assert_eq!(done.code, 0, "{done:?}");
        assert!(fs::read(&target).unwrap() == content);
    });
    run.await.unwrap();
}

/// It was complete; then something was added to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_grew_is_not_called_done() {
    let (seeder, metainfo, content, _dir) = seeded(652).await;
    let peer = seeder.listen_addr().to_string();
    let out = tempfile::tempdir().unwrap();
    let target = out.path().join("content.bin");
    let run = tokio::task::spawn_blocking(move || {
        let home = Home::new();
        let done = get(&home, &metainfo, out.path(), &peer, &[]);
        assert_eq!(done.code, 0, "{done:?}");
        let longer = [&content[..], b"tail"].concat();
        fs::write(&target, &longer).unwrap();
        let refused = get(&home, &metainfo, out.path(), &peer, &[]);
        assert_eq!(refused.code, 1, "{refused:?}");
        let words = "has 300004 bytes and the torrent says 300000";
        assert!(refused.stderr.contains(words), "{refused:?}");
        assert!(fs::read(&target).unwrap() == longer);
        let done = get(&home, &metainfo, out.path(), &peer, &["--overwrite"]);
        assert_eq!(done.code, 0, "{done:?}");
        assert!(fs::read(&target).unwrap() == content);
    });
    run.await.unwrap();
}

/// Half of it, of another program or an older home: it goes on from there.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_began_is_kept() {
    let (seeder, metainfo, content, _dir) = seeded(653).await;
    for half in [
        content[..150_000].to_vec(),
        [&content[..150_000], &[0; 150_000][..]].concat(),
        [&[0; 150_000][..], &content[150_000..]].concat(),
    ] {
        let out = tempfile::tempdir().unwrap();
        fs::write(out.path().join("content.bin"), half).unwrap();
        let leecher = session().await;
        let options = AddOptions {
            peers: vec![seeder.listen_addr()],
            ..AddOptions::default()
        };
        let leech = leecher.add(of(&metainfo), out.path(), options).unwrap();
        let got = within(leech.wait_complete()).await.unwrap();
        assert!(fs::read(got).unwrap() == content);
        assert!(leech.stats().downloaded < 250_000);
    }
}

/// Two torrents of two files of the same name, and one folder to download into.
#[tokio::test(flavor = "multi_thread")]
async fn two_downloads_never_write_to_one_file() {
    let (_seeder, first, _, _dir) = seeded(654).await;
    let (_seeder, second, _, _dir) = seeded(655).await;
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().to_owned();
    let leecher = session().await;
    let add = |metainfo: &Metainfo| -> TorrentHandle {
        leecher
            .add(of(metainfo), &folder, AddOptions::default())
            .unwrap()
    };
    // Nobody has it: it stays there and waits.
    let waiting = add(&first);
    until("it has begun", || {
        waiting.stats().phase == seedrail::swarm::Phase::Downloading
    })
    .await;
    let refused = within(add(&second).wait_complete()).await.unwrap_err();
    assert!(
        refused.to_string().contains("another download"),
        "{refused}"
    );
    let run = tokio::task::spawn_blocking(move || {
        let home = Home::new();
        get(&home, &second, out.path(), "127.0.0.1:9", &["--overwrite"])
    });
    let refused = run.await.unwrap();
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("another download"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn complete_content_is_shared_through_links_and_without_leave_to_write() {
    let real = tempfile::tempdir().unwrap();
    let root = real.path().join("album");
    fs::create_dir(&root).unwrap();
    for (name, seed) in [("a", 656), ("b", 657)] {
        let path = root.join(name);
        fs::write(&path, noise(100_000, seed)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    }
    let metainfo = create(&root, &CreateOptions::default(), &|_, _| {}).unwrap();
    let out = tempfile::tempdir().unwrap();
    symlink(&root, out.path().join("album")).unwrap();
    let seeder = session().await;
    let seed = seeder.add(of(&metainfo), out.path(), AddOptions::default());
    within(seed.unwrap().wait_complete()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_or_folder_in_the_place_of_a_file_is_refused_at_once() {
    let (_seeder, metainfo, _, _dir) = seeded(658).await;
    for (make, words) in [("mkfifo", "is not a file"), ("mkdir", "is not a file")] {
        let out = tempfile::tempdir().unwrap();
        let target = out.path().join("content.bin");
        let made = std::process::Command::new(make).arg(&target).status();
        assert!(made.unwrap().success());
        let leecher = session().await;
        for overwrite in [false, true] {
            let options = AddOptions {
                overwrite,
                ..AddOptions::default()
            };
            let source = Source::Torrent(Box::new(metainfo.clone()));
            let leech = leecher.add(source, out.path(), options).unwrap();
            let refused = within(leech.wait_complete()).await.unwrap_err();
            assert!(refused.to_string().contains(words), "{refused}");
            within(leecher.clone().finish(std::time::Duration::ZERO)).await;
        }
    }
}

#[test]
fn a_torrent_file_is_not_overwritten_unasked() {
    let home = Home::new();
    let content = home.file("content.bin", noise(1000, 659));
    let target = home.file("x.torrent", "something else");
    let (from, to) = (content.display().to_string(), target.display().to_string());
    let create = ["torrent", "create", &from, "-o", &to];
    let refused = home.run(create);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("it was not touched"), "{refused:?}");
    assert_eq!(fs::read(&target).unwrap(), b"something else");
    let made = home.run(create.iter().chain(&["--overwrite"]));
    assert_eq!(made.code, 0, "{made:?}");
    // The same again changes nothing.
    assert_eq!(home.run(create).code, 0);
}
