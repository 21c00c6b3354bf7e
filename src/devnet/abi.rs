//! Values as Solidity packs them, as far as people look at them: what a call printed, why
//! it reverted, what an event says.

use std::{collections::HashMap, sync::LazyLock};

use crate::{
    devnet::{
        contracts::selector_of,
        vm::{word_address, word_of},
    },
    types::Address,
};

/// A value as text; hex of the word for a type that is not known here.
pub(crate) fn value(kind: &str, data: &[u8], at: usize) -> Option<String> {
    let word = data.get(at..at.checked_add(32)?)?;
    let number = word_of(word);
    Some(match kind {
        "address" => word_address(&number).to_string(),
        "bool" => (!number.is_zero()).to_string(),
        "string" => String::from_utf8_lossy(tail(data, word)?).into_owned(),
        "bytes" => hex::encode(tail(data, word)?),
        kind if kind.starts_with("uint") && !kind.ends_with(']') => number.to_string(),
        kind if kind.starts_with("int") && !kind.ends_with(']') => match number.bit(255) {
            true => format!("-{}", number.wrapping_neg()),
            false => number.to_string(),
        },
        kind => match size_of(kind) {
            Some(size) => hex::encode(word.get(..size)?),
            None => hex::encode(word),
        },
    })
}

/// The bytes of `bytes4`.
fn size_of(kind: &str) -> Option<usize> {
    let size = kind.strip_prefix("bytes")?.parse().ok()?;
    (1..=32).contains(&size).then_some(size)
}

/// What a dynamic value's place points to.
fn tail<'a>(data: &'a [u8], place: &[u8]) -> Option<&'a [u8]> {
    let at = usize::try_from(word_of(place)).ok()?;
    let from = at.checked_add(32)?;
    let length = usize::try_from(word_of(data.get(at..from)?)).ok()?;
    data.get(from..from.checked_add(length)?)
}

/// The values of these types, one after another.
pub(crate) fn values(kinds: &[&str], data: &[u8]) -> Option<Vec<String>> {
    kinds
        .iter()
        .enumerate()
        .map(|(n, kind)| value(kind, data, 32 * n))
        .collect()
}

/// Why a call reverted, as far as what it returned says.
pub(crate) fn reason(output: &[u8]) -> Option<String> {
    let (selector, rest) = output.split_first_chunk::<4>()?;
    if *selector == selector_of("Error(string)") {
        return value("string", rest, 0);
    }
    if *selector == selector_of("Panic(uint256)") {
        return value("uint256", rest, 0).map(|code| format!("panic {code}"));
    }
    Some(format!("custom error {}", hex::encode(selector)))
}

/// `log(string,uint256)` and its kin, by selector.
static PRINTS: LazyLock<HashMap<[u8; 4], Vec<&'static str>>> = LazyLock::new(|| {
    const KINDS: [&str; 4] = ["string", "uint256", "bool", "address"];
    let mut all: Vec<Vec<&'static str>> = vec![Vec::new(), vec!["int256"], vec!["bytes"]];
    let mut longest: Vec<Vec<&'static str>> = vec![Vec::new()];
    for _ in 0..4 {
        longest = longest
            .iter()
            .flat_map(|before| {
                KINDS
                    .iter()
                    .map(|kind| [before.as_slice(), &[*kind]].concat())
            })
            .collect();
        all.extend(longest.iter().cloned());
    }
    all.into_iter()
        .map(|kinds| (selector_of(&format!("log({})", kinds.join(","))), kinds))
        .collect()
});

/// The line that a call of Hardhat's `console` prints.
pub(crate) fn printed(call: &[u8]) -> String {
    let line = call.split_first_chunk::<4>().and_then(|(selector, rest)| {
        let kinds = PRINTS.get(selector)?;
        values(kinds, rest)
    });
    match line {
        Some(values) => values.join(" "),
        None => format!("0x{}", hex::encode(call)),
    }
}

/// An address that a topic holds.
pub(crate) fn topic_address(topic: &[u8; 32]) -> Address {
    word_address(&word_of(topic))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(number: u8) -> [u8; 32] {
        let mut word = [0; 32];
        word[31] = number;
        word
    }

    #[test]
    fn a_printed_line_is_read_by_its_selector() {
        let mut text = [0; 32];
        text[..2].copy_from_slice(b"hi");
        let call = [
            selector_of("log(string,uint256)").as_slice(),
            &word(64),
            &word(7),
            &word(2),
            &text,
        ]
        .concat();
        assert_eq!(printed(&call), "hi 7");
        assert_eq!(printed(&[1, 2, 3]), "0x010203");
        // A length that points past the end is no text.
        let cut = &call[..call.len() - 40];
        assert!(printed(cut).starts_with("0x"));
    }

    #[test]
    fn a_revert_says_why() {
        let mut text = [0; 32];
        text[..4].copy_from_slice(b"nope");
        let error = [
            selector_of("Error(string)").as_slice(),
            &word(32),
            &word(4),
            &text,
        ]
        .concat();
        assert_eq!(reason(&error).as_deref(), Some("nope"));
        let panic = [selector_of("Panic(uint256)").as_slice(), &word(0x11)].concat();
        assert_eq!(reason(&panic).as_deref(), Some("panic 17"));
        assert_eq!(reason(&[]), None);
        let custom = reason(&[1, 2, 3, 4]);
        assert_eq!(custom.as_deref(), Some("custom error 01020304"));
    }
}
