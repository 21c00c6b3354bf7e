//! The stored list: one SQLite file that one client at a time has open. A thread of its own
//! writes, so that the owner's task is never held up by a disk.

mod dictionaries;
mod file;
mod rows;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread::JoinHandle,
};

use tokio::sync::oneshot;

use dictionaries::Dictionaries;
use rows::read_all;
pub(super) use rows::{Folder, Kept, Settings};

use super::{
    entry::{Life, Standing, Wish},
    snapshot::{Day, Prices},
};
use crate::types::InfoHash;

/// Why the list cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another client has it.
    #[error("{0} is in use: another client with this home is running")]
    InUse(PathBuf),
    /// It cannot be opened.
    #[error("the list of torrents {path} cannot be opened: {reason}")]
    Open {
        /// Its file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A newer version made it.
    #[error(
        "the list of torrents {path} has schema {found}, and this version knows up to {known}: upgrade"
    )]
    TooNew {
        /// Its file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest known one.
        known: i64,
    },
    /// A row of it makes no sense.
    #[error("the list of torrents is damaged: {0}")]
    Damaged(String),
    /// It cannot be written.
    #[error("the list of torrents cannot be written: {0}")]
    Write(String),
}

/// A change of the list.
#[derive(Debug)]
pub(super) enum Change {
    /// A torrent, without its totals.
    Put(InfoHash, Box<Wish>),
    /// What torrents came to.
    Totals(Vec<(InfoHash, Life, Standing)>),
    /// What moved on days.
    Days(Vec<Day>),
    /// A torrent is removed.
    Delete(InfoHash),
    /// What is not of one torrent.
    Settings(Box<Settings>),
}

type Job = (Vec<Change>, oneshot::Sender<Result<(), StoreError>>);

/// The stored list.
#[derive(Debug)]
pub(super) struct Store {
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens the list, and reads all of it. It is made if it is not there.
    pub(super) fn open(path: &Path) -> Result<(Self, Kept), StoreError> {
        let lock = file::lock(path)?;
        let mut conn = file::open(path)?;
        let dictionaries = Arc::new(Dictionaries::new(path));
        let mut kept = read_all(&conn, &dictionaries)?;
        kept.days = rows::days(&conn)?;
        // Only the owner writes, and it waits for each answer.
        let (jobs, inbox) = mpsc::channel::<Job>();
        let writer = std::thread::Builder::new()
            .name("seedrail-list".to_owned())
            .spawn(move || {
                while let Ok((changes, reply)) = inbox.recv() {
                    let written = rows::write(&mut conn, &changes);
                    if written.is_ok() {
                        rows::put_away(&changes, &dictionaries);
                    }
                    let _gone = reply.send(written);
                }
                // The file is closed before others may open it.
                dictionaries.close();
                drop(conn);
                drop(lock);
            })
            .map_err(|error| StoreError::Open {
                path: path.to_owned(),
                reason: error.to_string(),
            })?;
        let store = Self {
            jobs: Some(jobs),
            writer: Some(writer),
        };
        Ok((store, kept))
    }

    /// Makes changes in one transaction; durable when it returns.
    pub(super) async fn write(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let ended = || StoreError::Write("its thread has ended".to_owned());
        let (reply, answer) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or_else(ended)?;
        jobs.send((changes, reply)).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the thread that writes the list panicked");
        }
    }
}

/// What a list holds, for those who do not open it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peek {
    /// A client has it open.
    pub open: bool,
    /// The torrents in it, with their own prices.
    pub torrents: Vec<(InfoHash, Prices)>,
    /// The prices of all others.
    pub prices: Prices,
}

/// Looks into the list at `path`, if there is one.
///
/// # Errors
/// It cannot be read.
pub fn peek(path: &Path) -> Result<Peek, StoreError> {
    if !path.exists() {
        return Ok(Peek::default());
    }
    let open = match file::lock(path) {
        Ok(_ours_for_a_moment) => false,
        Err(StoreError::InUse(_)) => true,
        Err(error) => return Err(error),
    };
    let conn = file::open_to_read(path)?;
    // One that is being made for the first time has no tables yet.
    if !file::is_made(&conn, path)? {
        return Ok(Peek {
            open,
            ..Peek::default()
        });
    }
    let prices = rows::settings(&conn)?.and_then(|settings| settings.prices);
    Ok(Peek {
        open,
        torrents: rows::prices(&conn)?,
        prices: prices.unwrap_or_default(),
    })
}
