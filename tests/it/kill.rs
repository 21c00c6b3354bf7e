//! The settlement's process, killed again and again while the node fails in
//! every way: everybody is paid exactly what the receipts say.
//!
//! `SEEDRAIL_KILLS` and `SEEDRAIL_PAYEES` make it as long as one likes:
//! `scripts/soak kills` does.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use seedrail::{
    devnet::{Devnet, DevnetAccount, Fault, FaultKind},
    ledger::{EpochId, Ledger, PostgresLedger, PostgresUrl, SqliteLedger},
    receipts::{Receipt, ReceiptDomain, ReceiptLine, SignedReceipt},
    types::{Address, Clock, RawAmount, Salt, SystemClock, Token, TokenId},
};
use tempfile::TempDir;

use crate::postgres_server;

/// One payer, his ledger, and his node.
pub(crate) struct Site {
    pub(crate) devnet: Devnet,
    pub(crate) payer: DevnetAccount,
    pub(crate) home: TempDir,
    /// A URL; otherwise a file in the home folder.
    ledger: Option<String>,
    payees: u32,
}

fn number(variable: &str, otherwise: u32) -> u32 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

impl Site {
    pub(crate) async fn new(ledger: Option<String>, payees: u32) -> Self {
        let builder = Devnet::builder().block_time(Duration::from_millis(300));
        let devnet = builder.start().await.unwrap();
        Self::on(devnet, ledger, payees)
    }

    fn on(devnet: Devnet, ledger: Option<String>, payees: u32) -> Self {
        Self {
            payer: devnet.accounts()[1].clone(),
            devnet,
            home: TempDir::new().unwrap(),
            ledger,
            payees,
        }
    }

    /// Answers that are cut off, lost, doubled, late, refused or nonsense.
    fn fail_often(&self) {
        let broadcast = "/wallet/broadcast*";
        for (endpoint, per_million, kind) in [
            (broadcast, 40_000, FaultKind::DropBefore),
            (broadcast, 40_000, FaultKind::DropAfter),
            (broadcast, 20_000, FaultKind::LostBroadcast),
            (broadcast, 40_000, FaultKind::DoubleBroadcast),
            (broadcast, 20_000, FaultKind::Status { code: 503 }),
            (broadcast, 20_000, FaultKind::Garbage),
            ("/wallet/getblock*", 5_000, FaultKind::Status { code: 500 }),
            ("/walletsolidity/getblock*", 5_000, FaultKind::DropBefore),
            ("*", 10_000, FaultKind::Delay { ms: 50 }),
            (
                "/wallet/gettransactioninfobyid",
                50_000,
                FaultKind::NotFound,
            ),
        ] {
            let endpoint = endpoint.to_owned();
            self.devnet
                .add_fault(Fault {
                    endpoint,
                    per_million,
                    kind,
                    times: None,
                })
                .unwrap();
        }
    }

    pub(crate) fn seedrail(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seedrail"));
        command
            .args(arguments)
            .env("SEEDRAIL_HOME", self.home.path())
            .env("SEEDRAIL_NODE", format!("http://{}", self.devnet.address()))
            .env("SEEDRAIL_NETWORK", "devnet")
            .env(
                "SEEDRAIL_PRIVATE_KEY",
                hex::encode(self.payer.key.expose_bytes().as_slice()),
            )
            .env_remove("SEEDRAIL_LEDGER")
            .stdin(Stdio::null());
        if let Some(url) = &self.ledger {
            command.env("SEEDRAIL_LEDGER", url);
        }
        command
    }

    pub(crate) fn succeeds(&self, arguments: &[&str]) -> String {
        succeeds(self.seedrail(arguments).output().unwrap())
    }

    pub(crate) fn payee(n: u32) -> Address {
        let mut body = [7; 20];
        body[16..].copy_from_slice(&n.to_be_bytes());
        Address::from_body(body)
    }

    /// What payee `n` is owed in all by the receipts of `round`.
    pub(crate) fn amount(n: u32, round: u32) -> RawAmount {
        RawAmount::new((1_000 + i64::from(n)) * i64::from(round)).unwrap()
    }

    /// Makes this round's receipts debts of the payer's.
    pub(crate) fn owe(&self, round: u32) {
        let domain = ReceiptDomain::new(self.devnet.genesis_id());
        let lines: String = (0..self.payees)
            .map(|n| {
                let receipt = Receipt {
                    payer: self.payer.address,
                    payee: Self::payee(n),
                    signer: self.payer.address,
                    vault: Address::ZERO,
                    token: TokenId::BTT,
                    epoch: EpochId::new(i64::from(n)).unwrap(),
                    since_block: 0,
                    sequence: u64::from(round),
                    amount: Self::amount(n, round),
                    delivered_bytes: u64::from(round),
                    issued_at: u64::try_from(SystemClock.now().secs()).unwrap(),
                    grant: Salt::ZERO,
                };
                let signed = SignedReceipt::sign(receipt, &domain, &self.payer.key).unwrap();
                ReceiptLine::new(&domain, signed, None).to_json() + "\n"
            })
            .collect();
        let file: PathBuf = self.home.path().join("receipts.jsonl");
        fs::write(&file, lines).unwrap();
        self.succeeds(&["receipts", "import", path(&file), "--adopt", "--yes"]);
    }

    /// Another handle on the ledger.
    pub(crate) fn watcher(&self) -> Box<dyn Ledger> {
        let genesis = self.devnet.genesis_id();
        match &self.ledger {
            Some(url) => {
                let url = PostgresUrl::parse(url).unwrap();
                Box::new(PostgresLedger::open(&url, genesis).unwrap())
            }
            None => {
                let folder = self.home.path().join("ledgers");
                let file = fs::read_dir(folder)
                    .unwrap()
                    .map(|entry| entry.unwrap().path())
                    .find(|path| path.extension().is_some_and(|end| end == "sqlite"))
                    .unwrap();
                Box::new(SqliteLedger::open(&file, genesis).unwrap())
            }
        }
    }

    /// Nothing is left to do, the chain and the ledger agree, and every payee
    /// has what the receipts say.
    pub(crate) fn is_settled(&self, round: u32) {
        self.succeeds(&["settle", "resume", "--json"]);
        let audit = self.succeeds(&["settle", "audit", "--json"]);
        assert_eq!(audit, "{\"differences\":[],\"ok\":true}\n");
        let again = self.succeeds(&["settle", "run", "--yes", "--json"]);
        assert!(again.contains("\"batch\":null"), "{again}");
        for n in 0..self.payees {
            assert_eq!(
                self.devnet
                    .balance(Self::payee(n), Token::Trc10(TokenId::BTT)),
                Self::amount(n, round),
                "payee {n}"
            );
        }
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub(crate) fn succeeds(output: Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
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
