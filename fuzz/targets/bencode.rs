//! Bencoding: what is in order is written back as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seedrail::swarm::bencode::{self, Limits};

fuzz_target!(|data: &[u8]| {
    let strict = Limits {
        allow_unsorted: false,
        lenient: false,
        ..Limits::MESSAGE
    };
    if let Ok(value) = bencode::decode(data, strict) {
        assert_eq!(value.encode(), data);
    }
    if let Ok((value, used)) = bencode::decode_prefix(data, Limits::MESSAGE) {
        assert!(used <= data.len());
        let written = value.encode();
        assert_eq!(bencode::decode(&written, strict).as_ref(), Ok(&value));
    }
    let _entry = bencode::raw_entry(data, b"info", Limits::TRACKER);
});
