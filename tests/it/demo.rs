//! The demo, run as a newcomer would; what it claims is
//! checked against both ledgers and the chain.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use seedrail::{
    ledger::{ReceiptFilter, ReceiptKind, Receipts, SqliteLedger},
    tron::rpc::{Finality, Node, NodeConfig},
    types::{RawAmount, Token, TokenId},
};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::waiting::wait_until;

const SEEDRAIL: &str = env!("CARGO_BIN_EXE_seedrail");

fn seedrail() -> Command {
    let mut command = Command::new(SEEDRAIL);
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("SEEDRAIL_"))
        {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn documents(output: &Output) -> Value {
    assert!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn raw(document: &Value, pointer: &str) -> RawAmount {
    document
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap()
        .parse()
        .unwrap()
}

/// Processes that a kept demo left, ended when the test is.
struct Kept(Vec<u32>);

impl Drop for Kept {
    fn drop(&mut self) {
        for pid in &self.0 {
            // Nothing is left to do if it is gone already.
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
    }
}

fn ledger_of(home: &Path) -> SqliteLedger {
    let folder = home.join("ledgers");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "sqlite")
        })
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    SqliteLedger::open_existing(&files.pop().unwrap()).unwrap()
}

fn newest(ledger: &SqliteLedger, kind: ReceiptKind) -> (RawAmount, u64) {
    let filter = ReceiptFilter {
        kind: Some(kind),
        ..ReceiptFilter::default()
    };
    let entries = ledger.receipts(&filter, None, 100).unwrap();
    let amount = entries.iter().fold(RawAmount::ZERO, |sum, entry| {
        sum.checked_add(entry.receipt.amount).unwrap()
    });
    (
        amount,
        entries
            .iter()
            .map(|entry| entry.receipt.delivered_bytes)
            .sum(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_says_what_the_ledgers_and_the_chain_say() {
    let temp = TempDir::new().unwrap();
    let output = tokio::task::spawn_blocking({
        let temp = temp.path().to_owned();
        move || {
            seedrail()
                .args([
                    "demo",
                    "--json",
                    "--keep",
                    "--size",
                    "8MiB",
                    "--block-time",
                    "500ms",
                ])
                .env("TMPDIR", &temp)
                .output()
                .unwrap()
        }
    })
    .await
    .unwrap();
    let notes = text(&output.stderr);
    let kept = Kept(
        notes
            .lines()
            .filter_map(|line| line.rsplit_once(" is running as process "))
            .map(|(_, pid)| pid.parse().unwrap())
            .collect(),
    );
    let report = documents(&output);
    assert_eq!(kept.0.len(), 3, "devnet, tracker and seeder: {notes}");
    let root = PathBuf::from(
        notes
            .lines()
            .find_map(|line| line.strip_prefix("Kept in "))
            .unwrap(),
    );
    let url = notes
        .split_whitespace()
        .find(|word| word.starts_with("http://"))
        .unwrap();
    let url = url.trim_end_matches(',');

    // The files.
    let original = fs::read(root.join("demo.bin")).unwrap();
    assert_eq!(original.len(), 8 << 20);
    for party in ["payer", "free"] {
        assert!(
            fs::read(root.join(party).join("downloads/demo.bin")).unwrap() == original,
            "{party}"
        );
    }
    assert_eq!(report["paid"]["sha256"], report["file"]["sha256"]);
    assert_eq!(report["free"]["sha256"], report["file"]["sha256"]);
    assert!(report["paid"]["seconds"].as_f64() < report["free"]["seconds"].as_f64());

    // The ledgers.
    let spent = raw(&report, "/paid/spent_raw");
    assert!(spent > RawAmount::ZERO);
    let (issued, _) = newest(&ledger_of(&root.join("payer")), ReceiptKind::Issued);
    let (received, bytes) = newest(&ledger_of(&root.join("seeder")), ReceiptKind::Received);
    assert_eq!((issued, received), (spent, spent));
    assert_eq!(raw(&report, "/seeder/earned_raw"), spent);
    assert!(bytes > 4 << 20 && bytes <= 8 << 20, "{bytes}");

    // The chain.
    let node = Node::new(&NodeConfig::new(url)).unwrap();
    let solid = node.head(Finality::Solid).await.unwrap().number;
    let mut paid = BTreeMap::new();
    let mut next = 1;
    while next <= solid {
        for block in node.blocks(Finality::Solid, next, 50).await.unwrap() {
            next = block.header.number + 1;
            for transaction in &block.transactions {
                let draft = transaction.raw_data().unwrap().into_draft().unwrap();
                paid.insert(
                    transaction.txid().to_string(),
                    draft.contract.as_transfer().unwrap(),
                );
            }
        }
    }
    let txids = report["settlement"]["txids"].as_array().unwrap();
    assert_eq!(txids.len(), 1);
    assert_eq!(paid.len(), 1, "one transfer, and nothing else happened");
    let transfer = paid[txids[0].as_str().unwrap()];
    assert_eq!(
        (transfer.token, transfer.amount),
        (Token::Trc10(TokenId::BTT), spent)
    );
    for (party, address) in [("payer", transfer.from), ("seeder", transfer.to)] {
        let account = node
            .account(Finality::Solid, address)
            .await
            .unwrap()
            .unwrap();
        let after = raw(&report, &format!("/balances/{party}/after_raw"));
        assert_eq!(account.tokens[&TokenId::BTT], after);
    }
    assert_eq!(report["settlement"]["confirmed"], 1);

    // A person looks around as one of the parties, and the seeder still shares.
    let as_party = |party: &str, command: &str| {
        let file = root.join(party).join("environment");
        assert!(notes.contains(file.to_str().unwrap()), "{notes}");
        let script = format!(". '{}'; exec \"$SEEDRAIL\" {command}", file.display());
        let output = Command::new("sh")
            .args(["-euc", &script])
            .env("SEEDRAIL", env!("CARGO_BIN_EXE_seedrail"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    tokio::task::block_in_place(|| {
        let address = report["payer"]["address"].as_str();
        let balance = as_party("payer", "balance --json");
        assert!(
            address.is_none_or(|address| balance.contains(address)),
            "{balance}"
        );
        let again = root.join("again");
        let get = format!(
            "get '{}' -o '{}' --listen 127.0.0.1:0 --json",
            root.join("shared.torrent").display(),
            again.display()
        );
        as_party("free", &get);
        assert!(fs::read(again.join("demo.bin")).unwrap() == original);
    });
}

/// How many processes have `needle` in their environment or arguments.
fn processes_with(needle: &str) -> usize {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(Result::ok)
        .filter(|entry| {
            ["cmdline", "environ"].iter().any(|file| {
                let mut bytes = Vec::new();
                let read = fs::File::open(entry.path().join(file))
                    .and_then(|mut f| f.read_to_end(&mut bytes));
                read.is_ok() && text(&bytes).contains(needle)
            })
        })
        .count()
}

#[test]
fn ctrl_c_stops_every_process_and_leaves_nothing_behind() {
    for signal in ["INT", "TERM", "KILL"] {
        let temp = TempDir::new().unwrap();
        let needle = temp.path().to_str().unwrap().to_owned();
        let mut demo = seedrail()
            .args(["demo", "--json", "--size", "32MiB", "--rate", "1MiB/s"])
            .env("TMPDIR", temp.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It says where the seeder is once everything but the leechers runs.
        let mut notes = BufReader::new(demo.stderr.take().unwrap()).lines();
        assert!(notes.any(|line| line.unwrap().starts_with("seeder ")));
        let pid = demo.id().to_string();
        assert!(
            Command::new("kill")
                .args([&format!("-{signal}"), &pid])
                .status()
                .unwrap()
                .success()
        );
        let status = demo.wait().unwrap();
        if signal != "KILL" {
            assert_eq!(status.code(), Some(130), "{signal}");
            assert_eq!(
                fs::read_dir(temp.path()).unwrap().count(),
                0,
                "the folder is gone"
            );
        }
        wait_until(signal, Duration::from_secs(10), || {
            processes_with(&needle) == 0
        });
    }
}

/// A page is left to look at, and what it shows is what the demo says.
#[test]
fn the_demo_leaves_the_page_of_its_payer() {
    let temp = TempDir::new().unwrap();
    let output = seedrail()
        .args(["demo", "--json", "--daemon", "--size", "4MiB"])
        .args(["--block-time", "500ms"])
        .env("TMPDIR", temp.path())
        .output()
        .unwrap();
    let notes = text(&output.stderr);
    let running = notes
        .lines()
        .filter_map(|line| line.rsplit_once(" is running as process "));
    let kept = Kept(running.map(|(_, pid)| pid.parse().unwrap()).collect());
    let report = documents(&output);
    assert_eq!(kept.0.len(), 4, "devnet, tracker, seeder, daemon: {notes}");
    let page = report["page"].as_str().unwrap();
    assert!(notes.contains(page), "{notes}");
    let (address, token) = page.split_once("#token=").unwrap();
    let ask = |path: &str| {
        let url = format!("{address}{path}");
        let bearer = format!("Authorization: Bearer {token}");
        let curl = Command::new("curl")
            .args(["-sSf", "-H", &bearer, &url])
            .output()
            .unwrap();
        assert!(curl.status.success(), "{url}: {}", text(&curl.stderr));
        text(&curl.stdout)
    };
    assert!(ask("").contains("<title>"));
    let torrents: Value = serde_json::from_str(&ask("api/v1/torrents")).unwrap();
    let spent = &report["paid"]["spent_raw"];
    assert_eq!(torrents[0]["complete"], true);
    assert_eq!(&torrents[0]["spent_raw"], spent);
    // Settled by another command: the daemon reads the ledger every five seconds.
    wait_until("the page shows it", Duration::from_secs(60), || {
        let money: Value = serde_json::from_str(&ask("api/v1/money")).unwrap();
        let payout = &money["batches"][0]["payouts"][0];
        payout["state"] == "solid" && payout["amount_raw"] == *spent
    });
}
