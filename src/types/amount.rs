//! Amounts: integers in the smallest unit, and the decimal text people type.

use std::{fmt, str::FromStr};

/// TRX's smallest unit: 1 TRX = 1,000,000 sun. Never negative.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Sun(pub u64);

/// A token amount in its smallest unit. Never negative, never above
/// `i64::MAX`, which is the chain's own limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RawAmount(i64);

/// How many decimals a token has: 0 to 6 for a TRC-10 (`AssetIssueActuator.java`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decimals(u8);

/// A TRC-10 token's id: a number from 1,000,001 on, written in digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(i64);

/// What is sent: TRX or a TRC-10 token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Token {
    /// The chain's own coin, in sun.
    Trx,
    /// A TRC-10 token.
    Trc10(TokenId),
}

/// An amount as typed, with its unit: `12.5BTT`, `3TRX`, `1500000sun`,
/// `7raw:1000001`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnitAmount {
    /// Of what.
    pub token: Token,
    /// How much, in the smallest unit.
    pub raw: RawAmount,
}

/// Why text is no amount, id or number of decimals.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// No unit was given.
    #[error("`{0}` has no unit: write it as 5BTT, 3TRX, 1500000sun or 7raw:1000001")]
    NoUnit(String),
    /// The unit is unknown.
    #[error("`{0}` has an unknown unit: use BTT, TRX, sun or raw:TOKENID")]
    UnknownUnit(String),
    /// Not a plain decimal number.
    #[error("`{0}` is not a decimal number")]
    NotANumber(String),
    /// More decimals than the token has.
    #[error("`{text}` has more than {decimals} decimals, and amounts are never rounded")]
    TooPrecise {
        /// What was typed.
        text: String,
        /// How many there can be.
        decimals: u8,
    },
    /// Above `i64::MAX` units, or negative.
    #[error(
        "`{0}` is out of range: an amount is from 0 to 9223372036854775807 of the smallest unit"
    )]
    Range(String),
    /// A token id that is no number from 1,000,001 on.
    #[error("`{0}` is not a TRC-10 token id: a number from 1000001 on")]
    TokenId(String),
    /// More decimals than TRC-10 allows.
    #[error("a TRC-10 token has 0 to 6 decimals, not {0}")]
    Decimals(i64),
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

impl Sun {
    /// As an amount of the smallest unit.
    ///
    /// # Errors
    /// Above `i64::MAX`.
    pub fn to_raw(self) -> Result<RawAmount, AmountError> {
        i64::try_from(self.0)
            .map_err(|_| AmountError::Range(self.0.to_string()))
            .and_then(RawAmount::new)
    }
}

impl fmt::Display for Sun {
    /// In TRX, with the unit: `0.281 TRX`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} TRX", decimal_text(u128::from(self.0), Decimals::TRX))
    }
}

impl RawAmount {
    /// None.
    pub const ZERO: Self = Self(0);
    /// The largest the chain can hold.
    pub const MAX: Self = Self(i64::MAX);

    /// Checks the range.
    ///
    /// # Errors
    /// Negative.
    pub fn new(raw: i64) -> Result<Self, AmountError> {
        if raw < 0 {
            return Err(AmountError::Range(raw.to_string()));
        }
        Ok(Self(raw))
    }

    /// The integer.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The integer as the unsigned number it is.
    pub const fn unsigned(self) -> u64 {
        self.0.unsigned_abs()
    }

    /// The sum, or `None` above the chain's limit.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, or `None` below zero.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0
            .checked_sub(other.0)
            .filter(|raw| *raw >= 0)
            .map(Self)
    }

    /// Decimal text in whole tokens, without trailing zeros: `12.5`.
    pub fn to_decimal(self, decimals: Decimals) -> String {
        decimal_text(u128::from(self.unsigned()), decimals)
    }

    /// Reads decimal text in whole tokens; exact, never rounded.
    ///
    /// # Errors
    /// Not a plain decimal number, too many decimals, out of range.
    pub fn from_decimal(text: &str, decimals: Decimals) -> Result<Self, AmountError> {
        let number = || AmountError::NotANumber(cut(text));
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return Err(number()),
            Some(parts) => parts,
            None => (text, ""),
        };
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) {
            return Err(if text.starts_with('-') {
                AmountError::Range(cut(text))
            } else {
                number()
            });
        }
        let width = usize::from(decimals.0);
        if fraction.len() > width {
            return Err(AmountError::TooPrecise {
                text: cut(text),
                decimals: decimals.0,
            });
        }
        let all = format!("{whole}{fraction:0<width$}");
        all.parse::<i64>()
            .map(Self)
            .map_err(|_| AmountError::Range(cut(text)))
    }
}

impl fmt::Display for RawAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RawAmount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        Self::from_decimal(text, Decimals(0))
    }
}

/// As a decimal string, since JSON readers lose integers above 2^53.
impl serde::Serialize for RawAmount {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for RawAmount {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

fn decimal_text(raw: u128, decimals: Decimals) -> String {
    let width = usize::from(decimals.0);
    let digits = format!("{raw:0>min$}", min = width + 1);
    let (whole, fraction) = digits.split_at(digits.len() - width);
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

impl Decimals {
    /// TRX has six: 1 TRX = 1,000,000 sun.
    pub const TRX: Self = Self(6);
    /// BTT (TRC-10 1002000) has six.
    pub const BTT: Self = Self(6);

    /// Checks the range.
    ///
    /// # Errors
    /// Not 0 to 6.
    pub fn new(decimals: i64) -> Result<Self, AmountError> {
        match u8::try_from(decimals) {
            Ok(decimals) if decimals <= 6 => Ok(Self(decimals)),
            _ => Err(AmountError::Decimals(decimals)),
        }
    }

    /// The number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl TokenId {
    /// BTT on every network: TRC-10 1002000, "BTTOLD" since the redenomination
    /// of 2021-12.
    pub const BTT: Self = Self(1_002_000);
    /// The first id a chain gives out.
    pub const FIRST: i64 = 1_000_001;

    /// Checks the range.
    ///
    /// # Errors
    /// Below 1,000,001.
    pub fn new(id: i64) -> Result<Self, AmountError> {
        if id < Self::FIRST {
            return Err(AmountError::TokenId(id.to_string()));
        }
        Ok(Self(id))
    }

    /// The number.
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TokenId {
    type Err = AmountError;

    /// Canonical digits only: a leading zero or sign would be another
    /// `asset_name` on the chain.
    fn from_str(text: &str) -> Result<Self, AmountError> {
        let bad = || AmountError::TokenId(cut(text));
        if text.starts_with('0') || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        text.parse()
            .map_err(|_| bad())
            .and_then(Self::new)
            .map_err(|_| bad())
    }
}

impl serde::Serialize for TokenId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for TokenId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trx => f.write_str("TRX"),
            Self::Trc10(TokenId::BTT) => f.write_str("BTT"),
            Self::Trc10(id) => write!(f, "TRC-10 {id}"),
        }
    }
}

impl fmt::Display for UnitAmount {
    /// As people read it, and may type it: `12.5 BTT`, `3 TRX`; of a token that is not
    /// built in, in raw units with its id, `7raw:1000001`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.token {
            Token::Trx => write!(f, "{} TRX", self.raw.to_decimal(Decimals::TRX)),
            Token::Trc10(TokenId::BTT) => write!(f, "{} BTT", self.raw.to_decimal(Decimals::BTT)),
            Token::Trc10(id) => write!(f, "{}raw:{id}", self.raw),
        }
    }
}

impl FromStr for UnitAmount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let text = text.trim();
        let split = text
            .find(|c: char| c.is_ascii_alphabetic())
            .ok_or_else(|| AmountError::NoUnit(cut(text)))?;
        let (number, unit) = text.split_at(split);
        let number = number.trim_end();
        // BTTOLD is what the chain has called this token since the redenomination.
        let (token, decimals) = match unit.to_ascii_uppercase().as_str() {
            "BTT" | "BTTOLD" => (Token::Trc10(TokenId::BTT), Decimals::BTT),
            "TRX" => (Token::Trx, Decimals::TRX),
            "SUN" => (Token::Trx, Decimals(0)),
            _ => match unit.strip_prefix("raw:") {
                Some(id) => (Token::Trc10(id.parse()?), Decimals(0)),
                None => return Err(AmountError::UnknownUnit(cut(text))),
            },
        };
        Ok(Self {
            token,
            raw: RawAmount::from_decimal(number, decimals)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(Token, i64), AmountError> {
        text.parse::<UnitAmount>()
            .map(|amount| (amount.token, amount.raw.get()))
    }

    #[test]
    fn amounts_carry_their_unit_and_are_exact() {
        let btt = Token::Trc10(TokenId::BTT);
        assert_eq!(parse("12.5BTT"), Ok((btt, 12_500_000)));
        assert_eq!(parse("12.5 BTT"), Ok((btt, 12_500_000)));
        assert_eq!(parse("3TRX"), Ok((Token::Trx, 3_000_000)));
        assert_eq!(parse("1500000sun"), Ok((Token::Trx, 1_500_000)));
        for btt_too in ["5btt", "5 Btt", "5BTTOLD", "5 bttold"] {
            assert_eq!(parse(btt_too), Ok((btt, 5_000_000)), "{btt_too}");
        }
        assert_eq!(parse("5 trx"), Ok((Token::Trx, 5_000_000)));
        assert_eq!(
            parse("7raw:1000001"),
            Ok((Token::Trc10(TokenId(1_000_001)), 7))
        );
        assert_eq!(parse("9223372036854.775807TRX"), Ok((Token::Trx, i64::MAX)));
    }

    #[test]
    fn each_wrong_amount_has_its_own_error() {
        assert!(matches!(parse("5"), Err(AmountError::NoUnit(_))));
        assert!(matches!(parse("5 doge"), Err(AmountError::UnknownUnit(_))));
        assert!(matches!(
            parse("1.0000001BTT"),
            Err(AmountError::TooPrecise { .. })
        ));
        assert!(matches!(
            parse("0.5sun"),
            Err(AmountError::TooPrecise { .. })
        ));
        assert!(matches!(parse("-1TRX"), Err(AmountError::Range(_))));
        assert!(matches!(
            parse("9223372036854.775808TRX"),
            Err(AmountError::Range(_))
        ));
        assert!(matches!(parse("1e6TRX"), Err(AmountError::UnknownUnit(_))));
        assert!(matches!(parse("1.TRX"), Err(AmountError::NotANumber(_))));
        assert!(matches!(parse(".5TRX"), Err(AmountError::NotANumber(_))));
        assert!(matches!(parse("1,5TRX"), Err(AmountError::NotANumber(_))));
        assert!(matches!(parse("7raw:12"), Err(AmountError::TokenId(_))));
        assert!(matches!(
            parse("7raw:01002000"),
            Err(AmountError::TokenId(_))
        ));
    }

    proptest::proptest! {
        #[test]
        fn decimal_text_reads_back(raw in 0..=i64::MAX, decimals in 0u8..=6) {
            let (raw, decimals) = (RawAmount(raw), Decimals(decimals));
            let text = raw.to_decimal(decimals);
            proptest::prop_assert_eq!(RawAmount::from_decimal(&text, decimals), Ok(raw));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = text.parse::<UnitAmount>();
        }
    }
}
