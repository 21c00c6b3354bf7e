//! Does commands: each is checked whole before anything is changed.

use super::{
    adding::{MAX_PEERS, MAX_TAGS, check_trackers},
    command::{Answer, Command, Files},
    entry::{Entry, Place, Run, choose, selection},
    error::ClientError,
    labels::{check_folder, check_name},
    owner::{Owner, Reply},
    snapshot::Limits,
};
use crate::{
    swarm::{Phase, metainfo::MAX_TRACKERS},
    types::InfoHash,
};

impl Owner {
    /// The answer, and who waits for it; `None` when it is given later.
    pub(super) async fn apply(
        &mut self,
        command: Command,
        reply: Reply,
    ) -> Option<(Result<Answer, ClientError>, Reply)> {
        if let Command::Move { hash, folder } = command {
            match self.check_move(hash, &folder) {
                Ok(()) => self.start_move(hash, folder, reply),
                Err(error) => return Some((Err(error), reply)),
            }
            return None;
        }
        Some((self.done_now(command), reply))
    }

    fn done_now(&mut self, command: Command) -> Result<Answer, ClientError> {
        let mut changed = None;
        match command {
            Command::Add(add) => return self.add(*add),
            Command::Move { .. } => {}
            Command::Remove { hash, data } => {
                let entry = self.entry(hash)?;
                // Twice: with the data, if it was ever said.
                let before = entry.wish.removing.unwrap_or(false);
                entry.wish.removing = Some(data || before);
                entry.refused = None;
                changed = Some(hash);
            }
            Command::Pause(hash) => {
                self.present(hash)?.wish.paused = true;
                changed = Some(hash);
            }
            Command::Resume(hash) => {
                self.resume(hash)?;
                changed = Some(hash);
            }
            Command::Recheck(hash) => {
                let entry = self.present(hash)?;
                entry.recheck = true;
                entry.restart = entry.live().is_some();
                entry.refused = None;
                entry.standing = super::entry::Standing::default();
                changed = Some(hash);
            }
            Command::Rename { hash, name } => {
                if let Some(name) = &name {
                    check_name("name", name)?;
                }
                self.present(hash)?.wish.name = name;
            }
            Command::SetFiles { hash, files } => {
                self.set_files(hash, files)?;
                changed = Some(hash);
            }
            Command::SetLimits { hash, limits } => self.set_limits(hash, limits)?,
            Command::SetGoals { hash, goals } => {
                let entry = self.present(hash)?;
                entry.wish.goals = goals;
                entry.wish.reached = None;
            }
            Command::SetCategory { hash, category } => {
                self.present(hash)?;
                if let Some(category) = &category {
                    self.book.add_category(category)?;
                }
                self.present(hash)?.wish.category = category;
            }
            Command::SetTags { hash, add, remove } => self.set_tags(hash, &add, &remove)?,
            Command::SaveCategory { name, folder } => self.book.save_category(&name, folder)?,
            Command::RemoveCategories(names) => {
                for name in &names {
                    self.book.categories.remove(name);
                }
                for entry in self.entries.values_mut() {
                    if entry
                        .wish
                        .category
                        .as_ref()
                        .is_some_and(|name| names.contains(name))
                    {
                        entry.wish.category = None;
                        entry.touched = true;
                    }
                }
            }
            Command::AddTags(tags) => self.book.add_tags(&tags)?,
            Command::RemoveTags(tags) => {
                for tag in &tags {
                    self.book.tags.remove(tag);
                }
                for entry in self.entries.values_mut() {
                    let before = entry.wish.tags.len();
                    entry.wish.tags.retain(|tag| !tags.contains(tag));
                    entry.touched |= entry.wish.tags.len() != before;
                }
            }
            Command::AddTrackers { hash, urls } => {
                self.add_trackers(hash, urls)?;
                changed = Some(hash);
            }
            Command::AddPeers { hash, peers } => self.add_peers(hash, &peers)?,
        }
        if let Some(hash) = changed {
            self.reconcile(hash);
        }
        Ok(Answer::Done)
    }

    fn entry(&mut self, hash: InfoHash) -> Result<&mut Entry, ClientError> {
        let entry = self.entries.get_mut(&hash);
        let entry = entry.ok_or(ClientError::NoSuchTorrent(hash))?;
        entry.touched = true;
        Ok(entry)
    }

    /// A torrent that is not being removed.
    fn present(&mut self, hash: InfoHash) -> Result<&mut Entry, ClientError> {
        let entry = self.entry(hash)?;
        match entry.wish.removing {
            Some(_) => Err(ClientError::BeingRemoved(hash)),
            None => Ok(entry),
        }
    }

    fn resume(&mut self, hash: InfoHash) -> Result<(), ClientError> {
        let entry = self.present(hash)?;
        entry.wish.paused = false;
        entry.refused = None;
        if entry.wish.reached.take().is_some() {
            // They would end it again at once.
            entry.wish.goals = super::snapshot::Goals::default();
        }
        let Run::Yes(live) = &entry.run else {
            return Ok(());
        };
        let phase = live.handle.phase();
        match phase {
            Phase::Failed(_) => entry.restart = true,
            phase if phase.trouble().is_some() => live.handle.resume(),
            _ => {}
        }
        Ok(())
    }

    fn set_files(&mut self, hash: InfoHash, files: Files) -> Result<(), ClientError> {
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
        if entry.wish.files.as_ref() != Some(&files) {
            entry.wish.files = Some(files);
            entry.standing = super::entry::Standing::default();
            entry.restart = entry.live().is_some();
        }
        Ok(())
    }

    fn set_limits(&mut self, hash: Option<InfoHash>, limits: Limits) -> Result<(), ClientError> {
        let Some(hash) = hash else {
            self.limits = limits;
            self.session.set_up_limit(limits.up);
            self.session.set_down_limit(limits.down);
            return Ok(());
        };
        let entry = self.present(hash)?;
        entry.wish.limits = limits;
        if let Some(live) = entry.live() {
            live.handle.set_up_limit(limits.up);
            live.handle.set_down_limit(limits.down);
        }
        Ok(())
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

    fn add_trackers(&mut self, hash: InfoHash, urls: Vec<String>) -> Result<(), ClientError> {
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
        if !more.is_empty() {
            entry.wish.trackers.extend(more);
            entry.trackers = super::trackers::rows(&entry.tiers(), &entry.trackers);
            entry.restart = entry.live().is_some();
        }
        Ok(())
    }

    fn add_peers(
        &mut self,
        hash: InfoHash,
        peers: &[std::net::SocketAddr],
    ) -> Result<(), ClientError> {
        if peers.len() > MAX_PEERS {
            return Err(ClientError::TooMany {
                what: "peers",
                limit: MAX_PEERS,
            });
        }
        let entry = self.present(hash)?;
        match &entry.run {
            Run::Yes(live) => peers.iter().for_each(|peer| live.handle.add_peer(*peer)),
            Run::No | Run::Leaving(_) => {
                entry.peers.extend_from_slice(peers);
                entry.peers.truncate(MAX_PEERS);
            }
        }
        Ok(())
    }

    fn check_move(&mut self, hash: InfoHash, folder: &std::path::Path) -> Result<(), ClientError> {
        check_folder(folder)?;
        let entry = self.present(hash)?;
        match entry.live() {
            Some(_) => Ok(()),
            None => Err(ClientError::Paused(hash)),
        }
    }
}
