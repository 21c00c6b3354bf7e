//! Where a ledger on PostgreSQL is, and with which password it opens.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use postgres::config::Host;

use crate::ledger::LedgerError;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the system waits for a peer that acknowledges nothing.
const SILENCE: Duration = Duration::from_secs(10);

/// A `postgres://` URL. What it shows never holds its password.
#[derive(Clone)]
pub struct PostgresUrl {
    config: postgres::Config,
    shown: String,
    has_password: bool,
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresUrl").field(&self.shown).finish()
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl PostgresUrl {
    /// Whether the text is meant as a URL of PostgreSQL, and not as a file.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        text.starts_with("postgres://") || text.starts_with("postgresql://")
    }

    /// Reads `postgres://USER@HOST:PORT/DATABASE`; a folder of a Unix socket as
    /// `postgres://USER@/DATABASE?host=/FOLDER&port=PORT`.
    ///
    /// # Errors
    /// It is not such a URL; the sentence never shows it whole.
    pub fn parse(text: &str) -> Result<Self, LedgerError> {
        let (shown, has_password) = without_password(text);
        let refuse = |reason: String| LedgerError::Open {
            path: PathBuf::from(&shown),
            reason,
        };
        let mut config: postgres::Config = text
            .parse()
            .map_err(|error: postgres::Error| refuse(format!("it is no such URL: {error}")))?;
        if config.get_ssl_mode() == postgres::config::SslMode::Require {
            return Err(refuse(
                "encrypted connections are not made: use a Unix socket, this machine, or a tunnel"
                    .to_owned(),
            ));
        }
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(refuse("it names no host".to_owned()));
        }
        if config.get_dbname().is_none_or(str::is_empty) {
            return Err(refuse(
                "it names no database: write postgres://USER@HOST:PORT/DATABASE".to_owned(),
            ));
        }
        config
            .connect_timeout(CONNECT)
            .tcp_user_timeout(SILENCE)
            .application_name("seedrail");
        Ok(Self {
            config,
            shown,
            has_password,
        })
    }

    /// Whether a password is in it: such a URL must not come from a command
    /// line, which every user of the machine can read.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.has_password
    }

    /// The settings to connect with; the password, if the URL has none, from
    /// the file that `PGPASSFILE` names, or `~/.pgpass`.
    pub(super) fn config(&self) -> Result<postgres::Config, LedgerError> {
        let mut config = self.config.clone();
        if config.get_password().is_none() {
            let named = std::env::var_os("PGPASSFILE").map(PathBuf::from);
            let own = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".pgpass"));
            let file = match (named, own) {
                (Some(named), _) => Some(named),
                (None, Some(own)) if own.exists() => Some(own),
                (None, _) => None,
            };
            if let Some(file) = file
                && let Some(password) = password_in(&file, &self.config)?
            {
                config.password(password);
            }
        }
        Ok(config)
    }
}

/// The URL without its password, and whether it had one: between `:` and `@`,
/// or as a parameter.
fn without_password(text: &str) -> (String, bool) {
    let (scheme, rest) = text.split_once("://").unwrap_or(("postgres", text));
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let (authority, mut found) = match authority.rsplit_once('@') {
        None => (authority.to_owned(), false),
        Some((user, host)) => match user.split_once(':') {
            None => (authority.to_owned(), false),
            Some((user, _)) => (format!("{user}@{host}"), true),
        },
    };
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    let kept: Vec<_> = query
        .split('&')
        .filter(|pair| {
            let is_password = pair
                .split('=')
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case("password"));
            found |= is_password;
            !is_password && !pair.is_empty()
        })
        .collect();
    let query = if kept.is_empty() {
        String::new()
    } else {
        format!("?{}", kept.join("&"))
    };
    (format!("{scheme}://{authority}{path}{query}"), found)
}

/// The password of the first line that fits: `host:port:database:user:password`,
/// `*` for any, `\` before a colon or a backslash that is meant.
/// PostgreSQL documentation, "The Password File".
fn password_in(file: &Path, config: &postgres::Config) -> Result<Option<String>, LedgerError> {
    let refuse = |reason: String| LedgerError::Open {
        path: file.to_owned(),
        reason,
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(file)
            .map_err(|error| refuse(error.to_string()))?
            .permissions()
            .mode();
        if mode & 0o077 != 0 {
            return Err(refuse(
                "this file of passwords can be read by others: chmod 600 it".to_owned(),
            ));
        }
    }
    let text = fs::read_to_string(file).map_err(|error| refuse(error.to_string()))?;
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        #[cfg(unix)]
        Some(Host::Unix(_)) => "localhost".to_owned(),
        None => config
            .get_hostaddrs()
            .first()
            .map(ToString::to_string)
            .unwrap_or_default(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let user = config.get_user().unwrap_or_default();
    let wanted = [
        host,
        port.to_string(),
        config.get_dbname().unwrap_or(user).to_owned(),
        user.to_owned(),
    ];
    Ok(text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            let mut fields = fields(line).into_iter();
            let fits = wanted.iter().all(|wanted| {
                fields
                    .next()
                    .is_some_and(|field| field == "*" || field == *wanted)
            });
            fits.then(|| fields.next()).flatten()
        }))
}

/// A line of the file at its colons.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => chars.next(),
            ':' => {
                fields.push(String::new());
                continue;
            }
            c => Some(c),
        };
        if let (Some(c), Some(field)) = (c, fields.last_mut()) {
            field.push(c);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_found_and_never_shown() {
        for (url, shown, has) in [
            ("postgres://u@h:5/d", "postgres://u@h:5/d", false),
            ("postgres://u:secret@h/d", "postgres://u@h/d", true),
            ("postgres://u:se:cr@et@h/d", "postgres://u@h/d", true),
            (
                "postgresql://u@/d?host=/tmp&password=secret&port=7",
                "postgresql://u@/d?host=/tmp&port=7",
                true,
            ),
            ("postgres://u@/d?PASSWORD=secret", "postgres://u@/d", true),
        ] {
            assert_eq!(without_password(url), (shown.to_owned(), has));
        }
        let url = PostgresUrl::parse("postgres://u:secret@h/d").unwrap();
        assert!(url.has_password());
        assert!(!format!("{url} {url:?}").contains("secret"));
        let refused = PostgresUrl::parse("postgres://u:secret@h/d?port=none")
            .unwrap_err()
            .to_string();
        assert!(!refused.contains("secret"), "{refused}");
    }

    #[test]
    fn the_password_file_is_read_as_libpq_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pgpass");
        fs::write(
            &file,
            "# h:*:*:*:comment\nother:*:*:*:no\nh:5433:*:u:a\\:b\\\\c\n*:*:*:*:any\n",
        )
        .unwrap();
        let config: postgres::Config = "postgres://u@h:5433/d".parse().unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode));
            mode(0o644).unwrap();
            assert!(password_in(&file, &config).is_err(), "others can read it");
            mode(0o600).unwrap();
        }
        assert_eq!(
            password_in(&file, &config).unwrap().as_deref(),
            Some("a:b\\c")
        );
        let config: postgres::Config = "postgres://v@h:5433/d".parse().unwrap();
        assert_eq!(password_in(&file, &config).unwrap().as_deref(), Some("any"));
    }
}
