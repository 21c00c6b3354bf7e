//! The task that owns a client's state: it alone changes it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    task::{JoinError, JoinSet},
    time::MissedTickBehavior,
};

use super::{
    ClientConfig, OpenError,
    agenda::Agenda,
    applying::Touched,
    choosing::Chosen,
    command::{Answer, Command},
    days::Days,
    entry::{Entry, Place, Run},
    error::ClientError,
    event::{Event, Happened},
    keeping::{TOTALS_LOOKS, ages_looks},
    labels::Book,
    look::Paid,
    moving::Moved,
    payments::{News, Running},
    problems::{Board, Reach},
    publish::Sums,
    schedule::Schedule,
    seat::Seat,
    snapshot::{Limits, Prices, ProblemCode, Queue, SettlePolicy, SettlementPlan, Snapshot},
    store::{Change, Store},
};
use crate::{
    swarm::{Phase, Session, relocate::MoveError},
    types::{Clock, InfoHash},
};

/// How often torrents are looked at, and readers told.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Disks, and the figures of days, are looked at each time of so many: 2 s.
const SLOW_LOOKS: u64 = 8;

/// If there are no more torrents than so many, one that is complete, or fails, is looked at at
/// once.
const FEW: usize = 64;

/// Commands that are done before their effects are shown.
const AT_ONCE: usize = 64;

pub(super) type Reply = oneshot::Sender<Result<Answer, ClientError>>;

/// What the owner is told.
pub(super) enum Order {
    Command(Command, Reply),
    Plan(oneshot::Sender<Result<Arc<SettlementPlan>, ClientError>>),
    Close(oneshot::Sender<()>),
}

/// What took a while.
pub(super) enum Job {
    /// A torrent has left the session; with what came of deleting its data.
    Left(InfoHash, Result<(), MoveError>),
    /// Something was written into the ledger, and is answered.
    Booked,
    /// A session is over, which another one has replaced.
    SessionEnded,
    /// Content was moved, or could not be; who waits for it, if somebody does.
    Moved(InfoHash, Moved, Option<Reply>),
    /// A torrent was told which files are wanted.
    Chosen(InfoHash, Chosen),
}

pub(super) struct Owner {
    pub(super) session: Session,
    pub(super) seat: Seat,
    pub(super) pay: Option<Running>,
    pub(super) folder: PathBuf,
    pub(super) grace: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entries: BTreeMap<InfoHash, Entry>,
    pub(super) book: Book,
    pub(super) limits: Limits,
    pub(super) schedule: Schedule,
    /// The limits that the schedule has put in place of `limits`, if it has.
    pub(super) scheduled: Option<Limits>,
    pub(super) prices: Prices,
    pub(super) policy: SettlePolicy,
    pub(super) queue: Queue,
    /// What moved on each day.
    pub(super) days: Days,
    /// The torrents in the order of the list; `None`: it is to be found out.
    pub(super) order: Option<Vec<InfoHash>>,
    /// A torrent waits for its turn.
    pub(super) somebody_waits: bool,
    /// Whose turn it is may be another one's now.
    pub(super) turns_changed: bool,
    pub(super) store: Option<Store>,
    /// What the command that is being done has changed.
    pub(super) touched: Touched,
    /// What is rarely looked at is looked at with the next snapshot.
    pub(super) slow_due: bool,
    /// Torrents of which readers do not know yet how they are.
    pub(super) unseen: BTreeSet<InfoHash>,
    /// When each is looked at.
    pub(super) agenda: Agenda,
    /// What all that readers see have and move.
    pub(super) sums: Sums,
    /// Torrents whose wish changed without a command, and is not written.
    pub(super) unwritten: BTreeSet<InfoHash>,
    pub(super) board: Board,
    pub(super) snapshots: watch::Sender<Arc<Snapshot>>,
    /// What torrents that are not in the list any more received and sent.
    pub(super) past: (u64, u64),
    /// Whether others can connect to us, as far as it was seen.
    pub(super) reach: Reach,
    /// Torrents that were removed since the last snapshot.
    pub(super) gone: Vec<InfoHash>,
    events: broadcast::Sender<Event>,
    pub(super) jobs: JoinSet<Job>,
    pub(super) ticks: u64,
}

/// What payments tell next; never, where there are none.
async fn next_news(pay: &mut Option<Running>) -> Option<News> {
    match pay {
        Some(pay) => pay.news.recv().await,
        None => std::future::pending().await,
    }
}

impl Owner {
    pub(super) async fn start(
        config: ClientConfig,
        events: broadcast::Sender<Event>,
    ) -> Result<(Self, watch::Receiver<Arc<Snapshot>>), OpenError> {
        let mut builder = config.session.grace(config.grace);
        if let Some(pay) = &config.payments {
            builder = builder.extension(pay.extension());
        }
        let [up, down] = builder.limits();
        let limits = Limits { up, down };
        // Before the port: another client of this home has it.
        let stored = config.store.as_deref().map(Store::open).transpose()?;
        let mut seat = Seat::new(builder, config.places, config.binding);
        let session = seat.open().await?;
        let first = super::publish::first(&session, &config.folder, limits, config.clock.now());
        let (snapshots, receiver) = watch::channel(Arc::new(first));
        let mut owner = Self {
            session,
            seat,
            pay: config.payments.map(Running::new),
            folder: config.folder,
            grace: config.grace,
            clock: config.clock,
            entries: BTreeMap::new(),
            book: Book::default(),
            limits,
            schedule: config.schedule,
            scheduled: None,
            prices: config.prices,
            policy: config.policy.unwrap_or_default(),
            queue: config.queue,
            days: Days::default(),
            order: None,
            somebody_waits: false,
            turns_changed: false,
            store: None,
            touched: Touched::default(),
            slow_due: true,
            unseen: BTreeSet::new(),
            agenda: Agenda::default(),
            sums: Sums::default(),
            unwritten: BTreeSet::new(),
            board: Board::default(),
            snapshots,
            past: (0, 0),
            reach: Reach::new(),
            gone: Vec::new(),
            events,
            jobs: JoinSet::new(),
            ticks: 0,
        };
        if let Some((store, kept)) = stored {
            owner.store = Some(store);
            let paid = owner.paid();
            owner.restore(kept, &paid);
            owner.recover_moves().await;
            // What is said now counts more than what was kept.
            let Prices {
                ask_raw,
                bid_raw,
                bid_auto,
            } = config.prices;
            owner.prices.ask_raw = ask_raw.or(owner.prices.ask_raw);
            if bid_raw.is_some() {
                owner.prices.bid_raw = bid_raw;
                owner.prices.bid_auto = bid_auto;
            }
            owner.limits.up = limits.up.or(owner.limits.up);
            owner.limits.down = limits.down.or(owner.limits.down);
            owner.policy = config.policy.unwrap_or(owner.policy);
            owner.queue.downloads = config.queue.downloads.or(owner.queue.downloads);
            owner.queue.seeds = config.queue.seeds.or(owner.queue.seeds);
            let settings = Change::Settings(Box::new(owner.settings()));
            owner.write(vec![settings]).await?;
        }
        owner.limit_session();
        owner.set_terms();
        owner.set_policy();
        owner.tell_seat();
        let _at_the_first_tick = owner.take_turns();
        owner.publish_all();
        owner.look_at_all();
        Ok((owner, receiver))
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Order>) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let session = self.session.clone();
            tokio::select! {
                order = inbox.recv() => match order {
                    Some(Order::Command(command, reply)) => {
                        if let Some(done) = self.commands(command, reply, &mut inbox).await {
                            self.close(inbox, done).await;
                            return;
                        }
                    }
                    Some(Order::Plan(reply)) => self.start_plan(reply),
                    Some(Order::Close(done)) => {
                        self.close(inbox, done).await;
                        return;
                    }
                    // Nobody is there any more.
                    None => return,
                },
                Some(news) = next_news(&mut self.pay) => self.hear(news),
                Some(job) = self.jobs.join_next(), if !self.jobs.is_empty() => {
                    self.jobs_done(job).await;
                }
                () = session.some_ended(), if self.entries.len() <= FEW => {
                    self.unseen.extend(session.take_news());
                    self.publish_changed();
                }
                // Between two parts of a look at many others have their turn.
                () = tokio::task::yield_now(), if self.agenda.is_under_way() => self.look_on(),
                _ = ticks.tick(), if !self.agenda.is_under_way() => {
                    self.ticks = self.ticks.wrapping_add(1);
                    self.tick();
                    self.look_at_seat().await;
                    let totals = self.ticks.is_multiple_of(TOTALS_LOOKS);
                    let ages = self.ticks.is_multiple_of(ages_looks(self.entries.len()));
                    self.keep_up(totals, ages).await;
                }
            }
        }
    }

    /// Does a command and those that wait behind it, shows what came of them, and answers.
    /// Whoever is to be told that the client has ended, if that came meanwhile.
    async fn commands(
        &mut self,
        command: Command,
        reply: Reply,
        inbox: &mut mpsc::Receiver<Order>,
    ) -> Option<oneshot::Sender<()>> {
        let mut answers = Vec::new();
        let mut close = None;
        let mut next = Some((command, reply));
        while let Some((command, reply)) = next.take() {
            if let Some((answer, reply)) = self.apply(command, reply).await {
                answers.push((answer, reply));
            }
            if answers.len() < AT_ONCE {
                match inbox.try_recv() {
                    Ok(Order::Command(command, reply)) => next = Some((command, reply)),
                    Ok(Order::Plan(reply)) => self.start_plan(reply),
                    Ok(Order::Close(done)) => close = Some(done),
                    Err(_) => {}
                }
            }
        }
        self.publish_changed();
        for (answer, reply) in answers {
            // Who does not wait any more knows what he does.
            let _gone = reply.send(answer);
        }
        close
    }

    /// Ends in order.
    async fn close(mut self, inbox: mpsc::Receiver<Order>, done: oneshot::Sender<()>) {
        // Who waits is told that it has ended.
        drop(inbox);
        self.jobs.shutdown().await;
        let session = self.session.clone();
        session.finish(self.grace).await;
        self.publish_all();
        self.keep_up(true, true).await;
        if let Some(pay) = self.pay.take() {
            pay.end().await;
        }
        // The file is closed before the end is told.
        drop(self.store.take());
        let _gone = done.send(());
    }

    pub(super) fn tell(&self, what: Happened) {
        let at = self.clock.now();
        // Nobody listening is fine.
        let _nobody = self.events.send(Event { at, what });
    }

    pub(super) fn paid(&self) -> Paid {
        let Some(pay) = &self.pay else {
            return Paid::default();
        };
        let connections: HashMap<_, _> = pay
            .extension
            .peers()
            .into_iter()
            .map(|view| (view.conn.0, view))
            .collect();
        Paid {
            connections,
            torrents: pay.extension.torrents().into_iter().collect(),
        }
    }

    /// What tasks have done is taken in, and shown.
    async fn jobs_done(&mut self, first: Result<Job, JoinError>) {
        let mut next = Some(first);
        let mut left = AT_ONCE;
        while let Some(job) = next.take() {
            match job {
                Ok(job) => self.done(job).await,
                Err(error) => tracing::error!(%error, "a task of the client failed"),
            }
            left -= 1;
            if left > 0 {
                next = self.jobs.try_join_next();
            }
        }
        self.publish_changed();
    }

    /// Looks at what is not of one torrent, and at those that it is time to look at.
    fn tick(&mut self) {
        if self.turns_changed || self.order.is_none() {
            for hash in self.take_turns() {
                self.reconcile(hash);
            }
        }
        self.look_at_schedule();
        self.look_at_money();
        self.look_at_reach();
        self.slow_due |= self.ticks.is_multiple_of(SLOW_LOOKS);
        self.begin_look();
        self.look_on();
    }

    /// Has a torrent be in the session as it is wanted to be.
    pub(super) fn reconcile(&mut self, hash: InfoHash) {
        let Some(entry) = self.entries.get_mut(&hash) else {
            return;
        };
        let held = entry.is_held();
        let is_seated = self.seat.is_taken();
        match &mut entry.run {
            Run::Leaving(_) => {}
            Run::No => {
                if let Some(data) = entry.wish.removing {
                    // One task: this is looked at again and again.
                    if std::mem::replace(&mut entry.deleting, true) {
                        return;
                    }
                    let made = match (entry.wish.known.info(), &entry.wish.place) {
                        (Some(info), Place::Folder(folder)) if data => {
                            Some((info.clone(), folder.clone()))
                        }
                        _ => None,
                    };
                    let session = self.session.clone();
                    self.jobs.spawn(async move {
                        let removed = match made {
                            Some((info, folder)) => session.remove_content(info, &folder).await,
                            None => Ok(()),
                        };
                        Job::Left(hash, removed)
                    });
                } else if is_seated && entry.is_to_run() && entry.refused.is_none() {
                    match entry.start(&self.session) {
                        Ok(()) => {}
                        Err(error) => {
                            let why = error.to_string();
                            entry.refused = Some(why.clone());
                            self.failed(hash, why);
                        }
                    }
                }
            }
            Run::Yes(live) => {
                if entry.recheck && live.handle.phase().is_checked() && !entry.restart {
                    entry.recheck = false;
                }
                let phase = live.handle.phase();
                // Something ended it, or it can never go on: it is started anew when it is
                // resumed.
                let over = matches!(phase, Phase::Stopping | Phase::Stopped);
                if entry.wish.removing.is_some() || entry.restart || over {
                    self.leave(hash);
                } else if held && !entry.recheck && !live.paused {
                    live.count_age(&mut entry.life, phase.trouble().is_some());
                    live.paused = true;
                    live.handle.pause();
                } else if !held && live.paused {
                    live.count_age(&mut entry.life, phase.trouble().is_some());
                    live.paused = false;
                    live.handle.resume();
                }
            }
        }
    }

    /// Takes a torrent out of the session.
    pub(super) fn leave(&mut self, hash: InfoHash) {
        let Some(entry) = self.entries.get_mut(&hash) else {
            return;
        };
        let Run::Yes(live) = std::mem::replace(&mut entry.run, Run::No) else {
            return;
        };
        entry.run = Run::Leaving(live);
        entry.restart = false;
        let data = entry.wish.removing == Some(true);
        let (session, grace) = (self.session.clone(), self.grace);
        self.jobs.spawn(async move {
            let left = session.remove(hash, grace, data).await;
            Job::Left(hash, left.map(|_| ()))
        });
    }

    async fn done(&mut self, job: Job) {
        match job {
            Job::Booked | Job::SessionEnded => {}
            Job::Left(hash, removed) => {
                let (paid, now) = (self.paid(), self.clock.now());
                if let Some(entry) = self.entries.get_mut(&hash) {
                    // What it came to until its end.
                    let seen = entry.look(&paid, now);
                    self.days.add(now, seen.moved);
                    entry.run = Run::No;
                    self.unseen.insert(hash);
                    self.turns_changed = true;
                    let removing = entry.wish.removing.is_some();
                    if let Err(error) = removed {
                        self.board.set(
                            ProblemCode::Disk,
                            Some(hash.to_string()),
                            error.to_string(),
                            "Delete what is left of its files by hand.",
                            self.clock.now(),
                        );
                    }
                    match removing {
                        true => self.forget(hash).await,
                        false => self.reconcile(hash),
                    }
                }
            }
            Job::Chosen(hash, chosen) => self.chosen(hash, &chosen),
            Job::Moved(hash, moved, reply) => self.moved(hash, moved, reply).await,
        }
    }

    /// A torrent is not in the list any more.
    async fn forget(&mut self, hash: InfoHash) {
        if let Some(entry) = self.entries.remove(&hash) {
            self.agenda.remove(hash, entry.due);
            self.board.clear_subject(&hash.to_string());
            self.gone.push(hash);
            self.order = None;
            self.past.0 = self.past.0.saturating_add(entry.life.downloaded);
            self.past.1 = self.past.1.saturating_add(entry.life.uploaded);
            if let Some(pay) = &self.pay {
                pay.extension.forget(hash);
            }
            let settings = Box::new(self.settings());
            // If it is not written it is removed again at the next start.
            let changes = vec![Change::Delete(hash), Change::Settings(settings)];
            let _told = self.write(changes).await;
            let name = entry.name();
            self.tell(Happened::Removed { hash, name });
        }
    }

    fn failed(&mut self, hash: InfoHash, reason: String) {
        let name = self
            .entries
            .get(&hash)
            .map_or_else(String::new, Entry::name);
        let is_new = self.board.set(
            ProblemCode::TorrentFailed,
            Some(hash.to_string()),
            format!("{name}: {reason}"),
            "Mend what is wrong and resume the torrent, or remove it.",
            self.clock.now(),
        );
        if is_new {
            self.tell(Happened::Failed { hash, name, reason });
        }
    }

    /// Writes into the ledger; the answer comes when it is there.
    pub(super) fn start_booking(
        &mut self,
        booking: impl FnOnce() -> Result<Answer, ClientError> + Send + 'static,
        reply: Reply,
    ) {
        self.jobs.spawn(async move {
            let booked = tokio::task::spawn_blocking(booking).await;
            // The runtime shuts down.
            let answer = booked.unwrap_or(Err(ClientError::Ended));
            let _gone = reply.send(answer);
            Job::Booked
        });
    }

    /// What was seen of a torrent is told, and what follows from it is done.
    pub(super) fn heed(&mut self, hash: InfoHash, seen: &super::look::Seen) {
        let Some(entry) = self.entries.get_mut(&hash) else {
            return;
        };
        let name = entry.name();
        let subject = hash.to_string();
        let trouble = seen.stats.as_ref().and_then(|stats| stats.phase.trouble());
        let trouble = trouble.map(str::to_owned);
        let wanted = entry.standing.wanted;
        // What ends the sharing does not end a move.
        let is_shared = entry.standing.complete && !entry.is_to_move();
        let goal = match (entry.wish.paused, is_shared) {
            (false, true) => super::goals::reached(&entry.wish.goals, wanted, &entry.life),
            _ => None,
        };
        if let Some(goal) = goal {
            entry.wish.paused = true;
            entry.wish.reached = Some(goal);
            self.unwritten.insert(hash);
            self.reconcile(hash);
            let name = name.clone();
            self.tell(Happened::GoalReached { hash, name, goal });
        }
        if seen.metadata {
            self.unwritten.insert(hash);
        }
        if seen.completed {
            let name = name.clone();
            self.tell(Happened::Completed { hash, name });
        }
        self.move_complete(hash);
        for event in &seen.events {
            self.heed_event(hash, &subject, event);
        }
        if let Some(reason) = trouble {
            self.failed(hash, reason);
        } else if seen.stats.is_some()
            && self.board.clear(ProblemCode::TorrentFailed, Some(&subject))
        {
            let code = ProblemCode::TorrentFailed;
            let subject = Some(subject);
            self.tell(Happened::ProblemOver { code, subject });
        }
    }

    fn heed_event(&mut self, hash: InfoHash, subject: &str, event: &crate::swarm::Event) {
        use crate::swarm::Event as Swarm;
        match event {
            Swarm::PeerBanned { addr, reason } => self.tell(Happened::PeerBanned {
                hash,
                peer: *addr,
                reason: reason.clone(),
            }),
            Swarm::TrackerWarning { url, message } => self.tell(Happened::TrackerWarned {
                hash,
                url: url.clone(),
                message: message.clone(),
            }),
            Swarm::WebSeedFailed { url, message } => self.tell(Happened::WebSeedFailed {
                hash,
                url: url.clone(),
                message: message.clone(),
            }),
            Swarm::TrackerError { url, message } => self.tell(Happened::TrackerFailed {
                hash,
                url: url.clone(),
                message: message.clone(),
            }),
            Swarm::DiskError { message, full } => {
                self.tell(Happened::DiskRefused {
                    hash,
                    message: message.clone(),
                    full: *full,
                });
                let hint = match full {
                    true => "Make room on the disk; the download goes on by itself then.",
                    false => "Look at the disk; it is tried again by itself.",
                };
                let now = self.clock.now();
                let subject = Some(subject.to_owned());
                if self.board.set(
                    ProblemCode::Disk,
                    subject.clone(),
                    message.clone(),
                    hint,
                    now,
                ) {
                    self.tell(Happened::Problem {
                        code: ProblemCode::Disk,
                        subject,
                        message: message.clone(),
                        hint: hint.to_owned(),
                    });
                }
            }
            Swarm::PieceVerified { .. } => {
                let code = ProblemCode::Disk;
                if self.board.clear(code, Some(subject)) {
                    let subject = Some(subject.to_owned());
                    self.tell(Happened::ProblemOver { code, subject });
                }
            }
            _ => {}
        }
    }
}
