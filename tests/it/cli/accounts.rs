//! `account` and `token` by the real binary against the embedded node.

use seedrail::devnet::{Devnet, Fault, FaultKind};
use serde_json::{Value, json};

use crate::support::{
    home::{Home, Run},
    terminal::Terminal,
};

struct Site {
    devnet: Devnet,
    home: Home,
}

impl Site {
    async fn new() -> Self {
        let (devnet, home) = Home::on_a_devnet().await;
        Self { devnet, home }
    }

    fn run(&self, arguments: &[&str]) -> Run {
        self.home.run(
            ["--json", "--yes", "--quiet"]
                .iter()
                .chain(arguments)
                .copied(),
        )
    }

    fn account(&self, n: usize) -> String {
        self.devnet.accounts()[n].address.to_string()
    }
}

/// What was done is solid, and the receipt is what was expected.
fn done(run: &Run) -> Value {
    let done = run.json();
    assert_eq!(done["state"], "solid", "{run:?}");
    assert_eq!(done["fee_agrees"], true, "{run:?}");
    assert_eq!(done["fee_sun"], done["fee_sun_estimate"], "{run:?}");
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_activated_and_shown_with_what_it_has() {
    let site = Site::new().await;
    let new = "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC";
    let unknown = site.run(&["account", "show", new]);
    assert_eq!(unknown.error(1)["code"], "account_not_found");
    // What it would do and cost is told first, and is what it does cost.
    let dry = site.run(&["account", "activate", new, "--dry-run"]).json();
    assert_eq!(site.run(&["account", "show", new]).code, 1);
    let made = done(&site.run(&["account", "activate", new]));
    assert_eq!(made["fee_sun"], dry["fee_sun_estimate"]);
    assert_eq!(made["fee_sun"], 1_100_000);
    let shown = site.run(&["account", "show", new]).json();
    assert_eq!(shown["trx"]["amount_raw"], "0");
    assert_eq!(shown["bandwidth"]["free_left"], 600);
    assert_eq!(shown["permissions"]["owner"]["keys"][0]["address"], new);
    let own = site.run(&["account", "show"]).json();
    assert_eq!(own["address"], site.account(1));
    assert_eq!(own["tokens"][0]["id"], "1002000");
    // What is there is not made again.
    let again = site.run(&["account", "activate", new]);
    assert_eq!(again.error(1)["code"], "exists");
}

/// It happened: that the node cannot say what it cost is a warning.
#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_cannot_be_read_is_no_failure() {
    let site = Site::new().await;
    for endpoint in [
        "/wallet/gettransactioninfobyid",
        "/walletsolidity/gettransactioninfobyid",
    ] {
        let fault = Fault {
            endpoint: endpoint.to_owned(),
            per_million: 1_000_000,
            kind: FaultKind::Garbage,
            times: None,
        };
        site.devnet.add_fault(fault).unwrap();
    }
    let run = site.run(&["account", "stake", "100TRX"]);
    let done = run.json();
    assert_eq!(done["state"], "solid", "{run:?}");
    assert!(done["fee_sun"].is_null(), "{run:?}");
    let told = run.stderr.lines().find(|line| line.starts_with("warning:"));
    assert!(
        told.is_some_and(|line| line.contains("what it cost is not known")),
        "{run:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn stake_gives_bandwidth_and_is_taken_back() {
    let site = Site::new().await;
    let before = site.run(&["account", "resources"]).json();
    assert_eq!(before["bandwidth"]["staked"]["limit"], 0);
    done(&site.run(&["account", "stake", "100TRX"]));
    done(&site.run(&["account", "stake", "5TRX", "--resource", "energy"]));
    let staked = site.run(&["account", "resources"]).json();
    assert!(
        staked["bandwidth"]["staked"]["limit"].as_u64() > Some(0),
        "{staked}"
    );
    assert!(staked["energy"]["limit"].as_u64() > Some(0), "{staked}");
    assert!(
        staked["trx_to_stake_for_ten_transfers_a_day"].is_u64(),
        "{staked}"
    );
    let shown = site.run(&["account", "show"]).json();
    assert_eq!(shown["stake"]["own"]["bandwidth_raw"], "100000000");
    assert_eq!(shown["stake"]["own"]["energy_raw"], "5000000");

    done(&site.run(&["account", "unstake", "40TRX"]));
    let shown = site.run(&["account", "show"]).json();
    assert_eq!(shown["stake"]["own"]["bandwidth_raw"], "60000000");
    assert_eq!(shown["stake"]["unstaking"][0]["amount_raw"], "40000000");
    done(&site.run(&["account", "unstake", "--cancel"]));
    let shown = site.run(&["account", "show"]).json();
    assert_eq!(shown["stake"]["own"]["bandwidth_raw"], "100000000");
    // Nothing is due to be withdrawn.
    assert_eq!(site.run(&["account", "unstake", "--withdraw"]).code, 4);
    for wrong in [
        &["account", "stake", "5BTT"][..],
        &["account", "stake", "5"],
        &["account", "unstake"],
        &["account", "unstake", "1TRX", "--withdraw"],
    ] {
        assert_eq!(site.run(wrong).code, 2, "{wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_is_shown_changed_and_then_needed() {
    let site = Site::new().await;
    let mut shown = site.run(&["account", "permission"]).json();
    let (one, two) = (site.account(1), site.account(2));
    let keys = json!([{ "address": one, "weight": 1 }, { "address": two, "weight": 1 }]);
    shown["permissions"]["owner"]["keys"] = keys;
    shown["permissions"]["owner"]["threshold"] = 2.into();
    let file = site.home.file("permissions.json", shown.to_string());
    let set = ["account", "permission", "--set", file.to_str().unwrap()];
    let run = site.run(&set);
    // The before beside the after, with what each may do.
    for word in [
        "before:\n  owner: 1 of ",
        "after:\n  owner: 2 of ",
        "for everything",
        "TransferAsset,",
    ] {
        assert!(run.stderr.contains(word), "{word}: {run:?}");
    }
    assert!(
        run.stderr
            .contains("alone can no longer sign for everything"),
        "{run:?}"
    );
    let changed = done(&run);
    // 100 TRX, and the bandwidth beyond the free points if any.
    assert!(
        changed["fee_sun"].as_u64() >= Some(100_000_000),
        "{changed}"
    );
    let after = site.run(&["account", "permission"]).json();
    assert_eq!(after["permissions"]["owner"]["threshold"], 2);
    // One of the two is not enough for the owner's permission any more.
    let alone = site.run(&["account", "stake", "1TRX"]);
    assert_eq!(alone.error(1)["code"], "not_approved");
    // For an active one it is.
    let new = "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC";
    done(&site.run(&["account", "activate", new, "--permission-id", "2"]));
    let bad = site.home.file("bad.json", "{\"owner\":{}}");
    let bad = site.run(&["account", "permission", "--set", bad.to_str().unwrap()]);
    assert_eq!(bad.error(1)["code"], "permissions");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_not_given_away_by_mistake() {
    let site = Site::new().await;
    let mut shown = site.run(&["account", "permission"]).json();
    let other = site.account(2);
    shown["permissions"]["owner"]["keys"] = json!([{ "address": other, "weight": 1 }]);
    shown["permissions"]["actives"][0]["operations"] = "00".repeat(32).into();
    let file = site.home.file("permissions.json", shown.to_string());
    let set = ["account", "permission", "--set", file.to_str().unwrap()];
    // `--yes` is for what is usual; this is not.
    let run = site.run(&set);
    assert_eq!(run.code, 2, "{run:?}");
    for word in [
        "you can no longer sign for this account",
        "may do nothing",
        "--allow-lock-out",
    ] {
        assert!(run.stderr.contains(word), "{word}: {run:?}");
    }
    for answer in ["yes", "I lose this account"] {
        let mut asked = Terminal::start(&site.home, &[&set[..], &["--yes"]].concat());
        asked.expect("you can no longer sign for this account");
        asked.expect("Type `I lose this account` to go on: ");
        asked.line(answer);
        let (code, screen) = asked.end();
        assert_eq!(code, i32::from(answer == "yes"), "{screen}");
    }
    let after = site.run(&["account", "permission"]).json();
    assert_eq!(after["permissions"]["owner"]["keys"][0]["address"], other);

    // Mistyped, a field is refused, not passed over.
    let mut shown = after.clone();
    shown["permissions"]["owner"]["treshold"] = 2.into();
    let file = site.home.file("permissions.json", shown.to_string());
    let run = site.run(&[
        "account",
        "permission",
        "--quiet",
        "--set",
        file.to_str().unwrap(),
    ]);
    let error = run.error(1);
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("owner.treshold"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_issued_found_and_sent() {
    let site = Site::new().await;
    let btt = site.run(&["token", "info"]).json();
    assert_eq!(
        (&btt["id"], &btt["decimals"]),
        (&json!("1002000"), &json!(6))
    );
    let start = site.devnet.now().0 + 60_000;
    let (start, end) = (start.to_string(), (start + 86_400_000).to_string());
    let issue = [
        "token",
        "issue",
        "--name",
        "Popcorn",
        "--abbr",
        "POP",
        "--supply-raw",
        "1000000",
        "--precision",
        "2",
        "--url",
        "https://example.org",
        "--start",
        &start,
        "--end",
        &end,
        "--limit",
        "100",
        "--public-limit",
        "1000",
    ];
    let issued = done(&site.run(&issue));
    assert!(
        issued["fee_sun"].as_u64() >= Some(1_024_000_000),
        "{issued}"
    );
    let own = site.account(1);
    let mine = site.run(&["token", "list", "--issuer", &own]).json();
    assert_eq!(mine.as_array().unwrap().len(), 1, "{mine}");
    let id = mine[0]["id"].as_str().unwrap();
    let info = site.run(&["token", "info", id, "1002000"]).json();
    assert_eq!(info[0]["name"], "Popcorn");
    assert_eq!(info[0]["supply"], "10000");
    assert_eq!(info[0]["bandwidth_for_all"], 1000);
    let all = site.run(&["token", "list"]).json();
    assert_eq!(all.as_array().unwrap().len(), 2, "{all}");
    let second = site
        .run(&["token", "list", "--offset", "1", "--limit", "1"])
        .json();
    assert_eq!(second.as_array().unwrap().len(), 1, "{second}");
    assert_eq!(
        site.run(&["token", "info", "1009999"]).error(1)["code"],
        "unknown_token"
    );
    // An account issues once.
    assert_eq!(site.run(&issue).error(4)["code"], "CONTRACT_VALIDATE_ERROR");
    let to = site.account(2);
    let sent = site
        .run(&["send", "--to", &to, "--amount", &format!("250raw:{id}")])
        .json();
    assert_eq!(
        (&sent["amount"], &sent["state"]),
        (&json!("2.5"), &json!("solid"))
    );
    assert_eq!(sent["fee_sun"], sent["fee_sun_estimate"], "{sent}");
    let txid = sent["txid"].as_str().unwrap();
    let waited = site.run(&["tx", "wait", txid]).json();
    assert_eq!(
        (&waited["fee_sun"], &waited["fee_agrees"]),
        (&sent["fee_sun"], &json!(true))
    );
    let shown = site.run(&["tx", "show", txid]).json();
    assert_eq!(shown["fee_agrees"], true, "{shown}");
    assert_eq!(shown["bandwidth_estimate"], 280, "{shown}");
}
