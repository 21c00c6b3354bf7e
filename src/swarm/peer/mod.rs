//! One connection: what both sides said, what is queued, what is asked for.
//!
//! A connection is one task ([`run`]) of three loops that never run at the same
//! time: reading, writing, and reacting to what others changed. Other tasks
//! speak to it through the locks and notifies of [`Conn`]; methods of an
//! extension are only called in the task itself.

pub(super) mod asking;
mod brought;
mod budget;
mod download;
mod extensions;
mod fast;
mod messages;
mod open;
pub(super) mod run;
mod speed;
mod stream;
mod upload;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use asking::Asking;
pub(super) use brought::{Brought, Came};
pub(super) use fast::Named;
pub use stream::Transport;
pub(super) use upload::Burst;

use super::{
    bitfield::Bitfield,
    extended::OUR_REQQ,
    hooks::{ConnId, PeerExtension, PriceTag, UploadClass},
    limiter::Allowance,
    lock::{Lock, Rank, lock},
    session::Shared,
    torrent::Torrent,
    wire::{Block, Handshake, Message, PeerId},
};

/// Messages (not chunks) waiting for a peer that does not read, in bytes. More
/// than the `have`s of a large torrent or a window of metadata.
const MAX_CONTROL_BYTES: usize = 2 << 20;

/// Refused requests that a peer may leave unread: twice what may be in its queue here.
const MAX_REJECTS: u32 = 2 * OUR_REQQ;

/// A peer that is silent for so long is gone: keep-alives come every two minutes.
const SILENCE: Duration = Duration::from_secs(190);
/// After so long without sending we send a keep-alive.
const KEEP_ALIVE: Duration = Duration::from_secs(100);
/// One write may take so long: the peer's window is closed.
const STALLED_WRITE: Duration = Duration::from_secs(90);
/// What a peer began that may not be paid for so long is finished by others.
const HELD: Duration = Duration::from_secs(10);
/// Who is unchoked and asks for nothing for so long gives way to others.
pub(super) const UNUSED_SLOT: Duration = Duration::from_secs(3);
/// So does who takes nothing of one write for so long.
const STALLED_SLOT: Duration = Duration::from_secs(5);

/// What other tasks have to tell an extension.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    Verified {
        piece: u32,
        chunks: Vec<(PriceTag, u32)>,
    },
    Dropped {
        tag: PriceTag,
        bytes: u32,
    },
    /// Nothing of the piece is requested from the peer or waits for its hash.
    Over {
        piece: u32,
    },
    Finished,
}

#[derive(Debug, Default)]
struct Outbox {
    control: VecDeque<Message>,
    control_bytes: usize,
    /// Of them refusals of requests.
    rejects: u32,
    /// What the peer asked for, oldest first.
    requests: VecDeque<Block>,
    /// Pieces that it is told of bit by bit, and the first that it was not told of.
    haves: Option<(Bitfield, u32)>,
    /// When it was unchoked, until it asks for something.
    unused_slot_since: Option<Instant>,
}

impl Outbox {
    /// It was unchoked and asks for nothing.
    fn wastes_its_slot(&self) -> bool {
        self.unused_slot_since
            .is_some_and(|at| at.elapsed() > UNUSED_SLOT)
    }
}

/// What the choker asks a connection for.
pub(super) struct Standing {
    pub(super) class: UploadClass,
    pub(super) interested: bool,
    pub(super) unchoked: bool,
    /// See [`Conn::is_wasteful`].
    pub(super) wasteful: bool,
}

#[derive(Debug)]
struct Link {
    choking: bool,
    interested: bool,
    peer_choking: bool,
    peer_interested: bool,
    class: UploadClass,
    asking: Asking,
    /// Since when the extension lets nothing be asked for.
    held_since: Option<Instant>,
    their_ids: BTreeMap<String, u8>,
    /// Its extension handshake has come.
    greeted: bool,
    /// It wants nothing, whatever it has (BEP 21).
    upload_only: bool,
    client: Option<String>,
    metadata_size: Option<u32>,
    metadata: extensions::Fetch,
    /// Parts of our metadata that it asked for, while that is read from the disk.
    metadata_wanted: Vec<u32>,
    /// Told of our pieces and attached to the extensions.
    live: bool,
    fast: fast::Fast,
}

/// How the bytes of a connection go.
#[derive(Debug, Clone, Copy)]
struct Carried {
    transport: Transport,
    encrypted: bool,
}

/// One connection.
pub(super) struct Conn {
    pub(super) id: ConnId,
    pub(super) remote: SocketAddr,
    pub(super) peer_id: PeerId,
    pub(super) outgoing: bool,
    carried: Carried,
    fast: bool,
    extended: bool,
    dht: bool,
    pub(super) torrent: Arc<Torrent>,
    shared: Arc<Shared>,
    out: Lock<Outbox>,
    link: Lock<Link>,
    inbox: Lock<Vec<Told>>,
    /// What its torrent has not looked at yet.
    pub(super) brought: Arc<Lock<Brought>>,
    /// The first attached extension: it sets prices and allowances.
    meter: OnceLock<Arc<dyn PeerExtension>>,
    attached: Lock<BTreeMap<u8, Arc<dyn PeerExtension>>>,
    write_ready: Arc<Notify>,
    ask_ready: Arc<Notify>,
    closing: Notify,
    reason: Lock<Option<String>>,
    up_allowance: Allowance,
    down_allowance: Allowance,
    /// Others may be asked for something that it was asked for: they are woken once for all
    /// messages that are read at once.
    freed: AtomicBool,
    /// Nothing of an extension's is left to be sent.
    drained: AtomicBool,
    pub(super) traffic: Traffic,
}

/// Counters of one connection.
#[derive(Debug)]
pub(super) struct Traffic {
    since: Instant,
    pub(super) down: AtomicU64,
    pub(super) up: AtomicU64,
    down_before: AtomicU64,
    up_before: AtomicU64,
    pub(super) down_rate: AtomicU64,
    pub(super) up_rate: AtomicU64,
    /// Milliseconds after `since`.
    received_at: AtomicU64,
    sent_at: AtomicU64,
    /// How many times the share of one that passes nothing on it is worth.
    pub(super) factor: AtomicU64,
    /// When a chunk was last moved, either way.
    moved_at: AtomicU64,
    /// 0: not writing.
    writing_since: AtomicU64,
}

impl Traffic {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            down: AtomicU64::new(0),
            up: AtomicU64::new(0),
            down_before: AtomicU64::new(0),
            up_before: AtomicU64::new(0),
            down_rate: AtomicU64::new(0),
            up_rate: AtomicU64::new(0),
            received_at: AtomicU64::new(0),
            sent_at: AtomicU64::new(0),
            factor: AtomicU64::new(1),
            moved_at: AtomicU64::new(0),
            writing_since: AtomicU64::new(0),
        }
    }

    /// How long the connection is there.
    fn age(&self) -> Duration {
        self.since.elapsed()
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// One write takes longer than this.
    fn is_written_for(&self, longer_than: Duration) -> bool {
        self.writing_since.load(Ordering::Relaxed) != 0
            && self.is_older(&self.writing_since, longer_than)
    }

    fn is_older(&self, stamp: &AtomicU64, than: Duration) -> bool {
        let than = u64::try_from(than.as_millis()).unwrap_or(u64::MAX);
        self.millis().saturating_sub(stamp.load(Ordering::Relaxed)) > than
    }

    pub(super) fn is_new(&self) -> bool {
        self.since.elapsed() < Duration::from_secs(60)
    }

    /// Once a second: half of the rate is what the last second brought.
    fn tick(&self) {
        let rates = [
            (&self.down, &self.down_before, &self.down_rate),
            (&self.up, &self.up_before, &self.up_rate),
        ];
        for (total, before, rate) in rates {
            let now = total.load(Ordering::Relaxed);
            let last = now.saturating_sub(before.swap(now, Ordering::Relaxed));
            if last > 0 {
                self.moved_at.store(self.millis(), Ordering::Relaxed);
            }
            let old = rate.load(Ordering::Relaxed);
            let new = if old == 0 { last } else { (old + last) / 2 };
            rate.store(new, Ordering::Relaxed);
        }
    }
}

/// What the outside may see of a connection.
#[derive(Debug, Clone)]
pub struct PeerRow {
    /// The connection's number.
    pub conn: ConnId,
    /// Where the peer is.
    pub addr: SocketAddr,
    /// We dialled it.
    pub outgoing: bool,
    /// What the connection runs on.
    pub transport: Transport,
    /// Everything on it is enciphered.
    pub encrypted: bool,
    /// What it calls itself.
    pub client: Option<String>,
    /// Bytes of chunks received from it.
    pub downloaded: u64,
    /// Bytes of chunks sent to it.
    pub uploaded: u64,
    /// Bytes a second received from it.
    pub down_rate: u64,
    /// Bytes a second sent to it.
    pub up_rate: u64,
    /// We do not serve it.
    pub choking: bool,
    /// We want its data.
    pub interested: bool,
    /// It does not serve us.
    pub peer_choking: bool,
    /// It wants our data.
    pub peer_interested: bool,
    /// How our upload to it is scheduled.
    pub class: UploadClass,
    /// A metering extension is attached.
    pub metered: bool,
    /// Pieces it has.
    pub pieces: u32,
}

impl Conn {
    fn new(
        id: ConnId,
        remote: SocketAddr,
        outgoing: bool,
        carried: Carried,
        theirs: Handshake,
        torrent: Arc<Torrent>,
        shared: Arc<Shared>,
    ) -> Self {
        let write_ready = Arc::new(Notify::new());
        let ask_ready = Arc::new(Notify::new());
        Self {
            id,
            remote,
            peer_id: theirs.peer_id,
            outgoing,
            carried,
            fast: theirs.fast(),
            extended: theirs.extended(),
            dht: theirs.dht(),
            out: Lock::new(Rank::Queue, Outbox::default()),
            link: Lock::new(
                Rank::Connection,
                Link {
                    choking: true,
                    interested: false,
                    peer_choking: true,
                    peer_interested: false,
                    class: UploadClass::Free,
                    asking: Asking::default(),
                    held_since: None,
                    their_ids: BTreeMap::new(),
                    greeted: false,
                    upload_only: false,
                    client: None,
                    metadata_size: None,
                    metadata: extensions::Fetch::default(),
                    metadata_wanted: Vec::new(),
                    live: false,
                    fast: fast::Fast::default(),
                },
            ),
            inbox: Lock::new(Rank::Queue, Vec::new()),
            brought: Arc::new(Lock::new(Rank::Queue, Brought::default())),
            meter: OnceLock::new(),
            attached: Lock::new(Rank::Queue, BTreeMap::new()),
            up_allowance: Allowance::new(id, &torrent.up_limit, &shared.up, &write_ready),
            down_allowance: Allowance::new(id, &torrent.down_limit, &shared.down, &ask_ready),
            write_ready,
            ask_ready,
            closing: Notify::new(),
            reason: Lock::new(Rank::Queue, None),
            freed: AtomicBool::new(false),
            drained: AtomicBool::new(true),
            traffic: Traffic::new(),
            torrent,
            shared,
        }
    }

    /// Queues a message. A peer that lets too much pile up is closed.
    pub(super) fn send(&self, message: Message) -> bool {
        self.send_all([message])
    }

    /// Queues messages, all of them or none beyond the limit.
    fn send_all(&self, messages: impl IntoIterator<Item = Message>) -> bool {
        let mut out = lock(&self.out);
        for message in messages {
            out.control_bytes += 17
                + match &message {
                    Message::Bitfield(bytes) => bytes.len(),
                    Message::Extended { payload, .. } => payload.len(),
                    _ => 0,
                };
            out.rejects += u32::from(matches!(message, Message::Reject(_)));
            if out.control_bytes > MAX_CONTROL_BYTES || out.rejects > MAX_REJECTS {
                drop(out);
                self.close("it does not read what it is sent");
                return false;
            }
            out.control.push_back(message);
        }
        drop(out);
        self.write_ready.notify_one();
        true
    }

    /// Tells the peer of these pieces, as fast as it reads: the messages are made when
    /// they are written.
    pub(super) fn send_haves(&self, pieces: Bitfield) {
        if !pieces.is_empty() {
            lock(&self.out).haves = Some((pieces, 0));
            self.write_ready.notify_one();
        }
    }

    /// Ends the connection; the first reason counts.
    pub(super) fn close(&self, reason: &str) {
        lock(&self.reason).get_or_insert_with(|| reason.chars().take(200).collect());
        self.closing.notify_one();
    }

    /// Something changed: look again what to ask for and what to send.
    pub(super) fn wake(&self) {
        self.ask_ready.notify_one();
        self.write_ready.notify_one();
    }

    /// To be told to the extension, in the connection's task.
    pub(super) fn tell(&self, told: Told) {
        if self.meter.get().is_some() {
            // Until the extension has looked at it, something may be due.
            self.drained.store(false, Ordering::Release);
            lock(&self.inbox).push(told);
            self.ask_ready.notify_one();
        }
    }

    /// For how long nothing moved. Nothing at all, where the peer pays.
    pub(super) fn idle_for(&self) -> Duration {
        if matches!(lock(&self.link).class, UploadClass::Paid { .. }) {
            return Duration::ZERO;
        }
        let traffic = &self.traffic;
        let moved = traffic.moved_at.load(Ordering::Relaxed);
        Duration::from_millis(traffic.millis().saturating_sub(moved))
    }

    /// Nothing moves, and nobody pays.
    pub(super) fn is_idle(&self) -> bool {
        let still = |rate: &AtomicU64| rate.load(Ordering::Relaxed) == 0;
        !self.is_metered() && still(&self.traffic.down_rate) && still(&self.traffic.up_rate)
    }

    pub(super) fn is_closing(&self) -> bool {
        lock(&self.reason).is_some()
    }

    pub(super) fn is_upload_only(&self) -> bool {
        lock(&self.link).upload_only
    }

    pub(super) fn is_metered(&self) -> bool {
        self.meter.get().is_some()
    }

    pub(super) fn is_drained(&self) -> bool {
        self.meter.get().is_none() || self.drained.load(Ordering::Acquire)
    }

    /// It asked for nothing while it was unchoked last, or does not take what it is sent.
    fn is_wasteful(&self) -> bool {
        self.traffic.is_written_for(STALLED_SLOT) || lock(&self.out).wastes_its_slot()
    }

    pub(super) fn standing(&self) -> Standing {
        let wasteful = self.is_wasteful();
        let link = lock(&self.link);
        Standing {
            class: link.class,
            interested: link.peer_interested,
            unchoked: !link.choking,
            wasteful,
        }
    }

    pub(super) fn row(&self, pieces: u32) -> PeerRow {
        let link = lock(&self.link);
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PeerRow {
            conn: self.id,
            addr: self.remote,
            outgoing: self.outgoing,
            transport: self.carried.transport,
            encrypted: self.carried.encrypted,
            client: link.client.clone(),
            downloaded: load(&self.traffic.down),
            uploaded: load(&self.traffic.up),
            down_rate: load(&self.traffic.down_rate),
            up_rate: load(&self.traffic.up_rate),
            choking: link.choking,
            interested: link.interested,
            peer_choking: link.peer_choking,
            peer_interested: link.peer_interested,
            class: link.class,
            metered: self.is_metered(),
            pieces,
        }
    }

    /// Between two ticks: what others were asked for may be late by now, and may be
    /// requested here.
    pub(super) fn look(&self) {
        if self.torrent.is_complete() {
            return;
        }
        let link = lock(&self.link);
        if link.interested && !link.peer_choking && link.asking.is_idle() {
            drop(link);
            self.ask_ready.notify_one();
        }
    }

    /// Once a second, from the session's task.
    pub(super) fn tick(&self) {
        self.traffic.tick();
        let traffic = &self.traffic;
        let factor = self.torrent.factor(self);
        if traffic.factor.swap(factor, Ordering::Relaxed) != factor {
            self.up_allowance.prefer(factor);
        }
        if traffic.is_older(&traffic.received_at, SILENCE) {
            self.close("it was silent for too long");
        }
        if traffic.writing_since.load(Ordering::Relaxed) != 0 {
            if traffic.is_written_for(STALLED_WRITE) {
                self.close("it does not read what it is sent");
            }
        } else if traffic.is_older(&traffic.sent_at, KEEP_ALIVE) {
            self.send(Message::KeepAlive);
        }
        if lock(&self.brought).tick() {
            self.torrent.take_in(self.id);
        }
        if self.is_wasteful() {
            self.shared.rechoke.notify_one();
        }
        let mut link = lock(&self.link);
        if self.extended && !link.greeted {
            // Nothing may have been asked so far: see `awaits_greeting`.
            self.wake();
        }
        if link.asking.is_idle() && link.held_since.is_some_and(|at| at.elapsed() > HELD) {
            drop(link);
            if self.torrent.release(self.id) {
                self.torrent.wake_all();
            }
            return;
        }
        let late = link.asking.tick(self.torrent.now_ms());
        // What others were asked for may be late by now, and may be requested here too.
        let may_ask = link.interested && !link.peer_choking;
        self.tell_all_dropped(&late.given_up);
        drop(link);
        if !late.given_up.is_empty() {
            self.give_up(late.given_up, true);
        }
        if late.resumes || may_ask {
            self.ask_ready.notify_one();
        }
    }
}
