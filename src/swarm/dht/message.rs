//! The packets (KRPC of BEP 5, with BEP 32's second list): bencoded, one a
//! datagram, every part within bounds.

use std::net::{IpAddr, SocketAddr};

use super::id::NodeId;
use crate::{
    swarm::{
        bencode::{self, Limits, Value},
        extended::{compact_v4, compact_v6, to_compact},
    },
    types::InfoHash,
};

/// The longest packet that is read or sent: what passes everywhere in one piece.
pub const MAX_PACKET: usize = 1500;
/// What is decoded of it: an answer has a few dozen values.
const LIMITS: Limits = Limits {
    bytes: MAX_PACKET,
    depth: 6,
    values: 512,
    allow_unsorted: true,
    lenient: false,
};
/// The longest transaction and token that are kept: nobody uses more than 20.
const MAX_WORD: usize = 40;
/// The most nodes, and the most peers, that are read of one answer.
const MAX_LIST: usize = 100;

/// A node as others are told of it.
pub type Contact = (NodeId, SocketAddr);

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// Are you there?
    Ping,
    /// Whom do you know near this?
    FindNode(NodeId),
    /// Who has this torrent, or is near it?
    GetPeers(InfoHash),
    /// I have this torrent.
    Announce {
        /// The torrent.
        info_hash: InfoHash,
        /// Where the sender takes connections; `None`: at the port it sends from.
        port: Option<u16>,
        /// What it was given with an answer to `GetPeers`.
        token: Vec<u8>,
    },
    /// Something else.
    Unknown,
}

/// An answer; what it has depends on the question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Nodes near what was asked for.
    pub nodes: Vec<Contact>,
    /// Peers of the torrent.
    pub peers: Vec<SocketAddr>,
    /// For an announce.
    pub token: Option<Vec<u8>>,
    /// Where the answering node sees us.
    pub seen_at: Option<IpAddr>,
}

/// What a packet says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A question of this node.
    Query(NodeId, Query),
    /// This node's answer.
    Answer(NodeId, Answer),
    /// A refusal, with its code.
    Error(i64),
}

/// A packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The asker's number of the question.
    pub transaction: Vec<u8>,
    /// What it says.
    pub body: Body,
}

/// An IPv4 address is one also where it is written as IPv6.
fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

fn word(value: &Value) -> Option<Vec<u8>> {
    let word = value.as_bytes()?;
    (word.len() <= MAX_WORD).then(|| word.to_vec())
}

fn id(value: Option<&Value>) -> Option<NodeId> {
    NodeId::read(value?.as_bytes()?)
}

fn contacts<const N: usize>(bytes: &[u8], addrs: fn(&[u8]) -> Vec<SocketAddr>) -> Vec<Contact> {
    let (all, _) = bytes.as_chunks::<N>();
    let one = |entry: &[u8; N]| {
        let (id, addr) = entry.split_first_chunk::<20>()?;
        Some((NodeId(*id), canonical(*addrs(addr).first()?)))
    };
    all.iter().take(MAX_LIST).filter_map(one).collect()
}

impl Packet {
    /// Reads a packet; `None` if it is none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let value = bencode::decode(bytes, LIMITS).ok()?;
        let transaction = word(value.get("t")?)?;
        let body = match value.get("y")?.as_bytes()? {
            b"q" => {
                let given = value.get("a")?;
                let query = Self::query(value.get("q")?.as_bytes()?, given)?;
                Body::Query(id(given.get("id"))?, query)
            }
            b"r" => {
                let given = value.get("r")?;
                Body::Answer(id(given.get("id"))?, Self::answer(given, value.get("ip")))
            }
            b"e" => {
                let list = value.get("e")?.as_list()?;
                Body::Error(list.first()?.as_int()?)
            }
            _ => return None,
        };
        Some(Self { transaction, body })
    }

    fn query(name: &[u8], given: &Value) -> Option<Query> {
        let hash = |key| id(given.get(key)).map(|id| InfoHash::from_bytes(id.0));
        Some(match name {
            b"ping" => Query::Ping,
            b"find_node" => Query::FindNode(id(given.get("target"))?),
            b"get_peers" => Query::GetPeers(hash("info_hash")?),
            b"announce_peer" => {
                let implied = given.get("implied_port").and_then(Value::as_int);
                let port = || u16::try_from(given.get("port")?.as_int()?).ok();
                Query::Announce {
                    info_hash: hash("info_hash")?,
                    port: match implied {
                        Some(implied) if implied != 0 => None,
                        _ => Some(port().filter(|port| *port != 0)?),
                    },
                    token: word(given.get("token")?)?,
                }
            }
            _ => Query::Unknown,
        })
    }

    fn answer(given: &Value, seen_at: Option<&Value>) -> Answer {
        let bytes = |key| given.get(key).and_then(Value::as_bytes).unwrap_or_default();
        let mut nodes = contacts::<26>(bytes("nodes"), compact_v4);
        nodes.extend(contacts::<38>(bytes("nodes6"), compact_v6));
        let peers = given.get("values").and_then(Value::as_list);
        let peers = peers.unwrap_or_default().iter().filter_map(Value::as_bytes);
        let peers = peers.flat_map(|peer| match peer.len() {
            6 => compact_v4(peer),
            18 => compact_v6(peer),
            _ => Vec::new(),
        });
        let seen_at = seen_at.and_then(Value::as_bytes).unwrap_or_default();
        let seen_at = match seen_at.len() {
            6 => compact_v4(seen_at),
            18 => compact_v6(seen_at),
            _ => Vec::new(),
        };
        Answer {
            nodes,
            peers: peers.map(canonical).take(MAX_LIST).collect(),
            token: given.get("token").and_then(word),
            seen_at: seen_at.first().map(|addr| addr.ip()),
        }
    }

    /// The bytes. `to` is whom it is for: an answer says where it sees the asker,
    /// and a question asks for both kinds of nodes if `both`.
    pub fn encode(&self, to: SocketAddr, both: bool) -> Vec<u8> {
        let transaction = Value::from(self.transaction.clone());
        let mut entries = vec![("t", transaction), ("v", b"SR\x01\x00".to_vec().into())];
        match &self.body {
            Body::Query(id, query) => {
                let mut given = vec![("id", id.0[..].into())];
                let name = query.arguments(&mut given);
                if both && !matches!(query, Query::Ping | Query::Announce { .. }) {
                    let want = ["n4", "n6"].map(Value::from).to_vec();
                    given.push(("want", Value::List(want)));
                }
                entries.push(("y", "q".into()));
                entries.push(("q", name.into()));
                entries.push(("a", Value::dict(given)));
            }
            Body::Answer(id, answer) => {
                let (v4, v6) = to_compact(&[to]);
                entries.push(("ip", [v4, v6].concat().into()));
                entries.push(("y", "r".into()));
                entries.push(("r", answer.encode(id)));
            }
            Body::Error(code) => {
                let error = vec![(*code).into(), "not understood".into()];
                entries.push(("y", "e".into()));
                entries.push(("e", Value::List(error)));
            }
        }
        Value::dict(entries).encode()
    }
}

impl Query {
    fn arguments(&self, given: &mut Vec<(&'static str, Value)>) -> &'static str {
        match self {
            Self::FindNode(target) => {
                given.push(("target", target.0[..].into()));
                "find_node"
            }
            Self::GetPeers(hash) => {
                given.push(("info_hash", hash.as_bytes()[..].into()));
                "get_peers"
            }
            Self::Announce {
                info_hash,
                port,
                token,
            } => {
                given.push(("info_hash", info_hash.as_bytes()[..].into()));
                given.push(("implied_port", i64::from(port.is_none()).into()));
                given.push(("port", u32::from(port.unwrap_or(1)).into()));
                given.push(("token", token.clone().into()));
                "announce_peer"
            }
            Self::Ping | Self::Unknown => "ping",
        }
    }
}

impl Answer {
    fn encode(&self, id: &NodeId) -> Value {
        let mut given = vec![("id", id.0[..].into())];
        let list = |v6: bool| {
            let nodes = self.nodes.iter().filter(|(_, addr)| addr.is_ipv6() == v6);
            let bytes = nodes.flat_map(|(id, addr)| {
                let (four, six) = to_compact(&[*addr]);
                [id.0.to_vec(), four, six].concat()
            });
            bytes.collect::<Vec<u8>>()
        };
        for (key, bytes) in [("nodes", list(false)), ("nodes6", list(true))] {
            if !bytes.is_empty() {
                given.push((key, bytes.into()));
            }
        }
        if !self.peers.is_empty() {
            let peers = self.peers.iter().map(|peer| {
                let (v4, v6) = to_compact(&[*peer]);
                Value::from([v4, v6].concat())
            });
            given.push(("values", Value::List(peers.collect())));
        }
        if let Some(token) = &self.token {
            given.push(("token", token.clone().into()));
        }
        Value::dict(given)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The examples of BEP 5.
    #[test]
    fn the_examples_of_bep_5_are_read() {
        let body = |bytes: &[u8]| {
            let packet = Packet::decode(bytes).unwrap();
            assert_eq!(packet.transaction, b"aa");
            packet.body
        };
        let asker = NodeId(*b"abcdefghij0123456789");
        let other = *b"mnopqrstuvwxyz123456";
        let hash = InfoHash::from_bytes(other);
        assert_eq!(
            body(b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe"),
            Body::Query(asker, Query::Ping)
        );
        assert_eq!(
            body(b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe"),
            Body::Query(asker, Query::FindNode(NodeId(other)))
        );
        assert_eq!(
            body(b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe"),
            Body::Query(asker, Query::GetPeers(hash))
        );
        let announce = Query::Announce {
            info_hash: hash,
            port: None,
            token: b"aoeusnth".to_vec(),
        };
        assert_eq!(
            body(b"d1:ad2:id20:abcdefghij012345678912:implied_porti1e9:info_hash20:mnopqrstuvwxyz1234564:porti6881e5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe"),
            Body::Query(asker, announce)
        );
        let answer = Answer {
            peers: vec![
                "97.120.106.101:11893".parse().unwrap(),
                "105.100.104.116:28269".parse().unwrap(),
            ],
            token: Some(b"aoeusnth".to_vec()),
            ..Answer::default()
        };
        assert_eq!(
            body(b"d1:rd2:id20:abcdefghij01234567895:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re"),
            Body::Answer(asker, answer)
        );
        assert_eq!(
            body(b"d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee"),
            Body::Error(201)
        );
    }

    #[test]
    fn an_ipv4_address_in_disguise_is_one() {
        let mut peer = vec![0; 18];
        peer[10..].copy_from_slice(&[0xff, 0xff, 1, 2, 3, 4, 0, 5]);
        let node = [vec![7; 20], peer.clone()].concat();
        let given = Value::dict([
            ("id", vec![1; 20].into()),
            ("nodes6", node.into()),
            ("values", Value::List(vec![peer.into()])),
        ]);
        let answer = Packet::answer(&given, None);
        let addr = SocketAddr::from(([1, 2, 3, 4], 5));
        assert_eq!(answer.peers, [addr]);
        assert_eq!(answer.nodes, [(NodeId([7; 20]), addr)]);
    }

    proptest! {
        #[test]
        fn what_is_sent_is_read(
            id in any::<[u8; 20]>(),
            other in any::<[u8; 20]>(),
            v4 in any::<([u8; 4], u16)>(),
            v6 in any::<([u16; 8], u16)>(),
            port in proptest::option::of(1u16..),
            token in proptest::collection::vec(any::<u8>(), 0..MAX_WORD),
        ) {
            let id = NodeId(id);
            let hash = InfoHash::from_bytes(other);
            let to = SocketAddr::from(([1, 2, 3, 4], 5));
            let addrs = [SocketAddr::from(v4), SocketAddr::from(v6)];
            let addrs: Vec<_> = addrs.into_iter().filter(|addr| {
                addr.port() != 0 && addr.ip() == addr.ip().to_canonical()
            }).collect();
            let answer = Answer {
                nodes: addrs.iter().map(|addr| (NodeId(other), *addr)).collect(),
                peers: addrs,
                token: Some(token.clone()),
                seen_at: Some(to.ip()),
            };
            for body in [
                Body::Query(id, Query::Ping),
                Body::Query(id, Query::FindNode(NodeId(other))),
                Body::Query(id, Query::GetPeers(hash)),
                Body::Query(id, Query::Announce { info_hash: hash, port, token }),
                Body::Answer(id, answer),
                Body::Error(204),
            ] {
                let packet = Packet { transaction: vec![1, 2], body };
                prop_assert_eq!(Packet::decode(&packet.encode(to, true)), Some(packet));
            }
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Packet::decode(&bytes);
        }
    }
}
