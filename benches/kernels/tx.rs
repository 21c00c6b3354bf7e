//! Build, hash and sign a TRC-10 transfer, and the signing alone.

use std::hint::black_box;

use seedrail::{
    tron::{
        contract::Contract,
        keys::SecretKey,
        transaction::{Draft, RefBlock},
    },
    types::{RawAmount, Token, UnixMs},
};
use sha2::{Digest, Sha256};

use super::Kernel;

/// The private key 0x0102…20.
pub(crate) fn key() -> SecretKey {
    let bytes: Vec<u8> = (1..=32).collect();
    SecretKey::from_bytes(&bytes).unwrap()
}

/// The library that signs, alone: another digest each time.
pub(crate) fn bound() -> Kernel {
    let bytes: Vec<u8> = (1..=32).collect();
    let key = k256::ecdsa::SigningKey::from_slice(&bytes).unwrap();
    Box::new(move |n| {
        let digest = Sha256::digest(n.to_be_bytes());
        black_box(key.sign_prehash_recoverable(&digest));
    })
}

/// What a caller does: the contract, the draft, its id, the signature, the bytes
/// to be sent.
pub(crate) fn build_and_sign() -> Kernel {
    let key = key();
    let to = "TDvSsdrNM5eeXNL3czpa6AxLDHZA9nwe9K".parse().unwrap();
    let token = Token::Trc10("1002000".parse().unwrap());
    let amount = RawAmount::new(1_000).unwrap();
    let ref_block = RefBlock {
        bytes: [0xa4, 0xb1],
        hash: [3; 8],
    };
    Box::new(move |n| {
        let contract = Contract::transfer(key.address(), to, token, amount);
        let timestamp = UnixMs(1_790_000_000_000 + i64::try_from(n % (1 << 40)).unwrap());
        let draft = Draft::new(contract, ref_block, UnixMs(1_790_000_060_000), timestamp);
        let unsigned = draft.build();
        black_box(unsigned.txid());
        black_box(unsigned.sign(&key).unwrap().encode());
    })
}
