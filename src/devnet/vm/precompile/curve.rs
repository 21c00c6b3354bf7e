//! The curve that is called alt_bn128 or bn254 (EIP-196, EIP-197).

use ark_bn254::{Bn254, Fq, Fq2, G1Affine, G1Projective, G2Affine};
use ark_ec::{AffineRepr, CurveGroup, PrimeGroup, pairing::Pairing};
use ark_ff::{BigInteger, BigInteger256, PrimeField, Zero};

use super::super::word::padded;

/// Two points.
pub(super) const PAIR_BYTES: usize = 192;

fn integer(bytes: &[u8; 32]) -> BigInteger256 {
    let mut limbs = [0; 4];
    for (limb, chunk) in limbs.iter_mut().zip(bytes.as_chunks::<8>().0.iter().rev()) {
        *limb = u64::from_be_bytes(*chunk);
    }
    BigInteger256::new(limbs)
}

/// A coordinate below the prime.
fn field(data: &[u8], index: usize) -> Option<Fq> {
    Fq::from_bigint(integer(&padded(data, 32 * index)))
}

fn point(data: &[u8], index: usize) -> Option<G1Affine> {
    let (x, y) = (field(data, index)?, field(data, index + 1)?);
    if x.is_zero() && y.is_zero() {
        return Some(G1Affine::zero());
    }
    let point = G1Affine::new_unchecked(x, y);
    point.is_on_curve().then_some(point)
}

/// The imaginary part comes first.
fn twist_point(data: &[u8], index: usize) -> Option<G2Affine> {
    let x = Fq2::new(field(data, index + 1)?, field(data, index)?);
    let y = Fq2::new(field(data, index + 3)?, field(data, index + 2)?);
    if x.is_zero() && y.is_zero() {
        return Some(G2Affine::zero());
    }
    let point = G2Affine::new_unchecked(x, y);
    (point.is_on_curve() && point.is_in_correct_subgroup_assuming_on_curve()).then_some(point)
}

fn encoded(point: G1Projective) -> Vec<u8> {
    let affine = point.into_affine();
    let (x, y) = affine.xy().unwrap_or((Fq::zero(), Fq::zero()));
    [x, y]
        .iter()
        .flat_map(|coordinate| coordinate.into_bigint().to_bytes_be())
        .collect()
}

pub(super) fn add(data: &[u8]) -> Option<Vec<u8>> {
    let sum = point(data, 0)?.into_group() + point(data, 2)?;
    Some(encoded(sum))
}

pub(super) fn multiply(data: &[u8]) -> Option<Vec<u8>> {
    let point = point(data, 0)?.into_group();
    let scalar = integer(&padded(data, 64));
    // Any 256 bits: the group's order is subtracted by itself.
    Some(encoded(point.mul_bigint(scalar)))
}

pub(super) fn pairing(data: &[u8]) -> Option<Vec<u8>> {
    if !data.len().is_multiple_of(PAIR_BYTES) {
        return None;
    }
    let mut left = Vec::new();
    let mut right = Vec::new();
    for pair in data.chunks(PAIR_BYTES) {
        let (a, b) = (point(pair, 0)?, twist_point(pair, 2)?);
        if !a.is_zero() && !b.is_zero() {
            left.push(a);
            right.push(b);
        }
    }
    let is_one = Bn254::multi_pairing(left, right).is_zero();
    let mut output = vec![0; 32];
    if let Some(last) = output.last_mut() {
        *last = u8::from(is_one);
    }
    Some(output)
}
