//! Drives a [`Scheduler`]: connections say what they want and are woken when it
//! is granted. A connection is under two limits each way, its torrent's and the
//! session's: [`Allowance`].

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{
    hooks::{ConnId, UploadClass},
    lock::lock,
    scheduler::{Decision, Scheduler},
};

/// What a connection was granted and has not used.
#[derive(Debug)]
struct Credit {
    bytes: AtomicU64,
    ready: Arc<Notify>,
}

impl Credit {
    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Uses `bytes` of it. Only its connection's task does, so that what was there
    /// a moment ago still is.
    fn take(&self, bytes: u64) {
        let less = |held: u64| held.checked_sub(bytes);
        let order = Ordering::Relaxed;
        let taken = self.bytes.fetch_update(order, order, less);
        debug_assert!(taken.is_ok(), "nobody else takes it");
    }

    fn drain(&self) -> u64 {
        self.bytes.swap(0, Ordering::Relaxed)
    }
}

/// What both limits over a connection let it do in one direction.
#[derive(Debug)]
pub(super) struct Allowance {
    conn: ConnId,
    /// The torrent's first: while that holds a connection, it keeps nothing of what
    /// others could use.
    gates: [(Arc<Limiter>, Arc<Credit>); 2],
}

impl Allowance {
    /// `ready` is notified whenever something was granted.
    pub(super) fn new(
        conn: ConnId,
        torrent: &Arc<Limiter>,
        session: &Arc<Limiter>,
        ready: &Arc<Notify>,
    ) -> Self {
        let gate = |limiter: &Arc<Limiter>| {
            let credit = limiter.register(conn, ready.clone());
            (limiter.clone(), credit)
        };
        Self {
            conn,
            gates: [gate(torrent), gate(session)],
        }
    }

    /// Uses `bytes`, if both limits have granted so many. If not, asks for what is
    /// `wanted` in all: as which class, and how much.
    pub(super) fn take(&self, bytes: u64, wanted: impl Fn() -> (UploadClass, u64)) -> bool {
        let granted = self.ask(bytes, wanted);
        if granted {
            self.spend(bytes);
        }
        granted
    }

    /// For how many times `bytes` both limits have granted enough, `most` at most.
    pub(super) fn covers(&self, bytes: u64, most: usize) -> usize {
        let gates = self.gates.iter();
        let limited = gates.filter(|(limiter, _)| !limiter.is_unlimited());
        let covered = limited.map(|(_, credit)| {
            let times = credit.bytes() / bytes.max(1);
            usize::try_from(times).unwrap_or(usize::MAX)
        });
        covered.fold(most, usize::min)
    }

    /// Whether both limits have granted `bytes`. If not, asks for what is `wanted` in all.
    pub(super) fn ask(&self, bytes: u64, wanted: impl Fn() -> (UploadClass, u64)) -> bool {
        for (at, (limiter, credit)) in self.gates.iter().enumerate() {
            let held = credit.bytes();
            if limiter.is_unlimited() || held >= bytes {
                continue;
            }
            let (class, most) = wanted();
            limiter.want(self.conn, class, most.saturating_sub(held));
            for (inner, unused) in self.gates.iter().skip(at + 1) {
                inner.release(self.conn, unused);
            }
            return false;
        }
        true
    }

    /// Uses `bytes` of what was granted.
    pub(super) fn spend(&self, bytes: u64) {
        for (limiter, credit) in &self.gates {
            if !limiter.is_unlimited() && credit.bytes() >= bytes {
                credit.take(bytes);
            }
        }
    }

    /// Its share among the free connections: see [`Scheduler::prefer`].
    pub(super) fn prefer(&self, factor: u64) {
        for (limiter, _) in &self.gates {
            lock(&limiter.inner).scheduler.prefer(self.conn, factor);
        }
    }

    /// Gives back what is not needed, and wants nothing.
    pub(super) fn release(&self) {
        for (limiter, credit) in &self.gates {
            if !limiter.is_unlimited() {
                limiter.release(self.conn, credit);
            }
        }
    }

    /// The connection is over: gives back what it did not use.
    pub(super) fn end(&self) {
        for (limiter, _) in &self.gates {
            limiter.remove(self.conn);
        }
    }
}

#[derive(Debug)]
struct Inner {
    scheduler: Scheduler,
    credits: HashMap<ConnId, Arc<Credit>>,
}

/// One capacity: all uploads, or all downloads, of the session or of a torrent.
#[derive(Debug)]
pub(super) struct Limiter {
    inner: Mutex<Inner>,
    unlimited: AtomicBool,
    changed: Notify,
    started: Instant,
}

impl Limiter {
    pub(super) fn new(rate: Option<u64>, paid_share: u8) -> Self {
        Self {
            inner: Mutex::new(Inner {
                scheduler: Scheduler::new(rate, paid_share),
                credits: HashMap::new(),
            }),
            unlimited: AtomicBool::new(rate.is_none()),
            changed: Notify::new(),
            started: Instant::now(),
        }
    }

    /// No limit: nobody needs to ask.
    pub(super) fn is_unlimited(&self) -> bool {
        self.unlimited.load(Ordering::Relaxed)
    }

    pub(super) fn set_rate(&self, rate: Option<u64>) {
        lock(&self.inner).scheduler.set_rate(rate);
        self.unlimited.store(rate.is_none(), Ordering::Relaxed);
        self.changed.notify_one();
    }

    fn register(&self, conn: ConnId, ready: Arc<Notify>) -> Arc<Credit> {
        let credit = Arc::new(Credit {
            bytes: AtomicU64::new(0),
            ready,
        });
        lock(&self.inner).credits.insert(conn, credit.clone());
        credit
    }

    fn want(&self, conn: ConnId, class: UploadClass, bytes: u64) {
        lock(&self.inner).scheduler.want(conn, class, bytes);
        if bytes > 0 {
            self.changed.notify_one();
        }
    }

    fn release(&self, conn: ConnId, credit: &Credit) {
        let mut inner = lock(&self.inner);
        inner.scheduler.idle(conn);
        let unused = credit.drain();
        inner.scheduler.refund(unused);
    }

    fn remove(&self, conn: ConnId) {
        let mut inner = lock(&self.inner);
        inner.scheduler.remove(conn);
        if let Some(credit) = inner.credits.remove(&conn) {
            let unused = credit.drain();
            inner.scheduler.refund(unused);
        }
    }

    /// Grants, for ever.
    pub(super) async fn run(&self) {
        loop {
            match self.grant_all() {
                // A change of the rate is noticed within a second.
                Decision::Wait(nanos) => {
                    let wait = Duration::from_nanos(nanos).min(Duration::from_secs(1));
                    tokio::time::sleep(wait).await;
                }
                Decision::Idle | Decision::Grant(..) => self.changed.notified().await,
            }
        }
    }

    fn grant_all(&self) -> Decision {
        let now = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut inner = lock(&self.inner);
        loop {
            match inner.scheduler.next(now) {
                Decision::Grant(conn, bytes) => match inner.credits.get(&conn) {
                    Some(credit) => {
                        credit.bytes.fetch_add(bytes, Ordering::Relaxed);
                        credit.ready.notify_one();
                    }
                    None => inner.scheduler.refund(bytes),
                },
                other => return other,
            }
        }
    }
}
