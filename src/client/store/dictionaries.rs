//! The info dictionaries of the list's torrents, read when they are needed: in memory they would
//! be most of what a torrent with nothing to do takes.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use rusqlite::Connection;

use super::file;
use crate::{
    swarm::{
        bencode::{self, Limits},
        metainfo::InfoSource,
    },
    types::InfoHash,
};

/// Reads them on a connection of its own, one at a time.
#[derive(Debug)]
pub(super) struct Dictionaries {
    path: PathBuf,
    reader: Mutex<Reader>,
}

#[derive(Debug)]
enum Reader {
    /// Nobody has asked yet.
    Idle,
    Open(Connection),
    /// The list is another one's now.
    Closed,
}

impl Dictionaries {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            reader: Mutex::new(Reader::Idle),
        }
    }

    /// Reads no more: the list is closed.
    pub(super) fn close(&self) {
        *self.reader.lock().unwrap_or_else(PoisonError::into_inner) = Reader::Closed;
    }
}

impl InfoSource for Dictionaries {
    fn read(&self, hash: InfoHash) -> io::Result<Bytes> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*reader, Reader::Idle) {
            let conn = file::open_to_read(&self.path).map_err(io::Error::other)?;
            *reader = Reader::Open(conn);
        }
        let Reader::Open(conn) = &*reader else {
            return Err(io::Error::other("the list of torrents is closed"));
        };
        let source: Vec<u8> = conn
            .query_row(
                "SELECT source FROM torrent WHERE hash = ?1 AND is_file = 1",
                [hash.as_bytes()],
                |row| row.get(0),
            )
            .map_err(io::Error::other)?;
        let info = bencode::raw_entry(&source, b"info", Limits::TORRENT_FILE);
        let info = info.map_err(io::Error::other)?;
        info.map(Bytes::copy_from_slice)
            .ok_or_else(|| io::Error::other("no torrent file of it is in the list"))
    }
}
