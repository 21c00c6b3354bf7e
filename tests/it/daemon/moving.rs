//! `kill -9` while a daemon moves content to another file system and back: it is whole in one
//! place, nothing is left in the other, and nothing is hashed again.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use super::{DEADLINE, end, kill, row, signal, start};
use crate::support::{
    home::Home,
    small_disk::Disk,
    torrents::{file, torrent},
    waiting::wait_until,
};

/// Has it moved; the answer may be read.
fn begin_move(home: &Home, hash: &str, folder: &Path) -> UnixStream {
    let mut stream = UnixStream::connect(home.path().join("daemon.sock")).unwrap();
    let body = serde_json::json!({ "folder": folder }).to_string();
    let request = format!(
        "POST /api/v1/torrents/{hash}/move HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

#[test]
fn a_daemon_that_is_killed_while_it_moves_has_all_in_one_place() {
    let (content, path) = file(6 << 20, 33);
    let right = fs::read(&path).unwrap();
    let metainfo = torrent(&path, 64 << 10, &[]);
    let hash = metainfo.info.hash().to_string();
    let home = Home::new();
    let film = home.file("film.torrent", metainfo.to_bytes().unwrap());
    let disk = Disk::new(24, "root");
    let places = [content.path(), disk.path()];
    let mut daemon = start(&home, &[]);
    let folder = content.path().to_str().unwrap();
    home.run(["add", film.to_str().unwrap(), "--folder", folder, "--json"])
        .json();
    let seeds = || {
        let row = row(&home, &hash);
        (row["state"] == "seeding").then_some(row)
    };
    wait_until("it is verified", DEADLINE, || seeds().is_some());
    // How long all of it takes, to kill it anywhere within.
    let begun = Instant::now();
    let mut answer = String::new();
    let mut stream = begin_move(&home, &hash, disk.path());
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let took = begun.elapsed();
    let kills = 8;
    let mut at = 1;
    for nth in 1..=kills {
        let _unread = begin_move(&home, &hash, places[1 - at]);
        // The moment is what the test is about.
        std::thread::sleep(took * nth / kills);
        kill(daemon);
        daemon = start(&home, &[]);
        let mut shared = None;
        wait_until("it is shared again", DEADLINE, || {
            shared = seeds();
            shared.is_some()
        });
        let shared = shared.unwrap();
        at = usize::from(shared["folder"] == places[1].to_str().unwrap());
        let path = places[at].join("content.bin");
        assert_eq!(shared["path"], path.to_str().unwrap());
        assert!(fs::read(&path).unwrap() == right, "kill {nth} lost it");
        assert_eq!(shared["hashed"], 0, "kill {nth} had it hashed again");
        let left = fs::read_dir(places[1 - at]).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.is_empty(), "kill {nth} left {left:?}");
    }
    // And without a kill, as ever.
    let mut answer = String::new();
    let mut stream = begin_move(&home, &hash, places[1 - at]);
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    signal(&daemon.0, "-TERM");
    assert_eq!(end(daemon).code(), Some(0));
}
