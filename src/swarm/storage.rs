//! The content on disk. A torrent's files are one run of bytes; reads and
//! writes are at offsets of that run. Files are opened for each access: pieces
//! are large, opening is cheap, and a thousand idle torrents hold no handle.
//!
//! Pieces that a wanted file shares with one that is left out have bytes of both.
//! Those of the second lie at their place of the content in one file with holes
//! beside the download, the *part file*, and move when the file comes to be wanted.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

mod error;
mod places;

pub use error::StorageError;
pub use places::Claimed;

use super::{
    bitfield::Bitfield,
    lock::lock,
    metainfo::{FileEntry, Info, Layout},
};

#[derive(Debug, Clone)]
struct Entry {
    path: PathBuf,
    offset: u64,
    length: u64,
    pad: bool,
    /// Left out: `path` is the part file, and its offsets are those of the content.
    in_parts: bool,
    /// Whether it was written to since it was last made durable. Held by who writes to
    /// it: the kernel lets one at a time, and has the others burn a core meanwhile.
    dirty: Arc<Mutex<bool>>,
    /// Why it could not be made durable. The kernel tells of a failure once and calls the
    /// lost bytes clean: no later success is believed.
    unsynced: Arc<OnceLock<String>>,
    /// BEP 47: it may be executed.
    executable: bool,
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

/// When the room for content is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// At once, where the file system can.
    Taken,
    /// As content comes, where the file system has holes.
    AsItComes,
}

/// Where a torrent's content lies.
#[derive(Debug, Clone)]
pub struct Storage {
    root: PathBuf,
    folder: PathBuf,
    /// The part file, whether there is one or not.
    part_file: PathBuf,
    /// The name of a file in the making.
    new_name: String,
    entries: Vec<Entry>,
    layout: Layout,
}

impl Storage {
    /// All of the content at `root`: the file itself, or the folder with the files.
    pub fn whole(info: &Info, root: &Path) -> Self {
        Self::new(info, root, |_| true)
    }

    /// The content at `root`, where `in_place` tells by position which files have
    /// files of their own. What is needed of the others lies in the part file.
    pub fn new(info: &Info, root: &Path, in_place: impl Fn(u32) -> bool) -> Self {
        Self::at(info, root, in_place, own_path)
    }

    /// As [`new`](Self::new), for content that may lie under the torrent's own names
    /// where those are not safe ones. It is only to be read.
    pub fn content(info: &Info, root: &Path, in_place: impl Fn(u32) -> bool) -> Self {
        Self::at(info, root, in_place, content_path)
    }

    fn at(
        info: &Info,
        root: &Path,
        in_place: impl Fn(u32) -> bool,
        place: fn(&Info, &Path, &FileEntry) -> PathBuf,
    ) -> Self {
        let folder = root.parent().unwrap_or(root).to_owned();
        let part_file = folder.join(format!(".{}.parts", info.hash()));
        let entries = (0..).zip(info.files()).map(|(at, file)| {
            let in_parts = !file.pad && !in_place(at);
            let path = if in_parts {
                part_file.clone()
            } else {
                place(info, root, file)
            };
            Entry {
                path,
                offset: file.offset,
                length: file.length,
                pad: file.pad,
                in_parts,
                dirty: Arc::default(),
                unsynced: Arc::default(),
                executable: file.executable,
            }
        });
        Self {
            entries: entries.collect(),
            root: root.to_owned(),
            folder,
            part_file,
            new_name: format!(".{}.new", info.hash()),
            layout: info.layout(),
        }
    }

    /// The same content, where the files at these positions have files of their own, too.
    pub(super) fn with_files(&self, info: &Info, more: &Bitfield) -> Self {
        let mut wider = self.clone();
        for ((at, entry), file) in (0..).zip(&mut wider.entries).zip(info.files()) {
            if entry.in_parts && more.has(at) {
                entry.in_parts = false;
                entry.path = own_path(info, &self.root, file);
            }
        }
        wider
    }

    /// Files that no torrent describes yet: for creating one.
    pub(super) fn of_files(root: &Path, files: &[(PathBuf, u64, bool)], layout: Layout) -> Self {
        let mut offset = 0;
        let entries = files.iter().map(|(path, length, pad)| {
            let entry = Entry {
                path: path.clone(),
                offset,
                length: *length,
                pad: *pad,
                in_parts: false,
                dirty: Arc::default(),
                unsynced: Arc::default(),
                executable: false,
            };
            offset += length;
            entry
        });
        Self {
            root: root.to_owned(),
            folder: root.parent().unwrap_or(root).to_owned(),
            part_file: root.with_extension("parts"),
            new_name: String::new(),
            entries: entries.collect(),
            layout,
        }
    }

    /// The file, or the folder with the files.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where that is.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The part file, whether there is one or not.
    pub(super) fn part_file(&self) -> &Path {
        &self.part_file
    }

    /// The files that have a place of their own, in order.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        self.own_entries().map(|entry| entry.path.as_path())
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
            let mut dirty = lock(&entry.dirty);
            *dirty = true;
            file.write_all_at(part, at).map_err(fail)?;
        }
        Ok(())
    }

    /// Makes every file that is wanted with its full length (without taking room
    /// where the file system has holes), so that empty files exist. One that has that
    /// length already is left alone: complete content need not be writable. What the
    /// part file holds of a file that was left out so far moves to it.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub fn prepare(&self, room: Room) -> Result<(), StorageError> {
        self.prepare_files(room, |_| true)
    }

    /// As [`prepare`](Self::prepare), for the files at some positions alone.
    pub(super) fn prepare_files(
        &self,
        room: Room,
        which: impl Fn(u32) -> bool,
    ) -> Result<(), StorageError> {
        let parted = fs::symlink_metadata(&self.part_file).is_ok();
        let end = self.parts_end();
        if end > 0 {
            let fail = |source| StorageError::new("create", &self.part_file, source);
            let file = self.open_for_writing(&self.part_file)?;
            if file.metadata().map_err(fail)?.len() < end {
                file.set_len(end).map_err(fail)?;
            }
        }
        let entries = (0..).zip(&self.entries);
        let own = entries.filter(|(at, entry)| !entry.pad && !entry.in_parts && which(*at));
        for (_, entry) in own {
            let fail = |source| StorageError::new("create", &entry.path, source);
            if parted && fs::symlink_metadata(&entry.path).is_err() {
                self.take_from_parts(entry)?;
            }
            let there = fs::metadata(&entry.path).ok();
            if room == Room::AsItComes && there.is_some_and(|there| there.len() == entry.length) {
                continue;
            }
            let file = self.open_for_writing(&entry.path)?;
            let meta = file.metadata().map_err(fail)?;
            if meta.len() != entry.length {
                file.set_len(entry.length).map_err(fail)?;
            }
            if entry.executable {
                make_executable(&file, &meta).map_err(fail)?;
            }
            if room == Room::Taken && entry.length > 0 {
                allocate(&file, entry.length).map_err(fail)?;
            }
        }
        Ok(())
    }

    /// Where the last byte lies that may come to be in the part file. It has that
    /// length from the beginning: one that grew would look like a stranger's work.
    fn parts_end(&self) -> u64 {
        let left_out = self
            .entries
            .iter()
            .filter(|entry| entry.in_parts && entry.length > 0);
        let ends = left_out.flat_map(|entry| {
            let end = entry.offset + entry.length;
            let edges = self.layout.edges_of(entry.offset, entry.length);
            let shared = edges.filter(|piece| self.may_hold(*piece));
            shared.map(move |piece| self.layout.end(piece).min(end))
        });
        ends.max().unwrap_or(0)
    }

    /// Makes a file of what the part file holds of it: parts of its first and its last
    /// piece. It has its name when all of that is on stable storage.
    fn take_from_parts(&self, entry: &Entry) -> Result<(), StorageError> {
        self.refuse_links(&self.part_file)?;
        let parent = entry.path.parent().unwrap_or(&self.folder);
        let new = parent.join(&self.new_name);
        let fail = |source| StorageError::new("create", &new, source);
        self.refuse_links(&new)?;
        fs::create_dir_all(parent).map_err(|source| StorageError::new("create", parent, source))?;
        let parts = File::open(&self.part_file)
            .map_err(|source| StorageError::new("read", &self.part_file, source))?;
        let file = File::create(&new).map_err(fail)?;
        file.set_len(entry.length).map_err(fail)?;
        let end = entry.offset + entry.length;
        if entry.length > 0 {
            for piece in self.layout.edges_of(entry.offset, entry.length) {
                let from = self.layout.offset(piece).max(entry.offset);
                let to = self.layout.end(piece).min(end);
                let mut data = vec![0; usize::try_from(to - from).expect("part of a piece")];
                match parts.read_exact_at(&mut data, from) {
                    Ok(()) => file
                        .write_all_at(&data, from - entry.offset)
                        .map_err(fail)?,
                    // The part file ends before.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                    Err(source) => return Err(StorageError::new("read", &self.part_file, source)),
                }
            }
        }
        file.sync_all().map_err(fail)?;
        fs::rename(&new, &entry.path).map_err(fail)
    }

    /// Takes the part file away, if nothing of it is needed any more; true if it did.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn drop_parts(&self) -> Result<bool, StorageError> {
        if self.entries.iter().any(|entry| entry.in_parts) {
            return Ok(false);
        }
        match fs::remove_file(&self.part_file) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(StorageError::new("remove", &self.part_file, error)),
        }
    }

    /// Finds out whether there is room for so many bytes, by a file that it writes
    /// and takes away again.
    ///
    /// # Errors
    /// See [`StorageError`]; mostly that the disk is full.
    pub fn probe(&self, bytes: u64) -> Result<(), StorageError> {
        let path = self.folder.join(&self.new_name);
        self.refuse_links(&path)?;
        let fail = |source| StorageError::new("write", &path, source);
        let file = File::create(&path).map_err(fail)?;
        // Not zeros: some file systems have room for any number of those.
        let data = vec![0x5a; 64 << 10];
        let mut at = 0;
        let written = loop {
            let left = usize::try_from(bytes - at).unwrap_or(usize::MAX);
            let Some(part) = data
                .get(..left.min(data.len()))
                .filter(|part| !part.is_empty())
            else {
                break Ok(());
            };
            match file.write_all_at(part, at) {
                Ok(()) => at += u64::try_from(part.len()).expect("64 KiB at most"),
                Err(error) => break Err(fail(error)),
            }
        };
        drop(file);
        let removed = fs::remove_file(&path).map_err(fail);
        written.and(removed)
    }

    /// Makes durable what was written.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub fn sync(&self) -> Result<(), StorageError> {
        for entry in &self.entries {
            let unsynced = |message: &String| StorageError::Unsynced {
                path: entry.path.clone(),
                message: message.clone(),
            };
            if let Some(message) = entry.unsynced.get() {
                return Err(unsynced(message));
            }
            if !std::mem::take(&mut *lock(&entry.dirty)) {
                continue;
            }
            match OpenOptions::new().append(true).open(&entry.path) {
                Ok(file) => file
                    .sync_data()
                    .map_err(|error| unsynced(entry.unsynced.get_or_init(|| error.to_string())))?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => {
                    *lock(&entry.dirty) = true;
                    return Err(StorageError::new("write", &entry.path, source));
                }
            }
        }
        Ok(())
    }

    /// Length and time of change of each file (0 and 0 where there is none, or where
    /// it is left out), and of the part file, if there is one: two equal lists mean
    /// that nobody touched the files in between.
    pub fn fingerprint(&self) -> Vec<(u64, i64)> {
        let of = |path: &Path| {
            let meta = fs::metadata(path).ok()?;
            let changed = meta.modified().ok()?;
            let since = changed.duration_since(std::time::UNIX_EPOCH).ok()?;
            Some((meta.len(), i64::try_from(since.as_nanos()).ok()?))
        };
        let files = self.entries.iter().filter(|entry| !entry.pad);
        let files = files.map(|entry| match entry.in_parts {
            true => (0, 0),
            false => of(&entry.path).unwrap_or_default(),
        });
        files.chain(of(&self.part_file)).collect()
    }

    /// By position, which files have files of their own; padding counts as such.
    pub fn in_place(&self) -> Bitfield {
        let files = u32::try_from(self.entries.len()).expect("at most MAX_FILES");
        let mut all = Bitfield::empty(files);
        for (at, entry) in (0..).zip(&self.entries) {
            if !entry.in_parts {
                all.insert(at);
            }
        }
        all
    }

    /// Whether a piece can be here: some of it has a file of its own.
    pub fn may_hold(&self, piece: u32) -> bool {
        let length = usize::try_from(self.layout.piece_len(piece)).expect("usize has 32 bits");
        let mut parts = self.parts(self.layout.offset(piece), length);
        parts.any(|(entry, ..)| !entry.in_parts)
    }

    fn own_entries(&self) -> impl Iterator<Item = &Entry> {
        let entries = self.entries.iter();
        entries.filter(|entry| !entry.pad && !entry.in_parts)
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
        if pieces.is_empty() {
            return Ok(Bitfield::empty(info.layout().pieces()));
        }
        let hashes = info.hashes().map_err(StorageError::Hashes)?;
        let found = hash_pieces(self, pieces, threads, progress)?;
        let mut have = Bitfield::empty(info.layout().pieces());
        for (piece, hash) in found {
            if hash.is_some_and(|hash| hashes.of(piece) == Some(&hash)) {
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
                let at = if entry.in_parts {
                    from
                } else {
                    from - entry.offset
                };
                (entry, at, length)
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

/// Whoever may read the file may execute it.
fn make_executable(file: &File, meta: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut permissions = meta.permissions();
    let mode = permissions.mode();
    permissions.set_mode(mode | (mode & 0o444) >> 2);
    file.set_permissions(permissions)
}

/// Takes room for all of a file; what is in it stays. Where the file system cannot do
/// that without writing, nothing is done.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn allocate(file: &File, length: u64) -> io::Result<()> {
    use rustix::{
        fs::{FallocateFlags, fallocate},
        io::Errno,
    };
    loop {
        match fallocate(file, FallocateFlags::empty(), 0, length) {
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(()),
            other => return other.map_err(Into::into),
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn allocate(_file: &File, _length: u64) -> io::Result<()> {
    Ok(())
}

/// Where a file of the torrent lies below `root`.
pub(super) fn own_path(info: &Info, root: &Path, file: &FileEntry) -> PathBuf {
    let mut path = root.to_owned();
    if !info.is_single_file() {
        path.extend(&file.path);
    }
    path
}

/// Where it lies if it was not downloaded here: a name that is not safe may be its own.
pub(super) fn content_path(info: &Info, root: &Path, file: &FileEntry) -> PathBuf {
    let safe = own_path(info, root, file);
    let original = file.original.as_ref().filter(|_| !safe.exists());
    let original = original.map(|original| {
        let mut path = root.to_owned();
        path.extend(original);
        path
    });
    original.filter(|path| path.exists()).unwrap_or(safe)
}

/// Whether the file at this position of the torrent's list lies below `root`.
pub(super) fn is_there(info: &Info, root: &Path, position: u32) -> bool {
    let file = usize::try_from(position).ok();
    let file = file.and_then(|position| info.files().get(position));
    file.is_some_and(|file| own_path(info, root, file).is_file())
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
