//! Peers that send little and cost much: floods of messages that change nothing, idle
//! connections, and wake-ups that never end.

use std::{
    fs, io,
    net::SocketAddr,
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::BytesMut;
use seedrail::{
    devnet::Devnet,
    swarm::{
        SeedOptions, Session,
        extended::ExtendedHandshake,
        metainfo::Metainfo,
        wire::{Block, Handshake, Message},
    },
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};

use crate::support::{
    home::Home,
    torrents::{add, file, of, session, torrent, until, within},
    waiting::wait_until,
};

const FLOODER: [u8; 20] = *b"-XX0000-floodfloodfl";

async fn dial(addr: SocketAddr, metainfo: &Metainfo, peer_id: [u8; 20]) -> TcpStream {
    let stream = TcpStream::connect(addr).await.unwrap();
    greet(stream, metainfo, peer_id).await.unwrap()
}

/// The same, once the torrent is open: while its files are looked at, everybody is turned away.
async fn dial_open(addr: SocketAddr, metainfo: &Metainfo, peer_id: [u8; 20]) -> TcpStream {
    loop {
        let stream = TcpStream::connect(addr).await.unwrap();
        if let Ok(stream) = greet(stream, metainfo, peer_id).await
            && stream.peek(&mut [0]).await.is_ok_and(|said| said > 0)
        {
            return stream;
        }
    }
}

/// Exchanges handshakes.
async fn greet(
    mut stream: TcpStream,
    metainfo: &Metainfo,
    peer_id: [u8; 20],
) -> io::Result<TcpStream> {
    let handshake = Handshake::new(metainfo.info.hash(), peer_id);
    stream.write_all(&handshake.encode()).await?;
    let mut theirs = [0; 68];
    stream.read_exact(&mut theirs).await?;
    Ok(stream)
}

fn encoded(messages: impl IntoIterator<Item = Message>) -> Vec<u8> {
    let mut out = BytesMut::new();
    for message in messages {
        message.encode(&mut out);
    }
    out.to_vec()
}

/// True when the other side hangs up.
async fn hangs_up(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    let reading = async {
        // A reset is an end too.
        let _reset = stream.read_to_end(&mut rest).await;
    };
    tokio::time::timeout(Duration::from_secs(20), reading)
        .await
        .is_ok()
}

/// A process that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Peak memory of a process, in KiB.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.unwrap().split_whitespace().nth(1).unwrap();
    number.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn choke_floods_cost_a_seller_nothing() {
    let devnet = Devnet::builder().start().await.unwrap();
    let key = devnet.accounts()[2].key.expose_bytes();
    let home = Home::new()
        .env("SEEDRAIL_NODE", &devnet.url())
        .env("SEEDRAIL_NETWORK", "devnet")
        .env("SEEDRAIL_PRIVATE_KEY", &hex::encode(key));
    let (_dir, path) = file(1 << 20, 900);
    let metainfo = torrent(&path, 64 << 10, &[]);
    let said = home.path().join("seed.jsonl");
    let mut command = home.command();
    command
        .arg("seed")
        .arg(&path)
        .args(["--ask", "5BTT/GiB", "--json", "--piece-size", "64KiB"])
        .args(["--listen", "127.0.0.1:0"])
        .stdout(fs::File::create(&said).unwrap())
        .stderr(Stdio::null());
    let seeder = Running(command.spawn().unwrap());
    let mut listen = None;
    wait_until("the seeder listens", Duration::from_secs(60), || {
        let said = fs::read_to_string(&said).unwrap();
        let first = said.split_once('\n').map(|(line, _)| line);
        let first: Option<Value> = first.and_then(|line| serde_json::from_str(line).ok());
        listen = first.and_then(|line| line["listen"].as_str().map(str::to_owned));
        listen.is_some()
    });
    let addr: SocketAddr = listen.unwrap().parse().unwrap();

    let greeting = ExtendedHandshake {
        ids: [("sr_pay".to_owned(), 9)].into(),
        ..ExtendedHandshake::default()
    };
    let mut stream = within(dial_open(addr, &metainfo, FLOODER)).await;
    let hello = Message::Extended {
        id: 0,
        payload: greeting.encode().into(),
    };
    stream
        .write_all(&encoded([Message::HaveNone, hello]))
        .await
        .unwrap();
    let quiet = peak(seeder.0.id());
    let same = encoded((0..50_000).map(|_| Message::Choke));
    let both = encoded((0..50_000).flat_map(|_| [Message::Unchoke, Message::Choke]));
    let moods = encoded((0..50_000).flat_map(|_| [Message::Interested, Message::NotInterested]));
    // 30 MB of them, and few are read: the rest waits in the flooder's own socket.
    let flooding = tokio::spawn(async move {
        for flood in [same, both, moods] {
            for _ in 0..24 {
                if stream.write_all(&flood).await.is_err() {
                    return;
                }
            }
        }
    });
    // An honest peer is served all the same.
    let leecher = session().await;
    let (leech, _out) = add(&leecher, of(&metainfo), &[addr]);
    within(leech.wait_complete()).await.unwrap();
    assert!(!flooding.is_finished(), "30 MB of nothing were read");
    flooding.abort();
    let grown = peak(seeder.0.id()) - quiet;
    assert!(grown < 32 << 10, "the flood took {grown} KiB");
}

/// Twenty connections each, which send as fast as they are read.
#[tokio::test(flavor = "multi_thread")]
async fn floods_of_messages_without_worth_leave_the_honest_their_rate() {
    let (_dir, path) = file(2 << 20, 903);
    let metainfo = torrent(&path, 64 << 10, &[]);
    let chunk = Block {
        piece: 0,
        begin: 0,
        length: 16 << 10,
    };
    let hello = |port| Message::Extended {
        id: 0,
        payload: ExtendedHandshake {
            port: Some(port),
            ..ExtendedHandshake::default()
        }
        .encode()
        .into(),
    };
    let floods: [(&str, Vec<Message>); 6] = [
        ("moods", vec![Message::Unchoke, Message::Choke]),
        ("haves", (0..32).map(Message::Have).collect()),
        ("requests", vec![Message::Request(chunk)]),
        ("cancels", vec![Message::Cancel(chunk)]),
        ("ports", (2000..2040).map(hello).collect()),
        ("keep-alives", vec![Message::KeepAlive]),
    ];
    for (name, messages) in floods {
        let seeder = session().await;
        let seed = seeder.seed(&metainfo, &path, SeedOptions::default());
        let seed = seed.unwrap();
        within(seed.wait_complete()).await.unwrap();
        let addr = seeder.listen_addr();
        let sent = Arc::new(AtomicU64::new(0));
        let mut flooders = JoinSet::new();
        for number in 0..20 {
            let mut id = FLOODER;
            id[19] = number;
            let mut stream = dial(addr, &metainfo, id).await;
            let batch = encoded(messages.iter().cloned().cycle().take(4000));
            let sent = sent.clone();
            flooders.spawn(async move {
                // It ends with the connection, if that is closed.
                while stream.write_all(&batch).await.is_ok() {
                    sent.fetch_add(4000, Ordering::Relaxed);
                }
            });
        }
        until("the first batches are read", || {
            sent.load(Ordering::Relaxed) >= 20 * 4000
        })
        .await;
        let before = sent.load(Ordering::Relaxed);
        let began = Instant::now();
        let leecher = session().await;
        let (leech, _out) = add(&leecher, of(&metainfo), &[addr]);
        within(leech.wait_complete()).await.unwrap();
        let seconds = began.elapsed().as_secs_f64();
        // What is in the sockets' buffers is not read, but sent.
        let more = sent.load(Ordering::Relaxed) - before;
        println!("{name}: {seconds:.2} s, {more} messages sent meanwhile");
        assert!(seconds < 5.0, "{name}: 2 MiB took {seconds:.1} s");
        flooders.shutdown().await;
    }
}

/// More of them than there are slots, all unchoked before the honest peer comes.
#[tokio::test(flavor = "multi_thread")]
async fn slots_that_nobody_uses_go_to_who_waits() {
    let (_dir, path) = file(1 << 20, 904);
    let metainfo = torrent(&path, 64 << 10, &[]);
    let ask = Message::Request(Block {
        piece: 0,
        begin: 0,
        length: 16 << 10,
    });
    for (name, requests) in [("asks for nothing", 0), ("reads nothing", 500)] {
        let seeder = session().await;
        let seed = seeder.seed(&metainfo, &path, SeedOptions::default());
        let seed = seed.unwrap();
        within(seed.wait_complete()).await.unwrap();
        let mut holders = Vec::new();
        for number in 0..12 {
            let mut id = FLOODER;
            id[19] = number;
            let mut stream = dial(seeder.listen_addr(), &metainfo, id).await;
            let said = [Message::Interested].into_iter();
            stream.write_all(&encoded(said)).await.unwrap();
            holders.push(stream);
        }
        let unchoked = || seed.stats().peers.iter().filter(|row| !row.choking).count();
        until("all slots are taken", || unchoked() == 8).await;
        for stream in &mut holders {
            let asked = std::iter::repeat_n(ask.clone(), requests);
            stream.write_all(&encoded(asked)).await.unwrap();
        }
        let began = Instant::now();
        let leecher = session().await;
        let (leech, _out) = add(&leecher, of(&metainfo), &[seeder.listen_addr()]);
        within(leech.wait_complete()).await.unwrap();
        // The next round would come after ten seconds, and leave them their slots.
        let seconds = began.elapsed().as_secs_f64();
        assert!(seconds < 9.0, "who {name}: it took {seconds:.1} s");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_again_and_again_what_it_has_is_closed() {
    let (_dir, path) = file(1 << 20, 901);
    let metainfo = torrent(&path, 64 << 10, &[]);
    let seeder = session().await;
    let seed = seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    seed.wait_ready().await.unwrap();
    let bits = || Message::Bitfield(vec![0xff, 0].into());
    // Eight times are accepted: aria2 does it more than once.
    for said in [bits(), Message::HaveAll, Message::HaveNone] {
        let mut stream = dial(seeder.listen_addr(), &metainfo, FLOODER).await;
        stream
            .write_all(&encoded(vec![said.clone(); 9]))
            .await
            .unwrap();
        assert!(hangs_up(&mut stream).await, "{said:?}");
    }
    // Single pieces may be said again and again.
    let mut stream = dial(seeder.listen_addr(), &metainfo, FLOODER).await;
    let haves = (0..1000).map(|n| Message::Have(n % 16));
    let mut said = vec![bits(); 8];
    said.extend(haves);
    stream.write_all(&encoded(said)).await.unwrap();
    until("the peer has all of it", || {
        let peers = seed.stats().peers;
        peers.first().is_some_and(|row| row.pieces == 16)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_keep_nobody_out() {
    let (_dir, path) = file(1 << 20, 902);
    let metainfo = torrent(&path, 64 << 10, &[]);
    let seeder = Session::builder().max_peers(4).start().await.unwrap();
    let seed = seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    seed.wait_ready().await.unwrap();
    // More than there are places for connections without a handshake.
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(seeder.listen_addr()).await.unwrap());
    }
    // And as many peers as there may be, with which nothing happens.
    let mut idle = Vec::new();
    for number in 0..4 {
        let mut peer_id = FLOODER;
        peer_id[19] = number;
        idle.push(dial(seeder.listen_addr(), &metainfo, peer_id).await);
    }
    until("all places are taken", || seed.stats().peers.len() == 4).await;
    let leecher = session().await;
    let (leech, _out) = add(&leecher, of(&metainfo), &[seeder.listen_addr()]);
    within(leech.wait_complete()).await.unwrap();
}

/// Many connections of one network, each opened again as soon as it is closed.
#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_that_come_back_at_once_keep_nobody_out() {
    let (_dir, path) = file(1 << 20, 905);
    let metainfo = torrent(&path, 64 << 10, &[]);
    let seeder = Session::builder().max_peers(8).start().await.unwrap();
    let seed = seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    seed.wait_ready().await.unwrap();
    let addr = seeder.listen_addr();
    let mut crowd = JoinSet::new();
    for number in 0..40 {
        let metainfo = metainfo.clone();
        let mut peer_id = FLOODER;
        peer_id[19] = number;
        crowd.spawn(async move {
            loop {
                let socket = TcpSocket::new_v4().unwrap();
                // Its priority (BEP 40) beside 127.0.0.1 is higher than nearly all others.
                socket.bind("127.0.129.1:0".parse().unwrap()).unwrap();
                let Ok(stream) = socket.connect(addr).await else {
                    continue;
                };
                if let Ok(mut stream) = greet(stream, &metainfo, peer_id).await {
                    hangs_up(&mut stream).await;
                }
            }
        });
    }
    until("all places are taken", || seed.stats().peers.len() == 8).await;
    let leecher = session().await;
    let (leech, _out) = add(&leecher, of(&metainfo), &[addr]);
    within(leech.wait_complete()).await.unwrap();
    crowd.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torrent_ticks_however_often_it_is_woken() {
    let (_dir, path) = file(256 << 10, 903);
    let metainfo = torrent(&path, 64 << 10, &[]);
    let seeder = session().await;
    let seed = seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    seed.wait_ready().await.unwrap();
    let leecher = session().await;
    let (leech, _out) = add(&leecher, of(&metainfo), &[]);
    leech.wait_ready().await.unwrap();
    let (one, other) = (seed.clone(), leech.clone());
    let nobody: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let waking = tokio::spawn(async move {
        let mut often = tokio::time::interval(Duration::from_millis(100));
        loop {
            often.tick().await;
            one.add_peer(nobody);
            other.add_peer(nobody);
        }
    });
    leech.add_peer(seeder.listen_addr());
    within(leech.wait_complete()).await.unwrap();
    // Two that want nothing of each other part when either ticks.
    until("they part", || {
        seed.stats().peers.is_empty() && leech.stats().peers.is_empty()
    })
    .await;
    waking.abort();
}
