//! Two payment extensions joined by a link in memory, with real ledgers, and
//! a seller that "sends" what its extension allows.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Condvar, Mutex, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use seedrail::{
    ledger::{Ledger, SqliteLedger, TransferRow},
    receipts::{
        Ask, Bid, Identity, SignedGrant,
        pay::{Answer, ChainError, ChainView, PayConfig, PayEvent, PayExtension, Terms},
    },
    swarm::hooks::{
        ConnId, Extension, PeerContext, PeerExtension, PeerLink, PriceTag, UploadClass,
    },
    tron::keys::SecretKey,
    types::{Address, BlockId, Clock, InfoHash, RawAmount, SystemClock, TokenId, TxId},
};

/// A GiB costs this many raw units.
pub(crate) const PRICE: u64 = 5_000_000;
pub(crate) const PIECE: u32 = 256 << 10;
const CHUNK: u32 = 16 << 10;
const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) fn genesis() -> BlockId {
    BlockId::from_bytes([9; 32])
}

pub(crate) fn key(n: u8) -> SecretKey {
    SecretKey::from_hex(&format!("{n:064x}")).expect("small numbers are keys")
}

pub(crate) fn raw(n: i64) -> RawAmount {
    RawAmount::new(n).expect("not negative")
}

/// Waits until `done`, and says what for when it takes too long.
pub(crate) fn wait_until(what: &str, done: impl FnMut() -> bool) {
    crate::support::waiting::wait_until(what, DEADLINE, done);
}

/// Bytes that nothing shrinks, the same every time.
pub(crate) fn content(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(size);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes
}

/// A chain on which the accounts are what the test says.
#[derive(Default)]
pub(crate) struct FakeChain {
    pub(crate) balances: Mutex<HashMap<Address, RawAmount>>,
    pub(crate) transfers: Mutex<HashMap<TxId, TransferRow>>,
    /// How often it was asked about an account, and about a transfer.
    pub(crate) questions: AtomicU64,
    pub(crate) looks: AtomicU64,
    /// It does not answer.
    pub(crate) silent: AtomicBool,
    /// It has so many blocks less.
    pub(crate) behind: AtomicU64,
}

impl FakeChain {
    pub(crate) fn with(balances: &[(Address, i64)]) -> Arc<Self> {
        let chain = Self::default();
        chain
            .balances
            .lock()
            .expect("not poisoned")
            .extend(balances.iter().map(|(a, n)| (*a, raw(*n))));
        Arc::new(chain)
    }
}

impl ChainView for FakeChain {
    fn solid_head(&self) -> Answer<'_, u64> {
        let silent = self.silent.load(Ordering::SeqCst);
        let behind = self.behind.load(Ordering::SeqCst);
        Box::pin(async move {
            if silent {
                return Err(ChainError("it is silent".to_owned()));
            }
            Ok(1_000 - behind)
        })
    }

    fn balance(&self, address: Address, _: TokenId) -> Answer<'_, Option<RawAmount>> {
        self.questions.fetch_add(1, Ordering::SeqCst);
        let balance = self
            .balances
            .lock()
            .expect("not poisoned")
            .get(&address)
            .copied();
        Box::pin(async move { Ok(balance) })
    }

    fn settlement(&self, txid: TxId) -> Answer<'_, Option<TransferRow>> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        let row = self
            .transfers
            .lock()
            .expect("not poisoned")
            .get(&txid)
            .copied();
        Box::pin(async move { Ok(row) })
    }
}

/// One party: its ledger, its extension, what happened to it.
pub(crate) struct Party {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) pay: Arc<PayExtension>,
    pub(crate) events: Arc<Mutex<Vec<PayEvent>>>,
}

/// What a party wants.
#[derive(Clone)]
pub(crate) struct Wants {
    pub(crate) ask: Option<u64>,
    pub(crate) bid: Option<u64>,
    pub(crate) max_spend: Option<i64>,
    pub(crate) unproven_cap: i64,
    /// Of the account; then `n` is a session key's.
    pub(crate) grant: Option<SignedGrant>,
    pub(crate) friends: Vec<Address>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) on_private: bool,
}

pub(crate) fn seller() -> Wants {
    Wants {
        ask: Some(PRICE),
        bid: None,
        max_spend: None,
        unproven_cap: 10_000_000,
        grant: None,
        friends: Vec::new(),
        clock: Arc::new(SystemClock),
        on_private: false,
    }
}

pub(crate) fn buyer(bid: u64) -> Wants {
    Wants {
        ask: None,
        bid: Some(bid),
        max_spend: None,
        unproven_cap: 10_000_000,
        grant: None,
        friends: Vec::new(),
        clock: Arc::new(SystemClock),
        on_private: false,
    }
}

pub(crate) fn sqlite(folder: &Path, name: &str) -> Arc<dyn Ledger> {
    let path = folder.join(name);
    Arc::new(SqliteLedger::open(&path, genesis()).expect("a new ledger"))
}

impl Party {
    pub(crate) async fn start(
        n: u8,
        ledger: Arc<dyn Ledger>,
        chain: Arc<FakeChain>,
        wants: Wants,
    ) -> Self {
        let events = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&events);
        let pay = PayExtension::start(PayConfig {
            identity: match wants.grant {
                Some(grant) => Identity::session(Arc::new(key(n)), grant).expect("its key"),
                None => Identity::own(Arc::new(key(n))),
            },
            genesis: genesis(),
            token: TokenId::BTT,
            terms: Terms {
                ask: wants.ask.map(|floor_price| Ask {
                    floor_price,
                    unproven_cap: raw(wants.unproven_cap),
                }),
                bid: wants.bid.map(Bid::Fixed),
                max_spend: wants.max_spend.map(raw),
                friends: wants.friends.into_iter().collect(),
                ..Terms::default()
            },
            on_private: wants.on_private,
            ledger: ledger.clone(),
            chain,
            clock: wants.clock,
            on_event: Arc::new(move |event| log.lock().expect("not poisoned").push(event)),
        })
        .await
        .expect("the fake chain answers");
        Self {
            ledger,
            pay,
            events,
        }
    }

    pub(crate) fn events(&self) -> Vec<PayEvent> {
        self.events.lock().expect("not poisoned").clone()
    }
}

/// One direction of a connection.
pub(crate) struct End {
    other: Mutex<Weak<Joined>>,
    to_seller: bool,
    pub(crate) class: Mutex<UploadClass>,
    pub(crate) closed: Mutex<Option<String>>,
    wakes: Condvar,
    woken: Mutex<u64>,
    /// Messages that still pass; then the line is cut.
    pub(crate) passes: AtomicU64,
    pub(crate) sent: Mutex<Vec<Vec<u8>>>,
    pub(crate) queue: Mutex<Vec<Vec<u8>>>,
    pumping: AtomicBool,
}

impl End {
    fn new(to_seller: bool) -> Arc<Self> {
        Arc::new(Self {
            other: Mutex::new(Weak::new()),
            to_seller,
            class: Mutex::new(UploadClass::Free),
            closed: Mutex::new(None),
            wakes: Condvar::new(),
            woken: Mutex::new(0),
            passes: AtomicU64::new(u64::MAX),
            sent: Mutex::new(Vec::new()),
            queue: Mutex::new(Vec::new()),
            pumping: AtomicBool::new(false),
        })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.lock().expect("not poisoned").is_some()
    }

    /// Delivers what is queued, in order, by whoever comes first.
    fn pump(&self) {
        while !self.pumping.swap(true, Ordering::AcqRel) {
            loop {
                let Some(joined) = self.other.lock().expect("not poisoned").upgrade() else {
                    break;
                };
                let next = {
                    let mut queue = self.queue.lock().expect("not poisoned");
                    (!queue.is_empty()).then(|| queue.remove(0))
                };
                let Some(payload) = next else { break };
                let (extension, end) = if self.to_seller {
                    (&joined.seller, &joined.seller_end)
                } else {
                    (&joined.buyer, &joined.buyer_end)
                };
                if let Err(violation) = extension.message(&payload) {
                    end.close(&violation.0);
                }
            }
            self.pumping.store(false, Ordering::Release);
            let waiting = !self.queue.lock().expect("not poisoned").is_empty()
                && self.other.lock().expect("not poisoned").strong_count() > 0;
            if !waiting {
                break;
            }
        }
    }
}

impl PeerLink for End {
    fn send(&self, payload: Vec<u8>) -> bool {
        self.sent
            .lock()
            .expect("not poisoned")
            .push(payload.clone());
        if self.passes.load(Ordering::Acquire) == 0 {
            return false;
        }
        self.passes.fetch_sub(1, Ordering::AcqRel);
        self.queue.lock().expect("not poisoned").push(payload);
        self.pump();
        true
    }

    fn set_class(&self, class: UploadClass) {
        *self.class.lock().expect("not poisoned") = class;
        self.wake();
    }

    fn wake(&self) {
        *self.woken.lock().expect("not poisoned") += 1;
        self.wakes.notify_all();
    }

    fn close(&self, reason: &str) {
        self.closed
            .lock()
            .expect("not poisoned")
            .get_or_insert_with(|| reason.to_owned());
        self.wake();
    }
}

/// A connection between a buyer and a seller.
pub(crate) struct Joined {
    pub(crate) buyer: Arc<dyn PeerExtension>,
    pub(crate) seller: Arc<dyn PeerExtension>,
    pub(crate) buyer_end: Arc<End>,
    pub(crate) seller_end: Arc<End>,
    next_piece: Mutex<u32>,
}

static CONNECTIONS: AtomicU64 = AtomicU64::new(1);

/// What a line is about, if nothing else is said.
const TORRENT: InfoHash = InfoHash::from_bytes([3; 20]);

impl Joined {
    pub(crate) fn new(buyer: &Party, seller: &Party) -> Arc<Self> {
        Self::about(TORRENT, buyer, seller)
    }

    /// About this torrent.
    pub(crate) fn about(torrent: InfoHash, buyer: &Party, seller: &Party) -> Arc<Self> {
        Self::join(
            torrent,
            buyer,
            seller,
            ([127, 0, 0, 1], 6881).into(),
            u64::MAX,
        )
    }

    /// The buyer is at this address.
    pub(crate) fn from(buyer: &Party, remote: SocketAddr, seller: &Party) -> Arc<Self> {
        Self::join(TORRENT, buyer, seller, remote, u64::MAX)
    }

    /// Somebody says the buyer's hello and cannot prove it.
    pub(crate) fn pretending(buyer: &Party, seller: &Party) -> Arc<Self> {
        Self::join(TORRENT, buyer, seller, ([127, 0, 0, 1], 6881).into(), 1)
    }

    fn join(
        info_hash: InfoHash,
        buyer: &Party,
        seller: &Party,
        remote: SocketAddr,
        passes: u64,
    ) -> Arc<Self> {
        let context = |own: u8, peer: u8| PeerContext {
            conn: ConnId(CONNECTIONS.fetch_add(1, Ordering::Relaxed)),
            info_hash,
            private: false,
            remote,
            own_id: [own; 20],
            peer_id: [peer; 20],
            piece_length: PIECE,
        };
        let (buyer_end, seller_end) = (End::new(true), End::new(false));
        buyer_end.passes.store(passes, Ordering::SeqCst);
        let joined = Arc::new(Self {
            buyer: buyer
                .pay
                .attach(context(1, 2), Arc::clone(&buyer_end) as Arc<dyn PeerLink>),
            seller: seller
                .pay
                .attach(context(2, 1), Arc::clone(&seller_end) as Arc<dyn PeerLink>),
            buyer_end,
            seller_end,
            next_piece: Mutex::new(0),
        });
        for end in [&joined.buyer_end, &joined.seller_end] {
            *end.other.lock().expect("not poisoned") = Arc::downgrade(&joined);
            end.pump();
        }
        joined.seller.peer_interested(true);
        joined
    }

    pub(crate) fn wait_for_award(&self) {
        wait_until("the bid is awarded", || {
            assert!(
                !self.broken(),
                "{:?}",
                (&self.buyer_end.closed, &self.seller_end.closed)
            );
            matches!(
                *self.seller_end.class.lock().expect("not poisoned"),
                UploadClass::Paid { .. }
            )
        });
    }

    pub(crate) fn broken(&self) -> bool {
        self.buyer_end.is_closed() || self.seller_end.is_closed()
    }

    /// One chunk's worth of permission to send, waited for; false when the
    /// connection broke.
    fn send_chunk(&self, seller: &dyn PeerExtension, piece: u32) -> bool {
        let mut allowed = false;
        wait_until("a chunk may be sent", || {
            if self.broken() {
                return true;
            }
            allowed = seller.upload_allowance() >= u64::from(CHUNK);
            allowed
        });
        if allowed {
            seller.served(piece, CHUNK);
        }
        allowed
    }

    /// Takes what may be had without paying; returns how many bytes that was.
    pub(crate) fn take(&self) -> u64 {
        let mut taken = 0;
        // Without a bound it is what any free peer may have.
        while (u64::from(CHUNK)..u64::MAX).contains(&self.seller.upload_allowance()) {
            self.seller.served(0, CHUNK);
            taken += u64::from(CHUNK);
        }
        taken
    }

    /// Downloads whole pieces; returns how many bytes went at a price.
    pub(crate) fn download(&self, pieces: u32) -> u64 {
        self.transfer(&*self.buyer, &*self.seller, pieces)
    }

    /// The other way: the buyer's end sells.
    pub(crate) fn upload(&self, pieces: u32) -> u64 {
        self.transfer(&*self.seller, &*self.buyer, pieces)
    }

    fn transfer(&self, buyer: &dyn PeerExtension, seller: &dyn PeerExtension, pieces: u32) -> u64 {
        let mut paid = 0;
        for _ in 0..pieces {
            let piece = {
                let mut next = self.next_piece.lock().expect("not poisoned");
                *next += 1;
                *next
            };
            let mut chunks = Vec::new();
            for _ in 0..PIECE / CHUNK {
                let mut tag = None;
                wait_until("a chunk may be asked for", || {
                    tag = buyer.price_request(piece, CHUNK);
                    tag.is_some() || self.broken()
                });
                let Some(tag) = tag else { return paid };
                if !self.send_chunk(seller, piece) {
                    return paid;
                }
                chunks.push((tag, CHUNK));
            }
            paid += chunks
                .iter()
                .filter(|(tag, _)| *tag != PriceTag(0))
                .map(|(_, bytes)| u64::from(*bytes))
                .sum::<u64>();
            buyer.piece_verified(piece, &chunks);
        }
        paid
    }

    pub(crate) fn finish(&self) {
        self.buyer.finished();
        wait_until("everything is receipted and acknowledged", || {
            self.buyer.drained() || self.broken()
        });
    }

    pub(crate) fn close(&self) {
        self.buyer.closed();
        self.seller.closed();
    }
}
