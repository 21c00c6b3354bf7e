//! The chain: sealed blocks, the states after them, the pool of pending transactions, forks
//! and the solid head. No clock: whoever makes a block says its time.

mod making;
#[cfg(test)]
mod recorded;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use tokio::sync::watch;

pub(crate) use making::{Blocked, Candidate, Judged, Made, Plan};

use crate::{
    devnet::{
        cheat::{Cheat, CheatError},
        execute::Receipt,
        fork::{self, Base, ForkError, Key},
        genesis::Genesis,
        incoming::Incoming,
        journal::{Document, Journal, JournalError, Record},
        reject::Reject,
        rules::ChainRules,
        state::{Place, State},
    },
    tron::{
        block::Block,
        keys::SecretKey,
        transaction::{MAX_EXPIRATION_AHEAD, Transaction},
    },
    types::{BlockId, TxId, UnixMs},
};

/// Transactions that may wait for a block (`maxTransactionPendingSize`).
pub(crate) const MAX_PENDING: usize = 2_000;
/// Bytes of a block's transactions (`ChainConstant.BLOCK_SIZE`).
const MAX_BLOCK_BYTES: usize = 2_000_000;
/// `ChainConstant`/`ForkBlockVersionEnum`: the version of blocks as recorded.
const BLOCK_VERSION: i32 = 32;
/// Snapshots kept; the oldest goes first.
const MAX_SNAPSHOTS: usize = 256;
/// The block number of a transaction that is in no block yet.
pub(crate) const PENDING: u64 = u64::MAX;

/// A block, and what its transactions did.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) id: BlockId,
    pub(crate) block: Block,
    pub(crate) receipts: Vec<Receipt>,
    /// The slot that the transactions' expirations had to reach.
    pub(crate) next_slot: UnixMs,
}

impl Sealed {
    pub(crate) fn number(&self) -> u64 {
        self.block.header.number
    }

    pub(crate) fn time(&self) -> UnixMs {
        self.block.header.timestamp
    }
}

/// A transaction cannot come again once a chain this far ahead has expired it.
#[derive(Debug, Clone)]
struct Aging {
    until: UnixMs,
    block: Arc<[TxId]>,
}

#[derive(Debug, Clone)]
struct Position {
    /// By number, the newest; genesis is kept apart.
    blocks: VecDeque<Arc<Sealed>>,
    /// The number of the first of `blocks`.
    first: u64,
    /// Ids of blocks that are no longer kept.
    aging: VecDeque<Aging>,
    /// Changes by hand, each after the block it was made on.
    cheats: Vec<(u64, Cheat)>,
    /// States after the latest blocks, the head's last.
    states: VecDeque<State>,
    /// What waits for a block, in order.
    pending: Vec<Incoming>,
    pending_state: State,
    solid: u64,
    /// Blocks that were forked out end before this; the next one comes later.
    not_before: UnixMs,
}

/// The chain. See the module's words.
#[derive(Debug)]
pub(crate) struct Chain {
    rules: Arc<ChainRules>,
    start: Genesis,
    genesis: Arc<Sealed>,
    journal: Option<Journal>,
    /// Why the journal cannot be written; nothing changes any more then.
    failure: watch::Sender<Option<Arc<JournalError>>>,
    at: Position,
    snapshots: BTreeMap<u64, Snapshot>,
    next_snapshot: u64,
    /// Whether nobody needs it any more.
    is_closed: bool,
    /// What left the pool when a block was made, and why; taken by [`Self::take_dropped`].
    dropped: Vec<(Incoming, Reject)>,
    /// What is to be judged again; taken by [`Self::take_unpooled`].
    unpooled: Vec<Incoming>,
    /// Expirations need not reach further than this, if there is one.
    expire_by: Option<UnixMs>,
    /// What was read of the forked chain: under every state, also of snapshots.
    base: Arc<Base>,
    /// Transactions that the next block leaves out, since what they need could not be read.
    unread: BTreeMap<TxId, ForkError>,
}

#[derive(Debug, Clone)]
struct Snapshot {
    at: Position,
    /// Lines that the state file had.
    lines: usize,
    /// How far the node's time was ahead of its clock, ms.
    offset_ms: i64,
}

/// A state file that lacks something of the forked chain.
fn not_read(key: &Key) -> Mismatch {
    format!("it has no answer of the forked chain for {key}")
}

/// A sentence that a state file's blocks do not give the chain they say.
type Mismatch = String;

impl Chain {
    pub(crate) fn new(rules: ChainRules, genesis: &Genesis) -> Self {
        let (block, state) = genesis.build();
        let sealed = Sealed {
            id: block.id(),
            receipts: vec![Receipt::default(); block.transactions.len()],
            next_slot: genesis.time,
            block,
        };
        Self {
            rules: Arc::new(rules),
            start: genesis.clone(),
            genesis: Arc::new(sealed),
            journal: None,
            failure: watch::Sender::new(None),
            at: Position {
                blocks: VecDeque::new(),
                first: 1,
                aging: VecDeque::new(),
                cheats: Vec::new(),
                states: VecDeque::from([state.clone()]),
                pending: Vec::new(),
                pending_state: state,
                solid: 0,
                not_before: UnixMs(0),
            },
            snapshots: BTreeMap::new(),
            next_snapshot: 1,
            is_closed: false,
            dropped: Vec::new(),
            unpooled: Vec::new(),
            expire_by: None,
            base: Arc::default(),
            unread: BTreeMap::new(),
        }
    }

    /// Makes the chain that a document tells of, block by block; each must come
    /// out with the id it had.
    pub(crate) fn restore(rules: ChainRules, document: &Document) -> Result<Self, Mismatch> {
        let mut chain = Self::new(rules, &document.genesis);
        let own = chain.rules.witnesses.iter().map(SecretKey::address);
        let named = &document.genesis;
        let theirs = std::iter::once(&named.witness).chain(&named.more_witnesses);
        if !own.eq(theirs.copied()) {
            return Err(format!(
                "its blocks are signed by another witness, {}",
                named.witness
            ));
        }
        for answer in &document.answers {
            let why = |doubt| format!("what was read of the forked chain cannot be: {doubt}");
            Arc::make_mut(&mut chain.base).add(answer).map_err(why)?;
        }
        chain.refresh();
        for record in &document.records {
            match record {
                Record::Block {
                    id,
                    time_ms,
                    next_slot_ms,
                    transactions,
                } => chain.restore_block(*id, *time_ms, *next_slot_ms, transactions)?,
                Record::Cheat(cheat) => fork::caught(|| chain.cheat(cheat.clone()))
                    .map_err(|missing| not_read(&missing.0))?
                    .map_err(|error| error.to_string())?,
                // A document has its forks and reverts carried out, and its answers apart.
                Record::Fork { .. } | Record::Revert { .. } | Record::Read(_) => {}
            }
        }
        chain.at.not_before = document.not_before;
        Ok(chain)
    }

    fn restore_block(
        &mut self,
        id: BlockId,
        time: UnixMs,
        next_slot: UnixMs,
        transactions: &[String],
    ) -> Result<(), Mismatch> {
        let number = self.head().number() + 1;
        let incoming = transactions
            .iter()
            .map(|text| {
                let bytes =
                    hex::decode(text).map_err(|error| format!("block {number}: {error}"))?;
                Transaction::decode(&bytes)
                    .and_then(Incoming::new)
                    .map_err(|error| format!("block {number}: {error}"))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let made = self.plan_of(incoming, time, next_slot).make();
        let made = made.map_err(|blocked| not_read(&blocked.missing.0))?;
        if let Some((incoming, reject)) = made.dropped.first() {
            let txid = incoming.txid();
            return Err(format!("block {number}: transaction {txid}: {reject}"));
        }
        if made.sealed.id != id || !made.left.is_empty() {
            return Err(format!(
                "block {number} comes out as {}, not as {id}",
                made.sealed.id
            ));
        }
        self.push(made.sealed, made.state);
        self.unpool(Vec::new());
        Ok(())
    }

    /// The chain from genesis, while all its blocks are kept.
    pub(crate) fn document(&self) -> Result<Document, CheatError> {
        if self.at.first > 1 {
            return Err(CheatError::State(format!(
                "the blocks before {} are no longer kept, so the chain cannot be dumped",
                self.at.first
            )));
        }
        let mut records = Vec::new();
        let mut cheats = self.at.cheats.iter().peekable();
        for number in 0..=self.head().number() {
            if number > 0 {
                records.extend(self.block(number).map(|sealed| Record::of(sealed)));
            }
            while let Some((_, cheat)) = cheats.next_if(|(after, _)| *after == number) {
                records.push(Record::Cheat(cheat.clone()));
            }
        }
        Ok(Document {
            genesis: self.start.clone(),
            answers: self.base.answers(),
            records,
            not_before: self.at.not_before,
        })
    }

    /// Writes every change to `journal` from now on, which already holds this chain.
    pub(crate) fn keep_journal(&mut self, journal: Journal) {
        self.journal = Some(journal);
    }

    /// Takes the place of `self`: its rules, its journal, its listeners.
    pub(crate) fn load(&mut self, document: &Document) -> Result<(), CheatError> {
        if document.genesis.fork.is_some() && self.start.fork.is_none() {
            return Err(CheatError::State(
                "this state is of a fork, and this devnet is none: start one with --fork"
                    .to_owned(),
            ));
        }
        let rules = self.rules.as_ref().clone();
        let mut other = Self::restore(rules, document).map_err(CheatError::State)?;
        if let Some(journal) = &mut self.journal
            && let Err(error) = journal.replace(document)
        {
            self.fail(error);
            return Err(CheatError::Stopped);
        }
        other.journal = self.journal.take();
        other.failure = self.failure.clone();
        other.is_closed = self.is_closed;
        *self = other;
        Ok(())
    }

    /// Tells when the journal cannot be written any more.
    pub(crate) fn failure(&self) -> watch::Receiver<Option<Arc<JournalError>>> {
        self.failure.subscribe()
    }

    fn has_failed(&self) -> bool {
        self.is_closed || self.failure.borrow().is_some()
    }

    /// Nothing changes any more, and the state file is free for another devnet.
    pub(crate) fn close(&mut self) {
        self.is_closed = true;
        self.journal = None;
    }

    fn fail(&self, error: JournalError) {
        tracing::error!(%error, "the devnet stops");
        self.failure.send_replace(Some(Arc::new(error)));
    }

    /// Whether a record is on disk, or need not be.
    fn record(&mut self, record: impl FnOnce() -> Record) -> bool {
        if self.has_failed() {
            return false;
        }
        let Some(journal) = &mut self.journal else {
            return true;
        };
        match journal.append(&record()) {
            Ok(()) => true,
            Err(error) => {
                self.fail(error);
                false
            }
        }
    }

    pub(crate) fn interval_ms(&self) -> i64 {
        self.rules.interval_ms
    }

    /// Changes the time between blocks, ms.
    pub(crate) fn set_interval_ms(&mut self, interval_ms: i64) {
        Arc::make_mut(&mut self.rules).interval_ms = interval_ms;
    }

    pub(crate) fn head(&self) -> &Arc<Sealed> {
        self.at.blocks.back().unwrap_or(&self.genesis)
    }

    /// What it began with.
    pub(crate) fn start(&self) -> &Genesis {
        &self.start
    }

    pub(crate) fn genesis(&self) -> &Arc<Sealed> {
        &self.genesis
    }

    pub(crate) fn head_state(&self) -> &State {
        self.at.states.back().expect("the head has a state")
    }

    /// The head's state with the pending transactions on top.
    pub(crate) fn pending_state(&self) -> &State {
        &self.at.pending_state
    }

    pub(crate) fn pending(&self) -> &[Incoming] {
        &self.at.pending
    }

    /// A block, while it is kept.
    pub(crate) fn block(&self, number: u64) -> Option<&Arc<Sealed>> {
        if number == 0 {
            return Some(&self.genesis);
        }
        let at = number.checked_sub(self.at.first)?;
        self.at.blocks.get(usize::try_from(at).ok()?)
    }

    pub(crate) fn block_by_id(&self, id: &BlockId) -> Option<&Arc<Sealed>> {
        self.block(id.number()).filter(|sealed| sealed.id == *id)
    }

    /// The newest block that no fork can take back.
    pub(crate) fn solid(&self) -> u64 {
        self.at.solid
    }

    /// The state after a block, while it is kept.
    pub(crate) fn state_at(&self, number: u64) -> Option<&State> {
        let back = usize::try_from(self.head().number().checked_sub(number)?).ok()?;
        let at = self.at.states.len().checked_sub(back + 1)?;
        self.at.states.get(at)
    }

    /// A block's transaction and what became of it.
    pub(crate) fn find(&self, txid: &TxId) -> Option<(&Arc<Sealed>, usize)> {
        let place = self.head_state().place(txid)?;
        Some((self.block(place.block)?, place.index))
    }

    pub(crate) fn find_pending(&self, txid: &TxId) -> Option<&Incoming> {
        self.at.pending.iter().find(|known| known.txid() == *txid)
    }

    /// Takes transactions that expire before the next block, but not before `now`: those
    /// of programs that stamp by the wall clock, when the chain's time is ahead of it.
    pub(crate) fn expire_by(&mut self, now: UnixMs) {
        self.expire_by = Some(now);
    }

    /// What an expiration must reach: the earliest time of the next block.
    pub(crate) fn next_slot(&self) -> UnixMs {
        let next = UnixMs(self.head().time().0.saturating_add(self.rules.interval_ms));
        self.expire_by.map_or(next, |now| next.min(now))
    }

    /// What judging a transaction takes, so that it can be done without the chain: a
    /// contract's code may run for long.
    pub(crate) fn candidate(&self, incoming: Incoming) -> Result<Candidate, Reject> {
        if self.at.pending.len() >= MAX_PENDING || self.has_failed() {
            return Err(Reject::Busy);
        }
        let time = UnixMs(self.head().time().0.saturating_add(self.rules.interval_ms));
        Ok(Candidate {
            incoming,
            state: self.at.pending_state.clone(),
            next_slot: self.next_slot(),
            slot: self
                .rules
                .slot(self.head().number() + 1, time, self.head_state()),
        })
    }

    /// What was read of the forked chain so far.
    pub(crate) fn base(&self) -> &Base {
        &self.base
    }

    /// Takes in what was read of the forked chain, once it is in the state file.
    ///
    /// # Errors
    /// It cannot be true, or the state file cannot be written.
    pub(crate) fn learn(&mut self, key: &Key, answer: &fork::Answer) -> Result<(), ForkError> {
        // Somebody else was faster; the first answer stays.
        if self.base.has(key) {
            return Ok(());
        }
        let mut base = self.base.as_ref().clone();
        base.add(answer).map_err(|doubt| ForkError::Node {
            what: key.to_string(),
            reason: format!("it sent {doubt}"),
        })?;
        if !self.record(|| Record::Read(answer.clone())) {
            return Err(ForkError::Stopped);
        }
        self.base = Arc::new(base);
        self.refresh();
        Ok(())
    }

    /// Puts what was read under every state.
    fn refresh(&mut self) {
        let states = self.at.states.iter_mut();
        for state in states.chain([&mut self.at.pending_state]) {
            state.set_base(&self.base);
        }
    }

    /// The next block leaves a transaction out.
    pub(crate) fn leave_out(&mut self, txid: TxId, why: ForkError) {
        self.unread.insert(txid, why);
    }

    /// Whether, and why, a transaction is left out of the next block.
    pub(crate) fn left_out(&mut self, txid: &TxId) -> Option<ForkError> {
        self.unread.remove(txid)
    }

    /// Puts back what is to be judged again later.
    pub(crate) fn put_unpooled(&mut self, transactions: Vec<Incoming>) {
        let later = std::mem::replace(&mut self.unpooled, transactions);
        self.unpooled.extend(later);
    }

    /// Takes a transaction into the pool that was judged on top of it, as it still is.
    pub(crate) fn admit(&mut self, judged: Judged) {
        let Judged {
            incoming,
            mut state,
        } = judged;
        state.put_place(
            incoming.txid(),
            Place {
                block: PENDING,
                index: self.at.pending.len(),
            },
        );
        state.set_base(&self.base);
        self.at.pending_state = state;
        self.at.pending.push(incoming);
    }

    /// What making the next block takes, so that it can be done without the chain: at
    /// `time`, or just after its parent if that is later, of the pending transactions
    /// that still hold, in order.
    pub(crate) fn plan(&self, time: UnixMs) -> Plan {
        let time = time
            .max(UnixMs(self.head().time().0 + 1))
            .max(self.at.not_before);
        self.plan_of(self.at.pending.clone(), time, self.next_slot())
    }

    fn plan_of(&self, incoming: Vec<Incoming>, time: UnixMs, next_slot: UnixMs) -> Plan {
        Plan {
            rules: Arc::clone(&self.rules),
            parent: Arc::clone(self.head()),
            state: self.head_state().clone(),
            incoming,
            time,
            next_slot,
            unread: self.unread.clone(),
        }
    }

    /// Puts a block on the chain that was made on top of its head and of all that is
    /// pending. The head stays as it is when the state file cannot be written.
    pub(crate) fn seal(&mut self, made: Made) -> Arc<Sealed> {
        if !self.record(|| Record::of(&made.sealed)) {
            return Arc::clone(self.head());
        }
        for (incoming, reject) in &made.dropped {
            let txid = incoming.txid();
            tracing::debug!(%txid, %reject, "dropped from the pool");
        }
        // As many as the pool holds, at most.
        self.dropped = made.dropped;
        self.unread.clear();
        self.push(Arc::clone(&made.sealed), made.state);
        self.unpool(made.left);
        made.sealed
    }

    fn push(&mut self, sealed: Arc<Sealed>, mut state: State) {
        state.set_base(&self.base);
        self.at.blocks.push_back(sealed);
        self.at.states.push_back(state);
        while self.at.states.len() > self.rules.kept_states() {
            self.at.states.pop_front();
        }
        let solid = self.head().number().saturating_sub(self.rules.solid_lag);
        self.at.solid = self.at.solid.max(solid);
        self.forget();
    }

    /// Lets go of blocks that are too old to be kept, and of the ids of their
    /// transactions once those have expired.
    fn forget(&mut self) {
        while self.at.blocks.len() > self.rules.kept_blocks() {
            let Some(gone) = self.at.blocks.pop_front() else {
                break;
            };
            self.at.first += 1;
            if !gone.block.transactions.is_empty() {
                self.at.aging.push_back(Aging {
                    until: gone.time().plus(MAX_EXPIRATION_AHEAD),
                    block: gone
                        .block
                        .transactions
                        .iter()
                        .map(Transaction::txid)
                        .collect(),
                });
            }
        }
        // What no transaction may expire before any more.
        let now = self.head().next_slot;
        while self.at.aging.front().is_some_and(|aging| aging.until < now) {
            let Some(aging) = self.at.aging.pop_front() else {
                break;
            };
            if let Some(state) = self.at.states.back_mut() {
                for txid in aging.block.iter() {
                    state.remove_place(txid);
                }
            }
        }
    }

    /// Empties the pool on top of a new head; what was in it is to be judged again.
    fn unpool(&mut self, transactions: Vec<Incoming>) {
        self.at.pending_state = self.head_state().clone();
        self.at.pending.clear();
        self.unpooled.extend(transactions);
    }

    /// What left the pool for no fault of its own, in order: whoever changes the chain
    /// has it judged again.
    pub(crate) fn take_unpooled(&mut self) -> Vec<Incoming> {
        std::mem::take(&mut self.unpooled)
    }

    /// Forgets all pending transactions, as a node that stopped does.
    pub(crate) fn drop_pending(&mut self) -> usize {
        let dropped = self.at.pending.len();
        self.unpool(Vec::new());
        dropped
    }

    /// Takes the newest `count` blocks off the chain; never a solid one. Their
    /// transactions return to the pool if `keep`.
    ///
    /// Returns how many blocks went.
    pub(crate) fn fork_out(&mut self, count: u64, keep: bool) -> u64 {
        let head = self.head().number();
        let count = count.min(head - self.at.solid);
        let not_before = UnixMs(self.head().time().0 + 1);
        let is_recorded = self.record(|| Record::Fork {
            blocks: count,
            not_before_ms: not_before,
        });
        if !is_recorded {
            return 0;
        }
        self.at.not_before = not_before;
        let mut gone = Vec::new();
        for _ in 0..count {
            gone.extend(self.at.blocks.pop_back());
            self.at.states.pop_back();
        }
        let left = self.head().number();
        self.at.cheats.retain(|(after, _)| *after <= left);
        let mut transactions = Vec::new();
        if keep {
            for sealed in gone.iter().rev() {
                for transaction in &sealed.block.transactions {
                    if let Ok(incoming) = Incoming::new(transaction.clone()) {
                        transactions.push(incoming);
                    }
                }
            }
        }
        transactions.append(&mut self.at.pending);
        self.unpool(transactions);
        count
    }

    /// Changes the state by hand, at the head and under the pool.
    pub(crate) fn cheat(&mut self, cheat: Cheat) -> Result<(), CheatError> {
        let mut state = self.head_state().clone();
        cheat.apply(&mut state)?;
        if !self.record(|| Record::Cheat(cheat.clone())) {
            return Err(CheatError::Stopped);
        }
        self.at.cheats.push((self.head().number(), cheat));
        if let Some(head) = self.at.states.back_mut() {
            *head = state;
        }
        let pending = std::mem::take(&mut self.at.pending);
        self.unpool(pending);
        Ok(())
    }

    /// Remembers this very position, and how far the node's time is ahead.
    pub(crate) fn snapshot(&mut self, offset_ms: i64) -> u64 {
        let id = self.next_snapshot;
        self.next_snapshot += 1;
        let lines = self.journal.as_ref().map_or(0, Journal::lines);
        let at = self.at.clone();
        let snapshot = Snapshot {
            at,
            lines,
            offset_ms,
        };
        self.snapshots.insert(id, snapshot);
        if self.snapshots.len() > MAX_SNAPSHOTS {
            self.snapshots.pop_first();
        }
        id
    }

    /// Returns to a remembered position, which stays remembered; later ones are
    /// forgotten. How far the node's time was ahead then; nothing if there is none.
    pub(crate) fn revert(&mut self, id: u64) -> Option<i64> {
        let Snapshot {
            at,
            lines,
            offset_ms,
        } = self.snapshots.get(&id).cloned()?;
        let not_before_ms = at.not_before;
        if !self.record(|| Record::Revert {
            lines,
            not_before_ms,
        }) {
            return None;
        }
        self.at = at;
        self.refresh();
        self.snapshots.split_off(&(id + 1));
        Some(offset_ms)
    }

    /// What left the pool when the last block was made.
    pub(crate) fn take_dropped(&mut self) -> Vec<(Incoming, Reject)> {
        std::mem::take(&mut self.dropped)
    }

    /// Returns to the genesis block, without snapshots; false if that cannot be written.
    pub(crate) fn reset(&mut self) -> bool {
        let not_before_ms = UnixMs(0);
        if !self.record(|| Record::Revert {
            lines: 0,
            not_before_ms,
        }) {
            return false;
        }
        self.at = Self::new(self.rules.as_ref().clone(), &self.start).at;
        self.refresh();
        self.snapshots.clear();
        true
    }

    /// Forgets a remembered position. False if there is none.
    pub(crate) fn drop_snapshot(&mut self, id: u64) -> bool {
        self.snapshots.remove(&id).is_some()
    }
}
