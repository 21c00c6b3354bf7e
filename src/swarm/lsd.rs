//! Local service discovery (BEP 14): peers in the same network, by multicast. IPv4
//! only. Private torrents are neither told of nor believed.

use std::{
    collections::{HashMap, HashSet},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::Arc,
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::UdpSocket;

use super::{lock::lock, session::Shared, torrent::PeerSource};
use crate::types::InfoHash;

/// Where everybody listens.
const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 192, 152, 143), 6771);
/// How often a torrent is told of.
const EVERY: Duration = Duration::from_secs(300);
/// How often it is looked whether there are new ones.
const TICK: Duration = Duration::from_secs(2);
/// The longest message that is sent or read: one packet anywhere.
const MAX_MESSAGE: usize = 1400;
/// Torrents in one message: 53 bytes each.
const MAX_HASHES: usize = 20;

/// A message: where its sender takes connections, for which torrents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// The sender's port.
    pub port: u16,
    /// Its torrents, at most 20.
    pub hashes: Vec<InfoHash>,
    /// Tells the sender its own messages.
    pub cookie: Option<String>,
}

impl Search {
    /// Reads a message; `None` if it is none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..MAX_MESSAGE).unwrap_or(bytes);
        let text = std::str::from_utf8(bytes).ok()?;
        let mut lines = text.split("\r\n");
        if lines.next()? != "BT-SEARCH * HTTP/1.1" {
            return None;
        }
        let (mut port, mut hashes, mut cookie) = (None, Vec::new(), None);
        for line in lines {
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "port" => port = value.parse().ok().filter(|port| *port != 0),
                "infohash" if hashes.len() < MAX_HASHES => {
                    hashes.extend(value.to_ascii_lowercase().parse::<InfoHash>());
                }
                "cookie" => cookie = Some(value.to_owned()),
                _ => {}
            }
        }
        Some(Self {
            port: port?,
            hashes,
            cookie,
        })
    }

    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = format!(
            "BT-SEARCH * HTTP/1.1\r\nHost: {GROUP}\r\nPort: {}\r\n",
            self.port
        );
        for hash in self.hashes.iter().take(MAX_HASHES) {
            out.push_str(&format!("Infohash: {hash}\r\n"));
        }
        if let Some(cookie) = &self.cookie {
            out.push_str(&format!("cookie: {cookie}\r\n"));
        }
        out.push_str("\r\n\r\n");
        out.into_bytes()
    }
}

/// The interface by which a session that listens there tells the local network, by its address;
/// unspecified: the system's choice. `None`: it has an address of IPv6 alone, and what is sent by
/// IPv4 would leave by any other interface.
pub(super) fn interface(listen: IpAddr) -> Option<Ipv4Addr> {
    match listen {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(v6) if v6.is_unspecified() => Some(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => None,
    }
}

/// Binds the group's port, which others of this machine share.
pub(super) fn bind(interface: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    if cfg!(unix) {
        socket.set_reuse_port(true)?;
    }
    let all = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, GROUP.port());
    socket.bind(&SockAddr::from(all))?;
    socket.join_multicast_v4(GROUP.ip(), &interface)?;
    if !interface.is_unspecified() {
        socket.set_multicast_if_v4(&interface)?;
    }
    socket.set_multicast_loop_v4(true)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

/// Tells the network of our torrents, and listens to others.
pub(super) async fn run(shared: Arc<Shared>, socket: UdpSocket) {
    let cookie = format!("{:08x}", shared.key);
    let mut told: HashMap<InfoHash, Instant> = HashMap::new();
    let mut ticks = tokio::time::interval(TICK);
    let mut buf = [0; MAX_MESSAGE];
    loop {
        tokio::select! {
            received = socket.recv_from(&mut buf) => {
                let Ok((length, from)) = received else { continue };
                let message = buf.get(..length).and_then(Search::decode);
                if let Some(message) = message.filter(|one| one.cookie.as_ref() != Some(&cookie)) {
                    heard(&shared, &message, from);
                }
            }
            _ = ticks.tick() => {
                let now = Instant::now();
                let public: HashSet<InfoHash> = {
                    let torrents = lock(&shared.torrents);
                    let open = torrents.values().filter(|torrent| torrent.is_public_and_open());
                    open.map(|torrent| torrent.hash).collect()
                };
                told.retain(|hash, at| public.contains(hash) && now.duration_since(*at) < EVERY);
                let fresh: Vec<InfoHash> =
                    public.into_iter().filter(|hash| !told.contains_key(hash)).collect();
                for hashes in fresh.chunks(MAX_HASHES) {
                    let message = Search {
                        port: shared.listen.port(),
                        hashes: hashes.to_vec(),
                        cookie: Some(cookie.clone()),
                    };
                    if let Err(error) = socket.send_to(&message.encode(), GROUP).await {
                        tracing::debug!(%error, "cannot tell the local network");
                    }
                    told.extend(hashes.iter().map(|hash| (*hash, now)));
                }
            }
        }
    }
}

fn heard(shared: &Shared, message: &Search, from: SocketAddr) {
    let peer = SocketAddr::new(from.ip(), message.port);
    for hash in &message.hashes {
        if let Some(torrent) = shared.torrent(*hash)
            && !torrent.is_private()
        {
            torrent.add_peers(&[peer], PeerSource::Lan);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_libtorrent_sends_is_read() {
        let bytes = b"BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\n\
            Infohash: 631A31DD0A46257D5078C0DEE4E66E26F73E42AC\r\ncookie: 1ab\r\n\r\n\r\n";
        let hash: InfoHash = "631a31dd0a46257d5078c0dee4e66e26f73e42ac".parse().unwrap();
        let read = Search::decode(bytes).unwrap();
        assert_eq!((read.port, &read.hashes[..]), (6881, &[hash][..]));
        assert_eq!(read.cookie.as_deref(), Some("1ab"));
        assert_eq!(Search::decode(&read.encode()), Some(read));
        let many = Search {
            port: 65535,
            hashes: vec![hash; 50],
            cookie: Some("0123456789abcdef".into()),
        };
        assert!(many.encode().len() <= MAX_MESSAGE);
        assert_eq!(Search::decode(&many.encode()).unwrap().hashes.len(), 20);
    }

    #[test]
    fn it_never_leaves_by_another_interface_than_the_sessions() {
        let any = Some(Ipv4Addr::UNSPECIFIED);
        for (listen, by) in [
            ("192.168.7.2", Some(Ipv4Addr::new(192, 168, 7, 2))),
            ("127.0.0.1", Some(Ipv4Addr::LOCALHOST)),
            ("0.0.0.0", any),
            ("::", any),
            ("::1", None),
            ("fd00::7", None),
            ("2001:db8::1", None),
        ] {
            assert_eq!(interface(listen.parse().unwrap()), by, "{listen}");
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(text in "(BT-SEARCH \\* HTTP/1.1\r\n)?[a-zA-Z0-9: \r\n]{0,200}") {
            let _ = Search::decode(text.as_bytes());
        }
    }
}
