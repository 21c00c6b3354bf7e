//! The number under which a ledger knows a token.

use super::{AmountError, Token, TokenId};

/// A token's key in a ledger: one number for each kind of token that there is, or will be.
///
/// 0 is TRX. The ids of TRC-10 tokens are below 2^62 and are their own keys. From 2^62 on a key
/// stands for a contract: a ledger gives these out, and its table `token` says of which
/// contract each is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenKey(i64);

impl TokenKey {
    /// The key of TRX.
    pub const TRX: Self = Self(0);

    /// The first key that stands for a contract.
    pub const FIRST_CONTRACT: i64 = 1 << 62;

    /// The key of a token.
    ///
    /// # Errors
    /// A TRC-10 id of 2^62 or more, which no chain has given out.
    pub fn of(token: Token) -> Result<Self, AmountError> {
        match token {
            Token::Trx => Ok(Self::TRX),
            Token::Trc10(id) if id.get() < Self::FIRST_CONTRACT => Ok(Self(id.get())),
            Token::Trc10(id) => Err(AmountError::TokenId(id.to_string())),
        }
    }

    /// A key as it is stored.
    ///
    /// # Errors
    /// A number that is no key.
    pub fn new(number: i64) -> Result<Self, AmountError> {
        if number == 0 || number >= Self::FIRST_CONTRACT {
            return Ok(Self(number));
        }
        TokenId::new(number).map(|id| Self(id.get()))
    }

    /// The number.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The token; `None` for a contract, which only the ledger can name.
    pub fn token(self) -> Option<Token> {
        match self.0 {
            0 => Some(Token::Trx),
            number if number < Self::FIRST_CONTRACT => TokenId::new(number).ok().map(Token::Trc10),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_tokens_and_of_contracts_are_never_the_same() {
        let id = |number| Token::Trc10(TokenId::new(number).unwrap());
        for token in [
            Token::Trx,
            id(TokenId::FIRST),
            id(TokenId::BTT.get()),
            id((1 << 62) - 1),
        ] {
            let key = TokenKey::of(token).unwrap();
            assert_eq!(key.token(), Some(token));
            assert_eq!(TokenKey::new(key.get()), Ok(key));
        }
        assert!(TokenKey::of(id(1 << 62)).is_err());
        assert!(TokenKey::of(id(i64::MAX)).is_err());
        for number in [1 << 62, i64::MAX] {
            assert_eq!(TokenKey::new(number).unwrap().token(), None);
        }
        for number in [-1, 1, 1_000_000, i64::MIN] {
            assert!(TokenKey::new(number).is_err());
        }
    }
}
