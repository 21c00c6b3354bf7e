//! Verify receipts, and recover a signer alone.

use std::hint::black_box;

use k256::ecdsa::{SigningKey, VerifyingKey};
use seedrail::{
    ledger::EpochId,
    receipts::{Expected, GrantContext, Receipt, ReceiptDomain, ReceiptLine, SignedReceipt},
    types::{Address, RawAmount, Salt},
};
use sha2::{Digest, Sha256};

use super::Kernel;

const GENESIS: &str = "00000000000000001ebf88508a03865c71d452e25f4d51194196a1d22b6653dc";
const NOW_SECS: u64 = 1_790_000_100;
/// Enough of them that no table or branch knows them by heart.
const DISTINCT: u64 = 256;

/// Receipts of one epoch, each higher than the one before.
fn receipts() -> (ReceiptDomain, Vec<SignedReceipt>) {
    let domain = ReceiptDomain::new(GENESIS.parse().unwrap());
    let key = super::tx::key();
    let signed = (1..=DISTINCT)
        .map(|sequence| {
            let receipt = Receipt {
                payer: key.address(),
                payee: "TDvSsdrNM5eeXNL3czpa6AxLDHZA9nwe9K".parse().unwrap(),
                signer: key.address(),
                vault: Address::ZERO,
                token: "1002000".parse().unwrap(),
                epoch: EpochId::new(1).unwrap(),
                since_block: 70_000_000,
                sequence,
                amount: RawAmount::new(i64::try_from(sequence * 1_000).unwrap()).unwrap(),
                delivered_bytes: sequence << 20,
                issued_at: 1_790_000_000,
                grant: Salt::ZERO,
            };
            SignedReceipt::sign(receipt, &domain, &key).unwrap()
        })
        .collect();
    (domain, signed)
}

fn nth<T>(items: &[T], n: u64) -> &T {
    &items[usize::try_from(n % DISTINCT).unwrap()]
}

/// The library that recovers, alone.
pub(crate) fn bound() -> Kernel {
    let bytes: Vec<u8> = (1..=32).collect();
    let key = SigningKey::from_slice(&bytes).unwrap();
    let signed: Vec<_> = (0..DISTINCT)
        .map(|n| {
            let digest = Sha256::digest(n.to_be_bytes());
            let (signature, id) = key.sign_prehash_recoverable(&digest);
            (digest, signature, id)
        })
        .collect();
    Box::new(move |n| {
        let (digest, signature, id) = nth(&signed, n);
        black_box(VerifyingKey::recover_from_prehash(digest, signature, *id).unwrap());
    })
}

/// Every check of a receipt that came over the wire.
pub(crate) fn check() -> Kernel {
    let (domain, signed) = receipts();
    Box::new(move |n| {
        let checked = nth(&signed, n).check(&Expected {
            domain: &domain,
            payer: None,
            payee: None,
            token: None,
            last: None,
            grant: None,
            grants: GrantContext::default(),
            now_secs: NOW_SECS,
        });
        black_box(checked.unwrap());
    })
}

/// A line of a receipt file: read, and every check.
pub(crate) fn line() -> Kernel {
    let (domain, signed) = receipts();
    let lines: Vec<String> = signed
        .into_iter()
        .map(|signed| ReceiptLine::new(&domain, signed, None).to_json())
        .collect();
    Box::new(move |n| {
        let line = ReceiptLine::parse(nth::<String>(&lines, n)).unwrap();
        line.verify(NOW_SECS).unwrap();
        black_box(line);
    })
}
