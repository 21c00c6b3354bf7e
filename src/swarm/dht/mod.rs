//! The distributed hash table (BEP 5, IPv6 by BEP 32, ids by BEP 42): finding
//! peers without a tracker. One `Dht` serves a whole session, on a UDP socket of
//! its own; peers are told its port.
//!
//! [`message`], [`table`], [`search`] and [`store`] do no I/O; `node` is the one
//! task that does. Everything that strangers can make grow has a bound there.

pub mod id;
pub mod message;
pub mod search;
pub mod store;
pub mod table;

mod allowance;
mod node;
mod saved;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use tokio::{
    net::UdpSocket,
    sync::{mpsc, watch},
};

use crate::types::InfoHash;

/// Where a node that knows nobody begins, out in the world.
pub const WELL_KNOWN: [&str; 4] = [
    "router.bittorrent.com:6881",
    "dht.libtorrent.org:25401",
    "dht.transmissionbt.com:6881",
    "router.utorrent.com:6881",
];
/// Searches that wait to begin.
const MAX_WAITING: usize = 1024;

/// Nodes of one torrent file that are asked.
const MAX_HINTS: usize = 8;

/// How to take part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DhtOptions {
    /// Nodes to begin with, as `host:port`.
    pub nodes: Vec<String>,
    /// Where nodes that answered are kept for the next start.
    pub state: Option<PathBuf>,
}

/// What other tasks want of the node.
#[derive(Debug)]
enum Command {
    /// Look for peers of a torrent, and be one of them at this port.
    Search {
        hash: InfoHash,
        announce: Option<u16>,
        found: mpsc::Sender<Vec<SocketAddr>>,
    },
    /// Somebody says that there is a node.
    Node(SocketAddr),
    /// The same, with a name to be looked up.
    Name(String),
}

/// A running node, which ends with the session's tasks.
#[derive(Debug)]
pub(super) struct Dht {
    commands: mpsc::Sender<Command>,
    nodes: watch::Receiver<usize>,
    seen_at: watch::Receiver<[Option<IpAddr>; 2]>,
    port: u16,
}

impl Dht {
    /// Binds a node beside the listener at `listen`: at the next port if that is
    /// free, else at any. The future is the node's task.
    pub(super) async fn start(
        listen: SocketAddr,
        options: DhtOptions,
    ) -> io::Result<(Self, impl Future<Output = ()> + Send + 'static)> {
        let next = SocketAddr::new(listen.ip(), listen.port().wrapping_add(1));
        let socket = match UdpSocket::bind(next).await {
            Ok(socket) => socket,
            Err(_) => UdpSocket::bind((listen.ip(), 0)).await?,
        };
        let port = socket.local_addr()?.port();
        let (commands, wanted) = mpsc::channel(MAX_WAITING);
        let (told, nodes) = watch::channel(0);
        let (saw, seen_at) = watch::channel([None; 2]);
        let node = node::Node::new(socket, options, wanted, told, saw)?;
        let dht = Self {
            commands,
            nodes,
            seen_at,
            port,
        };
        Ok((dht, node.run()))
    }

    /// Where the node listens.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Our address out there, if several hosts agree on it.
    pub(super) fn seen_at(&self, v6: bool) -> Option<IpAddr> {
        let [four, six] = *self.seen_at.borrow();
        if v6 { six } else { four }
    }

    /// How many nodes it knows that answer.
    pub(super) fn nodes(&self) -> watch::Receiver<usize> {
        self.nodes.clone()
    }

    /// Looks for peers of a torrent; they come as they are found, until the search
    /// is over. With a port, the nodes nearest to it are told that we are there.
    /// `None`: too much is waiting already.
    pub(super) fn search(
        &self,
        hash: InfoHash,
        announce: Option<u16>,
    ) -> Option<mpsc::Receiver<Vec<SocketAddr>>> {
        let (found, peers) = mpsc::channel(16);
        let search = Command::Search {
            hash,
            announce,
            found,
        };
        self.commands.try_send(search).ok().map(|()| peers)
    }

    /// Somebody says that there is a node: it is asked whether it is. When there
    /// is more to do, hints are dropped.
    pub(super) fn hint(&self, addr: SocketAddr) {
        if self.commands.capacity() > MAX_WAITING / 2 {
            let _full = self.commands.try_send(Command::Node(addr));
        }
    }

    /// The same for the nodes that a torrent file names.
    pub(super) fn hint_names(&self, nodes: &[(String, u16)]) {
        for (host, port) in nodes.iter().take(MAX_HINTS) {
            let name = if host.contains(':') {
                format!("[{host}]:{port}")
            } else {
                format!("{host}:{port}")
            };
            if self.commands.capacity() > MAX_WAITING / 2 {
                let _full = self.commands.try_send(Command::Name(name));
            }
        }
    }
}
