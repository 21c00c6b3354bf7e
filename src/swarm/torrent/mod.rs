//! One torrent: what is had, who is connected, whom to dial, and its life from
//! the first tracker to the last byte.

pub(super) mod announce;
mod assembly;
pub(super) mod book;
mod checking;
mod choosing;
pub(super) mod core;
mod discover;
mod drive;
mod leases;
mod passing;
mod peers;
mod pieces;
mod relocate;
mod resume;
mod verified;
mod web;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::{Notify, RwLock, broadcast, watch};

pub(super) use self::core::{Claim, Of, Wish};
use self::core::{Input, Output, TorrentCore};
use assembly::Assembly;
pub(super) use book::PeerSource;
pub use choosing::ChooseError;
pub(super) use drive::drive;
pub(super) use relocate::{forget_content, is_moved, recover_move};

use super::{
    bitfield::Bitfield,
    events::Event,
    file_priority::FilePriorities,
    goals::{self, Goal, SeedGoals, Stopwatch},
    hooks::ConnId,
    limiter::Limiter,
    lock::{Guard, Lock, Rank, lock},
    metainfo::Info,
    passing::Passing,
    peer::{Brought, Conn, Told},
    phase::{self, Phase},
    picker::Picker,
    selection::{Selection, Wanted},
    session::Shared,
    storage::{Claimed, Room, Storage},
    web::WebSeed,
    wire::Message,
};
use crate::types::InfoHash;

/// Events kept for a listener that is slow; it is told when it missed some. A hundred
/// bytes each in every torrent, though nothing happens to it; a check tells of a hundred steps.
const EVENTS: usize = 128;

/// How a torrent is to be run.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) hash: InfoHash,
    pub(super) name: Option<String>,
    pub(super) info: Option<Arc<Info>>,
    /// Where the content is, or the folder it goes to.
    pub(super) place: Place,
    pub(super) trackers: Vec<Vec<String>>,
    /// Those of them that the user named, not a torrent file or link of others.
    pub(super) named_trackers: Vec<String>,
    /// Web seeds that a torrent file or link names.
    pub(super) web_seeds: Vec<String>,
    /// Those that the user named.
    pub(super) named_web_seeds: Vec<String>,
    /// Goes on after the download is complete.
    pub(super) seed: bool,
    pub(super) goals: SeedGoals,
    /// Up and down, in bytes a second.
    pub(super) limits: [Option<u64>; 2],
    /// The content was hashed just now.
    pub(super) trusted: bool,
    /// The wanted files at first; by default what was chosen before, or all.
    pub(super) files: Option<Selection>,
    /// Which of them are downloaded first.
    pub(super) priorities: FilePriorities,
    /// What is there is hashed, whatever is known of it.
    pub(super) recheck: bool,
    /// Files in the way that are not this torrent's are written over.
    pub(super) overwrite: bool,
    /// Whether room is taken before anything comes.
    pub(super) room: Room,
    /// The folder that it is moved to when it is complete.
    pub(super) moves_to: Option<PathBuf>,
}

#[derive(Debug)]
pub(super) enum Place {
    /// The content itself, only read.
    Content(PathBuf),
    /// The folder it is put into under its name.
    Folder(PathBuf),
}

pub(super) struct Torrent {
    pub(super) hash: InfoHash,
    pub(super) shared: Arc<Shared>,
    pub(super) up_limit: Arc<Limiter>,
    pub(super) down_limit: Arc<Limiter>,
    /// Somebody grants what those two allow.
    limits_run: AtomicBool,
    setup: Setup,
    info: OnceLock<Arc<Info>>,
    /// The wanted files, as they were named.
    choice: Lock<Option<Selection>>,
    /// What they are, once that is known.
    wanted: Lock<Option<Arc<Wanted>>>,
    storage: Lock<Option<Arc<Storage>>>,
    state: Lock<State>,
    /// How often that lock was taken.
    #[cfg(test)]
    pub(super) taken: AtomicU64,
    /// How often its task ticked.
    #[cfg(test)]
    pub(super) ticks: AtomicU64,
    resume: Lock<Option<resume::Resume>>,
    /// Keeps other downloads from the content while this one writes to it.
    claimed: Lock<Option<Claimed>>,
    /// It failed for a file that is not its own.
    pub(super) in_the_way: AtomicBool,
    phase: watch::Sender<Phase>,
    events: broadcast::Sender<Event>,
    /// For the first listener, so that it misses nothing of the beginning.
    first_listener: Lock<Option<broadcast::Receiver<Event>>>,
    /// The torrent's own task has something to do.
    changed: Notify,
    /// It does not tick each second now: see [`wake_task`](Self::wake_task).
    asleep: AtomicBool,
    /// The session's owner was told that something happened to it, and has not looked yet.
    pub(super) is_news: AtomicBool,
    /// Read by every job that writes content, so that the end can wait for them.
    writing: Arc<RwLock<()>>,
    /// Read by every job that reads content or records it, so that it can be moved.
    moving: Arc<RwLock<()>>,
    /// Its trackers, and what each tier was told.
    tiers: Lock<announce::Tiers>,
    /// How often somebody wanted them to be asked again.
    reannounced: watch::Sender<u64>,
    /// An extension has nothing left to send.
    pub(super) drained: Notify,
    /// Its end has begun.
    ending: AtomicBool,
    /// Everything is stopped: the goodbye is said and the record is written.
    ended: watch::Sender<bool>,
    /// Peers whose metadata is fetched.
    fetching: AtomicUsize,
    /// Everything that is wanted is there.
    complete: AtomicBool,
    /// Everything is there.
    full: AtomicBool,
    verified: verified::Verified,
    /// Once it is complete: who passes on what it is given.
    passing: Lock<Passing>,
    web_seeds: OnceLock<Vec<Arc<WebSeed>>>,
    down: AtomicU64,
    up: AtomicU64,
    waste: AtomicU64,
    started: Instant,
    goals: Lock<SeedGoals>,
    /// How long it was complete and shared.
    shared_for: Lock<Stopwatch>,
    reached: OnceLock<Goal>,
}

/// What the torrent's lock covers: the core, and what it speaks of.
struct State {
    core: TorrentCore,
    conns: HashMap<ConnId, Arc<Conn>>,
    /// What each connection and web seed brought.
    brought: HashMap<ConnId, Arc<Lock<Brought>>>,
    /// Pieces of which chunks are here.
    assemblies: HashMap<u32, Arc<Assembly>>,
}

impl Torrent {
    pub(super) fn new(shared: Arc<Shared>, setup: Setup) -> Self {
        let info = OnceLock::new();
        let phase = match &setup.info {
            Some(known) => {
                info.get_or_init(|| known.clone());
                Phase::Checking { done: 0, total: 0 }
            }
            None => Phase::Metadata,
        };
        let (events, first_listener) = broadcast::channel(EVENTS);
        let mut core = TorrentCore::new(phase.clone());
        // Nobody is connected: nothing is to be done.
        let _nothing = core.input(0, Input::Prioritize(setup.priorities.clone()));
        let ([up, down], goals) = (setup.limits, setup.goals);
        let choice = setup.files.clone();
        let limiter = |rate| Arc::new(Limiter::new(rate, shared.paid_share));
        Self {
            hash: setup.hash,
            up_limit: limiter(up),
            down_limit: limiter(down),
            limits_run: AtomicBool::new(false),
            tiers: Lock::new(
                Rank::Leaf,
                announce::Tiers::new(&setup.trackers, &setup.named_trackers),
            ),
            reannounced: watch::Sender::new(0),
            shared,
            info,
            setup,
            choice: Lock::new(Rank::Leaf, choice),
            wanted: Lock::new(Rank::Leaf, None),
            storage: Lock::new(Rank::Leaf, None),
            state: Lock::new(
                Rank::Torrent,
                State {
                    core,
                    conns: HashMap::new(),
                    brought: HashMap::new(),
                    assemblies: HashMap::new(),
                },
            ),
            #[cfg(test)]
            taken: AtomicU64::new(0),
            #[cfg(test)]
            ticks: AtomicU64::new(0),
            resume: Lock::new(Rank::Record, None),
            claimed: Lock::new(Rank::Leaf, None),
            in_the_way: AtomicBool::new(false),
            phase: watch::channel(phase).0,
            events,
            first_listener: Lock::new(Rank::Leaf, Some(first_listener)),
            changed: Notify::new(),
            asleep: AtomicBool::new(false),
            is_news: AtomicBool::new(false),
            writing: Arc::default(),
            moving: Arc::default(),
            drained: Notify::new(),
            ending: AtomicBool::new(false),
            ended: watch::channel(false).0,
            fetching: AtomicUsize::new(0),
            complete: AtomicBool::new(false),
            full: AtomicBool::new(false),
            verified: verified::Verified::default(),
            passing: Lock::new(Rank::Leaf, Passing::default()),
            web_seeds: OnceLock::new(),
            down: AtomicU64::new(0),
            up: AtomicU64::new(0),
            waste: AtomicU64::new(0),
            started: Instant::now(),
            goals: Lock::new(Rank::Leaf, goals),
            shared_for: Lock::new(Rank::Leaf, Stopwatch::default()),
            reached: OnceLock::new(),
        }
    }

    pub(super) fn info(&self) -> Option<Arc<Info>> {
        self.info.get().cloned()
    }

    pub(super) fn name(&self) -> Option<String> {
        let named = self.info.get().map(|info| info.name().to_owned());
        named.or_else(|| self.setup.name.clone())
    }

    /// What is wanted, once that is known.
    fn wanted(&self) -> Option<Arc<Wanted>> {
        lock(&self.wanted).clone()
    }

    /// The wanted files by position, once that is known.
    pub(super) fn wanted_files(&self) -> Option<Bitfield> {
        self.wanted().map(|wanted| wanted.chosen().clone())
    }

    /// Changes which files are downloaded first.
    pub(super) fn set_priorities(self: &Arc<Self>, files: FilePriorities) {
        self.input(Input::Prioritize(files));
    }

    pub(super) fn tracker_tiers(&self) -> Vec<Vec<String>> {
        lock(&self.tiers).urls()
    }

    /// The URLs of its trackers.
    pub(super) fn trackers(&self) -> Vec<String> {
        self.tracker_tiers().concat()
    }

    pub(super) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    pub(super) fn events(&self) -> broadcast::Receiver<Event> {
        let first = lock(&self.first_listener).take();
        first.unwrap_or_else(|| self.events.subscribe())
    }

    fn storage(&self) -> Option<Arc<Storage>> {
        lock(&self.storage).clone()
    }

    /// Where the content is, once that is known.
    pub(super) fn path(&self) -> Option<PathBuf> {
        self.storage().map(|storage| storage.root().to_owned())
    }

    /// Bytes of the wanted files, once they are known.
    pub(super) fn bytes_wanted(&self) -> Option<u64> {
        self.wanted().map(|wanted| wanted.bytes())
    }

    /// How many files are wanted, and of how many, if not all are.
    pub(super) fn chosen(&self) -> Option<(usize, usize)> {
        let info = self.info.get()?;
        let wanted = self.wanted().filter(|wanted| !wanted.is_everything())?;
        let real = (0..).zip(info.files()).filter(|(_, file)| !file.pad);
        let chosen = real.clone().filter(|(at, _)| wanted.chosen().has(*at));
        Some((chosen.count(), real.count()))
    }

    /// Whether everything is there, wanted or not.
    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    /// Whether everything that is wanted is there.
    pub(super) fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    /// Told to stop, over, or failed.
    pub(super) fn is_ending(&self) -> bool {
        self.phase.borrow().is_ending()
    }

    /// Waits with its files and peers until it is resumed.
    pub(super) fn pause(self: &Arc<Self>) {
        self.input(Input::Phase(phase::Input::Pause));
    }

    /// Goes on, if it is paused.
    pub(super) fn resume(self: &Arc<Self>) {
        self.input(Input::Phase(phase::Input::Resume));
    }

    /// Grants what the limits allow, from the first one on: most torrents have none.
    pub(super) fn run_limits(self: &Arc<Self>) {
        let [up, down] = [&self.up_limit, &self.down_limit];
        if up.is_unlimited() && down.is_unlimited() || self.limits_run.swap(true, Ordering::AcqRel)
        {
            return;
        }
        let (up, down) = (up.clone(), down.clone());
        let mut phase = self.phase.subscribe();
        self.shared.spawn(async move {
            let over = |phase: &Phase| matches!(phase, Phase::Stopped | Phase::Failed(_));
            tokio::select! {
                () = up.run() => {}
                () = down.run() => {}
                _over = phase.wait_for(over) => {}
            }
        });
    }

    /// Changes a limit, in bytes a second.
    pub(super) fn set_limit(self: &Arc<Self>, limiter: &Limiter, rate: Option<u64>) {
        limiter.set_rate(rate);
        self.run_limits();
        self.wake_all();
    }

    fn state(&self) -> Guard<'_, State> {
        #[cfg(test)]
        self.taken.fetch_add(1, Ordering::Relaxed);
        lock(&self.state)
    }

    /// Milliseconds since the torrent was added.
    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Bytes that were owed twice, because two sellers sent the same chunk.
    pub(super) fn duplicate_bytes(&self) -> u64 {
        let state = self.state();
        state.core.picker().map_or(0, Picker::duplicate_bytes)
    }

    pub(super) fn count_waste(&self, bytes: u64) {
        self.waste.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn count_down(&self, bytes: u64) {
        self.down.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn count_up(&self, bytes: u64) {
        self.up.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Nobody listening is fine.
    fn emit(&self, event: Event) {
        let _nobody = self.events.send(event);
        self.tell_news();
    }

    /// Something happened that its owner may want to look at.
    pub(super) fn tell_news(&self) {
        if !self.is_news.swap(true, Ordering::AcqRel) {
            lock(&self.shared.news).insert(self.hash);
        }
    }

    /// Something happened: does what comes of it.
    pub(super) fn input(self: &Arc<Self>, input: Input) {
        let now = self.now_ms();
        let is_tick = matches!(input, Input::Tick);
        let mut state = self.state();
        let outputs = state.core.input(now, input);
        if is_tick && outputs.is_empty() {
            return;
        }
        self.act(state, outputs);
    }

    /// Does what the core decided. What others must see in its order is done under the
    /// lock, and so is what price tags hang on: it also covers leaving, so that each tag
    /// goes back once.
    fn act(self: &Arc<Self>, mut state: Guard<'_, State>, outputs: Vec<Output>) {
        let mut later = Vec::new();
        let mut everybody = Vec::new();
        for output in outputs {
            match output {
                Output::Tell(conn, told) => {
                    if let Some(conn) = state.conns.get(&conn) {
                        conn.tell(told);
                    }
                }
                Output::Event(event) => self.emit(event),
                Output::Forget(piece) => {
                    if let Some(assembly) = state.assemblies.remove(&piece) {
                        assembly.discard(&self.shared.buffers);
                    }
                }
                Output::Waste(bytes) => self.count_waste(bytes),
                Output::Full => self.full.store(true, Ordering::Release),
                Output::Completed => {
                    self.tell_completed();
                    later.push(Output::Completed);
                }
                Output::Incomplete => {
                    self.complete.store(false, Ordering::Release);
                    later.push(Output::Incomplete);
                }
                Output::Phase(next, asks) => {
                    lock(&self.shared_for).set(next == Phase::Seeding);
                    self.phase.send_replace(next.clone());
                    later.push(Output::Phase(next, asks));
                }
                Output::Have(piece) => {
                    self.verified.add(piece);
                    let conns = state.conns.values().cloned();
                    everybody.extend(conns.map(|conn| (conn, piece)));
                }
                other => later.push(other),
            }
        }
        drop(state);
        self.tell_news();
        self.wake_task();
        let is_end = |phase: &Phase| *phase == Phase::Seeding || phase.trouble().is_some();
        if later
            .iter()
            .any(|output| matches!(output, Output::Phase(next, _) if is_end(next)))
        {
            self.shared.ended.notify_one();
        }
        for (conn, piece) in everybody {
            conn.send(Message::Have(piece));
            conn.wake();
        }
        for output in later {
            self.act_later(output);
        }
    }

    /// Does what no lock may be held for.
    fn act_later(self: &Arc<Self>, output: Output) {
        match output {
            Output::Phase(_, asks) => {
                for ask in asks {
                    match ask {
                        phase::Output::FreeFiles => drop(lock(&self.claimed).take()),
                        phase::Output::Disconnect => {
                            let torrent = self.clone();
                            self.shared.spawn(async move { torrent.disconnect().await });
                        }
                        phase::Output::Look => self.wake_all(),
                    }
                }
                self.changed.notify_one();
            }
            Output::Completed => {
                for conn in self.conns() {
                    // It is upload-only from now on (BEP 21).
                    conn.send_extended_handshake();
                    conn.tell(Told::Finished);
                    conn.wake();
                }
            }
            Output::Incomplete => {
                for conn in self.conns() {
                    // It is not upload-only any more.
                    conn.send_extended_handshake();
                    conn.wake();
                }
            }
            Output::Close(conn, why) => match self.conn(conn) {
                Some(conn) => conn.close(why),
                None => self.give_up_web_seed(conn, why),
            },
            Output::LookAgain => self.wake_all(),
            Output::DialMore => self.changed.notify_one(),
            // Done under the lock.
            Output::Tell(..)
            | Output::Have(_)
            | Output::Event(_)
            | Output::Forget(_)
            | Output::Waste(_)
            | Output::Full => {}
        }
    }

    pub(super) fn conn(&self, id: ConnId) -> Option<Arc<Conn>> {
        let state = self.state();
        state.conns.get(&id).cloned()
    }

    pub(super) fn conns(&self) -> Vec<Arc<Conn>> {
        let state = self.state();
        state.conns.values().cloned().collect()
    }

    /// What there is to ask for has changed.
    pub(super) fn wake_all(&self) {
        for conn in self.conns() {
            conn.wake();
        }
        for seed in self.web_seeds() {
            seed.wake();
        }
    }

    /// The pieces had and all, if known.
    pub(super) fn progress(&self) -> (u32, u32) {
        let state = self.state();
        let have = state.core.picker().map(Picker::have);
        let total = self.info.get().map(|info| info.layout().pieces());
        (have.map_or(0, |have| have.count()), total.unwrap_or(0))
    }

    pub(super) fn totals(&self) -> (u64, u64, u64) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (load(&self.down), load(&self.up), load(&self.waste))
    }

    /// How long it has been, or was, complete and shared.
    pub(super) fn seeding_for(&self) -> Duration {
        lock(&self.shared_for).total()
    }

    pub(super) fn set_goals(&self, goals: SeedGoals) {
        *lock(&self.goals) = goals;
        self.changed.notify_one();
    }

    /// What its sharing was ended by, if by a goal.
    pub(super) fn reached(&self) -> Option<Goal> {
        self.reached.get().copied()
    }

    /// Looks whether it was shared enough.
    fn is_shared_enough(&self) -> bool {
        let Some(bytes) = self.bytes_wanted().filter(|_| self.is_complete()) else {
            return false;
        };
        let earned = self.shared.extensions.iter();
        let goals = *lock(&self.goals);
        let goal = goals.reached(goals::SoFar {
            bytes,
            uploaded: self.up.load(Ordering::Relaxed),
            seeding_for: self.seeding_for(),
            earned: earned
                .map(|extension| extension.earned(self.hash))
                .fold(0, u64::saturating_add),
        });
        if let Some(goal) = goal
            && self.reached.set(goal).is_ok()
        {
            self.emit(Event::GoalReached { goal });
        }
        goal.is_some()
    }

    pub(super) fn rows(&self) -> Vec<super::PeerRow> {
        let peers: Vec<_> = {
            let state = self.state();
            let pieces = |id| state.core.pieces_of(id);
            let conns = state.conns.iter();
            conns
                .map(|(id, conn)| (conn.clone(), pieces(*id)))
                .collect()
        };
        let rows = peers.into_iter();
        rows.map(|(conn, pieces)| conn.row(pieces)).collect()
    }
}
