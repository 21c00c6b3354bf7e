//! What a node that lies or lags makes of a command: one sentence, and nothing
//! signed.

use seedrail::types::BlockId;
use serde_json::json;

use crate::support::home::{Home, recording};
use crate::support::http_server::{Reply, Server};

const TO: &str = "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC";

/// A node that answers block 0 and its head, which is days old, and knows
/// nothing else.
async fn stuck() -> Server {
    let head = recording("10-thirty-consecutive-blocks.json")["response"]["block"][29].take();
    let genesis = BlockId::from_bytes([0; 32]).to_string();
    Server::start(move |path, _| match path {
        "/wallet/getblockbynum" => Reply::Json(json!({ "blockID": genesis })),
        "/wallet/getblock" | "/walletsolidity/getblock" => Reply::Json(head.clone()),
        _ => Reply::Json(json!({})),
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_old_is_refused_before_anything_is_signed() {
    let server = stuck().await;
    let url = server.url();
    let home = Home::with_key(2);
    let from = home.run(["wallet", "show", "--json"]).json()["address"].clone();
    let from = from.as_str().unwrap();
    for command in [
        &[
            "tx", "build", "transfer", "--from", from, "--to", TO, "--amount", "1TRX",
        ][..],
        &["account", "stake", "1TRX", "--yes"],
        &["account", "activate", TO, "--yes"],
    ] {
        let node = ["--json", "--quiet", "--network", "nile", "--node", &url];
        let run = home.run(command.iter().chain(&node));
        // That a raw key is used on a real network is warned of first.
        let last = run.stderr.lines().last().unwrap();
        let error: serde_json::Value = serde_json::from_str(last).unwrap();
        assert_eq!(run.code, 3, "{run:?}");
        assert_eq!(error["error"]["code"], "stale_head", "{run:?}");
        let message = error["error"]["message"].as_str().unwrap();
        assert!(
            message.contains("away from this machine's clock"),
            "{message}"
        );
    }
    let asked = server.asked();
    assert!(
        !asked.iter().any(|path| path.contains("broadcast")),
        "{asked:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn not_found_proves_nothing_and_ends_nothing() {
    let server = stuck().await;
    let node = ["--json", "--node", &server.url()];
    let home = Home::new();
    // A transaction that is in the recorded chain.
    let txid = "89836a6df94f470d2b04ac24993848cbac8036f1e2561dfa0115398df903daa6";
    let shown = home.run(["tx", "show", txid].iter().chain(&node)).error(1);
    assert_eq!(shown["code"], "not_found");
    assert!(
        shown["message"]
            .as_str()
            .unwrap()
            .contains("proves nothing"),
        "{shown}"
    );
    let wait = ["tx", "wait", txid, "--timeout", "2"];
    let waited = home.run(wait.iter().chain(&node)).error(8);
    assert_eq!(waited["txid"], txid);
    let message = waited["message"].as_str().unwrap();
    assert!(
        message.contains("may have happened") && message.contains("proves nothing"),
        "{message}"
    );
}
