//! Files as commands look at them.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::failure::{Failure, Outcome};

/// Bytes hashed at a time.
const BUFFER: usize = 1 << 20;

/// A path that does not depend on where the program was started.
pub(super) fn absolute(path: &Path) -> Outcome<PathBuf> {
    std::path::absolute(path).map_err(|error| Failure::file(path, error))
}

/// A folder as the user named it, and where that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Folder {
    named: PathBuf,
    pub(super) absolute: PathBuf,
}

impl Folder {
    pub(super) fn new(named: &Path) -> Outcome<Self> {
        Ok(Self {
            named: named.to_owned(),
            absolute: absolute(named)?,
        })
    }

    /// A path in it, beginning as the user named the folder.
    pub(super) fn shown(&self, path: PathBuf) -> PathBuf {
        match path.strip_prefix(&self.absolute) {
            Ok(inside) => self.named.join(inside),
            Err(_) => path,
        }
    }
}

/// The SHA-256 of a file, in hex.
pub(crate) async fn sha256(path: &Path) -> Outcome<String> {
    let owned = path.to_owned();
    tokio::task::spawn_blocking(move || hash(&owned))
        .await
        .map_err(|error| Failure::failed("hash", error))?
        .map_err(|error| Failure::file(path, error))
}

fn hash(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex::encode(hasher.finalize()));
        }
        hasher.update(buffer.split_at(read).0);
    }
}
