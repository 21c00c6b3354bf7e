//! A folder whose torrent files are added to a client.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    Client, ClientError,
    command::{AddTorrent, Answer, Command, Source},
};
use crate::{swarm::metainfo::MAX_INFO_BYTES, types::InfoHash};

/// Files that are taken in one look; the rest waits for the next one.
const MAX_FILES: usize = 1000;

/// A longer file is no torrent: the info dictionary, and as much again for trackers and
/// hashes of version 2.
const MAX_BYTES: u64 = 2 * MAX_INFO_BYTES as u64;

/// What is added to the name of a file that was added, and of one that cannot be.
const ADDED: &str = ".added";
const REFUSED: &str = ".refused";

/// How a file was when it was looked at: somebody may still be writing to it.
type Look = (u64, Option<SystemTime>);

/// Adds the torrent files of a folder, each once: afterwards it is called `….added`, or
/// `….refused` if it is none. A file is taken when it is the same in two looks.
#[derive(Debug)]
pub struct WatchFolder {
    folder: PathBuf,
    /// Files that were there at the last look.
    seen: HashMap<PathBuf, Look>,
    /// Files that could not be given another name: they are not taken again while they stay
    /// as they are.
    stuck: HashMap<PathBuf, Look>,
}

/// What became of a file.
#[derive(Debug)]
pub struct Watched {
    /// The file, as it was called.
    pub file: PathBuf,
    /// Its torrent, and whether that was in the list already.
    pub added: Result<(InfoHash, bool), WatchError>,
    /// Why it has still its old name.
    pub stuck: Option<io::Error>,
}

/// Why a file is not added.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It is longer than any torrent file.
    #[error("it has {0} bytes: no torrent file is so long")]
    TooLong(u64),
    /// The client does not take it.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl WatchFolder {
    /// Watches a folder, which need not be there yet.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            seen: HashMap::new(),
            stuck: HashMap::new(),
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Adds what has come and is whole; what became of each file. A folder that is not there
    /// has no files.
    ///
    /// # Errors
    /// The folder cannot be read, or the client has ended.
    pub async fn look(&mut self, client: &Client) -> Result<Vec<Watched>, WatchError> {
        let folder = self.folder.clone();
        let there = tokio::task::spawn_blocking(move || list(&folder));
        // The runtime shuts down.
        let there = there.await.map_err(|_| ClientError::Ended)??;
        self.stuck
            .retain(|file, look| there.get(file) == Some(look));
        let mut whole: Vec<PathBuf> = there
            .iter()
            .filter(|(file, look)| {
                self.seen.get(*file) == Some(look) && !self.stuck.contains_key(*file)
            })
            .map(|(file, _)| file.clone())
            .collect();
        whole.sort_unstable();
        self.seen = there;
        let mut done = Vec::new();
        for file in whole.into_iter().take(MAX_FILES) {
            let added = add(client, &file).await;
            if let Err(WatchError::Client(ClientError::Ended)) = added {
                return Err(ClientError::Ended.into());
            }
            let end = if added.is_ok() { ADDED } else { REFUSED };
            let mut name = file.clone().into_os_string();
            name.push(end);
            let stuck = tokio::fs::rename(&file, name).await.err();
            if let (Some(_), Some(look)) = (&stuck, self.seen.get(&file)) {
                self.stuck.insert(file.clone(), *look);
            }
            done.push(Watched { file, added, stuck });
        }
        Ok(done)
    }
}

/// The torrent files of a folder, and how each is.
fn list(folder: &Path) -> io::Result<HashMap<PathBuf, Look>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(error) => return Err(error),
    };
    let mut found = HashMap::new();
    for entry in entries {
        let path = entry?.path();
        let is_torrent = path.extension().is_some_and(|kind| kind == "torrent");
        // What is gone by now, or points nowhere, is no file.
        if let (true, Ok(known)) = (is_torrent, fs::metadata(&path))
            && known.is_file()
        {
            found.insert(path, (known.len(), known.modified().ok()));
        }
    }
    Ok(found)
}

async fn add(client: &Client, file: &Path) -> Result<(InfoHash, bool), WatchError> {
    let length = tokio::fs::metadata(file).await?.len();
    if length > MAX_BYTES {
        return Err(WatchError::TooLong(length));
    }
    let bytes = tokio::fs::read(file).await?;
    let torrent = AddTorrent::new(Source::File(bytes));
    match client.command(Command::Add(Box::new(torrent))).await? {
        Answer::Added { hash, known } => Ok((hash, known)),
        Answer::Done | Answer::TorrentFile(_) | Answer::Moved { .. } => {
            Err(ClientError::Ended.into())
        }
    }
}
