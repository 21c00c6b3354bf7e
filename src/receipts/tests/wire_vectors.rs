//! The messages of `fixtures/receipts/wire.json`, which other clients may hold
//! themselves against, and every value in them said once more in Rust.

use serde_json::Value as Json;

use super::{
    signing::{k, raw},
    *,
};
use crate::{
    ledger::EpochId,
    swarm::bencode,
    tron::keys::Signature,
    types::{Address, BlockId, RawAmount, Salt, TokenId, TxId},
};

fn file() -> Json {
    serde_json::from_str(include_str!("../../../fixtures/receipts/wire.json")).unwrap()
}

fn account(n: u8) -> Address {
    k(n).address()
}

/// What TronWeb signed, by its name in `vectors.json`.
fn signature(name: &str) -> Signature {
    let vectors: Json =
        serde_json::from_str(include_str!("../../../fixtures/receipts/vectors.json")).unwrap();
    let all = vectors["vectors"].as_array().unwrap();
    let one = all.iter().find(|vector| vector["name"] == name).unwrap();
    let bytes = hex::decode(one["signature"].as_str().unwrap()).unwrap();
    Signature::from_slice(&bytes).unwrap()
}

fn direct() -> SignedReceipt {
    SignedReceipt {
        receipt: signing::receipt(),
        signature: signature("direct"),
    }
}

fn under_a_grant() -> SignedReceipt {
    SignedReceipt {
        receipt: Receipt {
            payee: account(3),
            signer: account(2),
            epoch: EpochId::new(9_007_199_254_740_993).unwrap(),
            since_block: 70_000_001,
            sequence: 2,
            amount: raw(4_999_999),
            delivered_bytes: 1 << 30,
            issued_at: 1_790_000_100,
            grant: grant().hash(),
            ..direct().receipt
        },
        signature: signature("under a grant"),
    }
}

fn largest() -> SignedReceipt {
    let most = u64::try_from(i64::MAX).unwrap();
    SignedReceipt {
        receipt: Receipt {
            payer: account(3),
            payee: account(1),
            signer: account(3),
            token: TokenId::new(i64::MAX).unwrap(),
            epoch: EpochId::new(i64::MAX).unwrap(),
            since_block: most,
            sequence: most,
            amount: RawAmount::MAX,
            delivered_bytes: most,
            issued_at: most,
            ..direct().receipt
        },
        signature: signature("largest numbers"),
    }
}

fn smallest() -> SignedReceipt {
    SignedReceipt {
        receipt: Receipt {
            token: TokenId::new(1_000_001).unwrap(),
            epoch: EpochId::new(0).unwrap(),
            since_block: 0,
            sequence: 1,
            amount: RawAmount::ZERO,
            delivered_bytes: 0,
            issued_at: 0,
            ..direct().receipt
        },
        signature: signature("smallest numbers"),
    }
}

fn grant() -> SignedGrant {
    SignedGrant {
        grant: signing::grant(),
        signature: signature("grant"),
    }
}

fn revoke() -> (Revoke, Signature) {
    let body = Revoke {
        payer: account(1),
        signer: account(2),
        serial: 1,
    };
    (body, signature("revoke"))
}

fn buyer() -> HelloMessage {
    let genesis = "00000000000000001ebf88508a03865c71d452e25f4d51194196a1d22b6653dc";
    HelloMessage {
        version: VERSION,
        chain: genesis.parse::<BlockId>().unwrap(),
        token: TokenId::BTT,
        address: account(1),
        nonce: Salt::from_bytes([0x11; 32]),
        since: 70_000_000,
        instance: [1, 2, 3, 4, 5, 6, 7, 8],
        sells: false,
        grant: None,
        revoke: None,
    }
}

fn seller() -> HelloMessage {
    HelloMessage {
        address: account(2),
        nonce: Salt::from_bytes([0x22; 32]),
        instance: [0xff; 8],
        sells: true,
        ..buyer()
    }
}

/// What the messages of the file are, in their order.
fn messages() -> Vec<Message> {
    let hello = |hello| Message::Hello(Box::new(hello));
    let receipt = |signed| Message::Receipt(Box::new(signed));
    let hold = |why| Message::Hold {
        unpaid: match why {
            HoldReason::Window => 1_572_864,
            HoldReason::Cap => 1_048_576,
            _ => 0,
        },
        window: 1_572_864,
        why: Some(why),
    };
    vec![
        hello(buyer()),
        hello(seller()),
        hello(HelloMessage {
            grant: Some(grant()),
            revoke: Some(revoke()),
            ..buyer()
        }),
        Message::Auth(signature("hello")),
        Message::Grants {
            grants: vec![grant()],
            revokes: vec![revoke()],
        },
        Message::Sync {
            issued: Vec::new(),
            received: Vec::new(),
        },
        Message::Sync {
            issued: vec![direct()],
            received: vec![under_a_grant(), smallest()],
        },
        Message::Quote {
            floor_price: 5_000_000,
            window: Window::start_bytes(256 << 10),
            cap: raw(10_000_000),
            valid_until: 1_790_003_600,
            signature: signature("quote"),
        },
        Message::Bid(20_000_000),
        Message::Bid(0),
        Message::Award {
            price: 5_000_000,
            window: Window::start_bytes(256 << 10),
        },
        receipt(direct()),
        receipt(under_a_grant()),
        receipt(largest()),
        Message::Ack {
            epoch: EpochId::new(1).unwrap(),
            sequence: 17,
            durable: true,
        },
        Message::Hold {
            unpaid: 1_572_864,
            window: 1_572_864,
            why: None,
        },
        hold(HoldReason::Window),
        hold(HoldReason::Cap),
        hold(HoldReason::Account),
        hold(HoldReason::Balance),
        hold(HoldReason::Strangers),
        hold(HoldReason::Default),
        hold(HoldReason::Busy),
        Message::Resume {
            unpaid: 262_144,
            window: 1_572_864,
        },
        Message::Settled(TxId::from_bytes([0xab; 32])),
        Message::Bye("equivocation".to_owned()),
    ]
}

fn bytes(vector: &Json) -> Vec<u8> {
    hex::decode(vector["bytes"].as_str().unwrap()).unwrap()
}

/// A leaf is `int:`, `hex:` or `text:` and its value.
fn bencoded(json: &Json) -> bencode::Value {
    match json {
        Json::Object(entries) => {
            let entries = entries.iter();
            let entries = entries.map(|(key, value)| (key.clone().into_bytes(), bencoded(value)));
            bencode::Value::Dict(entries.collect())
        }
        Json::Array(list) => bencode::Value::List(list.iter().map(bencoded).collect()),
        leaf => match leaf.as_str().unwrap().split_once(':').unwrap() {
            ("int", number) => bencode::Value::Int(number.parse().unwrap()),
            ("hex", text) => bencode::Value::Bytes(hex::decode(text).unwrap()),
            ("text", text) => bencode::Value::Bytes(text.as_bytes().to_vec()),
            (kind, _) => panic!("`{kind}` is no kind of a leaf"),
        },
    }
}

#[test]
fn each_message_is_written_and_read_as_the_vectors_say() {
    let file = file();
    let vectors = file["messages"].as_array().unwrap();
    let messages = messages();
    assert_eq!(vectors.len(), messages.len());
    for (vector, message) in vectors.iter().zip(&messages) {
        let (name, bytes) = (&vector["name"], bytes(vector));
        assert_eq!(bencoded(&vector["message"]).encode(), bytes, "{name}");
        assert_eq!(Message::decode(&bytes).as_ref(), Ok(message), "{name}");
        assert_eq!(message.encode(), bytes, "{name}");
    }
    // No message of the protocol is without a vector.
    let kinds: std::collections::HashSet<_> = messages.iter().map(std::mem::discriminant).collect();
    assert_eq!(kinds.len(), 13);
}

#[test]
fn what_another_client_may_write_otherwise_is_read() {
    let file = file();
    for vector in file["read"].as_array().unwrap() {
        let read = Message::decode(&bytes(vector)).unwrap();
        let Some(same) = vector["as"].as_str() else {
            assert_eq!(read, Message::Unknown, "{}", vector["name"]);
            continue;
        };
        let mut all = file["messages"].as_array().unwrap().iter();
        let same = all.find(|one| one["name"] == same).unwrap();
        let mut same = Message::decode(&bytes(same)).unwrap();
        if let (Message::Hello(read), Message::Hello(same)) = (&read, &mut same) {
            same.instance = read.instance;
            assert_eq!(read.instance, [0; 8]);
        }
        assert_eq!(read, same, "{}", vector["name"]);
    }
}

#[test]
fn what_the_vectors_refuse_is_no_message() {
    for vector in file()["refused"].as_array().unwrap() {
        let read = Message::decode(&bytes(vector));
        assert!(read.is_err(), "{}: {read:?}", vector["name"]);
    }
}
