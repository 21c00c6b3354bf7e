//! What is signed was shown: fields, bytes, whole documents.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::support::{
    home::{Home, recording},
    terminal::Terminal,
};

/// A recorded change of permissions, unsigned, and the home of its owner.
fn permission_update() -> (Home, Value) {
    let recorded = recording("06-accountpermissionupdate.json")["response"].take();
    (Home::with_key(2), json!({ "transaction": recorded }))
}

#[test]
fn more_than_a_plain_transfer_is_signed_only_when_every_field_was_shown_and_agreed_to() {
    let (home, document) = permission_update();
    let file = home.file("update.json", document.to_string());
    let file = file.to_str().unwrap();
    let decoded = home.run(["tx", "decode", file, "--json"]).json();
    let keys: Vec<&str> = decoded["parameter"]["actives"][0]["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["address"].as_str().unwrap())
        .collect();

    // Nobody is there to ask, and nothing is signed; what it is about is shown even so.
    for more in [&[][..], &["--quiet"]] {
        let run = home.run(["tx", "sign", file].iter().chain(more));
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run:?}");
        for word in [
            "AccountPermissionUpdateContract",
            "threshold",
            "operations",
            "TransferAsset",
            "expires: ",
        ] {
            assert!(run.stderr.contains(word), "{word}: {run:?}");
        }
        for key in &keys {
            assert!(run.stderr.contains(key), "{key}: {run:?}");
        }
    }
    // On a terminal, no is no, and yes is yes.
    for (answer, code) in [("n", 1), ("y", 0)] {
        let mut asked = Terminal::start(&home, &["tx", "sign", file]);
        asked.expect("AccountPermissionUpdateContract");
        asked.expect("Sign it? [y/N] ");
        asked.line(answer);
        let (ended, screen) = asked.end();
        assert_eq!(ended, code, "{screen}");
        assert_eq!(screen.contains("signed_hex"), code == 0, "{screen}");
    }
    assert_eq!(home.run(["tx", "sign", file, "--yes"]).code, 0);
}

#[test]
fn a_contract_that_cannot_be_shown_is_not_signed() {
    // VoteAssetContract (3) has no message here: a transfer under that number.
    let recorded = recording("03-trx-gettransactionbyid.json");
    let raw = recorded["response"]["raw_data_hex"].as_str().unwrap();
    let other = raw.replacen("080112", "080312", 1);
    assert_ne!(raw, other);
    let whole = format!("0a{:02x}01{other}", other.len() / 2);
    assert!((128..256).contains(&(other.len() / 2)));
    let home = Home::with_key(2);
    let file = home.file("unknown.hex", whole);
    let run = home.run(["tx", "sign", "--yes", "--json", file.to_str().unwrap()]);
    let error = run.error(1);
    assert_eq!(error["code"], "invalid_transaction");
    assert!(error["message"].as_str().unwrap().contains('3'), "{error}");
}

#[test]
fn messages_of_bytes_files_and_stdin_are_signed_alike() {
    let home = Home::with_key(2);
    let bytes = [0xde, 0xad, 0xbe, 0xef, 0x00, 0xff];
    let file = home.file("message.bin", bytes);
    let file = file.to_str().unwrap();
    let by_hex = home
        .run(["wallet", "sign", "--json", "--hex", "0xdeadbeef00ff"])
        .json();
    let by_file = home
        .run(["wallet", "sign", "--json", "--file", file])
        .json();
    assert_eq!(by_hex, by_file);
    let text = home.run(["wallet", "sign", "--json", "hello"]).json();
    let stdin = home.run_with_stdin(["wallet", "sign", "--json", "--file", "-"], "hello");
    assert_eq!(text, stdin.json());
    assert_ne!(text["signature"], by_hex["signature"]);
    let signature = by_hex["signature"].as_str().unwrap();
    let verified = home.run([
        "wallet",
        "verify",
        "--json",
        "--file",
        file,
        "--signature",
        signature,
    ]);
    assert_eq!(verified.json()["signer"], by_hex["address"]);
    for wrong in [
        &["wallet", "sign"][..],
        &["wallet", "sign", "hello", "--hex", "00"],
        &["wallet", "sign", "--hex", "0g"],
    ] {
        assert_eq!(home.run(wrong).code, 2);
    }
}

#[test]
fn signatures_in_other_forms_are_read_and_odd_ones_are_named() {
    let home = Home::with_key(2);
    let signed = home.run(["wallet", "sign", "--json", "hello"]).json();
    let signature = signed["signature"].as_str().unwrap();
    let mut bytes = hex::decode(signature).unwrap();
    let verify = |signature: &str| {
        home.run([
            "wallet",
            "verify",
            "--json",
            "hello",
            "--signature",
            signature,
        ])
    };
    // EIP-2098: the parity in the highest bit of s.
    let mut compact = bytes[..64].to_vec();
    compact[32] |= (bytes[64] - 27) << 7;
    let short = verify(&hex::encode(&compact)).json();
    assert_eq!(
        (&short["signer"], &short["canonical"]),
        (&signed["address"], &true.into())
    );
    // The other s of the same signature: n - s, with the other v.
    let order = hex::decode("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
    let mut borrow = 0_i16;
    for (byte, order) in bytes[32..64].iter_mut().zip(order.unwrap()).rev() {
        let difference = i16::from(order) - i16::from(*byte) - borrow;
        borrow = i16::from(difference < 0);
        *byte = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    bytes[64] = 55 - bytes[64];
    let high = verify(&hex::encode(&bytes));
    assert!(high.stderr.contains("not canonical"), "{high:?}");
    let high = high.json();
    assert_eq!(
        (&high["signer"], &high["canonical"]),
        (&signed["address"], &false.into())
    );
    bytes[64] = 54;
    let error = verify(&hex::encode(&bytes)).error(2);
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("last byte (v) of the signature is 54"),
        "{message}"
    );
}

#[test]
fn a_signing_program_is_given_the_whole_typed_document() {
    let folder = Home::new();
    let address = Home::with_key(2).run(["wallet", "show", "--json"]).json()["address"].take();
    let asked = folder.path().join("asked.json");
    let text = format!(
        "#!/bin/sh\nquestion=$(cat)\ncase $question in\n*'\"request\":\"address\"'*) echo '{{\"address\":{address}}}' ;;\n\
         *) printf %s \"$question\" >{}; echo '{{\"error\":\"only looking\"}}' ;;\nesac\n",
        asked.display()
    );
    let program = folder.file("signer", text);
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o700)).unwrap();
    let document = json!({
        "types": { "Grant": [{ "name": "to", "type": "address" }, { "name": "most", "type": "uint64" }] },
        "primaryType": "Grant",
        "domain": { "name": "Example\u{202e}", "chainId": "0x2b6653dc" },
        "message": { "to": "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC", "most": u64::MAX },
    });
    let home = Home::new().env("SEEDRAIL_SIGNER", program.to_str().unwrap());
    let run = home.run_with_stdin(
        ["wallet", "sign", "--typed-data", "-"],
        &document.to_string(),
    );
    assert_eq!(run.code, 1, "{run:?}");
    // The command shows it, too, whole and harmless.
    for word in [
        "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC",
        "18446744073709551615",
        r"Example\u202e",
    ] {
        assert!(run.stderr.contains(word), "{word}: {run:?}");
    }
    let question: Value = serde_json::from_slice(&std::fs::read(&asked).unwrap()).unwrap();
    assert_eq!(question["request"], "typed_data");
    assert_eq!(question["typed_data"], document);
}

#[test]
fn what_is_too_long_is_refused_from_stdin_as_from_a_file() {
    let home = Home::with_key(2);
    let long = " ".repeat((4 << 20) + 1);
    let file = home.file("long.json", &long);
    for command in [
        &["tx", "decode"][..],
        &["wallet", "sign", "--typed-data"],
        &["wallet", "sign", "--file"],
    ] {
        let by_file = home.run(command.iter().chain(&[file.to_str().unwrap(), "--json"]));
        let by_stdin = home.run_with_stdin(command.iter().chain(&["-", "--json"]), &long);
        for run in [by_file, by_stdin] {
            let error = run.error(1);
            let message = error["message"].as_str().unwrap();
            assert!(
                message.contains("too large: at most 4 MiB"),
                "{command:?}: {message}"
            );
        }
    }
}
