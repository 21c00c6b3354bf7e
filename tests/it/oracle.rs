//! What others compute: TronWeb and tronpy (and, for keystores, ethers and
//! eth-account), unmodified, as they come from their registries, against the
//! library and the program. Nothing here asks a node.

mod contracts;
mod session;
mod typed;

use std::{
    io::Write,
    process::{Command, Stdio},
};

use seedrail::{
    ledger::EpochId,
    receipts::{
        Receipt, ReceiptDomain, ReceiptLine, SignedGrant, SignedReceipt, SpendGrant, TypedStruct,
    },
    tron::{
        keys::{SecretKey, Signature},
        keystore::{Keystore, ScryptCost},
        message::{message_signer, sign_message},
        transaction::Transaction,
    },
    types::{Address, RawAmount, Salt},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::peer::{self, Peer};

/// The private key 0x0102…20 of the published vector.
const KEY: &str = "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20";
const TO: &str = "TDvSsdrNM5eeXNL3czpa6AxLDHZA9nwe9K";

/// The small keys, the greatest key, and some that follow from a hash.
fn keys() -> Vec<String> {
    let small = (1..=4).map(|n| format!("{n:064x}"));
    let greatest = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140".to_owned();
    let hashed = (0..20u8).map(|n| hex::encode(Sha256::digest([n])));
    small.chain([greatest]).chain(hashed).collect()
}

fn secret(key: &str) -> SecretKey {
    SecretKey::from_hex(key).unwrap()
}

/// Runs the program with `input` as stdin and reads its one JSON document.
fn seedrail(arguments: &[&str], key: Option<&str>, input: &str) -> Value {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_seedrail"));
    command
        .args(["--json", "--home"])
        .arg(home.path())
        .args(arguments)
        .env_remove("SEEDRAIL_PRIVATE_KEY")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(key) = key {
        command.env("SEEDRAIL_PRIVATE_KEY", key);
    }
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// r, s and v, whichever way v is written.
fn signature(text: &str) -> Signature {
    Signature::from_hex(text).unwrap()
}

#[test]
fn keys_have_the_same_addresses() {
    let mut peers = [Peer::javascript(), Peer::python()];
    for key in keys() {
        for peer in &mut peers {
            assert_eq!(
                peer.text("address", json!({ "key": key })),
                secret(&key).address().to_string(),
                "{}",
                peer.name
            );
        }
    }
}

/// A transfer as the peers and the command line take it.
struct Transfer {
    token: Option<&'static str>,
    amount: u64,
    memo: &'static str,
    permission_id: u8,
}

impl Transfer {
    fn question(&self, from: Address) -> Value {
        json!({
            "from": from.to_string(), "to": TO, "token": self.token, "amount": self.amount,
            "ref_block_bytes": "a4b1", "ref_block_hash": "00ff45b30c48bde0",
            "timestamp": 1_790_000_000_123_u64, "expiration": 1_790_000_060_000_u64,
            "memo": self.memo, "permission_id": self.permission_id,
        })
    }

    fn build(&self, from: Address) -> Value {
        let (from, amount) = (from.to_string(), self.amount.to_string());
        let permission = self.permission_id.to_string();
        let mut arguments = vec!["tx", "build"];
        match self.token {
            Some(token) => arguments.extend(["transfer-asset", "--token", token]),
            None => arguments.push("transfer"),
        }
        arguments.extend(["--from", &from, "--to", TO, "--amount-raw", &amount]);
        arguments.extend(["--ref-block-bytes", "a4b1"]);
        arguments.extend(["--ref-block-hash", "00ff45b30c48bde0"]);
        arguments.extend(["--timestamp", "1790000000123"]);
        arguments.extend(["--expiration", "1790000060000"]);
        if !self.memo.is_empty() {
            arguments.extend(["--memo", self.memo]);
        }
        arguments.extend(["--permission-id", &permission]);
        seedrail(&arguments, None, "")
    }
}

#[test]
fn transfers_are_built_signed_and_read_the_same() {
    let from = secret(KEY).address();
    let (mut tronweb, mut tronpy) = (Peer::javascript(), Peer::python());
    let mut transfers = Vec::new();
    // 2^53 - 1 is the most that TronWeb's numbers can say.
    for amount in [1, 127, 128, 1_000, 1_000_000_000_000, (1 << 53) - 1] {
        for token in [None, Some("1002000"), Some("1000001")] {
            transfers.push((token, amount, "", 0));
        }
    }
    transfers.push((Some("1002000"), 1_000, "thanks for the bits, 谢谢", 0));
    transfers.push((None, 1_000, "a memo", 2));
    transfers.push((Some("1002000"), 5, "", 9));
    for (token, amount, memo, permission_id) in transfers {
        let transfer = Transfer {
            token,
            amount,
            memo,
            permission_id,
        };
        let ours = transfer.build(from);
        let theirs = tronweb.ask("build", transfer.question(from));
        let other = tronpy.ask("build", transfer.question(from));
        for built in [&theirs, &other] {
            assert_eq!(ours["raw_data_hex"], built["raw_data_hex"]);
            assert_eq!(ours["txid"], built["txID"]);
        }

        let signed = seedrail(&["tx", "sign", "-"], Some(KEY), &ours.to_string());
        let hex = signed["signature"][0].as_str().unwrap();
        let by = |peer: &mut Peer| peer.text("sign", json!({ "transaction": theirs, "key": KEY }));
        // TronWeb writes v as 27 and 28; tronpy, like java-tron, as 0 and 1.
        assert_eq!(signature(&by(&mut tronweb)), signature(hex));
        assert_eq!(by(&mut tronpy), hex);

        let question = json!({ "txid": ours["txid"], "signature": hex });
        assert_eq!(tronweb.text("recover", question.clone()), from.to_string());
        assert_eq!(tronpy.text("recover", question), from.to_string());

        let read = tronpy.ask("decode", json!({ "hex": signed["signed_hex"] }));
        assert_eq!(read["amount"], amount);
        assert_eq!(read["memo"], memo);
        assert_eq!(read["signatures"], signed["signature"]);
        assert_eq!(read["same_bytes"], true);

        // And theirs with TronWeb's own signature, read by us.
        let raw = hex::decode(theirs["raw_data_hex"].as_str().unwrap()).unwrap();
        let mut foreign = Transaction::from_parts(raw, Vec::new(), Vec::new());
        foreign.add_signature(&signature(&by(&mut tronweb)));
        let decoded = seedrail(&["tx", "decode", &hex::encode(foreign.encode())], None, "");
        assert_eq!(decoded["txid"], theirs["txID"]);
        assert_eq!(decoded["signers"], json!([from.to_string()]));
        assert_eq!(decoded["parameter"]["amount"], amount);
        assert_eq!(decoded["parameter"]["to_address"], TO);
    }
}

#[test]
fn messages_are_signed_and_verified_both_ways() {
    let (mut tronweb, mut tronpy) = (Peer::javascript(), Peer::python());
    let long = "x".repeat(1_000);
    let messages = [
        "",
        "hello world",
        "Grüße, 世界 🚀",
        "line\nline\0end",
        &long,
    ];
    for (key, message) in keys().iter().zip(messages.iter().cycle()) {
        let address = secret(key).address();
        let ours = sign_message(&secret(key), message.as_bytes()).unwrap();
        for peer in [&mut tronweb, &mut tronpy] {
            let theirs = peer.text("sign_message", json!({ "message": message, "key": key }));
            assert_eq!(signature(&theirs), ours, "{}", peer.name);
            assert_eq!(
                message_signer(message.as_bytes(), &signature(&theirs)),
                Ok(address)
            );
            let question = json!({ "message": message, "signature": format!("0x{ours}") });
            assert_eq!(peer.text("message_signer", question), address.to_string());
        }
    }
}

/// A line of a receipt file as TronWeb takes typed data: its hashes with 0x.
fn for_tronweb(message: &Value) -> Value {
    let mut message = message.clone();
    for name in ["grant", "salt"] {
        if let Some(hash) = message.get_mut(name) {
            *hash = format!("0x{}", hash.as_str().unwrap()).into();
        }
    }
    message
}

/// `Receipt(address payer,…)` as the list of fields TronWeb wants.
fn fields(list: &str) -> Value {
    let field = |field: &str| {
        let (kind, name) = field.split_once(' ').unwrap();
        json!({ "name": name, "type": kind })
    };
    list.split(',').map(field).collect()
}

#[test]
fn receipts_and_grants_are_signed_and_verified_both_ways() {
    let mut tronweb = Peer::javascript();
    let genesis = "00000000000000001ebf88508a03865c71d452e25f4d51194196a1d22b6653dc";
    let domain = ReceiptDomain::new(genesis.parse().unwrap());
    let receipt_types = json!({ "Receipt": fields(
        "address payer,address payee,address signer,address vault,trcToken token,uint64 epoch,\
         uint64 sinceBlock,uint64 sequence,uint256 amount,uint256 deliveredBytes,\
         uint64 issuedAt,bytes32 grant"
    ) });
    let grant_types = json!({ "SpendGrant": fields(
        "address payer,address signer,trcToken token,uint256 maxPerPayee,uint256 maxTotal,\
         uint64 notBefore,uint64 notAfter,uint64 serial"
    ) });

    let (payer, session) = (secret(KEY), secret(&format!("{:064x}", 7)));
    for (n, amount) in [0, 1, 123_456, i64::MAX].into_iter().enumerate() {
        let number = RawAmount::new(amount).unwrap();
        let grant = SignedGrant::sign(
            SpendGrant {
                payer: payer.address(),
                signer: session.address(),
                token: "1002000".parse().unwrap(),
                max_per_payee: number,
                max_total: number,
                not_before: 1_790_000_000,
                not_after: 1_790_086_400,
                serial: u64::try_from(n).unwrap(),
            },
            &domain,
            &payer,
        )
        .unwrap();
        let granted = n % 2 == 1;
        let signer = if granted { &session } else { &payer };
        let receipt = Receipt {
            payer: payer.address(),
            payee: TO.parse().unwrap(),
            signer: signer.address(),
            vault: Address::ZERO,
            token: "1002000".parse().unwrap(),
            epoch: EpochId::new(i64::MAX).unwrap(),
            since_block: 70_000_000,
            sequence: 17,
            amount: number,
            delivered_bytes: number.unsigned(),
            issued_at: 1_790_000_001,
            grant: if granted {
                Salt::from_bytes(grant.grant.struct_hash())
            } else {
                Salt::ZERO
            },
        };
        let signed = SignedReceipt::sign(receipt, &domain, signer).unwrap();
        let line = ReceiptLine::new(&domain, signed, granted.then_some(grant));
        let file: Value = serde_json::from_str(&line.to_json()).unwrap();

        let mut verify =
            |types: &Value, message: &Value, digest: [u8; 32], by: &SecretKey, ours: Signature| {
                let question = json!({
                    "domain": for_tronweb(&file["domain"]), "types": types,
                    "value": for_tronweb(message), "signature": format!("0x{ours}"),
                    "address": by.address().to_string(), "key": hex::encode(by.expose_bytes()),
                });
                assert_eq!(
                    tronweb.text("typed_digest", question.clone()),
                    hex::encode(digest)
                );
                assert_eq!(tronweb.ask("verify_typed", question.clone()), true);
                assert_eq!(
                    signature(&tronweb.text("sign_typed", question.clone())),
                    ours
                );
                let mut forged = question;
                forged["value"]["token"] = "1002001".into();
                let refused = tronweb.try_ask("verify_typed", forged).unwrap_err();
                assert!(refused.contains("Signature does not match"), "{refused}");
            };
        verify(
            &receipt_types,
            &file["message"],
            domain.digest(&receipt),
            signer,
            signed.signature,
        );
        if granted {
            verify(
                &grant_types,
                &file["spendGrant"]["message"],
                domain.digest(&grant.grant),
                &payer,
                grant.signature,
            );
        }
        // What TronWeb signed is what the line carries: it verifies here.
        ReceiptLine::parse(&file.to_string())
            .unwrap()
            .verify(1_790_000_001)
            .unwrap();
    }
}

/// The published vectors, whatever made them: TronWeb makes the same again.
#[test]
fn the_vectors_of_the_receipt_domain_are_tronwebs() {
    let mut tronweb = Peer::javascript();
    let file: Value =
        serde_json::from_str(include_str!("../../fixtures/receipts/vectors.json")).unwrap();
    let mut domain = file["domain"].clone();
    domain["salt"] = format!("0x{}", domain["salt"].as_str().unwrap()).into();
    assert_eq!(
        tronweb.text("typed_domain", json!({ "domain": domain })),
        file["domainSeparator"]
    );
    let vectors = file["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 8);
    for vector in vectors {
        let text = |name: &str| vector[name].as_str().unwrap();
        let list = text("encodedType").trim_end_matches(')');
        let (name, list) = list.split_once('(').unwrap();
        assert_eq!(name, text("primaryType"));
        let question = json!({
            "domain": domain, "type": name, "types": { name: fields(list) },
            "value": vector["message"], "signature": format!("0x{}", text("signature")),
            "address": text("signer"), "key": text("privateKey"),
        });
        for (op, expected) in [
            ("typed_struct", text("structHash")),
            ("typed_digest", text("digest")),
            ("sign_typed", text("signature")),
        ] {
            let answer = tronweb.text(op, question.clone());
            assert_eq!(answer, expected, "{op} of {}", vector["name"]);
        }
        assert_eq!(tronweb.ask("verify_typed", question), true);
    }
}

#[test]
fn keystores_open_on_both_sides() {
    let passphrase = "correct horse 电池 staple";
    let (mut javascript, mut python) = (Peer::javascript(), Peer::python());
    let ours = Keystore::encrypt(&secret(KEY), passphrase.as_bytes(), ScryptCost::LIGHT)
        .unwrap()
        .to_json();
    let question = json!({ "keystore": ours, "passphrase": passphrase });
    assert_eq!(javascript.text("keystore_decrypt", question.clone()), KEY);
    assert_eq!(python.text("keystore_decrypt", question), KEY);

    let question = |kdf| json!({ "key": KEY, "passphrase": passphrase, "kdf": kdf });
    for theirs in [
        javascript.text("keystore_encrypt", question("scrypt")),
        python.text("keystore_encrypt", question("scrypt")),
        python.text("keystore_encrypt", question("pbkdf2")),
    ] {
        let keystore = Keystore::from_json(&theirs).unwrap();
        let opened = keystore.decrypt(passphrase.as_bytes()).unwrap();
        assert_eq!(
            *opened.expose_bytes(),
            *secret(KEY).expose_bytes(),
            "{theirs}"
        );
        assert!(keystore.decrypt(b"another").is_err());
    }
}
