//! The contract that answers the ids of old blocks, with `AllowTvmPrague`.

use std::time::Duration;

use seedrail::devnet::{Devnet, Pace};
use serde_json::{Value, json};

use super::{
    committee::{self, done, refused},
    http::post,
};

const HISTORY: &str = "T9yEAebSu94c1ndzJa1rpPtrjXBXp2FCMV";

fn call(devnet: &Devnet, data: &str) -> Value {
    json!({
        "owner_address": devnet.accounts()[0].address,
        "contract_address": HISTORY,
        "data": data,
        "fee_limit": 100_000_000,
        "visible": true,
    })
}

/// What it answers to whoever calls it with a number; nothing when it reverts.
async fn ask(devnet: &Devnet, data: &str) -> Option<String> {
    let path = "/wallet/triggerconstantcontract";
    let answer = post(devnet, path, call(devnet, data)).await;
    match answer["result"].get("message") {
        Some(_) => None,
        None => Some(answer["constant_result"][0].as_str()?.to_owned()),
    }
}

fn word(number: u64) -> String {
    format!("{number:064x}")
}

fn id(devnet: &Devnet, number: u64) -> String {
    devnet.block(number).unwrap().id().to_string()
}

async fn contract(devnet: &Devnet) -> Value {
    let body = json!({ "value": HISTORY, "visible": true });
    post(devnet, "/wallet/getcontract", body).await
}

#[tokio::test]
async fn the_ids_of_blocks_are_kept_from_genesis_on_where_the_parameter_is_on_there() {
    let folder = tempfile::TempDir::new().unwrap();
    let start = || {
        Devnet::builder()
            .pace(Pace::Manual)
            .parameter("getAllowTvmPrague", 1)
            .unwrap()
            .state(folder.path().join("chain"))
            .start()
    };
    let devnet = start().await.unwrap();
    devnet.mine(3);
    devnet.unlock(&[devnet.accounts()[0].address]).unwrap();
    for number in 0..3 {
        assert_eq!(ask(&devnet, &word(number)).await, Some(id(&devnet, number)));
    }
    // The block itself, what is no number of one, and what is no word.
    for data in [
        word(3),
        word(4),
        "f".repeat(64),
        "00".repeat(31),
        String::new(),
    ] {
        assert_eq!(ask(&devnet, &data).await, None, "{data}");
    }
    let found = contract(&devnet).await;
    assert_eq!(found["name"], "BlockHashHistory", "{found}");
    assert_eq!(
        found["origin_address"],
        "TEkBqu2MwJb6tvWUx9pjoaHrkRJR8PsY5n"
    );

    // A transaction sees its block's parent.
    let built = post(
        &devnet,
        "/wallet/triggersmartcontract",
        call(&devnet, &word(3)),
    )
    .await;
    let sent = built["transaction"].clone();
    let answer = post(&devnet, "/wallet/broadcasttransaction", sent.clone()).await;
    assert_eq!(answer["result"], true, "{answer}");
    devnet.mine(1);
    let asked = json!({ "value": sent["txID"] });
    let info = post(&devnet, "/wallet/gettransactioninfobyid", asked).await;
    assert_eq!(info["contractResult"], json!([id(&devnet, 3)]), "{info}");

    // The state file gives the same chain.
    let parent = id(&devnet, 3);
    drop(devnet);
    let again = start().await.unwrap();
    assert_eq!(again.head_number(), 4);
    assert_eq!(ask(&again, &word(3)).await, Some(parent));
}

#[tokio::test]
async fn a_proposal_brings_the_contract_and_blocks_before_it_are_unknown() {
    let devnet = committee::devnet().await;
    let url = json!({ "url": "https://one.example" });
    done(&devnet, 1, "createwitness", url).await;
    let prague = |value: i64| json!({ "parameters": [{ "key": 95, "value": value }] });
    let words = "This value[ALLOW_TVM_PRAGUE] is only allowed to be 1";
    refused(&devnet, 1, "proposalcreate", prague(2), words).await;
    done(&devnet, 1, "proposalcreate", prague(1)).await;
    let approve = json!({ "proposal_id": 1, "is_add_approval": true });
    done(&devnet, 1, "proposalapprove", approve).await;
    devnet.mine(4);
    assert_eq!(contract(&devnet).await, json!({}));
    devnet.advance(Duration::from_secs(3 * 86_400 + 60));
    devnet.mine(1);
    let since = loop {
        if contract(&devnet).await.get("name").is_some() {
            break devnet.head_number();
        }
        assert!(devnet.head_number() < 20, "no maintenance has come");
        devnet.mine(1);
    };
    devnet.mine(2);
    assert_eq!(ask(&devnet, &word(since - 1)).await, Some(word(0)));
    for number in [since, since + 1] {
        assert_eq!(ask(&devnet, &word(number)).await, Some(id(&devnet, number)));
    }
    let again = "[ALLOW_TVM_PRAGUE] has been valid, no need to propose again";
    refused(&devnet, 1, "proposalcreate", prague(1), again).await;
}
