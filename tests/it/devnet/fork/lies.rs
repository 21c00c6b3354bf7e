//! Nodes that cannot be forked, lie, are slow, die or are silent.

use std::{sync::Arc, time::Duration};

use seedrail::{
    devnet::{Devnet, DevnetError, ForkError, Pace},
    tron::{
        contract::Contract,
        rpc::NodeConfig,
        transaction::{Draft, RefBlock, Transaction},
    },
    types::{Address, RawAmount, Token, UnixMs},
};
use serde_json::{Value, json};

use super::{
    super::http::{post, rpc},
    Between, Lying, PHRASE, account, chain, impersonate, of_address, over, stays, token_balance,
};
use crate::support::{http_server::Reply, lying_node::Lie, waiting::wait_until};

/// For what has to come to pass: far more than a machine at half speed needs.
const LIMIT: Duration = Duration::from_secs(120);

/// A lie, where it is told, and a word of what is said of it.
type Told = (&'static str, Lying, &'static str);

fn at(path: &str, asked: &str, lie: Lie) -> Lie {
    if path == asked { lie } else { Lie::None }
}

fn of_storage(body: &Value, lie: Lie) -> Lie {
    match body["method"] == "eth_getStorageAt" {
        true => lie,
        false => Lie::None,
    }
}

fn change(pointer: &'static str, to: Value) -> Lie {
    Lie::of(move |mut answer| {
        if let Some(value) = answer.pointer_mut(pointer) {
            *value = to;
        }
        answer
    })
}

const ACCOUNT: &str = "/wallet/getaccount";
const INFO: &str = "/wallet/getcontractinfo";

#[tokio::test(flavor = "multi_thread")]
async fn a_lie_fails_the_request_and_is_forgotten() {
    let source = chain().await;
    let between = Between::of(&source).await;
    let fork = over(between.server.url()).start().await.unwrap();
    let (holder, usdt) = (source.accounts()[0].address, source.trc20()[0].1);
    let bob = fork.accounts()[0].address;
    impersonate(&fork, holder).await;

    let of_accounts: &[Told] = &[
        (
            "another account",
            |path, _| {
                at(
                    path,
                    ACCOUNT,
                    change(
                        "/address",
                        "41f16412b9a17ee9408646e2a21e16478f72ed1e95".into(),
                    ),
                )
            },
            "another address",
        ),
        (
            "less than nothing",
            |path, _| at(path, ACCOUNT, change("/balance", (-1).into())),
            "negative",
        ),
        (
            "more than there can be",
            |path, _| {
                at(
                    path,
                    ACCOUNT,
                    change("/balance", json!(9_300_000_000_000_000_000_u64)),
                )
            },
            "64-bit",
        ),
        (
            "a sum that is too much",
            |path, _| {
                at(
                    path,
                    ACCOUNT,
                    Lie::of(|mut answer| {
                        answer["balance"] = i64::MAX.into();
                        answer["frozenV2"] = json!([{ "amount": 1 }]);
                        answer
                    }),
                )
            },
            "more than a chain can hold",
        ),
        (
            "a token below nothing",
            |path, _| at(path, ACCOUNT, change("/assetV2/0/value", (-5).into())),
            "token",
        ),
        (
            "a token twice",
            |path, _| {
                at(
                    path,
                    ACCOUNT,
                    Lie::of(|mut answer| {
                        let token = answer["assetV2"][0].clone();
                        answer["assetV2"] = json!([token, token]);
                        answer
                    }),
                )
            },
            "twice",
        ),
        (
            "a list",
            |path, _| at(path, ACCOUNT, Lie::json(json!([]))),
            "no object",
        ),
        (
            "no JSON",
            |path, _| {
                at(
                    path,
                    ACCOUNT,
                    Lie::Instead(Reply::Raw(
                        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n<html></h".to_vec(),
                    )),
                )
            },
            "not JSON",
        ),
        (
            "without end",
            |path, _| at(path, ACCOUNT, Lie::Instead(Reply::Endless)),
            "larger than",
        ),
        (
            "a page that is not there",
            |path, _| {
                at(
                    path,
                    ACCOUNT,
                    Lie::Instead(Reply::Status("404 Not Found", "", "")),
                )
            },
            "404",
        ),
        (
            "an error",
            |path, _| {
                at(
                    path,
                    ACCOUNT,
                    Lie::json(json!({ "Error": "class java.lang.Exception" })),
                )
            },
            "java.lang",
        ),
        (
            "cut off",
            |path, _| at(path, ACCOUNT, Lie::Instead(Reply::Cut)),
            "connection failed",
        ),
    ];
    for (what, lie, word) in of_accounts {
        between.says(*lie);
        let said = account(&fork, holder).await;
        let said = said["Error"].as_str().unwrap_or_default();
        assert!(said.contains(word), "{what}: {said}");
        assert!(
            said.contains(&format!("account {holder}")),
            "{what}: {said}"
        );
        assert!(!said.contains('\n'), "{what}: {said}");
        // A transaction is refused, not executed as if nobody were there.
        let head = fork.head_number();
        let paid = Draft::new(
            Contract::transfer(holder, bob, Token::Trx, RawAmount::new(5).unwrap()),
            RefBlock::from(fork.block(head).unwrap().id()),
            fork.now().plus(Duration::from_secs(60)),
            UnixMs(1),
        );
        let paid = Transaction::from(paid.build()).encode();
        let body = json!({ "transaction": hex::encode(paid) });
        let answer = post(&fork, "/wallet/broadcasthex", body).await;
        assert_eq!(answer["code"], "SERVER_BUSY", "{what}: {answer}");
        let why = answer["message"].as_str().unwrap();
        assert!(why.contains(word), "{what}: {why}");
        assert_eq!(fork.head_number(), head, "{what}");
        let cheat = json!({ "address": holder.to_hex(), "amount_raw": 1 });
        let cheat = post(&fork, "/devnet/fund", cheat).await;
        let why = cheat["error"].as_str().unwrap_or_default();
        assert!(why.contains(word), "{what}: {cheat}");
    }
    between.is_honest();
    assert_eq!(
        stays(account(&fork, holder).await),
        stays(account(&source, holder).await)
    );

    let of_contracts: &[Told] = &[
        (
            "another contract",
            |path, _| {
                at(
                    path,
                    INFO,
                    change(
                        "/smart_contract/contract_address",
                        "41f16412b9a17ee9408646e2a21e16478f72ed1e95".into(),
                    ),
                )
            },
            "another address",
        ),
        (
            "other code",
            |path, _| at(path, INFO, change("/runtimecode", "6000".into())),
            "code hash",
        ),
        (
            "code that is no hex",
            |path, _| at(path, INFO, change("/runtimecode", "6z".into())),
            "hex",
        ),
        (
            "another layout",
            |path, _| {
                at(
                    path,
                    INFO,
                    Lie::of(|mut answer| {
                        answer["smart_contract"]["version"] = 1.into();
                        answer
                    }),
                )
            },
            "version 1",
        ),
        (
            "dear energy",
            |path, _| {
                at(
                    path,
                    INFO,
                    Lie::of(|mut answer| {
                        answer["contract_state"] = json!({ "energy_factor": i64::MAX });
                        answer
                    }),
                )
            },
            "energy factor",
        ),
        (
            "no contract in it",
            |path, _| at(path, INFO, Lie::json(json!({ "runtimecode": "00" }))),
            "smart_contract",
        ),
        (
            "half a word",
            |_, body| of_storage(body, change("/result", "0x01".into())),
            "word",
        ),
        (
            "no method",
            |_, body| {
                let error = json!({ "code": -32601, "message": "method not found" });
                of_storage(body, Lie::json(json!({ "error": error })))
            },
            "method not found",
        ),
    ];
    let shown = json!({
        "owner_address": holder.to_hex(), "contract_address": usdt.to_hex(),
        "function_selector": "balanceOf(address)", "parameter": of_address(&holder),
    });
    for (what, lie, word) in of_contracts {
        between.says(*lie);
        let said = post(&fork, "/wallet/triggerconstantcontract", shown.clone()).await;
        let said = said["Error"].as_str().unwrap_or_default();
        assert!(said.contains(word), "{what}: {said}");
        let data = format!("0x70a08231{}", of_address(&holder));
        let to = format!("0x{}", hex::encode(usdt.body()));
        let called = json!([{ "to": to, "data": data }, "latest"]);
        let said = rpc(&fork, "/jsonrpc", "eth_call", called).await;
        let said = said["error"]["message"].as_str().unwrap_or_default();
        assert!(said.contains(word), "{what}: {said}");
    }
    between.is_honest();
    assert_eq!(
        token_balance(&fork, usdt, holder).await,
        1_000_000_000_000_000
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_be_forked_is_named_at_the_start() {
    let source = chain().await;
    let between = Between::of(&source).await;
    between.says(|path, _| {
        at(
            path,
            "/jsonrpc",
            Lie::Instead(Reply::Status("404 Not Found", "", "")),
        )
    });
    let error = over(between.server.url()).start().await.unwrap_err();
    assert!(matches!(error, DevnetError::Fork(ForkError::Node { .. })));
    assert!(error.to_string().contains("--fork-jsonrpc"), "{error}");
    // Where it is somewhere else, that is said.
    let fork = over(between.server.url()).fork_json_rpc(format!("{}/jsonrpc", source.url()));
    let fork = fork.start().await.unwrap();
    let (holder, usdt) = (source.accounts()[0].address, source.trc20()[0].1);
    assert_eq!(
        token_balance(&fork, usdt, holder).await,
        1_000_000_000_000_000
    );
    // JSON-RPC of another chain is none of this one's.
    let other = Devnet::builder().mnemonic(PHRASE).start().await.unwrap();
    let mixed = over(source.url()).fork_json_rpc(other.url());
    let error = mixed.start().await.unwrap_err();
    assert!(error.to_string().contains("chain id"), "{error}");
    let error = over("ftp://node".to_owned()).start().await.unwrap_err();
    assert!(error.to_string().contains("http"), "{error}");
    let gone = between.server.url();
    drop(between);
    let error = over(gone).start().await.unwrap_err();
    assert!(error.to_string().contains("cannot connect"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_node_holds_up_only_who_needs_it() {
    let source = chain().await;
    let between = Between::of(&source).await;
    let patient = NodeConfig {
        timeout: Duration::from_secs(600),
        ..NodeConfig::new(between.server.url())
    };
    let fork = Devnet::builder().pace(Pace::Manual).fork(patient);
    let fork = Arc::new(fork.start().await.unwrap());
    let holder = source.accounts()[0].address;
    between.says(|path, _| at(path, ACCOUNT, Lie::Instead(Reply::Silence)));
    let before = between.asked();
    let waits = |path: &'static str, body: Value| {
        let fork = Arc::clone(&fork);
        tokio::spawn(async move { post(&fork, path, body).await })
    };
    let mut waiting = vec![waits(ACCOUNT, json!({ "address": holder.to_hex() }))];
    // A transaction that needs it waits as well, and holds no other up.
    let [alice, bob, ..] = fork.accounts() else {
        panic!("there are ten");
    };
    let transfer = |from: Address, to: Address, salt: i64| {
        let head = fork.block(fork.head_number()).unwrap();
        Draft::new(
            Contract::transfer(from, to, Token::Trx, RawAmount::new(5).unwrap()),
            RefBlock::from(head.id()),
            fork.now().plus(Duration::from_secs(600)),
            UnixMs(salt),
        )
    };
    let sent = transfer(alice.address, holder, 1)
        .build()
        .sign(&alice.key)
        .unwrap();
    let sent = json!({ "transaction": hex::encode(sent.encode()) });
    waiting.push(waits("/wallet/broadcasthex", sent));
    tokio::task::block_in_place(|| {
        wait_until("both are asked for", LIMIT, || {
            between.asked() == before + 2
        });
    });

    assert_eq!(
        account(&fork, bob.address).await["balance"],
        1_000_000_000_000_i64
    );
    let paid = transfer(alice.address, bob.address, 2)
        .build()
        .sign(&alice.key)
        .unwrap();
    let paid = json!({ "transaction": hex::encode(paid.encode()) });
    let answer = post(&fork, "/wallet/broadcasthex", paid).await;
    assert_eq!(answer["code"], "SUCCESS", "{answer}");
    post(&fork, "/devnet/mine", json!({})).await;
    assert_eq!(
        fork.balance(bob.address, Token::Trx).get(),
        1_000_000_000_000 + 5
    );
    post(
        &fork,
        "/devnet/fund",
        json!({ "address": bob.address, "amount_raw": 1 }),
    )
    .await;
    assert!(waiting.iter().all(|task| !task.is_finished()));

    // It dies: who waited is told so.
    drop(between);
    for task in waiting {
        let answer = task.await.unwrap();
        let said = answer["Error"].as_str().or(answer["message"].as_str());
        let said = said.unwrap_or_else(|| panic!("{answer}"));
        assert!(said.contains(&format!("account {holder}")), "{said}");
    }
    assert_eq!(
        fork.block(fork.head_number()).unwrap().transactions.len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_node_is_not_waited_for_without_end() {
    let source = chain().await;
    let between = Between::of(&source).await;
    let impatient = NodeConfig {
        timeout: Duration::from_secs(4),
        ..NodeConfig::new(between.server.url())
    };
    between.says(|path, _| at(path, ACCOUNT, Lie::Instead(Reply::Silence)));
    let fork = Devnet::builder()
        .instant()
        .idle_blocks(false)
        .fork(impatient);
    let fork = fork.start().await.unwrap();
    let holder = source.accounts()[0].address;
    let fork = Arc::new(fork);
    let asked = Arc::clone(&fork);
    let asked = tokio::task::spawn_blocking(move || asked.read_balance(holder, Token::Trx));
    let said = account(&fork, holder).await;
    let said = said["Error"].as_str().unwrap();
    assert!(said.contains("did not answer in time"), "{said}");
    let said = asked.await.unwrap().unwrap_err().to_string();
    assert!(said.contains("did not answer in time"), "{said}");
}
