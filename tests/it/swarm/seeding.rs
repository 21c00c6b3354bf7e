//! Sharing what is here already, by the torrent file of somebody else or of our own.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
};

use seedrail::swarm::{AddOptions, SeedOptions, Session};
use serde_json::Value;

use crate::support::{
    child::Ended,
    home::Home,
    torrents::{file, noise, of, session, torrent, within},
};

/// A `seed` that runs, and where it listens.
fn seed(home: &Home, arguments: &[&Path], content: Option<&Path>) -> (Ended, Value) {
    let mut command: Command = home.command();
    command.args(["seed", "--json", "--no-dht", "--listen", "127.0.0.1:0"]);
    if let Some(content) = content {
        command.arg("--content").arg(content);
    }
    let mut child = command.args(arguments).spawn().unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    // Whoever writes to a closed pipe ends.
    std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    let said = serde_json::from_str(&line).unwrap_or_else(|_| panic!("it said {line:?}"));
    (Ended(child), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_is_here_is_shared_by_its_torrent_file() {
    let home = Home::new();
    let folder = home.path().join("nas");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("film.bin");
    let content = noise(300_000, 720);
    fs::write(&path, &content).unwrap();
    let metainfo = torrent(&path, 32 << 10, &[]);
    let torrent_file = home.file("film.torrent", metainfo.to_bytes().unwrap());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    let elsewhere = home.path().join("link.bin");
    std::os::unix::fs::symlink(&path, &elsewhere).unwrap();
    // The file, whatever it is called; the folder that it is in; a link to it.
    for content_at in [&path, &folder, &elsewhere] {
        let (_running, said) = seed(&home, &[&torrent_file], Some(content_at));
        assert_eq!(said["event"], "seeding");
        assert_eq!(said["info_hash"], metainfo.info.hash().to_string());
        let peer = said["listen"].as_str().unwrap().parse().unwrap();
        let leecher = session().await;
        let out = tempfile::tempdir().unwrap();
        let options = AddOptions {
            peers: vec![peer],
            ..AddOptions::default()
        };
        let leech = leecher.add(of(&metainfo), out.path(), options).unwrap();
        let got = within(leech.wait_complete()).await.unwrap();
        assert!(fs::read(got).unwrap() == content);
    }
    let at = torrent_file.display().to_string();
    let missing = home.run(["seed", &at]);
    assert_eq!(missing.code, 1, "{missing:?}");
    assert!(missing.stderr.contains("--content PATH"), "{missing:?}");
}

/// The byte that changed is not noticed, for nothing looks at it: the file has the
/// length and time that the record says.
#[tokio::test(flavor = "multi_thread")]
async fn shared_content_is_hashed_once() {
    let (_dir, path) = file(300_000, 721);
    let metainfo = torrent(&path, 32 << 10, &[]);
    let state = tempfile::tempdir().unwrap();
    let start = async || {
        let session = Session::builder().state_dir(state.path());
        let session = session.start().await.unwrap();
        let seed = session.seed(&metainfo, &path, SeedOptions::default());
        let shared = within(seed.unwrap().wait_complete()).await;
        session.finish(std::time::Duration::ZERO).await;
        shared.map(|_| ())
    };
    start().await.unwrap();
    let changed = fs::metadata(&path).unwrap().modified().unwrap();
    let mut content = fs::read(&path).unwrap();
    content[7] ^= 1;
    fs::write(&path, &content).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(changed).unwrap();
    start().await.unwrap();
    // Touched: it is hashed, and found to be wrong.
    file.set_modified(changed + std::time::Duration::from_secs(60))
        .unwrap();
    assert!(start().await.is_err());
}

#[test]
fn a_made_torrent_stays_in_the_home() {
    let home = Home::new();
    let path = home.file("film.bin", noise(100_000, 722));
    let hashes: Vec<Value> = (0..2)
        .map(|_| {
            let (_running, said) = seed(&home, &[&path], None);
            said["info_hash"].clone()
        })
        .collect();
    assert_eq!(hashes[0], hashes[1]);
    let made = fs::read_dir(home.path().join("swarm/made")).unwrap();
    let made: Vec<_> = made.map(|entry| entry.unwrap()).collect();
    assert_eq!(made.len(), 1);
    let mode = made[0].metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_pipe_cannot_be_shared() {
    let home = Home::new();
    let pipe = home.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let refused = home.run(["seed", &pipe.display().to_string()]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("neither a file nor a folder"),
        "{refused:?}"
    );
}
