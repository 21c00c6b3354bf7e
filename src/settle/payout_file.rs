//! A file of payouts: one row each, validated whole before anything is done
//! with any of it. Pure.
//!
//! Text in UTF-8 (RFC 4180), separated by commas, semicolons or tabs. The first row
//! names the columns: `address`, `amount` (with its unit: `12.5BTT`), and if wanted
//! `id` and `memo`, in any order; others are not read. For what people's
//! spreadsheets make of it see `payout_dialect.rs`.

use std::{collections::HashMap, fmt};

use csv::{ReaderBuilder, StringRecord};
use sha2::{Digest, Sha256};

use super::payout_dialect::{Columns, ReadAs, SEPARATORS, amount, named_separator};
use crate::{
    ledger::OrderKey,
    types::{Address, RawAmount, Token},
};

/// The largest file read: what [`MAX_ROWS`] rows with short memos take.
pub const MAX_FILE_BYTES: u64 = 32 << 20;
/// The most rows of a file: what an account can send in three hours.
pub const MAX_ROWS: usize = 100_000;
/// The longest id, in bytes.
pub const MAX_ID_BYTES: usize = 128;
/// The longest memo, in bytes: each costs bandwidth, and all a fee.
pub const MAX_MEMO_BYTES: usize = 512;
/// How many wrong cells are named; the others are counted.
const SHOWN: usize = 10;

/// A validated file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayoutFile {
    /// Its rows, in order; at least one.
    pub rows: Vec<FileRow>,
    /// Whether its rows are known by an id of their own; otherwise by the file's
    /// hash and their number.
    pub has_ids: bool,
    /// The names of columns that were not read.
    pub ignored: Vec<String>,
}

/// One payout of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRow {
    /// Its number, from 1, the row of names not counted.
    pub number: usize,
    /// What its user calls it.
    pub id: Option<String>,
    /// Which order it is, in this file and in every other.
    pub key: OrderKey,
    /// What its user calls it: its id, with the period that was given; empty without
    /// either.
    pub label: String,
    /// Who is paid.
    pub payee: Address,
    /// In what.
    pub token: Token,
    /// How much, above zero.
    pub amount: RawAmount,
    /// A memo; costs a fee when not empty.
    pub memo: Vec<u8>,
    /// Whether it counts against no debt to its payee.
    pub not_for_debts: bool,
}

/// The identity of the order that its user calls `id`, in a file or alone.
pub fn key_of_id(id: &str) -> OrderKey {
    let hash = Sha256::new()
        .chain_update(b"seedrail payout id\0")
        .chain_update(id);
    OrderKey::from_bytes(hash.finalize().into())
}

/// The identity of a row without an id: of the whole file's hash and its number.
fn key_of_number(file: &[u8; 32], number: usize) -> OrderKey {
    let hash = Sha256::new()
        .chain_update(b"seedrail payout row\0")
        .chain_update(file)
        .chain_update((number as u64).to_be_bytes());
    OrderKey::from_bytes(hash.finalize().into())
}

/// The same order in another period.
pub fn key_in_period(period: &str, key: &OrderKey) -> OrderKey {
    let hash = Sha256::new()
        .chain_update(b"seedrail payout period\0")
        .chain_update((period.len() as u64).to_be_bytes())
        .chain_update(period)
        .chain_update(key.as_bytes());
    OrderKey::from_bytes(hash.finalize().into())
}

/// Whether an order may be called so.
///
/// # Errors
/// Why not, in words.
pub fn check_id(id: &str) -> Result<(), String> {
    if id.is_empty() {
        return Err("an id cannot be empty".to_owned());
    }
    if id.len() > MAX_ID_BYTES || id.chars().any(char::is_control) {
        return Err(format!(
            "an id has at most {MAX_ID_BYTES} bytes, none of them control characters"
        ));
    }
    Ok(())
}

/// One wrong cell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("row {row} (line {line}), column {column}: {reason}")]
pub struct CellError {
    /// Its row's number, from 1, the row of names not counted.
    pub row: usize,
    /// The line of the file on which the row begins, from 1.
    pub line: u64,
    /// Its column's name.
    pub column: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Every wrong cell of a file, in order; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellErrors(Vec<CellError>);

impl CellErrors {
    /// All of them.
    pub fn all(&self) -> &[CellError] {
        &self.0
    }
}

impl fmt::Display for CellErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.0.iter().take(SHOWN).enumerate() {
            if n > 0 {
                f.write_str("; ")?;
            }
            error.fmt(f)?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// Why a file of payouts is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayoutFileError {
    /// Larger than [`MAX_FILE_BYTES`].
    #[error("the file has more than {MAX_FILE_BYTES} bytes: split it")]
    TooLarge,
    /// Not UTF-8.
    #[error("the file is not UTF-8 text: byte {0} is wrong")]
    NotText(usize),
    /// The first row does not name the columns.
    #[error(
        "the first row must name the columns `address`, `amount` and if wanted `id`, `memo`: {0}"
    )]
    Columns(String),
    /// No rows.
    #[error("the file has no payouts")]
    Empty,
    /// More than [`MAX_ROWS`].
    #[error("the file has more than {MAX_ROWS} rows: split it")]
    TooManyRows,
    /// Not comma-separated text.
    #[error("the file is not comma-separated text: {0}")]
    NotCsv(String),
    /// Cells that are wrong.
    #[error("{0}")]
    Cells(CellErrors),
}

/// The separator, and what it makes of the row of names.
type Read = (u8, Columns);

/// The first separator for which the row of names has what is needed; the error of
/// the one that parts it most often if none does.
fn columns(text: &str, named: Option<u8>, how: &ReadAs) -> Result<Read, PayoutFileError> {
    let mut most = 0;
    let mut error = PayoutFileError::Empty;
    for separator in SEPARATORS {
        if named.is_some_and(|named| named != separator) {
            continue;
        }
        let mut record = StringRecord::new();
        let mut reader = reader(text, separator);
        if !reader.read_record(&mut record).map_err(not_csv)? {
            return Err(PayoutFileError::Empty);
        }
        match Columns::read(&record, how) {
            Ok(columns) => return Ok((separator, columns)),
            Err(why) if record.len() > most => {
                most = record.len();
                error = PayoutFileError::Columns(why);
            }
            Err(_) => {}
        }
    }
    Err(error)
}

fn reader(text: &str, separator: u8) -> csv::Reader<&[u8]> {
    ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator)
        .from_reader(text.as_bytes())
}

fn not_csv(error: csv::Error) -> PayoutFileError {
    PayoutFileError::NotCsv(error.to_string())
}

impl PayoutFile {
    /// Reads and checks the whole file.
    ///
    /// # Errors
    /// See [`PayoutFileError`]; cells with their row and column.
    pub fn parse(bytes: &[u8]) -> Result<Self, PayoutFileError> {
        Self::parse_as(bytes, &ReadAs::default())
    }

    /// The same of a file that does not say all of itself.
    ///
    /// # Errors
    /// See [`PayoutFileError`]; cells with their row and column.
    pub fn parse_as(bytes: &[u8], how: &ReadAs) -> Result<Self, PayoutFileError> {
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(PayoutFileError::TooLarge);
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|error| PayoutFileError::NotText(error.valid_up_to() + 1))?;
        // Spreadsheets write a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let hash: [u8; 32] = Sha256::digest(bytes).into();
        let (named, table) = named_separator(text);
        let (separator, columns) = columns(table, named, how)?;
        let lines_before = text.len() - table.len();
        let lines_before = u64::from(lines_before > 0);
        let dialect = Dialect {
            separator,
            decimal_comma: how.decimal_comma,
            columns: &columns,
        };
        let mut reader = reader(table, separator);
        let mut record = StringRecord::new();
        reader.read_record(&mut record).map_err(not_csv)?;
        let mut rows = Vec::new();
        let mut errors = Vec::new();
        let mut ids: HashMap<String, usize> = HashMap::new();
        while reader.read_record(&mut record).map_err(not_csv)? {
            // Spreadsheets write rows of nothing but separators.
            if record.iter().all(|cell| cell.trim().is_empty()) {
                continue;
            }
            let number = rows.len() + 1;
            if number > MAX_ROWS {
                return Err(PayoutFileError::TooManyRows);
            }
            let line = record.position().map_or(0, csv::Position::line) + lines_before;
            let mut wrong = |column: &str, reason: String| {
                errors.push(CellError {
                    row: number,
                    line,
                    column: column.to_owned(),
                    reason,
                });
            };
            rows.push(row(&record, &dialect, &hash, number, &mut ids, &mut wrong));
        }
        if !errors.is_empty() {
            return Err(PayoutFileError::Cells(CellErrors(errors)));
        }
        let rows: Vec<FileRow> = rows.into_iter().flatten().collect();
        if rows.is_empty() {
            return Err(PayoutFileError::Empty);
        }
        Ok(Self {
            rows,
            has_ids: columns.id.is_some(),
            ignored: columns.ignored,
        })
    }

    /// The same payouts for another period: each row is another order than in any
    /// other period.
    pub fn in_period(&mut self, period: &str) {
        for row in &mut self.rows {
            row.key = key_in_period(period, &row.key);
            row.label = match &row.id {
                Some(id) => format!("{period} {id}"),
                None => format!("{period} row {}", row.number),
            };
        }
    }

    /// Pairs of rows, by number, that pay the same to the same: each is paid, if
    /// that is what was meant.
    pub fn equal_rows(&self) -> Vec<(usize, usize)> {
        let mut first = HashMap::new();
        let mut equal = Vec::new();
        for row in &self.rows {
            let what = (row.payee, row.token, row.amount, row.memo.as_slice());
            match first.get(&what) {
                Some(number) => equal.push((*number, row.number)),
                None => {
                    first.insert(what, row.number);
                }
            }
        }
        equal
    }
}

/// How a row's cells are read.
struct Dialect<'a> {
    separator: u8,
    decimal_comma: bool,
    columns: &'a Columns,
}

/// One row; `None` when something was wrong with it, and `wrong` was told.
fn row(
    record: &StringRecord,
    dialect: &Dialect<'_>,
    hash: &[u8; 32],
    number: usize,
    ids: &mut HashMap<String, usize>,
    wrong: &mut impl FnMut(&str, String),
) -> Option<FileRow> {
    let columns = dialect.columns;
    let unnamed = record.iter().skip(columns.count);
    if unnamed.into_iter().any(|cell| !cell.trim().is_empty()) {
        let text = format!(
            "the row has {} cells, {} are named",
            record.len(),
            columns.count
        );
        wrong(&(columns.count + 1).to_string(), text);
        return None;
    }
    let cell = |place: usize| record.get(place).unwrap_or_default();
    let address = cell(columns.address).trim();
    let payee = address
        .parse::<Address>()
        .map_err(|error| wrong("address", error.to_string()))
        .ok();
    let read = amount(
        cell(columns.amount),
        columns.unit.as_ref(),
        dialect.separator,
        dialect.decimal_comma,
    );
    let amount = match read {
        Ok(amount) if amount.raw == RawAmount::ZERO => {
            wrong("amount", "the amount is zero".to_owned());
            None
        }
        Ok(amount) => Some(amount),
        Err(reason) => {
            wrong("amount", reason);
            None
        }
    };
    let memo = columns.memo.map_or("", cell);
    if memo.len() > MAX_MEMO_BYTES {
        wrong(
            "memo",
            format!("it has {} bytes, more than {MAX_MEMO_BYTES}", memo.len()),
        );
        return None;
    }
    let id = match columns.id {
        None => None,
        Some(place) => {
            let id = cell(place).trim();
            if id.is_empty() {
                wrong("id", "it is empty: give each row an id, or none".to_owned());
                return None;
            }
            if let Err(reason) = check_id(id) {
                wrong("id", reason);
                return None;
            }
            if let Some(before) = ids.insert(id.to_owned(), number) {
                wrong("id", format!("`{id}` is the id of row {before} too"));
                return None;
            }
            Some(id.to_owned())
        }
    };
    let key = match &id {
        Some(id) => key_of_id(id),
        None => key_of_number(hash, number),
    };
    let amount = amount?;
    Some(FileRow {
        number,
        label: id.clone().unwrap_or_default(),
        id,
        key,
        payee: payee?,
        token: amount.token,
        amount: amount.raw,
        memo: memo.as_bytes().to_vec(),
        not_for_debts: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC";

    fn wrong(text: &str) -> Vec<(usize, String)> {
        match PayoutFile::parse(text.as_bytes()) {
            Err(PayoutFileError::Cells(cells)) => cells
                .all()
                .iter()
                .map(|cell| (cell.row, cell.column.clone()))
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn rows_are_read_in_any_order_of_columns() {
        let text = format!(
            "\u{feff}Memo, amount ,ID,address\r\n\"a, b\",12.5 BTT,x-1,{A}\r\n,3TRX,x-2,{A}\r\n"
        );
        let file = PayoutFile::parse(text.as_bytes()).unwrap();
        assert!(file.has_ids);
        let [first, second] = file.rows.as_slice() else {
            panic!("{file:?}")
        };
        assert_eq!(first.memo, b"a, b");
        assert_eq!(first.id.as_deref(), Some("x-1"));
        assert_eq!(first.amount.get(), 12_500_000);
        assert_eq!((second.number, second.token), (2, Token::Trx));
        assert_eq!(file.equal_rows(), []);
    }

    #[test]
    fn an_id_is_the_same_in_every_file_and_a_number_in_one() {
        let keys = |text: &str| -> Vec<OrderKey> {
            let file = PayoutFile::parse(text.as_bytes()).unwrap();
            file.rows.iter().map(|row| row.key).collect()
        };
        let with = keys(&format!("address,amount,id\n{A},1BTT,a\n{A},1BTT,b\n"));
        let other = keys(&format!("id,address,amount\nb,{A},2BTT\n"));
        assert_eq!(with[1], other[0]);
        assert_ne!(with[0], with[1]);
        let without = keys(&format!("address,amount\n{A},1BTT\n{A},1BTT\n"));
        let changed = keys(&format!("address,amount\n{A},1BTT\n{A},2BTT\n"));
        assert_ne!(without[0], without[1]);
        assert_ne!(without[0], changed[0]);
    }

    #[test]
    fn every_wrong_cell_is_named_with_row_and_column() {
        let text = format!(
            "address,amount,id\n{A},1BTT,a\nTnobody,5,b\n{A},0BTT,a\n{A},1BTT,\n{A},1BTT,e,f\n{A}\n"
        );
        let named = [
            (2, "address"),
            (2, "amount"),
            (3, "amount"),
            (3, "id"),
            (4, "id"),
            (5, "4"),
            (6, "amount"),
            (6, "id"),
        ];
        let named: Vec<_> = named.map(|(row, column)| (row, column.to_owned())).into();
        assert_eq!(wrong(&text), named);
        let error = PayoutFile::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(
            error.starts_with("row 2 (line 3), column address: "),
            "{error}"
        );
        let many = format!("address,amount\n{}", format!("{A},1\n").repeat(12));
        let error = PayoutFile::parse(many.as_bytes()).unwrap_err().to_string();
        assert!(error.ends_with("; and 2 more"), "{error}");
    }

    #[test]
    fn what_is_no_file_of_payouts_is_refused_whole() {
        let refused = |text: &[u8]| PayoutFile::parse(text).unwrap_err();
        assert_eq!(refused(b""), PayoutFileError::Empty);
        assert_eq!(refused(b"address,amount\n"), PayoutFileError::Empty);
        assert_eq!(
            refused(b"address,amount\n\xff"),
            PayoutFileError::NotText(16)
        );
        let without_names = format!("{A},1BTT\n");
        for text in ["address", "address,address", without_names.as_str()] {
            assert!(
                matches!(refused(text.as_bytes()), PayoutFileError::Columns(_)),
                "{text}"
            );
        }
        let rows = "a,b\n".repeat(MAX_ROWS + 1);
        let many = format!("address,amount\n{rows}");
        assert_eq!(refused(many.as_bytes()), PayoutFileError::TooManyRows);
    }

    #[test]
    fn what_spreadsheets_write_is_read_as_it_was_meant() {
        let plain = format!("address,amount,memo\n{A},12.5BTT,a\n{A},3TRX,b\n");
        let plain = PayoutFile::parse(plain.as_bytes()).unwrap();
        let read = |text: String, how: &ReadAs| {
            let file = PayoutFile::parse_as(text.as_bytes(), how);
            let file = file.unwrap_or_else(|error| panic!("{text}: {error}"));
            let what = |file: &PayoutFile| -> Vec<_> {
                let rows = file.rows.iter();
                rows.map(|row| (row.payee, row.token, row.amount, row.memo.clone()))
                    .collect()
            };
            assert_eq!(what(&file), what(&plain), "{text}");
            file
        };
        let none = ReadAs::default();
        for text in [
            format!("address;amount;memo\n{A};12,5 BTT;a\n{A};3 TRX;b\n"),
            format!("address\tamount\tmemo\r\n{A}\t12,5BTT\ta\r\n{A}\t3TRX\tb\r\n"),
            format!("\u{feff}sep=;\r\naddress;amount;memo\r\n{A};12.5BTT;a\r\n{A};3TRX;b\r\n"),
            format!("address,amount,memo,\n{A},12.5btt,a,\n,,,\n{A},3 trx,b,\n , ,,\n,,,,\n"),
            format!("address;amount;memo;;\n;;;;\n{A};12,5BTT;a;;\n{A};3TRX;b;;\n;;;;\n"),
            format!("\"address\",\"amount\",\"memo\"\n\"{A}\",\"12.5BTT\",\"a\"\n{A},3TRX,b"),
        ] {
            assert_eq!(read(text, &none).ignored, [""; 0]);
        }
        // A comma within the name of a column does not part what semicolons part.
        let text =
            format!("address;\"name, first\";amount;memo\n{A};x, y;12,5BTT;a\n{A};;3TRX;b\n");
        assert_eq!(read(text, &none).ignored, ["name, first"]);
        let mapped = ReadAs {
            columns: "address=Wallet,amount=Pay,memo=Note".parse().unwrap(),
            ..none.clone()
        };
        let text = format!("Name,PAY,wallet,note,amount\nEve,12.5BTT,{A},a,7\nBob,3TRX,{A},b,8\n");
        assert_eq!(read(text, &mapped).ignored, ["Name", "amount"]);
        let comma = ReadAs {
            decimal_comma: true,
            ..none.clone()
        };
        let text = format!("address,amount,memo\n{A},\"12,5BTT\",a\n{A},3TRX,b\n");
        read(text, &comma);
    }

    #[test]
    fn a_unit_stands_for_the_numbers_of_a_column() {
        let in_trx = |text: &str, unit: Option<&str>| {
            let how = ReadAs {
                unit: unit.map(|unit| unit.parse().unwrap()),
                ..ReadAs::default()
            };
            let file = PayoutFile::parse_as(text.as_bytes(), &how);
            file.map(|file| (file.rows[0].token, file.rows[0].amount.get()))
        };
        let one = Ok((Token::Trx, 1_500_000));
        assert_eq!(
            in_trx(&format!("address,amount (TRX)\n{A},1.5\n"), None),
            one
        );
        assert_eq!(
            in_trx(&format!("address,Amount [trx]\n{A},1.5\n"), None),
            one
        );
        assert_eq!(
            in_trx(&format!("address,amount\n{A},1.5\n"), Some("TRX")),
            one
        );
        assert_eq!(
            in_trx(&format!("address,amount (TRX)\n{A},1.5 TRX\n"), Some("TRX")),
            one
        );
        assert!(in_trx(&format!("address,amount (TRX)\n{A},1.5\n"), Some("BTT")).is_err());
        assert!(in_trx(&format!("address,amount (TRX)\n{A},1.5BTT\n"), None).is_err());
        assert!(in_trx(&format!("address,amount (EUR)\n{A},1.5\n"), None).is_err());
    }

    #[test]
    fn a_line_is_that_of_the_file() {
        let text = format!("sep=;\naddress;amount\n;\n{A};5\n");
        let error = PayoutFile::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(
            error.starts_with("row 1 (line 4), column amount: `5` has no unit"),
            "{error}"
        );
    }

    #[test]
    fn equal_rows_are_told() {
        let text = format!("address,amount\n{A},1BTT\n{A},2BTT\n{A},1BTT\n{A},1BTT\n");
        let file = PayoutFile::parse(text.as_bytes()).unwrap();
        assert_eq!(file.equal_rows(), [(1, 3), (1, 4)]);
    }
}
