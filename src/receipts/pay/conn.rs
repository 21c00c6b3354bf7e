//! One connection: counts bytes under a lock, and rings the worker for the rest.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{PeerView, Shared, inbox::Inbox, locked, worker::Event};
use crate::{
    ledger::Pair,
    receipts::{
        credit::Credit,
        debt::{Budget, Debt},
        exchange::{Exchange, Input, Output},
        message::Message,
    },
    swarm::hooks::{ConnId, PeerContext, PeerExtension, PeerLink, PriceTag, Violation},
    types::{Address, UnixMs},
};

/// Messages of one peer that wait for the worker: a burst of receipts and the
/// few others there are. More is a flood.
const MAX_WAITING: usize = 64;

/// So long after the last chunk a paying peer's receipt for it may come: it signs
/// what is due after two seconds at the latest.
const LAST_RECEIPT: Duration = Duration::from_secs(3);

/// What a message takes on the wire: length, two ids (BEP 10), and itself.
fn wire_bytes(payload: usize) -> u64 {
    u64::try_from(payload).unwrap_or(u64::MAX).saturating_add(6)
}

/// Both sides of the pair with whoever is at the other end. Before that is
/// known, they belong to nobody.
pub(super) struct Sides {
    pub(super) exchange: Exchange,
    pub(super) debt: Arc<Mutex<Debt>>,
    pub(super) credit: Arc<Mutex<Credit>>,
}

pub(super) struct Conn {
    shared: Arc<Shared>,
    pub(super) context: PeerContext,
    link: Arc<dyn PeerLink>,
    sides: Mutex<Sides>,
    /// Of this torrent alone.
    budget: Arc<Mutex<Budget>>,
    events: Arc<Inbox<Event>>,
    waiting: AtomicUsize,
    rung: AtomicBool,
    settling: AtomicBool,
    /// The worker had too much to do to be asked to settle: it does at its next tick.
    missed: AtomicBool,
    interested: AtomicBool,
    /// When a chunk was last sent, ms.
    served_at: AtomicI64,
    gone: AtomicBool,
}

impl Conn {
    pub(super) fn new(
        shared: Arc<Shared>,
        context: PeerContext,
        link: Arc<dyn PeerLink>,
        exchange: Exchange,
        events: Arc<Inbox<Event>>,
    ) -> Self {
        let nobody = Pair {
            payer: shared.config.identity.account(),
            payee: Address::ZERO,
            token: shared.config.token,
        };
        let sides = Sides {
            exchange,
            debt: Arc::new(Mutex::new(Debt::new(nobody))),
            credit: Arc::new(Mutex::new(Credit::new(context.piece_length))),
        };
        let budget = Arc::clone(
            locked(&shared.budgets)
                .entry(context.info_hash)
                .or_insert_with(|| {
                    let limit = shared.terms().max_per_torrent;
                    Arc::new(Mutex::new(Budget::new(limit)))
                }),
        );
        Self {
            budget,
            shared,
            context,
            link,
            sides: Mutex::new(sides),
            events,
            waiting: AtomicUsize::new(0),
            rung: AtomicBool::new(false),
            settling: AtomicBool::new(false),
            missed: AtomicBool::new(false),
            interested: AtomicBool::new(false),
            served_at: AtomicI64::new(0),
            gone: AtomicBool::new(false),
        }
    }

    pub(super) fn id(&self) -> ConnId {
        self.context.conn
    }

    pub(super) fn interested(&self) -> bool {
        self.interested.load(Ordering::Relaxed)
    }

    pub(super) fn gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// A message was taken from the queue.
    pub(super) fn taken(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// The worker looks at the connection now: it may be rung for again.
    pub(super) fn answered(&self) {
        self.rung.store(false, Ordering::Release);
    }

    fn ring(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::AcqRel)
            && self.events.offer(Event::Look(Arc::clone(self))).is_err()
        {
            // Each tick looks at every connection anyway.
            self.answered();
        }
    }

    /// Asks the worker to settle what is due: one event waits for it at most.
    fn settle(self: &Arc<Self>) {
        if !self.settling.swap(true, Ordering::AcqRel)
            && self.events.offer(Event::Settle(Arc::clone(self))).is_err()
        {
            self.missed.store(true, Ordering::Release);
            self.settles();
        }
    }

    /// Whether the worker had too much to do to be asked to settle.
    pub(super) fn missed(&self) -> bool {
        self.missed.swap(false, Ordering::AcqRel)
    }

    /// The worker settles now: it may be asked to again.
    pub(super) fn settles(&self) {
        self.settling.store(false, Ordering::Release);
    }

    fn now(&self) -> UnixMs {
        self.shared.config.clock.now()
    }

    /// Runs with the machine and both sides of the pair locked, in this order
    /// everywhere: connection, debt, credit, budgets, tallies.
    pub(super) fn with<T>(
        &self,
        run: impl FnOnce(&mut Exchange, &mut Debt, &mut Credit) -> T,
    ) -> T {
        let mut sides = locked(&self.sides);
        let (debt, credit) = (Arc::clone(&sides.debt), Arc::clone(&sides.credit));
        let (mut debt, mut credit) = (locked(&debt), locked(&credit));
        run(&mut sides.exchange, &mut debt, &mut credit)
    }

    /// From now on the pair is this one.
    pub(super) fn meet(&self, debt: Arc<Mutex<Debt>>, credit: Arc<Mutex<Credit>>) {
        let mut sides = locked(&self.sides);
        sides.debt = debt;
        sides.credit = credit;
    }

    pub(super) fn debt(&self) -> Arc<Mutex<Debt>> {
        Arc::clone(&locked(&self.sides).debt)
    }

    pub(super) fn credit(&self) -> Arc<Mutex<Credit>> {
        Arc::clone(&locked(&self.sides).credit)
    }

    pub(super) fn peer(&self) -> Option<Address> {
        locked(&self.sides).exchange.peer()
    }

    pub(super) fn message_in(&self, message: Message) -> Vec<Output> {
        let now = self.now();
        self.with(|exchange, debt, credit| exchange.message(message, debt, credit, now))
    }

    pub(super) fn input(&self, input: Input) -> Vec<Output> {
        let now = self.now();
        self.with(|exchange, debt, credit| exchange.input(input, debt, credit, now))
    }

    pub(super) fn send(&self, message: &Message) {
        if self.gone() {
            return;
        }
        let payload = message.encode();
        let sent = &self.shared.counters.wire;
        sent.fetch_add(wire_bytes(payload.len()), Ordering::Relaxed);
        if !self.link.send(payload) {
            tracing::debug!(conn = self.id().0, "the connection takes no more messages");
        }
    }

    pub(super) fn set_class(&self, class: crate::swarm::hooks::UploadClass) {
        if !self.gone() {
            self.link.set_class(class);
        }
    }

    pub(super) fn wake(&self) {
        if !self.gone() {
            self.link.wake();
        }
    }

    pub(super) fn close(&self, reason: &str) {
        if !self.gone() {
            self.link.close(reason);
        }
    }

    pub(super) fn view(&self) -> PeerView {
        let now = self.now();
        self.with(|exchange, debt, credit| PeerView {
            conn: self.id(),
            peer: exchange.peer().filter(|_| exchange.established()),
            info_hash: self.context.info_hash,
            sale_price: exchange.sale_price(),
            purchase_price: exchange.purchase_price(),
            remote: self.context.remote,
            held: exchange.held_why(credit),
            held_for: exchange.held_for(now),
            unpaid_bytes: credit.unpaid_bytes(),
            window_bytes: credit.window().bytes(),
            owed_raw: credit.owed(),
            due_bytes: debt.due_bytes(),
            tally: exchange
                .peer()
                .and_then(|peer| locked(&self.shared.tallies).peers.get(&peer).copied())
                .unwrap_or_default(),
        })
    }
}

/// The connection's methods are called on an `Arc<Conn>`; the trait only sees
/// `&self`, so the handle the worker needs is kept beside it.
pub(super) struct Handle(pub(super) Arc<Conn>);

impl PeerExtension for Handle {
    fn message(&self, payload: &[u8]) -> Result<(), Violation> {
        let received = &self.0.shared.counters.wire;
        received.fetch_add(wire_bytes(payload.len()), Ordering::Relaxed);
        let message = Message::decode(payload).map_err(|error| Violation(error.to_string()))?;
        if self.0.waiting.fetch_add(1, Ordering::Relaxed) >= MAX_WAITING {
            return Err(Violation("sr_pay: a flood of messages".to_owned()));
        }
        let event = Event::Message(Arc::clone(&self.0), message);
        let offered = self.0.events.offer(event);
        offered.map_err(|_| Violation("sr_pay: too much waits to be looked at".to_owned()))
    }

    fn price_request(&self, piece: u32, bytes: u32) -> Option<PriceTag> {
        let now = self.0.now();
        let (tag, look) = self.0.with(|exchange, debt, _| {
            let mut budget = locked(&self.0.shared.budget);
            let mut of_torrent = locked(&self.0.budget);
            let price = exchange.purchase_price().unwrap_or(0);
            let bytes_wide = u64::from(bytes);
            if !of_torrent.reserve(bytes_wide, price) {
                exchange.out_of_budget();
                return (None, exchange.wants_attention(debt, now));
            }
            let tag = exchange.price_request(piece, bytes, debt, &mut budget, now);
            if tag.is_none() {
                of_torrent.release(bytes_wide, price);
            }
            (tag, exchange.wants_attention(debt, now))
        });
        if look {
            self.0.ring();
        }
        tag
    }

    fn piece_verified(&self, piece: u32, chunks: &[(PriceTag, u32)]) {
        let now = self.0.now();
        let look = self.0.with(|exchange, debt, _| {
            let mut budget = locked(&self.0.shared.budget);
            exchange.piece_verified(piece, chunks, debt, &mut budget, now);
            let mut of_torrent = locked(&self.0.budget);
            for (tag, bytes) in chunks {
                of_torrent.spend(u64::from(*bytes), tag.0);
            }
            exchange.wants_attention(debt, now)
        });
        if look {
            self.0.ring();
        }
    }

    fn request_dropped(&self, tag: PriceTag, bytes: u32) {
        self.0.with(|exchange, debt, _| {
            let mut budget = locked(&self.0.shared.budget);
            exchange.request_dropped(tag, bytes, debt, &mut budget);
            locked(&self.0.budget).release(u64::from(bytes), tag.0);
        });
    }

    fn piece_over(&self, piece: u32) {
        self.0
            .with(|exchange, debt, _| exchange.piece_over(piece, debt));
    }

    fn upload_allowance(&self) -> u64 {
        self.0
            .with(|exchange, _, credit| exchange.upload_allowance(credit))
    }

    fn served(&self, _piece: u32, bytes: u32) {
        self.0.served_at.store(self.0.now().0, Ordering::Relaxed);
        if self
            .0
            .with(|exchange, _, credit| exchange.served(bytes, credit))
        {
            self.0.ring();
        }
    }

    fn peer_interested(&self, interested: bool) {
        self.0.interested.store(interested, Ordering::Relaxed);
    }

    fn choked(&self) {
        self.0.settle();
    }

    fn finished(&self) {
        self.0.settle();
    }

    fn drained(&self) -> bool {
        let served_at = UnixMs(self.0.served_at.load(Ordering::Relaxed));
        let lately = self.0.now().since(served_at) < LAST_RECEIPT;
        self.0.with(|exchange, debt, credit| {
            // What was served last is about to be paid for.
            let paying = exchange.sale_price().is_some() && credit.unpaid_bytes() > 0;
            !exchange.established() || (debt.settled() && !(paying && lately))
        })
    }

    fn closed(&self) {
        self.0.gone.store(true, Ordering::Release);
        let now = self.0.now();
        self.0.with(|exchange, debt, credit| {
            exchange.closed(debt, credit, now);
            let held = u64::try_from(exchange.held_for(now).as_millis()).unwrap_or(u64::MAX);
            let counters = &self.0.shared.counters;
            counters.held_ms.fetch_add(held, Ordering::Relaxed);
        });
        self.0.events.put(Event::Closed(Arc::clone(&self.0)));
    }
}
