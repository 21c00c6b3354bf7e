//! A chain that is all in memory, with a seed: slots, forks, lag, and a node in
//! front of it that loses, doubles and lies. Time passes only in `pause`.

#![expect(clippy::indexing_slicing, reason = "a panic is how a test fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use seedrail::{
    ledger::{AttemptRow, Durable},
    settle::{Chain, Head},
    tron::{
        block::{Block, BlockHeader},
        rpc::{Account, AccountResources, ChainParameters, Finality, NodeError},
        transaction::{RefBlock, Transaction, TransactionResult},
    },
    types::{Address, BlockId, Clock, ManualClock, RawAmount, Sun, Token, TokenId, TxId, UnixMs},
};

/// When the simulated chain begins.
pub(crate) const START: UnixMs = UnixMs(1_790_000_000_000);

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
}

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
    /// A pending transaction waits for a later block.
    pub(crate) held_back: u64,
    /// A slot has no block.
    pub(crate) missed: u64,
    /// The unsolid end of the chain is replaced.
    pub(crate) forked: u64,
    /// A question gets no answer.
    pub(crate) failing: u64,
    /// Solid blocks are answered late: none, or one only.
    pub(crate) lagging: u64,
    /// A transaction in a block is "not found", one in none is found.
    pub(crate) lying: u64,
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
            held_back: some(700),
            missed: some(400),
            forked: some(100),
            failing: some(100),
            lagging: some(500),
            lying: some(300),
        }
    }
}

/// How often each fault did happen, by name.
pub(crate) type Counts = BTreeMap<&'static str, u64>;

#[derive(Debug, Clone, Default)]
struct State {
    trx: BTreeMap<Address, i64>,
    tokens: BTreeMap<(Address, TokenId), i64>,
    latest: BTreeMap<Address, UnixMs>,
}

struct Inner {
    rng: Rng,
    faults: Faults,
    counts: Counts,
    /// From genesis to the head; with the state after each.
    blocks: Vec<(Block, State)>,
    pool: Vec<Transaction>,
    /// What the network may still deliver: (when, transaction).
    floating: Vec<(UnixMs, Transaction)>,
    next_slot: UnixMs,
    fork_salt: u8,
    solid_floor: usize,
}

/// The simulated chain and the node in front of it.
pub(crate) struct SimChain {
    inner: Mutex<Inner>,
    pub(crate) clock: Arc<ManualClock>,
    /// How many blocks the solid head is behind.
    lag: usize,
    /// Set by a crash: the process is gone, nothing is answered any more.
    pub(crate) dead: Arc<std::sync::atomic::AtomicBool>,
}

fn header(number: u64, time: UnixMs, parent: BlockId, salt: u8) -> BlockHeader {
    BlockHeader {
        number,
        timestamp: time,
        tx_trie_root: [salt; 32],
        parent_hash: parent,
        witness_address: vec![0x41; 21],
        version: 32,
        account_state_root: Vec::new(),
    }
}

impl SimChain {
    pub(crate) fn new(seed: u64, lag: usize, faults: Faults) -> Self {
        let genesis = Block {
            header: header(0, START, BlockId::from_bytes([0; 32]), 0),
            witness_signature: Vec::new(),
            transactions: Vec::new(),
        };
        let chain = Self {
            inner: Mutex::new(Inner {
                rng: Rng(seed),
                faults,
                counts: Counts::new(),
                blocks: vec![(genesis, State::default())],
                pool: Vec::new(),
                floating: Vec::new(),
                next_slot: START.plus(Duration::from_secs(3)),
                fork_salt: 1,
                solid_floor: 0,
            }),
            clock: Arc::new(ManualClock::new(START)),
            lag,
            dead: Arc::default(),
        };
        for _ in 0..lag + 2 {
            chain.advance(Duration::from_secs(3));
        }
        chain
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub(crate) fn genesis_id(&self) -> BlockId {
        self.inner().blocks[0].0.id()
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.inner().faults = faults;
    }

    pub(crate) fn counts(&self) -> Counts {
        self.inner().counts.clone()
    }

    /// Gives an account what it needs, in every state back to genesis.
    pub(crate) fn fund(&self, address: Address, trx: i64, token: i64) {
        for (_, state) in &mut self.inner().blocks {
            *state.trx.entry(address).or_default() += trx;
            *state.tokens.entry((address, TokenId::BTT)).or_default() += token;
        }
    }

    /// A transfer made outside of settlement.
    pub(crate) fn submit(&self, transaction: Transaction) {
        self.inner().pool.push(transaction);
    }

    pub(crate) fn head_now(&self) -> Head {
        let inner = self.inner();
        let block = &inner.blocks.last().unwrap().0;
        Head {
            id: block.id(),
            time: block.header.timestamp,
        }
    }

    /// The solid head's number.
    pub(crate) fn solid_now(&self) -> u64 {
        self.solid_index(&self.inner()) as u64
    }

    /// Σ solid transfers `payer` → `payee` in BTT, by the chain itself, and the
    /// number of them.
    pub(crate) fn paid(&self, payer: Address, payee: Address) -> (i64, usize) {
        let inner = self.inner();
        let mut sum = 0;
        let mut count = 0;
        for (block, _) in &inner.blocks[..=self.solid_index(&inner)] {
            for transaction in &block.transactions {
                let draft = transaction.raw_data().unwrap().into_draft().unwrap();
                let transfer = draft.contract.as_transfer().unwrap();
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

    fn solid_index(&self, inner: &Inner) -> usize {
        (inner.blocks.len() - 1)
            .saturating_sub(self.lag)
            .max(inner.solid_floor)
    }

    /// Time passes and the chain goes on.
    pub(crate) fn advance(&self, time: Duration) {
        self.clock.advance(time);
        let now = self.clock.now();
        let inner = &mut *self.inner();
        while inner.next_slot <= now {
            let slot = inner.next_slot;
            inner.next_slot = slot.plus(Duration::from_secs(3));
            if inner.rng.chance(inner.faults.missed) {
                *inner.counts.entry("missed slots").or_default() += 1;
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
            let (block, _) = inner.blocks.pop().unwrap();
            for transaction in block.transactions {
                let again = inner
                    .next_slot
                    .plus(Duration::from_secs(inner.rng.below(90)));
                if inner.rng.chance(500) {
                    inner.floating.push((again, transaction));
                }
            }
        }
    }
}

impl Inner {
    fn failure(&mut self) -> Result<(), NodeError> {
        if self.rng.chance(self.faults.failing) {
            *self.counts.entry("unanswered questions").or_default() += 1;
            return Err(NodeError::Retry {
                url: "sim".to_owned(),
                reason: "no answer".to_owned(),
                after: None,
            });
        }
        Ok(())
    }

    fn on_chain(&self) -> BTreeSet<TxId> {
        self.blocks
            .iter()
            .flat_map(|(block, _)| &block.transactions)
            .map(Transaction::txid)
            .collect()
    }

    fn produce(&mut self, slot: UnixMs) {
        let (parent, state) = self.blocks.last().unwrap();
        let mut state = state.clone();
        let (parent_id, parent_time) = (parent.id(), parent.header.timestamp);
        let number = parent.header.number + 1;
        let (arrived, floating) = std::mem::take(&mut self.floating)
            .into_iter()
            .partition(|(when, _)| *when <= slot);
        self.floating = floating;
        let arrived: Vec<(UnixMs, Transaction)> = arrived;
        self.pool.extend(arrived.into_iter().map(|(_, tx)| tx));
        let mut seen = self.on_chain();
        let mut transactions = Vec::new();
        for mut transaction in std::mem::take(&mut self.pool) {
            if self.rng.chance(self.faults.held_back) {
                *self.counts.entry("held back").or_default() += 1;
                self.pool.push(transaction);
                continue;
            }
            if seen.contains(&transaction.txid()) {
                continue;
            }
            if self.apply(&mut state, &transaction, parent_time).is_ok() {
                let expired = transaction.raw_data().unwrap().expiration <= slot;
                if expired {
                    *self.counts.entry("included after expiration").or_default() += 1;
                }
                seen.insert(transaction.txid());
                transaction.set_results(vec![TransactionResult::SUCCESS]);
                transactions.push(transaction);
            }
        }
        let block = Block {
            header: header(number, slot, parent_id, self.fork_salt),
            witness_signature: Vec::new(),
            transactions,
        };
        self.blocks.push((block, state));
    }

    /// The chain's own rules for a transfer: reference, expiration against the
    /// parent's time, balance.
    fn apply(
        &self,
        state: &mut State,
        transaction: &Transaction,
        parent_time: UnixMs,
    ) -> Result<(), &'static str> {
        let draft = transaction.raw_data().unwrap().into_draft().unwrap();
        if draft.expiration <= parent_time {
            return Err("TRANSACTION_EXPIRATION_ERROR");
        }
        let known = self
            .blocks
            .iter()
            .any(|(block, _)| RefBlock::from(block.id()) == draft.ref_block);
        if !known {
            return Err("TAPOS_ERROR");
        }
        let transfer = draft.contract.as_transfer().unwrap();
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
}

fn unknown(reason: &str) -> NodeError {
    NodeError::Unknown {
        url: "sim".to_owned(),
        reason: reason.to_owned(),
    }
}

impl Chain for SimChain {
    async fn genesis(&self) -> Result<BlockId, NodeError> {
        Ok(self.genesis_id())
    }

    async fn head(&self) -> Result<Head, NodeError> {
        self.inner().failure()?;
        Ok(self.head_now())
    }

    async fn solid_head(&self) -> Result<Head, NodeError> {
        let inner = &mut *self.inner();
        inner.failure()?;
        let block = &inner.blocks[self.solid_index(inner)].0;
        Ok(Head {
            id: block.id(),
            time: block.header.timestamp,
        })
    }

    async fn solid_blocks(&self, first: u64) -> Result<Vec<Block>, NodeError> {
        let inner = &mut *self.inner();
        inner.failure()?;
        let first = usize::try_from(first).unwrap();
        let end = self.solid_index(inner) + 1;
        if first >= end {
            return Ok(Vec::new());
        }
        let mut blocks: Vec<Block> = inner.blocks[first..end]
            .iter()
            .map(|(block, _)| block.clone())
            .collect();
        if inner.rng.chance(inner.faults.lagging) {
            *inner.counts.entry("short answers").or_default() += 1;
            let keep = inner.rng.below(2);
            blocks.truncate(usize::try_from(keep).unwrap());
        }
        Ok(blocks)
    }

    async fn account(
        &self,
        finality: Finality,
        address: Address,
    ) -> Result<Option<Account>, NodeError> {
        let inner = &mut *self.inner();
        inner.failure()?;
        let index = match finality {
            Finality::Head => inner.blocks.len() - 1,
            Finality::Solid => self.solid_index(inner),
        };
        let state = &inner.blocks[index].1;
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
        }))
    }

    async fn resources(&self, _: Address) -> Result<AccountResources, NodeError> {
        self.inner().failure()?;
        Ok(AccountResources {
            free_limit: 600,
            ..AccountResources::default()
        })
    }

    async fn parameters(&self) -> Result<ChainParameters, NodeError> {
        self.inner().failure()?;
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
        if self.dead.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(unknown("the process is gone"));
        }
        let inner = &mut *self.inner();
        inner.failure()?;
        let transaction = Transaction::decode(&attempt.get().bytes).unwrap();
        let mut count = |name| *inner.counts.entry(name).or_default() += 1;
        if inner.rng.chance(inner.faults.lost) {
            count("lost broadcasts");
            return Ok(());
        }
        if inner.rng.chance(inner.faults.doubled) {
            count("doubled broadcasts");
            let later = self
                .clock
                .now()
                .plus(Duration::from_secs(inner.rng.below(150)));
            inner.floating.push((later, transaction.clone()));
        }
        if inner.on_chain().contains(&transaction.txid())
            || inner.pool.iter().any(|tx| tx.txid() == transaction.txid())
        {
            return Err(unknown("Dup transaction. (DUP_TRANSACTION_ERROR)"));
        }
        let (parent, state) = inner.blocks.last().unwrap();
        let mut state = state.clone();
        if let Err(code) = inner.apply(&mut state, &transaction, parent.header.timestamp) {
            return Err(NodeError::Refused {
                url: "sim".to_owned(),
                code: code.to_owned(),
                message: "said the node".to_owned(),
            });
        }
        inner.pool.push(transaction);
        let mut count = |name| *inner.counts.entry(name).or_default() += 1;
        if inner.rng.chance(inner.faults.unanswered) {
            count("unanswered broadcasts");
            return Err(unknown("timed out"));
        }
        if inner.rng.chance(inner.faults.refused) {
            count("refused but delivered");
            return Err(NodeError::Refused {
                url: "sim".to_owned(),
                code: "SIGERROR".to_owned(),
                message: "a lie".to_owned(),
            });
        }
        Ok(())
    }

    async fn included(&self, txid: TxId) -> Result<Option<u64>, NodeError> {
        let inner = &mut *self.inner();
        inner.failure()?;
        let found = inner
            .blocks
            .iter()
            .find(|(block, _)| block.transactions.iter().any(|tx| tx.txid() == txid))
            .map(|(block, _)| block.header.number);
        if inner.rng.chance(inner.faults.lying) {
            *inner.counts.entry("lies about inclusion").or_default() += 1;
            return Ok(match found {
                Some(_) => None,
                None => Some(7),
            });
        }
        Ok(found)
    }

    async fn burnt(&self, _: TxId) -> Result<Option<Sun>, NodeError> {
        self.inner().failure()?;
        Ok(Some(Sun(1000)))
    }

    async fn pause(&self, time: Duration) {
        self.advance(time);
    }
}
