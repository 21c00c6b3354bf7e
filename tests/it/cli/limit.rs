//! A payer that reaches the seller's credit limit settles by itself, and goes on buying.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    time::Duration,
};

use seedrail::devnet::{Builder, Devnet};
use serde_json::Value;

use crate::support::{child::Ended, home::Home, terminal::Terminal};

/// What a stranger may owe: 4 MiB at 5 BTT a GiB.
const CAP_RAW: i64 = 20_000;

/// What is on the way when a seller ends its sale is owed: a piece of 256 KiB, at 5 BTT a GiB.
const ON_THE_WAY: i64 = (5_000_000 >> 12) + 1;

/// A devnet, a seller that gives little credit, and a torrent of 16 MiB that it shares slowly.
struct Site {
    devnet: Devnet,
    home: Home,
    torrent: PathBuf,
    listen: String,
    _selling: Ended,
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

impl Site {
    async fn new(devnet: Builder) -> Self {
        let block_time = Duration::from_millis(200);
        let devnet = devnet.block_time(block_time).start().await.unwrap();
        let home = of_account(&devnet, 1);
        let content = home.file("content.bin", vec![7; 16 << 20]);
        let torrent = home.path().join("content.torrent");
        let mut command = home.command();
        command
            .arg("seed")
            .arg(&content)
            .arg("--torrent-out")
            .arg(&torrent);
        command.args(["--ask", "5BTT/GiB", "--unproven-cap", "0.02BTT"]);
        command.args(["--up-limit", "1MiB/s", "--listen", "127.0.0.1:0", "--json"]);
        let mut child = Ended(command.spawn().unwrap());
        let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
        let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            devnet,
            torrent,
            listen: first["listen"].as_str().unwrap().to_owned(),
            home,
            _selling: child,
        }
    }

    /// A download by a payer that bids more than is asked.
    fn get<'a>(&'a self, to: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
        let (torrent, to) = (self.torrent.to_str().unwrap(), to.to_str().unwrap());
        let get = ["get", torrent, "-o", to, "--peer", &self.listen];
        let bid = ["--bid", "20BTT/GiB", "--listen", "127.0.0.1:0"];
        [&get[..], &bid, more].concat()
    }
}

fn spent(stdout: &str) -> i64 {
    let done: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    assert_eq!(done["event"], "done");
    done["spent_raw"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_at_its_limit_settles_by_itself_and_goes_on_buying() {
    let site = Site::new(Devnet::builder()).await;
    tokio::task::block_in_place(|| {
        let payer = of_account(&site.devnet, 2);
        let to = payer.path().join("to");
        let run = payer.run(site.get(&to, &["--json"]));
        assert_eq!(run.code, 0, "{run:?}");
        let seller = site.devnet.accounts()[1].address;
        let limit = format!("{seller} sells no more on credit: you owe it 0.0");
        assert!(run.stderr.contains(&limit), "{run:?}");
        assert!(
            run.stderr
                .contains("; it is paid now, and buying goes on by itself")
        );
        assert!(
            run.stderr.contains(" to 1 account; that is final"),
            "{run:?}"
        );
        assert!(spent(&run.stdout) > CAP_RAW * 3 / 2, "{run:?}");
        // What was paid is on the chain, by the payee's own node.
        let earned = site.home.run(["earnings", "--json"]).json();
        let settled = earned["final_raw"].as_str().unwrap();
        assert!(settled.parse::<i64>().unwrap() > CAP_RAW / 2, "{earned}");

        // Who does not want that is told what to do, and downloads the rest for free.
        let payer = of_account(&site.devnet, 3);
        let to = payer.path().join("to");
        let run = payer.run(site.get(&to, &["--json", "--settle", "off"]));
        assert_eq!(run.code, 0, "{run:?}");
        assert!(
            run.stderr.contains("Pay it with `seedrail settle run`"),
            "{run:?}"
        );
        // What was asked for at a price is paid for, too.
        assert!(spent(&run.stdout) <= CAP_RAW + ON_THE_WAY, "{run:?}");
        let batches = payer.run(["settle", "status", "--json"]).json();
        assert_eq!(batches["payouts"], 0, "{batches}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn fees_are_agreed_to_on_a_terminal_and_a_problem_elsewhere() {
    let dear = Devnet::builder().parameter("getFreeNetLimit", 0).unwrap();
    let site = Site::new(dear).await;
    tokio::task::block_in_place(|| {
        let payer = of_account(&site.devnet, 2);
        let to = payer.path().join("to");
        let run = payer.run(site.get(&to, &["--json"]));
        assert_eq!(run.code, 0, "{run:?}");
        let why = "debts are due that are not paid by themselves: 0.0";
        assert!(run.stderr.contains(why), "{run:?}");
        assert!(
            run.stderr.contains("only free payouts are allowed"),
            "{run:?}"
        );
        // What was asked for at a price is paid for, too.
        assert!(spent(&run.stdout) <= CAP_RAW + ON_THE_WAY, "{run:?}");

        let payer = of_account(&site.devnet, 3);
        let to = payer.path().join("to");
        let mut asked = Terminal::start(&payer, &site.get(&to, &[]));
        asked.expect(" are due to 1 account; paying them burns 0.");
        asked.line("y");
        asked.expect(" to 1 account; that is final");
        let (code, seen) = asked.end_seen();
        assert_eq!(code, 0, "{seen:#?}");
    });
}
