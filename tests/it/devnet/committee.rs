//! Witnesses, votes, rewards and proposals, through HTTP, with cycles that are as short as a test
//! wants them.

use std::{sync::Arc, time::Duration};

use seedrail::{
    devnet::{Devnet, Pace},
    types::{ManualClock, UnixMs},
};
use serde_json::{Value, json};

use super::http::post;

/// A maintenance at every second block.
pub(super) async fn devnet() -> Devnet {
    devnet_with(&[]).await
}

/// The same, with other values of chain parameters.
pub(super) async fn devnet_with(parameters: &[(&str, i64)]) -> Devnet {
    let mut builder = Devnet::builder()
        .pace(Pace::Manual)
        .clock(Arc::new(ManualClock::new(UnixMs(1_790_000_000_000))));
    for (name, value) in [("getMaintenanceTimeInterval", 6_000)]
        .iter()
        .chain(parameters)
    {
        builder = builder.parameter(name, *value).unwrap();
    }
    let devnet = builder.start().await.unwrap();
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

pub(super) async fn done(devnet: &Devnet, who: usize, path: &str, more: Value) {
    let answer = act(devnet, who, path, more).await;
    assert_eq!(answer["result"], true, "{path}: {answer}");
}

pub(super) async fn refused(devnet: &Devnet, who: usize, path: &str, more: Value, words: &str) {
    let answer = act(devnet, who, path, more).await;
    let error = answer["Error"].as_str().unwrap_or_default();
    assert!(error.ends_with(words), "{path}: {answer}, not {words}");
}

pub(super) async fn account(devnet: &Devnet, who: usize) -> Value {
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
    refused(&devnet, 2, "withdrawbalance", json!({}), words).await;
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
    let interval = json!({ "parameters": { "key": 0, "value": 120_000 } });
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

/// `PROPOSAL_EXPIRE_TIME` is a parameter of its own, which a proposal may change.
#[tokio::test]
async fn a_proposal_is_open_for_as_long_as_the_chain_says() {
    let devnet = devnet_with(&[("getProposalExpireTime", 30_000)]).await;
    let listed = async |name: &str| {
        let all = post(&devnet, "/wallet/getchainparameters", json!({})).await;
        let list = all["chainParameter"].as_array().unwrap().clone();
        let found = list.into_iter().find(|entry| entry["key"] == name);
        found.map(|entry| entry["value"].clone())
    };
    assert_eq!(listed("getProposalExpireTime").await, Some(json!(30_000)));
    // What came later is listed once it is not as it was before.
    assert_eq!(listed("getAllowHardenExchangeCalculation").await, None);
    let url = json!({ "url": "https://one.example" });
    done(&devnet, 1, "createwitness", url).await;
    let asks = json!({ "parameters": [{ "key": 92, "value": 60_000 }, { "key": 98, "value": 1 }] });
    done(&devnet, 1, "proposalcreate", asks).await;
    let approve = json!({ "proposal_id": 1, "is_add_approval": true });
    done(&devnet, 1, "proposalapprove", approve).await;
    devnet.mine(1);
    let one = post(&devnet, "/wallet/getproposalbyid", json!({ "id": 1 })).await;
    let time = |name: &str| one[name].as_i64().unwrap();
    let open = time("expiration_time") - time("create_time");
    assert!((30_000..=36_000).contains(&open), "{one}");
    devnet.mine(13);
    assert_eq!(listed("getProposalExpireTime").await, Some(json!(60_000)));
    assert_eq!(
        listed("getAllowHardenExchangeCalculation").await,
        Some(json!(1))
    );
    for value in [0, 31_536_003_000_i64] {
        let asks = json!({ "parameters": [{ "key": 92, "value": value }] });
        let words = "This value[PROPOSAL_EXPIRE_TIME] is only allowed to be greater than 0 and less than 31536003000!";
        refused(&devnet, 1, "proposalcreate", asks, words).await;
    }
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

async fn reward_of(devnet: &Devnet, who: usize) -> i64 {
    let asked = json!({ "address": devnet.accounts()[who].address });
    let answer = post(devnet, "/wallet/getReward", asked).await;
    answer["reward"].as_i64().unwrap()
}

/// With 10 of 100,010 votes a witness gets 12,798 of the 128,000,000 sun that a block pays
/// for votes, of which it keeps a fifth: 2,559, and its voters 10,239.
#[tokio::test]
async fn votes_earn_from_the_next_cycle_on_and_the_reward_can_be_withdrawn_once_a_day() {
    let devnet = devnet().await;
    let witness = devnet.accounts()[1].address;
    let none = "witnessAccount does not have any reward";
    refused(&devnet, 0, "withdrawbalance", json!({}), none).await;
    done(&devnet, 1, "createwitness", json!({ "url": "a" })).await;
    let stake = json!({ "frozen_balance": 10_000_000 });
    done(&devnet, 0, "freezebalancev2", stake).await;
    let votes = json!({ "votes": [{ "vote_address": witness, "vote_count": 10 }] });
    done(&devnet, 0, "votewitnessaccount", votes).await;
    while reward_of(&devnet, 0).await == 0 {
        devnet.mine(2);
        assert!(devnet.head_number() < 20, "nothing is earned");
    }
    // A cycle is two blocks.
    let earned = reward_of(&devnet, 0).await;
    let kept = reward_of(&devnet, 1).await;
    assert_eq!(earned % (2 * 10_239), 0);
    assert_eq!(kept % 2_559, 0);
    devnet.mine(2);
    assert_eq!(reward_of(&devnet, 0).await - earned, 2 * 10_239);
    assert_eq!(reward_of(&devnet, 1).await - kept, 2 * 2_559);

    // What is due now is paid, and the cycle that goes on is due later.
    let earned = reward_of(&devnet, 0).await;
    let before = account(&devnet, 0).await["balance"].as_i64().unwrap();
    let body = json!({ "owner_address": devnet.accounts()[0].address, "visible": true });
    let built = post(&devnet, "/wallet/withdrawbalance", body).await;
    let sent = post(&devnet, "/wallet/broadcasttransaction", built).await;
    assert_eq!(sent["result"], true, "{sent}");
    devnet.mine(1);
    let asked = json!({ "value": sent["txid"] });
    let info = post(&devnet, "/wallet/gettransactioninfobyid", asked).await;
    assert_eq!(info["withdraw_amount"], earned, "{info}");
    let after = account(&devnet, 0).await["balance"].as_i64().unwrap();
    assert_eq!(after - before, earned);
    let last = account(&devnet, 0).await["latest_withdraw_time"].clone();
    let soon = format!("The last withdraw time is {last}, less than 24 hours");
    refused(&devnet, 0, "withdrawbalance", json!({}), &soon).await;
    devnet.mine(4);
    assert!(reward_of(&devnet, 0).await > 0);

    // Votes for another one earn nothing more for this one from the next cycle on.
    done(&devnet, 2, "createwitness", json!({ "url": "b" })).await;
    let other = devnet.accounts()[2].address;
    let votes = json!({ "votes": [{ "vote_address": other, "vote_count": 10 }] });
    done(&devnet, 0, "votewitnessaccount", votes).await;
    devnet.mine(4);
    let kept = reward_of(&devnet, 1).await;
    devnet.mine(4);
    assert_eq!(reward_of(&devnet, 1).await, kept);
    assert!(reward_of(&devnet, 2).await > 0);
}

#[tokio::test]
async fn a_witness_of_genesis_withdraws_nothing() {
    let devnet = devnet().await;
    devnet.mine(6);
    let list = post(&devnet, "/wallet/listwitnesses", json!({})).await;
    let owner = list["witnesses"][0]["address"].clone();
    let asked = json!({ "address": owner });
    let reward = post(&devnet, "/wallet/getReward", asked).await;
    assert!(reward["reward"].as_i64().unwrap() > 0, "{reward}");
    let built = post(
        &devnet,
        "/wallet/withdrawbalance",
        json!({ "owner_address": owner }),
    )
    .await;
    let words = "is a guard representative and is not allowed to withdraw Balance";
    assert!(built["Error"].as_str().unwrap().ends_with(words), "{built}");
}

#[tokio::test]
async fn rewards_and_brokerages_are_asked_for_as_on_java_tron() {
    let devnet = devnet().await;
    let none = json!({});
    let hex = devnet.accounts()[0].address.to_hex();
    let base58 = devnet.accounts()[0].address;
    for (body, reward, brokerage) in [
        (json!({}), json!({ "reward": 0 }), json!({ "brokerage": 0 })),
        (
            json!({ "address": "" }),
            json!({ "reward": 0 }),
            json!({ "brokerage": 0 }),
        ),
        (
            json!({ "address": "TT" }),
            json!({ "reward": 0 }),
            json!({ "brokerage": 0 }),
        ),
        (
            json!({ "address": hex }),
            json!({ "reward": 0 }),
            json!({ "brokerage": 20 }),
        ),
        (
            json!({ "address": base58 }),
            json!({ "reward": 0 }),
            json!({ "brokerage": 20 }),
        ),
        (
            json!({ "address": "41zz" }),
            json!({ "Error": "INVALID address, exception decoding Hex string: invalid characters encountered in Hex string" }),
            none.clone(),
        ),
        (
            json!({ "address": "0x41" }),
            json!({ "Error": "INVALID address, Illegal character 0 at 0" }),
            none,
        ),
    ] {
        let answer = post(&devnet, "/wallet/getReward", body.clone()).await;
        assert_eq!(answer, reward, "{body}");
        let answer = post(&devnet, "/wallet/getBrokerage", body.clone()).await;
        match reward.get("Error") {
            Some(_) => assert_eq!(answer, reward, "{body}"),
            None => assert_eq!(answer, brokerage, "{body}"),
        }
    }
}
