//! Every kind of contract, several holders of keys, and the way to the chain.

use seedrail::{devnet::Devnet, types::UnixMs};
use serde_json::Value;

use crate::support::home::{Home, recording};

/// The four references of a recorded transaction, and whose it is.
fn references(recorded: &Value) -> Vec<String> {
    let raw = &recorded["raw_data"];
    let value = &raw["contract"][0]["parameter"]["value"];
    let mut arguments = Vec::new();
    for (flag, value) in [
        ("--from", &value["owner_address"]),
        ("--ref-block-bytes", &raw["ref_block_bytes"]),
        ("--ref-block-hash", &raw["ref_block_hash"]),
    ] {
        arguments.extend([flag.to_owned(), value.as_str().unwrap().to_owned()]);
    }
    for (flag, name) in [("--timestamp", "timestamp"), ("--expiration", "expiration")] {
        arguments.extend([flag.to_owned(), raw[name].to_string()]);
    }
    arguments
}

fn build(home: &Home, recorded: &Value, kind: &[&str]) -> Value {
    let mut arguments = vec!["tx".to_owned(), "build".to_owned()];
    arguments.extend(kind.iter().map(|&text| text.to_owned()));
    arguments.extend(references(recorded));
    home.run(arguments).json()
}

#[test]
fn other_recorded_contracts_are_built_byte_for_byte() {
    let home = Home::new();
    let mut compared = 0;
    for (name, kind) in [
        ("04-createaccount.json", "account-create"),
        ("04-freezebalancev2.json", "freeze-balance"),
        ("04-freezebalancev2-energy.json", "freeze-balance"),
        ("04-delegateresource.json", "delegate-resource"),
        (
            "06-accountpermissionupdate.json",
            "account-permission-update",
        ),
    ] {
        let recorded = recording(name)["response"].take();
        let value = recorded
            .pointer("/raw_data/contract/0/parameter/value")
            .unwrap();
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let sun = |key: &str| format!("{}sun", value[key]);
        let resource = match value["resource"].as_str() {
            Some("ENERGY") => "energy",
            _ => "bandwidth",
        };
        let mut arguments = vec![kind.to_owned()];
        arguments.extend(match kind {
            "account-create" => vec!["--new-account".into(), text("account_address")],
            "freeze-balance" => vec![
                "--amount".into(),
                sun("frozen_balance"),
                "--resource".into(),
                resource.into(),
            ],
            "delegate-resource" => vec![
                "--amount".into(),
                sun("balance"),
                "--resource".into(),
                resource.into(),
                "--to".into(),
                text("receiver_address"),
            ],
            _ => {
                // The recording is in hex; the command reads what people write.
                let raw = recorded["raw_data_hex"].as_str().unwrap();
                let shown = home.run(["tx", "decode", "--raw", raw, "--json"]).json();
                let file = home.file("permissions.json", shown["parameter"].to_string());
                vec!["--permissions".into(), file.to_str().unwrap().to_owned()]
            }
        });
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let built = build(&home, &recorded, &arguments);
        assert_eq!(built["raw_data_hex"], recorded["raw_data_hex"], "{name}");
        assert_eq!(built["txid"], recorded["txID"], "{name}");
        compared += 1;
    }
    assert_eq!(compared, 5);
}

#[test]
fn several_holders_sign_in_any_order_and_are_combined() {
    let recorded = recording("06-transferasset-permission-2.json")["response"].take();
    let first = Home::with_key(7);
    let document = serde_json::json!({ "transaction": recorded }).to_string();
    let sign = |home: &Home, document: &str| {
        let run = home.run_with_stdin(["tx", "sign", "-"], document);
        assert_eq!(run.code, 0, "{run:?}");
        run.stdout
    };
    let second = Home::with_key(8);
    let (by_seven, by_eight) = (sign(&first, &document), sign(&second, &document));
    // One after the other, and each alone then combined, in both orders.
    let chained = sign(&second, &by_seven);
    let (a, b) = (
        first.file("a.json", &by_seven),
        first.file("b.json", &by_eight),
    );
    let combine = |files: &[&std::path::Path]| {
        let mut arguments = vec!["tx".as_ref(), "combine".as_ref()];
        arguments.extend(files.iter().map(|file| file.as_os_str()));
        first.run(arguments)
    };
    let combined = combine(&[&a, &b]);
    assert_eq!(
        combined.json(),
        serde_json::from_str::<Value>(&chained).unwrap()
    );
    let signatures =
        |run: crate::support::home::Run| run.json()["signature"].as_array().unwrap().len();
    assert_eq!(signatures(combine(&[&b, &a])), 2);
    let both = first.file("both.json", &chained);
    assert_eq!(signatures(combine(&[&both, &a, &b])), 2, "each signer once");

    // Nobody signs twice, and different transactions are not mixed.
    let twice = first.run(["tx", "sign", "--json", a.to_str().unwrap()]);
    assert_eq!(twice.code, 1, "{twice:?}");
    assert!(twice.stderr.contains("signed_twice"), "{twice:?}");
    let other = recording("03-transferasset.json")["response"].take();
    let other = first.file("other.json", other.to_string());
    assert_eq!(combine(&[&a, &other]).code, 1);
}

#[test]
fn messages_are_signed_and_their_signers_told() {
    let home = Home::with_key(2);
    let signed = home.run(["wallet", "sign", "hello", "--json"]).json();
    let signature = signed["signature"].as_str().unwrap();
    let address = signed["address"].as_str().unwrap();
    let nobody = Home::new();
    let verify = |message: &str| {
        nobody.run([
            "wallet",
            "verify",
            message,
            "--signature",
            signature,
            "--address",
            address,
            "--json",
        ])
    };
    assert_eq!(verify("hello").json()["signer"], address);
    assert_eq!(verify("hallo").error(1)["code"], "other_signer");
    let run = nobody.run(["wallet", "verify", "hello", "--signature", "12", "--json"]);
    assert_eq!(run.error(2)["code"], "usage");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_approved_is_broadcast_and_shown_with_its_fee() {
    let devnet = Devnet::builder().port(0).instant().start().await.unwrap();
    let accounts = devnet.accounts().to_vec();
    let url = devnet.url();
    tokio::task::spawn_blocking(move || {
        let key = |index: usize| hex::encode(*accounts[index].key.expose_bytes());
        let owner = Home::new().env("SEEDRAIL_PRIVATE_KEY", &key(0));
        let stranger = Home::new().env("SEEDRAIL_PRIVATE_KEY", &key(1));
        let (from, to) = (
            accounts[0].address.to_string(),
            accounts[2].address.to_string(),
        );
        let built = owner.run([
            "tx", "build", "transfer", "--from", &from, "--to", &to, "--amount", "3TRX", "--node",
            &url,
        ]);
        assert_eq!(built.code, 0, "{built:?}");

        let wrong = stranger.run_with_stdin(["tx", "sign", "-"], &built.stdout);
        let refused = stranger.run_with_stdin(
            ["tx", "broadcast", "-", "--yes", "--node", &url, "--json"],
            &wrong.stdout,
        );
        assert_eq!(refused.error(1)["code"], "not_approved");

        let signed = owner.run_with_stdin(["tx", "sign", "-"], &built.stdout);
        let sent = owner.run_with_stdin(
            [
                "tx",
                "broadcast",
                "-",
                "--yes",
                "--wait",
                "solid",
                "--node",
                &url,
                "--json",
            ],
            &signed.stdout,
        );
        assert!(sent.stderr.contains("fee 0 TRX"), "{sent:?}");
        let sent = sent.json();
        assert_eq!(sent["state"], "solid");
        let txid = sent["txid"].as_str().unwrap();
        let shown = owner
            .run(["tx", "show", txid, "--node", &url, "--json"])
            .json();
        assert_eq!(shown["state"], "solid");
        assert_eq!(shown["fee_sun"], 0);
        assert_eq!(shown["succeeded"], true);
        assert_eq!(shown["signers"], serde_json::json!([from]));
        assert!(shown["timestamp"].as_i64() > Some(UnixMs(0).0));
        let unknown = "00".repeat(32);
        let unknown = owner.run(["tx", "show", &unknown, "--node", &url, "--json"]);
        assert_eq!(unknown.error(1)["code"], "not_found");
    })
    .await
    .unwrap();
}
