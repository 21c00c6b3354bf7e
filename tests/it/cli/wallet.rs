//! Wallets: made, imported, listed, shown; nothing secret ever printed.

use crate::support::home::{Home, Run, recording};

const PASSPHRASE: &str = "correct horse battery";
/// `abandon … about`, the first phrase of BIP-39's own vectors, and its first
/// account at m/44'/195'/0'/0/0.
const PHRASE: &str =
    "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
const FIRST: &str = "TUEZSdKsoDHQMeZwihtdoBiN46zxhGWYdH";

fn home() -> Home {
    Home::new().env("SEEDRAIL_PASSPHRASE", PASSPHRASE)
}

fn assert_silent(run: &Run, secrets: &[&str]) {
    for secret in secrets {
        for output in [&run.stdout, &run.stderr] {
            assert!(!output.contains(secret), "a secret in {run:?}");
        }
    }
}

#[test]
fn a_new_wallet_is_kept_shown_and_signs() {
    let home = home();
    let phrase = home.path().join("phrase.txt");
    let made = home.run([
        "wallet".as_ref(),
        "new".as_ref(),
        "--json".as_ref(),
        "--phrase-out".as_ref(),
        phrase.as_os_str(),
    ]);
    let words = std::fs::read_to_string(&phrase).unwrap();
    assert_eq!(words.split_whitespace().count(), 24);
    assert_silent(&made, &[PASSPHRASE, words.trim()]);
    let made = made.json();
    let address = made["address"].as_str().unwrap();
    assert!(address.starts_with('T') && address.len() == 34);
    let file = std::path::Path::new(made["file"].as_str().unwrap());
    #[cfg(unix)]
    for path in [file, &phrase] {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
    assert_eq!(
        home.run(["wallet", "list", "--json"]).json(),
        serde_json::json!([made])
    );
    assert_eq!(home.run(["--json", "wallet", "show", "main"]).json(), made);
    // The only wallet is the current one; its address needs no passphrase.
    assert_eq!(
        home.run(["wallet", "show", "--json"]).json()["address"],
        made["address"]
    );

    // The phrase is the same key in another home.
    let other = self::home();
    let imported = other.run([
        "wallet".as_ref(),
        "import".as_ref(),
        "copy".as_ref(),
        "--mnemonic-file".as_ref(),
        phrase.as_os_str(),
        "--json".as_ref(),
    ]);
    assert_silent(&imported, &[PASSPHRASE, words.trim()]);
    assert_eq!(imported.json()["address"], made["address"]);

    // A second wallet of the same name is refused, nothing overwritten.
    let before = std::fs::read(file).unwrap();
    let error = home.run(["wallet", "new", "--json"]).error(1);
    assert_eq!(error["code"], "exists");
    assert_eq!(std::fs::read(file).unwrap(), before);
}

#[test]
fn imports_agree_with_others() {
    let home = home();
    let phrase = home.secret("phrase", PHRASE);
    let imported = home.run([
        "wallet".as_ref(),
        "import".as_ref(),
        "phrase".as_ref(),
        "--mnemonic-file".as_ref(),
        phrase.as_os_str(),
        "--json".as_ref(),
    ]);
    assert_eq!(imported.json()["address"], FIRST);

    // A raw key by file, then its keystore file by another name.
    let key = "00".repeat(31) + "02";
    let key_file = home.secret("key", format!("{key}\n"));
    let raw = home.run([
        "--key-file".as_ref(),
        key_file.as_os_str(),
        "wallet".as_ref(),
        "import".as_ref(),
        "raw".as_ref(),
        "--json".as_ref(),
    ]);
    assert_silent(&raw, &[&key, PASSPHRASE]);
    let raw = raw.json();
    assert_eq!(raw["address"], "TDvSsdrNM5eeXNL3czpa6AxLDHZA9nwe9K");
    let again = home.run([
        "wallet",
        "import",
        "again",
        "--keystore",
        raw["file"].as_str().unwrap(),
        "--json",
    ]);
    assert_eq!(again.json()["address"], raw["address"]);
    assert_eq!(
        home.run(["wallet", "list", "--json"])
            .json()
            .as_array()
            .unwrap()
            .len(),
        3
    );

    // Several wallets: one has to be named.
    let document = home.file(
        "tx.json",
        recording("03-transferasset.json")["response"].to_string(),
    );
    let error = home
        .run(["tx", "sign", document.to_str().unwrap(), "-q", "--json"])
        .code;
    assert_eq!(error, 1);
}

#[test]
fn wrong_secrets_are_told_apart_and_never_repeated() {
    let home = home();
    let raw_key = "00".repeat(31) + "07";
    let key_file = home.secret("key", &raw_key);
    let wallet = home
        .run([
            "wallet".as_ref(),
            "import".as_ref(),
            "--key-file".as_ref(),
            key_file.as_os_str(),
            "--json".as_ref(),
        ])
        .json();
    let wallet = wallet["file"].as_str().unwrap();
    let wrong = "not the passphrase";
    let wrong_file = home.secret("wrong", wrong);

    let run = home.run([
        "wallet",
        "import",
        "x",
        "--keystore",
        wallet,
        "--passphrase-file",
        wrong_file.to_str().unwrap(),
        "--json",
    ]);
    assert_silent(&run, &[wrong, PASSPHRASE, &raw_key]);
    assert_eq!(run.error(1)["code"], "wrong_passphrase");

    let garbage = home.file("garbage", "{\"a\":1}");
    let run = home.run([
        "wallet",
        "import",
        "x",
        "--keystore",
        garbage.to_str().unwrap(),
        "--json",
    ]);
    assert_eq!(run.error(1)["code"], "not_a_keystore");

    // A changed byte is noticed.
    let text = std::fs::read_to_string(wallet).unwrap();
    let mut document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let crypto = if document.get("crypto").is_some() {
        "crypto"
    } else {
        "Crypto"
    };
    let cipher = document[crypto]["ciphertext"].as_str().unwrap().to_owned();
    let flipped = if cipher.starts_with('0') { "1" } else { "0" }.to_owned() + &cipher[1..];
    document[crypto]["ciphertext"] = flipped.into();
    let changed = home.file("changed", document.to_string());
    let run = home.run([
        "wallet",
        "import",
        "x",
        "--keystore",
        changed.to_str().unwrap(),
        "--json",
    ]);
    assert_eq!(run.error(1)["code"], "wrong_passphrase");

    let phrase = home.secret("phrase", PHRASE.replace("about", "abandon"));
    let run = home.run([
        "wallet",
        "import",
        "x",
        "--mnemonic-file",
        phrase.to_str().unwrap(),
        "--json",
    ]);
    assert_silent(&run, &["abandon abandon"]);
    assert_eq!(run.error(1)["code"], "mnemonic");

    let not_hex = "z".repeat(64);
    for key in [not_hex.as_str(), "1234", &"0".repeat(64), &"f".repeat(64)] {
        let home = Home::new().env("SEEDRAIL_PRIVATE_KEY", key);
        let run = home.run(["wallet", "show", "--json"]);
        assert_silent(&run, &[key]);
        assert_eq!(run.error(1)["code"], "bad_key");
    }
}
