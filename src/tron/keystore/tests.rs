//! The standard's files, those of other programs, and every reason to refuse.

use super::*;

/// The two test vectors of the Web3 Secret Storage definition.
const PBKDF2: &str = r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"6087dab2f9fdbbfaddc31a909735c1e6"},"ciphertext":"5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46","kdf":"pbkdf2","kdfparams":{"c":262144,"dklen":32,"prf":"hmac-sha256","salt":"ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},"mac":"517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"},"id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;
const SCRYPT: &str = r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"83dbcc02d8ccb40e466191a123791e0e"},"ciphertext":"d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c","kdf":"scrypt","kdfparams":{"dklen":32,"n":262144,"p":8,"r":1,"salt":"ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19"},"mac":"2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097"},"id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;
const SECRET: &str = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";

fn key() -> SecretKey {
    SecretKey::from_hex(SECRET).unwrap()
}

fn sealed() -> Keystore {
    Keystore::encrypt(&key(), b"correct", ScryptCost::LIGHT).unwrap()
}

#[test]
fn the_standards_own_files_open() {
    for text in [PBKDF2, SCRYPT, &SCRYPT.replacen("crypto", "Crypto", 1)] {
        let keystore = Keystore::from_json(text).unwrap();
        let key = keystore.decrypt(b"testpassword").unwrap();
        assert_eq!(hex::encode(key.expose_bytes()), SECRET);
    }
}

/// Made by the programs themselves: see the fixtures' README.
#[test]
fn the_files_of_other_wallets_open() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/keystore");
    let expected = "TK31Bs4p7BZionueRbSrG5ZTfxPyHCLy3a".parse().unwrap();
    for name in [
        "eth-account-pbkdf2",
        "ethereumjs-wallet",
        "geth-light",
        "geth-standard",
        "keythereum",
        "wallet-cli",
        "web3",
    ] {
        let keystore = Keystore::read(&folder.join(format!("{name}.json"))).unwrap();
        assert_eq!(keystore.address(), Some(expected), "{name}");
        let key = keystore.decrypt(b"correct horse").unwrap();
        assert_eq!(key.address(), expected, "{name}");
        let wrong = keystore.decrypt(b"incorrect horse");
        assert!(matches!(wrong, Err(KeystoreError::Mac)), "{name}");
    }
    // ethers normalised the passphrase; it is typed as it was given to ethers.
    let ethers = Keystore::read(&folder.join("ethers.json")).unwrap();
    let typed = "correct h\u{f6}rse \u{fb01}";
    assert!(matches!(
        ethers.decrypt(typed.as_bytes()),
        Err(KeystoreError::Mac)
    ));
    assert_eq!(ethers.open(typed).unwrap().address(), expected);
}

#[test]
fn an_address_is_read_in_each_of_its_spellings() {
    let light = include_str!("../../../fixtures/keystore/geth-light.json");
    let body = "6370ef2f4db3611d657b90667de398a2cc2a370c";
    for spelling in [
        body.to_owned(),
        format!("0x{body}"),
        format!("41{body}"),
        "TK31Bs4p7BZionueRbSrG5ZTfxPyHCLy3a".to_owned(),
    ] {
        let keystore = Keystore::from_json(&light.replace(body, &spelling)).unwrap();
        let address = keystore.address().map(|address| address.to_string());
        assert_eq!(
            address.as_deref(),
            Some("TK31Bs4p7BZionueRbSrG5ZTfxPyHCLy3a"),
            "{spelling}"
        );
    }
}

#[test]
fn what_was_sealed_opens_only_with_its_passphrase() {
    let again = Keystore::from_json(&sealed().to_json()).unwrap();
    assert_eq!(again.address(), Some(key().address()));
    assert_eq!(
        again.decrypt(b"correct").unwrap().address(),
        key().address()
    );
    assert!(matches!(again.decrypt(b"wrong"), Err(KeystoreError::Mac)));
    assert!(!again.to_json().contains(SECRET));
}

#[test]
fn a_changed_file_is_noticed() {
    let mut changed = sealed();
    changed.crypto.ciphertext = "00".repeat(32);
    assert!(matches!(
        changed.decrypt(b"correct"),
        Err(KeystoreError::Mac)
    ));
    let mut changed = sealed();
    changed.address = Some(Address::ZERO.to_string());
    assert!(matches!(
        changed.decrypt(b"correct"),
        Err(KeystoreError::Address { .. })
    ));
}

#[test]
fn impossible_parameters_are_refused_before_any_work() {
    let refused = |from: &str, to: &str| {
        let text = SCRYPT.replace(from, to);
        assert_ne!(text, SCRYPT);
        let error = Keystore::from_json(&text)
            .unwrap()
            .decrypt(b"testpassword")
            .unwrap_err();
        assert!(matches!(error, KeystoreError::Parameters(_)), "{error}");
    };
    refused("\"n\":262144", "\"n\":1099511627776");
    refused("\"n\":262144", "\"n\":18446744073709551615");
    refused("\"n\":262144", "\"n\":3");
    refused("\"n\":262144", "\"n\":0");
    refused("\"p\":8", "\"p\":4294967295");
    refused("\"r\":1", "\"r\":0");
    refused("\"r\":1", "\"r\":9223372036854775808");
    refused("\"dklen\":32", "\"dklen\":33");
    refused("\"scrypt\"", "\"argon2\"");
    refused("aes-128-ctr", "aes-256-ctr");
    refused("83dbcc02d8ccb40e466191a123791e0e", "83");
    let text = PBKDF2.replace("262144", "4294967295");
    assert!(matches!(
        Keystore::from_json(&text).unwrap().decrypt(b"testpassword"),
        Err(KeystoreError::Parameters(_))
    ));
}

#[test]
fn dialects_of_other_programs_are_read() {
    let with = |from: &str, to: &str| {
        let text = SCRYPT.replacen(from, to, 1);
        assert_ne!(text, SCRYPT);
        text
    };
    for text in [
        with("83dbcc02", "0x83dbcc02"),
        with("ab0c7876", "0xab0c7876"),
        with("d172bf74", "0xd172bf74"),
        with("2103ac29", "0x2103ac29"),
        with(":3}", ":\"3\"}"),
        format!("\u{feff}{SCRYPT}"),
    ] {
        let keystore = Keystore::from_json(&text).unwrap();
        assert!(keystore.decrypt(b"testpassword").is_ok(), "{text}");
        assert!(keystore.to_json().contains("\"version\":3,"));
    }
    assert!(Keystore::from_json(&with(":3}", ":\"4\"}")).is_err());
}

#[test]
fn a_passphrase_opens_in_the_form_that_another_program_gave_it() {
    // ﬁ (a ligature) and ü: other bytes in each of the four forms.
    let typed = "\u{fb01}sch gr\u{fc}n";
    for sealed_as in [
        typed.to_owned(),
        typed.nfd().collect(),
        typed.nfkc().collect(),
        typed.nfkd().collect(),
        format!("{typed}\n"),
    ] {
        let sealed = Keystore::encrypt(&key(), sealed_as.as_bytes(), ScryptCost::LIGHT);
        let sealed = sealed.unwrap();
        assert!(sealed.open(typed).is_ok(), "{sealed_as:?}");
        assert!(sealed.open("fisch grun").is_err());
    }
    let decomposed: String = typed.nfd().collect();
    let sealed = Keystore::encrypt(&key(), typed.as_bytes(), ScryptCost::LIGHT).unwrap();
    assert!(sealed.open(&decomposed).is_ok());
}

#[test]
fn what_is_no_keystore_is_called_so() {
    for text in [
        "",
        "{}",
        "[]",
        "{\"version\":3}",
        &SCRYPT.replace(":3}", ":1}"),
    ] {
        assert!(matches!(
            Keystore::from_json(text),
            Err(KeystoreError::NotAKeystore(_))
        ));
    }
}

#[test]
fn files_are_private_new_and_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    sealed().create(&path).unwrap();
    assert!(Keystore::read(&path).unwrap().decrypt(b"correct").is_ok());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let before = fs::read(&path).unwrap();
    assert!(matches!(
        sealed().create(&path),
        Err(KeystoreError::Exists(_))
    ));
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

    let large = folder.path().join("large");
    fs::write(&large, vec![b' '; 70_000]).unwrap();
    assert!(matches!(
        Keystore::read(&large),
        Err(KeystoreError::NotAKeystore(_))
    ));
    assert!(matches!(
        Keystore::read(&folder.path().join("none")),
        Err(KeystoreError::Io { .. })
    ));
}
