//! `tx build`, `sign` and `decode` with no node in sight, against the recordings.

use serde_json::Value;

use crate::support::home::{Home, recording};

/// The arguments that build the recorded transfer again.
fn arguments(raw_data: &Value) -> Vec<String> {
    let contract = &raw_data["contract"][0];
    let value = &contract["parameter"]["value"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut arguments = vec!["tx".into(), "build".into()];
    if contract["type"] == "TransferAssetContract" {
        let digits = hex::decode(text(&value["asset_name"])).unwrap();
        arguments.extend([
            "transfer-asset".into(),
            "--token".into(),
            String::from_utf8(digits).unwrap(),
        ]);
    } else {
        arguments.push("transfer".into());
    }
    for (flag, value) in [
        ("--from", text(&value["owner_address"])),
        ("--to", text(&value["to_address"])),
        ("--amount-raw", value["amount"].to_string()),
        ("--ref-block-bytes", text(&raw_data["ref_block_bytes"])),
        ("--ref-block-hash", text(&raw_data["ref_block_hash"])),
        ("--timestamp", raw_data["timestamp"].to_string()),
        ("--expiration", raw_data["expiration"].to_string()),
    ] {
        arguments.extend([flag.into(), value]);
    }
    if let Some(memo) = raw_data["data"].as_str() {
        let memo = String::from_utf8(hex::decode(memo).unwrap()).unwrap();
        arguments.extend(["--memo".into(), memo]);
    }
    if let Some(permission) = contract["Permission_id"].as_i64() {
        arguments.extend(["--permission-id".into(), permission.to_string()]);
    }
    arguments
}

#[test]
fn recorded_transfers_are_built_byte_for_byte() {
    // Two transfers, one with a memo, one with a permission.
    for (name, path) in [
        ("03-trx-gettransactionbyid.json", "/response"),
        ("03-trc10-gettransactionbyid.json", "/response"),
        ("03-local-trc10-memo-gettransactionbyid.json", "/response"),
        ("06-transferasset-permission-2.json", "/response"),
        ("05-trc10-balance-not-sufficient.json", "/request/body"),
    ] {
        let recorded = recording(name);
        let recorded = recorded.pointer(path).unwrap();
        let home = Home::new();
        let built = home.run(arguments(&recorded["raw_data"])).json();
        assert_eq!(built["raw_data_hex"], recorded["raw_data_hex"], "{name}");
        assert_eq!(built["txid"], recorded["txID"], "{name}");
        assert_eq!(built["transaction"]["visible"], true);
        assert_eq!(built["transaction"]["txID"], recorded["txID"]);
    }
}

#[test]
fn a_recorded_transfer_is_signed_byte_for_byte_and_decoded() {
    let recorded = recording("03-local-trc10-broadcasthex.json");
    let signed_hex = recorded["request"]["body"]["transaction"].as_str().unwrap();
    let parts = recording("03-local-trc10-gettransactionbyid.json");
    let home = Home::with_key(2);
    let built = home.run(arguments(&parts["response"]["raw_data"]));
    let file = home.file("unsigned.json", &built.stdout);

    // From a file, and from stdin, with and without --json.
    let signed = home.run(["tx", "sign", file.to_str().unwrap()]);
    assert!(signed.stderr.contains("signing: "), "{signed:?}");
    assert!(signed.stderr.contains("expired"), "{signed:?}");
    let by_stdin = home.run_with_stdin(["--json", "tx", "sign", "-"], &built.stdout);
    assert_eq!(signed.json(), by_stdin.json());
    let signed = signed.json();
    assert_eq!(signed["signed_hex"], signed_hex);
    assert_eq!(
        signed["signature"], parts["response"]["signature"],
        "RFC 6979 gives the very signature"
    );

    let decoded = home.run(["tx", "decode", signed_hex, "--json"]).json();
    assert_eq!(decoded["txid"], recorded["expected_txid"]);
    assert_eq!(decoded["contract_type"], "TransferAssetContract");
    assert_eq!(decoded["parameter"]["amount"], 123_456);
    assert_eq!(decoded["parameter"]["asset_name"], "1000001");
    assert_eq!(
        decoded["signers"],
        serde_json::json!(["TDvSsdrNM5eeXNL3czpa6AxLDHZA9nwe9K"])
    );
    assert_eq!(decoded["ref_block_bytes"], "00ab");
    assert!(decoded.get("memo").is_none() && decoded.get("permission_id").is_none());

    // raw_data alone says the same, without signers.
    let raw = built.json()["raw_data_hex"].as_str().unwrap().to_owned();
    let decoded = home.run(["tx", "decode", "--raw", &raw]).json();
    assert_eq!(decoded["txid"], recorded["expected_txid"]);
    assert_eq!(decoded["signers"], serde_json::json!([]));
}

#[test]
fn a_memo_and_a_permission_are_shown() {
    let recorded = recording("03-local-trc10-memo-broadcasthex.json");
    let hex = recorded["request"]["body"]["transaction"].as_str().unwrap();
    let decoded = Home::new().run(["tx", "decode", hex]).json();
    assert!(decoded["memo"].as_str().is_some(), "{decoded}");
    let recorded = recording("06-two-of-three-gettransactionbyid.json");
    let home = Home::new();
    let file = home.file("two.json", recorded["response"].to_string());
    let decoded = home
        .run(["tx", "decode", file.to_str().unwrap(), "--json"])
        .json();
    assert_eq!(decoded["permission_id"], 2);
    assert_eq!(decoded["signers"].as_array().unwrap().len(), 2);
}

#[test]
fn documents_that_contradict_themselves_are_not_signed() {
    let recorded =
        recording("03-local-trc10-memo-gettransactionbyid-visible.json")["response"].take();
    let mut built = serde_json::json!({
        "txid": recorded["txID"],
        "transaction": recorded,
    });
    built["transaction"]["visible"] = true.into();
    let home = Home::with_key(2);
    let sign = |document: &Value| {
        let file = home.file("document.json", document.to_string());
        home.run(["tx", "sign", "--json", file.to_str().unwrap()])
            .error(1)
    };
    let value = "/transaction/raw_data/contract/0/parameter/value";
    for (pointer, lie) in [
        (
            format!("{value}/to_address"),
            Value::from("T9yD14Nj9j7xAB4dbGeiX9h8unkKHxuWwb"),
        ),
        (format!("{value}/amount"), 1.into()),
        ("/transaction/txID".into(), "00".repeat(32).into()),
        ("/txid".into(), "00".repeat(32).into()),
        (
            "/transaction/raw_data_hex".into(),
            recording("03-trc10-gettransactionbyid.json")["response"]["raw_data_hex"].take(),
        ),
    ] {
        let mut document = built.clone();
        *document.pointer_mut(&pointer).unwrap() = lie;
        let error = sign(&document);
        assert_eq!(error["code"], "invalid_transaction", "{pointer}: {error}");
    }
}
