//! What is said before and after a payment is so.

use std::{
    io::{BufRead as _, BufReader},
    time::Duration,
};

use seedrail::{
    tron::rpc::{Finality, Node, NodeConfig},
    types::Address,
};
use serde_json::{Value, json};

use super::{Site, Store, payee};
use crate::support::{
    child::Ended,
    home::Home,
    lying_node::{self, Lie},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_token_is_never_called_by_a_built_in_name_alone() {
    let site = Site::new(Store::File).await;
    let key = site.devnet.accounts()[2].key.expose_bytes();
    let issuer = Home::new()
        .env("SEEDRAIL_NODE", &site.devnet.url())
        .env("SEEDRAIL_PRIVATE_KEY", &hex::encode(key.as_slice()));
    let start = site.devnet.now().0 + 60_000;
    let (start, end) = (start.to_string(), (start + 86_400_000).to_string());
    let issue = [
        "token",
        "issue",
        "--name",
        "TronX",
        "--abbr",
        "TRX",
        "--supply-raw",
        "1000000000",
        "--precision",
        "6",
        "--url",
        "https://example.org",
        "--start",
        &start,
        "--end",
        &end,
        "--yes",
        "--json",
    ];
    assert_eq!(issuer.run(issue).json()["state"], "solid");
    let own = site.devnet.accounts()[2].address.to_string();
    let list = ["token", "list", "--issuer", &own, "--json"];
    let id = issuer.run(list).json()[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let to = payee(1).to_string();
    let amount = format!("5000000raw:{id}");
    let dry = issuer.run(["send", "--to", &to, "--amount", &amount, "--dry-run"]);
    assert_eq!(dry.code, 0, "{dry:?}");
    assert!(dry.stdout.contains(&id), "{dry:?}");
    assert!(!dry.stdout.contains("pays 5 TRX to"), "{dry:?}");
    let file = issuer.file(
        "pay.csv",
        format!("address,amount\n{to},{amount}\n{to},2BTT\n"),
    );
    let file = file.to_str().unwrap();
    let paid = issuer.run(["send", "--csv", file, "--yes"]);
    assert_eq!(paid.code, 0, "{paid:?}");
    // In the sentence before it, and in the list after it.
    for said in [&paid.stdout, &paid.stderr] {
        assert!(said.contains(&format!("5 TRX (TRC-10 {id})")), "{paid:?}");
    }
    // Beside the account's own TRX.
    let balance = issuer.run(["balance"]).stdout;
    assert!(
        balance.contains(&format!(" TRX (TRC-10 {id})")),
        "{balance}"
    );
    let genuine = balance.lines().filter(|line| line.ends_with(" TRX"));
    assert_eq!(genuine.count(), 1, "{balance}");
}

#[tokio::test(flavor = "multi_thread")]
async fn amounts_of_different_tokens_are_never_added_up() {
    let site = Site::new(Store::File).await;
    let rows = format!(
        "address,amount\n{0},5TRX\n{0},2.5BTT\n{1},1BTT\n",
        payee(1),
        payee(2)
    );
    let file = site.home.file("mixed.csv", rows);
    let file = file.to_str().unwrap();
    let paid = site.home.run(["send", "--csv", file, "--yes", "--json"]);
    assert_eq!(paid.json()["confirmed"], 3);
    let status = site.home.run(["settle", "status", "--json"]).json();
    assert_eq!(
        status["totals"],
        json!([
            { "token": "TRX", "amount": "5", "amount_raw": "5000000" },
            { "token": "BTT", "amount": "3.5", "amount_raw": "3500000" },
        ]),
        "{status}"
    );
    assert_eq!(status.get("total_raw"), None);
    // The history gives each its own token, and no sum.
    let history = site.home.run(["settle", "history", "--json"]).json();
    let mut listed: Vec<_> = history["payments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (
                row["token"].as_str().unwrap(),
                row["amount"].as_str().unwrap(),
            )
        })
        .collect();
    listed.sort_unstable();
    assert_eq!(listed, [("BTT", "1"), ("BTT", "2.5"), ("TRX", "5")]);
    assert_eq!(history.as_object().unwrap().len(), 1, "{history}");
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_that_may_be_mistakes_are_warned_of() {
    let site = Site::new(Store::File).await;
    let zero = Address::ZERO.to_string();
    let dry = site
        .home
        .run(["send", "--to", &zero, "--amount", "1BTT", "--dry-run"]);
    assert!(dry.stderr.contains("is the zero address"), "{dry:?}");
    let new = payee(7).to_string();
    let dry = site
        .home
        .run(["send", "--to", &new, "--amount", "1BTT", "--dry-run"]);
    assert!(
        dry.stderr.contains("was never used on this chain"),
        "{dry:?}"
    );
    let rows = format!("address,amount\n{new},1BTT\n{zero},1BTT\n{new},1BTT\n");
    let file = site.home.file("twice.csv", rows);
    let dry = site
        .home
        .run(["send", "--csv", file.to_str().unwrap(), "--dry-run"]);
    assert!(
        dry.stderr.contains("rows 1 and 3 pay the same to the same"),
        "{dry:?}"
    );
    assert!(dry.stderr.contains("is the zero address"), "{dry:?}");
    // Every row is shown.
    for row in [&new, &zero] {
        assert!(dry.stdout.contains(row.as_str()), "{dry:?}");
    }
    for flags in [&["--dry-run"][..], &["--yes"]] {
        let nothing = ["send", "--to", &new, "--amount", "0BTT"];
        let refused = site.home.run([&nothing[..], flags].concat());
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.stderr.contains("the amount is zero"), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memo_of_bytes_is_shown_and_sent_as_it_is() {
    let site = Site::new(Store::File).await;
    let to = payee(1).to_string();
    let order = ["send", "--to", &to, "--amount", "1BTT", "--yes", "--json"];
    let sent = site
        .home
        .run([&order[..], &["--memo-hex", "0xdeadbeef"]].concat());
    assert!(sent.stderr.contains("with the memo 0xdeadbeef"), "{sent:?}");
    let txid = sent.json()["txid"].as_str().unwrap().to_owned();
    let node = Node::new(&NodeConfig::new(site.devnet.url())).unwrap();
    let found = node
        .transaction(Finality::Solid, txid.parse().unwrap())
        .await;
    let raw = found.unwrap().unwrap().raw_data().unwrap();
    assert_eq!(raw.memo, [0xde, 0xad, 0xbe, 0xef]);
    for bad in ["0xdeadbee", "hello"] {
        let refused = site.home.run([&order[..], &["--memo-hex", bad]].concat());
        assert_eq!(refused.code, 2, "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_first_contact_two_nodes_must_hold_the_same_chain() {
    let site = Site::new(Store::File).await;
    site.devnet.mine(3);
    // It is on the same chain by its first block, and does not hold the others.
    let differs = lying_node::start(site.devnet.address(), |path, body| {
        if path == "/walletsolidity/getblockbynum" && body["num"] != 0 {
            Lie::json(json!({}))
        } else {
            Lie::None
        }
    })
    .await;
    let agrees = lying_node::start(site.devnet.address(), |_, _| Lie::None).await;
    let plan = |second: &str, home: &Home| {
        let honest = site.devnet.url();
        home.run([
            "settle", "plan", "--json", "--node", &honest, "--node", second,
        ])
    };
    let fresh = site.another_home();
    let refused = plan(&differs.url(), &fresh);
    let error = refused.error(3);
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("does not hold block"), "{message}");
    assert_eq!(plan(&agrees.url(), &fresh).code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_devnet_of_several_witnesses_with_keys_of_their_own_pays_as_any_other() {
    let home = Home::new();
    let mut command = home.command();
    command.args([
        "devnet",
        "--port",
        "0",
        "--json",
        "--block-time",
        "300ms",
        "--witnesses",
        "3",
        "--witness-permission-keys",
    ]);
    let mut child = Ended(command.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let devnet: Value = serde_json::from_str(&line).unwrap();
    let url = devnet["url"].as_str().unwrap();
    let key = devnet["accounts"][1]["private_key"].as_str().unwrap();
    let payer = Home::new()
        .env("SEEDRAIL_NODE", url)
        .env("SEEDRAIL_PRIVATE_KEY", key);
    let to = payee(1).to_string();
    let paid = payer.run(["send", "--to", &to, "--amount", "1BTT", "--yes", "--json"]);
    assert_eq!(paid.json()["state"], "solid");
    let node = Node::new(&NodeConfig::new(url)).unwrap();
    let mut witnesses = std::collections::BTreeSet::new();
    crate::support::waiting::wait_until("each has made a block", super::LIMIT, || {
        let head = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(node.head(Finality::Head))
        });
        let made = head.unwrap().made_by().unwrap();
        assert_ne!(made.witness, made.signer);
        witnesses.insert(made.witness);
        std::thread::park_timeout(Duration::from_millis(50));
        witnesses.len() == 3
    });
}
