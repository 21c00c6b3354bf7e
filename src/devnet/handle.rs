//! The handle to a running devnet: what a test does with it.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinHandle};

use crate::{
    devnet::{
        builder::{DEFAULT_MNEMONIC, DevnetAccount, DevnetError},
        chain::Chain,
        cheat::{AccountFields, Cheat, CheatError},
        control,
        faults::{Fault, FaultError},
        fork::{ForkError, Forked},
        incoming::Incoming,
        journal::JournalError,
        node::{Node, Pace},
        reject::Reject,
        trc20::Trc20,
    },
    tron::{
        block::Block,
        transaction::{RefBlock, Transaction, TransactionError},
    },
    types::{Address, BlockId, RawAmount, Token, TokenId, TxId, UnixMs},
};

/// A running devnet. Dropping it ends it and frees its port.
pub struct Devnet {
    pub(super) node: Arc<Node>,
    pub(super) accounts: Vec<DevnetAccount>,
    pub(super) mnemonic: String,
    pub(super) address: SocketAddr,
    pub(super) tasks: Vec<JoinHandle<()>>,
    pub(super) failure: watch::Receiver<Option<Arc<JournalError>>>,
}

impl fmt::Debug for Devnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Devnet")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        self.node.end();
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Devnet {
    /// Where it answers: `http://127.0.0.1:PORT`, for `/wallet` and
    /// `/walletsolidity` alike.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The TRC-20 tokens that were deployed at genesis, and their addresses.
    pub fn trc20(&self) -> Vec<(Trc20, Address)> {
        self.node.chain().start().token_addresses()
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The accounts that have something at genesis, in the mnemonic's order.
    pub fn accounts(&self) -> &[DevnetAccount] {
        &self.accounts
    }

    /// The recovery phrase of the accounts.
    pub fn mnemonic(&self) -> &str {
        &self.mnemonic
    }

    /// Whether the accounts' keys are everybody's.
    pub fn has_default_mnemonic(&self) -> bool {
        self.mnemonic == DEFAULT_MNEMONIC
    }

    /// The genesis block's id: the chain's identity.
    pub fn genesis_id(&self) -> BlockId {
        self.node.chain().genesis().id
    }

    /// The last four bytes of the genesis block's id, as TIP-712 and JSON-RPC
    /// have it.
    pub fn chain_id(&self) -> u32 {
        let id = self.genesis_id();
        let last = id.as_bytes().last_chunk::<4>();
        last.map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }

    /// The newest block's number.
    pub fn head_number(&self) -> u64 {
        self.node.chain().head().number()
    }

    /// The newest solid block's number.
    pub fn solid_number(&self) -> u64 {
        self.node.chain().solid()
    }

    /// A block, with its transactions.
    pub fn block(&self, number: u64) -> Option<Block> {
        let chain = self.node.chain();
        chain.block(number).map(|sealed| sealed.block.clone())
    }

    /// What an account holds at the head, pending transactions included; 0 for
    /// one that does not exist.
    ///
    /// # Panics
    /// In a fork, when it has to be read and cannot: see
    /// [`read_balance`](Self::read_balance).
    pub fn balance(&self, address: Address, token: Token) -> RawAmount {
        self.read_balance(address, token)
            .unwrap_or_else(|error| panic!("a balance: {error}"))
    }

    /// The same. In a fork this thread waits while the account is read: of a runtime with one
    /// thread alone it must not be that one, if the forked node runs there as well.
    ///
    /// # Errors
    /// The forked chain has it, and it cannot be read.
    pub fn read_balance(&self, address: Address, token: Token) -> Result<RawAmount, ForkError> {
        self.node.reading(|| {
            let chain = self.node.chain();
            let account = chain.pending_state().account(&address);
            let raw = account.map_or(0, |account| match token {
                Token::Trx => account.balance,
                Token::Trc10(id) => account.asset(id.get()),
            });
            RawAmount::new(raw).unwrap_or(RawAmount::ZERO)
        })
    }

    /// The chain that this one was forked from, if it was.
    pub fn forked(&self) -> Option<Forked> {
        self.node.chain().start().fork
    }

    /// Takes a transaction as a broadcast does, without HTTP.
    ///
    /// # Errors
    /// The node's own refusal.
    pub fn submit(&self, transaction: Transaction) -> Result<TxId, SubmitError> {
        let incoming = Incoming::new(transaction)?;
        let txid = incoming.txid();
        self.node.accept(incoming)?;
        Ok(txid)
    }

    /// Makes blocks now, each a slot after the one before it; the node's time
    /// moves along. Returns the head's id.
    pub fn mine(&self, blocks: u64) -> BlockId {
        self.node.mine(blocks).id
    }

    /// Stops making blocks by itself; [`mine`](Self::mine) still does.
    pub fn pause(&self) {
        self.node.pause(true);
    }

    /// Goes on making blocks.
    pub fn resume(&self) {
        self.node.pause(false);
    }

    /// The node's time.
    pub fn now(&self) -> UnixMs {
        self.node.now()
    }

    /// Moves the node's time, forwards or backwards; blocks never go back.
    pub fn set_time(&self, now: UnixMs) {
        self.node.set_now(now);
    }

    /// Moves the node's time forwards.
    pub fn advance(&self, by: Duration) {
        self.node.set_now(self.node.now().plus(by));
    }

    /// Remembers the chain as it is, pool included; the 256 newest are kept.
    pub fn snapshot(&self) -> u64 {
        self.node.snapshot()
    }

    /// Returns to a snapshot, which can be returned to again. False if it is
    /// not there. The node's time is again as far from the clock as it was then.
    pub fn revert(&self, snapshot: u64) -> bool {
        self.node.revert(snapshot)
    }

    /// Gives an account TRX or tokens out of nothing, creating it if need be.
    ///
    /// # Errors
    /// More than an account can hold, or a token that does not exist.
    pub fn fund(
        &self,
        address: Address,
        token: Token,
        amount: RawAmount,
    ) -> Result<(), CheatError> {
        let id = match token {
            Token::Trx => None,
            Token::Trc10(id) => Some(TokenId::get(id)),
        };
        control::fund(&self.node, address, id, amount.get())
    }

    /// Accepts transactions that refer to this block, as if it were one of this
    /// chain's recent ones: for replaying what was signed for another chain.
    ///
    /// # Errors
    /// The state file cannot be written.
    pub fn accept_reference(&self, reference: RefBlock) -> Result<(), CheatError> {
        self.node.cheat(&Cheat::Reference {
            bytes: reference.bytes,
            hash: reference.hash,
        })
    }

    /// Sets fields of an account, creating it if need be.
    ///
    /// # Errors
    /// A negative value, or a token that does not exist.
    pub fn set_account(&self, address: Address, fields: AccountFields) -> Result<(), CheatError> {
        control::set_account(&self.node, address, fields)
    }

    /// Takes transactions of these accounts whatever is in place of their signatures,
    /// and without any.
    ///
    /// # Errors
    /// The state file cannot be written.
    pub fn unlock(&self, addresses: &[Address]) -> Result<(), CheatError> {
        control::unlock(&self.node, addresses.to_vec())
    }

    /// Asks for these accounts' signatures again.
    ///
    /// # Errors
    /// The state file cannot be written.
    pub fn lock(&self, addresses: &[Address]) -> Result<(), CheatError> {
        control::lock(&self.node, addresses.to_vec())
    }

    /// When blocks are made from now on.
    pub fn set_pace(&self, pace: Pace) {
        self.node.set_pace(pace);
    }

    /// The chain as the text of a state file.
    ///
    /// # Errors
    /// Its oldest blocks are no longer kept.
    pub fn dump(&self) -> Result<String, CheatError> {
        control::dump(&self.node)
    }

    /// Puts a dumped chain in place of this one: snapshots and what is pending
    /// are gone.
    ///
    /// # Errors
    /// The text is no state, or its blocks do not come out as they were.
    pub fn load(&self, text: &str) -> Result<(), CheatError> {
        control::load(&self.node, text)
    }

    /// Changes a chain parameter from now on.
    ///
    /// # Errors
    /// No such parameter, or a negative value.
    pub fn set_parameter(&self, name: &str, value: i64) -> Result<(), CheatError> {
        control::set_parameter(&self.node, name, value)
    }

    /// Forks out the newest `blocks` blocks, solid ones never; their
    /// transactions return to the pool or are gone. Returns how many went.
    pub fn fork(&self, blocks: u64, keep_transactions: bool) -> u64 {
        self.node
            .change(|chain| chain.fork_out(blocks, keep_transactions))
    }

    /// Forgets the pending transactions, as a node that stopped does. Returns
    /// how many there were.
    pub fn drop_pending(&self) -> usize {
        self.node.change(Chain::drop_pending)
    }

    /// Adds a fault.
    ///
    /// # Errors
    /// A fault that cannot be.
    pub fn add_fault(&self, fault: Fault) -> Result<(), FaultError> {
        self.node.faults.add(fault)
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.node.faults.clear();
    }

    /// Starts the chances of faults anew, the same for the same seed.
    pub fn seed_faults(&self, seed: u64) {
        self.node.faults.seed(seed);
    }

    /// Holds `/walletsolidity` at the present solid block, or lets it go.
    pub fn hold_solid(&self, hold: bool) {
        let solid = hold.then(|| self.node.chain().solid());
        self.node.faults.hold_solid(solid);
    }

    /// Waits until it ends, which it does not by itself; why it did.
    ///
    /// A state file that cannot be written any more ends it: no block is made
    /// and nothing is accepted from then on.
    pub async fn wait(&mut self) -> DevnetError {
        let broken = self.failure.wait_for(Option::is_some);
        let error = match self.tasks.last_mut() {
            Some(serving) => tokio::select! {
                // An aborted or panicked server has ended as well.
                _ended = serving => None,
                error = broken => error.ok().and_then(|error| error.clone()),
            },
            None => None,
        };
        error.map_or(DevnetError::Ended, DevnetError::State)
    }
}

/// Why a transaction was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// No transaction at all.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// Refused by the chain.
    #[error("{code}: {0}", code = .0.code())]
    Reject(#[from] Reject),
}
