//! Nodes that lie in front of a real one, and what each command makes of it. The table is
//! `docs/lying-nodes.md`: `SEEDRAIL_BLESS=1` writes it anew.
//!
//! Whatever a node says, a payment is made once or not at all, and what is said to be paid is on
//! the real chain.

mod lies;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use seedrail::{
    devnet::{Builder, Devnet, DevnetAccount},
    ledger::{
        ChainBound as _, ChainLog as _, EpochId, Pair, Payouts as _, Receipts as _, Remainder,
        SqliteLedger,
    },
    receipts::{Receipt, ReceiptDomain, SignedReceipt},
    settle::{Engine, Event, NodeChain, Policy, random_number, state::read_block},
    tron::{
        json::block_to_json,
        keys::SecretKey,
        rpc::{Finality, Node, NodeConfig},
    },
    types::{Address, Clock as _, RawAmount, Salt, SystemClock, Token, TokenId},
};
use serde_json::Value;

use crate::support::{http_server::Server, lying_node, waiting::wait_until};

const BTT: Token = Token::Trc10(TokenId::BTT);
const LIMIT: Duration = Duration::from_secs(120);

/// A command that has asked so often, and has not ended, goes on asking.
const GOES_ON: usize = 60;

/// How many commands run at once: most of them wait.
const AT_ONCE: usize = 32;

/// What each debt, and each payment, comes to.
const DEBT: i64 = 5_000_000;
const SENT: i64 = 3_000_000;

fn raw(amount: i64) -> RawAmount {
    RawAmount::new(amount).unwrap()
}

/// The commands of the table.
const COMMANDS: [&str; 5] = [
    "balance",
    "send",
    "settle run",
    "earnings",
    "receipts verify --online",
];

/// A real chain, on which somebody was paid, and what was learned of it before any lie.
struct Site {
    devnet: Devnet,
    facts: Arc<lies::Facts>,
    /// Ledgers, and the proof of the payment.
    folder: tempfile::TempDir,
    earner: SecretKey,
}

impl Site {
    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn node(&self) -> Node {
        Node::new(&NodeConfig::new(self.devnet.url())).unwrap()
    }

    /// A ledger that has read the chain before.
    async fn ledger(&self, name: &str) -> SqliteLedger {
        let ledger = SqliteLedger::open(&self.path(name), self.devnet.genesis_id()).unwrap();
        let blocks = self.node().blocks(Finality::Solid, 1, 50).await.unwrap();
        let rows: Vec<_> = blocks
            .iter()
            .map(|block| read_block(block, Address::ZERO, &mut BTreeMap::new()))
            .collect();
        ledger.learn_witnesses(&rows).unwrap();
        ledger
    }

    /// Makes a debt of the payer's.
    fn owe(&self, ledger: &SqliteLedger, payer: &SecretKey, payee: Address) -> SignedReceipt {
        let pair = Pair {
            payer: payer.address(),
            payee,
            token: TokenId::BTT,
        };
        let lease = ledger.claim_epoch(&pair, 0).unwrap();
        let signed = self.receipt(payer, payee, lease.epoch, DEBT);
        let row = signed.to_row();
        ledger
            .issue(&lease, &row, Remainder::default(), None)
            .unwrap();
        signed
    }

    fn receipt(
        &self,
        payer: &SecretKey,
        payee: Address,
        epoch: EpochId,
        amount: i64,
    ) -> SignedReceipt {
        let receipt = Receipt {
            payer: payer.address(),
            payee,
            signer: payer.address(),
            vault: Address::ZERO,
            token: TokenId::BTT,
            epoch,
            since_block: 0,
            sequence: 1,
            amount: raw(amount),
            delivered_bytes: amount.unsigned_abs(),
            issued_at: u64::try_from(SystemClock.now().secs()).unwrap(),
            grant: Salt::ZERO,
        };
        let domain = ReceiptDomain::new(self.devnet.genesis_id());
        SignedReceipt::sign(receipt, &domain, payer).unwrap()
    }

    /// Binds an account to the chain as it is.
    async fn bind(&self, ledger: &SqliteLedger, account: Address) {
        let head = self.node().head(Finality::Solid).await.unwrap();
        let lease = ledger.lease_account(account, "test").unwrap();
        ledger
            .bind_account(&lease, head.id(), head.timestamp)
            .unwrap();
    }

    /// The command, as this account with this ledger, asking this node.
    fn command(&self, key: &SecretKey, ledger: &str, node: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seedrail"));
        command
            .args(arguments)
            .arg("--json")
            .env_clear()
            .env("SEEDRAIL_HOME", self.path("home"))
            .env("SEEDRAIL_LEDGER", self.path(ledger))
            .env("SEEDRAIL_NODE", node)
            .env(
                "SEEDRAIL_PRIVATE_KEY",
                hex::encode(key.expose_bytes().as_slice()),
            )
            .stdin(Stdio::null());
        command
    }

    /// A chain on which nothing was paid yet, and a stranger to it with this key.
    async fn on(builder: Builder, stranger: SecretKey) -> Self {
        let devnet = builder
            .block_time(Duration::from_millis(500))
            .start()
            .await
            .unwrap();
        devnet.mine(3);
        wait_until("some blocks are solid", LIMIT, || devnet.solid_number() > 2);
        let payer = devnet.accounts()[1].address;
        let earner = devnet.accounts()[2].key.clone();
        let first = block_to_json(&devnet.block(1).unwrap(), false).unwrap();
        Self {
            facts: Arc::new(lies::Facts {
                stranger,
                payer,
                earner: earner.address(),
                first,
            }),
            devnet,
            folder: tempfile::tempdir().unwrap(),
            earner,
        }
    }

    /// One on which the payer has paid 5 of the 7 BTT that his receipts say.
    async fn new(accounts: u32) -> Self {
        let stranger = SecretKey::from_bytes(&[0x5a; 32]).unwrap();
        let site = Self::on(Devnet::builder().accounts(accounts), stranger).await;
        let payer = site.devnet.accounts()[1].key.clone();
        let ledger = site.ledger("payer").await;
        let paid = site.owe(&ledger, &payer, site.earner.address());
        drop(ledger);
        let earned = site.ledger("earner").await;
        let epoch = EpochId::new(paid.receipt.epoch.get() + 1).unwrap();
        let more = site.receipt(&payer, site.earner.address(), epoch, 2_000_000);
        for receipt in [paid, more] {
            earned.store_received(&receipt.to_row()).unwrap();
        }
        drop(earned);
        let url = site.devnet.url();
        let folder = site.path("proofs");
        for arguments in [
            &["settle", "run", "--yes"][..],
            &["settle", "export", "-o", folder.to_str().unwrap()],
        ] {
            let done = site
                .command(&payer, "payer", &url, arguments)
                .output()
                .unwrap();
            assert!(done.status.success(), "{done:?}");
        }
        site
    }

    fn proof(&self) -> String {
        let file = fs::read_dir(self.path("proofs")).unwrap().next().unwrap();
        file.unwrap().path().to_str().unwrap().to_owned()
    }
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outcome {
    code: Option<i32>,
    stdout: String,
    /// The last line of it is the error.
    stderr: String,
}

impl Outcome {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_default()
    }

    /// In words, those of the table; `honest` is what is printed at an honest node.
    fn words(&self, honest: Option<&Self>) -> String {
        match (self.code, honest) {
            (None, _) => "waits".to_owned(),
            (Some(0), None) => "pays once".to_owned(),
            (Some(0), Some(honest)) if honest.stdout == self.stdout => {
                "as at an honest node".to_owned()
            }
            (Some(0), Some(honest)) => {
                let counts = |outcome: &Self| outcome.json().get("final_raw").cloned();
                if counts(honest).is_some() {
                    "counts only what it could read".to_owned()
                } else {
                    "shows what it is told".to_owned()
                }
            }
            (Some(code), _) => {
                let last = self.stderr.lines().last().unwrap_or_default();
                let error: Value = serde_json::from_str(last).unwrap_or_default();
                let message = error["error"]["message"].as_str().unwrap_or(last);
                format!("refuses, status {code}: {}", plain(message))
            }
        }
    }
}

/// A sentence without what differs from run to run.
fn plain(message: &str) -> String {
    let mut words = Vec::new();
    for word in message.split(' ') {
        let (start, rest) = match word.find(|c: char| c.is_alphanumeric()) {
            Some(at) => word.split_at(at),
            None => (word, ""),
        };
        let end = rest.rfind(|c: char| c.is_alphanumeric()).map_or(0, |at| {
            at + rest[at..].chars().next().map_or(0, char::len_utf8)
        });
        let (inner, end) = rest.split_at(end);
        let inner = if inner.starts_with("http://127.0.0.1:") {
            "NODE"
        } else if inner.starts_with("tmp/") {
            "FILE"
        } else if inner.len() == 64 && inner.chars().all(|c| c.is_ascii_hexdigit()) {
            "HASH"
        } else if inner.parse::<Address>().is_ok() {
            "ADDRESS"
        } else if !inner.is_empty() && inner.chars().all(|c| c.is_ascii_digit() || c == '.') {
            "N"
        } else {
            inner
        };
        words.push(format!("{start}{inner}{end}"));
    }
    words.join(" ")
}

/// Runs a command to its end; `None` for its code when it asks and asks and does not end.
/// `goes_on` says after how many questions to stop it, and `limit` after how long.
fn run(mut command: Command, node: &Server, goes_on: Option<usize>, limit: Duration) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let (out, err) = (folder.path().join("out"), folder.path().join("err"));
    let file = |path: &Path| fs::File::create(path).unwrap();
    let mut child = command
        .stdout(file(&out))
        .stderr(file(&err))
        .spawn()
        .unwrap();
    let asked = node.asked().len();
    let begun = Instant::now();
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        let is_stopped = match goes_on {
            Some(questions) => node.asked().len() - asked >= questions,
            None => begun.elapsed() > limit,
        };
        if is_stopped {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        // Not to be in time for anything: so as not to spin while others work.
        std::thread::park_timeout(Duration::from_millis(10));
    };
    Outcome {
        code,
        stdout: fs::read_to_string(out).unwrap(),
        stderr: fs::read_to_string(err).unwrap(),
    }
}

/// Places for commands that run at once.
struct Places(Mutex<usize>, Condvar);

impl Places {
    fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        let mut free = self.0.lock().unwrap();
        while *free == 0 {
            free = self.1.wait(free).unwrap();
        }
        *free -= 1;
        drop(free);
        let done = work();
        *self.0.lock().unwrap() += 1;
        self.1.notify_one();
        done
    }
}

/// What one kind of node made of the commands, in their order.
struct Row {
    kind: &'static str,
    outcomes: Vec<Outcome>,
}

fn payee(kind: usize, command: u8) -> Address {
    let mut body = [0x30 + command; 20];
    body[19] = u8::try_from(kind).unwrap();
    Address::from_body(body)
}

const PAGE: &str = "docs/lying-nodes.md";

/// What the page says of each command at each kind of node.
fn page() -> BTreeMap<(String, String), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let text = fs::read_to_string(path).unwrap_or_default();
    let (mut kind, mut told) = (String::new(), BTreeMap::new());
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("### A node that ") {
            kind = name.to_owned();
        } else if let Some((command, words)) = line
            .strip_prefix("- `")
            .and_then(|line| line.split_once("`: "))
        {
            told.insert((kind.clone(), command.to_owned()), words.to_owned());
        }
    }
    told
}

const HEAD: &str = "# What commands make of a node that lies

Each kind of node below stands in front of a real one: it asks the real node, and tells something else. The ledgers have read the chain before, so they know its witnesses. Every command runs at every
kind of node, as a process of its own, and this page is what came out: `cargo test --test it lying::` compares it, and `SEEDRAIL_BLESS=1` writes it anew.

Whatever the node says, at the end every payment was made once, by the real chain, when the command was run again at an honest node; no command called a payment final that is not; and `earnings`
counted nothing that was not paid. What nothing can be compared with, a balance above all, is shown as the node tells it: ask a second node, or your own.

*NODE*, *FILE*, *HASH*, *ADDRESS* and *N* stand for what differs from run to run. A command that *waits* says for what, asks again and again, and ends with Ctrl-C.
";

fn written(rows: &[(&'static str, Vec<String>)]) -> String {
    let mut text = HEAD.to_owned();
    for (kind, words) in rows {
        write!(text, "\n### A node that {kind}\n\n").unwrap();
        for (command, words) in COMMANDS.iter().zip(words) {
            writeln!(text, "- `{command}`: {words}").unwrap();
        }
    }
    text
}

#[test]
fn whatever_a_node_says_a_payment_is_made_once_and_nothing_else_is_believed() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let kinds = lies::kinds();
    assert!(kinds.len() >= 30);
    let accounts = u32::try_from(10 + 2 * kinds.len()).unwrap();
    let site = runtime.block_on(Site::new(accounts));
    let honest = runtime.block_on(lying_node::start(site.devnet.address(), |_, _| {
        lying_node::Lie::None
    }));
    let reading = |node: &Server, earner: &str, account: &DevnetAccount| {
        let url = node.url();
        let balance = site.command(&account.key, "none", &url, &["balance"]);
        let earnings = site.command(&site.earner, earner, &url, &["earnings"]);
        let proof = site.proof();
        let verify = ["receipts", "verify", "--paid", &proof, "--online"];
        [
            balance,
            earnings,
            site.command(&site.earner, earner, &url, &verify),
        ]
    };
    fs::copy(site.path("earner"), site.path("earner-honest")).unwrap();
    let account = &site.devnet.accounts()[3];
    let expected = reading(&honest, "earner-honest", account)
        .map(|command| run(command, &honest, None, LIMIT));
    for outcome in &expected {
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
    }
    assert_eq!(expected[1].json()["final_raw"], DEBT.to_string());

    let blesses = std::env::var_os("SEEDRAIL_BLESS").is_some();
    let told = page();
    let places = Places(Mutex::new(AT_ONCE), Condvar::new());
    let rows: Vec<Row> = std::thread::scope(|scope| {
        let all: Vec<_> = kinds
            .iter()
            .enumerate()
            .map(|(n, (kind, lie))| {
                let (site, runtime, places, told, reading) =
                    (&site, &runtime, &places, &told, &reading);
                scope.spawn(move || {
                    let facts = Arc::clone(&site.facts);
                    let lie = *lie;
                    let node = runtime.block_on(lying_node::start(
                        site.devnet.address(),
                        move |path, body| lie(&facts, path, body),
                    ));
                    let url = node.url();
                    let settles = &site.devnet.accounts()[10 + 2 * n];
                    let sends = &site.devnet.accounts()[11 + 2 * n];
                    let name = format!("ledger-{n}");
                    let ledger = runtime.block_on(async {
                        let ledger = site.ledger(&name).await;
                        site.bind(&ledger, settles.address).await;
                        site.bind(&ledger, sends.address).await;
                        ledger
                    });
                    site.owe(&ledger, &settles.key, payee(n, 1));
                    drop(ledger);
                    let earner = format!("earner-{n}");
                    fs::copy(site.path("earner"), site.path(&earner)).unwrap();
                    let to = payee(n, 2).to_string();
                    let send = ["send", "--to", &to, "--amount", "3BTT", "--yes"];
                    let send = site.command(&sends.key, &name, &url, &send);
                    let settle = ["settle", "run", "--yes"];
                    let settle = site.command(&settles.key, &name, &url, &settle);
                    let [balance, earnings, verify] = reading(&node, &earner, account);
                    let commands = [balance, send, settle, earnings, verify];
                    let outcomes = std::thread::scope(|scope| {
                        let all: Vec<_> = commands
                            .into_iter()
                            .zip(COMMANDS)
                            .map(|(command, name)| {
                                let node = &node;
                                let waits = told
                                    .get(&((*kind).to_owned(), name.to_owned()))
                                    .is_some_and(|words| words == "waits");
                                let goes_on = (waits && !blesses).then_some(GOES_ON);
                                let limit = if blesses { LIMIT / 2 } else { LIMIT };
                                scope.spawn(move || {
                                    places.within(|| run(command, node, goes_on, limit))
                                })
                            })
                            .collect();
                        all.into_iter().map(|one| one.join().unwrap()).collect()
                    });
                    Row { kind, outcomes }
                })
            })
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });

    let mut found = Vec::new();
    for (n, Row { kind, outcomes }) in rows.iter().enumerate() {
        let [balance, send, settle, earnings, verify] = outcomes.as_slice() else {
            panic!("{outcomes:?}")
        };
        // What is called final is on the real chain.
        for (outcome, payee, amount) in [(send, payee(n, 2), SENT), (settle, payee(n, 1), DEBT)] {
            let paid = site.devnet.balance(payee, BTT).get();
            assert!(paid == 0 || paid == amount, "{kind}: {paid} {outcome:?}");
            if outcome.code == Some(0) {
                assert_eq!(paid, amount, "{kind}: {outcome:?}");
            }
        }
        // Nothing is counted that was not paid; what was not read is not known.
        if earnings.code == Some(0) {
            let document = earnings.json();
            let counted = document["final_raw"].as_str().unwrap();
            assert!(
                [DEBT, 0]
                    .map(|amount| amount.to_string())
                    .contains(&counted.to_owned()),
                "{kind}: {counted}"
            );
        }
        let honest = [
            Some(&expected[0]),
            None,
            None,
            Some(&expected[1]),
            Some(&expected[2]),
        ];
        let words: Vec<_> = [balance, send, settle, earnings, verify]
            .into_iter()
            .zip(honest)
            .map(|(outcome, honest)| outcome.words(honest))
            .collect();
        found.push((*kind, words));
    }

    // At an honest node everything is paid, and once.
    std::thread::scope(|scope| {
        for n in 0..kinds.len() {
            let (site, runtime) = (&site, &runtime);
            scope.spawn(move || runtime.block_on(pays_once(site, n)));
        }
    });

    let text = written(&found);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    if blesses {
        fs::write(path, text).unwrap();
        return;
    }
    let recorded = fs::read_to_string(path).unwrap_or_default();
    let mut differences = String::new();
    for (recorded, now) in recorded.lines().zip(text.lines()) {
        if recorded != now {
            writeln!(differences, "- {recorded}\n+ {now}").unwrap();
        }
    }
    assert!(
        recorded == text,
        "{PAGE} says otherwise:\n{differences}if that is what you want, write it anew with SEEDRAIL_BLESS=1"
    );
}

/// What a kind of node left is paid at the honest one.
async fn pays_once(site: &Site, n: usize) {
    let genesis = site.devnet.genesis_id();
    let ledger = SqliteLedger::open(&site.path(&format!("ledger-{n}")), genesis).unwrap();
    assert_eq!(ledger.genesis(), genesis);
    for (account, payee, amount) in [
        (10 + 2 * n, payee(n, 1), DEBT),
        (11 + 2 * n, payee(n, 2), SENT),
    ] {
        let account = &site.devnet.accounts()[account];
        let chain = NodeChain::new(site.node());
        let engine = Engine {
            ledger: &ledger,
            chain: &chain,
            clock: &SystemClock,
            account: account.address,
            permission_id: 0,
            holder: "test",
            report: &|_: &Event| {},
            random: &random_number,
        };
        // A payment that was refused before it was signed is given up; what was signed is
        // driven to its end.
        let policy = Policy::default();
        engine
            .run(&account.key, TokenId::BTT, &policy, |_| true)
            .await
            .unwrap();
        let paid = site.devnet.balance(payee, BTT).get();
        let is_debt = amount == DEBT;
        assert!(
            paid == amount || (paid == 0 && !is_debt),
            "{n}: {paid} of {amount}"
        );
    }
}

/// A node that has a witness on its side, or pretends to.
#[test]
fn a_payee_counts_only_what_a_known_witness_holds_and_the_payer_signed() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let witness = SecretKey::from_bytes(&[0x77; 32]).unwrap();
    let invents = |site: &Site| {
        let facts = Arc::clone(&site.facts);
        let kinds = lies::kinds();
        let (_, lie) = kinds
            .into_iter()
            .find(|(kind, _)| *kind == lies::ADDS_A_PAYMENT)
            .unwrap();
        let node = site.devnet.address();
        runtime.block_on(lying_node::start(node, move |path, body| {
            lies::newest(&facts, path).unwrap_or_else(|| lie(&facts, path, body))
        }))
    };
    for maker in [witness.clone(), SecretKey::from_bytes(&[0x5a; 32]).unwrap()] {
        let builder = Devnet::builder().witness(witness.clone());
        let site = runtime.block_on(Site::on(builder, maker));
        let payer = site.devnet.accounts()[1].key.clone();
        let ledger = runtime.block_on(site.ledger("earner"));
        let owed = site.receipt(
            &payer,
            site.earner.address(),
            EpochId::new(0).unwrap(),
            900_000_000,
        );
        ledger.store_received(&owed.to_row()).unwrap();
        drop(ledger);
        let earnings = |url: &str| {
            let command = site
                .command(&site.earner, "earner", url, &["earnings"])
                .output();
            let output = command.unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            (output.status.code(), document["final_raw"].clone(), said)
        };
        let node = invents(&site);
        for _ in 0..2 {
            let (code, counted, said) = earnings(&node.url());
            // Refused, or read without what nobody signed.
            assert!(
                code == Some(0) || code == Some(3) || code == Some(7),
                "{said}"
            );
            assert!(counted.is_null() || counted == "0", "{counted} {said}");
        }
        // What was invented stands in no honest node's way.
        let (code, counted, said) = earnings(&site.devnet.url());
        assert_eq!((code, counted), (Some(0), "0".into()), "{said}");
    }
}
