//! Daemons that buy and sell: through kills, and as `config.toml` changes.

use std::{
    io::{BufReader, Write as _},
    path::Path,
    process::Command,
    time::Duration,
};

use seedrail::{
    devnet::Devnet,
    types::{RawAmount, Token, TokenId},
};
use serde_json::{Value, json};

use super::{
    BUYS, DEADLINE, QUIET, RATE, ask, begin, end, home_of, kill, line, list, row, sell, signal,
    spawn, start, waits,
};
use crate::support::{
    child::Ended,
    home::Home,
    peer,
    torrents::{file, torrent},
    waiting::wait_until,
};

async fn devnet() -> Devnet {
    let block_time = Duration::from_millis(200);
    let devnet = Devnet::builder().block_time(block_time);
    devnet.start().await.unwrap()
}

fn number(value: &Value) -> u64 {
    match value {
        Value::String(digits) => digits.parse().unwrap(),
        other => other.as_u64().unwrap(),
    }
}

/// What an account holds by final blocks, in raw BTT.
fn held(home: &Home, account: &str) -> u64 {
    let rows = home.run(["balance", "--json", "--solid", account]);
    let row = rows.json();
    let tokens = row["tokens"].as_array().unwrap().iter();
    let mut btt = tokens.filter(|token| token["id"] == "1002000");
    btt.next().map_or(0, |token| number(&token["amount_raw"]))
}

/// What each life pays before it is killed, in raw units: 400 KiB at 5 BTT/GiB.
const EACH_LIFE: u64 = 2000;

/// `SEEDRAIL_KILLS` is another number of kills. The seller lives on; the buyer is killed
/// while it downloads, pays and settles. It loses no torrent, no pause, no more than five
/// seconds of totals; and in the end everything that it signed is paid exactly once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_under_load_hold_list_totals_and_money() {
    let kills = std::env::var("SEEDRAIL_KILLS");
    let kills: u64 = kills.map_or(20, |text| text.parse().unwrap());
    let devnet = devnet().await;
    let (seller, buyer) = (home_of(&devnet, 1), home_of(&devnet, 2));
    let accounts = [1, 2].map(|at: usize| devnet.accounts()[at].address.to_string());
    // Each life downloads a part of it; the rest is downloaded without a limit.
    let (content, path) = file(24 << 20, 12);
    let film = content.path().join("film.torrent");
    let metainfo = torrent(&path, 64 << 10, &[]);
    std::fs::write(&film, metainfo.to_bytes().unwrap()).unwrap();
    let hash = metainfo.info.hash().to_string();
    let before = accounts.each_ref().map(|account| held(&seller, account));
    let (selling, started) = sell(&seller, &film, &hash);
    let film = film.to_str().unwrap();

    let rate = format!("{}B/s", 2 * RATE);
    let terms = [&BUYS[..], &["--down-limit", &rate]].concat();
    let mut buying = start(&buyer, &terms);
    let listen = started["listen"].as_str().unwrap();
    buyer.run(["add", film, "--peer", listen, "--json"]).json();
    let spent = |row: &Value| number(&row["spent_raw"]);
    let (mut downloaded, mut paid) = (0, 0);
    for round in 0..kills {
        let more = waits(round);
        buyer.run(["add", &more, "--paused", "--json"]).json();
        // Under load: bytes move, receipts are signed, and now and then a payout is on its way.
        wait_until("it downloads and pays", DEADLINE, || {
            let row = row(&buyer, &hash);
            let more = number(&row["downloaded"]) > downloaded && spent(&row) > paid + EACH_LIFE;
            row["complete"] == true || more
        });
        let before = row(&buyer, &hash);
        kill(buying);
        buying = start(&buyer, &terms);
        let rows = list(&buyer);
        assert_eq!(rows.len() as u64, round + 2);
        for number in 0..=round {
            let waits = waits(number);
            let row = rows.iter().find(|row| row["info_hash"] == *waits).unwrap();
            assert_eq!(row["state"], "paused");
        }
        let after = row(&buyer, &hash);
        assert_ne!(after["state"], "paused");
        downloaded = number(&after["downloaded"]);
        // Five seconds of traffic, one more for a burst.
        let lost = number(&before["downloaded"]).saturating_sub(downloaded);
        assert!(lost <= 12 * RATE, "{lost} bytes are forgotten");
        paid = spent(&after);
        let lost = spent(&before).saturating_sub(spent(&after));
        assert!(
            u128::from(lost) <= (u128::from(12 * RATE) * 20_000_000) >> 30,
            "{lost} raw units"
        );
    }
    buyer.run(["limit", "--down", "off", "--json"]).json();
    wait_until("it is complete", DEADLINE, || {
        row(&buyer, &hash)["complete"] == true
    });
    let whole = row(&buyer, &hash);
    let there = std::fs::read(whole["path"].as_str().unwrap()).unwrap();
    assert!(
        there == std::fs::read(&path).unwrap(),
        "the content differs"
    );
    wait_until("all is settled", DEADLINE, || {
        let earned = seller.run(["earnings", "--json"]).json();
        earned["earned_raw"] != "0" && earned["earned_raw"] == earned["final_raw"]
    });

    // What the receipts say is what the chain moved, to the raw unit.
    let earned = number(&seller.run(["earnings", "--json"]).json()["earned_raw"]);
    assert!(earned > EACH_LIFE, "{earned} raw units are no load");
    let after = accounts.each_ref().map(|account| held(&seller, account));
    assert_eq!(
        (after[0], after[1]),
        (before[0] + earned, before[1] - earned)
    );
    for home in [&seller, &buyer] {
        assert_eq!(home.run(["ledger", "check"]).code, 0);
    }
    assert_eq!(buyer.run(["settle", "audit"]).code, 0);
    for daemon in [buying, selling] {
        signal(&daemon.0, "-TERM");
        assert_eq!(end(daemon).code(), Some(0));
    }
    if let Some(report) = std::env::var_os("SEEDRAIL_SOAK_REPORT") {
        let mut report = std::fs::File::options().append(true).open(report).unwrap();
        writeln!(report, "| {kills} | {} | {earned} |", 24 << 20).unwrap();
    }
}

/// A daemon that says what it reads.
struct Talking {
    child: Ended,
    output: BufReader<std::process::ChildStdout>,
}

impl Talking {
    fn start(home: &Home) -> Self {
        let mut command = home.command();
        command.args(["daemon", "--json"]);
        let (child, output) = spawn(command);
        let mut daemon = Self { child, output };
        assert_eq!(daemon.tells()["event"], "started");
        daemon
    }

    fn tells(&mut self) -> Value {
        line(&mut self.output)
    }

    /// Reads this file on a signal; what came of it.
    fn reads(&mut self, home: &Home, file: &str) -> Value {
        home.file("config.toml", file);
        signal(&self.child.0, "-HUP");
        self.tells()
    }
}

const ALONE: &str = "[daemon]\nhttp = \"off\"\nlisten = \"127.0.0.1:0\"\nno_dht = true\n\
                     no_lsd = true\nno_port_map = true\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prices_settlement_and_queue_are_read_again_on_a_signal() {
    let devnet = devnet().await;
    let home = home_of(&devnet, 2);
    let file = |lines: &str| format!("{ALONE}{lines}");
    home.file(
        "config.toml",
        file("ask = \"5BTT/GiB\"\nbid = \"20BTT/GiB\"\nsettle = \"free\"\nmax_downloads = 2\n"),
    );
    let mut daemon = Talking::start(&home);
    let state = || {
        let state = ask(&home, "/api/v1/state");
        let (transfer, money) = (&state["transfer"], &state["money"]);
        json!([transfer["prices"], transfer["queue"], money["policy"]])
    };
    let prices = |ask: &str, bid: &str, auto: bool| json!({ "ask_raw": ask, "bid_raw": bid, "bid_auto": auto });
    let queue = |downloads: Option<u32>, seeds: Option<u32>| json!({ "downloads": downloads, "seeds": seeds });
    let free = json!({ "mode": "free" });
    assert_eq!(
        state(),
        json!([
            prices("5000000", "20000000", false),
            queue(Some(2), None),
            free
        ])
    );

    // One key of a kind: the others stay as they are, also those that were steered.
    home.run(["queue", "--seeds", "7", "--json"]).json();
    let told = daemon.reads(
        &home,
        &file("ask = \"6BTT/GiB\"\nbid = \"20BTT/GiB\"\nsettle = \"free\"\nmax_downloads = 3\n"),
    );
    assert_eq!(
        told,
        json!({ "event": "reloaded", "changed": ["daemon.max_downloads", "daemon.ask"], "needs_restart": [] })
    );
    assert_eq!(
        state(),
        json!([
            prices("6000000", "20000000", false),
            queue(Some(3), Some(7)),
            free
        ])
    );

    // All of them.
    let told = daemon.reads(
        &home,
        &file(
            "ask = \"7BTT/GiB\"\nbid = \"auto\"\nmax_bid = \"30BTT/GiB\"\nsettle = \"10BTT\"\n\
             max_downloads = 4\nmax_seeds = 5\n",
        ),
    );
    assert_eq!(told["needs_restart"], json!([]), "{told}");
    let up_to = json!({ "mode": "up_to", "day_raw": "10000000" });
    assert_eq!(
        state(),
        json!([
            prices("7000000", "30000000", true),
            queue(Some(4), Some(5)),
            up_to
        ])
    );

    // Nothing pays by itself any more; a price that makes no sense changes nothing.
    let told = daemon.reads(
        &home,
        &file(
            "ask = \"7BTT/GiB\"\nbid = \"auto\"\nmax_bid = \"30BTT/GiB\"\nsettle = \"off\"\n\
             max_downloads = 4\nmax_seeds = 5\n",
        ),
    );
    assert_eq!(told["changed"], json!(["daemon.settle"]), "{told}");
    assert_eq!(state()[2], json!({ "mode": "off" }));
    let told = daemon.reads(&home, &file("ask = \"cheap\"\n"));
    assert_eq!(told["event"], "reload_failed");
    assert_eq!(state()[0], prices("7000000", "30000000", true));
    signal(&daemon.child.0, "-TERM");
    assert_eq!(daemon.tells()["event"], "ended");
    assert_eq!(end(daemon.child).code(), Some(0));
}

/// Wallet, ledger and node are opened at the start alone.
#[test]
fn a_first_price_needs_a_restart() {
    let home = Home::new();
    home.file("config.toml", ALONE);
    let mut daemon = Talking::start(&home);
    let told = daemon.reads(
        &home,
        &format!("{ALONE}ask = \"5BTT/GiB\"\nmax_seeds = 1\n"),
    );
    assert_eq!(
        told,
        json!({ "event": "reloaded", "changed": ["daemon.max_seeds"], "needs_restart": ["daemon.ask"] })
    );
    signal(&daemon.child.0, "-TERM");
    assert_eq!(daemon.tells()["event"], "ended");
    assert_eq!(end(daemon.child).code(), Some(0));
}

/// A wallet on this devnet, with coins that are final.
fn wallet_on(devnet: &Devnet) -> Home {
    let home = Home::new()
        .env("SEEDRAIL_NODE", &devnet.url())
        .env("SEEDRAIL_NETWORK", "devnet")
        .env("SEEDRAIL_PASSPHRASE", "correct horse battery");
    let phrase = home.path().join("phrase.txt");
    let made = home.run([
        "wallet",
        "new",
        "--json",
        "--phrase-out",
        phrase.to_str().unwrap(),
    ]);
    let account = made.json()["address"].as_str().unwrap().parse().unwrap();
    for (token, amount) in [
        (Token::Trc10(TokenId::BTT), 50_000_000),
        (Token::Trx, 10_000_000),
    ] {
        devnet
            .fund(account, token, RawAmount::new(amount).unwrap())
            .unwrap();
    }
    let head = devnet.head_number();
    wait_until("the coins are final", DEADLINE, || {
        devnet.solid_number() > head
    });
    home
}

/// With the password on the page, by the API not without the scope; and what is taken back is
/// not renewed: a restart makes another key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_key_is_taken_back_on_the_page() {
    let devnet = devnet().await;
    let home = wallet_on(&devnet);
    let password = home.secret("password", "another horse");
    let daemon = |http: &str| {
        let mut command = home.command();
        command
            .arg("daemon")
            .args(&QUIET[2..])
            .args(["--http", http]);
        command.args(["--password-file", password.to_str().unwrap()]);
        command.args([
            "--bid",
            "20BTT/GiB",
            "--grant",
            "2BTT",
            "--settle",
            "free",
            "--yes",
        ]);
        begin(command)
    };
    let (running, started) = daemon("127.0.0.1:0");
    let grants = || home.run(["wallet", "grants", "--json"]).json()["grants"].clone();
    assert_eq!(grants()[0]["state"], "open");
    let output = tokio::task::spawn_blocking(move || {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/web_key.mjs");
        Command::new("node")
            .arg(script)
            .args([started["first_url"].as_str().unwrap(), "another horse"])
            .env("SEEDRAIL_PEERS", peer::folder())
            .env("NODE_NO_WARNINGS", "1")
            .output()
            .unwrap()
    });
    let output = output.await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(grants()[0]["state"], "revoked");
    signal(&running.0, "-TERM");
    assert_eq!(end(running).code(), Some(0));
    let (running, _) = daemon("off");
    let states: Vec<Value> = grants()
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["state"].clone())
        .collect();
    assert!(
        states.contains(&json!("open")) && states.contains(&json!("revoked")),
        "{states:?}"
    );
    signal(&running.0, "-TERM");
    assert_eq!(end(running).code(), Some(0));
}
