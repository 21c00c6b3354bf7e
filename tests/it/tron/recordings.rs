//! Every recorded transaction rebuilt, every recorded rejection understood.

use std::path::Path;

use seedrail::tron::{
    json::{JsonError, raw_data_from_json, transaction_from_json, transaction_to_json},
    rpc::{Node, NodeConfig, NodeError},
    transaction::{Transaction, TransactionError},
};
use serde_json::Value;

use crate::support::http_server::{Reply, Server};

/// Every recorded case, by name.
pub(crate) fn cases() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tron");
    let mut cases: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (
                name,
                serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap(),
            )
        })
        .collect();
    cases.sort_by(|(a, _), (b, _)| a.cmp(b));
    cases
}

/// Calls `see` with each object that has a transaction's JSON and its bytes.
pub(crate) fn each_transaction(value: &Value, see: &mut impl FnMut(&Value)) {
    match value {
        Value::Object(object) => {
            if object.contains_key("raw_data") && object.contains_key("raw_data_hex") {
                see(value);
            }
            object
                .values()
                .for_each(|value| each_transaction(value, see));
        }
        Value::Array(list) => list.iter().for_each(|value| each_transaction(value, see)),
        _ => {}
    }
}

/// Recorded requests whose `raw_data` and `raw_data_hex` differ on purpose.
const CONTRADICTORY: &[&str] = &[
    "03-broadcast-wrong-raw-data-hex",
    "03-broadcast-only-raw-data-hex",
    "05-broadcast-amount-as-string",
    "05-broadcast-raw-data-amount-differs",
    "05-broadcast-unknown-contract-type",
];

/// Contract types this crate passes through without reading them.
const UNREAD: &[&str] = &[
    "ProposalCreateContract",
    "CreateSmartContract",
    "NoSuchContract",
];

#[test]
fn every_recorded_transaction_is_rebuilt_byte_for_byte() {
    let (mut rebuilt, mut unread) = (0, 0);
    for (name, case) in cases() {
        if CONTRADICTORY.contains(&name.as_str()) {
            continue;
        }
        each_transaction(&case, &mut |object| {
            let kind = object["raw_data"]["contract"][0]["type"].as_str().unwrap();
            let hex_text = object["raw_data_hex"].as_str().unwrap();
            let bytes = hex::decode(hex_text).unwrap();
            if UNREAD.contains(&kind) {
                // Kept and hashed as received.
                let kept = Transaction::from_parts(bytes.clone(), Vec::new(), Vec::new());
                assert_eq!(kept.raw_bytes(), bytes, "{name}");
                assert!(matches!(
                    raw_data_from_json(&object["raw_data"], false),
                    Err(JsonError::UnknownContract(_))
                ));
                unread += 1;
                return;
            }
            // The recording does not always say which form it is in.
            let (raw, visible) = [false, true]
                .into_iter()
                .find_map(|visible| {
                    let raw = raw_data_from_json(&object["raw_data"], visible).ok()?;
                    Some((raw, visible))
                })
                .unwrap_or_else(|| panic!("{name}: neither form reads"));
            // From the JSON's values alone, through a draft of ours.
            let built = match raw.into_draft() {
                Ok(draft) => draft.build(),
                // No reference block: nothing this crate would build.
                Err(error @ TransactionError::FieldSize { .. }) => {
                    let known = name.contains("genesis") || name.contains("tapos-empty");
                    assert!(known, "{name}: {error}");
                    return;
                }
                Err(error) => panic!("{name}: {error}"),
            };
            assert_eq!(hex::encode(built.raw_bytes()), hex_text, "{name}");
            if let Some(txid) = object.get("txID")
                && name != "03-broadcast-wrong-txid-in-body"
            {
                assert_eq!(*txid, built.txid().to_string(), "{name}");
            }
            let again = Transaction::from(built);
            // What is no address has no base58 form.
            let base58 = !name.contains("-address-");
            for form in [visible, !visible]
                .into_iter()
                .filter(|form| base58 || !form)
            {
                let shown = transaction_to_json(&again, form).unwrap();
                // Requests were written by others, zeros and all.
                if form == visible && !name.starts_with("05-") {
                    assert_eq!(shown["raw_data"], object["raw_data"], "{name}");
                }
                let read = transaction_from_json(&shown, form).unwrap();
                assert_eq!(read, again, "{name}");
            }
            rebuilt += 1;
        });
    }
    assert!(rebuilt > 300, "{rebuilt}");
    assert!(unread > 5, "{unread}");
}

/// Recorded bytes that are not signed here, and why.
fn not_signable(name: &str) -> bool {
    [
        "05-contract-type-mismatch-hex",
        "05-no-contract-hex",
        "05-non-canonical-field-order-hex",
        "05-tapos-empty-hex",
        "05-two-contracts-hex",
        "05-unknown-field-in-raw-hex",
    ]
    .contains(&name)
}

#[test]
fn every_recorded_protobuf_is_read_and_written_back() {
    let mut seen = 0;
    for (name, case) in cases() {
        let Some(hex_text) = case
            .pointer("/request/body/transaction")
            .and_then(Value::as_str)
        else {
            continue;
        };
        let hex_text = hex_text.trim_start_matches("0x");
        let decoded = hex::decode(hex_text)
            .ok()
            .and_then(|bytes| Transaction::decode(&bytes).ok());
        if name.starts_with("05-malformed") || name == "05-too-big-hex" {
            assert!(decoded.is_none(), "{name}");
            continue;
        }
        let decoded = decoded.unwrap_or_else(|| panic!("{name}"));
        assert_eq!(hex::encode(decoded.encode()), hex_text, "{name}");
        let answered = &case["response"]["txid"];
        if name == "05-non-canonical-field-order-hex" {
            assert_ne!(*answered, decoded.txid().to_string());
            assert_eq!(
                *answered,
                decoded.clone().canonical().unwrap().txid().to_string()
            );
        } else {
            assert_eq!(*answered, decoded.txid().to_string(), "{name}");
        }
        let signable = decoded.check_signable();
        assert_eq!(
            signable.is_err(),
            not_signable(&name),
            "{name}: {signable:?}"
        );
        seen += 1;
    }
    assert!(seen > 40, "{seen}");
}

/// The transaction a recorded broadcast sent, where it was one.
fn sent(case: &Value) -> Option<Transaction> {
    let body = case.pointer("/request/body")?;
    if let Some(hex_text) = body.get("transaction").and_then(Value::as_str) {
        let bytes = hex::decode(hex_text.trim_start_matches("0x")).ok()?;
        return Transaction::decode(&bytes).ok();
    }
    let raw = hex::decode(body.get("raw_data_hex")?.as_str()?).ok()?;
    let signatures = match body.get("signature")? {
        Value::String(one) => vec![one.clone()],
        many => many
            .as_array()?
            .iter()
            .map(|s| s.as_str().map(str::to_owned))
            .collect::<Option<_>>()?,
    };
    let signatures = signatures
        .iter()
        .map(|s| hex::decode(s.trim_start_matches("0x")).ok())
        .collect::<Option<_>>()?;
    Some(Transaction::from_parts(raw, signatures, Vec::new()))
}

#[tokio::test]
async fn every_recorded_answer_to_a_broadcast_has_its_class() {
    let (mut accepted, mut refused, mut unknown) = (0, 0, 0);
    for (name, case) in cases() {
        let path = case.pointer("/request/path").and_then(Value::as_str);
        if !path.is_some_and(|path| path.starts_with("/wallet/broadcast")) {
            continue;
        }
        let (Some(transaction), Some(response)) = (sent(&case), case.get("response")) else {
            continue;
        };
        let answer = response.clone();
        let server = Server::start(move |_, _| Reply::Json(answer.clone())).await;
        let node = Node::new(&NodeConfig::new(server.url())).unwrap();
        let outcome = node.broadcast(&transaction).await;
        // The node answers for its own serialisation: not what was asked.
        let other = response
            .get("txid")
            .is_some_and(|txid| *txid != transaction.txid().to_string());
        match (response["code"].as_str(), response["result"].as_bool()) {
            _ if other => {
                assert!(matches!(outcome, Err(NodeError::Unknown { .. })), "{name}");
                unknown += 1;
            }
            (_, Some(true)) => {
                assert_eq!(outcome, Ok(()), "{name}");
                accepted += 1;
            }
            (Some("DUP_TRANSACTION_ERROR") | None, _) => {
                assert!(matches!(outcome, Err(NodeError::Unknown { .. })), "{name}");
                unknown += 1;
            }
            (Some(expected), _) => {
                let Err(NodeError::Refused { code, message, .. }) = outcome else {
                    panic!("{name}: {outcome:?}");
                };
                assert_eq!(code, expected, "{name}");
                assert!(!message.is_empty(), "{name}");
                refused += 1;
            }
        }
    }
    assert!(
        accepted > 15 && refused > 60 && unknown > 5,
        "{accepted} {refused} {unknown}"
    );
}
