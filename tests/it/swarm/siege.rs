//! A swarm under attack: peers that send bad pieces, stall, lie about what they
//! have, flood with requests, send garbage and announce messages of 4 GiB. The good
//! ones finish, those that can be told to be bad are banned, memory stays bounded.

use std::{
    fs,
    net::SocketAddr,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::BytesMut;
use seedrail::swarm::{
    Event, SeedOptions, Session,
    wire::{self, Block, Handshake, Message, piece_header},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::broadcast::{self, error::RecvError},
    task::JoinSet,
};

use crate::support::child::Ended;
use crate::support::torrents::{add, file, noise, of, torrent, until, within};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attack {
    /// Serves zeros.
    BadPieces,
    /// Unchokes and never answers.
    Stall,
    /// Says to have everything and refuses every request.
    LieAboutHaving,
    /// Asks for everything again and again, and reads nothing.
    Flood,
    /// Noise after the handshake.
    Garbage,
    /// A message of 4 GiB.
    HugeLength,
}

const ATTACKS: [Attack; 6] = [
    Attack::BadPieces,
    Attack::Stall,
    Attack::LieAboutHaving,
    Attack::Flood,
    Attack::Garbage,
    Attack::HugeLength,
];

/// What the process under attack may take: it is a debug build, and holds up to
/// 48 MiB of begun pieces and 8 MiB of requested ones.
const MAX_MIB: u64 = 160;

impl Attack {
    async fn run(self, mut stream: TcpStream, handshake: Handshake, ours_first: bool) {
        // The victim may hang up at any time: that is what the test is about.
        let _ended = self.attack(&mut stream, handshake, ours_first).await;
    }

    async fn attack(
        self,
        stream: &mut TcpStream,
        handshake: Handshake,
        ours_first: bool,
    ) -> std::io::Result<()> {
        let mut theirs = [0; 68];
        if ours_first {
            stream.write_all(&handshake.encode()).await?;
            stream.read_exact(&mut theirs).await?;
        } else {
            stream.read_exact(&mut theirs).await?;
            stream.write_all(&handshake.encode()).await?;
        }
        let mut out = BytesMut::new();
        match self {
            Self::Garbage => {
                out.extend_from_slice(&[0, 0, 0, 9, 20, 0]);
                out.extend_from_slice(&noise(100_000, 7));
                stream.write_all(&out).await?;
                return Ok(());
            }
            Self::HugeLength => {
                stream.write_all(&[0xff, 0xff, 0xff, 0xff, 7]).await?;
                stream.write_all(&noise(1 << 20, 8)).await?;
                return Ok(());
            }
            Self::Flood => {
                Message::Interested.encode(&mut out);
                for number in 0..1000u32 {
                    let block = Block {
                        piece: number % 64,
                        begin: 0,
                        length: wire::CHUNK,
                    };
                    Message::Request(block).encode(&mut out);
                }
                loop {
                    stream.write_all(&out).await?;
                }
            }
            Self::BadPieces | Self::Stall | Self::LieAboutHaving => {}
        }
        Message::HaveAll.encode(&mut out);
        Message::Unchoke.encode(&mut out);
        let mut buf = BytesMut::new();
        loop {
            stream.write_all(&out.split()).await?;
            while let Ok(Some(message)) = wire::decode(&mut buf) {
                let Message::Request(block) = message else {
                    continue;
                };
                match self {
                    Self::BadPieces => {
                        out.extend_from_slice(&piece_header(block));
                        out.extend(std::iter::repeat_n(0, block.length.try_into().unwrap()));
                    }
                    Self::LieAboutHaving => Message::Reject(block).encode(&mut out),
                    _ => {}
                }
            }
            if stream.read_buf(&mut buf).await? == 0 {
                return Ok(());
            }
        }
    }
}

/// Each attacker has an address of its own, as it had out there.
fn host(number: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 6, number], 0))
}

/// An attacker that waits to be dialled, as often as anybody likes.
async fn lurk(attack: Attack, handshake: Handshake, tasks: &mut JoinSet<()>) -> SocketAddr {
    let [.., number] = handshake.peer_id;
    let listener = TcpListener::bind(host(number)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tasks.spawn(async move {
        let mut all = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            all.spawn(attack.run(stream, handshake, false));
        }
    });
    addr
}

/// An attacker that dials somebody, again and again.
fn besiege(attack: Attack, victim: SocketAddr, handshake: Handshake, tasks: &mut JoinSet<()>) {
    let [.., number] = handshake.peer_id;
    tasks.spawn(async move {
        loop {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(host(number)).unwrap();
            if let Ok(stream) = socket.connect(victim).await {
                attack.run(stream, handshake, true).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

/// Whom a download bans, as it goes: under a siege there are more events than a
/// listener that waits until the end is kept.
fn bans(
    mut events: broadcast::Receiver<Event>,
    tasks: &mut JoinSet<()>,
) -> Arc<Mutex<Vec<SocketAddr>>> {
    let banned = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&banned);
    tasks.spawn(async move {
        loop {
            match events.recv().await {
                Ok(Event::PeerBanned { addr, .. }) => all.lock().unwrap().push(addr),
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => panic!("{missed} events were missed"),
                Err(RecvError::Closed) => return,
            }
        }
    });
    banned
}

/// Peak memory of a process, in KiB.
fn peak(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_good_finish_the_bad_are_banned_and_memory_is_bounded() {
    let (dir, path) = file(8 << 20, 640);
    let content = fs::read(&path).unwrap();
    let metainfo = torrent(&path, 128 << 10, &[]);
    let torrent_file = dir.path().join("t.torrent");
    fs::write(&torrent_file, metainfo.to_bytes().unwrap()).unwrap();
    let mut tasks = JoinSet::new();
    let mut lurking = Vec::new();
    let mut number = 0u8;
    let mut handshake = || {
        number += 1;
        let mut id = *b"-XX0000-liarliarliar";
        id[19] = number;
        Handshake::new(metainfo.info.hash(), id)
    };
    for attack in ATTACKS {
        lurking.push(lurk(attack, handshake(), &mut tasks).await);
    }
    // Slow enough that the attackers are asked, too.
    let seeder = Session::builder().up_limit(Some(3 << 20));
    let seeder = seeder.start().await.unwrap();
    let options = SeedOptions::default();
    let seed = seeder.seed(&metainfo, &path, options).unwrap();
    seed.wait_ready().await.unwrap();

    // Two of ours in this process, and one that is a process of its own.
    let mut good = Vec::new();
    for _ in 0..2 {
        let session = Session::builder().start().await.unwrap();
        let (leech, out) = add(&session, of(&metainfo), &lurking);
        let banned = bans(leech.events(), &mut tasks);
        leech.add_peer(seeder.listen_addr());
        good.push((session, leech, out, banned));
    }
    let out = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_seedrail"));
    command
        .args(["get", "--json", "--listen", "127.0.0.1:0", "--home"])
        .arg(dir.path().join("home"))
        .arg("-o")
        .arg(out.path())
        .arg(&torrent_file)
        .args(["--peer", &seeder.listen_addr().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    for addr in &lurking {
        command.args(["--peer", &addr.to_string()]);
    }
    let mut process = Ended(command.spawn().unwrap());
    let pid = process.0.id();
    let stdout = process.0.stdout.take().unwrap();
    let (told, listening) = tokio::sync::oneshot::channel();
    let mut told = Some(told);
    let reading = tokio::task::spawn_blocking(move || {
        use std::io::BufRead;
        let mut most = 0;
        let mut last = serde_json::Value::Null;
        for line in std::io::BufReader::new(stdout).lines() {
            let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            if line["event"] == "started" {
                let addr = line["listen"].as_str().unwrap().parse().unwrap();
                let _nobody = told.take().unwrap().send(addr);
            }
            most = most.max(peak(pid).unwrap_or(0));
            last = line;
        }
        (most, last)
    });
    let process_addr: SocketAddr = within(listening).await.unwrap();
    let mut victims = vec![seeder.listen_addr(), process_addr];
    victims.extend(good.iter().map(|(session, ..)| session.listen_addr()));
    for victim in victims {
        for attack in ATTACKS {
            besiege(attack, victim, handshake(), &mut tasks);
        }
    }

    let liar = lurking[0];
    for (_, leech, _, banned) in &good {
        let got = within(leech.wait_complete()).await.unwrap();
        assert_eq!(fs::read(got).unwrap(), content);
        until("the liar is banned", || {
            banned.lock().unwrap().contains(&liar)
        })
        .await;
        assert!(!banned.lock().unwrap().contains(&seeder.listen_addr()));
    }
    let (most, last) = within(reading).await.unwrap();
    assert!(process.0.wait().unwrap().success(), "{last}");
    assert_eq!(last["event"], "done");
    assert_eq!(fs::read(out.path().join("content.bin")).unwrap(), content);
    assert!(
        (1..MAX_MIB << 10).contains(&most),
        "the process took {most} KiB"
    );
    // And the seeder, which they never left alone, serves whoever comes.
    let late = Session::builder().start().await.unwrap();
    let (leech, _out) = add(&late, of(&metainfo), &[seeder.listen_addr()]);
    within(leech.wait_complete()).await.unwrap();
    super::interop::print(&format!(
        "\nsiege: a process under attack took {most} KiB at most\n"
    ));
}
