//! Web seeds (BEP 19): HTTP servers that have the content as files. To the core one is a
//! connection that has every piece and is never told anything: it is picked for, raced,
//! and blamed like others. It is asked for runs of chunks that lie together, one run at a
//! time.

mod answer;
mod places;
mod run;

use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use super::{
    fetch::FetchError,
    hooks::ConnId,
    lock::{Lock, Rank, lock},
    peer::{
        Brought,
        asking::{Asking, Cancelled},
    },
    wire::Block,
};
use answer::Refusal;
pub(super) use places::base;
pub(super) use run::run;

/// Web seeds of one torrent that are asked; further ones are not.
pub(super) const MAX_WEB_SEEDS: usize = 8;

/// How long after a failure a web seed is asked again, at first and at most.
const PAUSES: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(600)];

/// A web seed as the outside may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSeedRow {
    /// Its URL, as it was named.
    pub url: String,
    /// Bytes received from it.
    pub downloaded: u64,
    /// Bytes a second received from it.
    pub down_rate: u64,
    /// Why it is not asked any more.
    pub given_up: Option<String>,
}

/// One web seed of a torrent.
#[derive(Debug)]
pub(super) struct WebSeed {
    pub(super) id: ConnId,
    url: String,
    /// The user named it: it may be any host.
    named: bool,
    asking: Mutex<Asking>,
    pub(super) brought: Arc<Lock<Brought>>,
    /// There may be something to ask for.
    ready: Arc<Notify>,
    given_up: OnceLock<String>,
    down: AtomicU64,
    /// What had come a second ago, and the rate.
    down_before: AtomicU64,
    down_rate: AtomicU64,
}

impl WebSeed {
    pub(super) fn new(id: ConnId, url: String, named: bool) -> Self {
        Self {
            id,
            url,
            named,
            asking: Mutex::default(),
            brought: Arc::new(Lock::new(Rank::Queue, Brought::default())),
            ready: Arc::default(),
            given_up: OnceLock::new(),
            down: AtomicU64::new(0),
            down_before: AtomicU64::new(0),
            down_rate: AtomicU64::new(0),
        }
    }

    /// What there is to ask for has changed.
    pub(super) fn wake(&self) {
        self.ready.notify_one();
    }

    /// It is not asked any more, for the first reason.
    pub(super) fn give_up(&self, why: &str) {
        self.given_up.get_or_init(|| why.to_owned());
        self.wake();
    }

    /// Somebody else was faster. Whether the request is over: there is no way to take a
    /// part of one back, so that what comes all the same is thrown away.
    pub(super) fn cancel(&self, block: Block, now_ms: u64) -> bool {
        let cancelled = lock(&self.asking).cancel(&block, false, now_ms);
        matches!(cancelled, Cancelled::Forgotten(_))
    }

    /// Another was asked for a chunk too.
    pub(super) fn is_raced(&self, block: Block) {
        if !lock(&self.asking).note_race(&block) {
            lock(&self.brought).hurry();
        }
    }

    pub(super) fn row(&self) -> WebSeedRow {
        WebSeedRow {
            url: self.url.clone(),
            downloaded: self.down.load(Ordering::Relaxed),
            down_rate: self.down_rate.load(Ordering::Relaxed),
            given_up: self.given_up.get().cloned(),
        }
    }
}

/// Why a run did not come.
#[derive(Debug)]
enum Failed {
    Refused(Refusal),
    Fetch(FetchError),
    /// The body ended too soon.
    Short,
    /// Nothing came for too long.
    Silent,
}

impl Failed {
    /// What to do about it: how long to wait after so many failures in a row, or `None`
    /// if it is of no use to ask again; and why.
    fn consequence(&self, failures: u32) -> (Option<Duration>, String) {
        let [first, most] = PAUSES;
        let pause = first.saturating_mul(1 << failures.min(10)).min(most);
        match self {
            Self::Refused(Refusal::Never(why)) => (None, why.clone()),
            Self::Refused(Refusal::Later(after, why)) => {
                let after = after.map_or(pause, Duration::from_secs);
                (Some(after), why.clone())
            }
            Self::Fetch(
                error @ (FetchError::Inside(_)
                | FetchError::BadRedirect(_)
                | FetchError::TooManyRedirects),
            ) => (None, error.to_string()),
            Self::Fetch(error) => (Some(pause), error.to_string()),
            Self::Short => (Some(pause), "it sent less than it said".to_owned()),
            Self::Silent => (Some(pause), "it does not answer".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_waited_for_longer_and_longer_and_refusals_for_ever() {
        let pause = |failures| Failed::Silent.consequence(failures).0;
        assert_eq!(pause(0), Some(PAUSES[0]));
        assert_eq!(pause(2), Some(4 * PAUSES[0]));
        assert_eq!([pause(30), pause(u32::MAX)], [Some(PAUSES[1]); 2]);
        let never = [
            Failed::Refused(Refusal::Never("no".to_owned())),
            Failed::Fetch(FetchError::Inside("h".to_owned())),
            Failed::Fetch(FetchError::TooManyRedirects),
        ];
        assert!(never.iter().all(|one| one.consequence(0).0.is_none()));
        let later = Failed::Refused(Refusal::Later(Some(90), "busy".to_owned()));
        assert_eq!(later.consequence(5).0, Some(Duration::from_secs(90)));
    }
}
