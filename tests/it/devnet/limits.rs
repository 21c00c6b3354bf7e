//! What a devnet does with too much: it refuses, and goes on.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use seedrail::devnet::{Devnet, Fault, FaultKind};

/// Connections at once, as the design page says.
const CONNECTIONS: usize = 512;

fn open(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
}

fn ask(stream: &mut TcpStream, path: &str, body: &[u8]) {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: devnet\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // It may answer, and close, before it has read everything.
    match stream.write_all(body) {
        Ok(()) => {}
        Err(error) => assert!(
            matches!(
                error.kind(),
                ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
            ),
            "{error}"
        ),
    }
}

fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        // The rest of a body it did not want was still on its way.
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    String::from_utf8(bytes).unwrap()
}

fn post(devnet: &Devnet, path: &str, body: &[u8]) -> String {
    let mut stream = open(devnet.address());
    ask(&mut stream, path, body);
    answer(&mut stream)
}

fn is_alive(devnet: &Devnet) -> bool {
    post(devnet, "/wallet/getnowblock", b"").contains("blockID")
}

#[tokio::test(flavor = "multi_thread")]
async fn too_long_and_too_deep_bodies_are_refused() {
    let devnet = Devnet::builder().start().await.unwrap();
    tokio::task::block_in_place(|| {
        let long = vec![b' '; 4 * 1024 * 1024 + 1];
        let said = post(&devnet, "/wallet/getaccount", &long);
        assert!(
            said.is_empty() || said.contains("body size is too big"),
            "{said}"
        );
        assert!(is_alive(&devnet));
        for open in ["[", "{\"a\":"] {
            let deep = open.repeat(200_000);
            for path in [
                "/wallet/getaccount",
                "/wallet/broadcasttransaction",
                "/wallet/createtransaction",
                "/devnet/mine",
                "/jsonrpc",
            ] {
                let said = post(&devnet, path, deep.as_bytes());
                assert!(said.contains("rror"), "{path}: {said}");
                assert!(is_alive(&devnet), "{path}");
            }
        }
        let said = post(
            &devnet,
            "/wallet/broadcasthex",
            b"{\"transaction\": \"0a\"}",
        );
        assert!(said.contains("rror"), "{said}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_wait_for_room() {
    let devnet = Devnet::builder().start().await.unwrap();
    tokio::task::block_in_place(|| {
        // They are being answered for as long as this takes.
        let slow = |times| Fault {
            endpoint: "/wallet/getnodeinfo".to_owned(),
            per_million: 1_000_000,
            kind: FaultKind::Delay { ms: 60_000 },
            times: Some(times),
        };
        let last = u32::try_from(CONNECTIONS).unwrap() - 1;
        devnet.add_fault(slow(last)).unwrap();
        let mut held: Vec<_> = (1..CONNECTIONS).map(|_| open(devnet.address())).collect();
        let ask_slowly =
            "POST /wallet/getnodeinfo HTTP/1.1\r\nHost: devnet\r\nContent-Length: 0\r\n\r\n";
        for stream in &mut held {
            stream.write_all(ask_slowly.as_bytes()).unwrap();
        }
        // All but one place are taken, and each request on them has been struck.
        let deadline = Instant::now() + Duration::from_secs(60);
        while !post(&devnet, "/devnet/status", b"{}").contains("\"faults\":[]") {
            assert!(Instant::now() < deadline, "they are not being answered");
            std::thread::yield_now();
        }
        devnet.add_fault(slow(1)).unwrap();
        held.push(open(devnet.address()));
        let stream = held.last_mut().unwrap();
        stream.write_all(ask_slowly.as_bytes()).unwrap();
        let mut late = open(devnet.address());
        ask(&mut late, "/wallet/getnowblock", b"");
        late.set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        let error = late.read(&mut [0]).unwrap_err();
        assert!(matches!(
            error.kind(),
            ErrorKind::WouldBlock | ErrorKind::TimedOut
        ));
        drop(held);
        late.set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        assert!(answer(&mut late).contains("blockID"));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_starve_nobody() {
    let devnet = Devnet::builder().start().await.unwrap();
    tokio::task::block_in_place(|| {
        let silent: [&[u8]; 3] = [
            b"",
            b"GET /wallet/get",
            b"POST /wallet/getnowblock HTTP/1.1\r\nHost: devnet\r\nContent-Length: 9\r\n\r\n{",
        ];
        let mut held = Vec::new();
        for number in 0..CONNECTIONS + 8 {
            let mut stream = open(devnet.address());
            stream.write_all(silent[number % silent.len()]).unwrap();
            held.push(stream);
        }
        for _ in 0..3 {
            assert!(is_alive(&devnet));
        }
        drop(held);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_hundred_clients_half_are_silent_and_the_others_are_served() {
    let devnet = Devnet::builder().start().await.unwrap();
    tokio::task::block_in_place(|| {
        let half_sent: [&[u8]; 2] = [
            b"",
            b"POST /wallet/getnowblock HTTP/1.1\r\nHost: devnet\r\nContent-Length: 9\r\n\r\n{",
        ];
        let silent: Vec<_> = (0..100)
            .map(|number| {
                let mut stream = open(devnet.address());
                stream.write_all(half_sent[number % 2]).unwrap();
                stream
            })
            .collect();
        // scripts/soak asks for so many seconds, and for the median that people are to have.
        let seconds = std::env::var("SEEDRAIL_CLIENT_SECONDS");
        let seconds = seconds.map(|text| text.parse().expect("a number of seconds"));
        let until = match &seconds {
            Ok(seconds) => Some(Instant::now() + Duration::from_secs(*seconds)),
            Err(_) => None,
        };
        let served = || {
            let mut took: Vec<Duration> = Vec::new();
            loop {
                let is_over = match until {
                    Some(until) => Instant::now() > until,
                    None => took.len() == 10,
                };
                if is_over {
                    return took;
                }
                let begun = Instant::now();
                assert!(is_alive(&devnet));
                took.push(begun.elapsed());
            }
        };
        let mut took: Vec<Duration> = std::thread::scope(|scope| {
            let honest: Vec<_> = (0..100).map(|_| scope.spawn(served)).collect();
            let took = honest.into_iter().map(|one| one.join().unwrap());
            took.flatten().collect()
        });
        took.sort();
        let median = took[took.len() / 2];
        let asked = took.len();
        println!("100 clients beside 100 silent ones: {asked} answers, {median:?} at the median");
        // On an idle machine it is a few milliseconds.
        let most = Duration::from_millis(if seconds.is_ok() { 100 } else { 2_000 });
        assert!(median < most, "{median:?}");
        drop(silent);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_chunk_is_a_bad_request() {
    let devnet = Devnet::builder().start().await.unwrap();
    tokio::task::block_in_place(|| {
        let mut stream = open(devnet.address());
        let request = "POST /wallet/getnowblock HTTP/1.1\r\nHost: devnet\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let said = answer(&mut stream);
        assert!(said.starts_with("HTTP/1.1 400"), "{said}");
        assert!(is_alive(&devnet));
    });
}
