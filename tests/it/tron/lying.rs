//! Nodes that lie, stall, limit and break off: each is refused in its own way.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use seedrail::{
    tron::{
        rpc::{Finality, Node, NodeConfig, NodeError, Quota},
        transaction::Transaction,
    },
    types::{Address, TokenId, TxId},
};
use serde_json::{Value, json};

use crate::support::http_server::{Reply, Server};

const TRC10: &str = "03-trc10-gettransactionbyid.json";

fn recording(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/tron")
        .join(name);
    let mut case: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    case["response"].take()
}

fn txid(answer: &Value) -> TxId {
    answer["txID"].as_str().unwrap().parse().unwrap()
}

/// A client of those nodes that is patient for `ms` milliseconds.
fn client(servers: &[&Server], ms: u64) -> Node {
    let mut config = NodeConfig::new("");
    config.urls = servers.iter().map(|server| server.url()).collect();
    config.timeout = Duration::from_millis(ms);
    Node::new(&config).unwrap()
}

fn reason(error: &NodeError) -> &str {
    match error {
        NodeError::Retry { reason, .. } | NodeError::Unknown { reason, .. } => reason,
        NodeError::Refused { message, .. } => message,
        NodeError::TooLarge { .. } => "larger than",
    }
}

#[track_caller]
fn unknown<T: std::fmt::Debug>(outcome: Result<T, NodeError>, words: &str) {
    let error = outcome.unwrap_err();
    let is_unknown = matches!(
        error,
        NodeError::Unknown { .. } | NodeError::TooLarge { .. }
    );
    assert!(is_unknown, "{error:?}");
    assert!(reason(&error).contains(words), "{error:?}");
}

async fn answering(value: Value) -> Server {
    Server::start(move |_, _| Reply::Json(value.clone())).await
}

#[tokio::test]
async fn a_swapped_recipient_and_a_wrong_id_are_not_believed() {
    let honest = recording(TRC10);
    let value = "/raw_data/contract/0/parameter/value";
    let other = recording("03-trx-gettransactionbyid.json");
    for (pointer, lie, words) in [
        (
            format!("{value}/to_address"),
            Value::from("4100000000000000000000000000000000000000ff"),
            "different transactions",
        ),
        (
            format!("{value}/amount"),
            1.into(),
            "different transactions",
        ),
        ("/txID".into(), "00".repeat(32).into(), "hashes to"),
        (
            "/raw_data_hex".into(),
            other["raw_data_hex"].clone(),
            "hashes to",
        ),
        // Consistent in itself, but not what was asked for.
        (String::new(), other.clone(), "it sent another"),
    ] {
        let mut answer = honest.clone();
        *answer.pointer_mut(&pointer).unwrap() = lie;
        let server = answering(answer).await;
        let asked = client(&[&server], 5000)
            .transaction(Finality::Head, txid(&honest))
            .await;
        unknown(asked, words);
    }
    let server = answering(honest.clone()).await;
    let found = client(&[&server], 5000)
        .transaction(Finality::Head, txid(&honest))
        .await;
    assert_eq!(found.unwrap().unwrap().txid(), txid(&honest));
}

#[tokio::test]
async fn answers_about_something_else_are_not_believed() {
    let a: Address = "T9yD14Nj9j7xAB4dbGeiX9h8unkKHxuWwb".parse().unwrap();
    let server = answering(recording("04-getaccount-activated-visible.json")).await;
    unknown(
        client(&[&server], 5000).account(Finality::Head, a).await,
        "asked for account",
    );
    let server = answering(recording("02-getassetissuebyid.json")).await;
    unknown(
        client(&[&server], 5000).asset(TokenId::BTT).await,
        "asked for token",
    );
    let server = answering(recording("03-trc10-gettransactioninfobyid-visible.json")).await;
    unknown(
        client(&[&server], 5000)
            .transaction_info(Finality::Solid, TxId::from_bytes([7; 32]))
            .await,
        "asked for transaction",
    );
    let server = answering(recording("01-getblockbynum-solidity.json")).await;
    unknown(
        client(&[&server], 5000).block(Finality::Solid, 1).await,
        "asked for block 1",
    );
}

#[tokio::test]
async fn a_block_is_recomputed() {
    let honest = recording("03-getblockbynum-with-tx-solidity.json");
    let number = honest["block_header"]["raw_data"]["number"]
        .as_u64()
        .unwrap();
    for (pointer, lie, words) in [
        (
            "/blockID",
            Value::from(format!("{number:016x}{}", "0".repeat(48))),
            "hashes to",
        ),
        (
            "/block_header/raw_data/timestamp",
            1_795_000_000_000i64.into(),
            "hashes to",
        ),
        ("/transactions", json!([]), "root"),
        (
            "/block_header/witness_signature",
            "00".repeat(65).into(),
            "signature",
        ),
    ] {
        let mut answer = honest.clone();
        *answer.pointer_mut(pointer).unwrap() = lie;
        let server = answering(answer).await;
        let asked = client(&[&server], 5000)
            .block(Finality::Solid, number)
            .await;
        unknown(asked, words);
        // The newest one's header is checked as far as it goes.
        let head = client(&[&server], 5000).head(Finality::Solid).await;
        match pointer {
            "/transactions" => assert_eq!(head.unwrap().number, number),
            _ => unknown(head, words),
        }
    }
    // A transaction taken out of several.
    let server = answering(honest).await;
    let block = client(&[&server], 5000)
        .block(Finality::Solid, number)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(block.header.number, number);
}

#[tokio::test]
async fn blocks_that_are_not_linked_are_not_believed() {
    let honest = recording("10-thirty-consecutive-blocks.json");
    let list = honest["block"].as_array().unwrap().clone();
    let first = list[0]["block_header"]["raw_data"]["number"]
        .as_u64()
        .unwrap();
    let ask = async |blocks: Vec<Value>| {
        let server = answering(json!({ "block": blocks })).await;
        client(&[&server], 5000)
            .blocks(Finality::Solid, first, 30)
            .await
    };
    assert_eq!(ask(list.clone()).await.unwrap().len(), list.len());
    let mut gap = list.clone();
    gap.remove(3);
    unknown(ask(gap).await, "not a chain");
    let mut swapped = list.clone();
    swapped.swap(3, 4);
    unknown(ask(swapped).await, "not a chain");
    unknown(ask(list[1..].to_vec()).await, "not a chain");
    let mut relinked = list.clone();
    relinked[5]["block_header"]["raw_data"]["parentHash"] = "11".repeat(32).into();
    unknown(ask(relinked).await, "hashes to");
    // Nothing there is not an error, and no proof either.
    let server = answering(json!({})).await;
    let blocks = client(&[&server], 5000)
        .blocks(Finality::Solid, first, 30)
        .await;
    assert_eq!(blocks.unwrap(), Vec::new());
}

#[tokio::test]
async fn blocks_that_are_too_many_for_one_answer_are_asked_for_in_parts() {
    let honest = recording("10-thirty-consecutive-blocks.json");
    let list = honest["block"].as_array().unwrap().clone();
    let first = list[0]["block_header"]["raw_data"]["number"]
        .as_u64()
        .unwrap();
    // A node whose answers are too large above `most` blocks, and the sizes it was asked for.
    let ask = async |most: u64| {
        let counts = Arc::new(Mutex::new(Vec::new()));
        let (seen, list) = (counts.clone(), list.clone());
        let server = Server::start(move |_, body| {
            let begin = body["startNum"].as_u64().unwrap();
            let count = body["endNum"].as_u64().unwrap() - begin;
            seen.lock().unwrap().push(count);
            if count > most {
                return Reply::Endless;
            }
            let blocks: Vec<_> = list.iter().take(usize::try_from(count).unwrap()).collect();
            Reply::Json(json!({ "block": blocks }))
        })
        .await;
        let blocks = client(&[&server], 60_000)
            .blocks(Finality::Solid, first, 30)
            .await;
        let counts = counts.lock().unwrap().clone();
        (blocks, counts)
    };
    let (blocks, counts) = ask(15).await;
    assert_eq!(counts, [30, 15], "the same question is not asked again");
    assert_eq!(blocks.unwrap().len(), 15);
    // One block that is too large is refused, not asked for again and again.
    let (blocks, counts) = ask(0).await;
    assert_eq!(counts, [30, 15, 7, 3, 1]);
    let error = blocks.unwrap_err();
    assert!(matches!(error, NodeError::TooLarge { .. }), "{error:?}");
}

#[tokio::test]
async fn not_found_is_nothing_known() {
    let server = answering(json!({})).await;
    let node = client(&[&server], 5000);
    let txid = TxId::from_bytes([7; 32]);
    assert_eq!(node.transaction(Finality::Solid, txid).await, Ok(None));
    assert_eq!(node.transaction_info(Finality::Solid, txid).await, Ok(None));
    assert_eq!(node.block(Finality::Solid, 5).await, Ok(None));
    unknown(node.head(Finality::Head).await, "no head block");
    unknown(node.genesis().await, "is this a TRON node");
}

#[tokio::test]
async fn bodies_that_never_end_or_never_come_are_given_up() {
    let server = Server::start(|_, _| Reply::Endless).await;
    unknown(
        client(&[&server], 20_000).chain_parameters().await,
        "larger than",
    );
    let started = Instant::now();
    let server = Server::start(|_, _| Reply::Drip).await;
    unknown(client(&[&server], 300).chain_parameters().await, "in time");
    let server = Server::start(|_, _| Reply::Silence).await;
    unknown(client(&[&server], 300).chain_parameters().await, "in time");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn garbage_redirects_and_other_statuses_are_no_answers() {
    let raw = |text: &str| text.as_bytes().to_vec();
    let elsewhere = answering(recording("01-getchainparameters.json")).await;
    let target = elsewhere.url();
    let redirect = format!(
        "HTTP/1.1 302 Found\r\nlocation: {target}/wallet/getchainparameters\r\ncontent-length: 0\r\n\r\n"
    );
    for (bytes, words) in [
        (raw("\u{1}\u{2}garbage\r\n\r\n"), ""),
        (
            raw("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nnotjson"),
            "not JSON",
        ),
        (
            raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"chainP"),
            "",
        ),
        (
            raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]"),
            "chainParameter",
        ),
        (
            raw("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"),
            "HTTP 500",
        ),
        (
            raw("HTTP/1.1 502 Bad\r\ncontent-length: 0\r\n\r\n"),
            "HTTP 502",
        ),
        (redirect.into_bytes(), "HTTP 302"),
        (
            raw("HTTP/1.1 200 OK\r\n\r\n{\"Error\":\"class java.X : no\"}"),
            "java.X",
        ),
        // An integer as a float is no integer.
        (
            raw(
                "HTTP/1.1 200 OK\r\n\r\n{\"chainParameter\":[{\"key\":\"getMemoFee\",\"value\":1.0}]}",
            ),
            "not an integer",
        ),
    ] {
        let server = Server::start(move |_, _| Reply::Raw(bytes.clone())).await;
        unknown(client(&[&server], 5000).chain_parameters().await, words);
    }
    assert_eq!(
        elsewhere.asked(),
        Vec::<String>::new(),
        "no redirect is followed"
    );
    // JSON nested beyond all reason.
    let deep = format!("HTTP/1.1 200 OK\r\n\r\n{}", "[".repeat(200_000));
    let server = Server::start(move |_, _| Reply::Raw(deep.clone().into_bytes())).await;
    unknown(
        client(&[&server], 5000).chain_parameters().await,
        "not JSON",
    );
}

#[tokio::test]
async fn a_limited_client_waits_as_long_as_it_is_told() {
    for (status, seconds) in [
        ("429 Too Many Requests", 7),
        ("403 Forbidden", 7),
        ("503 Service Unavailable", 7),
    ] {
        let server =
            Server::start(move |_, _| Reply::Status(status, "retry-after: 7\r\n", "")).await;
        let node = client(&[&server], 2000);
        let error = node.chain_parameters().await.unwrap_err();
        let NodeError::Retry { after, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(*after, Some(Duration::from_secs(seconds)));
        // Meanwhile nothing is sent to it, and that is said at once.
        let error = node.chain_parameters().await.unwrap_err();
        assert!(
            matches!(error, NodeError::Retry { after: Some(_), .. }),
            "{error:?}"
        );
        assert_eq!(server.asked().len(), 1);
    }
    // A short wait is waited out within the one call, and the node asked again.
    let count = AtomicUsize::new(0);
    let parameters = recording("01-getchainparameters.json");
    let server = Server::start(move |_, _| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::Status("429 Too Many Requests", "retry-after: 1\r\n", ""),
        _ => Reply::Json(parameters.clone()),
    })
    .await;
    let node = client(&[&server], 5000);
    let started = Instant::now();
    node.chain_parameters().await.unwrap();
    assert!(started.elapsed() > Duration::from_millis(800));
}

#[tokio::test]
async fn an_endpoint_is_sent_no_more_than_its_quota() {
    let parameters = recording("01-getchainparameters.json");
    let servers = [
        answering(parameters.clone()).await,
        answering(parameters).await,
    ];
    let mut config = NodeConfig::new("");
    config.urls = servers.iter().map(Server::url).collect();
    config.quota = Quota::new(5, Duration::from_millis(500));
    let node = Node::new(&config).unwrap();
    let started = Instant::now();
    for _ in 0..12 {
        node.chain_parameters().await.unwrap();
    }
    // Five at once, then one each tenth of a second.
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(700), "{took:?}");
    assert_eq!(servers[0].asked().len(), 12);
    // Who cannot wait for his turn is told how long it takes, and goes to the next.
    config.timeout = Duration::from_secs(1);
    config.quota = Quota::new(5, Duration::from_secs(60));
    let node = Node::new(&config).unwrap();
    for _ in 0..10 {
        node.chain_parameters().await.unwrap();
    }
    assert_eq!(servers[1].asked().len(), 5);
    let told = node.chain_parameters().await.unwrap_err();
    let NodeError::Retry { after, reason, .. } = told else {
        panic!("{told:?}");
    };
    assert!(
        reason.contains("quota") && after > Some(Duration::ZERO),
        "{reason}"
    );
    assert_eq!(Quota::new(0, Duration::from_secs(1)), None);
}

#[tokio::test]
async fn a_node_that_fails_is_passed_over() {
    let parameters = recording("01-getchainparameters.json");
    let good = answering(parameters).await;
    let broken = Server::start(|_, _| Reply::Status("500 Oops", "", "")).await;
    let limited = Server::start(|_, _| Reply::Status("429 Slow", "retry-after: 60\r\n", "")).await;
    let silent = Server::start(|_, _| Reply::Silence).await;
    let node = client(&[&broken, &limited, &silent, &good], 2000);
    for _ in 0..3 {
        node.chain_parameters().await.unwrap();
    }
    assert_eq!(broken.asked().len(), 1);
    assert_eq!(limited.asked().len(), 1);
    assert_eq!(silent.asked().len(), 1);
    assert_eq!(good.asked().len(), 3);
}

#[tokio::test]
async fn nodes_of_two_chains_are_not_mixed() {
    let genesis =
        |digit: &str| json!({ "blockID": format!("{}{}", "0".repeat(16), digit.repeat(48)) });
    let (one, two) = (answering(genesis("1")).await, answering(genesis("2")).await);
    unknown(client(&[&one, &two], 2000).genesis().await, "another chain");

    // A node that was away when the chain was agreed on is asked before use.
    let (mine, other) = (genesis("1"), genesis("2"));
    let first = Server::start(move |path, _| match path {
        "/wallet/getblockbynum" => Reply::Json(mine.clone()),
        _ => Reply::Status("500 Oops", "", ""),
    })
    .await;
    let away = AtomicUsize::new(0);
    let second = Server::start(move |_, _| match away.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::Status("500 Oops", "", ""),
        _ => Reply::Json(other.clone()),
    })
    .await;
    let node = client(&[&first, &second], 5000);
    node.genesis().await.unwrap();
    let error = node.chain_parameters().await.unwrap_err();
    assert!(reason(&error).contains("another chain"), "{error:?}");
    assert!(
        second
            .asked()
            .iter()
            .all(|path| path == "/wallet/getblockbynum")
    );
}

fn signed() -> Transaction {
    let case = std::fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fixtures/tron/03-local-trc10-broadcasthex.json"),
    )
    .unwrap();
    let case: Value = serde_json::from_slice(&case).unwrap();
    let hex_text = case["request"]["body"]["transaction"].as_str().unwrap();
    Transaction::decode(&hex::decode(hex_text).unwrap()).unwrap()
}

#[tokio::test]
async fn a_broadcast_that_may_have_happened_is_unknown() {
    let transaction = signed();
    let id = transaction.txid().to_string();
    for reply in [
        (|| Reply::Cut) as fn() -> Reply,
        || Reply::Silence,
        || Reply::Drip,
        || Reply::Raw(b"garbage".to_vec()),
        || Reply::Status("500 Oops", "", ""),
        || Reply::Status("502 Bad Gateway", "", ""),
        || Reply::Status("504 Gateway Timeout", "", ""),
        || Reply::Json(json!({})),
        || Reply::Json(json!({ "Error": "class java.lang.NullPointerException : null" })),
        || Reply::Json(json!({ "result": true, "txid": "00".repeat(32) })),
        || Reply::Json(json!({ "result": "true" })),
    ] {
        let server = Server::start(move |_, _| reply()).await;
        let second = answering(json!({ "result": true, "txid": id.clone() })).await;
        let outcome = client(&[&server, &second], 500)
            .broadcast(&transaction)
            .await;
        assert!(
            matches!(outcome, Err(NodeError::Unknown { .. })),
            "{outcome:?}"
        );
        assert_eq!(second.asked().len(), 0, "it is not for us to send it twice");
    }
    for code in [
        "DUP_TRANSACTION_ERROR",
        "SERVER_BUSY",
        "NO_CONNECTION",
        "NOT_ENOUGH_EFFECTIVE_CONNECTION",
        "BLOCK_UNSOLIDIFIED",
        "OTHER_ERROR",
        "A_CODE_OF_THE_FUTURE",
    ] {
        let answer = json!({ "result": false, "code": code, "txid": id, "message": "words" });
        let server = answering(answer).await;
        unknown(
            client(&[&server], 500).broadcast(&transaction).await,
            "words",
        );
    }
}

#[tokio::test]
async fn a_broadcast_that_was_not_sent_goes_to_the_next_node() {
    let transaction = signed();
    let accepted = json!({ "result": true, "txid": transaction.txid().to_string() });
    let good = answering(accepted).await;
    let gone = {
        let server = answering(json!({})).await;
        server.url()
    };
    let limited = Server::start(|_, _| Reply::Status("429 Slow", "", "")).await;
    let mut config = NodeConfig::new(gone);
    config.urls.extend([limited.url(), good.url()]);
    let node = Node::new(&config).unwrap();
    assert_eq!(node.broadcast(&transaction).await, Ok(()));
    assert_eq!(limited.asked().len(), 1);
    let answers = node.broadcast_everywhere(&transaction).await;
    assert!(
        matches!(
            answers.as_slice(),
            [
                Err(NodeError::Retry { .. }),
                Err(NodeError::Retry { .. }),
                Ok(())
            ]
        ),
        "{answers:?}"
    );
}

#[tokio::test]
async fn no_tls_is_no_connection() {
    let server = Server::start(|_, _| Reply::Raw(b"no tls here".to_vec())).await;
    let url = server.url().replace("http:", "https:");
    let error = Node::new(&NodeConfig::new(url))
        .unwrap()
        .chain_parameters()
        .await
        .unwrap_err();
    assert!(matches!(error, NodeError::Retry { .. }), "{error:?}");
}

#[tokio::test]
async fn one_node_does_not_decide_what_time_it_is() {
    let recorded = recording("10-thirty-consecutive-blocks.json");
    let mut servers = Vec::new();
    for index in [29, 2, 20] {
        servers.push(answering(recorded["block"][index].clone()).await);
    }
    let all: Vec<_> = servers.iter().collect();
    let median = client(&all, 5000).median_head().await.unwrap();
    let expected = recorded["block"][20]["block_header"]["raw_data"]["number"].as_u64();
    assert_eq!(Some(median.number), expected);
}
