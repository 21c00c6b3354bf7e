//! Whose blocks are believed.

use std::time::Duration;

use seedrail::{
    devnet::Devnet,
    ledger::{ChainLog, LedgerError, SqliteLedger},
    settle::{NodeChain, SettleError, learn_witnesses, settlement},
    tron::{
        keys::SecretKey,
        rpc::{Finality, Node, NodeConfig},
    },
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
    // Witnesses are known now, and it is looked at all the same.
    for block in [solid, devnet.genesis_id()] {
        let mut other = *block.as_bytes();
        other[31] ^= 1;
        let refused = plan(&hex::encode(other)).error(7);
        assert_eq!(refused["code"], "not_the_chains");
        let held = plan(&block.to_string());
        assert_eq!(held.code, 0, "{}", held.stderr);
        let note = "the chain holds the checkpoint";
        assert!(held.stderr.contains(note), "{}", held.stderr);
    }
}

/// A ledger that learned its witnesses from a node that invented a chain, and a block that
/// its user knows from elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_learned_from_an_invented_chain_is_told_by_a_checkpoint() {
    let (ours, home) = on(builder().witnesses(3).start().await.unwrap()).await;
    let invented = builder()
        .witness(SecretKey::from_bytes(&[7; 32]).unwrap())
        .start()
        .await
        .unwrap();
    ours.mine(60);
    invented.mine(30);
    let path = home.path().join("ledger.db");
    let ledger = SqliteLedger::open(&path, ours.genesis_id()).unwrap();
    let chain = NodeChain::new(Node::new(&NodeConfig::new(invented.url())).unwrap());
    learn_witnesses(&ledger, &chain, None).await.unwrap();
    drop(ledger);
    let node = Node::new(&NodeConfig::new(ours.url())).unwrap();
    let solid = node.head(Finality::Solid).await.unwrap().id().to_string();
    let ledger = path.to_str().unwrap();
    let plan = [
        "settle",
        "plan",
        "--json",
        "--ledger",
        ledger,
        "--checkpoint",
        &solid,
    ];
    let refused = home.run(plan).error(7);
    assert_eq!(refused["code"], "strange_checkpoint");
    let said = refused["message"].as_str().unwrap();
    let words = "of the 3 witnesses that made the blocks up to the checkpoint";
    assert!(said.contains(words), "{said}");
    assert!(said.contains("this ledger knows 0"), "{said}");
}

/// The payee's ledger knows two of the witnesses. A payment that stands in a block of the
/// third one counts, since a known one built on that block.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_in_a_block_of_an_unknown_witness_counts_once_a_known_one_built_on_it() {
    let started = builder()
        .witnesses(3)
        .separate_witness_keys()
        .start()
        .await
        .unwrap();
    let (devnet, home) = on(started).await;
    devnet.mine(2);
    let node = Node::new(&NodeConfig::new(devnet.url())).unwrap();
    let chain = NodeChain::new(node.clone());
    let second = node.block(Finality::Head, 2).await.unwrap().unwrap().id();
    let ledger = SqliteLedger::in_memory(devnet.genesis_id()).unwrap();
    learn_witnesses(&ledger, &chain, Some(second))
        .await
        .unwrap();
    let known = ledger.witnesses().unwrap();
    assert_eq!(known.len(), 2);
    let mut strangers = 0;
    for amount in 1..=6 {
        let amount = format!("{amount}BTT");
        let send = [
            "send", "--to", SOMEBODY, "--amount", &amount, "--yes", "--json",
        ];
        let sent = home.run(send).json();
        let txid = sent["txid"].as_str().unwrap().parse().unwrap();
        let info = node.transaction_info(Finality::Solid, txid).await.unwrap();
        let number = info.unwrap().block;
        let block = node.block(Finality::Solid, number).await.unwrap().unwrap();
        let witness = block.made_by().unwrap().witness;
        strangers += u32::from(known.iter().all(|known| known.address != witness));
        devnet.mine(3);
        let found = settlement(&chain, &ledger, txid).await.unwrap().unwrap();
        assert_eq!(found.txid, txid);
    }
    assert!(
        strangers > 0,
        "no payment was in a block of the third witness"
    );
}

/// Nobody whom the ledger knows built on it: another chain, or an invented one.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_in_a_chain_of_unknown_witnesses_alone_does_not_count() {
    let (ours, _) = on(builder().start().await.unwrap()).await;
    ours.mine(5);
    let ledger = SqliteLedger::in_memory(ours.genesis_id()).unwrap();
    let chain = NodeChain::new(Node::new(&NodeConfig::new(ours.url())).unwrap());
    learn_witnesses(&ledger, &chain, None).await.unwrap();
    let theirs = builder()
        .witness(SecretKey::from_bytes(&[7; 32]).unwrap())
        .start()
        .await
        .unwrap();
    let (theirs, home) = on(theirs).await;
    let send = [
        "send", "--to", SOMEBODY, "--amount", "1BTT", "--yes", "--json",
    ];
    let sent = home.run(send).json();
    theirs.mine(60);
    let chain = NodeChain::new(Node::new(&NodeConfig::new(theirs.url())).unwrap());
    let txid = sent["txid"].as_str().unwrap().parse().unwrap();
    let refused = settlement(&chain, &ledger, txid).await.unwrap_err();
    assert!(
        matches!(refused, SettleError::Ledger(LedgerError::Strangers { .. })),
        "{refused}"
    );
}
