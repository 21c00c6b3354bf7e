//! What can be wrong with content on disk.

use std::{
    io,
    path::{Path, PathBuf},
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
    /// A file of that name is there, and none of the torrent is in it.
    #[error("{path} is there already and is not a file of this torrent; it was not touched")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A file that is longer than it may be.
    #[error(
        "{path} has {found} bytes and the torrent says {expected}: it is another file, or something was added to it; it was not touched"
    )]
    Long {
        /// The file.
        path: PathBuf,
        /// Bytes that it has.
        found: u64,
        /// Bytes that it may have.
        expected: u64,
    },
    /// A folder, pipe or device stands where a file belongs, or a file where a folder
    /// belongs.
    #[error("{path} is not a {expected}")]
    WrongKind {
        /// What is there.
        path: PathBuf,
        /// What belongs there.
        expected: &'static str,
    },
    /// Another download writes there.
    #[error("another download is writing to {path}; wait for it, or choose another folder")]
    InUse {
        /// The file or folder.
        path: PathBuf,
    },
    /// The system could not make written bytes durable, and may have dropped them.
    #[error(
        "what was written to {path} may be lost, for the disk did not keep it ({message}); start again to check what is there"
    )]
    Unsynced {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        message: String,
    },
    /// The file does not hold the bytes (any more).
    #[error("{path} is missing or shorter than the torrent says")]
    Short {
        /// The file.
        path: PathBuf,
    },
    /// The hashes of the torrent's pieces are not in memory, and cannot be read again.
    #[error("the torrent's hashes cannot be read: {0}")]
    Hashes(#[source] io::Error),
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
    /// There is no room.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::DiskFull { .. })
    }

    /// A file of somebody else's is in the way; `overwrite` would go over it.
    pub fn is_in_the_way(&self) -> bool {
        matches!(self, Self::Foreign { .. } | Self::Long { .. })
    }

    pub(in crate::swarm) fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
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
