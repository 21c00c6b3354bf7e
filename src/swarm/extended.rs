//! The extension protocol's own messages (BEP 10): its handshake, metadata
//! exchange (BEP 9) and peer exchange (BEP 11).

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use bytes::Bytes;

use super::{
    bencode::{self, BencodeError, Limits, Value},
    metainfo::MAX_INFO_BYTES,
};

/// Bytes of a metadata piece (BEP 9).
pub const METADATA_PIECE: u32 = 16 << 10;

/// How many requests we queue for one peer: 8 MiB of chunks, 64 ms at 1 Gbit/s.
pub const OUR_REQQ: u32 = 512;

/// What is assumed of a peer that does not say: libtorrent's default.
pub const DEFAULT_REQQ: u32 = 250;

/// The most addresses read of one PEX message.
const MAX_PEX: usize = 200;

/// The extension handshake. Keys that are not understood are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExtendedHandshake {
    /// `m`: the sender's number of each extension; 0 turns one off.
    pub ids: BTreeMap<String, u8>,
    /// `v`: program and version, one line.
    pub client: Option<String>,
    /// `p`: the port the sender listens at.
    pub port: Option<u16>,
    /// `reqq`: requests the sender queues.
    pub reqq: Option<u32>,
    /// `metadata_size`: bytes of the info dictionary.
    pub metadata_size: Option<u32>,
    /// `upload_only` (BEP 21): the sender wants nothing.
    pub upload_only: bool,
}

impl ExtendedHandshake {
    /// Reads the payload.
    ///
    /// # Errors
    /// Not a bencoded dictionary.
    pub fn decode(payload: &[u8]) -> Result<Self, BencodeError> {
        let value = bencode::decode(payload, Limits::MESSAGE)?;
        let small = |key: &str| {
            let number = value.get(key).and_then(Value::as_u64);
            number.and_then(|number| u32::try_from(number).ok())
        };
        let ids = value.get("m").and_then(Value::as_dict);
        let ids = ids.into_iter().flatten().filter_map(|(name, id)| {
            let name = std::str::from_utf8(name).ok()?;
            let id = u8::try_from(id.as_int()?).ok()?;
            (name.len() <= 64).then(|| (name.to_owned(), id))
        });
        let client = value.get("v").and_then(Value::as_bytes).map(|text| {
            let text = String::from_utf8_lossy(text);
            text.chars().filter(|c| !c.is_control()).take(64).collect()
        });
        Ok(Self {
            ids: ids.take(64).collect(),
            client,
            port: small("p").and_then(|port| u16::try_from(port).ok()),
            reqq: small("reqq").filter(|reqq| *reqq > 0),
            metadata_size: small("metadata_size").filter(|size| {
                usize::try_from(*size).is_ok_and(|size| (1..=MAX_INFO_BYTES).contains(&size))
            }),
            upload_only: small("upload_only") == Some(1),
        })
    }

    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let ids = self
            .ids
            .iter()
            .map(|(name, id)| (name.as_str(), Value::from(u32::from(*id))));
        let mut entries = vec![("m", Value::dict(ids))];
        if let Some(client) = &self.client {
            entries.push(("v", client.as_str().into()));
        }
        if let Some(port) = self.port {
            entries.push(("p", u32::from(port).into()));
        }
        if let Some(reqq) = self.reqq {
            entries.push(("reqq", reqq.into()));
        }
        if let Some(size) = self.metadata_size {
            entries.push(("metadata_size", size.into()));
        }
        if self.upload_only {
            entries.push(("upload_only", 1i64.into()));
        }
        Value::dict(entries).encode()
    }
}

/// A message of `ut_metadata`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataMessage {
    /// 0: send me this piece.
    Request(u32),
    /// 1: this is the piece.
    Data {
        /// Its index.
        piece: u32,
        /// Bytes of the whole dictionary.
        total: u32,
        /// The piece.
        data: Bytes,
    },
    /// 2: I do not have it.
    Reject(u32),
    /// Anything else: ignored, as BEP 9 wants.
    Unknown,
}

impl MetadataMessage {
    /// Reads the payload.
    ///
    /// # Errors
    /// It does not begin with a bencoded dictionary.
    pub fn decode(payload: &Bytes) -> Result<Self, BencodeError> {
        let (value, used) = bencode::decode_prefix(payload, Limits::MESSAGE)?;
        let number = |key: &str| {
            let number = value.get(key).and_then(Value::as_u64);
            number.and_then(|number| u32::try_from(number).ok())
        };
        Ok(
            match (number("msg_type"), number("piece"), number("total_size")) {
                (Some(0), Some(piece), _) => Self::Request(piece),
                (Some(1), Some(piece), Some(total)) => Self::Data {
                    piece,
                    total,
                    data: payload.slice(used..),
                },
                (Some(2), Some(piece), _) => Self::Reject(piece),
                _ => Self::Unknown,
            },
        )
    }

    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let head = |kind: u32, piece: u32| vec![("msg_type", kind.into()), ("piece", piece.into())];
        match self {
            Self::Request(piece) => Value::dict(head(0, *piece)).encode(),
            Self::Data { piece, total, data } => {
                let mut entries: Vec<(&str, Value)> = head(1, *piece);
                entries.push(("total_size", (*total).into()));
                let mut out = Value::dict(entries).encode();
                out.extend_from_slice(data);
                out
            }
            Self::Reject(piece) => Value::dict(head(2, *piece)).encode(),
            Self::Unknown => Value::dict([]).encode(),
        }
    }
}

/// A message of `ut_pex`: peers that came and went since the last one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PexMessage {
    /// Peers the sender is connected to now.
    pub added: Vec<SocketAddr>,
    /// Peers it is not connected to any more.
    pub dropped: Vec<SocketAddr>,
}

impl PexMessage {
    /// Reads the payload; flags are ignored.
    ///
    /// # Errors
    /// Not a bencoded dictionary.
    pub fn decode(payload: &[u8]) -> Result<Self, BencodeError> {
        let value = bencode::decode(payload, Limits::MESSAGE)?;
        let list = |v4: &str, v6: &str| {
            let bytes = |key: &str| value.get(key).and_then(Value::as_bytes).unwrap_or_default();
            let mut all = compact_v4(bytes(v4));
            all.extend(compact_v6(bytes(v6)));
            all.truncate(MAX_PEX);
            all
        };
        Ok(Self {
            added: list("added", "added6"),
            dropped: list("dropped", "dropped6"),
        })
    }

    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let (added, added6) = to_compact(&self.added);
        let (dropped, dropped6) = to_compact(&self.dropped);
        let flags = vec![0u8; added.len() / 6];
        let flags6 = vec![0u8; added6.len() / 18];
        Value::dict([
            ("added", added.into()),
            ("added.f", flags.into()),
            ("added6", added6.into()),
            ("added6.f", flags6.into()),
            ("dropped", dropped.into()),
            ("dropped6", dropped6.into()),
        ])
        .encode()
    }
}

/// Addresses of 6 bytes each (BEP 23); a rest that is shorter is ignored.
pub fn compact_v4(bytes: &[u8]) -> Vec<SocketAddr> {
    let (all, _) = bytes.as_chunks::<6>();
    let all = all.iter().map(|[a, b, c, d, high, low]| {
        let ip = Ipv4Addr::new(*a, *b, *c, *d);
        SocketAddr::from((ip, u16::from_be_bytes([*high, *low])))
    });
    all.filter(|addr| addr.port() != 0).collect()
}

/// Addresses of 18 bytes each (BEP 7); a rest that is shorter is ignored.
pub fn compact_v6(bytes: &[u8]) -> Vec<SocketAddr> {
    let (all, _) = bytes.as_chunks::<18>();
    let all = all.iter().map(|entry| {
        let [ip @ .., high, low] = *entry;
        SocketAddr::from((Ipv6Addr::from(ip), u16::from_be_bytes([high, low])))
    });
    all.filter(|addr| addr.port() != 0).collect()
}

/// The compact forms: IPv4 (also where mapped into IPv6) and IPv6.
pub fn to_compact(addrs: &[SocketAddr]) -> (Vec<u8>, Vec<u8>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for addr in addrs {
        match addr.ip().to_canonical() {
            std::net::IpAddr::V4(ip) => {
                v4.extend(ip.octets());
                v4.extend(addr.port().to_be_bytes());
            }
            std::net::IpAddr::V6(ip) => {
                v6.extend(ip.octets());
                v6.extend(addr.port().to_be_bytes());
            }
        }
    }
    (v4, v6)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_handshake_survives() {
        let ours = ExtendedHandshake {
            ids: BTreeMap::from([("ut_metadata".into(), 1), ("sr_pay".into(), 3)]),
            client: Some("Seedrail 0.1".into()),
            port: Some(6881),
            reqq: Some(OUR_REQQ),
            metadata_size: Some(1234),
            upload_only: true,
        };
        assert_eq!(ExtendedHandshake::decode(&ours.encode()), Ok(ours));
    }

    #[test]
    fn nonsense_values_are_not_believed() {
        let payload =
            b"d1:md11:ut_metadatai300e6:ut_pexi-1ee13:metadata_sizei99999999999e4:reqqi0ee";
        assert_eq!(
            ExtendedHandshake::decode(payload),
            Ok(ExtendedHandshake::default())
        );
    }

    proptest! {
        #[test]
        fn metadata_messages_survive(
            piece in any::<u32>(),
            data in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            for message in [
                MetadataMessage::Request(piece),
                MetadataMessage::Reject(piece),
                MetadataMessage::Data { piece, total: 77, data: data.into() },
            ] {
                let payload = Bytes::from(message.encode());
                prop_assert_eq!(MetadataMessage::decode(&payload), Ok(message));
            }
        }

        #[test]
        fn pex_survives(
            v4 in proptest::collection::vec(any::<([u8; 4], u16)>(), 0..5),
            v6 in proptest::collection::vec(any::<([u16; 8], u16)>(), 0..5),
        ) {
            let v4 = v4.into_iter().map(SocketAddr::from);
            let v6 = v6.into_iter().map(SocketAddr::from);
            let all: Vec<_> = v4.chain(v6).filter(|addr| {
                addr.port() != 0 && addr.ip() == addr.ip().to_canonical()
            }).collect();
            let message = PexMessage { added: all, dropped: vec![] };
            prop_assert_eq!(PexMessage::decode(&message.encode()), Ok(message));
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = ExtendedHandshake::decode(&bytes);
            let _ = PexMessage::decode(&bytes);
            let _ = MetadataMessage::decode(&bytes.into());
        }
    }
}
