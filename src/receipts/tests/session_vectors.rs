//! `fixtures/receipts/session.json`: a whole session, byte for byte, both ways. Every
//! signature in it is RFC 6979's, so that another make can replay it.

use serde_json::{Value as Json, json};

use super::{duo::*, *};
use crate::types::RawAmount;

const FILE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/fixtures/receipts/session.json"
);

/// What was said, and what happened between.
struct Tape(Vec<Json>);

impl Tape {
    fn note(&mut self, happens: &str) {
        self.0.push(json!({ "happens": happens }));
    }

    /// Delivers all that is to be said, in turns, the buyer first.
    fn play(&mut self, duo: &mut Duo) {
        loop {
            let (from, message) = if !duo.buyer.sent.is_empty() {
                ("buyer", duo.buyer.sent.remove(0))
            } else if !duo.seller.sent.is_empty() {
                ("seller", duo.seller.sent.remove(0))
            } else {
                return;
            };
            let bytes = message.encode();
            self.0
                .push(json!({ "from": from, "at_ms": duo.now.0, "bytes": hex::encode(bytes) }));
            let to = if from == "buyer" {
                &mut duo.seller
            } else {
                &mut duo.buyer
            };
            to.take(message, duo.now);
            assert!(!to.closed);
        }
    }
}

/// A purchase from the greeting to the limit, a settlement, and on.
fn session() -> Json {
    let mut tape = Tape(Vec::new());
    let mut duo = Duo::new();
    tape.note("both greet; the buyer bids what the seller quotes");
    tape.play(&mut duo);
    assert!(duo.piece());
    tape.note("16 chunks of piece 1 are asked for at the award's price, and its hash matches");
    duo.tick(2_000);
    tape.note("2 s later");
    tape.play(&mut duo);
    for piece in 2..=4 {
        assert!(duo.piece());
        tape.note(&format!("the same of piece {piece}"));
        duo.tick(100);
        tape.play(&mut duo);
    }
    duo.buyer.input(Input::Settle, duo.now);
    duo.tick(2_000);
    tape.note("2 s later");
    tape.play(&mut duo);
    let owed = duo.seller.credit.owed();
    assert!(owed > RawAmount::ZERO && duo.buyer.debt.settled());
    duo.seller
        .credit
        .set_ceiling(Some(u128::from(owed.unsigned())));
    tape.note("the seller lets the buyer owe what it owes, and no more");
    duo.tick(250);
    tape.play(&mut duo);
    assert!(!duo.piece());
    tape.note("piece 5 is asked for at no price, and comes");
    let paid = crate::types::TxId::from_bytes([0xab; 32]);
    duo.buyer.input(Input::Paid(paid), duo.now);
    tape.note("the buyer's transfer is in the solid chain");
    tape.play(&mut duo);
    duo.seller.credit.settled(owed);
    duo.seller.credit.set_ceiling(None);
    duo.seller.input(Input::Credited, duo.now);
    tape.note("the seller found it on its own node");
    tape.play(&mut duo);
    assert_eq!(duo.buyer.machine.purchase_price(), Some(PRICE));
    duo.buyer.take(Message::Bye("enough".to_owned()), duo.now);
    json!({
        "says": "Keys, peer ids and nonces as below; the buyer's receipts begin at sequence 1 of epoch 7. Bytes are the payload of the extended message, without its length and ids.",
        "genesis": hex::encode([9; 32]),
        "piece_length": PIECE,
        "floor_raw_per_gib": PRICE,
        "unproven_cap_raw": 10_000_000,
        "buyer": { "private_key": format!("{:064x}", 1), "peer_id": hex::encode([1; 20]), "bid_raw_per_gib": PRICE },
        "seller": { "private_key": format!("{:064x}", 2), "peer_id": hex::encode([2; 20]) },
        "steps": tape.0,
    })
}

#[test]
fn a_whole_session_is_said_as_the_file_has_it() {
    let said = session();
    if std::env::var_os("SEEDRAIL_BLESS").is_some() {
        let text = serde_json::to_string_pretty(&said).unwrap() + "\n";
        std::fs::write(FILE, text).unwrap();
    }
    let file = std::fs::read_to_string(FILE).expect("the fixture is there");
    let file: Json = serde_json::from_str(&file).unwrap();
    assert_eq!(file, said);
    let steps = file["steps"].as_array().unwrap();
    let kinds: std::collections::BTreeSet<String> = steps
        .iter()
        .filter_map(|step| step["bytes"].as_str())
        .map(|bytes| {
            let value = crate::swarm::bencode::decode(
                &hex::decode(bytes).unwrap(),
                crate::swarm::bencode::Limits::MESSAGE,
            );
            let value = value.unwrap();
            let name = value
                .get("t")
                .and_then(crate::swarm::bencode::Value::as_bytes);
            String::from_utf8_lossy(name.unwrap()).into_owned()
        })
        .collect();
    for kind in [
        "hello", "auth", "sync", "quote", "bid", "award", "receipt", "ack", "hold", "settled",
    ] {
        assert!(kinds.contains(kind), "{kind} is not in it: {kinds:?}");
    }
}
