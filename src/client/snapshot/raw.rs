//! Amounts in raw units as JSON: a decimal string, since readers lose integers above 2^53. A
//! number is read, too: lists of older versions have some.

use serde::{Deserialize, Deserializer, Serializer};

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Number(u64),
}

impl Written {
    fn read<E: serde::de::Error>(self) -> Result<u64, E> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Text(text) => text
                .parse()
                .map_err(|_| E::custom("an amount is digits alone, in raw units")),
        }
    }
}

pub(super) fn serialize<S: Serializer>(raw: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(raw)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Written::deserialize(deserializer)?.read()
}

/// An amount that may be none.
pub mod optional {
    use super::{Deserialize, Deserializer, Serializer, Written};

    /// As text, or null.
    ///
    /// # Errors
    /// The serializer's own.
    pub fn serialize<S: Serializer>(raw: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
        match raw {
            Some(raw) => serializer.collect_str(raw),
            None => serializer.serialize_none(),
        }
    }

    /// Of a text, a number, or null.
    ///
    /// # Errors
    /// It is something else.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<u64>, D::Error> {
        let written = Option::<Written>::deserialize(deserializer)?;
        written.map(Written::read).transpose()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::client::snapshot::Prices;

    #[test]
    fn amounts_are_texts_and_numbers_are_read() {
        let prices = Prices {
            ask_raw: Some(u64::MAX),
            bid_raw: None,
            bid_auto: false,
        };
        let written = serde_json::to_value(prices).unwrap();
        let expected =
            json!({ "ask_raw": "18446744073709551615", "bid_raw": null, "bid_auto": false });
        assert_eq!(written, expected);
        assert_eq!(serde_json::from_value::<Prices>(written).unwrap(), prices);
        let old = json!({ "ask_raw": 5, "bid_raw": "6", "bid_auto": true });
        let read: Prices = serde_json::from_value(old).unwrap();
        assert_eq!((read.ask_raw, read.bid_raw), (Some(5), Some(6)));
        for bad in [json!("-1"), json!("1.5"), json!(""), json!(-1), json!(1.5)] {
            let bad = json!({ "ask_raw": bad, "bid_raw": null, "bid_auto": false });
            assert!(serde_json::from_value::<Prices>(bad).is_err());
        }
    }
}
