//! Typed data in JSON: TronWeb and we hash, sign and verify the same documents.

use seedrail::tron::{typed_data, typed_json::TypedDocument};
use serde_json::{Value, json};

use super::{KEY, TO, peer::Peer, secret, signature};

/// Documents of every type, with what TronWeb makes of an address and a token.
fn documents() -> Vec<Value> {
    let field = |text: &str| {
        let (kind, name) = text.split_once(' ').unwrap();
        json!({ "type": kind, "name": name })
    };
    let fields = |text: &str| text.split(',').map(field).collect::<Vec<_>>();
    let domain = json!({
        "name": "Example", "version": "2", "chainId": "0x2b6653dc", "verifyingContract": TO,
        "salt": format!("0x{}", "07".repeat(32)),
    });
    vec![
        json!({
            "types": { "Grant": fields("address to,trcToken token,uint256 most,bool open") },
            "primaryType": "Grant",
            "domain": domain.clone(),
            "message": { "to": TO, "token": "1002000", "most": "990000000000000000", "open": true },
        }),
        json!({
            "types": {
                "Order": fields("Party[] parties,int64 change,int8 small,bytes note,bytes4 tag,string text"),
                "Party": fields("address who,uint8[3] marks,Limit limit"),
                "Limit": fields("uint128 amount,trcToken token"),
            },
            "primaryType": "Order",
            "domain": { "name": "Example", "chainId": 1 },
            "message": {
                "parties": [
                    { "who": TO, "marks": [1, 2, 255], "limit": { "amount": 0, "token": "1000001" } },
                    { "who": TO, "marks": [0, 0, 0], "limit": { "amount": u64::MAX.to_string(), "token": 1_002_000 } },
                ],
                "change": "-9223372036854775808", "small": -128,
                "note": "0x00ff", "tag": "0xdeadbeef", "text": "Grüße, 世界",
            },
        }),
        json!({
            "types": { "Empty": [] }, "primaryType": "Empty", "domain": {}, "message": {},
        }),
    ]
}

#[test]
fn typed_documents_are_hashed_signed_and_verified_by_both() {
    let mut tronweb = Peer::javascript();
    let key = secret(KEY);
    for document in documents() {
        let ours = TypedDocument::from_json(&document.to_string()).unwrap();
        let mut question = json!({
            "domain": document["domain"], "types": document["types"], "value": document["message"],
            "key": KEY, "address": key.address().to_string(),
        });
        let name = &ours.primary_type;
        let digest = typed_data::digest(&ours.domain_separator, &ours.struct_hash);
        let theirs = tronweb.text("typed_digest", question.clone());
        assert_eq!(theirs, hex::encode(digest), "{name}");
        let signed = ours.sign(&key).unwrap();
        let theirs = signature(&tronweb.text("sign_typed", question.clone()));
        assert_eq!(theirs, signed, "{name}");
        assert_eq!(ours.signer(&theirs), Ok(key.address()), "{name}");
        question["signature"] = format!("0x{signed}").into();
        assert_eq!(tronweb.ask("verify_typed", question), true, "{name}");
    }
}
