//! The password of `admin`, kept as an argon2id hash.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use tokio::sync::Semaphore;

use super::{ApiError, secret};

/// The longest password, bytes.
pub(super) const MAX_PASSWORD: usize = 1024;
/// The shortest password that a server takes, characters.
const MIN_PASSWORD: usize = 8;
/// Requests that may wait for the check of a password: each check takes 19 MiB and some ten
/// milliseconds, and there is one at a time.
const MAX_WAITING: usize = 16;

/// Checks the password, once at a time.
#[derive(Debug)]
pub(super) struct Password {
    /// The PHC string `$argon2id$…`; `None`: nobody can log in with a password.
    hash: Option<String>,
    one: Semaphore,
    room: Semaphore,
    /// The password that was right last, hashed with a key of this process: programs that
    /// send it with each request are not hashed at length each time.
    seen: Mutex<Option<[u8; 32]>>,
    key: String,
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checked {
    Right,
    Wrong,
    /// Too many wait already.
    Busy,
}

/// The PHC string of a password.
///
/// # Errors
/// The password is shorter than 8 characters or longer than 1 KiB, or the system has no
/// random numbers.
pub fn hash_password(password: &str) -> Result<String, ApiError> {
    if password.chars().count() < MIN_PASSWORD || password.len() > MAX_PASSWORD {
        return Err(ApiError::BadPassword);
    }
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| ApiError::Hash(error.to_string()))
}

impl Password {
    /// From a file: one line, the password or its hash (`$argon2id$…`).
    pub(super) fn read(path: Option<&Path>) -> Result<Self, ApiError> {
        let hash = match path {
            None => None,
            Some(path) => {
                let limit = 4096;
                let text = secret::read_private(path, limit).map_err(|source| ApiError::File {
                    path: path.to_owned(),
                    source,
                })?;
                Some(Self::hash_of(text.trim_end_matches(['\r', '\n']))?)
            }
        };
        Self::new(hash)
    }

    fn hash_of(text: &str) -> Result<String, ApiError> {
        if !text.starts_with("$argon2") {
            return hash_password(text);
        }
        match PasswordHash::new(text) {
            Ok(hash) if hash.algorithm.as_str() == "argon2id" => Ok(text.to_owned()),
            Ok(hash) => Err(ApiError::Hash(format!(
                "{} is not argon2id",
                hash.algorithm
            ))),
            Err(error) => Err(ApiError::Hash(error.to_string())),
        }
    }

    fn new(hash: Option<String>) -> Result<Self, ApiError> {
        Ok(Self {
            hash,
            one: Semaphore::new(1),
            room: Semaphore::new(MAX_WAITING),
            seen: Mutex::new(None),
            key: secret::random().map_err(ApiError::Random)?.to_string(),
        })
    }

    pub(super) fn is_set(&self) -> bool {
        self.hash.is_some()
    }

    fn keyed(&self, password: &str) -> [u8; 32] {
        secret::digest(&format!("{}{password}", self.key))
    }

    fn seen(&self, keyed: &[u8; 32]) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.as_ref().is_some_and(|seen| secret::same(seen, keyed))
    }

    pub(super) async fn check(&self, password: &str) -> Checked {
        let Some(hash) = self.hash.clone() else {
            return Checked::Wrong;
        };
        if password.len() > MAX_PASSWORD {
            return Checked::Wrong;
        }
        let keyed = self.keyed(password);
        if self.seen(&keyed) {
            return Checked::Right;
        }
        let Ok(_room) = self.room.try_acquire() else {
            return Checked::Busy;
        };
        let Ok(_one) = self.one.acquire().await else {
            return Checked::Busy;
        };
        let password = zeroize::Zeroizing::new(password.to_owned());
        let checked = tokio::task::spawn_blocking(move || {
            let Ok(hash) = PasswordHash::new(&hash) else {
                return false;
            };
            Argon2::default()
                .verify_password(password.as_bytes(), &hash)
                .is_ok()
        });
        match checked.await {
            Ok(true) => {
                *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(keyed);
                Checked::Right
            }
            Ok(false) | Err(_) => Checked::Wrong,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn file(text: &str, mode: u32) -> Result<Password, ApiError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        Password::read(Some(&path))
    }

    #[tokio::test]
    async fn the_password_of_the_file_is_right_and_no_other() {
        let password = file("correct horse\n", 0o600).unwrap();
        assert_eq!(password.check("correct horse").await, Checked::Right);
        assert_eq!(password.check("correct horse").await, Checked::Right);
        assert_eq!(password.check("Correct horse").await, Checked::Wrong);
        assert_eq!(password.check("").await, Checked::Wrong);
        let long = "x".repeat(MAX_PASSWORD + 1);
        assert_eq!(password.check(&long).await, Checked::Wrong);
    }

    #[tokio::test]
    async fn the_file_may_hold_a_hash_of_argon2id_alone() {
        let hash = hash_password("correct horse").unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        let password = file(&hash, 0o400).unwrap();
        assert_eq!(password.check("correct horse").await, Checked::Right);
        // The hash itself opens nothing.
        assert_eq!(password.check(&hash).await, Checked::Wrong);
        for bad in [hash.replace("argon2id", "argon2i"), "$argon2id$".to_owned()] {
            assert!(matches!(file(&bad, 0o600), Err(ApiError::Hash(_))), "{bad}");
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        for mode in [0o644, 0o604, 0o602, 0o620] {
            assert!(matches!(
                file("correct horse", mode),
                Err(ApiError::File { .. })
            ));
        }
        // systemd hands credentials over with the group's bits set.
        assert!(file("correct horse", 0o440).is_ok());
    }

    #[test]
    fn a_password_has_8_characters_and_at_most_1_kib() {
        assert!(matches!(
            hash_password("1234567"),
            Err(ApiError::BadPassword)
        ));
        assert!(hash_password("12345678").is_ok());
        assert!(hash_password(&"x".repeat(MAX_PASSWORD)).is_ok());
        assert!(hash_password(&"x".repeat(MAX_PASSWORD + 1)).is_err());
        assert!(matches!(file("", 0o600), Err(ApiError::BadPassword)));
    }

    #[tokio::test]
    async fn without_a_file_no_password_is_right() {
        let password = Password::read(None).unwrap();
        assert!(!password.is_set());
        assert_eq!(password.check("").await, Checked::Wrong);
        assert_eq!(password.check("adminadmin").await, Checked::Wrong);
    }

    #[tokio::test]
    async fn one_password_is_checked_at_a_time_and_few_wait() {
        let password = file("correct horse", 0o600).unwrap();
        let held = password.one.acquire().await.unwrap();
        let waiting: Vec<_> = (0..MAX_WAITING)
            .map(|n| format!("wrong password {n}"))
            .collect();
        let waiting: Vec<_> = waiting
            .iter()
            .map(|text| Box::pin(password.check(text)))
            .collect();
        let mut waiting = futures_util::future::join_all(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        assert_eq!(password.check("one more").await, Checked::Busy);
        drop(held);
        assert!(waiting.await.iter().all(|one| *one == Checked::Wrong));
    }
}
