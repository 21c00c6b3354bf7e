//! Recovery phrases: BIP-39 in each of its ten languages, and the keys they give by
//! BIP-32, at TRON's path m/44'/195'/0'/0/i (BIP-44, coin type 195) or another. New
//! phrases are in English.

use std::{fmt, str::FromStr};

use bip32::{ChildNumber, DerivationPath, XPrv};
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use super::keys::{SecretKey, SecretKeyError};

/// Why a phrase is refused or gives no key. Never says what it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MnemonicError {
    /// Not 12, 15, 18, 21 or 24 words.
    #[error("a recovery phrase has 12, 15, 18, 21 or 24 words, not {0}")]
    WordCount(usize),
    /// A word that is not in the list of the others' language.
    #[error("word {0} of the recovery phrase is not in the BIP-39 list of its language")]
    UnknownWord(usize),
    /// The words are in the list but do not belong together.
    #[error("the recovery phrase's checksum does not match: a word is wrong or out of order")]
    Checksum,
    /// The index is 2^31 or more.
    #[error("account index {0} is out of range: 0 to 2147483647")]
    Index(u32),
    /// Not a path of BIP-32.
    #[error("`{0}` is not a derivation path: write it like m/44'/195'/0'/0/0")]
    Path(String),
    /// No key can be made (no randomness; one derivation in 2^127 fails).
    #[error("no key can be derived: {0}")]
    Key(#[from] SecretKeyError),
}

/// A recovery phrase. Overwritten in memory when dropped; `Debug` hides it.
#[derive(Clone)]
pub struct Mnemonic(bip39::Mnemonic);

impl Mnemonic {
    /// A new phrase of 12, 15, 18, 21 or 24 words from the operating system's
    /// randomness.
    ///
    /// # Errors
    /// Another number of words, or no randomness.
    pub fn generate(words: usize) -> Result<Self, MnemonicError> {
        if !matches!(words, 12 | 15 | 18 | 21 | 24) {
            return Err(MnemonicError::WordCount(words));
        }
        // Three words carry 33 bits, one of them checksum.
        let mut entropy = Zeroizing::new(vec![0; words / 3 * 4]);
        getrandom::fill(&mut entropy).map_err(|_| SecretKeyError::NoRandomness)?;
        bip39::Mnemonic::from_entropy(&entropy)
            .map(Self)
            .map_err(|_| MnemonicError::WordCount(words))
    }

    /// Reads a phrase in any language of BIP-39; any white space separates, case does
    /// not matter, nor how letters with accents are composed.
    ///
    /// # Errors
    /// A wrong number of words, an unknown word, a wrong checksum.
    pub fn parse(text: &str) -> Result<Self, MnemonicError> {
        let words = text.split_whitespace().count();
        if !matches!(words, 12 | 15 | 18 | 21 | 24) {
            return Err(MnemonicError::WordCount(words));
        }
        // Room for what normalising adds, so that nothing is left behind by growing.
        let mut normal = Zeroizing::new(String::with_capacity(text.len() * 4));
        normal.extend(text.nfkd().flat_map(char::to_lowercase));
        // A language in which all words are known, or the one in which most are: lists
        // share words, and the seed is of the words, whatever their language.
        let mut best = None;
        for language in bip39::Language::ALL {
            match bip39::Mnemonic::parse_in_normalized(*language, &normal) {
                Ok(phrase) => return Ok(Self(phrase)),
                Err(bip39::Error::UnknownWord(at)) => {
                    if best.is_none_or(|(known, _)| at > known) {
                        best = Some((at, MnemonicErrorKind::Unknown));
                    }
                }
                Err(_) => best = Some((words, MnemonicErrorKind::Checksum)),
            }
        }
        Err(match best {
            Some((at, MnemonicErrorKind::Unknown)) => MnemonicError::UnknownWord(at + 1),
            _ => MnemonicError::Checksum,
        })
    }

    /// The words, to be written down by their owner.
    pub fn to_phrase(&self) -> Zeroizing<String> {
        // Large enough that no part of it is left behind by growing.
        let mut phrase = Zeroizing::new(String::with_capacity(24 * 32));
        for word in self.0.words() {
            if !phrase.is_empty() {
                phrase.push(' ');
            }
            phrase.push_str(word);
        }
        phrase
    }

    /// The key at m/44'/195'/0'/0/`index`, with BIP-39's optional passphrase
    /// (empty for none).
    ///
    /// # Errors
    /// The index is 2^31 or more.
    pub fn key(&self, passphrase: &str, index: u32) -> Result<SecretKey, MnemonicError> {
        self.key_at(passphrase, &KeyPath::account(index)?)
    }

    /// The key at another path.
    ///
    /// # Errors
    /// One derivation in 2^127 fails.
    pub fn key_at(&self, passphrase: &str, path: &KeyPath) -> Result<SecretKey, MnemonicError> {
        let seed = Zeroizing::new(self.0.to_seed(passphrase));
        let key =
            XPrv::derive_from_path(seed.as_slice(), &path.0).map_err(|_| SecretKeyError::Range)?;
        let bytes = Zeroizing::new(key.to_bytes());
        Ok(SecretKey::from_bytes(bytes.as_slice())?)
    }
}

/// What the best of the languages says.
#[derive(Clone, Copy)]
enum MnemonicErrorKind {
    Unknown,
    Checksum,
}

/// The most levels of a path.
const MAX_LEVELS: usize = 10;

/// A path of BIP-32 from the master key, as `m/44'/195'/0'/0/0`; `h` is read as `'`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPath(DerivationPath);

impl KeyPath {
    /// The usual one: m/44'/195'/0'/0/`index`.
    fn account(index: u32) -> Result<Self, MnemonicError> {
        let mut path = DerivationPath::default();
        for (number, hardened) in [
            (44, true),
            (195, true),
            (0, true),
            (0, false),
            (index, false),
        ] {
            let number = ChildNumber::new(number, hardened);
            path.push(number.map_err(|_| MnemonicError::Index(index))?);
        }
        Ok(Self(path))
    }
}

impl FromStr for KeyPath {
    type Err = MnemonicError;

    fn from_str(text: &str) -> Result<Self, MnemonicError> {
        let wrong = || MnemonicError::Path(text.chars().take(80).collect());
        let levels = text.matches('/').count();
        let plain = |c: char| c.is_ascii_digit() || "m/'hH".contains(c);
        if !(1..=MAX_LEVELS).contains(&levels) || !text.chars().all(plain) {
            return Err(wrong());
        }
        let path = text.replace(['h', 'H'], "'");
        path.parse().map(Self).map_err(|_| wrong())
    }
}

impl fmt::Debug for Mnemonic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mnemonic(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABANDON: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";

    #[test]
    fn tronwebs_addresses_are_derived() {
        // TronWeb 6.5.1 `fromMnemonic(phrase, "m/44'/195'/0'/0/i", passphrase)`.
        let phrase = Mnemonic::parse(ABANDON).unwrap();
        for (index, passphrase, address) in [
            (0, "", "TUEZSdKsoDHQMeZwihtdoBiN46zxhGWYdH"),
            (1, "", "TSeJkUh4Qv67VNFwY8LaAxERygNdy6NQZK"),
            (0, "TREZOR", "TAyDUYP5rcf56xFwrg8cU1qQwvnWpkeapM"),
        ] {
            let key = phrase.key(passphrase, index).unwrap();
            assert_eq!(key.address().to_string(), address);
        }
    }

    #[test]
    fn new_phrases_read_back() {
        for words in [12, 15, 18, 21, 24] {
            let phrase = Mnemonic::generate(words).unwrap();
            let text = phrase.to_phrase();
            assert_eq!(text.split(' ').count(), words);
            let again = Mnemonic::parse(&format!("  {} \n", text.to_uppercase())).unwrap();
            assert_eq!(
                again.key("", 0).unwrap().address(),
                phrase.key("", 0).unwrap().address()
            );
        }
        assert_eq!(
            Mnemonic::generate(13).unwrap_err(),
            MnemonicError::WordCount(13)
        );
    }

    /// BIP-39's own vectors, in each of its languages: see the fixture's README.
    #[test]
    fn the_vectors_of_every_language_give_their_seeds() {
        let file = include_str!("../../fixtures/bip39/vectors.json");
        let file: serde_json::Value = serde_json::from_str(file).unwrap();
        let mut read = 0;
        for (language, vectors) in file.as_object().unwrap() {
            if matches!(language.as_str(), "russian" | "turkish") {
                continue;
            }
            for vector in vectors.as_array().unwrap() {
                let text = |at: usize| vector[at].as_str().unwrap();
                let composed: String = text(1).nfc().collect();
                for phrase in [text(1), &composed, &text(1).to_uppercase()] {
                    let phrase = Mnemonic::parse(phrase)
                        .unwrap_or_else(|error| panic!("{language}: {}: {error}", text(1)));
                    let seed = hex::encode(phrase.0.to_seed("TREZOR"));
                    assert_eq!(seed, text(2), "{language}: {}", text(1));
                }
                read += 1;
            }
        }
        assert_eq!(read, 240);
    }

    #[test]
    fn a_path_is_followed_as_it_is_written() {
        let phrase = Mnemonic::parse(ABANDON).unwrap();
        let address = |path: &str| {
            let key = phrase.key_at("", &path.parse().unwrap()).unwrap();
            key.address().to_string()
        };
        assert_eq!(
            address("m/44'/195'/0'/0/1"),
            "TSeJkUh4Qv67VNFwY8LaAxERygNdy6NQZK"
        );
        assert_eq!(
            address("m/44h/195H/0'/0/1"),
            "TSeJkUh4Qv67VNFwY8LaAxERygNdy6NQZK"
        );
        assert_ne!(address("m/44'/195'/1'/0/0"), address("m/44'/195'/0'/0/0"));
        for wrong in [
            "",
            "m",
            "44'/195'",
            "m/",
            "m/44'/x",
            "m/-1",
            "m/2147483648",
            "m/1 /2",
            "m/1''",
            "m/0/0/0/0/0/0/0/0/0/0/0",
        ] {
            assert!(wrong.parse::<KeyPath>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_kind_of_wrong_phrase_has_its_own_error() {
        let error = |text: &str| Mnemonic::parse(text).unwrap_err();
        assert_eq!(error("abandon"), MnemonicError::WordCount(1));
        assert_eq!(
            error(&ABANDON.replace("about", "abuot")),
            MnemonicError::UnknownWord(12)
        );
        assert_eq!(
            error(&ABANDON.replace("about", "abandon")),
            MnemonicError::Checksum
        );
        let phrase = Mnemonic::parse(ABANDON).unwrap();
        assert_eq!(
            phrase.key("", 1 << 31).unwrap_err(),
            MnemonicError::Index(1 << 31)
        );
        assert!(!format!("{phrase:?}").contains("abandon"));
    }
}
