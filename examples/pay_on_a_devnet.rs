//! A whole payment against an embedded chain: what it costs is known before it is
//! signed, it is followed until it is solid, and the receipt of the node says the
//! same price. The shape of a test of your own.
//!
//! ```text
//! cargo run --no-default-features --features devnet --example pay_on_a_devnet
//! ```

#![allow(clippy::print_stdout, reason = "its output is its result")]

use std::{error::Error, time::Duration};

use seedrail::{
    devnet::Devnet,
    tron::{
        contract::Contract,
        fees::{Situation, estimate},
        follow::{Stage, follow},
        rpc::{Finality, Node, NodeConfig},
        transaction::{Draft, RefBlock},
    },
    types::UnitAmount,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let devnet = Devnet::builder().instant().start().await?;
    let [payer, payee, ..] = devnet.accounts() else {
        return Err("a devnet has ten accounts".into());
    };
    let node = Node::new(&NodeConfig::new(devnet.url()))?;

    let amount: UnitAmount = "12.5BTT".parse()?;
    let contract = Contract::transfer(payer.address, payee.address, amount.token, amount.raw);
    let situation = Situation::read(&node, &contract).await?;
    // The chain's own clock: a devnet's may have been moved.
    let head = node.head(Finality::Head).await?;
    let now = head.timestamp;
    let draft = Draft::new(
        contract,
        RefBlock::from(head.id()),
        now.plus(Duration::from_secs(120)),
        now,
    );
    let signed = draft.build().sign(&payer.key)?;
    let price = estimate(&signed, 1, &situation)?;
    println!("{} points, burns {}", price.bandwidth, price.total_sun);

    node.broadcast(&signed).await?;
    let stage = follow(&node, &signed, |_| false, |_| {}).await?;
    let Stage::Solid { block, result } = stage else {
        return Err(format!("the payment ended as {stage:?}").into());
    };
    println!("solid in block {block}: {}", signed.txid());
    assert!(result.succeeded());

    let info = node
        .transaction_info(Finality::Solid, signed.txid())
        .await?;
    let info = info.ok_or("a solid transaction has an info")?;
    assert_eq!(info.fee, price.total_sun);
    assert_eq!(
        devnet.balance(payee.address, amount.token).get(),
        1_000_000_012_500_000
    );
    Ok(())
}
