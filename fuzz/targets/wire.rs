//! A peer's bytes: the same messages whether they come at once or one by one.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use seedrail::swarm::wire::{self, Handshake, Message, WireError};

fn drain(buffer: &mut BytesMut, into: &mut Vec<Message>) -> Result<(), WireError> {
    while let Some(message) = wire::decode(buffer)? {
        into.push(message);
    }
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    if let Some(first) = data.first_chunk() {
        if let Ok(handshake) = Handshake::decode(first) {
            assert_eq!(&handshake.encode(), first);
        }
    }
    let (mut whole, mut pieces) = (Vec::new(), Vec::new());
    let end = drain(&mut BytesMut::from(data), &mut whole);
    let mut buffer = BytesMut::new();
    let mut end_of_pieces = Ok(());
    for byte in data {
        buffer.extend_from_slice(&[*byte]);
        end_of_pieces = drain(&mut buffer, &mut pieces);
        if end_of_pieces.is_err() {
            break;
        }
    }
    // A length that no message may have is told before its id is there.
    assert_eq!(end.is_err(), end_of_pieces.is_err());
    assert_eq!(whole, pieces);
    for message in whole {
        // Of unknown ones only the id is kept, so they cannot be written back.
        if matches!(message, Message::Unknown(_)) {
            continue;
        }
        let mut written = BytesMut::new();
        message.encode(&mut written);
        assert_eq!(wire::decode(&mut written), Ok(Some(message)));
    }
});
