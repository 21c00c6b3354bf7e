//! What shielded TRC-20 tokens ask for: the hash of their Merkle tree, and proofs, of which
//! only the shape is judged here.

use std::{collections::HashSet, sync::LazyLock};

use ark_ff::{
    BigInt, BigInteger, Field, Fp256, MontBackend, MontConfig, MontFp, One, PrimeField, Zero,
};

use super::super::word::{self, WORD_BYTES, Word, padded};

/// Leaves of a tree.
const TREE_WIDTH: i64 = 1 << 32;
/// A spent note, and one that is made, as a transfer has them.
const SPEND_BYTES: usize = 320;
const SIGNATURE_BYTES: usize = 64;
const RECEIVE_BYTES: usize = 288;

fn number(data: &[u8], offset: usize) -> Word {
    Word::from_be_bytes(padded(data, offset))
}

/// Whether a proof that a note was made can only be a wrong one.
pub(super) fn is_no_mint(data: &[u8]) -> bool {
    data.len() != 1_504 || word::long_safe(&number(data, 1_472)) >= TREE_WIDTH
}

/// Whether a proof that a note was spent openly can only be a wrong one.
pub(super) fn is_no_burn(data: &[u8]) -> bool {
    data.len() != 512
}

/// Whether a proof that notes became others can only be a wrong one.
pub(super) fn is_no_transfer(data: &[u8]) -> bool {
    if !matches!(data.len(), 2_080 | 2_368 | 2_464 | 2_752)
        || word::long_safe(&number(data, 1_280)) >= TREE_WIDTH - 1
    {
        return true;
    }
    // Each list is where a word says, behind its count.
    let list = |at: usize| {
        let offset = word::int_safe(&number(data, at));
        (
            word::int_safe(&number(data, offset)),
            offset.saturating_add(WORD_BYTES),
        )
    };
    let ((spent, spends), (signed, signatures), (received, receives)) =
        (list(0), list(32), list(64));
    if spent != signed || !(1..=2).contains(&spent) || !(1..=2).contains(&received) {
        return true;
    }
    let parts = |from: usize, count: usize, size: usize| {
        let bytes = data.get(from..from.saturating_add(count * size))?;
        let firsts: HashSet<&[u8]> = bytes
            .chunks(size)
            .filter_map(|part| part.get(..WORD_BYTES))
            .collect();
        Some(firsts.len())
    };
    // Nullifiers and commitments come first in theirs, and none comes twice.
    parts(spends, spent, SPEND_BYTES) != Some(spent)
        || parts(signatures, signed, SIGNATURE_BYTES).is_none()
        || parts(receives, received, RECEIVE_BYTES) != Some(received)
}

/// The field that Jubjub's coordinates are of: the scalars of BLS12-381.
struct Coordinates;
type Fq = Fp256<MontBackend<Coordinates, 4>>;

impl MontConfig<4> for Coordinates {
    const MODULUS: BigInt<4> =
        BigInt!("52435875175126190479447740508185965837690552500527637822603658699938581184513");
    const GENERATOR: Fq = MontFp!("7");
    const TWO_ADIC_ROOT_OF_UNITY: Fq =
        MontFp!("10238227357739495823651030575849232062558860180284477541189508159991286009131");
}

/// The curve's `d`, -10240 / 10241.
const D: Fq =
    MontFp!("19257038036680949359750312669786877991949435402254120286184196891950884077233");

/// A point of Jubjub, -x² + y² = 1 + d x² y², where x = X/Z, y = Y/Z and xy = T/Z.
#[derive(Debug, Clone, Copy)]
struct Point {
    x: Fq,
    y: Fq,
    z: Fq,
    t: Fq,
}

/// A point to add: y - x, y + x and 2d xy.
#[derive(Debug, Clone, Copy)]
struct Step {
    less: Fq,
    more: Fq,
    twisted: Fq,
}

impl Point {
    fn zero() -> Self {
        Self {
            x: Fq::zero(),
            y: Fq::one(),
            z: Fq::one(),
            t: Fq::zero(),
        }
    }

    fn of((x, y): (Fq, Fq)) -> Self {
        Self {
            x,
            y,
            z: Fq::one(),
            t: x * y,
        }
    }

    /// x and y.
    fn plain(&self) -> Option<(Fq, Fq)> {
        let inverse = self.z.inverse()?;
        Some((self.x * inverse, self.y * inverse))
    }

    fn step(&self) -> Option<Step> {
        let (x, y) = self.plain()?;
        Some(Step {
            less: y - x,
            more: y + x,
            twisted: (D + D) * x * y,
        })
    }

    fn plus(&self, step: &Step) -> Self {
        let a = (self.y - self.x) * step.less;
        let b = (self.y + self.x) * step.more;
        let c = self.t * step.twisted;
        let d = self.z + self.z;
        let (e, f, g, h) = (b - a, d - c, d + c, b + a);
        Self {
            x: e * f,
            y: g * h,
            z: f * g,
            t: e * h,
        }
    }
}

impl Step {
    fn negated(self) -> Self {
        Self {
            less: self.more,
            more: self.less,
            twisted: -self.twisted,
        }
    }
}

/// The first three generators of Sapling's Pedersen hash: enough for two leaves. They are
/// what its search (`Zcash_PH`, 0 to 2) finds.
const GENERATORS: [(Fq, Fq); 3] = [
    (
        MontFp!("52355368488200756720908213129543630848976972731871436319321443845291207170897"),
        MontFp!("18372611905088487385433946659983357101887954355879737496286092836680199584970"),
    ),
    (
        MontFp!("9787319019520772215561425571402619434275350335445140843695488791465664995454"),
        MontFp!("617599303620822769724880923839314378351145790385632133893219494436232173713"),
    ),
    (
        MontFp!("46254521528573726497224586973822974014192468152453531001037375756982829433973"),
        MontFp!("24506313747297525290953778557147418250711256987769181747135349052620150133847"),
    ),
];

/// Triples of bits that one generator takes.
const TRIPLES: usize = 63;

/// For each triple: once, twice, three and four times its generator, 16 times that of the
/// triple before.
static STEPS: LazyLock<Vec<[Step; 4]>> = LazyLock::new(|| {
    let mut steps = Vec::with_capacity(GENERATORS.len() * TRIPLES);
    for generator in GENERATORS {
        let mut base = Point::of(generator);
        for _ in 0..TRIPLES {
            let Some(one) = base.step() else { break };
            let two = base.plus(&one);
            let three = two.plus(&one);
            let four = three.plus(&one);
            let (Some(second), Some(third), Some(fourth)) = (two.step(), three.step(), four.step())
            else {
                break;
            };
            steps.push([one, second, third, fourth]);
            let eight = four.plus(&fourth);
            let Some(twice) = eight.step() else { break };
            base = eight.plus(&twice);
        }
    }
    steps
});

/// Bits of a leaf that count.
const LEAF_BITS: usize = 255;
/// The deepest level there is.
const MAX_LEVEL: usize = 62;

/// The node above two leaves (level, left, right: a word each); none at a level that there
/// is not, or of less.
pub(super) fn merkle_hash(data: &[u8]) -> Option<Vec<u8>> {
    let level = word::int_safe(&number(data, 0));
    let leaves = data.get(WORD_BYTES..3 * WORD_BYTES)?;
    if level > MAX_LEVEL {
        return None;
    }
    let of_level = (0..6).map(|bit| level >> bit & 1 == 1);
    let of_leaves = leaves.chunks(WORD_BYTES).flat_map(|leaf| {
        let bits = leaf
            .iter()
            .flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1));
        bits.take(LEAF_BITS)
    });
    let bits: Vec<bool> = of_level.chain(of_leaves).collect();
    let mut sum = Point::zero();
    for (triple, multiples) in bits.as_chunks::<3>().0.iter().zip(STEPS.iter()) {
        let [first, second, is_negative] = *triple;
        let step = multiples.get(usize::from(first) + 2 * usize::from(second))?;
        sum = match is_negative {
            true => sum.plus(&step.negated()),
            false => sum.plus(step),
        };
    }
    let (x, _) = sum.plain()?;
    Some(x.into_bigint().to_bytes_le())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_counts_without_its_highest_bit() {
        let mut data = vec![0; 96];
        let zeros = merkle_hash(&data).unwrap();
        data[63] = 0x80;
        assert_eq!(merkle_hash(&data), Some(zeros.clone()));
        data[63] = 0x40;
        assert_ne!(merkle_hash(&data), Some(zeros));
        data[31] = 63;
        assert_eq!(merkle_hash(&data), None);
        data[31] = 62;
        assert!(merkle_hash(&data).is_some());
        assert_eq!(merkle_hash(&data[..95]), None);
    }

    #[test]
    fn every_generator_is_on_the_curve_and_has_all_its_steps() {
        for (x, y) in GENERATORS {
            let (x, y) = (x.square(), y.square());
            assert_eq!(y - x, Fq::one() + D * x * y);
        }
        assert_eq!(STEPS.len(), GENERATORS.len() * TRIPLES);
    }

    /// A transfer of one note into one, with room for its lists.
    fn transfer() -> Vec<u8> {
        let mut data = vec![7; 2_080];
        let mut put = |at: usize, value: u16| {
            data[at..at + 32].fill(0);
            data[at + 30..at + 32].copy_from_slice(&value.to_be_bytes());
        };
        // After the fixed part, 1,312 bytes long.
        put(0, 1_312);
        put(32, 1_664);
        put(64, 1_760);
        put(1_280, 5);
        put(1_312, 1);
        put(1_664, 1);
        put(1_760, 1);
        data
    }

    #[test]
    fn a_transfer_is_wrong_by_its_shape() {
        assert!(!is_no_transfer(&transfer()));
        assert!(is_no_transfer(&transfer()[1..]));
        let with = |at: usize, value: u8| {
            let mut data = transfer();
            data[at] = value;
            data
        };
        // Counts, and a place beyond the end.
        for at in [1_312 + 31, 1_664 + 31, 1_760 + 31] {
            for count in [0, 2, 3] {
                assert!(is_no_transfer(&with(at, count)), "{at} {count}");
            }
        }
        for at in [0, 32, 64, 64 + 30] {
            assert!(is_no_transfer(&with(at, 0xff)), "{at}");
        }
        // As many leaves as a tree has.
        assert!(is_no_transfer(&with(1_280, 1)));
        assert!(is_no_mint(&[0xff; 1_504]));
        assert!(!is_no_mint(&[0; 1_504]));
        assert!(is_no_burn(&[0; 511]));
    }

    #[test]
    fn no_note_comes_twice_in_a_transfer() {
        let mut data = transfer();
        data.resize(2_368, 7);
        data[1_760 + 31] = 2;
        assert!(is_no_transfer(&data), "the same commitment twice");
        data[1_760 + 32 + 288] = 8;
        assert!(!is_no_transfer(&data));
    }
}
