//! The statements on an open transaction of SQLite.

use std::sync::Arc;

use rusqlite::{
    CachedStatement, ErrorCode,
    types::{ToSqlOutput, ValueRef},
};

use super::NumberSource;
use crate::ledger::{
    LedgerError,
    sql::{Backend, Exclusion, Kind, Param, Row, Value},
    statements::random_number,
};

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            _ => Self::Store(error.to_string()),
        }
    }
}

impl rusqlite::ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let value = match self {
            Self::Int(Some(number)) => ValueRef::Integer(*number),
            Self::Bytes(Some(bytes)) => ValueRef::Blob(bytes),
            Self::Text(Some(text)) => ValueRef::Text(text.as_bytes()),
            Self::Int(None) | Self::Bytes(None) | Self::Text(None) => ValueRef::Null,
        };
        Ok(ToSqlOutput::Borrowed(value))
    }
}

/// Borrowed from the store for one transaction.
pub(super) struct SqliteTransaction<'a> {
    transaction: &'a rusqlite::Transaction<'a>,
    numbers: Option<&'a NumberSource>,
}

impl<'a> SqliteTransaction<'a> {
    /// With random numbers of the system.
    pub(super) const fn new(transaction: &'a rusqlite::Transaction<'a>) -> Self {
        Self {
            transaction,
            numbers: None,
        }
    }

    /// With numbers of a simulation, where there is one.
    pub(super) const fn numbered(mut self, numbers: Option<&'a NumberSource>) -> Self {
        self.numbers = numbers;
        self
    }

    fn run(&self, sql: &str, params: &[Param<'_>]) -> Result<u64, LedgerError> {
        let mut statement = self.transaction.prepare_cached(sql)?;
        execute(&mut statement, params)
    }
}

fn execute(statement: &mut CachedStatement<'_>, params: &[Param<'_>]) -> Result<u64, LedgerError> {
    let changed = statement.execute(rusqlite::params_from_iter(params))?;
    Ok(u64::try_from(changed).unwrap_or(u64::MAX))
}

fn fetch(
    statement: &mut CachedStatement<'_>,
    params: &[Param<'_>],
    into: &mut Vec<Row>,
) -> Result<(), LedgerError> {
    let columns = statement.column_count();
    let mut names: Option<Arc<[String]>> = into.first().map(|row| Arc::clone(&row.names));
    let mut found = statement.query(rusqlite::params_from_iter(params))?;
    while let Some(row) = found.next()? {
        let names =
            names.get_or_insert_with(|| row.as_ref().column_names().map(str::to_owned).collect());
        let mut values = Vec::with_capacity(columns);
        for column in 0..columns {
            values.push(match row.get_ref(column)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => Value::Int(number),
                ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
                ValueRef::Text(text) => {
                    Value::Text(String::from_utf8(text.to_vec()).map_err(|error| {
                        LedgerError::Damaged(format!("column {column}: {error}"))
                    })?)
                }
                ValueRef::Real(number) => {
                    return Err(LedgerError::Damaged(format!(
                        "column {column}: {number} is no integer"
                    )));
                }
            });
        }
        into.push(Row {
            names: Arc::clone(names),
            values,
        });
    }
    Ok(())
}

/// So many rows are given to a statement at once: each run of it that joins rows
/// makes a table of its own for them, which takes longer than a row.
const TOGETHER: usize = 64;

/// `{rows}` as this many rows of parameters.
fn with_rows(sql: &str, columns: &[(&str, Kind)], count: usize) -> String {
    let names: Vec<_> = (1..)
        .zip(columns)
        .map(|(n, (name, _))| format!("column{n} AS {name}"))
        .collect();
    let row = format!("({})", vec!["?"; columns.len()].join(", "));
    let rows = vec![row; count].join(", ");
    let names = names.join(", ");
    sql.replace(
        "{rows}",
        &format!("(SELECT {names} FROM (VALUES {rows})) AS r"),
    )
}

impl SqliteTransaction<'_> {
    /// Runs `sql` for all rows: as many as go together, then what is left one by
    /// one, so that two statements serve any number of rows.
    fn each(
        &self,
        sql: &str,
        columns: &[(&str, Kind)],
        rows: &[Vec<Param<'_>>],
        mut run: impl FnMut(&mut CachedStatement<'_>, &[Param<'_>]) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        let (many, few) = rows.as_chunks::<TOGETHER>();
        if !many.is_empty() {
            let mut statement = self
                .transaction
                .prepare_cached(&with_rows(sql, columns, TOGETHER))?;
            for rows in many {
                run(&mut statement, &rows.concat())?;
            }
        }
        if !few.is_empty() {
            let mut statement = self
                .transaction
                .prepare_cached(&with_rows(sql, columns, 1))?;
            for row in few {
                run(&mut statement, row)?;
            }
        }
        Ok(())
    }
}

impl Backend for SqliteTransaction<'_> {
    fn query(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, LedgerError> {
        let mut rows = Vec::new();
        fetch(
            &mut self.transaction.prepare_cached(sql)?,
            params,
            &mut rows,
        )?;
        Ok(rows)
    }

    fn execute(&self, sql: &str, params: &[Param<'_>]) -> Result<u64, LedgerError> {
        self.run(sql, params)
    }

    fn query_each(
        &self,
        sql: &str,
        columns: &[(&str, Kind)],
        rows: &[Vec<Param<'_>>],
    ) -> Result<Vec<Row>, LedgerError> {
        let mut found = Vec::new();
        self.each(sql, columns, rows, |statement, params| {
            fetch(statement, params, &mut found)
        })?;
        Ok(found)
    }

    fn execute_each(
        &self,
        sql: &str,
        columns: &[(&str, Kind)],
        rows: &[Vec<Param<'_>>],
    ) -> Result<u64, LedgerError> {
        let mut changed = 0;
        self.each(sql, columns, rows, |statement, params| {
            changed += execute(statement, params)?;
            Ok(())
        })?;
        Ok(changed)
    }

    fn exclusion(&self) -> Exclusion {
        Exclusion::Locks
    }

    fn random_number(&self) -> Result<i64, LedgerError> {
        match self.numbers {
            Some(numbers) => Ok(numbers() & i64::MAX),
            None => random_number(),
        }
    }
}
