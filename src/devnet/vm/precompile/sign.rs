//! Signatures: one, many at once, those of a permission.

use sha2::{Digest, Sha256};

use super::{super::fault::Fault, WORD_BYTES, parse};
use crate::{
    devnet::{
        state::State,
        vm::word::{self, Word, padded},
    },
    tron::keys::Signature,
    types::Address,
};

/// Signatures that one check of a permission may have.
const MAX_MULTI: usize = 5;
/// Signatures that one batch may have.
const MAX_BATCH: usize = 16;

fn recovered(rs: &[u8], v: u8, digest: &[u8; 32]) -> Option<Address> {
    if v != 27 && v != 28 {
        return None;
    }
    let mut own = [0; 65];
    let (place, last) = own.split_at_mut(64);
    place.copy_from_slice(rs.get(..64)?);
    last.fill(v);
    Signature::from_slice(&own).ok()?.recover(digest).ok()
}

/// The signer with all 21 bytes, or nothing at all.
pub(super) fn recover(data: &[u8]) -> Vec<u8> {
    // Shorter input ends in an exception that the node swallows.
    if data.len() < 96 {
        return Vec::new();
    }
    let digest = padded(data, 0);
    let [high @ .., v] = padded(data, 32);
    if high.iter().any(|byte| *byte != 0) {
        return Vec::new();
    }
    let rs = [padded(data, 64), padded(data, 96)].concat();
    match recovered(&rs, v, &digest) {
        Some(signer) => word::bytes(&word::of_full_address(&signer)).to_vec(),
        None => Vec::new(),
    }
}

/// `recoverAddrBySign`: v may also be 0 or 1, and what follows it is not looked at.
fn signer(signature: &[u8], digest: &[u8; 32]) -> Option<Address> {
    let v = *signature.get(64)?;
    let v = if v.cast_signed() < 27 {
        v.wrapping_add(27)
    } else {
        v
    };
    recovered(signature, v, digest)
}

/// A word of the input, or Java's exception.
fn at(words: &[Word], index: usize) -> Result<Word, Fault> {
    words
        .get(index)
        .copied()
        .ok_or(Fault::OutOfBounds(index, words.len()))
}

/// `bytes[]` of the ABI at a word's offset. More than `most` of them are refused whatever
/// they hold, so those are empty: each could be as long as all the input.
fn byte_arrays(
    words: &[Word],
    offset: usize,
    data: &[u8],
    most: usize,
) -> Result<Vec<Vec<u8>>, Fault> {
    if words.is_empty() || offset > words.len() - 1 {
        return Ok(Vec::new());
    }
    let count = word::int_safe(&at(words, offset)?);
    let mut arrays = Vec::new();
    for n in 0..count {
        let inner = word::int_safe(&at(words, offset + n + 1)?) / WORD_BYTES;
        let length = word::int_safe(&at(words, offset + inner + 1)?);
        if n >= most {
            arrays.push(Vec::new());
            continue;
        }
        let from = (inner + offset + 2) * WORD_BYTES;
        // No signature needs more, and a length is the sender's.
        let length = length.min(data.len() + WORD_BYTES);
        let mut bytes = data.get(from..).unwrap_or_default().to_vec();
        bytes.resize(length, 0);
        arrays.push(bytes);
    }
    Ok(arrays)
}

/// `bytes32[]` of the ABI at a word's offset.
fn word_array(words: &[Word], offset: usize) -> Result<Vec<Word>, Fault> {
    let count = word::int_safe(&at(words, offset)?);
    (0..count).map(|n| at(words, offset + n + 1)).collect()
}

/// Byte i is 1 when signature i is of address i. Whatever is wrong gives zeros.
pub(super) fn batch(data: &[u8]) -> Vec<u8> {
    batch_of(data).unwrap_or_else(|_| vec![0; WORD_BYTES])
}

fn batch_of(data: &[u8]) -> Result<Vec<u8>, Fault> {
    let words = parse(data);
    let digest = word::bytes(&at(&words, 0)?);
    let place = |n| Ok(word::int_safe(&at(&words, n)?) / WORD_BYTES);
    let signatures = byte_arrays(&words, place(1)?, data, MAX_BATCH)?;
    let addresses = word_array(&words, place(2)?)?;
    let mut result = vec![0; WORD_BYTES];
    if signatures.len() > MAX_BATCH || signatures.len() != addresses.len() {
        return Ok(result);
    }
    for ((place, signature), address) in result.iter_mut().zip(&signatures).zip(&addresses) {
        if signer(signature, &digest) == Some(word::address(address)) {
            *place = 1;
        }
    }
    Ok(result)
}

/// Whether the signatures reach the threshold of an account's permission.
pub(super) fn multi(state: &State, data: &[u8]) -> Result<Vec<u8>, Fault> {
    let words = parse(data);
    let owner = word::address(&at(&words, 0)?);
    let id = word::int_safe(&at(&words, 1)?);
    let signed = word::bytes(&at(&words, 2)?);
    let id = i32::try_from(id).unwrap_or(i32::MAX);
    let digest: [u8; 32] = Sha256::new()
        .chain_update(owner.to_bytes())
        .chain_update(id.to_be_bytes())
        .chain_update(signed)
        .finalize()
        .into();
    let place = word::int_safe(&at(&words, 3)?) / WORD_BYTES;
    let signatures = byte_arrays(&words, place, data, MAX_MULTI)?;
    let no = Ok(vec![0; WORD_BYTES]);
    if signatures.is_empty() || signatures.len() > MAX_MULTI {
        return no;
    }
    let Some(permission) = state
        .account(&owner)
        .and_then(|account| account.permission(id))
    else {
        return no;
    };
    let mut total = 0i64;
    let mut seen: Vec<(Address, &[u8])> = Vec::new();
    for signature in &signatures {
        let Some(signer) = signer(signature, &digest) else {
            return no;
        };
        if seen.iter().any(|(known, _)| *known == signer) {
            if seen.contains(&(signer, signature.as_slice())) {
                continue;
            }
            return Err(Fault::OutOfTime(
                "CPU timeout for 0x0a executing".to_owned(),
            ));
        }
        let bytes = signer.to_bytes();
        let key = permission.keys.iter().find(|key| key.address == bytes);
        match key.map_or(0, |key| key.weight) {
            0 => return no,
            weight => total = total.saturating_add(weight),
        }
        seen.push((signer, signature));
    }
    let mut answer = vec![0; WORD_BYTES];
    if let Some(last) = answer.last_mut() {
        *last = u8::from(total >= permission.threshold);
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_take_no_more_memory_than_those_that_may_be_there() {
        // 1,000 of them, all at one place, where the length of all is without end.
        let mut words = vec![Word::from(1_000)];
        words.extend(std::iter::repeat_n(Word::from(1_000 * WORD_BYTES), 1_000));
        words.push(Word::MAX);
        let data: Vec<u8> = words.iter().flat_map(word::bytes).collect();
        let arrays = byte_arrays(&words, 0, &data, MAX_BATCH).unwrap();
        assert_eq!(arrays.len(), 1_000);
        let held: usize = arrays.iter().map(Vec::len).sum();
        assert!(held <= MAX_BATCH * (data.len() + WORD_BYTES), "{held}");
        assert!(arrays.iter().skip(MAX_BATCH).all(Vec::is_empty));
        assert_eq!(batch(&data), vec![0; WORD_BYTES]);
    }
}
