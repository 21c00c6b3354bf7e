//! Connections of every kind: plain and enciphered, over TCP and uTP.

use std::{fs, net::SocketAddr};

use seedrail::swarm::{Encryption, SeedOptions, Session, Transport};

use crate::support::torrents::{add, file, of, torrent, within};

struct Side {
    encryption: Encryption,
    tcp: bool,
    utp: bool,
}

const TCP: Side = Side {
    encryption: Encryption::Accept,
    tcp: true,
    utp: false,
};

impl Side {
    async fn session(&self, listen: &str) -> Session {
        Session::builder()
            .listen(listen.parse::<SocketAddr>().unwrap())
            .encryption(self.encryption)
            .transports(self.tcp, self.utp)
            .start()
            .await
            .unwrap()
    }
}

/// What carried a download from one to the other, and whether enciphered.
async fn carried(seeds: &Side, leeches: &Side, listen: &str) -> (Transport, bool) {
    let (_dir, path) = file(400_000, 11);
    let metainfo = torrent(&path, 32 << 10, &[]);
    let seeder = seeds.session(listen).await;
    let seed = seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    within(seed.wait_ready()).await.unwrap();
    let leecher = leeches.session(listen).await;
    let (leech, _out) = add(&leecher, of(&metainfo), &[seeder.listen_addr()]);
    let mut events = leech.events();
    let row = within(async {
        loop {
            if let Some(row) = leech.stats().peers.first() {
                return row.clone();
            }
            events.recv().await.unwrap();
        }
    })
    .await;
    let got = within(leech.wait_complete()).await.unwrap();
    assert_eq!(fs::read(got).unwrap(), fs::read(&path).unwrap());
    (row.transport, row.encrypted)
}

#[tokio::test(flavor = "multi_thread")]
async fn encryption_is_what_both_sides_wish() {
    use Encryption::{Accept, Prefer, Require};
    for (seeds, leeches, encrypted) in [
        (Accept, Accept, false),
        (Accept, Require, true),
        (Prefer, Prefer, true),
        // It hangs up on a plain handshake, and is offered the other kind.
        (Require, Accept, true),
    ] {
        let seeds = Side {
            encryption: seeds,
            ..TCP
        };
        let leeches = Side {
            encryption: leeches,
            ..TCP
        };
        let (transport, found) = carried(&seeds, &leeches, "127.0.0.1:0").await;
        assert_eq!((transport, found), (Transport::Tcp, encrypted));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn utp_carries_what_tcp_does() {
    let utp = |encryption| Side {
        encryption,
        tcp: false,
        utp: true,
    };
    for encryption in [Encryption::Accept, Encryption::Require] {
        let seeds = utp(encryption);
        let both = Side {
            encryption,
            tcp: true,
            utp: true,
        };
        let (transport, encrypted) = carried(&seeds, &both, "127.0.0.1:0").await;
        assert_eq!(transport, Transport::Utp);
        assert_eq!(encrypted, encryption == Encryption::Require);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ipv6_is_as_good() {
    let both = Side {
        encryption: Encryption::Accept,
        tcp: true,
        utp: true,
    };
    let (transport, _) = carried(&both, &both, "[::1]:0").await;
    assert_eq!(transport, Transport::Tcp);
}
