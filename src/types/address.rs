//! TRON addresses.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};

/// A TRON address: the last 20 bytes of the public key's Keccak-256, after
/// the prefix `0x41` that every network uses (`DecodeUtil.java`).
///
/// Printed and parsed as base58check (`T…`); [`FromStr`] also takes the
/// 21-byte hex form (`41…`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address([u8; 20]);

/// Text or bytes that are no TRON address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not 21 bytes.
    #[error("`{0}` is not a TRON address: its length in bytes is {1}, not 21")]
    Length(String, usize),
    /// The first byte is not `0x41`.
    #[error("`{0}` is not a TRON address: it starts with {1:#04x}, not 0x41")]
    Prefix(String, u8),
    /// The base58 checksum does not match: a mistyped address.
    #[error("`{0}` is not a TRON address: its checksum does not match (is it mistyped?)")]
    Checksum(String),
    /// The form that Ethereum's tools use: the same 20 bytes, without the prefix.
    #[error("`{0}` is in Ethereum's form; the same address on TRON is {1}")]
    Evm(String, Address),
    /// Neither base58 nor hex.
    #[error("`{0}` is not a TRON address: neither base58check (T…) nor hex (41…)")]
    Alphabet(String),
}

impl Address {
    /// The prefix byte of every TRON address.
    pub const PREFIX: u8 = 0x41;

    /// The address of 20 zero bytes, `T9yD14Nj9j7xAB4dbGeiX9h8unkKHxuWwb`: nobody's.
    pub const ZERO: Self = Self([0; 20]);

    /// From the 20 bytes without prefix.
    pub const fn from_body(body: [u8; 20]) -> Self {
        Self(body)
    }

    /// The 20 bytes without prefix, as signed typed data has them.
    pub const fn body(&self) -> &[u8; 20] {
        &self.0
    }

    /// The 21 bytes with prefix, as the chain's messages have them.
    pub fn to_bytes(&self) -> [u8; 21] {
        let mut bytes = [Self::PREFIX; 21];
        bytes.split_at_mut(1).1.copy_from_slice(&self.0);
        bytes
    }

    /// From 21 bytes.
    ///
    /// # Errors
    /// Another length or prefix.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AddressError> {
        let shown = || hex::encode(bytes.get(..40).unwrap_or(bytes));
        match bytes {
            [Self::PREFIX, body @ ..] if body.len() == 20 => {
                let mut address = [0; 20];
                address.copy_from_slice(body);
                Ok(Self(address))
            }
            [prefix, rest @ ..] if rest.len() == 20 => Err(AddressError::Prefix(shown(), *prefix)),
            _ => Err(AddressError::Length(shown(), bytes.len())),
        }
    }

    /// From base58check only, as the chain's `visible` JSON has it.
    ///
    /// # Errors
    /// Not base58, a wrong checksum, length or prefix.
    pub fn from_base58(text: &str) -> Result<Self, AddressError> {
        let shown = || text.chars().take(80).collect::<String>();
        // 25 bytes are at most 35 digits: longer text is refused unread.
        if text.len() > 40 {
            return Err(AddressError::Alphabet(shown()));
        }
        let bytes = bs58::decode(text)
            .into_vec()
            .map_err(|_| AddressError::Alphabet(shown()))?;
        let Some((payload, checksum)) = bytes.split_last_chunk::<4>() else {
            return Err(AddressError::Length(shown(), bytes.len()));
        };
        if payload.len() != 21 {
            return Err(AddressError::Length(shown(), payload.len()));
        }
        if double_sha256(payload) != *checksum {
            return Err(AddressError::Checksum(shown()));
        }
        Self::from_bytes(payload).map_err(|error| match error {
            AddressError::Prefix(_, byte) => AddressError::Prefix(shown(), byte),
            other => other,
        })
    }

    /// Lower-case hex of the 21 bytes, as the chain's JSON has it when
    /// `visible` is false.
    pub fn to_hex(&self) -> String {
        hex::encode(self.to_bytes())
    }
}

/// The first four bytes of SHA-256(SHA-256(payload)): base58check's checksum.
fn double_sha256(payload: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(Sha256::digest(payload)));
    [a, b, c, d]
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        if text.len() == 42 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            let bytes = hex::decode(text).map_err(|_| AddressError::Alphabet(text.to_owned()))?;
            return Self::from_bytes(&bytes);
        }
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        if let Some(Ok(bytes)) = digits.map(hex::decode) {
            let address = match <[u8; 20]>::try_from(bytes.as_slice()) {
                Ok(body) => Ok(Self(body)),
                Err(_) => Self::from_bytes(&bytes),
            };
            if let Ok(address) = address {
                return Err(AddressError::Evm(text.to_owned(), address));
            }
        }
        Self::from_base58(text)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.to_bytes();
        let mut full = [0; 25];
        let (payload, checksum) = full.split_at_mut(21);
        payload.copy_from_slice(&bytes);
        checksum.copy_from_slice(&double_sha256(&bytes));
        f.write_str(&bs58::encode(full).into_string())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Private key 1's address, in both forms (java-tron recordings, `k1`).
    const K1: (&str, &str) = (
        "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC",
        "417e5f4552091a69125d5dfcb7b8c2659029395bdf",
    );

    #[test]
    fn both_forms_are_one_address() {
        let base58: Address = K1.0.parse().unwrap();
        let hex: Address = K1.1.parse().unwrap();
        assert_eq!(base58, hex);
        assert_eq!(base58.to_string(), K1.0);
        assert_eq!(base58.to_hex(), K1.1);
        assert_eq!(
            Address::ZERO.to_string(),
            "T9yD14Nj9j7xAB4dbGeiX9h8unkKHxuWwb"
        );
    }

    #[test]
    fn each_kind_of_wrong_text_has_its_own_error() {
        let error = |text: &str| text.parse::<Address>().unwrap_err();
        assert!(matches!(
            error("TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HD"),
            AddressError::Checksum(_)
        ));
        assert!(matches!(error("0OIl"), AddressError::Alphabet(_)));
        for evm in [
            "0x7e5f4552091a69125d5dfcb7b8c2659029395bdf",
            "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf",
            "0x417e5f4552091a69125d5dfcb7b8c2659029395bdf",
        ] {
            let said = error(evm).to_string();
            assert!(
                said.contains("in Ethereum's form") && said.contains(K1.0),
                "{said}"
            );
        }
        assert!(matches!(error("0x7e5f45"), AddressError::Alphabet(_)));
        assert!(matches!(error(""), AddressError::Length(..)));
        assert!(matches!(
            error("427e5f4552091a69125d5dfcb7b8c2659029395bdf"),
            AddressError::Prefix(_, 0x42)
        ));
        assert!(matches!(
            error("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2"),
            AddressError::Prefix(..)
        ));
        assert!(matches!(
            error(&"T".repeat(1_000_000)),
            AddressError::Alphabet(_)
        ));
    }

    proptest::proptest! {
        #[test]
        fn any_body_survives_both_forms(body: [u8; 20]) {
            let address = Address::from_body(body);
            proptest::prop_assert_eq!(address.to_string().parse::<Address>(), Ok(address));
            proptest::prop_assert_eq!(address.to_hex().parse::<Address>(), Ok(address));
        }

        #[test]
        fn any_text_is_refused_without_panic(text: String) {
            let _ = text.parse::<Address>();
        }
    }
}
