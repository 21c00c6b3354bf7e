//! The one thread that signs and stores. It takes events in order, runs the
//! connections' machines and does what they put out.

mod asking;
mod exposure;
mod issuing;
mod known;
mod selling;
mod storing;

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use asking::{Desk, Hint};
use storing::Group;

use super::{ChainError, PayEvent, Shared, conn::Conn, inbox::Inbox, locked};
use crate::{
    ledger::{EpochLease, LedgerError, Standing, TransferRow},
    receipts::{
        credit::Credit,
        debt::Debt,
        exchange::{Input, Output},
        exposure::Network,
        grant::Identity,
        message::{Instance, Message},
    },
    swarm::hooks::{ConnId, UploadClass},
    types::{Address, RawAmount, TxId, UnixMs},
};

/// How often time is told to the machines.
const TICK: Duration = Duration::from_millis(250);
/// How often our own ledger is asked for transfers that became solid meanwhile.
const TELL: Duration = Duration::from_secs(2);
/// What addresses owe that are not here is read anew at most this often.
const READ_GONE: Duration = Duration::from_secs(60);
/// How often the node is asked for its solid head and our balance.
const REFRESH: Duration = Duration::from_secs(30);
/// How long until a bidder that was not admitted is looked at again.
const READMIT: Duration = Duration::from_secs(10);
/// Prices change with contention at most this often.
const REPRICE: Duration = Duration::from_secs(10);
/// A debt from before a reconnect must be paid within this.
const GRACE: Duration = Duration::from_secs(60);
/// So long before a grant ends nothing more is bought under it: what is due must
/// arrive in time.
const GRANT_MARGIN: Duration = Duration::from_secs(60);
/// What counts as trust: settled within these days.
const TRUSTED_FOR: Duration = Duration::from_secs(30 * 24 * 3600);
/// Unpaid debts after which an address is not served on credit any more, if it
/// settled more than they came to; otherwise it gets no second.
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
    Closed(Arc<Conn>),
    /// What the node said about a bidder: it exists, and what it holds.
    Bidder {
        conn: Arc<Conn>,
        bid: u64,
        answer: Result<Option<RawAmount>, ChainError>,
    },
    Transfer {
        hint: Hint,
        answer: Result<Option<TransferRow>, ChainError>,
    },
    /// Whether somebody that we buy of has an account.
    Payee {
        peer: Address,
        answer: Result<Option<RawAmount>, ChainError>,
    },
    Node {
        head: Result<u64, ChainError>,
        balance: Result<Option<RawAmount>, ChainError>,
    },
    /// Another key signs from now on.
    Renewed(Box<Identity>),
    /// The node is asked now what it is asked now and then.
    AskNode,
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
    /// Where it was seen by this process.
    networks: BTreeSet<Network>,
    /// What the node said that it holds, if it exists, and when.
    said: Option<(UnixMs, Option<RawAmount>)>,
}

pub(super) struct Worker {
    shared: Arc<Shared>,
    events: Arc<Inbox<Event>>,
    runtime: tokio::runtime::Handle,
    balance: RawAmount,
    refreshed: UnixMs,
    accounts: HashMap<Address, Account>,
    desk: Desk,
    arriving: Group,
    /// What addresses owe beyond what they ever settled, as the ledger said, and when.
    gone: Option<(UnixMs, HashMap<Address, i128>)>,
    /// How addresses behaved, of all that are remembered for anything.
    standings: HashMap<Address, Standing>,
    /// Transfers of ours that the peers here were told of, or will be as they greet.
    told: Option<HashSet<TxId>>,
    looked_for_told: UnixMs,
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
    /// The grant is about to end: nothing more is bought.
    ending: bool,
    /// Nothing is signed for the grant's end.
    ended: bool,
    /// How many of the days before its end were told.
    end_told: usize,
    /// The user was told that a limit is used up.
    limit_told: bool,
    /// How often the node did not answer since it last did, and what was told of it.
    silences: u32,
    behind_told: bool,
    /// Of whom it was asked whether they have an account.
    payees: HashSet<Address>,
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        events: Arc<Inbox<Event>>,
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
            desk: Desk::new(now),
            arriving: Group::default(),
            gone: None,
            standings: HashMap::new(),
            told: None,
            looked_for_told: now,
            debts: HashMap::new(),
            leases: HashMap::new(),
            parked: Vec::new(),
            instances: HashMap::new(),
            readmit: HashMap::new(),
            contended: false,
            repriced: now,
            stopped: None,
            ending: false,
            ended: false,
            end_told: 0,
            limit_told: false,
            silences: 0,
            behind_told: false,
            payees: HashSet::new(),
        }
    }

    fn now(&self) -> UnixMs {
        self.shared.config.clock.now()
    }

    /// Seconds since the Unix epoch.
    fn now_secs(&self) -> u64 {
        u64::try_from(self.now().secs()).unwrap_or(0)
    }

    fn own(&self) -> Address {
        self.shared.config.identity.account()
    }

    fn tell(&self, event: PayEvent) {
        tracing::debug!(?event, "payments");
        (self.shared.config.on_event)(event);
    }

    /// Ends at [`Event::Shutdown`]; the epochs are free then.
    pub(super) fn run(mut self) {
        let inbox = Arc::clone(&self.events);
        let mut next_tick = self.now();
        // Before anybody greets: what becomes solid later is told to who is here.
        self.tell_payees(next_tick);
        loop {
            // What came in waits for what is there already, and for nothing else.
            let idle = self.arriving.is_empty();
            let event = inbox.next(if idle { TICK } else { Duration::ZERO });
            if !idle
                && !event
                    .as_ref()
                    .is_some_and(|event| self.arriving.lets_pass(event))
            {
                self.store_arrived();
            }
            match event {
                Some(Event::Shutdown) => break,
                Some(event) => self.event(event),
                None => {}
            }
            let now = self.now();
            if now >= next_tick || next_tick.since(now) > TICK {
                self.store_arrived();
                next_tick = now.plus(TICK);
                self.tick(now);
            }
        }
        inbox.close();
        locked(&self.shared.conns).clear();
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Attached(conn, outputs) => self.perform(&conn, outputs),
            Event::Message(conn, message) => {
                conn.taken();
                let before = conn.view().peer;
                let outputs = conn.message_in(message);
                if let (None, Some(peer)) = (before, conn.view().peer) {
                    self.met(&conn, peer);
                }
                self.perform(&conn, outputs);
            }
            Event::Look(conn) => {
                conn.answered();
                let outputs = conn.input(Input::Tick);
                self.perform(&conn, outputs);
            }
            Event::Settle(conn) => {
                conn.settles();
                let outputs = conn.input(Input::Settle);
                self.perform(&conn, outputs);
            }
            Event::Closed(conn) => {
                let id = conn.id();
                locked(&self.shared.conns).retain(|conn| conn.id() != id);
                self.readmit.remove(&id);
                self.note_written_off(&conn);
                self.forget(&conn);
            }
            Event::Bidder { conn, bid, answer } => {
                self.bidder(&conn, bid, answer);
                self.answered();
            }
            Event::Transfer { hint, answer } => {
                self.transfer(hint, answer);
                self.answered();
            }
            Event::Payee { peer, answer } => {
                if matches!(answer, Ok(None)) {
                    self.tell(PayEvent::PayeeUnknown { peer });
                }
            }
            Event::Node { head, balance } => {
                self.node_said(&head);
                // Unknown: what was known last still bounds what is signed.
                if let Ok(balance) = balance {
                    self.balance = balance.unwrap_or(RawAmount::ZERO);
                }
            }
            Event::Renewed(identity) => self.renewed(*identity),
            Event::AskNode => self.ask_node(),
            Event::Shutdown => {}
        }
    }

    fn conns(&self) -> Vec<Arc<Conn>> {
        locked(&self.shared.conns).clone()
    }

    fn tick(&mut self, now: UnixMs) {
        self.look_at_grant(now);
        for conn in self.conns() {
            let mut outputs = Vec::new();
            if let Some(price) = self.affordable(&conn) {
                outputs.extend(conn.input(Input::Affordable(price)));
            }
            if conn.missed() {
                outputs.extend(conn.input(Input::Settle));
            }
            outputs.extend(conn.input(Input::Tick));
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
        self.share_out(None);
        self.tidy_desk(now);
        self.tell_payees(now);
        if now.since(self.refreshed) >= REFRESH {
            self.refreshed = now;
            self.look_at_standings();
            self.ask_node();
        }
    }

    fn ask_node(&self) {
        let (chain, events) = (
            Arc::clone(&self.shared.config.chain),
            Arc::clone(&self.events),
        );
        let (own, token) = (self.own(), self.shared.config.token);
        self.runtime.spawn(async move {
            let head = chain.solid_head().await;
            let balance = chain.balance(own, token).await;
            events.put(Event::Node { head, balance });
        });
    }

    /// Does what a machine put out, and what comes of that.
    fn perform(&mut self, conn: &Arc<Conn>, outputs: Vec<Output>) {
        let mut queue = VecDeque::from(outputs);
        while let Some(output) = queue.pop_front() {
            let more = match output {
                Output::Send(message) => {
                    if let Message::Hold { why, .. } = message {
                        self.held_one(conn, why);
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
                Output::Store(signed) => {
                    self.store_soon(conn, &signed);
                    if !queue.is_empty() {
                        // What follows is done when it is on disk.
                        self.store_arrived();
                    }
                    Vec::new()
                }
                Output::Evidence(signed) => {
                    self.evidence(conn, &signed);
                    Vec::new()
                }
                Output::Revoked(revoke, signature) => {
                    self.revoked(conn, &revoke, signature);
                    Vec::new()
                }
                Output::TurnedBack(why) => {
                    self.turned_back(conn, why);
                    Vec::new()
                }
                Output::LimitReached => {
                    if !std::mem::replace(&mut self.limit_told, true) {
                        self.tell(PayEvent::LimitReached);
                    }
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
        if let LedgerError::TooManyGrants(_) = error {
            conn.close("too many spend grants of yours are valid or unsettled");
            return;
        }
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
}
