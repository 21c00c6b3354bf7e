//! rtorrent on a link that brings together what was sent apart.

use std::{fs, net::SocketAddr, time::Duration};

use seedrail::swarm::{Encryption, SeedOptions, Session};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{Job, Mode, Program, soon};
use crate::support::{
    http_server::{Reply, Server},
    torrents::{file, noise, torrent},
};

/// What is sent within this is brought at once.
const TOGETHER: Duration = Duration::from_millis(100);

/// The way to a peer; what it sends comes late, and together.
async fn late(peer: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(peer).await.unwrap();
            let (mut near_says, mut near) = near.into_split();
            let (mut far_says, mut far) = far.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut near_says, &mut far).await });
            tokio::spawn(async move {
                let mut came = Vec::new();
                while let Ok(1..) = far_says.read_buf(&mut came).await {
                    while let Ok(Ok(1..)) = timeout(TOGETHER, far_says.read_buf(&mut came)).await {}
                    if near.write_all(&came).await.is_err() {
                        return;
                    }
                    came.clear();
                }
            });
        }
    });
    addr
}

/// It reads no further than our bitfield then, until something more comes.
#[tokio::test(flavor = "multi_thread")]
async fn rtorrent_gets_metadata_by_an_encrypted_connection_that_is_slow() {
    let (_dir, path) = file(200_000, 770);
    let seeder = Session::builder().encryption(Encryption::Require);
    let seeder = seeder.start().await.unwrap();
    let way = late(seeder.listen_addr()).await;
    let tracker = Server::start(move |_, _| {
        let [high, low] = way.port().to_be_bytes();
        let body = [
            b"d8:intervali60e5:peers6:".as_slice(),
            &[127, 0, 0, 1, high, low],
            b"e",
        ];
        let body = body.concat();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        Reply::Raw([head.into_bytes(), body].concat())
    });
    let tracker = tracker.await;
    let url = format!("{}/announce", tracker.url());
    let metainfo = torrent(&path, 32 << 10, &[url]);
    seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    let theirs = tempfile::tempdir().unwrap();
    let job = Job {
        source: metainfo.magnet().to_string(),
        dir: theirs.path().to_owned(),
        peers: Vec::new(),
    };
    let running = Program::Rtorrent.start(&[job], Mode::Encrypted).await;
    let target = theirs.path().join(path.file_name().unwrap());
    let done = || fs::read(&target).is_ok_and(|found| found == noise(200_000, 770));
    assert!(soon("it has it", done).await, "{}", running.log());
}
