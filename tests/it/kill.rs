//! The settlement's process, killed again and again while the node fails in
//! every way: everybody is paid exactly what the receipts say.
//!
//! `SEEDRAIL_KILLS` and `SEEDRAIL_PAYEES` make it as long as one likes:
//! `scripts/soak kills` does.

use std::{
    fs,
    process::{Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use seedrail::devnet::Devnet;

use crate::support::{postgres_server, site::Site};

fn number(variable: &str, otherwise: u32) -> u32 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

/// A process of which the end is told.
struct Child {
    id: String,
    ended: mpsc::Receiver<()>,
    waiter: std::thread::JoinHandle<std::io::Result<std::process::ExitStatus>>,
}

impl Child {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let id = child.id().to_string();
        let (end, ended) = mpsc::channel();
        let waiter = std::thread::spawn(move || {
            let status = child.wait();
            // Nobody listens any more once the process was killed.
            let _ = end.send(());
            status
        });
        Self { id, ended, waiter }
    }

    /// Whether it ended by itself within `limit`.
    fn ends_within(&self, limit: Duration) -> bool {
        self.ended.recv_timeout(limit).is_ok()
    }

    /// Whether it had to be killed; otherwise, whether it succeeded.
    fn kill(self) -> Result<(), bool> {
        // It may end by itself at this very moment.
        let _ = Command::new("kill")
            .args(["-9", &self.id])
            .stderr(Stdio::null())
            .status();
        let status = self.waiter.join().unwrap().unwrap();
        match status.code() {
            None => Ok(()),
            Some(code) => Err(code == 0),
        }
    }
}

/// Pays rounds of debts by processes that are killed, each life a little
/// longer than the one before, until enough of them were.
fn kill_until(site: &Site, kills: u32) -> u32 {
    let payer = site.payer.address;
    let began = Instant::now();
    let (mut killed, mut failed, mut round) = (0u32, 0u32, 0u32);
    while killed < kills {
        round += 1;
        site.owe(round);
        let watcher = site.watcher();
        let mut lives = 0u32;
        loop {
            let child = Child::start(site.seedrail(&["settle", "run", "--yes", "--json"]));
            lives += 1;
            let holder = format!("process {} ", child.id);
            // It is killed in the middle of a batch, and on a server when the
            // lease of the dead one has run out.
            let is_at_it = || {
                !watcher.unfinished(payer).unwrap().is_empty()
                    && (site.ledger.is_none()
                        || watcher
                            .account_holder(payer)
                            .unwrap()
                            .is_some_and(|found| found.starts_with(&holder)))
            };
            let mut ended = false;
            while !ended && !is_at_it() {
                ended = child.ends_within(Duration::from_millis(20));
            }
            let life = Duration::from_millis(u64::from(15 * (1 + lives % 40) + 2 * lives));
            let enough = killed >= kills;
            let outcome = if ended || enough || child.ends_within(life) {
                Err(child.waiter.join().unwrap().unwrap().success())
            } else {
                child.kill()
            };
            match outcome {
                Ok(()) => killed += 1,
                Err(true) => break,
                // The node failed once too often; that is no end either.
                Err(false) => failed += 1,
            }
            assert!(lives < 2_000, "it never ended");
        }
    }
    site.devnet.clear_faults();
    site.is_settled(round);
    // What `scripts/soak` keeps.
    if let Ok(file) = std::env::var("SEEDRAIL_SOAK_REPORT") {
        let store = site.ledger.as_ref().map_or("SQLite", |_| "PostgreSQL 15");
        let row = format!(
            "| {store} | {killed} | {failed} | {round} | {} | {} |\n",
            round * site.payees,
            began.elapsed().as_secs()
        );
        let mut report = fs::OpenOptions::new().append(true).open(file).unwrap();
        std::io::Write::write_all(&mut report, row.as_bytes()).unwrap();
    }
    killed
}

async fn killed_at_any_moment(ledger: Option<String>, kills: u32) {
    let site = Site::new(ledger, number("SEEDRAIL_PAYEES", 25)).await;
    site.fail_often();
    let kills = number("SEEDRAIL_KILLS", kills);
    let killed = tokio::task::spawn_blocking(move || kill_until(&site, kills))
        .await
        .unwrap();
    assert!(killed >= kills, "it was killed {killed} times only");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_killed_at_any_moment_pays_everybody_once_on_sqlite() {
    killed_at_any_moment(None, 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_killed_at_any_moment_pays_everybody_once_on_postgres() {
    // A dead worker's lease lasts ten seconds, so there are few in every run.
    let url = postgres_server::shared().database();
    killed_at_any_moment(Some(url), 3).await;
}

/// The chain's end is replaced again and again while a batch is on its way, up
/// to 18 blocks deep, with and without its transactions.
#[tokio::test(flavor = "multi_thread")]
async fn forks_during_a_batch_pay_everybody_once() {
    let builder = Devnet::builder()
        .block_time(Duration::from_millis(50))
        .solid_lag(19);
    let devnet = builder.start().await.unwrap();
    let site = Site::on(devnet, None, 120);
    let forked = tokio::task::spawn_blocking(move || {
        site.owe(1);
        let child = Child::start(site.seedrail(&["settle", "run", "--yes", "--json"]));
        let mut forked = Vec::new();
        // Every depth once; every other time what was in the blocks is lost, too. From
        // one to the next the chain gets a block longer, which makes none of the
        // batch solid.
        let mut enough = site.devnet.head_number() + 1;
        for depth in 1..=18 {
            let mut ended = false;
            while !ended && site.devnet.head_number() < enough {
                ended = child.ends_within(Duration::from_millis(10));
            }
            if ended {
                break;
            }
            enough = site.devnet.head_number() + 1;
            forked.push(site.devnet.fork(depth, depth % 2 == 0));
        }
        child.waiter.join().unwrap().unwrap();
        site.is_settled(1);
        forked
    })
    .await
    .unwrap();
    // What the batch did not wait for, it was too fast for.
    assert_eq!(forked, Vec::from_iter(1..=18), "it ended before");
}
