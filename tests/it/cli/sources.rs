//! What `get` can be told to download, and where it listens.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    process::{Command, Stdio},
};

use seedrail::swarm::{SeedOptions, Session, metainfo::Metainfo};
use tempfile::TempDir;

use crate::support::{
    home::Home,
    http_server::{Reply, Server},
    torrents::{file, session, torrent},
};

/// A seeder of some torrents of one file each, named by their number.
struct Seeded {
    session: Session,
    torrents: Vec<Metainfo>,
    contents: Vec<Vec<u8>>,
    _dirs: Vec<TempDir>,
}

async fn seeded(number: u64) -> Seeded {
    let session = session().await;
    let (mut torrents, mut contents, mut dirs) = (vec![], vec![], vec![]);
    for n in 0..number {
        let (dir, path) = file(100_000, 800 + n);
        let named = dir.path().join(format!("film {n}, part.bin"));
        fs::rename(&path, &named).unwrap();
        let metainfo = torrent(&named, 32 << 10, &[]);
        let options = SeedOptions {
            trusted: true,
            ..SeedOptions::default()
        };
        session.seed(&metainfo, &named, options).unwrap();
        contents.push(fs::read(&named).unwrap());
        torrents.push(metainfo);
        dirs.push(dir);
    }
    Seeded {
        session,
        torrents,
        contents,
        _dirs: dirs,
    }
}

impl Seeded {
    fn peer(&self) -> String {
        // By name.
        format!("localhost:{}", self.session.listen_addr().port())
    }
}

fn base32(bytes: &[u8]) -> String {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bits: Vec<u8> = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1))
        .collect();
    let letter = |five: &[u8]| five.iter().fold(0, |sum, bit| sum << 1 | usize::from(*bit));
    bits.chunks(5)
        .map(|five| char::from(letters[letter(five)]))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torrent_comes_from_a_url_a_pipe_or_its_hash() {
    let seeded = seeded(1).await;
    let bytes = seeded.torrents[0].to_bytes().unwrap();
    let served = bytes.clone();
    let site = Server::start(move |path, _| {
        let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
        match path {
            "/film.torrent" => Reply::Raw([head.as_bytes(), &served].concat()),
            "/moved" => Reply::Status("302 Found", "Location: /film.torrent\r\n", ""),
            _ => Reply::Endless,
        }
    })
    .await;
    let hash = seeded.torrents[0].info.hash();
    let loud = format!(" MAGNET:?XT=urn:btih:{}", hash.to_string().to_uppercase());
    let (url, peer, content) = (site.url(), seeded.peer(), seeded.contents[0].clone());
    let run = tokio::task::spawn_blocking(move || {
        let home = Home::new();
        let get = |n: usize, source: &str, stdin: &[u8]| {
            let out = home.path().join(n.to_string());
            let mut child: Command = home.command();
            child
                .args(["get", source, "--no-dht", "--listen", "127.0.0.1:0"])
                .args(["--peer", &peer, "-o"])
                .arg(&out)
                .stdin(Stdio::piped());
            let mut child = child.spawn().unwrap();
            use std::io::Write;
            // It does not read it, if it need not.
            let _ = child.stdin.take().unwrap().write_all(stdin);
            let ended = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&ended.stderr).into_owned();
            (ended.status.code(), said, out.join("film 0, part.bin"))
        };
        let line = format!("{hash}\n");
        for (n, (source, stdin)) in [
            (format!("{url}/film.torrent"), &b""[..]),
            (format!("{url}/moved"), b""),
            ("-".to_owned(), &bytes),
            ("-".to_owned(), line.as_bytes()),
            (hash.to_string(), b""),
            (base32(hash.as_bytes()), b""),
            (loud, b""),
        ]
        .into_iter()
        .enumerate()
        {
            let (code, said, path) = get(n, &source, stdin);
            assert_eq!(code, Some(0), "{source}: {said}");
            assert!(fs::read(path).unwrap() == content, "{source}");
            assert!(!said.contains("WARN"), "{said}");
        }
        let (code, said, _) = get(90, &format!("{url}/endless"), b"");
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("more than"), "{said}");
        let (code, said, _) = get(91, "-", b"nothing of it");
        assert_eq!(code, Some(1), "{said}");
    });
    run.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn several_torrents_come_at_once() {
    let seeded = seeded(3).await;
    let peer = seeded.peer();
    let (torrents, contents) = (seeded.torrents.clone(), seeded.contents.clone());
    let run = tokio::task::spawn_blocking(move || {
        let home = Home::new();
        let mut sources: Vec<String> = torrents
            .iter()
            .enumerate()
            .map(|(n, metainfo)| {
                let file = home.file(&format!("{n}.torrent"), metainfo.to_bytes().unwrap());
                file.display().to_string()
            })
            .collect();
        let out = home.path().join("out");
        let at = out.display().to_string();
        let get = |sources: &[String]| {
            let fixed = ["get", "--json", "--no-dht", "--listen", "127.0.0.1:0"];
            let more = ["--peer", &peer, "-o", &at];
            let sources = sources.iter().map(String::as_str);
            home.run(fixed.into_iter().chain(more).chain(sources))
        };
        let done = get(&sources);
        assert_eq!(done.code, 0, "{done:?}");
        assert_eq!(done.stdout.matches("\"event\":\"complete\"").count(), 3);
        for (n, content) in contents.iter().enumerate() {
            let path = out.join(format!("film {n}, part.bin"));
            assert!(&fs::read(path).unwrap() == content);
        }
        // One of them cannot: the others come, and it is said.
        fs::write(out.join("film 1, part.bin"), b"a diary").unwrap();
        let partly = get(&sources);
        assert_eq!(partly.code, 6, "{partly:?}");
        assert!(
            partly.stderr.contains("1 of 3 downloads failed"),
            "{partly:?}"
        );
        sources.truncate(2);
        sources.extend(["--files".into(), "1".into()]);
        assert_eq!(get(&sources).code, 2);
    });
    run.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_with_a_comma_chooses_its_file() {
    let seeded = seeded(1).await;
    let (peer, metainfo) = (seeded.peer(), seeded.torrents[0].clone());
    let run = tokio::task::spawn_blocking(move || {
        let home = Home::new();
        let torrent = home.file("t.torrent", metainfo.to_bytes().unwrap());
        let (torrent, out) = (torrent.display().to_string(), home.path().join("out"));
        let out = out.display().to_string();
        let mut arguments = vec!["get", &torrent, "--no-dht", "--listen", "127.0.0.1:0"];
        arguments.extend(["--peer", &peer, "-o", &out, "--files", "film 0, part.bin"]);
        let done = home.run(arguments);
        assert_eq!(done.code, 0, "{done:?}");
    });
    run.await.unwrap();
}

/// The address that a `seed` says to listen at.
fn listens(home: &Home) -> (crate::support::child::Ended, SocketAddr) {
    use std::io::BufRead;
    let path = home.file("x.bin", [1; 100]);
    let mut command: Command = home.command();
    command.args(["seed", "--json", "--no-dht", "--no-lsd", "--no-port-map"]);
    let mut child = command.arg(path).stderr(Stdio::inherit()).spawn().unwrap();
    let mut line = String::new();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    let said: serde_json::Value = serde_json::from_str(&line).unwrap();
    let listen = said["listen"].as_str().unwrap().parse().unwrap();
    (crate::support::child::Ended(child), listen)
}

#[test]
fn a_home_listens_at_the_same_port_by_ipv4_and_ipv6() {
    let home = Home::new();
    let (running, first) = listens(&home);
    assert!(first.ip().is_unspecified());
    for host in ["127.0.0.1", "::1"] {
        let at = SocketAddr::new(host.parse().unwrap(), first.port());
        std::net::TcpStream::connect(at).unwrap_or_else(|error| panic!("{at}: {error}"));
    }
    // A second one beside it takes another.
    let (beside, second) = listens(&home);
    assert_ne!(second.port(), first.port());
    drop((running, beside));
    let (_again, third) = listens(&home);
    assert_eq!(third.port(), first.port());
    drop(_again);
    let _taken = TcpListener::bind(("0.0.0.0", first.port())).unwrap();
    let (_running, other) = listens(&home);
    assert_ne!(other.port(), first.port());
}
