//! Files as commands look at them.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use sha2::{Digest, Sha256};

use super::failure::{Failure, Outcome};

/// Bytes hashed at a time.
const BUFFER: usize = 1 << 20;

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
