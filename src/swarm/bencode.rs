//! Bencoding (BEP 3): a strict, bounded decoder and a canonical encoder.
//!
//! Strict means: one spelling for every value (no leading zeros, no `-0`),
//! integers of 64 bits, no bytes after the value. Duplicate keys are refused, for
//! two readers could disagree about them, and so are keys out of order. [`Limits`]
//! allows them where real files have them and nothing hangs on it: their hash is taken
//! over the bytes as they are.

use std::collections::{BTreeMap, btree_map::Entry};

/// A dictionary; the map keeps the keys in the order they are encoded.
pub type Dict = BTreeMap<Vec<u8>, Value>;

/// One decoded value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `i…e`.
    Int(i64),
    /// `length:…`; any bytes.
    Bytes(Vec<u8>),
    /// `l…e`.
    List(Vec<Value>),
    /// `d…e`.
    Dict(Dict),
}

/// What a decoder accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole input.
    pub bytes: usize,
    /// Lists and dictionaries within each other. The decoder recurses.
    pub depth: usize,
    /// Values in all: a one-byte value costs tens of bytes in memory.
    pub values: usize,
    /// Accept dictionaries whose keys are not in order.
    pub allow_unsorted: bool,
    /// Accept equal keys in a dictionary (the first one counts), and numbers with
    /// leading zeros or as `-0`, as many torrent files and trackers have them.
    pub lenient: bool,
}

impl Limits {
    /// For a message of a peer's: 64 KiB, 8 levels, 4096 values.
    pub const MESSAGE: Self = Self {
        bytes: 64 << 10,
        depth: 8,
        values: 4096,
        allow_unsorted: true,
        lenient: false,
    };
    /// For a torrent file: 64 MiB, 16 levels, 4 million values.
    pub const TORRENT: Self = Self {
        bytes: 64 << 20,
        depth: 16,
        values: 4 << 20,
        allow_unsorted: true,
        lenient: false,
    };
    /// For a torrent file around its info dictionary: as [`Limits::TORRENT`], lenient.
    pub const TORRENT_FILE: Self = Self {
        lenient: true,
        ..Self::TORRENT
    };
    /// For a tracker's reply: lenient, 2 MiB, 8 levels, 100,000 values.
    pub const TRACKER: Self = Self {
        bytes: 2 << 20,
        depth: 8,
        values: 100_000,
        allow_unsorted: true,
        lenient: true,
    };
}

/// Why some bytes are not an acceptable bencoded value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BencodeError {
    /// The input ends inside a value.
    #[error("bencoding ends too early")]
    Truncated,
    /// A byte that cannot stand where it is.
    #[error("byte 0x{byte:02x} at offset {offset} is not bencoding")]
    Unexpected {
        /// Where, from the start.
        offset: usize,
        /// The byte.
        byte: u8,
    },
    /// Leading zeros, `-0`, or more than 64 bits.
    #[error("bencoded number at offset {offset} is not a canonical 64-bit integer")]
    BadInteger {
        /// Where, from the start.
        offset: usize,
    },
    /// Two equal keys in one dictionary.
    #[error("bencoded dictionary has the key `{0}` twice")]
    DuplicateKey(String),
    /// Keys are not in ascending order.
    #[error("bencoded dictionary has the key `{0}` out of order")]
    UnsortedKey(String),
    /// Bytes after the value.
    #[error("bencoding is followed by {0} more bytes")]
    Trailing(usize),
    /// Larger than the [`Limits`].
    #[error("bencoding has more than {limit} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much is accepted.
        limit: usize,
    },
}

/// Decodes `input`, which must be one value and nothing else.
///
/// # Errors
/// See [`BencodeError`].
pub fn decode(input: &[u8], limits: Limits) -> Result<Value, BencodeError> {
    let (value, used) = decode_prefix(input, limits)?;
    match input.len() - used {
        0 => Ok(value),
        more => Err(BencodeError::Trailing(more)),
    }
}

/// Decodes the value `input` begins with, and tells how many bytes it took:
/// `ut_metadata` messages carry data after their dictionary.
///
/// # Errors
/// See [`BencodeError`].
pub fn decode_prefix(input: &[u8], limits: Limits) -> Result<(Value, usize), BencodeError> {
    let mut decoder = Decoder::new(input, limits)?;
    let value = decoder.value(0)?;
    Ok((value, decoder.pos))
}

/// The bytes, as they are, of the value under `key` in the dictionary `input`
/// begins with; `None` if it has no such key. An info-hash is taken over these: a
/// second such key is refused whatever the limits allow.
///
/// # Errors
/// See [`BencodeError`]; the whole dictionary is checked.
pub fn raw_entry<'a>(
    input: &'a [u8],
    key: &[u8],
    limits: Limits,
) -> Result<Option<&'a [u8]>, BencodeError> {
    let mut decoder = Decoder::new(input, limits)?;
    decoder.expect(b'd')?;
    let mut found = None;
    while decoder.peek()? != b'e' {
        let is_it = decoder.string()? == key;
        let start = decoder.pos;
        if is_it && found.is_some() {
            return Err(BencodeError::DuplicateKey(printable(key)));
        }
        decoder.value(1)?;
        if is_it {
            found = input.get(start..decoder.pos);
        }
    }
    Ok(found)
}

/// The string that [`decode`] has under `key` of the dictionary `input` begins with, where it
/// stands in `input`; what follows it is not looked at.
///
/// # Errors
/// See [`BencodeError`].
pub fn string_entry<'a>(
    input: &'a [u8],
    key: &[u8],
    limits: Limits,
) -> Result<Option<&'a [u8]>, BencodeError> {
    let mut decoder = Decoder::new(input, limits)?;
    decoder.expect(b'd')?;
    while decoder.peek()? != b'e' {
        if decoder.string()? == key {
            let is_string = decoder.peek()?.is_ascii_digit();
            return is_string.then(|| decoder.string()).transpose();
        }
        decoder.value(1)?;
    }
    Ok(None)
}

struct Decoder<'a> {
    input: &'a [u8],
    pos: usize,
    values: usize,
    limits: Limits,
}

impl<'a> Decoder<'a> {
    fn new(input: &'a [u8], limits: Limits) -> Result<Self, BencodeError> {
        if input.len() > limits.bytes {
            return Err(BencodeError::TooLarge {
                what: "bytes",
                limit: limits.bytes,
            });
        }
        Ok(Self {
            input,
            pos: 0,
            values: 0,
            limits,
        })
    }

    fn peek(&self) -> Result<u8, BencodeError> {
        self.input
            .get(self.pos)
            .copied()
            .ok_or(BencodeError::Truncated)
    }

    fn unexpected(&self, byte: u8) -> BencodeError {
        BencodeError::Unexpected {
            offset: self.pos,
            byte,
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), BencodeError> {
        let found = self.peek()?;
        if found != byte {
            return Err(self.unexpected(found));
        }
        self.pos += 1;
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Value, BencodeError> {
        self.values += 1;
        if self.values > self.limits.values {
            return Err(BencodeError::TooLarge {
                what: "values",
                limit: self.limits.values,
            });
        }
        let byte = self.peek()?;
        if matches!(byte, b'l' | b'd') && depth >= self.limits.depth {
            return Err(BencodeError::TooLarge {
                what: "levels",
                limit: self.limits.depth,
            });
        }
        match byte {
            b'i' => {
                self.pos += 1;
                let number = self.integer()?;
                self.expect(b'e')?;
                Ok(Value::Int(number))
            }
            b'0'..=b'9' => Ok(Value::Bytes(self.string()?.to_vec())),
            b'l' => {
                self.pos += 1;
                let mut list = Vec::new();
                while self.peek()? != b'e' {
                    list.push(self.value(depth + 1)?);
                }
                self.pos += 1;
                Ok(Value::List(list))
            }
            b'd' => self.dict(depth),
            other => Err(self.unexpected(other)),
        }
    }

    fn dict(&mut self, depth: usize) -> Result<Value, BencodeError> {
        self.pos += 1;
        let mut dict = Dict::new();
        let mut last: Option<&[u8]> = None;
        while self.peek()? != b'e' {
            let key = self.string()?;
            if !self.limits.allow_unsorted && last.is_some_and(|last| key < last) {
                return Err(BencodeError::UnsortedKey(printable(key)));
            }
            last = Some(key);
            let value = self.value(depth + 1)?;
            match dict.entry(key.to_vec()) {
                Entry::Vacant(entry) => {
                    entry.insert(value);
                }
                Entry::Occupied(_) if self.limits.lenient => {}
                Entry::Occupied(_) => return Err(BencodeError::DuplicateKey(printable(key))),
            }
        }
        self.pos += 1;
        Ok(Value::Dict(dict))
    }

    fn string(&mut self) -> Result<&'a [u8], BencodeError> {
        let offset = self.pos;
        let first = self.peek()?;
        if !first.is_ascii_digit() {
            return Err(self.unexpected(first));
        }
        let length =
            usize::try_from(self.integer()?).map_err(|_| BencodeError::BadInteger { offset })?;
        self.expect(b':')?;
        let end = self
            .pos
            .checked_add(length)
            .ok_or(BencodeError::BadInteger { offset })?;
        let bytes = self
            .input
            .get(self.pos..end)
            .ok_or(BencodeError::Truncated)?;
        self.pos = end;
        Ok(bytes)
    }

    fn integer(&mut self) -> Result<i64, BencodeError> {
        let offset = self.pos;
        if self.peek()? == b'-' {
            self.pos += 1;
        }
        while self.peek()?.is_ascii_digit() {
            self.pos += 1;
        }
        let text = self.input.get(offset..self.pos).unwrap_or_default();
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        let canonical = match digits {
            [] => false,
            _ if self.limits.lenient => true,
            [b'0'] => text.len() == 1,
            [b'0', ..] => false,
            _ => true,
        };
        std::str::from_utf8(text)
            .ok()
            .filter(|_| canonical)
            .and_then(|text| text.parse().ok())
            .ok_or(BencodeError::BadInteger { offset })
    }
}

fn printable(key: &[u8]) -> String {
    String::from_utf8_lossy(key.get(..40).unwrap_or(key)).into_owned()
}

impl Value {
    /// A dictionary of these entries; of two equal keys the later wins.
    pub fn dict<'a>(entries: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        Self::Dict(
            entries
                .into_iter()
                .map(|(key, value)| (key.as_bytes().to_vec(), value))
                .collect(),
        )
    }

    /// The integer, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The integer, if it is one and not negative.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_int().and_then(|number| u64::try_from(number).ok())
    }

    /// The bytes, if it is a string.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text, if it is a string of valid UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        self.as_bytes()
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The values, if it is a list.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// The entries, if it is a dictionary.
    pub fn as_dict(&self) -> Option<&Dict> {
        match self {
            Self::Dict(dict) => Some(dict),
            _ => None,
        }
    }

    /// The value under `key`, if it is a dictionary that has it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_dict().and_then(|dict| dict.get(key.as_bytes()))
    }

    /// The canonical encoding: keys in order, each number in its one spelling.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_into(&mut out);
        out
    }

    /// Appends the canonical encoding.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        match self {
            Self::Int(number) => out.extend_from_slice(format!("i{number}e").as_bytes()),
            Self::Bytes(bytes) => encode_string(bytes, out),
            Self::List(list) => {
                out.push(b'l');
                for value in list {
                    value.encode_into(out);
                }
                out.push(b'e');
            }
            Self::Dict(dict) => {
                out.push(b'd');
                for (key, value) in dict {
                    encode_string(key, out);
                    value.encode_into(out);
                }
                out.push(b'e');
            }
        }
    }
}

fn encode_string(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{}:", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Dict> for Value {
    fn from(dict: Dict) -> Self {
        Self::Dict(dict)
    }
}

impl From<Vec<Value>> for Value {
    fn from(list: Vec<Value>) -> Self {
        Self::List(list)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits {
        allow_unsorted: false,
        ..Limits::MESSAGE
    };

    #[test]
    fn each_value_has_one_spelling() {
        assert_eq!(decode(b"i-42e", LIMITS), Ok(Value::Int(-42)));
        assert_eq!(decode(b"4:spam", LIMITS), Ok("spam".into()));
        assert_eq!(
            decode(b"d1:ai1e1:bl1:x0:ee", LIMITS),
            Ok(Value::dict([
                ("a", 1i64.into()),
                ("b", Value::List(vec!["x".into(), "".into()])),
            ]))
        );
        for bad in [
            &b"i01e"[..],
            b"i-0e",
            b"ie",
            b"i-e",
            b"i9223372036854775808e",
            b"01:a",
            b"-1:a",
            b"5:spam",
            b"99999999999999999999:a",
            b"18446744073709551615:a",
            b"9223372036854775807:a",
            b"i1",
            b"l",
            b"d1:a",
            b"di1e1:ae",
            b"i1ei2e",
            b"x",
            b"",
            b"d1:ai1e1:ai2ee",
            b"d1:bi1e1:ai2ee",
        ] {
            assert!(
                decode(bad, LIMITS).is_err(),
                "{}",
                String::from_utf8_lossy(bad)
            );
        }
    }

    #[test]
    fn depth_and_number_of_values_are_bounded() {
        assert!(decode(&[b'l'; 60_000], LIMITS).is_err());
        let mut wide = b"l".to_vec();
        wide.extend(b"0:".repeat(5000));
        wide.push(b'e');
        assert!(matches!(
            decode(&wide, LIMITS),
            Err(BencodeError::TooLarge { what: "values", .. })
        ));
        assert!(decode(&[b'1'; 70_000], LIMITS).is_err());
    }

    #[test]
    fn lenient_limits_read_what_real_files_have() {
        let lenient = Limits {
            lenient: true,
            ..LIMITS
        };
        for (text, expected) in [
            (&b"i01e"[..], Value::Int(1)),
            (b"i-0e", Value::Int(0)),
            (b"007:trailer", "trailer".into()),
            (b"d1:ai1e1:ai2ee", Value::dict([("a", 1i64.into())])),
        ] {
            assert_eq!(decode(text, lenient), Ok(expected));
        }
        for bad in [&b"ie"[..], b"i-e", b"i9223372036854775808e", b"-1:a"] {
            assert!(decode(bad, lenient).is_err());
        }
        let twice = b"d4:infoi1e4:infoi2ee";
        assert!(raw_entry(twice, b"info", lenient).is_err());
    }

    #[test]
    fn a_raw_entry_is_the_bytes_as_they_are() {
        let unsorted = b"d4:infod1:bi1e1:ai2ee1:ai1ee";
        assert_eq!(
            raw_entry(unsorted, b"info", Limits::TORRENT),
            Ok(Some(&b"d1:bi1e1:ai2ee"[..]))
        );
        assert_eq!(raw_entry(unsorted, b"none", Limits::TORRENT), Ok(None));
        assert!(raw_entry(b"i1e", b"info", Limits::TORRENT).is_err());
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Value::Int),
            proptest::collection::vec(any::<u8>(), 0..20).prop_map(Value::Bytes),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::List),
                proptest::collection::btree_map(
                    proptest::collection::vec(any::<u8>(), 0..6),
                    inner,
                    0..8
                )
                .prop_map(Value::Dict),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(value in any_value()) {
            prop_assert_eq!(decode(&value.encode(), LIMITS), Ok(value));
        }

        #[test]
        fn what_is_decoded_is_encoded_the_same(
            bytes in proptest::collection::vec(
                proptest::sample::select(&b"0123456789:ilde-ax"[..]), 0..40),
        ) {
            if let Ok(value) = decode(&bytes, LIMITS) {
                prop_assert_eq!(value.encode(), bytes);
            }
        }
    }
}
