//! A whole node: started, asked and driven by this crate's own client.

use std::time::Duration;

use seedrail::{
    devnet::{Devnet, Fault, FaultKind, Pace},
    tron::{
        contract::Contract,
        rpc::{Finality, Node, NodeConfig, NodeError},
        transaction::{Draft, RefBlock, Transaction},
    },
    types::{RawAmount, Token, TokenId, UnixMs},
};

fn raw(amount: i64) -> RawAmount {
    RawAmount::new(amount).unwrap()
}

fn client(devnet: &Devnet) -> Node {
    Node::new(&NodeConfig::new(devnet.url())).unwrap()
}

/// A payment from one of the devnet's accounts to another, signed.
fn payment(devnet: &Devnet, from: usize, to: usize, token: Token, amount: i64) -> Transaction {
    let (from, to) = (&devnet.accounts()[from], &devnet.accounts()[to]);
    let head = devnet.block(devnet.head_number()).unwrap();
    let contract = Contract::transfer(from.address, to.address, token, raw(amount));
    Draft::new(
        contract,
        RefBlock::from(head.id()),
        head.header.timestamp.plus(Duration::from_secs(60)),
        UnixMs(amount),
    )
    .build()
    .sign(&from.key)
    .unwrap()
}

#[tokio::test]
async fn a_payment_goes_from_the_pool_to_the_solid_chain() {
    let devnet = Devnet::builder().pace(Pace::Manual).start().await.unwrap();
    devnet.mine(1);
    let node = client(&devnet);
    assert_eq!(node.genesis().await.unwrap(), devnet.genesis_id());
    let btt = Token::Trc10(TokenId::BTT);
    let payee = devnet.accounts()[1].address;
    let before = devnet.balance(payee, btt);

    let transaction = payment(&devnet, 0, 1, btt, 12_500_000);
    node.broadcast(&transaction).await.unwrap();
    // Pending: the head's side counts it, the solid one does not.
    assert_eq!(devnet.balance(payee, btt).get(), before.get() + 12_500_000);
    let solid = node.account(Finality::Solid, payee).await.unwrap();
    assert_eq!(solid.unwrap().tokens[&TokenId::BTT], before);
    let again = node.broadcast(&transaction).await.unwrap_err();
    assert!(
        again.to_string().contains("DUP_TRANSACTION_ERROR"),
        "{again}"
    );

    devnet.mine(1);
    let info = node
        .transaction_info(Finality::Head, transaction.txid())
        .await
        .unwrap();
    assert!(info.is_some());
    let info = node
        .transaction_info(Finality::Solid, transaction.txid())
        .await
        .unwrap();
    assert!(info.is_none());
    devnet.mine(1);
    let info = node
        .transaction_info(Finality::Solid, transaction.txid())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(info.block, 2);
    let solid = node.account(Finality::Solid, payee).await.unwrap();
    assert_eq!(
        solid.unwrap().tokens[&TokenId::BTT].get(),
        before.get() + 12_500_000
    );
    // The client checked id, root and witness signature of each block.
    let blocks = node.blocks(Finality::Solid, 1, 3).await.unwrap();
    assert_eq!(blocks.len(), 2);
}

#[tokio::test]
async fn a_fresh_devnet_makes_blocks_by_itself() {
    let devnet = Devnet::builder()
        .block_time(Duration::from_millis(20))
        .start()
        .await
        .unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while devnet.solid_number() < 3 {
        assert!(tokio::time::Instant::now() < deadline, "no blocks");
        tokio::task::yield_now().await;
    }
    let head = client(&devnet).head(Finality::Head).await.unwrap();
    assert!(head.number >= 3);
}

#[tokio::test]
async fn instant_blocks_are_solid_at_once() {
    let devnet = Devnet::builder().instant().start().await.unwrap();
    let node = client(&devnet);
    let transaction = payment(&devnet, 0, 1, Token::Trx, 5);
    node.broadcast(&transaction).await.unwrap();
    let info = node
        .transaction_info(Finality::Solid, transaction.txid())
        .await
        .unwrap();
    assert!(info.is_some());
}

#[tokio::test]
async fn the_same_beginning_gives_the_same_chain() {
    let start = || {
        Devnet::builder()
            .pace(Pace::Manual)
            .genesis_time(UnixMs(1_700_000_000_000))
            .start()
    };
    let (one, two) = (start().await.unwrap(), start().await.unwrap());
    one.set_time(UnixMs(1_700_000_000_000));
    two.set_time(UnixMs(1_700_000_000_000));
    assert_eq!(one.genesis_id(), two.genesis_id());
    assert_eq!(one.mine(5), two.mine(5));
    let other = Devnet::builder().pace(Pace::Manual).start().await.unwrap();
    assert_ne!(one.genesis_id(), other.genesis_id());
}

#[tokio::test]
async fn snapshots_revert_exactly_and_more_than_once() {
    let devnet = Devnet::builder().pace(Pace::Manual).start().await.unwrap();
    devnet.mine(2);
    let payee = devnet.accounts()[1].address;
    let before = devnet.balance(payee, Token::Trx);
    let head = devnet.head_number();
    let snapshot = devnet.snapshot();
    for _ in 0..2 {
        devnet
            .submit(payment(&devnet, 0, 1, Token::Trx, 7))
            .unwrap();
        devnet.mine(3);
        assert_eq!(devnet.balance(payee, Token::Trx).get(), before.get() + 7);
        assert!(devnet.revert(snapshot));
        assert_eq!(devnet.balance(payee, Token::Trx), before);
        assert_eq!(devnet.head_number(), head);
    }
    assert!(!devnet.revert(snapshot + 1));
}

#[tokio::test]
async fn a_fork_takes_blocks_back_but_never_solid_ones() {
    let devnet = Devnet::builder()
        .pace(Pace::Manual)
        .solid_lag(5)
        .start()
        .await
        .unwrap();
    devnet.mine(10);
    let txid = devnet
        .submit(payment(&devnet, 0, 1, Token::Trx, 7))
        .unwrap();
    let gone = devnet.mine(1);
    assert_eq!(devnet.fork(1, true), 1);
    let node = client(&devnet);
    assert!(
        node.transaction_info(Finality::Head, txid)
            .await
            .unwrap()
            .is_none()
    );
    assert_ne!(devnet.mine(1), gone);
    let info = node.transaction_info(Finality::Head, txid).await.unwrap();
    assert_eq!(info.unwrap().block, 11);
    assert_eq!(devnet.fork(100, false), 5);
    assert_eq!(devnet.head_number(), devnet.solid_number());
}

#[tokio::test]
async fn a_lost_broadcast_and_a_cut_line_leave_the_client_unsure() {
    let devnet = Devnet::builder().pace(Pace::Manual).start().await.unwrap();
    devnet.mine(1);
    let node = client(&devnet);
    let always = |kind| Fault {
        endpoint: "/wallet/broadcasthex".to_owned(),
        per_million: 1_000_000,
        kind,
        times: Some(1),
    };
    devnet.add_fault(always(FaultKind::LostBroadcast)).unwrap();
    let transaction = payment(&devnet, 0, 1, Token::Trx, 7);
    node.broadcast(&transaction).await.unwrap();
    assert_eq!(devnet.drop_pending(), 0);

    devnet.add_fault(always(FaultKind::DropAfter)).unwrap();
    let error = node.broadcast(&transaction).await.unwrap_err();
    assert!(matches!(error, NodeError::Unknown { .. }), "{error:?}");
    assert_eq!(devnet.drop_pending(), 1);
}

#[tokio::test]
async fn dropping_the_handle_frees_the_port() {
    let devnet = Devnet::builder().start().await.unwrap();
    let port = devnet.address().port();
    drop(devnet);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while Devnet::builder().port(port).start().await.is_err() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the port stays taken"
        );
        tokio::task::yield_now().await;
    }
}
