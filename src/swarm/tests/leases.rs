//! How often a connection takes its torrent's lock.

use crate::swarm::{
    AddOptions, SeedOptions, Session, Source,
    metainfo::{CreateOptions, create},
};

const MIB: u32 = 64;

/// Takings of the torrent's lock by a download of 64 MiB over one connection, its pieces, its
/// ticks and its end among them; and by the upload.
async fn takings(piece_size: u32) -> [u64; 2] {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("content");
    let mut state = 7u32;
    let words = (0..MIB << 18).flat_map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_le_bytes()
    });
    std::fs::write(&path, words.collect::<Vec<u8>>()).unwrap();
    let options = CreateOptions {
        piece_size: Some(piece_size),
        ..CreateOptions::default()
    };
    let metainfo = create(&path, &options, &|_, _| {}).unwrap();
    let seeder = Session::builder().start().await.unwrap();
    let up = seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    let leecher = Session::builder().start().await.unwrap();
    let options = AddOptions {
        peers: vec![seeder.listen_addr()],
        ..AddOptions::default()
    };
    let source = Source::Torrent(Box::new(metainfo));
    let down = leecher
        .add(source, &dir.path().join("got"), options)
        .unwrap();
    down.wait_complete().await.unwrap();
    [&down, &up].map(|handle| handle.takings())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_takes_the_torrents_lock_eight_times_a_mebibyte_at_most() {
    for piece_size in [256 << 10, 1 << 20, 4 << 20] {
        let [down, up] = takings(piece_size).await;
        let pieces = u64::from((MIB << 20) / piece_size);
        eprintln!("{pieces} pieces, {MIB} MiB: {down} takings by the download, {up} by the upload");
        // A piece costs one: its hash is known.
        assert!(down <= 8 * u64::from(MIB) + pieces, "{down}");
        // The upload is told of each piece that the other has, and asks nothing.
        assert!(up <= u64::from(MIB) + 2 * pieces, "{up}");
    }
}
