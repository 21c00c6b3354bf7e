//! Recovery phrases: BIP-39 in English, and the keys they give by BIP-32 at
//! TRON's path m/44'/195'/0'/0/i (BIP-44, coin type 195).

use std::fmt;

use bip32::{ChildNumber, DerivationPath, XPrv};
use zeroize::Zeroizing;

use super::keys::{SecretKey, SecretKeyError};

/// Why a phrase is refused or gives no key. Never says what it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MnemonicError {
    /// Not 12, 15, 18, 21 or 24 words.
    #[error("a recovery phrase has 12, 15, 18, 21 or 24 words, not {0}")]
    WordCount(usize),
    /// A word that is not in the list.
    #[error("word {0} of the recovery phrase is not in the English BIP-39 list")]
    UnknownWord(usize),
    /// The words are in the list but do not belong together.
    #[error("the recovery phrase's checksum does not match: a word is wrong or out of order")]
    Checksum,
    /// The index is 2^31 or more.
    #[error("account index {0} is out of range: 0 to 2147483647")]
    Index(u32),
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

    /// Reads a phrase; any white space separates, case does not matter.
    ///
    /// # Errors
    /// A wrong number of words, an unknown word, a wrong checksum.
    pub fn parse(text: &str) -> Result<Self, MnemonicError> {
        let words = text.split_whitespace().count();
        if !matches!(words, 12 | 15 | 18 | 21 | 24) {
            return Err(MnemonicError::WordCount(words));
        }
        let text = Zeroizing::new(text.to_lowercase());
        bip39::Mnemonic::parse_in_normalized(bip39::Language::English, &text)
            .map(Self)
            .map_err(|error| match error {
                bip39::Error::UnknownWord(at) => MnemonicError::UnknownWord(at + 1),
                bip39::Error::BadWordCount(count) => MnemonicError::WordCount(count),
                _ => MnemonicError::Checksum,
            })
    }

    /// The words, to be written down by their owner.
    pub fn to_phrase(&self) -> Zeroizing<String> {
        // Large enough that no part of it is left behind by growing.
        let mut phrase = Zeroizing::new(String::with_capacity(24 * 9));
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
        let seed = Zeroizing::new(self.0.to_seed(passphrase));
        let out_of_range = |_| MnemonicError::Index(index);
        let mut path = DerivationPath::default();
        for (number, hardened) in [
            (44, true),
            (195, true),
            (0, true),
            (0, false),
            (index, false),
        ] {
            path.push(ChildNumber::new(number, hardened).map_err(out_of_range)?);
        }
        let key =
            XPrv::derive_from_path(seed.as_slice(), &path).map_err(|_| SecretKeyError::Range)?;
        let bytes = Zeroizing::new(key.to_bytes());
        Ok(SecretKey::from_bytes(bytes.as_slice())?)
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
