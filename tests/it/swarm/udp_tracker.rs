//! UDP trackers that we play ourselves: IPv6, loss, refusals, and nonsense. The
//! real ones are in `interop/trackers.rs`.

use std::{
    fs,
    net::{Ipv6Addr, SocketAddr},
    time::Duration,
};

use seedrail::swarm::{
    Event, SeedOptions, Session,
    tracker::{Announce, AnnounceEvent, Client, TrackerError},
};
use tokio::{net::UdpSocket, task::JoinHandle};

use crate::support::torrents::{add, file, of, torrent, within};

/// A tracker for one torrent that speaks BEP 15 by IPv6.
async fn tracker() -> (String, JoinHandle<()>) {
    let socket = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let mut peers: Vec<[u8; 18]> = Vec::new();
        let mut buf = [0; 2048];
        loop {
            let (length, from) = socket.recv_from(&mut buf).await.unwrap();
            let asked = &buf[..length];
            let (action, number) = (asked[11], &asked[12..16]);
            let mut answer = vec![0, 0, 0, action];
            answer.extend(number);
            if action == 0 {
                assert_eq!(asked[..8], 0x0417_2710_1980u64.to_be_bytes());
                answer.extend([7; 8]);
            } else {
                assert_eq!((action, &asked[..8]), (1, &[7; 8][..]));
                assert_eq!(&asked[98..], b"\x02\x06/where\x00");
                let SocketAddr::V6(from) = from else {
                    unreachable!()
                };
                let mut peer = [0; 18];
                peer[..16].copy_from_slice(&from.ip().octets());
                peer[16..].copy_from_slice(&asked[96..98]);
                answer.extend([0, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0]);
                answer.extend(peers.iter().flatten());
                peers.push(peer);
            }
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    (format!("udp://[::1]:{port}/where"), serving)
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_meet_by_ipv6() {
    let (url, serving) = tracker().await;
    let (_dir, path) = file(200_000, 610);
    let metainfo = torrent(&path, 32 << 10, &[url, "wss://t.example/".to_owned()]);
    let start = async || {
        let builder = Session::builder().listen("[::1]:0".parse().unwrap());
        builder.start().await.unwrap()
    };
    let seeder = start().await;
    let options = SeedOptions {
        trusted: true,
        ..SeedOptions::default()
    };
    let seed = seeder.seed(&metainfo, &path, options).unwrap();
    let mut events = seed.events();
    within(async {
        let (mut told, mut refused) = (false, false);
        while !(told && refused) {
            match events.recv().await.unwrap() {
                Event::TrackerReply { .. } => told = true,
                Event::TrackerError { url, message } => {
                    assert_eq!(url, "wss://t.example/");
                    assert!(message.contains("not an http"), "{message}");
                    refused = true;
                }
                _ => {}
            }
        }
    })
    .await;
    let leecher = start().await;
    let (leech, _out) = add(&leecher, of(&metainfo), &[]);
    let got = within(leech.wait_complete()).await.unwrap();
    assert_eq!(fs::read(got).unwrap(), fs::read(&path).unwrap());
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_packet_is_sent_again_and_strangers_answers_are_none() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let url = format!("udp://{}", socket.local_addr().unwrap());
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let serving = tokio::spawn(async move {
        let mut buf = [0; 2048];
        // The first one is lost; the second is answered by others, and wrongly.
        socket.recv_from(&mut buf).await.unwrap();
        let (length, from) = socket.recv_from(&mut buf).await.unwrap();
        assert_eq!(length, 16);
        let answer = |number: &[u8]| [&[0, 0, 0, 3], number, b"stay out"].concat();
        let right = answer(&buf[12..16]);
        stranger.send_to(&right, from).await.unwrap();
        for wrong in [&[][..], &[0xff; 7], &answer(b"xxxx")] {
            socket.send_to(wrong, from).await.unwrap();
        }
        socket.send_to(&right, from).await.unwrap();
    });
    let client = Client::new().unwrap();
    let announce = Announce {
        info_hash: seedrail::types::InfoHash::from_bytes([1; 20]),
        peer_id: [2; 20],
        port: 1,
        uploaded: 0,
        downloaded: 0,
        left: 0,
        event: AnnounceEvent::Started,
        wanted: 0,
        key: 0,
    };
    let began = std::time::Instant::now();
    let refused = within(client.announce(&url, &announce)).await.unwrap_err();
    assert!(
        matches!(&refused, TrackerError::Refused { reason, .. } if reason == "stay out"),
        "{refused}"
    );
    assert!(
        began.elapsed() >= Duration::from_secs(2),
        "sent again too soon"
    );
    serving.await.unwrap();
    // Nobody is there: the system says so at once.
    let unreachable = within(client.announce(&url, &announce)).await;
    assert!(matches!(unreachable, Err(TrackerError::Io { .. })));
}
