//! Stake that is given up and taken back, without waiting for days.

use std::{sync::Arc, time::Duration};

use seedrail::{
    devnet::{Builder, Devnet},
    types::{ManualClock, UnixMs},
};
use serde_json::{Value, json};

use super::http::post;

const START: UnixMs = UnixMs(1_790_000_000_000);

fn builder(clock: &Arc<ManualClock>) -> Builder {
    let builder = Devnet::builder().instant().idle_blocks(false);
    builder.clock(clock.clone()).genesis_time(START)
}

/// Has the first account send what an endpoint builds.
async fn send(devnet: &Devnet, path: &str, more: Value) -> Value {
    let mut body = more;
    body["owner_address"] = json!(devnet.accounts()[0].address);
    body["visible"] = true.into();
    let built = post(devnet, &format!("/wallet/{path}"), body).await;
    if built.get("Error").is_some() {
        return built;
    }
    post(devnet, "/wallet/broadcasttransaction", built).await
}

async fn withdrawable(devnet: &Devnet) -> Value {
    let body = json!({ "owner_address": devnet.accounts()[0].address, "visible": true });
    post(devnet, "/wallet/getcanwithdrawunfreezeamount", body).await
}

#[tokio::test]
async fn unstaked_trx_are_withdrawn_after_the_delay_that_was_asked_for() {
    let clock = Arc::new(ManualClock::new(START));
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("chain");
    let start = || {
        let delay = Duration::from_secs(60);
        builder(&clock).unfreeze_delay(delay).state(&file).start()
    };
    let devnet = start().await.unwrap();
    let me = devnet.accounts()[0].address;
    devnet.unlock(&[me]).unwrap();
    let stake = json!({ "frozen_balance": 100_000_000, "resource": "ENERGY" });
    assert_eq!(
        send(&devnet, "freezebalancev2", stake).await["result"],
        true
    );
    let give_up = json!({ "unfreeze_balance": 10_000_000, "resource": "ENERGY" });
    let answer = send(&devnet, "unfreezebalancev2", give_up).await;
    assert_eq!(answer["result"], true, "{answer}");
    let early = send(&devnet, "withdrawexpireunfreeze", json!({})).await;
    let error = early["Error"].as_str().unwrap_or_default();
    assert!(error.contains("no unFreeze balance to withdraw"), "{early}");
    assert_eq!(withdrawable(&devnet).await, json!({}));
    // A restart does not forget what was asked for.
    drop(devnet);
    let devnet = start().await.unwrap();
    devnet.unlock(&[me]).unwrap();
    clock.advance(Duration::from_secs(61));
    devnet.mine(1);
    assert_eq!(withdrawable(&devnet).await, json!({ "amount": 10_000_000 }));
    let answer = send(&devnet, "withdrawexpireunfreeze", json!({})).await;
    assert_eq!(answer["result"], true, "{answer}");
    assert_eq!(withdrawable(&devnet).await, json!({}));
    // The parameter says what it says on every chain.
    let parameters = post(&devnet, "/wallet/getchainparameters", json!({})).await;
    let days = json!({ "key": "getUnfreezeDelayDays", "value": 14 });
    let list = parameters["chainParameter"].as_array().unwrap();
    assert!(list.contains(&days), "{parameters}");
    drop(devnet);
    // Without it, or with another one, it would be another chain.
    assert!(builder(&clock).state(&file).start().await.is_err());
}

#[tokio::test]
async fn a_genesis_file_says_the_delay_and_the_parent() {
    let clock = Arc::new(ManualClock::new(START));
    let parent = "957dc2d350daecc7bb6a38f3938ebde0a0c1cedafe15f0edae4256a2907449f6";
    let genesis = json!({ "unfreeze_delay_ms": 0, "parent_hash": parent }).to_string();
    let devnet = builder(&clock).genesis_json(&genesis).unwrap();
    let devnet = devnet.start().await.unwrap();
    let first = post(&devnet, "/wallet/getblockbynum", json!({ "num": 0 })).await;
    assert_eq!(first["block_header"]["raw_data"]["parentHash"], parent);
    let usual = builder(&clock).start().await.unwrap();
    assert_ne!(usual.genesis_id(), devnet.genesis_id());
    devnet.unlock(&[devnet.accounts()[0].address]).unwrap();
    let stake = json!({ "frozen_balance": 5_000_000 });
    send(&devnet, "freezebalancev2", stake).await;
    let give_up = json!({ "unfreeze_balance": 5_000_000 });
    send(&devnet, "unfreezebalancev2", give_up).await;
    assert_eq!(withdrawable(&devnet).await, json!({ "amount": 5_000_000 }));
    for wrong in [
        json!({ "unfreeze_delay_ms": -1 }),
        json!({ "parent_hash": "957d" }),
    ] {
        assert!(Devnet::builder().genesis_json(&wrong.to_string()).is_err());
    }
}
