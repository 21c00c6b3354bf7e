//! What a node said of a payment that nobody waits for.

use serde_json::json;

use super::{Site, Store, payee};
use crate::support::{
    http_server::Reply,
    lying_node::{self, Lie},
};

type Answer = (&'static str, fn() -> Reply);

/// What a node may answer instead of taking a transaction, and a word of what is said of it.
fn answers() -> [Answer; 4] {
    let refused = || {
        Reply::Json(json!({
            "result": false, "code": "SIGERROR", "message": "Validate signature error",
        }))
    };
    let busy = || {
        Reply::Json(json!({
            "result": false, "code": "SERVER_BUSY", "message": "Server busy.",
        }))
    };
    [
        ("SIGERROR", refused),
        ("SERVER_BUSY", busy),
        ("without a code", || Reply::Json(json!({}))),
        ("HTTP 500", || Reply::Status("500 Oops", "", "")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_nobody_waits_for_is_accepted_only_if_a_node_said_so() {
    let site = Site::new(Store::File).await;
    let to = payee(1).to_string();
    for (n, (word, answer)) in answers().into_iter().enumerate() {
        let node = lying_node::start(site.devnet.address(), move |path, _| {
            if path.starts_with("/wallet/broadcast") {
                Lie::Instead(answer())
            } else {
                Lie::None
            }
        })
        .await;
        // A payment of its own each time.
        let amount = format!("{}BTT", n + 1);
        let url = node.url();
        let send = [
            "send", "--to", &to, "--amount", &amount, "--yes", "--json", "--wait", "none",
        ];
        let refused = site.home.run([&send[..], &["--node", &url]].concat());
        let error = refused.error(8);
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("may have happened"), "{message}");
        assert!(message.contains(word), "{message}");
        assert!(!refused.stderr.contains("accepted"), "{refused:?}");
        // What burnt nothing so far is not compared with the fee that was expected.
        assert!(!refused.stderr.contains("was expected"), "{refused:?}");

        let file = site.home.file(
            "pay.csv",
            format!("address,amount\n{},{amount}\n", payee(2)),
        );
        let csv = [
            "send",
            "--csv",
            file.to_str().unwrap(),
            "--yes",
            "--json",
            "--wait",
            "none",
        ];
        let run = site.home.run([&csv[..], &["--node", &url]].concat());
        assert_eq!(run.code, 6, "{run:?}");
        assert!(
            run.stderr.contains("1 of 1 rows were not accepted"),
            "{run:?}"
        );
        assert!(run.stderr.contains(word), "{run:?}");
        assert!(!run.stderr.contains("was expected"), "{run:?}");
        let document: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(document["payouts"][0]["state"], "sent");

        // Both are on disk, and an honest node takes the same bytes: each is paid once. Run
        // again, it is the same payment, and now it is accepted.
        let accepted = site.home.run(send).json();
        assert_eq!(accepted["found"], true, "{accepted}");
        assert_eq!(error["txid"], accepted["txid"]);
        site.home.run(["settle", "resume", "--json"]).json();
    }
    for n in [1, 2] {
        assert_eq!(site.paid(payee(n)), (1 + 2 + 3 + 4) * 1_000_000);
    }
}
