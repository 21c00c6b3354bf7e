//! What a person sees on a terminal, after all that is drawn and erased there.

use std::time::Duration;

use seedrail::devnet::Devnet;

use crate::support::{home::Home, terminal::Terminal, waiting::wait_until};

const LIMIT: Duration = Duration::from_secs(60);

const LOCAL: [&str; 6] = [
    "--listen",
    "127.0.0.1:0",
    "--no-dht",
    "--no-lsd",
    "--no-port-map",
    "--no-utp",
];

fn of_account(devnet: &Devnet, n: usize) -> Home {
    let key = hex::encode(devnet.accounts()[n].key.expose_bytes());
    Home::new()
        .env("SEEDRAIL_NODE", &devnet.url())
        .env("SEEDRAIL_NETWORK", "devnet")
        .env("SEEDRAIL_PRIVATE_KEY", &key)
}

/// The address in `seeding NAME at ADDRESS …`.
fn listening(terminal: &mut Terminal) -> String {
    terminal.expect("seeding ");
    terminal.expect(" at 127.0.0.1:");
    let mut port = String::new();
    wait_until("the port is shown", LIMIT, || {
        let screen = terminal.screen();
        let (_, after) = screen.split_once(" at 127.0.0.1:").unwrap();
        match after.split_once(' ') {
            Some((word, _)) => word.clone_into(&mut port),
            None => return false,
        }
        true
    });
    format!("127.0.0.1:{port}")
}

/// The seller is there before the chain's first block.
#[tokio::test(flavor = "multi_thread")]
async fn news_of_money_stay_on_the_screen_of_a_seller() {
    let devnet = Devnet::builder()
        .block_time(Duration::from_millis(300))
        .start()
        .await
        .unwrap();
    tokio::task::block_in_place(|| {
        let (seller, buyer) = (of_account(&devnet, 2), of_account(&devnet, 1));
        let content = seller.file("content.bin", vec![7; 2 << 20]);
        let torrent = seller.path().join("content.torrent");
        let torrent = torrent.to_str().unwrap();
        let seed = ["seed", content.to_str().unwrap(), "--torrent-out", torrent];
        let seed = seed.iter().chain(&["--ask", "500BTT/GiB"]).chain(&LOCAL);
        let seed: Vec<&str> = seed.copied().collect();
        let mut shown = Terminal::start_sized(&seller, (100, 30), &seed);
        let peer = listening(&mut shown);
        let get = |to: &str| {
            let to = buyer.path().join(to);
            let to = to.to_str().unwrap();
            let get = ["get", torrent, "-o", to, "--peer", &peer];
            let get = get.iter().chain(&["--bid", "500BTT/GiB"]).chain(&LOCAL);
            let run = buyer.run(get);
            assert_eq!(run.code, 0, "{run:?}");
            assert!(run.stderr.contains("settle run"), "{run:?}");
        };
        get("one");
        let run = buyer.run(["settle", "run", "--yes"]);
        assert_eq!(run.code, 0, "{run:?}");
        // The payer tells of it when it comes back.
        get("two");
        let payer = devnet.accounts()[1].address.to_string();
        wait_until("the payment is on the screen", LIMIT, || {
            let seen = shown.seen();
            let told = format!("{payer} paid you ");
            seen.iter().any(|line| line.contains(&told))
        });
        // It is still there when more was drawn, and what is drawn leaves no old copies.
        shown.interrupt();
        let (code, seen) = shown.end_seen();
        assert_eq!(code, 0, "{seen:#?}");
        let lines = |words: &str| seen.iter().filter(|line| line.contains(words)).count();
        assert_eq!(lines(&format!("{payer} paid you ")), 1, "{seen:#?}");
        // The echo of Ctrl-C can keep the last one.
        assert!(lines("ratio") <= 1, "{seen:#?}");
        assert_eq!(lines("shared "), 1, "{seen:#?}");
    });
}

#[test]
fn a_link_without_peers_shows_no_full_bar() {
    let home = Home::new();
    let link = format!("magnet:?xt=urn:btih:{}&dn=film", "07".repeat(20));
    let out = home.path().to_str().unwrap();
    let get = ["get", &link, "-o", out];
    let get: Vec<&str> = get.iter().chain(&LOCAL).copied().collect();
    let mut shown = Terminal::start_sized(&home, (100, 10), &get);
    shown.expect("no peers are connected yet");
    assert!(
        !shown.screen().contains('%') && !shown.screen().contains('█'),
        "{:#?}",
        shown.seen()
    );
    shown.interrupt();
    let (code, seen) = shown.end_seen();
    assert_eq!(code, 130);
    let last: Vec<&String> = seen.iter().filter(|line| !line.is_empty()).collect();
    assert!(
        last[last.len() - 1].contains("the same command goes on from there"),
        "{seen:#?}"
    );
}

/// Half of them are left out, but not the sums.
#[test]
fn many_torrents_fit_the_screen() {
    let home = Home::new();
    let contents: Vec<_> = (0..30)
        .map(|n| home.file(&format!("a-rather-long-file-name-{n}.bin"), [n; 1000]))
        .collect();
    let contents = contents.iter().map(|path| path.to_str().unwrap());
    let seed: Vec<&str> = ["seed"].into_iter().chain(contents).chain(LOCAL).collect();
    let (columns, rows) = (80, 24);
    let mut shown = Terminal::start_sized(&home, (columns, rows), &seed);
    shown.expect("30 torrents: ");
    let mut page = Vec::new();
    // The terminal may be looked at while a page is half drawn.
    wait_until("the sums and 20 torrents are on the screen", LIMIT, || {
        page = shown.seen();
        page.drain(..page.len() - usize::from(rows));
        let drawn = page.iter().filter(|line| line.contains("ratio 0.00"));
        drawn.count() == 20
            && page.iter().any(|line| line == "… and 10 more")
            && page.iter().any(|line| line.starts_with("30 torrents: "))
    });
    let long = page.iter().find(|line| line.chars().count() > 80);
    assert_eq!(long, None);
    shown.interrupt();
    assert_eq!(shown.end().0, 0);
}

/// What a supervisor sees: an end that was asked for is no failure.
#[test]
fn programs_that_run_until_stopped_end_with_0() {
    for (signal, command) in [
        ("-TERM", &["tracker", "--listen", "127.0.0.1:0"][..]),
        ("-INT", &["tracker", "--listen", "127.0.0.1:0"]),
        ("-HUP", &["tracker", "--listen", "127.0.0.1:0"]),
    ] {
        let home = Home::new();
        let mut shown = Terminal::start(&home, command);
        shown.expect("Ctrl-C ends it.");
        shown.signal(signal);
        let (code, screen) = shown.end();
        assert_eq!(code, 0, "{signal}: {screen}");
        assert!(!screen.contains("error"), "{signal}: {screen}");
    }
}
