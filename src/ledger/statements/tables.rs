//! Every row of every table, for copies and for writing out.

use std::collections::BTreeSet;

use super::schema::TABLES;
use crate::ledger::{
    LedgerError,
    sql::{Kind, Param, Row, Transaction, Value},
};

/// How many rows are in memory at a time.
const PAGE: i64 = 10_000;

fn param(value: &Value) -> Param<'_> {
    match value {
        // Keys are never NULL, and nothing else is asked for.
        Value::Null => Param::Int(None),
        Value::Int(number) => Param::Int(Some(*number)),
        Value::Bytes(bytes) => Param::Bytes(Some(bytes)),
        Value::Text(text) => Param::Text(Some(text)),
    }
}

/// Calls `page` with the rows of each table, in the order of its key; a table
/// that others refer to comes before them.
pub(in crate::ledger) fn walk(
    tx: &Transaction<'_>,
    mut page: impl FnMut(&str, &[Row]) -> Result<(), LedgerError>,
) -> Result<(), LedgerError> {
    for (table, key) in TABLES {
        let order = key.join(", ");
        let mut last: Vec<Value> = Vec::new();
        loop {
            let places: Vec<_> = (1..=last.len()).map(|n| format!("?{n}")).collect();
            let after = if last.is_empty() {
                String::new()
            } else {
                format!("WHERE ({order}) > ({})", places.join(", "))
            };
            let rows = tx.query(
                &format!("SELECT * FROM {table} {after} ORDER BY {order} LIMIT {PAGE}"),
                &last.iter().map(param).collect::<Vec<_>>(),
            )?;
            page(table, &rows)?;
            let Some(end) = rows.last() else { break };
            last = key
                .iter()
                .map(|column| end.get(column))
                .collect::<Result<_, _>>()?;
        }
    }
    Ok(())
}

/// Puts rows of a page into the same table of another ledger.
#[cfg_attr(
    not(feature = "postgres"),
    allow(dead_code, reason = "PostgreSQL alone uses it")
)]
pub(in crate::ledger) fn put(
    tx: &Transaction<'_>,
    table: &str,
    rows: &[Row],
) -> Result<(), LedgerError> {
    let Some(first) = rows.first() else {
        return Ok(());
    };
    let names: Vec<&str> = first.names.iter().map(String::as_str).collect();
    // The type of a column is that of its values; the store takes any of them.
    let columns: Vec<_> = names.iter().map(|name| (*name, Kind::Bytes)).collect();
    let values: Vec<Vec<_>> = rows
        .iter()
        .map(|row| row.values.iter().map(param).collect())
        .collect();
    let read: Vec<_> = names.iter().map(|name| format!("r.{name}")).collect();
    tx.execute_each(
        &format!(
            "INSERT INTO {table} ({}) SELECT {} FROM {{rows}}",
            names.join(", "),
            read.join(", ")
        ),
        &columns,
        &values,
    )?;
    Ok(())
}

/// Rows of `meta` that say what database they are in, not what is in it.
#[cfg_attr(
    not(feature = "postgres"),
    allow(dead_code, reason = "PostgreSQL alone uses it")
)]
pub(in crate::ledger) fn is_own(table: &str, row: &Row) -> Result<bool, LedgerError> {
    let own = BTreeSet::from(["genesis", "application", "schema"]);
    Ok(table == "meta" && own.contains(row.get::<String>("name")?.as_str()))
}
