//! The machine's word, and how java-tron reads one as an `int`, a `long` or an address.

use crate::types::Address;

/// 256 bits, unsigned unless an opcode says otherwise.
pub(crate) type Word = ruint::aliases::U256;

/// Bytes of a word.
pub(crate) const WORD_BYTES: usize = 32;

/// Big endian.
pub(crate) fn bytes(word: &Word) -> [u8; 32] {
    word.to_be_bytes::<32>()
}

/// Up to 32 bytes, big endian; those beyond are not looked at.
pub(crate) fn from_bytes(bytes: &[u8]) -> Word {
    let mut full = [0; 32];
    let taken = bytes.get(..32).unwrap_or(bytes);
    if let Some(place) = full.get_mut(32 - taken.len()..) {
        place.copy_from_slice(taken);
    }
    Word::from_be_bytes(full)
}

/// 32 bytes of `data` from `offset` on, as if zeros followed it.
pub(crate) fn padded(data: &[u8], offset: usize) -> [u8; 32] {
    let mut full = [0; 32];
    let rest = data.get(offset..).unwrap_or_default();
    for (place, byte) in full.iter_mut().zip(rest) {
        *place = *byte;
    }
    full
}

/// `DataWord.toTronAddress`: the last 20 bytes, whatever is before them.
pub(crate) fn address(word: &Word) -> Address {
    let mut body = [0; 20];
    let full = bytes(word);
    for (place, byte) in body.iter_mut().zip(full.iter().skip(12)) {
        *place = *byte;
    }
    Address::from_body(body)
}

/// The 20 bytes of an address as a word.
pub(crate) fn of_address(address: &Address) -> Word {
    from_bytes(address.body())
}

/// All 21 bytes of an address as a word.
pub(crate) fn of_full_address(address: &Address) -> Word {
    from_bytes(&address.to_bytes())
}

/// `new DataWord(long)`: not extended by its sign, as java-tron has it.
pub(crate) fn of_i64(value: i64) -> Word {
    Word::from(value.cast_unsigned())
}

/// `intValueSafe`: 2^31 - 1 for whatever does not fit an `int`.
pub(crate) fn int_safe(word: &Word) -> usize {
    let [low, rest @ ..] = word.as_limbs();
    match i32::try_from(*low) {
        Ok(value) if rest.iter().all(|limb| *limb == 0) => usize::try_from(value).unwrap_or(0),
        _ => 0x7fff_ffff,
    }
}

/// `longValueSafe`: 2^63 - 1 for whatever does not fit a `long`.
pub(crate) fn long_safe(word: &Word) -> i64 {
    exact(word).unwrap_or(i64::MAX)
}

/// `longValue`: the low 64 bits.
pub(crate) fn long(word: &Word) -> i64 {
    let [low, ..] = word.as_limbs();
    low.cast_signed()
}

/// `value().longValueExact()`: the unsigned word, if it fits a `long`.
pub(crate) fn exact(word: &Word) -> Option<i64> {
    match word.as_limbs() {
        [low, 0, 0, 0] => i64::try_from(*low).ok(),
        _ => None,
    }
}

/// `sValue().longValueExact()`: the signed word, if it fits a `long`.
pub(crate) fn signed_exact(word: &Word) -> Option<i64> {
    let [low, rest @ ..] = word.as_limbs();
    let value = low.cast_signed();
    let sign = if value < 0 { u64::MAX } else { 0 };
    rest.iter().all(|limb| *limb == sign).then_some(value)
}

/// Whether the signed word is below zero.
pub(crate) fn is_negative(word: &Word) -> bool {
    word.bit(255)
}

/// Bytes without leading zeros.
pub(crate) fn bytes_occupied(word: &Word) -> usize {
    word.bit_len().div_ceil(8)
}
