//! What an operator does with a whole ledger: check it, copy it, write it out.

use std::{io, path::Path};

use super::Ledger;
use crate::ledger::{LedgerError, sql::Value};

/// A value of a row that is written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell<'a> {
    /// Nothing.
    Null,
    /// A whole number.
    Int(i64),
    /// Bytes.
    Bytes(&'a [u8]),
    /// Text.
    Text(&'a str),
}

impl<'a> From<&'a Value> for Cell<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Int(number) => Self::Int(*number),
            Value::Bytes(bytes) => Self::Bytes(bytes),
            Value::Text(text) => Self::Text(text),
        }
    }
}

/// Takes the name of a table, and the columns and values of one of its rows.
pub type EachRow<'a> = dyn FnMut(&str, &[(&str, Cell<'_>)]) -> io::Result<()> + Send + 'a;

/// A ledger as a whole. Every store has it.
pub trait Upkeep: Ledger {
    /// Asks every row whether it agrees with the others, and the store whether
    /// what it keeps is sound. Empty: all is. Each kind of contradiction is told
    /// once.
    ///
    /// # Errors
    /// Only if the ledger cannot be read at all.
    fn contradictions(&self) -> Result<Vec<String>, LedgerError>;

    /// Whether this ledger is a copy, or was [marked](super::ChainLog::mark_restored) as
    /// one.
    ///
    /// # Errors
    /// The store's.
    fn is_restored(&self) -> Result<bool, LedgerError>;

    /// Copies the ledger, as of one moment and while others work on it, to a
    /// new file that SQLite reads, and marks the copy: whoever opens it can tell
    /// that it may be behind the chain and behind what its peers hold.
    ///
    /// # Errors
    /// The file exists already, or cannot be written.
    fn backup(&self, to: &Path) -> Result<(), LedgerError>;

    /// Every row of every table, as of one moment, in a fixed order.
    ///
    /// # Errors
    /// [`LedgerError::Output`] when `each` failed; the store's.
    fn rows(&self, each: &mut EachRow<'_>) -> Result<u64, LedgerError>;
}
