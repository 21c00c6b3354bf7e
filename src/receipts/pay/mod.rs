//! Payments in the swarm: the part of `sr_pay` that has effects.
//!
//! [`PayExtension`] is what a session is given. Its connections count bytes and
//! hand everything else to one worker thread, which alone signs and stores, in
//! order: a receipt is on disk before it is sent, or acknowledged.

mod chain;
mod conn;
mod granted;
mod inbox;
mod worker;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

pub use chain::{Answer, ChainError, ChainView};

use super::{
    body::ReceiptDomain,
    debt::Budget,
    exchange::{Ask, Bid, Exchange, Held, Setup},
    grant::{GrantRefusal, Identity, Revoke, SignedGrant},
    message::{HoldReason, Instance, MAX_GRANTS},
};
use crate::{
    ledger::{LedgerError, ReceiptBook},
    swarm::hooks::{ConnId, Extension, PeerContext, PeerExtension, PeerLink},
    tron::keys::Signature,
    types::{Address, BlockId, Clock, InfoHash, RawAmount, Salt, TokenId, TxId},
};
use conn::{Conn, Handle};
use granted::{KEY_RENEWED, good_grant};
use inbox::Inbox;
use worker::{Event, Worker};

/// What waits for the worker of all connections together: each has 64 messages at most,
/// so this is a flood from as many as 64 of them. A message takes at most about 10 KiB.
const MAX_QUEUED: usize = 4096;

/// What a session sells and buys, and for how much.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// Sells at this; `None` charges nothing.
    pub ask: Option<Ask>,
    /// Sells these torrents at another price; `None` charges nothing for it.
    pub ask_for: HashMap<InfoHash, Option<Ask>>,
    /// Addresses that are shared with for free.
    pub friends: HashSet<Address>,
    /// Buys at this; `None` pays nothing.
    pub bid: Option<Bid>,
    /// Buys of these torrents at another price; `None` pays nothing for it.
    pub bid_for: HashMap<InfoHash, Option<Bid>>,
    /// The most spent in this session, in raw units.
    pub max_spend: Option<RawAmount>,
    /// The most spent for one torrent in this session, in raw units.
    pub max_per_torrent: Option<RawAmount>,
    /// The most spent with one address in this session, in raw units.
    pub max_per_peer: Option<RawAmount>,
}

impl Terms {
    /// What is asked for this torrent.
    pub fn ask_of(&self, torrent: InfoHash) -> Option<Ask> {
        self.ask_for.get(&torrent).copied().unwrap_or(self.ask)
    }

    /// What is bid for this torrent.
    pub fn bid_of(&self, torrent: InfoHash) -> Option<Bid> {
        self.bid_for.get(&torrent).copied().unwrap_or(self.bid)
    }

    /// Whether anything is sold.
    pub fn sells(&self) -> bool {
        self.asks().next().is_some()
    }

    /// Whether anything is bought.
    pub fn buys(&self) -> bool {
        self.bid.is_some() || self.bid_for.values().any(Option::is_some)
    }

    /// Whether both say the same of a torrent.
    fn is_alike(&self, other: &Self, torrent: InfoHash) -> bool {
        self.ask_of(torrent) == other.ask_of(torrent)
            && self.bid_of(torrent) == other.bid_of(torrent)
    }

    /// All that is asked, for whatever.
    pub fn asks(&self) -> impl Iterator<Item = &Ask> {
        self.ask.iter().chain(self.ask_for.values().flatten())
    }

    fn check(&self) -> Result<(), PayError> {
        match self.asks().any(|ask| ask.floor_price == 0) {
            true => Err(PayError::FreeAsk),
            false => Ok(()),
        }
    }
}

/// How payments are set up.
#[derive(Clone)]
pub struct PayConfig {
    /// Who we are, and what signs for us.
    pub identity: Identity,
    /// The chain's genesis block; the ledger's too.
    pub genesis: BlockId,
    /// What is paid in.
    pub token: TokenId,
    /// What is sold and bought at first ([`PayExtension::set_terms`]).
    pub terms: Terms,
    /// Takes part on private torrents too.
    pub on_private: bool,
    /// Where receipts are kept.
    pub ledger: Arc<dyn ReceiptBook>,
    /// The user's own node.
    pub chain: Arc<dyn ChainView>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Told what happens; called by the worker, must not block.
    pub on_event: Arc<dyn Fn(PayEvent) + Send + Sync>,
}

/// Why payments cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum PayError {
    /// The ledger is another chain's.
    #[error("the ledger is bound to the chain {ledger}, not to {chain}")]
    OtherChain {
        /// The ledger's.
        ledger: BlockId,
        /// The configured one.
        chain: BlockId,
    },
    /// Free selling is done by not asking.
    #[error("an ask cannot be 0: leave it out to share for free")]
    FreeAsk,
    /// The grant does not hold.
    #[error("the session's spend grant is not good: {0}")]
    Grant(#[from] GrantRefusal),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The node.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The operating system.
    #[error("payments cannot start: {0}")]
    System(String),
}

/// What happens, for people to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PayEvent {
    /// A peer proved who it is.
    Met {
        /// Who.
        peer: Address,
    },
    /// A bidder is served at this price (raw units per GiB).
    Selling {
        /// To whom.
        peer: Address,
        /// At.
        price: u64,
    },
    /// A bidder is not served as a paying one.
    NotSelling {
        /// To whom.
        peer: Address,
        /// Why, in words.
        reason: String,
    },
    /// A receipt of ours is on disk and sent.
    Issued {
        /// To whom.
        peer: Address,
        /// Owed in all in its epoch.
        amount: RawAmount,
        /// More than before.
        raised: RawAmount,
    },
    /// A receipt of a peer's is on disk.
    Received {
        /// From whom.
        peer: Address,
        /// Owed in all in its epoch.
        amount: RawAmount,
        /// More than before.
        raised: RawAmount,
    },
    /// A transfer to us is in the solid chain of our own node.
    Settled {
        /// From whom.
        peer: Address,
        /// Its transaction.
        txid: TxId,
        /// How much.
        amount: RawAmount,
    },
    /// A peer did not pay what was due within a minute of coming back.
    Defaulted {
        /// Who.
        peer: Address,
        /// What was given up.
        amount: RawAmount,
    },
    /// A peer signed two statements under one sequence; it is not served again.
    Contradiction {
        /// Who.
        peer: Address,
    },
    /// Our own signature was shown to us, and our log does not have it: another
    /// machine uses this key, or the ledger is an old copy.
    Evidence {
        /// Who showed it.
        peer: Address,
        /// What it says we owe.
        amount: RawAmount,
    },
    /// A seller does not sell to us now: it is shared with as with any other peer, until
    /// it sells again.
    TurnedBack {
        /// Who.
        peer: Address,
        /// Why, as it says.
        why: HoldReason,
        /// What we owe it and did not settle.
        owed: RawAmount,
    },
    /// A limit of the user's is used up: the rest is downloaded for free.
    LimitReached,
    /// The session key ends: nothing is bought or sold under it from then on.
    KeyEnds {
        /// After this long.
        left: Duration,
    },
    /// We buy of somebody whose account is not on the chain: to pay it costs its making.
    PayeeUnknown {
        /// Who.
        peer: Address,
    },
    /// Our node has not answered for so long, or answers again (`None`): nobody new is sold
    /// to on credit, and no settlement is seen.
    NodeSilent {
        /// What it said last.
        reason: Option<String>,
    },
    /// Our node's solid chain is shorter than it was: it may be another chain.
    NodeBehind {
        /// The newest solid block that was seen.
        seen: u64,
        /// What it says now.
        now: u64,
    },
    /// Nothing more is signed in this session.
    Stopped {
        /// Why, in words.
        reason: String,
    },
}

/// What one address or one torrent came to in this session, in raw units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Signed away.
    pub spent_raw: u64,
    /// Receipted to us.
    pub earned_raw: u64,
}

#[derive(Debug, Default)]
struct Tallies {
    peers: HashMap<Address, Tally>,
    torrents: HashMap<InfoHash, Tally>,
}

/// Sums of this session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PayTotals {
    /// Signed away, in raw units.
    pub spent_raw: u64,
    /// Receipted to us, in raw units.
    pub earned_raw: u64,
    /// Receipts issued.
    pub issued: u64,
    /// Receipts stored.
    pub received: u64,
    /// How often a paying peer was held.
    pub holds: u64,
    /// For how long, over all its connections, in milliseconds.
    pub held_ms: u64,
    /// Bytes of `sr_pay` on the wire, both ways.
    pub wire_bytes: u64,
}

/// One connection as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerView {
    /// The connection.
    pub conn: ConnId,
    /// Who, once proven.
    pub peer: Option<Address>,
    /// About which torrent.
    pub info_hash: InfoHash,
    /// What it pays us, in raw units per GiB.
    pub sale_price: Option<u64>,
    /// What we pay it, in raw units per GiB.
    pub purchase_price: Option<u64>,
    /// Where the peer is.
    pub remote: SocketAddr,
    /// Why it is held, if it is.
    pub held: Option<Held>,
    /// How long it was, in all.
    pub held_for: Duration,
    /// Served to its address and not paid, in bytes.
    pub unpaid_bytes: u64,
    /// Its address's window, in bytes.
    pub window_bytes: u64,
    /// Owed to us by its receipts and not settled, in raw units.
    pub owed_raw: RawAmount,
    /// Owed by us for verified bytes in no receipt yet, in bytes.
    pub due_bytes: u64,
    /// What its address and we came to in this session.
    pub tally: Tally,
}

/// A poisoned lock means that a thread of ours panicked while it counted; the
/// counts are whole after each statement, so they are used on.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct Counters {
    spent: AtomicU64,
    earned: AtomicU64,
    issued: AtomicU64,
    received: AtomicU64,
    holds: AtomicU64,
    /// Of connections that are closed.
    held_ms: AtomicU64,
    wire: AtomicU64,
}

/// What connections and the worker share.
struct Shared {
    config: PayConfig,
    /// Who signs now. Held for a moment, and never while another lock is taken.
    identity: Mutex<Identity>,
    /// Held for a moment, and never while another lock is taken.
    terms: Mutex<Arc<Terms>>,
    domain: ReceiptDomain,
    instance: Instance,
    budget: Mutex<Budget>,
    budgets: Mutex<HashMap<InfoHash, Arc<Mutex<Budget>>>>,
    /// Bytes each torrent still wants, as its owner said.
    left: Mutex<HashMap<InfoHash, u64>>,
    tallies: Mutex<Tallies>,
    revokes: Vec<(Revoke, Signature)>,
    counters: Counters,
    /// The newest solid block's number.
    head: AtomicU64,
    conns: Mutex<Vec<Arc<Conn>>>,
}

impl Shared {
    /// What is sold and bought from now on.
    fn terms(&self) -> Arc<Terms> {
        Arc::clone(&locked(&self.terms))
    }

    /// Who signs now.
    fn identity(&self) -> Identity {
        locked(&self.identity).clone()
    }

    fn ask_of(&self, torrent: InfoHash) -> Option<Ask> {
        self.terms().ask_of(torrent)
    }

    /// The ask that lets strangers owe the most.
    fn most_exposed(&self) -> Option<Ask> {
        let terms = self.terms();
        terms.asks().max_by_key(|ask| ask.unproven_cap).copied()
    }

    fn sells(&self) -> bool {
        self.terms().sells()
    }
}

/// The `sr_pay` extension of a session. Dropping it stops the worker, which
/// gives the epochs back.
pub struct PayExtension {
    shared: Arc<Shared>,
    events: Arc<Inbox<Event>>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for PayExtension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PayExtension")
            .field("identity", &self.shared.config.identity)
            .finish_non_exhaustive()
    }
}

impl PayExtension {
    /// The extension's name in the BEP 10 handshake.
    pub const NAME: &'static str = "sr_pay";

    /// Asks the node where the solid chain is and what we hold, and starts the
    /// worker. Call it inside a tokio runtime, which answers of the node use.
    ///
    /// # Errors
    /// The node does not answer, the ledger is another chain's, or an ask of 0.
    pub async fn start(config: PayConfig) -> Result<Arc<Self>, PayError> {
        if config.ledger.genesis() != config.genesis {
            return Err(PayError::OtherChain {
                ledger: config.ledger.genesis(),
                chain: config.genesis,
            });
        }
        let terms = &config.terms;
        terms.check()?;
        let own = config.identity.account();
        let mut limit = terms.max_spend;
        if let Some(grant) = config.identity.grant() {
            let left = good_grant(&config, grant, None)?;
            limit = Some(limit.map_or(left, |limit| limit.min(left)));
        }
        // The newest revocations: peers keep older ones from before.
        let mut revocations = config.ledger.revocations(own)?;
        revocations.sort_by_key(|row| std::cmp::Reverse(row.serial));
        let revokes = revocations
            .iter()
            .take(MAX_GRANTS)
            .map(|row| {
                let body = Revoke {
                    payer: row.payer,
                    signer: row.signer,
                    serial: row.serial,
                };
                Signature::from_slice(&row.signature)
                    .map(|signature| (body, signature))
                    .map_err(|error| LedgerError::Damaged(error.to_string()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let head = config.chain.solid_head().await?;
        let balance = match terms.buys() {
            true => config.chain.balance(own, config.token).await?,
            false => None,
        };
        let balance = balance.unwrap_or(RawAmount::ZERO);
        let mut instance = Instance::default();
        getrandom::fill(&mut instance).map_err(|error| PayError::System(error.to_string()))?;
        let shared = Arc::new(Shared {
            domain: ReceiptDomain::new(config.genesis),
            instance,
            budget: Mutex::new(Budget::new(limit)),
            budgets: Mutex::default(),
            left: Mutex::default(),
            tallies: Mutex::default(),
            revokes,
            counters: Counters::default(),
            head: AtomicU64::new(head),
            conns: Mutex::new(Vec::new()),
            terms: Mutex::new(Arc::new(config.terms.clone())),
            identity: Mutex::new(config.identity.clone()),
            config,
        });
        let events = Arc::new(Inbox::new(MAX_QUEUED));
        let worker = Worker::new(
            Arc::clone(&shared),
            Arc::clone(&events),
            tokio::runtime::Handle::current(),
            balance,
        );
        let handle = std::thread::Builder::new()
            .name("seedrail-pay".to_owned())
            .spawn(move || worker.run())
            .map_err(|error| PayError::System(error.to_string()))?;
        Ok(Arc::new(Self {
            shared,
            events,
            worker: Mutex::new(Some(handle)),
        }))
    }

    /// Sums of this session.
    pub fn totals(&self) -> PayTotals {
        let counters = &self.shared.counters;
        let held = |conn: &Arc<Conn>| u64::try_from(conn.view().held_for.as_millis());
        let held_now: u64 = locked(&self.shared.conns)
            .iter()
            .filter(|conn| !conn.gone())
            .map(|conn| held(conn).unwrap_or(u64::MAX))
            .fold(0, u64::saturating_add);
        PayTotals {
            spent_raw: counters.spent.load(Ordering::Relaxed),
            earned_raw: counters.earned.load(Ordering::Relaxed),
            issued: counters.issued.load(Ordering::Relaxed),
            received: counters.received.load(Ordering::Relaxed),
            holds: counters.holds.load(Ordering::Relaxed),
            held_ms: counters
                .held_ms
                .load(Ordering::Relaxed)
                .saturating_add(held_now),
            wire_bytes: counters.wire.load(Ordering::Relaxed),
        }
    }

    /// The connections as they stand.
    pub fn peers(&self) -> Vec<PeerView> {
        locked(&self.shared.conns)
            .iter()
            .map(|conn| conn.view())
            .collect()
    }

    /// What each torrent came to in this session, in no order.
    pub fn torrents(&self) -> Vec<(InfoHash, Tally)> {
        let tallies = locked(&self.shared.tallies);
        tallies
            .torrents
            .iter()
            .map(|(torrent, tally)| (*torrent, *tally))
            .collect()
    }

    /// How many bytes a torrent still wants: with an automatic bid, what the
    /// budget left allows for them is never passed.
    pub fn wants(&self, torrent: InfoHash, bytes_left: u64) {
        locked(&self.shared.left).insert(torrent, bytes_left);
    }

    /// A torrent is gone: what it came to is not told any more. What may still be spent for it
    /// in this session is remembered, if that has a limit.
    pub fn forget(&self, torrent: InfoHash) {
        locked(&self.shared.left).remove(&torrent);
        locked(&self.shared.tallies).torrents.remove(&torrent);
        if self.shared.terms().max_per_torrent.is_none() {
            locked(&self.shared.budgets).remove(&torrent);
        }
    }

    /// What is sold and bought.
    pub fn terms(&self) -> Arc<Terms> {
        self.shared.terms()
    }

    /// Sells and buys at other terms from now on. What was agreed on a connection holds as
    /// long as that: where the price of its torrent changes, the connection is closed, what is
    /// owed on it stays owed, and the peer is met anew. Limits of spending are those of the
    /// start.
    ///
    /// # Errors
    /// An ask of 0.
    pub fn set_terms(&self, terms: Terms) -> Result<(), PayError> {
        terms.check()?;
        let terms = Arc::new(terms);
        let before = std::mem::replace(&mut *locked(&self.shared.terms), Arc::clone(&terms));
        let conns = locked(&self.shared.conns).clone();
        for conn in conns {
            if !before.is_alike(&terms, conn.context.info_hash) {
                conn.close("the prices have changed");
            }
        }
        // What may be bought depends on what we hold.
        if terms.buys() && !before.buys() {
            self.events.put(Event::AskNode);
        }
        Ok(())
    }

    /// The grant that is signed under now; none: the account's own key signs.
    pub fn grant(&self) -> Option<SignedGrant> {
        self.shared.identity().grant().copied()
    }

    /// Another key of the same account signs from now on. What is due is signed by the one
    /// before; then every connection is closed, and its peer is met anew. All keys that
    /// followed one another sign away no more than the first could, also after a restart and
    /// beside other processes. Blocks for a store or two.
    ///
    /// # Errors
    /// Another account, or a grant that does not hold.
    pub fn renew(&self, identity: Identity) -> Result<(), PayError> {
        let config = &self.shared.config;
        if identity.account() != config.identity.account() {
            return Err(GrantRefusal::Parties.into());
        }
        if let Some(grant) = identity.grant() {
            let renews = self.grant().map(|before| before.hash());
            good_grant(config, grant, renews)?;
        }
        self.events.put(Event::Renewed(Box::new(identity)));
        Ok(())
    }

    /// Stops the worker after what it has begun, and waits for it: the epochs
    /// are free afterwards. Blocks for a store or two.
    pub fn shutdown(&self) {
        self.events.put(Event::Shutdown);
        let Some(handle) = locked(&self.worker).take() else {
            return;
        };
        // The last owner may be a connection that the worker has in hand: it ends
        // by itself then, after what it has begun.
        let own = handle.thread().id() == std::thread::current().id();
        if !own && handle.join().is_err() {
            tracing::error!("the payment worker panicked");
        }
    }
}

impl Drop for PayExtension {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Extension for PayExtension {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn enabled(&self, _info_hash: InfoHash, private: bool) -> bool {
        !private || self.shared.config.on_private
    }

    fn earned(&self, info_hash: InfoHash) -> u64 {
        let tallies = locked(&self.shared.tallies);
        let tally = tallies.torrents.get(&info_hash);
        tally.map_or(0, |tally| tally.earned_raw)
    }

    fn attach(&self, peer: PeerContext, link: Arc<dyn PeerLink>) -> Arc<dyn PeerExtension> {
        let shared = &self.shared;
        let (terms, identity) = (shared.terms(), shared.identity());
        let mut nonce = [0; 32];
        let random = getrandom::fill(&mut nonce);
        let (exchange, outputs) = Exchange::new(Setup {
            domain: shared.domain,
            token: shared.config.token,
            identity: identity.clone(),
            revokes: shared.revokes.clone(),
            ask: terms.ask_of(peer.info_hash),
            bid: terms.bid_of(peer.info_hash),
            torrent: peer.info_hash,
            piece_length: peer.piece_length,
            conn: peer.conn,
            peer_ids: (peer.own_id, peer.peer_id),
            nonce: Salt::from_bytes(nonce),
            instance: shared.instance,
            since: shared.head.load(Ordering::Relaxed),
            now: shared.config.clock.now(),
        });
        let conn = Arc::new(Conn::new(
            Arc::clone(shared),
            peer,
            link,
            exchange,
            Arc::clone(&self.events),
        ));
        if random.is_err() {
            conn.close("no randomness for a nonce");
            return Arc::new(Handle(conn));
        }
        locked(&shared.conns).push(Arc::clone(&conn));
        // They may have changed before it could be seen that it is here.
        if !terms.is_alike(&shared.terms(), conn.context.info_hash) {
            conn.close("the prices have changed");
        }
        if identity.grant_hash() != shared.identity().grant_hash() {
            conn.close(KEY_RENEWED);
        }
        if self
            .events
            .offer(Event::Attached(Arc::clone(&conn), outputs))
            .is_err()
        {
            conn.close("payments have too much to do");
        }
        Arc::new(Handle(conn))
    }
}
