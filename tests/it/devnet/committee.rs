//! Witnesses, votes and proposals, through HTTP, with cycles that are as short as a test
//! wants them.

use std::{sync::Arc, time::Duration};

use seedrail::{
    devnet::{Devnet, Pace},
    types::{ManualClock, UnixMs},
};
use serde_json::{Value, json};

use super::http::post;

/// A maintenance at every second block.
async fn devnet() -> Devnet {
    let devnet = Devnet::builder()
        .pace(Pace::Manual)
        .clock(Arc::new(ManualClock::new(UnixMs(1_790_000_000_000))))
        .parameter("getMaintenanceTimeInterval", 6_000)
        .unwrap()
        .start()
        .await
        .unwrap();
    devnet.mine(1);
    let all: Vec<_> = devnet.accounts().iter().map(|a| a.address).collect();
    devnet.unlock(&all).unwrap();
    devnet
}

/// Builds and sends, as account N; the answer of whichever refuses, or of the broadcast.
async fn act(devnet: &Devnet, who: usize, path: &str, more: Value) -> Value {
    let mut body = json!({ "owner_address": devnet.accounts()[who].address, "visible": true });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    let built = post(devnet, &format!("/wallet/{path}"), body).await;
    match built.get("Error") {
        Some(_) => built,
        None => post(devnet, "/wallet/broadcasttransaction", built).await,
    }
}

async fn done(devnet: &Devnet, who: usize, path: &str, more: Value) {
    let answer = act(devnet, who, path, more).await;
    assert_eq!(answer["result"], true, "{path}: {answer}");
}

async fn refused(devnet: &Devnet, who: usize, path: &str, more: Value, words: &str) {
    let answer = act(devnet, who, path, more).await;
    let error = answer["Error"].as_str().unwrap_or_default();
    assert!(error.ends_with(words), "{path}: {answer}, not {words}");
}

async fn account(devnet: &Devnet, who: usize) -> Value {
    let body = json!({ "address": devnet.accounts()[who].address, "visible": true });
    post(devnet, "/wallet/getaccount", body).await
}

#[tokio::test]
async fn votes_count_from_the_next_cycle_on_and_go_with_the_stake() {
    let devnet = devnet().await;
    let witness = devnet.accounts()[1].address;
    let vote = |count: i64| json!({ "votes": [{ "vote_address": witness, "vote_count": count }] });
    let hex = witness.to_hex();
    refused(
        &devnet,
        0,
        "votewitnessaccount",
        vote(1),
        &format!("Witness[{hex}] not exists"),
    )
    .await;
    done(
        &devnet,
        1,
        "createwitness",
        json!({ "url": "https://one.example" }),
    )
    .await;
    refused(
        &devnet,
        1,
        "createwitness",
        json!({ "url": "x" }),
        &format!("Witness[{hex}] has existed"),
    )
    .await;
    refused(&devnet, 2, "createwitness", json!({}), "Invalid url").await;
    refused(
        &devnet,
        0,
        "votewitnessaccount",
        json!({}),
        "VoteNumber must more than 0",
    )
    .await;
    let none = "The total number of votes[1000000] is greater than the tronPower[0]";
    refused(&devnet, 0, "votewitnessaccount", vote(1), none).await;
    done(
        &devnet,
        0,
        "freezebalancev2",
        json!({ "frozen_balance": 10_000_000 }),
    )
    .await;
    done(&devnet, 0, "votewitnessaccount", vote(10)).await;
    done(
        &devnet,
        1,
        "updatewitness",
        json!({ "update_url": "https://two.example" }),
    )
    .await;
    done(&devnet, 1, "updateBrokerage", json!({ "brokerage": 35 })).await;
    refused(
        &devnet,
        1,
        "updateBrokerage",
        json!({ "brokerage": 101 }),
        "Invalid brokerage",
    )
    .await;

    let listed = async || {
        let list = post(&devnet, "/wallet/listwitnesses?visible=true", json!({})).await;
        let all = list["witnesses"].as_array().unwrap().clone();
        all.into_iter()
            .find(|entry| entry["address"] == json!(witness))
            .unwrap()
    };
    assert!(listed().await.get("voteCount").is_none());
    let of = json!({ "address": witness, "visible": true });
    let brokerage =
        async || post(&devnet, "/wallet/getBrokerage", of.clone()).await["brokerage"].take();
    assert_eq!(brokerage().await, 20);
    devnet.mine(3);
    let entry = listed().await;
    assert_eq!(
        (&entry["voteCount"], &entry["url"]),
        (&json!(10), &json!("https://two.example"))
    );
    assert_eq!(brokerage().await, 35);
    assert_eq!(account(&devnet, 0).await["votes"][0]["vote_count"], 10);
    assert_eq!(account(&devnet, 1).await["is_witness"], true);

    // Half of the stake carries half of the votes.
    done(
        &devnet,
        0,
        "unfreezebalancev2",
        json!({ "unfreeze_balance": 5_000_000 }),
    )
    .await;
    assert_eq!(account(&devnet, 0).await["votes"][0]["vote_count"], 5);
    devnet.mine(3);
    assert_eq!(listed().await["voteCount"], 5);
    let page = json!({ "offset": 1, "limit": 5, "visible": true });
    let page = post(&devnet, "/wallet/getpaginatednowwitnesslist", page).await;
    assert_eq!(page["witnesses"].as_array().unwrap().len(), 1);
    let words = "witnessAccount does not have any reward";
    refused(&devnet, 1, "withdrawbalance", json!({}), words).await;
}

#[tokio::test]
async fn an_approved_proposal_changes_a_parameter_when_its_time_is_over() {
    let devnet = devnet().await;
    let fee = json!({ "parameters": [{ "key": 68, "value": 7 }] });
    let hex = devnet.accounts()[1].address.to_hex();
    refused(
        &devnet,
        1,
        "proposalcreate",
        fee.clone(),
        &format!("Witness[{hex}] not exists"),
    )
    .await;
    done(
        &devnet,
        1,
        "createwitness",
        json!({ "url": "https://one.example" }),
    )
    .await;
    refused(
        &devnet,
        1,
        "proposalcreate",
        json!({}),
        "This proposal has no parameter.",
    )
    .await;
    let unknown = json!({ "parameters": [{ "key": 9_999, "value": 7 }] });
    refused(
        &devnet,
        1,
        "proposalcreate",
        unknown,
        "Does not support code : 9999",
    )
    .await;
    done(&devnet, 1, "proposalcreate", fee).await;
    let interval = json!({ "parameters": { "key": 0, "value": 12_000 } });
    done(&devnet, 1, "proposalcreate", interval).await;
    let approve = json!({ "proposal_id": 1, "is_add_approval": true });
    done(&devnet, 1, "proposalapprove", approve.clone()).await;
    let before = format!("Witness[{hex}]has approved proposal[1] before");
    refused(&devnet, 1, "proposalapprove", approve, &before).await;
    let missing = json!({ "proposal_id": 9, "is_add_approval": true });
    refused(
        &devnet,
        1,
        "proposalapprove",
        missing,
        "Proposal[9] not exists",
    )
    .await;
    done(&devnet, 1, "proposaldelete", json!({ "proposal_id": 2 })).await;

    let list = post(&devnet, "/wallet/listproposals", json!({ "visible": true })).await;
    let states: Vec<_> = list["proposals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["state"].clone())
        .collect();
    assert_eq!(states, [json!("CANCELED"), Value::Null]);
    let memo_fee = async || post(&devnet, "/wallet/getmemofee", json!({})).await["prices"].take();
    assert_eq!(memo_fee().await, "0:1000000");
    devnet.mine(4);
    assert_eq!(memo_fee().await, "0:1000000");
    devnet.advance(Duration::from_secs(3 * 86_400 + 60));
    devnet.mine(2);
    assert_eq!(memo_fee().await, "0:7");
    let one = post(&devnet, "/wallet/getproposalbyid", json!({ "id": 1 })).await;
    assert_eq!(
        (&one["state"], &one["approvals"]),
        (&json!("APPROVED"), &json!([hex]))
    );
    let dropped = post(&devnet, "/wallet/getchainparameters", json!({})).await;
    let interval = dropped["chainParameter"][0]["value"].clone();
    assert_eq!(interval, 6_000);
}

/// What was voted is part of the chain: a revert takes it back, and a state file has it.
#[tokio::test]
async fn votes_are_reverted_and_replayed() {
    let folder = tempfile::TempDir::new().unwrap();
    let start = || {
        Devnet::builder()
            .pace(Pace::Manual)
            .state(folder.path().join("chain"))
            .start()
    };
    let devnet = start().await.unwrap();
    devnet.mine(1);
    devnet.unlock(&[devnet.accounts()[1].address]).unwrap();
    let snapshot = devnet.snapshot();
    done(
        &devnet,
        1,
        "createwitness",
        json!({ "url": "https://one.example" }),
    )
    .await;
    devnet.mine(1);
    assert_eq!(account(&devnet, 1).await["is_witness"], true);
    assert!(devnet.revert(snapshot));
    assert!(account(&devnet, 1).await.get("is_witness").is_none());
    done(
        &devnet,
        1,
        "createwitness",
        json!({ "url": "https://two.example" }),
    )
    .await;
    let head = devnet.mine(1);
    drop(devnet);
    // The file is free when the handle is gone.
    let again = start().await.unwrap();
    assert_eq!(again.block(again.head_number()).unwrap().id(), head);
    assert_eq!(account(&again, 1).await["is_witness"], true);
}
