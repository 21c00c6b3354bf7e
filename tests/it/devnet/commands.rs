//! The commands for a devnet that runs.

use std::process::{Command, Output};

use seedrail::{
    devnet::{Devnet, Pace},
    types::{Token, TokenId},
};
use serde_json::{Value, json};

use super::http::post;

async fn seedrail(arguments: Vec<String>) -> Output {
    let run = move || {
        let home = tempfile::TempDir::new().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_seedrail"));
        command.arg("--home").arg(home.path()).args(arguments);
        command.output().unwrap()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn words(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|word| (*word).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_given_money_by_a_command() {
    let devnet = Devnet::builder().pace(Pace::Manual).start().await.unwrap();
    let bob = devnet.accounts()[1].address;
    let held = |token| devnet.balance(bob, token).get();
    let (trx, btt) = (Token::Trx, Token::Trc10(TokenId::BTT));
    let before = (held(trx), held(btt));
    for amount in ["5TRX", "7raw:1002000"] {
        let who = bob.to_string();
        let output = seedrail(words(&[
            "devnet",
            "fund",
            &who,
            amount,
            "--url",
            devnet.url().as_str(),
        ]))
        .await;
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{output:?}");
        assert!(said.contains(&format!("{who} has ")), "{said}");
    }
    assert_eq!((held(trx), held(btt)), (before.0 + 5_000_000, before.1 + 7));
    // Nobody is there.
    let gone = devnet.url();
    drop(devnet);
    let output = seedrail(words(&[
        "devnet",
        "fund",
        &bob.to_string(),
        "5TRX",
        "--url",
        &gone,
    ]))
    .await;
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("is it running?"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_deployed_by_a_command() {
    let devnet = Devnet::builder().pace(Pace::Manual).start().await.unwrap();
    let bob = devnet.accounts()[1].address;
    let url = devnet.url();
    let command = [
        "--json",
        "devnet",
        "deploy-trc20",
        "USDT:6",
        &bob.to_string(),
        "--url",
        &url,
    ];
    let output = seedrail(words(&command)).await;
    assert!(output.status.success(), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&told["symbol"], &told["decimals"]),
        (&json!("USDT"), &json!(6))
    );
    devnet.mine(1);
    let call = json!({
        "owner_address": bob, "contract_address": told["address"], "visible": true,
        "function_selector": "balanceOf(address)",
        "parameter": format!("{:0>64}", hex::encode(bob.body())),
    });
    let held = post(&devnet, "/wallet/triggerconstantcontract", call).await;
    let billion = format!("{:064x}", 1_000_000_000_000_000_u64);
    assert_eq!(held["constant_result"], json!([billion]), "{held}");
}
