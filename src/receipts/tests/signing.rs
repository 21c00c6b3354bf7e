//! Vectors made by others, and every reason to refuse.

use serde_json::Value;

use super::*;
use crate::{
    ledger::EpochId,
    tron::{
        keys::{SecretKey, Signature},
        typed_data::{self, Domain, StructEncoder, TypedContent, TypedFields},
        typed_json::TypedDocument,
    },
    types::{Address, BlockId, RawAmount, Salt, TokenId},
};

const NOW: u64 = 1_790_000_050;

fn mainnet() -> ReceiptDomain {
    let genesis: BlockId = "00000000000000001ebf88508a03865c71d452e25f4d51194196a1d22b6653dc"
        .parse()
        .unwrap();
    ReceiptDomain::new(genesis)
}

pub(super) fn k(n: u8) -> SecretKey {
    SecretKey::from_hex(&format!("{n:064x}")).unwrap()
}

pub(super) fn raw(n: i64) -> RawAmount {
    RawAmount::new(n).unwrap()
}

/// The receipt of the design's own vector.
pub(super) fn receipt() -> Receipt {
    Receipt {
        payer: k(1).address(),
        payee: k(2).address(),
        signer: k(1).address(),
        vault: Address::ZERO,
        token: TokenId::BTT,
        epoch: EpochId::new(1).unwrap(),
        since_block: 70_000_000,
        sequence: 17,
        amount: raw(123_456),
        delivered_bytes: 1_048_576,
        issued_at: 1_790_000_000,
        grant: Salt::ZERO,
    }
}

pub(super) fn grant() -> SpendGrant {
    SpendGrant {
        payer: k(1).address(),
        signer: k(2).address(),
        token: TokenId::BTT,
        max_per_payee: raw(5_000_000),
        max_total: raw(50_000_000),
        not_before: 1_790_000_000,
        not_after: 1_790_086_400,
        serial: 1,
    }
}

fn sign(receipt: Receipt, key: &SecretKey) -> SignedReceipt {
    SignedReceipt::sign(receipt, &mainnet(), key).unwrap()
}

fn expected<'a>(
    domain: &'a ReceiptDomain,
    last: Option<&'a SignedReceipt>,
    grant: Option<&'a SignedGrant>,
) -> Expected<'a> {
    Expected {
        domain,
        payer: None,
        payee: None,
        token: Some(TokenId::BTT),
        last,
        grant,
        grants: GrantContext::default(),
        now_secs: NOW,
    }
}

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../fixtures/receipts/vectors.json")).unwrap()
}

/// A vector's struct from its own type string, by the generic encoder.
fn struct_by_type<'a>(encoded_type: &'a str, message: &Value) -> StructEncoder<'a> {
    let fields = encoded_type
        .split_once('(')
        .unwrap()
        .1
        .trim_end_matches(')');
    let mut encoder = StructEncoder::new(encoded_type);
    for field in fields.split(',') {
        let (kind, name) = field.split_once(' ').unwrap();
        let text = message[name].as_str().unwrap();
        encoder = match kind {
            "address" => encoder.address(text.parse().unwrap()),
            "trcToken" => encoder.token(text.parse().unwrap()),
            "bytes32" => {
                let salt: Salt = text.trim_start_matches("0x").parse().unwrap();
                encoder.bytes32(salt.as_bytes())
            }
            _ => encoder.uint(text.parse().unwrap()),
        };
    }
    encoder
}

#[test]
fn tronwebs_vectors_are_made_again() {
    let file = vectors();
    let domain = mainnet();
    assert_eq!(hex::encode(domain.separator()), file["domainSeparator"]);
    let (mut seen, all) = (Vec::new(), file["vectors"].as_array().unwrap());
    for vector in all {
        let text = |name: &str| vector[name].as_str().unwrap();
        let message = &vector["message"];
        let fields = struct_by_type(text("encodedType"), message);
        let hash = fields.hash();
        assert_eq!(hex::encode(hash), text("structHash"), "{}", vector["name"]);
        let key = SecretKey::from_hex(text("privateKey")).unwrap();
        let shown = TypedFields {
            domain: &Domain::on_chain(
                ReceiptDomain::NAME,
                ReceiptDomain::VERSION,
                domain.genesis(),
            ),
            fields: &fields,
        };
        let signature = typed_data::sign(&key, domain.separator(), &hash, &shown).unwrap();
        // What a signer is shown is what is signed.
        let read = TypedDocument::from_json(&shown.document().to_string()).unwrap();
        assert_eq!(read.struct_hash, hash);
        assert_eq!(read.domain_separator, *domain.separator());
        assert_eq!(signature.to_string(), text("signature"));
        seen.push(text("primaryType").to_owned());
    }
    for name in ["Receipt", "SpendGrant", "Hello", "Quote", "Revoke"] {
        assert!(seen.iter().any(|s| s == name), "no vector for {name}");
    }
}

#[test]
fn our_structs_are_those_of_the_vectors() {
    let file = vectors();
    let by_name = |name: &str| {
        let vector = file["vectors"]
            .as_array()
            .unwrap()
            .iter()
            .find(|vector| vector["name"] == name)
            .unwrap();
        (
            vector["structHash"].as_str().unwrap().to_owned(),
            vector["digest"].as_str().unwrap().to_owned(),
        )
    };
    fn both(body: &impl TypedStruct) -> (String, String) {
        (
            hex::encode(body.struct_hash()),
            hex::encode(mainnet().digest(body)),
        )
    }
    assert_eq!(both(&receipt()), by_name("direct"));
    assert_eq!(both(&grant()), by_name("grant"));
    assert_eq!(
        both(&Hello {
            this: k(1).address(),
            peer: k(2).address(),
            nonce_self: Salt::from_bytes([0x11; 32]),
            nonce_peer: Salt::from_bytes([0x22; 32]),
            peer_ids: Salt::from_bytes([0x33; 32]),
        }),
        by_name("hello")
    );
    assert_eq!(
        both(&Quote {
            payee: k(2).address(),
            token: TokenId::BTT,
            floor_price: 5_000_000,
            window: 1_572_864,
            cap: raw(10_000_000),
            valid_until: 1_790_003_600,
        }),
        by_name("quote")
    );
    assert_eq!(
        both(&Revoke {
            payer: k(1).address(),
            signer: k(2).address(),
            serial: 1,
        }),
        by_name("revoke")
    );
    let digest = "eb1d8a9fdf8d73a722ef880e7f9c2284d8b79ea733ec1df3533db3011b79851a";
    assert_eq!(hex::encode(mainnet().digest(&receipt())), digest);
}

#[test]
fn each_reason_to_refuse() {
    let domain = mainnet();
    let refused = |change: &dyn Fn(&mut Receipt)| {
        let mut changed = receipt();
        change(&mut changed);
        sign(changed, &k(1))
            .check(&expected(&domain, None, None))
            .unwrap_err()
            .code()
    };
    assert_eq!(refused(&|r| r.payee = r.payer), "parties");
    assert_eq!(refused(&|r| r.payee = Address::ZERO), "parties");
    assert_eq!(refused(&|r| r.signer = k(3).address()), "parties");
    assert_eq!(refused(&|r| r.grant = Salt::from_bytes([1; 32])), "parties");
    assert_eq!(
        refused(&|r| r.token = TokenId::new(1_000_001).unwrap()),
        "token"
    );
    assert_eq!(refused(&|r| r.vault = k(3).address()), "vault");
    assert_eq!(refused(&|r| r.delivered_bytes = 1 << 63), "bounds");
    assert_eq!(refused(&|r| r.issued_at = u64::MAX), "bounds");
    assert_eq!(refused(&|r| r.sequence = 0), "sequence");
    assert_eq!(refused(&|r| r.issued_at = NOW + 601), "issued_at");
    let mut forged = sign(receipt(), &k(3));
    let check = |signed: &SignedReceipt| signed.check(&expected(&domain, None, None));
    assert_eq!(check(&forged), Err(Refusal::Signature));
    forged.signature = Signature::from_slice(&[0; 65]).unwrap();
    assert_eq!(check(&forged), Err(Refusal::Signature));
    assert_eq!(check(&sign(receipt(), &k(1))), Ok(Accepted::Higher));

    let other_chain = ReceiptDomain::new(BlockId::from_bytes([7; 32]));
    assert_eq!(
        sign(receipt(), &k(1)).check(&expected(&other_chain, None, None)),
        Err(Refusal::Signature)
    );
    let me = Expected {
        payee: Some(k(3).address()),
        ..expected(&domain, None, None)
    };
    assert_eq!(sign(receipt(), &k(1)).check(&me), Err(Refusal::Parties));
}

#[test]
fn a_receipt_after_another() {
    let domain = mainnet();
    let last = sign(receipt(), &k(1));
    let after = |change: &dyn Fn(&mut Receipt), key: &SecretKey| {
        let mut changed = receipt();
        change(&mut changed);
        sign(changed, key).check(&expected(&domain, Some(&last), None))
    };
    let code = |result: Result<Accepted, Refusal>| result.unwrap_err().code();
    assert_eq!(after(&|_| (), &k(1)), Ok(Accepted::Unchanged));
    assert_eq!(after(&|r| r.sequence = 18, &k(1)), Ok(Accepted::Higher));
    assert_eq!(after(&|r| r.sequence = 16, &k(1)), Ok(Accepted::Unchanged));
    let lower = |r: &mut Receipt| {
        r.sequence = 18;
        r.amount = raw(1);
    };
    assert_eq!(code(after(&lower, &k(1))), "regress");
    let fewer = |r: &mut Receipt| {
        r.sequence = 18;
        r.delivered_bytes = 0;
    };
    assert_eq!(code(after(&fewer, &k(1))), "regress");
    let older_but_more = |r: &mut Receipt| {
        r.sequence = 16;
        r.amount = raw(123_457);
    };
    assert_eq!(code(after(&older_but_more, &k(1))), "regress");
    let moved = |r: &mut Receipt| {
        r.sequence = 18;
        r.since_block += 1;
    };
    assert_eq!(code(after(&moved, &k(1))), "regress");
    let twice = |r: &mut Receipt| r.amount = raw(123_457);
    assert_eq!(after(&twice, &k(1)), Ok(Accepted::Equivocation));
    // Only a valid signature proves a contradiction.
    assert_eq!(code(after(&twice, &k(3))), "signature");
}

#[test]
fn each_reason_to_refuse_a_grant() {
    let domain = mainnet();
    let good = SignedGrant::sign(grant(), &domain, &k(1)).unwrap();
    let under = |grant: &SignedGrant, amount: i64| {
        let mut body = receipt();
        body.payee = k(3).address();
        body.signer = k(2).address();
        body.grant = grant.hash();
        body.amount = raw(amount);
        sign(body, &k(2))
    };
    fn check(
        signed: SignedReceipt,
        grant: Option<&SignedGrant>,
        grants: GrantContext,
        now_secs: u64,
    ) -> Result<Accepted, Refusal> {
        signed.check(&Expected {
            grants,
            now_secs,
            ..expected(&mainnet(), None, grant)
        })
    }
    fn refused(
        signed: SignedReceipt,
        grant: Option<&SignedGrant>,
        grants: GrantContext,
        now_secs: u64,
    ) -> GrantRefusal {
        match check(signed, grant, grants, now_secs) {
            Err(Refusal::Grant(refusal)) => refusal,
            other => panic!("{other:?}"),
        }
    }
    let none = GrantContext::default();
    assert_eq!(
        check(under(&good, 5_000_000), Some(&good), none, NOW),
        Ok(Accepted::Higher)
    );
    assert_eq!(
        refused(under(&good, 1), None, none, NOW),
        GrantRefusal::Missing
    );
    assert!(matches!(
        refused(under(&good, 5_000_001), Some(&good), none, NOW),
        GrantRefusal::Exceeded { .. }
    ));
    let elsewhere = GrantContext {
        owed_elsewhere: raw(5_000_000),
        ..none
    };
    assert!(matches!(
        refused(under(&good, 1), Some(&good), elsewhere, NOW),
        GrantRefusal::Exceeded { .. }
    ));
    let replaced = GrantContext {
        highest_serial: Some(2),
        ..none
    };
    assert_eq!(
        refused(under(&good, 1), Some(&good), replaced, NOW),
        GrantRefusal::Replaced(2)
    );
    let revoked = GrantContext {
        revoked_serial: Some(1),
        ..none
    };
    assert_eq!(
        refused(under(&good, 1), Some(&good), revoked, NOW),
        GrantRefusal::Revoked(1)
    );
    assert!(matches!(
        refused(under(&good, 1), Some(&good), none, 1_790_086_401),
        GrantRefusal::Expired(_)
    ));
    assert!(matches!(
        refused(under(&good, 1), Some(&good), none, 1_789_999_999),
        GrantRefusal::NotYet(_)
    ));
    let changed = |change: &dyn Fn(&mut SpendGrant), key: &SecretKey| {
        let mut body = grant();
        change(&mut body);
        let signed = SignedGrant::sign(body, &domain, key).unwrap();
        refused(under(&signed, 1), Some(&signed), none, NOW)
    };
    assert_eq!(
        changed(&|g| g.payer = k(4).address(), &k(1)),
        GrantRefusal::Parties
    );
    assert_eq!(
        changed(&|g| g.signer = k(4).address(), &k(1)),
        GrantRefusal::Parties
    );
    assert_eq!(
        changed(&|g| g.token = TokenId::new(1_000_001).unwrap(), &k(1)),
        GrantRefusal::Token
    );
    assert_eq!(changed(&|g| g.not_after = 1, &k(1)), GrantRefusal::Bounds);
    assert_eq!(
        changed(&|g| g.not_after = u64::MAX, &k(1)),
        GrantRefusal::Bounds
    );
    assert_eq!(changed(&|_| (), &k(3)), GrantRefusal::Signature);
}

#[test]
fn rows_of_the_ledger_and_back() {
    let signed = sign(receipt(), &k(1));
    assert_eq!(SignedReceipt::from_row(&signed.to_row()), Ok(signed));
}

#[test]
fn lines_read_back_and_verify() {
    let good = include_str!("../../../fixtures/receipts/good.jsonl");
    let mut count = 0;
    for line in good.lines() {
        let read = ReceiptLine::parse(line).unwrap();
        assert_eq!(read.to_json(), line);
        read.verify(NOW).unwrap();
        count += 1;
    }
    assert_eq!(count, 3);
}

#[test]
fn a_bad_line_never_stops_the_good_ones() {
    let good = include_str!("../../../fixtures/receipts/good.jsonl");
    let bad = include_str!("../../../fixtures/receipts/bad.jsonl");
    let reasons = include_str!("../../../fixtures/receipts/bad.reasons");
    let mut mixed = Vec::new();
    for line in bad.lines() {
        mixed.extend_from_slice(line.as_bytes());
        mixed.push(b'\n');
        mixed.extend_from_slice(good.lines().next().unwrap().as_bytes());
        mixed.extend_from_slice(b"\r\n\n");
    }
    mixed.extend_from_slice(&[b'x'; 3 * MAX_LINE_BYTES]);
    mixed.extend_from_slice(b"\n\xff\xfe\n");
    let mut codes = Vec::new();
    let mut well = 0;
    for item in ReceiptLines::new(mixed.as_slice()) {
        let (_, read) = item.unwrap();
        match read.and_then(|line| Ok(line.verify(NOW)?)) {
            Ok(()) => well += 1,
            Err(refusal) => codes.push(refusal.code()),
        }
    }
    let wanted: Vec<&str> = reasons.lines().chain(["shape", "shape"]).collect();
    assert_eq!(codes, wanted);
    assert_eq!(well, reasons.lines().count());
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_lines_or_not(bytes: Vec<u8>) {
        for item in ReceiptLines::new(bytes.as_slice()) {
            let _ = item.unwrap();
        }
    }

    #[test]
    fn any_receipt_survives_its_line(
        sequence in 1..=i64::MAX, amount in 0..=i64::MAX, epoch in 0..=i64::MAX, bytes in 0..=i64::MAX
    ) {
        let mut body = receipt();
        body.sequence = sequence.unsigned_abs();
        body.amount = raw(amount);
        body.epoch = EpochId::new(epoch).unwrap();
        body.delivered_bytes = bytes.unsigned_abs();
        let line = ReceiptLine::new(&mainnet(), sign(body, &k(1)), None);
        proptest::prop_assert_eq!(ReceiptLine::parse(&line.to_json()), Ok(line));
    }
}
