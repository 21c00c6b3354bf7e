//! The statements on an open transaction of PostgreSQL.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    error::Error as _,
    sync::Arc,
};

use postgres::{
    Statement,
    error::SqlState,
    types::{IsNull, ToSql, Type, private::BytesMut, to_sql_checked},
};

use crate::ledger::{
    LedgerError,
    sql::{Backend, Exclusion, Kind, Param, Row, Value},
};

/// The database's clock, in milliseconds since the Unix epoch; not the
/// transaction's, which stands still.
pub(super) const NOW: &str = "CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS BIGINT)";

/// A statement as the server keeps it.
#[derive(Clone)]
pub(super) struct Prepared {
    statement: Statement,
    names: Arc<[String]>,
}

/// What is prepared on a connection, by the text and what stands for `{rows}`.
pub(super) type Statements = RefCell<HashMap<String, Prepared>>;

/// Borrowed from the connection for one transaction.
pub(super) struct PostgresTransaction<'a> {
    pub(super) tx: RefCell<postgres::Transaction<'a>>,
    pub(super) statements: &'a Statements,
    /// Set when the database asked to run the whole transaction once more.
    pub(super) again: Cell<bool>,
    /// Set when a row was there that was not before.
    pub(super) twin: Cell<bool>,
}

/// Whether another transaction made the same row first. Run again, it is seen
/// to be there.
pub(super) fn is_twin(error: &postgres::Error) -> bool {
    error.code() == Some(&SqlState::UNIQUE_VIOLATION)
}

/// Whether the connection ended, or the server ended it: what was not
/// committed did not happen.
pub(super) fn is_lost(error: &postgres::Error) -> bool {
    match error.code() {
        None => true,
        Some(code) => [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
        ]
        .contains(code),
    }
}

/// Whether the transaction met another and is to be run once more.
pub(super) fn is_conflict(error: &postgres::Error) -> bool {
    error.code().is_some_and(|code| {
        [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
        ]
        .contains(code)
    })
}

/// What the database says, in our words where there are better ones.
pub(super) fn failed(error: &postgres::Error) -> LedgerError {
    match error.code() {
        Some(code) if *code == SqlState::DISK_FULL => LedgerError::DiskFull,
        Some(code)
            if *code == SqlState::LOCK_NOT_AVAILABLE
                || *code == SqlState::T_R_SERIALIZATION_FAILURE
                || *code == SqlState::T_R_DEADLOCK_DETECTED =>
        {
            LedgerError::Busy
        }
        _ => LedgerError::Store(in_words(error)),
    }
}

/// The error with what the server said.
pub(super) fn in_words(error: &postgres::Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(said), _) => format!("PostgreSQL says: {}", said.message()),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}

impl ToSql for Param<'_> {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Int(number) => number.to_sql(kind, out),
            Self::Bytes(bytes) => bytes.to_sql(kind, out),
            Self::Text(text) => text.to_sql(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        [Type::INT8, Type::BYTEA, Type::TEXT].contains(kind)
    }

    to_sql_checked!();
}

fn type_of(param: &Param<'_>) -> Type {
    match param {
        Param::Int(_) => Type::INT8,
        Param::Bytes(_) => Type::BYTEA,
        Param::Text(_) => Type::TEXT,
    }
}

/// `?1` as PostgreSQL writes it: `$1`.
fn numbered(sql: &str) -> String {
    sql.replace('?', "$")
}

/// `{rows}` as one array for each column: the statement runs once for all.
fn unnested(sql: &str, columns: &[(&str, Kind)]) -> String {
    let (mut arrays, mut names) = (Vec::new(), Vec::new());
    for (n, (name, kind)) in (1..).zip(columns) {
        let kind = match kind {
            Kind::Int => "int8",
            Kind::Bytes => "bytea",
            Kind::Text => "text",
        };
        arrays.push(format!("${n}::{kind}[]"));
        names.push(*name);
    }
    let rows = format!("unnest({}) AS r ({})", arrays.join(", "), names.join(", "));
    sql.replace("{rows}", &rows)
}

/// The columns of many rows, as the arrays that are sent.
enum Array<'a> {
    Int(Vec<Option<i64>>),
    Bytes(Vec<Option<&'a [u8]>>),
    Text(Vec<Option<&'a str>>),
}

fn arrays<'a>(
    columns: &[(&str, Kind)],
    rows: &[Vec<Param<'a>>],
) -> Result<Vec<Array<'a>>, LedgerError> {
    let mut arrays: Vec<_> = columns
        .iter()
        .map(|(_, kind)| match kind {
            Kind::Int => Array::Int(Vec::with_capacity(rows.len())),
            Kind::Bytes => Array::Bytes(Vec::with_capacity(rows.len())),
            Kind::Text => Array::Text(Vec::with_capacity(rows.len())),
        })
        .collect();
    for row in rows {
        for (array, value) in arrays.iter_mut().zip(row) {
            match (array, value) {
                (Array::Int(array), Param::Int(value)) => array.push(*value),
                (Array::Bytes(array), Param::Bytes(value)) => array.push(*value),
                (Array::Text(array), Param::Text(value)) => array.push(*value),
                _ => {
                    return Err(LedgerError::Store(
                        "a row of parameters does not fit its columns".to_owned(),
                    ));
                }
            }
        }
    }
    Ok(arrays)
}

impl PostgresTransaction<'_> {
    fn note(&self, error: &postgres::Error) -> LedgerError {
        if is_conflict(error) || is_lost(error) {
            self.again.set(true);
        }
        if is_twin(error) {
            self.twin.set(true);
        }
        failed(error)
    }

    fn prepare(&self, sql: String, types: &[Type]) -> Result<Prepared, LedgerError> {
        if let Some(known) = self.statements.borrow().get(&sql) {
            return Ok(known.clone());
        }
        let statement = self
            .tx
            .borrow_mut()
            .prepare_typed(&sql, types)
            .map_err(|error| self.note(&error))?;
        let names = statement
            .columns()
            .iter()
            .map(|column| column.name().to_owned())
            .collect();
        let prepared = Prepared { statement, names };
        self.statements.borrow_mut().insert(sql, prepared.clone());
        Ok(prepared)
    }

    fn fetch(
        &self,
        prepared: &Prepared,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, LedgerError> {
        let found = self
            .tx
            .borrow_mut()
            .query(&prepared.statement, values)
            .map_err(|error| self.note(&error))?;
        found.iter().map(|row| read(row, &prepared.names)).collect()
    }

    fn change(
        &self,
        prepared: &Prepared,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, LedgerError> {
        self.tx
            .borrow_mut()
            .execute(&prepared.statement, values)
            .map_err(|error| self.note(&error))
    }

    fn single(&self, sql: &str, params: &[Param<'_>]) -> Result<Prepared, LedgerError> {
        let types: Vec<_> = params.iter().map(type_of).collect();
        self.prepare(numbered(sql), &types)
    }

    fn many(&self, sql: &str, columns: &[(&str, Kind)]) -> Result<Prepared, LedgerError> {
        self.prepare(unnested(sql, columns), &[])
    }
}

fn borrowed<'a>(params: &'a [Param<'_>]) -> Vec<&'a (dyn ToSql + Sync)> {
    params
        .iter()
        .map(|param| param as &(dyn ToSql + Sync))
        .collect()
}

fn as_parameters<'a>(arrays: &'a [Array<'_>]) -> Vec<&'a (dyn ToSql + Sync)> {
    arrays
        .iter()
        .map(|array| match array {
            Array::Int(array) => array as &(dyn ToSql + Sync),
            Array::Bytes(array) => array,
            Array::Text(array) => array,
        })
        .collect()
}

fn read(row: &postgres::Row, names: &Arc<[String]>) -> Result<Row, LedgerError> {
    let mut values = Vec::with_capacity(row.len());
    for (at, column) in row.columns().iter().enumerate() {
        let damaged =
            |error: postgres::Error| LedgerError::Damaged(format!("{}: {error}", column.name()));
        let value = match *column.type_() {
            Type::INT8 => row.try_get::<_, Option<i64>>(at).map(|n| n.map(Value::Int)),
            Type::INT4 => row
                .try_get::<_, Option<i32>>(at)
                .map(|n| n.map(|n| Value::Int(i64::from(n)))),
            Type::BOOL => row
                .try_get::<_, Option<bool>>(at)
                .map(|yes| yes.map(|yes| Value::Int(i64::from(yes)))),
            Type::BYTEA => row
                .try_get::<_, Option<Vec<u8>>>(at)
                .map(|bytes| bytes.map(Value::Bytes)),
            Type::TEXT => row
                .try_get::<_, Option<String>>(at)
                .map(|text| text.map(Value::Text)),
            ref other => {
                return Err(LedgerError::Damaged(format!(
                    "{}: a column of type {other}",
                    column.name()
                )));
            }
        };
        values.push(value.map_err(damaged)?.unwrap_or(Value::Null));
    }
    Ok(Row {
        names: Arc::clone(names),
        values,
    })
}

impl Backend for PostgresTransaction<'_> {
    fn query(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, LedgerError> {
        self.fetch(&self.single(sql, params)?, &borrowed(params))
    }

    fn execute(&self, sql: &str, params: &[Param<'_>]) -> Result<u64, LedgerError> {
        self.change(&self.single(sql, params)?, &borrowed(params))
    }

    fn query_each(
        &self,
        sql: &str,
        columns: &[(&str, Kind)],
        rows: &[Vec<Param<'_>>],
    ) -> Result<Vec<Row>, LedgerError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let arrays = arrays(columns, rows)?;
        self.fetch(&self.many(sql, columns)?, &as_parameters(&arrays))
    }

    fn execute_each(
        &self,
        sql: &str,
        columns: &[(&str, Kind)],
        rows: &[Vec<Param<'_>>],
    ) -> Result<u64, LedgerError> {
        if rows.is_empty() {
            return Ok(0);
        }
        let arrays = arrays(columns, rows)?;
        self.change(&self.many(sql, columns)?, &as_parameters(&arrays))
    }

    fn exclusion(&self) -> Exclusion {
        Exclusion::Clock(NOW)
    }
}
