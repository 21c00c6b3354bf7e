//! Orders by the real binary: what a person types is paid exactly once, on a
//! file and on a server.

mod answers;
mod at_once;
mod books;
mod debts;
mod permitted;
mod replaced;
mod restored;
mod slow_signers;
mod terminal;
mod told;
mod unsigned;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output},
    time::Duration,
};

use seedrail::{
    devnet::Devnet,
    types::{Address, Token, TokenId},
};

use crate::support::{home::Home, postgres_server, waiting::wait_until};

const BTT: Token = Token::Trc10(TokenId::BTT);

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Where the ledger is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Store {
    File,
    Server,
}

/// A devnet, and a payer's home.
struct Site {
    devnet: Devnet,
    home: Home,
    /// The ledger's URL, where it is on a server.
    url: Option<String>,
}

impl Site {
    async fn new(store: Store) -> Self {
        let devnet = Devnet::builder()
            .block_time(Duration::from_millis(200))
            .start()
            .await
            .unwrap();
        let url = (store == Store::Server).then(|| postgres_server::shared().database());
        let mut site = Self {
            home: Home::new(),
            devnet,
            url,
        };
        site.home = site.another_home();
        site
    }

    /// Another home of the same payer, with the same server or none.
    fn another_home(&self) -> Home {
        let key = self.devnet.accounts()[1].key.expose_bytes();
        let home = Home::new()
            .env("SEEDRAIL_NODE", &self.devnet.url())
            .env("SEEDRAIL_PRIVATE_KEY", &hex::encode(key.as_slice()));
        match &self.url {
            Some(url) => home.env("SEEDRAIL_LEDGER", url),
            None => home,
        }
    }

    /// A home of the same payer with a ledger of its own, of the same kind.
    fn second_home(&self) -> Home {
        let home = self.another_home();
        match &self.url {
            Some(_) => home.env("SEEDRAIL_LEDGER", &postgres_server::shared().database()),
            None => home,
        }
    }

    fn payer(&self) -> Address {
        self.devnet.accounts()[1].address
    }

    fn paid(&self, payee: Address) -> i64 {
        self.devnet.balance(payee, BTT).get()
    }

    /// Lets the chain's time pass until the command has ended, once it says that it waits.
    fn hurry(&self, mut child: Child, log: &Path) -> Output {
        wait_until("it waits, or has ended", LIMIT, || {
            fs::read_to_string(log).unwrap().contains("waiting until ")
                || child.try_wait().unwrap().is_some()
        });
        let follow = |blocks: u64, child: &mut Child| {
            let head = self.devnet.head_number();
            wait_until("blocks follow", LIMIT, || {
                self.devnet.head_number() >= head + blocks || child.try_wait().unwrap().is_some()
            });
        };
        while child.try_wait().unwrap().is_none() {
            for _ in 0..60 {
                self.devnet.advance(Duration::from_secs(30));
                follow(1, &mut child);
            }
            // Now the chain goes at its own pace, or a slow machine would never have read all
            // of it.
            follow(20, &mut child);
        }
        child.wait_with_output().unwrap()
    }
}

fn payee(n: u8) -> Address {
    Address::from_body([0x60 + n; 20])
}

/// The ledger's file in a home.
fn ledger(home: &Home) -> PathBuf {
    fs::read_dir(home.path().join("ledgers"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|end| end == "sqlite"))
        .unwrap()
}

/// Starts a command, its standard error in a file that can be read meanwhile.
fn start(home: &Home, arguments: &[&str], log: &Path) -> Child {
    let mut command: Command = home.command();
    command
        .args(arguments)
        .stderr(fs::File::create(log).unwrap())
        .spawn()
        .unwrap()
}

fn said(output: &Output) -> String {
    let all = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&all).into_owned()
}
