//! Sentences that say what is so: limits of nodes, names of tokens, transactions in
//! words.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use serde_json::json;

use crate::support::{
    home::Home,
    http_server::{Reply, Server},
};

const A: &str = "TDvSsdrNM5eeXNL3czpa6AxLDHZA9nwe9K";

/// A node that says `limits` times that it wants to be left alone, then answers.
async fn limiting(limits: u32, header: &'static str) -> Server {
    let genesis = seedrail::types::BlockId::from_bytes([0; 32]).to_string();
    let said = Arc::new(AtomicU32::new(0));
    Server::start(move |path, _| {
        if said.fetch_add(1, Ordering::Relaxed) % (limits + 1) < limits {
            return Reply::Status("429 Too Many Requests", header, "slow down");
        }
        match path {
            "/wallet/getblockbynum" => Reply::Json(json!({ "blockID": genesis })),
            _ => Reply::Json(json!({})),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_wants_a_moment_is_given_it() {
    let server = limiting(1, "Retry-After: 1\r\n").await;
    let run = Home::new().run(["balance", A, "--json", "--node", &server.url()]);
    assert_eq!(run.json()["activated"], false);
    assert!(server.asked().len() >= 4, "{:?}", server.asked());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_limits_us_is_not_said_to_be_down() {
    let server = limiting(1_000, "Retry-After: 50\r\n").await;
    let run = Home::new().run(["balance", A, "--json", "--node", &server.url()]);
    let error = run.error(3);
    assert_eq!(error["code"], "node_limited");
    let hint = error["hint"].as_str().unwrap();
    assert!(
        hint.contains("--api-key-file") && !hint.contains("running"),
        "{hint}"
    );
    assert_eq!(server.asked().len(), 1);

    let moved = Server::start(|_, _| {
        Reply::Status(
            "301 Moved Permanently",
            "Location: https://example.org/new\r\n",
            "",
        )
    })
    .await;
    let run = Home::new().run(["balance", A, "--json", "--node", &moved.url()]);
    let error = run.error(3);
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("https://example.org/new"), "{message}");
}

#[test]
fn an_api_key_that_would_travel_in_the_open_is_not_sent() {
    let home = Home::new();
    let key = home.secret("key", "some-api-key");
    let run = |node: &str| {
        let arguments = [
            "balance",
            A,
            "--api-key-file",
            key.to_str().unwrap(),
            "--node",
            node,
        ];
        home.run(arguments)
    };
    // Nobody listens there; 0.0.0.0 is no loopback address, and reaches this machine.
    let refused = run("http://0.0.0.0:9");
    assert_eq!(refused.code, 2, "{refused:?}");
    let said = refused.stderr;
    assert!(
        said.contains("would go to http://0.0.0.0:9/ without encryption"),
        "{said}"
    );
    assert!(!said.contains("some-api-key"), "{said}");
    for node in ["http://127.0.0.1:9", "https://0.0.0.0:9"] {
        let asked = run(node);
        assert_eq!(asked.code, 3, "{asked:?}");
        assert!(!asked.stderr.contains("encryption"), "{asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_and_a_balance_are_told_in_words() {
    let (_devnet, home) = Home::on_a_devnet().await;
    let balance = home.run(["balance"]).stdout;
    assert!(balance.contains(" BTT (TRC-10 1002000)"), "{balance}");
    let sent = home.run([
        "send", "--json", "--yes", "--to", A, "--amount", "2.5 btt", "--memo", "rent",
    ]);
    let txid = sent.json()["txid"].as_str().unwrap().to_owned();
    let told = home.run(["tx", "show", &txid]).stdout;
    for word in [
        " sends 2.5 BTT to ",
        "memo: `rent`",
        "signed by: T",
        "state: solid, in block ",
        "UTC",
        "fee: ",
    ] {
        assert!(told.contains(word), "{word}: {told}");
    }
    let document = home.run(["tx", "show", &txid, "--json"]).json();
    assert_eq!(document["txid"], txid.as_str());
}
