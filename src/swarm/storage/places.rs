//! Whose files these are: before anything is written, it is known that no file of
//! somebody else's is in the way, and that no other download writes there.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use super::{Storage, StorageError, hash_pieces};
use crate::swarm::{bitfield::Bitfield, metainfo::Info};

/// Pieces of one file that are looked at before it is known whether to look at more.
const FOREIGN_AT_ONCE: usize = 64;

/// Content that this process writes to, and no other; until it is dropped.
#[derive(Debug)]
pub struct Claimed {
    /// There was nothing before.
    pub made: bool,
    _handle: File,
}

/// Nothing was ever written to it.
fn has_no_data(meta: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    meta.len() == 0 || meta.blocks() == 0
}

/// Room that a download took and did not write to yet.
fn is_all_zeros(path: &Path) -> Result<bool, StorageError> {
    let fail = |source| StorageError::new("read", path, source);
    let mut file = File::open(path).map_err(fail)?;
    let mut buf = vec![0; 256 << 10];
    loop {
        let read = io::Read::read(&mut file, &mut buf).map_err(fail)?;
        match buf.get(..read) {
            Some([]) | None => return Ok(true),
            Some(part) if part.iter().any(|byte| *byte != 0) => return Ok(false),
            Some(_) => {}
        }
    }
}

impl Storage {
    /// Finds out, before anything is fetched, whether the files can be written to that
    /// pieces outside of `have` lie in.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub fn check_writable(&self, have: &Bitfield) -> Result<(), StorageError> {
        for entry in self.own_entries().filter(|entry| entry.length > 0) {
            let mut pieces = self.layout.pieces_of(entry.offset, entry.length);
            if !pieces.all(|piece| have.has(piece)) {
                self.open_for_writing(&entry.path)?;
            }
        }
        Ok(())
    }

    /// Looks whether each file's place is free for it: nothing of another kind is
    /// there, and nothing longer, unless that may be cut.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check_places(&self, may_cut: bool) -> Result<(), StorageError> {
        for entry in self.own_entries() {
            // What cannot be looked at is told when it is opened.
            let Ok(there) = fs::metadata(&entry.path) else {
                continue;
            };
            if !there.is_file() {
                return Err(StorageError::WrongKind {
                    path: entry.path.clone(),
                    expected: "file",
                });
            }
            if there.len() > entry.length && !may_cut {
                return Err(StorageError::Long {
                    path: entry.path.clone(),
                    found: there.len(),
                    expected: entry.length,
                });
            }
        }
        Ok(())
    }

    /// Looks whether each file that is there has some of the torrent in it: a piece of
    /// it that is right. A file without any data passes, and one of the right length
    /// of which no piece can be checked, because other files have the rest of each.
    /// `progress` as for [`check`](Self::check).
    ///
    /// # Errors
    /// The first that has none, or cannot be read.
    pub fn check_foreign(
        &self,
        info: &Info,
        threads: usize,
        progress: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), StorageError> {
        let hashes = info.hashes().map_err(StorageError::Hashes)?;
        for entry in self.own_entries().filter(|entry| entry.length > 0) {
            let Ok(there) = fs::metadata(&entry.path) else {
                continue;
            };
            if has_no_data(&there) {
                continue;
            }
            let pieces: Vec<u32> = self.layout.pieces_of(entry.offset, entry.length).collect();
            let mut unknown = false;
            let mut right = false;
            for some in pieces.chunks(FOREIGN_AT_ONCE) {
                for (piece, hash) in hash_pieces(self, some, threads, progress)? {
                    match hash {
                        None => unknown = true,
                        Some(hash) => right |= hashes.of(piece) == Some(&hash),
                    }
                }
                if !progress() {
                    return Ok(());
                }
                if right {
                    break;
                }
            }
            // Pieces that end in another file cannot be read while that is not there.
            let undecided = unknown && there.len() == entry.length;
            if !right && !undecided && !is_all_zeros(&entry.path)? {
                return Err(StorageError::Foreign {
                    path: entry.path.clone(),
                });
            }
        }
        Ok(())
    }

    /// Keeps others from writing to this content as long as the handle lives: one file,
    /// or the folder with the files, is locked, which other processes heed, too. Makes
    /// the file, empty, or the folder where there is none.
    ///
    /// # Errors
    /// Another download has it, or it cannot be made.
    pub fn claim(&self, single: bool) -> Result<Claimed, StorageError> {
        let root = &self.root;
        let fail = |source| StorageError::new("create", root, source);
        let expected = if single { "file" } else { "folder" };
        let mut made = false;
        let handle = match fs::metadata(root) {
            Ok(there) if there.is_file() != single || there.is_dir() == single => {
                return Err(StorageError::WrongKind {
                    path: root.clone(),
                    expected,
                });
            }
            Ok(_) => File::open(root),
            Err(_) => {
                made = true;
                self.refuse_links(root)?;
                if single {
                    self.open_for_writing(root)?;
                } else {
                    fs::create_dir_all(root).map_err(fail)?;
                }
                File::open(root)
            }
        };
        let handle = handle.map_err(|source| StorageError::new("read", root, source))?;
        match handle.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(StorageError::InUse { path: root.clone() });
            }
            // Some network file systems know no locks.
            Err(fs::TryLockError::Error(error)) => {
                tracing::debug!(path = %root.display(), %error, "cannot lock it");
            }
        }
        Ok(Claimed {
            made,
            _handle: handle,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::metainfo::{self, CreateOptions};

    /// The kernel tells of a failed sync once; that the next one succeeds does not bring
    /// the bytes back.
    #[test]
    fn a_sync_that_failed_is_never_believed_later() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("content");
        fs::write(&path, [7; 1000]).unwrap();
        let options = CreateOptions::default();
        let info = metainfo::create(&path, &options, &|_, _| {}).unwrap().info;
        let storage = Storage::whole(&info, &path);
        storage.write(0, &[7; 100]).unwrap();
        storage.sync().unwrap();
        storage.write(0, &[7; 100]).unwrap();
        // A device that can be opened, but not synced.
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        let failed = storage.sync().unwrap_err();
        assert!(matches!(failed, StorageError::Unsynced { .. }), "{failed}");
        fs::remove_file(&path).unwrap();
        fs::write(&path, [7; 1000]).unwrap();
        for _ in 0..2 {
            storage.write(0, &[7; 100]).unwrap();
            let again = storage.sync().unwrap_err();
            assert!(matches!(again, StorageError::Unsynced { .. }), "{again}");
        }
    }
}
