//! Random secrets, and comparing them.

use std::{fs, io, io::Read as _, path::Path};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// 256 random bits as hex.
pub(super) fn random() -> io::Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut()).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(Zeroizing::new(hex::encode(bytes.as_ref())))
}

/// What is kept of a secret of 256 random bits: a hash that leads nowhere back.
pub(super) fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// Whether two digests are the same, in a time that does not tell how much is.
pub(super) fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.ct_eq(b).into()
}

/// Reads a file with a secret in it, if nobody but its owner and group can.
pub(super) fn read_private(path: &Path, limit: u64) -> io::Result<Zeroizing<String>> {
    use std::os::unix::fs::PermissionsExt as _;
    let file = fs::File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o027 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("others can read or write it: chmod 600 {}", path.display()),
        ));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(limit + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > limit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it is larger than {limit} bytes"),
        ));
    }
    Ok(text)
}
