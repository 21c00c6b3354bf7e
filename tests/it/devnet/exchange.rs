//! Exchanges of two tokens, through HTTP.

use seedrail::devnet::Devnet;
use serde_json::{Value, json};

use super::{
    committee::{account, devnet, devnet_with, done, refused},
    http::{get, post},
};

/// BTT's id.
const BTT: &str = "1002000";

/// The first exchange: 1,000 TRX and 10,000,000 units.
async fn create(devnet: &Devnet) {
    let both = json!({
        "first_token_id": "_", "first_token_balance": 1_000_000_000,
        "second_token_id": BTT, "second_token_balance": 10_000_000,
    });
    done(devnet, 0, "exchangecreate", both).await;
    devnet.mine(1);
}

async fn shown(devnet: &Devnet) -> Value {
    let asked = json!({ "id": 1, "visible": true });
    post(devnet, "/wallet/getexchangebyid", asked).await
}

async fn balances(devnet: &Devnet, who: usize) -> (i64, i64) {
    let account = account(devnet, who).await;
    let tokens = account["assetV2"].as_array().unwrap().iter();
    let btt = tokens.clone().find(|entry| entry["key"] == BTT).unwrap();
    (
        account["balance"].as_i64().unwrap(),
        btt["value"].as_i64().unwrap(),
    )
}

#[tokio::test]
async fn an_exchange_is_made_filled_used_and_emptied() {
    let devnet = devnet().await;
    let before = balances(&devnet, 0).await;
    create(&devnet).await;
    let after = balances(&devnet, 0).await;
    // It costs 1,024 TRX to make one.
    assert_eq!(before.0 - after.0, 1_024_000_000 + 1_000_000_000);
    assert_eq!(before.1 - after.1, 10_000_000);
    let exchange = shown(&devnet).await;
    let mut expected = json!({
        "exchange_id": 1,
        "creator_address": devnet.accounts()[0].address,
        "create_time": exchange["create_time"],
        "first_token_id": "_", "first_token_balance": 1_000_000_000,
        "second_token_id": BTT, "second_token_balance": 10_000_000,
    });
    assert_eq!(exchange, expected);
    for (path, asked) in [
        (
            "/wallet/getpaginatedexchangelist",
            json!({ "limit": 5, "visible": true }),
        ),
        ("/wallet/listexchanges?visible=true", json!({})),
        ("/walletsolidity/listexchanges?visible=true", json!({})),
    ] {
        devnet.mine(1);
        let list = post(&devnet, path, asked).await;
        assert_eq!(list, json!({ "exchanges": [expected] }), "{path}");
    }
    let hex = get(&devnet, "/wallet/getexchangebyid?id=1").await;
    assert_eq!(hex["second_token_id"], hex::encode(BTT));
    assert_eq!(
        hex["creator_address"],
        devnet.accounts()[0].address.to_hex()
    );
    let beyond = json!({ "offset": 1, "limit": 5 });
    let list = post(&devnet, "/wallet/getpaginatedexchangelist", beyond).await;
    assert_eq!(list, json!({}));

    let half = json!({ "exchange_id": 1, "token_id": "_", "quant": 500_000_000 });
    done(&devnet, 0, "exchangeinject", half.clone()).await;
    expected["first_token_balance"] = json!(1_500_000_000);
    expected["second_token_balance"] = json!(15_000_000);
    devnet.mine(1);
    assert_eq!(shown(&devnet).await, expected);
    done(&devnet, 0, "exchangewithdraw", half).await;
    expected["first_token_balance"] = json!(1_000_000_000);
    expected["second_token_balance"] = json!(10_000_000);
    devnet.mine(1);
    assert_eq!(shown(&devnet).await, expected);

    // 10 TRX of 1,000: a little less than a hundredth of what is there.
    let before = balances(&devnet, 1).await;
    let body = json!({
        "owner_address": devnet.accounts()[1].address, "visible": true,
        "exchange_id": 1, "token_id": "_", "quant": 10_000_000, "expected": 1,
    });
    let built = post(&devnet, "/wallet/exchangetransaction", body).await;
    let sent = post(&devnet, "/wallet/broadcasttransaction", built).await;
    assert_eq!(sent["result"], true, "{sent}");
    devnet.mine(1);
    let info = json!({ "value": sent["txid"] });
    let info = post(&devnet, "/wallet/gettransactioninfobyid", info).await;
    assert_eq!(info["exchange_received_amount"], 99_009, "{info}");
    let after = balances(&devnet, 1).await;
    assert_eq!(
        (before.0 - after.0, after.1 - before.1),
        (10_000_000, 99_009)
    );
    expected["first_token_balance"] = json!(1_010_000_000);
    expected["second_token_balance"] = json!(9_900_991);
    assert_eq!(shown(&devnet).await, expected);
}

/// The formula in decimals, of java-tron 4.8.2: the same here but for what is out of all
/// proportion.
#[tokio::test]
async fn an_exchange_counts_in_decimals_where_the_chain_says_so() {
    let devnet = devnet_with(&[("getAllowHardenExchangeCalculation", 1)]).await;
    create(&devnet).await;
    let trade = |quant: i64, expected: i64| json!({ "exchange_id": 1, "token_id": "_", "quant": quant, "expected": expected });
    let words = "token required must greater than expected";
    let much = trade(10_000_000, 99_010);
    refused(&devnet, 1, "exchangetransaction", much, words).await;
    done(&devnet, 1, "exchangetransaction", trade(10_000_000, 99_009)).await;
    devnet.mine(1);
    assert_eq!(shown(&devnet).await["second_token_balance"], 9_900_991);
}

#[tokio::test]
async fn what_an_exchange_cannot_do_is_refused_in_the_nodes_words() {
    let devnet = devnet().await;
    let create_with = |more: Value| {
        let mut both = json!({
            "first_token_id": "_", "first_token_balance": 1_000_000_000,
            "second_token_id": BTT, "second_token_balance": 10_000_000,
        });
        for (name, value) in more.as_object().unwrap() {
            both[name] = value.clone();
        }
        both
    };
    for (more, words) in [
        (
            json!({ "first_token_id": "x" }),
            "first token id is not a valid number",
        ),
        (
            json!({ "second_token_id": "01" }),
            "second token id is not a valid number",
        ),
        (
            json!({ "second_token_id": "_" }),
            "cannot exchange same tokens",
        ),
        (
            json!({ "first_token_balance": 0 }),
            "token balance must greater than zero",
        ),
        (
            json!({ "second_token_balance": -1 }),
            "token balance must greater than zero",
        ),
        (
            json!({ "second_token_balance": 1_000_000_000_000_001i64 }),
            "token balance must less than 1000000000000000",
        ),
        (
            json!({ "first_token_balance": 999_999_999_999_999i64 }),
            "balance is not enough",
        ),
        (
            json!({ "second_token_id": "1" }),
            "second token balance is not enough",
        ),
    ] {
        refused(&devnet, 0, "exchangecreate", create_with(more), words).await;
    }
    create(&devnet).await;
    let act = |token: &str, quant: i64| json!({ "exchange_id": 1, "token_id": token, "quant": quant, "expected": 1 });
    let stranger = format!(
        "account[{}] is not creator",
        devnet.accounts()[1].address.to_hex()
    );
    for path in ["exchangeinject", "exchangewithdraw"] {
        refused(&devnet, 1, path, act("_", 5), &stranger).await;
        refused(
            &devnet,
            0,
            path,
            act("x", 5),
            "token id is not a valid number",
        )
        .await;
    }
    for (path, more, words) in [
        ("exchangeinject", act("1", 5), "token id is not in exchange"),
        (
            "exchangeinject",
            act("_", 0),
            "injected token quant must greater than zero",
        ),
        (
            "exchangeinject",
            act("_", 99),
            "the calculated token quant  must be greater than 0",
        ),
        (
            "exchangeinject",
            act("_", 1_000_000_000_000_000),
            "token balance must less than 1000000000000000",
        ),
        ("exchangewithdraw", act("1", 5), "token is not in exchange"),
        (
            "exchangewithdraw",
            act("_", 0),
            "withdraw token quant must greater than zero",
        ),
        (
            "exchangewithdraw",
            act("_", 1_000_000_001),
            "exchange balance is not enough",
        ),
        (
            "exchangewithdraw",
            act("_", 99),
            "withdraw another token quant must greater than zero",
        ),
        ("exchangewithdraw", act("_", 150), "Not precise enough"),
        (
            "exchangetransaction",
            act("1", 5),
            "token is not in exchange",
        ),
        (
            "exchangetransaction",
            act("_", 0),
            "token quant must greater than zero",
        ),
        (
            "exchangetransaction",
            act("_", 1),
            "token required must greater than expected",
        ),
    ] {
        refused(&devnet, 0, path, more, words).await;
    }
    let mut greedy = act("_", 10_000_000);
    greedy["expected"] = json!(99_010);
    let words = "token required must greater than expected";
    refused(&devnet, 0, "exchangetransaction", greedy, words).await;
    let mut free = act("_", 10_000_000);
    free["expected"] = json!(0);
    let words = "token expected must greater than zero";
    refused(&devnet, 0, "exchangetransaction", free, words).await;
    // Emptied, it is closed.
    done(&devnet, 0, "exchangewithdraw", act("_", 1_000_000_000)).await;
    devnet.mine(1);
    let words = "the exchange has been closed";
    for path in ["exchangeinject", "exchangewithdraw", "exchangetransaction"] {
        refused(&devnet, 0, path, act("_", 5), words).await;
    }
}
