//! Torrent files and info dictionaries from peers: no name leaves the folder,
//! no length overflows.
#![no_main]

use std::path::{Component, Path};

use libfuzzer_sys::fuzz_target;
use seedrail::swarm::metainfo::Metainfo;

fuzz_target!(|data: &[u8]| {
    let Ok(torrent) = Metainfo::from_bytes(data) else {
        return;
    };
    let info = &torrent.info;
    let mut total = 0;
    for file in info.files() {
        total += file.length;
        // Padding is never written anywhere.
        if file.pad {
            continue;
        }
        for name in std::iter::once(info.name()).chain(file.path.iter().map(String::as_str)) {
            let mut parts = Path::new(name).components();
            assert!(
                matches!(parts.next(), Some(Component::Normal(_))),
                "{name:?}"
            );
            assert!(parts.next().is_none(), "{name:?}");
        }
    }
    let layout = info.layout();
    assert_eq!(total, layout.total());
    if layout.pieces() > 0 {
        let last = layout.pieces() - 1;
        let end = layout.offset(last) + u64::from(layout.piece_len(last));
        assert_eq!(end, layout.total());
        let hashes = info.hashes().expect("they are in memory");
        assert!(hashes.of(last).is_some());
    }
    let bytes = torrent.to_bytes().expect("they are in memory");
    let again = Metainfo::from_bytes(&bytes).expect("its own bytes");
    assert_eq!(again.info.hash(), info.hash());
    let magnet = torrent.magnet().to_string();
    assert!(magnet.starts_with("magnet:?"));
});
