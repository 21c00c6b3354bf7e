//! The content on disk. A torrent's files are one run of bytes; reads and
//! writes are at offsets of that run. Files are opened for each access: pieces
//! are large, opening is cheap, and a thousand idle torrents hold no handle.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
};

use super::{
    bitfield::Bitfield,
    metainfo::{Info, Layout},
};

/// What went wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// No room; what is verified is kept.
    #[error("the disk is full: cannot write {path}")]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// Not ours to read or write.
    #[error("no permission to {action} {path}")]
    Denied {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A link stands where a file of the torrent belongs.
    #[error("{path} is a link; refusing to write through it")]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// The file does not hold the bytes (any more).
    #[error("{path} is missing or shorter than the torrent says")]
    Short {
        /// The file.
        path: PathBuf,
    },
    /// Anything else.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl StorageError {
    fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::Denied { action, path }
            }
            io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound if action == "read" => {
                Self::Short { path }
            }
            _ => Self::Io {
                action,
                path,
                source,
            },
        }
    }
}

#[derive(Debug, Clone)]
struct Entry {
    path: PathBuf,
    offset: u64,
    length: u64,
    pad: bool,
    /// Written to since it was last made durable.
    dirty: Arc<AtomicBool>,
}

/// Reads content, and keeps the file that it read last open.
#[derive(Debug)]
pub struct Reader<'a> {
    storage: &'a Storage,
    open: Option<(&'a Path, File)>,
}

impl Reader<'_> {
    /// Reads `buf.len()` bytes at `offset` of the content.
    ///
    /// # Errors
    /// A file is missing, too short or unreadable.
    pub fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        let mut rest = buf;
        for (entry, at, length) in self.storage.parts(offset, rest.len()) {
            let (part, after) = rest
                .split_at_mut_checked(length)
                .expect("parts are no longer than the buffer");
            rest = after;
            if entry.pad {
                part.fill(0);
                continue;
            }
            let fail = |source| StorageError::new("read", &entry.path, source);
            let file = match &mut self.open {
                Some((path, file)) if *path == entry.path => file,
                other => {
                    let file = File::open(&entry.path).map_err(fail)?;
                    &mut other.insert((&entry.path, file)).1
                }
            };
            file.read_exact_at(part, at).map_err(fail)?;
        }
        if rest.is_empty() {
            Ok(())
        } else {
            Err(StorageError::Short {
                path: self.storage.root.clone(),
            })
        }
    }
}

/// Where a torrent's content lies.
#[derive(Debug, Clone)]
pub struct Storage {
    root: PathBuf,
    folder: PathBuf,
    entries: Vec<Entry>,
    layout: Layout,
}

impl Storage {
    /// The content at `root`: the file itself, or the folder with the files.
    pub fn new(info: &Info, root: &Path) -> Self {
        let entries = info.files().iter().map(|file| Entry {
            path: if info.is_single_file() {
                root.to_owned()
            } else {
                let mut path = root.to_owned();
                path.extend(&file.path);
                path
            },
            offset: file.offset,
            length: file.length,
            pad: file.pad,
            dirty: Arc::default(),
        });
        Self {
            root: root.to_owned(),
            folder: root.parent().unwrap_or(root).to_owned(),
            entries: entries.collect(),
            layout: info.layout(),
        }
    }

    /// Files that no torrent describes yet: for creating one.
    pub(super) fn of_files(root: &Path, files: &[(PathBuf, u64)], layout: Layout) -> Self {
        let mut offset = 0;
        let entries = files.iter().map(|(path, length)| {
            let entry = Entry {
                path: path.clone(),
                offset,
                length: *length,
                pad: false,
                dirty: Arc::default(),
            };
            offset += length;
            entry
        });
        Self {
            root: root.to_owned(),
            folder: root.parent().unwrap_or(root).to_owned(),
            entries: entries.collect(),
            layout,
        }
    }

    /// The file, or the folder with the files.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Reads `buf.len()` bytes at `offset` of the content.
    ///
    /// # Errors
    /// A file is missing, too short or unreadable.
    pub fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        self.reader().read(offset, buf)
    }

    /// For several reads of what mostly is the same file.
    pub fn reader(&self) -> Reader<'_> {
        Reader {
            storage: self,
            open: None,
        }
    }

    /// Writes at `offset` of the content; makes files and folders as needed. A
    /// file that does not reach so far has a hole before it.
    ///
    /// # Errors
    /// See [`StorageError`]. Part of it may have been written.
    pub fn write(&self, offset: u64, data: &[u8]) -> Result<(), StorageError> {
        let mut rest = data;
        for (entry, at, length) in self.parts(offset, data.len()) {
            let (part, after) = rest
                .split_at_checked(length)
                .expect("parts are no longer than the data");
            rest = after;
            if entry.pad {
                continue;
            }
            let fail = |source| StorageError::new("write", &entry.path, source);
            let file = self.open_for_writing(&entry.path)?;
            entry.dirty.store(true, Ordering::Release);
            file.write_all_at(part, at).map_err(fail)?;
        }
        Ok(())
    }

    /// Makes every file with its full length (without taking room where the file
    /// system has holes), so that empty files exist and permission is known
    /// before the first piece comes.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub fn prepare(&self) -> Result<(), StorageError> {
        for entry in self.entries.iter().filter(|entry| !entry.pad) {
            let fail = |source| StorageError::new("create", &entry.path, source);
            let file = self.open_for_writing(&entry.path)?;
            if file.metadata().map_err(fail)?.len() < entry.length {
                file.set_len(entry.length).map_err(fail)?;
            }
        }
        Ok(())
    }

    /// Makes durable what was written.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub fn sync(&self) -> Result<(), StorageError> {
        for entry in &self.entries {
            if !entry.dirty.swap(false, Ordering::AcqRel) {
                continue;
            }
            let synced = match OpenOptions::new().append(true).open(&entry.path) {
                Ok(file) => file.sync_data(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(error),
            };
            synced.map_err(|source| {
                entry.dirty.store(true, Ordering::Release);
                StorageError::new("write", &entry.path, source)
            })?;
        }
        Ok(())
    }

    /// Length and time of change of each file (0 and 0 where there is none):
    /// two equal lists mean that nobody touched the files in between.
    pub fn fingerprint(&self) -> Vec<(u64, i64)> {
        let of = |entry: &Entry| {
            let meta = fs::metadata(&entry.path).ok()?;
            let changed = meta.modified().ok()?;
            let since = changed.duration_since(std::time::UNIX_EPOCH).ok()?;
            Some((meta.len(), i64::try_from(since.as_nanos()).ok()?))
        };
        let files = self.entries.iter().filter(|entry| !entry.pad);
        files.map(|entry| of(entry).unwrap_or_default()).collect()
    }

    /// True if no file is there.
    pub fn is_absent(&self) -> bool {
        let mut files = self.entries.iter().filter(|entry| !entry.pad);
        !files.any(|entry| fs::symlink_metadata(&entry.path).is_ok())
    }

    /// Hashes `pieces` on `threads` threads and tells which match. `progress` is
    /// called with each piece done, from any thread; false stops the check.
    ///
    /// # Errors
    /// A file could not be read for another reason than not being there.
    pub fn check(
        &self,
        info: &Info,
        pieces: &[u32],
        threads: usize,
        progress: &(dyn Fn() -> bool + Sync),
    ) -> Result<Bitfield, StorageError> {
        let found = hash_pieces(self, pieces, threads, progress)?;
        let mut have = Bitfield::empty(info.layout().pieces());
        for (piece, hash) in found {
            if hash.is_some_and(|hash| info.piece_hash(piece) == Some(&hash)) {
                have.insert(piece);
            }
        }
        Ok(have)
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// The files that `length` bytes at `offset` lie in: (file, offset in it,
    /// bytes).
    fn parts(&self, offset: u64, length: usize) -> impl Iterator<Item = (&Entry, u64, usize)> {
        let end = offset.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        let first = self
            .entries
            .partition_point(|entry| entry.offset + entry.length <= offset);
        let entries = self.entries.get(first..).unwrap_or_default().iter();
        entries
            .take_while(move |entry| entry.offset < end)
            .filter(|entry| entry.length > 0)
            .map(move |entry| {
                let from = offset.max(entry.offset);
                let to = end.min(entry.offset + entry.length);
                let length = usize::try_from(to - from).expect("no longer than the buffer");
                (entry, from - entry.offset, length)
            })
    }

    fn open_for_writing(&self, path: &Path) -> Result<File, StorageError> {
        self.refuse_links(path)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        match options.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let parent = path.parent().unwrap_or(path);
                fs::create_dir_all(parent)
                    .map_err(|source| StorageError::new("create", parent, source))?;
                options.open(path)
            }
            other => other,
        }
        .map_err(|source| StorageError::new("write", path, source))
    }

    /// Nothing below the download folder may be a link: a torrent could have
    /// been laid over one that leads elsewhere.
    fn refuse_links(&self, path: &Path) -> Result<(), StorageError> {
        let below = path.strip_prefix(&self.folder).unwrap_or(path);
        let mut at = self.folder.clone();
        for part in below {
            at.push(part);
            match fs::symlink_metadata(&at) {
                Ok(meta) if meta.file_type().is_symlink() => {
                    return Err(StorageError::Link { path: at });
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        Ok(())
    }
}

/// A piece and its SHA-1, if it could be read.
pub(super) type Hashed = (u32, Option<[u8; 20]>);

/// SHA-1 of each of `pieces`; `None` where the files are missing or too short.
pub(super) fn hash_pieces(
    storage: &Storage,
    pieces: &[u32],
    threads: usize,
    progress: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<Hashed>, StorageError> {
    use sha1::{Digest, Sha1};

    let layout = storage.layout();
    let next = AtomicU32::new(0);
    let work = || {
        let mut buf = Vec::new();
        let mut found = Vec::new();
        loop {
            let at = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX);
            let Some(&piece) = pieces.get(at) else {
                return Ok(found);
            };
            let length = usize::try_from(layout.piece_len(piece)).expect("usize has 32 bits");
            buf.resize(length, 0);
            let hash = match storage.read(layout.offset(piece), &mut buf) {
                Ok(()) => Some(Sha1::digest(&buf).into()),
                Err(StorageError::Short { .. }) => None,
                Err(error) => return Err(error),
            };
            found.push((piece, hash));
            if !progress() {
                return Ok(found);
            }
        }
    };
    thread::scope(|scope| {
        let threads = threads.clamp(1, pieces.len().max(1));
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut all = Vec::with_capacity(pieces.len());
        for thread in running {
            all.extend(thread.join().expect("hashing does not panic")?);
        }
        Ok(all)
    })
}
