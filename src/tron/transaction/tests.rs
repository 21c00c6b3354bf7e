use super::*;
use crate::tron::keys::SecretKey;
use crate::{
    tron::{
        contract::Contract,
        proto::{Reader, Writer},
    },
    types::{Address, RawAmount, Token, TokenId, UnixMs},
};

/// A recorded transfer of 123456 units, `03-local-trc10-broadcasthex.json`.
const RECORDED: &str = "0a93010a0200ab2208c35bb17f474f801940a0b6fc9fa0345a75080212710a32747970652e676f6f676c65617069732e636f6d2f70726f746f636f6c2e5472616e736665724173736574436f6e7472616374123b0a07313030303030311215412b5ad5c4795c026514f8317c7a215e218dccd6cf1a15411eff47bc3a10a45d4b230b5d10e37751fe6aa71820c0c40770a1e6f89fa03412410076b071774f53439581047c85cb7766fa3508f268cd525c7f045e9c11e03cd75c5818be805b849501174eec758c5d5261fdc79c98550ed31f0760de9a9c753900";

#[test]
fn a_recorded_transfer_is_rebuilt_byte_for_byte() {
    let recorded = Transaction::decode(&hex::decode(RECORDED).unwrap()).unwrap();
    assert_eq!(
        recorded.txid().to_string(),
        "89836a6df94f470d2b04ac24993848cbac8036f1e2561dfa0115398df903daa6"
    );
    let draft = recorded.check_signable().unwrap();
    let transfer = draft.contract.as_transfer().unwrap();
    assert_eq!(transfer.amount, RawAmount::new(123_456).unwrap());
    let rebuilt = Draft::new(
        Contract::transfer(
            transfer.from,
            transfer.to,
            Token::Trc10(TokenId::new(1_000_001).unwrap()),
            transfer.amount,
        ),
        draft.ref_block,
        draft.expiration,
        draft.timestamp,
    )
    .build();
    assert_eq!(rebuilt.raw_bytes(), recorded.raw_bytes());
    assert_eq!(recorded.encode(), hex::decode(RECORDED).unwrap());
    assert_eq!(recorded.size_without_results(), 217);
    assert_eq!(recorded.bandwidth(), 281);
    assert_eq!(recorded.signers().unwrap(), vec![transfer.from]);
    // RFC 6979 and low s: the signature is the recorded one too.
    let mut key = [0; 32];
    key[31] = 2;
    let signed = rebuilt.sign(&SecretKey::from_bytes(&key).unwrap()).unwrap();
    assert_eq!(signed.signers().unwrap(), vec![transfer.from]);
    assert_eq!(signed.encode(), recorded.encode());
}

#[test]
fn fields_out_of_order_hash_as_received_and_are_not_signed() {
    let recorded = Transaction::decode(&hex::decode(RECORDED).unwrap()).unwrap();
    let fields: Vec<_> = Reader::new(recorded.raw_bytes())
        .map(Result::unwrap)
        .collect();
    let mut writer = Writer::new();
    for field in fields.iter().rev() {
        writer.raw(field.encoded);
    }
    let mut reordered = Transaction::from_parts(writer.into_bytes(), Vec::new(), Vec::new());
    assert_ne!(reordered.txid(), recorded.txid());
    let key = SecretKey::from_bytes(&[1; 32]).unwrap();
    assert!(matches!(
        reordered.sign(&key),
        Err(TransactionError::NotCanonical(_))
    ));
    assert_eq!(reordered.canonical().unwrap().txid(), recorded.txid());
}

#[test]
fn an_unknown_field_survives_and_is_hashed() {
    let recorded = Transaction::decode(&hex::decode(RECORDED).unwrap()).unwrap();
    let mut raw = recorded.raw_bytes().to_vec();
    raw.extend([0xf8, 0x07, 1]);
    let stray = Transaction::from_parts(raw.clone(), Vec::new(), Vec::new());
    assert_ne!(stray.txid(), recorded.txid());
    assert_eq!(stray.clone().canonical().unwrap().raw_bytes(), raw);
    assert!(matches!(
        stray.check_signable(),
        Err(TransactionError::NotCanonical(_))
    ));
}

/// Fields of every wire type under numbers that no message here knows.
fn stray_fields() -> impl proptest::strategy::Strategy<Value = Vec<u8>> {
    use proptest::{collection::vec, prelude::*};
    let field = (100u32..2_000, 0u8..4, any::<u64>(), any::<Vec<u8>>());
    let encoded = |(number, kind, value, bytes): (u32, u8, u64, Vec<u8>)| {
        let varint = |mut left: u64| {
            let mut out = Vec::new();
            while left > 0x7f {
                out.push(left.to_le_bytes()[0] | 0x80);
                left >>= 7;
            }
            out.push(left.to_le_bytes()[0]);
            out
        };
        let wire = [0, 1, 5, 2][usize::from(kind)];
        let mut out = varint(u64::from(number << 3 | wire));
        match kind {
            0 => out.extend(varint(value)),
            1 => out.extend(value.to_le_bytes()),
            2 => out.extend(&value.to_le_bytes()[..4]),
            _ => {
                out.extend(varint(bytes.len() as u64));
                out.extend(bytes);
            }
        }
        out
    };
    vec(field.prop_map(encoded), 0..6).prop_map(|fields| fields.concat())
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        if let Ok(transaction) = Transaction::decode(&bytes) {
            let _ = transaction.raw_data();
            let _ = transaction.signers();
            let _ = transaction.clone().canonical();
        }
    }

    #[test]
    fn unknown_fields_survive_a_decode_and_an_encode(
        in_raw in stray_fields(), in_transaction in stray_fields(), in_result in stray_fields(),
        signatures: Vec<[u8; 65]>,
    ) {
        let recorded = Transaction::decode(&hex::decode(RECORDED).unwrap()).unwrap();
        let mut raw = recorded.raw_bytes().to_vec();
        raw.extend(&in_raw);
        let mut whole = Writer::new();
        whole.element(1, &raw);
        for signature in &signatures {
            whole.element(2, signature);
        }
        whole.element(5, &[TransactionResult::SUCCESS.encode(), in_result].concat());
        whole.raw(&in_transaction);
        let bytes = whole.into_bytes();
        let read = Transaction::decode(&bytes).unwrap();
        proptest::prop_assert_eq!(read.encode(), bytes);
        proptest::prop_assert_eq!(read.raw_bytes(), &raw);
        proptest::prop_assert_eq!(read.txid(), txid_of(&raw));
        proptest::prop_assert!(read.results()[0].succeeded());
        // Its known fields are read as ever, and it is not signed.
        let fields = read.raw_data().unwrap();
        proptest::prop_assert_eq!(fields, recorded.raw_data().unwrap());
        proptest::prop_assert_eq!(read.check_signable().is_ok(), in_raw.is_empty());
        // A node keeps them too: its form is a fixed point.
        let canonical = read.canonical().unwrap();
        proptest::prop_assert_eq!(canonical.raw_bytes().len(), raw.len());
        let again = canonical.clone().canonical().unwrap();
        proptest::prop_assert_eq!(again, canonical);
    }

    #[test]
    fn drafts_survive_encoding(
        from: [u8; 20], to: [u8; 20], amount in 0..=i64::MAX, id in 1_000_001..=i64::MAX,
        expiration: i64, timestamp: i64, memo: Vec<u8>, permission_id in 0i32..8, trx: bool,
    ) {
        let token = if trx { Token::Trx } else { Token::Trc10(TokenId::new(id).unwrap()) };
        let contract = Contract::transfer(
            Address::from_body(from), Address::from_body(to), token, RawAmount::new(amount).unwrap(),
        );
        let ref_block = RefBlock { bytes: [1, 2], hash: [3; 8] };
        let mut draft = Draft::new(contract, ref_block, UnixMs(expiration), UnixMs(timestamp));
        draft.memo = memo;
        draft.permission_id = permission_id;
        let built = Transaction::from(draft.build());
        proptest::prop_assert_eq!(built.check_signable().unwrap(), draft);
        proptest::prop_assert_eq!(Transaction::decode(&built.encode()).unwrap(), built);
    }
}
