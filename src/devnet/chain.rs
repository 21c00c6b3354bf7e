//! The chain: sealed blocks, the states after them, the pool of pending
//! transactions, forks and the solid head. No clock: whoever makes a block says
//! its time.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use crate::{
    devnet::{
        execute::{self, Receipt},
        genesis::Genesis,
        incoming::Incoming,
        reject::Reject,
        state::{Place, State, reference_of},
    },
    tron::{
        block::{Block, BlockHeader, merkle_root},
        keys::SecretKey,
        transaction::TransactionResult,
    },
    types::{BlockId, TxId, UnixMs},
};

/// Transactions that may wait for a block (`maxTransactionPendingSize`).
pub(crate) const MAX_PENDING: usize = 2_000;
/// Bytes of a block's transactions (`ChainConstant.BLOCK_SIZE`).
const MAX_BLOCK_BYTES: usize = 2_000_000;
/// `ChainConstant`/`ForkBlockVersionEnum`: the version of blocks as recorded.
const BLOCK_VERSION: i32 = 32;
/// States kept below the solid head, for `/walletsolidity` while it is held
/// back: a fault may hold it for this many blocks.
const KEPT_STATES: u64 = 128;
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
}

impl Sealed {
    pub(crate) fn number(&self) -> u64 {
        self.block.header.number
    }

    pub(crate) fn time(&self) -> UnixMs {
        self.block.header.timestamp
    }
}

/// What a chain is made with.
#[derive(Debug)]
pub(crate) struct ChainRules {
    pub(crate) witness: SecretKey,
    /// The time between two blocks, ms: the next slot is this far off.
    pub(crate) interval_ms: i64,
    /// Blocks that make the one below them solid.
    pub(crate) solid_lag: u64,
}

#[derive(Debug, Clone)]
struct Position {
    /// By number, from genesis.
    blocks: Vec<Arc<Sealed>>,
    /// States after the latest blocks, the head's last.
    states: VecDeque<State>,
    pending: Vec<Incoming>,
    pending_state: State,
    solid: u64,
    /// Blocks that were forked out end before this; the next one comes later.
    not_before: UnixMs,
}

/// The chain. See the module's words.
#[derive(Debug)]
pub(crate) struct Chain {
    rules: ChainRules,
    at: Position,
    snapshots: BTreeMap<u64, Position>,
    next_snapshot: u64,
}

impl Chain {
    pub(crate) fn new(rules: ChainRules, genesis: &Genesis) -> Self {
        let (block, state) = genesis.build();
        let sealed = Sealed {
            id: block.id(),
            receipts: vec![Receipt::default(); block.transactions.len()],
            block,
        };
        Self {
            rules,
            at: Position {
                blocks: vec![Arc::new(sealed)],
                states: VecDeque::from([state.clone()]),
                pending: Vec::new(),
                pending_state: state,
                solid: 0,
                not_before: UnixMs(0),
            },
            snapshots: BTreeMap::new(),
            next_snapshot: 1,
        }
    }

    pub(crate) fn interval_ms(&self) -> i64 {
        self.rules.interval_ms
    }

    pub(crate) fn head(&self) -> &Arc<Sealed> {
        self.at.blocks.last().expect("a chain begins with genesis")
    }

    pub(crate) fn genesis(&self) -> &Arc<Sealed> {
        self.at.blocks.first().expect("a chain begins with genesis")
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

    pub(crate) fn block(&self, number: u64) -> Option<&Arc<Sealed>> {
        self.at.blocks.get(usize::try_from(number).ok()?)
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

    /// The earliest time of the next block.
    pub(crate) fn next_slot(&self) -> UnixMs {
        UnixMs(self.head().time().0.saturating_add(self.rules.interval_ms))
    }

    /// Takes a transaction into the pool, if it is sound on top of it.
    pub(crate) fn accept(&mut self, incoming: Incoming) -> Result<(), Reject> {
        if self.at.pending.len() >= MAX_PENDING {
            return Err(Reject::Busy);
        }
        let next_slot = self.next_slot();
        let state = &self.at.pending_state;
        execute::check_broadcast(state, &incoming, next_slot)?;
        let (mut state, _) = execute::apply(state, &incoming, next_slot)?;
        state.put_place(
            incoming.txid(),
            Place {
                block: PENDING,
                index: self.at.pending.len(),
            },
        );
        self.at.pending_state = state;
        self.at.pending.push(incoming);
        Ok(())
    }

    /// Seals the next block at `time`, or just after its parent if that is
    /// later: the pending transactions that still hold, in order.
    pub(crate) fn seal(&mut self, time: UnixMs) -> Arc<Sealed> {
        let parent = Arc::clone(self.head());
        let time = time
            .max(UnixMs(parent.time().0 + 1))
            .max(self.at.not_before);
        let number = parent.number() + 1;
        let next_slot = self.next_slot();
        let mut state = self.head_state().clone();
        let mut transactions = Vec::new();
        let mut receipts = Vec::new();
        let mut left = Vec::new();
        let mut bytes = 0usize;
        for incoming in std::mem::take(&mut self.at.pending) {
            let size = incoming.transaction().size_without_results();
            if bytes + size > MAX_BLOCK_BYTES {
                left.push(incoming);
                continue;
            }
            match execute::apply(&state, &incoming, next_slot) {
                Ok((next, receipt)) => {
                    state = next;
                    state.put_place(
                        incoming.txid(),
                        Place {
                            block: number,
                            index: transactions.len(),
                        },
                    );
                    let mut transaction = incoming.transaction().clone();
                    transaction.set_results(vec![TransactionResult::SUCCESS]);
                    bytes += size;
                    transactions.push(transaction);
                    receipts.push(receipt);
                }
                Err(reject) => {
                    tracing::debug!(txid = %incoming.txid(), %reject, "dropped from the pool");
                }
            }
        }
        let header = BlockHeader {
            number,
            timestamp: time,
            tx_trie_root: merkle_root(&transactions),
            parent_hash: parent.id,
            witness_address: self.rules.witness.address().to_bytes().to_vec(),
            version: BLOCK_VERSION,
            account_state_root: Vec::new(),
        };
        let witness_signature = header.sign(&self.rules.witness).to_vec();
        let block = Block {
            header,
            witness_signature,
            transactions,
        };
        let id = block.id();
        let (reference, hash) = reference_of(&id);
        state.put_reference(reference, hash);
        state.properties.head = id;
        state.properties.head_time = time;
        let sealed = Arc::new(Sealed {
            id,
            block,
            receipts,
        });
        self.push(Arc::clone(&sealed), state);
        self.repool(left);
        sealed
    }

    fn push(&mut self, sealed: Arc<Sealed>, state: State) {
        self.at.blocks.push(sealed);
        self.at.states.push_back(state);
        let keep = usize::try_from(self.rules.solid_lag + KEPT_STATES).unwrap_or(usize::MAX);
        while self.at.states.len() > keep {
            self.at.states.pop_front();
        }
        let solid = self.head().number().saturating_sub(self.rules.solid_lag);
        self.at.solid = self.at.solid.max(solid);
    }

    /// Puts transactions on top of a new head; those that no longer hold are
    /// gone.
    fn repool(&mut self, transactions: Vec<Incoming>) {
        self.at.pending_state = self.head_state().clone();
        self.at.pending.clear();
        for incoming in transactions {
            let txid = incoming.txid();
            if let Err(reject) = self.accept(incoming) {
                tracing::debug!(%txid, %reject, "dropped from the pool");
            }
        }
    }

    /// Forgets all pending transactions, as a node that stopped does.
    pub(crate) fn drop_pending(&mut self) -> usize {
        let dropped = self.at.pending.len();
        self.repool(Vec::new());
        dropped
    }

    /// Takes the newest `count` blocks off the chain; never a solid one. Their
    /// transactions return to the pool if `keep`.
    ///
    /// Returns how many blocks went.
    pub(crate) fn fork_out(&mut self, count: u64, keep: bool) -> u64 {
        let head = self.head().number();
        let count = count.min(head - self.at.solid);
        let left = usize::try_from(head - count + 1).unwrap_or(usize::MAX);
        self.at.not_before = UnixMs(self.head().time().0 + 1);
        let gone = self.at.blocks.split_off(left.min(self.at.blocks.len()));
        for _ in &gone {
            self.at.states.pop_back();
        }
        let mut transactions = Vec::new();
        if keep {
            for sealed in &gone {
                for transaction in &sealed.block.transactions {
                    if let Ok(incoming) = Incoming::new(transaction.clone()) {
                        transactions.push(incoming);
                    }
                }
            }
        }
        transactions.append(&mut self.at.pending);
        self.repool(transactions);
        count
    }

    /// Changes the state by hand, at the head and under the pool.
    pub(crate) fn change<T>(&mut self, change: impl FnOnce(&mut State) -> T) -> T {
        let state = self.at.states.back_mut().expect("the head has a state");
        let result = change(state);
        let pending = std::mem::take(&mut self.at.pending);
        self.repool(pending);
        result
    }

    /// Remembers this very position.
    pub(crate) fn snapshot(&mut self) -> u64 {
        let id = self.next_snapshot;
        self.next_snapshot += 1;
        self.snapshots.insert(id, self.at.clone());
        if self.snapshots.len() > MAX_SNAPSHOTS {
            self.snapshots.pop_first();
        }
        id
    }

    /// Returns to a remembered position, which stays remembered; later ones are
    /// forgotten. False if there is none.
    pub(crate) fn revert(&mut self, id: u64) -> bool {
        let Some(position) = self.snapshots.get(&id) else {
            return false;
        };
        self.at = position.clone();
        self.snapshots.split_off(&(id + 1));
        true
    }
}
