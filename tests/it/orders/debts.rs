//! What commands say and ask before debts are paid or taken on.

use std::path::Path;

use seedrail::types::{Token, TokenId};
use serde_json::Value;

use crate::support::site::Site;

/// What a command in this home left: its status, its standard output, its standard error.
fn run(site: &Site, home: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = site
        .seedrail(arguments)
        .env("SEEDRAIL_HOME", home)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_of_settlement_signs_and_stores_nothing() {
    let site = Site::new(None, 2).await;
    site.owe(1);
    let account = site.payer.address.to_string();
    let paid = |site: &Site| {
        [0, 1].map(|n| {
            let btt = Token::Trc10(TokenId::BTT);
            site.devnet.balance(Site::payee(n), btt).get()
        })
    };
    // Without a terminal, without `--yes`, and with no key that could sign.
    let dry = site
        .seedrail(&[
            "settle",
            "run",
            "--dry-run",
            "--json",
            "--account",
            &account,
        ])
        .env_remove("SEEDRAIL_PRIVATE_KEY")
        .output()
        .unwrap();
    assert!(dry.status.success(), "{dry:?}");
    let plan: Value = serde_json::from_slice(&dry.stdout).unwrap();
    assert_eq!(plan["payouts"].as_array().unwrap().len(), 2, "{plan}");
    // With the key, and agreed to beforehand, it is the same.
    let agreed = ["settle", "run", "--dry-run", "--json", "--yes"];
    assert_eq!(site.succeeds(&agreed).into_bytes(), dry.stdout);
    let ledger = site.watcher();
    assert_eq!(ledger.batches(site.payer.address, 10).unwrap(), []);
    assert_eq!(paid(&site), [0, 0]);
    // The run that follows pays what was shown.
    site.succeeds(&["settle", "run", "--yes"]);
    assert_eq!(ledger.batches(site.payer.address, 10).unwrap().len(), 1);
    assert_eq!(paid(&site), [1_000, 1_001]);
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_that_are_known_already_are_adopted_when_that_is_asked_for() {
    let site = Site::new(None, 2).await;
    // Signed elsewhere: they are debts in the other home.
    site.owe(1);
    let file = site.home.path().join("receipts.jsonl");
    let import = ["receipts", "import", file.to_str().unwrap()];
    let fresh = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| run(&site, fresh.path(), arguments);
    let due = || {
        let (_, plan, told) = run(&["settle", "plan", "--json"]);
        let plan: Value = serde_json::from_str(&plan).expect(&told);
        plan["payouts"].as_array().unwrap().len()
    };
    let (code, _, told) = run(&import);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("evidence, not debts"), "{told}");
    assert_eq!(due(), 0);

    let adopting = [&import[..], &["--adopt"]].concat();
    let (code, told, asked) = run(&adopting);
    assert_eq!(code, 2, "{asked}");
    assert!(told.contains("unchanged 2"), "{told}");
    assert!(asked.contains("would become debts of"), "{asked}");
    assert_eq!(due(), 0);
    let (code, told, _) = run(&[&adopting[..], &["--yes"]].concat());
    assert_eq!(code, 0);
    assert!(told.contains("2 receipts adopted"), "{told}");
    assert_eq!(due(), 2);
    let (code, _, told) = run(&adopting);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("nothing is to be adopted"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn importing_and_adopting_is_one_document_for_a_program() {
    let site = Site::new(None, 2).await;
    site.owe(1);
    let file = site.home.path().join("receipts.jsonl");
    let fresh = tempfile::tempdir().unwrap();
    let import = [
        "receipts",
        "import",
        file.to_str().unwrap(),
        "--adopt",
        "--json",
    ];
    let (code, printed, _) = run(&site, fresh.path(), &import);
    // Nobody agreed: what was imported is said all the same.
    assert_eq!(code, 2);
    let document: Value = serde_json::from_str(&printed).expect(&printed);
    assert_eq!(document["new"], 2);
    assert_eq!(document["adopted"], Value::Null);
    let (code, printed, told) = run(&site, fresh.path(), &[&import[..], &["--yes"]].concat());
    assert_eq!(code, 0, "{told}");
    let document: Value = serde_json::from_str(&printed).expect(&printed);
    assert_eq!(document["unchanged"], 2);
    assert_eq!(document["adopted"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_nobody_can_answer_names_only_flags_that_the_command_has() {
    let site = Site::new(None, 1).await;
    site.owe(1);
    let receipts = site.home.path().join("receipts.jsonl");
    let fresh = tempfile::tempdir().unwrap();
    let import = ["receipts", "import", receipts.to_str().unwrap()];
    assert_eq!(run(&site, fresh.path(), &import).0, 0);
    let (from, to) = (site.payer.address.to_string(), Site::payee(0).to_string());
    let build = ["tx", "build", "transfer", "--from", &from, "--to", &to];
    let built = site.succeeds(&[&build[..], &["--amount", "1TRX"]].concat());
    let transaction = site.home.path().join("built.json");
    std::fs::write(&transaction, built).unwrap();
    let signed = site.succeeds(&["tx", "sign", transaction.to_str().unwrap(), "--yes"]);
    std::fs::write(&transaction, signed).unwrap();
    let transaction = transaction.to_str().unwrap();
    let home = site.home.path();
    for (home, command, more) in [
        (home, &["settle", "run"][..], &[][..]),
        (fresh.path(), &["receipts", "adopt"], &[]),
        (home, &["tx", "broadcast"], &[transaction]),
        (home, &["send"], &["--to", &to, "--amount", "1BTT"]),
    ] {
        let (code, _, told) = run(&site, home, &[command, more].concat());
        assert_eq!(code, 2, "{command:?}: {told}");
        let hint = told.lines().last().unwrap();
        let help = site.succeeds(&[command, &["--help"]].concat());
        let named: Vec<_> = hint
            .split(|c: char| c != '-' && !c.is_ascii_alphanumeric())
            .filter(|word| word.starts_with("--"))
            .collect();
        assert!(named.contains(&"--yes"), "{command:?}: {told}");
        for flag in named {
            assert!(help.contains(flag), "{command:?} has no {flag}: {told}");
        }
    }
}
