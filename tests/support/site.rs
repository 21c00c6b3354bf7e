//! A payer, its ledger and its node, as the tests of settlement's process use them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use seedrail::{
    devnet::{Devnet, DevnetAccount, Fault, FaultKind},
    ledger::{EpochId, Ledger, PostgresLedger, PostgresUrl, SqliteLedger},
    receipts::{Receipt, ReceiptDomain, ReceiptLine, SignedReceipt},
    types::{Address, Clock, RawAmount, Salt, SystemClock, Token, TokenId},
};
use tempfile::TempDir;

use super::schema;

/// One payer, his ledger, and his node.
pub(crate) struct Site {
    pub(crate) devnet: Devnet,
    pub(crate) payer: DevnetAccount,
    pub(crate) home: TempDir,
    /// A URL; otherwise a file in the home folder.
    pub(crate) ledger: Option<String>,
    pub(crate) payees: u32,
}

impl Site {
    pub(crate) async fn new(ledger: Option<String>, payees: u32) -> Self {
        let builder = Devnet::builder().block_time(Duration::from_millis(300));
        let devnet = builder.start().await.unwrap();
        Self::on(devnet, ledger, payees)
    }

    pub(crate) fn on(devnet: Devnet, ledger: Option<String>, payees: u32) -> Self {
        Self {
            payer: devnet.accounts()[1].clone(),
            devnet,
            home: TempDir::new().unwrap(),
            ledger,
            payees,
        }
    }

    /// Answers that are cut off, lost, doubled, late, refused or nonsense.
    pub(crate) fn fail_often(&self) {
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
        let printed = succeeds(self.seedrail(arguments).output().unwrap());
        schema::check(arguments, &printed);
        printed
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
