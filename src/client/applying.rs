//! Does commands. Each is checked whole, changes what is wanted, and is written to the list;
//! only then it has effects. When it cannot be written, nothing is changed.

use std::{collections::BTreeMap, net::SocketAddr};

use super::{
    adding::{MAX_PEERS, MAX_TAGS, check_trackers},
    command::{Answer, Command, Files},
    entry::{Entry, Known, Place, Run, Standing, Wish, choose, selection},
    error::ClientError,
    labels::check_name,
    owner::{Owner, Reply},
    snapshot::{Goals, Limits, SettlePolicy},
    store::Change,
};
use crate::{
    swarm::{
        FilePriorities, FilePriority, Phase,
        metainfo::{Info, MAX_TRACKERS},
    },
    types::InfoHash,
};

/// What comes of a command when it is written.
#[derive(Debug)]
pub(super) enum Effect {
    /// Nothing but what readers see.
    None,
    /// The session is brought to what is wanted.
    Reconcile(InfoHash),
    /// It is new.
    Added(InfoHash),
    /// It goes on, also from trouble.
    Resume(InfoHash),
    /// Other files are wanted.
    Files(InfoHash),
    /// It leaves the session and starts again, and all data is verified.
    Recheck(InfoHash),
    /// Some of its files go before others.
    Priorities(InfoHash),
    /// Its trackers are others.
    Trackers(InfoHash),
    /// Limits of a torrent, or of all.
    Limits(Option<InfoHash>),
    /// What is bought and sold at.
    Prices,
    /// Trackers are asked.
    Reannounce(InfoHash),
    /// Whose turn it is.
    Queue,
    /// How debts are settled.
    Policy,
    /// Debts are settled.
    Settle,
    /// Peers are dialled.
    Peers(InfoHash, Vec<SocketAddr>),
}

/// What a command has changed so far: to be written, or to be undone.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// What was wanted before; `None`: it was not there.
    pub(super) before: BTreeMap<InfoHash, Option<Wish>>,
}

impl Owner {
    /// The answer, and who waits for it; `None` when it is given later.
    pub(super) async fn apply(
        &mut self,
        command: Command,
        reply: Reply,
    ) -> Option<(Result<Answer, ClientError>, Reply)> {
        if let Command::Move { hash, folder } = command {
            if let Err(error) = self.note_move(hash, &folder).await {
                return Some((Err(error), reply));
            }
            self.start_move(hash, folder, reply);
            return None;
        }
        let booking = self.pay.as_ref().and_then(|pay| pay.booking(&command));
        if let Some(booking) = booking {
            self.start_booking(booking, reply);
            return None;
        }
        Some((self.carry_out(command).await, reply))
    }

    /// Does a command that is answered at once.
    pub(super) async fn carry_out(&mut self, command: Command) -> Result<Answer, ClientError> {
        let settings = self.settings();
        self.touched = Touched::default();
        let answer = match self.change(command) {
            Ok((answer, effect)) => match self.keep(&settings).await {
                Ok(()) => {
                    self.act(effect);
                    Ok(answer)
                }
                Err(error) => Err(error.into()),
            },
            Err(error) => Err(error),
        };
        if answer.is_err() {
            self.undo(&settings);
        }
        answer
    }

    /// Changes what is wanted of one torrent, and writes that.
    pub(super) async fn change_one(
        &mut self,
        hash: InfoHash,
        change: impl FnOnce(&mut Wish),
    ) -> Result<(), ClientError> {
        let settings = self.settings();
        self.touched = Touched::default();
        change(&mut self.entry(hash)?.wish);
        let kept = self.keep(&settings).await;
        if kept.is_err() {
            self.undo(&settings);
        }
        Ok(kept?)
    }

    /// Writes what a command has changed.
    async fn keep(&mut self, before: &super::store::Settings) -> Result<(), super::StoreError> {
        let mut changes = Vec::new();
        for hash in self.touched.before.keys() {
            if let Some(entry) = self.entries.get(hash) {
                changes.push(Change::Put(*hash, Box::new(entry.wish.clone())));
                if self.touched.before.get(hash).is_some_and(Option::is_none) {
                    let row = (*hash, entry.life, entry.standing.clone());
                    changes.push(Change::Totals(vec![row]));
                }
            }
        }
        let settings = self.settings();
        if settings != *before {
            changes.push(Change::Settings(Box::new(settings)));
        }
        self.write(changes).await
    }

    /// Takes back what a command has changed.
    fn undo(&mut self, settings: &super::store::Settings) {
        for (hash, before) in std::mem::take(&mut self.touched).before {
            match (before, self.entries.get_mut(&hash)) {
                (Some(before), Some(entry)) => entry.wish = before,
                (None, _) => drop(self.entries.remove(&hash)),
                (Some(_), None) => {}
            }
        }
        self.order = None;
        self.set_settings(settings.clone());
    }

    fn change(&mut self, command: Command) -> Result<(Answer, Effect), ClientError> {
        let effect = match command {
            Command::Add(add) => return self.add(*add),
            // Done elsewhere: its answer comes later.
            Command::Move { .. } => Effect::None,
            Command::Remove { hash, data } => {
                let entry = self.entry(hash)?;
                // Twice: with the data, if it was ever said.
                let before = entry.wish.removing.unwrap_or(false);
                entry.wish.removing = Some(data || before);
                Effect::Reconcile(hash)
            }
            Command::Pause(hash) => {
                self.present(hash)?.wish.paused = true;
                Effect::Reconcile(hash)
            }
            Command::Resume(hash) => {
                let entry = self.present(hash)?;
                entry.wish.paused = false;
                if entry.wish.reached.take().is_some() {
                    // They would end it again at once.
                    entry.wish.goals = Goals::default();
                }
                Effect::Resume(hash)
            }
            Command::Recheck(hash) => {
                self.present(hash)?;
                Effect::Recheck(hash)
            }
            Command::Rename { hash, name } => {
                if let Some(name) = &name {
                    check_name("name", name)?;
                }
                self.present(hash)?.wish.name = name;
                Effect::None
            }
            Command::SetFiles { hash, files } => self.set_files(hash, files)?,
            Command::SetPriorities { hash, files } => self.set_priorities(hash, files)?,
            Command::SetLimits { hash, limits } => {
                match hash {
                    Some(hash) => self.present(hash)?.wish.limits = limits,
                    None => self.limits = limits,
                }
                Effect::Limits(hash)
            }
            Command::SetSchedule(schedule) => {
                self.schedule = schedule;
                Effect::Limits(None)
            }
            Command::SetGoals { hash, goals } => {
                let entry = self.present(hash)?;
                entry.wish.goals = goals;
                entry.wish.reached = None;
                Effect::None
            }
            Command::SetCategory { hash, category } => {
                self.present(hash)?;
                if let Some(category) = &category {
                    self.book.add_category(category)?;
                }
                self.present(hash)?.wish.category = category;
                Effect::None
            }
            Command::SetTags { hash, add, remove } => {
                self.set_tags(hash, &add, &remove)?;
                Effect::None
            }
            Command::SaveCategory { name, folder } => {
                self.book.save_category(&name, folder)?;
                Effect::None
            }
            Command::RemoveCategories(names) => {
                self.remove_categories(&names)?;
                Effect::None
            }
            Command::AddTags(tags) => {
                self.book.add_tags(&tags)?;
                Effect::None
            }
            Command::RemoveTags(tags) => {
                self.remove_tags(&tags)?;
                Effect::None
            }
            Command::AddTrackers { hash, urls } => self.add_trackers(hash, urls)?,
            Command::RemoveTrackers { hash, urls } => self.remove_trackers(hash, &urls)?,
            Command::EditTracker { hash, from, to } => self.edit_tracker(hash, &from, to)?,
            Command::Reannounce(hash) => {
                let entry = self.present(hash)?;
                if entry.is_held() || entry.live().is_none() {
                    return Err(ClientError::Paused(hash));
                }
                Effect::Reannounce(hash)
            }
            Command::Export(hash) => {
                let file = match &self.present(hash)?.wish.known {
                    Known::File(metainfo) => metainfo
                        .to_bytes()
                        .map_err(|error| ClientError::NotRead(hash, error.to_string()))?,
                    Known::Link(_) => return Err(ClientError::NoMetadata(hash)),
                };
                return Ok((Answer::TorrentFile(file), Effect::None));
            }
            Command::MoveInQueue { hashes, to } => {
                self.move_in_queue(&hashes, to);
                Effect::Queue
            }
            Command::SetQueue(queue) => {
                self.queue = queue;
                Effect::Queue
            }
            Command::SetPrices { hash, prices } => {
                self.need_payments()?;
                match hash {
                    Some(hash) => self.present(hash)?.wish.prices = prices,
                    None => self.prices = prices,
                }
                Effect::Prices
            }
            Command::SetPolicy(policy) => {
                if policy != SettlePolicy::Off {
                    self.need_signer()?;
                }
                self.policy = policy;
                Effect::Policy
            }
            Command::SettleNow => {
                self.need_signer()?;
                Effect::Settle
            }
            // Done elsewhere, if there are payments: their answers come later.
            Command::Ban { .. } | Command::Forgive(_) | Command::RevokeKey(_) => {
                self.need_payments()?;
                Effect::None
            }
            Command::AddPeers { hash, peers } => {
                if peers.len() > MAX_PEERS {
                    return Err(ClientError::TooMany {
                        what: "peers",
                        limit: MAX_PEERS,
                    });
                }
                let entry = self.present(hash)?;
                entry.wish.add_peers(peers.iter().copied());
                Effect::Peers(hash, peers)
            }
        };
        Ok((Answer::Done, effect))
    }

    /// A torrent that is about to be changed.
    pub(super) fn entry(&mut self, hash: InfoHash) -> Result<&mut Entry, ClientError> {
        let entry = self.entries.get_mut(&hash);
        let entry = entry.ok_or(ClientError::NoSuchTorrent(hash))?;
        let before = &mut self.touched.before;
        before
            .entry(hash)
            .or_insert_with(|| Some(entry.wish.clone()));
        self.unseen.insert(hash);
        Ok(entry)
    }

    /// The same, if it is not being removed.
    fn present(&mut self, hash: InfoHash) -> Result<&mut Entry, ClientError> {
        let entry = self.entry(hash)?;
        match entry.wish.removing {
            Some(_) => Err(ClientError::BeingRemoved(hash)),
            None => Ok(entry),
        }
    }

    fn set_files(&mut self, hash: InfoHash, files: Files) -> Result<Effect, ClientError> {
        let entry = self.present(hash)?;
        if let Place::Content(_) = entry.wish.place {
            return Err(ClientError::AllShared(hash));
        }
        match entry.wish.known.info() {
            Some(info) => choose(&files, info)?,
            None => {
                selection(&files)?;
            }
        }
        if entry.wish.files.as_ref() == Some(&files) {
            return Ok(Effect::None);
        }
        entry.wish.files = Some(files);
        Ok(Effect::Files(hash))
    }

    fn set_priorities(
        &mut self,
        hash: InfoHash,
        files: FilePriorities,
    ) -> Result<Effect, ClientError> {
        let entry = self.present(hash)?;
        let info = entry.wish.known.info();
        let count = info
            .map(Info::file_count)
            .ok_or(ClientError::NoMetadata(hash))?;
        if files.keys().any(|at| *at >= count) {
            return Err(ClientError::NoSuchFile(count));
        }
        let known = &mut entry.wish.priorities;
        known.extend(files);
        known.retain(|_, priority| *priority != FilePriority::Normal);
        Ok(Effect::Priorities(hash))
    }

    fn set_tags(
        &mut self,
        hash: InfoHash,
        add: &[String],
        remove: &[String],
    ) -> Result<(), ClientError> {
        let mut tags = self.present(hash)?.wish.tags.clone();
        tags.retain(|tag| !remove.contains(tag));
        tags.extend(add.iter().cloned());
        if tags.len() > MAX_TAGS {
            return Err(ClientError::TooMany {
                what: "tags of a torrent",
                limit: MAX_TAGS,
            });
        }
        self.book.add_tags(add)?;
        self.present(hash)?.wish.tags = tags;
        Ok(())
    }

    fn remove_categories(&mut self, names: &[String]) -> Result<(), ClientError> {
        for name in names {
            self.book.categories.remove(name);
        }
        let is_in = |entry: &&Entry| {
            let category = entry.wish.category.as_ref();
            category.is_some_and(|name| names.contains(name))
        };
        let inside = self.entries.values().filter(is_in);
        let inside: Vec<InfoHash> = inside.map(|entry| entry.wish.known.hash()).collect();
        for hash in inside {
            self.entry(hash)?.wish.category = None;
        }
        Ok(())
    }

    fn remove_tags(&mut self, tags: &[String]) -> Result<(), ClientError> {
        for tag in tags {
            self.book.tags.remove(tag);
        }
        let has = |entry: &&Entry| tags.iter().any(|tag| entry.wish.tags.contains(tag));
        let tagged = self.entries.values().filter(has);
        let tagged: Vec<InfoHash> = tagged.map(|entry| entry.wish.known.hash()).collect();
        for hash in tagged {
            self.entry(hash)?
                .wish
                .tags
                .retain(|tag| !tags.contains(tag));
        }
        Ok(())
    }

    fn add_trackers(&mut self, hash: InfoHash, urls: Vec<String>) -> Result<Effect, ClientError> {
        check_trackers(&urls)?;
        let entry = self.present(hash)?;
        let known: Vec<String> = entry.tiers().into_iter().flatten().collect();
        let mut more: Vec<String> = Vec::new();
        for url in urls {
            if !known.contains(&url) && !more.contains(&url) {
                more.push(url);
            }
        }
        if known.len() + more.len() > MAX_TRACKERS {
            return Err(ClientError::TooMany {
                what: "trackers",
                limit: MAX_TRACKERS,
            });
        }
        if more.is_empty() {
            return Ok(Effect::None);
        }
        entry.wish.trackers.extend(more);
        Ok(Effect::Trackers(hash))
    }

    fn remove_trackers(&mut self, hash: InfoHash, urls: &[String]) -> Result<Effect, ClientError> {
        let entry = self.present(hash)?;
        let known: Vec<String> = entry.tiers().into_iter().flatten().collect();
        if let Some(none) = urls.iter().find(|url| !known.contains(url)) {
            return Err(ClientError::NoSuchTracker(none.chars().take(80).collect()));
        }
        entry.wish.change_trackers(|url| match urls.contains(url) {
            true => None,
            false => Some(url.clone()),
        });
        Ok(match urls.is_empty() {
            true => Effect::None,
            false => Effect::Trackers(hash),
        })
    }

    fn edit_tracker(
        &mut self,
        hash: InfoHash,
        from: &str,
        to: String,
    ) -> Result<Effect, ClientError> {
        check_trackers(std::slice::from_ref(&to))?;
        let entry = self.present(hash)?;
        let known: Vec<String> = entry.tiers().into_iter().flatten().collect();
        if !known.iter().any(|url| url == from) {
            return Err(ClientError::NoSuchTracker(from.chars().take(80).collect()));
        }
        if from == to {
            return Ok(Effect::None);
        }
        if known.contains(&to) {
            return Err(ClientError::HasTracker(to.chars().take(80).collect()));
        }
        entry.wish.change_trackers(|url| match url == from {
            true => Some(to.clone()),
            false => Some(url.clone()),
        });
        Ok(Effect::Trackers(hash))
    }

    /// Finds out whose turn it is, and has the session be so.
    fn turn(&mut self) {
        for hash in self.take_turns() {
            self.reconcile(hash);
        }
    }

    /// What is written has its effects.
    fn act(&mut self, effect: Effect) {
        self.turn();
        let hash = match &effect {
            Effect::None | Effect::Queue => return,
            Effect::Prices => {
                self.set_terms();
                return;
            }
            Effect::Policy => {
                self.set_policy();
                return;
            }
            Effect::Settle => {
                if let Some(settler) = self.pay.as_ref().and_then(|pay| pay.settler.as_ref()) {
                    settler.now.notify_one();
                }
                return;
            }
            Effect::Limits(None) => {
                self.limit_session();
                return;
            }
            Effect::Reconcile(hash)
            | Effect::Added(hash)
            | Effect::Resume(hash)
            | Effect::Files(hash)
            | Effect::Priorities(hash)
            | Effect::Trackers(hash)
            | Effect::Recheck(hash)
            | Effect::Limits(Some(hash))
            | Effect::Reannounce(hash)
            | Effect::Peers(hash, _) => *hash,
        };
        let Some(entry) = self.entries.get_mut(&hash) else {
            return;
        };
        match effect {
            Effect::Files(_) => self.choose_files(hash),
            Effect::Recheck(_) => {
                entry.recheck = true;
                entry.start_anew();
            }
            Effect::Priorities(_) => {
                if let Some(live) = entry.live() {
                    live.handle.set_priorities(entry.wish.priorities.clone());
                }
            }
            Effect::Trackers(_) => {
                let tiers = entry.tiers();
                entry.trackers = super::trackers::rows(&tiers, &entry.trackers);
                if let Some(live) = entry.live() {
                    live.handle.set_trackers(&tiers, &entry.wish.trackers);
                }
            }
            Effect::Resume(_) => entry.go_on(),
            Effect::Limits(_) => {
                let Limits { up, down } = entry.wish.limits;
                if let Some(live) = entry.live() {
                    live.handle.set_up_limit(up);
                    live.handle.set_down_limit(down);
                }
            }
            Effect::Reannounce(_) => {
                if let Some(live) = entry.live() {
                    live.handle.reannounce();
                }
            }
            Effect::Peers(_, peers) => {
                if let Some(live) = entry.live() {
                    peers.iter().for_each(|peer| live.handle.add_peer(*peer));
                }
            }
            Effect::Added(_) => {
                let name = entry.name();
                self.set_terms();
                self.tell(super::event::Happened::Added { hash, name });
            }
            Effect::None
            | Effect::Queue
            | Effect::Prices
            | Effect::Policy
            | Effect::Settle
            | Effect::Reconcile(_) => {}
        }
        self.reconcile(hash);
    }
}

impl Entry {
    /// What is known of it is found out again.
    pub(super) fn start_anew(&mut self) {
        self.standing = Standing::default();
        self.refused = None;
        self.restart = self.live().is_some();
    }

    /// Goes on from trouble.
    fn go_on(&mut self) {
        self.refused = None;
        self.not_moved = None;
        let Run::Yes(live) = &self.run else {
            return;
        };
        match live.handle.phase() {
            Phase::Failed(_) => self.restart = true,
            phase if phase.trouble().is_some() => live.handle.resume(),
            _ => {}
        }
    }
}
