//! What a node hides of an account that is used in two places: nothing is paid twice for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use seedrail::{
    devnet::{Devnet, DevnetAccount},
    ledger::{ChainLog as _, EpochId, Receipts as _, SqliteLedger},
    settle::{Engine, Event, NodeChain, Plan, Policy, SettleError, random_number},
    tron::{
        contract::Contract,
        rpc::{Node, NodeConfig},
        transaction::{Draft, RefBlock, Transaction},
    },
    types::{Address, Clock as _, RawAmount, SystemClock, Token, TokenId, UnixMs},
};

use super::{
    devnet::{owe, payee},
    sim::Pace,
    world::{self, World},
};
use crate::support::{
    http_server::Server,
    lying_node::{self, Lie},
    waiting::wait_until,
};

const BTT: Token = Token::Trc10(TokenId::BTT);
const DEBT: i64 = 1_000;
const LIMIT: Duration = Duration::from_secs(30);

/// More blocks than are read one by one where the account was quiet.
const QUIET: u64 = 1_300;

/// A chain, and in front of its node another one that hides when accounts acted.
struct Site {
    devnet: Devnet,
    liar: Server,
    /// How often it lied.
    lies: Arc<AtomicUsize>,
    folder: tempfile::TempDir,
}

impl Site {
    async fn new() -> Self {
        let devnet = Devnet::builder()
            .block_time(Duration::from_millis(150))
            .start()
            .await
            .unwrap();
        let lies = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&lies);
        let liar = lying_node::start(devnet.address(), move |path, _| {
            if !path.ends_with("/getaccount") {
                return Lie::None;
            }
            let counted = Arc::clone(&counted);
            Lie::of(move |mut answer| {
                let fields = answer.as_object_mut();
                if fields.is_some_and(|fields| fields.remove("latest_opration_time").is_some()) {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
                answer
            })
        })
        .await;
        Self {
            devnet,
            liar,
            lies,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn account(&self) -> &DevnetAccount {
        &self.devnet.accounts()[0]
    }

    fn ledger(&self, name: &str) -> SqliteLedger {
        SqliteLedger::open(&self.folder.path().join(name), self.devnet.genesis_id()).unwrap()
    }

    fn chain(&self, urls: &[String]) -> NodeChain {
        let mut config = NodeConfig::new(self.devnet.url());
        config.urls = urls.to_vec();
        NodeChain {
            moves_time: true,
            ..NodeChain::new(Node::new(&config).unwrap())
        }
    }

    async fn with<T>(
        &self,
        ledger: &SqliteLedger,
        urls: &[String],
        body: impl AsyncFnOnce(&Engine<'_, NodeChain>) -> Result<T, SettleError>,
    ) -> T {
        let engine = Engine {
            ledger,
            chain: &self.chain(urls),
            clock: &SystemClock,
            account: self.account().address,
            permission_id: 0,
            holder: "test",
            report: &|_: &Event| {},
            random: &random_number,
        };
        body(&engine).await.unwrap()
    }

    async fn look(&self, ledger: &SqliteLedger, urls: &[String]) -> Plan {
        let policy = Policy::default();
        self.with(ledger, urls, async |engine| {
            engine.plan(TokenId::BTT, &policy).await
        })
        .await
    }

    async fn settle(&self, ledger: &SqliteLedger, urls: &[String]) {
        let key = &self.account().key;
        let policy = Policy::default();
        self.with(ledger, urls, async |engine| {
            engine.run(key, TokenId::BTT, &policy, |_| true).await
        })
        .await;
    }

    /// The debt is paid past the ledger.
    async fn pay_by_hand(&self, to: Address, nonce: i64) {
        let node = Node::new(&NodeConfig::new(self.devnet.url())).unwrap();
        let head = node
            .head(seedrail::tron::rpc::Finality::Head)
            .await
            .unwrap();
        let transfer = Contract::transfer(
            self.account().address,
            to,
            BTT,
            RawAmount::new(DEBT).unwrap(),
        );
        let draft = Draft::new(
            transfer,
            RefBlock::from(head.id()),
            head.timestamp.plus(Duration::from_secs(60)),
            UnixMs(SystemClock.now().0 + nonce),
        );
        let mut transaction = Transaction::from(draft.build());
        transaction.sign(&self.account().key).unwrap();
        node.broadcast(&transaction).await.unwrap();
        wait_until("it is solid", LIMIT, || {
            self.paid(to) == DEBT && {
                self.devnet.mine(1);
                self.devnet.solid_number() > head.number + 3
            }
        });
    }

    fn paid(&self, to: Address) -> i64 {
        self.devnet.balance(to, BTT).get()
    }

    fn both(&self) -> Vec<String> {
        vec![self.liar.url(), self.devnet.url()]
    }
}

/// The payer was away; meanwhile a debt was paid by hand. Of two nodes one hides it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_one_hides_no_payment_in_a_long_gap() {
    assert_eq!(paid_after_a_gap(2).await, DEBT);
}

/// What SECURITY.md says that a single node can do to an account that its ledger never saw used
/// elsewhere: without this, the test above would show nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_node_can_hide_the_first_payment_that_was_made_elsewhere() {
    assert_eq!(paid_after_a_gap(1).await, 2 * DEBT);
}

async fn paid_after_a_gap(nodes: usize) -> i64 {
    let site = Site::new().await;
    let ledger = site.ledger("ledger");
    let urls = &site.both()[..nodes];
    owe(&ledger, &site.account().key, 1, DEBT);
    site.look(&ledger, urls).await;
    // Its ledger knows who makes the blocks.
    site.devnet.mine(100);
    site.look(&ledger, urls).await;
    site.pay_by_hand(payee(1), 1).await;
    site.devnet.mine(QUIET);
    site.settle(&ledger, urls).await;
    assert!(site.lies.load(Ordering::SeqCst) > 0);
    site.paid(payee(1))
}

/// A single node hides it of an account that is known to be used outside of its ledger.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_node_hides_no_payment_of_an_account_that_is_used_elsewhere() {
    let site = Site::new().await;
    let ledger = site.ledger("ledger");
    let alone = [site.liar.url()];
    owe(&ledger, &site.account().key, 1, DEBT);
    owe(&ledger, &site.account().key, 2, DEBT);
    site.look(&ledger, &alone).await;
    site.pay_by_hand(payee(1), 1).await;
    site.look(&ledger, &alone).await;
    let cursor = ledger.cursor(site.account().address).unwrap().unwrap();
    assert!(cursor.foreign.is_some());
    site.pay_by_hand(payee(2), 2).await;
    site.devnet.mine(QUIET);
    site.settle(&ledger, &alone).await;
    assert_eq!([1, 2].map(|n| site.paid(payee(n))), [DEBT; 2]);
    assert!(site.lies.load(Ordering::SeqCst) > 0);
}

/// A ledger is lost, and its receipts come back from a peer; what was paid of them is on the
/// chain alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_node_hides_what_a_lost_ledger_paid() {
    for nodes in [1, 2] {
        let site = Site::new().await;
        let urls = &site.both()[..nodes];
        let lost = site.ledger("lost");
        owe(&lost, &site.account().key, 1, DEBT);
        site.settle(&lost, urls).await;
        assert_eq!(site.paid(payee(1)), DEBT);
        site.devnet.mine(30);
        let receipts = lost.issued_of(&[issued_pair(&site)]).unwrap();
        let rows: Vec<_> = receipts.iter().map(|row| *row.get()).collect();
        assert_eq!(rows.len(), 1);
        let ledger = site.ledger("new");
        site.look(&ledger, urls).await;
        ledger.store_evidence(&rows).unwrap();
        let epochs: Vec<(_, EpochId)> = rows.iter().map(|row| (row.pair, row.epoch)).collect();
        ledger.adopt(&epochs).unwrap();
        site.devnet.mine(100);
        site.settle(&ledger, urls).await;
        assert_eq!(site.paid(payee(1)), DEBT, "{nodes} nodes");
        assert!(site.lies.load(Ordering::SeqCst) > 0);
    }
}

fn issued_pair(site: &Site) -> seedrail::ledger::Pair {
    seedrail::ledger::Pair {
        payer: site.account().address,
        payee: payee(1),
        token: TokenId::BTT,
    }
}

/// A node that holds back what is final, and shows a head, hides what was done meanwhile.
#[test]
fn nothing_is_signed_while_what_is_final_is_long_behind_the_head() {
    let slot = Duration::from_secs(3);
    let world = World::new(71, Pace { slot, lag: 2 });
    world.owe(world::payee(0), 500);
    world.chain.hold_back_solid(true);
    world.chain.advance(Duration::from_secs(700));
    let refused = world.run().unwrap_err();
    assert!(
        matches!(refused, SettleError::SolidBehind { .. }),
        "{refused}"
    );
    let paid = || world.chain.paid(world.key.address(), world::payee(0)).0;
    assert_eq!(paid(), 0);
    world.chain.hold_back_solid(false);
    world.chain.advance(slot);
    assert!(world.run().unwrap());
    assert_eq!(paid(), 500);
}
