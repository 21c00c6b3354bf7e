//! Signed messages, TIP-191 as TronWeb's `signMessageV2` has them: Keccak-256
//! of `"\x19TRON Signed Message:\n"`, the length in bytes as decimal digits, and
//! the message.

use super::keys::{SignRequest, Signature, SignatureError, Signer, SignerError};
use crate::types::Address;

/// Signs `message` as whoever `signer` is.
///
/// # Errors
/// The signer refused.
pub fn sign_message(signer: &dyn Signer, message: &[u8]) -> Result<Signature, SignerError> {
    signer.sign_request(&SignRequest::Message(message))
}

/// Who signed `message`.
///
/// # Errors
/// The signature is nobody's.
pub fn message_signer(message: &[u8], signature: &Signature) -> Result<Address, SignatureError> {
    signature.recover(&SignRequest::Message(message).digest())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tron::keys::SecretKey;

    /// TronWeb 6.5.1 `utils.message.signMessage(text, key)`, private key 1.
    const VECTORS: &[(&str, &str)] = &[
        (
            "",
            "0x5fc8883facaeb9dbebe71ec179c2744f83dc0e4868c6c9a6d63d47b949f33ae4317dc553f28a9c64b06838dc1adf7f24da330394f05e4ea6318d18608293ffe91b",
        ),
        (
            "hello world",
            "0x0dc0b53d525e0103a6013061cf18e60cf158809149f2b8994a545af65a7004cb1eeaff560e801ab51b28df5d42549aa024c2aa7e9d34de1e01294b9afb5e6c7e1c",
        ),
        (
            "Grüße, 世界 — more than nine bytes",
            "0xd5535c7d6b46c6e4c1ffc6af43c55dd2158540bfa4e0ebf1687767b9f19b220a6817bbdadc114f07c492d58324c7dd3e8c189af8aa52cb96959530f6017eec281b",
        ),
    ];

    #[test]
    fn tronwebs_signatures_are_made_again() {
        let key = SecretKey::from_hex(&format!("{:064x}", 1)).unwrap();
        for (message, signature) in VECTORS {
            let made = sign_message(&key, message.as_bytes()).unwrap();
            assert_eq!(format!("0x{made}"), *signature, "{message}");
            assert_eq!(message_signer(message.as_bytes(), &made), Ok(key.address()));
        }
    }

    #[test]
    fn another_message_is_another_signer() {
        let key = SecretKey::from_hex(&format!("{:064x}", 1)).unwrap();
        let made = sign_message(&key, b"one").unwrap();
        assert_ne!(message_signer(b"two", &made), Ok(key.address()));
    }
}
