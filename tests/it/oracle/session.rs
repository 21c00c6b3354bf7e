//! TronWeb's and tronpy's own sessions with the devnet: they cannot tell it from
//! a private java-tron network by what they do with TRX and TRC-10.

use std::time::Duration;

use seedrail::{
    devnet::{Devnet, DevnetAccount},
    tron::{
        contract::Contract,
        transaction::{Draft, RefBlock},
    },
    types::{RawAmount, Token},
};

use super::peer;

/// A fresh chain and a script that ends with an error at the first difference.
async fn session(script: &'static str) {
    let devnet = Devnet::builder().instant().start().await.unwrap();
    let mut arguments = vec![devnet.url()];
    for account in devnet.accounts().iter().take(5) {
        arguments.push(hex::encode(account.key.expose_bytes()));
    }
    let output =
        tokio::task::spawn_blocking(move || peer::command(script).args(arguments).output())
            .await
            .unwrap()
            .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.ends_with("done\n"),
        "{script} got as far as:\n{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tronweb_uses_the_devnet() {
    session("session.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tronpy_uses_the_devnet() {
    session("session.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ethers_reads_blocks_transactions_and_receipts() {
    let devnet = Devnet::builder().instant().start().await.unwrap();
    let [alice, bob, ..] = devnet.accounts() else {
        panic!("there are ten");
    };
    let head = devnet.block(devnet.head_number()).unwrap();
    let paid = Draft::new(
        Contract::transfer(
            alice.address,
            bob.address,
            Token::Trx,
            RawAmount::new(123_456).unwrap(),
        ),
        RefBlock::from(head.id()),
        head.header.timestamp.plus(Duration::from_secs(60)),
        head.header.timestamp,
    )
    .build()
    .sign(&alice.key)
    .unwrap();
    let txid = devnet.submit(paid).unwrap();
    let of = |account: &DevnetAccount| format!("0x{}", &account.address.to_hex()[2..]);
    let arguments = [
        devnet.url(),
        txid.to_string(),
        of(alice),
        of(bob),
        "123456".to_owned(),
    ];
    let output =
        tokio::task::spawn_blocking(move || peer::command("ethers.mjs").args(arguments).output())
            .await
            .unwrap()
            .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.ends_with("done\n"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
