//! The daemon: its list through kills, one of it in a home, its end in order, and the
//! commands that steer it.

use std::{
    io::{BufRead, BufReader, Read as _, Write as _},
    os::unix::net::{UnixDatagram, UnixStream},
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus},
    time::Duration,
};

use seedrail::{
    devnet::Devnet,
    swarm::{SeedOptions, Session},
};
use serde_json::Value;

use crate::support::{
    child::Ended,
    home::Home,
    torrents::{file, torrent},
    waiting::wait_until,
};

mod errands;
mod files;
mod memory;
mod money;
mod moving;
mod plan;

/// Nothing here takes longer.
const DEADLINE: Duration = Duration::from_secs(60);

/// What the downloads of a daemon under kills get, bytes a second.
const RATE: u64 = 256 << 10;

const QUIET: [&str; 8] = [
    "--http",
    "off",
    "--listen",
    "127.0.0.1:0",
    "--no-dht",
    "--no-lsd",
    "--no-port-map",
    "--json",
];

/// A process, and what it says.
fn spawn(mut command: Command) -> (Ended, BufReader<ChildStdout>) {
    command.stderr(std::process::Stdio::inherit());
    let mut child = Ended(command.spawn().unwrap());
    let output = BufReader::new(child.0.stdout.take().unwrap());
    (child, output)
}

/// The next document that it says.
fn line(output: &mut impl BufRead) -> Value {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

/// A daemon that has said that it is there.
fn start(home: &Home, more: &[&str]) -> Ended {
    let mut command = home.command();
    command.arg("daemon").args(QUIET).args(more);
    begin(command).0
}

/// The same, with what it said.
fn begin(command: Command) -> (Ended, Value) {
    let (child, mut output) = spawn(command);
    let started = line(&mut output);
    assert_eq!(started["event"], "started");
    // What else it says is read, so that it is never held up.
    std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    (child, started)
}

/// What it answers on its socket.
fn ask(home: &Home, path: &str) -> Value {
    let mut stream = UnixStream::connect(home.path().join("daemon.sock")).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    serde_json::from_str(body).unwrap()
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// How it ended by itself.
fn end(mut child: Ended) -> ExitStatus {
    let mut status = None;
    wait_until("it ends", DEADLINE, || {
        status = child.0.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}

fn kill(mut child: Ended) {
    child.0.kill().unwrap();
    child.0.wait().unwrap();
}

fn list(home: &Home) -> Vec<Value> {
    let rows = home.run(["ls", "--json"]).json();
    rows.as_array().unwrap().clone()
}

fn row(home: &Home, hash: &str) -> Value {
    let rows = list(home);
    let row = rows.iter().find(|row| row["info_hash"] == hash);
    row.unwrap_or_else(|| panic!("{hash} is not in {rows:?}"))
        .clone()
}

fn waits(number: u64) -> String {
    format!("{number:040x}")
}

/// Somebody who shares a file; the link to it has his address.
async fn seeder(path: &Path) -> (Session, String, String) {
    let session = Session::builder().start().await.unwrap();
    let metainfo = torrent(path, 64 << 10, &[]);
    let options = SeedOptions {
        trusted: true,
        ..SeedOptions::default()
    };
    session.seed(&metainfo, path, options).unwrap();
    let hash = metainfo.info.hash().to_string();
    let link = format!("magnet:?xt=urn:btih:{hash}&x.pe={}", session.listen_addr());
    (session, hash, link)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_no_command_no_pause_and_five_seconds_of_totals() {
    let kills: u64 = std::env::var("SEEDRAIL_KILLS").map_or(5, |text| text.parse().unwrap());
    let size = 1 << 20;
    let (_content, path) = file(size, 7);
    let (_session, hash, link) = seeder(&path).await;
    let home = Home::new();
    let rate = format!("{RATE}B/s");
    let limits = ["--down-limit", rate.as_str()];
    let mut daemon = start(&home, &limits);
    home.run(["add", &link, "--category", "films", "--json"])
        .json();
    let mut downloaded = 0;
    for round in 0..kills {
        // A command that was answered before the kill is done after it.
        let number = waits(round);
        home.run(["add", &number, "--paused", "--json"]).json();
        let paused = round % 2 == 1;
        let action = if paused { "pause" } else { "resume" };
        home.run([action, &hash, "--json"]).json();
        wait_until("bytes move, or none", DEADLINE, || {
            let row = row(&home, &hash);
            paused || row["complete"] == true || row["downloaded"].as_u64().unwrap() > downloaded
        });
        let before = row(&home, &hash);
        kill(daemon);
        daemon = start(&home, &limits);
        let rows = list(&home);
        assert_eq!(rows.len() as u64, round + 2);
        for number in 0..=round {
            let waits = waits(number);
            let row = rows.iter().find(|row| row["info_hash"] == *waits).unwrap();
            assert_eq!(row["state"], "paused");
        }
        let after = row(&home, &hash);
        assert_eq!(after["state"] == "paused", paused, "{after}");
        assert_eq!(
            (&after["category"], &after["added"]),
            (&before["category"], &before["added"])
        );
        let (was, is) = (&before["downloaded"], &after["downloaded"]);
        downloaded = is.as_u64().unwrap();
        // Five seconds of traffic, one more for a burst.
        assert!(
            downloaded + 6 * RATE >= was.as_u64().unwrap(),
            "{was}, then {is}"
        );
    }
    home.run(["resume", &hash, "--json"]).json();
    wait_until("it is complete", DEADLINE, || {
        row(&home, &hash)["complete"] == true
    });
    let whole = row(&home, &hash);
    assert_eq!(whole["left"], 0);
    let there = std::fs::read(whole["path"].as_str().unwrap()).unwrap();
    assert!(
        there == std::fs::read(&path).unwrap(),
        "the content differs"
    );
    signal(&daemon.0, "-TERM");
    assert_eq!(end(daemon).code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_daemon_a_home_tells_its_manager_and_is_steered() {
    let home = Home::new();
    let none = home.run(["ls", "--json"]).error(1);
    assert_eq!(none["code"], "no_daemon");
    let notify = home.path().join("notify");
    let heard = UnixDatagram::bind(&notify).unwrap();
    heard.set_read_timeout(Some(DEADLINE)).unwrap();
    let hears = || {
        let mut buffer = [0; 64];
        let length = heard.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let mut command = home.command();
    command.arg("daemon").args(QUIET);
    command
        .env("NOTIFY_SOCKET", &notify)
        .env("WATCHDOG_USEC", "200000");
    let (daemon, _) = begin(command);
    assert_eq!(hears(), "READY=1");
    assert_eq!(hears(), "WATCHDOG=1");
    assert_eq!(hears(), "WATCHDOG=1");

    let second = home.command().arg("daemon").args(QUIET).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let words = String::from_utf8(second.stderr).unwrap();
    assert!(
        words.contains("in_use") && words.contains("seedrail ls"),
        "{words}"
    );

    let (content, path) = file(200_000, 3);
    let torrent_file = content.path().join("film.torrent");
    std::fs::write(
        &torrent_file,
        torrent(&path, 64 << 10, &[]).to_bytes().unwrap(),
    )
    .unwrap();
    let film = torrent_file.to_str().unwrap();
    let added = home
        .run(["add", film, "--name", "A film", "--tag", "new", "--json"])
        .json();
    let hash = added["info_hash"].as_str().unwrap().to_owned();
    assert_eq!(added["known"], false);
    assert_eq!(home.run(["add", film, "--json"]).json()["known"], true);
    let shown = home.run(["show", "A film", "--json"]).json();
    assert_eq!(shown["info_hash"], *hash);
    assert_eq!(shown["files"][0]["size"], 200_000);
    let words = home.run(["show", &hash[..8]]).stdout;
    assert!(
        words.contains("A film") && words.contains("content.bin"),
        "{words}"
    );
    home.run(["limit", &hash, "--up", "1MiB/s", "--json"])
        .json();
    home.run(["limit", &hash, "--down", "2MiB/s", "--json"])
        .json();
    let limits = row(&home, &hash)["limits"].clone();
    assert_eq!(
        (limits["up"].as_u64(), limits["down"].as_u64()),
        (Some(1 << 20), Some(2 << 20))
    );
    home.run(["limit", "--up", "3MiB/s", "--json"]).json();
    home.run(["pause", "all", "--json"]).json();
    wait_until("it is paused", DEADLINE, || {
        row(&home, &hash)["state"] == "paused"
    });
    assert!(home.run(["ls"]).stdout.contains("paused"));
    assert_eq!(
        home.run(["ls", "--state", "seeding", "--json"]).json(),
        serde_json::json!([])
    );
    let unknown = home.run(["pause", "0000000000", "--json"]).error(1);
    assert_eq!(unknown["code"], "not_found");
    let many = home.run(["resume", "zz", "--json"]).error(1);
    assert_eq!(many["code"], "not_found");

    // It is the daemon's: another command does not begin with it.
    let refused = home.run(["get", film, "--json"]).error(1);
    assert_eq!(refused["code"], "in_daemon");
    assert!(
        refused["hint"].as_str().unwrap().contains("seedrail show"),
        "{refused}"
    );

    let unsure = home.run(["rm", &hash, "--data", "--json"]);
    assert_ne!(unsure.code, 0, "{unsure:?}");
    home.run(["rm", &hash, "--data", "--yes", "--json"]).json();
    wait_until("it is removed", DEADLINE, || list(&home).is_empty());

    signal(&daemon.0, "-INT");
    loop {
        match hears().as_str() {
            "WATCHDOG=1" => {}
            last => break assert_eq!(last, "STOPPING=1"),
        }
    }
    assert_eq!(end(daemon).code(), Some(0));
    assert!(!home.path().join("daemon.sock").exists());
}

#[test]
fn it_is_set_up_by_a_file_and_reads_it_again_on_a_signal() {
    let home = Home::new();
    let config = "[daemon]\nhttp = \"off\"\nlisten = \"127.0.0.1:0\"\nno_dht = true\n\
                  no_lsd = true\nno_port_map = true\nup_limit = \"1MiB/s\"\n";
    home.file("config.toml", format!("{config}down_limit = \"fast\"\n"));
    let wrong = home.run(["daemon", "--json"]).error(1);
    let message = wrong["message"].as_str().unwrap();
    assert!(
        message.contains("line 8, column 1") && message.contains("down_limit"),
        "{message}"
    );
    home.file("config.toml", format!("{config}down_limit = \"2MiB/s\"\n"));
    let shown = home.run(["config", "show", "--json"]).json();
    assert_eq!(
        shown["options"]["daemon.up_limit"],
        serde_json::json!({ "value": "1MiB/s", "from": "config" })
    );

    let mut command = home.command();
    command.env("TZ", "UTC0");
    // What is typed counts more.
    command.args(["daemon", "--json", "--down-limit", "3MiB/s"]);
    let (daemon, mut output) = spawn(command);
    let mut tells = || line(&mut output);
    let started = tells();
    assert_eq!(
        (&started["event"], &started["http"]),
        (&"started".into(), &Value::Null)
    );
    let limits = || ask(&home, "/api/v1/state")["transfer"]["limits"].clone();
    assert_eq!(
        limits(),
        serde_json::json!({ "up": 1 << 20, "down": 3 << 20 })
    );

    let changed = config.replace("1MiB/s", "5MiB/s") + "down_limit = \"4MiB/s\"\nhost = [\"a\"]\n";
    home.file("config.toml", &changed);
    signal(&daemon.0, "-HUP");
    let expected = serde_json::json!({
        "event": "reloaded", "changed": ["daemon.up_limit"], "needs_restart": ["daemon.host"]
    });
    assert_eq!(tells(), expected);
    assert_eq!(
        limits(),
        serde_json::json!({ "up": 5 << 20, "down": 3 << 20 })
    );

    home.file("config.toml", changed.replace("up_limit", "upper_limit"));
    signal(&daemon.0, "-HUP");
    let failed = tells();
    assert_eq!(failed["event"], "reload_failed");
    let message = failed["message"].as_str().unwrap();
    assert!(
        message.contains("line 7") && message.contains("upper_limit"),
        "{message}"
    );
    assert_eq!(limits()["up"], 5 << 20);

    // Limits by the time of day: this time is all of the day.
    let scheduled = || ask(&home, "/api/v1/state")["transfer"]["scheduled_limits"].clone();
    assert_eq!(scheduled(), serde_json::Value::Null);
    let by_day = format!("{changed}schedule = [\"00:00-24:00 up=none down=1MiB/s\"]\n");
    home.file("config.toml", by_day.replace("00:00-24:00", "0-24"));
    signal(&daemon.0, "-HUP");
    let failed = tells();
    let message = failed["message"].as_str().unwrap();
    assert!(message.contains("has no time such as"), "{message}");
    home.file("config.toml", by_day);
    signal(&daemon.0, "-HUP");
    assert_eq!(tells()["changed"], serde_json::json!(["daemon.schedule"]));
    assert_eq!(
        scheduled(),
        serde_json::json!({ "up": null, "down": 1 << 20 })
    );
    assert_eq!(limits()["up"], 5 << 20);
    let said = home.run(["limit", "--up", "6MiB/s"]);
    let note = "until the schedule's time is over, up none and down 1 MiB/s count";
    assert!(said.stderr.contains(note), "{}", said.stderr);

    signal(&daemon.0, "-TERM");
    assert_eq!(tells()["event"], "ended");
    assert_eq!(end(daemon).code(), Some(0));
}

/// A home on this devnet, with the key of one of its accounts.
fn home_of(devnet: &Devnet, account: usize) -> Home {
    let key = devnet.accounts()[account].key.expose_bytes();
    Home::new()
        .env("SEEDRAIL_NODE", &devnet.url())
        .env("SEEDRAIL_PRIVATE_KEY", &hex::encode(key.as_slice()))
}

/// What a buyer's daemon is told: it buys, and pays by itself.
const BUYS: [&str; 6] = [
    "--bid",
    "20BTT/GiB",
    "--settle",
    "100BTT",
    "--settle-every",
    "1s",
];

/// A daemon that sells what a torrent file names, which lies beside its content, and what it
/// said of itself.
fn sell(seller: &Home, film: &Path, hash: &str) -> (Ended, Value) {
    let mut command = seller.command();
    command
        .arg("daemon")
        .args(QUIET)
        .args(["--ask", "5BTT/GiB"]);
    let (selling, started) = begin(command);
    let folder = film.parent().unwrap().to_str().unwrap();
    seller
        .run(["add", film.to_str().unwrap(), "--folder", folder, "--json"])
        .json();
    wait_until("it is shared", DEADLINE, || {
        row(seller, hash)["state"] == "seeding"
    });
    (selling, started)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_daemon_sells_and_another_buys_and_settles_by_itself() {
    let block_time = Duration::from_millis(200);
    let devnet = Devnet::builder()
        .block_time(block_time)
        .start()
        .await
        .unwrap();
    let (seller, buyer) = (home_of(&devnet, 1), home_of(&devnet, 2));
    let (content, path) = file(8 << 20, 11);
    let film = content.path().join("film.torrent");
    let metainfo = torrent(&path, 64 << 10, &[]);
    std::fs::write(&film, metainfo.to_bytes().unwrap()).unwrap();
    let hash = metainfo.info.hash().to_string();
    let (selling, started) = sell(&seller, &film, &hash);
    let film = film.to_str().unwrap();
    // Nobody pays by itself unless it was said.
    let unpaid = buyer
        .command()
        .args(["daemon", "--settle", "free"])
        .args(QUIET)
        .output()
        .unwrap();
    assert_eq!(unpaid.status.code(), Some(2));
    let mut command = buyer.command();
    command.arg("daemon").args(QUIET).args(BUYS);
    let (buying, _) = begin(command);
    let listen = started["listen"].as_str().unwrap();
    buyer.run(["add", film, "--peer", listen, "--json"]).json();
    wait_until("it is bought", DEADLINE, || {
        let row = row(&buyer, &hash);
        row["complete"] == true && row["spent_raw"].as_str().unwrap().parse::<u64>().unwrap() > 0
    });
    wait_until("it is earned", DEADLINE, || {
        row(&seller, &hash)["earned_raw"]
            .as_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            > 0
    });
    let paid = |money: &Value| {
        let batches = money["batches"].as_array().unwrap();
        let payouts = batches
            .iter()
            .flat_map(|batch| batch["payouts"].as_array().unwrap());
        let solid = payouts.filter(|payout| payout["state"] == "solid");
        solid.count() > 0
    };
    wait_until("it is paid", DEADLINE, || {
        paid(&ask(&buyer, "/api/v1/money"))
    });
    let money = ask(&buyer, "/api/v1/money");
    assert_eq!(money["policy"]["mode"], "up_to");
    assert_eq!(money["balance"]["activated"], true);
    let address = devnet.accounts()[1].address.to_string();
    wait_until("nothing is owed any more", DEADLINE, || {
        let money = ask(&buyer, "/api/v1/money");
        let positions = money["positions"].as_array().unwrap();
        let seller = positions
            .iter()
            .find(|position| position["account"] == *address);
        seller.is_some_and(|position| position["we_owe_raw"] == "0")
    });

    // Prices change while it runs; a bid is agreed to.
    let unsure = buyer.run(["price", "--bid", "30BTT/GiB", "--json"]);
    assert_ne!(unsure.code, 0, "{unsure:?}");
    buyer
        .run(["price", "--bid", "30BTT/GiB", "--yes", "--json"])
        .json();
    buyer
        .run(["price", &hash, "--bid", "free", "--json"])
        .json();
    let state = ask(&buyer, "/api/v1/state");
    assert_eq!(state["transfer"]["prices"]["bid_raw"], "30000000");
    assert_eq!(row(&buyer, &hash)["prices"]["bid_raw"], "0");

    // What was earned, and the price, are kept.
    let earned = row(&seller, &hash)["earned_raw"]
        .as_str()
        .unwrap()
        .parse::<u64>()
        .unwrap();
    signal(&selling.0, "-TERM");
    assert_eq!(end(selling).code(), Some(0));
    let selling = start(&seller, &[]);
    assert!(
        row(&seller, &hash)["earned_raw"]
            .as_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            >= earned
    );
    let state = ask(&seller, "/api/v1/state");
    assert_eq!(state["transfer"]["prices"]["ask_raw"], "5000000");
    assert_eq!(ask(&seller, "/api/v1/money")["account"], *address);
    for daemon in [selling, buying] {
        signal(&daemon.0, "-TERM");
        assert_eq!(end(daemon).code(), Some(0));
    }
}
