//! The one thread that signs and stores. It takes events in order, runs the
//! connections' machines and does what they put out.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, atomic::Ordering, mpsc},
    time::Duration,
};

use super::{ChainError, PayEvent, Shared, conn::Conn, locked};
use crate::{
    ledger::{
        EpochId, EpochLease, LedgerError, Pair, ReceiptFilter, ReceiptKind, ReceiptRow, Stored,
        TransferRow,
    },
    receipts::{
        body::SignedReceipt,
        credit::Credit,
        debt::Debt,
        exchange::{Input, Output},
        message::{Instance, MAX_SYNC_RECEIPTS, Message},
        meter::{GIB_BITS, cost},
    },
    swarm::hooks::{ConnId, UploadClass},
    types::{Address, RawAmount, Token, TxId, UnixMs},
};

/// How often time is told to the machines.
const TICK: Duration = Duration::from_millis(250);
/// How often the node is asked for its solid head and our balance.
const REFRESH: Duration = Duration::from_secs(30);
/// How long until a bidder that was not admitted is looked at again.
const READMIT: Duration = Duration::from_secs(10);
/// Prices change with contention at most this often.
const REPRICE: Duration = Duration::from_secs(10);
/// A debt from before a reconnect must be paid within this.
const GRACE: Duration = Duration::from_secs(60);
/// What counts as trust: settled within these days.
const TRUSTED_FOR: Duration = Duration::from_secs(30 * 24 * 3600);
/// Unproven addresses together may owe this many times the cap of one,
const UNPROVEN_TOTAL: u128 = 10;
/// and those of one /24 (IPv6: /56) this many times.
const UNPROVEN_PREFIX: u128 = 2;
/// Unpaid debts after which an address that has settled is not served on
/// credit any more; one that never has gets no second.
const MAX_DEFAULTS: u32 = 3;
/// Transfers of ours to a peer that it is told on connect.
const MAX_TOLD: usize = 8;
/// How many of our own newest transfers are looked through for those.
const TRANSFERS_LOOKED_AT: u32 = 256;
/// Receipts of evidence that are looked at to leave epochs alone.
const EVIDENCE_LOOKED_AT: u32 = 64;

pub(super) enum Event {
    Attached(Arc<Conn>, Vec<Output>),
    Message(Arc<Conn>, Message),
    /// Something may be due on this connection.
    Look(Arc<Conn>),
    Settle(Arc<Conn>),
    Closed(ConnId),
    /// What the node said about a bidder: it exists, and what it holds.
    Bidder {
        conn: Arc<Conn>,
        bid: u64,
        answer: Result<(bool, RawAmount), ChainError>,
    },
    Transfer {
        txid: TxId,
        peer: Address,
        answer: Result<Option<TransferRow>, ChainError>,
    },
    Node {
        head: Result<u64, ChainError>,
        balance: Result<RawAmount, ChainError>,
    },
    Shutdown,
}

/// A debt that was there when its address came back.
struct Carried {
    bytes: u64,
    credited_before: u64,
    until: UnixMs,
}

/// One address's debts to us.
struct Account {
    credit: Arc<Mutex<Credit>>,
    carried: Option<Carried>,
}

pub(super) struct Worker {
    shared: Arc<Shared>,
    events: mpsc::Sender<Event>,
    runtime: tokio::runtime::Handle,
    balance: RawAmount,
    refreshed: UnixMs,
    accounts: HashMap<Address, Account>,
    debts: HashMap<(Address, Instance), Arc<Mutex<Debt>>>,
    leases: HashMap<(Address, Instance), EpochLease>,
    /// Epochs of ours in which another machine has signed too: held, never used.
    parked: Vec<EpochLease>,
    instances: HashMap<ConnId, Instance>,
    readmit: HashMap<ConnId, (u64, UnixMs)>,
    contended: bool,
    repriced: UnixMs,
    /// Why nothing is signed any more.
    stopped: Option<String>,
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        events: mpsc::Sender<Event>,
        runtime: tokio::runtime::Handle,
        balance: RawAmount,
    ) -> Self {
        let now = shared.config.clock.now();
        Self {
            shared,
            events,
            runtime,
            balance,
            refreshed: now,
            accounts: HashMap::new(),
            debts: HashMap::new(),
            leases: HashMap::new(),
            parked: Vec::new(),
            instances: HashMap::new(),
            readmit: HashMap::new(),
            contended: false,
            repriced: now,
            stopped: None,
        }
    }

    fn now(&self) -> UnixMs {
        self.shared.config.clock.now()
    }

    fn own(&self) -> Address {
        self.shared.config.signer.address()
    }

    fn tell(&self, event: PayEvent) {
        tracing::debug!(?event, "payments");
        (self.shared.config.on_event)(event);
    }

    /// Ends at [`Event::Shutdown`]; the epochs are free then.
    pub(super) fn run(mut self, inbox: &mpsc::Receiver<Event>) {
        let mut next_tick = self.now();
        loop {
            match inbox.recv_timeout(TICK) {
                Ok(Event::Shutdown) | Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Ok(event) => self.event(event),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            let now = self.now();
            if now >= next_tick || next_tick.since(now) > TICK {
                next_tick = now.plus(TICK);
                self.tick(now);
            }
        }
        locked(&self.shared.conns).clear();
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Attached(conn, outputs) => self.perform(&conn, outputs),
            Event::Message(conn, message) => {
                conn.taken();
                let before = conn.view().peer;
                let outputs = conn.message_in(message);
                self.perform(&conn, outputs);
                if let (None, Some(peer)) = (before, conn.view().peer) {
                    self.tell(PayEvent::Met { peer });
                }
            }
            Event::Look(conn) => {
                conn.answered();
                let outputs = conn.input(Input::Tick);
                self.perform(&conn, outputs);
            }
            Event::Settle(conn) => {
                let outputs = conn.input(Input::Settle);
                self.perform(&conn, outputs);
            }
            Event::Closed(id) => {
                locked(&self.shared.conns).retain(|conn| conn.id() != id);
                self.instances.remove(&id);
                self.readmit.remove(&id);
            }
            Event::Bidder { conn, bid, answer } => self.bidder(&conn, bid, answer),
            Event::Transfer { txid, peer, answer } => self.transfer(txid, peer, answer),
            Event::Node { head, balance } => {
                if let Ok(head) = head {
                    self.shared.head.fetch_max(head, Ordering::Relaxed);
                }
                // Unknown: what was known last still bounds what is signed.
                if let Ok(balance) = balance {
                    self.balance = balance;
                }
            }
            Event::Shutdown => {}
        }
    }

    fn conns(&self) -> Vec<Arc<Conn>> {
        locked(&self.shared.conns).clone()
    }

    fn tick(&mut self, now: UnixMs) {
        for conn in self.conns() {
            let outputs = conn.input(Input::Tick);
            self.perform(&conn, outputs);
            let due = self.readmit.get(&conn.id()).copied();
            if let Some((bid, at)) = due
                && now >= at
            {
                self.readmit.remove(&conn.id());
                self.admit(&conn, bid);
            }
        }
        self.look_for_defaults(now);
        self.reprice(now);
        if now.since(self.refreshed) >= REFRESH {
            self.refreshed = now;
            self.ask_node();
        }
    }

    fn ask_node(&self) {
        let (chain, events) = (Arc::clone(&self.shared.config.chain), self.events.clone());
        let (own, token) = (self.own(), self.shared.config.token);
        self.runtime.spawn(async move {
            let head = chain.solid_head().await;
            let balance = chain.token_balance(own, token).await;
            // The worker may have ended meanwhile.
            let _ = events.send(Event::Node { head, balance });
        });
    }

    /// Does what a machine put out, and what comes of that.
    fn perform(&mut self, conn: &Arc<Conn>, outputs: Vec<Output>) {
        let mut queue = VecDeque::from(outputs);
        while let Some(output) = queue.pop_front() {
            let more = match output {
                Output::Send(message) => {
                    if matches!(message, Message::Hold { .. }) {
                        self.shared.counters.holds.fetch_add(1, Ordering::Relaxed);
                    }
                    conn.send(&message);
                    Vec::new()
                }
                Output::Class(class) => {
                    conn.set_class(class);
                    Vec::new()
                }
                Output::Wake => {
                    conn.wake();
                    Vec::new()
                }
                Output::Close(violation) => {
                    conn.close(&violation.0);
                    Vec::new()
                }
                Output::Load { peer, instance } => self.load(conn, peer, instance),
                Output::Admit { bid } => {
                    self.admit(conn, bid);
                    Vec::new()
                }
                Output::Issue => self.issue(conn),
                Output::Store(signed) => self.store(conn, &signed),
                Output::Evidence(signed) => {
                    self.evidence(conn, &signed);
                    Vec::new()
                }
                Output::LookFor(txid) => {
                    self.look_for(conn, txid);
                    Vec::new()
                }
            };
            queue.extend(more);
        }
    }

    /// The ledger failed: on this connection nothing more is done with money.
    fn ledger_failed(&mut self, conn: &Arc<Conn>, error: &LedgerError) {
        tracing::error!(%error, "the ledger failed");
        if matches!(error, LedgerError::CommitUnknown(_)) {
            self.stop(error.to_string());
        }
        conn.set_class(UploadClass::Refused);
        conn.close("our ledger failed");
    }

    fn stop(&mut self, reason: String) {
        if self.stopped.is_none() {
            self.tell(PayEvent::Stopped {
                reason: reason.clone(),
            });
            self.stopped = Some(reason);
        }
    }

    // ---- who it is ----

    fn load(&mut self, conn: &Arc<Conn>, peer: Address, instance: Instance) -> Vec<Output> {
        let pair = Pair {
            payer: self.own(),
            payee: peer,
            token: self.shared.config.token,
        };
        self.instances.insert(conn.id(), instance);
        let debt = Arc::clone(
            self.debts
                .entry((peer, instance))
                .or_insert_with(|| Arc::new(Mutex::new(Debt::new(pair)))),
        );
        let known = match self.known(&pair) {
            Ok(known) => known,
            Err(error) => {
                self.ledger_failed(conn, &error);
                return Vec::new();
            }
        };
        let now = self.now();
        let piece_length = conn.context.piece_length;
        let account = self.accounts.entry(peer).or_insert_with(|| Account {
            credit: Arc::new(Mutex::new(Credit::new(piece_length))),
            carried: None,
        });
        let credit = Arc::clone(&account.credit);
        {
            let mut credit = locked(&credit);
            credit.load(
                &known.received,
                known.owed,
                known.settled,
                known.proven,
                known.contradicted,
            );
            credit.admit_piece(piece_length);
            let unpaid = credit.unpaid_bytes();
            let others = locked(&self.shared.conns)
                .iter()
                .any(|other| other.id() != conn.id() && other.peer() == Some(peer));
            if unpaid > 0 && account.carried.is_none() && !others {
                account.carried = Some(Carried {
                    bytes: unpaid,
                    credited_before: credit.credited_bytes(),
                    until: now.plus(GRACE),
                });
            }
        }
        conn.meet(debt, credit);
        conn.input(Input::Loaded {
            issued: known.issued,
            received: known.received,
            settled: known.told,
        })
    }

    fn known(&self, pair: &Pair) -> Result<Known, LedgerError> {
        let ledger = &self.shared.config.ledger;
        let incoming = pair.reversed();
        let own = ledger.issued(pair)?;
        let issued = newest(own.iter().map(crate::ledger::Durable::get))?;
        let theirs = ledger.received(&incoming)?;
        let received = newest(theirs.iter().map(crate::ledger::Durable::get))?;
        let token = Token::Trc10(pair.token);
        let settled_since =
            |since| ledger.transferred_since(incoming.payer, incoming.payee, token, since);
        let settled = settled_since(self.now().minus(TRUSTED_FOR))?;
        let ever = settled_since(UnixMs(0))?;
        let net = ledger.position(pair)?.net();
        let owed = i64::try_from(-net)
            .ok()
            .and_then(|raw| RawAmount::new(raw).ok())
            .unwrap_or(if net < 0 {
                RawAmount::MAX
            } else {
                RawAmount::ZERO
            });
        let told = ledger
            .transfers(pair.payer, TRANSFERS_LOOKED_AT)?
            .into_iter()
            .filter(|row| row.payer == pair.payer && row.payee == pair.payee && row.token == token)
            .map(|row| row.txid)
            .take(MAX_TOLD)
            .collect();
        Ok(Known {
            issued,
            received,
            told,
            owed,
            settled,
            proven: ever > RawAmount::ZERO,
            contradicted: !ledger.equivocations(&incoming)?.is_empty(),
        })
    }

    // ---- selling ----

    /// Whether a bidder is served on credit; asks the node about an unproven one.
    fn admit(&mut self, conn: &Arc<Conn>, bid: u64) {
        let Some(peer) = conn.peer() else { return };
        let credit = conn.credit();
        let (proven, defaults) = {
            let credit = locked(&credit);
            (credit.proven(), credit.defaults())
        };
        let allowed = if proven { MAX_DEFAULTS } else { 0 };
        if defaults > allowed {
            self.answer(conn, None, "it did not pay before");
            return;
        }
        if proven {
            self.answer(conn, Some(bid), "");
            return;
        }
        let (chain, events) = (Arc::clone(&self.shared.config.chain), self.events.clone());
        let (conn, token) = (Arc::clone(conn), self.shared.config.token);
        self.runtime.spawn(async move {
            let answer = async {
                if !chain.account_exists(peer).await? {
                    return Ok((false, RawAmount::ZERO));
                }
                Ok((true, chain.token_balance(peer, token).await?))
            }
            .await;
            // The worker may have ended meanwhile.
            let _ = events.send(Event::Bidder { conn, bid, answer });
        });
    }

    fn bidder(
        &mut self,
        conn: &Arc<Conn>,
        bid: u64,
        answer: Result<(bool, RawAmount), ChainError>,
    ) {
        let reason = match answer {
            Err(error) => Some(error.to_string()),
            Ok((false, _)) => Some("its account does not exist".to_owned()),
            Ok((true, balance)) => self.too_exposed(conn, bid, balance),
        };
        match reason {
            None => self.answer(conn, Some(bid), ""),
            Some(reason) => {
                self.readmit
                    .insert(conn.id(), (bid, self.now().plus(READMIT)));
                self.answer(conn, None, &reason);
            }
        }
    }

    /// What an unproven address could take: what it owes, and a window at its
    /// bid or what it was served already.
    fn exposure(credit: &Credit, bid: u64) -> u128 {
        let window = cost(credit.window().bytes(), bid) >> GIB_BITS;
        u128::from(credit.owed().unsigned()) + window.max(credit.unpaid_units())
    }

    fn too_exposed(&self, conn: &Arc<Conn>, bid: u64, balance: RawAmount) -> Option<String> {
        let ask = self.shared.config.ask?;
        let cap = u128::from(ask.unproven_cap.unsigned());
        let wanted = Self::exposure(&locked(&conn.credit()), bid);
        if u128::from(balance.unsigned()) < wanted {
            return Some(format!(
                "it holds {balance} raw units and would need {wanted}"
            ));
        }
        let (peer, prefix) = (conn.peer(), prefix_of(conn.context.remote.ip()));
        let (mut total, mut near) = (wanted, wanted);
        let mut counted = HashSet::from([peer]);
        for other in self.conns() {
            let (Some(price), of) = (other.view().sale_price, other.peer()) else {
                continue;
            };
            let credit = other.credit();
            let credit = locked(&credit);
            if credit.proven() || !counted.insert(of) {
                continue;
            }
            let exposure = Self::exposure(&credit, price);
            total += exposure;
            if prefix_of(other.context.remote.ip()) == prefix {
                near += exposure;
            }
        }
        if total > cap * UNPROVEN_TOTAL {
            return Some("addresses that never settled owe enough together".to_owned());
        }
        if near > cap * UNPROVEN_PREFIX && !conn.context.remote.ip().is_loopback() {
            return Some("addresses of its network that never settled owe enough".to_owned());
        }
        None
    }

    /// Uncontended, everyone pays the floor; contended, each its own bid.
    fn answer(&mut self, conn: &Arc<Conn>, bid: Option<u64>, reason: &str) {
        let floor = self.shared.config.ask.map_or(0, |ask| ask.floor_price);
        let price = bid.map(|bid| if self.contended { bid } else { floor });
        if let (None, Some(peer)) = (price, conn.peer()) {
            self.tell(PayEvent::NotSelling {
                peer,
                reason: reason.to_owned(),
            });
        }
        let before = conn.view().sale_price;
        let outputs = conn.input(Input::Admitted(price));
        if let (Some(price), Some(peer)) = (conn.view().sale_price, conn.peer())
            && before != Some(price)
        {
            self.tell(PayEvent::Selling { peer, price });
        }
        self.perform(conn, outputs);
    }

    fn reprice(&mut self, now: UnixMs) {
        if self.shared.config.ask.is_none() || now.since(self.repriced) < REPRICE {
            return;
        }
        let conns = self.conns();
        let payers: HashSet<Option<Address>> = conns
            .iter()
            .filter(|conn| conn.interested() && conn.view().sale_price.is_some())
            .map(|conn| conn.peer())
            .collect();
        let contended = payers.len() > 1;
        if contended == self.contended {
            return;
        }
        self.contended = contended;
        self.repriced = now;
        for conn in conns {
            let bid = conn.with(|exchange, _, _| exchange.sale_bid());
            if let Some(bid) = bid {
                self.answer(&conn, Some(bid), "");
            }
        }
    }

    fn look_for_defaults(&mut self, now: UnixMs) {
        let mut defaulted = Vec::new();
        for (peer, account) in &mut self.accounts {
            let Some(carried) = &account.carried else {
                continue;
            };
            let mut credit = locked(&account.credit);
            let paid = credit
                .credited_bytes()
                .saturating_sub(carried.credited_before);
            let left = carried
                .bytes
                .saturating_sub(paid)
                .min(credit.unpaid_bytes());
            if left == 0 {
                account.carried = None;
            } else if now >= carried.until {
                credit.default_on(left);
                account.carried = None;
                defaulted.push(*peer);
            }
        }
        for conn in self.conns() {
            let bid = conn.with(|exchange, _, _| exchange.sale_bid());
            if let (Some(bid), Some(peer)) = (bid, conn.peer())
                && defaulted.contains(&peer)
            {
                self.admit(&conn, bid);
            }
        }
    }

    fn store(&mut self, conn: &Arc<Conn>, signed: &SignedReceipt) -> Vec<Output> {
        let row = signed.to_row();
        let stored = match self.shared.config.ledger.store_received(&row) {
            Ok(stored) => stored.into_inner(),
            Err(error) => {
                locked(&conn.credit()).forget(row.epoch);
                self.ledger_failed(conn, &error);
                return Vec::new();
            }
        };
        let raised = match stored {
            Stored::New => Some(row.amount),
            Stored::Superseded { before } => row.amount.checked_sub(before),
            Stored::Equivocation | Stored::Regress { .. } => {
                self.tell(PayEvent::Contradiction {
                    peer: row.pair.payer,
                });
                None
            }
            Stored::Unchanged => None,
        };
        if let Some(raised) = raised {
            let counters = &self.shared.counters;
            counters.received.fetch_add(1, Ordering::Relaxed);
            counters
                .earned
                .fetch_add(raised.unsigned(), Ordering::Relaxed);
            self.tell(PayEvent::Received {
                peer: row.pair.payer,
                amount: row.amount,
                raised,
            });
        }
        let outputs = conn.input(Input::Stored {
            receipt: *signed,
            stored,
        });
        // Credit is the address's: its other connections may go on too.
        for other in self.conns() {
            if other.id() != conn.id() && other.peer() == Some(row.pair.payer) {
                let woken = other.input(Input::Credited);
                self.perform(&other, woken);
            }
        }
        outputs
    }

    fn look_for(&self, conn: &Arc<Conn>, txid: TxId) {
        let Some(peer) = conn.peer() else { return };
        let (chain, events) = (Arc::clone(&self.shared.config.chain), self.events.clone());
        self.runtime.spawn(async move {
            let answer = chain.settlement(txid).await;
            // The worker may have ended meanwhile.
            let _ = events.send(Event::Transfer { txid, peer, answer });
        });
    }

    /// What our own node says of a transfer a peer told us of.
    fn transfer(
        &mut self,
        txid: TxId,
        peer: Address,
        answer: Result<Option<TransferRow>, ChainError>,
    ) {
        let row = match answer {
            Ok(Some(row)) => row,
            Ok(None) => {
                tracing::debug!(%txid, %peer, "no such transfer in the solid chain yet");
                return;
            }
            Err(error) => {
                tracing::warn!(%txid, %error, "a transfer could not be looked for");
                return;
            }
        };
        let token = Token::Trc10(self.shared.config.token);
        if row.txid != txid || row.payee != self.own() || row.payer != peer || row.token != token {
            tracing::warn!(%txid, %peer, "a peer told of a transfer that is not its to us");
            return;
        }
        match self.shared.config.ledger.record_transfer(&row) {
            Ok(recorded) if *recorded.get() => {
                if let Some(account) = self.accounts.get(&peer) {
                    locked(&account.credit).settled(row.amount);
                }
                self.tell(PayEvent::Settled {
                    peer,
                    txid,
                    amount: row.amount,
                });
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, "a transfer could not be recorded");
                if matches!(error, LedgerError::CommitUnknown(_)) {
                    self.stop(error.to_string());
                }
            }
        }
    }

    // ---- buying ----

    /// An epoch to issue in: never one in which our signature was seen that our
    /// log does not have, since that would sign two statements under a sequence.
    fn claim(&mut self, pair: &Pair) -> Result<EpochLease, LedgerError> {
        let ledger = Arc::clone(&self.shared.config.ledger);
        let filter = ReceiptFilter {
            kind: Some(ReceiptKind::Evidence),
            payer: Some(pair.payer),
            payee: Some(pair.payee),
            token: Some(pair.token),
            epoch: None,
        };
        let foreign: HashSet<EpochId> = ledger
            .receipts(&filter, None, EVIDENCE_LOOKED_AT)?
            .iter()
            .map(|entry| entry.receipt.epoch)
            .collect();
        let head = self.shared.head.load(Ordering::Relaxed);
        loop {
            let lease = ledger.claim_epoch(pair, head)?;
            if !foreign.contains(&lease.epoch) {
                return Ok(lease);
            }
            // Held, so that the next claim gives another; there are at most
            // `MAX_OPEN_EPOCHS`, then the claim is refused.
            self.parked.push(lease);
        }
    }

    fn issue(&mut self, conn: &Arc<Conn>) -> Vec<Output> {
        if self.stopped.is_some() {
            return Vec::new();
        }
        let (Some(peer), Some(instance)) = (conn.peer(), self.instances.get(&conn.id()).copied())
        else {
            return Vec::new();
        };
        let key = (peer, instance);
        let debt = conn.debt();
        if !self.leases.contains_key(&key) {
            let pair = Pair {
                payer: self.own(),
                payee: peer,
                token: self.shared.config.token,
            };
            let claimed = self.claim(&pair).and_then(|lease| {
                let last = lease.last.as_ref().map(signed_of).transpose()?;
                locked(&debt).claimed(lease.epoch, lease.since_block, last, lease.remainder);
                Ok(lease)
            });
            match claimed {
                Ok(lease) => {
                    self.leases.insert(key, lease);
                }
                Err(error) => {
                    self.ledger_failed(conn, &error);
                    return Vec::new();
                }
            }
        }
        let Some(lease) = self.leases.get(&key) else {
            return Vec::new();
        };
        let now = self.now();
        let draft = match locked(&debt).draft(now) {
            Some(Ok(draft)) => draft,
            Some(Err(error)) => {
                locked(&debt).not_issued(now);
                let reason = error.to_string();
                self.stop(reason);
                return Vec::new();
            }
            None => return Vec::new(),
        };
        let config = &self.shared.config;
        let signed = SignedReceipt::sign(draft.receipt, &self.shared.domain, &*config.signer);
        let issued = signed
            .map_err(|error| LedgerError::Store(error.to_string()))
            .and_then(|signed| {
                config
                    .ledger
                    .issue(lease, &signed.to_row(), draft.remainder, Some(self.balance))
            })
            .and_then(|durable| signed_of(durable.get()));
        match issued {
            Ok(signed) => {
                locked(&debt).issued(&draft, signed, now);
                let counters = &self.shared.counters;
                counters.issued.fetch_add(1, Ordering::Relaxed);
                counters
                    .spent
                    .fetch_add(draft.raised.unsigned(), Ordering::Relaxed);
                self.tell(PayEvent::Issued {
                    peer,
                    amount: draft.receipt.amount,
                    raised: draft.raised,
                });
                conn.input(Input::Issued(signed))
            }
            Err(LedgerError::Busy) => {
                // Nothing was written; the next tick tries again.
                locked(&debt).not_issued(now);
                Vec::new()
            }
            Err(error) => {
                locked(&debt).not_issued(now);
                if let LedgerError::OverCeiling { .. } = error {
                    self.stop(error.to_string());
                    return conn.input(Input::Broke);
                }
                self.ledger_failed(conn, &error);
                Vec::new()
            }
        }
    }

    fn evidence(&mut self, conn: &Arc<Conn>, signed: &SignedReceipt) {
        let row = signed.to_row();
        match self.shared.config.ledger.store_evidence(&row) {
            Ok(stored) => {
                if matches!(stored.get(), Stored::Unchanged) {
                    return;
                }
                self.tell(PayEvent::Evidence {
                    peer: row.pair.payee,
                    amount: row.amount,
                });
                // Another signed in an epoch that we hold: it is left for good.
                let ours: Vec<_> = self
                    .leases
                    .iter()
                    .filter(|(_, lease)| lease.pair == row.pair && lease.epoch == row.epoch)
                    .map(|(key, _)| *key)
                    .collect();
                for key in ours {
                    self.parked.extend(self.leases.remove(&key));
                    if let Some(debt) = self.debts.get(&key) {
                        locked(debt).leave_epoch();
                    }
                }
            }
            Err(error) => self.ledger_failed(conn, &error),
        }
    }
}

/// What the ledger knows of a peer.
struct Known {
    issued: Vec<SignedReceipt>,
    received: Vec<SignedReceipt>,
    told: Vec<TxId>,
    owed: RawAmount,
    settled: RawAmount,
    proven: bool,
    contradicted: bool,
}

fn signed_of(row: &ReceiptRow) -> Result<SignedReceipt, LedgerError> {
    SignedReceipt::from_row(row).map_err(|error| LedgerError::Damaged(error.to_string()))
}

/// As many as a `sync` carries, the last issued first.
fn newest<'a>(
    rows: impl Iterator<Item = &'a ReceiptRow>,
) -> Result<Vec<SignedReceipt>, LedgerError> {
    let mut signed = rows.map(signed_of).collect::<Result<Vec<_>, _>>()?;
    signed.sort_by_key(|signed| std::cmp::Reverse(signed.receipt.issued_at));
    signed.truncate(MAX_SYNC_RECEIPTS);
    Ok(signed)
}

/// The network an address is in: /24, or /56 of IPv6.
fn prefix_of(ip: IpAddr) -> Vec<u8> {
    let (bytes, length) = match ip.to_canonical() {
        IpAddr::V4(ip) => (ip.octets().to_vec(), 3),
        IpAddr::V6(ip) => (ip.octets().to_vec(), 7),
    };
    bytes.into_iter().take(length).collect()
}
