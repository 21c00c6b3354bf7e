//! The file of the list: its lock, its schema.

use std::{
    fs::{File, OpenOptions, TryLockError},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use super::StoreError;

/// `SRcl`: the file is ours.
const APPLICATION_ID: i64 = 0x5352_636c;

/// The schema, one step for each version.
const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE torrent (
    hash BLOB PRIMARY KEY CHECK (length(hash) = 20),
    -- A magnet link, or the bytes of a torrent file.
    is_file INTEGER NOT NULL CHECK (is_file IN (0, 1)),
    source BLOB NOT NULL,
    -- The content itself, or the folder that it is put into.
    is_content INTEGER NOT NULL CHECK (is_content IN (0, 1)),
    place BLOB NOT NULL,
    wish TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE totals (
    hash BLOB PRIMARY KEY REFERENCES torrent (hash) ON DELETE CASCADE,
    life TEXT NOT NULL,
    standing TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE setting (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
",
    "
-- What all torrents together moved on a day (UTC), counted from 1970-01-01.
CREATE TABLE day (
    day INTEGER PRIMARY KEY,
    figures TEXT NOT NULL
) STRICT;
",
];

/// How long a reader waits for the writer.
const BUSY: Duration = Duration::from_secs(5);

fn refuse(path: &Path) -> impl Fn(rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    move |error| StoreError::Open {
        path: path.clone(),
        reason: error.to_string(),
    }
}

/// Takes the lock beside the list: free when its holder ends, however it ends.
pub(super) fn lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let failed = |error: std::io::Error| StoreError::Open {
        path: name.clone(),
        reason: error.to_string(),
    };
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    let file = options.open(&name).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Opens the list; a new one is made, for its owner alone to read.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    options.open(path).map_err(|error| StoreError::Open {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(path, flags).map_err(refuse(path))?;
    conn.busy_timeout(BUSY).map_err(refuse(path))?;
    migrate(&mut conn, path)?;
    conn.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))
        .map_err(refuse(path))?;
    // A power cut loses nothing that was answered.
    conn.pragma_update(None, "synchronous", "full")
        .map_err(refuse(path))?;
    conn.pragma_update(None, "foreign_keys", true)
        .map_err(refuse(path))?;
    Ok(conn)
}

/// Opens a list that is there, to read.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    // With write access, as another one's log may have to be read; nothing is written.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(refuse(path))?;
    conn.busy_timeout(BUSY).map_err(refuse(path))?;
    Ok(conn)
}

/// Whether it has its tables.
pub(super) fn is_made(conn: &Connection, path: &Path) -> Result<bool, StoreError> {
    let id: i64 = conn
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(refuse(path))?;
    Ok(id == APPLICATION_ID)
}

fn migrate(conn: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let number = |conn: &Connection, name: &str| -> Result<i64, StoreError> {
        conn.pragma_query_value(None, name, |row| row.get(0))
            .map_err(refuse(path))
    };
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let (id, found) = (
        number(conn, "application_id")?,
        number(conn, "user_version")?,
    );
    let is_new = id == 0 && found == 0 && number(conn, "schema_version")? == 0;
    if !is_new && id != APPLICATION_ID {
        return Err(StoreError::Open {
            path: path.to_owned(),
            reason: "it is another program's file".to_owned(),
        });
    }
    if found > known {
        return Err(StoreError::TooNew {
            path: path.to_owned(),
            found,
            known,
        });
    }
    let transaction = conn.transaction().map_err(refuse(path))?;
    let done = usize::try_from(found).unwrap_or(0);
    for step in MIGRATIONS.iter().skip(done) {
        transaction.execute_batch(step).map_err(refuse(path))?;
    }
    transaction
        .pragma_update(None, "application_id", APPLICATION_ID)
        .map_err(refuse(path))?;
    transaction
        .pragma_update(None, "user_version", known)
        .map_err(refuse(path))?;
    transaction.commit().map_err(refuse(path))
}
