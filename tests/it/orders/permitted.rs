//! A key that pays for an account whose own key is kept away.

use seedrail::{devnet::Devnet, types::Address};
use serde_json::json;

use crate::support::{home::Home, site};

use super::payee;

/// Gives the key of account 3 a permission of account 1, for contracts with these bits in the
/// first byte of its operations.
fn permit(devnet: &Devnet, operations: u8) {
    let (cold, hot) = (&devnet.accounts()[1], &devnet.accounts()[3]);
    let home = of(devnet, 1);
    let mut shown = home.run(["account", "permission", "--json"]).json();
    let actives = shown["permissions"]["actives"].as_array_mut().unwrap();
    actives.push(json!({
        "type": 2, "id": 3, "permission_name": "payouts", "threshold": 1,
        "operations": format!("{operations:02x}{}", "00".repeat(31)),
        "keys": [{ "address": hot.address, "weight": 1 }],
    }));
    let file = home.file("permissions.json", shown.to_string());
    let set = [
        "account",
        "permission",
        "--set",
        file.to_str().unwrap(),
        "--yes",
    ];
    let set = home.run(set);
    assert_eq!(set.code, 0, "{set:?}");
    assert_ne!(cold.address, hot.address);
}

/// A home with the key of this account.
fn of(devnet: &Devnet, account: usize) -> Home {
    let key = devnet.accounts()[account].key.expose_bytes();
    Home::new()
        .env("SEEDRAIL_NODE", &devnet.url())
        .env("SEEDRAIL_PRIVATE_KEY", &hex::encode(key.as_slice()))
}

/// `TransferAssetContract`, and nothing else.
const ASSETS: u8 = 1 << 2;

#[tokio::test(flavor = "multi_thread")]
async fn a_permitted_key_pays_for_an_account_and_that_is_shown_first() {
    let devnet = Devnet::builder()
        .block_time(std::time::Duration::from_millis(200))
        .start()
        .await
        .unwrap();
    permit(&devnet, ASSETS);
    let accounts: Vec<Address> = devnet.accounts().iter().map(|a| a.address).collect();
    let (cold, hot) = (accounts[1].to_string(), accounts[3].to_string());
    let btt = seedrail::types::Token::Trc10(seedrail::types::TokenId::BTT);
    let before = devnet.balance(accounts[1], btt).get();
    let home = of(&devnet, 3);
    let to = payee(1).to_string();
    let under = ["--from", &cold, "--permission-id", "3"];
    let order = ["send", "--to", &to, "--amount", "5BTT"];

    let shown = format!("{cold} pays 5 BTT to {to} on devnet, signed by {hot} under permission 3");
    let dry = home.run([&order[..], &under, &["--dry-run"]].concat());
    assert!(dry.stdout.contains(&shown), "{dry:?}");
    let sent = home.run([&order[..], &under, &["--yes", "--json"]].concat());
    assert!(sent.stderr.contains(&shown), "{sent:?}");
    assert_eq!(sent.json()["from"], cold);
    assert_eq!(devnet.balance(payee(1), btt).get(), 5_000_000);

    let file = home.file("pay.csv", format!("address,amount\n{},2BTT\n", payee(2)));
    let csv = ["send", "--csv", file.to_str().unwrap(), "--yes"];
    let paid = home.run([&csv[..], &under].concat());
    assert_eq!(paid.code, 0, "{paid:?}");
    assert!(
        paid.stderr
            .contains(&format!("signed by {hot} under permission 3")),
        "{paid:?}"
    );
    assert_eq!(devnet.balance(accounts[1], btt).get(), before - 7_000_000);

    // What the permission does not allow is refused before anything is signed.
    for (home, flags, words) in [
        (
            &home,
            &["--amount", "1TRX", "--permission-id", "3"],
            "permission 3 may not sign a TransferContract",
        ),
        (
            &home,
            &["--amount", "1BTT", "--permission-id", "2"],
            "permission 2 of",
        ),
        (
            &home,
            &["--amount", "1BTT", "--permission-id", "5"],
            "the account has no permission 5",
        ),
        (
            &home,
            &["--amount", "1BTT", "--permission-id", "0"],
            "the key is",
        ),
        (
            &of(&devnet, 4),
            &["--amount", "1BTT", "--permission-id", "3"],
            "does not name the key of",
        ),
    ] {
        let order = ["send", "--yes", "--from", &cold, "--to", &to];
        let refused = home.run([&order[..], flags].concat());
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.stderr.contains(words), "{words}: {refused:?}");
        assert!(!refused.stderr.contains("signed by"), "{refused:?}");
    }
    for bad in [
        &["--from", &cold][..],
        &["--permission-id", "1"],
        &["--permission-id", "10"],
    ] {
        assert_eq!(home.run([&order[..], bad].concat()).code, 2, "{bad:?}");
    }
    assert_eq!(devnet.balance(accounts[1], btt).get(), before - 7_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permitted_key_settles_the_debts_of_an_account() {
    let site = site::Site::new(None, 2).await;
    permit(&site.devnet, ASSETS);
    site.owe(1);
    let cold = site.payer.address.to_string();
    let hot = &site.devnet.accounts()[3];
    let key = hex::encode(hot.key.expose_bytes().as_slice());
    let run = |arguments: &[&str]| {
        let output = site
            .seedrail(arguments)
            .env("SEEDRAIL_PRIVATE_KEY", &key)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    let order = ["settle", "run", "--from", &cold, "--permission-id", "3"];
    let (code, _, plan) = run(&[&order[..], &["--dry-run", "--json"]].concat());
    assert_eq!(code, Some(0));
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    assert_eq!(plan["payer"], cold);
    assert_eq!(plan["payouts"].as_array().unwrap().len(), 2, "{plan}");
    let (code, said, _) = run(&[&order[..], &["--yes"]].concat());
    assert_eq!(code, Some(0), "{said}");
    let shown = format!(
        "from {cold} on devnet, signed by {} under permission 3",
        hot.address
    );
    assert!(said.contains(&shown), "{said}");
    site.is_settled(1);
}
