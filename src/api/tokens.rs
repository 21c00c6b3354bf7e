//! Tokens for programs: a JSON file that only its owner can read, with the digest of each.
//!
//! ```json
//! {"tokens": [{"name": "first", "sha256": "…", "scopes": ["read", "torrents"]}]}
//! ```

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    ApiError,
    scope::{Scope, Scopes},
    secret,
};

/// The largest file, bytes.
const MAX_FILE: u64 = 256 << 10;
/// What a token begins with, so that it is recognised where it should not be.
const PREFIX: &str = "sr_";

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tokens: Vec<Row>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    sha256: String,
    scopes: Vec<Scope>,
}

#[derive(Debug)]
struct Token {
    digest: [u8; 32],
    scopes: Scopes,
}

/// The tokens of the file.
#[derive(Debug)]
pub(super) struct Tokens(Vec<Token>);

fn failed(path: &Path) -> impl Fn(io::Error) -> ApiError + '_ {
    move |source| ApiError::File {
        path: path.to_owned(),
        source,
    }
}

impl Tokens {
    /// Reads the file. One that is not there is made, with one token, whose text is nowhere
    /// else: it is the second value.
    pub(super) fn open(path: &Path) -> Result<(Self, Option<Zeroizing<String>>), ApiError> {
        match secret::read_private(path, MAX_FILE) {
            Ok(text) => Ok((Self::parse(path, &text)?, None)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let scopes = [Scope::Read, Scope::Torrents];
                let token = add_token(path, "first", &scopes)?;
                let text = secret::read_private(path, MAX_FILE).map_err(failed(path))?;
                Ok((Self::parse(path, &text)?, Some(token)))
            }
            Err(error) => Err(failed(path)(error)),
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ApiError> {
        let bad = |why: String| ApiError::Tokens {
            path: path.to_owned(),
            why,
        };
        let file: File = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
        let tokens = file.tokens.iter().map(|row| {
            let mut digest = [0; 32];
            hex::decode_to_slice(&row.sha256, &mut digest)
                .map_err(|error| bad(format!("token `{}`: {error}", row.name)))?;
            Ok(Token {
                digest,
                scopes: Scopes::of(&row.scopes),
            })
        });
        Ok(Self(tokens.collect::<Result<_, _>>()?))
    }

    /// What the bearer of a token may do.
    pub(super) fn scopes(&self, token: &str) -> Option<Scopes> {
        let digest = secret::digest(token);
        // All are compared: the time does not tell which one it is.
        self.0.iter().fold(None, |found, token| {
            match secret::same(&token.digest, &digest) {
                true => Some(token.scopes),
                false => found,
            }
        })
    }
}

/// Makes a token and adds it to the file, which is made if it is not there; the token's
/// text, which is kept nowhere.
///
/// # Errors
/// The file cannot be read or written, or has a token of that name.
pub fn add_token(path: &Path, name: &str, scopes: &[Scope]) -> Result<Zeroizing<String>, ApiError> {
    let bad = |why: String| ApiError::Tokens {
        path: path.to_owned(),
        why,
    };
    let mut file: File = match secret::read_private(path, MAX_FILE) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => File::default(),
        Err(error) => return Err(failed(path)(error)),
    };
    if file.tokens.iter().any(|row| row.name == name) {
        return Err(bad(format!("there is a token `{name}` already")));
    }
    let random = secret::random().map_err(ApiError::Random)?;
    let token = Zeroizing::new(format!("{PREFIX}{}", random.as_str()));
    file.tokens.push(Row {
        name: name.to_owned(),
        sha256: hex::encode(secret::digest(&token)),
        scopes: scopes.to_vec(),
    });
    let text = serde_json::to_string_pretty(&file).map_err(|error| bad(error.to_string()))?;
    write_private(path, text.as_bytes()).map_err(failed(path))?;
    Ok(token)
}

/// Writes a file that only its owner can read: all of it or nothing.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(&new)?;
    file.write_all(bytes)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    match path.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_first_start_makes_one_token_without_money_and_shows_it_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        let (tokens, first) = Tokens::open(&path).unwrap();
        let first = first.unwrap();
        assert_eq!(tokens.scopes(&first), Some(Scopes::NO_MONEY));
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!fs::read_to_string(&path).unwrap().contains(first.as_str()));

        let (tokens, again) = Tokens::open(&path).unwrap();
        assert_eq!(again, None);
        assert_eq!(tokens.scopes(&first), Some(Scopes::NO_MONEY));
        assert_eq!(tokens.scopes(""), None);
        assert_eq!(tokens.scopes(&first[..60]), None);
    }

    #[test]
    fn a_token_has_the_scopes_of_its_row_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        let read = add_token(&path, "grafana", &[Scope::Read]).unwrap();
        let money = add_token(&path, "till", &[Scope::Read, Scope::Money]).unwrap();
        let (tokens, first) = Tokens::open(&path).unwrap();
        assert_eq!(first, None);
        assert_eq!(tokens.scopes(&read).unwrap().names(), [Scope::Read]);
        let names = tokens.scopes(&money).unwrap().names();
        assert_eq!(names, [Scope::Read, Scope::Money]);
        assert!(matches!(
            add_token(&path, "till", &[]),
            Err(ApiError::Tokens { .. })
        ));
    }

    #[test]
    fn a_file_that_others_can_read_or_that_is_wrong_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        add_token(&path, "one", &[Scope::Read]).unwrap();
        let good = fs::read_to_string(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Tokens::open(&path), Err(ApiError::File { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for bad in [
            "",
            "{}",
            "[]",
            &good.replace("read", "admin"),
            &good.replace("\"sha256\": \"", "\"sha256\": \"00"),
        ] {
            fs::write(&path, bad).unwrap();
            let opened = Tokens::open(&path);
            assert!(matches!(opened, Err(ApiError::Tokens { .. })), "{bad}");
        }
    }
}
