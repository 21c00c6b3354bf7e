//! Fixed-size hashes, printed as lower-case hex without a prefix.

use std::{fmt, str::FromStr};

/// Text that is not the hex of a value of fixed size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {bytes} bytes of hex ({} digits)", bytes * 2)]
pub struct HexError {
    /// What was given, cut to 80 characters.
    pub text: String,
    /// How many bytes were expected.
    pub bytes: usize,
}

macro_rules! fixed_hash {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Takes the bytes as they are.
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The bytes, big-endian as printed.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = HexError;

            fn try_from(bytes: &[u8]) -> Result<Self, HexError> {
                bytes.try_into().map(Self).map_err(|_| HexError {
                    text: hex::encode(bytes.get(..40.min(bytes.len())).unwrap_or_default()),
                    bytes: $len,
                })
            }
        }

        impl FromStr for $name {
            type Err = HexError;

            fn from_str(text: &str) -> Result<Self, HexError> {
                let mut bytes = [0; $len];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| HexError {
                    text: text.chars().take(80).collect(),
                    bytes: $len,
                })?;
                Ok(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

fixed_hash!(
    /// A transaction's id: SHA-256 of its `raw_data` bytes.
    TxId,
    32
);
fixed_hash!(
    /// A block's id: its number (8 bytes, big-endian), then bytes 8..32 of the
    /// SHA-256 of the header's raw data.
    BlockId,
    32
);
fixed_hash!(
    /// A 32-byte value signed as `bytes32`: a nonce, a grant's hash, a domain's
    /// salt.
    Salt,
    32
);
fixed_hash!(
    /// A torrent's info-hash: SHA-1 of its bencoded info dictionary (BEP 3).
    InfoHash,
    20
);

impl BlockId {
    /// The block's number, from the first 8 bytes.
    pub fn number(&self) -> u64 {
        let mut number = [0; 8];
        number.copy_from_slice(self.0.split_at(8).0);
        u64::from_be_bytes(number)
    }
}

impl Salt {
    /// 32 zero bytes: "none".
    pub const ZERO: Self = Self([0; 32]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_id_carries_its_number() {
        let id: BlockId = "000000000000001d0fd5a8953407a4c26ba2ea48cf093e04e5b58ecf4fca9bdd"
            .parse()
            .unwrap();
        assert_eq!(id.number(), 29);
    }

    #[test]
    fn hex_of_another_size_is_refused() {
        assert!("00".parse::<TxId>().is_err());
        assert!("zz".repeat(32).parse::<TxId>().is_err());
        assert!(TxId::try_from(&[0u8; 31][..]).is_err());
    }
}
