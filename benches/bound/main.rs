//! What no client can do without, for `scripts/bench swarm` and `links`: one side of a transfer
//! that does nothing but move, cipher, hash and write bytes, by two threads where there is
//! work for two. Receivers print how many seconds it took.
//!
//! - `send PORT FILE LINK`: sends the file to whoever comes, until it is killed
//! - `receive PORT FILE BYTES LINK`: receives, hashes and writes one
//! - `drain PORT PEERS BYTES`: so many peers at once receive so many bytes each, and keep nothing
//! - `take PORT PEERS BYTES PIECE INFO_HASH`: the same from a BitTorrent seeder
//!
//! LINK is `tcp`, `rc4` (the same, enciphered) or `utp` (datagrams of 1,400 bytes, answered by the
//! number of the next one). With several peers each has an address of another network.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement that fails shall end with a panic; its result is its output"
)]

use std::{
    collections::{BTreeSet, VecDeque},
    fs::File,
    io::{BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::unix::fs::FileExt as _,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rc4::{KeyInit as _, Rc4, StreamCipher as _};
use sha1::{Digest as _, Sha1};
use socket2::{Domain, Socket, Type};

/// Bytes that are read at once.
const PART: usize = 1 << 18;
/// Parts between two threads.
const WAITING: usize = 8;
/// Payload of a datagram, …
const DATAGRAM: usize = 1400;
/// … how many of them are on their way, within what a socket takes in by default, …
const WINDOW: u64 = 64;
/// … and after how many the receiver answers.
const ANSWERED: u64 = 16;
/// Bytes of one request, and how many are on their way.
const CHUNK: usize = 16 << 10;
const REQUESTS: usize = 256;
/// Nothing here takes so long.
const DEADLINE: Duration = Duration::from_secs(300);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<usize>().unwrap();
    let here = |port: &str| SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().unwrap()));
    match arguments[..] {
        ["send", port, file, "utp"] => send_datagrams(here(port), file),
        ["send", port, file, link] => send(here(port), file, link == "rc4"),
        ["receive", port, file, bytes, link] => {
            let start = Instant::now();
            match link {
                "utp" => receive_datagrams(here(port), file, number(bytes)),
                _ => receive(here(port), file, number(bytes), link == "rc4"),
            }
            println!("{}", start.elapsed().as_secs_f64());
        }
        ["drain", port, peers, bytes] => {
            let (port, bytes) = (here(port), number(bytes));
            crowd(number(peers), |peer| drain(&connect(port, peer), bytes));
        }
        ["take", port, peers, bytes, piece, hash] => {
            let (port, bytes, piece) = (here(port), number(bytes), number(piece));
            let hash = hex::decode(hash).unwrap();
            crowd(number(peers), |peer| take(port, peer, bytes, piece, &hash));
        }
        // `cargo test --benches` runs it so, and only wants to see it start.
        _ => println!("see the head of this file"),
    }
}

/// The same stream on both sides.
fn cipher() -> Rc4 {
    Rc4::new_from_slice(&[7; 20]).unwrap()
}

fn send(port: SocketAddr, file: &str, ciphers: bool) {
    let listener = TcpListener::bind(port).unwrap();
    for stream in listener.incoming() {
        let (stream, file) = (stream.unwrap(), File::open(file).unwrap());
        thread::spawn(move || match ciphers {
            true => send_ciphered(stream, file),
            // From the kernel, without a copy, until it has all of it, or is gone.
            false => while let Ok(1..) = rustix::fs::sendfile(&stream, &file, None, 4 * PART) {},
        });
    }
}

fn send_ciphered(mut stream: TcpStream, mut file: File) {
    let (parts, waiting) = mpsc::sync_channel::<Vec<u8>>(WAITING);
    thread::spawn(move || {
        let mut cipher = cipher();
        loop {
            let mut part = vec![0; PART];
            let read = file.read(&mut part).unwrap();
            part.truncate(read);
            cipher.apply_keystream(&mut part);
            if read == 0 || parts.send(part).is_err() {
                return;
            }
        }
    });
    for part in waiting {
        // Whoever has all of it is gone.
        if stream.write_all(&part).is_err() {
            return;
        }
    }
}

/// Hashes and writes what comes, and gives each buffer back.
fn keep(file: &str, parts: mpsc::Receiver<Vec<u8>>, back: &mpsc::Sender<Vec<u8>>) {
    let mut file = File::create(file).unwrap();
    let mut hash = Sha1::new();
    for part in parts {
        hash.update(&part);
        file.write_all(&part).unwrap();
        // Nobody needs it at the end.
        let _over = back.send(part);
    }
    std::hint::black_box(hash.finalize());
}

fn receive(port: SocketAddr, file: &str, bytes: usize, ciphers: bool) {
    let stream = TcpStream::connect(port).unwrap();
    let (parts, waiting) = mpsc::sync_channel(WAITING);
    let (back, empty) = mpsc::channel();
    thread::scope(|both| {
        both.spawn(|| keep(file, waiting, &back));
        let (mut cipher, mut left) = (cipher(), bytes);
        while left > 0 {
            let mut part: Vec<u8> = empty.try_recv().unwrap_or_default();
            part.clear();
            // Without filling it with zeros first.
            let read = (&stream)
                .take(PART.min(left) as u64)
                .read_to_end(&mut part)
                .unwrap();
            assert_ne!(read, 0, "the sender ended");
            if ciphers {
                cipher.apply_keystream(&mut part);
            }
            left -= read;
            parts.send(part).unwrap();
        }
        drop(parts);
    });
}

/// A datagram is its number and its payload; an answer is the number that is expected next.
fn send_datagrams(port: SocketAddr, file: &str) {
    let socket = UdpSocket::bind(port).unwrap();
    let file = File::open(file).unwrap();
    let datagrams = file.metadata().unwrap().len().div_ceil(DATAGRAM as u64);
    let (mut answer, mut datagram) = ([0; 8], [0; 8 + DATAGRAM]);
    loop {
        socket.set_read_timeout(None).unwrap();
        let (_, peer) = socket.recv_from(&mut answer).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let (mut next, mut answered, mut silent) = (0, 0, 0);
        // A peer that says nothing for long has gone.
        while answered < datagrams && silent < 100 {
            while next < datagrams && next - answered < WINDOW {
                let at = next * DATAGRAM as u64;
                let read = file.read_at(&mut datagram[8..], at).unwrap();
                datagram[..8].copy_from_slice(&next.to_be_bytes());
                // What is lost on the way is sent again.
                let _sent = socket.send_to(&datagram[..8 + read], peer);
                next += 1;
            }
            match socket.recv_from(&mut answer) {
                Ok((8, from)) if from == peer => {
                    answered = answered.max(u64::from_be_bytes(answer));
                    silent = 0;
                }
                Ok(_) => {}
                Err(_) => (next, silent) = (answered, silent + 1),
            }
        }
    }
}

fn receive_datagrams(port: SocketAddr, file: &str, bytes: usize) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.connect(port).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.send(&0u64.to_be_bytes()).unwrap();
    let (parts, waiting) = mpsc::sync_channel(WAITING);
    let (back, empty) = mpsc::channel();
    thread::scope(|both| {
        both.spawn(|| keep(file, waiting, &back));
        let (mut expected, mut left) = (0u64, bytes);
        let mut part: Vec<u8> = Vec::with_capacity(PART);
        let mut datagram = [0; 8 + DATAGRAM];
        while left > 0 {
            let read = socket.recv(&mut datagram).unwrap();
            let number = u64::from_be_bytes(datagram[..8].try_into().unwrap());
            if number == expected {
                part.extend_from_slice(&datagram[8..read]);
                expected += 1;
                left -= read - 8;
            }
            if number + 1 != expected || expected % ANSWERED == 0 || left == 0 {
                socket.send(&expected.to_be_bytes()).unwrap();
            }
            if part.len() + DATAGRAM > PART || left == 0 {
                let mut next: Vec<u8> = empty.try_recv().unwrap_or_default();
                next.clear();
                parts.send(std::mem::replace(&mut part, next)).unwrap();
            }
        }
        drop(parts);
    });
}

/// Runs so many peers at once; prints the seconds until the last is done.
fn crowd(peers: usize, run: impl Fn(usize) + Sync) {
    let start = Instant::now();
    thread::scope(|all| {
        for peer in 1..=peers {
            let run = &run;
            all.spawn(move || run(peer));
        }
    });
    println!("{}", start.elapsed().as_secs_f64());
}

fn connect(port: SocketAddr, peer: usize) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let from = Ipv4Addr::new(127, 1, u8::try_from(peer).unwrap(), 1);
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&port.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn drain(mut stream: &TcpStream, bytes: usize) {
    let (mut buffer, mut left) = (vec![0; PART], bytes);
    while left > 0 {
        let read = stream.read(&mut buffer).unwrap();
        assert_ne!(read, 0, "the sender ended");
        left -= read;
    }
}

/// Downloads all chunks in order and keeps none (BEP 3). Who hangs up is dialled again.
fn take(port: SocketAddr, peer: usize, bytes: usize, piece: usize, hash: &[u8]) {
    let end = Instant::now() + DEADLINE;
    let mut wanted: VecDeque<usize> = (0..bytes).step_by(CHUNK).collect();
    let mut asked = BTreeSet::new();
    while !wanted.is_empty() {
        assert!(Instant::now() < end, "the seeder does not serve everybody");
        let mut one = Downloader {
            stream: connect(port, peer),
            bytes,
            piece,
        };
        if one.greet(peer, hash).is_ok() && one.run(&mut wanted, &mut asked).is_ok() {
            return;
        }
        // What was asked for will not come.
        wanted.extend(std::mem::take(&mut asked));
        thread::sleep(Duration::from_millis(100));
    }
}

struct Downloader {
    stream: TcpStream,
    bytes: usize,
    piece: usize,
}

impl Downloader {
    fn greet(&mut self, peer: usize, hash: &[u8]) -> std::io::Result<()> {
        let mut hello = b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0".to_vec();
        hello.extend_from_slice(hash);
        hello.extend_from_slice(format!("-BD0000-{peer:012}").as_bytes());
        // Interested.
        hello.extend_from_slice(&[0, 0, 0, 1, 2]);
        self.stream.write_all(&hello)?;
        self.stream.read_exact(&mut [0; 68])
    }

    fn run(
        &mut self,
        wanted: &mut VecDeque<usize>,
        asked: &mut BTreeSet<usize>,
    ) -> std::io::Result<()> {
        let mut input = BufReader::with_capacity(PART, self.stream.try_clone()?);
        let (mut serves, mut message) = (false, vec![0; CHUNK + 9]);
        while !(wanted.is_empty() && asked.is_empty()) {
            let mut length = [0; 4];
            input.read_exact(&mut length)?;
            message.resize(u32::from_be_bytes(length) as usize, 0);
            input.read_exact(&mut message)?;
            let field =
                |at: usize| u32::from_be_bytes(message[at..at + 4].try_into().unwrap()) as usize;
            match message.first() {
                Some(0) => {
                    serves = false;
                    wanted.extend(std::mem::take(asked));
                }
                Some(1) => serves = true,
                Some(7) => {
                    asked.remove(&(field(1) * self.piece + field(5)));
                }
                _ => {}
            }
            // A write for several of them.
            let room = REQUESTS.saturating_sub(asked.len());
            let is_worth = serves && (room >= REQUESTS / 8 || asked.is_empty());
            let room = if is_worth { room } else { 0 };
            let mut requests = Vec::new();
            for at in wanted.drain(..room.min(wanted.len())) {
                asked.insert(at);
                requests.extend_from_slice(&[0, 0, 0, 13, 6]);
                for field in [at / self.piece, at % self.piece, CHUNK.min(self.bytes - at)] {
                    requests.extend_from_slice(&u32::try_from(field).unwrap().to_be_bytes());
                }
            }
            self.stream.write_all(&requests)?;
        }
        Ok(())
    }
}
