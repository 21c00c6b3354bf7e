//! `base ^ exponent % modulus` at EIP-198's old price.

use std::time::Instant;

use num_bigint::BigUint;

use super::super::{
    fault::Fault,
    word::{self, Word, padded},
};

/// Where the numbers begin, after their three lengths.
const NUMBERS: usize = 96;
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

pub(super) fn price(data: &[u8]) -> i64 {
    let (base, exponent, modulus) = (length(data, 0), length(data, 1), length(data, 2));
    let x = i128::try_from(base.max(modulus)).unwrap_or(i128::MAX);
    let complexity = match x {
        0..=64 => x * x,
        65..=1024 => x * x / 4 + 96 * x - 3_072,
        _ => x * x / 16 + 480 * x - 199_680,
    };
    let head = exponent.min(32);
    let mut full = [0; 32];
    let bytes = held(data, NUMBERS.saturating_add(base), head);
    for (place, byte) in full.iter_mut().skip(32 - head).zip(bytes) {
        *place = *byte;
    }
    let bits = Word::from_be_bytes(full).bit_len().saturating_sub(1);
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

pub(super) fn run(data: &[u8], deadline: Option<Instant>) -> Result<Vec<u8>, Fault> {
    let (base, exponent, modulus) = (length(data, 0), length(data, 1), length(data, 2));
    let exponent_at = NUMBERS.saturating_add(base);
    let modulus_at = exponent_at.saturating_add(exponent);
    // Paid for are the larger of base and modulus, so all of this is bounded.
    let m = number(data, modulus_at, modulus);
    if m == BigUint::ZERO {
        return Ok(Vec::new());
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
    Ok(output)
}
