//! Magnet links.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seedrail::swarm::metainfo::Magnet;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(magnet) = text.parse::<Magnet>() {
        let written = magnet.to_string();
        let again: Magnet = written.parse().expect("its own text");
        assert_eq!(again, magnet);
        assert!(
            magnet
                .safe_name()
                .is_none_or(|name| !name.contains('/') && name != "..")
        );
    }
});
