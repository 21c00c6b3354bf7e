//! Complete content is moved: within a file system and across, never over anything,
//! and never so that it is nowhere.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};

use seedrail::swarm::{
    AddOptions, Event, SeedOptions, Session, TorrentHandle, metainfo::Metainfo, relocate::MoveError,
};
use tempfile::TempDir;

use crate::support::torrents::{album, file, of, torrent, within};
use crate::support::{child::Ended, home::Home, small_disk::Disk};

/// A folder of two files and a seeder of it; a complete download of one of them.
struct World {
    dir: TempDir,
    metainfo: Metainfo,
    seeder: Session,
    state: TempDir,
    out: TempDir,
}

impl World {
    async fn new() -> Self {
        let files = [("left out", 50_000), ("sub/wanted", 900_000)];
        let (dir, metainfo, seeder) = album(&files).await;
        Self {
            dir,
            metainfo,
            seeder,
            state: tempfile::tempdir().unwrap(),
            out: tempfile::tempdir().unwrap(),
        }
    }

    async fn get(&self, folder: &Path) -> (Session, TorrentHandle) {
        let session = Session::builder().state_dir(self.state.path());
        let session = session.start().await.unwrap();
        let options = AddOptions {
            peers: vec![self.seeder.listen_addr()],
            files: Some("wanted".parse().unwrap()),
            ..AddOptions::default()
        };
        let handle = session.add(of(&self.metainfo), folder, options).unwrap();
        within(handle.wait_complete()).await.unwrap();
        (session, handle)
    }

    /// All that is right below `folder`, and nothing else of ours.
    fn lies_in(&self, folder: &Path) {
        let name = "album/sub/wanted";
        let right = fs::read(self.dir.path().join(name)).unwrap();
        assert!(fs::read(folder.join(name)).unwrap() == right);
        assert!(!folder.join("album/left out").exists());
        let parts = format!(".{}.parts", self.metainfo.info.hash());
        let mut there: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        there.sort();
        assert_eq!(there, [parts.as_str(), "album"]);
    }

    /// It is served from there, and known there at the next start.
    async fn goes_on_from(&self, folder: &Path, session: Session, handle: TorrentHandle) {
        let other = Session::builder().start().await.unwrap();
        let out = tempfile::tempdir().unwrap();
        let options = AddOptions {
            peers: vec![session.listen_addr()],
            files: Some("wanted".parse().unwrap()),
            ..AddOptions::default()
        };
        let second = other.add(of(&self.metainfo), out.path(), options).unwrap();
        within(second.wait_complete()).await.unwrap();
        self.lies_in(out.path());
        assert_eq!(handle.path().unwrap(), folder.join("album"));
        session.finish(Duration::from_secs(1)).await;
        let session = Session::builder().state_dir(self.state.path());
        let session = session.start().await.unwrap();
        let options = AddOptions::default();
        let handle = session.add(of(&self.metainfo), folder, options).unwrap();
        let mut events = handle.events();
        within(handle.wait_complete()).await.unwrap();
        assert_eq!(handle.chosen(), Some((1, 2)));
        while let Ok(event) = events.try_recv() {
            assert!(!matches!(event, Event::Checking { .. }), "{event:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn content_is_renamed_and_goes_on_from_there() {
    let world = World::new().await;
    let target = world.dir.path().join("new/folder");
    let (session, handle) = world.get(world.out.path()).await;
    let moved = within(handle.move_to(&target)).await.unwrap();
    assert_eq!(moved, target.join("album"));
    world.lies_in(&target);
    assert_eq!(fs::read_dir(world.out.path()).unwrap().count(), 0);
    world.goes_on_from(&target, session, handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn content_is_copied_to_another_file_system_and_then_removed() {
    let world = World::new().await;
    let disk = Disk::new(8, "root");
    let target = disk.path().join("new");
    let (session, handle) = world.get(world.out.path()).await;
    let own = world.out.path().join("album/my own notes");
    fs::write(&own, b"precious").unwrap();
    within(handle.move_to(&target)).await.unwrap();
    world.lies_in(&target);
    // What is not of the torrent stays.
    assert_eq!(fs::read(&own).unwrap(), b"precious");
    assert!(!world.out.path().join("album/sub").exists());
    world.goes_on_from(&target, session, handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_overwritten_and_a_failed_move_changes_nothing() {
    let world = World::new().await;
    let (_session, handle) = world.get(world.out.path()).await;
    let disk = Disk::new(8, "root");
    for target in [world.dir.path(), disk.path()] {
        fs::create_dir_all(target.join("album")).unwrap();
        let refused = within(handle.move_to(target)).await.unwrap_err();
        assert!(matches!(refused, MoveError::Exists(_)), "{refused}");
        world.lies_in(world.out.path());
    }
    fs::remove_dir(disk.path().join("album")).unwrap();
    disk.fill();
    let refused = within(handle.move_to(disk.path())).await.unwrap_err();
    assert!(
        refused.to_string().contains("the disk is full"),
        "{refused}"
    );
    world.lies_in(world.out.path());
    assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 1);
    disk.empty();
    within(handle.move_to(disk.path())).await.unwrap();
    world.lies_in(disk.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_killed_while_it_moves_leaves_the_content_whole() {
    let (dir, path) = file(6 << 20, 762);
    let right = fs::read(&path).unwrap();
    let metainfo = torrent(&path, 64 << 10, &[]);
    let torrent_file = dir.path().join("t.torrent");
    fs::write(&torrent_file, metainfo.to_bytes().unwrap()).unwrap();
    let disk = Disk::new(24, "root");
    let target = disk.path().join("content.bin");
    let hash = metainfo.info.hash();
    let job = tokio::task::spawn_blocking(move || {
        let home = Home::new();
        let out = dir.path().join("out");
        fs::create_dir(&out).unwrap();
        let source = out.join("content.bin");
        let begin = || {
            let mut command = home.command();
            command
                .args(["get", "--json", "--no-dht", "--listen", "127.0.0.1:0", "-o"])
                .args([&out, &torrent_file])
                .arg("--move-to")
                .arg(disk.path());
            command.spawn().unwrap()
        };
        let whole = |path: &Path| fs::read(path).is_ok_and(|there| there == right);
        // How long all of it takes, to kill it anywhere within.
        fs::write(&source, &right).unwrap();
        let begun = Instant::now();
        assert!(begin().wait().unwrap().success());
        let took = begun.elapsed();
        assert!(whole(&target) && !source.exists());
        // The same command goes on from there, and somebody's own file is refused.
        assert!(begin().wait().unwrap().success());
        assert!(whole(&target) && !source.exists());
        fs::write(&target, b"somebody's own").unwrap();
        let refused = begin().wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{told}");
        assert!(told.contains("is there already"), "{told}");
        assert_eq!(fs::read(&target).unwrap(), b"somebody's own");
        let staging = disk.path().join(format!(".{hash}.moving"));
        for nth in 0..=12 {
            fs::remove_file(&target).unwrap_or_default();
            fs::write(&source, &right).unwrap();
            let mut child = begin();
            // The moment is what the test is about. One kill is in the middle of the move.
            match nth {
                0 => while !staging.exists() && child.try_wait().unwrap().is_none() {},
                nth => std::thread::sleep(took * nth / 12),
            }
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(whole(&source) || whole(&target), "kill {nth} lost it");
            assert!(!target.exists() || whole(&target), "kill {nth} left half");
            let next = begin().wait_with_output().unwrap();
            let told = String::from_utf8_lossy(&next.stderr).into_owned();
            assert!(next.status.success(), "after kill {nth}: {told}");
            assert!(whole(&target) && !source.exists(), "after kill {nth}");
            assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 1);
        }
    });
    within(job).await.unwrap();
}

/// Of a link nothing is known before somebody sends the metadata.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_goes_on_from_where_it_was_moved_before_a_kill() {
    let (dir, path) = file(1 << 20, 764);
    let right = fs::read(&path).unwrap();
    let metainfo = torrent(&path, 64 << 10, &[]);
    let seeder = Session::builder().start().await.unwrap();
    let options = SeedOptions::default();
    seeder.seed(&metainfo, &path, options).unwrap();
    let peer = seeder.listen_addr().to_string();
    let job = tokio::task::spawn_blocking(move || {
        let home = Home::new();
        let target = dir.path().join("there");
        let out = dir.path().join("out");
        let begin = |more: &[&str]| {
            let mut command = home.command();
            command
                .args(["get", "--json", "--no-dht", "--listen", "127.0.0.1:0", "-o"])
                .arg(&out)
                .args([&metainfo.magnet().to_string(), "--peer", &peer])
                .args(more)
                .arg("--move-to")
                .arg(&target);
            Ended(command.spawn().unwrap())
        };
        let until = |child: &mut Ended, kind: &str| -> serde_json::Value {
            let lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
            let mut events = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap());
            events
                .find(|event: &serde_json::Value| event["event"] == kind)
                .unwrap()
        };
        let mut sharing = begin(&["--seed"]);
        until(&mut sharing, "moved");
        drop(sharing);
        let there = target.join("content.bin");
        assert!(fs::read(&there).unwrap() == right);
        let done = until(&mut begin(&[]), "done");
        assert_eq!(done["downloaded"], 0, "{done}");
        assert_eq!(done["path"], there.to_str().unwrap());
        assert!(fs::read(&there).unwrap() == right);
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
    });
    within(job).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn room_is_taken_before_anything_comes_or_the_lack_of_it_told() {
    let (_dir, path) = file(6 << 20, 763);
    let metainfo = torrent(&path, 64 << 10, &[]);
    let disk = Disk::new(8, "root");
    let session = Session::builder().start().await.unwrap();
    let add = || {
        let options = AddOptions {
            preallocate: true,
            ..AddOptions::default()
        };
        session.add(of(&metainfo), disk.path(), options).unwrap()
    };
    disk.fill();
    let failed = within(add().wait_ready()).await.unwrap_err();
    assert!(failed.to_string().contains("the disk is full"), "{failed}");
    session.torrents()[0].finish(Duration::ZERO).await;
    disk.empty();
    let handle = add();
    within(handle.wait_ready()).await.unwrap();
    let there = fs::metadata(disk.path().join("content.bin")).unwrap();
    assert_eq!(there.len(), 6 << 20);
    assert!(there.blocks() * 512 >= 6 << 20, "{} blocks", there.blocks());
}
