//! Two real sessions over loopback, joined by payments.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use seedrail::{
    ledger::Pair,
    receipts::{PIPELINE_BYTES, pay::PayEvent},
    swarm::{
        AddOptions, Session, SessionBuilder, Source,
        metainfo::{CreateOptions, Metainfo},
    },
    types::TokenId,
};

use crate::support::link::*;

const LENGTH: usize = 24 << 20;

fn content() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(LENGTH + 8);
    while bytes.len() < LENGTH {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(LENGTH);
    bytes
}

fn session(party: &Party) -> SessionBuilder {
    Session::builder().extension(party.pay.clone())
}

async fn seed(session: &Session, folder: &Path) -> Metainfo {
    let path = folder.join("content.bin");
    fs::write(&path, content()).expect("room on disk");
    let options = CreateOptions {
        piece_size: Some(PIECE),
        ..CreateOptions::default()
    };
    let (metainfo, handle) = session
        .seed_path(&path, options, Vec::new(), |_, _| {})
        .await
        .expect("it can be seeded");
    handle.wait_ready().await.expect("it was hashed just now");
    metainfo
}

async fn download(session: &Session, metainfo: &Metainfo, folder: &Path, from: SocketAddr) {
    let handle = session
        .add(
            Source::Torrent(Box::new(metainfo.clone())),
            folder,
            AddOptions {
                peers: vec![from],
                seed: false,
                ..AddOptions::default()
            },
        )
        .expect("it can be added");
    let path = tokio::time::timeout(Duration::from_secs(60), handle.wait_complete())
        .await
        .expect("in time")
        .expect("the download works");
    assert!(fs::read(path).expect("it is there") == content());
    handle.finish(Duration::from_secs(10)).await;
}

fn pair() -> Pair {
    Pair {
        payer: key(1).address(),
        payee: key(2).address(),
        token: TokenId::BTT,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_downloaded_at_a_price_is_paid_for() {
    let folder = tempfile::tempdir().unwrap();
    let chain = FakeChain::with(&[(key(1).address(), 1_000_000_000)]);
    let payer = Party::start(
        1,
        sqlite(folder.path(), "a"),
        chain.clone(),
        buyer(4 * PRICE),
    )
    .await;
    let payee = Party::start(2, sqlite(folder.path(), "b"), chain, seller()).await;
    let seeder = session(&payee).start().await.unwrap();
    let leecher = session(&payer).start().await.unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    fs::create_dir_all(&from).unwrap();
    fs::create_dir_all(&to).unwrap();
    let metainfo = seed(&seeder, &from).await;
    download(&leecher, &metainfo, &to, seeder.listen_addr()).await;

    let issued = payer.ledger.issued(&pair()).unwrap();
    wait_until("the seller has the newest receipt", || {
        payee.ledger.received(&pair()).unwrap() == issued
    });
    let [receipt] = issued.as_slice() else {
        panic!("one epoch: {issued:?}");
    };
    let receipt = receipt.get();
    // What was asked for before the two had greeted is free: a few pipelines.
    let all = u64::try_from(LENGTH).unwrap();
    let free = 4 * PIPELINE_BYTES;
    assert!((all - free..=all).contains(&receipt.delivered_bytes));
    let owed = |bytes: u64| (u128::from(bytes) * u128::from(PRICE)) >> 30;
    let amount = u128::from(receipt.amount.unsigned());
    assert!((owed(all - free)..=owed(receipt.delivered_bytes)).contains(&amount));
    assert_eq!(payer.pay.totals().spent_raw, receipt.amount.unsigned());
    assert_eq!(payee.pay.totals().earned_raw, receipt.amount.unsigned());
    assert!(
        payer
            .events()
            .iter()
            .all(|event| !matches!(event, PayEvent::Stopped { .. }))
    );
    leecher.finish(Duration::from_secs(5)).await;
    seeder.finish(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_not_paid_for_and_who_sends_it_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let chain = FakeChain::with(&[(key(1).address(), 1_000_000_000)]);
    let payer = Party::start(1, sqlite(folder.path(), "a"), chain.clone(), buyer(PRICE)).await;
    let payee = Party::start(2, sqlite(folder.path(), "b"), chain, seller()).await;
    let seeder = session(&payee).start().await.unwrap();
    let leecher = session(&payer).start().await.unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    fs::create_dir_all(&from).unwrap();
    fs::create_dir_all(&to).unwrap();
    let metainfo = seed(&seeder, &from).await;
    // Every other piece is something else now, and the seller does not know.
    let mut bad = content();
    for piece in bad.chunks_mut(usize::try_from(PIECE).unwrap()).step_by(2) {
        piece.fill(0xee);
    }
    fs::write(from.join("content.bin"), bad).unwrap();
    let handle = leecher
        .add(
            Source::Torrent(Box::new(metainfo)),
            &to,
            AddOptions {
                peers: vec![seeder.listen_addr()],
                ..AddOptions::default()
            },
        )
        .unwrap();
    wait_until("the seller is left", || {
        let stats = handle.stats();
        stats.wasted > 0 && stats.peers.is_empty()
    });
    let stats = handle.stats();
    let good = u64::from(stats.pieces_have) * u64::from(PIECE);
    assert!(stats.downloaded >= good + u64::from(PIECE));
    handle.finish(Duration::from_secs(5)).await;
    let issued = payer.ledger.issued(&pair()).unwrap();
    let paid: u64 = issued.iter().map(|row| row.get().delivered_bytes).sum();
    assert!(paid <= good, "{paid} bytes are paid for, {good} are good");
    leecher.finish(Duration::from_secs(1)).await;
    seeder.finish(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_no_extension_and_whoever_bids_nothing_are_served_too() {
    let folder = tempfile::tempdir().unwrap();
    let chain = FakeChain::with(&[]);
    let payee = Party::start(2, sqlite(folder.path(), "b"), chain.clone(), seller()).await;
    let mut nothing = buyer(1);
    nothing.bid = None;
    let silent = Party::start(3, sqlite(folder.path(), "c"), chain, nothing).await;
    let seeder = session(&payee).start().await.unwrap();
    let from = folder.path().join("from");
    fs::create_dir_all(&from).unwrap();
    let metainfo = seed(&seeder, &from).await;
    for (name, leecher) in [
        ("plain", Session::builder().start().await.unwrap()),
        ("silent", session(&silent).start().await.unwrap()),
    ] {
        let to = folder.path().join(name);
        fs::create_dir_all(&to).unwrap();
        download(&leecher, &metainfo, &to, seeder.listen_addr()).await;
        leecher.finish(Duration::from_secs(5)).await;
    }
    assert_eq!(payee.pay.totals().earned_raw, 0);
    seeder.finish(Duration::from_secs(5)).await;
}
