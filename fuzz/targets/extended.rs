//! The extension protocol: handshake, metadata, peer exchange.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use seedrail::swarm::extended::{ExtendedHandshake, MetadataMessage, PexMessage};

fuzz_target!(|data: &[u8]| {
    if let Ok(handshake) = ExtendedHandshake::decode(data) {
        let written = handshake.encode();
        assert_eq!(ExtendedHandshake::decode(&written), Ok(handshake));
    }
    if let Ok(message) = MetadataMessage::decode(&Bytes::copy_from_slice(data)) {
        if message != MetadataMessage::Unknown {
            let written = Bytes::from(message.encode());
            assert_eq!(MetadataMessage::decode(&written), Ok(message));
        }
    }
    if let Ok(pex) = PexMessage::decode(data) {
        assert!(pex.added.len() <= 200 && pex.dropped.len() <= 200);
        let _written = pex.encode();
    }
});
