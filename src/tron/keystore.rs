//! Encrypted keys in files: Web3 Secret Storage, version 3, as geth and the
//! TRON wallets write it. Written with scrypt; PBKDF2 files are read too.
//!
//! A file is hostile until its MAC has matched: its size and the cost of its
//! key derivation are bounded before any work is done.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use ctr::cipher::{KeyIvInit as _, StreamCipher as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use super::keys::{SecretKey, SecretKeyError, keccak256_parts};
use crate::types::Address;

type Aes128Ctr = ctr::Ctr128BE<aes::Aes128>;

/// The largest keystore file read, in bytes: real ones have about 500.
pub const MAX_FILE_BYTES: u64 = 64 << 10;
/// The most memory scrypt may ask for (128·n·r), in bytes: 1 GiB, which n = 2^20 and
/// r = 8 take. Nothing else of a keystore is large.
pub const MAX_SCRYPT_BYTES: u64 = 1 << 30;
/// The most work scrypt may ask for (n·r·p): four times geth's standard, about 4 s.
pub const MAX_SCRYPT_WORK: u64 = 1 << 23;
/// The most PBKDF2 rounds: about 2 s.
pub const MAX_PBKDF2_ROUNDS: u32 = 4_000_000;

/// Why a keystore cannot be read, opened or written.
#[derive(Debug, thiserror::Error)]
pub enum KeystoreError {
    /// Not a JSON document of this shape.
    #[error("not a keystore (Web3 Secret Storage, version 3): {0}")]
    NotAKeystore(String),
    /// A cipher or key derivation that is not of the standard, or parameters
    /// that are impossible or beyond our bounds.
    #[error("the keystore has impossible parameters: {0}")]
    Parameters(String),
    /// The passphrase is wrong, or the file was changed.
    #[error("the MAC does not match: wrong passphrase, or a changed file")]
    Mac,
    /// The key inside is another address's than the file says.
    #[error("the keystore says it is {said}, but its key is that of {found}: a changed file")]
    Address {
        /// What the file says.
        said: Address,
        /// Whose key it holds.
        found: Address,
    },
    /// What was decrypted is no key, or none can be made.
    #[error("the keystore's key: {0}")]
    Key(#[from] SecretKeyError),
    /// The file exists already; it was not touched.
    #[error("{} exists already and is not overwritten", .0.display())]
    Exists(PathBuf),
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// What it costs to try one passphrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScryptCost {
    log_n: u8,
    r: u32,
    p: u32,
}

impl ScryptCost {
    /// 128 MiB and about a third of a second (n = 2^17, r = 8, p = 1).
    pub const STANDARD: Self = Self {
        log_n: 17,
        r: 8,
        p: 1,
    };
    /// 4 MiB, geth's "light" (n = 2^12, r = 8, p = 6): for keys of little worth.
    pub const LIGHT: Self = Self {
        log_n: 12,
        r: 8,
        p: 6,
    };
}

/// An encrypted key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Keystore {
    #[serde(deserialize_with = "version")]
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(alias = "Crypto")]
    crypto: Crypto,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Crypto {
    cipher: String,
    cipherparams: CipherParams,
    ciphertext: String,
    kdf: String,
    kdfparams: KdfParams,
    mac: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct CipherParams {
    iv: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct KdfParams {
    dklen: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    n: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    r: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    p: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    c: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prf: Option<String>,
    salt: String,
}

/// A number, or as some programs write it, its digits.
fn version<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(u32),
        Digits(String),
    }
    match Written::deserialize(from)? {
        Written::Number(number) => Ok(number),
        Written::Digits(digits) => digits.parse().map_err(serde::de::Error::custom),
    }
}

/// Hex, with or without the `0x` that some programs write.
fn digits(text: &str) -> &str {
    text.strip_prefix("0x").unwrap_or(text)
}

fn parameters(text: impl Into<String>) -> KeystoreError {
    KeystoreError::Parameters(text.into())
}

fn hex_field<const N: usize>(name: &str, text: &str) -> Result<[u8; N], KeystoreError> {
    let mut bytes = [0; N];
    hex::decode_to_slice(digits(text), &mut bytes)
        .map_err(|_| parameters(format!("`{name}` is not {N} bytes of hex")))?;
    Ok(bytes)
}

fn random<const N: usize>() -> Result<[u8; N], KeystoreError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| SecretKeyError::NoRandomness)?;
    Ok(bytes)
}

/// A key derivation whose cost has been looked at.
enum Kdf {
    Scrypt(scrypt::Params),
    Pbkdf2(u32),
}

impl Kdf {
    fn checked(name: &str, params: &KdfParams) -> Result<Self, KeystoreError> {
        if params.dklen != 32 {
            return Err(parameters(format!("dklen is {}, not 32", params.dklen)));
        }
        match name {
            "scrypt" => {
                let (n, r, p) = match (params.n, params.r, params.p) {
                    (Some(n), Some(r), Some(p)) => (n, r, p),
                    _ => return Err(parameters("scrypt without n, r and p")),
                };
                let said = || parameters(format!("scrypt n={n} r={r} p={p}"));
                if !n.is_power_of_two() || n < 2 || r == 0 || p == 0 {
                    return Err(said());
                }
                let memory = n.checked_mul(r).and_then(|nr| nr.checked_mul(128));
                let work = n.checked_mul(r).and_then(|nr| nr.checked_mul(p));
                if memory.is_none_or(|bytes| bytes > MAX_SCRYPT_BYTES)
                    || work.is_none_or(|work| work > MAX_SCRYPT_WORK)
                {
                    return Err(parameters(format!(
                        "scrypt n={n} r={r} p={p} asks for more than {} MiB or is more work than we do",
                        MAX_SCRYPT_BYTES >> 20
                    )));
                }
                let log_n = u8::try_from(n.trailing_zeros()).map_err(|_| said())?;
                let r = u32::try_from(r).map_err(|_| said())?;
                let p = u32::try_from(p).map_err(|_| said())?;
                scrypt::Params::new(log_n, r, p)
                    .map(Self::Scrypt)
                    .map_err(|_| said())
            }
            "pbkdf2" => {
                if params.prf.as_deref() != Some("hmac-sha256") {
                    return Err(parameters("pbkdf2 with another prf than hmac-sha256"));
                }
                let rounds = params.c.unwrap_or(0);
                u32::try_from(rounds)
                    .ok()
                    .filter(|rounds| (1..=MAX_PBKDF2_ROUNDS).contains(rounds))
                    .map(Self::Pbkdf2)
                    .ok_or_else(|| parameters(format!("pbkdf2 with {rounds} rounds")))
            }
            other => Err(parameters(format!(
                "key derivation `{}`",
                other.chars().take(40).collect::<String>()
            ))),
        }
    }

    fn derive(&self, passphrase: &[u8], salt: &[u8]) -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
        let mut key = Zeroizing::new([0; 32]);
        match self {
            Self::Scrypt(params) => {
                scrypt::scrypt(passphrase, salt, params, key.as_mut_slice())
                    .map_err(|_| parameters("scrypt's output length"))?;
            }
            Self::Pbkdf2(rounds) => {
                pbkdf2::pbkdf2_hmac::<Sha256>(passphrase, salt, *rounds, key.as_mut_slice());
            }
        }
        Ok(key)
    }
}

/// AES-128-CTR over 32 bytes with the first half of the derived key; the same
/// in both directions.
fn apply_cipher(derived: &[u8; 32], iv: &[u8; 16], bytes: &mut [u8; 32]) {
    let (half, _) = derived.split_at(16);
    let mut key = Zeroizing::new([0; 16]);
    key.copy_from_slice(half);
    Aes128Ctr::new((&*key).into(), iv.into()).apply_keystream(bytes);
}

fn mac_of(derived: &[u8; 32], ciphertext: &[u8]) -> [u8; 32] {
    let (_, half) = derived.split_at(16);
    keccak256_parts(&[half, ciphertext])
}

impl Keystore {
    /// Encrypts a key under a passphrase with a new salt.
    ///
    /// # Errors
    /// The operating system gives no randomness.
    pub fn encrypt(
        key: &SecretKey,
        passphrase: &[u8],
        cost: ScryptCost,
    ) -> Result<Self, KeystoreError> {
        let (salt, iv) = (random::<32>()?, random::<16>()?);
        let kdfparams = KdfParams {
            dklen: 32,
            n: Some(1 << cost.log_n),
            r: Some(u64::from(cost.r)),
            p: Some(u64::from(cost.p)),
            salt: hex::encode(salt),
            ..KdfParams::default()
        };
        let derived = Kdf::checked("scrypt", &kdfparams)?.derive(passphrase, &salt)?;
        let mut ciphertext = *key.expose_bytes();
        apply_cipher(&derived, &iv, &mut ciphertext);
        Ok(Self {
            version: 3,
            id: Some(uuid(random()?)),
            // As Ethereum's tools write it, of which some compare it strictly.
            address: Some(hex::encode(key.address().body())),
            crypto: Crypto {
                cipher: "aes-128-ctr".to_owned(),
                cipherparams: CipherParams {
                    iv: hex::encode(iv),
                },
                ciphertext: hex::encode(ciphertext),
                kdf: "scrypt".to_owned(),
                kdfparams,
                mac: hex::encode(mac_of(&derived, &ciphertext)),
            },
        })
    }

    /// Reads the JSON document.
    ///
    /// # Errors
    /// Not a keystore of version 3.
    pub fn from_json(text: &str) -> Result<Self, KeystoreError> {
        // Some editors write a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let keystore: Self = serde_json::from_str(text)
            .map_err(|error| KeystoreError::NotAKeystore(error.to_string()))?;
        if keystore.version != 3 {
            return Err(KeystoreError::NotAKeystore(format!(
                "its version is {}",
                keystore.version
            )));
        }
        Ok(keystore)
    }

    /// The JSON document.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and integers are always JSON")
    }

    /// Whose key it says it is; not to be believed before
    /// [`decrypt`](Self::decrypt), which checks it.
    pub fn address(&self) -> Option<Address> {
        let text = self.address.as_deref()?;
        // geth writes the 20 bytes without prefix.
        let bare = digits(text);
        if bare.len() == 40 {
            return hex_field("address", bare).ok().map(Address::from_body);
        }
        text.parse().ok()
    }

    /// Opens it.
    ///
    /// # Errors
    /// Impossible parameters, a MAC that does not match, no key inside, or the
    /// key of another address.
    pub fn decrypt(&self, passphrase: &[u8]) -> Result<SecretKey, KeystoreError> {
        let crypto = &self.crypto;
        if crypto.cipher != "aes-128-ctr" {
            return Err(parameters(format!(
                "cipher `{}`",
                crypto.cipher.chars().take(40).collect::<String>()
            )));
        }
        let iv = hex_field::<16>("iv", &crypto.cipherparams.iv)?;
        let mut bytes = Zeroizing::new(hex_field::<32>("ciphertext", &crypto.ciphertext)?);
        let mac = hex_field::<32>("mac", &crypto.mac)?;
        let salt = hex::decode(digits(&crypto.kdfparams.salt))
            .map_err(|_| parameters("`salt` is not hex"))?;
        let kdf = Kdf::checked(&crypto.kdf, &crypto.kdfparams)?;
        let derived = kdf.derive(passphrase, &salt)?;
        if !bool::from(mac_of(&derived, bytes.as_slice()).ct_eq(&mac)) {
            return Err(KeystoreError::Mac);
        }
        apply_cipher(&derived, &iv, &mut bytes);
        let key = SecretKey::from_bytes(bytes.as_slice())?;
        match self.address() {
            Some(said) if said != key.address() => Err(KeystoreError::Address {
                said,
                found: key.address(),
            }),
            _ => Ok(key),
        }
    }

    /// Opens it with a passphrase as a person types it. Programs normalise passphrases
    /// in different ways, and some keep the end of the line of a file: when it does not
    /// open as typed, those are tried, each at the cost of the file.
    ///
    /// # Errors
    /// As [`decrypt`](Self::decrypt); [`KeystoreError::Mac`] when no form opens it.
    pub fn open(&self, passphrase: &str) -> Result<SecretKey, KeystoreError> {
        let typed = Zeroizing::new(passphrase.to_owned());
        let mut tried: Vec<Zeroizing<String>> = Vec::new();
        for form in [
            typed,
            Zeroizing::new(passphrase.nfc().collect()),
            Zeroizing::new(passphrase.nfkc().collect()),
            Zeroizing::new(passphrase.nfd().collect()),
            Zeroizing::new(passphrase.nfkd().collect()),
            Zeroizing::new(format!("{passphrase}\n")),
        ] {
            if tried.contains(&form) {
                continue;
            }
            match self.decrypt(form.as_bytes()) {
                Err(KeystoreError::Mac) => tried.push(form),
                other => return other,
            }
        }
        Err(KeystoreError::Mac)
    }

    /// Reads a file, at most [`MAX_FILE_BYTES`] of it.
    ///
    /// # Errors
    /// The file cannot be read or is no keystore.
    pub fn read(path: &Path) -> Result<Self, KeystoreError> {
        let io = |source| KeystoreError::Io {
            path: path.to_owned(),
            source,
        };
        let mut text = Vec::new();
        File::open(path)
            .map_err(io)?
            .take(MAX_FILE_BYTES + 1)
            .read_to_end(&mut text)
            .map_err(io)?;
        if u64::try_from(text.len()).is_ok_and(|len| len > MAX_FILE_BYTES) {
            return Err(KeystoreError::NotAKeystore(format!(
                "it is larger than {} KiB",
                MAX_FILE_BYTES >> 10
            )));
        }
        let text = String::from_utf8(text)
            .map_err(|_| KeystoreError::NotAKeystore("it is not UTF-8".to_owned()))?;
        Self::from_json(&text)
    }

    /// Writes a new file that only its owner can read. After a crash the file
    /// is there whole, or not at all; an existing one is never touched.
    ///
    /// # Errors
    /// It exists already, or the operating system refuses.
    pub fn create(&self, path: &Path) -> Result<(), KeystoreError> {
        create_private(path, self.to_json().as_bytes())
    }
}

/// Writes a new file of mode 0600, exclusively and atomically: a temporary
/// file beside it is written, flushed, linked to the name (which fails when the
/// name is taken) and unlinked.
pub(crate) fn create_private(path: &Path, bytes: &[u8]) -> Result<(), KeystoreError> {
    let io = |source| KeystoreError::Io {
        path: path.to_owned(),
        source,
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let temporary = folder.join(format!(".{}.tmp", hex::encode(random::<8>()?)));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary).map_err(io)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::hard_link(&temporary, path));
    let removed = fs::remove_file(&temporary);
    written.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => KeystoreError::Exists(path.to_owned()),
        _ => io(source),
    })?;
    removed.map_err(io)?;
    // The name itself is durable only with its folder.
    #[cfg(unix)]
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(io)?;
    Ok(())
}

/// A random UUID (version 4), which the format wants as a file's `id`.
fn uuid(bytes: [u8; 16]) -> String {
    let mut number = u128::from_be_bytes(bytes);
    number = number & !(0xf << 76) | (0x4 << 76);
    number = number & !(0x3 << 62) | (0x2 << 62);
    let text = format!("{number:032x}");
    let (a, rest) = text.split_at(8);
    let (b, rest) = rest.split_at(4);
    let (c, rest) = rest.split_at(4);
    let (d, e) = rest.split_at(4);
    format!("{a}-{b}-{c}-{d}-{e}")
}

#[cfg(test)]
mod tests;
