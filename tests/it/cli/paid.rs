//! The paid swarm from the command line: session keys, automatic bids, the live
//! view, what is remembered of peers.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::mpsc,
    time::Duration,
};

use seedrail::{
    devnet::Devnet,
    tron::keys::SecretKey,
    types::{Address, RawAmount, Token, TokenId},
};
use serde_json::{Value, json};

use crate::support::{
    home::Home,
    http_server::{Reply, Server},
    waiting::wait_until,
};

const SIZE: usize = 8 << 20;
const DEADLINE: Duration = Duration::from_secs(60);

/// A seller that runs until this is dropped, and what it says, line by line.
struct Seller {
    child: Child,
    said: mpsc::Receiver<Value>,
    listen: String,
}

impl Seller {
    /// Ends it; what it said to people.
    fn end(mut self) -> String {
        let mut aloud = self.child.stderr.take().unwrap();
        self.child.kill().unwrap();
        let mut text = String::new();
        aloud.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Seller {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(command: Command, content: &Path, torrent: &Path) -> Seller {
    start_with(command, &["--ask", "5BTT/GiB"], &[content], Some(torrent))
}

fn start_with(
    mut command: Command,
    terms: &[&str],
    contents: &[&Path],
    torrent: Option<&Path>,
) -> Seller {
    command.arg("seed").args(contents).args(terms).args([
        "--json",
        "--up-limit",
        "4MiB/s",
        "--listen",
        "127.0.0.1:0",
    ]);
    if let Some(torrent) = torrent {
        command.arg("--torrent-out").arg(torrent);
    }
    let mut child = command.spawn().unwrap();
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
    let (devnet, seller_home) = devnet_with_seller().await;
    let home = Home::new()
        .env("SEEDRAIL_NODE", &devnet.url())
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
    // A cap that is typed holds, whatever key there is.
    let capped = ["--grant", "2BTT", "--grant-per-peer", "0.01BTT"];
    let said = get(&home, &torrent, &seller, "capped", &capped);
    let spent = number(&said.last().unwrap()["spent_raw"]);
    assert!((1..=10_000).contains(&spent), "{spent}");
    assert_eq!(sessions(&home).len(), 2);
    let payer = payer.to_string();
    assert_eq!(seller_home.run(["peers", "ban", &payer]).code, 0);
    assert!(!peer()["banned_at_ms"].is_null());
    assert_eq!(seller_home.run(["peers", "forgive", &payer]).code, 0);
    assert!(peer()["banned_at_ms"].is_null());
}

/// A devnet, and the home of a seller on it who signs with a raw key.
async fn devnet_with_seller() -> (Devnet, Home) {
    let devnet = Devnet::builder()
        .block_time(Duration::from_millis(300))
        .start()
        .await
        .unwrap();
    let home = of_account(&devnet, 2);
    (devnet, home)
}

fn of_account(devnet: &Devnet, n: usize) -> Home {
    Home::new()
        .env("SEEDRAIL_NODE", &devnet.url())
        .env("SEEDRAIL_NETWORK", "devnet")
        .env(
            "SEEDRAIL_PRIVATE_KEY",
            &hex::encode(devnet.accounts()[n].key.expose_bytes()),
        )
}

/// Makes the torrent file of some content.
fn make(home: &Home, content: &Path, torrent: &Path, more: &[&str]) {
    let (content, torrent) = (content.to_str().unwrap(), torrent.to_str().unwrap());
    let create = ["torrent", "create", content, "-o", torrent];
    let run = home.run(create.iter().chain(more));
    assert_eq!(run.code, 0, "{run:?}");
}

/// What a download of `torrent` from the seller came to, in raw units, by an
/// account that bids 20 BTT a GiB, which is four times the ask.
fn spent_by(home: &Home, torrent: &Path, seller: &Seller) -> i64 {
    let target = home.path().join(torrent.file_stem().unwrap());
    let run = home.run([
        "get",
        torrent.to_str().unwrap(),
        "--json",
        "--bid",
        "20BTT/GiB",
        "--max-spend",
        "5BTT",
        "--listen",
        "127.0.0.1:0",
        "--peer",
        &seller.listen,
        "-o",
        target.to_str().unwrap(),
    ]);
    assert_eq!(run.code, 0, "{run:?}");
    let last = run.stdout.lines().last().unwrap();
    let done: Value = serde_json::from_str(last).unwrap();
    assert_eq!(done["event"], "done");
    number(&done["spent_raw"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_friend_pays_nothing_and_others_do() {
    let (devnet, home) = devnet_with_seller().await;
    let (friend, stranger) = (of_account(&devnet, 3), of_account(&devnet, 4));
    let content = home.file("content.bin", vec![7; SIZE]);
    let torrent = home.path().join("content.torrent");
    let address = devnet.accounts()[3].address.to_string();
    let terms = ["--ask", "5BTT/GiB", "--friend", &address];
    let seller = start_with(home.command(), &terms, &[&content], Some(&torrent));
    assert_eq!(spent_by(&friend, &torrent, &seller), 0);
    // 8 MiB at the floor are 39,062 units; the beginning is free.
    let spent = spent_by(&stranger, &torrent, &seller);
    assert!((20_000..=39_062).contains(&spent), "{spent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_torrent_of_two_has_its_own_price() {
    let (devnet, home) = devnet_with_seller().await;
    let payer = of_account(&devnet, 3);
    let cheap = home.file("cheap.bin", vec![7; SIZE]);
    let dear = home.file("dear.bin", vec![8; SIZE]);
    let torrents: Vec<PathBuf> = ["cheap", "dear"]
        .iter()
        .map(|name| {
            let file = home.path().join(format!("{name}.torrent"));
            let content = home.path().join(format!("{name}.bin"));
            make(&home, &content, &file, &[]);
            file
        })
        .collect();
    let own = format!("{}=15BTT/GiB", dear.display());
    let terms = ["--ask", "5BTT/GiB", "--ask-for", &own];
    let seller = start_with(home.command(), &terms, &[&cheap, &dear], None);
    let spent = spent_by(&payer, &torrents[0], &seller);
    assert!((20_000..=39_062).contains(&spent), "{spent}");
    // The same bytes at three times the price, and half a unit from before.
    let spent = spent_by(&payer, &torrents[1], &seller);
    assert!((60_000..=117_188).contains(&spent), "{spent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_price_for_one_torrent_alone_the_other_is_free() {
    let (devnet, home) = devnet_with_seller().await;
    let payer = of_account(&devnet, 3);
    let content = home.file("content.bin", vec![7; SIZE]);
    let other = home.file("other.bin", vec![9; SIZE]);
    let torrent = home.path().join("other.torrent");
    make(&home, &other, &torrent, &["--piece-size", "1MiB"]);
    let own = format!("{}=15BTT/GiB", content.display());
    let terms = ["--ask-for", &own, "--piece-size", "1MiB"];
    let seller = start_with(home.command(), &terms, &[&content, &other], None);
    assert_eq!(spent_by(&payer, &torrent, &seller), 0);
    // What is at risk is told, and for the pieces that are shared.
    let said = seller.end();
    let window = "a payer gets 3 MiB at first and up to 16 MiB later";
    assert!(said.contains(window), "{said}");
    assert!(said.contains("may keep 3 MiB and 2 %"), "{said}");
    let credit = "at most 10 BTT to a peer that never settled, 20 BTT to all such of one network";
    assert!(said.contains(credit), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_settle_or_be_paid_is_told_before_anything_is_traded() {
    let (devnet, home) = devnet_with_seller().await;
    let stranger = |n: u8| {
        let key = format!("{n:064x}");
        let home = Home::new()
            .env("SEEDRAIL_NODE", &devnet.url())
            .env("SEEDRAIL_NETWORK", "devnet")
            .env("SEEDRAIL_PRIVATE_KEY", &key);
        (home, SecretKey::from_hex(&key).unwrap().address())
    };
    let ((payer, own), (payee, _)) = (stranger(201), stranger(202));
    let btt = RawAmount::new(5_000_000).unwrap();
    devnet.fund(own, Token::Trc10(TokenId::BTT), btt).unwrap();
    let head = devnet.head_number();
    wait_until("its coins are solid", DEADLINE, || {
        devnet.solid_number() > head
    });
    let content = home.file("content.bin", vec![7; 1 << 18]);
    let torrent = home.path().join("content.torrent");
    let seller = start(payee.command(), &content, &torrent);
    let target = payer.path().join("got");
    let run = payer.run([
        "get",
        torrent.to_str().unwrap(),
        "--bid",
        "5BTT/GiB",
        "--max-spend",
        "1BTT",
        "--listen",
        "127.0.0.1:0",
        "--peer",
        &seller.listen,
        "-o",
        target.to_str().unwrap(),
    ]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("your account holds no TRX"), "{run:?}");
    let said = seller.end();
    let words = "is not on the chain yet: who pays you first pays for making it";
    assert!(said.contains(words), "{said}");
}

#[test]
fn prices_and_friends_that_mean_nothing_are_refused_before_a_node_is_asked() {
    let home = Home::with_key(2);
    let content = home.file("content.bin", "x");
    let content = content.to_str().unwrap();
    for (flags, words) in [
        (
            ["--ask-for", "elsewhere.bin=5BTT/GiB"],
            "which is not shared here",
        ),
        (["--ask-for", "content.bin"], "write it as PATH="),
        (["--ask-for", "content.bin=5"], "content.bin=5"),
        (["--friend", "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2Hx"], "friend"),
        (["--ask", "0BTT/GiB"], "an ask cannot be 0"),
    ] {
        let run = home.run(["--json", "seed", content].iter().chain(&flags));
        let error = run.error(2);
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(words), "{flags:?}: {message}");
    }
    let free = format!("{content}=0BTT/GiB");
    let run = home.run(["--json", "seed", content, "--ask-for", &free]);
    let message = run.error(2)["message"].clone();
    assert!(
        message.as_str().unwrap().contains("cannot be 0"),
        "{message}"
    );
}

#[test]
fn a_raw_key_is_not_used_among_strangers() {
    let home = Home::with_key(2);
    let content = home.file("content.bin", vec![7; 1 << 15]);
    let torrent = home.path().join("content.torrent");
    make(&home, &content, &torrent, &[]);
    let (content, torrent) = (content.to_str().unwrap(), torrent.to_str().unwrap());
    for network in ["nile", "shasta", "mainnet"] {
        for command in [
            &["seed", content, "--ask", "5BTT/GiB"][..],
            &["get", torrent, "--bid", "5BTT/GiB", "--max-spend", "1BTT"],
            &["get", torrent, "--seed", "--ask", "5BTT/GiB"],
        ] {
            // Nobody answers there: it is refused before that matters.
            let to = ["--json", "--yes", "--network", network];
            let node = ["--node", "http://127.0.0.1:9"];
            let error = home.run(command.iter().chain(&to).chain(&node)).error(1);
            assert_eq!(error["code"], "raw_key", "{error}");
            let message = error["message"].as_str().unwrap();
            assert!(message.contains(network), "{message}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_network_is_no_devnet_whatever_it_is_called() {
    for (network, genesis) in [
        (
            "nile",
            "0000000000000000d698d4192c56cb6be724a558448e2684802de4d6cd8690dc",
        ),
        (
            "shasta",
            "0000000000000000de1aa88295e1fcf982742f773e0419c5a9c134c994a9059e",
        ),
        (
            "mainnet",
            "00000000000000001ebf88508a03865c71d452e25f4d51194196a1d22b6653dc",
        ),
    ] {
        let server = Server::start(move |_, _| Reply::Json(json!({ "blockID": genesis }))).await;
        let home = Home::with_key(2);
        let content = home.file("content.bin", vec![7; 1 << 15]);
        let node = ["--json", "--network", "devnet", "--node", &server.url()];
        let seed = ["seed", content.to_str().unwrap(), "--ask", "5BTT/GiB"];
        let error = home.run(seed.iter().chain(&node)).error(1);
        assert_eq!(error["code"], "wrong_network", "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(network), "{message}");
        let asked = server.asked();
        assert!(
            asked.iter().all(|path| path.contains("getblockbynum")),
            "{asked:?}"
        );
    }
}
