//! What is refused is refused by name, whichever way it came in.

use seedrail::{
    devnet::{Devnet, Pace},
    tron::{
        keys::{SecretKey, SignRequest, Signer as _},
        proto::Writer,
        transaction::Transaction,
    },
    types::TxId,
};
use serde_json::{Value, json};

use super::http::post;

async fn devnet() -> Devnet {
    let devnet = Devnet::builder().pace(Pace::Manual).start().await.unwrap();
    devnet.mine(1);
    devnet
}

/// A transaction with one contract of any type, signed by the first account.
fn signed(devnet: &Devnet, number: i64, name: &str, value: &[u8]) -> Transaction {
    let head = devnet.block(devnet.head_number()).unwrap();
    let id = head.id();
    let mut any = Writer::new();
    any.bytes(1, format!("type.googleapis.com/protocol.{name}").as_bytes())
        .bytes(2, value);
    let mut contract = Writer::new();
    contract.int64(1, number).element(2, any.as_bytes());
    let mut raw = Writer::new();
    raw.bytes(1, &id.as_bytes()[6..8])
        .bytes(4, &id.as_bytes()[8..16])
        .int64(8, head.header.timestamp.0 + 60_000)
        .element(11, contract.as_bytes());
    signed_by(&devnet.accounts()[0].key, raw.into_bytes())
}

/// Signed whatever it is: the crate itself signs only what it can read.
fn signed_by(key: &SecretKey, raw: Vec<u8>) -> Transaction {
    let request = SignRequest::Transaction { raw_data: &raw };
    let signature = key.sign_request(&request).unwrap().to_bytes().to_vec();
    Transaction::from_parts(raw, vec![signature], Vec::new())
}

fn shown(transaction: &Transaction, name: &str, value: Value) -> Value {
    let raw = transaction.raw_data().unwrap();
    let signatures: Vec<_> = transaction.signatures().iter().map(hex::encode).collect();
    json!({
        "txID": transaction.txid(),
        "raw_data_hex": hex::encode(transaction.raw_bytes()),
        "raw_data": {
            "ref_block_bytes": hex::encode(&raw.ref_block_bytes),
            "ref_block_hash": hex::encode(&raw.ref_block_hash),
            "expiration": raw.expiration.0,
            "contract": [{
                "type": name,
                "parameter": {
                    "type_url": format!("type.googleapis.com/protocol.{name}"),
                    "value": value,
                },
            }],
        },
        "signature": signatures,
    })
}

fn message(answer: &Value) -> String {
    let text = answer["message"].as_str().unwrap_or_default();
    match hex::decode(text) {
        Ok(bytes) => String::from_utf8(bytes).unwrap(),
        Err(_) => text.to_owned(),
    }
}

#[tokio::test]
async fn a_contract_that_is_not_executed_is_refused_by_name_with_its_own_id() {
    let devnet = devnet().await;
    let owner = devnet.accounts()[0].address.to_bytes();
    let mut shielded = Writer::new();
    shielded.bytes(1, &owner).int64(2, 5);
    let json = json!({ "transparent_from_address": hex::encode(owner), "from_amount": 5 });
    let name = "ShieldedTransferContract";
    let transaction = signed(&devnet, 51, name, shielded.as_bytes());
    let body = shown(&transaction, name, json);
    let expected =
        format!("Contract validate error : contract type {name} is not executed by this node");

    let answer = post(&devnet, "/wallet/broadcasttransaction", body.clone()).await;
    assert_eq!(answer["code"], "CONTRACT_VALIDATE_ERROR", "{answer}");
    assert_eq!(message(&answer), expected);
    let txid: TxId = answer["txid"].as_str().unwrap().parse().unwrap();
    assert_eq!(txid, transaction.txid());

    let hex = json!({ "transaction": hex::encode(transaction.encode()) });
    let answer = post(&devnet, "/wallet/broadcasthex", hex).await;
    assert_eq!(answer["code"], "CONTRACT_VALIDATE_ERROR", "{answer}");
    assert_eq!(message(&answer), expected);

    let answer = post(&devnet, "/wallet/getsignweight", body).await;
    let shown = &answer["transaction"]["transaction"];
    assert_eq!(shown["txID"], transaction.txid().to_string(), "{answer}");
    assert_eq!(shown["raw_data"]["contract"][0]["type"], name);
    // A stranger's signature does not hide the reason.
    let stranger = SecretKey::from_hex(&"07".repeat(32)).unwrap();
    let other = signed_by(&stranger, transaction.raw_bytes().to_vec());
    let hex = json!({ "transaction": hex::encode(other.encode()) });
    let answer = post(&devnet, "/wallet/broadcasthex", hex).await;
    assert_eq!(message(&answer), expected);
}

/// Bit 54 and its neighbours: stake 2.0 came with votes of the committee that added
/// them to what a default active permission may sign.
#[tokio::test]
async fn a_default_active_permission_may_stake_as_on_mainnet() {
    let devnet = devnet().await;
    let fresh = SecretKey::from_hex(&"09".repeat(32)).unwrap().address();
    let one = seedrail::types::RawAmount::new(1_000_000).unwrap();
    devnet
        .fund(fresh, seedrail::types::Token::Trx, one)
        .unwrap();
    let body = json!({ "address": fresh, "visible": true });
    let account = post(&devnet, "/wallet/getaccount", body).await;
    let operations = "7fff1fc0033ec30f".to_owned() + &"0".repeat(48);
    assert_eq!(account["active_permission"][0]["operations"], operations);

    let me = devnet.accounts()[0].address;
    let key = json!([{ "address": me, "weight": 1 }]);
    let permission = json!({
        "owner_address": me, "visible": true,
        "owner": { "type": 0, "permission_name": "owner", "threshold": 1, "keys": key },
        "actives": [{ "type": 2, "permission_name": "active", "threshold": 1, "operations": operations, "keys": key }],
    });
    let built = post(&devnet, "/wallet/accountpermissionupdate", permission).await;
    assert!(built.get("txID").is_some(), "{built}");
}

/// A type that has no message here is kept as it was sent, and refused by its name.
#[tokio::test]
async fn a_contract_without_a_message_here_keeps_the_id_it_was_sent_with() {
    let devnet = devnet().await;
    let name = "ShieldedTransferContract";
    let transaction = signed(&devnet, 51, name, b"\x10\x05");
    let body = shown(&transaction, name, json!({ "from_amount": 5 }));
    let answer = post(&devnet, "/wallet/broadcasttransaction", body.clone()).await;
    assert_eq!(answer["txid"], transaction.txid().to_string(), "{answer}");
    assert!(message(&answer).contains(name), "{answer}");
    let answer = post(&devnet, "/wallet/getsignweight", body).await;
    let shown = &answer["transaction"]["transaction"];
    assert_eq!(shown["txID"], transaction.txid().to_string(), "{answer}");
}

#[tokio::test]
async fn an_unlocked_account_needs_no_signature_until_it_is_locked() {
    let devnet = devnet().await;
    let (me, to) = (devnet.accounts()[0].address, devnet.accounts()[1].address);
    let build = json!({ "owner_address": me, "to_address": to, "amount": 5, "visible": true });
    devnet.unlock(&[me]).unwrap();
    let built = post(&devnet, "/wallet/createtransaction", build.clone()).await;
    let answer = post(&devnet, "/wallet/broadcasttransaction", built).await;
    assert_eq!(answer["result"], true, "{answer}");
    let lock = json!({ "addresses": [me] });
    assert!(post(&devnet, "/devnet/lock", lock).await["head"].is_u64());
    let mut built = post(&devnet, "/wallet/createtransaction", build).await;
    built["raw_data"]["timestamp"] = 7.into();
    let answer = post(&devnet, "/wallet/broadcasttransaction", built).await;
    assert_eq!(answer["code"], "SIGERROR", "{answer}");
}

#[tokio::test]
async fn stake_of_the_rest_of_the_network_leaves_a_share_to_stake_here() {
    let genesis = r#"{"network_stake": {"bandwidth_trx": 999, "energy_trx": 3}}"#;
    let builder = Devnet::builder().pace(Pace::Manual);
    let devnet = builder
        .genesis_json(genesis)
        .unwrap()
        .start()
        .await
        .unwrap();
    let me = devnet.accounts()[0].address;
    devnet.unlock(&[me]).unwrap();
    for resource in ["BANDWIDTH", "ENERGY"] {
        let stake = json!({
            "owner_address": me, "frozen_balance": 1_000_000, "resource": resource, "visible": true,
        });
        let built = post(&devnet, "/wallet/freezebalancev2", stake).await;
        let answer = post(&devnet, "/wallet/broadcasttransaction", built).await;
        assert_eq!(answer["result"], true, "{answer}");
    }
    devnet.mine(1);
    let body = json!({ "address": me, "visible": true });
    let has = post(&devnet, "/wallet/getaccountresource", body).await;
    assert_eq!(has["NetLimit"], 43_200_000, "{has}");
    assert_eq!(has["EnergyLimit"], 45_000_000_000_i64);
    for wrong in [
        "{\"network_stake\": {\"energy_trx\": -1}}",
        "{\"network_stake\": 1}",
    ] {
        assert!(Devnet::builder().genesis_json(wrong).is_err());
    }
}

/// The path that Ethereum's wallets use, and the address they show for the phrase.
#[tokio::test]
async fn accounts_may_be_elsewhere_in_the_phrases_tree() {
    let builder = Devnet::builder().pace(Pace::Manual);
    let devnet = builder.hd_path("m/44'/60'/0'/0").start().await.unwrap();
    let first = devnet.accounts()[0].address.to_hex();
    assert_eq!(first, "41f39fd6e51aad88f6f4ce6ab8827279cfffb92266");
    let wrong = Devnet::builder().hd_path("44/60");
    assert!(wrong.start().await.is_err());
}
