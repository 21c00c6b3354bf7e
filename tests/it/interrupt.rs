//! Ctrl-C in the middle of a paid download: what is due is signed, and the next
//! run goes on from there.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use seedrail::{
    devnet::Devnet,
    ledger::{ReceiptFilter, Receipts, SqliteLedger},
    types::RawAmount,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::waiting::wait_until;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(60);

fn start(home: &Path, url: &str, key: &str, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_seedrail"))
        .args(arguments)
        .args(["--json", "--listen", "127.0.0.1:0", "--node", url])
        .env("SEEDRAIL_HOME", home)
        .env("SEEDRAIL_PRIVATE_KEY", key)
        .env_remove("SEEDRAIL_LEDGER")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

fn events(child: &mut Child) -> impl Iterator<Item = Value> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap())
}

fn interrupt(child: &mut Child) -> Option<i32> {
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    child.wait().unwrap().code()
}

fn newest(home: &Path) -> RawAmount {
    let file: PathBuf = fs::read_dir(home.join("ledgers"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            path.extension()
                .is_some_and(|extension| extension == "sqlite")
        })
        .unwrap();
    let ledger = SqliteLedger::open_existing(&file).unwrap();
    let entries = ledger
        .receipts(&ReceiptFilter::default(), None, 10)
        .unwrap();
    assert!(entries.len() <= 1, "{entries:?}");
    entries
        .first()
        .map_or(RawAmount::ZERO, |entry| entry.receipt.amount)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_download_that_is_interrupted_signs_what_is_due_and_goes_on() {
    let devnet = Devnet::builder()
        .block_time(Duration::from_millis(300))
        .start()
        .await
        .unwrap();
    let url = format!("http://{}", devnet.address());
    let key = |index: usize| hex::encode(devnet.accounts()[index].key.expose_bytes().as_slice());
    let (seller_key, buyer_key) = (key(1), key(2));
    tokio::task::spawn_blocking(move || {
        let temp = TempDir::new().unwrap();
        let path = |name: &str| temp.path().join(name);
        let text = |name: &str| path(name).to_str().unwrap().to_owned();
        let content: Vec<u8> = (0..6u32 << 18)
            .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        fs::write(path("film.bin"), &content).unwrap();

        let (film, torrent, out) = (text("film.bin"), text("film.torrent"), text("out"));
        let seed = [
            "seed",
            &film,
            "--ask",
            "5BTT/GiB",
            "--up-limit",
            "2MiB/s",
            "--torrent-out",
            &torrent,
        ];
        let mut seller = start(&path("seller"), &url, &seller_key, &seed);
        // Its output stays open: a program whose result nobody reads ends.
        let mut selling = events(&mut seller);
        let listen = selling.next().unwrap()["listen"]
            .as_str()
            .unwrap()
            .to_owned();

        let get = [
            "get", &torrent, "--bid", "5BTT/GiB", "-o", &out, "--peer", &listen,
        ];
        let mut buyer = start(&path("buyer"), &url, &buyer_key, &get);
        let half = (content.len() / 2) as u64;
        let mut seen = events(&mut buyer);
        assert!(seen.any(|event| {
            event["downloaded"]
                .as_u64()
                .is_some_and(|bytes| bytes > half)
        }));
        assert_eq!(interrupt(&mut buyer), Some(130));
        let issued = newest(&path("buyer"));
        // The seller has it as soon as it has read what the buyer sent last.
        wait_until("the seller has the last receipt", LIMIT, || {
            newest(&path("seller")) == issued
        });
        // Half of 6 MiB at 5 BTT a GiB, less what the other side still verifies.
        assert!(issued.get() > 5_000_000 / 1024 * 2, "{issued}");

        let mut buyer = start(&path("buyer"), &url, &buyer_key, &get);
        let done = events(&mut buyer).last().unwrap();
        assert!(buyer.wait().unwrap().success());
        assert_eq!(done["event"], "done");
        assert!(
            done["downloaded"].as_u64().unwrap() < content.len() as u64 * 3 / 4,
            "it began anew: {done}"
        );
        assert!(fs::read(path("out").join("film.bin")).unwrap() == content);
        let issued = newest(&path("buyer"));
        wait_until("the seller has the last receipt", LIMIT, || {
            newest(&path("seller")) == issued
        });
        // It shares until it is told to stop.
        assert_eq!(interrupt(&mut seller), Some(0));
    })
    .await
    .unwrap();
}
