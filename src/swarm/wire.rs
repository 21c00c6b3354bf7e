//! The peer protocol's bytes: BEP 3, the fast extension (BEP 6) and the
//! extension protocol's envelope (BEP 10). No I/O: [`decode`] takes messages off
//! the front of a buffer, and every length is checked before it is believed.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::types::InfoHash;

/// Bytes of a chunk, the unit of requests. Every client uses it, and several
/// close the connection on a larger request.
pub const CHUNK: u32 = 16 << 10;

/// The longest request we serve. Some old clients ask 32 KiB or more at once.
pub const MAX_REQUEST: u32 = 128 << 10;

/// The longest message accepted: a bitfield of 2²¹ pieces, the most a torrent
/// may have here. Other messages are shorter, see `max_len`.
pub const MAX_MESSAGE: u32 = 1 + (1 << 18);

/// The longest extended message: the 64 KiB of
/// [`PeerExtension::message`](super::hooks::PeerExtension::message) and its id.
pub const MAX_EXTENDED: u32 = 2 + (64 << 10);

/// Bytes of the handshake.
pub const HANDSHAKE_LEN: usize = 68;

/// What the handshake begins with.
pub const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";

/// Who somebody says to be: 20 bytes, by convention `-XXvvvv-` and noise.
pub type PeerId = [u8; 20];

/// The first 68 bytes each way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handshake {
    /// Feature bits.
    pub reserved: [u8; 8],
    /// The torrent.
    pub info_hash: InfoHash,
    /// The sender.
    pub peer_id: PeerId,
}

impl Handshake {
    /// With the bits of what we speak: extension protocol and fast extension.
    pub fn new(info_hash: InfoHash, peer_id: PeerId) -> Self {
        Self {
            reserved: [0, 0, 0, 0, 0, 0x10, 0, 0x04],
            info_hash,
            peer_id,
        }
    }

    /// The same, from one that has a DHT node (BEP 5).
    #[must_use]
    pub fn with_dht(mut self) -> Self {
        let [.., byte] = &mut self.reserved;
        *byte |= 1;
        self
    }

    /// BEP 5: the last bit.
    pub fn dht(&self) -> bool {
        let [.., byte] = self.reserved;
        byte & 1 != 0
    }

    /// BEP 10: bit 20 from the right.
    pub fn extended(&self) -> bool {
        let [.., byte, _, _] = self.reserved;
        byte & 0x10 != 0
    }

    /// BEP 6: bit 2 from the right.
    pub fn fast(&self) -> bool {
        let [.., byte] = self.reserved;
        byte & 0x04 != 0
    }

    /// The bytes.
    pub fn encode(&self) -> [u8; HANDSHAKE_LEN] {
        let mut out = [0; HANDSHAKE_LEN];
        let mut rest = &mut out[..];
        rest.put_slice(PROTOCOL);
        rest.put_slice(&self.reserved);
        rest.put_slice(self.info_hash.as_bytes());
        rest.put_slice(&self.peer_id);
        out
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// It is another protocol.
    pub fn decode(bytes: &[u8; HANDSHAKE_LEN]) -> Result<Self, WireError> {
        let mut rest = &bytes[..];
        if !rest.starts_with(PROTOCOL) {
            return Err(WireError::NotBitTorrent);
        }
        rest.advance(PROTOCOL.len());
        let mut reserved = [0; 8];
        let mut info_hash = [0; 20];
        let mut peer_id = [0; 20];
        rest.copy_to_slice(&mut reserved);
        rest.copy_to_slice(&mut info_hash);
        rest.copy_to_slice(&mut peer_id);
        Ok(Self {
            reserved,
            info_hash: InfoHash::from_bytes(info_hash),
            peer_id,
        })
    }
}

/// A part of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    /// The piece's index.
    pub piece: u32,
    /// Offset in the piece, in bytes.
    pub begin: u32,
    /// Length in bytes.
    pub length: u32,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Nothing, to keep the connection open.
    KeepAlive,
    /// 0: requests will not be served.
    Choke,
    /// 1: requests will be served.
    Unchoke,
    /// 2: the sender wants data.
    Interested,
    /// 3: the sender wants no data.
    NotInterested,
    /// 4: the sender has this piece now.
    Have(u32),
    /// 5: what the sender has, right after the handshake.
    Bitfield(Bytes),
    /// 6: send me this.
    Request(Block),
    /// 7: data.
    Piece {
        /// The piece's index.
        piece: u32,
        /// Offset in the piece, in bytes.
        begin: u32,
        /// The bytes.
        data: Bytes,
    },
    /// 8: do not send it after all.
    Cancel(Block),
    /// 9: UDP port of the sender's DHT node (BEP 5).
    Port(u16),
    /// 13: ask me for this piece (BEP 6).
    Suggest(u32),
    /// 14: instead of a bitfield (BEP 6).
    HaveAll,
    /// 15: instead of a bitfield (BEP 6).
    HaveNone,
    /// 16: this request will not be served (BEP 6).
    Reject(Block),
    /// 17: this piece may be asked even when choked (BEP 6).
    AllowedFast(u32),
    /// 20: a message of an extension (BEP 10); 0 is the handshake.
    Extended {
        /// The receiver's number for the extension.
        id: u8,
        /// Its bytes.
        payload: Bytes,
    },
    /// Any other id: ignored, as BEP 3 wants.
    Unknown(u8),
}

/// A peer does not speak the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The handshake is of another protocol.
    #[error("the peer does not speak BitTorrent")]
    NotBitTorrent,
    /// A message that is too long for its kind.
    #[error("message {id} says it is {length} bytes long; at most {limit} make sense")]
    TooLong {
        /// The message's id.
        id: u8,
        /// Its length prefix.
        length: u32,
        /// What is accepted.
        limit: u32,
    },
    /// A message whose length does not fit its kind.
    #[error("message {id} is {length} bytes long: wrong for its kind")]
    BadLength {
        /// The message's id.
        id: u8,
        /// Its length prefix.
        length: u32,
    },
}

/// The longest acceptable length prefix of a message with this id.
fn max_len(id: u8) -> u32 {
    match id {
        5 => MAX_MESSAGE,
        7 => 9 + MAX_REQUEST,
        20 => MAX_EXTENDED,
        0..=4 | 6 | 8 | 9 | 13..=17 => 13,
        _ => MAX_EXTENDED,
    }
}

/// Takes the next message off `buf`; `None` until all of it is there. Memory
/// stays bounded by what was received: nothing is reserved for a length prefix.
///
/// # Errors
/// The peer broke the protocol; the connection is of no use any more.
pub fn decode(buf: &mut BytesMut) -> Result<Option<Message>, WireError> {
    let Some((prefix, rest)) = buf.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*prefix);
    if length == 0 {
        buf.advance(4);
        return Ok(Some(Message::KeepAlive));
    }
    let Some(&id) = rest.first() else {
        // Not even the id is there; the most any message may have is known.
        return if length > MAX_MESSAGE {
            Err(WireError::TooLong {
                id: 0,
                length,
                limit: MAX_MESSAGE,
            })
        } else {
            Ok(None)
        };
    };
    let limit = max_len(id);
    if length > limit {
        return Err(WireError::TooLong { id, length, limit });
    }
    let wanted = usize::try_from(length).expect("checked above");
    if rest.len() < wanted {
        return Ok(None);
    }
    buf.advance(4);
    let mut body = buf.split_to(wanted).freeze();
    body.advance(1);
    parse(id, length, body).map(Some)
}

fn parse(id: u8, length: u32, mut body: Bytes) -> Result<Message, WireError> {
    let fits = match id {
        0..=3 | 14 | 15 => length == 1,
        4 | 13 | 17 => length == 5,
        6 | 8 | 16 => length == 13,
        7 => length >= 9,
        9 => length == 3,
        20 => length >= 2,
        _ => true,
    };
    if !fits {
        return Err(WireError::BadLength { id, length });
    }
    Ok(match id {
        0 => Message::Choke,
        1 => Message::Unchoke,
        2 => Message::Interested,
        3 => Message::NotInterested,
        4 => Message::Have(body.get_u32()),
        5 => Message::Bitfield(body),
        6 => Message::Request(block(&mut body)),
        7 => Message::Piece {
            piece: body.get_u32(),
            begin: body.get_u32(),
            data: body,
        },
        8 => Message::Cancel(block(&mut body)),
        9 => Message::Port(body.get_u16()),
        13 => Message::Suggest(body.get_u32()),
        14 => Message::HaveAll,
        15 => Message::HaveNone,
        16 => Message::Reject(block(&mut body)),
        17 => Message::AllowedFast(body.get_u32()),
        20 => Message::Extended {
            id: body.get_u8(),
            payload: body,
        },
        other => Message::Unknown(other),
    })
}

fn block(body: &mut Bytes) -> Block {
    Block {
        piece: body.get_u32(),
        begin: body.get_u32(),
        length: body.get_u32(),
    }
}

/// The 13 bytes before a piece message's data.
pub fn piece_header(block: Block) -> [u8; 13] {
    let mut out = [0; 13];
    let mut rest = &mut out[..];
    rest.put_u32(9u32.saturating_add(block.length));
    rest.put_u8(7);
    rest.put_u32(block.piece);
    rest.put_u32(block.begin);
    out
}

impl Message {
    /// Appends the bytes. [`Unknown`](Self::Unknown) becomes an empty message of
    /// that id.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::KeepAlive => out.put_u32(0),
            Self::Choke => bare(out, 0),
            Self::Unchoke => bare(out, 1),
            Self::Interested => bare(out, 2),
            Self::NotInterested => bare(out, 3),
            Self::Have(piece) => index(out, 4, *piece),
            Self::Bitfield(bits) => {
                head(out, 5, bits.len());
                out.put_slice(bits);
            }
            Self::Request(block) => triple(out, 6, *block),
            Self::Piece { piece, begin, data } => {
                head(out, 7, data.len().saturating_add(8));
                out.put_u32(*piece);
                out.put_u32(*begin);
                out.put_slice(data);
            }
            Self::Cancel(block) => triple(out, 8, *block),
            Self::Port(port) => {
                head(out, 9, 2);
                out.put_u16(*port);
            }
            Self::Suggest(piece) => index(out, 13, *piece),
            Self::HaveAll => bare(out, 14),
            Self::HaveNone => bare(out, 15),
            Self::Reject(block) => triple(out, 16, *block),
            Self::AllowedFast(piece) => index(out, 17, *piece),
            Self::Extended { id, payload } => {
                head(out, 20, payload.len().saturating_add(1));
                out.put_u8(*id);
                out.put_slice(payload);
            }
            Self::Unknown(id) => bare(out, *id),
        }
    }
}

fn head(out: &mut BytesMut, id: u8, body: usize) {
    let length = u32::try_from(body.saturating_add(1))
        .expect("messages are built from bounded parts, far below 4 GiB");
    out.put_u32(length);
    out.put_u8(id);
}

fn bare(out: &mut BytesMut, id: u8) {
    head(out, id, 0);
}

fn index(out: &mut BytesMut, id: u8, piece: u32) {
    head(out, id, 4);
    out.put_u32(piece);
}

fn triple(out: &mut BytesMut, id: u8, block: Block) {
    head(out, id, 12);
    out.put_u32(block.piece);
    out.put_u32(block.begin);
    out.put_u32(block.length);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_handshake_has_our_bits() {
        let ours = Handshake::new(InfoHash::from_bytes([7; 20]), *b"-SR0100-abcdefghijkl");
        assert!(ours.extended() && ours.fast());
        let bytes = ours.encode();
        assert_eq!(bytes.first(), Some(&19));
        assert_eq!(Handshake::decode(&bytes), Ok(ours));
        let mut other = bytes;
        other[1] = b'b';
        assert_eq!(Handshake::decode(&other), Err(WireError::NotBitTorrent));
    }

    #[test]
    fn lengths_are_refused_before_their_bytes_arrive() {
        for bytes in [
            &[0xff, 0xff, 0xff, 0xff][..],
            &[0xff, 0xff, 0xff, 0xff, 7],
            &[0, 3, 0, 0, 7],
            &[0, 0, 0, 14, 4],
            &[0, 2, 0, 0, 20],
            &[0, 0, 0, 2, 4, 0],
            &[0, 0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0],
            &[0, 0, 0, 1, 20],
        ] {
            assert!(decode(&mut BytesMut::from(bytes)).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn unknown_ids_are_passed_over() {
        let mut buf = BytesMut::from(&[0, 0, 0, 3, 99, 1, 2, 0, 0, 0, 1, 1][..]);
        assert_eq!(decode(&mut buf), Ok(Some(Message::Unknown(99))));
        assert_eq!(decode(&mut buf), Ok(Some(Message::Unchoke)));
        assert_eq!(decode(&mut buf), Ok(None));
    }

    fn any_block() -> impl Strategy<Value = Block> {
        any::<(u32, u32, u32)>().prop_map(|(piece, begin, length)| Block {
            piece,
            begin,
            length,
        })
    }

    fn any_bytes() -> impl Strategy<Value = Bytes> {
        proptest::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from)
    }

    fn any_message() -> impl Strategy<Value = Message> {
        prop_oneof![
            Just(Message::KeepAlive),
            Just(Message::Choke),
            Just(Message::Unchoke),
            Just(Message::Interested),
            Just(Message::NotInterested),
            any::<u32>().prop_map(Message::Have),
            any_bytes().prop_map(Message::Bitfield),
            any_block().prop_map(Message::Request),
            (any::<u32>(), any::<u32>(), any_bytes())
                .prop_map(|(piece, begin, data)| Message::Piece { piece, begin, data }),
            any_block().prop_map(Message::Cancel),
            any::<u16>().prop_map(Message::Port),
            any::<u32>().prop_map(Message::Suggest),
            Just(Message::HaveAll),
            Just(Message::HaveNone),
            any_block().prop_map(Message::Reject),
            any::<u32>().prop_map(Message::AllowedFast),
            (any::<u8>(), any_bytes()).prop_map(|(id, payload)| Message::Extended { id, payload }),
        ]
    }

    proptest! {
        #[test]
        fn messages_survive_any_cut(
            messages in proptest::collection::vec(any_message(), 0..8),
            step in 1usize..50,
        ) {
            let mut bytes = BytesMut::new();
            for message in &messages {
                message.encode(&mut bytes);
            }
            let mut buf = BytesMut::new();
            let mut seen = Vec::new();
            for part in bytes.chunks(step) {
                buf.extend_from_slice(part);
                while let Some(message) = decode(&mut buf).unwrap() {
                    seen.push(message);
                }
            }
            prop_assert_eq!(seen, messages);
            prop_assert!(buf.is_empty());
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut buf = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = decode(&mut buf) {}
        }
    }
}
