//! A chain that is all in memory, with a seed: slots, forks, lag, witnesses, and
//! nodes in front of it that lose, double, lag, forget, invent and lie. Time
//! passes only in `pause`.

#![expect(clippy::indexing_slicing, reason = "a panic is how a test fails")]

use std::{
    collections::{BTreeMap, HashMap},
    future::poll_fn,
    sync::{
        Arc, LazyLock, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Poll, Waker},
    time::Duration,
};

use seedrail::{
    ledger::{AttemptRow, Durable},
    settle::{Chain, Head, LastAct},
    tron::{
        block::{Block, BlockHeader, merkle_root},
        contract::Transfer,
        fees::IssuerBandwidth,
        keys::SecretKey,
        permission::Permissions,
        rpc::{Account, AccountResources, ChainParameters, Finality, NodeError, StakeYield},
        transaction::{RefBlock, Transaction, TransactionResult},
        verified::{Sealed, Signers, Verified},
    },
    types::{Address, BlockId, Clock, ManualClock, RawAmount, Sun, Token, TokenId, TxId, UnixMs},
};

use super::world::log;

/// When the simulated chain begins.
pub(crate) const START: UnixMs = UnixMs(1_790_000_000_000);

/// How a chain goes: how often a block comes, and how many the solid head is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pace {
    pub(crate) slot: Duration,
    pub(crate) lag: usize,
}

impl From<usize> for Pace {
    /// As TRON's, but for the lag.
    fn from(lag: usize) -> Self {
        let slot = TRONS_SLOT;
        Self { slot, lag }
    }
}

impl Pace {
    /// One life of eight has as many blocks as TRON has; of the others' each stands for
    /// four, in the same time.
    pub(crate) fn drawn(rng: &mut Rng) -> Self {
        let lag = usize::try_from(1 + rng.below(18)).unwrap();
        if rng.below(8) == 0 {
            return Self::from(lag);
        }
        Self {
            slot: TRONS_SLOT * 4,
            lag: lag.div_ceil(4),
        }
    }

    fn blocks_in(&self, seconds: u64) -> u64 {
        (seconds / self.slot.as_secs()).max(1)
    }
}

const TRONS_SLOT: Duration = Duration::from_secs(3);

/// More questions than a life of a few hours needs; most need a thousand.
const MOST_STEPS: u64 = 20_000;

/// A small generator, the same everywhere (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True `per_mille` times in a thousand.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    pub(crate) fn seconds(&mut self, bound: u64) -> Duration {
        Duration::from_secs(self.below(bound))
    }
}

/// A liar invents no more blocks at a time.
const MOST_INVENTED: u64 = 8;

/// As many witnesses as TRON elects.
const ELECTED: usize = 27;

/// So many solid blocks are given at once.
const SOLID_AT_ONCE: usize = 50;

/// How often each fault happens, in a thousand. All zero: a perfect chain.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// A broadcast is answered "accepted" and forgotten.
    pub(crate) lost: u64,
    /// A broadcast is delivered, and the answer is a time-out.
    pub(crate) unanswered: u64,
    /// A broadcast is delivered, and answered with a refusal.
    pub(crate) refused: u64,
    /// A broadcast is delivered now, and once more later by the network.
    pub(crate) doubled: u64,
    /// A broadcast is not delivered, and answered as if the node had it already.
    pub(crate) cached: u64,
    /// The node takes nothing for a while.
    pub(crate) busy: u64,
    /// A pending transaction waits for a later block.
    pub(crate) held_back: u64,
    /// A slot has no block.
    pub(crate) missed: u64,
    /// The unsolid end of the chain is replaced.
    pub(crate) forked: u64,
    /// A witness that was never seen is elected.
    pub(crate) elected: u64,
    /// A witness puts another key into its permission.
    pub(crate) rekeyed: u64,
    /// Solid blocks are answered with none, though there are some.
    pub(crate) empty: u64,
    /// The blocks answered are invented under the names of true witnesses.
    pub(crate) impostors: u64,
    /// A question gets no answer.
    pub(crate) failing: u64,
    /// Solid blocks are answered late: none, or one only.
    pub(crate) lagging: u64,
    /// Old blocks are gone from the node that answers.
    pub(crate) pruned: u64,
    /// The blocks answered do not follow each other.
    pub(crate) garbage: u64,
    /// The blocks answered are invented, by witnesses invented with them.
    pub(crate) invented: u64,
    /// The answer is another node's, which is behind.
    pub(crate) split: u64,
    /// The newest block is invented, and holds all that is pending.
    pub(crate) lying: u64,
    /// The process sleeps for minutes, anywhere.
    pub(crate) suspended: u64,
}

impl Faults {
    /// Every fault, often.
    pub(crate) fn storm(rng: &mut Rng) -> Self {
        let mut some = |most: u64| rng.below(most + 1);
        Self {
            lost: some(300),
            unanswered: some(300),
            refused: some(200),
            doubled: some(300),
            cached: some(200),
            busy: some(100),
            held_back: some(700),
            missed: some(400),
            forked: some(100),
            elected: some(20),
            rekeyed: some(5),
            empty: some(100),
            impostors: some(50),
            failing: some(100),
            lagging: some(500),
            pruned: some(50),
            garbage: some(50),
            invented: some(100),
            split: some(200),
            lying: some(300),
            suspended: some(20),
        }
    }
}

/// How often each thing did happen, by name.
pub(crate) type Counts = BTreeMap<&'static str, u64>;

#[derive(Debug, Clone, Default)]
struct State {
    trx: BTreeMap<Address, i64>,
    tokens: BTreeMap<(Address, TokenId), i64>,
    latest: BTreeMap<Address, UnixMs>,
}

/// A transaction, read once.
#[derive(Debug, Clone)]
struct Pending {
    txid: TxId,
    transaction: Transaction,
    ref_block: RefBlock,
    expiration: UnixMs,
    transfer: Transfer,
}

impl Pending {
    fn read(transaction: Transaction) -> Self {
        let draft = transaction.raw_data().unwrap().into_draft().unwrap();
        Self {
            txid: transaction.txid(),
            ref_block: draft.ref_block,
            expiration: draft.expiration,
            transfer: draft.contract.as_transfer().unwrap(),
            transaction,
        }
    }
}

struct Made {
    /// Not signed yet.
    block: Block,
    signer: usize,
    /// Made before anything happened to the chain.
    is_first: bool,
    /// Signed and believed, once somebody asks for it.
    believed: OnceLock<Verified<Block>>,
    id: BlockId,
    held: Vec<Pending>,
    state: State,
}

struct Inner {
    seed: u64,
    most_steps: u64,
    rng: Rng,
    faults: Faults,
    counts: Counts,
    /// From genesis to the head.
    blocks: Vec<Made>,
    /// In which block each transaction of the chain is.
    place: HashMap<TxId, u64>,
    pool: Vec<Pending>,
    /// What the network may still deliver: (when, transaction).
    floating: Vec<(UnixMs, Pending)>,
    next_slot: UnixMs,
    pace: Pace,
    fork_salt: u8,
    solid_floor: usize,
    witnesses: Vec<Witness>,
    next_key: usize,
    /// Whose signatures count for accounts that changed them.
    permissions: BTreeMap<Address, Permissions>,
    most_pending: usize,
    /// So many solid blocks are given at once.
    at_once: usize,
    /// Nothing has happened to it yet.
    is_new: bool,
    /// Nothing more is shown as solid.
    holds_back: bool,
}

/// The simulated chain.
pub(crate) struct SimChain {
    inner: Mutex<Inner>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) pace: Pace,
}

/// A process that asks the chain: it may be killed, or stand still.
#[derive(Default)]
pub(crate) struct Process {
    /// Set by a crash: nothing is answered any more.
    pub(crate) dead: Arc<AtomicBool>,
    /// How often it asked.
    pub(crate) asked: AtomicU64,
    /// From this question on it stands still, until it is thawed.
    freeze_at: Option<u64>,
    thawed: AtomicBool,
    frozen: Mutex<Vec<Waker>>,
}

impl Process {
    /// One that stands still from its question number `at` on.
    pub(crate) fn freezing(at: u64) -> Self {
        Self {
            freeze_at: Some(at),
            ..Self::default()
        }
    }

    async fn step(&self) {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        if self.freeze_at.is_some_and(|at| asked >= at) {
            poll_fn(|context| {
                if self.thawed.load(Ordering::SeqCst) {
                    Poll::Ready(())
                } else {
                    self.frozen.lock().unwrap().push(context.waker().clone());
                    Poll::Pending
                }
            })
            .await;
        }
    }

    /// It goes on when it is polled next.
    pub(crate) fn thaw(&self) {
        self.thawed.store(true, Ordering::SeqCst);
        for waker in self.frozen.lock().unwrap().drain(..) {
            waker.wake();
        }
    }
}

/// The chain as one process sees it.
pub(crate) struct View<'a> {
    pub(crate) chain: &'a SimChain,
    pub(crate) process: &'a Process,
}

/// A witness: the number of its key, and of the key that signs its blocks.
#[derive(Debug, Clone, Copy)]
struct Witness {
    own: usize,
    signer: usize,
}

/// Keys of witnesses and of those who would be some; made once for all seeds.
fn key(number: usize) -> &'static SecretKey {
    static KEYS: LazyLock<Vec<SecretKey>> = LazyLock::new(|| {
        (1..=250)
            .map(|byte| SecretKey::from_bytes(&[byte; 32]).unwrap())
            .collect()
    });
    &KEYS[number % KEYS.len()]
}

/// The first of the keys that no witness has.
const LIARS: usize = 225;

fn header(
    number: u64,
    time: UnixMs,
    parent: BlockId,
    salt: u8,
    witness: Address,
    transactions: &[Transaction],
) -> BlockHeader {
    BlockHeader {
        number,
        timestamp: time,
        tx_trie_root: merkle_root(transactions),
        parent_hash: parent,
        witness_address: witness.to_bytes().to_vec(),
        version: 32,
        account_state_root: vec![salt],
    }
}

/// A block as a node shows it that takes this key for its witness's.
fn believed(mut block: Block, signer: &SecretKey) -> Verified<Block> {
    let signers = Signers::default();
    if block.header.number > 0 {
        block.witness_signature = block.header.sign(signer).to_vec();
        signers.learn(block.header.witness().unwrap(), signer.address());
    }
    Sealed::block(block.id(), block)
        .and_then(|sealed| sealed.believe(&signers))
        .unwrap()
}

/// A block that a node made up, and whose key signs it when it is shown.
struct Invented {
    block: Block,
    liar: &'static SecretKey,
}

impl Invented {
    fn believed(self) -> Verified<Block> {
        believed(self.block, self.liar)
    }
}

/// The first blocks are the same in all lives: signed and believed once.
static FIRST: LazyLock<Mutex<HashMap<BlockId, Verified<Block>>>> = LazyLock::new(Mutex::default);

/// So many of them are shared.
const SHARED: u64 = 220;

impl Made {
    fn believed(&self) -> Verified<Block> {
        let make = || believed(self.block.clone(), key(self.signer));
        let make = || {
            if self.block.header.number > SHARED || !self.is_first {
                return make();
            }
            let mut first = FIRST.lock().unwrap();
            first.entry(self.id).or_insert_with(make).clone()
        };
        self.believed.get_or_init(make).clone()
    }
}

impl SimChain {
    /// This life waits for days, and may ask as often as that takes.
    pub(crate) fn be_patient(&self) {
        self.inner().most_steps = u64::MAX;
    }

    pub(crate) fn new(seed: u64, pace: impl Into<Pace>) -> Self {
        let pace = pace.into();
        // The second signs with the key of its permission.
        let witnesses: Vec<_> = [(0, 0), (1, 3), (2, 2)]
            .map(|(own, signer)| Witness { own, signer })
            .to_vec();
        let parent = BlockId::from_bytes([0; 32]);
        let genesis = Block {
            header: header(0, START, parent, 0, key(0).address(), &[]),
            witness_signature: Vec::new(),
            transactions: Vec::new(),
        };
        let chain = Self {
            inner: Mutex::new(Inner {
                seed,
                most_steps: MOST_STEPS,
                rng: Rng(seed),
                faults: Faults::default(),
                counts: Counts::new(),
                blocks: vec![Made {
                    id: genesis.id(),
                    block: genesis,
                    signer: 0,
                    is_first: true,
                    believed: OnceLock::new(),
                    held: Vec::new(),
                    state: State::default(),
                }],
                place: HashMap::new(),
                pool: Vec::new(),
                floating: Vec::new(),
                next_slot: START.plus(pace.slot),
                pace,
                fork_salt: 1,
                solid_floor: 0,
                witnesses,
                next_key: 4,
                permissions: BTreeMap::new(),
                most_pending: 0,
                at_once: SOLID_AT_ONCE,
                is_new: true,
                holds_back: false,
            }),
            clock: Arc::new(ManualClock::new(START)),
            pace,
        };
        for _ in 0..pace.lag + 2 {
            chain.advance(pace.slot);
        }
        chain
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub(crate) fn genesis_id(&self) -> BlockId {
        self.inner().blocks[0].id
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        let inner = &mut *self.inner();
        inner.faults = faults;
        inner.is_new = false;
    }

    pub(crate) fn faults(&self) -> Faults {
        self.inner().faults
    }

    /// How many transactions waited for a block at most.
    pub(crate) fn most_pending(&self) -> usize {
        self.inner().most_pending
    }

    pub(crate) fn counts(&self) -> Counts {
        self.inner().counts.clone()
    }

    /// Gives an account what it needs, in every state back to genesis.
    pub(crate) fn fund(&self, address: Address, trx: i64, token: i64) {
        for made in &mut self.inner().blocks {
            *made.state.trx.entry(address).or_default() += trx;
            *made
                .state
                .tokens
                .entry((address, TokenId::BTT))
                .or_default() += token;
        }
    }

    /// From now on no more solid blocks are given at once.
    pub(crate) fn answer_at_most(&self, blocks: usize) {
        self.inner().at_once = blocks;
    }

    /// Whether no node shows anything more as solid.
    pub(crate) fn hold_back_solid(&self, holds_back: bool) {
        self.inner().holds_back = holds_back;
    }

    /// Who makes the blocks now, each with the key that signs them.
    pub(crate) fn witnesses(&self) -> Vec<(Address, Address)> {
        let inner = self.inner();
        let all = inner.witnesses.iter();
        all.map(|one| (key(one.own).address(), key(one.signer).address()))
            .collect()
    }

    /// Elects a witness in the place of this one, or beside the others.
    pub(crate) fn elect(&self, place: usize) {
        let inner = &mut *self.inner();
        inner.is_new = false;
        inner.elect(place);
    }

    /// A witness puts another key into its permission.
    pub(crate) fn rekey(&self, place: usize) {
        let inner = &mut *self.inner();
        inner.is_new = false;
        inner.witnesses[place].signer = inner.new_key();
    }

    /// From now on these keys sign for an account; for others it is not looked at.
    pub(crate) fn share(&self, account: Address, permissions: Permissions) {
        self.inner().permissions.insert(account, permissions);
    }

    /// A transfer made outside of settlement.
    pub(crate) fn submit(&self, transaction: Transaction) {
        self.inner().pool.push(Pending::read(transaction));
    }

    pub(crate) fn head_now(&self) -> Head {
        self.inner().head(0)
    }

    /// The solid head's number.
    pub(crate) fn solid_now(&self) -> u64 {
        self.solid_index(&self.inner()) as u64
    }

    /// The solid head's time.
    pub(crate) fn solid_time(&self) -> UnixMs {
        let inner = self.inner();
        inner.blocks[self.solid_index(&inner)]
            .block
            .header
            .timestamp
    }

    /// Σ solid transfers `payer` → `payee` in BTT, by the chain itself, and the
    /// number of them.
    pub(crate) fn paid(&self, payer: Address, payee: Address) -> (i64, usize) {
        let inner = self.inner();
        let mut sum = 0;
        let mut count = 0;
        for made in &inner.blocks[..=self.solid_index(&inner)] {
            for held in &made.held {
                let transfer = &held.transfer;
                if transfer.from == payer
                    && transfer.to == payee
                    && transfer.token == Token::Trc10(TokenId::BTT)
                {
                    sum += transfer.amount.get();
                    count += 1;
                }
            }
        }
        (sum, count)
    }

    /// In how many solid transfers `payer` paid `payee` this much BTT.
    pub(crate) fn times_paid(&self, payer: Address, payee: Address, amount: i64) -> usize {
        let inner = self.inner();
        let solid = &inner.blocks[..=self.solid_index(&inner)];
        let held = solid.iter().flat_map(|made| &made.held);
        held.filter(|held| {
            let transfer = &held.transfer;
            transfer.from == payer
                && transfer.to == payee
                && transfer.token == Token::Trc10(TokenId::BTT)
                && transfer.amount.get() == amount
        })
        .count()
    }

    fn solid_index(&self, inner: &Inner) -> usize {
        if inner.holds_back {
            return inner.solid_floor;
        }
        (inner.blocks.len() - 1)
            .saturating_sub(self.pace.lag)
            .max(inner.solid_floor)
    }

    /// Time passes and the chain goes on.
    pub(crate) fn advance(&self, time: Duration) {
        self.clock.advance(time);
        let now = self.clock.now();
        let inner = &mut *self.inner();
        while inner.next_slot <= now {
            let slot = inner.next_slot;
            inner.next_slot = slot.plus(self.pace.slot);
            if inner.roll("missed slots", inner.faults.missed) {
                continue;
            }
            if inner.rng.chance(inner.faults.forked) {
                self.fork(inner);
            }
            inner.produce(slot);
            let solid = self.solid_index(inner);
            inner.solid_floor = solid;
        }
    }

    /// Takes some unsolid blocks off; what was in them floats about.
    fn fork(&self, inner: &mut Inner) {
        let unsolid = inner.blocks.len() - 1 - self.solid_index(inner);
        if unsolid == 0 {
            return;
        }
        let depth = 1 + inner.rng.below(unsolid as u64);
        *inner.counts.entry("forks").or_default() += 1;
        inner.fork_salt = inner.fork_salt.wrapping_add(1).max(1);
        for _ in 0..depth {
            let made = inner.blocks.pop().unwrap();
            for held in made.held {
                inner.place.remove(&held.txid);
                let again = inner
                    .next_slot
                    .plus(Duration::from_secs(inner.rng.below(90)));
                if inner.rng.chance(500) {
                    inner.floating.push((again, held));
                }
            }
        }
    }
}

impl Inner {
    /// Whether a fault happens now; counts it.
    fn roll(&mut self, name: &'static str, per_mille: u64) -> bool {
        let happens = self.rng.chance(per_mille);
        if happens {
            *self.counts.entry(name).or_default() += 1;
        }
        happens
    }

    /// How many blocks an answer has that would have so many: now and then one or none.
    fn cut(&mut self, most: usize) -> usize {
        if self.roll("short answers", self.faults.lagging) {
            usize::try_from(self.rng.below(2)).unwrap()
        } else {
            most
        }
    }

    fn failure(&mut self) -> Result<(), NodeError> {
        if self.roll("unanswered questions", self.faults.failing) {
            return Err(NodeError::Retry {
                url: "sim".to_owned(),
                reason: "no answer".to_owned(),
                after: None,
            });
        }
        Ok(())
    }

    /// The head, so many blocks ago.
    fn head(&self, behind: usize) -> Head {
        let made = &self.blocks[(self.blocks.len() - 1).saturating_sub(behind)];
        Head {
            id: made.id,
            time: made.block.header.timestamp,
        }
    }

    /// How far behind the node is that answers.
    fn behind(&mut self) -> usize {
        if self.roll("answers of a node behind", self.faults.split) {
            let most = self.pace.blocks_in(24);
            1 + usize::try_from(self.rng.below(most)).unwrap()
        } else {
            0
        }
    }

    fn produce(&mut self, slot: UnixMs) {
        let parent = self.blocks.last().unwrap();
        let mut state = parent.state.clone();
        let (parent_id, parent_time) = (parent.id, parent.block.header.timestamp);
        let number = parent.block.header.number + 1;
        let (arrived, floating): (Vec<_>, Vec<_>) = std::mem::take(&mut self.floating)
            .into_iter()
            .partition(|(when, _)| *when <= slot);
        self.floating = floating;
        self.pool
            .extend(arrived.into_iter().map(|(_, pending)| pending));
        let mut held = Vec::new();
        for pending in std::mem::take(&mut self.pool) {
            if self.roll("held back", self.faults.held_back) {
                self.pool.push(pending);
                continue;
            }
            if self.place.contains_key(&pending.txid) {
                continue;
            }
            if self.apply(&mut state, &pending, parent_time).is_ok() {
                if pending.expiration <= slot {
                    *self.counts.entry("included after expiration").or_default() += 1;
                }
                self.place.insert(pending.txid, number);
                held.push(pending);
            }
        }
        let transactions: Vec<_> = held
            .iter()
            .map(|pending| {
                let mut transaction = pending.transaction.clone();
                transaction.set_results(vec![TransactionResult::SUCCESS]);
                transaction
            })
            .collect();
        if self.roll("new witnesses", self.faults.elected) {
            let last = self.witnesses.len();
            let place = if last < ELECTED {
                last
            } else {
                usize::try_from(self.rng.below(last as u64)).unwrap()
            };
            self.elect(place);
        }
        let turn = usize::try_from(number).unwrap() % self.witnesses.len();
        if self.roll("changed keys", self.faults.rekeyed) {
            let signer = self.new_key();
            self.witnesses[turn].signer = signer;
        }
        let Witness { own, signer } = self.witnesses[turn];
        let salt = self.fork_salt;
        let witness = key(own).address();
        let block = Block {
            header: header(number, slot, parent_id, salt, witness, &transactions),
            witness_signature: Vec::new(),
            transactions,
        };
        log(|| format!("block {}", block.id()));
        self.blocks.push(Made {
            id: block.id(),
            block,
            signer,
            is_first: self.is_new && held.is_empty(),
            believed: OnceLock::new(),
            held,
            state,
        });
    }

    /// The chain's own rules for a transfer: signatures, reference, expiration against the
    /// parent's time, balance.
    fn apply(
        &self,
        state: &mut State,
        pending: &Pending,
        parent_time: UnixMs,
    ) -> Result<(), &'static str> {
        if let Some(permissions) = self.permissions.get(&pending.transfer.from)
            && !permissions
                .approval(&pending.transaction)
                .unwrap()
                .is_enough()
        {
            return Err("SIGERROR");
        }
        if pending.expiration <= parent_time {
            return Err("TRANSACTION_EXPIRATION_ERROR");
        }
        // The chains here are shorter than the 65,536 blocks after which the low
        // bytes of a number come again.
        let number = usize::from(u16::from_be_bytes(pending.ref_block.bytes));
        let known = self
            .blocks
            .get(number)
            .is_some_and(|made| RefBlock::from(made.id) == pending.ref_block);
        if !known {
            return Err("TAPOS_ERROR");
        }
        let transfer = &pending.transfer;
        let amount = transfer.amount.get();
        let (from, to) = match transfer.token {
            Token::Trx => (
                state.trx.get(&transfer.from).copied(),
                state.trx.get(&transfer.to).copied(),
            ),
            Token::Trc10(id) => (
                state.tokens.get(&(transfer.from, id)).copied(),
                state.tokens.get(&(transfer.to, id)).copied(),
            ),
        };
        let left = from.unwrap_or(0) - amount;
        if left < 0 {
            return Err("CONTRACT_VALIDATE_ERROR");
        }
        let right = to.unwrap_or(0) + amount;
        match transfer.token {
            Token::Trx => {
                state.trx.insert(transfer.from, left);
                state.trx.insert(transfer.to, right);
            }
            Token::Trc10(id) => {
                state.tokens.insert((transfer.from, id), left);
                state.tokens.insert((transfer.to, id), right);
                state.trx.entry(transfer.to).or_default();
            }
        }
        state.latest.insert(transfer.from, parent_time);
        Ok(())
    }

    fn elect(&mut self, place: usize) {
        let own = self.new_key();
        let elected = Witness { own, signer: own };
        match self.witnesses.get_mut(place) {
            Some(witness) => *witness = elected,
            None => self.witnesses.push(elected),
        }
    }

    /// A key that no witness has had.
    fn new_key(&mut self) -> usize {
        self.next_key = (self.next_key + 1) % LIARS;
        self.next_key.max(4)
    }

    /// Blocks that a node invents on top of `parent`, in a hurry: by nobody, or, as an
    /// impostor, under the names of true witnesses, of whose keys the node lies, too.
    fn invent(&mut self, parent: &Block, most: u64, transactions: &[Transaction]) -> Vec<Invented> {
        let mut blocks: Vec<Invented> = Vec::new();
        let step = 3 + self.rng.below(200);
        let impostor = self.roll("impostors", self.faults.impostors);
        for _ in 0..1 + self.rng.below(most) {
            let parent = blocks.last().map_or(parent, |last| &last.block);
            let time = parent.header.timestamp.plus(Duration::from_secs(step));
            let liar = key(LIARS + usize::try_from(self.rng.below(20)).unwrap());
            let witness = if impostor {
                let turn = self.rng.below(self.witnesses.len() as u64);
                key(self.witnesses[usize::try_from(turn).unwrap()].own).address()
            } else {
                liar.address()
            };
            let number = parent.header.number + 1;
            let block = Block {
                header: header(number, time, parent.id(), 0xff, witness, transactions),
                witness_signature: Vec::new(),
                transactions: transactions.to_vec(),
            };
            blocks.push(Invented { block, liar });
        }
        blocks
    }

    /// Takes one of the blocks out, or puts one in its place that does not fit.
    fn spoil(&mut self, blocks: &mut Vec<Verified<Block>>) {
        if !self.roll("garbage blocks", self.faults.garbage) || blocks.is_empty() {
            return;
        }
        let place = usize::try_from(self.rng.below(blocks.len() as u64)).unwrap();
        if self.rng.chance(500) {
            blocks.remove(place);
            return;
        }
        let mut block = Verified::clone(&blocks[place]).into_inner();
        block.header.parent_hash = BlockId::from_bytes([9; 32]);
        let liar = key(LIARS);
        block.header.witness_address = liar.address().to_bytes().to_vec();
        blocks[place] = believed(block, liar);
    }
}

fn unknown(reason: &str) -> NodeError {
    NodeError::Unknown {
        url: "sim".to_owned(),
        reason: reason.to_owned(),
    }
}

fn refused(code: &str) -> NodeError {
    NodeError::Refused {
        url: "sim".to_owned(),
        code: code.to_owned(),
        message: "said the node".to_owned(),
    }
}

impl View<'_> {
    /// A question that may get no answer.
    async fn ask(&self) -> Result<std::sync::MutexGuard<'_, Inner>, NodeError> {
        self.process.step().await;
        let mut inner = self.chain.inner();
        let (seed, most) = (inner.seed, inner.most_steps);
        let steps = inner.counts.entry("steps").or_default();
        *steps += 1;
        assert!(*steps < most, "seed {seed}: it goes on for ever");
        log(|| format!("{} question {steps}", self.chain.clock.now().0));
        inner.failure()?;
        Ok(inner)
    }

    /// Now and then the process sleeps for minutes.
    fn doze(&self) {
        let sleep = {
            let inner = &mut *self.chain.inner();
            let suspended = inner.faults.suspended;
            inner
                .roll("suspended processes", suspended)
                .then(|| inner.rng.seconds(900))
        };
        if let Some(time) = sleep {
            self.chain.advance(time);
        }
    }
}

impl Chain for View<'_> {
    async fn genesis(&self) -> Result<BlockId, NodeError> {
        self.process.step().await;
        Ok(self.chain.genesis_id())
    }

    async fn head(&self) -> Result<Head, NodeError> {
        let mut inner = self.ask().await?;
        let behind = inner.behind();
        Ok(inner.head(behind))
    }

    async fn solid_head(&self) -> Result<Head, NodeError> {
        let inner = &mut *self.ask().await?;
        let behind = inner.behind();
        let index = self.chain.solid_index(inner).saturating_sub(behind);
        let block = inner.blocks[index].block.clone();
        if inner.roll("invented heads", inner.faults.invented) {
            let invented = inner
                .invent(&block, MOST_INVENTED, &[])
                .pop()
                .unwrap()
                .believed();
            return Ok(Head {
                id: invented.id(),
                time: invented.header.timestamp,
            });
        }
        Ok(Head {
            id: block.id(),
            time: block.header.timestamp,
        })
    }

    async fn head_blocks(&self, first: u64) -> Result<Vec<Verified<Block>>, NodeError> {
        let inner = &mut *self.ask().await?;
        let first = usize::try_from(first).unwrap();
        let end = inner.blocks.len().saturating_sub(inner.behind());
        let keep = inner.cut(usize::MAX);
        let real = inner.blocks.get(first..end).unwrap_or_default().iter();
        let mut blocks: Vec<_> = real.take(keep).map(Made::believed).collect();
        let parent = match blocks.last() {
            Some(last) => Some(last.clone().into_inner()),
            None => (inner.blocks.get(first.wrapping_sub(1))).map(|made| made.block.clone()),
        };
        if let Some(parent) = parent
            && inner.roll("lies about inclusion", inner.faults.lying)
        {
            let pending = inner.pool.iter().map(|pending| pending.transaction.clone());
            let pending: Vec<_> = pending.collect();
            let invented = inner.invent(&parent, 1, &pending);
            blocks.extend(invented.into_iter().map(Invented::believed));
        }
        inner.spoil(&mut blocks);
        Ok(blocks)
    }

    async fn solid_blocks(&self, first: u64) -> Result<Vec<Verified<Block>>, NodeError> {
        let inner = &mut *self.ask().await?;
        if inner.roll("pruned answers", inner.faults.pruned) {
            return Err(unknown("this node keeps no block so old"));
        }
        if inner.roll("empty answers", inner.faults.empty) {
            return Ok(Vec::new());
        }
        let first = usize::try_from(first).unwrap();
        let end = self.chain.solid_index(inner) + 1;
        let keep = inner.cut(inner.at_once);
        let real = inner.blocks.get(first..end).unwrap_or_default().iter();
        let mut blocks: Vec<_> = real.take(keep).map(Made::believed).collect();
        if inner.roll("invented blocks", inner.faults.invented)
            && let Some(before) = first.checked_sub(1)
            && before < end
        {
            blocks.truncate(usize::try_from(inner.rng.below(3)).unwrap());
            let parent = match blocks.last() {
                Some(last) => last.clone().into_inner(),
                None => inner.blocks[before].block.clone(),
            };
            let invented = inner.invent(&parent, MOST_INVENTED, &[]);
            blocks.extend(invented.into_iter().map(Invented::believed));
        }
        inner.spoil(&mut blocks);
        Ok(blocks)
    }

    async fn account(
        &self,
        finality: Finality,
        address: Address,
    ) -> Result<Option<Account>, NodeError> {
        let inner = &mut *self.ask().await?;
        let index = match finality {
            Finality::Head => inner.blocks.len() - 1,
            Finality::Solid => self.chain.solid_index(inner),
        };
        let index = index.saturating_sub(inner.behind());
        let state = &inner.blocks[index].state;
        let Some(trx) = state.trx.get(&address) else {
            return Ok(None);
        };
        let tokens = state
            .tokens
            .iter()
            .filter(|((owner, _), _)| *owner == address)
            .map(|((_, id), amount)| (*id, RawAmount::new(*amount).unwrap()))
            .collect();
        Ok(Some(Account {
            address,
            balance: Sun(u64::try_from(*trx).unwrap()),
            tokens,
            latest_operation: state.latest.get(&address).copied().unwrap_or(UnixMs(0)),
            name: String::new(),
            stake: Default::default(),
            is_contract: false,
        }))
    }

    /// Of two nodes, each of which may be behind.
    async fn last_act(&self, address: Address) -> Result<LastAct, NodeError> {
        let mut at = None;
        for _ in 0..2 {
            let account = self.account(Finality::Solid, address).await?;
            at = at.max(account.map(|account| account.latest_operation));
        }
        Ok(LastAct { at, nodes: 2 })
    }

    async fn permissions(&self, address: Address) -> Result<Permissions, NodeError> {
        let inner = self.ask().await?;
        let known = inner.permissions.get(&address).cloned();
        Ok(known.unwrap_or_else(|| Permissions::default_of(address)))
    }

    async fn resources(&self, _: Address) -> Result<AccountResources, NodeError> {
        drop(self.ask().await?);
        Ok(AccountResources {
            free_limit: 600,
            ..AccountResources::default()
        })
    }

    async fn issuer(&self, _: TokenId, _: Address) -> Result<Option<IssuerBandwidth>, NodeError> {
        drop(self.ask().await?);
        Ok(None)
    }

    async fn stake_yield(&self, _: Address) -> Result<StakeYield, NodeError> {
        drop(self.ask().await?);
        Ok(StakeYield::default())
    }

    async fn parameters(&self) -> Result<ChainParameters, NodeError> {
        drop(self.ask().await?);
        Ok([
            ("getTransactionFee".to_owned(), 1000),
            ("getCreateAccountFee".to_owned(), 100_000),
            (
                "getCreateNewAccountFeeInSystemContract".to_owned(),
                1_000_000,
            ),
        ]
        .into_iter()
        .collect())
    }

    async fn broadcast(&self, attempt: &Durable<AttemptRow>) -> Result<(), NodeError> {
        self.process.step().await;
        if self.process.dead.load(Ordering::SeqCst) {
            return Err(unknown("the process is gone"));
        }
        self.doze();
        let now = self.chain.clock.now();
        let inner = &mut *self.chain.inner();
        inner.failure()?;
        let faults = inner.faults;
        if inner.roll("busy answers", faults.busy) {
            return Err(NodeError::Retry {
                url: "sim".to_owned(),
                reason: "429".to_owned(),
                after: Some(inner.rng.seconds(60)),
            });
        }
        let pending = Pending::read(Transaction::decode(&attempt.get().bytes).unwrap());
        if inner.roll("lost broadcasts", faults.lost) {
            return Ok(());
        }
        let duplicate = || unknown("Dup transaction. (DUP_TRANSACTION_ERROR)");
        if inner.roll("lost as duplicates", faults.cached) {
            return Err(duplicate());
        }
        if inner.roll("doubled broadcasts", faults.doubled) {
            let later = now.plus(inner.rng.seconds(150));
            inner.floating.push((later, pending.clone()));
        }
        if inner.place.contains_key(&pending.txid)
            || inner.pool.iter().any(|other| other.txid == pending.txid)
        {
            return Err(duplicate());
        }
        let made = inner.blocks.last().unwrap();
        let mut state = made.state.clone();
        let parent_time = made.block.header.timestamp;
        if let Err(code) = inner.apply(&mut state, &pending, parent_time) {
            return Err(refused(code));
        }
        inner.pool.push(pending);
        inner.most_pending = inner.most_pending.max(inner.pool.len());
        if inner.roll("unanswered broadcasts", faults.unanswered) {
            return Err(unknown("timed out"));
        }
        if inner.roll("refused but delivered", faults.refused) {
            return Err(refused("SIGERROR"));
        }
        Ok(())
    }

    async fn burnt(&self, block: u64) -> Result<BTreeMap<TxId, Sun>, NodeError> {
        let inner = self.ask().await?;
        let made = inner.blocks.get(usize::try_from(block).unwrap());
        Ok(made
            .iter()
            .flat_map(|made| &made.held)
            .map(|held| (held.txid, Sun(1000)))
            .collect())
    }

    async fn pause(&self, time: Duration) {
        self.process.step().await;
        self.doze();
        self.chain.advance(time);
    }
}
