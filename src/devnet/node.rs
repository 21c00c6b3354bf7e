//! A chain that lives in time: the clock, the pace of blocks, and the lock.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use crate::{
    devnet::{
        api::{Filters, Origins, Purse},
        chain::{Chain, Sealed},
        faults::Faults,
        incoming::Incoming,
        log::Event,
        reject::Reject,
        turns::Turns,
    },
    types::{Clock, UnixMs},
};

/// When blocks are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// One at every multiple of this time since genesis, empty or not.
    Every(Duration),
    /// One for every accepted transaction, solid at once, and an empty one
    /// every 3 s while nothing happens, unless there are to be none.
    Instant,
    /// Only when told to.
    Manual,
}

/// TRON's own pace.
pub(crate) const SLOT: Duration = Duration::from_secs(3);

impl Pace {
    /// The time between blocks as the chain's rules count it, ms.
    pub(crate) fn interval_ms(self) -> i64 {
        let every = match self {
            Self::Every(every) => every,
            Self::Instant => Duration::from_millis(1),
            Self::Manual => SLOT,
        };
        i64::try_from(every.as_millis()).unwrap_or(i64::MAX).max(1)
    }
}

/// Blocks made by hand between two chances for others to ask the chain.
const MINED_AT_ONCE: u64 = 32;

pub(crate) struct Node {
    chain: Mutex<Chain>,
    /// Held by whoever is next to lock the chain, so that one who locks it again and
    /// again lets the others in.
    turn: Mutex<()>,
    /// Turns of calls that belong to no transaction.
    pub(crate) turns: Turns,
    pace: Mutex<Pace>,
    clock: Arc<dyn Clock>,
    /// How far this node's time is ahead of its clock, ms.
    offset_ms: AtomicI64,
    paused: AtomicBool,
    /// Whether instant blocks go on, empty, while nothing happens.
    idle_blocks: AtomicBool,
    /// Whether a transaction may expire before the chain's time, if not before the
    /// clock's.
    lenient: bool,
    /// Whether nobody needs it any more.
    ended: AtomicBool,
    /// Rung when the time or the pace of blocks was changed by hand.
    pub(crate) changed: Notify,
    pub(crate) faults: Faults,
    pub(crate) filters: Filters,
    pub(crate) purse: Purse,
    pub(crate) origins: Origins,
    log: Option<Log>,
}

/// Who is told of what happens.
pub(crate) type Log = Arc<dyn Fn(&Event) + Send + Sync>;

/// What a node is to know of the world around it.
pub(crate) struct Surroundings {
    pub(crate) habits: Habits,
    pub(crate) purse: Purse,
    pub(crate) origins: Origins,
    pub(crate) log: Option<Log>,
}

/// How a node is to behave, where it may do so or otherwise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Habits {
    pub(crate) idle_blocks: bool,
    pub(crate) lenient_expiration: bool,
}

impl Node {
    pub(crate) fn new(
        chain: Chain,
        pace: Pace,
        clock: Arc<dyn Clock>,
        around: Surroundings,
    ) -> Self {
        let habits = around.habits;
        let head = chain.head().time();
        let node = Self {
            chain: Mutex::new(chain),
            turn: Mutex::new(()),
            turns: Turns::default(),
            pace: Mutex::new(pace),
            clock,
            offset_ms: AtomicI64::new(0),
            paused: AtomicBool::new(false),
            idle_blocks: AtomicBool::new(habits.idle_blocks),
            lenient: habits.lenient_expiration,
            ended: AtomicBool::new(false),
            changed: Notify::new(),
            faults: Faults::default(),
            filters: Filters::default(),
            purse: around.purse,
            origins: around.origins,
            log: around.log,
        };
        node.not_before(head);
        node
    }

    /// When blocks are made.
    pub(crate) fn pace(&self) -> Pace {
        *self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes blocks otherwise from now on.
    pub(crate) fn set_pace(&self, pace: Pace) {
        let mut chain = self.chain();
        chain.set_interval_ms(pace.interval_ms());
        *self.pace.lock().unwrap_or_else(PoisonError::into_inner) = pace;
        drop(chain);
        self.changed.notify_one();
    }

    /// Moves the time along if it is before `time`: a chain that was kept may
    /// have come further than the clock.
    pub(crate) fn not_before(&self, time: UnixMs) {
        if time > self.now() {
            self.set_now(time);
        }
    }

    /// The chain, locked. A panic of another holder left it whole: every change
    /// of it ends with plain assignments.
    pub(crate) fn chain(&self) -> MutexGuard<'_, Chain> {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        drop(turn);
        if self.lenient {
            chain.expire_by(self.clock.now());
        }
        chain
    }

    /// Remembers the chain and the time.
    pub(crate) fn snapshot(&self) -> u64 {
        self.chain().snapshot(self.offset_ms.load(Ordering::SeqCst))
    }

    /// Returns to what was remembered, the time included; false if there is nothing.
    pub(crate) fn revert(&self, id: u64) -> bool {
        let offset = self.chain().revert(id);
        if let Some(offset) = offset {
            self.offset_ms.store(offset, Ordering::SeqCst);
            self.changed.notify_one();
        }
        offset.is_some()
    }

    /// Goes back to the beginning, the time included; false if the state file cannot be
    /// written.
    pub(crate) fn reset(&self) -> bool {
        let done = self.chain().reset();
        if done {
            self.offset_ms.store(0, Ordering::SeqCst);
            self.changed.notify_one();
        }
        done
    }

    /// Whether anybody is told of what happens.
    pub(crate) fn is_told(&self) -> bool {
        self.log.is_some()
    }

    /// Tells of what happened, if anybody listens; never while the chain is locked.
    pub(crate) fn tell(&self, events: impl FnOnce() -> Vec<Event>) {
        if let Some(log) = &self.log {
            for event in events() {
                log(&event);
            }
        }
    }

    /// Seals a block; what is to be told of it once the chain is free.
    fn seal(&self, chain: &mut Chain, at: UnixMs) -> Vec<Event> {
        let before = chain.head().number();
        let sealed = chain.seal(at);
        let dropped = chain.take_dropped();
        if !self.is_told() || sealed.number() == before {
            return Vec::new();
        }
        let mut events: Vec<_> = dropped
            .into_iter()
            .map(|(incoming, why)| Event::refusal(&incoming, why))
            .collect();
        events.extend(Event::of_block(&sealed));
        events
    }

    /// Ends it: a long call stops early, nothing is accepted any more, and the state file
    /// is free when this returns.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.chain().close();
    }

    /// Whether instant blocks go on, empty, while nothing happens.
    pub(crate) fn set_idle_blocks(&self, idle_blocks: bool) {
        self.idle_blocks.store(idle_blocks, Ordering::SeqCst);
        self.changed.notify_one();
    }

    pub(crate) fn now(&self) -> UnixMs {
        let offset = self.offset_ms.load(Ordering::SeqCst);
        UnixMs(self.clock.now().0.saturating_add(offset))
    }

    /// Moves this node's time; the clock stays as it is.
    pub(crate) fn set_now(&self, now: UnixMs) {
        let offset = now.0.saturating_sub(self.clock.now().0);
        self.offset_ms.store(offset, Ordering::SeqCst);
        self.changed.notify_one();
    }

    pub(crate) fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::SeqCst);
        self.changed.notify_one();
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    /// Judges a transaction and takes it into the pool; with instant blocks,
    /// into a block.
    pub(crate) fn accept(&self, incoming: Incoming) -> Result<(), Reject> {
        let now = self.now();
        let mut chain = self.chain();
        if let Err(why) = chain.accept(incoming.clone()) {
            drop(chain);
            self.tell(|| vec![Event::refusal(&incoming, why.clone())]);
            return Err(why);
        }
        let mut events = Vec::new();
        if self.pace() == Pace::Instant && !self.is_paused() {
            events = self.seal(&mut chain, now);
        }
        drop(chain);
        self.tell(|| events);
        Ok(())
    }

    /// Makes `count` blocks, each a slot after the one before it or now, whichever is
    /// later. The node's time moves along, but with instant blocks: those are a
    /// millisecond apart, so the clock is soon past them.
    pub(crate) fn mine(&self, count: u64) -> Arc<Sealed> {
        let now = self.now();
        let mut left = count;
        loop {
            let mut events = Vec::new();
            let mut chain = self.chain();
            let step = chain.interval_ms();
            for _ in 0..left.min(MINED_AT_ONCE) {
                let next = UnixMs(chain.head().time().0.saturating_add(step));
                let slot = self.on_grid(&chain, now);
                events.extend(self.seal(&mut chain, next.max(slot)));
            }
            left = left.saturating_sub(MINED_AT_ONCE);
            if left == 0 || self.ended.load(Ordering::SeqCst) {
                let head = Arc::clone(chain.head());
                drop(chain);
                self.tell(|| events);
                if self.pace() != Pace::Instant {
                    self.not_before(head.time());
                }
                return head;
            }
            drop(chain);
            self.tell(|| events);
        }
    }

    /// The slot that `now` falls in: a multiple of the pace since genesis.
    fn on_grid(&self, chain: &Chain, now: UnixMs) -> UnixMs {
        match self.pace() {
            Pace::Instant => now,
            _ => {
                let genesis = chain.genesis().time().0;
                let step = chain.interval_ms();
                UnixMs(genesis + (now.0 - genesis).div_euclid(step) * step)
            }
        }
    }

    /// Makes the block that is due, if one is; the time until the next.
    fn tick(&self) -> Duration {
        let every = match self.pace() {
            Pace::Every(every) => every,
            Pace::Instant | Pace::Manual => SLOT,
        };
        if self.is_paused() || self.pace() == Pace::Manual {
            return every;
        }
        let now = self.now();
        let mut events = Vec::new();
        let mut chain = self.chain();
        let due = match self.pace() {
            Pace::Instant => chain.head().time().plus(SLOT),
            _ => {
                let slot = self.on_grid(&chain, now);
                if slot > chain.head().time() {
                    events = self.seal(&mut chain, slot);
                }
                UnixMs(slot.0.saturating_add(chain.interval_ms()))
            }
        };
        if self.pace() == Pace::Instant {
            if !self.idle_blocks.load(Ordering::SeqCst) {
                return SLOT;
            }
            if due <= now {
                events = self.seal(&mut chain, now);
                drop(chain);
                self.tell(|| events);
                return SLOT;
            }
        }
        drop(chain);
        self.tell(|| events);
        due.since(now).max(Duration::from_millis(1))
    }

    /// Makes blocks until dropped.
    pub(crate) async fn produce(self: Arc<Self>) {
        loop {
            let node = Arc::clone(&self);
            // Sealing a full block hashes and executes for a while.
            let wait = tokio::task::spawn_blocking(move || node.tick())
                .await
                .unwrap_or(SLOT);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.changed.notified() => {}
            }
        }
    }
}
