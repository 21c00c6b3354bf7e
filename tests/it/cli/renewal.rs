//! Session keys near their end, in processes that run on: the wallet renews them, and buying
//! and selling go on.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::ChildStderr,
    sync::{Arc, Mutex},
    time::Duration,
};

use seedrail::{
    devnet::Devnet,
    ledger::{Parties as _, Receipts as _, SqliteLedger},
    receipts::{ReceiptDomain, SignedGrant, SpendGrant},
    tron::keys::SecretKey,
    types::{Address, Clock as _, RawAmount, SystemClock, TokenId},
};
use serde_json::{Value, json};

use crate::support::{child::Ended, home::Home, waiting::wait_until};

const DEADLINE: Duration = Duration::from_secs(60);

fn raw(amount: i64) -> RawAmount {
    RawAmount::new(amount).unwrap()
}

/// A home whose wallet is a devnet account's, and opens without a person.
fn wallet_of(devnet: &Devnet, n: usize) -> Home {
    let home = Home::new()
        .env("SEEDRAIL_NODE", &devnet.url())
        .env("SEEDRAIL_NETWORK", "devnet")
        .env("SEEDRAIL_PASSPHRASE", "correct horse battery");
    let key = hex::encode(devnet.accounts()[n].key.expose_bytes());
    let file = home.secret("key", key);
    let import = ["wallet", "import", "--json", "--key-file"];
    let run = home.run(import.into_iter().chain([file.to_str().unwrap()]));
    assert_eq!(run.code, 0, "{run:?}");
    // This makes the ledger.
    assert_eq!(home.run(["settle", "plan"]).code, 0);
    home
}

fn ledger(home: &Home) -> SqliteLedger {
    let folder = std::fs::read_dir(home.path().join("ledgers")).unwrap();
    let file = folder
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|end| end == "sqlite"));
    SqliteLedger::open_existing(&file.unwrap()).unwrap()
}

/// A session key that was made for two hours an hour and a little ago, with its file.
fn old_key(home: &Home, devnet: &Devnet, n: usize, max_total: i64) -> Address {
    let wallet = &devnet.accounts()[n].key;
    let key = SecretKey::generate().unwrap();
    let now = u64::try_from(SystemClock.now().secs()).unwrap();
    let grant = SpendGrant {
        payer: wallet.address(),
        signer: key.address(),
        token: TokenId::BTT,
        max_per_payee: raw(max_total),
        max_total: raw(max_total),
        not_before: now - 3_700,
        not_after: now + 3_560,
        serial: now - 3_700,
    };
    let genesis = devnet.genesis_id();
    let signed = SignedGrant::sign(grant, &ReceiptDomain::new(genesis), wallet).unwrap();
    ledger(home).store_grant(&signed.to_row(), now).unwrap();
    let folder = home.path().join("sessions");
    std::fs::create_dir_all(&folder).unwrap();
    let name = format!(
        "{}-{}-{}.json",
        &genesis.to_string()[48..],
        wallet.address(),
        key.address()
    );
    let file = json!({
        "genesis": genesis,
        "key": hex::encode(key.expose_bytes().as_slice()),
        "grant": signed.to_json(),
    });
    let made = home.secret("session", file.to_string());
    std::fs::rename(made, folder.join(name)).unwrap();
    key.address()
}

/// What a process says to people, while it runs.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<String>>);

impl Said {
    fn of(mut stderr: ChildStderr) -> Self {
        let said = Self::default();
        let heard = said.clone();
        std::thread::spawn(move || {
            let mut some = [0; 1024];
            while let Ok(n @ 1..) = stderr.read(&mut some) {
                let text = String::from_utf8_lossy(&some[..n]);
                heard.0.lock().unwrap().push_str(&text);
            }
        });
        said
    }

    fn has(&self, words: &str) -> bool {
        self.text().contains(words)
    }

    fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

/// The grants that `wallet grants` lists: signer and what was signed, by time.
fn grants(home: &Home) -> Vec<(String, i64, i64)> {
    let document = home.run(["wallet", "grants", "--json"]).json();
    let number = |value: &Value| value.as_str().unwrap().parse::<i64>().unwrap();
    let rows = document["grants"].as_array().unwrap().iter();
    let mut rows: Vec<_> = rows
        .map(|row| {
            (
                row["not_after"].as_u64().unwrap(),
                row["signer"].as_str().unwrap().to_owned(),
                number(&row["max_total_raw"]),
                number(&row["issued_raw"]),
            )
        })
        .collect();
    rows.sort();
    rows.into_iter()
        .map(|(_, signer, total, issued)| (signer, total, issued))
        .collect()
}

fn torrent(home: &Home) -> (PathBuf, PathBuf) {
    let content = home.file("content.bin", vec![7; 8 << 20]);
    (content, home.path().join("content.torrent"))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Both run with a key that ends within the hour. Each is renewed while they trade, and the new
/// ones may not sign more than the old ones could.
#[tokio::test(flavor = "multi_thread")]
async fn keys_near_their_end_are_renewed_while_a_download_is_paid() {
    let devnet = Devnet::builder()
        .block_time(Duration::from_millis(300))
        .start()
        .await
        .unwrap();
    tokio::task::block_in_place(|| both_renewed(&devnet));
}

fn both_renewed(devnet: &Devnet) {
    let (seller, buyer) = (wallet_of(devnet, 1), wallet_of(devnet, 2));
    let sells_as = old_key(&seller, devnet, 1, 0);
    let limit = 2_000_000;
    let buys_as = old_key(&buyer, devnet, 2, limit);

    let (content, torrent) = torrent(&seller);
    let mut command = seller.command();
    command.args(["seed", text(&content), "--torrent-out", text(&torrent)]);
    command.args(["--ask", "5BTT/GiB", "--up-limit", "512KiB/s", "--yes"]);
    command.args(["--listen", "127.0.0.1:0", "--json"]);
    let mut selling = Ended(command.spawn().unwrap());
    let seller_said = Said::of(selling.0.stderr.take().unwrap());
    let mut lines = BufReader::new(selling.0.stdout.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let listen = first["listen"].as_str().unwrap().to_owned();
    std::thread::spawn(move || lines.for_each(drop));
    assert!(seller_said.has(&format!("session key {sells_as}")));
    wait_until("the seller's key is renewed", DEADLINE, || {
        seller_said.has("session key renewed: ")
    });

    let to = buyer.path().join("to");
    let mut command = buyer.command();
    command.args(["get", text(&torrent), "--json", "--yes", "-o", text(&to)]);
    command.args(["--bid", "20BTT/GiB", "--listen", "127.0.0.1:0"]);
    command.args(["--peer", &listen]);
    let mut buying = Ended(command.spawn().unwrap());
    let buyer_said = Said::of(buying.0.stderr.take().unwrap());
    let mut out = String::new();
    let mut stdout = buying.0.stdout.take().unwrap();
    stdout.read_to_string(&mut out).unwrap();
    let status = buying.0.wait().unwrap();
    assert!(status.success(), "{}", buyer_said.text());
    assert!(buyer_said.has(&format!("session key {buys_as}")));
    assert!(
        buyer_said.has("session key renewed: "),
        "{}",
        buyer_said.text()
    );
    let done: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    let spent: i64 = done["spent_raw"].as_str().unwrap().parse().unwrap();
    // 8 MiB at the floor of 5 BTT a GiB are 39,062 units; the beginning is free.
    assert!((20_000..=39_062).contains(&spent), "{spent}");

    let rows = grants(&buyer);
    let [(old, old_total, by_old), (new, new_total, by_new)] = rows.as_slice() else {
        panic!("two grants: {rows:?}");
    };
    assert_eq!((old, *old_total), (&buys_as.to_string(), limit));
    assert_ne!(new, old);
    assert_eq!(by_old + by_new, spent);
    assert!(*by_new > 0, "{rows:?}");
    assert!(*new_total <= limit, "{rows:?}");
    let listed = buyer.run(["wallet", "grants", "--json"]).json();
    let open = (limit - spent).to_string();
    assert_eq!(listed["open_raw"], open, "both together: {listed}");
    // Nothing is lost between one key and the next: the seller has all that was signed.
    let pair = seedrail::ledger::Pair {
        payer: devnet.accounts()[2].address,
        payee: devnet.accounts()[1].address,
        token: TokenId::BTT,
    };
    wait_until("the seller has all of it", DEADLINE, || {
        let received = ledger(&seller).received(&pair).unwrap();
        let sum: i64 = received.iter().map(|row| row.get().amount.get()).sum();
        sum == spent
    });
    let rows = grants(&seller);
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(rows.iter().all(|(_, total, _)| *total == 0), "{rows:?}");
}
