//! A swarm in which some pay and some have never heard of it: transmission and
//! aria2, as they come from their packages, beside a paying client.

use std::{fs, path::Path, time::Duration};

use seedrail::{
    swarm::{
        AddOptions, SeedOptions, Session, Source, Stats,
        hooks::UploadClass,
        metainfo::{CreateOptions, create},
    },
    types::TokenId,
};

use crate::support::link::*;
use crate::swarm::interop::{Job, Mode, Program, Running, soon};

const SIZE: usize = 16 << 20;
const NAME: &str = "content.bin";
/// Bytes a second that the seeder sends.
const RATE: u64 = 4 << 20;

/// What was sent to peers that do not know the extension.
fn to_others(stats: &Stats) -> u64 {
    let others = stats.peers.iter().filter(|row| !row.metered);
    others
        .map(|row| {
            assert_eq!(row.class, UploadClass::Free, "{row:?}");
            row.uploaded
        })
        .sum()
}

fn complete(folder: &Path, content: &[u8]) -> bool {
    fs::read(folder.join(NAME)).is_ok_and(|found| found == content)
}

/// Lines in which a program finds fault with what it was sent, after those that
/// it began with.
fn complaints(running: &Running, began_with: usize) -> Vec<String> {
    let signs = [
        "error",
        "exception",
        "violat",
        "malform",
        "invalid",
        "unexpected",
        "corrupt",
        "banned",
        "bad ",
    ];
    running
        .whole_log()
        .lines()
        .skip(began_with)
        .filter(|line| {
            let line = line.to_lowercase();
            signs.iter().any(|sign| line.contains(sign))
        })
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn transmission_and_aria2_are_served_beside_a_payer_and_complain_of_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    };
    let (from, to) = (at("from"), at("to"));
    let content = content(SIZE);
    fs::write(from.join(NAME), &content).unwrap();
    let options = CreateOptions {
        piece_size: Some(PIECE),
        // So that nobody is introduced to anybody, and all come to the seeder.
        private: true,
        ..CreateOptions::default()
    };
    let metainfo = create(&from.join(NAME), &options, &|_, _| {}).unwrap();
    let file = folder.path().join("t.torrent");
    fs::write(&file, metainfo.to_bytes().unwrap()).unwrap();

    let programs = [Program::Transmission, Program::Aria2];
    let mut others = Vec::new();
    for (program, name) in programs.into_iter().zip(["transmission", "aria2"]) {
        let job = Job {
            source: file.display().to_string(),
            dir: at(name),
            peers: Vec::new(),
        };
        let running = program.start(&[job], Mode::Plain).await;
        others.push((running, at(name)));
    }

    let chain = FakeChain::with(&[(key(1).address(), 1_000_000_000)]);
    let wants = |wants: Wants| Wants {
        on_private: true,
        ..wants
    };
    let payer = Party::start(
        1,
        sqlite(folder.path(), "a"),
        chain.clone(),
        wants(buyer(PRICE)),
    )
    .await;
    let payee = Party::start(2, sqlite(folder.path(), "b"), chain, wants(seller())).await;
    let seeder = Session::builder()
        .extension(payee.pay.clone())
        .up_limit(Some(RATE))
        .start()
        .await
        .unwrap();
    let options = SeedOptions {
        peers: Vec::new(),
        trusted: true,
        ..SeedOptions::default()
    };
    let seeding = seeder.seed(&metainfo, &from.join(NAME), options).unwrap();
    // Transmission first: it takes its time before it asks.
    let mut began_with = Vec::new();
    for (running, _) in &others {
        began_with.push(running.whole_log().lines().count());
        seeding.add_peer(running.addr);
        let served = soon("it is served before anybody pays", || {
            let rows = seeding.stats().peers;
            let mut of_it = rows.iter().filter(|row| row.addr == running.addr);
            of_it.any(|row| row.uploaded > 0)
        });
        assert!(served.await, "{}", running.log());
    }

    // Now somebody comes who pays.
    let paying = Session::builder()
        .extension(payer.pay.clone())
        .start()
        .await
        .unwrap();
    let before = seeding.stats();
    let options = AddOptions {
        peers: vec![seeder.listen_addr()],
        seed: false,
        ..AddOptions::default()
    };
    let download = paying
        .add(Source::Torrent(Box::new(metainfo.clone())), &to, options)
        .unwrap();
    tokio::time::timeout(Duration::from_secs(60), download.wait_complete())
        .await
        .expect("in time")
        .expect("the download works");
    let after = seeding.stats();
    assert!(complete(&to, &content));
    let unpaid = to_others(&after) - to_others(&before);
    let all = after.uploaded - before.uploaded;
    // The paid share is 80 %, and the others have what is left.
    assert!(unpaid * 100 >= all * 10, "{unpaid} of {all}");
    assert!(unpaid * 100 <= all * 35, "{unpaid} of {all}");
    download.finish(Duration::from_secs(10)).await;
    let spent = payer.pay.totals().spent_raw;
    assert!(spent > 0);
    wait_until("the seller has all that was spent", || {
        payee.pay.totals().earned_raw == spent
    });
    let met = payee.ledger.positions(key(2).address(), TokenId::BTT);
    assert_eq!(met.unwrap().len(), 1, "nobody else was charged");
    paying.finish(Duration::from_secs(1)).await;

    for ((running, dir), began_with) in others.iter().zip(&began_with) {
        let done = soon("it is complete", || complete(dir, &content)).await;
        assert!(done, "{}", running.log());
        assert_eq!(complaints(running, *began_with), Vec::<String>::new());
    }
    seeder.finish(Duration::from_secs(1)).await;
}
