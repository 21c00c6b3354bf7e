//! What a statement needs of a database, so that one suite of statements runs
//! on every store: parameters written `?1`, integers, bytes and text.

use std::sync::Arc;

use super::{error::LedgerError, statements::random_number};

/// A parameter of a statement. `None` is NULL, of a type that is known.
#[derive(Debug, Clone, Copy)]
pub(super) enum Param<'a> {
    Int(Option<i64>),
    Bytes(Option<&'a [u8]>),
    Text(Option<&'a str>),
}

/// What can be a parameter.
pub(super) trait ToParam {
    /// NULL of this type.
    const NULL: Param<'static>;
    fn to_param(&self) -> Param<'_>;
}

macro_rules! whole_numbers {
    ($($number:ty),*) => { $(impl ToParam for $number {
        const NULL: Param<'static> = Param::Int(None);
        fn to_param(&self) -> Param<'_> {
            Param::Int(Some(i64::from(*self)))
        }
    })* };
}
whole_numbers!(i64, u32, bool);

macro_rules! plain {
    ($($kind:ty => $variant:ident),* $(,)?) => {
        $(impl ToParam for $kind {
            const NULL: Param<'static> = Param::$variant(None);
            fn to_param(&self) -> Param<'_> {
                Param::$variant(Some(self))
            }
        })*
    };
}
plain!([u8] => Bytes, Vec<u8> => Bytes, str => Text, String => Text);

impl<const N: usize> ToParam for [u8; N] {
    const NULL: Param<'static> = Param::Bytes(None);
    fn to_param(&self) -> Param<'_> {
        Param::Bytes(Some(self))
    }
}

impl<T: ToParam + ?Sized> ToParam for &T {
    const NULL: Param<'static> = T::NULL;
    fn to_param(&self) -> Param<'_> {
        (**self).to_param()
    }
}

impl<T: ToParam> ToParam for Option<T> {
    const NULL: Param<'static> = T::NULL;
    fn to_param(&self) -> Param<'_> {
        self.as_ref().map_or(T::NULL, ToParam::to_param)
    }
}

/// The parameters of one statement, in their order.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$($crate::ledger::sql::ToParam::to_param(&$value)),*]
    };
}
pub(super) use params;

/// A value of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Int(i64),
    Bytes(Vec<u8>),
    Text(String),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Int(number) => number.fmt(f),
            Self::Bytes(bytes) => f.write_str(&hex::encode(bytes)),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// What a column can be read as; the error says why not.
pub(super) trait FromValue: Sized {
    fn from_value(value: &Value) -> Result<Self, String>;
}

fn not_a(kind: &str, value: &Value) -> String {
    format!("{value} is not {kind}")
}

impl FromValue for Value {
    fn from_value(value: &Value) -> Result<Self, String> {
        Ok(value.clone())
    }
}

impl FromValue for i64 {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Int(number) => Ok(*number),
            other => Err(not_a("a number", other)),
        }
    }
}

impl FromValue for u32 {
    fn from_value(value: &Value) -> Result<Self, String> {
        Self::try_from(i64::from_value(value)?).map_err(|error| error.to_string())
    }
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Int(0) => Ok(false),
            Value::Int(1) => Ok(true),
            other => Err(not_a("0 or 1", other)),
        }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Bytes(bytes) => Ok(bytes.clone()),
            other => Err(not_a("bytes", other)),
        }
    }
}

impl<const N: usize> FromValue for [u8; N] {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Bytes(bytes) => bytes
                .as_slice()
                .try_into()
                .map_err(|_| format!("{} bytes instead of {N}", bytes.len())),
            other => Err(not_a("bytes", other)),
        }
    }
}

impl FromValue for String {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Text(text) => Ok(text.clone()),
            other => Err(not_a("text", other)),
        }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Null => Ok(None),
            other => T::from_value(other).map(Some),
        }
    }
}

/// A row that was read.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) names: Arc<[String]>,
    pub(super) values: Vec<Value>,
}

impl Row {
    /// One column by name.
    pub(super) fn get<T: FromValue>(&self, column: &str) -> Result<T, LedgerError> {
        let value = self
            .names
            .iter()
            .position(|name| name == column)
            .and_then(|at| self.values.get(at))
            .ok_or_else(|| LedgerError::Damaged(format!("{column}: there is no such column")))?;
        T::from_value(value).map_err(|error| LedgerError::Damaged(format!("{column}: {error}")))
    }
}

/// The type of a column of many rows that are given to one statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Bytes,
    Text,
}

/// How a store bounds what is exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exclusion {
    /// A lock of the operating system, freed by its process's end: the fencing
    /// number says who has it.
    Locks,
    /// A row that its holder renews: by the database's clock, in milliseconds
    /// since the Unix epoch, as this expression says.
    #[cfg_attr(
        not(feature = "postgres"),
        allow(dead_code, reason = "PostgreSQL alone uses it")
    )]
    Clock(&'static str),
}

/// An open transaction of some database.
pub(super) trait Backend {
    fn query(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, LedgerError>;
    fn execute(&self, sql: &str, params: &[Param<'_>]) -> Result<u64, LedgerError>;
    /// Runs `sql` for each row of parameters, which it finds in `{rows}` as a
    /// table `r` with these columns. Many go together, in no order. A table is
    /// joined to them by CROSS JOIN, of which SQLite reads the left side first: it
    /// must not read a whole table to look for a few rows.
    fn query_each(
        &self,
        sql: &str,
        columns: &[(&str, Kind)],
        rows: &[Vec<Param<'_>>],
    ) -> Result<Vec<Row>, LedgerError>;
    fn execute_each(
        &self,
        sql: &str,
        columns: &[(&str, Kind)],
        rows: &[Vec<Param<'_>>],
    ) -> Result<u64, LedgerError>;
    fn exclusion(&self) -> Exclusion;
    /// A random number of 63 bits, as the name of a new row.
    fn random_number(&self) -> Result<i64, LedgerError> {
        random_number()
    }
}

/// A transaction, as the statements see it.
pub(super) struct Transaction<'a>(pub(super) &'a dyn Backend);

impl<'a> std::ops::Deref for Transaction<'a> {
    type Target = dyn Backend + 'a;
    fn deref(&self) -> &Self::Target {
        self.0
    }
}

impl Transaction<'_> {
    pub(super) fn exists(&self, sql: &str, params: &[Param<'_>]) -> Result<bool, LedgerError> {
        Ok(!self.query(sql, params)?.is_empty())
    }

    /// The first column of the first row; `None` without a row, and for NULL.
    pub(super) fn number(
        &self,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Option<i64>, LedgerError> {
        let rows = self.query(sql, params)?;
        match rows.first().and_then(|row| row.values.first()) {
            None => Ok(None),
            Some(value) => Option::from_value(value).map_err(LedgerError::Damaged),
        }
    }
}
