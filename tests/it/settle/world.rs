//! One payer with its key, its ledger and its debts on a simulated chain.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    task::{Context, Poll, Wake},
    time::Duration,
};

use seedrail::{
    ledger::{
        ChainBound, ChainLog, EpochId, LEARNING, Ledger, LedgerError, Pair, ReceiptRow, Receipts,
        Remainder, SqliteLedger, Transfers, Upkeep,
    },
    receipts::{Receipt, ReceiptDomain, SignedReceipt},
    settle::{Engine, Event, Policy, RecoverReport, SettleError},
    tron::{
        contract::Contract,
        keys::SecretKey,
        transaction::{Draft, RefBlock, Transaction},
    },
    types::{Address, BlockId, Clock, RawAmount, Salt, Token, TokenId, TxId, UnixMs},
};

use super::{
    crash::{CrashingLedger, Ending},
    sim::{Pace, Process, Rng, SimChain, View},
};

/// Whether a future said that it goes on.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Polls a future that waits for nothing but the simulation, as long as it goes
/// on; `None` when it stands still.
pub(crate) fn poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    let woken = Arc::new(Woken::default());
    let waker = Arc::clone(&woken).into();
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return Some(output),
            Poll::Pending if woken.0.swap(false, Ordering::SeqCst) => {}
            Poll::Pending => return None,
        }
    }
}

thread_local! {
    /// What happens in the lives of this thread, in their order, while somebody reads it.
    static LOG: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Notes what happens, if somebody reads it.
pub(crate) fn log(line: impl FnOnce() -> String) {
    LOG.with_borrow_mut(|log| {
        if let Some(log) = log {
            log.push(line());
        }
    });
}

/// All that happens meanwhile on this thread.
pub(crate) fn logged(life: impl FnOnce()) -> Vec<String> {
    LOG.set(Some(Vec::new()));
    life();
    LOG.take().expect("nobody else took it")
}

/// Drives a future that never waits for anything but the simulation.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let future = pin!(future);
    poll(future).expect("the simulation waits for something that never comes")
}

pub(crate) fn raw(amount: i64) -> RawAmount {
    RawAmount::new(amount).unwrap()
}

pub(crate) fn payee(index: u8) -> Address {
    Address::from_body([0x20 + index; 20])
}

/// The payer's clock, which may be wrong.
pub(crate) struct WrongClock<'a> {
    chain: &'a SimChain,
    ahead_ms: &'a AtomicI64,
}

impl Clock for WrongClock<'_> {
    fn now(&self) -> UnixMs {
        UnixMs(self.chain.clock.now().0 + self.ahead_ms.load(Ordering::SeqCst))
    }
}

/// 63 bits.
fn some_number(random: &Mutex<Rng>) -> i64 {
    i64::try_from(random.lock().unwrap().next() >> 1).unwrap()
}

fn numbered(ledger: SqliteLedger, random: &Arc<Mutex<Rng>>) -> SqliteLedger {
    let random = Arc::clone(random);
    ledger.numbered_by(Arc::new(move || some_number(&random)))
}

pub(crate) struct World<C = SimChain> {
    pub(crate) chain: C,
    pub(crate) ledger: SqliteLedger,
    pub(crate) key: SecretKey,
    random: Arc<Mutex<Rng>>,
    /// How far the payer's clock is ahead of the chain's.
    pub(crate) ahead_ms: AtomicI64,
    /// The newest receipt that it signed in each epoch.
    signed: Mutex<BTreeMap<(Pair, EpochId), ReceiptRow>>,
}

thread_local! {
    /// Made once a thread: an empty ledger of the simulated chain.
    static EMPTY: SqliteLedger = SqliteLedger::in_memory(genesis()).unwrap();
    /// Made once a thread, for each pace: the ledger of a payer who has learned who the
    /// witnesses are.
    static SETTLED_IN: RefCell<BTreeMap<Pace, SqliteLedger>> = RefCell::default();
}

fn genesis() -> BlockId {
    SimChain::new(0, 0).genesis_id()
}

/// So many blocks a payer looks at before he begins.
const FIRST_LOOK: u32 = 90;

/// The payer of all lives but the second of two.
pub(crate) fn payer() -> SecretKey {
    SecretKey::from_bytes(&[1; 32]).unwrap()
}

/// A ledger that was there while the chain's first blocks were made.
fn settled_in(pace: Pace) -> SqliteLedger {
    // Made by whichever life needs it first.
    let log = LOG.take();
    let ledger = made_once(pace);
    LOG.set(log);
    ledger
}

fn made_once(pace: Pace) -> SqliteLedger {
    SETTLED_IN.with_borrow_mut(|made| {
        let ledger = made.entry(pace).or_insert_with(|| {
            let world: World = World::on_chain(SimChain::new(0, pace), payer(), 0);
            world.settle_in();
            world.ledger
        });
        ledger.copy_in_memory().unwrap()
    })
}

impl World {
    /// A payer who has read the chain since its ledger was new.
    pub(crate) fn new(seed: u64, pace: impl Into<Pace>) -> Self {
        let chain = SimChain::new(seed, pace);
        let key = payer();
        chain.fund(key.address(), 1_000_000_000, 1_000_000);
        for index in 0..4 {
            chain.fund(payee(index), 1, 0);
        }
        chain.advance(chain.pace.slot * FIRST_LOOK);
        let ledger = settled_in(chain.pace);
        Self::with_ledger(chain, key, ledger, seed)
    }

    /// The ledger of another home of the same payer, from the beginning on.
    pub(crate) fn second_home(&self) -> SqliteLedger {
        self.numbered(settled_in(self.chain.pace))
    }
}

impl<C: std::borrow::Borrow<SimChain> + Sync> World<C> {
    pub(crate) fn on_chain(chain: C, key: SecretKey, seed: u64) -> Self {
        let empty = EMPTY.with(|empty| empty.copy_in_memory().unwrap());
        Self::with_ledger(chain, key, empty, seed)
    }

    fn with_ledger(chain: C, key: SecretKey, ledger: SqliteLedger, seed: u64) -> Self {
        let random = Arc::new(Mutex::new(Rng(seed ^ 0xabcd)));
        Self {
            chain,
            ledger: numbered(ledger, &random),
            key,
            random,
            ahead_ms: AtomicI64::new(0),
            signed: Mutex::default(),
        }
    }

    /// A ledger whose new rows have numbers that come from this life's seed.
    fn numbered(&self, ledger: SqliteLedger) -> SqliteLedger {
        numbered(ledger, &self.random)
    }

    /// Binds the ledger and learns who the witnesses are, however many slots they miss:
    /// until then anybody's block is believed.
    pub(crate) fn settle_in(&self) {
        let look = || {
            self.with(&self.ledger, async |engine| {
                engine.plan(TokenId::BTT, &Policy::default()).await
            })
            .unwrap();
        };
        look();
        loop {
            self.sim().advance(self.sim().pace.slot * FIRST_LOOK);
            look();
            let cursor = self.ledger.cursor(self.key.address()).unwrap().unwrap();
            if cursor.last.number() >= cursor.bound.number() + u64::from(LEARNING) {
                break;
            }
        }
    }

    /// A new ledger in the place of one that is lost, which has looked at the chain once.
    pub(crate) fn begin_anew(&mut self) {
        self.ledger = self.numbered(EMPTY.with(|empty| empty.copy_in_memory().unwrap()));
        self.settle_in();
    }

    pub(crate) fn sim(&self) -> &SimChain {
        self.chain.borrow()
    }

    /// From which block on every block was read.
    pub(crate) fn scanned_from(&self) -> u64 {
        let cursor = self.ledger.cursor(self.key.address()).unwrap();
        cursor.map_or(0, |cursor| cursor.from)
    }

    pub(crate) fn pair(&self, payee: Address) -> Pair {
        Pair {
            payer: self.key.address(),
            payee,
            token: TokenId::BTT,
        }
    }

    /// Issues a receipt that raises the debt to `payee` by `more`.
    pub(crate) fn owe(&self, payee: Address, more: i64) -> ReceiptRow {
        let pair = self.pair(payee);
        let since = self.sim().solid_now();
        let lease = self.ledger.claim_epoch(&pair, since).unwrap();
        let (sequence, amount) = lease.last.map_or((1, raw(more)), |last| {
            (
                last.sequence + 1,
                last.amount.checked_add(raw(more)).unwrap(),
            )
        });
        let receipt = Receipt {
            payer: pair.payer,
            payee,
            signer: pair.payer,
            vault: Address::ZERO,
            token: pair.token,
            epoch: lease.epoch,
            since_block: lease.since_block,
            sequence,
            amount,
            delivered_bytes: amount.unsigned(),
            issued_at: u64::try_from(self.sim().clock.now().secs()).unwrap(),
            grant: Salt::ZERO,
        };
        let domain = ReceiptDomain::new(self.ledger.genesis());
        let signed = SignedReceipt::sign(receipt, &domain, &self.key).unwrap();
        let row = signed.to_row();
        self.ledger
            .issue(&lease, &row, Remainder::default(), None)
            .unwrap();
        self.signed.lock().unwrap().insert((pair, row.epoch), row);
        row
    }

    /// What its peers hold of it.
    pub(crate) fn receipts(&self) -> Vec<ReceiptRow> {
        self.signed.lock().unwrap().values().copied().collect()
    }

    /// Its peers bring receipts back, and the user takes them over.
    pub(crate) fn adopt(&self, receipts: &[ReceiptRow]) {
        let mut epochs = Vec::new();
        for row in receipts {
            self.ledger.store_evidence(&[*row]).unwrap();
            epochs.push((row.pair, row.epoch));
        }
        self.ledger.adopt(&epochs).unwrap();
    }

    /// The user says that he knows every transfer made outside of the ledger.
    pub(crate) fn adopt_transfers(&self) {
        let payer = self.key.address();
        for row in self.ledger.outgoing(payer, 0, u32::MAX).unwrap() {
            if !row.ours {
                self.ledger
                    .adopt_transfer(row.transfer.txid, "known")
                    .unwrap();
            }
        }
    }

    pub(crate) fn random(&self) -> Result<i64, SettleError> {
        Ok(some_number(&self.random))
    }

    /// With an engine of this process on this ledger.
    pub(crate) fn on<T>(
        &self,
        ledger: &dyn Ledger,
        process: &Process,
        body: impl AsyncFnOnce(&Engine<'_, View<'_>>) -> T,
    ) -> T {
        block_on(self.begin(ledger, process, body))
    }

    /// [`on`](Self::on), to be polled by the caller.
    pub(crate) async fn begin<T>(
        &self,
        ledger: &dyn Ledger,
        process: &Process,
        body: impl AsyncFnOnce(&Engine<'_, View<'_>>) -> T,
    ) -> T {
        let random = || self.random();
        let chain = View {
            chain: self.sim(),
            process,
        };
        let clock = WrongClock {
            chain: self.sim(),
            ahead_ms: &self.ahead_ms,
        };
        let engine = Engine {
            ledger,
            chain: &chain,
            clock: &clock,
            account: self.key.address(),
            permission_id: 0,
            holder: "test",
            report: &|event: &Event| log(|| format!("{} {event:?}", self.sim().clock.now().0)),
            random: &random,
        };
        body(&engine).await
    }

    pub(crate) fn with<T>(
        &self,
        ledger: &dyn Ledger,
        body: impl AsyncFnOnce(&Engine<'_, View<'_>>) -> T,
    ) -> T {
        self.on(ledger, &Process::default(), body)
    }

    pub(crate) fn run(&self) -> Result<bool, SettleError> {
        self.run_until(None)
    }

    /// Runs once on a process that may come to an end; `true` if it came to its
    /// own.
    pub(crate) fn run_until(&self, end: Option<(u64, Ending)>) -> Result<bool, SettleError> {
        let process = Process::default();
        let ledger = CrashingLedger::new(self.ledger.another().unwrap(), end, &process);
        let done = self.on(&ledger, &process, async |engine| {
            engine
                .run(&self.key, TokenId::BTT, &Policy::default(), |_| true)
                .await
        });
        forgiving(done.map(|_| ()), &process)
    }

    /// Runs at an honest node. Where every witness changed since the ledger looked, it can tell
    /// no chain from an invented one: then its person, who knows the node, says so.
    pub(crate) fn run_calmly(&self) -> Result<bool, SettleError> {
        let policy = Policy::default();
        let done = self.with(&self.ledger, async |engine| {
            let run = engine.run(&self.key, TokenId::BTT, &policy, |_| true);
            run.await.map(|_| ())
        });
        let Err(SettleError::Ledger(LedgerError::Strangers { .. })) = &done else {
            return forgiving(done, &Process::default());
        };
        let known = self.ledger.witnesses().unwrap();
        let is_known = |(witness, signer): &(Address, Address)| {
            let mut rows = known.iter();
            rows.any(|row| row.address == *witness && row.signer == *signer)
        };
        if self.sim().witnesses().iter().any(is_known) {
            // Its turn comes.
            return Ok(false);
        }
        let recover = async |engine: &Engine<'_, View<'_>>| engine.recover(true).await;
        self.with(&self.ledger, recover).unwrap();
        self.run()
    }

    /// Recovers a ledger that was marked as a copy.
    pub(crate) fn recover(&self) -> RecoverReport {
        self.with(&self.ledger, async |engine| engine.recover(false).await)
            .unwrap()
    }

    pub(crate) fn check(&self, owed: &[i64], what: &str) {
        let payer = self.key.address();
        for (index, owed) in (0..).zip(owed) {
            let (paid, _) = self.sim().paid(payer, payee(index));
            assert_eq!(
                paid, *owed,
                "{what}: payee {index} was paid twice or not at all"
            );
            let position = self.ledger.position(&self.pair(payee(index))).unwrap();
            assert_eq!(
                position.net(),
                0,
                "{what}: the ledger does not know what payee {index} was paid"
            );
            assert_eq!(
                position.range_end,
                raw(paid),
                "{what}: the ranges of payee {index} do not end where the chain's payments do"
            );
            assert_eq!(
                position.live,
                raw(0),
                "{what}: something is still on its way to payee {index}"
            );
        }
        self.agrees(what);
    }

    /// Ledger and chain agree.
    pub(crate) fn agrees(&self, what: &str) {
        let differences = self
            .with(&self.ledger, async |engine| engine.audit().await)
            .unwrap();
        assert!(differences.is_empty(), "{what}: {differences:?}");
        let contradictions = self.ledger.contradictions().unwrap();
        assert!(contradictions.is_empty(), "{what}: {contradictions:?}");
    }

    /// A transfer by hand, past the ledger.
    pub(crate) fn by_hand(&self, to: Address, amount: i64) -> TxId {
        self.by_hand_of(std::slice::from_ref(&self.key), to, amount)
    }

    /// The same, signed by others.
    pub(crate) fn by_hand_of(&self, keys: &[SecretKey], to: Address, amount: i64) -> TxId {
        let head = self.sim().head_now();
        let draft = Draft::new(
            Contract::transfer(
                self.key.address(),
                to,
                Token::Trc10(TokenId::BTT),
                raw(amount),
            ),
            RefBlock::from(head.id),
            head.time.plus(Duration::from_secs(60)),
            UnixMs(77),
        );
        let mut transaction = Transaction::from(draft.build());
        for key in keys {
            transaction.sign(key).unwrap();
        }
        let txid = transaction.txid();
        self.sim().submit(transaction);
        txid
    }
}

/// Whether a process came to its end: one that was killed, whose node was gone
/// for too long, or whose clock was wrong, did not, and is run again.
pub(crate) fn forgiving(
    done: Result<(), SettleError>,
    process: &Process,
) -> Result<bool, SettleError> {
    match done {
        Ok(()) => Ok(true),
        Err(_) if process.dead.load(Ordering::SeqCst) => Ok(false),
        Err(SettleError::Node(_) | SettleError::ClockSkew { .. }) => Ok(false),
        // The node's blocks were garbage for too long.
        Err(SettleError::Ledger(
            seedrail::ledger::LedgerError::NotLinked { .. }
            | seedrail::ledger::LedgerError::Strangers { .. },
        )) => Ok(false),
        Err(error) => Err(error),
    }
}
