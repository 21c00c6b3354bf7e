//! Contracts over HTTP: a TRC-20 token from genesis, a contract that is deployed, called,
//! paid for, reverted and read by Ethereum's and TronGrid's ways.

use std::sync::{Arc, Mutex};

use seedrail::{
    devnet::{Devnet, DevnetAccount, Event, Pace, Trc20},
    tron::keys::{SignRequest, Signer},
    types::Address,
};
use serde_json::{Value, json};

use super::http::{get, post, result};

fn usdt() -> Trc20 {
    "USDT:6".parse().unwrap()
}

/// A word of an argument.
fn word(number: u128) -> String {
    format!("{number:064x}")
}

fn of_address(address: &Address) -> String {
    format!("{:0>64}", hex::encode(address.body()))
}

/// Signs what the node built, and sends it; the answer and the transaction's information.
async fn send(devnet: &Devnet, by: &DevnetAccount, mut built: Value) -> (Value, Value) {
    let raw = hex::decode(built["raw_data_hex"].as_str().unwrap()).unwrap();
    let request = SignRequest::Transaction { raw_data: &raw };
    let signature = by.key.sign_request(&request).unwrap();
    built["signature"] = json!([hex::encode(signature.to_transaction_bytes())]);
    let answer = post(devnet, "/wallet/broadcasttransaction", built.clone()).await;
    let id = json!({ "value": built["txID"] });
    let info = post(devnet, "/wallet/gettransactioninfobyid", id).await;
    (answer, info)
}

async fn trigger(
    devnet: &Devnet,
    by: &DevnetAccount,
    contract: &str,
    function: &str,
    parameter: String,
) -> Value {
    let call = json!({
        "owner_address": by.address.to_hex(), "contract_address": contract,
        "function_selector": function, "parameter": parameter, "fee_limit": 100_000_000,
    });
    let answer = post(devnet, "/wallet/triggersmartcontract", call).await;
    assert_eq!(answer["result"]["result"], true, "{answer}");
    answer["transaction"].clone()
}

#[tokio::test]
async fn a_token_from_genesis_is_paid_with() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&lines);
    let builder = Devnet::builder().instant().idle_blocks(false).trc20(usdt());
    let devnet = builder
        .log(move |event: &Event| heard.lock().unwrap().push(event.to_string()))
        .start()
        .await
        .unwrap();
    let [alice, bob, ..] = devnet.accounts() else {
        panic!("there are ten");
    };
    let tokens = devnet.trc20();
    let [(token, at)] = tokens.as_slice() else {
        panic!("there is one");
    };
    assert_eq!((token.symbol(), token.decimals()), ("USDT", 6));
    let contract = at.to_hex();

    // A view is answered at once, a transfer is a transaction.
    let call = json!({
        "owner_address": alice.address.to_hex(), "contract_address": contract,
        "function_selector": "balanceOf(address)", "parameter": of_address(&bob.address),
    });
    let held = post(&devnet, "/wallet/triggerconstantcontract", call.clone()).await;
    let billion = 1_000_000_000_000_000u128;
    assert_eq!(held["constant_result"], json!([word(billion)]), "{held}");
    let sent = format!("{}{}", of_address(&bob.address), word(7));
    let function = "transfer(address,uint256)";
    let built = trigger(&devnet, alice, &contract, function, sent.clone()).await;
    let before = post(&devnet, "/wallet/getburntrx", json!({})).await;
    let (answer, info) = send(&devnet, alice, built).await;
    assert_eq!(answer["result"], true, "{answer}");
    assert_eq!(info["receipt"]["result"], "SUCCESS", "{info}");
    assert_eq!(info["contractResult"], json!([word(1)]));
    assert_eq!(info["log"][0]["address"], hex::encode(at.body()));
    assert_eq!(info["log"][0]["topics"][1], of_address(&alice.address));
    // What was burnt is what the energy and the bytes cost.
    let after = post(&devnet, "/wallet/getburntrx", json!({})).await;
    let burnt = |answer: &Value| answer["burnTrxAmount"].as_i64().unwrap_or_default();
    assert_eq!(
        burnt(&after) - burnt(&before),
        info["fee"].as_i64().unwrap()
    );
    let used = info["receipt"]["energy_usage_total"].as_i64().unwrap();
    assert_eq!(info["receipt"]["energy_fee"], used * 100);
    let held = post(&devnet, "/wallet/triggerconstantcontract", call).await;
    assert_eq!(held["constant_result"], json!([word(billion + 7)]));
    let estimate = json!({
        "owner_address": alice.address.to_hex(), "contract_address": contract,
        "function_selector": function, "parameter": sent,
    });
    let estimate = post(&devnet, "/wallet/estimateenergy", estimate).await;
    let needed = estimate["energy_required"].as_i64().unwrap();
    assert!((used..used + 10_001).contains(&needed), "{used}, {needed}");

    // A failed one is in its block all the same, and the log says why.
    let much = format!("{}{}", of_address(&bob.address), word(billion * 2));
    let built = trigger(&devnet, alice, &contract, function, much).await;
    let (answer, info) = send(&devnet, alice, built).await;
    assert_eq!(answer["result"], true, "{answer}");
    assert_eq!(info["result"], "FAILED", "{info}");
    assert_eq!(info["receipt"]["result"], "REVERT");
    assert!(info.get("log").is_none());
    let told = lines.lock().unwrap().join("\n");
    assert!(
        told.contains("failed, REVERT: balance is too small"),
        "{told}"
    );
    assert!(told.contains(&format!("energy {used}")), "{told}");

    // Ethereum's tools and TronGrid's see the same transfer.
    let filter = json!([{ "fromBlock": "0x1", "toBlock": "latest",
        "address": format!("0x{}", hex::encode(at.body())) }]);
    let logs = result(&devnet, "/jsonrpc", "eth_getLogs", filter).await;
    assert_eq!(logs.as_array().unwrap().len(), 1, "{logs}");
    assert_eq!(logs[0]["data"], format!("0x{}", word(7)));
    let txid = logs[0]["transactionHash"].clone();
    let receipt = result(
        &devnet,
        "/jsonrpc",
        "eth_getTransactionReceipt",
        json!([txid]),
    )
    .await;
    assert_eq!(receipt["status"], "0x1");
    assert_eq!(receipt["logs"][0], logs[0]);
    assert_eq!(receipt["gasUsed"], format!("{used:#x}"));
    for block in [&logs[0]["blockNumber"], &logs[0]["blockHash"]] {
        let all = result(&devnet, "/jsonrpc", "eth_getBlockReceipts", json!([block])).await;
        assert_eq!(all, json!([receipt]));
    }
    for unknown in ["0x0", "0xffff", &format!("0x{}", "ab".repeat(32))] {
        let none = result(
            &devnet,
            "/jsonrpc",
            "eth_getBlockReceipts",
            json!([unknown]),
        )
        .await;
        assert_eq!(none, Value::Null, "{unknown}");
    }
    let ask = json!([{ "to": format!("0x{}", hex::encode(at.body())),
        "data": "0x313ce567" }, "latest"]);
    let decimals = result(&devnet, "/jsonrpc", "eth_call", ask).await;
    assert_eq!(decimals, format!("0x{}", word(6)));
    let events = get(&devnet, &format!("/v1/contracts/{at}/events")).await;
    let event = &events["data"][0];
    assert_eq!(event["event_name"], "Transfer", "{events}");
    assert_eq!(event["result"]["value"], "7");
    let path = format!("/v1/accounts/{}/transactions/trc20?limit=5", bob.address);
    let paid = get(&devnet, &path).await;
    assert_eq!(paid["data"][0]["value"], "7", "{paid}");
    assert_eq!(paid["data"][0]["token_info"]["symbol"], "USDT");
    assert_eq!(paid["data"][0]["from"], alice.address.to_string());
    let held = json!([{ at.to_string(): (billion + 7).to_string() }]);
    let account = get(&devnet, &format!("/v1/accounts/{}", bob.address)).await;
    assert_eq!(account["data"][0]["trc20"], held, "{account}");
    let path = format!("/v1/accounts/{}/trc20/balance", bob.address);
    assert_eq!(get(&devnet, &path).await["data"], held);
    // Who has nothing of a token is not told of it, though the token is asked.
    let path = format!("/v1/accounts/{at}/trc20/balance");
    assert_eq!(get(&devnet, &path).await["data"], json!([]));
}

/// Code that keeps the first word of what it is called with, and gives back what it keeps
/// when it is called with nothing.
const STORE: &str = "36600c575f545f5260205ff35b5f355f5500";

fn deploying(code: &str) -> String {
    let size = code.len() / 2;
    format!("61{size:04x}80600a5f395ff3{code}")
}

#[tokio::test]
async fn a_contract_is_deployed_called_changed_and_taken_back() {
    let devnet = Devnet::builder()
        .instant()
        .idle_blocks(false)
        .start()
        .await
        .unwrap();
    let me = &devnet.accounts()[0];
    let build = json!({
        "owner_address": me.address.to_hex(), "bytecode": deploying(STORE), "abi": "[]",
        "name": "Store", "fee_limit": 100_000_000, "origin_energy_limit": 1_000_000,
        "consume_user_resource_percent": 100,
    });
    let built = post(&devnet, "/wallet/deploycontract", build).await;
    let contract = built["contract_address"].as_str().unwrap().to_owned();
    let (answer, info) = send(&devnet, me, built).await;
    assert_eq!(answer["result"], true, "{answer}");
    assert_eq!(info["contract_address"], contract);
    assert_eq!(info["contractResult"], json!([STORE]), "{info}");
    let told = post(&devnet, "/wallet/getcontract", json!({ "value": contract })).await;
    assert_eq!(told["name"], "Store");
    let told = post(
        &devnet,
        "/wallet/getcontractinfo",
        json!({ "value": contract }),
    )
    .await;
    assert_eq!(told["runtimecode"], STORE);

    let read = async || {
        let call = json!({ "owner_address": me.address.to_hex(), "contract_address": contract });
        let answer = post(&devnet, "/wallet/triggerconstantcontract", call).await;
        answer["constant_result"][0].clone()
    };
    let write = async |data: String| {
        let call = json!({
            "owner_address": me.address.to_hex(), "contract_address": contract,
            "data": data, "fee_limit": 100_000_000,
        });
        let answer = post(&devnet, "/wallet/triggersmartcontract", call).await;
        send(&devnet, me, answer["transaction"].clone()).await.1
    };
    assert_eq!(read().await, word(0));
    let snapshot = devnet.snapshot();
    let info = write(word(5)).await;
    assert_eq!(info["receipt"]["result"], "SUCCESS", "{info}");
    assert_eq!(read().await, word(5));
    let dumped = devnet.dump().unwrap();
    assert!(devnet.revert(snapshot));
    assert_eq!(read().await, word(0));
    // A chain that is made again from its blocks is the same one.
    devnet.load(&dumped).unwrap();
    assert_eq!(read().await, word(5));

    // By hand.
    let slot = json!([contract, "0x0", "0x2a"]);
    let done = result(&devnet, "/tre", "tre_setAccountStorageAt", slot).await;
    assert_eq!(done, true);
    assert_eq!(read().await, word(42));
    let other = json!([contract, "0x60075f5260205ff3"]);
    let done = result(&devnet, "/tre", "tre_setAccountCode", other).await;
    assert_eq!(done, true);
    assert_eq!(read().await, word(7));

    // Its maker alone may change it.
    let setting = json!({
        "owner_address": me.address.to_hex(), "contract_address": contract,
        "consume_user_resource_percent": 30,
    });
    let built = post(&devnet, "/wallet/updatesetting", setting.clone()).await;
    send(&devnet, me, built).await;
    let told = post(&devnet, "/wallet/getcontract", json!({ "value": contract })).await;
    assert_eq!(told["consume_user_resource_percent"], 30);
    let mut foreign = setting;
    foreign["owner_address"] = devnet.accounts()[1].address.to_hex().into();
    let refused = post(&devnet, "/wallet/updatesetting", foreign).await;
    let error = refused["Error"].as_str().unwrap_or_default();
    assert!(
        error.contains("is not the owner of the contract"),
        "{refused}"
    );
}

/// OUT_OF_TIME at an opcode, not by a clock: a replay comes to the same.
#[tokio::test]
async fn a_transaction_is_out_of_time_where_the_chain_says_so() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("chain");
    let start = |opcodes: u64| {
        let builder = Devnet::builder().instant().idle_blocks(false).state(&file);
        builder.transaction_opcodes(opcodes).start()
    };
    let devnet = start(1_000).await.unwrap();
    let me = &devnet.accounts()[0];
    let deploy = async |rounds: u32| {
        let build = json!({
            "owner_address": me.address.to_hex(), "bytecode": countdown(rounds), "abi": "[]",
            "name": "Count", "fee_limit": 100_000_000, "origin_energy_limit": 1_000_000,
        });
        let built = post(&devnet, "/wallet/deploycontract", build).await;
        send(&devnet, me, built).await.1
    };
    assert_eq!(deploy(100).await["receipt"]["result"], "SUCCESS");
    let late = deploy(200).await;
    assert_eq!(late["receipt"]["result"], "OUT_OF_TIME", "{late}");
    assert_eq!(late["resMessage"], hex::encode("Already Time Out"));
    // All that was allowed is paid for.
    assert_eq!(late["receipt"]["energy_usage_total"], 1_000_000);
    // Who only asks is bounded by the clock.
    let call = json!({ "owner_address": me.address.to_hex(), "data": countdown(10_000) });
    let asked = post(&devnet, "/wallet/triggerconstantcontract", call).await;
    assert_eq!(asked["result"]["result"], true, "{asked}");
    let head = devnet.block(devnet.head_number()).unwrap().id();
    drop(devnet);
    assert!(start(999).await.is_err());
    let devnet = start(1_000).await.unwrap();
    assert_eq!(devnet.block(devnet.head_number()).unwrap().id(), head);
}

#[tokio::test]
async fn what_a_contract_prints_and_why_it_reverts_is_told() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&lines);
    let builder = Devnet::builder().instant().idle_blocks(false);
    let devnet = builder
        .log(move |event: &Event| heard.lock().unwrap().push(event.to_string()))
        .start()
        .await
        .unwrap();
    let me = &devnet.accounts()[0];
    // MSTORE of the selector of log(uint256) and of 7, STATICCALL of console.log with both.
    let print = "63f82c50f160e01b5f5260076004525f5f60245f6a636f6e736f6c652e6c6f675afa50";
    // REVERT with a selector of four bytes.
    let revert = "630102030460e01b5f5260045ffd";
    for (code, ends) in [
        (print.to_owned(), "SUCCESS"),
        (format!("{print}{revert}"), "REVERT"),
    ] {
        let build = json!({
            "owner_address": me.address.to_hex(), "bytecode": code, "abi": "[]", "name": "Talk",
            "fee_limit": 100_000_000, "origin_energy_limit": 1_000_000,
        });
        let built = post(&devnet, "/wallet/deploycontract", build).await;
        let (answer, info) = send(&devnet, me, built).await;
        assert_eq!(answer["result"], true, "{answer}");
        assert_eq!(info["receipt"]["result"], ends, "{info}");
    }
    let told = lines.lock().unwrap().join("\n");
    assert_eq!(told.matches("console.log: 7").count(), 2, "{told}");
    assert!(
        told.contains("failed, REVERT: custom error 01020304"),
        "{told}"
    );
}

#[tokio::test]
async fn a_token_is_deployed_by_hand_once() {
    let devnet = Devnet::builder().pace(Pace::Manual).start().await.unwrap();
    let holder = devnet.accounts()[0].address;
    let body = json!({ "symbol": "TEST", "decimals": 18, "holder": holder });
    let deployed = post(&devnet, "/devnet/deploytrc20", body.clone()).await;
    let at: Address = deployed["address"].as_str().unwrap().parse().unwrap();
    let ask = json!([{ "to": format!("0x{}", hex::encode(at.body())),
        "data": "0x18160ddd" }, "latest"]);
    let supply = result(&devnet, "/jsonrpc", "eth_call", ask).await;
    assert_eq!(
        supply,
        format!("0x{}", word(1_000_000_000_000_000_000_000_000_000))
    );
    let again = post(&devnet, "/devnet/deploytrc20", body).await;
    let error = again["error"].as_str().unwrap_or_default();
    assert!(error.contains("is there already"), "{again}");
}

#[tokio::test]
async fn a_call_without_an_end_stops_no_other_request() {
    let devnet = Devnet::builder().pace(Pace::Manual).start().await.unwrap();
    let me = devnet.accounts()[0].address.to_hex();
    // JUMPDEST PUSH0 JUMP
    let spin = json!({ "owner_address": me, "data": "5b5f56" });
    let (spun, head) = tokio::join!(
        post(&devnet, "/wallet/triggerconstantcontract", spin),
        async {
            let begun = std::time::Instant::now();
            let head = get(&devnet, "/wallet/getnowblock").await;
            (head, begun.elapsed())
        }
    );
    let (head, took) = head;
    assert!(head["blockID"].is_string());
    assert!(took < std::time::Duration::from_millis(1_500), "{took:?}");
    let message = spun["result"]["message"].as_str().unwrap();
    let message = String::from_utf8(hex::decode(message).unwrap()).unwrap();
    assert!(
        message.contains("CPU timeout") || message.contains("Not enough energy"),
        "{message}"
    );
}

/// Code that counts down from a number, which takes it seven opcodes each time.
fn countdown(from: u32) -> String {
    // PUSH4 from, JUMPDEST, PUSH1 1, SWAP1, SUB, DUP1, PUSH1 5, JUMPI.
    format!("63{from:08x}5b600190038060055700")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_takes_long_stops_no_other_request() {
    let devnet = Devnet::builder()
        .instant()
        .idle_blocks(false)
        .start()
        .await
        .unwrap();
    let me = &devnet.accounts()[0];
    // JUMPDEST, PUSH0, JUMP: until its energy is used up, in the constructor.
    let build = json!({
        "owner_address": me.address.to_hex(), "bytecode": "5b5f56", "abi": "[]",
        "name": "Spin", "fee_limit": 3_000_000_000u64, "origin_energy_limit": 1_000_000,
        "consume_user_resource_percent": 100,
    });
    let built = post(&devnet, "/wallet/deploycontract", build).await;
    let sending = send(&devnet, me, built);
    tokio::pin!(sending);
    let mut answered = 0;
    let (answer, info) = loop {
        let asking = async {
            for path in ["/wallet/getnowblock", "/wallet/getchainparameters"] {
                post(&devnet, path, json!({})).await;
            }
        };
        tokio::select! {
            sent = &mut sending => break sent,
            () = asking => answered += 1,
        }
    };
    assert_eq!(answer["result"], true, "{answer}");
    assert_eq!(info["receipt"]["result"], "OUT_OF_ENERGY", "{info}");
    assert_eq!(info["receipt"]["energy_usage_total"], 30_000_000);
    // The same questions take a few milliseconds, that transaction seconds.
    assert!(answered >= 10, "{answered} times");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_beyond_those_that_may_wait_are_told_that_the_node_is_busy() {
    const RUNNING_AND_WAITING: usize = 2 + 64;
    let devnet = Devnet::builder().pace(Pace::Manual).start().await.unwrap();
    let me = devnet.accounts()[0].address.to_hex();
    let call = json!({ "owner_address": me, "data": countdown(300_000) });
    let path = "/wallet/triggerconstantcontract";
    let calls = (0..RUNNING_AND_WAITING + 40).map(|_| post(&devnet, path, call.clone()));
    let answers = futures_util::future::join_all(calls).await;
    let told = answers
        .iter()
        .filter(|answer| answer["result"]["code"] == "SERVER_BUSY")
        .count();
    // On a machine that is busy itself, some come to the end of their time.
    let ran = |answer: &&Value| {
        let message = answer["result"]["message"].as_str().unwrap_or_default();
        let ends = ["CPU timeout", "Already Time Out"].map(hex::encode);
        answer["result"]["result"] == true || ends.iter().any(|end| message.contains(end))
    };
    let done = answers.iter().filter(ran).count();
    assert_eq!(told + done, answers.len(), "{answers:?}");
    assert!(
        told > 0 && done >= RUNNING_AND_WAITING,
        "{told} told, {done} done"
    );
    // Afterwards there is room again.
    let call = json!({ "owner_address": me, "data": countdown(3) });
    assert_eq!(post(&devnet, path, call).await["result"]["result"], true);
}
