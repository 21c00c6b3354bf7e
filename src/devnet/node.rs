//! A chain that lives in time: the clock, the pace of blocks, and the lock.

use std::{
    ops::Deref,
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
        chain::{Blocked, Chain, Sealed},
        cheat::{Cheat, CheatError},
        faults::Faults,
        fork::{self, ForkError, Missing, Source, Spent, caught},
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
    /// Locked for a moment at a time: never while a contract's code runs.
    chain: Mutex<Chain>,
    /// Held by whoever changes the chain, for as long as that takes; before the chain.
    writing: Mutex<()>,
    /// Held by whoever is next to change the chain, so that one who changes it again and
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
    /// The node of the chain that is forked.
    fork: Option<Source>,
}

/// Who is told of what happens.
pub(crate) type Log = Arc<dyn Fn(&Event) + Send + Sync>;

/// What a node is to know of the world around it.
pub(crate) struct Surroundings {
    pub(crate) habits: Habits,
    pub(crate) purse: Purse,
    pub(crate) origins: Origins,
    pub(crate) log: Option<Log>,
    pub(crate) fork: Option<Source>,
}

/// How a node is to behave, where it may do so or otherwise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Habits {
    pub(crate) idle_blocks: bool,
    pub(crate) lenient_expiration: bool,
}

/// The chain, to read.
pub(crate) struct Reading<'a>(MutexGuard<'a, Chain>);

impl Deref for Reading<'_> {
    type Target = Chain;

    fn deref(&self) -> &Chain {
        &self.0
    }
}

/// The right to change the chain. It is locked only to take what is needed and to put
/// back what comes of it; what takes long is done in between.
struct Writing<'a> {
    node: &'a Node,
    _held: MutexGuard<'a, ()>,
}

impl Writing<'_> {
    /// Judges a transaction and takes it into the pool.
    fn pool(&self, incoming: Incoming) -> Result<(), Reject> {
        let candidate = self.node.locked().candidate(incoming)?;
        let judged = candidate.judge()?;
        self.node.locked().admit(judged);
        Ok(())
    }

    /// Judges again what left the pool for no fault of its own.
    ///
    /// # Errors
    /// One needs what was not read yet of the forked chain; it and those after it wait.
    fn repool(&self) -> Result<(), Blocked> {
        let mut again = self.node.locked().take_unpooled().into_iter();
        while let Some(incoming) = again.next() {
            let txid = incoming.txid();
            if let Some(why) = self.node.locked().left_out(&txid) {
                tracing::debug!(%txid, %why, "dropped from the pool");
                continue;
            }
            let kept = self.node.fork.is_some().then(|| incoming.clone());
            match caught(|| self.pool(incoming)) {
                Ok(Ok(())) => {}
                Ok(Err(reject)) => tracing::debug!(%txid, %reject, "dropped from the pool"),
                Err(missing) => {
                    let left = kept.into_iter().chain(again).collect();
                    self.node.locked().put_unpooled(left);
                    return Err(Blocked { txid, missing });
                }
            }
        }
        Ok(())
    }

    /// Makes a block of what is pending; what is to be told of it once this is dropped. What
    /// left the pool is to be judged again.
    ///
    /// # Errors
    /// A transaction needs what was not read yet of the forked chain; nothing was changed.
    fn seal(&self, at: UnixMs) -> Result<Vec<Event>, Blocked> {
        let plan = self.node.locked().plan(at);
        let made = plan.make()?;
        let (sealed, is_new, dropped) = {
            let mut chain = self.node.locked();
            let before = chain.head().number();
            let sealed = chain.seal(made);
            let is_new = sealed.number() > before;
            (sealed, is_new, chain.take_dropped())
        };
        if !self.node.is_told() || !is_new {
            return Ok(Vec::new());
        }
        let mut events: Vec<_> = dropped
            .into_iter()
            .map(|(incoming, why)| Event::refusal(&incoming, why))
            .collect();
        events.extend(Event::of_block(&sealed));
        Ok(events)
    }
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
            writing: Mutex::new(()),
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
            fork: around.fork,
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
        self.change(|chain| {
            chain.set_interval_ms(pace.interval_ms());
            *self.pace.lock().unwrap_or_else(PoisonError::into_inner) = pace;
        });
        self.changed.notify_one();
    }

    /// Moves the time along if it is before `time`: a chain that was kept may
    /// have come further than the clock.
    pub(crate) fn not_before(&self, time: UnixMs) {
        if time > self.now() {
            self.set_now(time);
        }
    }

    /// The chain, to read. A panic of another holder left it whole: every change
    /// of it ends with plain assignments.
    pub(crate) fn chain(&self) -> Reading<'_> {
        Reading(self.locked())
    }

    fn locked(&self) -> MutexGuard<'_, Chain> {
        let mut chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        if self.lenient {
            chain.expire_by(self.clock.now());
        }
        chain
    }

    /// The right to change the chain; nobody else does until it is dropped.
    fn writing(&self) -> Writing<'_> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        Writing {
            node: self,
            _held: self.writing.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Changes the chain, and judges again what that put out of the pool.
    pub(crate) fn change<T>(&self, act: impl FnOnce(&mut Chain) -> T) -> T {
        let writing = self.writing();
        let out = act(&mut self.locked());
        drop(self.repooled(writing));
        out
    }

    /// Changes the state by hand.
    pub(crate) fn cheat(&self, cheat: &Cheat) -> Result<(), CheatError> {
        self.reading(|| self.change(|chain| chain.cheat(cheat.clone())))?
    }

    /// Judges again what left the pool for no fault of its own. While something has to be read
    /// of the forked chain for that, others may change the chain.
    fn repooled<'a>(&'a self, mut writing: Writing<'a>) -> Writing<'a> {
        let mut spent = Spent::nothing();
        while let Err(blocked) = writing.repool() {
            drop(writing);
            self.unblock(&blocked, &mut spent);
            writing = self.writing();
        }
        writing
    }

    /// Reads what a transaction needs, or sees to it that it waits for that no longer.
    fn unblock(&self, blocked: &Blocked, spent: &mut Spent) {
        if let Err(why) = self.read(blocked.missing, spent) {
            self.locked().leave_out(blocked.txid, why);
        }
    }

    /// Whether there is a forked chain, so that whoever asks may have to wait for its node.
    pub(crate) fn is_fork(&self) -> bool {
        self.fork.is_some()
    }

    /// Runs something on states of this chain, again each time that something was read of the
    /// forked chain for it. So it must change nothing before it reads its last.
    ///
    /// # Errors
    /// What it needs cannot be read.
    pub(crate) fn reading<T>(&self, run: impl Fn() -> T) -> Result<T, ForkError> {
        if self.fork.is_none() {
            return Ok(run());
        }
        let mut spent = Spent::nothing();
        loop {
            match caught(&run) {
                Ok(done) => return Ok(done),
                Err(missing) => self.read(missing, &mut spent)?,
            }
        }
    }

    /// Asks the forked node, without holding anything, and takes its answer in.
    fn read(&self, Missing(key): Missing, spent: &mut Spent) -> Result<(), ForkError> {
        spent.one_more()?;
        let (chain, cycle) = {
            let chain = self.chain();
            // Read for another run by now.
            if chain.base().has(&key) {
                return Ok(());
            }
            fork::has_room(chain.base())?;
            let forked = chain.start().fork.ok_or(ForkError::Stopped)?;
            (forked.chain, chain.head_state().properties.cycle)
        };
        let source = self.fork.as_ref().ok_or(ForkError::Stopped)?;
        if self.ended.load(Ordering::SeqCst) {
            return Err(ForkError::Stopped);
        }
        let answer = source.read(chain, key, cycle)?;
        self.locked().learn(&key, &answer)?;
        self.tell(|| {
            vec![Event::Read {
                what: key.to_string(),
            }]
        });
        Ok(())
    }

    /// Remembers the chain and the time.
    pub(crate) fn snapshot(&self) -> u64 {
        let offset = self.offset_ms.load(Ordering::SeqCst);
        self.change(|chain| chain.snapshot(offset))
    }

    /// Returns to what was remembered, the time included; false if there is nothing.
    pub(crate) fn revert(&self, id: u64) -> bool {
        let offset = self.change(|chain| chain.revert(id));
        if let Some(offset) = offset {
            self.offset_ms.store(offset, Ordering::SeqCst);
            self.changed.notify_one();
        }
        offset.is_some()
    }

    /// Goes back to the beginning, the time included; false if the state file cannot be
    /// written.
    pub(crate) fn reset(&self) -> bool {
        let done = self.change(Chain::reset);
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

    /// Ends it: a long call stops early, nothing is accepted any more, and the state file
    /// is free when this returns.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        if let Some(fork) = &self.fork {
            fork.end();
        }
        // Not by `change`: a block that is being made is not on the chain yet, and does
        // not come on it any more.
        self.locked().close();
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
        let mut spent = Spent::nothing();
        let mut writing = loop {
            let writing = self.writing();
            let why = match caught(|| writing.pool(incoming.clone())) {
                Ok(Ok(())) => break writing,
                Ok(Err(why)) => {
                    drop(writing);
                    why
                }
                Err(missing) => {
                    drop(writing);
                    match self.read(missing, &mut spent) {
                        Ok(()) => continue,
                        Err(why) => Reject::Fork(why),
                    }
                }
            };
            self.tell(|| vec![Event::refusal(&incoming, why.clone())]);
            return Err(why);
        };
        let mut events = Vec::new();
        if self.pace() == Pace::Instant && !self.is_paused() {
            (writing, events) = self.sealed(writing, now);
        }
        drop(writing);
        self.tell(|| events);
        Ok(())
    }

    /// Makes a block at a time, or just after a block that others made while something had to
    /// be read for it.
    fn sealed<'a>(&'a self, mut writing: Writing<'a>, at: UnixMs) -> (Writing<'a>, Vec<Event>) {
        let mut spent = Spent::nothing();
        loop {
            match writing.seal(at) {
                Ok(events) => return (self.repooled(writing), events),
                Err(blocked) => {
                    drop(writing);
                    self.unblock(&blocked, &mut spent);
                    writing = self.writing();
                }
            }
        }
    }

    /// Makes `count` blocks, each a slot after the one before it or now, whichever is
    /// later. The node's time moves along, but with instant blocks: those are a
    /// millisecond apart, so the clock is soon past them.
    pub(crate) fn mine(&self, count: u64) -> Arc<Sealed> {
        let now = self.now();
        let mut left = count;
        loop {
            let mut events = Vec::new();
            let mut writing = self.writing();
            for _ in 0..left.min(MINED_AT_ONCE) {
                let at = {
                    let chain = self.chain();
                    let step = chain.interval_ms();
                    let next = UnixMs(chain.head().time().0.saturating_add(step));
                    next.max(self.on_grid(&chain, now))
                };
                let made;
                (writing, made) = self.sealed(writing, at);
                events.extend(made);
            }
            left = left.saturating_sub(MINED_AT_ONCE);
            let head = Arc::clone(self.chain().head());
            drop(writing);
            self.tell(|| events);
            if left == 0 || self.ended.load(Ordering::SeqCst) {
                if self.pace() != Pace::Instant {
                    self.not_before(head.time());
                }
                return head;
            }
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
        let writing = self.writing();
        let (head, slot, step) = {
            let chain = self.chain();
            let slot = self.on_grid(&chain, now);
            (chain.head().time(), slot, chain.interval_ms())
        };
        let (at, wait) = match self.pace() {
            Pace::Instant if !self.idle_blocks.load(Ordering::SeqCst) => return SLOT,
            Pace::Instant => {
                let due = head.plus(SLOT);
                match due <= now {
                    true => (Some(now), SLOT),
                    false => (None, due.since(now)),
                }
            }
            _ => {
                let next = UnixMs(slot.0.saturating_add(step));
                ((slot > head).then_some(slot), next.since(now))
            }
        };
        let (writing, events) = match at {
            Some(at) => self.sealed(writing, at),
            None => (writing, Vec::new()),
        };
        drop(writing);
        self.tell(|| events);
        wait.max(Duration::from_millis(1))
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
