//! Whose the newest signatures are. A node's newest header is asked for twice a
//! second and is the same for three; a block comes alone, then among others; a
//! receipt is checked when it is made, and before it is paid.
//!
//! Found is only the same signature over the same digest, so nothing is believed
//! that was not computed. A table of fixed size: the newer takes the older's place.

use std::sync::{LazyLock, Mutex, PoisonError};

use super::Signature;
use crate::types::Address;

/// So many are remembered at most: half a megabyte.
const PLACES: usize = 4096;

struct Recovered {
    digest: [u8; 32],
    signature: Signature,
    signer: Address,
}

static PLACE: LazyLock<Vec<Mutex<Option<Recovered>>>> =
    LazyLock::new(|| (0..PLACES).map(|_| Mutex::new(None)).collect());

fn place(digest: &[u8; 32], signature: &Signature) -> Option<&'static Mutex<Option<Recovered>>> {
    let two = |bytes: &[u8]| match bytes {
        [.., high, low] => usize::from(u16::from_be_bytes([*high, *low])),
        _ => 0,
    };
    let r = signature.0.first_chunk::<32>().map_or(0, |r| two(r));
    PLACE.get((two(digest) ^ r) % PLACES)
}

/// The signer, if the signature was noted and nothing has taken its place.
pub(super) fn find(digest: &[u8; 32], signature: &Signature) -> Option<Address> {
    let held = place(digest, signature)?
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    held.as_ref()
        .filter(|held| held.digest == *digest && held.signature == *signature)
        .map(|held| held.signer)
}

/// Remembers whose signature it is.
pub(super) fn note(digest: &[u8; 32], signature: &Signature, signer: Address) {
    if let Some(place) = place(digest, signature) {
        *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(Recovered {
            digest: *digest,
            signature: *signature,
            signer,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tron::keys::SecretKey;

    #[test]
    fn only_the_same_signature_over_the_same_digest_is_found() {
        let key = SecretKey::from_bytes(&[0x5a; 32]).unwrap();
        let digest = [0xd1; 32];
        let signature = key.sign(&digest);
        assert_eq!(find(&digest, &signature), Some(key.address()));
        for bit in [0, 100, 255] {
            let mut other = digest;
            other[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(find(&other, &signature), None);
            assert_ne!(signature.recover(&other), Ok(key.address()));
        }
        for byte in 0..65 {
            let mut bytes = signature.to_bytes();
            // 27 and 28 are the two values of the last one.
            bytes[byte] ^= if byte == 64 { 7 } else { 1 };
            let other = Signature::from_slice(&bytes).unwrap();
            assert_eq!(find(&digest, &other), None, "byte {byte}");
            assert_ne!(other.recover(&digest), Ok(key.address()), "byte {byte}");
        }
        assert_eq!(signature.recover(&digest), Ok(key.address()));
    }

    #[test]
    fn the_newer_takes_the_olders_place() {
        let signature = Signature([1; 65]);
        let mut digest = [0x77; 32];
        note(&digest, &signature, Address::from_body([1; 20]));
        let first = digest;
        digest[0] = 0;
        note(&digest, &signature, Address::from_body([2; 20]));
        assert_eq!(find(&digest, &signature), Some(Address::from_body([2; 20])));
        assert_eq!(find(&first, &signature), None);
    }
}
