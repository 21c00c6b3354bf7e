//! How a file of payouts is written: its separator, its decimal sign, the names of
//! its columns, the unit of its numbers. Pure.
//!
//! Money is never guessed: a number that can be read in two ways is refused with
//! both.

use std::{fmt, str::FromStr};

use csv::StringRecord;

use crate::types::{AmountError, UnitAmount};

/// The columns that a file can have.
pub(super) const COLUMNS: [&str; 4] = ["address", "amount", "id", "memo"];
/// How much of a name or a cell is shown.
const SHOWN: usize = 40;

/// What a file does not say of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadAs {
    /// The names that its columns have in the file.
    pub columns: ColumnNames,
    /// The unit of amounts that are numbers alone.
    pub unit: Option<Unit>,
    /// A comma is the decimal sign, also where commas separate the columns.
    pub decimal_comma: bool,
}

/// What columns are called in the file, where not `address`, `amount`, `id`, `memo`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ColumnNames(Vec<(&'static str, String)>);

/// Why text maps no columns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` maps no column: write address=NAME,amount=NAME, and if wanted id=NAME, memo=NAME")]
pub struct ColumnNamesError(String);

impl FromStr for ColumnNames {
    type Err = ColumnNamesError;

    fn from_str(text: &str) -> Result<Self, ColumnNamesError> {
        let mut names: Vec<(&'static str, String)> = Vec::new();
        for part in text.split(',') {
            let wrong = || ColumnNamesError(shown(part));
            let (ours, theirs) = part.split_once('=').ok_or_else(wrong)?;
            let ours = ours.trim();
            let ours = COLUMNS
                .iter()
                .find(|name| **name == ours)
                .ok_or_else(wrong)?;
            let theirs = theirs.trim().to_lowercase();
            let twice = names
                .iter()
                .any(|(name, column)| name == ours || *column == theirs);
            if theirs.is_empty() || twice {
                return Err(wrong());
            }
            names.push((*ours, theirs));
        }
        Ok(Self(names))
    }
}

impl ColumnNames {
    /// The column of ours that is called `theirs` in the file.
    fn ours(&self, theirs: &str) -> Option<&'static str> {
        if let Some((ours, _)) = self.0.iter().find(|(_, name)| name == theirs) {
            return Some(ours);
        }
        // A column that was mapped elsewhere is not also found by our own name.
        let mapped = |name: &&&str| !self.0.iter().any(|(ours, _)| *ours == **name);
        COLUMNS
            .iter()
            .filter(mapped)
            .find(|name| **name == theirs)
            .copied()
    }

    /// What `ours` is called in the file.
    pub(super) fn theirs<'a>(&'a self, ours: &'a str) -> &'a str {
        let named = self.0.iter().find(|(name, _)| *name == ours);
        named.map_or(ours, |(_, theirs)| theirs)
    }
}

/// The unit of a number: `BTT`, `TRX`, `sun` or `raw:TOKENID`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit(String);

impl FromStr for Unit {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let unit = text.trim();
        // A token's id alone has a name here when its decimals are built in.
        let unit = if unit == "1002000" { "BTT" } else { unit };
        if unit.starts_with(|c: char| !c.is_ascii_alphabetic()) {
            return Err(AmountError::UnknownUnit(shown(text)));
        }
        format!("0{unit}").parse::<UnitAmount>()?;
        Ok(Self(unit.to_owned()))
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Separators, in the order in which they are tried.
pub(super) const SEPARATORS: [u8; 3] = [b',', b';', b'\t'];

/// The separator that a first line `sep=;` names, and the text after that line.
pub(super) fn named_separator(text: &str) -> (Option<u8>, &str) {
    let Some(after) = text.strip_prefix("sep=") else {
        return (None, text);
    };
    let (line, rest) = after.split_once('\n').unwrap_or((after, ""));
    match line.trim_end_matches('\r').as_bytes() {
        [separator] if SEPARATORS.contains(separator) => (Some(*separator), rest),
        _ => (None, text),
    }
}

/// A column's name, as it is compared, and the unit that stands behind it in
/// brackets: `amount (BTT)`.
fn name_and_unit(name: &str) -> (String, Option<Unit>) {
    let name = name.trim();
    for (open, close) in [('(', ')'), ('[', ']')] {
        if let Some((before, unit)) = name
            .strip_suffix(close)
            .and_then(|name| name.rsplit_once(open))
            && let Ok(unit) = unit.parse()
        {
            return (before.trim().to_lowercase(), Some(unit));
        }
    }
    (name.to_lowercase(), None)
}

/// Which column is where.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) address: usize,
    pub(super) amount: usize,
    pub(super) id: Option<usize>,
    pub(super) memo: Option<usize>,
    /// The unit in the amount's own name, or else the one that was given.
    pub(super) unit: Option<Unit>,
    /// How many are named; what follows is empty.
    pub(super) count: usize,
    /// The names of those that are not read.
    pub(super) ignored: Vec<String>,
}

impl Columns {
    pub(super) fn read(names: &StringRecord, how: &ReadAs) -> Result<Self, String> {
        let mut places: [Option<usize>; 4] = [None; 4];
        let mut unit = None;
        let mut ignored = Vec::new();
        for (place, written) in names.iter().enumerate() {
            let exact = written.trim().to_lowercase();
            let (name, in_brackets) = match how.columns.ours(&exact) {
                Some(_) => (exact, None),
                None => name_and_unit(written),
            };
            let Some(ours) = how.columns.ours(&name) else {
                if !written.trim().is_empty() {
                    ignored.push(shown(written.trim()));
                }
                continue;
            };
            let slot = COLUMNS
                .iter()
                .zip(&mut places)
                .find(|(name, _)| **name == ours);
            if let Some((_, slot)) = slot
                && slot.replace(place).is_some()
            {
                return Err(format!("`{}` is there twice", shown(&name)));
            }
            if ours == "amount" {
                unit = in_brackets;
            }
        }
        let [address, amount, id, memo] = places;
        let missing = |ours: &str| format!("`{}` is missing", shown(how.columns.theirs(ours)));
        for (ours, place) in [("id", id), ("memo", memo)] {
            if place.is_none() && how.columns.theirs(ours) != ours {
                return Err(missing(ours));
            }
        }
        if let (Some(named), Some(given)) = (&unit, &how.unit)
            && !named.0.eq_ignore_ascii_case(&given.0)
        {
            return Err(format!("its amounts are in {named}, not in {given}"));
        }
        Ok(Self {
            address: address.ok_or_else(|| missing("address"))?,
            amount: amount.ok_or_else(|| missing("amount"))?,
            id,
            memo,
            unit: unit.or_else(|| how.unit.clone()),
            count: names.len(),
            ignored,
        })
    }
}

/// An amount's cell, read in the file's dialect.
///
/// # Errors
/// Why it is none, in a sentence.
pub(super) fn amount(
    cell: &str,
    unit: Option<&Unit>,
    separator: u8,
    decimal_comma: bool,
) -> Result<UnitAmount, String> {
    let cell = cell.trim();
    let split = cell.find(|c: char| c.is_ascii_alphabetic());
    let (number, own_unit) = cell.split_at(split.unwrap_or(cell.len()));
    let number = number.trim();
    let unit = match (own_unit, unit) {
        ("", Some(unit)) => unit.0.as_str(),
        (own, Some(unit)) if !own.eq_ignore_ascii_case(&unit.0) => {
            return Err(format!(
                "`{}` is in `{}`, and the column in `{unit}`",
                shown(cell),
                shown(own)
            ));
        }
        (own, _) => own,
    };
    let number = decimal(number, separator, decimal_comma)?;
    format!("{number}{unit}")
        .parse()
        .map_err(|error: AmountError| match error {
            // Said of what is in the file, not of what was made of it.
            AmountError::NoUnit(_) => AmountError::NoUnit(shown(cell)).to_string(),
            other => other.to_string(),
        })
}

/// The number with a point as its decimal sign.
fn decimal(number: &str, separator: u8, decimal_comma: bool) -> Result<String, String> {
    // Files with other separators come from where a comma is the decimal sign, and a
    // point may part thousands; but not all of them do.
    let either = separator != b',';
    let ambiguous = |sign: char| {
        let tail = number.rsplit(sign).next().unwrap_or_default();
        let one = number.matches(sign).count() == 1;
        one && tail.len() == 3 && tail.bytes().all(|b| b.is_ascii_digit())
    };
    let two_ways = |sign: char| {
        let joined = number.replace(sign, "");
        let point = number.replace(sign, ".");
        let more = if sign == ',' {
            format!("give --decimal-comma if it is {point}")
        } else {
            format!("write {point}0 if it is {point}")
        };
        Err(format!(
            "`{}` can be {} or {}: write {} if it is that, or {more}",
            shown(number),
            shown(&joined),
            shown(&point),
            shown(&joined),
        ))
    };
    match (number.contains(','), number.contains('.')) {
        (true, true) if either || decimal_comma => Err(format!(
            "`{}` has a comma and a point: write it without a sign between thousands",
            shown(number)
        )),
        (true, false) if decimal_comma => Ok(number.replace(',', ".")),
        (true, false) if either && ambiguous(',') => two_ways(','),
        (true, false) if either => Ok(number.replace(',', ".")),
        (false, true) if (either || decimal_comma) && ambiguous('.') => two_ways('.'),
        _ => Ok(number.to_owned()),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(cell: &str, unit: Option<&str>, separator: u8, comma: bool) -> Result<i64, String> {
        let unit: Option<Unit> = unit.map(|unit| unit.parse().unwrap());
        amount(cell, unit.as_ref(), separator, comma).map(|amount| amount.raw.get())
    }

    #[test]
    fn a_decimal_sign_is_read_where_it_can_mean_one_thing() {
        let btt = Some("BTT");
        assert_eq!(raw("12.5", btt, b',', false), Ok(12_500_000));
        assert_eq!(raw("1.234", btt, b',', false), Ok(1_234_000));
        assert_eq!(raw("12,5", btt, b';', false), Ok(12_500_000));
        assert_eq!(raw("12.5 BTT", None, b';', false), Ok(12_500_000));
        assert_eq!(raw("12,50 btt", None, b'\t', false), Ok(12_500_000));
        assert_eq!(raw("12,5", btt, b',', true), Ok(12_500_000));
        assert_eq!(raw("1,234", btt, b';', true), Ok(1_234_000));
        assert_eq!(raw("1,2345", btt, b';', false), Ok(1_234_500));
        assert_eq!(raw("1234567", btt, b';', false), Ok(1_234_567_000_000));
        for (cell, separator, comma) in [
            ("12,5", b',', false),
            ("1,234", b';', false),
            ("1.234", b';', false),
            ("1.234", b',', true),
            ("1.234,5", b';', false),
            ("1,234.5", b'\t', false),
            ("1.234.567", b';', false),
            ("1,234,567", b';', false),
            ("1 234", b';', false),
            ("", b';', false),
        ] {
            assert!(raw(cell, btt, separator, comma).is_err(), "{cell}");
        }
        let said = raw("1,234", btt, b';', false).unwrap_err();
        assert!(said.contains("`1,234` can be 1234 or 1.234"), "{said}");
    }

    #[test]
    fn units_are_given_or_in_the_cell_and_agree() {
        assert_eq!(raw("5", Some("trx"), b',', false), Ok(5_000_000));
        assert_eq!(raw("5", Some("1002000"), b',', false), Ok(5_000_000));
        assert_eq!(raw("5", Some("raw:1000004"), b',', false), Ok(5));
        assert_eq!(raw("5 TRX", Some("trx"), b',', false), Ok(5_000_000));
        assert!(raw("5 TRX", Some("BTT"), b',', false).is_err());
        assert!(raw("5", None, b',', false).is_err());
        for no_unit in ["", "doge", "5", "1000004", "raw:5", "B TT"] {
            assert!(no_unit.parse::<Unit>().is_err(), "{no_unit}");
        }
    }

    #[test]
    fn names_of_columns_are_mapped_once_each() {
        let names: ColumnNames = "address=Wallet, amount = To Pay".parse().unwrap();
        assert_eq!(names.ours("wallet"), Some("address"));
        assert_eq!(names.ours("to pay"), Some("amount"));
        assert_eq!(
            (names.ours("amount"), names.ours("memo")),
            (None, Some("memo"))
        );
        for wrong in [
            "",
            "address",
            "address=",
            "payee=x",
            "id=a,id=b",
            "id=a,memo=A",
        ] {
            assert!(wrong.parse::<ColumnNames>().is_err(), "{wrong}");
        }
    }
}
