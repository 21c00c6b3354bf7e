//! Making a torrent of a file or a folder.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
};

use sha1::{Digest, Sha1};

use super::{Info, Layout, MAX_FILES, Metainfo, MetainfoError};
use crate::swarm::{
    bencode::Value,
    storage::{Storage, StorageError, hash_pieces},
};

/// Why a torrent cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The path or something below it cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A device, pipe or socket is among the files.
    #[error("{0} is neither a file nor a folder; it cannot be shared")]
    NotAFile(PathBuf),
    /// A name that is not Unicode.
    #[error("the name of {0} is not valid Unicode")]
    NotUnicode(PathBuf),
    /// The piece size is not a power of two of at least 16 KiB.
    #[error("a piece size of {0} bytes is not a power of two from 16 KiB to 128 MiB")]
    PieceSize(u32),
    /// A file changed while it was read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Nobody would accept this torrent: nothing is in it, or too much.
    #[error(transparent)]
    Metainfo(#[from] MetainfoError),
}

/// How to make a torrent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreateOptions {
    /// Bytes of a piece; by default chosen by [`piece_length_for`].
    pub piece_size: Option<u32>,
    /// Tracker URLs, one tier each.
    pub trackers: Vec<String>,
    /// Web seeds (BEP 19).
    pub web_seeds: Vec<String>,
    /// Peers only from the trackers (BEP 27).
    pub private: bool,
    /// Free text.
    pub comment: Option<String>,
    /// Lets every file begin with a piece, by padding between them (BEP 47): none
    /// shares a piece with another, at the cost of more pieces.
    pub pad_files: bool,
}

/// The piece length for this much content: the power of two that makes at most
/// 1024 pieces, from 64 KiB to 16 MiB.
pub fn piece_length_for(total: u64) -> u32 {
    let wanted = total.div_ceil(1024).clamp(64 << 10, 16 << 20);
    u32::try_from(wanted.next_power_of_two()).expect("at most 16 MiB")
}

/// Makes a torrent of `path`, hashing on all cores; blocks until done. The same
/// content under the same name with the same piece size always has the same
/// info-hash. `progress` is called with pieces done and all, from any thread.
///
/// # Errors
/// See [`CreateError`].
pub fn create(
    path: &Path,
    options: &CreateOptions,
    progress: &(dyn Fn(u32, u32) + Sync),
) -> Result<Metainfo, CreateError> {
    Ok(make(path, options, progress)?.metainfo)
}

/// As [`create`], and tells what was left out.
///
/// # Errors
/// See [`CreateError`].
pub fn make(
    path: &Path,
    options: &CreateOptions,
    progress: &(dyn Fn(u32, u32) + Sync),
) -> Result<Made, CreateError> {
    of_listed(list(path)?, options, progress)
}

/// The files that a torrent is to be made of, not read yet.
pub(super) struct Listed {
    pub(super) root: PathBuf,
    name: String,
    single: bool,
    pub(super) files: Vec<Found>,
    pub(super) links: Vec<PathBuf>,
}

pub(super) fn list(path: &Path) -> Result<Listed, CreateError> {
    let root = fs::canonicalize(path).map_err(|source| CreateError::Read {
        path: path.to_owned(),
        source,
    })?;
    let name = file_name(&root)?;
    let single = root.is_file();
    let mut files = Vec::new();
    let mut links = Vec::new();
    walk(&root, &mut Vec::new(), &mut files, &mut links)?;
    files.sort();
    links.sort();
    Ok(Listed {
        root,
        name,
        single,
        files,
        links,
    })
}

pub(super) fn of_listed(
    listed: Listed,
    options: &CreateOptions,
    progress: &(dyn Fn(u32, u32) + Sync),
) -> Result<Made, CreateError> {
    let Listed {
        root,
        name,
        single,
        mut files,
        links,
    } = listed;
    let content = files.iter().map(|file| file.length).sum();
    let piece_size = options
        .piece_size
        .unwrap_or_else(|| piece_length_for(content));
    if !piece_size.is_power_of_two() || piece_size < 16 << 10 {
        return Err(CreateError::PieceSize(piece_size));
    }
    if options.pad_files {
        files = padded(files, piece_size.into());
    }
    let total = files.iter().map(|file| file.length).sum();
    let layout = Layout::new(total, piece_size.into())?;
    let hashes = hash(&root, &files, layout, progress)?;

    let mut info = vec![
        ("name", name.as_str().into()),
        ("piece length", piece_size.into()),
        ("pieces", hashes.into()),
    ];
    if options.private {
        info.push(("private", 1i64.into()));
    }
    if single {
        info.push(("length", int(total)));
    } else {
        let entry = |file: &Found| {
            let path = file.path.iter().map(|part| part.as_str().into());
            let mut entry = vec![
                ("length", int(file.length)),
                ("path", Value::List(path.collect())),
            ];
            if file.pad {
                entry.push(("attr", "p".into()));
            }
            Value::dict(entry)
        };
        info.push(("files", Value::List(files.iter().map(entry).collect())));
    }
    let info = Info::from_bytes(Value::dict(info).encode().into())?;
    let trackers = options.trackers.iter().map(|url| vec![url.clone()]);
    let metainfo = Metainfo {
        trackers: trackers.collect(),
        web_seeds: options.web_seeds.clone(),
        comment: options.comment.clone(),
        created_by: Some(concat!("Seedrail ", env!("CARGO_PKG_VERSION")).to_owned()),
        ..Metainfo::new(info)
    };
    Ok(Made { metainfo, links })
}

/// A torrent that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// It.
    pub metainfo: Metainfo,
    /// Symbolic links below the folder. They are not in it: what they lead to may be
    /// anywhere.
    pub links: Vec<PathBuf>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    path: Vec<String>,
    pub(super) at: PathBuf,
    pub(super) length: u64,
    /// When its content and its entry changed, in nanoseconds.
    pub(super) changed: [i128; 2],
    /// Zeros that lie nowhere.
    pad: bool,
}

/// The same files, with padding where one would not begin with a piece. Its names are
/// those that other programs give it.
fn padded(files: Vec<Found>, piece_size: u64) -> Vec<Found> {
    let mut all = Vec::with_capacity(2 * files.len());
    let mut offset = 0u64;
    for file in files {
        let over = offset % piece_size;
        if over > 0 && file.length > 0 {
            let length = piece_size - over;
            offset += length;
            all.push(Found {
                path: vec![".pad".to_owned(), length.to_string()],
                at: PathBuf::new(),
                length,
                changed: [0; 2],
                pad: true,
            });
        }
        offset += file.length;
        all.push(file);
    }
    all
}

fn file_name(path: &Path) -> Result<String, CreateError> {
    path.file_name()
        .and_then(|name| name.to_str())
        .map(str::to_owned)
        .ok_or_else(|| CreateError::NotUnicode(path.to_owned()))
}

fn nanos(seconds: i64, nanos: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(nanos)
}

fn walk(
    at: &Path,
    path: &mut Vec<String>,
    files: &mut Vec<Found>,
    links: &mut Vec<PathBuf>,
) -> Result<(), CreateError> {
    let fail = |source| CreateError::Read {
        path: at.to_owned(),
        source,
    };
    let meta = fs::symlink_metadata(at).map_err(fail)?;
    if meta.is_file() {
        files.push(Found {
            path: path.clone(),
            at: at.to_owned(),
            length: meta.len(),
            changed: [
                nanos(meta.mtime(), meta.mtime_nsec()),
                nanos(meta.ctime(), meta.ctime_nsec()),
            ],
            pad: false,
        });
        if files.len() > MAX_FILES {
            return Err(CreateError::Metainfo(MetainfoError::BadSize {
                what: "number of files",
                value: u64::try_from(files.len()).unwrap_or(u64::MAX),
                expected: format!("1 to {MAX_FILES}"),
            }));
        }
        return Ok(());
    }
    if meta.is_symlink() && links.len() < MAX_FILES {
        links.push(at.to_owned());
        return Ok(());
    }
    if !meta.is_dir() {
        return Err(CreateError::NotAFile(at.to_owned()));
    }
    for entry in fs::read_dir(at).map_err(fail)? {
        let below = entry.map_err(fail)?.path();
        path.push(file_name(&below)?);
        walk(&below, path, files, links)?;
        path.pop();
    }
    Ok(())
}

fn hash(
    root: &Path,
    files: &[Found],
    layout: Layout,
    progress: &(dyn Fn(u32, u32) + Sync),
) -> Result<Vec<u8>, CreateError> {
    use std::sync::atomic::{AtomicU32, Ordering};

    let paths: Vec<_> = files
        .iter()
        .map(|file| (file.at.clone(), file.length, file.pad))
        .collect();
    let storage = Storage::of_files(root, &paths, layout);
    let pieces: Vec<u32> = (0..layout.pieces()).collect();
    let done = AtomicU32::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut found = hash_pieces(&storage, &pieces, threads, &|| {
        progress(done.fetch_add(1, Ordering::Relaxed) + 1, layout.pieces());
        true
    })?;
    found.sort_unstable_by_key(|(piece, _)| *piece);
    let mut hashes = Vec::with_capacity(found.len() * Sha1::output_size());
    for (_, hash) in found {
        let hash = hash.ok_or_else(|| StorageError::Short {
            path: root.to_owned(),
        })?;
        hashes.extend_from_slice(&hash);
    }
    Ok(hashes)
}

fn int(length: u64) -> Value {
    Value::Int(i64::try_from(length).expect("files on disk are shorter than 2^63 bytes"))
}
