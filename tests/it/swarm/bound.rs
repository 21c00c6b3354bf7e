//! What `--bind` names is where everything is sent from, and without it nothing is sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader},
    net::{IpAddr, SocketAddr},
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinSet,
};

use crate::support::{
    child::Ended,
    home::Home,
    torrents::{file, torrent, until},
};

/// Who was heard, by what it was that they asked for.
type Heard = Arc<Mutex<BTreeMap<&'static str, BTreeSet<IpAddr>>>>;

/// One of each kind that a download talks to, all at 127.0.0.1, and who came.
struct World {
    heard: Heard,
    /// As `get` is told of them.
    arguments: Vec<String>,
    url: String,
    _tasks: JoinSet<()>,
}

impl World {
    async fn new(torrent_file: Vec<u8>) -> Self {
        let heard = Heard::default();
        let mut tasks = JoinSet::new();
        let mut tcp = async |kind, answer: Vec<u8>| {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let at = listener.local_addr().unwrap();
            tasks.spawn(listen(listener, kind, answer, heard.clone()));
            at
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
            torrent_file.len()
        );
        let files = tcp("a URL", [head.into_bytes(), torrent_file].concat()).await;
        let tracker = tcp("an HTTP tracker", Vec::new()).await;
        let seed = tcp("a web seed", Vec::new()).await;
        let peer = tcp("a peer by TCP", Vec::new()).await;
        let mut udp = async |kind| {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let at = socket.local_addr().unwrap();
            tasks.spawn(receive(socket, kind, heard.clone()));
            at
        };
        let (by_udp, node) = (udp("a UDP tracker").await, udp("a DHT node").await);
        // Nobody listens there by TCP.
        let by_utp = udp("a peer by uTP").await;
        let arguments = [
            ["--tracker".to_owned(), format!("http://{tracker}/announce")],
            ["--tracker".to_owned(), format!("udp://{by_udp}")],
            [
                "--web-seed".to_owned(),
                format!("http://{seed}/content.bin"),
            ],
            ["--dht-node".to_owned(), node.to_string()],
            ["--peer".to_owned(), peer.to_string()],
            ["--peer".to_owned(), by_utp.to_string()],
        ];
        Self {
            heard,
            arguments: arguments.concat(),
            url: format!("http://{files}/film.torrent"),
            _tasks: tasks,
        }
    }

    fn heard(&self) -> BTreeMap<&'static str, BTreeSet<IpAddr>> {
        self.heard.lock().unwrap().clone()
    }

    /// `get` of this, bound to that.
    fn get(&self, home: &Home, what: &str, bind: &str) -> Running {
        let mut command = home.command();
        command.args(["get", what, "--json", "--bind", bind]);
        command.args(&self.arguments);
        command.arg("-o").arg(home.path().join("out"));
        command.stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Running {
            child: Ended(child),
            output,
        }
    }
}

fn note(heard: &Heard, kind: &'static str, from: SocketAddr) {
    let mut heard = heard.lock().unwrap();
    heard.entry(kind).or_default().insert(from.ip());
}

async fn listen(listener: TcpListener, kind: &'static str, answer: Vec<u8>, heard: Heard) {
    loop {
        let (mut stream, from) = listener.accept().await.unwrap();
        note(&heard, kind, from);
        let mut request = [0; 4096];
        // What it says does not matter, and it may be gone already.
        if stream.read(&mut request).await.is_ok() {
            let _gone = stream.write_all(&answer).await;
        }
    }
}

async fn receive(socket: UdpSocket, kind: &'static str, heard: Heard) {
    let mut packet = [0; 2048];
    loop {
        let (_, from) = socket.recv_from(&mut packet).await.unwrap();
        note(&heard, kind, from);
    }
}

struct Running {
    child: Ended,
    output: BufReader<std::process::ChildStdout>,
}

impl Running {
    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_leaves_from_the_address_or_interface_that_is_named() {
    let (_dir, path) = file(300_000, 870);
    let metainfo = torrent(&path, 32 << 10, &[]);
    let cases = [("127.0.0.2", "127.0.0.2"), ("lo", "127.0.0.1")];
    // Interfaces have other names elsewhere.
    let cases = &cases[..if cfg!(target_os = "linux") { 2 } else { 1 }];
    for (bind, expected) in cases {
        let expected: IpAddr = expected.parse().unwrap();
        let world = World::new(metainfo.to_bytes().unwrap()).await;
        let home = Home::new();
        let mut running = world.get(&home, &world.url, bind);
        let (started, _running) = tokio::task::spawn_blocking(move || {
            let started = running.next();
            (started, running)
        })
        .await
        .unwrap();
        until("each is asked", || world.heard().len() == 7).await;
        let listen: SocketAddr = started["listen"].as_str().unwrap().parse().unwrap();
        assert_eq!(listen.ip(), expected);
        TcpStream::connect(listen).await.unwrap();
        for other in ["127.0.0.1", "127.0.0.2"] {
            let other = SocketAddr::new(other.parse().unwrap(), listen.port());
            let reached = TcpStream::connect(other).await.is_ok();
            assert_eq!(reached, other.ip() == expected, "{bind}: {other}");
        }
        for (kind, from) in world.heard() {
            assert_eq!(from, BTreeSet::from([expected]), "{bind}: {kind}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_interface_nothing_is_sent_and_that_is_said() {
    let (_dir, path) = file(300_000, 871);
    let metainfo = torrent(&path, 32 << 10, &[]);
    let world = World::new(metainfo.to_bytes().unwrap()).await;
    let home = Home::new();
    let torrent_file = home.file("film.torrent", metainfo.to_bytes().unwrap());
    let mut running = world.get(&home, torrent_file.to_str().unwrap(), "no-such-if");
    let told = tokio::task::spawn_blocking(move || {
        let started = running.next();
        assert_eq!(started["event"], "started", "{started}");
        // It goes on, and waits.
        for _ in 0..6 {
            assert_eq!(running.next()["event"], "progress");
        }
        running.child.0.kill().unwrap();
        let mut told = String::new();
        let mut errors = running.child.0.stderr.take().unwrap();
        std::io::Read::read_to_string(&mut errors, &mut told).unwrap();
        told
    })
    .await
    .unwrap();
    assert!(
        told.contains("the interface no-such-if is not there, or has no address"),
        "{told}"
    );
    // Nor is a torrent file fetched by another way.
    let refused = home
        .run(["get", &world.url, "--bind", "no-such-if", "--json"])
        .error(1);
    assert_eq!(refused["code"], "fetch", "{refused}");
    let wrong = [
        "get",
        &world.url,
        "--bind",
        "127.0.0.2",
        "--listen",
        "127.0.0.1:0",
    ];
    home.run(wrong.into_iter().chain(["--json"])).error(2);
    assert_eq!(world.heard(), BTreeMap::new());
}

/// A daemon that is bound fetches what `add` names from its own address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_url_that_is_added_is_asked_from_the_address_of_the_daemon() {
    let (_dir, path) = file(300_000, 872);
    let metainfo = torrent(&path, 32 << 10, &[]);
    let world = World::new(metainfo.to_bytes().unwrap()).await;
    let home = Home::new();
    let mut command = home.command();
    command.args(["daemon", "--json", "--http", "off", "--bind", "127.0.0.3"]);
    command.args(["--no-dht", "--listen", "0.0.0.0:0"]);
    let mut daemon = Ended(command.spawn().unwrap());
    let mut output = BufReader::new(daemon.0.stdout.take().unwrap());
    let url = world.url.clone();
    let added = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let started: Value = serde_json::from_str(&line).unwrap();
        assert!(
            started["listen"]
                .as_str()
                .unwrap()
                .starts_with("127.0.0.3:")
        );
        home.run(["add", &url, "--paused", "--json"]).json()
    });
    let added = tokio::time::timeout(Duration::from_secs(60), added).await;
    let added = added.unwrap().unwrap();
    assert_eq!(added["info_hash"], metainfo.info.hash().to_string());
    let expected = BTreeSet::from([IpAddr::from([127, 0, 0, 3])]);
    assert_eq!(world.heard(), BTreeMap::from([("a URL", expected)]));
    drop(daemon);
}
