//! Adds torrents.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use super::{
    applying::Effect,
    command::{AddTorrent, Answer, Command, Source},
    entry::{Entry, Known, Life, Place, Standing, Wish, choose, selection},
    error::ClientError,
    labels::{check_folder, check_name},
    owner::Owner,
};
use crate::{
    swarm::{
        self, FilePriorities,
        metainfo::{MAX_TRACKERS, Magnet, Metainfo},
        selection::Selection,
    },
    types::InfoHash,
};

/// Torrents in a list.
pub(super) const MAX_TORRENTS: usize = 20_000;

/// Tags of one torrent.
pub(super) const MAX_TAGS: usize = 100;

/// Peers that are named at once.
pub(super) const MAX_PEERS: usize = 1000;

/// What a link or a torrent file says.
fn read(source: &Source) -> Result<Known, ClientError> {
    match source {
        Source::Link(link) => {
            let text = link.trim();
            let is_magnet = text
                .get(..7)
                .is_some_and(|start| start.eq_ignore_ascii_case("magnet:"));
            let magnet = match is_magnet {
                true => text.parse::<Magnet>()?,
                false => Magnet::of_hash(text)
                    .ok_or_else(|| ClientError::NotALink(text.chars().take(80).collect()))?,
            };
            Ok(Known::Link(Box::new(magnet)))
        }
        Source::Parsed(source) => Ok(match source.as_ref() {
            swarm::Source::Magnet(magnet) => Known::Link(Box::new(magnet.clone())),
            swarm::Source::Torrent(metainfo) => Known::File(Arc::new((**metainfo).clone())),
        }),
        Source::File(file) | Source::Content { file, .. } => {
            Ok(Known::File(Arc::new(Metainfo::from_bytes(file)?)))
        }
    }
}

/// Refuses what no tracker can have as its address.
pub(super) fn check_trackers(urls: &[String]) -> Result<(), ClientError> {
    if urls.len() > MAX_TRACKERS {
        return Err(ClientError::TooMany {
            what: "trackers",
            limit: MAX_TRACKERS,
        });
    }
    for url in urls {
        let schemes = ["http", "https", "udp"];
        let parsed = url::Url::parse(url).ok();
        if !parsed.is_some_and(|parsed| schemes.contains(&parsed.scheme()) && parsed.has_host()) {
            return Err(ClientError::BadTracker(url.chars().take(80).collect()));
        }
    }
    Ok(())
}

impl Owner {
    /// Adds the torrents that it begins with, and shows them.
    pub(super) async fn begin(
        &mut self,
        torrents: Vec<AddTorrent>,
    ) -> Result<Vec<(InfoHash, bool)>, ClientError> {
        let mut added = Vec::with_capacity(torrents.len());
        for torrent in torrents {
            let answer = self.carry_out(Command::Add(Box::new(torrent))).await?;
            // An addition has no other answer.
            if let Answer::Added { hash, known } = answer {
                added.push((hash, !known));
            }
        }
        self.publish_changed();
        Ok(added)
    }

    pub(super) fn add(&mut self, add: AddTorrent) -> Result<(Answer, Effect), ClientError> {
        let known = read(&add.source)?;
        let hash = known.hash();
        if let Some(entry) = self.entries.get(&hash) {
            return match entry.wish.removing {
                Some(_) => Err(ClientError::BeingRemoved(hash)),
                None => Ok((Answer::Added { hash, known: true }, Effect::None)),
            };
        }
        if self.entries.len() >= MAX_TORRENTS {
            return Err(ClientError::TooMany {
                what: "torrents",
                limit: MAX_TORRENTS,
            });
        }
        let wish = self.wish(&add, known)?;
        // Nothing is changed before everything is known to be good.
        if let Some(category) = &add.category {
            self.book.add_category(category)?;
        }
        self.book.add_tags(&add.tags)?;
        let life = Life {
            added: self.clock.now(),
            ..Life::default()
        };
        let paid = self.paid().torrents.get(&hash).copied().unwrap_or_default();
        let mut entry = Entry::new(wish, life, Standing::default(), paid);
        entry.recheck = add.recheck;
        // What is not hashed here is not recorded, and would be hashed at the next start.
        let forgets = self.store.is_none();
        entry.trusted = forgets && matches!(add.source, Source::Content { trusted: true, .. });
        self.entries.insert(hash, entry);
        self.unseen.insert(hash);
        self.stand_last(hash);
        self.touched.before.insert(hash, None);
        Ok((Answer::Added { hash, known: false }, Effect::Added(hash)))
    }

    fn wish(&self, add: &AddTorrent, known: Known) -> Result<Wish, ClientError> {
        if let Some(name) = &add.name {
            check_name("name", name)?;
        }
        if let Some(category) = &add.category {
            check_name("category", category)?;
        }
        for tag in &add.tags {
            check_name("tag", tag)?;
        }
        if add.tags.len() > MAX_TAGS {
            return Err(ClientError::TooMany {
                what: "tags of a torrent",
                limit: MAX_TAGS,
            });
        }
        if add.peers.len() > MAX_PEERS {
            return Err(ClientError::TooMany {
                what: "peers",
                limit: MAX_PEERS,
            });
        }
        check_trackers(&add.trackers)?;
        match (&add.files, known.info()) {
            (Some(files), Some(info)) => choose(files, info)?,
            (Some(files), None) => drop::<Selection>(selection(files)?),
            (None, _) => {}
        }
        let place = match &add.source {
            Source::Content { path, .. } => {
                check_folder(path)?;
                Place::Content(path.clone())
            }
            _ => Place::Folder(self.folder_of(add.folder.as_deref(), add.category.as_deref())?),
        };
        if let (Place::Content(_), Some(_)) = (&place, &add.files) {
            return Err(ClientError::AllShared(known.hash()));
        }
        if let Some(folder) = &add.move_to {
            check_folder(folder)?;
        }
        let linked = match &known {
            Known::Link(magnet) => magnet.peers.clone(),
            Known::File(_) => Vec::new(),
        };
        let mut wish = Wish {
            known,
            place,
            move_to: add.move_to.clone(),
            moving: None,
            name: add.name.clone(),
            category: add.category.clone(),
            tags: add.tags.iter().cloned().collect::<BTreeSet<_>>(),
            priorities: FilePriorities::new(),
            files: add.files.clone(),
            limits: add.limits,
            goals: add.goals,
            reached: None,
            prices: add.prices,
            paused: add.paused,
            position: self.last_position(),
            trackers: add.trackers.clone(),
            web_seeds: add.web_seeds.clone(),
            peers: Vec::new(),
            overwrite: add.overwrite,
            preallocate: add.preallocate,
            removing: None,
        };
        wish.add_peers(linked.into_iter().chain(add.peers.iter().copied()));
        Ok(wish)
    }

    /// The folder that is named, or that of the category, or the client's.
    fn folder_of(
        &self,
        folder: Option<&Path>,
        category: Option<&str>,
    ) -> Result<std::path::PathBuf, ClientError> {
        if let Some(folder) = folder {
            check_folder(folder)?;
            return Ok(folder.to_owned());
        }
        let category = category.and_then(|name| self.book.categories.get(name));
        let folder = category.and_then(Option::as_ref).unwrap_or(&self.folder);
        Ok(folder.clone())
    }
}
