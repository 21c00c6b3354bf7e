//! Whose blocks are believed.

use std::time::Duration;

use seedrail::{
    devnet::Devnet,
    tron::rpc::{Finality, Node, NodeConfig},
};

use crate::support::home::Home;

const SOMEBODY: &str = "TUEZSdKsoDHQMeZwihtdoBiN46zxhGWYdH";

async fn on(devnet: Devnet) -> (Devnet, Home) {
    let key = devnet.accounts()[1].key.expose_bytes();
    let home = Home::new()
        .env("SEEDRAIL_NODE", &devnet.url())
        .env("SEEDRAIL_PRIVATE_KEY", &hex::encode(key.as_slice()));
    (devnet, home)
}

fn builder() -> seedrail::devnet::Builder {
    Devnet::builder().block_time(Duration::from_millis(200))
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_signed_by_the_key_of_a_witness_permission_are_believed() {
    let devnet = builder()
        .witnesses(3)
        .separate_witness_keys()
        .start()
        .await
        .unwrap();
    let (devnet, home) = on(devnet).await;
    // Nobody signed the first block.
    devnet.mine(1);
    let node = Node::new(&NodeConfig::new(devnet.url())).unwrap();
    let head = node.head(Finality::Head).await.unwrap();
    let made = head.made_by().unwrap();
    assert_ne!(made.witness, made.signer);
    let sent = home.run(["send", "--to", SOMEBODY, "--amount", "1TRX", "--yes"]);
    assert_eq!(sent.code, 0, "{}", sent.stderr);
    let audit = home.run(["settle", "audit"]);
    assert_eq!(audit.code, 0, "{}", audit.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_the_chain_does_not_hold_is_refused() {
    let (devnet, home) = on(builder().start().await.unwrap()).await;
    devnet.mine(5);
    let node = Node::new(&NodeConfig::new(devnet.url())).unwrap();
    let solid = node.head(Finality::Solid).await.unwrap().id();
    let plan =
        |checkpoint: &str| home.run(["settle", "plan", "--checkpoint", checkpoint, "--json"]);
    for block in [solid, devnet.genesis_id()] {
        let mut other = *block.as_bytes();
        other[31] ^= 1;
        let refused = plan(&hex::encode(other)).error(7);
        assert_eq!(refused["code"], "not_the_chains");
    }
    let good = plan(&solid.to_string());
    assert_eq!(good.code, 0, "{}", good.stderr);
}
