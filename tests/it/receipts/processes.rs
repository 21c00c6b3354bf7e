//! `seedrail seed` and `seedrail get`, killed at each step of a payment: totals
//! never fall, nothing that was acknowledged is lost, and what is sent again is
//! the same to the byte.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use seedrail::{
    devnet::{Devnet, DevnetAccount},
    ledger::{EpochId, Pair, ReceiptRow, Receipts, SqliteLedger},
    types::TokenId,
};

use crate::support::{
    link::content,
    pay_proxy::{Death, Proxy, Who},
};

const SIZE: usize = 12 << 20;
const DEADLINE: Duration = Duration::from_secs(60);

/// Everything two processes need, and the wire between them.
struct Site {
    folder: tempfile::TempDir,
    devnet: Devnet,
    seller: SocketAddr,
    proxy: Arc<Proxy>,
    /// How many downloads were begun, each into a folder of its own.
    downloads: u32,
    before: [i64; 2],
}

fn ledger_of(home: &Path) -> Option<SqliteLedger> {
    let entries = fs::read_dir(home.join("ledgers")).ok()?;
    let file = entries
        .map(|entry| entry.expect("it can be listed").path())
        .find(|path| path.extension().is_some_and(|e| e == "sqlite"))?;
    Some(SqliteLedger::open_existing(&file).expect("a whole ledger"))
}

impl Site {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("content.bin"), content(SIZE)).unwrap();
        let devnet = Devnet::builder()
            .block_time(Duration::from_millis(500))
            .start()
            .await
            .unwrap();
        // Free now; the seller listens there each time it is started.
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let seller = free.local_addr().unwrap();
        drop(free);
        Self {
            proxy: Proxy::start(seller).await,
            folder,
            devnet,
            seller,
            downloads: 0,
            before: [0; 2],
        }
    }

    fn account(&self, who: Who) -> &DevnetAccount {
        &self.devnet.accounts()[match who {
            Who::Payer => 1,
            Who::Payee => 2,
        }]
    }

    fn home(&self, who: Who) -> PathBuf {
        self.folder.path().join(match who {
            Who::Payer => "payer",
            Who::Payee => "payee",
        })
    }

    fn command(&self, who: Who) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seedrail"));
        let key = &self.account(who).key;
        command
            .env("SEEDRAIL_HOME", self.home(who))
            .env("SEEDRAIL_NODE", self.devnet.url())
            .env("SEEDRAIL_NETWORK", "devnet")
            .env("SEEDRAIL_PRIVATE_KEY", hex::encode(key.expose_bytes()))
            .env_remove("SEEDRAIL_LEDGER")
            .args(["--json", "--quiet"])
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn torrent(&self) -> PathBuf {
        self.folder.path().join("content.torrent")
    }

    fn start_seller(&self) {
        let mut child = self
            .command(Who::Payee)
            .arg("seed")
            .arg(self.folder.path().join("content.bin"))
            .args(["--ask", "5BTT/GiB", "--up-limit", "4MiB/s"])
            .args(["--piece-size", "256KiB", "--listen"])
            .arg(self.seller.to_string())
            .arg("--torrent-out")
            .arg(self.torrent())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut first).unwrap();
        assert!(first.contains("seeding"), "{first}");
        // Nobody reads on; its figures are not to fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        self.proxy.runs(Who::Payee, child);
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join(format!("to-{}", self.downloads))
    }

    fn start_buyer(&self) {
        let child = self
            .command(Who::Payer)
            .arg("get")
            .arg(self.torrent())
            .args(["--bid", "5BTT/GiB", "--no-utp", "--listen", "127.0.0.1:0"])
            .arg("--peer")
            .arg(self.proxy.address.to_string())
            .arg("-o")
            .arg(self.target())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.proxy.runs(Who::Payer, child);
    }

    /// Whoever is not there is started; a download that ended is followed by
    /// another.
    fn keep_running(&mut self) {
        if self.proxy.ended(Who::Payee).is_some() {
            self.start_seller();
        }
        if let Some(status) = self.proxy.ended(Who::Payer) {
            if status.success() {
                self.check_download();
                self.downloads += 1;
            }
            self.start_buyer();
        }
    }

    fn check_download(&self) {
        let got = fs::read(self.target().join("content.bin")).unwrap();
        assert!(
            got == content(SIZE),
            "what was downloaded is what was shared"
        );
    }

    fn rows(&self, who: Who) -> HashMap<EpochId, ReceiptRow> {
        let pair = Pair {
            payer: self.account(Who::Payer).address,
            payee: self.account(Who::Payee).address,
            token: TokenId::BTT,
        };
        let Some(ledger) = ledger_of(&self.home(who)) else {
            return HashMap::new();
        };
        let rows = match who {
            Who::Payer => ledger.issued(&pair),
            Who::Payee => ledger.received(&pair),
        };
        let rows = rows.expect("the ledger reads").into_iter();
        rows.map(|row| (row.get().epoch, row.into_inner()))
            .collect()
    }

    /// What must hold at every moment.
    fn check(&mut self, death: &str) {
        // The wire first: what it has seen must be on disk by then.
        let (sent, acknowledged) = {
            let witness = self.proxy.witness.lock().unwrap();
            assert_eq!(witness.changed, None, "{death}: sent again differently");
            let sent: Vec<_> = witness.receipts.keys().copied().collect();
            (sent, witness.acknowledged.clone())
        };
        let (received, issued) = (self.rows(Who::Payee), self.rows(Who::Payer));
        for (epoch, sequence) in sent {
            assert!(
                issued[&epoch].sequence >= sequence,
                "{death}: sent and lost"
            );
        }
        for (epoch, sequence) in acknowledged {
            assert!(
                received[&epoch].sequence >= sequence,
                "{death}: acknowledged and lost"
            );
        }
        for (epoch, row) in &received {
            assert!(issued[epoch].sequence >= row.sequence, "{death}");
        }
        let total = |rows: &HashMap<EpochId, ReceiptRow>| -> i64 {
            rows.values().map(|row| row.amount.get()).sum()
        };
        let totals = [total(&issued), total(&received)];
        assert!(
            totals[0] >= self.before[0] && totals[1] >= self.before[1],
            "{death}: {totals:?} after {:?}",
            self.before
        );
        self.before = totals;
    }
}

fn deaths() -> Vec<Death> {
    use Who::{Payee, Payer};
    let at = |message, from, nth, of, after: Option<u64>| Death {
        message,
        from,
        nth,
        of,
        after: after.map(Duration::from_millis),
    };
    let mut all = vec![
        // An epoch is claimed and the first receipt is on disk, and nobody has it.
        at("receipt", Payer, 1, Payer, None),
        at("receipt", Payer, 2, Payer, None),
        // It is on disk and said to be, and the payer does not hear it.
        at("ack", Payee, 1, Payee, None),
        at("ack", Payee, 2, Payer, None),
        at("ack", Payee, 1, Payer, Some(0)),
    ];
    // It has arrived: before, while and after it is stored, and answered.
    all.extend([0, 1, 2, 4].map(|ms| at("receipt", Payer, 1, Payee, Some(ms))));
    all.extend([0, 2].map(|ms| at("receipt", Payer, 2, Payer, Some(ms))));
    // While they greet each other.
    all.extend([
        at("hello", Payer, 1, Payer, None),
        at("auth", Payee, 1, Payee, None),
        at("sync", Payer, 1, Payee, Some(0)),
        at("sync", Payee, 1, Payer, Some(0)),
        at("bid", Payer, 1, Payee, Some(0)),
        at("award", Payee, 1, Payer, Some(0)),
    ]);
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn either_process_is_killed_at_each_step() {
    let mut site = Site::new().await;
    site.start_seller();
    site.start_buyer();
    for death in deaths() {
        let named = format!("{death:?}");
        site.proxy.plan(death);
        let start = Instant::now();
        while !site.proxy.happened() {
            site.keep_running();
            assert!(start.elapsed() < DEADLINE, "never came to {named}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        site.check(&named);
    }
    // And then it is as if nothing had been.
    let last = site.downloads;
    let start = Instant::now();
    while site.downloads == last {
        site.keep_running();
        assert!(start.elapsed() < DEADLINE, "the last download does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    site.check("the end");
    let start = Instant::now();
    while site.rows(Who::Payer) != site.rows(Who::Payee) {
        assert!(start.elapsed() < DEADLINE, "the two never agree");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(site.before[0] > 0);
}
