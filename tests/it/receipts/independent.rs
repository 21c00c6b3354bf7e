//! A payer and a seller of another make, against the real ones:
//! `tests/interop/sr_pay_payer.py` and `sr_pay_seller.py` are written from the protocol's page
//! and the vectors alone.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command},
    sync::mpsc,
    time::Duration,
};

use seedrail::devnet::Devnet;
use serde_json::Value;

use crate::support::{home::Home, waiting::wait_until};

const SIZE: usize = 8 << 20;
const DEADLINE: Duration = Duration::from_secs(90);
const PAYER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/sr_pay_payer.py");

const SELLER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/interop/sr_pay_seller.py"
);

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn json(output: &std::process::Output) -> Value {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("it ends with one line of JSON")
}

#[test]
fn another_make_signs_every_vector_to_the_byte() {
    let vectors = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/fixtures/receipts/vectors.json"
    );
    let done = Command::new("python3")
        .args([PAYER, "vectors", vectors])
        .output()
        .expect("Python is there");
    assert!(json(&done)["vectors"].as_u64().unwrap() > 5);
}

#[test]
fn another_make_finds_every_proof_of_the_recorded_session_good() {
    let session = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/fixtures/receipts/session.json"
    );
    let done = Command::new("python3")
        .args([PAYER, "session", session])
        .output()
        .expect("Python is there");
    let done = json(&done);
    assert!(done["messages"].as_u64().unwrap() > 15, "{done}");
    // Four pieces of 256 KiB at 5 BTT a GiB.
    assert_eq!(done["amount_raw"], 4_882);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_written_from_the_page_alone_is_never_held_and_pays_all() {
    let devnet = Devnet::builder()
        .block_time(Duration::from_millis(300))
        .start()
        .await
        .unwrap();
    let key = |n: usize| hex::encode(devnet.accounts()[n].key.expose_bytes());
    let home = Home::new()
        .env("SEEDRAIL_NODE", &devnet.url())
        .env("SEEDRAIL_NETWORK", "devnet")
        .env("SEEDRAIL_PRIVATE_KEY", &key(2));
    let content: Vec<u8> = crate::support::link::content(SIZE);
    let file = home.file("content.bin", &content[..SIZE]);
    let torrent = home.path().join("content.torrent");
    let mut command = home.command();
    command.arg("seed").arg(&file).args([
        "--ask",
        "5BTT/GiB",
        "--json",
        "--up-limit",
        "4MiB/s",
        "--listen",
        "127.0.0.1:0",
    ]);
    command.arg("--torrent-out").arg(&torrent);
    let mut seller = Running(command.spawn().unwrap());
    let lines = BufReader::new(seller.0.stdout.take().unwrap()).lines();
    let (say, said) = mpsc::channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            // The test may be over.
            let _ = say.send(serde_json::from_str::<Value>(&line).unwrap());
        }
    });
    let first = said.recv_timeout(DEADLINE).unwrap();
    let listen = first["listen"].as_str().unwrap().to_owned();
    // Keys that nobody knows promise 1,200 BTT for nothing, first: it is nobody's loss.
    let liars = Command::new("python3")
        .arg(PAYER)
        .args(["spite", "--seller", &listen])
        .arg("--torrent")
        .arg(&torrent)
        .args(["--genesis", &devnet.genesis_id().to_string()])
        .output();
    let liars = json(&liars.expect("Python is there"));
    assert_eq!(liars["why"], serde_json::json!(["account"]), "{liars}");
    let mut owed = 0;
    // In one go; after a megabyte at no price; and with the line cut in the middle of a piece.
    for (n, more) in [&[][..], &["--free-first", "4"], &["--cut-after", "20"]]
        .into_iter()
        .enumerate()
    {
        let out = home.path().join(format!("out-{n}"));
        let mut payer = Command::new("python3");
        payer
            .arg(PAYER)
            .args(["buy", "--seller", &listen, "--bid", "20000000"])
            .arg("--torrent")
            .arg(&torrent)
            .args(["--genesis", &devnet.genesis_id().to_string()])
            .args(["--key", &key(1)])
            .arg("--out")
            .arg(&out)
            .args(more);
        let done = json(&payer.output().expect("Python is there"));
        assert!(fs::read(&out).unwrap() == content[..SIZE], "{done}");
        assert_eq!(done["holds"], serde_json::json!([]), "{done}");
        assert_eq!(done["acknowledged"], true, "{done}");
        owed += done["amount_raw"].as_u64().unwrap();
    }
    assert!(owed > 80_000, "{owed}");
    // The seller saw the same, to the unit, and nobody that did not pay.
    let owed = owed.to_string();
    let peers = || home.run(["peers", "--json"]).json();
    wait_until("the seller has it all", DEADLINE, || {
        peers()[0]["owes_raw"].as_str() == Some(owed.as_str())
    });
    assert_eq!(peers()[0]["defaults"], 0, "{}", peers());
    assert_eq!(peers().as_array().unwrap().len(), 1, "{}", peers());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seller_written_from_the_page_alone_is_bought_from_and_paid() {
    let devnet = Devnet::builder()
        .block_time(Duration::from_millis(300))
        .start()
        .await
        .unwrap();
    let key = |n: usize| hex::encode(devnet.accounts()[n].key.expose_bytes());
    let home = Home::new()
        .env("SEEDRAIL_NODE", &devnet.url())
        .env("SEEDRAIL_NETWORK", "devnet")
        .env("SEEDRAIL_PRIVATE_KEY", &key(1));
    let content: Vec<u8> = crate::support::link::content(SIZE);
    let file = home.file("content.bin", &content[..SIZE]);
    let torrent = home.path().join("content.torrent");
    let (file, torrent) = (file.to_str().unwrap(), torrent.to_str().unwrap());
    let made = home.run(["torrent", "create", file, "-o", torrent]);
    assert_eq!(made.code, 0, "{made:?}");
    let mut command = Command::new("python3");
    command
        .arg(SELLER)
        .args(["--torrent", torrent, "--content", file]);
    command.args(["--genesis", &devnet.genesis_id().to_string()]);
    command.args(["--key", &key(2), "--ask", "5000000"]);
    let mut seller = Running(
        command
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut lines = BufReader::new(seller.0.stdout.take().unwrap()).lines();
    let mut said = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let listen = said();
    let out = home.path().join("out");
    let run = home.run([
        "get",
        torrent,
        "--json",
        "--bid",
        "20BTT/GiB",
        "--no-utp",
        "--no-dht",
        "--no-lsd",
        "--listen",
        "127.0.0.1:0",
        "--peer",
        listen["listen"].as_str().unwrap(),
        "-o",
        out.to_str().unwrap(),
    ]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(fs::read(out.join("content.bin")).unwrap() == content[..SIZE]);
    let done: Value = serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap();
    // The seller checked each receipt: who signed it, and that each byte is at its price.
    let sold = said();
    assert_eq!(
        sold["amount_raw"].to_string(),
        done["spent_raw"].as_str().unwrap(),
        "{sold}"
    );
    let bytes = |name: &str| sold[name].as_u64().unwrap();
    assert_eq!(
        bytes("priced_bytes") + bytes("free_bytes"),
        SIZE as u64,
        "{sold}"
    );
    // Nothing that was sent at a price stays unpaid, but what was asked for before the award
    // was seen.
    assert!(
        bytes("priced_bytes") - bytes("delivered_bytes") <= 1 << 20,
        "{sold}"
    );
    assert!(bytes("delivered_bytes") > SIZE as u64 / 2, "{sold}");
    assert!(
        bytes("receipts") > 1 && bytes("receipts") == bytes("acks"),
        "{sold}"
    );
    // And it is paid like any other.
    let paid = home.run(["settle", "run", "--yes", "--json"]).json();
    assert_eq!(paid["confirmed"], 1, "{paid}");
}
