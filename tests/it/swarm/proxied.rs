//! Behind a SOCKS5 proxy everything goes through it, and nothing beside it.

use std::{
    collections::BTreeSet,
    fs,
    net::{Ipv4Addr, SocketAddr},
    process::Stdio,
    time::Duration,
};

use seedrail::swarm::{
    AddOptions, Event, SeedOptions, Session,
    proxy::Proxy,
    tracker::{Server, ServerOptions},
};

use crate::support::{
    child::Ended,
    home::Home,
    socks::Socks,
    torrents::{file, noise, of, session, torrent, until, within},
    web::{Manner, Web},
};

fn proxy(socks: &Socks, user: &str) -> Proxy {
    format!("socks5://{user}{}", socks.addr).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_trackers_and_web_seeds_are_reached_by_the_proxy_which_resolves_names() {
    let (_dir, path) = file(600_000, 880);
    let bytes = fs::read(&path).unwrap();
    let tracker = Server::start("127.0.0.1:0".parse().unwrap(), ServerOptions::default())
        .await
        .unwrap();
    let web = Web::start(&[("/content.bin", bytes.clone())], Manner::Honest).await;
    let at_web: SocketAddr = web.url("").trim_start_matches("http://").parse().unwrap();
    // Nobody resolves these but the proxy.
    let names = [("tracker.invalid", tracker.addr()), ("web.invalid", at_web)];
    let socks = Socks::start(&names, Some(("me", "secret"))).await;
    let metainfo = torrent(&path, 32 << 10, &[]);
    let seeder = session().await;
    seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    let through = proxy(&socks, "me@").with_password("secret").unwrap();
    let leecher = Session::builder()
        .proxy(Some(through))
        .start()
        .await
        .unwrap();
    let out = tempfile::tempdir().unwrap();
    let options = AddOptions {
        peers: vec![seeder.listen_addr()],
        trackers: vec![
            format!("http://tracker.invalid:{}/announce", tracker.addr().port()),
            "udp://127.0.0.1:9/announce".to_owned(),
        ],
        web_seeds: vec![format!("http://web.invalid:{}/content.bin", at_web.port())],
        seed: true,
        ..AddOptions::default()
    };
    let handle = leecher.add(of(&metainfo), out.path(), options).unwrap();
    let mut events = handle.events();
    let got = within(handle.wait_complete()).await.unwrap();
    assert!(fs::read(got).unwrap() == bytes);
    let told = async {
        loop {
            if let Event::TrackerError { message, .. } = events.recv().await.unwrap() {
                break message;
            }
        }
    };
    let told = within(told).await;
    assert!(told.contains("UDP does not go through the proxy"), "{told}");
    let expected: BTreeSet<String> = [
        seeder.listen_addr().to_string(),
        format!("tracker.invalid:{}", tracker.addr().port()),
        format!("web.invalid:{}", at_web.port()),
    ]
    .into();
    until("all were asked for", || {
        expected.iter().all(|one| socks.asked().contains(one))
    })
    .await;
    let asked: BTreeSet<String> = socks.asked().into_iter().collect();
    assert_eq!(asked, expected);
    // Others cannot connect to it, and are not told to.
    assert_eq!(leecher.listen_addr().port(), 0);
    assert!(leecher.dht().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_refuses_lets_nothing_out() {
    let (_dir, path) = file(100_000, 881);
    let metainfo = torrent(&path, 32 << 10, &[]);
    let seeder = session().await;
    let seed = seeder.seed(&metainfo, &path, SeedOptions::default());
    let seed = seed.unwrap();
    let socks = Socks::start(&[], Some(("me", "secret"))).await;
    let wrong = proxy(&socks, "me@").with_password("another").unwrap();
    let leecher = Session::builder().proxy(Some(wrong)).start().await.unwrap();
    let out = tempfile::tempdir().unwrap();
    let options = AddOptions {
        peers: vec![seeder.listen_addr()],
        ..AddOptions::default()
    };
    let handle = leecher.add(of(&metainfo), out.path(), options).unwrap();
    until("it was refused twice", || socks.refused() >= 2).await;
    assert_eq!(socks.asked(), [""; 0]);
    assert!(seed.stats().peers.is_empty() && handle.stats().peers.is_empty());

    // One that hangs up, or says something else, is none.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let heard = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut greeting = [0; 3];
        stream.read_exact(&mut greeting).await.unwrap();
        stream.write_all(b"HTTP/1.1 400 no\r\n\r\n").await.unwrap();
        greeting
    });
    let other: Proxy = format!("socks5://{addr}").parse().unwrap();
    let leecher = Session::builder().proxy(Some(other)).start().await.unwrap();
    let options = AddOptions {
        peers: vec![seeder.listen_addr()],
        ..AddOptions::default()
    };
    let out = tempfile::tempdir().unwrap();
    let handle = leecher.add(of(&metainfo), out.path(), options).unwrap();
    assert_eq!(within(heard).await.unwrap(), [5, 1, 0]);
    assert!(handle.stats().peers.is_empty());
}

/// An HTTP server with one file, which is asked for once.
async fn serve_once(file: Vec<u8>) -> SocketAddr {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let read = stream.read(&mut request).await.unwrap();
        assert!(request[..read].starts_with(b"GET /film.torrent "));
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", file.len());
        let answer = [head.into_bytes(), file].concat();
        stream.write_all(&answer).await.unwrap();
    });
    addr
}

/// The sockets of a process: its TCP connections and where they lead, what it listens at, and
/// its UDP sockets.
fn sockets(pid: u32) -> (BTreeSet<SocketAddr>, usize, usize) {
    let mut own = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten() {
        if let Ok(link) = fs::read_link(entry.path()) {
            own.insert(link.display().to_string());
        }
    }
    let (mut remotes, mut listeners, mut udp) = (BTreeSet::new(), 0, 0);
    for kind in ["tcp", "tcp6", "udp", "udp6"] {
        let table = fs::read_to_string(format!("/proc/{pid}/net/{kind}")).unwrap_or_default();
        for line in table.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if !own.contains(&format!("socket:[{}]", fields[9])) {
                continue;
            }
            match (kind, fields[3]) {
                ("udp" | "udp6", _) => udp += 1,
                (_, "0A") => listeners += 1,
                ("tcp", _) => {
                    let (ip, port) = fields[2].split_once(':').unwrap();
                    let ip = u32::from_str_radix(ip, 16).unwrap().swap_bytes();
                    let port = u16::from_str_radix(port, 16).unwrap();
                    remotes.insert(SocketAddr::from((Ipv4Addr::from(ip), port)));
                }
                _ => panic!("a connection by IPv6: {line}"),
            }
        }
    }
    (remotes, listeners, udp)
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_has_no_socket_that_does_not_lead_to_the_proxy() {
    let (_dir, path) = file(600_000, 882);
    let metainfo = torrent(&path, 32 << 10, &[]);
    let at_web = serve_once(metainfo.to_bytes().unwrap()).await;
    let socks = Socks::start(&[("files.invalid", at_web)], Some(("me", "secret"))).await;
    let seeder = session().await;
    seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    // Slow enough to be looked at, as long as that takes.
    seeder.set_up_limit(Some(1));
    let home = Home::new();
    let secret = home.file("proxy-password", b"secret\n");
    let mut command = home.command();
    command.args(["get", "--json", "--dht-node", "127.0.0.1:9"]);
    command.arg(format!(
        "http://files.invalid:{}/film.torrent",
        at_web.port()
    ));
    command.args(["--proxy", &format!("socks5://me@{}", socks.addr)]);
    command.arg("--proxy-password-file").arg(&secret);
    command.args(["--peer", &seeder.listen_addr().to_string()]);
    command.args(["--tracker", "udp://127.0.0.1:9/announce"]);
    command.arg("-o").arg(home.path().join("out"));
    command.stderr(Stdio::piped());
    let mut running = Ended(command.spawn().unwrap());
    let pid = running.0.id();
    let peer = seeder.listen_addr().to_string();
    until("a peer is connected", || {
        socks.asked().contains(&peer) && seeder.torrents()[0].stats().peers.len() == 1
    })
    .await;
    for _ in 0..20 {
        let (remotes, listeners, udp) = sockets(pid);
        assert!(
            remotes.iter().all(|remote| *remote == socks.addr),
            "{remotes:?}"
        );
        assert_eq!((listeners, udp), (0, 0));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    seeder.set_up_limit(None);
    let errors = running.0.stderr.take().unwrap();
    let told = tokio::task::spawn_blocking(move || {
        let status = running.0.wait().unwrap();
        (status, std::io::read_to_string(errors).unwrap())
    });
    let (status, told) = within(told).await.unwrap();
    assert!(status.success(), "{told}");
    let said = format!(
        "everything goes through the proxy socks5://{}; off are",
        socks.addr
    );
    assert_eq!(told.matches(&said).count(), 1, "{told}");
    assert!(!told.contains("secret") && !told.contains("me@"), "{told}");
    let got = fs::read(home.path().join("out/content.bin")).unwrap();
    assert!(got == noise(600_000, 882));
    let mut expected = [format!("files.invalid:{}", at_web.port()), peer];
    expected.sort();
    assert_eq!(socks.asked(), expected);
}

/// A URL would be fetched by the command itself, which does not know the proxy's password.
#[test]
fn a_url_is_not_added_to_a_daemon_behind_a_proxy_and_it_says_that_nobody_connects() {
    use std::io::BufRead as _;
    let home = Home::new();
    let mut command = home.command();
    command.args(["daemon", "--http", "off", "--proxy", "socks5://127.0.0.1:1"]);
    let mut daemon = Ended(command.spawn().unwrap());
    let mut output = std::io::BufReader::new(daemon.0.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert!(
        line.contains("nobody can connect, behind the proxy"),
        "{line}"
    );
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/film.torrent", listener.local_addr().unwrap());
    let refused = home.run(["add", &url, "--json"]).error(1);
    assert_eq!(refused["code"], "fetch", "{refused}");
    let told = refused["message"].as_str().unwrap();
    assert!(told.contains("sends everything through a proxy"), "{told}");
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "it was asked all the same");
    // What needs no fetching is added.
    let link = format!("magnet:?xt=urn:btih:{}", "ab".repeat(20));
    home.run(["add", &link, "--json"]).json();
    let _gone = daemon.0.kill();
}

#[test]
fn what_would_go_around_a_proxy_or_tell_its_password_is_refused() {
    let home = Home::new();
    let link = format!("magnet:?xt=urn:btih:{}", "ab".repeat(20));
    let refused = |arguments: &[&str]| {
        let all = ["get", &link, "--json"]
            .into_iter()
            .chain(arguments.iter().copied());
        let error = home.run(all).error(2);
        error["message"].as_str().unwrap().to_owned()
    };
    let proxy = "socks5://127.0.0.1:1";
    let told = refused(&["--proxy", proxy, "--peer", "peer.invalid:6881"]);
    assert!(told.contains("must be an address"), "{told}");
    let told = refused(&["--proxy", proxy, "--listen", "0.0.0.0:6881"]);
    assert!(told.contains("--listen does not go with --proxy"), "{told}");
    let told = refused(&["--proxy", "socks5://me@127.0.0.1:1"]);
    assert!(told.contains("has a password"), "{told}");
    let file = home.file("password", b"secret");
    let file = file.to_str().unwrap();
    let told = refused(&["--proxy-password-file", file]);
    assert!(told.contains("goes with --proxy"), "{told}");
    let told = refused(&["--proxy", proxy, "--proxy-password-file", file]);
    assert!(told.contains("needs a name"), "{told}");
    let empty = home.file("empty", b"\n");
    let proxy = "socks5://me@127.0.0.1:1";
    let told = refused(&[
        "--proxy",
        proxy,
        "--proxy-password-file",
        empty.to_str().unwrap(),
    ]);
    assert!(told.contains("1 to 255 bytes"), "{told}");
    let told = refused(&["--proxy", "socks5://me:hush@127.0.0.1:1"]);
    assert!(told.contains("write it into a file"), "{told}");
}
