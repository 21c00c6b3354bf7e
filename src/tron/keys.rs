//! secp256k1 keys and signatures as TRON has them.
//!
//! A [`SecretKey`] signs only what this crate hashed itself: a bare digest is
//! never taken from outside ([`Signer::sign_request`] is the public door).
//! Reference: java-tron `crypto/…/ECKey.java`, `chainbase/…/TransactionCapsule.java`.

use std::{fmt, future::Future, pin::Pin, time::Duration};

use k256::ecdsa::{RecoveryId, SigningKey, VerifyingKey};
use sha2::Sha256;
use sha3::{Digest, Keccak256};
use zeroize::Zeroizing;

mod recovered;

use super::typed_data::{self, TypedContent};
use crate::types::Address;

/// Keccak-256 of `bytes`: the hash of addresses, messages and typed data (not
/// of transactions, which are hashed with SHA-256).
pub fn keccak256(bytes: impl AsRef<[u8]>) -> [u8; 32] {
    Keccak256::digest(bytes).into()
}

/// Keccak-256 of several parts one after the other.
pub(crate) fn keccak256_parts(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Keccak256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// The address of an uncompressed public key (`0x04`, x, y):
/// `0x41` and the last 20 bytes of the Keccak-256 of x and y.
pub fn address_of(public_key: &[u8; 65]) -> Address {
    let (_, point) = public_key.split_at(1);
    let hash = keccak256(point);
    let (_, tail) = hash.split_at(12);
    let mut body = [0; 20];
    body.copy_from_slice(tail);
    Address::from_body(body)
}

fn uncompressed(key: &VerifyingKey) -> [u8; 65] {
    let point = key.to_sec1_point(false);
    let mut bytes = [0; 65];
    bytes.copy_from_slice(point.as_bytes());
    bytes
}

/// Why bytes or text are no secret key. Never says what they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretKeyError {
    /// Not 32 bytes.
    #[error("a private key has 32 bytes (64 hex digits), not {0} bytes")]
    Length(usize),
    /// Not hex.
    #[error("the private key is not hex")]
    NotHex,
    /// Zero, or not below the order of the curve.
    #[error("the private key is zero or not below the order of secp256k1")]
    Range,
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes")]
    NoRandomness,
}

/// A secp256k1 private key. Its memory is overwritten when it is dropped; it
/// has no `Display` and no `Serialize`, and its `Debug` is the address.
#[derive(Clone)]
pub struct SecretKey {
    key: SigningKey,
    address: Address,
}

impl SecretKey {
    /// From the 32 bytes, big-endian.
    ///
    /// # Errors
    /// Another length, zero, or not below the curve's order.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SecretKeyError> {
        if bytes.len() != 32 {
            return Err(SecretKeyError::Length(bytes.len()));
        }
        let key = SigningKey::from_slice(bytes).map_err(|_| SecretKeyError::Range)?;
        let address = address_of(&uncompressed(key.verifying_key()));
        Ok(Self { key, address })
    }

    /// From 64 hex digits; white space around them and a `0x` are ignored.
    ///
    /// # Errors
    /// Not hex, another length, zero, or not below the curve's order.
    pub fn from_hex(text: &str) -> Result<Self, SecretKeyError> {
        let text = text.trim();
        let text = text.strip_prefix("0x").unwrap_or(text);
        if !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(SecretKeyError::NotHex);
        }
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text, bytes.as_mut_slice())
            .map_err(|_| SecretKeyError::Length(text.len().div_ceil(2)))?;
        Self::from_bytes(bytes.as_slice())
    }

    /// A new key from the operating system's randomness.
    ///
    /// # Errors
    /// The operating system gives none.
    pub fn generate() -> Result<Self, SecretKeyError> {
        let mut bytes = Zeroizing::new([0; 32]);
        loop {
            getrandom::fill(bytes.as_mut_slice()).map_err(|_| SecretKeyError::NoRandomness)?;
            // One draw in 2^128 is out of range, and is drawn again.
            if let Ok(key) = Self::from_bytes(bytes.as_slice()) {
                return Ok(key);
            }
        }
    }

    /// The key's address.
    pub fn address(&self) -> Address {
        self.address
    }

    /// The uncompressed public key: `0x04`, x, y.
    pub fn public_key(&self) -> [u8; 65] {
        uncompressed(self.key.verifying_key())
    }

    /// The secret itself, to be encrypted or shown to its owner.
    pub fn expose_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.key.to_bytes().into())
    }

    /// Signs a digest that this crate computed: RFC 6979 without extra
    /// entropy, low s.
    pub(crate) fn sign(&self, digest: &[u8; 32]) -> Signature {
        let (signature, id) = self.key.sign_prehash_recoverable(digest);
        let mut bytes = [0; 65];
        let (rs, v) = bytes.split_at_mut(64);
        rs.copy_from_slice(&signature.to_bytes());
        v.fill(27 + id.to_byte());
        let signature = Signature(bytes);
        recovered::note(digest, &signature, self.address);
        signature
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.address)
    }
}

/// Why bytes are no signature, or a signature is nobody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not 65 bytes.
    #[error("a signature has 65 bytes, not {0}")]
    Length(usize),
    /// Not hex.
    #[error("the signature is not hex")]
    NotHex,
    /// The last byte is none of 0, 1, 27, 28.
    #[error("the last byte (v) of the signature is {0}; it must be 0, 1, 27 or 28")]
    RecoveryId(u8),
    /// r or s is zero or not below the order of the curve, or no public key
    /// has made this signature.
    #[error("the signature belongs to no key")]
    NoKey,
}

/// A recoverable signature: r, s, v. Kept with v as 27 or 28.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature([u8; 65]);

impl Signature {
    /// Length in bytes.
    pub const LEN: usize = 65;

    /// Takes r, s and v, with v 0 or 27, 1 or 28. r and s are looked at only by
    /// [`Self::recover`].
    ///
    /// # Errors
    /// Another length, another v.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, SignatureError> {
        let mut own: [u8; 65] = bytes
            .try_into()
            .map_err(|_| SignatureError::Length(bytes.len()))?;
        let [.., v] = &mut own;
        match *v {
            0 | 1 => *v += 27,
            27 | 28 => {}
            other => return Err(SignatureError::RecoveryId(other)),
        }
        Ok(Self(own))
    }

    /// From the 64 bytes of EIP-2098: r, then s with the parity of v as its highest bit.
    pub fn from_compact(bytes: &[u8; 64]) -> Self {
        let mut own = [0; 65];
        let (rs, v) = own.split_at_mut(64);
        rs.copy_from_slice(bytes);
        if let (Some(s), [v]) = (rs.get_mut(32), v) {
            *v = 27 + (*s >> 7);
            *s &= 0x7f;
        }
        Self(own)
    }

    /// From 130 hex digits, with or without `0x`.
    ///
    /// # Errors
    /// Not hex, another length, another v.
    pub fn from_hex(text: &str) -> Result<Self, SignatureError> {
        let text = text.strip_prefix("0x").unwrap_or(text);
        if text.len() != 130 {
            return Err(SignatureError::Length(text.len().div_ceil(2)));
        }
        let bytes = hex::decode(text).map_err(|_| SignatureError::NotHex)?;
        Self::from_slice(&bytes)
    }

    /// With v as 27 or 28: receipts, messages, typed data.
    pub fn to_bytes(&self) -> [u8; 65] {
        self.0
    }

    /// With v as 0 or 1: transactions, as java-tron's own tools write them.
    pub fn to_transaction_bytes(&self) -> [u8; 65] {
        let mut bytes = self.0;
        let [.., v] = &mut bytes;
        *v -= 27;
        bytes
    }

    /// Whether s is in the lower half, as every signer of ours makes it. The
    /// chain takes both; who keeps signatures as identities should not.
    pub fn is_low_s(&self) -> bool {
        self.parse()
            .is_ok_and(|(signature, _)| signature.normalize_s() == signature)
    }

    /// Whose signature over `digest` this is. A high s is accepted, as
    /// java-tron does. What was made or recovered a moment ago is not computed again.
    ///
    /// # Errors
    /// r or s out of range, or no such point.
    pub fn recover(&self, digest: &[u8; 32]) -> Result<Address, SignatureError> {
        if let Some(signer) = recovered::find(digest, self) {
            return Ok(signer);
        }
        let signer = self.compute_signer(digest)?;
        recovered::note(digest, self, signer);
        Ok(signer)
    }

    fn compute_signer(&self, digest: &[u8; 32]) -> Result<Address, SignatureError> {
        let (signature, id) = self.parse()?;
        VerifyingKey::recover_from_prehash(digest, &signature, id)
            .map(|key| address_of(&uncompressed(&key)))
            .map_err(|_| SignatureError::NoKey)
    }

    fn parse(&self) -> Result<(k256::ecdsa::Signature, RecoveryId), SignatureError> {
        let (rs, v) = self.0.split_at(64);
        let signature =
            k256::ecdsa::Signature::from_slice(rs).map_err(|_| SignatureError::NoKey)?;
        Ok((signature, RecoveryId::new(v == [28], false)))
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What may be signed: always something whose digest the signer computes.
#[derive(Debug, Clone, Copy)]
pub enum SignRequest<'a> {
    /// A transaction's `raw_data`, byte for byte: SHA-256 (`TransactionCapsule.java`).
    Transaction {
        /// The canonical encoding of `Transaction.raw`.
        raw_data: &'a [u8],
    },
    /// TIP-712 typed data: Keccak-256 of 0x1901, domain separator, struct hash.
    TypedData {
        /// The hash of the domain.
        domain_separator: &'a [u8; 32],
        /// The hash of the struct.
        struct_hash: &'a [u8; 32],
        /// What was hashed, for a signer that shows it.
        document: &'a dyn TypedContent,
    },
    /// A TIP-191 message: Keccak-256 of the prefix and the message.
    Message(&'a [u8]),
}

impl SignRequest<'_> {
    /// The digest that is signed.
    pub fn digest(&self) -> [u8; 32] {
        match self {
            Self::Transaction { raw_data } => Sha256::digest(raw_data).into(),
            Self::TypedData {
                domain_separator,
                struct_hash,
                ..
            } => typed_data::digest(domain_separator, struct_hash),
            Self::Message(message) => keccak256_parts(&[
                b"\x19TRON Signed Message:\n",
                message.len().to_string().as_bytes(),
                message,
            ]),
        }
    }
}

/// A signer could not sign. A key in memory always can; one behind a prompt or
/// a device may not.
#[derive(Debug, thiserror::Error)]
#[error("{address} did not sign: {reason}")]
pub struct SignerError {
    /// Who was asked.
    pub address: Address,
    /// Why not.
    pub reason: String,
}

/// A signature that somebody was asked for. Dropping it takes the question back.
pub type PendingSignature = Pin<Box<dyn Future<Output = Result<Signature, SignerError>> + Send>>;

/// Whoever can sign for an address.
pub trait Signer: Send + Sync {
    /// For which address.
    fn address(&self) -> Address;

    /// How long one signature may take: a person may have to read, and to press a button. Zero
    /// for a key in memory.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }

    /// Asks for a signature and does not wait for it: for a signer that may take long, which
    /// answers from a thread of its own. `None` from one that signs at once by
    /// [`sign_request`](Self::sign_request).
    fn ask_to_sign(&self, request: &SignRequest<'_>) -> Option<PendingSignature> {
        let _ = request;
        None
    }

    /// Signs the request: low s, recoverable to [`Self::address`].
    ///
    /// # Errors
    /// The signer refused or is not reachable.
    fn sign_request(&self, request: &SignRequest<'_>) -> Result<Signature, SignerError>;
}

impl Signer for SecretKey {
    fn address(&self) -> Address {
        self.address
    }

    fn sign_request(&self, request: &SignRequest<'_>) -> Result<Signature, SignerError> {
        Ok(self.sign(&request.digest()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The recordings' `kN`: the private key N.
    fn k(n: u8) -> SecretKey {
        let mut bytes = [0; 32];
        bytes[31] = n;
        SecretKey::from_bytes(&bytes).unwrap()
    }

    /// `03-createtransaction-broadcast.json`: signed by k1, accepted by java-tron.
    const RAW: &str = "0a0200a62208ff9845b30c48bde04088c1fb9fa0345a69080112650a2d747970652e676f6f676c65617069732e636f6d2f70726f746f636f6c2e5472616e73666572436f6e747261637412340a15417e5f4552091a69125d5dfcb7b8c2659029395bdf1215411eff47bc3a10a45d4b230b5d10e37751fe6aa718188094ebdc0370ae84f89fa034";
    const TXID: &str = "a52afa16d817b280b289d3696cbea8db487af9c3d328a22145a94e8f86f17da0";
    const SIGNATURE: &str = "9007f7d85046e95630f5822a6f8d094aa8d545b3ea3c4e415a9e8979da1a8a092b2e1ab8496e70213a68b60b96f93c89605757a280a84773a26cf17f7135497601";

    #[test]
    fn the_recorded_transaction_signature_is_made_again() {
        let raw = hex::decode(RAW).unwrap();
        let request = SignRequest::Transaction { raw_data: &raw };
        assert_eq!(hex::encode(request.digest()), TXID);
        let signature = k(1).sign_request(&request).unwrap();
        assert_eq!(hex::encode(signature.to_transaction_bytes()), SIGNATURE);
        assert_eq!(signature, Signature::from_hex(SIGNATURE).unwrap());
        assert_eq!(signature.recover(&request.digest()), Ok(k(1).address()));
        assert!(signature.is_low_s());
    }

    #[test]
    fn addresses_of_small_keys() {
        assert_eq!(
            k(1).address().to_string(),
            "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC"
        );
        assert_eq!(
            k(2).address().to_string(),
            "TDvSsdrNM5eeXNL3czpa6AxLDHZA9nwe9K"
        );
        assert_eq!(address_of(&k(2).public_key()), k(2).address());
    }

    #[test]
    fn both_forms_of_v_are_one_signature() {
        let new = Signature::from_hex(SIGNATURE).unwrap();
        let [.., v] = new.to_bytes();
        assert_eq!(v, 28);
        assert_eq!(Signature::from_slice(&new.to_bytes()), Ok(new));
        assert_eq!(Signature::from_slice(&new.to_transaction_bytes()), Ok(new));
    }

    #[test]
    fn a_high_s_recovers_the_same_signer_and_is_told_apart() {
        let low = Signature::from_hex(SIGNATURE).unwrap();
        let (parsed, id) = low.parse().unwrap();
        let (r, s) = parsed.split_scalars();
        let high = k256::ecdsa::Signature::from_scalars(r.to_bytes(), (-s).to_bytes()).unwrap();
        let mut bytes = [27 + (1 - id.to_byte()); 65];
        bytes[..64].copy_from_slice(&high.to_bytes());
        let high = Signature::from_slice(&bytes).unwrap();
        assert!(!high.is_low_s());
        let digest: [u8; 32] = hex::decode(TXID).unwrap().try_into().unwrap();
        assert_eq!(high.recover(&digest), Ok(k(1).address()));
    }

    #[test]
    fn what_is_no_signature_is_refused() {
        assert_eq!(
            Signature::from_slice(&[1; 64]),
            Err(SignatureError::Length(64))
        );
        assert_eq!(
            Signature::from_slice(&[2; 65]),
            Err(SignatureError::RecoveryId(2))
        );
        assert_eq!(
            Signature::from_hex(&"z".repeat(130)),
            Err(SignatureError::NotHex)
        );
        let zero = Signature::from_slice(&[0; 65]).unwrap();
        assert_eq!(zero.recover(&[1; 32]), Err(SignatureError::NoKey));
        let mut over = [0xff; 65];
        over[64] = 27;
        let over = Signature::from_slice(&over).unwrap();
        assert_eq!(over.recover(&[1; 32]), Err(SignatureError::NoKey));
        assert!(!over.is_low_s());
    }

    #[test]
    fn what_is_no_key_is_refused_and_never_repeated() {
        assert_eq!(
            SecretKey::from_bytes(&[0; 32]).unwrap_err(),
            SecretKeyError::Range
        );
        assert_eq!(
            SecretKey::from_bytes(&[0xff; 32]).unwrap_err(),
            SecretKeyError::Range
        );
        assert_eq!(
            SecretKey::from_bytes(&[1; 31]).unwrap_err(),
            SecretKeyError::Length(31)
        );
        assert_eq!(
            SecretKey::from_hex("ab").unwrap_err(),
            SecretKeyError::Length(1)
        );
        assert_eq!(
            SecretKey::from_hex("secret").unwrap_err(),
            SecretKeyError::NotHex
        );
        let key = SecretKey::from_hex(&format!(" 0x{}\n", "5a".repeat(32))).unwrap();
        assert!(!format!("{key:?}").contains("5a5a"));
        assert_eq!(key.expose_bytes().as_slice(), [0x5a; 32]);
    }

    #[test]
    fn generated_keys_differ() {
        let (a, b) = (
            SecretKey::generate().unwrap(),
            SecretKey::generate().unwrap(),
        );
        assert_ne!(a.address(), b.address());
    }

    proptest::proptest! {
        #[test]
        fn what_a_key_signs_recovers_to_it(secret in 1u8.., digest: [u8; 32]) {
            let signature = k(secret).sign(&digest);
            proptest::prop_assert_eq!(signature.compute_signer(&digest), Ok(k(secret).address()));
            proptest::prop_assert_eq!(signature.recover(&digest), Ok(k(secret).address()));
            proptest::prop_assert!(signature.is_low_s());
        }

        #[test]
        fn any_signature_recovers_or_is_refused(bytes: Vec<u8>, tail: [[u8; 32]; 2], v in 0u8..2, digest: [u8; 32]) {
            let _ = Signature::from_slice(&bytes);
            let full = [tail[0].as_slice(), tail[1].as_slice(), &[v]].concat();
            let _ = Signature::from_slice(&full).unwrap().recover(&digest);
        }
    }
}
