//! Padding between files (BEP 47): nobody asks for it, nobody stores it.

use std::fs;

use seedrail::swarm::{
    Session,
    metainfo::{CreateOptions, Info, Metainfo},
};

use crate::support::home::Home;
use crate::support::torrents::{add, noise, of, session, until, within};

const PIECE: u64 = 64 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn padding_is_neither_sent_nor_stored() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("album");
    fs::create_dir_all(root.join("sub")).unwrap();
    let files = [("a", 20_000), ("empty", 0), ("sub/b", 150_000), ("z", 9)];
    for (name, length) in files {
        fs::write(root.join(name), noise(length, 730)).unwrap();
    }
    let seeder = Session::builder().start().await.unwrap();
    let options = CreateOptions {
        piece_size: Some(64 << 10),
        pad_files: true,
        ..CreateOptions::default()
    };
    let seeded = seeder.seed_path(&root, options, vec![], |_, _| {}).await;
    let (metainfo, seed) = seeded.unwrap();
    let info = &metainfo.info;
    for file in info.files().iter().filter(|file| file.length > 0) {
        assert!(file.pad || file.offset.is_multiple_of(PIECE), "{file:?}");
    }
    assert_eq!(info.files().iter().filter(|file| file.pad).count(), 2);
    assert_eq!(info.layout().pieces(), 5);
    assert_eq!(Info::from_bytes(info.raw().unwrap()).unwrap(), *info);

    let leecher = session().await;
    let (leech, out) = add(&leecher, of(&metainfo), &[seeder.listen_addr()]);
    let got = within(leech.wait_complete()).await.unwrap();
    for (name, _) in files {
        assert!(fs::read(got.join(name)).unwrap() == fs::read(root.join(name)).unwrap());
    }
    let mut there: Vec<_> = fs::read_dir(&got)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    there.sort();
    assert_eq!(there, ["a", "empty", "sub", "z"]);
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 1);
    // Only what a chunk shares with content: 20,000 end in the second chunk of four.
    let chunk = 16 << 10;
    let sent = 2 * chunk + (150_000 - 2 * PIECE).div_ceil(chunk) * chunk + 2 * PIECE + 9;
    let stats = leech.stats();
    assert_eq!((stats.downloaded, stats.wasted), (sent, 0));
    assert_eq!((stats.bytes, stats.bytes_left), (170_009, 0));
    until("it is counted", || seed.stats().uploaded == sent).await;
}

#[test]
fn the_command_pads_if_asked_and_shows_no_padding() {
    let home = Home::new();
    let root = home.path().join("album");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("a"), noise(100, 731)).unwrap();
    fs::write(root.join("b"), noise(100, 732)).unwrap();
    let (from, to) = (root.display().to_string(), root.with_extension("torrent"));
    let to = to.display().to_string();
    let made = home.run([
        "torrent",
        "create",
        &from,
        "-o",
        &to,
        "--pad-files",
        "--json",
    ]);
    let made = made.json();
    assert_eq!(made["pieces"], 2);
    let metainfo = Metainfo::from_bytes(&fs::read(&to).unwrap()).unwrap();
    let paths: Vec<_> = metainfo
        .info
        .files()
        .iter()
        .map(|f| f.path.join("/"))
        .collect();
    assert_eq!(paths, ["a", ".pad/65436", "b"]);
    let shown = home.run(["torrent", "show", &to]);
    assert!(shown.stdout.contains("     3  ") && !shown.stdout.contains(".pad"));
    assert!(
        shown.stdout.contains("1 files that are never stored"),
        "{shown:?}"
    );
    let shown = home.run(["torrent", "show", &to, "--json"]).json();
    assert_eq!(shown["files"][1]["pad"], true);
}
