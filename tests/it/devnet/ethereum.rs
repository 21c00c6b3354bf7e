//! JSON-RPC with unusual parameters, and what Ethereum's tools are told of transactions
//! that are no payments, as `TronJsonRpcImpl.java` and `JsonRpcApiUtil.java` have it.

use seedrail::devnet::Devnet;
use serde_json::{Value, json};

use super::{
    committee::{devnet, done},
    http::{post, result, rpc},
};

async fn refusal(devnet: &Devnet, method: &str, params: Value) -> (i64, String) {
    let answer = rpc(devnet, "/jsonrpc", method, params.clone()).await;
    let error = &answer["error"];
    assert!(error.is_object(), "{method} {params}: {answer}");
    let message = error["message"].as_str().unwrap();
    (error["code"].as_i64().unwrap(), message.to_owned())
}

async fn told(devnet: &Devnet, method: &str, params: Value) -> Value {
    result(devnet, "/jsonrpc", method, params).await
}

fn hex_of(devnet: &Devnet, who: usize) -> String {
    format!("0x{}", &devnet.accounts()[who].address.to_hex()[2..])
}

#[tokio::test]
async fn blocks_are_named_by_tags_in_any_case_by_hex_and_by_decimals() {
    let devnet = devnet().await;
    devnet.mine(11);
    let number = async |tag: &str| {
        let block = told(&devnet, "eth_getBlockByNumber", json!([tag, false])).await;
        block["number"].as_str().map(str::to_owned)
    };
    assert_eq!(number("LATEST").await.as_deref(), Some("0xc"));
    assert_eq!(number("Earliest").await.as_deref(), Some("0x0"));
    assert_eq!(number("0xa").await.as_deref(), Some("0xa"));
    assert_eq!(number("10").await.as_deref(), Some("0xa"));
    assert_eq!(number("+10").await.as_deref(), Some("0xa"));
    assert_eq!(number("-1").await, None);
    assert_eq!(number("0xffffffffffffffffffff").await, None);
    // The low 64 bits count.
    assert_eq!(number("0x1000000000000000a").await.as_deref(), Some("0xa"));
    let wrong = (-32602, "invalid block number".to_owned());
    for tag in ["", "0x", "a", "1.0", "safe"] {
        let params = json!([tag, false]);
        assert_eq!(
            refusal(&devnet, "eth_getBlockByNumber", params).await,
            wrong,
            "{tag}"
        );
    }
    let me = hex_of(&devnet, 0);
    let balance = told(&devnet, "eth_getBalance", json!([me, "Latest"])).await;
    assert!(balance.as_str().unwrap().starts_with("0x"));
    for (tag, words) in [
        (
            "EARLIEST",
            "TAG [earliest | pending | finalized] not supported",
        ),
        ("12", "QUANTITY not supported, just support TAG as latest"),
        ("safe", "invalid block number"),
    ] {
        let params = json!([me, tag]);
        let expected = (-32602, words.to_owned());
        assert_eq!(
            refusal(&devnet, "eth_getBalance", params).await,
            expected,
            "{tag}"
        );
    }
}

#[tokio::test]
async fn calls_and_estimates_say_what_is_wrong_with_their_parameters() {
    let devnet = devnet().await;
    let (me, other) = (hex_of(&devnet, 0), hex_of(&devnet, 1));
    let not_hex = "exception decoding Hex string: invalid characters encountered in Hex string";
    let head = devnet.block(devnet.head_number()).unwrap().id();
    let missing = "Smart contract is not exist.";
    for (block, code, words) in [
        (json!({ "blockNumber": "0x0" }), -32600, missing),
        (json!({ "blockHash": format!("0x{head}") }), -32600, missing),
        (
            json!({ "blockNumber": "0xffff" }),
            -32000,
            "header not found",
        ),
        (
            json!({ "blockHash": "7".repeat(64) }),
            -32000,
            "header for hash not found",
        ),
        (
            json!({ "blockHash": "7".repeat(63) }),
            -32602,
            "invalid hash value",
        ),
        (json!({ "blockHash": "z".repeat(64) }), -32602, not_hex),
        (
            json!({ "blockNumber": "x" }),
            -32602,
            "invalid block number",
        ),
        (json!({}), -32600, "invalid json request"),
        (json!(5), -32600, "invalid json request"),
    ] {
        let params = json!([{ "to": other }, block]);
        let expected = (code, words.to_owned());
        assert_eq!(
            refusal(&devnet, "eth_call", params).await,
            expected,
            "{block}"
        );
    }
    for (call, code, words) in [
        (json!({ "to": other, "data": "0xzz" }), -32001, not_hex),
        (
            json!({ "to": other, "value": "5" }),
            -32602,
            "invalid param value: invalid hex number",
        ),
    ] {
        let params = json!([call, "latest"]);
        let expected = (code, words.to_owned());
        assert_eq!(
            refusal(&devnet, "eth_call", params).await,
            expected,
            "{call}"
        );
    }
    for (call, code, words) in [
        (
            json!({ "from": me, "to": other }),
            -32600,
            "invalid json request: invalid value",
        ),
        (
            json!({ "from": me, "to": other, "value": "0x0" }),
            -32600,
            "Amount must be greater than 0.",
        ),
        (
            json!({ "from": me, "to": me, "value": "0x1" }),
            -32600,
            "Cannot transfer TRX to yourself.",
        ),
        (
            json!({ "from": me, "to": other, "data": "0xzz", "value": "0x1" }),
            -32000,
            not_hex,
        ),
    ] {
        let expected = (code, words.to_owned());
        assert_eq!(
            refusal(&devnet, "eth_estimateGas", json!([call])).await,
            expected,
            "{call}"
        );
    }
    let call = json!({ "from": me, "to": other, "value": "0x1" });
    assert_eq!(told(&devnet, "eth_estimateGas", json!([call])).await, "0x0");
    // What is in no block is not looked for in it.
    let nothing = told(
        &devnet,
        "eth_getTransactionByBlockNumberAndIndex",
        json!(["0xffff", "x"]),
    );
    assert_eq!(nothing.await, Value::Null);
    let params = json!(["0x0", "1"]);
    let wrong = (-32602, "invalid index value".to_owned());
    let method = "eth_getTransactionByBlockNumberAndIndex";
    assert_eq!(refusal(&devnet, method, params).await, wrong);
}

#[tokio::test]
async fn what_is_no_payment_has_a_receiver_and_a_value_too() {
    let devnet = devnet().await;
    let send = async |who: usize, path: &str, more: Value| {
        let mut body = json!({ "owner_address": devnet.accounts()[who].address, "visible": true });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let built = post(&devnet, &format!("/wallet/{path}"), body).await;
        let sent = post(&devnet, "/wallet/broadcasttransaction", built).await;
        assert_eq!(sent["result"], true, "{path}: {sent}");
        devnet.mine(1);
        let id = format!("0x{}", sent["txid"].as_str().unwrap());
        let told = told(&devnet, "eth_getTransactionByHash", json!([id])).await;
        (
            told["to"].clone(),
            told["value"].as_str().unwrap().to_owned(),
        )
    };
    let witness = devnet.accounts()[1].address;
    let became = send(1, "createwitness", json!({ "url": "a" })).await;
    assert_eq!(became, (Value::Null, format!("{:#x}", 9_999_000_000u64)));
    done(
        &devnet,
        0,
        "freezebalancev2",
        json!({ "frozen_balance": 50_000_000 }),
    )
    .await;
    let votes = json!({ "votes": [{ "vote_address": witness, "vote_count": 7 }] });
    let voted = send(0, "votewitnessaccount", votes).await;
    assert_eq!(voted, (json!(hex_of(&devnet, 1)), "0x7".to_owned()));
    let lent = json!({
        "balance": 1_000_000, "receiver_address": devnet.accounts()[2].address, "resource": "BANDWIDTH",
    });
    let lent = send(0, "delegateresource", lent).await;
    assert_eq!(lent, (json!(hex_of(&devnet, 2)), "0x0".to_owned()));
    let unstaked = json!({ "unfreeze_balance": 2_000_000 });
    assert_eq!(send(0, "unfreezebalancev2", unstaked).await.1, "0x0");
    let cancelled = send(0, "cancelallunfreezev2", json!({})).await;
    assert_eq!(cancelled, (Value::Null, format!("{:#x}", 2_000_000)));
    let both = json!({
        "first_token_id": "_", "first_token_balance": 1_000_000,
        "second_token_id": "1002000", "second_token_balance": 1_000_000,
    });
    let made = send(0, "exchangecreate", both).await;
    assert_eq!(made.1, format!("{:#x}", 1_024_000_000));
    let more = json!({ "exchange_id": 1, "token_id": "_", "quant": 500 });
    assert_eq!(send(0, "exchangeinject", more).await.1, "0x1f4");
}
