//! What tools ask for beside payments: java-tron's JSON-RPC and its answers where there
//! are no contracts, and what TronBox's runtime and TronGrid have at places of their own.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use seedrail::{
    devnet::{Builder, Devnet, Event, Pace},
    tron::keys::SecretKey,
    types::{ManualClock, UnixMs},
};
use serde_json::{Value, json};

use super::http::{get, post, result, rpc, send};

/// The session's key N: the number, as 32 bytes.
fn key(number: u8) -> SecretKey {
    let mut bytes = [0; 32];
    bytes[31] = number;
    SecretKey::from_bytes(&bytes).unwrap()
}

/// The chain on which contracts and JSON-RPC were recorded, as it began.
fn recorded_chain() -> Builder {
    let address = |text: &str| text.parse().unwrap();
    let sun = address("41ef1bd15b5b657f69611b053a6f4fcd7268a50858");
    let black_hole = address("4177944d19c052b73ee2286823aa83f8138cb7032f");
    Devnet::builder()
        .pace(Pace::Manual)
        .clock(Arc::new(ManualClock::new(UnixMs(0))))
        .accounts(0)
        .without_btt()
        .configured_operations()
        .genesis_time(UnixMs(0))
        .witness(key(3))
        .genesis_account("Zion", key(1).address(), 99_000_000_000_000_000)
        .genesis_account("Sun", sun, 0)
        .genesis_account("Blackhole", black_hole, i64::MIN)
}

fn fixture(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tron");
    serde_json::from_slice(&std::fs::read(path.join(name)).unwrap()).unwrap()
}

/// Recordings of a folder whose answers are the same here, and those that hang on what
/// only that chain has.
const JSON_RPC: (usize, usize) = (120, 157);
const ABSENT: usize = 24;

#[tokio::test]
async fn recorded_json_rpc_is_answered_the_same() {
    let devnet = recorded_chain().start().await.unwrap();
    devnet.mine(1);
    let recorded = fixture("jsonrpc.json");
    let (mut equal, mut wrong) = (0, Vec::new());
    for case in recorded["cases"].as_array().unwrap() {
        let body = case["body"].as_str().unwrap();
        let (status, text) = send(&devnet, "POST", "/jsonrpc", body).await;
        let ours = match text.trim() {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap(),
        };
        match status == 200 && ours == case["response"] {
            true => equal += 1,
            false => wrong.push(format!("{}: {ours}", case["case"])),
        }
    }
    let missing = recorded["missing"].as_array().unwrap().len();
    println!("JSON-RPC: {equal} equal, 0 masked, {missing} missing");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!((equal, missing), JSON_RPC);
}

#[tokio::test]
async fn recorded_questions_for_contracts_that_are_not_there_are_answered_the_same() {
    let devnet = recorded_chain().start().await.unwrap();
    let recorded = fixture("absent.json");
    let (mut equal, mut wrong) = (0, Vec::new());
    for case in recorded["cases"].as_array().unwrap() {
        let (path, body) = (
            case["path"].as_str().unwrap(),
            case["body"].as_str().unwrap(),
        );
        let (_, text) = send(&devnet, "POST", path, body).await;
        let ours: Value = serde_json::from_str(&text).unwrap();
        match ours == case["response"] {
            true => equal += 1,
            false => wrong.push(format!(
                "{}: {ours}, not {}",
                case["case"], case["response"]
            )),
        }
    }
    println!("absent contracts: {equal} equal, 0 masked, 0 missing");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(equal, ABSENT);
}

#[tokio::test]
async fn a_chain_without_contracts_and_exchanges_answers_in_json() {
    let devnet = Devnet::builder().pace(Pace::Manual).start().await.unwrap();
    let me = devnet.accounts()[0].address;
    for path in [
        "listproposals",
        "getproposalbyid",
        "getpaginatedproposallist",
        "listexchanges",
        "getexchangebyid",
        "getpaginatedexchangelist",
        "getmarketorderbyaccount",
        "getmarketorderbyid",
        "getmarketpricebypair",
        "getmarketorderlistbypair",
        "getmarketpairlist",
        "getcontract",
        "getcontractinfo",
    ] {
        let asked = json!({ "id": 1, "limit": 10 });
        let answer = post(&devnet, &format!("/wallet/{path}"), asked).await;
        assert_eq!(answer, json!({}), "{path}");
    }
    for side in ["wallet", "walletsolidity"] {
        let asked = json!({ "address": me, "visible": true });
        let reward = post(&devnet, &format!("/{side}/getReward"), asked.clone()).await;
        assert_eq!(reward, json!({ "reward": 0 }));
        let brokerage = post(&devnet, &format!("/{side}/getBrokerage"), asked).await;
        assert_eq!(brokerage, json!({ "brokerage": 20 }));
    }
    let owner = |more: Value| {
        let mut body = json!({ "owner_address": me, "visible": true });
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    };
    for (path, more, words) in [
        (
            "freezebalance",
            json!({}),
            "freeze v2 is open, old freeze is closed",
        ),
        ("unfreezebalance", json!({}), "no frozenBalance(BANDWIDTH)"),
        (
            "exchangeinject",
            json!({ "exchange_id": 7 }),
            "Exchange[7] not exists",
        ),
        (
            "exchangewithdraw",
            json!({ "exchange_id": 7 }),
            "Exchange[7] not exists",
        ),
        (
            "exchangetransaction",
            json!({ "exchange_id": 7 }),
            "Exchange[7] not exists",
        ),
        (
            "marketsellasset",
            json!({}),
            "Not support Market Transaction",
        ),
        (
            "marketcancelorder",
            json!({}),
            "Not support Market Transaction",
        ),
        (
            "getnewshieldedaddress",
            json!({}),
            "ShieldedTransactionApi is not allowed",
        ),
    ] {
        let answer = post(&devnet, &format!("/wallet/{path}"), owner(more)).await;
        let error = answer["Error"].as_str().unwrap_or_default();
        assert!(error.contains(words), "{path}: {answer}");
    }
}

#[tokio::test]
async fn the_runtime_of_tronbox_is_found_where_its_tools_look() {
    let builder = Devnet::builder().instant().idle_blocks(false);
    let devnet = builder.start().await.unwrap();
    let [alice, bob, ..] = devnet.accounts() else {
        panic!("there are ten");
    };
    let call = async |name: &str, params: Value| result(&devnet, "/tre", name, params).await;
    assert!(call("tre_version", json!([])).await.is_string());
    let accounts = get(&devnet, "/admin/accounts-json").await;
    assert_eq!(accounts["privateKeys"].as_array().unwrap().len(), 10);
    let first = hex::encode(alice.key.expose_bytes().as_slice());
    assert_eq!(accounts["privateKeys"][0], first);
    let (_, text) = send(&devnet, "GET", "/admin/accounts", "").await;
    assert!(
        text.contains(&first) && text.contains(&alice.address.to_string()),
        "{text}"
    );
    let path = "/admin/temporary-accounts-generation?accounts=3";
    assert_eq!(
        get(&devnet, path).await["privateKeys"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    let more = get(&devnet, "/admin/accounts-json").await;
    let made = SecretKey::from_hex(more["more"][0]["privateKeys"][2].as_str().unwrap()).unwrap();
    let held = devnet.balance(made.address(), seedrail::types::Token::Trx);
    assert_eq!(held.get(), 10_000_000_000);
    let too_many = get(
        &devnet,
        "/admin/temporary-accounts-generation?accounts=1001",
    )
    .await;
    assert!(too_many["error"].is_string(), "{too_many}");

    let snapshot = call("tre_snapshot", json!([])).await;
    let head = devnet.head_number();
    call("tre_mine", json!([{ "blocks": 2 }])).await;
    assert_eq!(devnet.head_number(), head + 2);
    assert_eq!(call("tre_revert", json!([snapshot])).await, true);
    assert_eq!(devnet.head_number(), head);
    assert_eq!(call("tre_dropSnapshot", json!([snapshot])).await, true);
    assert_eq!(call("tre_revert", json!([snapshot])).await, false);

    let later = devnet.now().0 + 60_000;
    call("tre_setNextBlockTimestamp", json!([later.to_string()])).await;
    let id = devnet.mine(1);
    let block = devnet.block(devnet.head_number()).unwrap();
    assert_eq!(block.id(), id);
    assert!(block.header.timestamp.0 >= later);

    let pay = json!({
        "owner_address": bob.address, "to_address": alice.address, "amount": 5, "visible": true,
    });
    let built = post(&devnet, "/wallet/createtransaction", pay).await;
    call("tre_impersonateAccount", json!([bob.address])).await;
    let answer = post(&devnet, "/wallet/broadcasttransaction", built.clone()).await;
    assert_eq!(answer["result"], true, "{answer}");
    call("tre_stopImpersonatingAccount", json!([bob.address])).await;
    let answer = post(&devnet, "/wallet/broadcasttransaction", built).await;
    assert_eq!(answer["code"], "SIGERROR", "{answer}");

    assert_eq!(call("anvil_reset", json!([])).await, true);
    assert_eq!(devnet.head_number(), 0);
    let unknown = rpc(&devnet, "/tre", "tre_nothing", json!([])).await;
    assert_eq!(unknown["error"]["code"], -32601, "{unknown}");
    assert!(get(&devnet, "/healthcheck").await["blockID"].is_string());
}

#[tokio::test]
async fn a_phrase_of_ones_own_and_its_keys_are_never_shown() {
    let phrase = "legal winner thank year wave sausage worth useful legal winner thank yellow";
    let devnet = Devnet::builder().mnemonic(phrase).start().await.unwrap();
    let key = hex::encode(devnet.accounts()[0].key.expose_bytes().as_slice());
    for path in ["/admin/accounts-json", "/admin/accounts", "/"] {
        let (_, text) = send(&devnet, "GET", path, "").await;
        assert!(
            !text.contains("winner") && !text.contains(&key),
            "{path}: {text}"
        );
    }
}

#[tokio::test]
async fn trongrids_accounts_and_transactions_come_from_the_chains_own_blocks() {
    let devnet = Devnet::builder().instant().start().await.unwrap();
    let [alice, bob, ..] = devnet.accounts() else {
        panic!("there are ten");
    };
    devnet.unlock(&[alice.address, bob.address]).unwrap();
    for (from, to, amount) in [(alice, bob, 1), (bob, alice, 2), (alice, bob, 3)] {
        let pay = json!({
            "owner_address": from.address, "to_address": to.address, "amount": amount, "visible": true,
        });
        let built = post(&devnet, "/wallet/createtransaction", pay).await;
        let answer = post(&devnet, "/wallet/broadcasttransaction", built).await;
        assert_eq!(answer["result"], true, "{answer}");
    }
    let of = async |query: &str| {
        let path = format!("/v1/accounts/{}/transactions?{query}", bob.address);
        get(&devnet, &path).await
    };
    let amounts = |page: &Value| -> Vec<i64> {
        let data = page["data"].as_array().unwrap();
        let value = |entry: &Value| entry["raw_data"]["contract"][0]["parameter"]["value"].clone();
        data.iter()
            .map(|entry| value(entry)["amount"].as_i64().unwrap())
            .collect()
    };
    assert_eq!(amounts(&of("only_to=true").await)[..2], [3, 1]);
    assert_eq!(amounts(&of("only_from=true").await), [2]);
    let first = of("limit=2").await;
    assert_eq!(amounts(&first), [3, 2]);
    let next = first["meta"]["fingerprint"].as_str().unwrap();
    assert_eq!(
        amounts(&of(&format!("limit=1&fingerprint={next}")).await),
        [1]
    );
    let account = get(&devnet, &format!("/v1/accounts/{}", bob.address)).await;
    assert_eq!(account["data"][0]["address"], bob.address.to_hex());
    assert_eq!(of("limit=0").await["success"], false);
    for path in [
        "contracts/T9yD14Nj9j7xAB4dbGeiX9h8unkKHxuWwb/events",
        "blocks/latest/events",
    ] {
        let events = get(&devnet, &format!("/v1/{path}")).await;
        assert_eq!(
            (&events["data"], &events["success"]),
            (&json!([]), &json!(true))
        );
    }
    assert_eq!(get(&devnet, "/event/transaction/00").await, json!([]));
}

#[tokio::test]
async fn only_a_post_changes_something_and_pages_of_other_sites_change_nothing() {
    let devnet = Devnet::builder().pace(Pace::Manual).start().await.unwrap();
    assert_eq!(send(&devnet, "GET", "/devnet/mine", "").await.0, 405);
    assert_eq!(send(&devnet, "GET", "/devnet/status", "").await.0, 200);
    for (origin, status) in [
        ("https://evil.example", 403),
        ("http://localhost:3000", 200),
    ] {
        let answer = reqwest::Client::new()
            .post(format!("{}/devnet/mine", devnet.url()))
            .header("origin", origin)
            .body("{}")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), status, "{origin}");
        let allowed = answer.headers().get("access-control-allow-origin");
        assert_eq!(allowed.is_some(), status == 200);
    }
    assert_eq!(devnet.head_number(), 1);
}

#[tokio::test]
async fn everything_that_happens_is_told_a_line_each() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&lines);
    let log = move |event: &Event| told.lock().unwrap().push(event.to_string());
    let devnet = Devnet::builder().instant().log(log).start().await.unwrap();
    let [alice, bob, ..] = devnet.accounts() else {
        panic!("there are ten");
    };
    let pay = json!({
        "owner_address": alice.address, "to_address": bob.address, "amount": 5_000_000, "visible": true,
    });
    let built = post(&devnet, "/wallet/createtransaction", pay).await;
    post(&devnet, "/wallet/broadcasttransaction", built.clone()).await;
    devnet.unlock(&[alice.address]).unwrap();
    post(&devnet, "/wallet/broadcasttransaction", built.clone()).await;
    result(&devnet, "/jsonrpc", "eth_blockNumber", json!([])).await;
    let said = lines.lock().unwrap().join("\n");
    let txid = built["txID"].as_str().unwrap();
    let moved = format!(
        "TransferContract {} -> {}, 5 TRX",
        alice.address, bob.address
    );
    for part in [
        "POST /wallet/createtransaction  200, ",
        &format!("refused {txid}\n      {moved}: Validate signature error: miss sig or contract"),
        &format!("{txid}\n      {moved}; done, fee 0 TRX"),
        "1 transaction, 0000",
        "POST /jsonrpc eth_blockNumber  200, ",
    ] {
        assert!(said.contains(part), "{part} is not in:\n{said}");
    }
}

/// The page shows what others chose only escaped.
#[tokio::test]
async fn the_page_has_the_head_and_the_accounts_and_no_script() {
    let devnet = Devnet::builder().start().await.unwrap();
    let (status, page) = send(&devnet, "GET", "/", "").await;
    assert_eq!(status, 200);
    assert!(page.contains(&devnet.accounts()[0].address.to_string()));
    assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("href="));
}
