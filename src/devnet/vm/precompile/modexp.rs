//! `base ^ exponent % modulus` at EIP-198's old price, and with Osaka at that of TIP-7883.

use std::time::Instant;

use num_bigint::BigUint;

use super::super::{
    fault::Fault,
    word::{self, Word, padded},
};

/// Where the numbers begin, after their three lengths.
const NUMBERS: usize = 96;
/// The longest number with Osaka, bytes (TIP-7823).
const MAX_LENGTH: usize = 1_024;
/// The least that TIP-7883 charges.
const LEAST: i128 = 500;
/// Bytes of an exponent between two looks at the clock.
const CHUNK: usize = 64;

fn length(data: &[u8], index: usize) -> usize {
    word::int_safe(&Word::from_be_bytes(padded(data, 32 * index)))
}

/// What `data` has of a number; zeros follow it.
fn held(data: &[u8], offset: usize, length: usize) -> &[u8] {
    let rest = data.get(offset..).unwrap_or_default();
    rest.get(..length).unwrap_or(rest)
}

/// What TIP-7883 charges for numbers of which the longer, and the exponent, have so many
/// bytes.
fn osaka_price(longer: usize, exponent: usize, bits: usize) -> i128 {
    let whole = |number: usize| i128::try_from(number).unwrap_or(i128::MAX);
    let words = whole(longer.div_ceil(8));
    let complexity = match longer {
        0..=32 => 16,
        _ => 2 * words * words,
    };
    let rounds = 16 * whole(exponent.saturating_sub(32)) + whole(bits);
    (complexity * rounds.max(1)).max(LEAST)
}

pub(super) fn price(data: &[u8], osaka: bool) -> i64 {
    let (base, exponent, modulus) = (length(data, 0), length(data, 1), length(data, 2));
    let head = exponent.min(32);
    let mut full = [0; 32];
    let bytes = held(data, NUMBERS.saturating_add(base), head);
    for (place, byte) in full.iter_mut().skip(32 - head).zip(bytes) {
        *place = *byte;
    }
    let bits = Word::from_be_bytes(full).bit_len().saturating_sub(1);
    if osaka {
        let energy = osaka_price(base.max(modulus), exponent, bits);
        return i64::try_from(energy).unwrap_or(i64::MAX);
    }
    let x = i128::try_from(base.max(modulus)).unwrap_or(i128::MAX);
    let complexity = match x {
        0..=64 => x * x,
        65..=1024 => x * x / 4 + 96 * x - 3_072,
        _ => x * x / 16 + 480 * x - 199_680,
    };
    let more = exponent.saturating_sub(32).saturating_mul(8);
    let adjusted = i128::try_from(more.saturating_add(bits)).unwrap_or(i128::MAX);
    let energy = complexity.saturating_mul(adjusted.max(1)) / 20;
    i64::try_from(energy).unwrap_or(i64::MAX)
}

/// A number as if zeros followed the data.
fn number(data: &[u8], offset: usize, length: usize) -> BigUint {
    let held = held(data, offset, length);
    if held.is_empty() {
        return BigUint::ZERO;
    }
    BigUint::from_bytes_be(held) << (8 * (length - held.len()))
}

/// The output; nothing when a number is longer than Osaka has them.
pub(super) fn run(
    data: &[u8],
    deadline: Option<Instant>,
    osaka: bool,
) -> Result<Option<Vec<u8>>, Fault> {
    let (base, exponent, modulus) = (length(data, 0), length(data, 1), length(data, 2));
    if osaka && base.max(exponent).max(modulus) > MAX_LENGTH {
        return Ok(None);
    }
    let exponent_at = NUMBERS.saturating_add(base);
    let modulus_at = exponent_at.saturating_add(exponent);
    // Paid for are the larger of base and modulus, so all of this is bounded.
    let m = number(data, modulus_at, modulus);
    if m == BigUint::ZERO {
        // TIP-871.
        return Ok(Some(vec![0; if osaka { modulus } else { 0 }]));
    }
    let b = number(data, NUMBERS, base) % &m;
    let bytes = held(data, exponent_at, exponent);
    let mut result = BigUint::from(1u8) % &m;
    let shift = |size: usize| BigUint::from(1u8) << (8 * size);
    let check = || match deadline {
        Some(deadline) if Instant::now() > deadline => Err(Fault::OutOfTime(
            "CPU timeout for 'call' operation executing".to_owned(),
        )),
        _ => Ok(()),
    };
    for chunk in bytes.chunks(CHUNK) {
        check()?;
        let step = b.modpow(&BigUint::from_bytes_be(chunk), &m);
        result = result.modpow(&shift(chunk.len()), &m) * step % &m;
    }
    let mut zeros = match bytes {
        [] => 0,
        _ => exponent - bytes.len(),
    };
    let one = BigUint::from(1u8) % &m;
    while zeros > 0 && result != one && result != BigUint::ZERO {
        check()?;
        let size = zeros.min(CHUNK);
        result = result.modpow(&shift(size), &m);
        zeros -= size;
    }
    let bytes = result.to_bytes_be();
    let mut output = vec![0; modulus.saturating_sub(bytes.len())];
    output.extend(bytes);
    Ok(Some(output))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(lengths: [usize; 3], exponent: &[u8]) -> Vec<u8> {
        let [base, exponent_length, modulus] = lengths;
        let mut data = Vec::new();
        for length in lengths {
            data.extend(word::bytes(&Word::from(length)));
        }
        data.resize(data.len() + base, 0);
        data.extend(exponent);
        data.resize(NUMBERS + base + exponent_length + modulus, 0);
        data
    }

    /// The nagydani rows of TIP-7883's table, and what java-tron's own test of it has for
    /// exponents of more than 32 bytes.
    #[test]
    fn osaka_charges_what_tip_7883_lists() {
        let rows: [(usize, &[i64; 3]); 5] = [
            (64, &[500, 500, 2_048]),
            (128, &[512, 512, 8_192]),
            (256, &[2_048, 2_048, 32_768]),
            (512, &[8_192, 8_192, 131_072]),
            (1_024, &[32_768, 32_768, 524_288]),
        ];
        for (length, prices) in rows {
            for (exponent, expected) in [&[2][..], &[3], &[1, 0, 1]].iter().zip(prices) {
                let data = input([length, exponent.len(), length], exponent);
                assert_eq!(price(&data, true), *expected, "{length} {exponent:?}");
            }
        }
        let of = |lengths, exponent| price(&input(lengths, exponent), true);
        assert_eq!(of([0, 0, 0], &[]), 500);
        assert_eq!(of([32, 1, 32], &[2]), 500);
        assert_eq!(of([32, 64, 32], &[]), 16 * 512);
        assert_eq!(of([33, 64, 33], &[]), 25_600);
        assert_eq!(of([64, 64, 64], &[]), 65_536);
        assert_eq!(of([64, 64, 64], &[1]), 97_280);
        assert_eq!(price(&input([64, 1, 64], &[2]), false), 204);
        // Lengths that no memory has cost more than anybody has.
        let mut huge = vec![0xff; 96];
        assert!(price(&huge, true) > 1 << 60);
        huge.truncate(64);
        assert!(price(&huge, true) > 1 << 60);
    }

    #[test]
    fn osaka_takes_numbers_of_1024_bytes_and_no_longer_ones() {
        let run = |lengths, osaka| run(&input(lengths, &[]), None, osaka).unwrap();
        assert_eq!(run([1_024, 1_024, 1_024], true), Some(vec![0; 1_024]));
        for lengths in [[1_025, 0, 0], [0, 1_025, 0], [0, 0, 1_025]] {
            assert_eq!(run(lengths, true), None, "{lengths:?}");
            assert_eq!(run(lengths, false), Some(Vec::new()), "{lengths:?}");
        }
    }

    #[test]
    fn osaka_fills_the_answer_of_a_modulus_that_is_zero() {
        let run = |modulus, osaka| run(&input([1, 1, modulus], &[5]), None, osaka).unwrap();
        for modulus in [0, 1, 32] {
            assert_eq!(run(modulus, true), Some(vec![0; modulus]));
            assert_eq!(run(modulus, false), Some(Vec::new()));
        }
    }
}
