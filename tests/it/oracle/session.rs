//! TronWeb's and tronpy's own sessions with the devnet: they cannot tell it from
//! a private java-tron network by what they do with TRX and TRC-10.

use std::time::Duration;

use seedrail::{
    devnet::Devnet,
    tron::{
        contract::{Contract, TriggerSmartContract},
        transaction::{Draft, RefBlock},
    },
    types::{Address, RawAmount, Token},
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
async fn tronweb_uses_contracts_witnesses_and_exchanges_of_the_devnet() {
    session("contracts.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tronpy_uses_the_devnet() {
    session("session.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ethers_reads_blocks_transactions_receipts_and_logs() {
    let builder = Devnet::builder().instant().trc20("USDT:6".parse().unwrap());
    let devnet = builder.start().await.unwrap();
    let [alice, bob, ..] = devnet.accounts() else {
        panic!("there are ten");
    };
    let (_, token) = devnet.trc20().remove(0);
    let amount = RawAmount::new(123_456).unwrap();
    // transfer(address,uint256)
    let data = format!(
        "a9059cbb{:0>64}{:064x}",
        hex::encode(bob.address.body()),
        amount.get()
    );
    let call = TriggerSmartContract {
        owner_address: alice.address.to_bytes().to_vec(),
        contract_address: token.to_bytes().to_vec(),
        data: hex::decode(data).unwrap(),
        ..TriggerSmartContract::default()
    };
    let submit = |contract: Contract| {
        let head = devnet.block(devnet.head_number()).unwrap();
        let mut draft = Draft::new(
            contract,
            RefBlock::from(head.id()),
            head.header.timestamp.plus(Duration::from_secs(60)),
            head.header.timestamp,
        );
        draft.fee_limit_sun = 100_000_000;
        devnet
            .submit(draft.build().sign(&alice.key).unwrap())
            .unwrap()
    };
    let txid = submit(Contract::transfer(
        alice.address,
        bob.address,
        Token::Trx,
        amount,
    ));
    let token_txid = submit(call.into());
    let of = |address: &Address| format!("0x{}", hex::encode(address.body()));
    let arguments = [
        devnet.url(),
        txid.to_string(),
        of(&alice.address),
        of(&bob.address),
        "123456".to_owned(),
        of(&token),
        token_txid.to_string(),
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
