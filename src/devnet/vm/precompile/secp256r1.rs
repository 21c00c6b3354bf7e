//! Signatures on the curve that passkeys and secure hardware use (TIP-7951).

use p256::ecdsa::{Signature, VerifyingKey, signature::hazmat::PrehashVerifier as _};

use super::number;

/// A hash, r, s and the two coordinates of a key, 32 bytes each.
const INPUT: usize = 160;
const HASH: usize = 32;
const SIGNATURE: usize = 64;

/// 1 as a word if the key signed the hash; nothing if it did not, or if that is no signature,
/// no key or no such input.
pub(super) fn verify(data: &[u8]) -> Vec<u8> {
    match is_signed(data) {
        true => number(1),
        false => Vec::new(),
    }
}

fn is_signed(data: &[u8]) -> bool {
    if data.len() != INPUT {
        return false;
    }
    let (hash, rest) = data.split_at(HASH);
    let (signature, key) = rest.split_at(SIGNATURE);
    let point = [&[4], key].concat();
    let (Ok(signature), Ok(key)) = (
        Signature::from_slice(signature),
        VerifyingKey::from_sec1_bytes(&point),
    ) else {
        return false;
    };
    key.verify_prehash(hash, &signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED: &str = include_str!("../../../../fixtures/tron/tvm/eip-7951.txt");

    #[test]
    fn published_signatures_are_judged_as_published() {
        let mut count = 0;
        for line in PUBLISHED.lines().filter(|line| !line.starts_with('#')) {
            let [name, input, verifies] = line.split(" | ").collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            let output = verify(&hex::decode(input).unwrap());
            let expected = match verifies {
                "yes" => number(1),
                _ => Vec::new(),
            };
            assert_eq!(output, expected, "{name}");
            count += 1;
        }
        assert_eq!(count, 53);
    }

    #[test]
    fn only_160_bytes_are_a_question() {
        let first = PUBLISHED.lines().find(|line| line.ends_with("yes"));
        let input = first.and_then(|line| line.split(" | ").nth(1)).unwrap();
        let mut data = hex::decode(input).unwrap();
        assert_eq!(verify(&data), number(1));
        data.push(0);
        assert_eq!(verify(&data), Vec::<u8>::new());
        data.truncate(159);
        assert_eq!(verify(&data), Vec::<u8>::new());
        assert_eq!(verify(&[]), Vec::<u8>::new());
    }
}
