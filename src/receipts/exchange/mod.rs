//! One connection's side of `sr_pay` as a pure machine: what comes in (a
//! message, a tick, bytes served or verified, a store that is done) gives what
//! goes out (messages, requests to store, a class for the scheduler).
//!
//! A connection goes through `greeting → authenticating → established → over`;
//! both sides of a pair ([`Debt`], [`Credit`]) outlive it and are handed in.

mod buying;
mod greeting;
mod selling;
mod taking;

use std::time::Duration;

use super::{
    autobid::AutoBid,
    body::{Quote, ReceiptDomain, SignedReceipt},
    credit::Credit,
    debt::Debt,
    grant::{Identity, KnownGrants, Revoke},
    message::{HelloMessage, HoldReason, Instance, Message, VERSION},
    meter::{GIB_BITS, cost},
    window::Window,
};
use crate::{
    ledger::{Pair, Stored},
    swarm::hooks::{ConnId, UploadClass, Violation},
    tron::keys::Signature,
    types::{Address, InfoHash, RawAmount, Salt, TokenId, TxId, UnixMs},
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
/// Receipts that may come at once, and one more each [`MIN_INTERVAL`](super::MIN_INTERVAL).
const RECEIPT_BURST: u32 = 8;
/// Receipts passed over unread before the connection is closed.
const MAX_IGNORED_RECEIPTS: u32 = 64;
/// Quotes and bids that may come at once, and one more each second: each costs a
/// signature or a question to the node.
const TERMS_BURST: u32 = 8;
/// How long until another of them may come.
const TERMS_INTERVAL: Duration = Duration::from_secs(1);
/// Quotes and bids passed over before the connection is closed.
const MAX_IGNORED_TERMS: u32 = 64;
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

/// What we bid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bid {
    /// This, in raw units per GiB.
    Fixed(u64),
    /// From the seller's floor on, as [`AutoBid`] finds, up to this, in raw
    /// units per GiB.
    Auto(u64),
}

impl Bid {
    /// The most that is ever bid, in raw units per GiB.
    pub const fn most(self) -> u64 {
        match self {
            Self::Fixed(price) | Self::Auto(price) => price,
        }
    }
}

/// Why a paying peer is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// It has not receipted what its window allows ahead.
    Window,
    /// It owes as much as it may before it settles.
    Cap,
}

/// What the ledger knows of a peer.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The newest of each epoch that we issued to the peer.
    pub issued: Vec<SignedReceipt>,
    /// The newest of each epoch that the peer issued to us.
    pub received: Vec<SignedReceipt>,
    /// Transfers of ours to the peer, to be told.
    pub settled: Vec<TxId>,
    /// The peer's grants.
    pub grants: KnownGrants,
    /// Our own.
    pub own_grants: KnownGrants,
    /// It is shared with for free.
    pub friend: bool,
}

/// What the machine is told once.
#[derive(Clone)]
pub struct Setup {
    /// The chain.
    pub domain: ReceiptDomain,
    /// What is paid in.
    pub token: TokenId,
    /// Who we are, and what signs for us.
    pub identity: Identity,
    /// The newest grants that we took back, the newest first, for the peer to
    /// know.
    pub revokes: Vec<(Revoke, Signature)>,
    /// Sells, at this.
    pub ask: Option<Ask>,
    /// Buys, at this.
    pub bid: Option<Bid>,
    /// About which torrent the connection is.
    pub torrent: InfoHash,
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
    /// The ledger's rows about the peer were read, and into [`Debt`] and
    /// [`Credit`].
    Loaded(Box<Known>),
    /// The bidder may be served at this price.
    Admitted(u64),
    /// A receipt of ours is on disk.
    Issued(SignedReceipt),
    /// A receipt of the peer's is on disk.
    Stored {
        /// Which.
        receipt: SignedReceipt,
        /// What it did.
        stored: Stored,
        /// How much of what it raised was sold, at most.
        sold: RawAmount,
    },
    /// The bidder is not served on credit.
    NotAdmitted(HoldReason),
    /// The user banned the peer.
    Banned,
    /// A transfer of ours to the peer became solid.
    Paid(TxId),
    /// Another connection of the peer's was paid for.
    Credited,
    /// Nothing more can be signed: the balance does not cover it.
    Broke,
    /// Time has passed.
    Tick,
    /// Something is to be settled now: the peer choked us, or we are done.
    Settle,
    /// The most that may be bid now, in raw units per GiB: what the budget left
    /// allows for the bytes left.
    Affordable(u64),
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
    /// The peer took back a grant of its own, and proved it.
    Revoked(Revoke, Signature),
    /// Look for this transfer to us on our own node.
    LookFor(TxId),
    /// How uploads are scheduled from now on.
    Class(UploadClass),
    /// The seller holds us, or does not sell to us.
    TurnedBack(HoldReason),
    /// A limit of the user's is used up, and nothing more is bought.
    LimitReached,
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

/// So many bytes may still come that were asked for at a dearer price than is in force.
#[derive(Debug, Clone, Copy, Default)]
struct Dearer {
    price: u64,
    bytes: u64,
}

/// One connection's machine.
pub struct Exchange {
    setup: Setup,
    stage: Stage,
    peer: Option<Box<HelloMessage>>,
    /// The peer's signature; it may come before the ledger was read.
    auth: Option<Signature>,
    /// Whose key signs for the peer.
    peer_signer: Address,
    loaded: Option<Box<Known>>,
    grants: KnownGrants,
    own_grants: KnownGrants,
    friend: bool,
    synced: bool,
    granted: bool,
    // Selling.
    sale: Option<Sale>,
    dearer: Dearer,
    bid_of_peer: Option<u64>,
    /// The last bid that was looked at, and when, withdrawn since or not.
    last_bid: Option<(u64, UnixMs)>,
    /// It owes as much as it may: it is served as a free peer until there is room.
    at_cap: bool,
    served_free: u64,
    served_paid: u64,
    held: bool,
    tokens: u32,
    refilled: UnixMs,
    ignored: u32,
    terms: u32,
    terms_refilled: UnixMs,
    terms_ignored: u32,
    settled_seen: u32,
    settled_told: u32,
    held_since: Option<UnixMs>,
    held_for: Duration,
    // Buying.
    our_bid: u64,
    /// The bid before the last one, while that was not answered.
    lowered: Option<(u64, UnixMs)>,
    auto: Option<AutoBid>,
    affordable: u64,
    floor: Option<u64>,
    price: Option<u64>,
    asked_bytes: u64,
    urgent: bool,
    /// The seller said that our window is used up.
    held_by_peer: bool,
    /// Why the seller does not sell to us now; until its next award nothing is asked for
    /// at a price.
    turned_back: Option<HoldReason>,
    stalled_since: Option<UnixMs>,
    /// When the user was last told of that.
    told_back: Option<UnixMs>,
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
            address: setup.identity.account(),
            nonce: setup.nonce,
            since: setup.since,
            instance: setup.instance,
            sells: setup.ask.is_some(),
            grant: setup.identity.grant().copied(),
            revoke: setup.revokes.first().copied(),
        }));
        let now = setup.now;
        let machine = Self {
            setup,
            stage: Stage::Greeting,
            peer: None,
            auth: None,
            peer_signer: Address::ZERO,
            loaded: None,
            grants: KnownGrants::default(),
            own_grants: KnownGrants::default(),
            friend: false,
            synced: false,
            granted: false,
            sale: None,
            dearer: Dearer::default(),
            bid_of_peer: None,
            last_bid: None,
            at_cap: false,
            served_free: 0,
            served_paid: 0,
            held: false,
            tokens: RECEIPT_BURST,
            refilled: now,
            ignored: 0,
            terms: TERMS_BURST,
            terms_refilled: now,
            terms_ignored: 0,
            settled_seen: 0,
            settled_told: 0,
            held_since: None,
            held_for: Duration::ZERO,
            our_bid: 0,
            lowered: None,
            auto: None,
            affordable: u64::MAX,
            floor: None,
            price: None,
            asked_bytes: 0,
            urgent: false,
            held_by_peer: false,
            turned_back: None,
            stalled_since: None,
            told_back: None,
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

    /// At what the peer is served, or waits to be, in raw units per GiB.
    pub fn wanted_price(&self) -> Option<u64> {
        self.sale_price()
            .or_else(|| self.bid_of_peer.filter(|_| self.at_cap))
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

    /// For how long the peer was held, in all.
    pub fn held_for(&self, now: UnixMs) -> Duration {
        let going_on = self.held_since.map_or(Duration::ZERO, |at| now.since(at));
        self.held_for.saturating_add(going_on)
    }

    fn set_held(&mut self, held: bool, now: UnixMs) {
        self.held_for = self.held_for(now);
        self.held = held;
        self.held_since = held.then_some(now);
    }

    fn own(&self) -> Address {
        self.setup.identity.account()
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
            (_, Message::Bye(_)) => self.over(now),
            (Stage::Greeting, Message::Hello(hello)) => self.hello(hello, now),
            (Stage::Greeting, _) => vec![violation("sr_pay: a message before `hello`")],
            (_, Message::Hello(_)) => vec![violation("sr_pay: a second `hello`")],
            (Stage::Loading | Stage::Authenticating, Message::Auth(signature)) => {
                self.auth(signature, credit, now)
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
        if matches!(message, Message::Quote { .. } | Message::Bid(1..)) && !self.may_set_terms(now)
        {
            self.terms_ignored += 1;
            return if self.terms_ignored > MAX_IGNORED_TERMS {
                vec![violation("sr_pay: a flood of quotes or bids")]
            } else {
                Vec::new()
            };
        }
        match message {
            Message::Sync { issued, received } => {
                if self.synced {
                    return vec![violation("sr_pay: a second `sync`")];
                }
                self.synced = true;
                self.sync(peer, &issued, &received, debt, credit, now)
            }
            Message::Grants { grants, revokes } => {
                if self.granted || self.synced {
                    return vec![violation("sr_pay: `grants` after `sync`, or again")];
                }
                self.granted = true;
                self.take_grants(peer, &grants, &revokes)
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
                if !self
                    .setup
                    .domain
                    .is_signed_by(&quote, &signature, self.peer_signer)
                {
                    return vec![violation("sr_pay: `quote` is not signed by its payee")];
                }
                // One that a single window would use up is no cap: it would make each debt
                // due at once, whatever the payer's own limits.
                let least = Window::start_bytes(self.setup.piece_length).max(window);
                if u128::from(cap.unsigned()) >= cost(least, floor_price) >> GIB_BITS {
                    debt.set_cap(cap);
                }
                self.quoted(&quote, now)
            }
            Message::Bid(price) => self.bid(price, now),
            Message::Award { price, window } => self.awarded(price, window, debt, credit, now),
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
            Message::Hold { why, .. } => self.held_back(why, debt, now),
            Message::Resume { .. } => {
                self.held_by_peer = false;
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

    /// Whether another quote or bid may come now.
    fn may_set_terms(&mut self, now: UnixMs) -> bool {
        let passed = now.since(self.terms_refilled).as_secs() / TERMS_INTERVAL.as_secs();
        if passed > 0 {
            let more = u32::try_from(passed).unwrap_or(u32::MAX);
            self.terms = self.terms.saturating_add(more).min(TERMS_BURST);
            self.terms_refilled = now;
        }
        let may = self.terms > 0;
        self.terms = self.terms.saturating_sub(1);
        may
    }

    /// Anything else that happens.
    pub fn input(
        &mut self,
        input: Input,
        debt: &mut Debt,
        credit: &mut Credit,
        now: UnixMs,
    ) -> Vec<Output> {
        match input {
            Input::Loaded(_) if credit.banned() => self.refuse("banned"),
            Input::Loaded(_) if credit.contradicted() => self.refuse("equivocation"),
            Input::Loaded(known) => self.loaded(known, credit, now),
            Input::Admitted(price) => {
                if self.established() {
                    self.admitted(price, credit, now)
                } else {
                    Vec::new()
                }
            }
            Input::Issued(signed) => vec![Output::Send(Message::Receipt(Box::new(signed)))],
            Input::Stored {
                receipt,
                stored,
                sold,
            } => self.stored(&receipt, stored, sold, credit, now),
            Input::Settle => {
                self.urgent = true;
                self.sign_if_due(debt, now)
            }
            Input::Credited if self.sale.is_some() => self.resume(credit, now),
            Input::Credited => self.room_again(credit),
            Input::NotAdmitted(why) => self.not_admitted(why, credit, now),
            Input::Banned => self.refuse("banned"),
            Input::Paid(txid) => self.tell_settled(txid),
            Input::Broke => {
                self.no_budget = true;
                self.withdraw("the balance is used up")
            }
            Input::Affordable(price) => {
                self.affordable = price;
                Vec::new()
            }
            Input::Tick => self.tick(debt, credit, now),
        }
    }

    fn loaded(&mut self, known: Box<Known>, credit: &Credit, now: UnixMs) -> Vec<Output> {
        let Some(peer) = self.peer.as_ref().filter(|_| self.stage == Stage::Loading) else {
            return Vec::new();
        };
        let ours = self.hello_struct(peer, true);
        let signed = self.setup.domain.sign(&ours, self.setup.identity.signer());
        let signature = match signed {
            Ok(signature) => signature,
            Err(error) => return vec![violation(format!("sr_pay: {error}"))],
        };
        self.stage = Stage::Authenticating;
        self.loaded = Some(known);
        let mut outputs = vec![Output::Send(Message::Auth(signature))];
        outputs.extend(self.establish(credit, now));
        outputs
    }

    fn tick(&mut self, debt: &mut Debt, credit: &mut Credit, now: UnixMs) -> Vec<Output> {
        let mut outputs = self.sign_if_due(debt, now);
        if outputs.is_empty() && debt.due_bytes() == 0 {
            self.urgent = false;
        }
        if self.no_budget && self.price.is_some() {
            outputs.extend(self.withdraw("the budget is used up"));
            outputs.push(Output::LimitReached);
        }
        if self.held_by_peer && self.price.is_some() && debt.settled_up() {
            // It has all that is due, and does not go on.
            self.stalled_since.get_or_insert(now);
        }
        if let Some(since) = self.stalled_since
            && now.since(since) >= STALLED
        {
            outputs.extend(self.withdraw("held with nothing to pay"));
            outputs.extend(self.tell_turned_back(HoldReason::Window, now));
        }
        outputs.extend(self.look_at_bid(debt, now));
        outputs.extend(self.hold(credit, now));
        outputs.extend(self.room_again(credit));
        if self.stage != Stage::Over && self.price.is_none() && self.setup.bid.is_some() {
            // The wait for terms may just have ended.
            outputs.push(Output::Wake);
        }
        outputs
    }

    /// The connection is gone: what was asked for will not come, and up to a
    /// piece that was served is written off.
    pub fn closed(&mut self, debt: &mut Debt, credit: &mut Credit, now: UnixMs) {
        self.set_held(false, now);
        debt.forget_pieces(self.setup.conn);
        if self.served_paid > 0 {
            credit.write_off(self.served_paid, self.setup.piece_length);
        }
        self.stage = Stage::Over;
        self.sale = None;
        self.price = None;
    }
}
