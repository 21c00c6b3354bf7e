//! Opening a ledger file: everything is asserted, or refused with a sentence.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rusqlite::{Connection, OpenFlags, TransactionBehavior, config::DbConfig};

use super::locks::LockSpace;
use crate::{
    ledger::{
        LedgerError,
        statements::schema::{APPLICATION_ID, MIGRATIONS},
        store::Guard,
    },
    types::BlockId,
};

/// How long a write waits for another process's.
const BUSY: Duration = Duration::from_secs(10);

/// File systems whose locks or syncs SQLite cannot rely on.
const NETWORK: &[&str] = &[
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "afs",
    "ceph",
    "glusterfs",
    "lustre",
    "fuse.sshfs",
    "fuse.s3fs",
    "fuse.rclone",
    "fuse.glusterfs",
    "davfs",
];

fn refuse(path: &Path, reason: impl std::fmt::Display) -> LedgerError {
    LedgerError::Open {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

/// What SQLite says, in our words where there are better ones.
fn failed(path: &Path, error: &rusqlite::Error) -> LedgerError {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseCorrupt, DatabaseLocked, NotADatabase};
    match error.sqlite_error_code() {
        Some(NotADatabase) => refuse(path, "it is not a ledger file"),
        Some(DatabaseBusy | DatabaseLocked) => LedgerError::Busy,
        Some(DatabaseCorrupt) => refuse(path, format!("it is damaged: {error}")),
        _ => refuse(path, error),
    }
}

/// The lock of a process that opens the ledger, and perhaps makes it. Without it
/// another process that opens it at the same moment would see a file that is
/// half a ledger.
const OPENING: &str = "opening";
/// How often it is asked for.
const PAUSE: Duration = Duration::from_millis(5);

/// The folder of the locks of the ledger at this path.
pub(super) fn lock_space(real: &Path) -> LockSpace {
    let mut folder = real.as_os_str().to_owned();
    folder.push("-locks");
    LockSpace::Folder(folder.into())
}

fn wait_to_open(real: &Path) -> Result<Guard, LedgerError> {
    let locks = lock_space(real);
    let deadline = Instant::now() + BUSY;
    loop {
        match locks.try_lock(OPENING)? {
            Some(guard) => return Ok(guard),
            None if Instant::now() >= deadline => return Err(LedgerError::Busy),
            None => std::thread::sleep(PAUSE),
        }
    }
}

/// Opens the file, creating it when it does not exist or is empty.
pub(super) fn open(path: &Path, genesis: BlockId) -> Result<(Connection, PathBuf), LedgerError> {
    create_private(path, Existing::Keep)?;
    let real = path
        .canonicalize()
        .map_err(|error| refuse(path, format!("its path does not resolve: {error}")))?;
    if let Some(kind) = file_system(&real)
        && NETWORK.contains(&kind.as_str())
    {
        return Err(refuse(
            path,
            format!("it is on a network file system ({kind}), where locks cannot be trusted"),
        ));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let _opening = wait_to_open(&real)?;
    let mut conn =
        Connection::open_with_flags(&real, flags).map_err(|error| failed(path, &error))?;
    prepare(&mut conn, path)?;
    let mode: String = conn
        .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
        .map_err(|error| failed(path, &error))?;
    if mode != "wal" {
        return Err(refuse(
            path,
            format!("its journal mode is {mode}, and only WAL is safe here"),
        ));
    }
    migrate(&mut conn, path, genesis)?;
    check(&conn, path, genesis)?;
    Ok((conn, real))
}

/// The chain an existing ledger is bound to.
pub(super) fn genesis_of(path: &Path) -> Result<BlockId, LedgerError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(|error| failed(path, &error))?;
    let found: [u8; 32] = conn
        .query_row("SELECT value FROM meta WHERE name = 'genesis'", [], |row| {
            row.get(0)
        })
        .map_err(|error| refuse(path, format!("it is not a ledger file ({error})")))?;
    Ok(BlockId::from_bytes(found))
}

/// A ledger in memory, for tests and simulations: nothing survives, and all
/// else is the same.
pub(super) fn in_memory(genesis: BlockId) -> Result<Connection, LedgerError> {
    let path = Path::new(":memory:");
    let mut conn = Connection::open_in_memory().map_err(|error| failed(path, &error))?;
    prepare(&mut conn, path)?;
    migrate(&mut conn, path, genesis)?;
    check(&conn, path, genesis)?;
    Ok(conn)
}

/// Another ledger in memory with the same content.
pub(super) fn copy_in_memory(from: &Connection) -> Result<Connection, LedgerError> {
    let mut copy = Connection::open_in_memory()?;
    rusqlite::backup::Backup::new(from, &mut copy)?.step(-1)?;
    prepare(&mut copy, Path::new(":memory:"))?;
    Ok(copy)
}

/// What to do with a file that is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    /// It is opened.
    Keep,
    /// It is not touched.
    Refuse,
}

/// An empty file that only its owner can read, unless there is one already:
/// who was paid what is nobody else's business.
pub(super) fn create_private(path: &Path, existing: Existing) -> Result<(), LedgerError> {
    if path.is_dir() {
        return Err(refuse(path, "it is a folder"));
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error)
            if error.kind() == std::io::ErrorKind::AlreadyExists && existing == Existing::Keep =>
        {
            Ok(())
        }
        Err(error) => Err(refuse(path, error)),
    }
}

/// Where the file is: the machine, and the file's number on its disk. A copy has
/// another place; a file that was only renamed has not.
pub(super) fn place(real: &Path) -> Result<String, LedgerError> {
    // Containers have none; then the file's number has to do.
    let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let file = std::fs::metadata(real).map_err(|error| refuse(real, error))?;
    #[cfg(unix)]
    let number = std::os::unix::fs::MetadataExt::ino(&file);
    #[cfg(not(unix))]
    let number = file
        .created()
        .ok()
        .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
        .map_or(0, |time| time.as_nanos());
    Ok(format!("{} {number}", machine.trim()))
}

/// The file system's type as Linux names it; `None` where it cannot be told.
fn file_system(real: &Path) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    // Fields: id parent major:minor root mount-point options… - type source
    mounts
        .lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let point = left.split(' ').nth(4)?.replace("\\040", " ");
            let kind = right.split(' ').next()?.to_owned();
            real.starts_with(&point).then_some((point.len(), kind))
        })
        // Of equal mount points the later one covers the earlier.
        .max_by_key(|(length, _)| *length)
        .map(|(_, kind)| kind)
}

/// Connection settings, and whether this is a ledger at all.
fn prepare(conn: &mut Connection, path: &Path) -> Result<(), LedgerError> {
    let failed = |error: rusqlite::Error| failed(path, &error);
    conn.busy_timeout(BUSY).map_err(failed)?;
    // A statement of each kind is kept compiled.
    conn.set_prepared_statement_cache_capacity(128);
    let id: i32 = conn
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(failed)?;
    let objects: i64 = conn
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed)?;
    let fresh = id == 0 && objects == 0;
    if !fresh && id != APPLICATION_ID {
        return Err(refuse(
            path,
            "it is a database of another program, not a ledger",
        ));
    }
    if conn.is_readonly("main").map_err(failed)? {
        return Err(refuse(path, "it is read-only"));
    }
    // Plans do not depend on parameters: a statement is prepared once, not again
    // for each row that it is run with.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map_err(failed)?;
    for (name, value) in [
        ("synchronous", 2),
        ("foreign_keys", 1),
        ("trusted_schema", 0),
        // At most 64 MiB of pages in memory.
        ("cache_size", -65_536),
    ] {
        conn.pragma_update(None, name, value).map_err(failed)?;
        let found: i64 = conn
            .pragma_query_value(None, name, |row| row.get(0))
            .map_err(failed)?;
        if found != value {
            return Err(refuse(
                path,
                format!("SQLite keeps {name} at {found} instead of {value}"),
            ));
        }
    }
    Ok(())
}

/// Applies the migrations that are missing, each in a transaction of its own.
fn migrate(conn: &mut Connection, path: &Path, genesis: BlockId) -> Result<(), LedgerError> {
    let known = i64::try_from(MIGRATIONS.len()).expect("a short list");
    for (number, sql) in (1..).zip(MIGRATIONS) {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version: i64 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version > known {
            return Err(LedgerError::NewerSchema {
                path: path.to_owned(),
                found: version,
                known,
            });
        }
        if version >= number {
            continue;
        }
        tx.execute_batch(sql)?;
        if number == 1 {
            tx.pragma_update(None, "application_id", APPLICATION_ID)?;
            tx.execute(
                "INSERT INTO meta (name, value) VALUES ('genesis', ?1)",
                [genesis.as_bytes()],
            )?;
        }
        tx.pragma_update(None, "user_version", number)?;
        tx.commit()
            .map_err(|error| LedgerError::CommitUnknown(error.to_string()))?;
    }
    Ok(())
}

fn check(conn: &Connection, path: &Path, genesis: BlockId) -> Result<(), LedgerError> {
    let found: [u8; 32] = conn
        .query_row("SELECT value FROM meta WHERE name = 'genesis'", [], |row| {
            row.get(0)
        })
        .map_err(|error| refuse(path, format!("it names no chain: {error}")))?;
    let found = BlockId::from_bytes(found);
    if found != genesis {
        return Err(LedgerError::OtherChain {
            path: path.to_owned(),
            found,
            expected: genesis,
        });
    }
    let verdict: String = conn
        .pragma_query_value(None, "quick_check", |row| row.get(0))
        .map_err(|error| refuse(path, format!("it is damaged: {error}")))?;
    if verdict != "ok" {
        return Err(refuse(path, format!("it is damaged: {verdict}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::backend::SqliteTransaction, *};
    use crate::ledger::{sql::Transaction, statements::audit};

    fn genesis(byte: u8) -> BlockId {
        BlockId::from_bytes([byte; 32])
    }

    fn refusal(path: &Path, chain: u8) -> String {
        open(path, genesis(chain)).unwrap_err().to_string()
    }

    #[test]
    fn a_fresh_file_becomes_a_ledger_and_stays_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.ledger");
        drop(open(&path, genesis(1)).unwrap());
        let (conn, _) = open(&path, genesis(1)).unwrap();
        let version: i64 = conn
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap();
        assert_eq!(version, i64::try_from(MIGRATIONS.len()).unwrap());
    }

    #[test]
    fn a_ledger_of_every_earlier_version_is_brought_up_to_date() {
        for version in 1..MIGRATIONS.len() {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a.ledger");
            drop(open(&path, genesis(1)).unwrap());
            std::fs::remove_file(&path).unwrap();
            let old = Connection::open(&path).unwrap();
            let mut before = MIGRATIONS.iter().take(version);
            old.execute_batch(before.next().unwrap()).unwrap();
            old.execute_batch(&format!(
                "INSERT INTO meta VALUES ('genesis', x'{}');
                 INSERT INTO receipt VALUES (1, x'01', x'02', 7, 3, x'01', 5, 1, 40, 400, 86401,
                     x'{}', x'09');
                 INSERT INTO pair VALUES (x'01', x'02', 7, 0, 40, 5, 0);",
                "01".repeat(32),
                "00".repeat(32),
            ))
            .unwrap();
            for sql in before {
                old.execute_batch(sql).unwrap();
            }
            old.pragma_update(None, "application_id", APPLICATION_ID)
                .unwrap();
            old.pragma_update(None, "user_version", i64::try_from(version).unwrap())
                .unwrap();
            old.close().unwrap();
            let (mut conn, _) = open(&path, genesis(1)).unwrap();
            let flowed: (i64, i64, i64) = conn
                .query_row("SELECT day, amount, bytes FROM flow", [], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })
                .unwrap();
            assert_eq!(flowed, (1, 40, 400));
            let tx = conn.transaction().unwrap();
            let found = audit::contradictions(&Transaction(&SqliteTransaction::new(&tx))).unwrap();
            assert!(found.is_empty(), "{found:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.ledger");
        drop(open(&path, genesis(1)).unwrap());
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn each_wrong_file_is_refused_with_its_own_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.ledger");

        assert!(refusal(dir.path(), 1).contains("folder"));
        assert!(refusal(&dir.path().join("no/where"), 1).contains("No such file"));

        drop(open(&path, genesis(1)).unwrap());
        assert!(refusal(&path, 2).contains("another --ledger"));

        std::fs::write(dir.path().join("text"), "not a database ".repeat(100)).unwrap();
        assert!(refusal(&dir.path().join("text"), 1).contains("not a ledger"));

        let other = dir.path().join("other.db");
        Connection::open(&other)
            .unwrap()
            .execute_batch("CREATE TABLE t (a)")
            .unwrap();
        assert!(refusal(&other, 1).contains("another program"));

        Connection::open(&path)
            .unwrap()
            .pragma_update(None, "user_version", 1000)
            .unwrap();
        assert!(refusal(&path, 1).contains("upgrade"));
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.ledger");
        drop(open(&path, genesis(1)).unwrap());
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 4096;
        bytes[last..].fill(0xff);
        std::fs::write(&path, bytes).unwrap();
        let refusal = refusal(&path, 1);
        assert!(refusal.contains("damaged"), "{refusal}");
    }

    #[test]
    fn mount_points_are_told_apart() {
        // The machine that runs this keeps /proc on proc.
        if Path::new("/proc/self/mountinfo").exists() {
            assert_eq!(file_system(Path::new("/proc/x")).as_deref(), Some("proc"));
        }
    }
}
