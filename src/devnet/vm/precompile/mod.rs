//! Contracts that are part of the node (`PrecompiledContracts.java`). One is found by the
//! whole word of the address, not by its 20 bytes.

mod chain;
mod curve;
mod modexp;
mod secp256r1;
mod shielded;
mod sign;

use sha2::{Digest, Sha256};

use super::{
    fault::Fault,
    machine::Context,
    rules::Rules,
    word::{self, WORD_BYTES, Word},
};
use crate::types::Address;

macro_rules! precompiles {
    ($( $variant:ident = $number:literal, $is_on:expr; )*) => {
        /// A contract of the node.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Precompile { $( $variant, )* }

        /// The one at an address, if this chain has it.
        pub(super) fn find(rules: &Rules, address: &Word) -> Option<Precompile> {
            let number = u64::try_from(*address).ok()?;
            let (found, is_on): (_, fn(&Rules) -> bool) = match number {
                $( $number => (Precompile::$variant, $is_on), )*
                _ => return None,
            };
            is_on(rules).then_some(found)
        }
    };
}

precompiles! {
    Recover = 0x1, |_| true;
    Sha256 = 0x2, |_| true;
    Ripemd = 0x3, |_| true;
    Identity = 0x4, |_| true;
    ModExp = 0x5, |_| true;
    Add = 0x6, |_| true;
    Multiply = 0x7, |_| true;
    Pairing = 0x8, |_| true;
    BatchValidateSign = 0x9, |rules| rules.solidity059;
    ValidateMultiSign = 0xa, |rules| rules.solidity059;
    P256Verify = 0x100, |rules| rules.osaka;
    VerifyMint = 0x100_0001, |rules| rules.shielded;
    VerifyTransfer = 0x100_0002, |rules| rules.shielded;
    VerifyBurn = 0x100_0003, |rules| rules.shielded;
    MerkleHash = 0x100_0004, |rules| rules.shielded;
    RewardBalance = 0x100_0005, |rules| rules.vote;
    IsSrCandidate = 0x100_0006, |rules| rules.vote;
    VoteCount = 0x100_0007, |rules| rules.vote;
    UsedVoteCount = 0x100_0008, |rules| rules.vote;
    ReceivedVoteCount = 0x100_0009, |rules| rules.vote;
    TotalVoteCount = 0x100_000a, |rules| rules.vote;
    ChainParameter = 0x100_000b, |_| true;
    AvailableUnfreezeSize = 0x100_000c, |_| true;
    UnfreezableBalance = 0x100_000d, |_| true;
    ExpireUnfreezeBalance = 0x100_000e, |_| true;
    DelegatableResource = 0x100_000f, |_| true;
    ResourceV2 = 0x100_0010, |_| true;
    CheckUndelegate = 0x100_0011, |_| true;
    ResourceUsage = 0x100_0012, |_| true;
    TotalResource = 0x100_0013, |_| true;
    TotalDelegated = 0x100_0014, |_| true;
    TotalAcquired = 0x100_0015, |_| true;
}

fn words_of(data: &[u8]) -> i64 {
    i64::try_from(data.len().div_ceil(WORD_BYTES)).unwrap_or(i64::MAX)
}

/// Words before the signatures that are paid for.
const HEAD_WORDS: usize = 5;
/// Words of a signature and what it is for.
const BATCH_WORDS: usize = 6;
const MULTI_WORDS: usize = 5;

/// 1,500 a signature, of which there are `(words - 5) / size`, rounded toward 0.
fn signatures(data: &[u8], size: usize) -> i64 {
    let whole = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    (whole(data.len() / WORD_BYTES) - whole(HEAD_WORDS)) / whole(size) * 1_500
}

/// Whether the input is as long as one that its price was made for: a head, and some
/// signatures of `size` words (TIP-854).
fn is_paid_length(data: &[u8], size: usize) -> bool {
    let (words, rest) = (data.len() / WORD_BYTES, data.len() % WORD_BYTES);
    let signed = words.saturating_sub(HEAD_WORDS);
    rest == 0 && signed > 0 && signed.is_multiple_of(size)
}

/// Energy for one run.
pub(super) fn price(rules: &Rules, precompile: Precompile, data: &[u8]) -> i64 {
    match precompile {
        Precompile::Recover => 3_000,
        Precompile::Sha256 => 60 + 12 * words_of(data),
        Precompile::Ripemd => 600 + 120 * words_of(data),
        Precompile::Identity => 15 + 3 * words_of(data),
        Precompile::ModExp => modexp::price(data, rules.osaka),
        Precompile::Add => 150,
        Precompile::Multiply => 6_000,
        Precompile::Pairing => {
            45_000 + 34_000 * i64::try_from(data.len() / curve::PAIR_BYTES).unwrap_or(i64::MAX)
        }
        Precompile::BatchValidateSign => signatures(data, BATCH_WORDS),
        Precompile::ValidateMultiSign => signatures(data, MULTI_WORDS),
        Precompile::P256Verify => 6_900,
        Precompile::VerifyMint | Precompile::VerifyBurn => 150_000,
        Precompile::VerifyTransfer => 200_000,
        Precompile::MerkleHash | Precompile::RewardBalance | Precompile::VoteCount => 500,
        Precompile::IsSrCandidate
        | Precompile::UsedVoteCount
        | Precompile::ReceivedVoteCount
        | Precompile::TotalVoteCount => 20,
        _ => 50,
    }
}

/// The output, or nothing when it fails.
pub(super) fn run(
    context: &mut Context<'_>,
    precompile: Precompile,
    caller: &Address,
    data: &[u8],
) -> Result<Option<Vec<u8>>, Fault> {
    context.check_clock("call")?;
    let deadline = context.env.deadline;
    let osaka = context.rules.osaka;
    Ok(match precompile {
        Precompile::Recover => Some(sign::recover(data)),
        Precompile::Sha256 => Some(Sha256::digest(data).to_vec()),
        Precompile::Ripemd => Some(twice(data)),
        Precompile::Identity => Some(data.to_vec()),
        Precompile::ModExp => modexp::run(data, deadline, osaka)?,
        Precompile::Add => curve::add(data),
        Precompile::Multiply => curve::multiply(data),
        Precompile::Pairing => curve::pairing(data),
        Precompile::BatchValidateSign if osaka && !is_paid_length(data, BATCH_WORDS) => None,
        Precompile::ValidateMultiSign if osaka && !is_paid_length(data, MULTI_WORDS) => None,
        Precompile::BatchValidateSign => Some(sign::batch(data)),
        Precompile::ValidateMultiSign => Some(sign::multi(&context.world.state, data)?),
        Precompile::P256Verify => Some(secp256r1::verify(data)),
        Precompile::VerifyMint => Some(unproved(shielded::is_no_mint(data))?),
        Precompile::VerifyTransfer => Some(unproved(shielded::is_no_transfer(data))?),
        Precompile::VerifyBurn => Some(unproved(shielded::is_no_burn(data))?),
        Precompile::MerkleHash => shielded::merkle_hash(data),
        other => Some(chain::answer(&context.world.state, other, caller, data)),
    })
}

/// Not RIPEMD-160: SHA-256 of the first 20 bytes of SHA-256.
fn twice(data: &[u8]) -> Vec<u8> {
    let first = Sha256::digest(data);
    let (head, _) = first.split_at(20);
    Sha256::digest(head).to_vec()
}

/// What is no proof is a wrong one; what may be one cannot be judged here.
fn unproved(is_none: bool) -> Result<Vec<u8>, Fault> {
    match is_none {
        true => Ok(vec![0; WORD_BYTES]),
        false => Err(Fault::Execution(
            "this node judges no zero-knowledge proofs".to_owned(),
        )),
    }
}

/// `data` in whole words; the rest is not looked at.
fn parse(data: &[u8]) -> Vec<Word> {
    data.as_chunks::<WORD_BYTES>()
        .0
        .iter()
        .map(|word| Word::from_be_bytes(*word))
        .collect()
}

/// `longTo32Bytes`.
fn number(value: i64) -> Vec<u8> {
    word::bytes(&word::of_i64(value)).to_vec()
}
