//! The paid swarm from the command line: session keys, automatic bids, the live
//! view, what is remembered of peers.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::mpsc,
    time::Duration,
};

use seedrail::{
    devnet::Devnet,
    types::{Address, RawAmount, Token, TokenId},
};
use serde_json::Value;

use super::run::Home;
use crate::waiting::wait_until;

const SIZE: usize = 8 << 20;
const DEADLINE: Duration = Duration::from_secs(60);

/// A seller that runs until this is dropped, and what it says, line by line.
struct Seller {
    child: Child,
    said: mpsc::Receiver<Value>,
    listen: String,
}

impl Drop for Seller {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(mut command: Command, content: &Path, torrent: &Path) -> Seller {
    let mut child = command
        .arg("seed")
        .arg(content)
        .args(["--json", "--ask", "5BTT/GiB", "--up-limit", "4MiB/s"])
        .args(["--listen", "127.0.0.1:0", "--torrent-out"])
        .arg(torrent)
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (say, said) = mpsc::channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            // The test may be over.
            let _ = say.send(serde_json::from_str(&line).unwrap());
        }
    });
    let first: Value = said.recv_timeout(DEADLINE).unwrap();
    assert_eq!(first["event"], "seeding");
    let listen = first["listen"].as_str().unwrap().to_owned();
    Seller {
        child,
        said,
        listen,
    }
}

fn number(value: &Value) -> i64 {
    value.as_str().unwrap().parse().unwrap()
}

fn sessions(home: &Home) -> Vec<PathBuf> {
    fs::read_dir(home.path().join("sessions"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect()
}

/// Downloads to the end; the lines it said.
fn get(home: &Home, torrent: &Path, seller: &Seller, to: &str, grant: &[&str]) -> Vec<Value> {
    let target = home.path().join(to);
    let mut arguments = vec![
        "get",
        torrent.to_str().unwrap(),
        "--json",
        "--yes",
        "--bid",
        "auto",
        "--max-bid",
        "20BTT/GiB",
        "--max-spend",
        "1BTT",
        "--max-per-peer",
        "0.5BTT",
        "--listen",
        "127.0.0.1:0",
        "--peer",
        &seller.listen,
        "-o",
        target.to_str().unwrap(),
    ];
    arguments.extend(grant);
    let run = home.run(arguments);
    assert_eq!(run.code, 0, "{run:?}");
    let lines = run.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_pays_by_session_keys_and_the_seller_sees_who_pays() {
    let devnet = Devnet::builder()
        .block_time(Duration::from_millis(300))
        .start()
        .await
        .unwrap();
    let node = devnet.url();
    let seller_key = hex::encode(devnet.accounts()[2].key.expose_bytes());
    let seller_home = Home::new()
        .env("SEEDRAIL_NODE", &node)
        .env("SEEDRAIL_NETWORK", "devnet")
        .env("SEEDRAIL_PRIVATE_KEY", &seller_key);
    let home = Home::new()
        .env("SEEDRAIL_NODE", &node)
        .env("SEEDRAIL_NETWORK", "devnet")
        .env("SEEDRAIL_PASSPHRASE", "correct horse battery");
    let phrase = home.path().join("phrase.txt");
    let made = home
        .run([
            "wallet",
            "new",
            "--json",
            "--phrase-out",
            phrase.to_str().unwrap(),
        ])
        .json();
    let payer: Address = made["address"].as_str().unwrap().parse().unwrap();
    let btt = Token::Trc10(TokenId::BTT);
    for (token, amount) in [(btt, 50_000_000), (Token::Trx, 10_000_000)] {
        devnet
            .fund(payer, token, RawAmount::new(amount).unwrap())
            .unwrap();
    }
    // Only what is solid is bid with.
    let head = devnet.head_number();
    wait_until("the wallet's coins are solid", DEADLINE, || {
        devnet.solid_number() > head
    });
    let content = seller_home.file("content.bin", vec![7; SIZE]);
    let torrent = seller_home.path().join("content.torrent");
    let seller = start(seller_home.command(), &content, &torrent);

    // A grant is made once, by these words, and used again.
    let grant = [
        "--grant",
        "2BTT",
        "--grant-per-peer",
        "1BTT",
        "--grant-for",
        "12h",
    ];
    let said = get(&home, &torrent, &seller, "one", &grant);
    let done = said.last().unwrap();
    let spent = number(&done["spent_raw"]);
    // 8 MiB at the floor of 5 BTT a GiB are 39,062 units; the beginning is free.
    assert!((20_000..=39_062).contains(&spent), "{spent}");
    let live = said
        .iter()
        .flat_map(|line| line["payments"].as_array().into_iter().flatten())
        .find(|row| number(&row["spent_raw"]) > 0)
        .expect("the live view shows who is paid");
    assert_eq!(live["buys_at_raw"], 5_000_000);
    let files = sessions(&home);
    assert_eq!(files.len(), 1, "{files:?}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(&files[0]).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let said = get(&home, &torrent, &seller, "two", &[]);
    let all = spent + number(&said.last().unwrap()["spent_raw"]);
    assert_eq!(sessions(&home), files);
    let grants = home.run(["wallet", "grants", "--json"]).json();
    let [listed] = grants["grants"].as_array().unwrap().as_slice() else {
        panic!("one grant: {grants}");
    };
    assert_eq!(listed["state"], "open");
    assert_eq!(number(&listed["issued_raw"]), all);
    assert_eq!(number(&listed["max_total_raw"]), 2_000_000);
    assert_eq!(number(&listed["max_per_payee_raw"]), 1_000_000);
    assert_eq!(number(&grants["open_raw"]), 2_000_000 - all);

    // Taken back, its file is gone, and the next download needs another.
    let signer = listed["signer"].as_str().unwrap();
    assert_eq!(home.run(["wallet", "grants", "--revoke", signer]).code, 0);
    assert!(sessions(&home).is_empty());
    let grants = home.run(["wallet", "grants", "--json"]).json();
    assert_eq!(grants["grants"][0]["state"], "revoked");
    let said = get(&home, &torrent, &seller, "three", &grant);
    let all = all + number(&said.last().unwrap()["spent_raw"]);
    assert_eq!(sessions(&home).len(), 1);

    // The seller saw it all, and who it was.
    let mut earned = 0;
    let mut row = Value::Null;
    while earned < all {
        let line = seller.said.recv_timeout(DEADLINE).unwrap();
        if line["event"] != "progress" {
            continue;
        }
        earned = earned.max(number(&line["earned_raw"]));
        let rows = line["payments"].as_array().unwrap();
        row = rows.last().cloned().unwrap_or(row);
    }
    assert_eq!(earned, all);
    assert_eq!(row["peer"], payer.to_string());
    assert!(number(&row["earned_raw"]) > 0 && row["window_bytes"].as_u64().unwrap() > 0);
    let peer = || {
        let peers = seller_home.run(["peers", "--json"]).json();
        peers.as_array().unwrap()[0].clone()
    };
    assert_eq!(peer()["address"], payer.to_string());
    assert_eq!(number(&peer()["owes_raw"]), all);
    let payer = payer.to_string();
    assert_eq!(seller_home.run(["peers", "ban", &payer]).code, 0);
    assert!(!peer()["banned_at_ms"].is_null());
    assert_eq!(seller_home.run(["peers", "forgive", &payer]).code, 0);
    assert!(peer()["banned_at_ms"].is_null());
}
