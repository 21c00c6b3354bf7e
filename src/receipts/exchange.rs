//! One connection's side of `sr_pay` as a pure machine: what comes in (a
//! message, a tick, bytes served or verified, a store that is done) gives what
//! goes out (messages, requests to store, a class for the scheduler).
//!
//! A connection goes through `greeting → authenticating → established → over`;
//! both sides of a pair ([`Debt`], [`Credit`]) outlive it and are handed in.

use std::{sync::Arc, time::Duration};

use super::{
    body::{Accepted, Expected, Hello, Quote, ReceiptDomain, SignedReceipt},
    credit::{Credit, PIPELINE_BYTES},
    debt::{Budget, Debt},
    grant::{GrantContext, SignedGrant},
    message::{HelloMessage, Instance, Message, VERSION},
};
use crate::{
    ledger::{Pair, Stored},
    swarm::hooks::{ConnId, PriceTag, UploadClass, Violation},
    tron::keys::Signer,
    types::{Address, RawAmount, Salt, TokenId, TxId, UnixMs},
};

/// How long requests wait for the terms to be agreed before they are made at
/// no price.
pub const NEGOTIATION: Duration = Duration::from_secs(5);
/// How long a quote holds.
const QUOTE_VALID: Duration = Duration::from_secs(3600);
/// A bid is raised at most this often.
pub const RAISE_INTERVAL: Duration = Duration::from_secs(60);
/// Held with nothing to pay for so long: the bid is withdrawn.
const STALLED: Duration = Duration::from_secs(15);
/// Receipts that may come at once, and one more each [`super::debt::MIN_INTERVAL`].
const RECEIPT_BURST: u32 = 8;
/// Receipts passed over unread before the connection is closed.
const MAX_IGNORED_RECEIPTS: u32 = 64;
/// What is sent at once; less credit than this is none.
const CHUNK_BYTES: u64 = 16 << 10;
/// The most `settled` messages looked at on a connection.
const MAX_SETTLED: u32 = 64;

/// The seller's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// The lowest price, in raw units per GiB; above zero.
    pub floor_price: u64,
    /// What an address that never settled may owe, in raw units.
    pub unproven_cap: RawAmount,
}

/// What the machine is told once.
#[derive(Clone)]
pub struct Setup {
    /// The chain.
    pub domain: ReceiptDomain,
    /// What is paid in.
    pub token: TokenId,
    /// Signs for us.
    pub signer: Arc<dyn Signer>,
    /// Sells, at this.
    pub ask: Option<Ask>,
    /// Buys, at this price at most (raw units per GiB).
    pub bid: Option<u64>,
    /// Of this torrent, in bytes.
    pub piece_length: u32,
    /// The connection.
    pub conn: ConnId,
    /// For this connection alone, random.
    pub nonce: Salt,
    /// Our BitTorrent peer id on this connection, then the peer's.
    pub peer_ids: ([u8; 20], [u8; 20]),
    /// Which process we are.
    pub instance: Instance,
    /// Our solid head.
    pub since: u64,
    /// When the connection was made.
    pub now: UnixMs,
}

/// What comes in besides messages.
#[derive(Debug, Clone)]
pub enum Input {
    /// The ledger's rows about the peer were read into [`Debt`] and [`Credit`].
    Loaded {
        /// The newest of each epoch that we issued to the peer.
        issued: Vec<SignedReceipt>,
        /// The newest of each epoch that the peer issued to us.
        received: Vec<SignedReceipt>,
        /// Transfers of ours to the peer, to be told.
        settled: Vec<TxId>,
    },
    /// The bidder may be served at this price (`None`: not now).
    Admitted(Option<u64>),
    /// A receipt of ours is on disk.
    Issued(SignedReceipt),
    /// A receipt of the peer's is on disk.
    Stored {
        /// Which.
        receipt: SignedReceipt,
        /// What it did.
        stored: Stored,
    },
    /// Another connection of the peer's was paid for.
    Credited,
    /// Nothing more can be signed: the balance does not cover it.
    Broke,
    /// Time has passed.
    Tick,
    /// Something is to be settled now: the peer choked us, or we are done.
    Settle,
}

/// What goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// To the peer.
    Send(Message),
    /// Read the ledger about this peer, then [`Input::Loaded`].
    Load {
        /// Who it is.
        peer: Address,
        /// Which of its processes.
        instance: Instance,
    },
    /// May this bidder be served, and at what? Then [`Input::Admitted`].
    Admit {
        /// Its bid, raw units per GiB.
        bid: u64,
    },
    /// Sign and store what is due, then [`Input::Issued`].
    Issue,
    /// Store a verified receipt of the peer's, then [`Input::Stored`].
    Store(Box<SignedReceipt>),
    /// Store a receipt with our own signature that our log does not have.
    Evidence(Box<SignedReceipt>),
    /// Look for this transfer to us on our own node.
    LookFor(TxId),
    /// How uploads are scheduled from now on.
    Class(UploadClass),
    /// Something changed: the connection asks again.
    Wake,
    /// The peer broke the protocol.
    Close(Violation),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Our hello is sent.
    Greeting,
    /// The peer's hello came; the ledger is being read.
    Loading,
    /// Our auth is sent.
    Authenticating,
    /// Both are who they say.
    Established,
    /// The exchange ended; the connection shares as any other.
    Over,
}

/// A price in force on our uploads.
#[derive(Debug, Clone, Copy)]
struct Sale {
    bid: u64,
    price: u64,
    /// Chunks asked for before the award came are still at the price before.
    before: u64,
    grace: u64,
}

/// One connection's machine.
pub struct Exchange {
    setup: Setup,
    stage: Stage,
    peer: Option<Box<HelloMessage>>,
    /// The peer's signature, should it come before the ledger was read.
    early_auth: bool,
    loaded: Option<(Vec<SignedReceipt>, Vec<SignedReceipt>, Vec<TxId>)>,
    synced: bool,
    // Selling.
    sale: Option<Sale>,
    bid_of_peer: Option<(u64, UnixMs)>,
    served_free: u64,
    held: bool,
    tokens: u32,
    refilled: UnixMs,
    ignored: u32,
    settled_seen: u32,
    // Buying.
    our_bid: u64,
    floor: Option<u64>,
    price: Option<u64>,
    asked_bytes: u64,
    urgent: bool,
    stalled_since: Option<UnixMs>,
    no_budget: bool,
}

fn violation(text: impl Into<String>) -> Output {
    Output::Close(Violation(text.into()))
}

impl Exchange {
    /// A new connection; the outputs begin with our hello.
    pub fn new(setup: Setup) -> (Self, Vec<Output>) {
        let hello = Message::Hello(Box::new(HelloMessage {
            version: VERSION,
            chain: setup.domain.genesis(),
            token: setup.token,
            address: setup.signer.address(),
            nonce: setup.nonce,
            since: setup.since,
            instance: setup.instance,
            sells: setup.ask.is_some(),
            grant: None,
            revoke: None,
        }));
        let now = setup.now;
        let machine = Self {
            setup,
            stage: Stage::Greeting,
            peer: None,
            early_auth: false,
            loaded: None,
            synced: false,
            sale: None,
            bid_of_peer: None,
            served_free: 0,
            held: false,
            tokens: RECEIPT_BURST,
            refilled: now,
            ignored: 0,
            settled_seen: 0,
            our_bid: 0,
            floor: None,
            price: None,
            asked_bytes: 0,
            urgent: false,
            stalled_since: None,
            no_budget: false,
        };
        (machine, vec![Output::Send(hello)])
    }

    /// Who the peer says it is; proven only when [`established`](Self::established).
    pub fn peer(&self) -> Option<Address> {
        self.peer.as_ref().map(|hello| hello.address)
    }

    /// Whether both sides proved who they are.
    pub fn established(&self) -> bool {
        self.stage == Stage::Established
    }

    /// What the peer pays us, in raw units per GiB.
    pub fn sale_price(&self) -> Option<u64> {
        self.sale.map(|sale| sale.price)
    }

    /// What the peer bids, in raw units per GiB.
    pub fn sale_bid(&self) -> Option<u64> {
        self.sale.map(|sale| sale.bid)
    }

    /// What we pay the peer, in raw units per GiB.
    pub fn purchase_price(&self) -> Option<u64> {
        self.price
    }

    /// Whether the peer's window is used up.
    pub fn held(&self) -> bool {
        self.held
    }

    fn own(&self) -> Address {
        self.setup.signer.address()
    }

    /// The peer's debts to us.
    fn incoming(&self, peer: Address) -> Pair {
        Pair {
            payer: peer,
            payee: self.own(),
            token: self.setup.token,
        }
    }

    fn secs(now: UnixMs) -> u64 {
        u64::try_from(now.secs()).unwrap_or(0)
    }

    // ---- messages ----

    /// A message of the peer's.
    pub fn message(
        &mut self,
        message: Message,
        debt: &mut Debt,
        credit: &mut Credit,
        now: UnixMs,
    ) -> Vec<Output> {
        match (self.stage, message) {
            (Stage::Over, _) | (_, Message::Unknown) => Vec::new(),
            (_, Message::Bye(_)) => self.over(),
            (Stage::Greeting, Message::Hello(hello)) => self.hello(hello),
            (Stage::Greeting, _) => vec![violation("sr_pay: a message before `hello`")],
            (_, Message::Hello(_)) => vec![violation("sr_pay: a second `hello`")],
            (Stage::Loading | Stage::Authenticating, Message::Auth(signature)) => {
                self.auth(&signature, now)
            }
            (Stage::Loading | Stage::Authenticating, _) => {
                vec![violation("sr_pay: a message before `auth`")]
            }
            (Stage::Established, Message::Auth(_)) => {
                vec![violation("sr_pay: a second `auth`")]
            }
            (Stage::Established, message) => self.established_message(message, debt, credit, now),
        }
    }

    fn hello(&mut self, hello: Box<HelloMessage>) -> Vec<Output> {
        let reason = if hello.version != VERSION {
            Some("version")
        } else if hello.chain != self.setup.domain.genesis() {
            Some("chain")
        } else if hello.token != self.setup.token {
            Some("token")
        } else if hello.address == self.own() {
            Some("own address")
        } else {
            None
        };
        if let Some(reason) = reason {
            let mut outputs = vec![Output::Send(Message::Bye(reason.to_owned()))];
            outputs.extend(self.over());
            return outputs;
        }
        let load = Output::Load {
            peer: hello.address,
            instance: hello.instance,
        };
        self.peer = Some(hello);
        self.stage = Stage::Loading;
        vec![load]
    }

    fn hello_struct(&self, peer: &HelloMessage, ours: bool) -> Hello {
        let (own_id, peer_id) = self.setup.peer_ids;
        let us = (self.own(), self.setup.nonce, own_id);
        let them = (peer.address, peer.nonce, peer_id);
        let (this, other) = if ours { (us, them) } else { (them, us) };
        Hello {
            this: this.0,
            peer: other.0,
            nonce_self: this.1,
            nonce_peer: other.1,
            peer_ids: Hello::peer_ids(&this.2, &other.2),
        }
    }

    fn auth(&mut self, signature: &crate::tron::keys::Signature, now: UnixMs) -> Vec<Output> {
        let Some(peer) = &self.peer else {
            return Vec::new();
        };
        let theirs = self.hello_struct(peer, false);
        if self.early_auth
            || !self
                .setup
                .domain
                .is_signed_by(&theirs, signature, peer.address)
        {
            return vec![violation(
                "sr_pay: `auth` is not signed by the address of `hello`",
            )];
        }
        self.early_auth = true;
        self.establish(now)
    }

    /// Both hellos are proven and the ledger is read: sync, then terms.
    fn establish(&mut self, now: UnixMs) -> Vec<Output> {
        if !self.early_auth || self.stage != Stage::Authenticating {
            return Vec::new();
        }
        let Some((issued, received, settled)) = self.loaded.take() else {
            return Vec::new();
        };
        self.stage = Stage::Established;
        let mut outputs = vec![Output::Send(Message::Sync { issued, received })];
        if let Some(ask) = self.setup.ask {
            outputs.extend(self.quote(&ask, now));
        }
        outputs.extend(
            settled
                .into_iter()
                .map(|txid| Output::Send(Message::Settled(txid))),
        );
        outputs
    }

    fn quote(&self, ask: &Ask, now: UnixMs) -> Vec<Output> {
        let quote = Quote {
            payee: self.own(),
            token: self.setup.token,
            floor_price: ask.floor_price,
            window: super::credit::Window::start_bytes(self.setup.piece_length),
            cap: ask.unproven_cap,
            valid_until: Self::secs(now.plus(QUOTE_VALID)),
        };
        match self.setup.domain.sign(&quote, &*self.setup.signer) {
            Ok(signature) => vec![Output::Send(Message::Quote {
                floor_price: quote.floor_price,
                window: quote.window,
                cap: quote.cap,
                valid_until: quote.valid_until,
                signature,
            })],
            Err(error) => vec![violation(format!("sr_pay: {error}"))],
        }
    }

    fn over(&mut self) -> Vec<Output> {
        self.stage = Stage::Over;
        self.sale = None;
        self.price = None;
        self.held = false;
        vec![Output::Class(UploadClass::Free), Output::Wake]
    }

    fn established_message(
        &mut self,
        message: Message,
        debt: &mut Debt,
        credit: &mut Credit,
        now: UnixMs,
    ) -> Vec<Output> {
        let Some(peer) = self.peer.as_ref().map(|hello| hello.address) else {
            return Vec::new();
        };
        match message {
            Message::Sync { issued, received } => {
                if self.synced {
                    return vec![violation("sr_pay: a second `sync`")];
                }
                self.synced = true;
                self.sync(peer, &issued, &received, debt, credit, now)
            }
            Message::Quote {
                floor_price,
                window,
                cap,
                valid_until,
                signature,
            } => {
                let quote = Quote {
                    payee: peer,
                    token: self.setup.token,
                    floor_price,
                    window,
                    cap,
                    valid_until,
                };
                if !self.setup.domain.is_signed_by(&quote, &signature, peer) {
                    return vec![violation("sr_pay: `quote` is not signed by its payee")];
                }
                self.quoted(&quote, now)
            }
            Message::Bid(price) => self.bid(price, now),
            Message::Award { price, window } => self.awarded(price, window, debt),
            Message::Receipt(signed) => self.receipt(&signed, credit, now),
            Message::Ack {
                epoch,
                sequence,
                durable,
            } => {
                if durable {
                    debt.acknowledged(epoch, sequence);
                }
                // A session that ends may wait for just this.
                if debt.settled() {
                    vec![Output::Wake]
                } else {
                    Vec::new()
                }
            }
            Message::Hold { .. } => {
                self.urgent = true;
                if debt.due_bytes() == 0 && self.price.is_some() {
                    self.stalled_since.get_or_insert(now);
                }
                self.sign_if_due(debt, now)
            }
            Message::Resume { .. } => {
                self.stalled_since = None;
                vec![Output::Wake]
            }
            Message::Settled(txid) => {
                self.settled_seen += 1;
                if self.settled_seen > MAX_SETTLED {
                    return vec![violation("sr_pay: too many `settled`")];
                }
                vec![Output::LookFor(txid)]
            }
            Message::Hello(_) | Message::Auth(_) | Message::Bye(_) | Message::Unknown => Vec::new(),
        }
    }

    /// What the peer holds: its debts to us are stored as if they came now; our
    /// own signatures that our log does not have are kept as evidence.
    fn sync(
        &mut self,
        peer: Address,
        issued: &[SignedReceipt],
        received: &[SignedReceipt],
        debt: &mut Debt,
        credit: &mut Credit,
        now: UnixMs,
    ) -> Vec<Output> {
        let mut outputs = Vec::new();
        for signed in issued {
            outputs.extend(self.take_receipt(signed, credit, now));
        }
        for signed in received {
            let checked = signed.check(&Expected {
                domain: &self.setup.domain,
                payer: Some(self.own()),
                payee: Some(peer),
                token: Some(self.setup.token),
                last: None,
                grant: None,
                grants: GrantContext::default(),
                now_secs: Self::secs(now),
            });
            // Only what we really signed counts; anything else says nothing.
            if checked.is_ok() {
                debt.acknowledged(signed.receipt.epoch, signed.receipt.sequence);
                outputs.push(Output::Evidence(Box::new(*signed)));
            }
        }
        outputs.extend(self.sign_if_due(debt, now));
        outputs
    }

    // ---- buying ----

    fn quoted(&mut self, quote: &Quote, now: UnixMs) -> Vec<Output> {
        self.floor = Some(quote.floor_price);
        let Some(bid) = self.setup.bid else {
            return Vec::new();
        };
        if quote.valid_until < Self::secs(now) || quote.floor_price > bid || self.no_budget {
            // Too dear: shared as with any other peer.
            return vec![Output::Wake];
        }
        self.our_bid = bid;
        vec![Output::Send(Message::Bid(bid))]
    }

    fn awarded(&mut self, price: u64, window: u64, debt: &mut Debt) -> Vec<Output> {
        if self.our_bid == 0 {
            // It crossed our withdrawal.
            return Vec::new();
        }
        if price > self.our_bid {
            return vec![violation(format!(
                "sr_pay: awarded at {price}, above our bid of {}",
                self.our_bid
            ))];
        }
        if window < super::credit::Window::start_bytes(self.setup.piece_length) {
            return self.withdraw("window smaller than two pieces and a pipeline");
        }
        debt.set_window(window);
        self.price = Some(price);
        vec![Output::Wake]
    }

    fn withdraw(&mut self, why: &'static str) -> Vec<Output> {
        tracing::debug!(conn = self.setup.conn.0, why, "the bid is withdrawn");
        self.our_bid = 0;
        self.price = None;
        self.stalled_since = None;
        vec![Output::Send(Message::Bid(0)), Output::Wake]
    }

    /// The tag to ask for a chunk at; `None`: nothing now.
    pub fn price_request(
        &mut self,
        piece: u32,
        bytes: u32,
        debt: &mut Debt,
        budget: &mut Budget,
        now: UnixMs,
    ) -> Option<PriceTag> {
        let Some(price) = self.price else {
            return (!self.negotiating(now)).then_some(PriceTag(0));
        };
        let bytes = u64::from(bytes);
        if !debt.begin_piece(self.setup.conn, piece, self.setup.piece_length) {
            return None;
        }
        if !budget.reserve(bytes, price) {
            self.no_budget = true;
            return None;
        }
        self.asked_bytes = self.asked_bytes.saturating_add(bytes);
        Some(PriceTag(price))
    }

    /// Whether the terms may still come, so that requests wait for them.
    fn negotiating(&self, now: UnixMs) -> bool {
        let (Some(bid), false) = (self.setup.bid, self.no_budget) else {
            return false;
        };
        let sells = self.peer.as_ref().is_none_or(|hello| hello.sells);
        let affordable = self.floor.is_none_or(|floor| floor <= bid);
        let withdrawn = self.floor.is_some() && self.our_bid == 0;
        self.stage != Stage::Over
            && sells
            && affordable
            && !withdrawn
            && now.since(self.setup.now) < NEGOTIATION
    }

    /// A piece of ours is verified, with these chunks of the peer's.
    pub fn piece_verified(
        &mut self,
        piece: u32,
        chunks: &[(PriceTag, u32)],
        debt: &mut Debt,
        budget: &mut Budget,
        now: UnixMs,
    ) {
        let mut due = Vec::with_capacity(chunks.len());
        for (tag, bytes) in chunks {
            let bytes = u64::from(*bytes);
            if tag.0 > 0 {
                budget.spend(bytes, tag.0);
                self.asked_bytes = self.asked_bytes.saturating_sub(bytes);
            }
            // Free chunks are told too while a price is in force: the seller
            // may have counted them.
            if tag.0 > 0 || self.price.is_some() {
                due.push((tag.0, bytes));
            }
        }
        debt.verified(self.setup.conn, piece, &due, now);
        self.stalled_since = None;
        if self.asked_bytes == 0 {
            debt.forget_pieces(self.setup.conn);
        }
    }

    /// What was asked for will not come.
    pub fn request_dropped(
        &mut self,
        tag: PriceTag,
        bytes: u32,
        debt: &mut Debt,
        budget: &mut Budget,
    ) {
        if tag.0 == 0 {
            return;
        }
        let bytes = u64::from(bytes);
        budget.release(bytes, tag.0);
        self.asked_bytes = self.asked_bytes.saturating_sub(bytes);
        if self.asked_bytes == 0 {
            debt.forget_pieces(self.setup.conn);
        }
    }

    /// Whether something is to be signed: for the connection's task to ring the
    /// worker, nothing more.
    pub fn wants_attention(&self, debt: &Debt, now: UnixMs) -> bool {
        self.established()
            && (debt.wants_receipt(now, self.urgent) || (self.no_budget && self.price.is_some()))
    }

    fn sign_if_due(&mut self, debt: &mut Debt, now: UnixMs) -> Vec<Output> {
        // Nothing new is signed before the peer's `sync` was merged.
        if !self.established() || !self.synced || !debt.wants_receipt(now, self.urgent) {
            return Vec::new();
        }
        vec![Output::Issue]
    }

    // ---- selling ----

    fn bid(&mut self, price: u64, now: UnixMs) -> Vec<Output> {
        let Some(ask) = self.setup.ask else {
            return Vec::new();
        };
        if price == 0 {
            self.bid_of_peer = None;
            return self.stop_selling();
        }
        if price < ask.floor_price {
            return Vec::new();
        }
        if let Some((last, at)) = self.bid_of_peer
            && price > last
            && now.since(at) < RAISE_INTERVAL
        {
            return Vec::new();
        }
        self.bid_of_peer = Some((price, now));
        vec![Output::Admit { bid: price }]
    }

    fn stop_selling(&mut self) -> Vec<Output> {
        self.sale = None;
        self.held = false;
        vec![Output::Class(UploadClass::Free), Output::Wake]
    }

    fn admitted(&mut self, price: Option<u64>, credit: &mut Credit) -> Vec<Output> {
        let (Some(ask), Some((bid, _))) = (self.setup.ask, self.bid_of_peer) else {
            return Vec::new();
        };
        if credit.contradicted() {
            return self.refuse("equivocation");
        }
        let Some(price) = price else {
            return self.stop_selling();
        };
        let price = price.clamp(ask.floor_price, bid.max(ask.floor_price));
        let changed = self
            .sale
            .is_none_or(|sale| sale.price != price || sale.bid != bid);
        if !changed {
            return Vec::new();
        }
        credit.admit_piece(self.setup.piece_length);
        let (before, grace) = match self.sale {
            // Dearer: what is on the way was asked for at the old price.
            Some(sale) if sale.price < price => (sale.price, PIPELINE_BYTES),
            Some(_) => (price, 0),
            None => (0, PIPELINE_BYTES.min(self.served_free)),
        };
        self.served_free = 0;
        self.sale = Some(Sale {
            bid,
            price,
            before,
            grace,
        });
        vec![
            Output::Send(Message::Award {
                price,
                window: credit.window().bytes(),
            }),
            self.class(credit, &ask, bid),
            Output::Wake,
        ]
    }

    /// An unproven address weighs as the floor price until it has paid once.
    fn class(&self, credit: &Credit, ask: &Ask, bid: u64) -> Output {
        let weight = if credit.proven() || credit.has_paid() {
            bid
        } else {
            ask.floor_price
        };
        Output::Class(UploadClass::Paid {
            weight: weight.max(1),
        })
    }

    fn refuse(&mut self, reason: &str) -> Vec<Output> {
        self.stage = Stage::Over;
        self.sale = None;
        vec![
            Output::Send(Message::Bye(reason.to_owned())),
            Output::Class(UploadClass::Refused),
            Output::Wake,
        ]
    }

    /// How many more bytes may be sent to the peer.
    pub fn upload_allowance(&self, credit: &Credit) -> u64 {
        match (self.sale, self.setup.ask) {
            (Some(sale), Some(ask)) => credit.allowance(sale.price, credit.cap(ask.unproven_cap)),
            _ => u64::MAX,
        }
    }

    /// `bytes` were sent. True when the window is used up now, and the worker is
    /// to be told.
    pub fn served(&mut self, bytes: u32, credit: &mut Credit) -> bool {
        let bytes = u64::from(bytes);
        let Some(sale) = &mut self.sale else {
            self.served_free = self.served_free.saturating_add(bytes);
            return false;
        };
        let early = bytes.min(sale.grace);
        sale.grace -= early;
        let (price, before) = (sale.price, sale.before);
        if early > 0 {
            credit.served(early, before);
        }
        if bytes > early {
            credit.served(bytes - early, price);
        }
        !self.held && self.upload_allowance(credit) < CHUNK_BYTES
    }

    /// Nothing may be sent and the peer was not told: tells it.
    fn hold(&mut self, credit: &Credit) -> Vec<Output> {
        if self.sale.is_none() || self.held || self.upload_allowance(credit) >= CHUNK_BYTES {
            return Vec::new();
        }
        self.held = true;
        vec![Output::Send(Message::Hold {
            unpaid: credit.unpaid_bytes(),
            window: credit.window().bytes(),
        })]
    }

    fn resume(&mut self, credit: &Credit) -> Vec<Output> {
        if self.upload_allowance(credit) < CHUNK_BYTES {
            return Vec::new();
        }
        let mut outputs = Vec::new();
        if self.held {
            self.held = false;
            outputs.push(Output::Send(Message::Resume {
                unpaid: credit.unpaid_bytes(),
                window: credit.window().bytes(),
            }));
        }
        outputs.push(Output::Wake);
        outputs
    }

    fn receipt(&mut self, signed: &SignedReceipt, credit: &mut Credit, now: UnixMs) -> Vec<Output> {
        let interval = super::debt::MIN_INTERVAL;
        let passed = now.since(self.refilled);
        let refill = u32::try_from(passed.as_millis() / interval.as_millis()).unwrap_or(u32::MAX);
        if refill > 0 {
            self.tokens = self.tokens.saturating_add(refill).min(RECEIPT_BURST);
            self.refilled = now;
        }
        // A receipt over a quarter of a window is never too early.
        let last = credit.last(signed.receipt.epoch);
        let claimed = signed
            .receipt
            .delivered_bytes
            .saturating_sub(last.map_or(0, |last| last.receipt.delivered_bytes));
        let large = claimed >= credit.window().bytes() / 4 && claimed <= credit.unpaid_bytes();
        if self.tokens > 0 {
            self.tokens -= 1;
        } else if !large {
            self.ignored += 1;
            return if self.ignored > MAX_IGNORED_RECEIPTS {
                vec![violation("sr_pay: a flood of receipts")]
            } else {
                Vec::new()
            };
        }
        self.take_receipt(signed, credit, now)
    }

    fn take_receipt(
        &mut self,
        signed: &SignedReceipt,
        credit: &mut Credit,
        now: UnixMs,
    ) -> Vec<Output> {
        let Some(peer) = &self.peer else {
            return Vec::new();
        };
        let pair = self.incoming(peer.address);
        let grant: Option<&SignedGrant> = peer.grant.as_ref();
        let checked = signed.check(&Expected {
            domain: &self.setup.domain,
            payer: Some(pair.payer),
            payee: Some(pair.payee),
            token: Some(pair.token),
            last: credit.last(signed.receipt.epoch),
            grant,
            grants: GrantContext::default(),
            now_secs: Self::secs(now),
        });
        match checked {
            // Not yet on disk: the store that is under way will acknowledge it.
            Ok(Accepted::Unchanged) if !credit.is_durable(signed.receipt.epoch) => Vec::new(),
            Ok(Accepted::Unchanged) => vec![Output::Send(Message::Ack {
                epoch: signed.receipt.epoch,
                sequence: signed.receipt.sequence,
                durable: true,
            })],
            Ok(Accepted::Higher) => {
                if !credit.follow(signed) {
                    return self.refuse("too many epochs");
                }
                vec![Output::Store(Box::new(*signed))]
            }
            Ok(Accepted::Equivocation) => {
                credit.set_contradicted();
                let mut outputs = vec![Output::Store(Box::new(*signed))];
                outputs.extend(self.refuse("equivocation"));
                outputs
            }
            Err(refusal) => vec![
                Output::Send(Message::Bye(refusal.code().to_owned())),
                violation(format!("sr_pay: a receipt was refused: {refusal}")),
            ],
        }
    }

    fn stored(
        &mut self,
        signed: &SignedReceipt,
        stored: Stored,
        credit: &mut Credit,
    ) -> Vec<Output> {
        let raised = match stored {
            Stored::New => signed.receipt.amount,
            Stored::Superseded { before } => signed
                .receipt
                .amount
                .checked_sub(before)
                .unwrap_or(RawAmount::ZERO),
            // Another process of ours took it, and its credit.
            Stored::Unchanged => RawAmount::ZERO,
            Stored::Equivocation | Stored::Regress { .. } => {
                credit.set_contradicted();
                return self.refuse("equivocation");
            }
        };
        let first = !credit.has_paid();
        let window = credit.window().bytes();
        credit.credit(signed, raised);
        let mut outputs = vec![Output::Send(Message::Ack {
            epoch: signed.receipt.epoch,
            sequence: signed.receipt.sequence,
            durable: true,
        })];
        if let (true, Some(sale), Some(ask)) = (first, self.sale, self.setup.ask) {
            outputs.push(self.class(credit, &ask, sale.bid));
        }
        if let Some(sale) = self.sale {
            if credit.window().bytes() != window {
                // The payer signs by halves of the window: it is told of each step.
                outputs.push(Output::Send(Message::Award {
                    price: sale.price,
                    window: credit.window().bytes(),
                }));
            }
            outputs.extend(self.resume(credit));
        }
        outputs
    }

    // ---- the rest ----

    /// Anything else that happens.
    pub fn input(
        &mut self,
        input: Input,
        debt: &mut Debt,
        credit: &mut Credit,
        now: UnixMs,
    ) -> Vec<Output> {
        match input {
            Input::Loaded {
                issued,
                received,
                settled,
            } => self.loaded(issued, received, settled, now),
            Input::Admitted(price) => {
                if self.established() {
                    self.admitted(price, credit)
                } else {
                    Vec::new()
                }
            }
            Input::Issued(signed) => vec![Output::Send(Message::Receipt(Box::new(signed)))],
            Input::Stored { receipt, stored } => self.stored(&receipt, stored, credit),
            Input::Settle => {
                self.urgent = true;
                self.sign_if_due(debt, now)
            }
            Input::Credited if self.sale.is_some() => self.resume(credit),
            Input::Credited => Vec::new(),
            Input::Broke => {
                self.no_budget = true;
                self.withdraw("the balance is used up")
            }
            Input::Tick => self.tick(debt, credit, now),
        }
    }

    fn loaded(
        &mut self,
        issued: Vec<SignedReceipt>,
        received: Vec<SignedReceipt>,
        settled: Vec<TxId>,
        now: UnixMs,
    ) -> Vec<Output> {
        let Some(peer) = self.peer.as_ref().filter(|_| self.stage == Stage::Loading) else {
            return Vec::new();
        };
        let ours = self.hello_struct(peer, true);
        let signature = match self.setup.domain.sign(&ours, &*self.setup.signer) {
            Ok(signature) => signature,
            Err(error) => return vec![violation(format!("sr_pay: {error}"))],
        };
        self.stage = Stage::Authenticating;
        self.loaded = Some((issued, received, settled));
        let mut outputs = vec![Output::Send(Message::Auth(signature))];
        outputs.extend(self.establish(now));
        outputs
    }

    fn tick(&mut self, debt: &mut Debt, credit: &mut Credit, now: UnixMs) -> Vec<Output> {
        let mut outputs = self.sign_if_due(debt, now);
        if outputs.is_empty() && debt.due_bytes() == 0 {
            self.urgent = false;
        }
        if self.no_budget && self.price.is_some() {
            outputs.extend(self.withdraw("the budget is used up"));
        }
        if let Some(since) = self.stalled_since
            && now.since(since) >= STALLED
        {
            outputs.extend(self.withdraw("held with nothing to pay"));
        }
        outputs.extend(self.hold(credit));
        if self.stage != Stage::Over && self.price.is_none() && self.setup.bid.is_some() {
            // The wait for terms may just have ended.
            outputs.push(Output::Wake);
        }
        outputs
    }

    /// The connection is gone: what was asked for will not come, and up to a
    /// piece that was served is written off.
    pub fn closed(&mut self, debt: &mut Debt, credit: &mut Credit) {
        debt.forget_pieces(self.setup.conn);
        if self.sale.is_some() {
            credit.write_off(self.setup.piece_length);
        }
        self.stage = Stage::Over;
        self.sale = None;
        self.price = None;
    }
}
