//! Trackers by UDP (BEP 15), with the path of their URL (BEP 41). The packets'
//! bytes are [`Packet`]'s matter, which does no I/O.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::{Buf, BufMut};
use tokio::{net::UdpSocket, time::timeout};

use super::{
    Announce, AnnounceEvent, MAX_SCRAPE, Reply, Scraped, TrackerError,
    reply::{MAX_PEERS, bounded, printable},
};
use crate::{
    swarm::extended::{compact_v4, compact_v6},
    types::InfoHash,
};

/// What a connect request begins with, so that it is none of something else.
const PROTOCOL: u64 = 0x0417_2710_1980;
const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
const SCRAPE: u32 = 2;
const ERROR: u32 = 3;
/// BEP 41: the end of the options, and the kind of a part of the URL.
const END_OF_OPTIONS: u8 = 0;
const URL_DATA: u8 = 2;
/// Bytes of a URL's path and query that are sent: two options.
const MAX_URL: usize = 510;
/// How long each attempt at an answer waits. BEP 15 begins with 15 s and doubles
/// for an hour; whoever waits for peers would rather ask the next tracker, and
/// comes back to this one.
const ATTEMPTS: [Duration; 3] = [
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];
/// The longest answer that is read: 500 peers of 18 bytes and a header.
const MAX_ANSWER: usize = 16 << 10;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// The number that shows that we can be reached at our address.
    Connected(u64),
    /// To an announce.
    Announced(Reply),
    /// To a scrape, in the order of the question.
    Scraped(Vec<Scraped>),
    /// The tracker's refusal, made printable.
    Refused(String),
}

impl Packet {
    /// Reads an answer to the question with this number; `None` if it is none.
    /// `v6`: the tracker was asked by IPv6, and so its peers are of that kind.
    pub fn decode(mut bytes: &[u8], transaction: u32, v6: bool) -> Option<Self> {
        let action = bytes.try_get_u32().ok()?;
        if bytes.try_get_u32().ok()? != transaction {
            return None;
        }
        match action {
            CONNECT => Some(Self::Connected(bytes.try_get_u64().ok()?)),
            ANNOUNCE => {
                let interval = bytes.try_get_u32().ok()?;
                let _counts = bytes.try_get_u64().ok()?;
                let mut peers = if v6 {
                    compact_v6(bytes)
                } else {
                    compact_v4(bytes)
                };
                peers.truncate(MAX_PEERS);
                Some(Self::Announced(Reply {
                    interval: bounded(interval.into()),
                    peers,
                    min_interval: None,
                    names: Vec::new(),
                    warning: None,
                    tracker_id: None,
                    from: None,
                }))
            }
            SCRAPE => {
                let mut all = Vec::new();
                while all.len() < MAX_SCRAPE && bytes.len() >= 12 {
                    all.push(Scraped {
                        seeders: bytes.try_get_u32().ok()?,
                        completed: bytes.try_get_u32().ok()?,
                        leechers: bytes.try_get_u32().ok()?,
                    });
                }
                Some(Self::Scraped(all))
            }
            ERROR => Some(Self::Refused(printable(bytes))),
            _ => None,
        }
    }
}

fn header(first: u64, action: u32, transaction: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    out.put_u64(first);
    out.put_u32(action);
    out.put_u32(transaction);
    out
}

fn announce_packet(
    connection: u64,
    transaction: u32,
    announce: &Announce,
    url: &url::Url,
) -> Vec<u8> {
    let mut out = header(connection, ANNOUNCE, transaction);
    out.put_slice(announce.info_hash.as_bytes());
    out.put_slice(&announce.peer_id);
    out.put_u64(announce.downloaded);
    out.put_u64(announce.left);
    out.put_u64(announce.uploaded);
    out.put_u32(match announce.event {
        AnnounceEvent::None => 0,
        AnnounceEvent::Completed => 1,
        AnnounceEvent::Started => 2,
        AnnounceEvent::Stopped => 3,
    });
    // The address: as the packet comes from.
    out.put_u32(0);
    out.put_u32(announce.key);
    out.put_u32(announce.wanted);
    out.put_u16(announce.port);
    let mut place = url.path().to_owned();
    if let Some(query) = url.query() {
        place.push('?');
        place.push_str(query);
    }
    if place.len() > 1 {
        for part in place.as_bytes().chunks(255).take(MAX_URL / 255) {
            out.put_u8(URL_DATA);
            out.put_u8(u8::try_from(part.len()).expect("at most 255"));
            out.put_slice(part);
        }
        out.put_u8(END_OF_OPTIONS);
    }
    out
}

/// A conversation with one address of a tracker.
struct Asking<'a> {
    url: &'a url::Url,
    socket: UdpSocket,
    v6: bool,
}

impl Asking<'_> {
    fn failed(&self, source: io::Error) -> TrackerError {
        failed(self.url, source)
    }

    /// Asks until there is an answer; `packet` makes the question with its number.
    async fn ask(&self, packet: impl Fn(u32) -> Vec<u8>) -> Result<Packet, TrackerError> {
        let mut answer = vec![0; MAX_ANSWER];
        for patience in ATTEMPTS {
            let mut number = [0; 4];
            getrandom::fill(&mut number).map_err(|error| self.failed(io::Error::other(error)))?;
            let transaction = u32::from_be_bytes(number);
            let sent = self.socket.send(&packet(transaction)).await;
            sent.map_err(|source| self.failed(source))?;
            let answering = async {
                loop {
                    let length = self.socket.recv(&mut answer).await?;
                    let bytes = answer.get(..length).unwrap_or_default();
                    if let Some(packet) = Packet::decode(bytes, transaction, self.v6) {
                        return Ok::<_, io::Error>(packet);
                    }
                }
            };
            match timeout(patience, answering).await {
                Ok(Ok(Packet::Refused(reason))) => {
                    return Err(TrackerError::Refused {
                        url: self.url.to_string(),
                        reason,
                        retry: None,
                    });
                }
                Ok(Ok(packet)) => return Ok(packet),
                Ok(Err(source)) => return Err(self.failed(source)),
                Err(_) => {}
            }
        }
        Err(self.silent())
    }

    fn silent(&self) -> TrackerError {
        TrackerError::Silent {
            url: self.url.to_string(),
        }
    }

    async fn connect(&self) -> Result<u64, TrackerError> {
        match self.ask(|number| header(PROTOCOL, CONNECT, number)).await? {
            Packet::Connected(connection) => Ok(connection),
            _ => Err(self.silent()),
        }
    }
}

fn failed(url: &url::Url, source: io::Error) -> TrackerError {
    TrackerError::Io {
        url: url.to_string(),
        source,
    }
}

/// One conversation for each kind of address that the tracker has and `source`
/// can send from: peers by IPv4 and IPv6 are told of separately.
async fn conversations(url: &url::Url, source: IpAddr) -> Result<Vec<Asking<'_>>, TrackerError> {
    let (Some(host), Some(port)) = (url.host(), url.port()) else {
        return Err(super::bad_url(url.as_str()));
    };
    let addrs: Vec<SocketAddr> = match host {
        url::Host::Ipv4(ip) => vec![SocketAddr::new(ip.into(), port)],
        url::Host::Ipv6(ip) => vec![SocketAddr::new(ip.into(), port)],
        url::Host::Domain(name) => tokio::net::lookup_host((name, port))
            .await
            .map_err(|source| failed(url, source))?
            .collect(),
    };
    let mut all = Vec::new();
    let mut fault = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for v6 in [false, true] {
        let from = match source {
            IpAddr::V6(ip) if ip.is_unspecified() && !v6 => IpAddr::from([0, 0, 0, 0]),
            other if other.is_ipv6() == v6 => other,
            _ => continue,
        };
        let Some(to) = addrs.iter().find(|addr| addr.is_ipv6() == v6) else {
            continue;
        };
        let opened = async {
            let socket = UdpSocket::bind((from, 0)).await?;
            socket.connect(to).await?;
            Ok(socket)
        };
        match opened.await {
            Ok(socket) => all.push(Asking { url, socket, v6 }),
            Err(error) => fault = error,
        }
    }
    if all.is_empty() {
        return Err(failed(url, fault));
    }
    Ok(all)
}

/// Announces to a tracker, by IPv4 and by IPv6; one that answers is enough.
pub(super) async fn announce(
    url: &url::Url,
    source: IpAddr,
    announce: &Announce,
) -> Result<Reply, TrackerError> {
    let one = async |asking: &Asking<'_>| {
        let connection = asking.connect().await?;
        let packet = |number| announce_packet(connection, number, announce, url);
        match asking.ask(packet).await? {
            Packet::Announced(mut reply) => {
                reply.keep_namable(asking.socket.peer_addr().ok().map(|addr| addr.ip()));
                Ok(reply)
            }
            _ => Err(asking.silent()),
        }
    };
    let all = conversations(url, source).await?;
    match &all[..] {
        [first, second] => match tokio::join!(one(first), one(second)) {
            (Ok(mut reply), Ok(more)) => {
                reply.peers.extend(more.peers);
                Ok(reply)
            }
            (Ok(reply), Err(_)) | (Err(_), Ok(reply)) => Ok(reply),
            (Err(error), Err(_)) => Err(error),
        },
        [only, ..] => one(only).await,
        [] => Err(failed(url, io::ErrorKind::AddrNotAvailable.into())),
    }
}

/// Asks for the counts of some torrents.
pub(super) async fn scrape(
    url: &url::Url,
    source: IpAddr,
    hashes: &[InfoHash],
) -> Result<Vec<Option<Scraped>>, TrackerError> {
    let all = conversations(url, source).await?;
    let Some(asking) = all.first() else {
        return Err(failed(url, io::ErrorKind::AddrNotAvailable.into()));
    };
    let connection = asking.connect().await?;
    let packet = |number| {
        let mut out = header(connection, SCRAPE, number);
        for hash in hashes {
            out.put_slice(hash.as_bytes());
        }
        out
    };
    match asking.ask(packet).await? {
        Packet::Scraped(found) => {
            let mut found = found.into_iter().map(Some);
            Ok(hashes.iter().map(|_| found.next().flatten()).collect())
        }
        _ => Err(asking.silent()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_announce_is_laid_out_as_bep_15_and_41_say() {
        let announce = Announce {
            info_hash: InfoHash::from_bytes([0xaa; 20]),
            peer_id: [0xbb; 20],
            port: 0x1234,
            uploaded: 3,
            downloaded: 1,
            left: 2,
            event: AnnounceEvent::Started,
            wanted: 80,
            key: 0x0708_090a,
        };
        let url = "udp://t.example:80/announce?key=x".parse().unwrap();
        let packet = announce_packet(0x1122_3344_5566_7788, 0x99, &announce, &url);
        let expected = [
            "1122334455667788", // connection
            "00000001",         // action: announce
            "00000099",         // transaction
            &"aa".repeat(20),
            &"bb".repeat(20),
            "0000000000000001", // downloaded
            "0000000000000002", // left
            "0000000000000003", // uploaded
            "00000002",         // event: started
            "00000000",         // address: the sender's
            "0708090a",         // key
            "00000050",         // wanted
            "1234",             // port
            "020f",             // option: 15 bytes of the URL
            &hex::encode("/announce?key=x"),
            "00", // end
        ];
        assert_eq!(hex::encode(packet), expected.concat());
        let bare = "udp://t.example:80".parse().unwrap();
        assert_eq!(announce_packet(1, 2, &announce, &bare).len(), 98);
    }

    #[test]
    fn only_the_answer_to_the_question_is_one() {
        let mut bytes = hex::decode("0000000100000007000000780000000000000001").unwrap();
        bytes.extend([127, 0, 0, 1, 0x1a, 0xe1, 9]);
        let reply = Reply {
            interval: Duration::from_secs(120),
            min_interval: None,
            peers: vec!["127.0.0.1:6881".parse().unwrap()],
            names: Vec::new(),
            warning: None,
            tracker_id: None,
            from: None,
        };
        assert_eq!(
            Packet::decode(&bytes, 7, false),
            Some(Packet::Announced(reply))
        );
        assert_eq!(Packet::decode(&bytes, 8, false), None);
        assert_eq!(Packet::decode(&bytes[..19], 7, false), None);
        let refusal = b"\0\0\0\x03\0\0\0\x07not\nhere";
        assert_eq!(
            Packet::decode(refusal, 7, false),
            Some(Packet::Refused("nothere".into()))
        );
    }

    proptest! {
        #[test]
        fn garbage_never_panics(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            action in 0u32..5,
            v6 in any::<bool>(),
        ) {
            let _ = Packet::decode(&bytes, 7, v6);
            let mut answer = action.to_be_bytes().to_vec();
            answer.extend([0, 0, 0, 7]);
            answer.extend(bytes);
            let _ = Packet::decode(&answer, 7, v6);
        }
    }
}
