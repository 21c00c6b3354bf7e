//! Opening a ledger on PostgreSQL: everything is asserted, or refused with a
//! sentence.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use postgres::{Client, GenericClient, IsolationLevel, NoTls, error::SqlState};

use super::{
    PostgresUrl,
    backend::{Statements, failed, in_words, is_conflict},
};
use crate::{
    ledger::{
        LedgerError,
        statements::schema::{APPLICATION_ID, MIGRATIONS},
    },
    types::BlockId,
};

/// How long we wait for other processes, as on every store.
pub(super) const BUSY: Duration = Duration::from_secs(10);

/// What every connection is told.
///
/// No lock is waited for longer than [`BUSY`], and a transaction whose process
/// stands still is ended by the server, so that nobody holds anything for long.
/// Without sequential scans, transactions on different rows do not meet, and
/// tables that have just been filled are read by their indexes.
const SESSION: &str = "SET lock_timeout = '10s';
    SET idle_in_transaction_session_timeout = '10s';
    SET enable_seqscan = off;
    SET client_min_messages = warning";

/// A connection, and what is prepared on it.
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) statements: Statements,
}

fn refuse(url: &PostgresUrl, reason: impl std::fmt::Display) -> LedgerError {
    LedgerError::Open {
        path: PathBuf::from(url.to_string()),
        reason: reason.to_string(),
    }
}

fn other_program(url: &PostgresUrl) -> LedgerError {
    refuse(
        url,
        "it is a database of another program, not a ledger: give the ledger its own",
    )
}

impl Connection {
    /// Connects to a server that keeps what it confirms.
    pub(super) fn open(url: &PostgresUrl) -> Result<Self, LedgerError> {
        let failed = |error: postgres::Error| refuse(url, in_words(&error));
        let mut client = url.config()?.connect(NoTls).map_err(failed)?;
        client.batch_execute(SESSION).map_err(failed)?;
        for (name, safe) in [
            ("fsync", &["on"] as &[&str]),
            ("full_page_writes", &["on"]),
            // Stronger ones wait for standbys, too.
            ("synchronous_commit", &["on", "remote_apply"]),
            ("transaction_read_only", &["off"]),
        ] {
            let row = client
                .query_one(&format!("SHOW {name}"), &[])
                .map_err(failed)?;
            let found: String = row.try_get(0).map_err(failed)?;
            if !safe.contains(&found.as_str()) {
                return Err(refuse(
                    url,
                    format!("this server has {name} = {found}: what it confirms may be lost"),
                ));
            }
        }
        let row = client
            .query_one("SELECT pg_is_in_recovery(), current_schema()", &[])
            .map_err(failed)?;
        if row.try_get(0).map_err(failed)? {
            return Err(refuse(url, "this server is in recovery: name the primary"));
        }
        if row
            .try_get::<_, Option<String>>(1)
            .map_err(failed)?
            .is_none()
        {
            return Err(refuse(url, "the user has no schema to work in"));
        }
        Ok(Self {
            client,
            statements: Statements::default(),
        })
    }

    /// The same, where the ledger was before.
    pub(super) fn open_again(url: &PostgresUrl, before: &str) -> Result<Self, LedgerError> {
        let mut connection = Self::open(url)?;
        if connection.place(url)? == before {
            Ok(connection)
        } else {
            Err(refuse(
                url,
                "the database was restored, or another server has taken over: begin again",
            ))
        }
    }

    /// Where the ledger is: the server, how often it was set back or replaced by a
    /// standby, the database, and the table. A copy has another place, restored over
    /// the original too.
    pub(super) fn place(&mut self, url: &PostgresUrl) -> Result<String, LedgerError> {
        let failed = |error: postgres::Error| refuse(url, in_words(&error));
        let row = self.client.query_one(
            "SELECT concat_ws(' ',
                (SELECT system_identifier FROM pg_control_system()),
                (SELECT timeline_id FROM pg_control_checkpoint()),
                (SELECT oid FROM pg_database WHERE datname = current_database()),
                CAST(CAST('meta' AS regclass) AS oid))",
            &[],
        );
        row.and_then(|row| row.try_get(0)).map_err(failed)
    }
}

/// The schema's text, as PostgreSQL names the types and writes bytes.
fn translated(sql: &str) -> String {
    let sql = sql.replace("BLOB", "BYTEA").replace("INTEGER", "BIGINT");
    let mut out = String::with_capacity(sql.len());
    let mut rest = sql.as_str();
    while let Some((before, after)) = rest.split_once("x'") {
        let (digits, tail) = after.split_once('\'').unwrap_or((after, ""));
        out += before;
        out += &format!("'\\x{digits}'::bytea");
        rest = tail;
    }
    out + rest
}

/// What the schema of the connection holds.
enum Found {
    Nothing,
    Ledger { schema: i64 },
    Other,
}

fn look(client: &mut impl GenericClient) -> Result<Found, postgres::Error> {
    let tables = client.query(
        "SELECT CAST(table_name AS TEXT) FROM information_schema.tables
         WHERE table_schema = current_schema()",
        &[],
    )?;
    let mut names = Vec::new();
    for row in &tables {
        names.push(row.try_get::<_, String>(0)?);
    }
    if names.is_empty() {
        return Ok(Found::Nothing);
    }
    if !names.iter().any(|name| name == "meta") {
        return Ok(Found::Other);
    }
    let rows = client.query(
        "SELECT name, value FROM meta WHERE name IN ('application', 'schema')",
        &[],
    )?;
    let (mut ours, mut schema) = (false, None);
    for row in &rows {
        let value: Vec<u8> = row.try_get(1)?;
        match row.try_get::<_, &str>(0)? {
            "application" => ours = value == APPLICATION_ID.to_be_bytes(),
            _ => schema = <[u8; 8]>::try_from(value.as_slice()).ok(),
        }
    }
    Ok(match schema {
        Some(schema) if ours => Found::Ledger {
            schema: i64::from_be_bytes(schema),
        },
        _ => Found::Other,
    })
}

/// Whether there is a ledger; an error when there is something else.
pub(super) fn is_ledger(client: &mut Client, url: &PostgresUrl) -> Result<bool, LedgerError> {
    match look(client) {
        Ok(Found::Nothing) => Ok(false),
        Ok(Found::Ledger { .. }) => Ok(true),
        Ok(Found::Other) => Err(other_program(url)),
        // A table `meta` of somebody else's.
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_COLUMN) => Err(other_program(url)),
        // Between two statements another process made the ledger.
        Err(error) if made_elsewhere(&error) => Ok(true),
        Err(error) => Err(failed(&error)),
    }
}

fn put(client: &mut impl GenericClient, name: &str, value: &[u8]) -> Result<u64, postgres::Error> {
    client.execute(
        "INSERT INTO meta (name, value) VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        &[&name, &value],
    )
}

/// Brings the schema up to date, each migration in one transaction, and says
/// which chain the ledger is bound to.
pub(super) fn migrate(
    client: &mut Client,
    url: &PostgresUrl,
    genesis: Option<BlockId>,
) -> Result<BlockId, LedgerError> {
    let deadline = Instant::now() + BUSY;
    loop {
        match step(client, url, genesis) {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => {}
            // Another process makes the same tables.
            Err(Stop::Database(error)) if made_elsewhere(&error) && Instant::now() < deadline => {
                std::thread::yield_now();
            }
            // A table `meta` of somebody else's.
            Err(Stop::Database(error)) if error.code() == Some(&SqlState::UNDEFINED_COLUMN) => {
                return Err(other_program(url));
            }
            Err(Stop::Database(error)) => return Err(failed(&error)),
            Err(Stop::Refused(error)) => return Err(error),
        }
    }
}

enum Stop {
    Database(postgres::Error),
    Refused(LedgerError),
}

impl From<postgres::Error> for Stop {
    fn from(error: postgres::Error) -> Self {
        Self::Database(error)
    }
}

fn made_elsewhere(error: &postgres::Error) -> bool {
    is_conflict(error)
        || error.code().is_some_and(|code| {
            [
                SqlState::DUPLICATE_TABLE,
                SqlState::DUPLICATE_COLUMN,
                SqlState::DUPLICATE_OBJECT,
                SqlState::UNIQUE_VIOLATION,
                SqlState::UNDEFINED_TABLE,
                SqlState::INTERNAL_ERROR,
            ]
            .contains(code)
        })
}

/// One migration; the chain, once there is none left.
fn step(
    client: &mut Client,
    url: &PostgresUrl,
    genesis: Option<BlockId>,
) -> Result<Option<BlockId>, Stop> {
    let known = i64::try_from(MIGRATIONS.len()).expect("a short list");
    let refused = |error| Err(Stop::Refused(error));
    let mut tx = client
        .build_transaction()
        .isolation_level(IsolationLevel::Serializable)
        .start()?;
    let (schema, genesis) = match (look(&mut tx)?, genesis) {
        (Found::Nothing, Some(genesis)) => (0, Some(genesis)),
        (Found::Nothing, None) => {
            return refused(LedgerError::Absent(PathBuf::from(url.to_string())));
        }
        (Found::Other, _) => {
            return refused(other_program(url));
        }
        (Found::Ledger { schema }, genesis) => (schema, genesis),
    };
    if schema > known {
        return refused(LedgerError::NewerSchema {
            path: PathBuf::from(url.to_string()),
            found: schema,
            known,
        });
    }
    let next = usize::try_from(schema)
        .ok()
        .and_then(|at| MIGRATIONS.get(at));
    if let Some(sql) = next {
        tx.batch_execute(&translated(sql))?;
        put(&mut tx, "schema", &(schema + 1).to_be_bytes())?;
        if let (0, Some(genesis)) = (schema, genesis) {
            put(&mut tx, "application", &APPLICATION_ID.to_be_bytes())?;
            put(&mut tx, "genesis", genesis.as_bytes())?;
        }
        tx.commit()?;
        return Ok(None);
    }
    let row = tx.query_opt("SELECT value FROM meta WHERE name = 'genesis'", &[])?;
    let found = match row {
        Some(row) => row.try_get::<_, Vec<u8>>(0)?,
        None => Vec::new(),
    };
    let Ok(found) = <[u8; 32]>::try_from(found.as_slice()) else {
        return refused(refuse(url, "it names no chain"));
    };
    let found = BlockId::from_bytes(found);
    match genesis {
        Some(expected) if expected != found => refused(LedgerError::OtherChain {
            path: PathBuf::from(url.to_string()),
            found,
            expected,
        }),
        _ => Ok(Some(found)),
    }
}
