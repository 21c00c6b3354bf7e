//! Sizes, rates, times and prices as people type and read them.

use std::{fmt, str::FromStr, time::Duration};

use crate::types::{Decimals, RawAmount, Sun, Token, TokenId, UnitAmount, UnixMs};

/// Bytes: `512KiB`, `64MiB`, `2GB`, or a bare number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

/// Bytes a second: `4MiB/s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate(pub(crate) u64);

/// Raw units of BTT for a GiB: `5BTT/GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Price(pub(crate) u64);

/// A proportion in thousandths: `1.5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ratio(pub(crate) u64);

/// A day as `2026-11-25`: the civil calendar from days since 1970-01-01, by
/// eras of 400 years that begin on the first of March.
pub(crate) fn date(day: u32) -> String {
    let shifted = u64::from(day) + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_based = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_based + 2) / 5 + 1;
    let (month, carry) = if march_based < 10 {
        (march_based + 3, 0)
    } else {
        (march_based - 9, 1)
    };
    let year = year_of_era + era * 400 + carry;
    format!("{year:04}-{month:02}-{day:02}")
}

/// A time as `2026-11-29 15:52:07 UTC`; one that no calendar here reaches, in
/// milliseconds since 1970.
pub(crate) fn moment(time: UnixMs) -> String {
    let secs = time.secs();
    match u32::try_from(secs.div_euclid(86_400)) {
        Ok(day) if time.0 >= 0 => {
            let of_day = secs.rem_euclid(86_400);
            let (hours, minutes) = (of_day / 3600, of_day / 60 % 60);
            format!(
                "{} {hours:02}:{minutes:02}:{:02} UTC",
                date(day),
                of_day % 60
            )
        }
        _ => format!("{time} ms after 1970"),
    }
}

/// A number of things: `1 block`, `2 blocks`. For nouns whose plural adds an `s`.
pub(crate) fn counted<N: fmt::Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    let ending = if number == N::from(1) { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

const UNITS: [(&str, u64); 8] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a size: write it as 512KiB, 64MiB or 1048576");
        let split = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let factor = match unit.trim() {
            "" => 1,
            unit => {
                UNITS
                    .iter()
                    .find(|(name, _)| *name == unit)
                    .ok_or_else(bad)?
                    .1
            }
        };
        let number: u64 = number.parse().map_err(|_| bad())?;
        number.checked_mul(factor).map(Self).ok_or_else(bad)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, factor) = UNITS
            .iter()
            .take(5)
            .rev()
            .find(|(_, factor)| self.0 >= *factor)
            .unwrap_or(&("B", 1));
        let tenths = u128::from(self.0) * 10 / u128::from(*factor);
        match tenths % 10 {
            0 => write!(f, "{} {name}", tenths / 10),
            tenth => write!(f, "{}.{tenth} {name}", tenths / 10),
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size: Size = text
            .strip_suffix("/s")
            .unwrap_or(text)
            .parse()
            .map_err(|_| format!("`{text}` is not a rate: write it as 512KiB/s or 4MiB/s"))?;
        if size.0 == 0 {
            return Err("a rate of 0 would never finish".into());
        }
        Ok(Self(size.0))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", Size(self.0))
    }
}

impl FromStr for Ratio {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a ratio: write it as 2 or 1.5");
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
        if !digits(whole) || !digits(part) || part.len() > 3 {
            return Err(bad());
        }
        match format!("{whole}{part:0<3}").parse() {
            Ok(0) => Err("a ratio of 0 is reached before anything is shared".into()),
            Ok(thousandths) => Ok(Self(thousandths)),
            Err(_) => Err(bad()),
        }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, hundredths) = (self.0 / 1000, self.0 % 1000 / 10);
        write!(f, "{whole}.{hundredths:02}")
    }
}

impl FromStr for Price {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let amount = text
            .strip_suffix("/GiB")
            .ok_or_else(|| format!("`{text}` is not a price: write it as 5BTT/GiB"))?;
        let amount: UnitAmount = amount.parse().map_err(|error| format!("{error}"))?;
        match amount.token {
            Token::Trc10(TokenId::BTT) => Ok(Self(amount.raw.unsigned())),
            other => Err(format!("`{text}`: prices are in BTT, not in {other}")),
        }
    }
}

/// What to bid: a price, or `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BidArg {
    /// At this price.
    Fixed(Price),
    /// From the seller's floor on, as little as buys the speed.
    Auto,
}

impl FromStr for BidArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        text.parse()
            .map(Self::Fixed)
            .map_err(|error: String| format!("{error}, or as `auto`"))
    }
}

impl Price {
    /// As the command line takes it, exact to the unit.
    pub(crate) fn as_argument(self) -> String {
        format!("{}BTT/GiB", btt_decimal(self.0))
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/GiB", btt_text(self.0))
    }
}

/// Raw units of BTT as people read them: `12.5 BTT`.
pub(crate) fn btt_text(raw: u64) -> String {
    format!("{} BTT", btt_decimal(raw))
}

fn btt_decimal(raw: u64) -> String {
    let raw = i64::try_from(raw)
        .ok()
        .and_then(|raw| RawAmount::new(raw).ok());
    raw.unwrap_or(RawAmount::MAX).to_decimal(Decimals::BTT)
}

/// A time: `3s`, `500ms`, `2m`, `12h`, `7d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is not a time: write it as 500ms, 3s, 2m, 12h or 7d");
    let times = |number: u64, seconds| number.checked_mul(seconds).map(Duration::from_secs);
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| bad())?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => times(number, 60).ok_or_else(bad),
        "h" => times(number, 3600).ok_or_else(bad),
        "d" => times(number, 86_400).ok_or_else(bad),
        _ => Err(bad()),
    }
}

/// An amount of BTT: `50BTT`.
pub(crate) fn btt(text: &str) -> Result<RawAmount, String> {
    let amount: UnitAmount = text.parse().map_err(|error| format!("{error}"))?;
    match amount.token {
        Token::Trc10(TokenId::BTT) => Ok(amount.raw),
        other => Err(format!("`{text}` is in {other}, not in BTT")),
    }
}

/// An amount of TRX: `0.5TRX`.
pub(crate) fn trx(text: &str) -> Result<Sun, String> {
    let amount: UnitAmount = text.parse().map_err(|error| format!("{error}"))?;
    match amount.token {
        Token::Trx => Ok(Sun(amount.raw.unsigned())),
        other => Err(format!("`{text}` is in {other}, not in TRX")),
    }
}

/// What BTT is worth in TRX, by the user: billionths of a sun for a raw unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Worth(u64);

/// `1BTT=0.0000004TRX`.
pub(crate) fn worth(text: &str) -> Result<Worth, String> {
    let bad = || format!("`{text}` is not a price: write it as 1BTT=0.0000004TRX");
    let trx = text
        .strip_prefix("1BTT=")
        .and_then(|rest| rest.strip_suffix("TRX"))
        .ok_or_else(bad)?;
    let (whole, part) = trx.split_once('.').unwrap_or((trx, ""));
    if whole.is_empty() || part.len() > 9 {
        return Err(bad());
    }
    // One BTT is a million raw units, one TRX a million sun: a TRX for a BTT is a
    // sun for a raw unit.
    let digits = format!("{whole}{part:0<9}");
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(bad());
    }
    digits.parse().map(Worth).map_err(|_| bad())
}

impl Worth {
    /// What an amount is worth, rounded down.
    pub(crate) fn of(self, amount: RawAmount) -> Sun {
        let sun = u128::from(amount.unsigned()) * u128::from(self.0) / 1_000_000_000;
        Sun(u64::try_from(sun).unwrap_or(u64::MAX))
    }

    /// Whether a fee is more than 5 % of it.
    pub(crate) fn is_dear(self, fee: Sun, amount: RawAmount) -> bool {
        u128::from(fee.0) * 20 * 1_000_000_000 > u128::from(amount.unsigned()) * u128::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        for (day, expected) in [
            (0, "1970-01-01"),
            (31, "1970-02-01"),
            (789, "1972-02-29"),
            (790, "1972-03-01"),
            (11_016, "2000-02-29"),
            (20_782, "2026-11-25"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(date(day), expected);
        }
    }

    #[test]
    fn moments_are_in_utc() {
        assert_eq!(moment(UnixMs(1_795_967_527_123)), "2026-11-29 15:52:07 UTC");
        assert_eq!(moment(UnixMs(-1)), "-1 ms after 1970");
        assert_eq!(
            moment(UnixMs(i64::MAX)),
            format!("{} ms after 1970", i64::MAX)
        );
    }

    #[test]
    fn one_of_a_thing_has_no_plural() {
        assert_eq!(counted(1_u64, "block"), "1 block");
        assert_eq!(counted(0_usize, "block"), "0 blocks");
        assert_eq!(counted(12_u32, "receipt"), "12 receipts");
    }

    #[test]
    fn sizes_rates_times_and_prices_are_read() {
        assert_eq!("64MiB".parse(), Ok(Size(64 << 20)));
        assert_eq!("1048576".parse(), Ok(Size(1 << 20)));
        assert_eq!("4MiB/s".parse(), Ok(Rate(4 << 20)));
        assert_eq!("5BTT/GiB".parse(), Ok(Price(5_000_000)));
        assert_eq!(duration("3s"), Ok(Duration::from_secs(3)));
        assert_eq!(Size(4 << 20).to_string(), "4 MiB");
        assert_eq!(Size(1536).to_string(), "1.5 KiB");
        assert_eq!(Price(5_500_000).to_string(), "5.5 BTT/GiB");
        for bad in ["", "MiB", "4mib", "-1", "99999999999TiB", "4.5MiB"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
        assert!("0".parse::<Rate>().is_err());
        assert_eq!("1.5".parse(), Ok(Ratio(1500)));
        assert_eq!("2".parse(), Ok(Ratio(2000)));
        assert_eq!("0.001".parse(), Ok(Ratio(1)));
        assert_eq!(Ratio(1509).to_string(), "1.50");
        for bad in [
            "0",
            "0.0",
            "",
            ".5",
            "1.",
            "-1",
            "1.0001",
            "1,5",
            "x",
            "99999999999999999999",
        ] {
            assert!(bad.parse::<Ratio>().is_err(), "{bad}");
        }
        assert!("5TRX/GiB".parse::<Price>().is_err());
        assert!("5BTT".parse::<Price>().is_err());
        assert!(duration("3").is_err());
        assert_eq!(trx("0.5TRX"), Ok(Sun(500_000)));
        assert!(trx("5BTT").is_err());
        let cheap = worth("1BTT=0.0000004TRX").unwrap();
        let amount = RawAmount::new(10_000_000_000_000).unwrap();
        assert_eq!(cheap.of(amount), Sun(4_000_000));
        assert!(cheap.is_dear(Sun(200_001), amount));
        assert!(!cheap.is_dear(Sun(200_000), amount));
        for bad in [
            "1BTT=TRX",
            "1BTT=-1TRX",
            "2BTT=1TRX",
            "1BTT=0.0000000001TRX",
        ] {
            assert!(worth(bad).is_err(), "{bad}");
        }
    }
}
