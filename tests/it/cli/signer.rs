//! Who signs: another program, typed data, a recovery phrase with a passphrase,
//! and keys on their way out.

#![cfg(unix)]

use std::{os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};

use seedrail::devnet::Devnet;

use crate::support::home::Home;

const PASSPHRASE: &str = "correct horse battery";

/// A program that signs with a key of its own, by this very binary: it reads the
/// typed request, and lets `tx sign` or `wallet sign` do what it asks for.
fn program(home: &Home, key: &str) -> PathBuf {
    let path = home.path().join("signer");
    let key_file = home.secret("signer.key", key);
    let text = format!(
        r#"#!/bin/sh
set -eu
question=$(cat)
[ -z "${{SEEDRAIL_PRIVATE_KEY:-}}" ] || {{ echo '{{"error":"it was given a key"}}'; exit; }}
field() {{ printf %s "$question" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }}
run() {{ {binary} --json --home {home} --key-file {key} "$@"; }}
case $(field request) in
address) run wallet show ;;
transaction) printf '{{"transaction":%s}}' "$(printf %s "$question" | sed 's/.*"transaction":\(.*\),"txid".*/\1/')" >{home}/asked.json
    run tx sign --yes {home}/asked.json | sed 's/.*"signature":\["\([0-9a-f]*\)"\].*/{{"signature":"\1"}}/' ;;
message) run wallet sign "$(field message_hex | sed 's/../\\\\x&/g' | xargs printf %b)" ;;
*) echo '{{"error":"only transactions and messages"}}' ;;
esac
"#,
        binary = env!("CARGO_BIN_EXE_seedrail"),
        home = home.path().display(),
        key = key_file.display(),
    );
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn another_program_signs_what_it_is_shown() {
    let devnet = Devnet::builder()
        .block_time(Duration::from_millis(200))
        .start()
        .await
        .unwrap();
    let (from, to) = (devnet.accounts()[1].clone(), devnet.accounts()[2].address);
    let key = hex::encode(from.key.expose_bytes().as_slice());
    let keeper = Home::new();
    let signer = program(&keeper, &key);
    // The key that this home would use by itself is another one.
    let home = Home::with_key(9)
        .env("SEEDRAIL_NODE", &devnet.url())
        .env("SEEDRAIL_SIGNER", signer.to_str().unwrap());
    let shown = home.run(["wallet", "show", "--json"]).json();
    assert_eq!(shown["address"], from.address.to_string());
    let signed = home.run(["wallet", "sign", "hello", "--json"]).json();
    let verify = ["wallet", "verify", "hello", "--json", "--signature"];
    let signature = signed["signature"].as_str().unwrap();
    let by = home.run(verify.iter().chain([&signature])).json();
    assert_eq!(by["signer"], from.address.to_string());

    let to = to.to_string();
    let send = ["send", "--json", "--yes", "--to", &to, "--amount", "2BTT"];
    let sent = home.run(send).json();
    assert_eq!(
        (&sent["from"], &sent["state"]),
        (&shown["address"], &"solid".into())
    );
    let staked = home
        .run(["account", "stake", "1TRX", "--yes", "--json"])
        .json();
    assert_eq!(staked["state"], "solid");

    // What it refuses is told with its words; it gives no key away.
    let document = keeper.file("mail.json", TYPED);
    let refused = home.run([
        "wallet",
        "sign",
        "--quiet",
        "--json",
        "--typed-data",
        document.to_str().unwrap(),
    ]);
    let error = refused.error(1);
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("it refused: only transactions and messages"),
        "{error}"
    );
    let gone = home.run([
        "wallet",
        "sign",
        "x",
        "--json",
        "--signer",
        "/nowhere/signer",
    ]);
    assert_eq!(gone.error(1)["code"], "signer");
}

/// A grant of a TRC-10 token, as an application would ask for it.
const TYPED: &str = r#"{
    "types": {"Grant": [
        {"name": "to", "type": "address"}, {"name": "token", "type": "trcToken"}, {"name": "most", "type": "uint64"}
    ]},
    "primaryType": "Grant",
    "domain": {"name": "Example", "version": "1", "chainId": "0x2b6653dc"},
    "message": {"to": "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC", "token": "1002000", "most": 18446744073709551615}
}"#;

#[test]
fn typed_data_is_signed_and_its_signer_told() {
    let home = Home::with_key(2);
    let sign = home.run_with_stdin(["wallet", "sign", "--json", "--typed-data", "-"], TYPED);
    let signed = sign.json();
    let signature = signed["signature"].as_str().unwrap();
    let nobody = Home::new();
    let verify = |document: &str| {
        let arguments = [
            "wallet",
            "verify",
            "--json",
            "--typed-data",
            "-",
            "--signature",
            signature,
        ];
        nobody.run_with_stdin(arguments, document)
    };
    assert_eq!(verify(TYPED).json()["signer"], signed["address"]);
    let changed = TYPED.replace("1002000", "1002001");
    assert_ne!(verify(&changed).json()["signer"], signed["address"]);
    let unseen = TYPED.replace(
        "\"token\": \"1002000\"",
        "\"token\": \"1002000\", \"also\": 1",
    );
    let error = verify(&unseen).error(1);
    assert_eq!(error["code"], "typed_data");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("`message.also`"),
        "{error}"
    );
    assert_eq!(home.run(["wallet", "sign"]).code, 2);
}

#[test]
fn a_recovery_phrase_with_a_passphrase_is_another_account() {
    let home = Home::new().env("SEEDRAIL_PASSPHRASE", PASSPHRASE);
    let words = "abandon ".repeat(11) + "about";
    let phrase = home.file("phrase", &words);
    let secret = home.file("secret", "TREZOR\n");
    let import = |name: &str, more: &[&std::path::Path]| {
        let mut arguments = vec!["wallet", "import", name, "--json", "--mnemonic-file"];
        arguments.push(phrase.to_str().unwrap());
        arguments.extend(more.iter().map(|path| path.to_str().unwrap()));
        home.run(arguments)
    };
    let without = import("without", &[]).json();
    assert_eq!(without["address"], "TUEZSdKsoDHQMeZwihtdoBiN46zxhGWYdH");
    let with = import("with", &["--mnemonic-passphrase-file".as_ref(), &secret]);
    assert!(!format!("{with:?}").contains("TREZOR"), "{with:?}");
    // TronWeb 6.5.1: fromMnemonic(words, "m/44'/195'/0'/0/0", "TREZOR").
    assert_eq!(with.json()["address"], "TAyDUYP5rcf56xFwrg8cU1qQwvnWpkeapM");

    // Out again: the encrypted file opens as it did, the key is that of the address.
    let copy = home.path().join("copy.json");
    let export = |more: &[&str], out: &std::path::Path| {
        let mut arguments = vec!["wallet", "export", "with", "--json", "-o"];
        arguments.push(out.to_str().unwrap());
        arguments.extend(more);
        home.run(arguments)
    };
    assert_eq!(export(&[], &copy).json()["form"], "keystore");
    let again = [
        "wallet",
        "import",
        "again",
        "--json",
        "--keystore",
        copy.to_str().unwrap(),
    ];
    let again = home.run(again).json();
    let bare = home.path().join("bare.key");
    assert_eq!(export(&["--raw"], &bare).code, 2, "it must be confirmed");
    let raw = export(&["--raw", "--yes"], &bare);
    assert!(
        !raw.stdout
            .contains(std::fs::read_to_string(&bare).unwrap().trim())
    );
    let by_key = home.run([
        "wallet",
        "show",
        "--json",
        "--key-file",
        bare.to_str().unwrap(),
    ]);
    assert_eq!(by_key.json()["address"], again["address"]);
    for file in [&copy, &bare] {
        let mode = std::fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
        assert_eq!(
            export(&["--raw", "--yes"], file).code,
            1,
            "nothing is overwritten"
        );
    }
}

#[test]
fn an_amount_without_a_unit_is_explained_on_mainnet() {
    let home = Home::with_key(1);
    let send = |network: &str| {
        let to = "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC";
        home.run([
            "send",
            "--json",
            "--network",
            network,
            "--to",
            to,
            "--amount",
            "5",
        ])
        .error(2)
    };
    let told = send("mainnet");
    assert!(
        told["message"]
            .as_str()
            .unwrap()
            .contains("`5` has no unit"),
        "{told}"
    );
    let hint = told["hint"].as_str().unwrap();
    assert!(
        hint.contains("1002000") && hint.contains("1000 of the TRC-20 BTT"),
        "{hint}"
    );
    assert_eq!(send("devnet")["hint"], serde_json::Value::Null);
}
