//! Drives a [`Scheduler`]: connections say what they want and are woken when it
//! is granted.

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
pub(super) struct Credit {
    bytes: AtomicU64,
    ready: Arc<Notify>,
}

impl Credit {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Uses `bytes` of it, if there are so many.
    pub(super) fn take(&self, bytes: u64) -> bool {
        let less = |held: u64| held.checked_sub(bytes);
        let order = Ordering::Relaxed;
        self.bytes.fetch_update(order, order, less).is_ok()
    }

    fn drain(&self) -> u64 {
        self.bytes.swap(0, Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct Inner {
    scheduler: Scheduler,
    credits: HashMap<ConnId, Arc<Credit>>,
}

/// One capacity of the session: all uploads, or all downloads.
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

    /// `ready` is notified whenever something was granted.
    pub(super) fn register(&self, conn: ConnId, ready: Arc<Notify>) -> Arc<Credit> {
        let credit = Arc::new(Credit {
            bytes: AtomicU64::new(0),
            ready,
        });
        lock(&self.inner).credits.insert(conn, credit.clone());
        credit
    }

    pub(super) fn want(&self, conn: ConnId, class: UploadClass, bytes: u64) {
        lock(&self.inner).scheduler.want(conn, class, bytes);
        if bytes > 0 {
            self.changed.notify_one();
        }
    }

    /// Gives back what is not needed, and wants nothing.
    pub(super) fn release(&self, conn: ConnId, credit: &Credit) {
        let mut inner = lock(&self.inner);
        inner.scheduler.idle(conn);
        let unused = credit.drain();
        inner.scheduler.refund(unused);
    }

    pub(super) fn remove(&self, conn: ConnId) {
        let mut inner = lock(&self.inner);
        inner.scheduler.remove(conn);
        if let Some(credit) = inner.credits.remove(&conn) {
            let unused = credit.drain();
            inner.scheduler.refund(unused);
        }
    }

    /// Grants for as long as the session lives.
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
