//! HTTP trackers that we play ourselves: what they are asked, from where, in which
//! order, and what is made of odd answers.

use std::{
    io::Write,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use seedrail::swarm::{
    AddOptions, Event, SeedOptions, Session,
    metainfo::Magnet,
    tracker::{Announce, AnnounceEvent, Client, Reply, Retry, TrackerError},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::Semaphore,
    task::JoinSet,
};

use crate::support::torrents::{file, of, torrent, until, within};

/// A request: where it came from, its path with the query, and its headers.
#[derive(Debug, Clone)]
struct Asked {
    from: SocketAddr,
    path: String,
    headers: String,
}

impl Asked {
    fn event(&self) -> &str {
        let event = self.path.split("&event=").nth(1).unwrap_or("");
        event.split('&').next().unwrap_or("")
    }
}

/// A tracker that answers with whole HTTP responses.
struct Tracker {
    addr: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// A permit is taken for each answer.
    leave: Arc<Semaphore>,
    _serving: JoinSet<()>,
}

impl Tracker {
    async fn start(answer: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let leave = Arc::new(Semaphore::new(1000));
        let (all, permits, answer) = (asked.clone(), leave.clone(), Arc::new(answer));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut one = JoinSet::new();
            loop {
                let (mut stream, from) = listener.accept().await.unwrap();
                let (all, permits, answer) = (all.clone(), permits.clone(), answer.clone());
                one.spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        match stream.read_u8().await {
                            Ok(byte) => head.push(byte),
                            Err(_) => return,
                        }
                    }
                    let head = String::from_utf8(head).unwrap();
                    let (line, headers) = head.split_once("\r\n").unwrap();
                    let asked = Asked {
                        from,
                        path: line.split(' ').nth(1).unwrap().to_owned(),
                        headers: headers.to_ascii_lowercase(),
                    };
                    all.lock().unwrap().push(asked.clone());
                    permits.acquire().await.unwrap().forget();
                    // Who asked may have left meanwhile.
                    let _ = stream.write_all(&answer(&asked)).await;
                });
            }
        });
        Self {
            addr,
            asked,
            leave,
            _serving: serving,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn events(&self) -> Vec<String> {
        let asked = self.asked();
        asked.iter().map(|asked| asked.event().to_owned()).collect()
    }
}

fn http(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn ok(body: &[u8]) -> Vec<u8> {
    http("200 OK", "", body)
}

fn announce() -> Announce {
    Announce {
        info_hash: seedrail::types::InfoHash::from_bytes([1; 20]),
        peer_id: [2; 20],
        port: 1,
        uploaded: 0,
        downloaded: 0,
        left: 0,
        event: AnnounceEvent::Started,
        wanted: 0,
        key: 0,
    }
}

/// What a client makes of this answer.
async fn answered(answer: Vec<u8>) -> Result<Reply, TrackerError> {
    let tracker = Tracker::start(move |_| answer.clone()).await;
    let client = Client::new().unwrap();
    within(client.announce(&tracker.url("/announce"), &announce())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn http_trackers_are_asked_from_the_listen_address() {
    let tracker = Tracker::start(|_| ok(b"d8:intervali60ee")).await;
    let session = Session::builder().listen("127.0.0.2:0".parse().unwrap());
    let session = session.start().await.unwrap();
    let link = format!("magnet:?xt=urn:btih:{}", "ab".repeat(20));
    let options = AddOptions {
        // The user named it: it may have any path.
        trackers: vec![tracker.url("/a")],
        ..AddOptions::default()
    };
    let dir = tempfile::tempdir().unwrap();
    let source = seedrail::swarm::Source::Magnet(link.parse::<Magnet>().unwrap());
    session.add(source, dir.path(), options).unwrap();
    until("it is asked", || !tracker.asked().is_empty()).await;
    assert_eq!(tracker.asked()[0].from.ip().to_string(), "127.0.0.2");
}

/// The tracker answers `started` only when the download is complete and ends: what it
/// hears after that does not hang on who is faster.
#[tokio::test(flavor = "multi_thread")]
async fn completed_is_told_before_stopped() {
    let (_dir, path) = file(300_000, 640);
    let tracker = Tracker::start(|_| ok(b"d8:intervali1800ee")).await;
    tracker.leave.forget_permits(1000);
    let metainfo = torrent(&path, 32 << 10, &[]);
    let seeder = Session::builder().start().await.unwrap();
    let options = SeedOptions {
        trusted: true,
        ..SeedOptions::default()
    };
    seeder.seed(&metainfo, &path, options).unwrap();
    let leecher = Session::builder().start().await.unwrap();
    let out = tempfile::tempdir().unwrap();
    let options = AddOptions {
        trackers: vec![tracker.url("/announce")],
        ..AddOptions::default()
    };
    let leech = leecher.add(of(&metainfo), out.path(), options).unwrap();
    until("started is asked", || tracker.events() == ["started"]).await;
    leech.add_peer(seeder.listen_addr());
    within(leech.wait_complete()).await.unwrap();
    let ending = tokio::spawn(leecher.finish(std::time::Duration::ZERO));
    until("it ends", || {
        leech.stats().phase == seedrail::swarm::Phase::Stopping
    })
    .await;
    tracker.leave.add_permits(1000);
    within(ending).await.unwrap();
    assert_eq!(tracker.events(), ["started", "completed", "stopped"]);
    let last = tracker.asked().pop().unwrap();
    assert!(last.path.contains("&left=0&"), "{last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_told_as_stopped_and_its_end_as_started() {
    let (dir, path) = file(100_000, 643);
    let tracker = Tracker::start(|_| ok(b"d8:intervali1800ee")).await;
    let metainfo = torrent(&path, 32 << 10, &[tracker.url("/announce")]);
    let session = Session::builder().start().await.unwrap();
    let leech = session.add(of(&metainfo), dir.path(), AddOptions::default());
    let leech = leech.unwrap();
    let hears = async |events: &[&str]| {
        until("the tracker is told", || tracker.events() == events).await;
    };
    hears(&["started"]).await;
    leech.pause();
    hears(&["started", "stopped"]).await;
    leech.resume();
    hears(&["started", "stopped", "started"]).await;
    leech.pause();
    hears(&["started", "stopped", "started", "stopped"]).await;
    within(session.finish(std::time::Duration::ZERO)).await;
    assert_eq!(tracker.events().len(), 4);
}

/// One that goes hears `stopped`, and one that comes `started`, also if it was in another
/// group before; one that stays hears nothing.
#[tokio::test(flavor = "multi_thread")]
async fn trackers_change_while_a_torrent_runs_and_its_connections_stay() {
    let (_dir, path) = file(300_000, 644);
    let mut trackers = Vec::new();
    for _ in 0..4 {
        trackers.push(Tracker::start(|_| ok(b"d8:intervali1800ee")).await);
    }
    let url = |n: usize| trackers[n].url("/announce");
    let metainfo = torrent(&path, 32 << 10, &[url(0), url(1)]);
    let seeder = Session::builder().start().await.unwrap();
    let options = SeedOptions {
        trusted: true,
        // It takes until the end of the test.
        up_limit: Some(1),
        ..SeedOptions::default()
    };
    let plain = torrent(&path, 32 << 10, &[]);
    seeder.seed(&plain, &path, options).unwrap();
    let leecher = Session::builder().start().await.unwrap();
    let out = tempfile::tempdir().unwrap();
    let leech = leecher.add(of(&metainfo), out.path(), AddOptions::default());
    let leech = leech.unwrap();
    leech.add_peer(seeder.listen_addr());
    let connections = || -> Vec<_> {
        let peers = leech.stats().peers.into_iter();
        peers.map(|peer| peer.conn).collect()
    };
    until("they meet", || connections().len() == 1).await;
    let before = connections();
    let heard = async |n: usize, events: &[&str]| {
        until("a tracker is told", || trackers[n].events() == events).await;
    };
    heard(0, &["started"]).await;
    heard(1, &["started"]).await;
    // The first goes, the second gets company, and two are new.
    let tiers = [vec![url(2)], vec![url(1), url(3)]];
    leech.set_trackers(&tiers, &[url(2), url(3)]);
    heard(0, &["started", "stopped"]).await;
    heard(2, &["started"]).await;
    heard(1, &["started", "stopped", "started"]).await;
    assert_eq!(leech.tracker_tiers(), tiers);
    assert_eq!(connections(), before);
    // The same again is no change.
    leech.set_trackers(&tiers, &[url(2), url(3)]);
    // Back and away again at once: in the end it is gone.
    leech.set_trackers(&[vec![url(0)]], &[]);
    leech.set_trackers(&[], &[]);
    heard(2, &["started", "stopped"]).await;
    heard(1, &["started", "stopped", "started", "stopped"]).await;
    assert!(leech.tracker_tiers().is_empty());
    until("the first is told", || {
        trackers[0].events().last().unwrap() == "stopped"
    })
    .await;
    within(leecher.finish(std::time::Duration::ZERO)).await;
    assert!(trackers[3].events().is_empty());
    seeder.finish(std::time::Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_already_is_not_told_as_completed() {
    let (dir, path) = file(100_000, 641);
    let tracker = Tracker::start(|_| ok(b"d8:intervali1800ee")).await;
    let metainfo = torrent(&path, 32 << 10, &[tracker.url("/announce")]);
    let session = Session::builder().start().await.unwrap();
    let leech = session.add(of(&metainfo), dir.path(), AddOptions::default());
    within(leech.unwrap().wait_complete()).await.unwrap();
    until("started is asked", || tracker.events() == ["started"]).await;
    within(session.finish(std::time::Duration::ZERO)).await;
    assert_eq!(tracker.events(), ["started", "stopped"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_read_whatever_the_status() {
    let body = b"d14:failure reason12:not here now8:retry ini30ee";
    match answered(http("404 Not Found", "", body)).await {
        Err(TrackerError::Refused { reason, retry, .. }) => {
            assert_eq!(reason, "not here now");
            let half_an_hour = std::time::Duration::from_secs(1800);
            assert_eq!(retry, Some(Retry::After(half_an_hour)));
        }
        other => panic!("{other:?}"),
    }
    let bare = answered(http("503 Busy", "", b"later")).await.unwrap_err();
    assert!(
        bare.to_string().ends_with("answered with status 503"),
        "{bare}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_answers_are_read() {
    let body = b"d8:intervali60e5:peers6:\x7f\0\0\x01\x1a\xe1e";
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(body).unwrap();
    let gzip = gzip.finish().unwrap();
    for answer in [
        ok(&[&body[..], b"\r\n"].concat()),
        http("200 OK", "Content-Encoding: gzip\r\n", &gzip),
        ok(&gzip),
        ok(b"d8:intervali060e8:intervali9e5:peers6:\x7f\0\0\x01\x1a\xe1e"),
    ] {
        let reply = answered(answer).await.unwrap();
        assert_eq!(reply.peers, ["127.0.0.1:6881".parse().unwrap()]);
        assert_eq!(reply.interval.as_secs(), 60);
    }
    let endless = vec![b'0'; (2 << 20) + 1];
    let refused = answered(ok(&endless)).await.unwrap_err();
    assert!(
        refused.to_string().contains("more than 2097152 bytes"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_by_name_ids_and_warnings_are_used() {
    let (_dir, path) = file(300_000, 642);
    let seeder = Session::builder().start().await.unwrap();
    let port = seeder.listen_addr().port().to_string();
    let peer = format!("d2:ip9:localhost4:port{}:{port}e", port.len());
    let body = format!(
        "d8:intervali5e12:min intervali5e5:peersl{peer}e10:tracker id3:a&b15:warning message7:be niceee"
    );
    let body = body.strip_suffix('e').unwrap().to_owned();
    let tracker = Tracker::start(move |_| ok(body.as_bytes())).await;
    let metainfo = torrent(&path, 32 << 10, &[tracker.url("/announce")]);
    let options = SeedOptions {
        trusted: true,
        ..SeedOptions::default()
    };
    let bare = torrent(&path, 32 << 10, &[]);
    seeder.seed(&bare, &path, options).unwrap();
    let leecher = Session::builder().start().await.unwrap();
    let out = tempfile::tempdir().unwrap();
    let leech = leecher.add(of(&metainfo), out.path(), AddOptions::default());
    let leech = leech.unwrap();
    let mut events = leech.events();
    let warned = async {
        loop {
            if let Event::TrackerWarning { message, .. } = events.recv().await.unwrap() {
                return message;
            }
        }
    };
    assert_eq!(within(warned).await, "be nice");
    within(leech.wait_complete()).await.unwrap();
    within(leecher.finish(std::time::Duration::ZERO)).await;
    let asked = tracker.asked();
    let [first, rest @ ..] = &asked[..] else {
        panic!("not asked")
    };
    assert!(!first.path.contains("trackerid"), "{first:?}");
    assert!(!rest.is_empty());
    for later in rest {
        assert!(later.path.contains("&trackerid=a%26b"), "{later:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torrent_cannot_make_us_ask_services_inside() {
    let tracker = Tracker::start(|_| ok(b"d8:intervali60ee")).await;
    let port = tracker.addr.port();
    let paths = [
        "127.0.0.1",
        "2130706433",
        "0.0.0.0",
        "localhost",
        "[::ffff:7f00:1]",
    ];
    let urls: Vec<String> = paths
        .map(|host| format!("http://{host}:{port}/admin/delete?user=1"))
        .to_vec();
    let (_dir, path) = file(100_000, 643);
    let metainfo = torrent(&path, 32 << 10, &urls);
    let session = Session::builder().start().await.unwrap();
    let out = tempfile::tempdir().unwrap();
    let leech = session.add(of(&metainfo), out.path(), AddOptions::default());
    let mut events = leech.unwrap().events();
    let refused = async {
        let mut refused = std::collections::BTreeSet::new();
        while refused.len() < urls.len() {
            if let Event::TrackerError { url, message } = events.recv().await.unwrap() {
                assert!(message.contains("inside a private network"), "{message}");
                refused.insert(url);
            }
        }
    };
    within(refused).await;
    assert_eq!(tracker.asked().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_followed_without_telling_where_from() {
    let tracker = Tracker::start(|asked| match asked.path.as_str() {
        path if path.starts_with("/secret/announce") => {
            http("302 Found", "Location: /announce?moved\r\n", b"")
        }
        path if path.starts_with("/circle") => http("302 Found", "Location: /circle\r\n", b""),
        path if path.starts_with("/file") => {
            http("302 Found", "Location: file:///etc/passwd\r\n", b"")
        }
        _ => ok(b"d8:intervali60ee"),
    })
    .await;
    let client = Client::new().unwrap();
    let ask = |path: &str| {
        let (client, url) = (client.clone(), tracker.url(path));
        async move { within(client.announce(&url, &announce())).await }
    };
    ask("/secret/announce").await.unwrap();
    let last = tracker.asked().pop().unwrap();
    assert_eq!(last.path, "/announce?moved");
    assert!(!last.headers.contains("referer"), "{last:?}");
    let circle = ask("/circle").await.unwrap_err().to_string();
    assert!(circle.contains("more than 5 times"), "{circle}");
    let file = ask("/file").await.unwrap_err().to_string();
    assert!(file.contains("not an HTTP address"), "{file}");
}

/// After its third failure a tracker is left alone for eight seconds; who wants it asked does
/// not wait for that.
#[tokio::test(flavor = "multi_thread")]
async fn a_tracker_that_failed_is_asked_soon_when_somebody_wants_it() {
    let (dir, path) = file(100_000, 651);
    let tracker = Tracker::start(|_| ok(b"d14:failure reason4:busye")).await;
    let metainfo = torrent(&path, 32 << 10, &[tracker.url("/announce")]);
    let session = Session::builder().start().await.unwrap();
    let leech = session.add(of(&metainfo), dir.path(), AddOptions::default());
    let leech = leech.unwrap();
    until("it is asked thrice", || tracker.asked().len() == 3).await;
    let third = std::time::Instant::now();
    leech.reannounce();
    until("it is asked again", || tracker.asked().len() == 4).await;
    let wait = third.elapsed();
    assert!(wait < std::time::Duration::from_secs(6), "{wait:?}");
}
